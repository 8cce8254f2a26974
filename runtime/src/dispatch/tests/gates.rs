//! Gates as a delivery meets them: what waits, what is spent, what arrives in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rig::{Reply, Rig, START, Setup, retry, sent};
use crate::clock::ManualClock;
use crate::dispatch::{Pace, Paces};
use crate::domain::{
    Actor, AttemptEnd, BreakerPolicy, BreakerState, ChannelName, DeliveryState, DeliveryStatus, EventBody, Outcome,
    Priority, RateScope,
};
use crate::queue::GateSettings;
use crate::store::Store as _;

fn gated(gate: GateSettings) -> Setup {
    Setup { gate: Some(gate), ..Setup::default() }
}

fn ops() -> ChannelName {
    ChannelName::new("ops").unwrap()
}

fn limited(scope: RateScope) -> Reply {
    let (after, reason) = (Some(Duration::from_secs(40)), "slow down".to_owned());
    Reply::Ends(AttemptEnd::Outcome(Outcome::RateLimited { after, scope, code: None, reason }))
}

#[tokio::test]
async fn while_a_breaker_is_open_no_attempt_is_spent_and_then_everything_arrives() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let script = move |_: &crate::call::Call| if up.load(Ordering::Relaxed) { sent() } else { retry() };
    // The script's calls take as long as the clock has moved.
    let breaker = Some(BreakerPolicy { slow_after: Duration::from_mins(1), ..BreakerPolicy::default() });
    let gate = GateSettings { breaker, ..GateSettings::default() };
    let mut rig = Rig::start_with(gated(gate), ManualClock::at(START), script).await;
    let mut deliveries = Vec::new();
    for _ in 0..5 {
        deliveries.push(rig.accept(|_| {}).await);
        rig.begun().await;
    }
    // Five in a row have failed once they are settled: each waits for its retry then.
    for _ in 0..5 {
        rig.event(|event| matches!(event, EventBody::DeliveryRetrying { .. }).then_some(())).await;
    }
    while rig.queue.gates()[0].breaker == BreakerState::Closed {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        deliveries.push(rig.accept(|_| {}).await);
    }
    rig.clock.advance(Duration::from_secs(9));
    rig.waits_for(START.after(Duration::from_secs(10))).await;
    assert_eq!(rig.calls().len(), 5, "nobody is called while it is open");
    for delivery in &deliveries[5..] {
        let DeliveryState::Waiting(waiting) = rig.state(*delivery).await else { panic!("it waits") };
        assert_eq!((waiting.attempts, waiting.retries_used), (0, 0));
        assert_eq!(rig.state(*delivery).await.status(), DeliveryStatus::Pending);
    }
    is_up.store(true, Ordering::Relaxed);
    rig.clock.advance(Duration::from_secs(1));
    rig.all_sent(&deliveries).await;
    assert_eq!(rig.calls().len(), 30, "five failed, and each was sent once");
}

#[tokio::test]
async fn what_one_delivery_learns_of_a_rate_limit_the_others_do_not_have_to() {
    let first = AtomicBool::new(true);
    let script = move |_: &crate::call::Call| match first.swap(false, Ordering::Relaxed) {
        true => limited(RateScope::Channel),
        false => sent(),
    };
    let mut rig = Rig::start_with(gated(GateSettings::default()), ManualClock::at(START), script).await;
    let mut deliveries = vec![rig.accept(|_| {}).await];
    rig.event(|event| matches!(event, EventBody::DeliveryRetrying { .. }).then_some(())).await;
    while rig.queue.gates()[0].not_before.is_none() {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        deliveries.push(rig.accept(|_| {}).await);
    }
    rig.waits_for(START.after(Duration::from_secs(40))).await;
    assert_eq!(rig.calls().len(), 1);
    assert_eq!(rig.state(deliveries[0]).await.status(), DeliveryStatus::Pending, "no retry is used up");
    rig.clock.advance(Duration::from_secs(40));
    rig.all_sent(&deliveries).await;
    assert_eq!(rig.calls().len(), 12);
}

#[tokio::test]
async fn one_recipient_gets_one_at_a_time_and_the_others_do_not_wait() {
    let per_recipient = Some("1/m".parse().unwrap());
    let paces = Paces { default: Pace { per_recipient, ..Pace::default() }, ..Paces::default() };
    let setup = Setup { paces, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let ada = [rig.accept_for("ada", |_| {}).await, rig.accept_for("ada", |_| {}).await];
    let expiring = rig
        .accept_for("ada", |notification| notification.expires_at = Some(START.after(Duration::from_secs(90))))
        .await;
    let bob = rig.accept_for("bob", |_| {}).await;
    rig.all_sent(&[ada[0], bob]).await;
    rig.waits_for(START.after(Duration::from_mins(1))).await;
    let DeliveryState::Waiting(waiting) = rig.state(ada[1]).await else { panic!("it waits for its turn") };
    assert_eq!(waiting.attempts, 0);
    rig.clock.advance(Duration::from_mins(1));
    rig.all_sent(&[ada[1]]).await;
    rig.waits_for(START.after(Duration::from_secs(90))).await;
    rig.clock.advance(Duration::from_secs(30));
    let failed = |event: &EventBody| match event {
        EventBody::DeliveryFailed { delivery, reason, .. } => Some((*delivery, reason.clone())),
        _ => None,
    };
    assert_eq!(rig.event(failed).await, (expiring, "expired".to_owned()), "at its time, and not at its turn");
    assert_eq!(rig.calls().len(), 3);
}

#[tokio::test]
async fn what_was_cancelled_leaves_its_turn_to_others_and_the_most_urgent_goes_first() {
    let per_recipient = Some("6/m".parse().unwrap());
    let paces = Paces { default: Pace { per_recipient, ..Pace::default() }, ..Paces::default() };
    let mut rig = Rig::start_with(Setup { paces, ..Setup::default() }, ManualClock::at(START), |_| sent()).await;
    let first = rig.accept_for("ada", |_| {}).await;
    rig.all_sent(&[first]).await;
    let mut low = Vec::new();
    for _ in 0..5 {
        low.push(rig.accept_for("ada", |notification| notification.priority = Priority::Low).await);
    }
    while rig.queue.deferred(&ops()) < 5 {
        tokio::task::yield_now().await;
    }
    for delivery in &low[..4] {
        rig.store.cancel(delivery.notification(), START, Actor::Cli).await.unwrap();
    }
    let urgent = rig.accept_for("ada", |notification| notification.priority = Priority::Critical).await;
    while rig.queue.deferred(&ops()) < 6 {
        tokio::task::yield_now().await;
    }
    rig.waits_for(START.after(Duration::from_secs(10))).await;
    rig.clock.advance(Duration::from_secs(10));
    rig.all_sent(&[urgent]).await;
    rig.waits_for(START.after(Duration::from_secs(20))).await;
    rig.clock.advance(Duration::from_secs(10));
    rig.all_sent(&[low[4]]).await;
    assert_eq!(rig.calls().len(), 3);
}

#[tokio::test]
async fn what_waits_for_its_recipient_goes_on_where_its_rate_is_raised_or_reset() {
    let hourly = Pace { per_recipient: Some("1/h".parse().unwrap()), ..Pace::default() };
    let paces = || Paces { default: hourly.clone(), ..Paces::default() };
    let setup = Setup { paces: paces(), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let mut deliveries = Vec::new();
    for _ in 0..3 {
        deliveries.push(rig.accept_for("ada", |_| {}).await);
    }
    rig.waits_for(START.after(Duration::from_hours(1))).await;
    assert_eq!(rig.calls().len(), 1);
    rig.dispatcher.set_paces(Paces::default());
    rig.all_sent(&deliveries).await;

    rig.dispatcher.set_paces(paces());
    let first = rig.accept_for("bob", |_| {}).await;
    rig.all_sent(&[first]).await;
    let second = rig.accept_for("bob", |_| {}).await;
    rig.waits_for(START.after(Duration::from_hours(1))).await;
    rig.dispatcher.reset_destinations(&ops());
    rig.all_sent(&[second]).await;
    assert_eq!(rig.calls().len(), 5);
}
