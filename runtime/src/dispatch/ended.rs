//! What the end of a call says about its channel: the column "channel breaker" of the table of ends.

use std::time::Duration;

use crate::domain::{AdaptiveSignal, AttemptEnd, Outcome, RateScope, RetryPolicy, Timestamp, Trouble, Verdict};
use crate::queue::Ended;

/// What a provider is left alone for that asks for patience and does not say for how long: as `domain::settle` has it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The status with which a provider says that it has too much to do (RFC 9110 §15.6.4).
const OVERLOADED: &str = "503";

/// A call that ended like this after `took`.
pub(super) fn ended(end: &AttemptEnd, took: Duration, now: Timestamp) -> Ended {
    let load = load(end);
    Ended { called: true, verdict: verdict(end), load, took, throttled: throttled(end, now) }
}

/// Only what speaks of the provider counts: a plugin's fault and our own are not its trouble, nor is a message that it
/// refuses.
pub(super) const fn verdict(end: &AttemptEnd) -> Verdict {
    match end {
        AttemptEnd::Outcome(
            Outcome::Sent(_) | Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::RecipientGone { .. },
        ) => Verdict::Good,
        AttemptEnd::Outcome(Outcome::Retry { trouble, .. }) => match trouble {
            Trouble::Unreachable | Trouble::Server | Trouble::Timeout => Verdict::Bad,
            Trouble::Other => Verdict::Neutral,
        },
        AttemptEnd::HostDeadline { .. } => Verdict::Bad,
        AttemptEnd::Outcome(Outcome::RateLimited { .. })
        | AttemptEnd::Fault { .. }
        | AttemptEnd::Interrupted { .. } => Verdict::Neutral,
    }
}

fn load(end: &AttemptEnd) -> AdaptiveSignal {
    match end {
        AttemptEnd::Outcome(Outcome::RateLimited { scope: RateScope::Channel | RateScope::Account, .. }) => {
            AdaptiveSignal::Refused
        }
        AttemptEnd::Outcome(Outcome::Retry { trouble: Trouble::Timeout, .. }) | AttemptEnd::HostDeadline { .. } => {
            AdaptiveSignal::Overload
        }
        AttemptEnd::Outcome(Outcome::Retry { code: Some(code), .. }) if code == OVERLOADED => AdaptiveSignal::Overload,
        AttemptEnd::Outcome(
            Outcome::Sent(_) | Outcome::Accepted { .. } | Outcome::Rejected { .. } | Outcome::RecipientGone { .. },
        ) => AdaptiveSignal::Good,
        AttemptEnd::Outcome(Outcome::Retry { .. } | Outcome::RateLimited { .. })
        | AttemptEnd::Fault { .. }
        | AttemptEnd::Interrupted { .. } => AdaptiveSignal::Neutral,
    }
}

/// How much of its provider is to be left alone, and until when.
pub(super) fn throttled(end: &AttemptEnd, now: Timestamp) -> Option<(RateScope, Timestamp)> {
    match end {
        AttemptEnd::Outcome(Outcome::RateLimited { after, scope, .. }) => {
            Some((*scope, now.after(after.unwrap_or(PATIENCE).min(RetryPolicy::HINT_MAX))))
        }
        AttemptEnd::Outcome(
            Outcome::Sent(_)
            | Outcome::Accepted { .. }
            | Outcome::Retry { .. }
            | Outcome::Rejected { .. }
            | Outcome::RecipientGone { .. },
        )
        | AttemptEnd::HostDeadline { .. }
        | AttemptEnd::Fault { .. }
        | AttemptEnd::Interrupted { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Blame, Fault, Interruption, Receipt};

    fn retry(trouble: Trouble, code: Option<&str>) -> AttemptEnd {
        let code = code.map(str::to_owned);
        AttemptEnd::Outcome(Outcome::Retry { after: None, trouble, code, reason: "no".to_owned() })
    }

    fn limited(scope: RateScope, after: Option<Duration>) -> AttemptEnd {
        AttemptEnd::Outcome(Outcome::RateLimited { after, scope, code: None, reason: "slow down".to_owned() })
    }

    #[test]
    fn only_transport_server_errors_and_time_outs_count_against_a_provider() {
        let text = String::new;
        let rejected = Outcome::Rejected { blame: Blame::Channel, code: None, reason: text() };
        let rows = [
            (AttemptEnd::Outcome(Outcome::Sent(Receipt::default())), Verdict::Good, AdaptiveSignal::Good),
            (AttemptEnd::Outcome(rejected), Verdict::Good, AdaptiveSignal::Good),
            (retry(Trouble::Unreachable, None), Verdict::Bad, AdaptiveSignal::Neutral),
            (retry(Trouble::Server, Some("500")), Verdict::Bad, AdaptiveSignal::Neutral),
            (retry(Trouble::Server, Some("503")), Verdict::Bad, AdaptiveSignal::Overload),
            (retry(Trouble::Timeout, None), Verdict::Bad, AdaptiveSignal::Overload),
            (retry(Trouble::Other, Some("409")), Verdict::Neutral, AdaptiveSignal::Neutral),
            (AttemptEnd::HostDeadline { message: text() }, Verdict::Bad, AdaptiveSignal::Overload),
            (limited(RateScope::Channel, None), Verdict::Neutral, AdaptiveSignal::Refused),
            (limited(RateScope::Recipient, None), Verdict::Neutral, AdaptiveSignal::Neutral),
            (AttemptEnd::Fault { fault: Fault::Trap, message: text() }, Verdict::Neutral, AdaptiveSignal::Neutral),
            (
                AttemptEnd::Interrupted { interruption: Interruption::PoolFull, message: text() },
                Verdict::Neutral,
                AdaptiveSignal::Neutral,
            ),
        ];
        for (end, verdict, load) in rows {
            let now = Timestamp::from_millis(0);
            let ended = ended(&end, Duration::ZERO, now);
            assert_eq!((ended.verdict, ended.load), (verdict, load), "{end:?}");
        }
    }

    #[test]
    fn a_provider_is_left_alone_for_as_long_as_it_asks_and_a_day_at_most() {
        let now = Timestamp::from_millis(1_000);
        let until = |after| throttled(&limited(RateScope::Account, after), now);
        let scoped = |wait| Some((RateScope::Account, now.after(wait)));
        assert_eq!(until(Some(Duration::from_secs(7))), scoped(Duration::from_secs(7)));
        assert_eq!(until(None), scoped(Duration::from_secs(5)));
        assert_eq!(until(Some(Duration::from_hours(48))), scoped(Duration::from_hours(24)));
        assert_eq!(throttled(&retry(Trouble::Server, None), now), None);
    }
}
