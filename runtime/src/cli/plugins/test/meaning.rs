//! What an end means, as cases spell it: one key, the variant; keys that say nothing are left out.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::config::format_duration;
use crate::domain::{AttemptEnd, Blame, Outcome, RateScope, Receipt, Trouble};

pub(in super::super) fn meaning(end: &AttemptEnd) -> Value {
    match end {
        AttemptEnd::Outcome(outcome) => of_outcome(outcome),
        AttemptEnd::HostDeadline { .. } => json!({ "deadline": {} }),
        AttemptEnd::Fault { fault, message } => json!({ "fault": { "class": fault.as_str(), "reason": message } }),
        AttemptEnd::Interrupted { interruption, message } => {
            json!({ "interrupted": { "class": interruption.as_str(), "reason": message } })
        }
    }
}

fn of_outcome(outcome: &Outcome) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            fields.insert(name.into(), value);
        }
    };
    let ms = |delay: &Option<Duration>| {
        delay.map(|delay| u64::try_from(delay.as_millis()).unwrap_or(u64::MAX)).map(Value::from)
    };
    let text = |text: &Option<String>| text.clone().map(Value::from);
    let variant = match outcome {
        Outcome::Sent(receipt) => {
            put_receipt(&mut put, receipt);
            "sent"
        }
        Outcome::Accepted { receipt, check_after, polled: _ } => {
            put_receipt(&mut put, receipt);
            put("check_after_ms", ms(check_after));
            "accepted"
        }
        Outcome::Retry { after, trouble, code, reason } => {
            put("after_ms", ms(after));
            put("trouble", Some(trouble_word(*trouble).into()));
            put("code", text(code));
            put("reason", Some(reason.clone().into()));
            "retry"
        }
        Outcome::RateLimited { after, scope, code, reason } => {
            put("after_ms", ms(after));
            put("scope", Some(scope_word(*scope).into()));
            put("code", text(code));
            put("reason", Some(reason.clone().into()));
            "rate_limited"
        }
        Outcome::Rejected { blame, code, reason } => {
            put("blame", Some(blame_word(*blame).into()));
            put("code", text(code));
            put("reason", Some(reason.clone().into()));
            "rejected"
        }
        Outcome::RecipientGone { new_address, code, reason } => {
            put("new_address", text(new_address));
            put("code", text(code));
            put("reason", Some(reason.clone().into()));
            "recipient_gone"
        }
    };
    json!({ variant: fields })
}

fn put_receipt(put: &mut impl FnMut(&str, Option<Value>), receipt: &Receipt) {
    let facts: Map<_, _> = receipt.facts.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
    put("provider_id", receipt.provider_id.clone().map(Value::from));
    put("facts", (!facts.is_empty()).then_some(facts.into()));
}

/// The same in a few words, for a table.
pub(in super::super) fn word(end: &AttemptEnd) -> String {
    let after =
        |delay: &Option<Duration>| delay.map_or_else(String::new, |delay| format!(" after {}", format_duration(delay)));
    match end {
        AttemptEnd::Outcome(outcome) => match outcome {
            Outcome::Sent(_) => "sent".to_owned(),
            Outcome::Accepted { check_after, .. } => format!("accepted, to be asked{}", after(check_after)),
            Outcome::Retry { after: delay, trouble, .. } => {
                format!("retry ({}){}", trouble_word(*trouble), after(delay))
            }
            Outcome::RateLimited { after: delay, scope, .. } => {
                format!("rate-limited ({}){}", scope_word(*scope), after(delay))
            }
            Outcome::Rejected { blame, .. } => format!("rejected ({})", blame_word(*blame)),
            Outcome::RecipientGone { .. } => "recipient-gone".to_owned(),
        },
        AttemptEnd::HostDeadline { .. } => "no answer before the deadline".to_owned(),
        AttemptEnd::Fault { fault, .. } => format!("fault ({})", fault.as_str()),
        AttemptEnd::Interrupted { interruption, .. } => format!("interrupted ({})", interruption.as_str()),
    }
}

const fn trouble_word(trouble: Trouble) -> &'static str {
    match trouble {
        Trouble::Unreachable => "unreachable",
        Trouble::Server => "server",
        Trouble::Timeout => "timeout",
        Trouble::Other => "other",
    }
}

const fn scope_word(scope: RateScope) -> &'static str {
    match scope {
        RateScope::Recipient => "recipient",
        RateScope::Channel => "channel",
        RateScope::Account => "account",
    }
}

const fn blame_word(blame: Blame) -> &'static str {
    match blame {
        Blame::Message => "message",
        Blame::Channel => "channel",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_spelled_as_the_cases_spell_it() {
        let end = AttemptEnd::Outcome(Outcome::RateLimited {
            after: Some(Duration::from_secs(30)),
            scope: RateScope::Channel,
            code: Some("http-429".to_owned()),
            reason: "slow down".to_owned(),
        });
        let spelled = json!({ "rate_limited": {
            "after_ms": 30_000, "scope": "channel", "code": "http-429", "reason": "slow down" } });
        assert_eq!(meaning(&end), spelled);
        assert_eq!(word(&end), "rate-limited (channel) after 30s");
        assert_eq!(meaning(&AttemptEnd::Outcome(Outcome::Sent(Receipt::default()))), json!({ "sent": {} }));
    }
}
