//! Another channel stands in for one that does not work.

use campanile_tests::{Receiver, Reply, Server};
use serde_json::json;

use crate::api::Api;

/// `first`, which gives up after one retry, and `second` behind it.
async fn two_channels(first: &Receiver, second: &Receiver) -> Server {
    let channel = |name: &str, receiver: &Receiver, more: &str| {
        let url = receiver.url();
        format!(
            r#"
            [channels.{name}]
            plugin = "webhook"
            config = {{ url = "{url}/in" }}
            allow_networks = ["127.0.0.1/32"]
            {more}
            "#
        )
    };
    let (first, second) =
        (channel("first", first, "retry = \"quick\"\nfallback = [\"second\"]"), channel("second", second, ""));
    let config = format!(
        r#"
        [breaker]
        enabled = false

        [retry.quick]
        initial = "10ms"
        max_retries = 1
        {first}{second}
        "#
    );
    Server::start(&config).await
}

#[tokio::test]
async fn what_one_provider_does_not_take_the_next_one_gets_and_status_says_so() {
    let (down, up) =
        (Receiver::start(vec![], Reply::new(500, "no")).await, Receiver::start(vec![], Reply::new(200, "")).await);
    let server = two_channels(&down, &up).await;
    let api = Api::of(&server);
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["first"], "body": "hello" })).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let id = accepted.body["id"].as_str().expect("an id");
    let record = api.until_final(id).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&record["status"], &delivery["channel"]), (&json!("sent"), &json!("second")), "{record}");
    let way = delivery["rerouted"].as_array().expect("it says which way it took");
    assert_eq!(way.len(), 1, "{record}");
    assert_eq!((&way[0]["from"], &way[0]["to"]), (&json!("first"), &json!("second")));
    assert_eq!(way[0]["reason"], "exhausted");
    let outcomes: Vec<&str> =
        delivery["attempts"].as_array().unwrap().iter().filter_map(|attempt| attempt["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["retry", "retry", "sent"]);
    assert_eq!((down.count(), up.count()), (2, 1));
    assert_eq!(up.received()[0].header("webhook-id"), delivery["id"].as_str().unwrap(), "it is the same delivery");

    let told = server.cli(["status", id]).await;
    assert!(told.stdout.contains("exhausted: second stands in for first"), "{told:?}");
    assert_eq!(server.terminate().await, 0);
}

/// What the provider refuses of the message itself would be refused anywhere.
#[tokio::test]
async fn what_a_provider_refuses_of_a_message_is_offered_to_no_other() {
    let (refuses, up) =
        (Receiver::start(vec![], Reply::new(422, "no")).await, Receiver::start(vec![], Reply::new(200, "")).await);
    let server = two_channels(&refuses, &up).await;
    let api = Api::of(&server);
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["first"], "body": "hello" })).await;
    let record = api.until_final(accepted.body["id"].as_str().expect("an id")).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["reason"]), (&json!("failed"), &json!("rejected")), "{record}");
    assert_eq!((&delivery["channel"], delivery.get("rerouted")), (&json!("first"), None));
    assert_eq!(up.count(), 0);
}
