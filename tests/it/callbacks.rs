//! Callbacks and totals, as an operator sees them.

use campanile_tests::Server;
use serde_json::{Value, json};

use crate::api::Api;

const CONFIG: &str = "[channels.hole]\nplugin = \"null\"\n[callbacks]\nworkers = 3\nwhen_full = \"refuse\"\n";

/// Each problem as `at code`.
fn problems(document: &Value) -> Vec<String> {
    let problems = document["problems"].as_array().unwrap_or_else(|| panic!("no list: {document}"));
    let word = |problem: &Value, key: &str| problem[key].as_str().unwrap_or("-").to_owned();
    problems.iter().map(|problem| format!("{} {}", word(problem, "at"), word(problem, "code"))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn totals_are_those_of_what_was_sent_and_hold_through_a_crash() {
    let mut server = Server::start(CONFIG).await;
    let api = Api::of(&server);
    for _ in 0..3 {
        let accepted = api.post("/v1/notifications", &json!({ "channels": ["hole"], "body": "x" })).await;
        api.until_final(accepted.body["id"].as_str().expect("an id")).await;
    }
    let scheduled = server.cli(["--json", "send", "-c", "hole", "-b", "x", "--at", "24h"]).await.json();
    assert!(scheduled["id"].is_string(), "{scheduled}");
    for _ in 0..2 {
        let stats = Api::of(&server).get("/v1/stats").await;
        assert_eq!(stats.status, 200, "{}", stats.body);
        let expected = json!({ "open": 1, "retrying": 0, "sent": 3, "failed": 0, "cancelled": 0, "dead_letters": 0 });
        assert_eq!(stats.body["deliveries"], expected, "{}", stats.body);
        assert_eq!(stats.body["callbacks"]["dead_letters"], 0);
        assert!(stats.body["events"]["newest"].as_u64() >= Some(13), "{}", stats.body);
        assert!(stats.body["store"]["bytes"].as_u64() > Some(0), "{}", stats.body);
        server.crash_and_restart().await;
    }
    let shown = server.cli(["stats"]).await;
    assert_eq!(shown.code, 0, "{}", shown.stderr);
    assert!(
        shown.stdout.starts_with("deliveries 1 open (0 retrying), 3 sent, 0 failed, 0 cancelled\n"),
        "{}",
        shown.stdout
    );
    assert_eq!(server.cli(["stats", "--json"]).await.json()["deliveries"]["sent"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_was_given_up_and_what_is_asked_for_wrongly_is_told() {
    let server = Server::start(CONFIG).await;
    let api = Api::of(&server);
    let callbacks = api.get("/v1/callbacks").await;
    assert_eq!((callbacks.status, &callbacks.body["callbacks"]), (200, &json!([])), "{}", callbacks.body);
    assert_eq!(callbacks.body["dead_letters"], 0);
    let list = api.get("/v1/callbacks/dead-letters?callback=crm&since=2026-01-01T00:00:00Z").await;
    assert_eq!((list.status, &list.body), (200, &json!({ "dead_letters": [], "next_cursor": null })));
    let wrong = api.get("/v1/callbacks/dead-letters?calback=crm&notification=7").await;
    assert_eq!(
        (wrong.status, problems(&wrong.body)),
        (400, vec!["notification bad-value".into(), "calback unknown-field".into()])
    );

    let path = "/v1/callbacks/dead-letters/replay";
    let replayed = api.post(path, &json!({ "ids": [1, 2] })).await;
    assert_eq!(
        (replayed.status, &replayed.body),
        (200, &json!({ "replayed": 0, "unknown": 0, "disabled": 0, "gone": 0 }))
    );
    let nothing_said = api.post(path, &json!({})).await;
    assert_eq!((nothing_said.status, problems(&nothing_said.body)), (400, vec!["/all missing".to_owned()]));
    let purged = api.delete("/v1/callbacks/dead-letters?all=true").await;
    assert_eq!((purged.status, &purged.body), (200, &json!({ "purged": 0 })));
    assert_eq!(api.delete("/v1/callbacks/dead-letters").await.status, 400);

    let unknown = api.post("/v1/callbacks/crm/enable", &json!({})).await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("unknown-callback")), "{}", unknown.body);
    let unknown = api.delete("/v1/callbacks/crm").await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("unknown-callback")), "{}", unknown.body);
    assert_eq!(server.cli(["callbacks", "forget", "crm"]).await.code, 3);
    assert_eq!(server.cli(["callbacks", "replay", "crm", "--since", "1h"]).await.code, 3);
    assert_eq!(server.cli(["callbacks", "replay", "crm"]).await.code, 2);
    assert_eq!(server.cli(["callbacks", "enable", "crm"]).await.code, 3);
    assert_eq!(server.cli(["callbacks", "dead-letters"]).await.code, 3);
    assert_eq!(server.cli(["callbacks", "replay"]).await.code, 2);
    assert_eq!(server.cli(["callbacks", "replay", "--all"]).await.code, 3);
    assert_eq!(server.cli(["callbacks", "purge", "--callback", "crm"]).await.code, 3);
    let listed = server.cli(["callbacks", "list"]).await;
    assert_eq!((listed.code, &*listed.stdout), (0, "no callback with a name\n\nno call that was given up is kept\n"));
}
