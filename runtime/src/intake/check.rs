//! Everything that can be said of a submission by looking at it alone.

use std::collections::HashSet;

use super::limits::{
    ACTION_LABEL_BYTES_MAX, ACTION_SCHEMES, ACTION_URL_BYTES_MAX, ACTIONS_MAX, ADDRESS_BYTES_MAX, ADDRESSES_MAX,
    CHANNELS_MAX, DATA_BYTES_MAX, DATA_DEPTH_MAX, HTML_BYTES_MAX, IDEMPOTENCY_KEY_BYTES_MAX, KEY_BYTES_MAX,
    LOCALE_BYTES_MAX, METADATA_KEY_BYTES_MAX, METADATA_MAX, METADATA_VALUE_BYTES_MAX, PARTS_MAX, PERSON_NAME_BYTES_MAX,
    RECIPIENTS_MAX, SCHEDULED_AHEAD_MAX, SCHEDULED_PAST_MAX, TEXT_BYTES_MAX, TIME_ZONE_BYTES_MAX, TITLE_BYTES_MAX,
    WORD_BYTES_MAX,
};
use super::problem::{ProblemCode, Problems, pointer};
use super::submission::{Submission, SubmittedAction};
use crate::domain::{Action, Timestamp};
use crate::route::{Contact, To};

/// Notes every problem that `submission` has by itself.
pub(super) fn check(submission: &Submission, now: Timestamp, problems: &mut Problems) {
    check_recipients(&submission.to, problems);
    if submission.channels.len() > CHANNELS_MAX {
        too_many("/channels", "channels", submission.channels.len(), CHANNELS_MAX, problems);
    }
    if let Some(kind) = &submission.kind {
        check_word("/kind", kind, problems);
    }
    check_content(submission, problems);
    if let Some(data) = &submission.data {
        check_data(data, problems);
    }
    check_actions(&submission.actions, problems);
    check_times(submission, now, problems);
    let keys = [
        ("/correlation_id", &submission.correlation_id),
        ("/group_key", &submission.group_key),
        ("/dedupe_key", &submission.dedupe_key),
    ];
    for (at, key) in keys {
        if let Some(key) = key {
            check_line(at, key, KEY_BYTES_MAX, problems);
        }
    }
    if let Some(key) = &submission.idempotency_key {
        check_idempotency_key(key, problems);
    }
    check_metadata(&submission.metadata, problems);
}

fn too_many(at: &str, what: &str, count: usize, limit: usize, problems: &mut Problems) {
    problems.add(at, ProblemCode::TooMany, format!("{count} {what}, the limit is {limit}"));
}

/// Whether it is short enough.
fn check_length(at: &str, text: &str, limit: usize, problems: &mut Problems) -> bool {
    let fits = text.len() <= limit;
    if !fits {
        problems.add(at, ProblemCode::TooLong, format!("{} bytes, the limit is {limit}", text.len()));
    }
    fits
}

/// Something of one line: not empty, and without control characters, which would break headers further on.
fn check_line(at: &str, text: &str, limit: usize, problems: &mut Problems) {
    if text.trim().is_empty() {
        problems.add(at, ProblemCode::Empty, "there is nothing in it");
    } else if check_length(at, text, limit, problems) && text.chars().any(char::is_control) {
        problems.add(at, ProblemCode::BadValue, "has a line break or another control character");
    }
}

fn check_idempotency_key(key: &str, problems: &mut Problems) {
    const AT: &str = "/idempotency_key";
    if key.is_empty() {
        problems.add(AT, ProblemCode::Empty, "there is nothing in it");
    } else if check_length(AT, key, IDEMPOTENCY_KEY_BYTES_MAX, problems)
        && !key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        problems.add(AT, ProblemCode::BadValue, "may have visible ASCII characters, and nothing else: no space");
    }
}

fn check_word(at: &str, word: &str, problems: &mut Problems) {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if word.is_empty() {
        problems.add(at, ProblemCode::Empty, "there is nothing in it");
    } else if check_length(at, word, WORD_BYTES_MAX, problems) && !word.chars().all(allowed) {
        problems.add(at, ProblemCode::BadValue, "may have letters, digits, `-`, `_` and `.`, and nothing else");
    }
}

fn check_recipients(recipients: &[To], problems: &mut Problems) {
    if recipients.len() > RECIPIENTS_MAX {
        too_many("/to", "recipients", recipients.len(), RECIPIENTS_MAX, problems);
        return;
    }
    for (place, to) in recipients.iter().enumerate() {
        match to {
            To::Address(address) => check_line(&format!("/to/{place}"), address, ADDRESS_BYTES_MAX, problems),
            To::Contact(contact) => check_contact(&format!("/to/{place}"), contact, problems),
        }
    }
}

fn check_contact(at: &str, contact: &Contact, problems: &mut Problems) {
    let Contact { addresses, name, locale, time_zone } = contact;
    if addresses.len() > ADDRESSES_MAX {
        too_many(at, "addresses", addresses.len(), ADDRESSES_MAX, problems);
    }
    let mut kinds = HashSet::new();
    for (kind, address) in addresses.iter().take(ADDRESSES_MAX) {
        let at = pointer(at, kind);
        check_word(&at, kind, problems);
        check_line(&at, address, ADDRESS_BYTES_MAX, problems);
        if !kinds.insert(kind) {
            problems.add(at, ProblemCode::DuplicateField, "a second address of the same kind");
        }
    }
    let lines = [
        ("name", name, PERSON_NAME_BYTES_MAX),
        ("locale", locale, LOCALE_BYTES_MAX),
        ("time_zone", time_zone, TIME_ZONE_BYTES_MAX),
    ];
    for (key, line, limit) in lines {
        if let Some(line) = line {
            check_line(&pointer(at, key), line, limit, problems);
        }
    }
}

fn check_content(submission: &Submission, problems: &mut Problems) {
    let Submission { title, body, html, markdown, parts, template, .. } = submission;
    if let Some(title) = title {
        check_line("/title", title, TITLE_BYTES_MAX, problems);
    }
    let forms =
        [("/body", body, TEXT_BYTES_MAX), ("/html", html, HTML_BYTES_MAX), ("/markdown", markdown, TEXT_BYTES_MAX)];
    for (at, form, limit) in forms {
        let Some(form) = form else { continue };
        if template.is_some() {
            problems.add(at, ProblemCode::Conflict, "the template writes it: give one of the two");
        } else if form.trim().is_empty() {
            problems.add(at, ProblemCode::Empty, "there is nothing in it");
        } else {
            check_length(at, form, limit, problems);
        }
    }
    if body.is_none() && template.is_none() {
        problems.add("/body", ProblemCode::Missing, "there is neither a `body` nor a `template`");
    }
    if parts.len() > PARTS_MAX {
        too_many("/parts", "parts", parts.len(), PARTS_MAX, problems);
    }
    let mut names = HashSet::new();
    for part in parts.iter().take(PARTS_MAX) {
        let at = pointer("/parts", &part.name);
        check_word(&at, &part.name, problems);
        check_length(&at, &part.value, TEXT_BYTES_MAX, problems);
        if !names.insert(&part.name) {
            problems.add(at, ProblemCode::DuplicateField, "a second part of the same name");
        }
    }
}

fn check_data(data: &str, problems: &mut Problems) {
    if !check_length("/data", data, DATA_BYTES_MAX, problems) {
        return;
    }
    // Before the parser, which recurses.
    if depth(data) > DATA_DEPTH_MAX {
        problems.add("/data", ProblemCode::TooDeep, format!("nested more than {DATA_DEPTH_MAX} deep"));
    } else if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(data) {
        problems.add("/data", ProblemCode::BadValue, format!("is not JSON: {error}"));
    } else if !data.trim_start().starts_with('{') {
        problems.add("/data", ProblemCode::WrongType, "must be an object");
    }
}

/// How deep objects and arrays of a JSON text are nested.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

fn check_actions(actions: &[SubmittedAction], problems: &mut Problems) {
    if actions.len() > ACTIONS_MAX {
        too_many("/actions", "actions", actions.len(), ACTIONS_MAX, problems);
    }
    let mut ids = HashSet::new();
    for (place, action) in actions.iter().take(ACTIONS_MAX).enumerate() {
        let at = format!("/actions/{place}");
        check_line(&format!("{at}/label"), &action.label, ACTION_LABEL_BYTES_MAX, problems);
        if let Some(id) = &action.id {
            check_word(&format!("{at}/id"), id, problems);
        }
        if !ids.insert(action_id(place, action)) {
            problems.add(format!("{at}/id"), ProblemCode::BadValue, "another action has the same id");
        }
        if let Some(url) = &action.url {
            check_url(&format!("{at}/url"), url, problems);
        }
    }
}

fn check_url(at: &str, text: &str, problems: &mut Problems) {
    if !check_length(at, text, ACTION_URL_BYTES_MAX, problems) {
        return;
    }
    match url::Url::parse(text) {
        Err(error) => problems.add(at, ProblemCode::BadValue, format!("is not an absolute URL: {error}")),
        Ok(url) if ACTION_SCHEMES.contains(&url.scheme()) => {}
        Ok(_) => {
            let schemes = ACTION_SCHEMES.map(|scheme| format!("`{scheme}:`")).join(", ");
            problems.add(at, ProblemCode::BadValue, format!("must lead to one of {schemes}"));
        }
    }
}

fn action_id(place: usize, action: &SubmittedAction) -> String {
    action.id.clone().unwrap_or_else(|| (place + 1).to_string())
}

/// Actions with their ids filled in.
pub(super) fn actions_of(actions: Vec<SubmittedAction>) -> Vec<Action> {
    let with_id = |(place, action): (usize, SubmittedAction)| {
        let id = action_id(place, &action);
        Action { id, label: action.label, url: action.url, style: action.style }
    };
    actions.into_iter().enumerate().map(with_id).collect()
}

fn check_times(submission: &Submission, now: Timestamp, problems: &mut Problems) {
    let start = submission.scheduled_at.map_or(now, |at| at.max(now));
    if submission.scheduled_at.is_some_and(|at| now.since(at) > SCHEDULED_PAST_MAX) {
        let message = "is more than 24 h ago: leave it out to send now";
        problems.add("/scheduled_at", ProblemCode::TooOld, message);
    }
    if submission.scheduled_at.is_some_and(|at| at.since(now) > SCHEDULED_AHEAD_MAX) {
        let days = SCHEDULED_AHEAD_MAX.as_secs() / (24 * 60 * 60);
        let message = format!("is more than {days} days ahead, the limit: submit it when its time is nearer");
        problems.add("/scheduled_at", ProblemCode::TooFarAhead, message);
    }
    if submission.expires_at.is_some_and(|at| at <= start) {
        let message = "must be later than now and than `scheduled_at`: nothing could be sent";
        problems.add("/expires_at", ProblemCode::BadValue, message);
    }
}

fn check_metadata(metadata: &[(String, String)], problems: &mut Problems) {
    if metadata.len() > METADATA_MAX {
        too_many("/metadata", "pairs", metadata.len(), METADATA_MAX, problems);
    }
    let mut keys = HashSet::new();
    for (key, value) in metadata.iter().take(METADATA_MAX) {
        let at = pointer("/metadata", key);
        check_line(&at, key, METADATA_KEY_BYTES_MAX, problems);
        check_length(&at, value, METADATA_VALUE_BYTES_MAX, problems);
        if !keys.insert(key) {
            problems.add(at, ProblemCode::DuplicateField, "a second value for the same key");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::depth;

    #[test]
    fn depth_counts_brackets_outside_of_strings() {
        assert_eq!(depth(r#"{"a": [[1], {"b": "[[[[\"[["}]}"#), 3);
        assert_eq!(depth("7"), 0);
        assert_eq!(depth("]]}}["), 1);
    }
}
