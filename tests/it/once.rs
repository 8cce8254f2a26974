//! What a caller sends again is accepted once.

use campanile_tests::Server;
use serde_json::json;

use crate::api::Api;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_again_after_a_crash_gets_its_first_answer() {
    let mut server = Server::start("").await;
    let body = json!({ "channels": ["console"], "body": "paid" });
    let first = Api::of(&server).post_with("/v1/notifications", &body, &[("idempotency-key", "order-7")]).await;
    assert_eq!((first.status, first.header("idempotent-replayed")), (202, None));

    server.crash_and_restart().await;
    let api = Api::of(&server);
    // Another spelling of the same.
    let spelled = r#"{ "body": "paid",   "channels": ["console"] }"#.parse().expect("JSON");
    let again = api.post_with("/v1/notifications", &spelled, &[("idempotency-key", "order-7")]).await;
    assert_eq!((again.status, again.header("idempotent-replayed")), (202, Some("true")));
    assert_eq!(again.body["id"], first.body["id"]);
    assert_eq!(again.body["deliveries"], first.body["deliveries"]);
    assert_eq!(again.body["replayed"], true);

    let other = json!({ "channels": ["console"], "body": "refunded" });
    let refused = api.post_with("/v1/notifications", &other, &[("idempotency-key", "order-7")]).await;
    assert_eq!((refused.status, &refused.body["problems"][0]["code"]), (422, &json!("idempotency-key-reused")));

    let record = api.until_final(first.body["id"].as_str().expect("an id")).await;
    assert_eq!(record["deliveries"].as_array().map(Vec::len), Some(1));
    assert_eq!(server.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_one_is_refused_with_the_reason() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let body = json!({ "channels": ["console"], "body": "paid" });
    let spaced = api.post_with("/v1/notifications", &body, &[("idempotency-key", "a b")]).await;
    assert_eq!((spaced.status, &spaced.body["problems"][0]["at"]), (422, &json!("/idempotency_key")));
    let twice = [("idempotency-key", "a"), ("idempotency-key", "b")];
    let twice = api.post_with("/v1/notifications", &body, &twice).await;
    assert_eq!((twice.status, &twice.body["code"]), (400, &json!("invalid-header")));
    let with_field = json!({ "channels": ["console"], "body": "paid", "idempotency_key": "a" });
    let both = api.post_with("/v1/notifications", &with_field, &[("idempotency-key", "b")]).await;
    assert_eq!((both.status, &both.body["problems"][0]["code"]), (422, &json!("conflict")));

    let batch = json!([body]);
    let batch = api.post_with("/v1/notifications/batch", &batch, &[("idempotency-key", "a")]).await;
    assert_eq!((batch.status, &batch.body["code"]), (400, &json!("invalid-header")));
    assert!(batch.body["detail"].as_str().is_some_and(|detail| detail.contains("its own `idempotency_key`")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_notification_of_a_batch_has_its_own_key_and_the_same_news_is_made_once() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let item = |key: &str| json!({ "channels": ["console"], "body": "paid", "idempotency_key": key });
    let batch = json!([item("a"), item("b"), item("a")]);
    let first = api.post("/v1/notifications/batch", &batch).await;
    let again = api.post("/v1/notifications/batch", &batch).await;
    let ids = |answer: &crate::api::Answer| -> Vec<String> {
        let results = answer.body["results"].as_array().expect("results");
        results.iter().map(|result| result["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(ids(&first)[0], ids(&first)[2]);
    assert_eq!(
        (&first.body["results"][0]["replayed"], &first.body["results"][2]["replayed"]),
        (&json!(null), &json!(true))
    );

    let news = json!({ "channels": ["console"], "body": "disk full", "dedupe_key": "db-3" });
    let made = api.post("/v1/notifications", &news).await;
    let not_made = api.post("/v1/notifications", &news).await;
    assert_eq!((not_made.status, &not_made.body["deliveries"]), (202, &json!([])));
    assert_eq!(not_made.body["deduplicated"][0]["first"], made.body["deliveries"][0]["id"]);
}
