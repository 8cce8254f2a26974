//! What is outstanding, as a scraper sees it.

use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server};
use serde_json::json;

use crate::api::Api;

/// How long a line may take to come.
const LIMIT: Duration = Duration::from_secs(30);

/// Waits until a scrape has this line.
pub(crate) async fn until_scraped(api: &Api, line: &str) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let mut last = String::new();
    let waited = tokio::time::timeout(LIMIT, async {
        loop {
            ticks.tick().await;
            last = api.get("/metrics").await.body.as_str().expect("text").to_owned();
            if last.lines().any(|found| found == line) {
                break;
            }
        }
    });
    assert!(waited.await.is_ok(), "no line `{line}` in\n{last}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_and_retries_are_counted_on_through_a_crash() {
    let receiver = Receiver::start(vec![Reply::new(404, "no such hook")], Reply::new(503, "later")).await;
    let config = format!(
        r#"
        [retry.slow]
        strategy = "fixed"
        initial = "1h"

        [channels.hook]
        plugin = "webhook"
        config = {{ url = "{}/in" }}
        allow_networks = ["127.0.0.1/32"]
        retry = "slow"
        "#,
        receiver.url()
    );
    let mut server = Server::start(&config).await;
    let api = Api::of(&server);
    until_scraped(&api, "campanile_dead_letters 0").await;
    for body in ["fails", "waits"] {
        let accepted = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": body })).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        receiver.has_received(1).await;
    }
    receiver.has_received(2).await;
    until_scraped(&api, "campanile_dead_letters 1").await;
    until_scraped(&api, "campanile_retries_scheduled 1").await;
    until_scraped(&api, r#"campanile_queue_oldest_seconds{priority="normal"} 0.0"#).await;

    server.crash_and_restart().await;
    let api = Api::of(&server);
    until_scraped(&api, "campanile_dead_letters 1").await;
    until_scraped(&api, "campanile_retries_scheduled 1").await;
    let purged = server.cli(["dead-letters", "purge", "--all"]).await;
    assert_eq!(
        (purged.code, &*purged.stdout, &*purged.stderr),
        (0, "1 delivery purged\n", ""),
        "no terminal, no progress"
    );
    until_scraped(&api, "campanile_dead_letters 0").await;
    let waiting = api.get("/v1/notifications?status=pending").await.body["notifications"][0]["deliveries"][0].clone();
    let id = waiting["id"].as_str().expect("it waits");
    assert_eq!(api.post(&format!("/v1/deliveries/{id}/cancel"), &json!({})).await.status, 200, "{waiting}");
    until_scraped(&api, "campanile_retries_scheduled 0").await;
}
