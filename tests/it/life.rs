//! The life of a plugin, from outside: versions that fail, ask for more, and are put right.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::{Clock, Entropy, ManualClock};
use campanile::domain::{DeliveryStatus, Timestamp};
use campanile::runtime::Handle;
use campanile::{Config, Notification, Runtime};
use campanile_tests::{Server, fickle, plugin};

use crate::api::Api;
use crate::plugins::until_listed;

/// What one turn of a test moves the clock by.
const STEP: Duration = Duration::from_millis(10);

/// Turns before a test gives up.
const STEPS_MAX: u32 = 6_000;

/// Puts a plugin file where it belongs, whole and at once.
fn put(dir: &Path, bytes: &[u8]) {
    fs::write(dir.join("half"), bytes).expect("the folder can be written");
    fs::rename(dir.join("half"), dir.join("plugins-enabled/fickle.wasm")).expect("the folder can be written");
}

/// A runtime in this folder, on a clock that stands still until it is moved.
async fn start(dir: &Path, clock: &ManualClock) -> Runtime {
    fs::create_dir_all(dir.join("plugins-enabled")).expect("the folder can be written");
    fs::create_dir_all(dir.join("bundled")).expect("the folder can be written");
    let mut config = Config::default();
    config.store.path = dir.join("campanile.db");
    config.plugins.dir = dir.join("plugins-enabled");
    config.plugins.bundled_dir = Some(dir.join("bundled"));
    config.plugins.cache_dir = dir.join("cache");
    config.templates.dir = dir.join("templates");
    let built = Runtime::builder().config(config).clock(Arc::new(clock.clone())).entropy(Arc::new(Entropy::fixed(7)));
    built.build().await.expect("it starts")
}

/// Moves the clock until something holds, with a moment of real time for each step. Answers how far it was moved.
async fn until(clock: &ManualClock, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
    let began = clock.now();
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    for _ in 0..STEPS_MAX {
        ticks.tick().await;
        if holds().await {
            return clock.now().since(began);
        }
        clock.advance(STEP);
    }
    panic!("it did not come to pass: {what}");
}

fn state(runtime: &Runtime) -> String {
    let plugins = runtime.plugins();
    plugins.iter().map(|plugin| plugin.state.as_str()).collect::<Vec<_>>().join(" ")
}

async fn notify(runtime: &Runtime, count: usize) -> Vec<Handle> {
    let mut handles = Vec::new();
    for _ in 0..count {
        let notification = Notification::new().channel("fickle").body("ding");
        handles.push(runtime.notify(notification).await.expect("it is taken, whatever its plugin does"));
    }
    handles
}

/// How each of these deliveries stands: status, and the ends of its attempts.
async fn deliveries(runtime: &Runtime, handles: &[Handle]) -> Vec<(DeliveryStatus, Vec<String>)> {
    let mut all = Vec::new();
    for handle in handles {
        let record = runtime.notification(handle.id()).await.expect("it is read").expect("it was accepted");
        let delivery = &record.deliveries[0];
        all.push((delivery.state.status(), delivery.attempts.iter().map(|attempt| attempt.end.clone()).collect()));
    }
    all
}

/// A faulty version is stopped within two seconds, what waits for it waits without an attempt, also over a restart,
/// and a good version delivers all of it.
#[tokio::test]
async fn what_waits_for_a_quarantined_plugin_is_delivered_by_the_next_version() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let runtime = start(dir.path(), &clock).await;
    put(dir.path(), &fickle("1.0.0", "bad", ""));
    until(&clock, "it serves", async || state(&runtime) == "serving").await;

    let early = notify(&runtime, 8).await;
    let took = until(&clock, "it is quarantined", async || state(&runtime) == "quarantined").await;
    assert!(took <= Duration::from_secs(2), "{took:?}");
    let late = notify(&runtime, 3).await;
    // Long enough for every wait after a fault.
    until(&clock, "time passes", async || {
        clock.advance(Duration::from_secs(1));
        clock.now().as_millis() > 1_800_000_300_000
    })
    .await;
    assert!(runtime.metrics_text().contains("campanile_events_total{type=\"plugin.quarantined\"} 1"));
    assert_eq!(deliveries(&runtime, &late).await, vec![(DeliveryStatus::Pending, Vec::new()); 3]);
    let held = deliveries(&runtime, &early).await;
    let faults = held.iter().flat_map(|(_, ends)| ends).filter(|end| *end == "trap").count();
    assert!((5..=8).contains(&faults), "{held:?}");
    assert!(held.iter().all(|(_, ends)| ends.iter().filter(|end| *end == "trap").count() <= 1), "{held:?}");
    runtime.shutdown(Duration::ZERO).await.expect("nothing is in flight");

    let runtime = start(dir.path(), &clock).await;
    assert_eq!(state(&runtime), "quarantined");
    clock.advance(Duration::from_secs(600));
    until(&clock, "a moment passes", async || clock.now().as_millis() > 1_800_000_901_000).await;
    assert_eq!(deliveries(&runtime, &late).await, vec![(DeliveryStatus::Pending, Vec::new()); 3]);
    assert_eq!(deliveries(&runtime, &early).await, held, "nothing was burnt while it waited");

    put(dir.path(), &fickle("1.0.1", "good", ""));
    until(&clock, "everything is sent", async || {
        let all = [deliveries(&runtime, &early).await, deliveries(&runtime, &late).await].concat();
        all.iter().all(|(status, _)| *status == DeliveryStatus::Sent)
    })
    .await;
    let sent = vec!["sent".to_owned()];
    assert_eq!(deliveries(&runtime, &late).await, vec![(DeliveryStatus::Sent, sent.clone()); 3]);
    for ((_, before), (_, after)) in held.iter().zip(deliveries(&runtime, &early).await) {
        assert_eq!(after, [before.clone(), sent.clone()].concat());
    }
    runtime.shutdown(Duration::ZERO).await.expect("nothing is in flight");
}

/// A template engine that fails too often is called no more. What it has to render waits without an attempt; what needs
/// no rendering goes on through the same channel.
#[tokio::test]
async fn what_waits_for_a_quarantined_template_engine_is_rendered_once_it_is_released() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    for (from, to) in [("parrot", "plugins-enabled/parrot.wasm"), ("null", "plugins-enabled/null.wasm")] {
        let to = dir.path().join(to);
        fs::create_dir_all(to.parent().expect("a folder")).expect("the folder can be written");
        fs::copy(plugin(from), to).expect("a plugin can be copied");
    }
    fs::create_dir(dir.path().join("templates")).expect("the folder can be written");
    fs::write(dir.path().join("templates/greeting.txt"), "hello").expect("a template can be written");
    let runtime = start(dir.path(), &clock).await;
    let send = async |word: &str| {
        let data = serde_json::json!({ "name": word });
        let notification = Notification::new().channel("null").template("greeting", &data);
        runtime.notify(notification).await.expect("it is taken")
    };
    for _ in 0..5 {
        send("fall off").await;
    }
    let stopped = async || state(&runtime).contains("quarantined");
    until(&clock, "it is quarantined", stopped).await;
    let parts = runtime.readiness().await;
    let engine = parts.iter().find(|part| part.name == "template-engine:parrot").expect("it is named");
    assert!(!engine.is_ready() && !engine.essential, "{engine:?}");
    let detail = engine.detail.as_deref().unwrap_or_default();
    assert_eq!(detail.matches("campanile plugins release parrot").count(), 1, "{detail}");
    let mut waits = Vec::new();
    for _ in 0..3 {
        waits.push(send("Ada").await);
    }
    until(&clock, "ten minutes pass", async || {
        clock.advance(Duration::from_secs(5));
        clock.now().as_millis() > 1_800_000_600_000
    })
    .await;
    assert_eq!(deliveries(&runtime, &waits).await, vec![(DeliveryStatus::Pending, Vec::new()); 3]);
    let plain = runtime.notify(Notification::new().channel("null").body("ding")).await.expect("it is taken");
    let is_sent = async |handles: &[Handle]| {
        deliveries(&runtime, handles).await.iter().all(|(status, _)| *status == DeliveryStatus::Sent)
    };
    until(&clock, "what needs no engine is sent", async || is_sent(std::slice::from_ref(&plain)).await).await;
    runtime.release_plugin(&"parrot".parse().expect("a name"), None).await.expect("it is quarantined");
    until(&clock, "what waited is sent", async || is_sent(&waits).await).await;
    let once = vec!["sent".to_owned()];
    assert_eq!(deliveries(&runtime, &waits).await, vec![(DeliveryStatus::Sent, once); 3], "and nothing was burnt");
    runtime.shutdown(Duration::ZERO).await.ok();
}

/// Whoever asks for a delivery that waits for a quarantined plugin is told so, and no longer once it is released.
#[tokio::test]
async fn a_delivery_that_is_held_says_why() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    put(server.dir(), &fickle("1.0.0", "bad", ""));
    until_listed(&api, "fickle", |entry| entry["state"] == "serving").await;
    for _ in 0..5 {
        let sent = server.cli(["send", "-c", "fickle", "-b", "ding"]).await;
        assert_eq!(sent.code, 0, "{sent:?}");
    }
    until_listed(&api, "fickle", |entry| entry["state"] == "quarantined").await;
    let sent = server.cli(["--json", "send", "-c", "fickle", "-b", "ding"]).await.json();
    let id = sent["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/notifications/{id}");
    let waits = api.get(&path).await.body["deliveries"][0].clone();
    assert_eq!(waits["status"], "pending", "{waits}");
    let why = waits["held"].as_str().expect("it says why").to_owned();
    assert!(why.starts_with("plugin `fickle` is quarantined: ") && why.contains("`campanile plugins release fickle`"));
    let shown = server.cli(["status", &id]).await;
    assert!(shown.stdout.contains(&format!("pending, held: {why}\n")), "{shown:?}");

    assert_eq!(server.cli(["plugins", "release", "fickle"]).await.code, 0);
    let goes_on = api.get(&path).await.body["deliveries"][0].clone();
    assert!(goes_on.is_object() && goes_on.get("held").is_none(), "{goes_on}");
}

/// The same for a template engine. What is rendered already, and what needs no rendering, is not held.
#[tokio::test]
async fn a_delivery_that_waits_for_a_template_engine_says_why() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    fs::create_dir_all(server.dir().join("templates")).expect("the folder can be written");
    fs::write(server.dir().join("templates/greeting.txt"), "hello").expect("a template can be written");
    fs::copy(plugin("parrot"), server.dir().join("half")).expect("a plugin can be copied");
    fs::rename(server.dir().join("half"), server.dir().join("plugins-enabled/parrot.wasm")).expect("it can be moved");
    until_listed(&api, "parrot", |entry| entry["state"] == "serving").await;
    let send = async |name: &str| {
        let data = format!("name={name}");
        let sent = server.cli(["--json", "send", "-c", "null", "--template", "greeting", "-d", &data]).await;
        assert_eq!(sent.code, 0, "{sent:?}");
        sent.json()["id"].as_str().expect("an id").to_owned()
    };
    for _ in 0..5 {
        send("fall off").await;
    }
    until_listed(&api, "parrot", |entry| entry["state"] == "quarantined").await;
    let id = send("Ada").await;
    let path = format!("/v1/notifications/{id}");
    let waits = api.get(&path).await.body["deliveries"][0].clone();
    assert_eq!(waits["status"], "pending", "{waits}");
    let why = waits["held"].as_str().expect("it says why").to_owned();
    assert!(why.starts_with("template engine `parrot` is quarantined: "), "{why}");
    assert_eq!(why.matches("`campanile plugins release parrot`").count(), 1, "{why}");
    let shown = server.cli(["status", &id]).await;
    assert!(shown.stdout.contains(&format!("pending, held: {why}\n")), "{shown:?}");
    let plain = server.cli(["--json", "send", "-c", "null", "-b", "ding", "--wait"]).await;
    assert_eq!((plain.code, &plain.json()["status"]), (0, &"sent".into()), "{plain:?}");
    let later = server.cli(["--json", "send", "-c", "null", "-b", "ding", "--at", "24h"]).await.json();
    let held = api.get("/v1/notifications?held=true&channel=null").await.body;
    let ids: Vec<_> = held["notifications"].as_array().into_iter().flatten().map(|found| &found["id"]).collect();
    assert!(ids.contains(&&serde_json::json!(id)) && !ids.contains(&&later["id"]), "{held}");
    assert_eq!(
        api.get("/v1/notifications?held=true&channel=console").await.body["notifications"],
        serde_json::json!([])
    );

    assert_eq!(server.cli(["plugins", "release", "parrot"]).await.code, 0);
    let sent = api.until_final(&id).await;
    assert!(sent["status"] == "sent" && sent["deliveries"][0].get("held").is_none(), "{sent}");
}

/// A version that asks for more waits for its operator; one that fails gives way; both are put right by one command.
#[tokio::test]
async fn an_operator_approves_and_releases_what_was_held_and_rolled_back() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let version = |wanted: &'static str, state: &'static str| {
        move |entry: &serde_json::Value| entry["version"] == wanted && entry["state"] == state
    };
    put(server.dir(), &fickle("1.0.0", "good", ""));
    until_listed(&api, "fickle", version("1.0.0", "serving")).await;
    put(server.dir(), &fickle("1.1.0", "good", "api.acme.example"));
    let held = until_listed(&api, "fickle", version("1.1.0", "held")).await;
    assert!(held["reason"].as_str().is_some_and(|reason| reason.contains("`http`: `api.acme.example`")), "{held}");
    let line = "`campanile plugins approve fickle --version 1.1.0`";
    assert!(held["reason"].as_str().is_some_and(|reason| reason.contains(line)), "{held}");
    let unseen = server.cli(["plugins", "approve", "fickle", "--version", "1.0.9"]).await;
    assert_eq!(unseen.code, 1, "{unseen:?}");
    let why = "version 1.0.9 of plugin `fickle` does not wait to be approved, 1.1.0 does: write";
    assert!(unseen.stderr.contains(&format!("{why} {line}")), "{unseen:?}");
    let unseen = api.post("/v1/plugins/fickle/approve", &serde_json::json!({ "version": "1.0.9" })).await;
    assert_eq!((unseen.status, unseen.body["code"].as_str()), (409, Some("nothing-to-do")), "{unseen:?}");
    let unread = api.post("/v1/plugins/fickle/approve", &serde_json::json!({ "version": "newest" })).await;
    assert_eq!((unread.status, &unread.body["problems"][0]["at"]), (400, &"/version".into()), "{unread:?}");
    let approved = server.cli(["plugins", "approve", "fickle", "--version", "1.1.0"]).await;
    assert_eq!((approved.code, approved.stdout.as_str()), (0, "fickle@1.1.0 is serving\n"), "{approved:?}");
    let again = server.cli(["plugins", "approve", "fickle"]).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("plugin `fickle` is serving: there is nothing to approve"), "{again:?}");

    put(server.dir(), &fickle("1.2.0", "bad", ""));
    until_listed(&api, "fickle", version("1.2.0", "serving")).await;
    for _ in 0..5 {
        let sent = server.cli(["send", "-c", "fickle", "-b", "ding"]).await;
        assert_eq!(sent.code, 0, "{sent:?}");
    }
    until_listed(&api, "fickle", version("1.2.0", "rolled-back")).await;
    let sent = server.cli(["--json", "send", "-c", "fickle", "-b", "ding", "--wait"]).await;
    assert_eq!((sent.code, &sent.json()["status"]), (0, &"sent".into()), "{sent:?}");
    let released = server.cli(["--json", "plugins", "release", "fickle", "--version", "1.2.0"]).await;
    assert_eq!(released.code, 0, "{released:?}");
    until_listed(&api, "fickle", version("1.2.0", "serving")).await;

    let unknown = api.post("/v1/plugins/fickel/release", &serde_json::json!({})).await;
    assert_eq!((unknown.status, unknown.body["code"].as_str()), (404, Some("unknown-plugin")), "{unknown:?}");
    assert_eq!(
        unknown.body["detail"],
        "there is no plugin `fickel`, there is `fickle`; `campanile plugins list` shows all"
    );
    let nothing = api.post("/v1/plugins/console/approve", &serde_json::json!({})).await;
    assert_eq!((nothing.status, nothing.body["code"].as_str()), (409, Some("nothing-to-do")), "{nothing:?}");
    assert_eq!(nothing.content_type, "application/problem+json");
}
