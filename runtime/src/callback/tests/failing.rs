//! Callbacks that fail, panic, are slow or never return.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::domain::{CallbackKind, DeadCallback};

/// A callback that never ends loses its place after its timeout; it is called again after 1, 2 and 4 s, then given up,
/// and what became of it is told.
#[tokio::test]
async fn a_stuck_callback_is_ended_tried_again_and_given_up() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let tell = rig.teller();
    let stuck = Registration::completion(move |_| {
        tell("called".to_owned());
        std::future::pending::<()>()
    });
    rig.callbacks.register(stuck).await.unwrap();
    let delivery = rig.sent().await;
    let mut now = rig::START;
    for wait in [1, 2, 4, 0] {
        assert_eq!(rig.heard().await, "called");
        now = now.after(10 * SECOND);
        rig.pass(now).await;
        now = now.after(wait * SECOND);
        if wait > 0 {
            rig.pass(now).await;
        }
    }
    let dead = rig.dead(1).await.remove(0);
    let DeadCallback { kind, notification, attempts, reason, at, .. } = dead.clone();
    assert_eq!((kind, notification, attempts), (CallbackKind::Completion, Some(delivery.notification()), 4));
    assert_eq!((reason.as_str(), at), ("it did not end within its timeout of 10s", now));
    assert_eq!(dead.delivery, Some(delivery));
    let told = rig.events_of_callbacks().await;
    assert_eq!(told, ["callback.failed", "callback.failed", "callback.failed", "callback.dead"]);
    let kind = &rig.callbacks.statistics().kinds[0];
    assert_eq!((kind.timed_out, kind.failed, kind.retried, kind.dead, kind.succeeded), (4, 4, 3, 1, 0));
    assert_eq!(kind.success_rate, Some(0.0));
    rig.stop().await;
}

/// A closure that holds its thread holds neither the worker nor the others' threads, and gets no second thread while it
/// holds the first.
#[tokio::test]
async fn a_closure_that_holds_its_thread_holds_nobody_else() {
    let mut rig = Rig::start(CallbackSettings { workers: 1, ..CallbackSettings::default() }).await;
    let (let_go, held) = std::sync::mpsc::sync_channel::<()>(1);
    let held = Mutex::new(held);
    let (stuck, other) = (rig.teller(), rig.teller());
    let stuck = Registration::completion(move |_| {
        stuck("stuck".to_owned());
        let _ = held.lock().unwrap().recv();
    });
    rig.callbacks.register(stuck.priority(1)).await.unwrap();
    rig.callbacks.register(Registration::completion(move |_| other("other".to_owned()))).await.unwrap();
    rig.sent().await;
    assert_eq!(rig.heard().await, "stuck");
    rig.pass(rig::START.after(10 * SECOND)).await;
    assert_eq!(rig.heard().await, "other");
    rig.pass(rig::START.after(11 * SECOND)).await;
    let reason = || {
        let newest = rig.callbacks.executions(2);
        match &newest[1].status {
            ExecutionStatus::Retrying { attempts: 2, reason, .. } => Some(reason.clone()),
            _ => None,
        }
    };
    rig.until(|| reason().is_some()).await;
    assert_eq!(reason().unwrap(), "an earlier call has outlived its timeout and has not returned");
    let_go.send(()).unwrap();
    drop(let_go);
    rig.pass(rig::START.after(13 * SECOND)).await;
    // The thread may come back a moment behind the clock: then it is the retry after that one.
    let third = || match &rig.callbacks.executions(2)[1].status {
        ExecutionStatus::Succeeded { .. } => Some(true),
        ExecutionStatus::Retrying { attempts: 3, .. } => Some(false),
        _ => None,
    };
    rig.until(|| third().is_some()).await;
    if third() == Some(false) {
        rig.pass(rig::START.after(17 * SECOND)).await;
    }
    assert_eq!(rig.heard().await, "stuck", "it has its thread back");
    rig.stop().await;
}

/// A panic costs one call, in a closure and in a future.
#[tokio::test]
async fn a_panic_is_a_failure_like_any_other() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let calls = Arc::new(AtomicUsize::new(0));
    let (closure, future) = (rig.teller(), rig.teller());
    let counted = Arc::clone(&calls);
    let closure = Registration::completion(move |_| match counted.fetch_add(1, Ordering::Relaxed) {
        0 => panic!("a closure that panics"),
        _ => closure("closure".to_owned()),
    });
    let counted = Arc::new(AtomicUsize::new(0));
    let future = Registration::completion(move |_| {
        let (future, counted) = (future.clone(), Arc::clone(&counted));
        async move {
            match counted.fetch_add(1, Ordering::Relaxed) {
                0 => panic!("a future that panics"),
                _ => future("future".to_owned()),
            }
        }
    });
    rig.callbacks.register(closure).await.unwrap();
    rig.callbacks.register(future).await.unwrap();
    rig.sent().await;
    rig.until(|| rig.callbacks.statistics().executor.retrying == 2).await;
    rig.pass(rig::START.after(SECOND)).await;
    let mut heard = [rig.heard().await, rig.heard().await];
    heard.sort();
    assert_eq!(heard, ["closure", "future"]);
    rig.until(|| rig.callbacks.statistics().kinds[0].succeeded == 2).await;
    let kind = &rig.callbacks.statistics().kinds[0];
    assert_eq!((kind.panicked, kind.failed, kind.dead), (2, 2, 0));
    rig.stop().await;
}

/// What was given up can be called again, when the callback is registered, and is listed until that succeeded.
#[tokio::test]
async fn what_was_given_up_can_be_replayed() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let is_well = Arc::new(AtomicUsize::new(0));
    let never = crate::domain::RetryPolicy::scheduled([]);
    let (tell, well) = (rig.teller(), Arc::clone(&is_well));
    let registration = Registration::completion(move |receipt| match well.load(Ordering::Relaxed) {
        0 => Err(format!("not now {}", receipt.attempts)),
        _ => {
            tell(receipt.delivery.to_string());
            Ok(())
        }
    });
    let id = rig.callbacks.register(registration.retry(never)).await.unwrap();
    let deliveries = [rig.sent().await, rig.sent().await];
    let dead = rig.dead(2).await;
    assert_eq!((dead[0].reason.as_str(), dead[0].attempts), ("not now 1", 1));

    let replay = rig.callbacks.replay(&[dead[0].id]).await.unwrap();
    assert_eq!(replay.replayed, [dead[0].id]);
    let mut again = rig.dead(2).await;
    while again[0].id == dead[0].id {
        again = rig.dead(2).await;
    }
    assert_eq!((again[0].id, again[1].delivery), (dead[1].id, dead[0].delivery), "another one in its place");

    is_well.store(1, Ordering::Relaxed);
    let replay = rig.callbacks.replay(&[again[0].id, again[1].id, 999]).await.unwrap();
    assert_eq!((replay.replayed.len(), replay.unknown.as_slice()), (2, [999].as_slice()));
    let mut heard = [rig.heard().await, rig.heard().await];
    heard.sort();
    assert_eq!(heard, deliveries.map(|delivery| delivery.to_string()));
    rig.until(|| rig.callbacks.statistics().kinds[0].succeeded == 2).await;
    rig.dead(0).await;

    is_well.store(0, Ordering::Relaxed);
    rig.sent().await;
    let dead = rig.dead(1).await.remove(0);
    rig.callbacks.remove(id);
    let replay = rig.callbacks.replay(&[dead.id]).await.unwrap();
    assert_eq!(replay.not_registered, [(dead.id, dead.callback)]);
    rig.stop().await;
}

/// Each callback may have its own timeout, and another one while it runs.
#[tokio::test]
async fn a_timeout_of_its_own_counts_and_can_be_changed() {
    let mut rig = Rig::start(CallbackSettings::default()).await;
    let tell = rig.teller();
    let slow = Registration::completion(move |_| {
        tell("slow".to_owned());
        std::future::pending::<()>()
    });
    let never = crate::domain::RetryPolicy::scheduled([]);
    let id = rig.callbacks.register(slow.timeout(2 * SECOND).retry(never)).await.unwrap();
    rig.sent().await;
    rig.heard().await;
    rig.pass(rig::START.after(2 * SECOND)).await;
    assert_eq!(rig.dead(1).await[0].reason, "it did not end within its timeout of 2s");
    rig.callbacks.change(id, |options| options.timeout = Some(Duration::from_millis(500))).unwrap();
    rig.sent().await;
    rig.heard().await;
    rig.pass(rig::START.after(Duration::from_millis(2_500))).await;
    assert_eq!(rig.dead(2).await[1].reason, "it did not end within its timeout of 500ms");
    rig.stop().await;
}
