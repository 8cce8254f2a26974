mod asking;
mod fallback;
mod gates;
mod hosts;
mod pool;
mod reconfigured;
mod refusing;
mod rig;
mod strategies;
mod stuck;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::TimeLimits;

use self::refusing::Refusing;
use self::rig::{Reply, Rig, START, Setup, retry, sent};
use crate::clock::{Clock, ManualClock};
use crate::config::WorkersConfig;
use crate::domain::{
    Actor, DeliveryState, DeliveryStatus, EventBody, FailReason, Priority, RetryPolicy, TemplateUse, Timestamp, Waiting,
};
use crate::store::{Cancelled, Store};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

fn retrying_at(event: &EventBody) -> Option<Timestamp> {
    match event {
        EventBody::DeliveryRetrying { due, .. } => Some(*due),
        _ => None,
    }
}

fn failed(event: &EventBody) -> Option<String> {
    match event {
        EventBody::DeliveryFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

/// The default policy: attempts after 1, 2, 4, 8 and 16 s, none a millisecond early, and no seventh.
#[tokio::test]
async fn a_provider_that_stays_down_is_called_six_times_at_the_default_waits() {
    let mut rig = Rig::start(|_| retry()).await;
    let delivery = rig.accept(|_| {}).await;
    for wait_s in [1, 2, 4, 8, 16] {
        let due = rig.event(retrying_at).await;
        assert_eq!(due, rig.clock.now().after(Duration::from_secs(wait_s)));
        rig.waits_for(due).await;
        let calls = rig.calls().len();
        rig.clock.advance(due.since(rig.clock.now()) - MILLISECOND);
        tokio::task::yield_now().await;
        assert_eq!(rig.calls().len(), calls);
        rig.clock.advance(MILLISECOND);
    }
    assert_eq!(rig.event(failed).await, "exhausted");
    let at: Vec<u64> = rig.calls().iter().map(|call| call.now.since(START).as_secs()).collect();
    assert_eq!(at, [0, 1, 3, 7, 15, 31]);
    let numbers: Vec<u32> = rig.record(delivery).await.attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn an_attempt_is_kept_with_all_that_is_known_of_it() {
    let mut rig = Rig::start(|_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
    let record = rig.record(delivery).await;
    let [attempt] = record.attempts.as_slice() else { panic!("one attempt, not {}", record.attempts.len()) };
    assert_eq!((attempt.end.as_str(), attempt.provider_id.as_deref(), attempt.fuel), ("sent", Some("p-1"), 7));
}

#[tokio::test]
async fn a_panic_in_a_call_is_settled_as_a_host_bug_and_tried_again_after_a_second() {
    let mut rig = Rig::start(|call| if call.attempt == 1 { Reply::Panics } else { sent() }).await;
    let delivery = rig.accept(|_| {}).await;
    assert_eq!(rig.event(retrying_at).await, START.after(SECOND));
    rig.clock.advance(SECOND);
    rig.all_sent(&[delivery]).await;
    let attempts = rig.record(delivery).await.attempts;
    assert_eq!(attempts[0].end, "host-bug");
    assert_eq!(attempts[0].reason.as_deref(), Some("the script says so"));
}

#[tokio::test]
async fn critical_goes_before_a_backlog() {
    let workers = WorkersConfig::fixed(1, 2, 1);
    let setup = Setup { workers, paused: true, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let mut all = Vec::new();
    for _ in 0..50 {
        all.push(rig.accept(|_| {}).await);
    }
    let critical = rig.accept(|notification| notification.priority = Priority::Critical).await;
    all.push(critical);
    rig.dispatcher.resume();
    rig.all_sent(&all).await;
    assert_eq!(rig.calls()[0].delivery, critical);
    assert_eq!(rig.calls().len(), 51);
}

#[tokio::test]
async fn slow_calls_of_lower_priorities_leave_a_slot_for_high() {
    let workers = WorkersConfig::fixed(1, 8, 8);
    let setup = Setup { workers, ..Setup::default() };
    let normal_hangs =
        |call: &crate::call::Call| if call.notification.priority == Priority::Normal { Reply::Hangs } else { sent() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), normal_hangs).await;
    for _ in 0..20 {
        rig.accept(|_| {}).await;
    }
    for _ in 0..7 {
        rig.begun().await;
    }
    let high = rig.accept(|notification| notification.priority = Priority::High).await;
    rig.all_sent(&[high]).await;
    // A slot is free a moment after its outcome is durable.
    while rig.dispatcher.in_flight() > 7 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.dispatcher.in_flight(), 7);
}

#[tokio::test]
async fn what_waits_is_found_again_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("campanile.db"));
    let setup = || Setup { path: path.clone(), ..Setup::default() };
    let clock = ManualClock::at(START);

    let first = Rig::start_with(Setup { paused: true, ..setup() }, clock.clone(), |_| sent()).await;
    let mut all = Vec::new();
    for _ in 0..100 {
        all.push(first.accept(|_| {}).await);
    }
    let later = first.accept(|notification| notification.scheduled_at = Some(START.after(60 * SECOND))).await;
    first.dispatcher.shutdown(SECOND).await;
    first.store.close().await;
    drop(first);

    let mut second = Rig::start_with(setup(), clock.clone(), |_| sent()).await;
    second.all_sent(&all).await;
    assert_eq!(second.calls().len(), 100);
    clock.advance(60 * SECOND);
    second.all_sent(&[later]).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_what_is_in_flight_and_starts_nothing_more() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let mut rig = Rig::start_with(
        Setup { workers: WorkersConfig::fixed(1, 1, 1), ..Setup::default() },
        ManualClock::at(START),
        move |_| Reply::After(Arc::clone(&gate)),
    )
    .await;
    let first = rig.accept(|_| {}).await;
    assert_eq!(rig.begun().await, first);
    let second = rig.accept(|_| {}).await;
    let (interrupted, ()) = tokio::join!(rig.dispatcher.shutdown(30 * SECOND), async {
        rig.waits_for(START.after(30 * SECOND)).await;
        release.send_replace(true);
    });
    assert_eq!(interrupted, 0);
    assert_eq!(rig.state(first).await.status(), DeliveryStatus::Sent);
    assert_eq!(rig.state(second).await, DeliveryState::Waiting(Waiting::fresh(START)));
}

#[tokio::test]
async fn a_call_that_outlasts_a_shutdown_is_interrupted_and_tried_again_after_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let path = Some(folder.path().join("campanile.db"));
    let clock = ManualClock::at(START);
    let setup = || Setup { path: path.clone(), ..Setup::default() };
    let mut first = Rig::start_with(setup(), clock.clone(), |_| Reply::Hangs).await;
    let delivery = first.accept(|_| {}).await;
    first.begun().await;
    let (interrupted, ()) = tokio::join!(first.dispatcher.shutdown(30 * SECOND), async {
        first.waits_for(START.after(30 * SECOND)).await;
        clock.advance(30 * SECOND);
    });
    assert_eq!(interrupted, 1);
    let expected = Waiting { due: clock.now().after(SECOND), attempts: 1, interrupted: 1, ..Waiting::default() };
    assert_eq!(first.state(delivery).await, DeliveryState::Waiting(expected));
    first.store.close().await;
    drop(first);

    let mut second = Rig::start_with(setup(), clock.clone(), |_| sent()).await;
    clock.advance(SECOND);
    second.all_sent(&[delivery]).await;
    assert_eq!(second.calls()[0].attempt, 2);
}

#[tokio::test]
async fn a_delivery_that_is_cancelled_while_it_waits_is_never_called() {
    let mut rig = Rig::start(|_| sent()).await;
    let at = START.after(60 * SECOND);
    let cancelled = rig.accept(|notification| notification.scheduled_at = Some(at)).await;
    let kept = rig.accept(|notification| notification.scheduled_at = Some(at)).await;
    let answer = rig.store.cancel(cancelled.notification(), START, Actor::Api).await.unwrap();
    assert_eq!(answer, Cancelled::Cancelled { now: 1, in_flight: 0 });
    rig.clock.advance(60 * SECOND);
    rig.all_sent(&[kept]).await;
    let called: Vec<_> = rig.calls().iter().map(|call| call.delivery).collect();
    assert_eq!(called, [kept]);
}

#[tokio::test]
async fn what_expired_before_its_turn_fails_without_a_call() {
    let setup = Setup { paused: true, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|notification| notification.expires_at = Some(START.after(SECOND))).await;
    rig.clock.advance(SECOND);
    rig.dispatcher.resume();
    assert_eq!(rig.event(failed).await, "expired");
    let record = rig.record(delivery).await;
    let expected = DeliveryState::Failed { at: START.after(SECOND), attempts: 0, reason: FailReason::Expired };
    assert_eq!(record.state, expected);
    assert!(record.attempts.is_empty() && rig.calls().is_empty());
}

#[tokio::test]
async fn what_was_held_for_longer_than_its_policy_tries_is_too_old_without_a_call() {
    let max_age = RetryPolicy::default().max_age;
    let setup = Setup { paused: true, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let old = rig.accept(|_| {}).await;
    let scheduled = rig.accept(|notification| notification.scheduled_at = Some(START.after(SECOND))).await;
    rig.clock.advance(max_age + SECOND);
    rig.dispatcher.resume();
    rig.all_sent(&[scheduled]).await;
    while rig.state(old).await.status() == DeliveryStatus::Pending {
        tokio::task::yield_now().await;
    }
    let record = rig.record(old).await;
    let DeliveryState::Failed { attempts: 0, reason: FailReason::TooOld { last }, .. } = record.state else {
        panic!("{record:?}")
    };
    assert_eq!(last, "its turn came after 3d1s, its retry policy's `max_age` is 3d");
    assert!(record.attempts.is_empty());
    assert_eq!(rig.calls().len(), 1, "of what could be tried for as long as that and no longer");
}

#[tokio::test]
async fn what_was_in_flight_at_three_crashes_is_a_dead_letter_without_another_call() {
    let setup = Setup { between: |store| Arc::new(Refusing::after_crashes(store, 3)), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    assert_eq!(rig.event(failed).await, "poison");
    let record = rig.record(delivery).await;
    let expected = DeliveryState::Failed { at: START, attempts: 0, reason: FailReason::Poison { crashes: 3 } };
    assert_eq!(record.state, expected);
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn what_was_in_flight_at_two_crashes_is_called() {
    let setup = Setup { between: |store| Arc::new(Refusing::after_crashes(store, 2)), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
}

#[tokio::test]
async fn a_settlement_that_comes_too_late_changes_nothing_and_frees_its_slot() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let mut rig = Rig::start(move |_| Reply::After(Arc::clone(&gate))).await;
    let delivery = rig.accept(|_| {}).await;
    rig.begun().await;
    // Somebody else takes the claim away.
    rig.store.release(&[1]).await.unwrap();
    let [theirs] = rig.store.claim(&[delivery], START).await.unwrap().try_into().expect("it can be claimed again");
    release.send_replace(true);
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.store.stats().late_settlements, 1);
    assert_eq!(rig.state(delivery).await, DeliveryState::Waiting(theirs.progress));
}

#[tokio::test]
async fn an_outcome_that_the_store_refuses_is_kept_and_written_later_without_a_second_call() {
    let setup = Setup { between: |store| Arc::new(Refusing::settlements(store, 2)), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    for wait_ms in [100, 200] {
        rig.waits_for(rig.clock.now().after(Duration::from_millis(wait_ms))).await;
        assert_eq!(rig.dispatcher.in_flight(), 1);
        rig.clock.advance(Duration::from_millis(wait_ms));
    }
    rig.all_sent(&[delivery]).await;
    assert_eq!(rig.calls().len(), 1);
}

#[tokio::test]
async fn a_claim_that_the_store_refuses_is_made_again() {
    let setup = Setup { between: |store| Arc::new(Refusing::claims(store, 1)), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let delivery = rig.accept(|_| {}).await;
    rig.waits_for(START.after(Duration::from_millis(100))).await;
    rig.clock.advance(Duration::from_millis(100));
    rig.all_sent(&[delivery]).await;
}

/// A delivery whose template engine is held takes no slot, no attempt and no second question until the engine is let go.
#[tokio::test]
async fn what_waits_for_a_held_template_engine_is_asked_for_once_and_costs_no_attempt() {
    let mut rig = Rig::start(|_| sent()).await;
    rig.content.is_held.store(true, Ordering::Relaxed);
    rig.queue.hold_engines_only(&BTreeSet::from(["mini".parse().unwrap()]));
    let template = TemplateUse { name: "greeting".parse().unwrap(), version: [1; 32] };
    let waits = rig.accept(|notification| notification.template = Some(template)).await;
    let plain = rig.accept(|_| {}).await;
    rig.all_sent(&[plain]).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    rig.clock.advance(Duration::from_hours(70));
    let later = rig.accept(|_| {}).await;
    rig.all_sent(&[later]).await;
    assert_eq!(rig.content.asked.load(Ordering::Relaxed), 1);
    let record = rig.record(waits).await;
    assert_eq!((record.state.status(), record.attempts.len()), (DeliveryStatus::Pending, 0));

    rig.content.is_held.store(false, Ordering::Relaxed);
    rig.queue.hold_engines_only(&BTreeSet::new());
    rig.all_sent(&[waits]).await;
    assert_eq!(rig.record(waits).await.attempts.len(), 1);
}
