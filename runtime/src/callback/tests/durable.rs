//! Callbacks with a durable name, over restarts.

use std::time::Duration;

use super::*;
use crate::clock::ManualClock;
use crate::domain::{DeliveryId, RetryPolicy};

fn saying(rig: &Rig, name: &str) -> Registration {
    let tell = rig.teller();
    Registration::completion(move |receipt| tell(receipt.delivery.to_string())).named(CallbackName::new(name).unwrap())
}

/// What happens while the program is down is told after its start, what was told before is not told again; another name
/// begins with now.
#[tokio::test]
async fn a_durable_callback_goes_on_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("campanile.db"));
    let clock = ManualClock::at(rig::START);
    let mut rig = Rig::start_in(path.clone(), clock.clone(), CallbackSettings::default()).await;
    rig.callbacks.register(saying(&rig, "books")).await.unwrap();
    for _ in 0..3 {
        let delivery = rig.sent().await;
        assert_eq!(rig.heard().await, delivery.to_string());
    }
    rig.stop().await;

    clock.advance(SECOND);
    let rig = Rig::start_in(path.clone(), clock.clone(), CallbackSettings::default()).await;
    let missed: [DeliveryId; 2] = [rig.sent().await, rig.sent().await];
    rig.stop().await;

    clock.advance(SECOND);
    let mut rig = Rig::start_in(path, clock, CallbackSettings::default()).await;
    rig.callbacks.register(saying(&rig, "books")).await.unwrap();
    rig.callbacks.register(saying(&rig, "fresh")).await.unwrap();
    // Workers take them at the same time.
    let mut heard = [rig.heard().await, rig.heard().await];
    heard.sort();
    assert_eq!(heard, missed.map(|delivery| delivery.to_string()));
    let new = rig.sent().await;
    assert_eq!([rig.heard().await, rig.heard().await], [new.to_string(), new.to_string()]);
    rig.until(|| rig.callbacks.list().iter().all(|info| info.lag == Some(0))).await;
    assert!(rig.is_silent());
    rig.stop().await;
}

/// What waits for a retry when the program stops is called again after the next start, where the callback has a durable
/// name. Without one it is kept as dead.
#[tokio::test]
async fn what_waits_for_a_retry_at_the_stop_is_not_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("campanile.db"));
    let clock = ManualClock::at(rig::START);
    let rig = Rig::start_in(path.clone(), clock.clone(), CallbackSettings::default()).await;
    let fails = |_| Err::<(), _>("not now");
    let name = CallbackName::new("books").unwrap();
    rig.callbacks.register(Registration::completion(fails).named(name)).await.unwrap();
    rig.callbacks.register(Registration::completion(fails)).await.unwrap();
    let delivery = rig.sent().await;
    rig.until(|| rig.callbacks.statistics().executor.retrying == 2).await;
    rig.stop().await;

    clock.advance(SECOND);
    let mut rig = Rig::start_in(path, clock, CallbackSettings::default()).await;
    let dead = rig.dead(1).await;
    assert!(dead[0].callback.as_str().starts_with("unnamed."));
    assert_eq!((dead[0].reason.as_str(), dead[0].attempts), ("the runtime stopped before it was called", 1));
    rig.callbacks.register(saying(&rig, "books")).await.unwrap();
    assert_eq!(rig.heard().await, delivery.to_string());
    rig.stop().await;
}

/// A dead callback of a durable name is called again by whoever is registered under that name, also in a later process.
#[tokio::test]
async fn a_dead_callback_is_replayed_by_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = Some(dir.path().join("campanile.db"));
    let clock = ManualClock::at(rig::START);
    let rig = Rig::start_in(path.clone(), clock.clone(), CallbackSettings::default()).await;
    let name = CallbackName::new("books").unwrap();
    let fails = Registration::completion(|_| Err::<(), _>("never")).retry(RetryPolicy::scheduled([]));
    rig.callbacks.register(fails.named(name)).await.unwrap();
    let delivery = rig.sent().await;
    rig.dead(1).await;
    rig.stop().await;

    clock.advance(SECOND);
    let mut rig = Rig::start_in(path, clock, CallbackSettings::default()).await;
    rig.callbacks.register(saying(&rig, "books")).await.unwrap();
    let dead = rig.dead(1).await.remove(0);
    assert!(rig.is_silent(), "it was given up, and is not owed");
    assert_eq!(rig.callbacks.replay(&[dead.id]).await.unwrap().replayed, [dead.id]);
    assert_eq!(rig.heard().await, delivery.to_string());
    rig.until(|| rig.callbacks.statistics().kinds.first().is_some_and(|kind| kind.succeeded == 1)).await;
    rig.dead(0).await;
    rig.stop().await;
}

/// A stop waits for what is under way, for its time and no longer; what was not called then can be replayed.
#[tokio::test]
async fn a_stop_waits_for_its_time_and_no_longer() {
    let rig = Rig::start(rig::narrow(WhenFull::Refuse)).await;
    let stuck = Registration::completion(|_| std::future::pending::<()>());
    rig.callbacks.register(stuck).await.unwrap();
    rig.sent().await;
    rig.until(|| rig.callbacks.statistics().executor.busy == 1).await;
    let waiting = rig.sent().await;
    rig.until(|| rig.callbacks.statistics().executor.queued == 1).await;
    rig.callbacks.stop(Duration::from_millis(10)).await;
    let dead = rig.dead(1).await;
    assert_eq!((dead[0].delivery, dead[0].attempts), (Some(waiting), 0));
    rig.store.close().await;
}
