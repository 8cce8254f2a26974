//! What was accepted is delivered, whatever happens to the process.

use std::collections::{BTreeMap, BTreeSet};

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;

const NOTIFICATIONS: usize = 5_000;
const PER_BATCH: usize = 1_000;
/// Workers × deliveries in flight of each, as configured below: what may be under way when the process dies.
const SLOTS: usize = 2 * 64;

fn config(receiver: &Receiver) -> String {
    format!(
        r#"
        [workers]
        max = 2
        per_worker = 64

        [channels.hook]
        plugin = "webhook"
        config = {{ url = "{}/in" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    )
}

/// Accepts all notifications and returns their ids with that of their one delivery.
async fn accept_all(api: &Api) -> BTreeMap<String, String> {
    let mut accepted = BTreeMap::new();
    for batch in 0..NOTIFICATIONS / PER_BATCH {
        let items: Vec<Value> =
            (0..PER_BATCH).map(|n| json!({ "channels": ["hook"], "body": format!("{batch}-{n}") })).collect();
        let answer = api.post("/v1/notifications/batch", &Value::Array(items)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        for result in answer.body["results"].as_array().expect("one result for each item") {
            let id = result["id"].as_str().expect("every item is accepted").to_owned();
            accepted.insert(id, result["deliveries"][0]["id"].as_str().expect("one delivery").to_owned());
        }
    }
    accepted
}

/// `kill -9` while thousands of deliveries are under way loses nothing, and repeats at most what was in flight, with
/// the same delivery id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_accepted_notification_is_sent_after_a_kill_in_the_middle() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let mut server = Server::start(&config(&receiver)).await;
    let accepted = accept_all(&Api::of(&server)).await;
    assert_eq!(accepted.len(), NOTIFICATIONS);

    receiver.has_received(500).await;
    server.crash_and_restart().await;
    let before = receiver.received().len();
    assert!(before < NOTIFICATIONS, "the process died after the work was done: {before} requests had arrived");

    let api = Api::of(&server);
    for id in accepted.keys() {
        api.until_final(id).await;
    }
    let mut statuses = BTreeMap::<String, usize>::new();
    for id in accepted.keys() {
        let record = api.get(&format!("/v1/notifications/{id}")).await;
        *statuses.entry(record.body["status"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert_eq!(statuses, BTreeMap::from([("sent".to_owned(), NOTIFICATIONS)]));

    let received = receiver.received();
    let seen: BTreeSet<String> = received.iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(seen, accepted.into_values().collect::<BTreeSet<_>>(), "the receiver saw exactly what was accepted");
    let repeated = received.len() - seen.len();
    assert!(repeated <= SLOTS, "{repeated} requests were repeated, at most {SLOTS} were in flight");
    assert_eq!(server.terminate().await, 0);
}
