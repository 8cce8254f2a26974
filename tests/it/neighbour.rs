//! A hostile channel beside a good one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::ManualClock;
use campanile::config::ChannelConfig;
use campanile::domain::{ChannelName, DeliveryStatus, PluginName, Timestamp};
use campanile::runtime::Handle;
use campanile::{Config, Notification, Runtime};
use campanile_tests::{Receiver, Reply, guests_dir, plugin, program};
use serde_json::{Value, json};

/// More than there are slots: 4 workers of 16.
const HOSTILE: usize = 200;
const GOOD: usize = 300;

/// Real time before the test gives up.
const QUARANTINE_LIMIT: Duration = Duration::from_secs(60);

fn config(dir: &Path, url: &str) -> Config {
    let mut config = Config::default();
    config.store.path = dir.join("campanile.db");
    config.plugins.dir = dir.join("none");
    config.plugins.bundled_dir = Some(guests_dir());
    config.plugins.cache_dir = dir.join("cache");
    (config.workers.min, config.workers.max) = (4, 4);
    config.workers.per_worker = 16;
    let name = |name| ChannelName::new(name).expect("it is a name");
    let of = |plugin| ChannelConfig::new(PluginName::new(plugin).expect("it is a name"), config.plugins.defaults);
    let (mut good, mut hostile) = (of("webhook"), of("null"));
    good.config.insert("url".to_owned(), json!(url));
    good.allow_networks.push("127.0.0.1/32".to_owned());
    hostile.config.insert("spin".to_owned(), json!(true));
    hostile.limits.cpu_time = Duration::from_millis(50);
    // However busy the machine is: it is CPU time that they run out of.
    hostile.limits.timeout = Duration::from_mins(5);
    config.server.shutdown_timeout = Duration::from_mins(5);
    config.channels.extend([(name("good"), good), (name("hostile"), hostile)]);
    config
}

async fn notify(runtime: &Runtime, channel: &str, body: &str) -> Handle {
    let notification = Notification::new().channel(channel).body(body);
    runtime.notify(notification).await.expect("it is taken, whatever its plugin does")
}

/// How its only delivery stands, and the ends of its attempts.
async fn delivery(runtime: &Runtime, handle: &Handle) -> (DeliveryStatus, Vec<String>) {
    let record = runtime.notification(handle.id()).await.expect("it is read").expect("it was accepted");
    let delivery = &record.deliveries[0];
    (delivery.state.status(), delivery.attempts.iter().map(|attempt| attempt.end.clone()).collect())
}

/// Calls that never end take up every slot they can get. Every good delivery arrives all the same, while they run; the
/// plugin is quarantined before the clock has moved, which ends the calls that were still burning; and what waits for it
/// is neither called nor failed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_good_delivery_arrives_beside_a_hostile_channel_which_is_soon_quarantined() {
    let dir = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Vec::new(), Reply::new(204, "")).await;
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let built = Runtime::builder().config(config(dir.path(), receiver.url())).clock(Arc::new(clock.clone()));
    let runtime = built.build().await.expect("it starts");

    let mut hostile = Vec::new();
    for _ in 0..HOSTILE {
        hostile.push(notify(&runtime, "hostile", "burn").await);
    }
    let mut good = Vec::new();
    for number in 0..GOOD {
        good.push(notify(&runtime, "good", &format!("ding {number}")).await);
    }
    let arrived = receiver.has_received(GOOD).await;
    let arrived: BTreeSet<String> = arrived.iter().map(|request| request.json()["data"]["text"].to_string()).collect();
    assert_eq!(arrived.len(), GOOD, "each of them, and none twice");

    // Calls take the CPU time they take, however busy the machine is; of moved time it takes none at all.
    let quarantined = async {
        let mut moments = tokio::time::interval(Duration::from_millis(5));
        while !runtime.plugins().iter().any(|plugin| plugin.state.as_str() == "quarantined") {
            moments.tick().await;
        }
    };
    tokio::time::timeout(QUARANTINE_LIMIT, quarantined).await.expect("five calls of 50 ms of CPU time are enough");
    for handle in &good {
        assert_eq!(handle.outcome(Duration::from_secs(10)).await.expect("it is sent").deliveries.len(), 1);
        assert_eq!(delivery(&runtime, handle).await, (DeliveryStatus::Sent, vec!["sent".to_owned()]));
    }
    runtime.shutdown(Duration::from_secs(30)).await.expect("what was burning has ended");

    let runtime = Runtime::builder().config(config(dir.path(), receiver.url())).clock(Arc::new(clock.clone()));
    let runtime = runtime.build().await.expect("it starts");
    let (mut burnt, mut stopped) = (0, 0);
    for handle in &hostile {
        let (status, ends) = delivery(&runtime, handle).await;
        assert!(matches!(status, DeliveryStatus::Pending | DeliveryStatus::Retrying), "{status:?} {ends:?}");
        burnt += ends.iter().filter(|end| *end == "out-of-fuel").count();
        stopped += ends.iter().filter(|end| *end == "quarantined").count();
        assert!(ends.iter().all(|end| end == "out-of-fuel" || end == "quarantined"), "{ends:?}");
    }
    // Calls of one channel burn one after the other while others have work: by the fifth fault few more have begun.
    assert!((5..20).contains(&burnt), "{burnt} burnt to the end, {stopped} were stopped");
    runtime.shutdown(Duration::ZERO).await.expect("nothing is in flight");
}

/// The bench in small: it ends, says what it should, and loses nothing.
#[test]
fn the_bench_of_a_hostile_neighbour_loses_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let bundled = dir.path().join("plugins");
    fs::create_dir(&bundled).expect("the folder can be written");
    for name in ["webhook", "null"] {
        fs::copy(plugin(name), bundled.join(format!("{name}.wasm"))).expect("it was built");
    }
    let output = Command::new(program())
        .args(["bench", "neighbour", "--json", "--rounds", "1", "--plugins"])
        .arg(&bundled)
        .arg("--dir")
        .arg(dir.path())
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&figures["rounds"], &figures["lost"]), (&json!(1), &json!(0)), "{figures}");
    for key in ["p99_ratio_during", "p99_ratio_after_quarantine", "quarantined_after_ms"] {
        assert!(figures[key].as_f64().is_some_and(|figure| figure > 0.0), "{key} of {figures}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("it is a folder").count(), 1, "it leaves nothing behind");
}
