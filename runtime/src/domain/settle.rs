//! The table of ends: what one attempt makes of a delivery. Pure.
//!
//! | end of a call | uses a retry | plugin fault | next |
//! |---|---|---|---|
//! | sent, rejected, recipient gone | – | no | settled |
//! | accepted, by a plugin that can be asked for the final word | – | no | asked, see `polling` |
//! | accepted, by another | – | no | settled, unconfirmed |
//! | retry; deadline inside a host call | yes | no | by policy |
//! | rate limited | no | no | after the hint |
//! | out of fuel, deadline in guest code, memory, trap, exit, bad output | no | yes | after 10 s, then 1 min; the third is a dead letter |
//! | host bug, pool full, shutdown, no plugin, quarantined | no | no | after 1 s |

mod polling;

use std::time::Duration;

use super::{AttemptEnd, DeliveryState, FailReason, Outcome, RetryPolicy, Timestamp, Waiting};

/// Waits after the first and second fault of a plugin on the same delivery; the third is final.
const FAULT_WAITS: [Duration; 2] = [Duration::from_secs(10), Duration::from_mins(1)];

/// Wait after an interruption.
const INTERRUPTED_WAIT: Duration = Duration::from_secs(1);

/// Wait after a rate limit without a hint. Providers that name none mostly count by the second or minute.
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(5);

/// The moment of a settlement: the two surprises, brought by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// One draw from `[0, 1)` for jitter.
    pub roll: f64,
}

/// What is known of a delivery besides its progress.
#[derive(Clone, Copy, Debug)]
pub struct Lifetime {
    /// When it could first be tried: `max_age` counts from here.
    pub began: Timestamp,
    /// No attempt starts at or after this.
    pub expires_at: Option<Timestamp>,
}

/// The next state of a delivery, given how one attempt ended: a call to send it, or, where its provider took it, a
/// question for the final word.
#[must_use]
pub fn settle(
    before: &Waiting,
    end: &AttemptEnd,
    policy: &RetryPolicy,
    lifetime: Lifetime,
    moment: Moment,
) -> DeliveryState {
    if let Some(awaited) = &before.accepted {
        return polling::answered(before, awaited, end, policy, moment);
    }
    let attempts = before.attempts.saturating_add(1);
    let after = Waiting { attempts, ..before.clone() };
    let failed = |reason| DeliveryState::Failed { at: moment.now, attempts, reason };
    let again = |waiting: Waiting, wait: Duration| wait_or_give_up(waiting, wait, end, policy, lifetime, moment.now);

    match end {
        AttemptEnd::Outcome(Outcome::Sent(receipt)) => {
            DeliveryState::Sent { at: moment.now, attempts, receipt: receipt.clone(), unconfirmed: false }
        }
        AttemptEnd::Outcome(Outcome::Accepted { receipt, check_after, polled: true }) => {
            polling::taken(&after, receipt.clone(), *check_after, policy, moment)
        }
        AttemptEnd::Outcome(Outcome::Accepted { receipt, polled: false, .. }) => {
            DeliveryState::Sent { at: moment.now, attempts, receipt: receipt.clone(), unconfirmed: true }
        }
        AttemptEnd::Outcome(Outcome::Rejected { blame, code, reason }) => {
            failed(FailReason::Rejected { blame: *blame, code: code.clone(), reason: reason.clone() })
        }
        AttemptEnd::Outcome(Outcome::RecipientGone { code, reason, .. }) => {
            failed(FailReason::RecipientGone { code: code.clone(), reason: reason.clone() })
        }
        AttemptEnd::Outcome(Outcome::Retry { .. }) | AttemptEnd::HostDeadline { .. } => {
            let hint = match end {
                AttemptEnd::Outcome(Outcome::Retry { after, .. }) => *after,
                _ => None,
            };
            let retries_used = before.retries_used.saturating_add(1);
            match policy.wait(retries_used, hint, moment.roll) {
                Some(wait) => again(Waiting { retries_used, ..after }, wait),
                None => failed(FailReason::Exhausted { last: last_word(end) }),
            }
        }
        AttemptEnd::Outcome(Outcome::RateLimited { after: hint, .. }) => {
            again(after, hint.unwrap_or(RATE_LIMIT_WAIT).min(RetryPolicy::HINT_MAX))
        }
        AttemptEnd::Fault { fault, message } => {
            let faults = before.faults.saturating_add(1);
            match FAULT_WAITS.get(before.faults as usize) {
                Some(wait) => again(Waiting { faults, ..after }, *wait),
                None => failed(FailReason::Fault { fault: *fault, last: message.clone() }),
            }
        }
        AttemptEnd::Interrupted { .. } => {
            again(Waiting { interrupted: before.interrupted.saturating_add(1), ..after }, INTERRUPTED_WAIT)
        }
    }
}

/// The state of a delivery that is over for `reason` without another call. What its provider took is not said to have
/// failed.
#[must_use]
pub fn settle_over(before: &Waiting, reason: FailReason, at: Timestamp) -> DeliveryState {
    match &before.accepted {
        Some(awaited) => polling::unconfirmed(awaited.receipt.clone(), before.attempts, at),
        None => DeliveryState::Failed { at, attempts: before.attempts, reason },
    }
}

/// What a cancel that came during the attempt makes of the attempt's next state: what its provider took stays as it is,
/// the rest is withdrawn.
#[must_use]
pub fn settle_cancelled(state: DeliveryState, at: Timestamp) -> DeliveryState {
    match state {
        DeliveryState::Sent { .. } | DeliveryState::Waiting(Waiting { accepted: Some(_), .. }) => state,
        DeliveryState::Waiting(_) | DeliveryState::Failed { .. } | DeliveryState::Cancelled { .. } => {
            DeliveryState::Cancelled { at, attempts: state.attempts() }
        }
    }
}

fn last_word(end: &AttemptEnd) -> String {
    end.reason().unwrap_or_default().to_owned()
}

fn wait_or_give_up(
    waiting: Waiting,
    wait: Duration,
    end: &AttemptEnd,
    policy: &RetryPolicy,
    lifetime: Lifetime,
    now: Timestamp,
) -> DeliveryState {
    let due = now.after(wait);
    let failed = |reason| DeliveryState::Failed { at: now, attempts: waiting.attempts, reason };
    if lifetime.expires_at.is_some_and(|expires_at| due >= expires_at) {
        failed(FailReason::Expired)
    } else if due.since(lifetime.began) > policy.max_age {
        failed(FailReason::TooOld { last: last_word(end) })
    } else {
        DeliveryState::Waiting(Waiting { due, ..waiting })
    }
}

#[cfg(test)]
mod tests;
