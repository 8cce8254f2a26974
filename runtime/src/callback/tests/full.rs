//! More events than there is room for, and another number of workers.

use std::time::Duration;

use super::*;
use crate::callback::desk::Uncalled;
use crate::domain::CallbackName;
use rig::narrow;

/// Registers one that says which delivery it was called for, and never ends.
async fn register_stuck(rig: &Rig) {
    let tell = rig.teller();
    let stuck = Registration::completion(move |receipt| {
        tell(receipt.delivery.to_string());
        std::future::pending::<()>()
    });
    let never = crate::domain::RetryPolicy::scheduled([]);
    rig.callbacks.register(stuck.retry(never)).await.unwrap();
}

/// A full queue turns away what is new, says so, and delivery goes on.
#[tokio::test]
async fn a_full_queue_may_refuse() {
    let mut rig = Rig::start(narrow(WhenFull::Refuse)).await;
    register_stuck(&rig).await;
    let first = rig.sent().await;
    assert_eq!(rig.heard().await, first.to_string());
    let (second, third) = (rig.sent().await, rig.sent().await);
    let dead = rig.dead(1).await;
    assert_eq!(dead[0].delivery, Some(third));
    assert_eq!((dead[0].reason.as_str(), dead[0].attempts), ("the queue of callbacks was full: 1 events waited", 0));
    let statistics = rig.callbacks.statistics();
    assert_eq!(statistics.executor.full, FullCounts { refused: 1, ..FullCounts::default() });
    let executor = &statistics.health[1];
    let detail = "1 of 1 workers are busy, 1 of 1 places are taken, 0 retries wait";
    assert_eq!((executor.name, executor.is_ready, executor.detail.as_str()), ("executor", false, detail));
    rig.pass(rig::START.after(10 * SECOND)).await;
    assert_eq!(rig.heard().await, second.to_string());
}

/// A full queue may drop what has waited longest instead.
#[tokio::test]
async fn a_full_queue_may_drop_the_oldest() {
    let mut rig = Rig::start(narrow(WhenFull::DropOldest)).await;
    register_stuck(&rig).await;
    let first = rig.sent().await;
    assert_eq!(rig.heard().await, first.to_string());
    let (second, third) = (rig.sent().await, rig.sent().await);
    let dead = rig.dead(1).await;
    let reason = "the queue was full and it had waited longest";
    assert_eq!((dead[0].delivery, dead[0].reason.as_str()), (Some(second), reason));
    assert_eq!(rig.callbacks.statistics().executor.full.dropped, 1);
    rig.pass(rig::START.after(10 * SECOND)).await;
    assert_eq!(rig.heard().await, third.to_string());
}

/// What finds no room waits for some, as long as anything moves within its time; then it is given up.
#[tokio::test]
async fn a_full_queue_may_be_waited_for() {
    let mut rig = Rig::start(narrow(WhenFull::Wait(Duration::from_millis(100)))).await;
    register_stuck(&rig).await;
    let first = rig.sent().await;
    assert_eq!(rig.heard().await, first.to_string());
    let (second, third) = (rig.sent().await, rig.sent().await);
    rig.until(|| rig.clock.is_awaited(rig::START.after(Duration::from_millis(100)))).await;
    rig.callbacks.resize(2).unwrap();
    assert_eq!(rig.heard().await, second.to_string(), "there is room now, and the third takes it");

    let fourth = rig.sent().await;
    rig.pass(rig::START.after(Duration::from_millis(100))).await;
    let dead = rig.dead(1).await;
    let reason = "the queue of callbacks was full for 100ms: 1 events waited";
    assert_eq!((dead[0].delivery, dead[0].reason.as_str()), (Some(fourth), reason));
    let statistics = rig.callbacks.statistics().executor;
    assert_eq!((statistics.full.timed_out, statistics.queued, statistics.busy), (1, 1, 2));
    rig.pass(rig::START.after(10 * SECOND)).await;
    assert_eq!(rig.heard().await, third.to_string());
}

/// Workers that are more begin at once; those that are too many end after what they have in hand.
#[tokio::test]
async fn workers_can_be_more_and_fewer_while_they_run() {
    let mut rig = Rig::start(CallbackSettings { workers: 1, ..CallbackSettings::default() }).await;
    let (tell, (open, gate)) = (rig.teller(), tokio::sync::watch::channel(0));
    let waits = Registration::completion(move |_| {
        let (tell, mut gate) = (tell.clone(), gate.clone());
        async move {
            tell("begun".to_owned());
            gate.wait_for(|round| *round > 0).await.map(drop)
        }
    });
    rig.callbacks.register(waits).await.unwrap();
    for _ in 0..8 {
        rig.sent().await;
    }
    rig.heard().await;
    rig.until(|| rig.callbacks.statistics().executor.queued == 7).await;
    assert!(rig.is_silent());
    rig.callbacks.resize(4).unwrap();
    for _ in 0..3 {
        rig.heard().await;
    }
    assert_eq!(rig.callbacks.statistics().executor.busy, 4);
    rig.callbacks.resize(2).unwrap();
    open.send_replace(1);
    for _ in 0..4 {
        rig.heard().await;
    }
    rig.until(|| rig.callbacks.statistics().executor.busy == 0).await;
    assert_eq!(rig.callbacks.statistics().kinds[0].succeeded, 8);
    assert_eq!(rig.callbacks.statistics().executor.workers, 2);
    rig.stop().await;
}

/// A callback with a durable name waits for its own turn: its backlog neither fills the queue nor is given up.
#[tokio::test]
async fn the_backlog_of_a_durable_callback_leaves_the_queue_to_others() {
    let settings = CallbackSettings { when_full: WhenFull::Refuse, ..CallbackSettings::default() };
    let mut rig = Rig::start(settings).await;
    let (tell, (open, gate)) = (rig.teller(), tokio::sync::watch::channel(false));
    let waits = Registration::completion(move |_| {
        let (tell, mut gate) = (tell.clone(), gate.clone());
        async move {
            let opened = gate.wait_for(|open| *open).await.map(drop);
            tell("told".to_owned());
            opened
        }
    });
    rig.callbacks.register(waits.named(CallbackName::new("slow").unwrap())).await.unwrap();
    for _ in 0..300 {
        rig.sent().await;
    }
    rig.until(|| rig.callbacks.statistics().executor.queued == 22).await;
    assert!(rig.callbacks.statistics().behind >= Some(300));
    open.send_replace(true);
    for _ in 0..300 {
        rig.heard().await;
    }
    rig.until(|| rig.callbacks.statistics().kinds[0].succeeded == 300).await;
    assert_eq!(rig.callbacks.statistics().executor.full, FullCounts::default());
    rig.stop().await;
}

/// A stop without patience leaves a call that does not end, and nothing where nothing is under way.
#[tokio::test]
async fn a_stop_at_once_leaves_what_is_under_way_and_nothing_else() {
    let idle = Rig::start(CallbackSettings::default()).await;
    assert_eq!(idle.callbacks.stop(Duration::ZERO).await, Uncalled::default());

    let mut told = Rig::start(CallbackSettings::default()).await;
    let tell = told.teller();
    told.callbacks.register(Registration::completion(move |receipt| tell(receipt.delivery.to_string()))).await.unwrap();
    let delivery = told.sent().await;
    assert_eq!(told.heard().await, delivery.to_string());
    told.until(|| told.callbacks.statistics().executor.busy == 0).await;
    assert_eq!(told.callbacks.stop(Duration::ZERO).await, Uncalled::default());

    let mut stuck = Rig::start(CallbackSettings::default()).await;
    register_stuck(&stuck).await;
    stuck.sent().await;
    stuck.heard().await;
    assert_eq!(stuck.callbacks.stop(Duration::ZERO).await, Uncalled { events: 0, calls: 1 });
}
