//! A configuration that changes while the server works.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::{Clock, Entropy, ManualClock};
use campanile::config::{CallLimits, ChannelConfig, Durability};
use campanile::domain::{Actor, AuditAction, AuditOutcome, Timestamp};
use campanile::runtime::ReloadError;
use campanile::{Config, Notification, Runtime};
use campanile_tests::{Receiver, Reply, Server, guests_dir};
use serde_json::{Value, json};

use crate::api::Api;

/// What a busy machine needs to come to an end with something before a test gives up.
const LIMIT: Duration = Duration::from_secs(60);

fn channel(name: &str, url: &str, more: &str) -> String {
    format!(
        "[channels.{name}]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}\" }}\n\
         allow_networks = [\"127.0.0.1/32\"]\nretry = \"quick\"\n{more}\n"
    )
}

/// Policies and what is common to all, then these channels.
fn config(channels: &[String]) -> String {
    format!("[retry.quick]\ninitial = \"10ms\"\n{}", channels.concat())
}

/// Looks until something holds.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let waited = tokio::time::timeout(LIMIT, async {
        while !holds().await {
            ticks.tick().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("it did not come to pass: {what}"));
}

/// How often another configuration has taken effect.
async fn reloads(api: &Api) -> usize {
    let metrics = api.get("/metrics").await.body;
    let metrics = metrics.as_str().unwrap_or_default().to_owned();
    let line = metrics.lines().find(|line| line.contains("type=\"config.reloaded\""));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

async fn submit(api: &Api, channel: &str, count: usize) -> Vec<String> {
    let items: Vec<_> = (0..count).map(|n| json!({ "channels": [channel], "body": n.to_string() })).collect();
    let answer = api.post("/v1/notifications/batch", &Value::Array(items)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let results = answer.body["results"].as_array().expect("a list").clone();
    results.iter().map(|one| one["id"].as_str().expect("it is accepted").to_owned()).collect()
}

fn delivery(id: &str) -> String {
    format!("{id}_0").replacen("ntf", "dlv", 1)
}

/// Twenty reloads by signal and over HTTP while a thousand deliveries go through a channel that is changed each time,
/// with bad files in between: every delivery arrives, and once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_fails_while_the_configuration_changes_under_load() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let hook = |number: usize| channel("hook", &format!("{}/{number}", receiver.url()), "");
    let server = Server::start(&config(&[hook(0)])).await;
    let api = Api::of(&server);
    let mut accepted = Vec::new();
    for number in 1..=20 {
        accepted.extend(submit(&api, "hook", 50).await);
        let extra = channel(&format!("extra-{number}"), receiver.url(), "");
        server.put("campanile.toml", &config(&[hook(number), extra]));
        match number % 3 {
            0 => {
                let before = reloads(&api).await;
                server.signal("HUP").await;
                until("the signal is heeded", async || reloads(&api).await > before).await;
            }
            1 => {
                let done = api.post("/v1/admin/reload", &json!({})).await;
                assert_eq!((done.status, &done.body["changed"]), (200, &json!(["hook"])), "{}", done.body);
            }
            _ => {
                server.put("campanile.toml", "[workers]\nbatch = 0\n");
                let bad = api.post("/v1/admin/reload", &json!({})).await;
                assert_eq!((bad.status, &bad.body["code"]), (422, &json!("invalid-configuration")), "{}", bad.body);
            }
        }
    }
    for id in &accepted {
        let record = api.until_final(id).await;
        assert_eq!(record["status"], "sent", "{record}");
        assert_eq!(record["deliveries"][0]["attempts"].as_array().map(Vec::len), Some(1), "{record}");
    }
    let received = receiver.received();
    let seen: BTreeSet<_> = received.iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(seen, accepted.iter().map(|id| delivery(id)).collect(), "each of them");
    assert_eq!(received.len(), accepted.len(), "and once");
    let paths: BTreeSet<_> = received.iter().map(|request| request.uri.clone()).collect();
    assert!(paths.len() > 5, "the settings of the moment were used: {paths:?}");
    assert_eq!(server.terminate().await, 0);
}

/// All that is wrong is told with file and line, over HTTP and by the command as `config check` tells it, and everything
/// goes on as it was.
#[tokio::test]
async fn a_bad_file_changes_nothing_and_every_problem_is_told() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let hook = channel("hook", receiver.url(), "");
    let server = Server::start(&config(std::slice::from_ref(&hook))).await;
    let api = Api::of(&server);
    // A plugin has something against one channel, and the host against what else is there.
    let bad = "[workers]\nbach = 1\n[channels.site]\nplugin = \"webhook\"\n[channels.paper]\nplugin = \"printer\"\n";
    server.put("campanile.toml", bad);
    let refused = api.post("/v1/admin/reload", &json!({})).await;
    assert_eq!((refused.status, refused.content_type.as_str()), (422, "application/problem+json"));
    let problems = refused.body["problems"].as_array().expect("a list").clone();
    let told: Vec<_> = problems.iter().map(|one| format!("{}: {}", one["at"], one["message"])).collect();
    let expected = [("workers.bach", 2), ("channels.site.config.url", 3), ("channels.paper.plugin", 6)];
    let found: Vec<_> = problems.iter().map(|one| (one["key"].as_str(), one["line"].as_u64())).collect();
    assert_eq!(found, expected.map(|(key, line)| (Some(key), Some(line))), "{told:#?}");

    let by_command = server.cli(["reload"]).await;
    let checked = server.cli(["config", "check"]).await;
    assert_eq!((by_command.code, checked.code), (2, 2), "{by_command:?} {checked:?}");
    let lines = |text: &str| text.lines().filter(|line| line.starts_with("  ")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines(&by_command.stdout), lines(&checked.stdout), "the same in the same words");
    assert_eq!(lines(&by_command.stdout).len(), 3, "{by_command:?}");
    let as_json = server.cli(["--json", "reload"]).await;
    assert_eq!((as_json.code, &as_json.json()["ok"]), (2, &json!(false)), "{as_json:?}");
    // By signal it is in the log; the good one that follows says when it was heeded.
    server.signal("HUP").await;
    let log = || std::fs::read_to_string(server.dir().join("server.log")).expect("a log");
    until("the log tells", async || log().matches("is not a known key").count() >= 4).await;

    assert_eq!(reloads(&api).await, 0);
    let sent = api.post("/v1/notifications?wait=10s", &json!({ "channels": ["hook"], "body": "x" })).await;
    assert_eq!(sent.body["status"], "sent", "{}", sent.body);
    let unknown = api.post("/v1/notifications", &json!({ "channels": ["site"], "body": "x" })).await;
    assert_eq!(unknown.status, 422, "{}", unknown.body);
    let wrong = api.post("/v1/admin/reload", &json!({ "file": "other.toml" })).await;
    assert_eq!(wrong.status, 400, "what it reads is not for the caller to say: {}", wrong.body);

    server.put("campanile.toml", &format!("{}[workers]\nbatch = 11\n", config(&[hook])));
    let done = server.cli(["reload"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "campanile.toml: reloaded\n  settings        workers.batch\n"));
    let audit = api.get("/v1/audit?action=config").await.body;
    let entries = audit["entries"].as_array().expect("a list").iter();
    let who: Vec<_> = entries.map(|entry| (entry["actor"].as_str(), entry["outcome"].as_str())).collect();
    let refused = ["cli", "cli", "cli", "api"].map(|by| (Some(by), Some("refused")));
    let (last, start) = ((Some("cli"), Some("done")), (Some("host"), Some("done")));
    assert_eq!(who, [&[last], &refused[..], &[start]].concat(), "whoever reloaded, and the start: {audit}");
}

/// What waits for a channel that is removed or disabled says why it does, wherever one looks, also after a restart; and
/// nothing more is taken for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_channel_that_is_gone_or_off_says_so() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let (fax, hook) = (channel("fax", receiver.url(), ""), channel("hook", receiver.url(), ""));
    let mut server = Server::start(&config(&[fax, hook])).await;
    let mut ids = Vec::new();
    for name in ["fax", "hook"] {
        let sent = server.cli(["--json", "send", "-c", name, "-b", "x", "--at", "24h"]).await.json();
        ids.push(sent["id"].as_str().expect("an id").to_owned());
    }
    server.put("campanile.toml", &config(&[channel("hook", receiver.url(), "enabled = false")]));
    let done = Api::of(&server).post("/v1/admin/reload", &json!({})).await.body;
    assert_eq!((&done["removed"], &done["disabled"]), (&json!(["fax"]), &json!(["hook"])), "{done}");
    let checked = server.cli(["config", "check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(checked.stdout.contains("not asked, as disabled: the plugin of channel `hook`"), "{checked:?}");

    for is_restarted in [false, true] {
        if is_restarted {
            server.crash_and_restart().await;
        }
        let api = Api::of(&server);
        for (id, why) in ids.iter().zip(["there is no channel `fax` any more", "channel `hook` is disabled"]) {
            let record = api.get(&format!("/v1/notifications/{id}")).await.body;
            let held = record["deliveries"][0]["held"].as_str().unwrap_or_default().to_owned();
            assert!(held.starts_with(why), "{record}");
            let told = server.cli(["status", id]).await.stdout;
            assert!(told.contains(&format!("pending, held: {why}")), "{told}");
        }
        let ready = api.get("/readyz").await.body;
        let components = ready["components"].as_array().expect("a list").clone();
        let of = |name: &str| components.iter().find(|one| one["name"] == name).cloned().unwrap_or_default();
        let gone = of("channel:fax");
        assert_eq!(gone["status"], "not-ready", "{ready}");
        assert!(gone["detail"].as_str().is_some_and(|detail| detail.starts_with("1 delivery waits: ")), "{ready}");
        let off = of("channel:hook");
        assert_eq!(off["status"], "ready", "it is as somebody wanted it: {ready}");
        assert!(off["detail"].as_str().is_some_and(|detail| detail.contains("is disabled")), "{ready}");
        for (name, code) in [("hook", "channel-disabled"), ("fax", "unknown-channel")] {
            let refused = api.post("/v1/notifications", &json!({ "channels": [name], "body": "x" })).await;
            assert_eq!((refused.status, &refused.body["problems"][0]["code"]), (422, &json!(code)));
        }
    }
}

/// A secret is read again: a channel whose secret stands in a file uses what stands there now.
#[tokio::test]
async fn a_secret_that_is_another_now_is_used_from_the_next_call_on() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let ops = "[channels.ops]\nplugin = \"slack\"\nsecrets = { url = \"file:slack-url\" }\n\
               allow_networks = [\"127.0.0.1/32\"]\n";
    let url = |word: &str| format!("{}/services/T/B/{word}", receiver.url());
    let server = Server::start_with(ops, &[("slack-url", &url("first"))], &[]).await;
    let send = async || server.cli(["send", "-c", "ops", "-b", "x", "--wait"]).await.code;
    assert_eq!(send().await, 0);
    server.put("slack-url", &url("second"));
    assert_eq!(send().await, 0, "nobody has said that it is another");
    let done = server.cli(["reload"]).await;
    assert_eq!((done.code, done.stdout.as_str()), (0, "campanile.toml: reloaded\n  changed         ops\n"), "{done:?}");
    assert_eq!(send().await, 0);
    let paths: Vec<_> = receiver.received().iter().map(|request| request.uri.clone()).collect();
    assert_eq!(paths, ["first", "first", "second"].map(|word| format!("/services/T/B/{word}")));
}

/// The configuration of a runtime in this folder, with these channels over `null`.
fn in_folder(dir: &Path, channels: &[&str]) -> Config {
    let mut config = Config::default();
    config.store.path = dir.join("campanile.db");
    config.plugins.dir = dir.join("plugins-enabled");
    config.plugins.bundled_dir = Some(guests_dir());
    config.plugins.cache_dir = dir.join("cache");
    config.templates.dir = dir.join("templates");
    for name in channels {
        let null = ChannelConfig::new("null".parse().expect("a name"), CallLimits::default());
        config.channels.insert(name.parse().expect("a name"), null);
    }
    config
}

async fn start(config: Config, clock: &ManualClock) -> Runtime {
    let built = Runtime::builder().config(config).clock(Arc::new(clock.clone())).entropy(Arc::new(Entropy::fixed(7)));
    built.build().await.expect("it starts")
}

/// What waits for a channel that is removed or disabled waits without an attempt, also over a restart, and goes on when
/// the channel is back.
#[tokio::test]
async fn what_waits_for_a_channel_that_is_gone_or_off_goes_on_when_it_is_back() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let (whole, mut less) = (in_folder(dir.path(), &["fax", "desk"]), in_folder(dir.path(), &["desk"]));
    for channel in less.channels.values_mut() {
        channel.enabled = false;
    }
    let runtime = start(whole.clone(), &clock).await;
    let mut handles = Vec::new();
    for name in ["fax", "desk"] {
        let in_a_minute =
            Notification::new().channel(name).body("x").scheduled_at(clock.now().after(Duration::from_mins(1)));
        handles.push(runtime.notify(in_a_minute).await.expect("it is taken"));
    }
    let ids: Vec<_> = handles.iter().map(campanile::runtime::Handle::id).collect();
    runtime.reload(less.clone()).await.expect("it is good");
    let attempts = async |runtime: &Runtime| {
        let mut ends = Vec::new();
        for id in &ids {
            let record = runtime.notification(*id).await.expect("it is read").expect("it was accepted");
            ends.extend(record.deliveries[0].attempts.iter().map(|attempt| attempt.end.clone()));
        }
        ends
    };
    for turn in 0..100 {
        clock.advance(Duration::from_secs(30));
        tokio::task::yield_now().await;
        assert_eq!(attempts(&runtime).await, [""; 0], "nobody is called in turn {turn}");
    }
    runtime.shutdown(LIMIT).await.expect("what was in flight has ended");
    let runtime = start(less, &clock).await;
    clock.advance(Duration::from_hours(1));
    assert_eq!(runtime.held_channels().len(), 2);
    assert_eq!(attempts(&runtime).await, [""; 0]);

    runtime.reload(whole).await.expect("it is good");
    assert_eq!(runtime.held_channels().len(), 0);
    until("both are sent", async || attempts(&runtime).await == ["sent"; 2]).await;
    runtime.shutdown(LIMIT).await.expect("what was in flight has ended");
}

/// A program that embeds Campanile reloads what it made in code. It is told what took effect, what did not, and by whom
/// stands in the log.
#[tokio::test]
async fn an_embedder_is_told_what_took_effect_and_what_takes_a_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let runtime = start(in_folder(dir.path(), &["desk"]), &clock).await;
    let mut other = in_folder(dir.path(), &["desk", "fax"]);
    other.store.dedupe_window = Duration::from_secs(1);
    other.store.durability = Durability::Os;
    other.workers.batch += 1;
    // More slots than the sandbox has reserved memory for.
    other.workers.max += 1;
    other.templates.strict = false;
    other.server.shutdown_timeout = Duration::from_secs(20);
    other.channels.values_mut().for_each(|channel| channel.limits.memory = 128 << 20);
    let by = runtime.acting_for(Actor::Api);
    let done = by.reload(other.clone()).await.expect("it is good");
    assert_eq!((done.channels.added.len(), done.channels.changed.len()), (1, 1), "{done:?}");
    assert_eq!(done.settings, ["server.shutdown_timeout", "store.dedupe_window", "templates.strict", "workers.batch"]);
    let restart = ["channels.desk.memory", "channels.fax.memory", "store.durability", "workers.max"];
    assert_eq!(done.restart_needed, restart);
    let in_force = runtime.config();
    assert_eq!(in_force.store.durability, Durability::Full, "as it is, and not as it was wanted");
    assert_eq!(in_force.store.dedupe_window, Duration::from_secs(1));
    assert!(!in_force.templates.strict);

    // Within the new window once, behind it again: neither would be so with the five minutes of before.
    let sent = async || {
        let notification = Notification::new().channel("fax").body("x").dedupe_key("same");
        runtime.notify(notification).await.expect("it is taken").deliveries().len()
    };
    assert_eq!((sent().await, sent().await), (1, 0));
    clock.advance(Duration::from_secs(2));
    assert_eq!(sent().await, 1);

    // A stop would cut calls short, and the next start would make them again.
    let mut cuts_short = other.clone();
    cuts_short.server.shutdown_timeout = Duration::from_secs(1);
    match runtime.reload(cuts_short).await {
        Err(ReloadError::Config { problems, .. }) => {
            assert_eq!(problems[0].key, "server.shutdown_timeout", "{problems:?}");
        }
        told => panic!("it has a problem: {told:?}"),
    }
    other.workers.batch = 0;
    match runtime.reload(other).await {
        Err(ReloadError::Config { problems, .. }) => assert_eq!(problems[0].key, "workers.batch", "{problems:?}"),
        told => panic!("it has a problem: {told:?}"),
    }
    assert!(matches!(runtime.reload_from_source().await, Err(ReloadError::NoSource)));
    let log = runtime.audit().action(AuditAction::Config).page().await.expect("it is read");
    let who: Vec<_> = log.entries.iter().map(|(_, entry)| (entry.by, entry.outcome)).collect();
    let (refused, done) = (AuditOutcome::Refused, AuditOutcome::Done);
    assert_eq!(who, [(Actor::Embedder, refused), (Actor::Embedder, refused), (Actor::Api, done), (Actor::Host, done)]);
    let metrics = runtime.metrics_text();
    for (kind, count) in [("channel.added", 1), ("channel.changed", 1), ("config.reloaded", 1)] {
        assert!(metrics.contains(&format!("campanile_events_total{{type=\"{kind}\"}} {count}")), "{metrics}");
    }
    runtime.shutdown(LIMIT).await.expect("what was in flight has ended");
}
