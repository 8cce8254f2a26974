//! What is asked for: filters of notifications, of dead letters and of the audit log, from a query or from a body.

use std::fmt::Display;

use super::cursor::Mark;
use super::query::Named;
use super::submission::instant;
use crate::domain::{
    AuditAction, AuditTarget, CallbackName, ChannelName, DeliveryStatus, FailReason, NotificationId,
    NotificationStatus, Priority, Timestamp,
};
use crate::intake::limits::{ADDRESS_BYTES_MAX, KEY_BYTES_MAX, WORD_BYTES_MAX};
use crate::intake::{ProblemCode, Problems};
use crate::runtime::{AuditFilter, DeadCallbackFilter, DeadLetterFilter, NotificationFilter};

/// The longest target there is: a file that was taken for a plugin.
const TARGET_BYTES_MAX: usize = 255;

/// What notifications are filtered by.
pub(super) const OF_NOTIFICATIONS: [&str; 13] = [
    "status",
    "priority",
    "channel",
    "recipient",
    "kind",
    "correlation_id",
    "metadata",
    "delivery_status",
    "held",
    "since",
    "until",
    "due_since",
    "due_until",
];

/// What dead letters are filtered by.
pub(super) const OF_DEAD_LETTERS: [&str; 8] =
    ["reason", "priority", "channel", "recipient", "kind", "correlation_id", "since", "until"];

/// What the audit log is filtered by.
pub(super) const OF_AUDIT: [&str; 4] = ["action", "target", "since", "until"];

/// What dead letters of callbacks are filtered by.
pub(super) const OF_DEAD_CALLBACKS: [&str; 4] = ["callback", "notification", "since", "until"];

/// Takes the filters of dead letters of callbacks; one that cannot be read is left out and stands among the problems.
pub(super) fn dead_callbacks(from: &mut impl Named, problems: &mut Problems) -> DeadCallbackFilter {
    let (since, until) = range(from, ["since", "until"], problems);
    let id = |text: &str| text.parse::<NotificationId>().map_err(|_| "must be the id of a notification, `ntf_…`");
    DeadCallbackFilter {
        callback: from.parse("callback", CallbackName::new, problems),
        notification: from.parse("notification", id, problems),
        since,
        until,
    }
}

/// Takes the filters of notifications; one that cannot be read is left out and stands among the problems. With it,
/// whether only what is held is asked for.
pub(super) fn notifications(from: &mut impl Named, problems: &mut Problems) -> (NotificationFilter, bool) {
    let (since, until) = range(from, ["since", "until"], problems);
    let (due_since, due_until) = range(from, ["due_since", "due_until"], problems);
    let filter = NotificationFilter {
        status: from.parse("status", str::parse::<NotificationStatus>, problems),
        priority: from.parse("priority", str::parse::<Priority>, problems),
        kind: bounded(from, "kind", WORD_BYTES_MAX, problems),
        correlation_id: bounded(from, "correlation_id", KEY_BYTES_MAX, problems),
        metadata: from.parse("metadata", pair, problems),
        delivery_status: from.parse("delivery_status", str::parse::<DeliveryStatus>, problems),
        channel: from.parse("channel", ChannelName::new, problems),
        recipient: bounded(from, "recipient", ADDRESS_BYTES_MAX, problems),
        since,
        until,
        due_since,
        due_until,
        waits_for: None,
    };
    (filter, from.yes("held", problems))
}

/// Takes the filters of dead letters; one that cannot be read is left out and stands among the problems.
pub(super) fn dead_letters(from: &mut impl Named, problems: &mut Problems) -> DeadLetterFilter {
    let (since, until) = range(from, ["since", "until"], problems);
    DeadLetterFilter {
        reason: from.parse("reason", reason, problems),
        priority: from.parse("priority", str::parse::<Priority>, problems),
        channel: from.parse("channel", ChannelName::new, problems),
        recipient: bounded(from, "recipient", ADDRESS_BYTES_MAX, problems),
        kind: bounded(from, "kind", WORD_BYTES_MAX, problems),
        correlation_id: bounded(from, "correlation_id", KEY_BYTES_MAX, problems),
        since,
        until,
    }
}

/// Takes the filters of the audit log; one that cannot be read is left out and stands among the problems.
pub(super) fn audit(from: &mut impl Named, problems: &mut Problems) -> AuditFilter {
    let (since, until) = range(from, ["since", "until"], problems);
    AuditFilter {
        action: from.parse("action", str::parse::<AuditAction>, problems),
        target: bounded(from, "target", TARGET_BYTES_MAX, problems).map(|text| AuditTarget::from(&*text)),
        since,
        until,
    }
}

/// A stretch of time with something in it.
fn range(
    from: &mut impl Named,
    [since, until]: [&str; 2],
    problems: &mut Problems,
) -> (Option<Timestamp>, Option<Timestamp>) {
    let range = (from.parse(since, instant, problems), from.parse(until, instant, problems));
    if let (Some(begin), Some(end)) = range
        && begin >= end
    {
        let message = format!("is not before `{until}`: there is nothing between them");
        problems.add(from.place(since), ProblemCode::Conflict, message);
    }
    range
}

/// A text that is found as it was given. It may be personal: no message repeats it.
fn bounded(from: &mut impl Named, name: &str, max: usize, problems: &mut Problems) -> Option<String> {
    let text = from.word(name, problems)?;
    if text.len() > max {
        let message = format!("has {} bytes, and none has more than {max}", text.len());
        problems.add(from.place(name), ProblemCode::TooLong, message);
        return None;
    }
    Some(text)
}

/// A pair as it is written for `send --metadata`. It may be personal: no message repeats it.
fn pair(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("must be a key and its value, such as `team=infra`"),
    }
}

fn reason(text: &str) -> Result<String, String> {
    if FailReason::WORDS.contains(&text) {
        return Ok(text.to_owned());
    }
    Err(format!("must be one of `{}`", FailReason::WORDS.join("`, `")))
}

fn shown(value: Option<&impl Display>) -> Option<String> {
    value.map(ToString::to_string)
}

/// What a cursor remembers of these filters.
pub(super) fn mark_of_dead_callbacks(filter: &DeadCallbackFilter) -> Mark {
    let DeadCallbackFilter { callback, notification, since, until } = filter;
    Mark::of([
        ("callback", shown(callback.as_ref())),
        ("notification", shown(notification.as_ref())),
        ("since", shown(since.as_ref())),
        ("until", shown(until.as_ref())),
    ])
}

/// What a cursor remembers of these filters.
pub(super) fn mark_of_notifications((filter, held): &(NotificationFilter, bool)) -> Mark {
    let NotificationFilter { status, priority, kind, correlation_id, channel, recipient, .. } = filter;
    let NotificationFilter { metadata, delivery_status, since, until, due_since, due_until, .. } = filter;
    Mark::of([
        ("status", status.map(|status| status.as_str().to_owned())),
        ("priority", shown(priority.as_ref())),
        ("kind", kind.clone()),
        ("correlation_id", correlation_id.clone()),
        ("metadata", metadata.as_ref().map(|(key, value)| format!("{key}={value}"))),
        ("delivery_status", delivery_status.map(|status| status.as_str().to_owned())),
        ("channel", shown(channel.as_ref())),
        ("recipient", recipient.clone()),
        ("since", shown(since.as_ref())),
        ("until", shown(until.as_ref())),
        ("due_since", shown(due_since.as_ref())),
        ("due_until", shown(due_until.as_ref())),
        ("held", held.then(|| "true".to_owned())),
    ])
}

/// What a cursor remembers of these filters.
pub(super) fn mark_of_dead_letters(filter: &DeadLetterFilter) -> Mark {
    let DeadLetterFilter { reason, priority, channel, recipient, kind, correlation_id, since, until } = filter;
    Mark::of([
        ("reason", reason.clone()),
        ("priority", shown(priority.as_ref())),
        ("channel", shown(channel.as_ref())),
        ("recipient", recipient.clone()),
        ("kind", kind.clone()),
        ("correlation_id", correlation_id.clone()),
        ("since", shown(since.as_ref())),
        ("until", shown(until.as_ref())),
    ])
}

/// What a cursor remembers of these filters.
pub(super) fn mark_of_audit(filter: &AuditFilter) -> Mark {
    let AuditFilter { action, target, since, until } = filter;
    Mark::of([
        ("action", action.map(|action| action.as_str().to_owned())),
        ("target", shown(target.as_ref())),
        ("since", shown(since.as_ref())),
        ("until", shown(until.as_ref())),
    ])
}

#[cfg(test)]
mod tests;
