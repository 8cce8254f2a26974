//! Workers that come back no more, and calls that nothing ends.

use super::*;
use crate::domain::{WorkerChange, WorkerEvent};

const HEALTH_CHECK: Duration = Duration::from_secs(10);

fn worker_event(event: &EventBody) -> Option<WorkerEvent> {
    match event {
        EventBody::Worker(event) if event.change != WorkerChange::Started => Some(event.clone()),
        _ => None,
    }
}

/// A call that holds its thread holds its worker: what that had is settled in its place, what waits goes on, and what
/// comes of the call in the end is counted and changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_worker_that_is_stuck_is_replaced_and_what_it_had_is_tried_again() {
    let (let_go, until) = std::sync::mpsc::sync_channel(1);
    let until = Arc::new(std::sync::Mutex::new(until));
    let (open, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let script = move |call: &crate::call::Call| match call.notification.kind.as_str() {
        "stuck" if call.attempt == 1 => Reply::Blocks(Arc::clone(&until)),
        "first" => Reply::After(Arc::clone(&gate)),
        _ => sent(),
    };
    let setup = Setup { workers: WorkersConfig::fixed(1, 4, 4), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), script).await;
    // Until somebody watches.
    let first = rig.accept(|notification| notification.kind = "first".to_owned()).await;
    rig.waits_for(START.after(HEALTH_CHECK)).await;
    open.send_replace(true);
    rig.all_sent(&[first]).await;
    let stuck = rig.accept(|notification| notification.kind = "stuck".to_owned()).await;
    while rig.begun().await != stuck {}
    let waits = rig.accept(|_| {}).await;
    rig.clock.advance(HEALTH_CHECK);
    rig.waits_for(START.after(2 * HEALTH_CHECK)).await;
    rig.clock.advance(HEALTH_CHECK);

    let replaced = rig.event(worker_event).await;
    assert_eq!((replaced.change, replaced.worker.0), (WorkerChange::Replaced, 1));
    let reason = "it did not answer from one health check to the next; worker 2 has what it had";
    assert_eq!(replaced.reason.as_deref(), Some(reason));
    while rig.record(stuck).await.attempts.is_empty() || rig.state(waits).await.status() != DeliveryStatus::Sent {}
    let attempts = rig.record(stuck).await.attempts;
    assert_eq!((attempts.len(), attempts[0].end.as_str()), (1, "host-bug"));
    rig.waits_for(rig.clock.now().after(SECOND)).await;
    rig.clock.advance(SECOND);
    rig.all_sent(&[stuck]).await;

    let_go.send(()).unwrap();
    while rig.store.stats().late_settlements == 0 || rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.record(stuck).await.attempts.len(), 2, "the late one is not among them");
    let more = rig.accept(|_| {}).await;
    rig.all_sent(&[more]).await;
    let pool = rig.dispatcher.pool();
    assert_eq!(pool.workers.iter().map(|worker| worker.number.0).collect::<Vec<_>>(), [2]);
    assert_eq!(rig.dispatcher.shutdown(SECOND).await, 0);
}

#[tokio::test]
async fn a_worker_that_ends_by_a_defect_is_replaced_and_what_it_took_is_delivered() {
    let between: fn(Arc<dyn Store>) -> Arc<dyn Store> = |store| Arc::new(Refusing::breaking(store));
    let setup = Setup { workers: WorkersConfig::fixed(1, 4, 4), between, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    let pool = rig.dispatcher.pool();
    let seen: Vec<_> =
        pool.workers.iter().map(|worker| (worker.number.0, worker.processed, worker.in_flight)).collect();
    assert_eq!(seen, [(2, 1, 0)]);
}

/// The limits of others have failed by then: ten seconds for the call, and half a minute for whoever should have ended it.
#[tokio::test]
async fn a_call_that_outlives_its_limit_by_half_a_minute_is_given_up_and_tried_again() {
    let time_limits = TimeLimits { default: Some(HEALTH_CHECK), ..TimeLimits::default() };
    let setup = Setup { workers: WorkersConfig::fixed(1, 4, 4), time_limits, ..Setup::default() };
    let script = |call: &crate::call::Call| if call.attempt == 1 { Reply::Hangs } else { sent() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), script).await;
    let delivery = rig.accept(|_| {}).await;
    rig.begun().await;
    for check in 1..=4 {
        assert_eq!(rig.record(delivery).await.attempts.len(), 0);
        rig.waits_for(START.after(HEALTH_CHECK * check)).await;
        rig.clock.advance(HEALTH_CHECK);
    }
    let given_up = rig.event(worker_event).await;
    assert_eq!((given_up.change, given_up.worker.0), (WorkerChange::TimedOut, 1));
    let expected = format!(
        "the call of `ops` for delivery {delivery} was under way for 40 s and was given up: its limit is 10 s, and \
         nothing had ended it"
    );
    assert_eq!(given_up.reason, Some(expected));
    let due = rig.clock.now().after(SECOND);
    while rig.record(delivery).await.attempts.is_empty() {}
    let record = rig.record(delivery).await;
    assert_eq!(record.attempts[0].end, "host-bug");
    assert_eq!(
        record.state,
        DeliveryState::Waiting(Waiting { due, attempts: 1, interrupted: 1, ..Waiting::default() })
    );
    rig.waits_for(due).await;
    rig.clock.advance(SECOND);
    rig.all_sent(&[delivery]).await;
}

/// Its limit grew while it was under way, or it began with the one that holds now: nobody gives it up by another one.
#[tokio::test]
async fn a_limit_that_is_raised_or_lowered_meanwhile_gives_no_call_up_before_its_time() {
    for (before, after) in [(HEALTH_CHECK, 9 * HEALTH_CHECK), (9 * HEALTH_CHECK, HEALTH_CHECK)] {
        let limits = |limit| TimeLimits { default: Some(limit), ..TimeLimits::default() };
        let setup = Setup { workers: WorkersConfig::fixed(1, 4, 4), time_limits: limits(before), ..Setup::default() };
        let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| Reply::Hangs).await;
        rig.accept(|_| {}).await;
        rig.begun().await;
        rig.dispatcher.set_time_limits(limits(after));
        for check in 1..=11 {
            rig.waits_for(START.after(HEALTH_CHECK * check)).await;
            assert_eq!(rig.dispatcher.in_flight(), 1, "after {check} checks");
            rig.clock.advance(HEALTH_CHECK);
        }
        rig.waits_for(START.after(HEALTH_CHECK * 12)).await;
        rig.clock.advance(HEALTH_CHECK);
        assert_eq!(rig.event(worker_event).await.change, WorkerChange::TimedOut);
    }
}

#[tokio::test]
async fn a_worker_that_answers_is_left_alone() {
    let mut rig = Rig::start(|_| Reply::Hangs).await;
    rig.accept(|_| {}).await;
    rig.begun().await;
    for check in 1..=20 {
        rig.waits_for(START.after(HEALTH_CHECK * check)).await;
        rig.clock.advance(HEALTH_CHECK);
    }
    rig.waits_for(START.after(HEALTH_CHECK * 21)).await;
    let numbers: Vec<_> = rig.dispatcher.pool().workers.iter().map(|worker| worker.number.0).collect();
    assert_eq!((numbers, rig.dispatcher.in_flight()), (vec![1, 2], 1));
}
