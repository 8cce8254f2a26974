//! What a provider took is asked for its final word, and never sent again.
//!
//! | answer | next |
//! |---|---|
//! | sent, rejected, recipient gone | settled |
//! | accepted, by a plugin that can be asked again | asked again; no attempt of the history |
//! | accepted, by one that cannot | settled, unconfirmed |
//! | retry, rate limited, any fault, deadline or interruption | asked again; uses up no retry |
//!
//! It is asked after 30 s, then after twice as long each time, up to every hour; the plugin's hint may only delay. The
//! last question comes `max_age` after the provider took it: whatever has no final word then is sent, unconfirmed. An
//! `expires_at` ends nothing: it is about sending.

use std::sync::Arc;
use std::time::Duration;

use super::{INTERRUPTED_WAIT, Moment};
use crate::domain::{
    AttemptEnd, Awaited, Backoff, DeliveryState, FailReason, Interruption, Jitter, Outcome, Receipt, RetryPolicy,
    Timestamp, Waiting,
};

/// How the waits between two questions grow.
const BACKOFF: Backoff =
    Backoff::Exponential { initial: Duration::from_secs(30), factor: 2.0, max_interval: Duration::from_hours(1) };

/// What was taken together is not asked for together, and nothing earlier than said.
const JITTER: Jitter = Jitter::Plus(0.1);

/// The provider took it just now.
pub(super) fn taken(
    after: &Waiting,
    receipt: Receipt,
    hint: Option<Duration>,
    policy: &RetryPolicy,
    moment: Moment,
) -> DeliveryState {
    ask(after, Awaited { receipt, since: moment.now, polls: 0 }, hint, policy, moment)
}

/// What the answer to a question makes of a delivery.
pub(super) fn answered(
    before: &Waiting,
    awaited: &Awaited,
    end: &AttemptEnd,
    policy: &RetryPolicy,
    moment: Moment,
) -> DeliveryState {
    let attempts = before.attempts.saturating_add(1);
    let failed = |reason| DeliveryState::Failed { at: moment.now, attempts, reason };
    let asked = |receipt| Awaited { receipt, since: awaited.since, polls: awaited.polls.saturating_add(1) };
    let hint = match end {
        AttemptEnd::Outcome(Outcome::Sent(receipt)) => {
            let receipt = receipt.clone().filled_from(&awaited.receipt);
            return DeliveryState::Sent { at: moment.now, attempts, receipt, unconfirmed: false };
        }
        AttemptEnd::Outcome(Outcome::Accepted { receipt, polled: false, .. }) => {
            return unconfirmed(receipt.clone().filled_from(&awaited.receipt), attempts, moment.now);
        }
        AttemptEnd::Outcome(Outcome::Accepted { receipt, check_after, polled: true }) => {
            let receipt = receipt.clone().filled_from(&awaited.receipt);
            return ask(before, asked(receipt), *check_after, policy, moment);
        }
        AttemptEnd::Outcome(Outcome::Rejected { blame, code, reason }) => {
            return failed(FailReason::Rejected { blame: *blame, code: code.clone(), reason: reason.clone() });
        }
        AttemptEnd::Outcome(Outcome::RecipientGone { code, reason, .. }) => {
            return failed(FailReason::RecipientGone { code: code.clone(), reason: reason.clone() });
        }
        AttemptEnd::Interrupted { interruption: Interruption::Shutdown, .. } => {
            // Nobody had the time to answer: the next start asks at once.
            let accepted = Some(Arc::new(awaited.clone()));
            return DeliveryState::Waiting(Waiting {
                due: moment.now.after(INTERRUPTED_WAIT),
                attempts,
                interrupted: before.interrupted.saturating_add(1),
                accepted,
                ..before.clone()
            });
        }
        AttemptEnd::Outcome(Outcome::Retry { after, .. } | Outcome::RateLimited { after, .. }) => *after,
        AttemptEnd::HostDeadline { .. } | AttemptEnd::Fault { .. } | AttemptEnd::Interrupted { .. } => None,
    };
    let after = Waiting { attempts, ..before.clone() };
    ask(&after, asked(awaited.receipt.clone()), hint, policy, moment)
}

/// Taken by the provider, and nobody will tell its final word.
pub(super) const fn unconfirmed(receipt: Receipt, attempts: u32, at: Timestamp) -> DeliveryState {
    DeliveryState::Sent { at, attempts, receipt, unconfirmed: true }
}

/// Asks once more, unless that was the last time.
fn ask(
    after: &Waiting,
    awaited: Awaited,
    hint: Option<Duration>,
    policy: &RetryPolicy,
    moment: Moment,
) -> DeliveryState {
    let last = awaited.since.after(policy.max_age);
    if awaited.polls > 0 && moment.now >= last {
        return unconfirmed(awaited.receipt, after.attempts, moment.now);
    }
    let planned = JITTER.applied(BACKOFF.wait(awaited.polls.saturating_add(1)), moment.roll);
    let wait = planned.max(hint.unwrap_or_default().min(RetryPolicy::HINT_MAX));
    let due = moment.now.after(wait).min(last).max(moment.now);
    DeliveryState::Waiting(Waiting { due, accepted: Some(Arc::new(awaited)), ..after.clone() })
}

#[cfg(test)]
mod tests;
