//! The pool of workers, as an operator sees and sizes it.

use campanile_tests::Server;
use serde_json::{Value, json};

use crate::api::Api;

const CONFIG: &str = "[workers]\nmin = 1\nmax = 3\nper_worker = 8\nstrategy = \"affinity\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pool_is_shown_with_what_each_worker_did() {
    let server = Server::start(CONFIG).await;
    let api = Api::of(&server);
    for _ in 0..5 {
        let sent = api.post("/v1/notifications", &json!({ "channels": ["null"], "body": "x", "kind": "news" })).await;
        api.until_final(sent.body["id"].as_str().expect("an id")).await;
    }
    let seen = api.get("/v1/workers").await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    let pool = &seen.body["pool"];
    assert_eq!(
        (&pool["size"], &pool["min"], &pool["max"], &pool["slots"]),
        (&json!(3), &json!(1), &json!(3), &json!(24))
    );
    assert_eq!((&pool["pinned"], &pool["strategy"]), (&json!(false), &json!("affinity")));
    let workers = seen.body["workers"].as_array().expect("a list");
    let processed = |worker: &Value| worker["processed"].as_u64().expect("a number");
    assert_eq!((workers.len(), workers.iter().map(processed).sum::<u64>()), (3, 5));
    // The first may have come before all workers had.
    let worker = workers.iter().max_by_key(|worker| processed(worker)).expect("there are some");
    assert_eq!(worker["errors"], json!(0));
    assert_eq!(worker["affinity"], json!({ "channel": "null", "kind": "news" }));
    assert!(worker["latency"]["p99_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{worker}");
    assert!(worker["cpu_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{worker}");
    assert!(worker["memory_peak_bytes"].as_u64().is_some_and(|bytes| bytes >= 65_536), "{worker}");

    let shown = server.cli(["workers"]).await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(shown.stdout.starts_with("3 workers (1 to 3 by load)"), "{shown:?}");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client can be made");
    let scrape = client.get(format!("{}/metrics", server.url())).send().await.expect("it answers");
    let scrape = scrape.text().await.expect("text");
    assert!(scrape.contains("campanile_workers{state=\"idle\"} 3\n") && scrape.contains("campanile_worker_load "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_size_is_set_by_hand_and_what_cannot_be_is_refused_with_the_limit() {
    let server = Server::start(CONFIG).await;
    let api = Api::of(&server);
    let scaled = api.post("/v1/workers/scale", &json!({ "workers": 3 })).await;
    assert_eq!((scaled.status, &scaled.body["pool"]["size"]), (200, &json!(3)), "{}", scaled.body);
    assert_eq!(scaled.body["pool"]["pinned"], json!(true));
    let refused = api.post("/v1/workers/scale", &json!({ "workers": 4 })).await;
    assert_eq!((refused.status, &refused.body["problems"][0]["at"]), (400, &json!("/workers")));
    assert_eq!(
        (&refused.body["code"], &refused.body["detail"]),
        (&json!("invalid-body"), &json!("the body has a problem"))
    );
    let message = "4 workers cannot be: the limits are 1 to 3, and `max` in [workers] sets the upper one";
    assert_eq!(refused.body["problems"][0]["message"], json!(message));
    for wrong in [json!({}), json!({ "workers": "many" }), json!({ "workers": 1.5 }), json!({ "workers": 2, "x": 1 })] {
        assert_eq!(api.post("/v1/workers/scale", &wrong).await.status, 400, "{wrong}");
    }
    assert_eq!(api.get("/v1/workers").await.body["pool"]["size"], json!(3), "a refusal changes nothing");

    let by_cli = server.cli(["--json", "workers", "scale", "2"]).await;
    assert_eq!((by_cli.code, &by_cli.json()["pool"]["size"]), (0, &json!(2)), "{by_cli:?}");
    assert_eq!(server.cli(["workers", "scale", "9"]).await.code, 2);
    let freed: Value = server.cli(["--json", "workers", "scale", "auto"]).await.json();
    assert_eq!(freed["pool"]["pinned"], json!(false));

    let audit = api.get("/v1/audit?action=scale").await.body;
    let entries = audit["entries"].as_array().expect("a list").iter().rev();
    let who = |entry: &Value| {
        [&entry["actor"], &entry["outcome"], &entry["details"]["workers"]].map(Value::to_string).join(" ")
    };
    let expected = ["api done 3", "api refused 4", "cli done 2", "cli refused 9", "cli done auto"];
    assert_eq!(entries.map(|entry| who(entry).replace('"', "")).collect::<Vec<_>>(), expected);
}

/// What somebody set by hand is so after a restart, as far as the configuration allows, until they let it go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_size_that_was_set_by_hand_outlives_a_restart() {
    let mut server = Server::start(CONFIG).await;
    assert_eq!(server.cli(["workers", "scale", "2"]).await.code, 0);
    let pool = async |server: &Server| {
        let pool = Api::of(server).get("/v1/workers").await.body["pool"].clone();
        ["size", "max", "pinned", "pinned_to"].map(|key| pool[key].to_string()).join(" ")
    };
    let log = |server: &Server| std::fs::read_to_string(server.dir().join("server.log")).expect("the server's log");
    server.crash_and_restart().await;
    assert_eq!(pool(&server).await, "2 3 true 2");
    let shown = server.cli(["workers"]).await;
    assert!(shown.stdout.starts_with("2 workers (set by hand), "), "{shown:?}");
    assert!(log(&server).contains("was set by hand before this start, and stays"), "{}", log(&server));

    server.put("campanile.toml", &CONFIG.replace("max = 3", "max = 1"));
    server.crash_and_restart().await;
    assert_eq!(pool(&server).await, "1 1 true 2");
    let shown = server.cli(["workers"]).await;
    assert!(shown.stdout.starts_with("1 worker (set to 2 by hand, and `max` is 1), "), "{shown:?}");
    assert!(log(&server).contains("More workers were set by hand than `max` in [workers] allows"), "{}", log(&server));

    // Room for more was not made at the start: the reload says so, and the next start has them.
    server.put("campanile.toml", CONFIG);
    let reloaded = server.cli(["reload"]).await;
    assert_eq!(reloaded.stdout, "campanile.toml: reloaded\n  restart needed  workers.max\n", "{reloaded:?}");
    server.crash_and_restart().await;
    assert_eq!(pool(&server).await, "2 3 true 2");
    assert_eq!(server.cli(["workers", "scale", "auto"]).await.code, 0);
    server.crash_and_restart().await;
    assert_eq!(pool(&server).await, "3 3 false null");
}
