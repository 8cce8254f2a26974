//! Channels that fail, are paused, tried out and asked how they do.

use std::fs;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server, guest};
use serde_json::{Value, json};

use crate::api::Api;
use crate::outstanding::until_scraped;

/// How long something may take to be seen.
const LIMIT: Duration = Duration::from_secs(30);

/// One that is left alone for long after five failures in a row.
fn hook(receiver: &Receiver) -> String {
    format!(
        r#"
        [breaker]
        open_for = "1h"
        open_max = "1h"

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
    )
}

async fn send(api: &Api, body: &str) -> String {
    let accepted = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": body })).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    accepted.body["id"].as_str().expect("an id").to_owned()
}

async fn component(api: &Api, name: &str) -> Value {
    let ready = api.get("/readyz").await;
    assert_eq!(ready.status, 200, "{}", ready.body);
    let components = ready.body["components"].as_array().expect("a list").clone();
    components.into_iter().find(|component| component["name"] == name).expect("it is there")
}

async fn actions(api: &Api) -> Vec<String> {
    let audit = api.get("/v1/audit?target=hook").await.body;
    let entries = audit["entries"].as_array().expect("a list").iter().rev();
    entries.map(|entry| format!("{} {}", entry["action"], entry["outcome"]).replace('"', "")).collect()
}

/// A channel that fails is left alone, also by the next process, says so wherever somebody may look, and goes on when an
/// operator resets it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_channel_that_fails_is_left_alone_until_it_is_reset() {
    let receiver = Receiver::start(vec![Reply::new(503, "down"); 5], Reply::new(200, "")).await;
    let mut server = Server::start(&hook(&receiver)).await;
    let api = Api::of(&server);
    until_scraped(&api, r#"campanile_breaker_state{channel="hook"} 0"#).await;
    for number in 1..=5 {
        send(&api, "fails").await;
        receiver.has_received(number).await;
    }
    until_scraped(&api, r#"campanile_events_total{type="channel.opened"} 1"#).await;
    let waits = send(&api, "waits").await;

    server.crash_and_restart().await;
    let api = Api::of(&server);
    until_scraped(&api, r#"campanile_breaker_state{channel="hook"} 2"#).await;
    let channel = api.get("/v1/channels/hook").await.body;
    assert_eq!((&channel["state"], &channel["breaker"]["state"]), (&json!("open"), &json!("open")), "{channel}");
    assert_eq!(channel["waiting"], 6, "{channel}");
    // What opened it is known to the process that did not see it.
    assert_eq!((&channel["breaker"]["calls"], &channel["breaker"]["failures"]), (&json!(5), &json!(5)), "{channel}");
    assert_eq!(channel["breaker"]["reason"], "consecutive", "{channel}");
    assert_eq!(
        (&channel["last_error"]["code"], &channel["last_success"]),
        (&json!("http-503"), &Value::Null),
        "{channel}"
    );
    let shown = server.cli(["channels", "show", "hook"]).await;
    assert!(shown.stdout.contains("(consecutive), 5 of 5 calls failed"), "{shown:?}");
    assert!(shown.stdout.contains("last error retry http-503 at "), "{shown:?}");
    let word = component(&api, "channel:hook").await;
    assert_eq!((&word["status"], &word["state"]), (&json!("not-ready"), &json!("failed")), "{word}");
    assert!(word["detail"].as_str().is_some_and(|detail| detail.contains("its breaker is open until")), "{word}");
    for name in ["store", "pool", "queue", "registry", "callbacks"] {
        assert_eq!(component(&api, name).await["state"], "ok", "it is no worse for a channel: {name}");
    }
    let held = api.get(&format!("/v1/notifications/{waits}")).await.body["deliveries"][0]["held"].clone();
    assert!(held.as_str().is_some_and(|held| held.contains("breaker is open")), "{held}");
    let listed = server.cli(["channels", "list"]).await;
    assert!(listed.stdout.contains("hook") && listed.stdout.contains("open"), "{listed:?}");

    let tested = server.cli(["--json", "channels", "test", "hook"]).await;
    assert_eq!((tested.code, &tested.json()["outcome"]), (0, &json!("sent")), "{tested:?}");
    assert!(receiver.received()[5].json().to_string().contains("Test of channel hook"), "a test is a real call");
    assert_eq!(api.get("/v1/channels/hook").await.body["state"], "open", "a test counts for nothing");

    let reset = server.cli(["channels", "reset", "hook"]).await;
    assert_eq!((reset.code, &*reset.stdout), (0, "hook is ready\n"), "{reset:?}");
    assert_eq!(api.until_final(&waits).await["status"], "sent");
    let again = api.post("/v1/channels/hook/reset", &json!({})).await.body;
    assert_eq!(again["changed"], false, "{again}");
    assert_eq!(actions(&api).await, ["channel.tested done", "channel.reset done", "channel.reset done"]);
    until_scraped(&api, r#"campanile_breaker_state{channel="hook"} 0"#).await;
}

/// What an operator paused waits, also for the next process, and goes on when it is resumed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_channel_waits_through_a_crash_until_it_is_resumed() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let mut server = Server::start(&hook(&receiver)).await;
    let api = Api::of(&server);
    let paused = server.cli(["channels", "pause", "hook"]).await;
    assert!(paused.code == 0 && paused.stdout.starts_with("hook is paused: paused by `cli` at "), "{paused:?}");
    assert_eq!(api.post("/v1/channels/hook/pause", &json!({})).await.body["changed"], false);
    let waits = send(&api, "waits").await;

    server.crash_and_restart().await;
    let api = Api::of(&server);
    let shown = server.cli(["channels", "show", "hook"]).await;
    assert!(shown.stdout.contains("state      paused") && shown.stdout.contains("waiting    1"), "{shown:?}");
    let status = server.cli(["status", &waits]).await;
    assert!(status.stdout.contains("held: paused by `cli`"), "{status:?}");
    let held = server.cli(["--json", "list", "--held"]).await.json();
    let ids: Vec<_> = held["notifications"].as_array().into_iter().flatten().map(|found| &found["id"]).collect();
    assert_eq!(ids, [&waits], "{held}");
    let word = component(&api, "channel:hook").await;
    assert_eq!(word["status"], "ready", "somebody wanted it so: {word}");
    assert!(word["detail"].as_str().is_some_and(|detail| detail.starts_with("paused by `cli`")), "{word}");
    assert_eq!(receiver.count(), 0);

    let resumed = api.post("/v1/channels/hook/resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["changed"]), (200, &json!(true)), "{}", resumed.body);
    assert_eq!(api.until_final(&waits).await["status"], "sent");
    assert_eq!(server.cli(["list", "--held"]).await.code, 3, "nothing is");
    assert!(component(&api, "channel:hook").await["detail"].is_null());
    let expected = ["channel.paused done", "channel.paused refused", "channel.resumed done"];
    assert_eq!(actions(&api).await, expected);
}

/// What may not be sent any more ends in time, although its channel is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_expires_ends_while_its_channel_is_paused() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let server = Server::start(&hook(&receiver)).await;
    let api = Api::of(&server);
    assert_eq!(api.post("/v1/channels/hook/pause", &json!({})).await.status, 200);
    let waits = send(&api, "waits").await;
    let told = server.cli(["send", "-c", "hook", "-b", "soon over", "--expires", "1s", "--wait", "--json"]).await;
    assert_eq!(told.code, 1, "{told:?}");
    let told: Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!(told["status"], "failed", "{told}");

    let dead = api.get("/v1/dead-letters?reason=expired").await.body;
    assert_eq!(dead["dead_letters"].as_array().map(Vec::len), Some(1), "{dead}");
    let shown = server.cli(["channels", "show", "hook"]).await;
    assert!(shown.stdout.contains("waiting    1"), "it is not counted any more: {shown:?}");
    assert_eq!(receiver.count(), 0);
    assert_eq!(api.post("/v1/channels/hook/resume", &json!({})).await.status, 200);
    assert_eq!(api.until_final(&waits).await["status"], "sent");
    assert_eq!(receiver.count(), 1, "what had expired is not sent when the channel is let go");
}

/// What is asked of a channel that is not there, or of one in a way that is none, says what to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_done_to_a_channel_is_told() {
    let receiver = Receiver::start(vec![], Reply::new(410, "gone")).await;
    let server = Server::start(&hook(&receiver)).await;
    let api = Api::of(&server);
    for path in ["hooc/pause", "hooc/resume", "hooc/reset", "hooc/test"] {
        let unknown = api.post(&format!("/v1/channels/{path}"), &json!({})).await;
        assert_eq!((unknown.status, &unknown.body["code"]), (404, &json!("unknown-channel")), "{}", unknown.body);
        assert!(unknown.body["detail"].as_str().is_some_and(|detail| detail.contains("`hook`")), "{}", unknown.body);
    }
    assert_eq!(api.get("/v1/channels/hooc").await.status, 404);
    assert_eq!(server.cli(["channels", "show", "hooc"]).await.code, 3);
    let bad = api.post("/v1/channels/hook/test", &json!({ "to": "ada@example.com" })).await;
    assert_eq!((bad.status, &bad.body["problems"][0]["at"]), (422, &json!("/to")), "{}", bad.body);
    assert_eq!(api.post("/v1/channels/hook/test", &json!({ "too": "x" })).await.status, 400);
    assert_eq!(api.post("/v1/channels/hook/reset", &json!({ "hots": "x" })).await.status, 400);
    let long = api.post("/v1/channels/hook/reset", &json!({ "host": "x".repeat(260) })).await;
    assert_eq!((long.status, &long.body["problems"][0]["at"]), (400, &json!("/host")), "{}", long.body);
    let reset = server.cli(["channels", "reset", "hook", "--host", "a.example"]).await;
    assert!(reset.code == 0 && reset.stdout.starts_with("hook did not leave a.example alone"), "{reset:?}");
    assert_eq!(receiver.count(), 0, "nobody was called");

    let tested = server.cli(["channels", "test", "hook"]).await;
    assert_eq!(tested.code, 1, "the provider did not take it: {tested:?}");
    assert!(tested.stdout.starts_with("hook: "), "{tested:?}");
}

/// A plugin that says how its provider does is asked, and what it says is shown.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_plugin_says_of_its_provider_is_shown() {
    let config = "[channels.belfry]\nplugin = \"unruly\"\n\n[channels.console]\nplugin = \"console\"\n";
    let server = Server::start(config).await;
    fs::copy(guest("unruly"), server.dir().join("plugins-enabled/unruly.wasm")).expect("it is copied");
    let api = Api::of(&server);
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let asked = tokio::time::timeout(LIMIT, async {
        loop {
            ticks.tick().await;
            let channel = api.get("/v1/channels/belfry").await.body;
            if !channel["health"].is_null() {
                return channel;
            }
        }
    });
    let channel = asked.await.expect("its plugin is asked");
    assert_eq!(channel["health"]["state"], "degraded", "{channel}");
    assert_eq!(channel["health"]["message"], "belfry is tired", "{channel}");
    assert_eq!(channel["state"], "ready", "what a plugin says closes no channel: {channel}");
    let word = component(&api, "channel:belfry").await;
    assert_eq!(word["status"], "ready", "{word}");
    assert!(word["detail"].as_str().is_some_and(|detail| detail.contains("belfry is tired")), "{word}");
    let channels = api.get("/v1/channels").await.body["channels"].clone();
    assert!(channels[1]["name"] == "console" && channels[1]["health"].is_null(), "{channels}");
}

/// What waits for its recipient's turn is seen to wait, and says for what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_its_recipient_is_shown_with_its_channel() {
    let config = "[channels.bell]\nplugin = \"sample\"\nconfig = { url = \"http://127.0.0.1:9/bell\" }\n\
                  secrets = { key = \"file:key\" }\nallow_networks = [\"127.0.0.1/32\"]\n\
                  per_recipient_rate = \"1/h\"\n";
    let server = Server::start_with(config, &[("key", "0123456789abcdef0123456789abcdef")], &[]).await;
    let api = Api::of(&server);
    let send = async |to: &str| {
        let body = json!({ "channels": ["bell"], "to": [to], "title": "rejected", "body": "x" });
        let accepted = api.post("/v1/notifications", &body).await;
        accepted.body["id"].as_str().unwrap_or_else(|| panic!("{}", accepted.body)).to_owned()
    };
    let goes = send("ding").await;
    assert_eq!(api.until_final(&goes).await["status"], "failed");
    let waits = send("ding").await;
    let mut ticks = tokio::time::interval(Duration::from_millis(50));
    let deferred = tokio::time::timeout(LIMIT, async {
        loop {
            ticks.tick().await;
            let channel = api.get("/v1/channels/bell").await.body;
            if channel["deferred"] == 1 {
                return channel;
            }
        }
    });
    let channel = deferred.await.expect("it waits for its turn");
    assert_eq!((&channel["waiting"], &channel["state"]), (&json!(1), &json!("ready")), "{channel}");
    assert_eq!(channel["limits"]["per_recipient_rate"], "1/h", "{channel}");
    assert_eq!(channel["last_error"]["outcome"], "rejected", "{channel}");
    let listed = server.cli(["channels", "list"]).await;
    assert!(listed.stdout.contains("1 delivery waits for the turn of its recipient or host"), "{listed:?}");
    assert!(listed.stdout.contains("LAST ERROR") && listed.stdout.contains("rejected told"), "{listed:?}");
    let shown = server.cli(["channels", "show", "bell"]).await;
    assert!(shown.stdout.contains("limits     1/h for each recipient"), "{shown:?}");
    assert!(shown.stdout.contains("waiting    1, 1 of them for the turn of their recipient or host"), "{shown:?}");
    let status = server.cli(["status", &waits]).await;
    assert!(status.stdout.contains("held: its recipient's turn comes at about "), "{status:?}");
    let held = api.get(&format!("/v1/notifications/{goes}")).await.body["deliveries"][0]["held"].clone();
    assert!(held.is_null(), "what is over waits for nothing: {held}");

    let reset = server.cli(["channels", "reset", "bell"]).await;
    assert_eq!((reset.code, &*reset.stdout), (0, "bell is ready\n"), "{reset:?}");
    assert_eq!(api.until_final(&waits).await["status"], "failed");
}
