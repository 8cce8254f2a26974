//! A provider that takes messages at once and tells later what became of them.

use std::fs;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;
use crate::plugins::until_listed_within;

/// A server whose channel `courier` hands over to `receiver`. The last question comes `max_age` after that; the first
/// one would come after half a minute.
async fn courier(receiver: &Receiver, max_age: &str) -> Server {
    let config = format!(
        r#"
        [retry.short]
        max_age = "{max_age}"

        [channels.courier]
        plugin = "courier"
        retry = "short"
        config = {{ url = "{}/parcels" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    );
    Server::start(&config).await
}

/// Hands one over and waits until it is taken. Its id and that of its delivery.
async fn taken(api: &Api, receiver: &Receiver) -> (String, String) {
    let before = receiver.count();
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["courier"], "body": "hi" })).await;
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("no id: {}", accepted.body)).to_owned();
    let (id, delivery) = (text(&accepted.body["id"]), text(&accepted.body["deliveries"][0]["id"]));
    receiver.has_received(before + 1).await;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    loop {
        ticks.tick().await;
        let record = api.get(&format!("/v1/deliveries/{delivery}")).await.body;
        if record["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty()) {
            return (id, delivery);
        }
    }
}

/// How many questions there were, and how many messages.
fn asked_and_sent(receiver: &Receiver) -> (usize, usize) {
    let questions = receiver.received().iter().filter(|request| request.uri == "/parcels/p-1").count();
    (questions, receiver.count() - questions)
}

#[tokio::test]
async fn what_a_provider_took_cannot_be_withdrawn_and_is_asked_for_after_a_crash_and_never_sent_again() {
    let replies = vec![Reply::new(202, "p-1")];
    let receiver = Receiver::start(replies, Reply::new(200, "delivered")).await;
    let mut server = courier(&receiver, "6s").await;
    let api = Api::of(&server);
    let (id, delivery) = taken(&api, &receiver).await;

    let record = api.get(&format!("/v1/notifications/{id}")).await.body;
    assert_eq!((&record["status"], &record["deliveries"][0]["status"]), (&json!("pending"), &json!("pending")));
    assert_eq!(record["deliveries"][0]["detail"], "accepted", "{record}");
    assert_eq!(record["deliveries"][0]["attempts"][0]["provider_id"], "p-1");
    let told = server.cli(["status", &id]).await;
    assert!(told.stdout.contains(": pending, accepted, due "), "{told:?}");
    for path in [format!("/v1/notifications/{id}/cancel"), format!("/v1/deliveries/{delivery}/cancel")] {
        let refused = api.post(&path, &json!({})).await;
        assert_eq!((refused.status, &refused.body["code"]), (409, &json!("already-accepted")), "{}", refused.body);
        let detail = refused.body["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("it cannot be withdrawn, and goes on to the provider's final word"), "{detail}");
    }

    server.crash_and_restart().await;
    let record = Api::of(&server).until_final(&id).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["detail"]), (&json!("sent"), &Value::Null), "{record:#}");
    let ends: Vec<_> = delivery["attempts"].as_array().expect("a list").iter().map(|end| &end["outcome"]).collect();
    assert_eq!(ends, ["accepted", "sent"]);
    assert_eq!(asked_and_sent(&receiver), (1, 1));
}

#[tokio::test]
async fn what_a_provider_refuses_later_is_a_dead_letter_and_what_it_never_tells_is_sent_unconfirmed() {
    let replies = vec![Reply::new(202, "p-1"), Reply::new(200, "refused"), Reply::new(202, "p-1")];
    let receiver = Receiver::start(replies, Reply::new(200, "on its way")).await;
    let server = courier(&receiver, "2s").await;
    let api = Api::of(&server);

    let (refused, _) = taken(&api, &receiver).await;
    let record = api.until_final(&refused).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["reason"]), (&json!("failed"), &json!("rejected")), "{record:#}");
    let dead = server.cli(["--json", "dead-letters", "list"]).await.json();
    assert_eq!(dead["dead_letters"][0]["id"], delivery["id"], "{dead}");

    let (untold, _) = taken(&api, &receiver).await;
    let record = api.until_final(&untold).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["detail"]), (&json!("sent"), &json!("accepted")), "{record:#}");
    assert_eq!(delivery["attempts"].as_array().map(Vec::len), Some(1), "a question without news is no attempt");
    assert_eq!(asked_and_sent(&receiver), (2, 2));
}

/// A plugin that was built before there were questions says `accepted`, and that is the last word.
#[tokio::test]
async fn what_a_plugin_without_poll_says_was_accepted_is_sent_unconfirmed() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let config = format!(
        r#"
        [channels.sample]
        plugin = "sample"
        config = {{ url = "{}" }}
        secrets = {{ key = "file:key" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    );
    let server = Server::start_with(&config, &[("key", "secret")], &[]).await;
    let old = concat!(env!("CARGO_MANIFEST_DIR"), "/contract/0.1.0.wasm");
    fs::copy(old, server.dir().join("plugins-enabled/sample.wasm")).expect("it can be copied");
    let api = Api::of(&server);
    // Two files are compiled, the one that comes with the program and this one.
    let is_it = |entry: &Value| entry["state"] == "serving" && entry["source"] == "own";
    until_listed_within(Duration::from_secs(60), &api, "sample", is_it).await;
    let to = json!({ "channels": ["sample"], "to": ["ding"], "title": "accepted", "body": "x" });
    let accepted = api.post("/v1/notifications", &to).await;
    let record = api.until_final(accepted.body["id"].as_str().unwrap_or_else(|| panic!("{}", accepted.body))).await;
    let delivery = &record["deliveries"][0];
    assert_eq!((&delivery["status"], &delivery["detail"]), (&json!("sent"), &json!("accepted")), "{record:#}");
}
