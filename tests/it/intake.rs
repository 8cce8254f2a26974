//! Bad input gets a clear answer, and nothing of it is kept.

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::{Answer, Api};

fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.body);
    assert_eq!(answer.content_type, "application/problem+json", "{}", answer.body);
    assert!(answer.body["code"].is_string() && answer.body["title"].is_string(), "{}", answer.body);
}

fn places(answer: &Answer) -> Vec<&str> {
    let problems = answer.body["problems"].as_array().map(Vec::as_slice).unwrap_or_default();
    problems.iter().filter_map(|problem| problem["at"].as_str()).collect()
}

/// One answer names every problem of a request.
#[tokio::test]
async fn every_problem_of_a_request_is_named_at_once_and_nothing_is_stored() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let bad = json!({ "channels": ["console", "nowhere"], "priority": "urgent", "tilte": "x", "body": 7 });
    let answer = api.post("/v1/notifications", &bad).await;
    assert_problem(&answer, 422);
    let places = places(&answer);
    for at in ["/priority", "/tilte", "/body"] {
        assert!(places.contains(&at), "`{at}` is missing in {places:?}");
    }
    assert!(answer.body.to_string().contains("title"), "the nearest known field is named: {}", answer.body);

    let told = api.post("/v1/notifications?wait=10s", &json!({ "channels": ["console"], "body": "x" })).await;
    assert_eq!(told.status, 200, "{}", told.body);
    let unknown = api.post("/v1/notifications", &json!({ "channels": ["nowhere"], "body": "x" })).await;
    assert_problem(&unknown, 422);
    assert!(unknown.body.to_string().contains("there are `console`"), "{}", unknown.body);
    let metrics = api.get("/metrics").await.body;
    let lines = metrics.as_str().unwrap_or_default().lines();
    let accepted: Vec<&str> = lines
        .filter(|line| line.starts_with("campanile_notifications_accepted_total") && !line.ends_with(" 0"))
        .collect();
    assert_eq!(accepted, ["campanile_notifications_accepted_total{priority=\"normal\"} 1"], "only the good one");
}

#[tokio::test]
async fn requests_that_are_no_requests_are_told_apart() {
    let server = Server::start("[server]\nbody_max = \"1KiB\"\n").await;
    let api = Api::of(&server);
    assert_problem(&api.post_text("/v1/notifications", "{\"channels\": [").await, 400);
    assert_problem(&api.post_text("/v1/notifications", "[]").await, 422);
    assert_problem(&api.post("/v1/notifications", &json!({})).await, 422);
    assert_problem(&api.post("/v1/notifications", &json!({ "body": "x".repeat(2_000) })).await, 413);
    assert_problem(&api.get("/v1/notifications/ntf_x").await, 404);
    assert_problem(&api.get("/v1/notifications/ntf_01890a5d0b0170008000000000000001").await, 404);
    assert_problem(&api.get("/v1/nothing").await, 404);
    assert_eq!(api.get("/healthz").await.status, 200);
    assert_eq!(api.get("/readyz").await.status, 200);
}

/// A batch keeps its good items and says what is wrong with each bad one.
#[tokio::test]
async fn a_batch_of_a_thousand_with_three_bad_items_accepts_the_rest() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let server = Server::start(&format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}/in\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    ))
    .await;
    let api = Api::of(&server);
    let mut items: Vec<Value> = (0..1_000).map(|n| json!({ "channels": ["hook"], "body": format!("{n}") })).collect();
    items[3] = json!({ "channels": ["hook"] });
    items[500] = json!({ "channels": ["nowhere"], "body": "x" });
    items[999] = json!("not a notification");
    let answer = api.post("/v1/notifications/batch", &Value::Array(items)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.body["results"].as_array().expect("results");
    let bad: Vec<usize> = (0..results.len()).filter(|&at| results[at]["id"].is_null()).collect();
    assert_eq!((results.len(), bad), (1_000, vec![3, 500, 999]));
    assert!(results[3]["problem"]["problems"].is_array(), "{}", results[3]);
    receiver.has_received(997).await;
}
