//! How far a notification with several deliveries has come, told while it goes on.

use std::path::Path;
use std::time::Duration;

use campanile::config::ChannelConfig;
use campanile::domain::{ChannelName, DeliveryStatus, PluginName};
use campanile::runtime::{DeliveryOutcomeError, Progress, ProgressError};
use campanile::{Config, Notification, Runtime};
use campanile_tests::{Receiver, Reply, Server, guests_dir};
use serde_json::json;

use crate::api::Api;

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// The channels `null`, which is content at once, and `hook`, which asks the receiver.
fn config(dir: &Path, receiver: &Receiver) -> Config {
    let mut config = Config::default();
    config.store.path = dir.join("campanile.db");
    config.plugins.dir = dir.join("none");
    config.plugins.bundled_dir = Some(guests_dir());
    config.plugins.cache_dir = dir.join("cache");
    let plugin = PluginName::new("webhook").expect("it is a name");
    let mut hook = ChannelConfig::new(plugin, config.plugins.defaults);
    hook.config.insert("url".to_owned(), json!(receiver.url()));
    hook.allow_networks.push("127.0.0.1/32".to_owned());
    config.channels.insert(ChannelName::new("hook").expect("it is a name"), hook);
    config
}

/// An embedding program asks how far a notification is, waits for it to come further, and for one of its deliveries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedder_follows_a_notification_and_each_of_its_deliveries() {
    let dir = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::closed(Reply::new(204, "")).await;
    let runtime = Runtime::builder().config(config(dir.path(), &receiver)).build().await.expect("it starts");
    let both = || Notification::new().channel("null").channel("hook").body("ding");
    let handle = runtime.notify(both()).await.expect("it is taken");
    let of = |channel: &str| {
        let found = handle.deliveries().iter().find(|delivery| delivery.channel.as_str() == channel);
        found.expect("it has one through each").id
    };

    let sent = handle.delivery_outcome(of("null"), LONG).await.expect("this one waits for nobody");
    assert_eq!(sent.state.status(), DeliveryStatus::Sent);
    let half = Progress { completed: 1, total: 2 };
    assert_eq!(handle.progress().await.expect("it is kept"), half);
    assert_eq!(handle.progress_after(half, Duration::ZERO).await.expect("it is kept"), half, "the time is up");
    let pending = handle.delivery_outcome(of("hook"), Duration::ZERO).await.expect_err("nobody has answered");
    assert!(matches!(&pending, DeliveryOutcomeError::Pending { record, .. } if record.id == of("hook")), "{pending}");
    let none = handle.delivery_outcome(handle.id().delivery(2), LONG).await.expect_err("it has two");
    assert!(matches!(none, DeliveryOutcomeError::Unknown { .. }), "{none}");

    let (further, last, ()) =
        tokio::join!(handle.progress_after(half, LONG), handle.delivery_outcome(of("hook"), LONG), async {
            receiver.open();
        },);
    let whole = Progress { completed: 2, total: 2 };
    assert_eq!(further.expect("it goes on"), whole);
    assert_eq!(last.expect("it is final").state.status(), DeliveryStatus::Sent);
    assert_eq!(handle.progress_after(whole, LONG).await.expect("it is kept"), whole, "nothing is left to wait for");

    let later = Notification::new().channel("null").body("ding").scheduled_at(tomorrow());
    let handle = runtime.notify(later).await.expect("it is taken");
    let waits = handle.progress_after(Progress { completed: 0, total: 1 }, LONG);
    let (stopped, ended) = tokio::join!(waits, runtime.shutdown(LONG));
    ended.expect("nothing is in flight");
    assert!(matches!(stopped, Err(ProgressError::Stopped | ProgressError::Store(_))), "{stopped:?}");
}

fn tomorrow() -> campanile::domain::Timestamp {
    use campanile::clock::{Clock as _, SystemClock};
    SystemClock::default().now().after(Duration::from_hours(24))
}

/// Who waits at the command line is told on standard error what for, also where that is no terminal.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_told_how_far_it_is() {
    let receiver = Receiver::closed(Reply::new(204, "")).await;
    let hook = format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    );
    let server = Server::start(&hook).await;
    let (two, one) = tokio::join!(
        server.cli(["send", "-c", "null", "-c", "hook", "-b", "x", "--wait", "7s"]),
        server.cli(["send", "-c", "hook", "-b", "x", "--wait", "7s"]),
    );
    assert_eq!((two.code, one.code), (4, 4), "{two:?} {one:?}");
    assert!(two.stderr.ends_with(": 1 of 2 deliveries are final\n"), "{two:?}");
    assert!(one.stderr.ends_with(": waiting for hook: pending\n"), "{one:?}");
    assert_eq!((two.stderr.lines().count(), one.stderr.lines().count()), (1, 1), "not more often");

    let id = two.stdout.split_whitespace().next().expect("an id");
    let api = Api::of(&server);
    assert_eq!(
        api.get(&format!("/v1/notifications/{id}")).await.body["progress"],
        json!({ "completed": 1, "total": 2 })
    );
    receiver.open();
    assert_eq!(api.until_final(id).await["progress"], json!({ "completed": 2, "total": 2 }));
    let quick = server.cli(["send", "-c", "null", "-b", "x", "--wait"]).await;
    assert_eq!((quick.code, quick.stderr.as_str()), (0, ""), "what is quick says nothing");
    assert_eq!(server.terminate().await, 0);
}
