//! The table of ends, row by row.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::domain::{Blame, Fault, Interruption, RateScope, Receipt, Trouble};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
const LIFETIME: Lifetime = Lifetime { began: NOW, expires_at: None };
const MOMENT: Moment = Moment { now: NOW, roll: 0.0 };

fn retry(after: Option<Duration>) -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Retry { after, trouble: Trouble::Server, code: None, reason: "busy".into() })
}

fn fault() -> AttemptEnd {
    AttemptEnd::Fault { fault: Fault::Trap, message: "boom".into() }
}

fn interrupted() -> AttemptEnd {
    AttemptEnd::Interrupted { interruption: Interruption::Shutdown, message: "stopping".into() }
}

fn limited(after: Option<Duration>) -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::RateLimited {
        after,
        scope: RateScope::Channel,
        code: None,
        reason: "slow down".into(),
    })
}

fn after(before: &Waiting, end: &AttemptEnd) -> DeliveryState {
    settle(before, end, &RetryPolicy::default(), LIFETIME, MOMENT)
}

fn waiting(state: DeliveryState) -> Waiting {
    match state {
        DeliveryState::Waiting(waiting) => waiting,
        other => panic!("expected a delivery that waits, found {other:?}"),
    }
}

#[test]
fn a_judgement_that_is_final_settles_at_once() {
    let fresh = Waiting::fresh(NOW);
    let receipt = Receipt { provider_id: Some("m-1".into()), facts: vec![] };
    let sent = after(&fresh, &AttemptEnd::Outcome(Outcome::Sent(receipt.clone())));
    assert_eq!(sent, DeliveryState::Sent { at: NOW, attempts: 1, receipt: receipt.clone(), unconfirmed: false });

    let last_word = Outcome::Accepted { receipt: receipt.clone(), check_after: None, polled: false };
    let accepted = AttemptEnd::Outcome(last_word);
    assert_eq!(after(&fresh, &accepted), DeliveryState::Sent { at: NOW, attempts: 1, receipt, unconfirmed: true });

    let rejected = Outcome::Rejected { blame: Blame::Channel, code: Some("401".into()), reason: "no".into() };
    assert!(matches!(
        after(&fresh, &AttemptEnd::Outcome(rejected)),
        DeliveryState::Failed { attempts: 1, reason: FailReason::Rejected { blame: Blame::Channel, .. }, .. }
    ));
}

#[test]
fn a_retry_follows_the_policy_until_it_is_exhausted() {
    let mut progress = Waiting::fresh(NOW);
    let mut waits = Vec::new();
    let last = loop {
        match after(&progress, &retry(None)) {
            DeliveryState::Waiting(next) => {
                waits.push(next.due.since(NOW).as_secs());
                progress = next;
            }
            last => break last,
        }
    };
    assert_eq!(waits, [1, 2, 4, 8, 16]);
    let DeliveryState::Failed { attempts: 6, reason: FailReason::Exhausted { last }, .. } = last else {
        panic!("expected the sixth attempt to exhaust the policy, found {last:?}");
    };
    assert_eq!(last, "busy");
}

#[test]
fn a_deadline_inside_a_host_call_uses_a_retry() {
    let next = waiting(after(&Waiting::fresh(NOW), &host_deadline()));
    assert_eq!((next.retries_used, next.faults), (1, 0));
}

#[test]
fn a_hint_delays_a_retry() {
    let next = waiting(after(&Waiting::fresh(NOW), &retry(Some(Duration::from_secs(30)))));
    assert_eq!(next.due.since(NOW), Duration::from_secs(30));
}

#[test]
fn a_rate_limit_uses_up_nothing() {
    let next = waiting(after(&Waiting::fresh(NOW), &limited(Some(Duration::from_secs(7)))));
    assert_eq!((next.retries_used, next.faults, next.attempts), (0, 0, 1));
    assert_eq!(next.due.since(NOW), Duration::from_secs(7));
    assert_eq!(DeliveryState::Waiting(next).status().as_str(), "pending");
}

#[test]
fn a_fault_waits_ten_seconds_then_a_minute_and_the_third_is_final() {
    let first = waiting(after(&Waiting::fresh(NOW), &fault()));
    assert_eq!((first.due.since(NOW).as_secs(), first.retries_used, first.faults), (10, 0, 1));
    let second = waiting(after(&first, &fault()));
    assert_eq!((second.due.since(NOW).as_secs(), second.faults), (60, 2));
    assert!(matches!(
        after(&second, &fault()),
        DeliveryState::Failed { attempts: 3, reason: FailReason::Fault { fault: Fault::Trap, .. }, .. }
    ));
}

#[test]
fn an_interruption_comes_back_after_a_second_and_is_counted_apart() {
    let next = waiting(after(&Waiting::fresh(NOW), &interrupted()));
    assert_eq!((next.interrupted, next.retries_used, next.faults), (1, 0, 0));
    assert_eq!(next.due.since(NOW), Duration::from_secs(1));
}

#[test]
fn what_would_come_too_late_is_given_up_now() {
    let expires = Lifetime { began: NOW, expires_at: Some(NOW.after(Duration::from_secs(1))) };
    let state = settle(&Waiting::fresh(NOW), &retry(None), &RetryPolicy::default(), expires, MOMENT);
    assert!(matches!(state, DeliveryState::Failed { reason: FailReason::Expired, .. }));

    let old = Moment { now: NOW.after(Duration::from_hours(72)), roll: 0.0 };
    let state = settle(&Waiting::fresh(NOW), &limited(None), &RetryPolicy::default(), LIFETIME, old);
    assert!(matches!(state, DeliveryState::Failed { reason: FailReason::TooOld { .. }, .. }));
}

fn host_deadline() -> AttemptEnd {
    AttemptEnd::HostDeadline { message: "no answer before the deadline of 10s".to_owned() }
}

fn any_end() -> impl Strategy<Value = AttemptEnd> {
    let hint = proptest::option::of((0_u64..200_000).prop_map(Duration::from_secs));
    prop_oneof![
        hint.clone().prop_map(retry),
        hint.prop_map(limited),
        Just(fault()),
        Just(interrupted()),
        Just(host_deadline()),
        Just(AttemptEnd::Outcome(Outcome::Sent(Receipt::default()))),
    ]
}

proptest! {
    /// Whatever happens, every attempt is counted once, due times never move back, and the policy bounds retries
    /// and faults.
    #[test]
    fn any_course_of_attempts_stays_within_the_policy(ends in proptest::collection::vec(any_end(), 1..60), roll in 0.0_f64..1.0) {
        let policy = RetryPolicy::default();
        let mut now = NOW;
        let mut progress = Waiting::fresh(NOW);
        for (index, end) in ends.iter().enumerate() {
            let state = settle(&progress, end, &policy, LIFETIME, Moment { now, roll });
            prop_assert_eq!(state.attempts() as usize, index + 1);
            match state {
                DeliveryState::Waiting(next) => {
                    prop_assert!(next.due > now);
                    prop_assert!(next.retries_used <= policy.max_retries && next.faults <= 2);
                    now = next.due;
                    progress = next;
                }
                _ => break,
            }
        }
    }
}

#[test]
fn a_cancel_during_the_attempt_holds_unless_it_was_sent() {
    let sent = DeliveryState::Sent { at: NOW, attempts: 1, receipt: Receipt::default(), unconfirmed: true };
    assert_eq!(settle_cancelled(sent.clone(), NOW), sent);
    let cancelled = DeliveryState::Cancelled { at: NOW, attempts: 2 };
    let failed = DeliveryState::Failed { at: NOW, attempts: 2, reason: FailReason::Expired };
    let waiting = DeliveryState::Waiting(Waiting { attempts: 2, ..Waiting::fresh(NOW) });
    for state in [failed, waiting, cancelled.clone()] {
        assert_eq!(settle_cancelled(state, NOW), cancelled);
    }
}
