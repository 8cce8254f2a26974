//! Callbacks of a program that Campanile is part of.

use std::path::Path;
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use campanile::callback::{CallbackSettings, DeadCallbackFilter, WhenFull};
use campanile::config::{Config, Durability};
use campanile::domain::DeliveryStatus;
use campanile::runtime::RuntimeBuilder;
use campanile::{Notification, Runtime};
use campanile_tests::plugin;
use tokio::sync::mpsc;

const PATIENCE: Duration = Duration::from_secs(60);

fn builder(dir: &Path) -> RuntimeBuilder {
    let mut config = Config::default();
    config.store.durability = Durability::Memory;
    config.plugins.dir = dir.join("plugins-enabled");
    config.plugins.bundled_dir = plugin("null").parent().map(Path::to_owned);
    config.plugins.cache_dir = dir.join("cache");
    config.plugins.watch = false;
    config.templates.dir = dir.join("templates");
    Runtime::builder().config(config)
}

fn ding() -> Notification {
    Notification::new().channel("null").body("ding")
}

/// Callbacks that never return, by a future and by a thread, cost deliveries nothing: each comes to its end, and what the
/// callbacks did not hear is kept for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_callback_keeps_no_delivery_from_its_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let (let_go, held) = sync_channel::<()>(0);
    let held = Mutex::new(held);
    let builder = builder(dir.path())
        .on_completion(|_| std::future::pending::<()>())
        .on_completion(move |_| drop(held.lock().map(|held| held.recv())))
        .callbacks(CallbackSettings {
            when_full: WhenFull::Refuse,
            timeout: Duration::from_mins(10),
            ..CallbackSettings::default()
        });
    let runtime = builder.build().await.expect("it starts");
    let mut handles = Vec::new();
    for _ in 0..300 {
        handles.push(runtime.notify(ding()).await.expect("it is taken"));
    }
    for handle in handles {
        let record = handle.outcome(PATIENCE).await.expect("it comes to its end");
        assert_eq!(record.deliveries[0].state.status(), DeliveryStatus::Sent);
    }
    // Those who follow may still be on their way. Ten are called and a hundred wait: both callbacks of the rest are dead.
    let callbacks = runtime.callbacks();
    let mut dead = 0;
    while dead < 2 * 190 {
        dead = callbacks.dead_letters(&DeadCallbackFilter::default(), 0, 1_000).await.expect("they are listed").len();
    }
    let executor = callbacks.statistics().executor;
    assert_eq!((dead, executor.busy, executor.queued, executor.full.refused), (380, 10, 100, 190));
    runtime.shutdown(Duration::from_millis(100)).await.expect("no delivery is in flight");
    drop(let_go);
}

/// What a program is told through a handle, however early or late it asks.
#[tokio::test]
async fn a_handle_tells_its_own_outcome_however_late_it_is_asked() {
    let dir = tempfile::tempdir().expect("a folder");
    let (tell, mut told) = mpsc::channel(16);
    let everywhere = tell.clone();
    let builder = builder(dir.path()).on_completion(move |receipt| {
        let everywhere = everywhere.clone();
        async move { everywhere.send(("all", receipt.delivery)).await }
    });
    let runtime = builder.build().await.expect("it starts");
    let early = runtime.notify(ding()).await.expect("it is taken");
    let at_once = tell.clone();
    let registered = early.on_completion(move |receipt| at_once.try_send(("early", receipt.delivery)).map(drop)).await;
    registered.expect("it is registered");
    let late = runtime.notify(ding()).await.expect("it is taken");
    late.outcome(PATIENCE).await.expect("it comes to its end");
    let registered = late.on_completion(move |receipt| tell.try_send(("late", receipt.delivery)).map(drop)).await;
    registered.expect("it is registered");

    let mut heard = Vec::new();
    for _ in 0..4 {
        let next = tokio::time::timeout(PATIENCE, told.recv()).await.expect("it is told");
        heard.push(next.expect("the callbacks hold the other end"));
    }
    heard.sort();
    let (early, late) = (early.id().delivery(0), late.id().delivery(0));
    assert_eq!(heard, [("all", early), ("all", late), ("early", early), ("late", late)]);
    runtime.shutdown(PATIENCE).await.expect("nothing is in flight");
    assert!(told.recv().await.is_none(), "a stop lets go of every closure");
}
