//! How fast a channel is called: by the word of its plugin, until an operator has another one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::{Clock as _, ManualClock};
use campanile::config::Source;
use campanile::domain::{ChannelName, NotificationId, Timestamp};
use campanile::runtime::{ChannelRate, RateSource};
use campanile::{Config, Notification, Runtime};
use campanile_tests::{Receiver, Reply, Server, guests_dir};

const SECOND: Duration = Duration::from_secs(1);

/// A channel over the bundled `slack`, which says that its provider takes one message in a second.
fn channel(more: &str) -> String {
    format!("[channels.ops]\nplugin = \"slack\"\nsecrets = {{ url = \"file:slack-url\" }}\n{more}\n")
}

fn config(dir: &Path, more: &str) -> Config {
    let at = |name: &str| dir.join(name).display().to_string();
    let text = format!(
        "[store]\nurl = \"sqlite://{}\"\n[plugins]\ndir = \"{}\"\nbundled_dir = \"{}\"\ncache_dir = \"{}\"\n{}",
        at("campanile.db"),
        at("enabled"),
        guests_dir().display(),
        at("cache"),
        channel(&format!("allow_networks = [\"127.0.0.1/32\"]\n{more}"))
            .replace("file:slack-url", &format!("file:{}", at("slack-url"))),
    );
    Source::new().text("campanile.toml", text).load().expect("it is good").config
}

/// Waits for something that a busy machine does in its own time.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while !holds().await {
            ticks.tick().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("it did not come to pass: {what}"));
}

async fn sent(runtime: &Runtime, ids: &[NotificationId]) -> usize {
    let mut sent = 0;
    for id in ids {
        let record = runtime.notification(*id).await.expect("it is read").expect("it was accepted");
        sent += record.counts.sent as usize;
    }
    sent
}

#[tokio::test]
async fn a_channel_is_called_as_fast_as_its_plugin_says_until_an_operator_says_otherwise() {
    let receiver = Receiver::start(vec![], Reply::new(200, "ok")).await;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("slack-url"), format!("{}/services/T/B/x", receiver.url())).expect("a file");
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let built = Runtime::builder().config(config(dir.path(), "")).clock(Arc::new(clock.clone()));
    let runtime = built.build().await.expect("it starts");
    let ops: ChannelName = "ops".parse().expect("a name");
    let stands = || runtime.channel_gate(&ops).expect("it is configured");
    let ChannelRate { rate, source, .. } = stands().rate.expect("its plugin says it");
    assert_eq!((rate.to_string().as_str(), source), ("1/s", RateSource::Plugin));

    let mut ids = Vec::new();
    for _ in 0..8 {
        let notification = Notification::new().channel("ops").body("x");
        ids.push(runtime.notify(notification).await.expect("it is taken").id());
    }
    for turn in 1..=3 {
        until("the next is sent", async || sent(&runtime, &ids).await == turn).await;
        assert_eq!(stands().gate.expect("it has one").not_before, Some(clock.now().after(SECOND)));
        clock.advance(SECOND - Duration::from_millis(1));
        tokio::task::yield_now().await;
        assert_eq!(receiver.received().len(), turn, "and not one more within the second");
        clock.advance(Duration::from_millis(1));
    }
    until("the next is sent", async || sent(&runtime, &ids).await == 4).await;

    // Faster than the plugin says: that is for the operator to know.
    let reloaded = runtime.reload(config(dir.path(), "rate_limit = \"1000/s\"")).await.expect("it is good");
    assert_eq!(reloaded.channels.changed, std::slice::from_ref(&ops), "{reloaded:?}");
    let ChannelRate { rate, source, .. } = stands().rate.expect("the operator says it");
    assert_eq!((rate.to_string().as_str(), source), ("1000/s", RateSource::Configuration));
    // At once, but for what the slower rate had put off until its next second.
    clock.advance(SECOND);
    until("the rest is sent", async || sent(&runtime, &ids).await == 8).await;
    runtime.reload(config(dir.path(), "")).await.expect("it is good");
    assert_eq!(stands().rate.map(|rate| rate.source), Some(RateSource::Plugin));
    runtime.shutdown(SECOND).await.expect("nothing is in flight");
}

#[tokio::test]
async fn who_says_how_fast_a_channel_is_called_is_shown() {
    let files = [("slack-url", "https://hooks.slack.com/services/T/B/x")];
    let server = Server::start_with(&channel(""), &files, &[]).await;
    let by_plugin = "1/s, as its plugin says of its provider; `rate_limit` in [channels.ops] takes its place\n";
    let shown = async |what: &[&str]| server.cli(what).await.stdout;
    let page = shown(&["channels", "show", "ops"]).await;
    assert!(page.contains(&format!("rate       {by_plugin}")), "{page}");
    let checked = shown(&["config", "check"]).await;
    assert!(
        checked.starts_with(&format!("campanile.toml: ok\n\nchannel `ops` may be called {by_plugin}")),
        "{checked}"
    );
    let printed = shown(&["config", "print"]).await;
    assert!(printed.contains("# no `rate_limit`: as fast as its plugin says"), "{printed}");

    server.put("campanile.toml", &channel("rate_limit = \"5/s\""));
    assert_eq!(server.cli(["reload"]).await.code, 0);
    let page = shown(&["channels", "show", "ops"]).await;
    assert!(page.contains("rate       5/s, by `rate_limit` in [channels.ops]\n"), "{page}");
    let checked = shown(&["config", "check"]).await;
    assert!(checked.starts_with("campanile.toml: ok\n") && !checked.contains("may be called"), "{checked}");
    let printed = shown(&["config", "print"]).await;
    assert!(printed.contains("rate_limit = \"5/s\"\n") && !printed.contains("# no `rate_limit`"), "{printed}");
}
