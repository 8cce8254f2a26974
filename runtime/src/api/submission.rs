//! A notification in JSON → a [`Submission`], with every problem on the way.

use jiff::Timestamp as Instant;

use super::decode::{Object, Raw, decode_owned, is_text, text, wrong_type};
use crate::domain::{ActionStyle, Actor, Part, Priority, Timestamp};
use crate::intake::limits::{ACTIONS_MAX, CHANNELS_MAX, RECIPIENTS_MAX};
use crate::intake::{Contact, Problem, ProblemCode, Problems, Submission, SubmittedAction, To};

/// What RFC 3339 lets an offset have.
const OFFSET_HOURS_MAX: u8 = 23;

/// Every field of a notification.
const FIELDS: [&str; 20] = [
    "to",
    "channels",
    "kind",
    "priority",
    "title",
    "body",
    "html",
    "markdown",
    "parts",
    "template",
    "data",
    "actions",
    "scheduled_at",
    "expires_at",
    "correlation_id",
    "group_key",
    "metadata",
    "dedupe_key",
    "idempotency_key",
    "callback_url",
];

/// What fields are called by other programs.
const ELSEWHERE: [(&str, &str); 8] = [
    ("message", "body"),
    ("text", "body"),
    ("content", "body"),
    ("subject", "title"),
    ("type", "kind"),
    ("recipient", "to"),
    ("recipients", "to"),
    ("level", "priority"),
];

/// Fields of the interface that this version does not serve yet: taken where they say nothing.
const LATER: [&str; 2] = ["topic", "attachments"];

/// Reads one notification. What could not be read is left out, and stands among the problems.
pub(super) fn read(raw: Raw<'_>, problems: &mut Problems) -> Submission {
    let Some(mut object) = Object::read(String::new(), raw, problems) else { return Submission::default() };
    let o = &mut object;
    let submission = Submission {
        to: recipients(o, problems),
        channels: channels(o, problems),
        kind: o.text("kind", problems),
        priority: o.parsed("priority", str::parse::<Priority>, problems),
        title: o.text("title", problems),
        body: o.text("body", problems),
        html: o.text("html", problems),
        markdown: o.text("markdown", problems),
        parts: parts(o, problems),
        template: o.text("template", problems),
        data: data(o, problems),
        actions: actions(o, problems),
        scheduled_at: o.parsed("scheduled_at", instant, problems),
        expires_at: o.parsed("expires_at", instant, problems),
        correlation_id: o.text("correlation_id", problems),
        group_key: o.text("group_key", problems),
        metadata: o.object("metadata", problems).map(|pairs| pairs.pairs(problems)).unwrap_or_default(),
        dedupe_key: o.text("dedupe_key", problems),
        idempotency_key: o.text("idempotency_key", problems),
        callback_url: o.text("callback_url", problems),
        by: Actor::default(),
    };
    for name in LATER {
        refuse_later(o, name, problems);
    }
    object.finish(&FIELDS, &ELSEWHERE, problems);
    submission
}

fn refuse_later(object: &mut Object<'_>, name: &str, problems: &mut Problems) {
    let says_nothing = |raw: Raw<'_>| matches!(raw.get(), "\"\"") || decode_owned::<[(); 0]>(raw).is_some();
    if object.take(name, problems).is_some_and(|raw| !says_nothing(raw)) {
        let message = format!("this version does not serve `{name}` yet");
        problems.add(object.at(name), ProblemCode::Unsupported, message);
    }
}

/// An entry that cannot be read stays, empty: the places of the others are theirs.
fn channels(object: &mut Object<'_>, problems: &mut Problems) -> Vec<String> {
    let at = object.at("channels");
    let entries = object.list("channels", CHANNELS_MAX, problems).into_iter().enumerate();
    entries.map(|(place, raw)| text(raw, || format!("{at}/{place}"), problems).unwrap_or_default()).collect()
}

fn recipients(object: &mut Object<'_>, problems: &mut Problems) -> Vec<To> {
    let at = object.at("to");
    let entries = object.list("to", RECIPIENTS_MAX, problems).into_iter().enumerate();
    entries.map(|(place, raw)| recipient(raw, || format!("{at}/{place}"), problems)).collect()
}

fn recipient(raw: Raw<'_>, at: impl Fn() -> String, problems: &mut Problems) -> To {
    if is_text(raw) {
        return To::Address(text(raw, at, problems).unwrap_or_default());
    }
    if !raw.get().starts_with('{') {
        wrong_type(&at(), "an address, or an object with addresses by kind,", raw, problems);
        return To::Address(String::new());
    }
    let Some(mut contact) = Object::read(at(), raw, problems) else { return To::Address(String::new()) };
    To::Contact(Contact {
        name: contact.text("name", problems),
        locale: contact.text("locale", problems),
        time_zone: contact.text("time_zone", problems),
        addresses: contact.pairs(problems),
    })
}

fn parts(object: &mut Object<'_>, problems: &mut Problems) -> Vec<Part> {
    let pairs = object.object("parts", problems).map(|parts| parts.pairs(problems)).unwrap_or_default();
    pairs.into_iter().map(|(name, value)| Part { name, value }).collect()
}

/// `data` stays as it was written: a number is not rounded on its way through.
fn data(object: &mut Object<'_>, problems: &mut Problems) -> Option<String> {
    let raw = object.take("data", problems)?;
    if raw.get().starts_with('{') {
        return Some(raw.get().to_owned());
    }
    wrong_type(&object.at("data"), "an object", raw, problems);
    None
}

fn actions(object: &mut Object<'_>, problems: &mut Problems) -> Vec<SubmittedAction> {
    let at = object.at("actions");
    let entries = object.list("actions", ACTIONS_MAX, problems).into_iter().enumerate();
    entries.map(|(place, raw)| action(format!("{at}/{place}"), raw, problems)).collect()
}

fn action(at: String, raw: Raw<'_>, problems: &mut Problems) -> SubmittedAction {
    let Some(mut object) = Object::read(at, raw, problems) else { return SubmittedAction::default() };
    let o = &mut object;
    let label = match o.take("label", problems) {
        Some(raw) => text(raw, || o.at("label"), problems),
        None => {
            problems.add(o.at("label"), ProblemCode::Missing, "an action has a label");
            None
        }
    };
    let action = SubmittedAction {
        id: o.text("id", problems),
        label: label.unwrap_or_default(),
        url: o.text("url", problems),
        style: o.parsed("style", style, problems).unwrap_or_default(),
    };
    object.finish(&["id", "label", "url", "style"], &[], problems);
    action
}

fn style(text: &str) -> Result<ActionStyle, &'static str> {
    match text {
        "plain" => Ok(ActionStyle::Plain),
        "primary" => Ok(ActionStyle::Primary),
        "danger" => Ok(ActionStyle::Danger),
        _ => Err("must be one of `plain`, `primary`, `danger`"),
    }
}

/// An instant by RFC 3339. One before 1970 is the epoch: too long ago either way.
pub(super) fn instant(text: &str) -> Result<Timestamp, &'static str> {
    let at: Instant = text.parse().map_err(|_| "must be an instant by RFC 3339, such as `2030-01-31T09:30:00Z`")?;
    if offset_hours(text).is_some_and(|hours| hours > OFFSET_HOURS_MAX) {
        return Err("must be an instant by RFC 3339, whose offset from UTC is at most 23:59");
    }
    Ok(Timestamp::from_millis(u64::try_from(at.as_millisecond()).unwrap_or_default()))
}

/// The hours of the offset in what is an instant, if it has one.
fn offset_hours(text: &str) -> Option<u8> {
    // Behind the date, whose parts have dashes, and before the name of a zone.
    let time = text.split('[').next()?.get("2030-01-31".len()..)?;
    let sign = time.rfind(['+', '-'])?;
    time.get(sign + 1..sign + 3)?.parse().ok()
}

/// Problems of reading first, then those of checking that say something new: what could not be read is not also
/// missing.
pub(super) fn merged(read: Problems, checked: &Problems) -> Problems {
    if read.as_slice().iter().any(|known| known.at.is_empty()) {
        return read;
    }
    let mut all = read.clone();
    let is_new = |problem: &&Problem| {
        let above_or_below = |known: &Problem| under(&known.at, &problem.at) || under(&problem.at, &known.at);
        !read.as_slice().iter().any(above_or_below)
    };
    checked.as_slice().iter().filter(is_new).for_each(|problem| all.push(problem.clone()));
    // Those that were left out of `checked` are left out here.
    if checked.is_cut() { all.cut() } else { all }
}

fn under(at: &str, parent: &str) -> bool {
    at.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests;
