//! One call, many recipients.

use std::collections::BTreeSet;

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;

const MANY: usize = 10_000;

fn config(receiver: &Receiver) -> String {
    let networks = "allow_networks = [\"127.0.0.1/32\"]";
    let url = receiver.url();
    format!(
        "[channels.bell]\nplugin = \"sample\"\nconfig = {{ url = \"{url}/bell\" }}\n\
         secrets = {{ key = \"file:key\" }}\n{networks}\n\
         [channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/in\" }}\n{networks}\n"
    )
}

/// An address that is letters alone.
fn reader(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// Ten thousand recipients are accepted in one call, made in slices through a crash, and each is told once; who is
/// sent something meanwhile does not wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_recipients_are_told_once_through_a_crash_and_hold_nobody_up() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let mut server = Server::start_with(&config(&receiver), &[("key", "0123456789abcdef0123456789abcdef")], &[]).await;
    let to: Vec<Value> = (0..MANY).map(|n| json!(reader(n))).collect();
    let body =
        json!({ "channels": ["bell"], "to": to, "title": "sent", "body": "news", "idempotency_key": "issue-12" });
    let accepted = Api::of(&server).post("/v1/notifications", &body).await;
    assert_eq!((accepted.status, &accepted.body["delivery_count"]), (202, &json!(MANY)), "{}", accepted.body);
    assert_eq!(accepted.body["deliveries"], json!([]));
    let id = accepted.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(accepted.body["deliveries_url"], json!(format!("/v1/notifications/{id}/deliveries")));

    let beside =
        Api::of(&server).post("/v1/notifications?wait=60s", &json!({ "channels": ["hook"], "body": "now" })).await;
    assert_eq!(beside.body["status"], "sent", "{}", beside.body);
    server.crash_and_restart().await;

    let api = Api::of(&server);
    let again = api.post("/v1/notifications", &body).await;
    assert_eq!((&again.body["id"], &again.body["delivery_count"]), (&json!(id), &json!(MANY)));
    let record = api.get(&format!("/v1/notifications/{id}?wait=60s")).await;
    assert_eq!(record.body["status"], "sent", "{}", record.body["status"]);
    let mut told = BTreeSet::new();
    let mut from = 0;
    loop {
        let page = api.get(&format!("/v1/notifications/{id}/deliveries?from={from}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let deliveries = page.body["deliveries"].as_array().expect("deliveries");
        told.extend(deliveries.iter().map(|one| one["recipient"].as_str().expect("an address").to_owned()));
        match page.body["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(told.len(), MANY);
    assert_eq!(server.terminate().await, 0);
}
