//! Values of the contract from and to values of the house. The only place where both are named.
//!
//! What comes back is bounded here, and never turned into a fault: by the time a plugin answers, its provider may have
//! acted, and a fault would send the message again. Too long a sentence is cut; a cut identifier would be a wrong one,
//! so it is left out.

use std::time::Duration;

use crate::call::{Call, TemplateProblem, TemplateVariable};
use crate::capability::log::clean;
use crate::domain::{
    Action, ActionStyle, Blame, Content, Outcome, Part, Priority, RateScope, Receipt, Recipient, Timestamp, Trouble,
};

use super::bindings::campanile::plugin::types as wit;
use super::bindings::exports::campanile::plugin::{configure, health, template_engine};
use super::channel::{ConfigProblem, Health, PreparedChannel};

/// The longest sentence taken from a plugin, in bytes.
pub(super) const REASON_MAX: usize = 1 << 10;

/// The longest provider's code, in bytes.
const CODE_MAX: usize = 128;

/// The longest provider's id or address, in bytes.
const ID_MAX: usize = 512;

/// Facts kept of a receipt: how many, and how long a name and a value may be, in bytes.
const FACTS_MAX: usize = 16;
const FACT_NAME_MAX: usize = 64;
const FACT_VALUE_MAX: usize = 512;

/// At most `max` bytes of `text`, cut between characters and marked where cut; control characters become spaces, so
/// that no plugin writes to an operator's terminal, and handles of secrets are blanked.
pub(super) fn bounded(text: &str, max: usize) -> String {
    const MARK: &str = "…";
    let cut = if text.len() <= max { text.len() } else { text.floor_char_boundary(max.saturating_sub(MARK.len())) };
    let mut bounded = clean(&text[..cut]).into_owned();
    if cut < text.len() {
        bounded.push_str(MARK);
    }
    bounded
}

/// A call as the contract has it: owns what has to be built, borrows the rest.
pub(super) struct Letter<'a> {
    call: &'a Call,
    delivery_id: String,
    notification_id: String,
    attributes: Vec<(&'a str, &'a str)>,
    metadata: Vec<(&'a str, &'a str)>,
    parts: Vec<wit::PartParam<'a>>,
    actions: Vec<wit::Action<'a>>,
}

impl<'a> Letter<'a> {
    pub(super) fn new(call: &'a Call) -> Self {
        Self {
            call,
            delivery_id: call.delivery.to_string(),
            notification_id: call.notification.id.to_string(),
            attributes: pairs(&call.recipient.attributes),
            metadata: pairs(&call.notification.metadata),
            parts: call.content.parts.iter().map(part).collect(),
            actions: call.notification.actions.iter().map(action).collect(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.call.now
    }

    pub(super) fn recipient(&self) -> wit::Recipient<'_> {
        // A plugin is told the one address that its channel takes.
        let Recipient { address, others: _, id, name, locale, time_zone, attributes: _ } = &*self.call.recipient;
        wit::Recipient {
            address,
            id: id.as_deref(),
            name: name.as_deref(),
            locale: locale.as_deref(),
            time_zone: time_zone.as_deref(),
            attributes: &self.attributes,
        }
    }

    pub(super) fn delivery(&self) -> wit::Delivery<'_> {
        wit::Delivery {
            id: &self.delivery_id,
            attempt: self.call.attempt,
            recipient: self.recipient(),
            notification: self.notification(),
        }
    }

    fn notification(&self) -> wit::Notification<'_> {
        let notification = &*self.call.notification;
        wit::Notification {
            id: &self.notification_id,
            kind: &notification.kind,
            priority: priority(notification.priority),
            content: self.content(),
            actions: &self.actions,
            // None can be submitted yet.
            attachments: &[],
            data: notification.data.as_deref(),
            metadata: &self.metadata,
            correlation_id: notification.correlation_id.as_deref(),
            group_key: notification.group_key.as_deref(),
            created_ms: notification.created_at.as_millis(),
            expires_ms: notification.expires_at.map(Timestamp::as_millis),
        }
    }

    fn content(&self) -> wit::Content<'_> {
        let Content { title, text, html, markdown, parts: _ } = &*self.call.content;
        wit::Content {
            title: title.as_deref(),
            text,
            html: html.as_deref(),
            markdown: markdown.as_deref(),
            parts: &self.parts,
        }
    }
}

pub(super) fn context(channel: &PreparedChannel, now: Timestamp, timeout_ms: u32) -> wit::Context<'_> {
    wit::Context {
        channel: channel.name.as_str(),
        config: &channel.config_json,
        now_ms: now.as_millis(),
        timeout_ms,
        extra: &[],
    }
}

pub(super) fn pairs(pairs: &[(String, String)]) -> Vec<(&str, &str)> {
    pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn part(part: &Part) -> wit::PartParam<'_> {
    wit::PartParam { name: &part.name, value: &part.value }
}

fn action(action: &Action) -> wit::Action<'_> {
    let style = match action.style {
        ActionStyle::Plain => wit::ActionStyle::Plain,
        ActionStyle::Primary => wit::ActionStyle::Primary,
        ActionStyle::Danger => wit::ActionStyle::Danger,
    };
    wit::Action { id: &action.id, label: &action.label, url: action.url.as_deref(), style }
}

fn priority(priority: Priority) -> wit::Priority {
    match priority {
        Priority::Low => wit::Priority::Low,
        Priority::Normal => wit::Priority::Normal,
        Priority::High => wit::Priority::High,
        Priority::Critical => wit::Priority::Critical,
    }
}

/// A receipt for a plugin to ask with; `facts` are its facts, borrowed.
pub(super) fn receipt_of<'a>(receipt: &'a Receipt, facts: &'a [(&'a str, &'a str)]) -> wit::ReceiptParam<'a> {
    wit::ReceiptParam { provider_id: receipt.provider_id.as_deref(), facts }
}

/// `polled`: whether the plugin can be asked about what it says was accepted.
pub(super) fn outcome(outcome: wit::Outcome, polled: bool) -> Outcome {
    let reason = |text: String| bounded(&text, REASON_MAX);
    let code = |code: Option<String>| code.map(|code| bounded(&code, CODE_MAX));
    match outcome {
        wit::Outcome::Sent(given) => Outcome::Sent(receipt(given)),
        wit::Outcome::Accepted(pending) => {
            Outcome::Accepted { receipt: receipt(pending.receipt), check_after: after(pending.check_after_ms), polled }
        }
        wit::Outcome::Retry(retry) => Outcome::Retry {
            after: after(retry.after_ms),
            trouble: match retry.trouble {
                wit::Trouble::Unreachable => Trouble::Unreachable,
                wit::Trouble::Server => Trouble::Server,
                wit::Trouble::Timeout => Trouble::Timeout,
                wit::Trouble::Other => Trouble::Other,
            },
            code: code(retry.code),
            reason: reason(retry.reason),
        },
        wit::Outcome::RateLimited(limit) => Outcome::RateLimited {
            after: after(limit.after_ms),
            scope: match limit.scope {
                wit::Scope::Recipient => RateScope::Recipient,
                wit::Scope::Channel => RateScope::Channel,
                wit::Scope::Account => RateScope::Account,
            },
            code: code(limit.code),
            reason: reason(limit.reason),
        },
        wit::Outcome::Rejected(rejection) => Outcome::Rejected {
            blame: match rejection.blame {
                wit::Blame::Message => Blame::Message,
                wit::Blame::Channel => Blame::Channel,
            },
            code: code(rejection.code),
            reason: reason(rejection.reason),
        },
        wit::Outcome::RecipientGone(gone) => Outcome::RecipientGone {
            new_address: identifier(gone.new_address),
            code: code(gone.code),
            reason: reason(gone.reason),
        },
    }
}

fn receipt(receipt: wit::ReceiptResult) -> Receipt {
    let short = |fact: &(String, String)| fact.0.len() <= FACT_NAME_MAX && fact.1.len() <= FACT_VALUE_MAX;
    Receipt {
        provider_id: identifier(receipt.provider_id),
        facts: receipt.facts.into_iter().filter(short).take(FACTS_MAX).collect(),
    }
}

fn identifier(id: Option<String>) -> Option<String> {
    id.filter(|id| !id.is_empty() && id.len() <= ID_MAX && !id.contains(char::is_control))
}

fn after(ms: Option<u32>) -> Option<Duration> {
    ms.map(|ms| Duration::from_millis(ms.into()))
}

pub(super) fn config_problem(problem: &configure::ConfigProblem) -> ConfigProblem {
    ConfigProblem { at: bounded(&problem.at, ID_MAX), message: bounded(&problem.message, REASON_MAX) }
}

pub(super) fn health(state: health::State) -> Health {
    match state {
        health::State::Ok(text) => Health::Ok(bounded(&text, REASON_MAX)),
        health::State::Degraded(text) => Health::Degraded(bounded(&text, REASON_MAX)),
        health::State::Down(text) => Health::Down(bounded(&text, REASON_MAX)),
    }
}

pub(super) fn variable(variable: template_engine::Variable) -> TemplateVariable {
    TemplateVariable { name: variable.name, required: variable.required }
}

pub(super) fn template_problem(problem: &template_engine::Problem) -> TemplateProblem {
    TemplateProblem {
        part: bounded(&problem.part, CODE_MAX),
        line: problem.line,
        column: problem.column,
        message: bounded(&problem.message, REASON_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bounded_text_keeps_to_its_bound_and_holds_no_control_character(text in "\\PC{0,40}|.{0,40}", max in 3_usize..60) {
            let kept = bounded(&text, max);
            prop_assert!(kept.len() <= max, "{} > {max}", kept.len());
            prop_assert!(!kept.contains(char::is_control));
            prop_assert_eq!(text.len() > max, kept != text.replace(char::is_control, " "));
        }
    }

    #[test]
    fn an_identifier_is_whole_or_left_out() {
        assert_eq!(identifier(Some("m-1".to_owned())).as_deref(), Some("m-1"));
        assert_eq!(identifier(Some("x".repeat(ID_MAX + 1))), None);
        assert_eq!(identifier(Some("a\nb".to_owned())), None);
        assert_eq!(identifier(Some(String::new())), None);
    }

    #[test]
    fn a_receipt_keeps_a_few_short_facts() {
        let long = ("long".to_owned(), "x".repeat(FACT_VALUE_MAX + 1));
        let facts = [long].into_iter().chain((0..40).map(|n| (n.to_string(), String::new()))).collect();
        let kept = receipt(wit::ReceiptResult { provider_id: None, facts }).facts;
        assert_eq!(kept.len(), FACTS_MAX);
        assert_eq!(kept[0].0, "0");
    }
}
