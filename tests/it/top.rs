//! A running server at a glance.

use campanile_tests::Server;
use serde_json::{Value, json};

use crate::api::Api;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_frame_shows_lanes_channels_workers_and_plugins() {
    let mut server = Server::start("[workers]\nmin = 1\nmax = 1\n").await;
    let api = Api::of(&server);
    let sent = api.post("/v1/notifications", &json!({ "channels": ["null"], "body": "x" })).await;
    api.until_final(sent.body["id"].as_str().expect("an id")).await;

    // Standard output is a pipe: the same with and without `--once`.
    for args in [&["top"][..], &["top", "--once"]] {
        let shown = server.cli(args).await;
        assert_eq!(shown.code, 0, "{shown:?}");
        assert!(!shown.stdout.contains('\u{1b}'), "no escapes: {shown:?}");
        let has = |start: &str| shown.stdout.lines().any(|line| line.starts_with(start));
        assert!(["LANE ", "critical ", "low ", "null ", "1 worker (", "1 "].into_iter().all(has), "{shown:?}");
    }

    let frame: Value = server.cli(["--json", "top", "--once"]).await.json();
    let lanes: Vec<_> = frame["lanes"].as_array().expect("a list").iter().map(|lane| &lane["priority"]).collect();
    assert_eq!(lanes, ["critical", "high", "normal", "low"]);
    let channels = frame["channels"].as_array().expect("a list");
    let null = channels.iter().find(|channel| channel["name"] == "null").expect("it is there without configuration");
    assert_eq!((&null["state"], &null["sent_per_s"]), (&json!("ready"), &Value::Null), "one look has no rate");
    assert_eq!((&frame["workers"][0]["processed"], &frame["pool"]["size"]), (&json!(1), &json!(1)));
    let plugins = frame["plugins"].as_array().expect("a list");
    assert!(plugins.iter().any(|plugin| plugin["name"] == "null" && plugin["state"] == "serving"), "{frame}");
    assert_eq!(frame["not_reachable"], Value::Null);

    let refused = server.cli(["top", "--interval", "100ms"]).await;
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.stderr.contains("100ms is outside of the limits, 200ms to 1m"), "{refused:?}");

    server.kill().await;
    let gone = server.cli(["top"]).await;
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""), "{gone:?}");
    assert!(gone.stderr.contains("no server answers at"), "{gone:?}");
}
