//! Hosts and recipients that hold deliveries back, as those see it who ask about a channel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::rig::{Rig, START, Setup, retry, sent};
use crate::clock::ManualClock;
use crate::dispatch::{Pace, Paces, TurnOf};
use crate::domain::{BreakerBook, BreakerPolicy, BreakerReason, BreakerState, ChannelName, EventBody, HostBook};

const HOOK: &str = "https://down.example/hook";

fn ops() -> ChannelName {
    ChannelName::new("ops").unwrap()
}

fn guarded() -> Setup {
    let breaker = Some(BreakerPolicy { consecutive: 1, half_open_calls: 1, ..BreakerPolicy::default() });
    Setup { paces: Paces { default: Pace { breaker, ..Pace::default() }, ..Paces::default() }, ..Setup::default() }
}

#[tokio::test]
async fn a_host_that_was_left_alone_is_left_alone_by_the_next_process_until_it_is_reset() {
    let since = START.before(Duration::from_secs(5));
    let state = BreakerState::Open { since, until: START.after(Duration::from_mins(4)) };
    let breaker = BreakerBook { state, first_opened: Some(since), ..BreakerBook::default() };
    let book = HostBook { host: "down.example".to_owned(), breaker, reason: BreakerReason::ProbeFailed };
    let setup = Setup { hosts: BTreeMap::from([(ops(), vec![book])]), ..guarded() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    let waits = rig.accept_for(HOOK, |_| {}).await;
    let goes = rig.accept_for("https://up.example/hook", |_| {}).await;
    rig.all_sent(&[goes]).await;
    rig.waits_for(START.after(Duration::from_mins(4))).await;
    let outlook = rig.dispatcher.outlook();
    assert_eq!(outlook.turn_of(&ops(), HOOK, waits, START), Some((TurnOf::HostBreaker, state_until(state))));
    let open = outlook.open_hosts(&ops(), 10);
    assert_eq!((open.count, open.hosts[0].reason), (1, BreakerReason::ProbeFailed));
    assert_eq!(rig.calls().len(), 1, "the other host is no worse for it");

    assert!(!rig.dispatcher.reset_host(&ops(), "up.example"));
    assert!(rig.dispatcher.reset_host(&ops(), "down.example"));
    rig.all_sent(&[waits]).await;
    assert_eq!(outlook.open_hosts(&ops(), 10).count, 0);
}

fn state_until(state: BreakerState) -> crate::domain::Timestamp {
    let BreakerState::Open { until, .. } = state else { panic!("it is open") };
    until
}

#[tokio::test]
async fn what_a_host_comes_to_is_told_once_its_calls_have_ended() {
    let is_up = Arc::new(AtomicBool::new(false));
    let up = Arc::clone(&is_up);
    let script = move |_: &crate::call::Call| if up.load(Ordering::Relaxed) { sent() } else { retry() };
    let mut rig = Rig::start_with(guarded(), ManualClock::at(START), script).await;
    let delivery = rig.accept_for(HOOK, |_| {}).await;
    rig.event(|event| matches!(event, EventBody::DeliveryRetrying { .. }).then_some(())).await;
    let outlook = rig.dispatcher.outlook();
    let opened = outlook.host_changes().await;
    assert_eq!((opened.len(), opened[0].change.reason, &opened[0].channel), (1, BreakerReason::Consecutive, &ops()));
    let tag = outlook.open_hosts(&ops(), 1).hosts[0].tag;
    assert_eq!(opened[0].host, tag, "what is told can be found by it");
    assert!(!tag.to_string().contains("down"));
    let failed = outlook.record(&ops()).last_error.expect("a call failed");
    assert_eq!((failed.outcome.as_str(), failed.code.as_deref()), ("retry", Some("503")));
    assert_eq!(outlook.record(&ops()).last_success, None);

    is_up.store(true, Ordering::Relaxed);
    rig.dispatcher.reset_destinations(&ops());
    assert_eq!(outlook.host_changes().await[0].change.reason, BreakerReason::Reset);
    rig.clock.advance(Duration::from_mins(1));
    rig.all_sent(&[delivery]).await;
    let record = outlook.record(&ops());
    assert_eq!((record.last_success, record.last_error), (Some(START.after(Duration::from_mins(1))), Some(failed)));
}
