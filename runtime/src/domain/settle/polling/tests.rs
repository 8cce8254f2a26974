//! The table of answers, row by row.

use proptest::prelude::*;

use super::super::{Lifetime, settle, settle_cancelled, settle_over};
use super::*;
use crate::domain::{Blame, DeliveryStatus, Fault, RateScope, Trouble};

const NOW: Timestamp = Timestamp::from_millis(1_000_000);
/// Expired long ago, and older than any policy allows: neither counts for what a provider took.
const LIFETIME: Lifetime = Lifetime { began: Timestamp::from_millis(0), expires_at: Some(NOW) };
const HOUR: Duration = Duration::from_hours(1);

fn receipt(id: &str) -> Receipt {
    Receipt { provider_id: Some(id.to_owned()), facts: vec![("region".to_owned(), "eu".to_owned())] }
}

fn accepted(after: Option<Duration>) -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Accepted { receipt: Receipt::default(), check_after: after, polled: true })
}

/// Ends that are no final word, and use up a retry or a fault where they end a call to send.
fn troubles() -> [AttemptEnd; 5] {
    let reason = || "busy".to_owned();
    [
        AttemptEnd::Outcome(Outcome::Retry { after: None, trouble: Trouble::Server, code: None, reason: reason() }),
        AttemptEnd::Outcome(Outcome::RateLimited {
            after: None,
            scope: RateScope::Channel,
            code: None,
            reason: reason(),
        }),
        AttemptEnd::HostDeadline { message: reason() },
        AttemptEnd::Fault { fault: Fault::Trap, message: reason() },
        AttemptEnd::Interrupted { interruption: Interruption::NoPlugin, message: reason() },
    ]
}

fn at(now: Timestamp) -> Moment {
    Moment { now, roll: 0.0 }
}

/// What `end` makes of a delivery, at the default policy.
fn after(before: &Waiting, end: &AttemptEnd, now: Timestamp) -> DeliveryState {
    settle(before, end, &RetryPolicy::default(), LIFETIME, at(now))
}

fn waiting(state: DeliveryState) -> Waiting {
    match state {
        DeliveryState::Waiting(waiting) => waiting,
        other => panic!("expected a delivery that waits, found {other:?}"),
    }
}

/// Just taken by the provider, in its third attempt.
fn taken() -> Waiting {
    let before = Waiting { attempts: 2, retries_used: 2, ..Waiting::fresh(NOW) };
    let end = Outcome::Accepted { receipt: receipt("m-1"), check_after: None, polled: true };
    waiting(after(&before, &AttemptEnd::Outcome(end), NOW))
}

#[test]
fn what_is_accepted_is_asked_for_after_30_s_or_the_hint_and_is_pending() {
    let next = taken();
    assert_eq!((next.attempts, next.due.since(NOW)), (3, Duration::from_secs(30)));
    let awaited = next.accepted.clone().expect("it is accepted");
    assert_eq!(*awaited, Awaited { receipt: receipt("m-1"), since: NOW, polls: 0 });
    let state = DeliveryState::Waiting(next);
    assert_eq!((state.status(), state.is_accepted()), (DeliveryStatus::Pending, true), "with two retries behind it");

    for (hint, wait) in [(1, 30), (300, 300), (48 * 3_600, 24 * 3_600)] {
        let fresh = waiting(after(&Waiting::fresh(NOW), &accepted(Some(Duration::from_secs(hint))), NOW));
        assert_eq!(fresh.due.since(NOW), Duration::from_secs(wait), "a hint of {hint} s delays, up to a day");
    }
}

#[test]
fn it_is_asked_for_twice_as_late_each_time_up_to_every_hour_and_makes_no_history() {
    let mut progress = taken();
    let mut waits = Vec::new();
    for _ in 0..9 {
        let now = progress.due;
        progress = waiting(after(&progress, &accepted(None), now));
        waits.push(progress.due.since(now).as_secs());
    }
    assert_eq!(waits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
    assert_eq!((progress.attempts, progress.retries_used), (3, 2));
    let awaited = progress.accepted.expect("it is accepted");
    assert_eq!((awaited.polls, awaited.receipt.clone()), (9, receipt("m-1")), "what an answer leaves out is kept");
}

#[test]
fn a_final_word_settles_it() {
    let said = |end| after(&taken(), &AttemptEnd::Outcome(end), NOW);
    let bare = Receipt { provider_id: None, facts: vec![("cost".to_owned(), "3".to_owned())] };
    let kept = Receipt { provider_id: Some("m-1".to_owned()), ..bare.clone() };
    let sent = DeliveryState::Sent { at: NOW, attempts: 4, receipt: kept, unconfirmed: false };
    assert_eq!(said(Outcome::Sent(bare)), sent);

    let rejected = said(Outcome::Rejected { blame: Blame::Message, code: None, reason: "spam".into() });
    assert!(matches!(rejected, DeliveryState::Failed { attempts: 4, reason: FailReason::Rejected { .. }, .. }));
    let gone = said(Outcome::RecipientGone { new_address: None, code: None, reason: "moved".into() });
    assert!(matches!(gone, DeliveryState::Failed { attempts: 4, reason: FailReason::RecipientGone { .. }, .. }));
}

#[test]
fn trouble_with_a_question_asks_again_and_uses_up_nothing() {
    for end in troubles() {
        let before = taken();
        let next = waiting(after(&before, &end, NOW));
        assert_eq!(next.due.since(NOW), Duration::from_mins(1), "{end:?}");
        let unchanged = Waiting { due: before.due, attempts: 3, accepted: before.accepted.clone(), ..next.clone() };
        assert_eq!((next.attempts, unchanged), (4, before), "{end:?}");
    }
    let hint = Some(Duration::from_mins(7));
    let retry = Outcome::Retry { after: hint, trouble: Trouble::Other, code: None, reason: String::new() };
    let next = waiting(after(&taken(), &AttemptEnd::Outcome(retry), NOW));
    assert_eq!(Some(next.due.since(NOW)), hint);
}

#[test]
fn a_question_that_a_shutdown_cut_off_is_asked_again_at_once() {
    let end = AttemptEnd::Interrupted { interruption: Interruption::Shutdown, message: String::new() };
    let next = waiting(after(&taken(), &end, NOW));
    assert_eq!((next.due.since(NOW), next.interrupted), (Duration::from_secs(1), 1));
    assert_eq!(next.accepted.expect("it is accepted").polls, 0, "it does not count");
}

#[test]
fn without_a_final_word_it_is_asked_a_last_time_at_its_age_and_ends_unconfirmed() {
    let last = NOW.after(Duration::from_hours(72));
    for end in troubles().into_iter().chain([accepted(None)]) {
        let mut progress = taken();
        let (mut asked, mut now) = (0, progress.due);
        let state = loop {
            asked += 1;
            match after(&progress, &end, now) {
                DeliveryState::Waiting(next) => {
                    assert!(next.due.since(now) <= HOUR && next.due <= last, "{end:?}");
                    (now, progress) = (next.due, next);
                }
                ended => break ended,
            }
        };
        assert_eq!(now, last, "{end:?}");
        let DeliveryState::Sent { at, unconfirmed: true, receipt: kept, attempts } = state else {
            panic!("{end:?} ended as {state:?}");
        };
        assert_eq!((at, kept), (last, receipt("m-1")));
        assert_eq!(asked, 78, "{end:?}");
        assert!(attempts <= 3 + asked, "the history has an end");
    }
}

#[test]
fn a_plugin_that_cannot_be_asked_any_more_leaves_it_unconfirmed() {
    let end = Outcome::Accepted { receipt: Receipt::default(), check_after: None, polled: false };
    let state = after(&taken(), &AttemptEnd::Outcome(end), NOW);
    assert_eq!(state, DeliveryState::Sent { at: NOW, attempts: 4, receipt: receipt("m-1"), unconfirmed: true });
}

#[test]
fn what_is_over_without_a_question_has_not_failed() {
    let state = settle_over(&taken(), FailReason::Poison { crashes: 3 }, NOW);
    assert_eq!(state, DeliveryState::Sent { at: NOW, attempts: 3, receipt: receipt("m-1"), unconfirmed: true });
    let state = settle_over(&Waiting::fresh(NOW), FailReason::Poison { crashes: 3 }, NOW);
    assert!(matches!(state, DeliveryState::Failed { reason: FailReason::Poison { crashes: 3 }, .. }));
}

#[test]
fn a_cancel_during_the_call_does_not_withdraw_what_the_provider_took() {
    let state = DeliveryState::Waiting(taken());
    assert_eq!(settle_cancelled(state.clone(), NOW), state);
}

fn any_answer() -> impl Strategy<Value = AttemptEnd> {
    let hint = proptest::option::of((0_u64..400_000).prop_map(Duration::from_secs));
    let trouble = (0..5_usize).prop_map(|number| troubles()[number].clone());
    prop_oneof![hint.prop_map(accepted), trouble]
}

proptest! {
    /// Whatever is answered and however late, it stays accepted until its age is over, and never fails.
    #[test]
    fn any_course_of_answers_ends_unconfirmed(
        answers in proptest::collection::vec((any_answer(), 0_u64..40_000), 200), roll in 0.0_f64..1.0
    ) {
        let policy = RetryPolicy::default();
        let last = NOW.after(policy.max_age);
        let mut progress = taken();
        for (end, late_s) in answers {
            let now = progress.due.after(Duration::from_secs(late_s));
            match settle(&progress, &end, &policy, LIFETIME, Moment { now, roll }) {
                DeliveryState::Waiting(next) => {
                    prop_assert!(next.accepted.is_some() && next.due >= now && next.due <= last.max(now));
                    prop_assert_eq!((next.retries_used, next.faults), (2, 0));
                    progress = next;
                }
                DeliveryState::Sent { unconfirmed: true, .. } => {
                    prop_assert!(now >= last);
                    return Ok(());
                }
                other => prop_assert!(false, "{:?}", other),
            }
        }
        prop_assert!(false, "it has no end");
    }
}
