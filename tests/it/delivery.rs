//! From one command to a provider and back.

use std::fs;

use campanile_tests::{Receiver, Reply, Server, plugin};
use serde_json::json;

use crate::api::Api;

const OPS_SLACK: &str = r#"
    [channels.ops]
    plugin = "slack"
    secrets = { url = "file:slack-url" }
    allow_networks = ["127.0.0.1/32"]
"#;

async fn ops_slack(receiver: &Receiver) -> Server {
    let url = format!("{}/services/T/B/x", receiver.url());
    Server::start_with(OPS_SLACK, &[("slack-url", &url)], &[]).await
}

/// Without any configuration, a channel that needs none delivers.
#[tokio::test]
async fn a_server_without_configuration_delivers_to_the_console() {
    let server = Server::start("").await;
    let sent = server.cli(["send", "-c", "console", "-b", "hi", "--wait"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    assert!(sent.stdout.contains("sent"), "{sent:?}");
    assert_eq!(server.terminate().await, 0);
}

/// The record of a delivery shows each attempt: duration, outcome, plugin version, fuel.
#[tokio::test]
async fn a_slack_shaped_receiver_gets_the_message_and_status_shows_the_attempt() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let server = ops_slack(&receiver).await;
    let sent = server.cli(["--json", "send", "-c", "ops", "--title", "Disk", "-b", "almost full", "--wait"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    let id = sent.json()["id"].as_str().expect("an id").to_owned();

    let message = receiver.received()[0].json();
    assert!(message["text"].as_str().is_some_and(|text| text.contains("almost full")), "{message}");

    let status = server.cli(["--json", "status", &id]).await.json();
    let attempt = &status["deliveries"][0]["attempts"][0];
    assert_eq!(attempt["outcome"], "sent");
    assert!(attempt["plugin"].as_str().is_some_and(|plugin| plugin.starts_with("slack@")), "{attempt}");
    assert!(attempt["fuel"].as_u64().is_some_and(|fuel| fuel > 0), "{attempt}");
    assert!(attempt["duration_ms"].as_f64().is_some_and(|duration| duration > 0.0), "{attempt}");

    let told = server.cli(["status", &id]).await;
    assert!(told.stdout.contains("slack@") && told.stdout.contains("sent"), "{told:?}");
    assert!(!told.stdout.contains("/services/"), "a channel's address is nobody's business: {told:?}");
}

/// A server error is tried again and then succeeds; the receiver sees one delivery id.
#[tokio::test]
async fn a_retry_reaches_the_receiver_with_the_same_delivery_id() {
    let receiver = Receiver::start(vec![Reply::new(503, "busy")], Reply::new(200, "")).await;
    let config = format!(
        r#"
        [retry.quick]
        initial = "10ms"

        [channels.hook]
        plugin = "webhook"
        retry = "quick"
        config = {{ url = "{}/in" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    );
    let server = Server::start(&config).await;
    let api = Api::of(&server);
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": "hello" })).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    let record = api.until_final(accepted.body["id"].as_str().expect("an id")).await;
    let delivery = &record["deliveries"][0];
    assert_eq!(delivery["status"], "sent", "{record}");
    let outcomes: Vec<&str> =
        delivery["attempts"].as_array().unwrap().iter().filter_map(|attempt| attempt["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["retry", "sent"]);

    let ids: Vec<String> = receiver.received().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [delivery["id"].as_str().unwrap(), delivery["id"].as_str().unwrap()]);
}

/// Submitting returns while the channel hangs.
#[tokio::test]
async fn accepting_does_not_wait_for_a_channel_that_hangs() {
    let receiver = Receiver::closed(Reply::new(200, "ok")).await;
    let server = ops_slack(&receiver).await;
    let api = Api::of(&server);
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["ops"], "body": "hello" })).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    receiver.has_received(1).await;
    let id = accepted.body["id"].as_str().expect("an id");
    assert_eq!(api.get(&format!("/v1/notifications/{id}")).await.body["status"], "pending");
    receiver.open();
    assert_eq!(api.until_final(id).await["status"], "sent");
}

/// A template in the folder is rendered in the sandbox, for each part.
#[tokio::test]
async fn a_template_writes_the_message() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let server = ops_slack(&receiver).await;
    fs::create_dir_all(server.dir().join("templates")).unwrap();
    fs::write(server.dir().join("templates/disk.j2"), "{{ host }} is at {{ percent }} %").unwrap();
    let sent =
        server.cli(["send", "-c", "ops", "--template", "disk", "-d", "host=db-3", "-d", "percent=91", "--wait"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    let message = receiver.received()[0].json().to_string();
    assert!(message.contains("db-3 is at 91 %"), "{message}");

    let missing = server.cli(["send", "-c", "ops", "--template", "disk", "-d", "host=db-3", "--wait"]).await;
    assert_ne!(missing.code, 0, "{missing:?}");
    assert!(missing.stderr.contains("percent"), "the missing variable is named: {missing:?}");
    assert_eq!(receiver.received().len(), 1);
}

/// A plugin dropped into the folder serves within a second.
#[tokio::test]
async fn a_plugin_that_is_dropped_in_is_listed_and_serves() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let server = ops_slack(&receiver).await;
    fs::copy(plugin("slack"), server.dir().join("plugins-enabled/slack.wasm")).unwrap();
    let api = Api::of(&server);
    crate::plugins::until_listed(&api, "slack", |listed| listed["source"] == "own" && listed["state"] == "serving")
        .await;
    let sent = server.cli(["send", "-c", "ops", "-b", "hi", "--wait"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
}
