//! What a plugin keeps between calls.

use std::fs;

use campanile_tests::{Server, guest};
use serde_json::json;

use crate::api::Api;
use crate::plugins::until_listed;

/// Says `text` to the guest that keeps, and answers what it counts as its provider's id.
async fn said(server: &Server, text: &str) -> String {
    let api = Api::of(server);
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["keeper"], "body": text })).await;
    let id = accepted.body["id"].as_str().unwrap_or_else(|| panic!("it is accepted: {}", accepted.body));
    let record = api.until_final(id).await;
    let attempt = &record["deliveries"][0]["attempts"][0];
    attempt["provider_id"].as_str().unwrap_or_else(|| panic!("it counts: {record:#}")).to_owned()
}

/// A plugin that asks for no more than what everybody is granted is a channel by itself, and counts on after a crash.
#[tokio::test]
async fn a_count_goes_on_after_the_server_was_killed() {
    let mut server = Server::start("").await;
    fs::copy(guest("keeper"), server.dir().join("plugins-enabled/keeper.wasm")).unwrap();
    until_listed(&Api::of(&server), "keeper", |entry| entry["state"] == "serving").await;
    assert_eq!(said(&server, "count").await, "1");
    assert_eq!(said(&server, "count").await, "2");
    server.crash_and_restart().await;
    assert_eq!(said(&server, "count").await, "3");
}
