//! Which events somebody wants to hear of, by their types.

use std::fmt;
use std::str::FromStr;

use super::nearest;

/// Every type of event, as it is published.
pub const EVENT_TYPES: [&str; 46] = [
    "breaker.closed",
    "breaker.disabled",
    "breaker.half_open",
    "breaker.opened",
    "callback.dead",
    "callback.failed",
    "channel.added",
    "channel.changed",
    "channel.closed",
    "channel.disabled",
    "channel.enabled",
    "channel.half_open",
    "channel.opened",
    "channel.paused",
    "channel.removed",
    "channel.resumed",
    "config.reloaded",
    "delivery.accepted",
    "delivery.attempted",
    "delivery.cancelled",
    "delivery.deduplicated",
    "delivery.failed",
    "delivery.held",
    "delivery.rerouted",
    "delivery.retrying",
    "delivery.sent",
    "notification.accepted",
    "notification.cancelled",
    "notification.completed",
    "notification.expired",
    "notification.progress",
    "plugin.approved",
    "plugin.held",
    "plugin.loaded",
    "plugin.quarantined",
    "plugin.refused",
    "plugin.released",
    "plugin.removed",
    "plugin.rolled_back",
    "plugin.swapped",
    "plugin.tried",
    "pool.scaled",
    "worker.replaced",
    "worker.started",
    "worker.stopped",
    "worker.timed_out",
];

/// The longest text that is shown of what is no type, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// What callbacks themselves are told of. A callback that heard of it without asking would be called for its own failure,
/// and fail again.
const OF_CALLBACKS: &str = "callback.";

/// A type of event, all types below a word, or all but those about callbacks.
///
/// ```
/// use campanile::domain::EventPattern;
///
/// let pattern: EventPattern = "delivery.*".parse()?;
/// assert!(pattern.matches("delivery.sent"));
/// assert!(!pattern.matches("notification.completed"));
/// assert!(!"*".parse::<EventPattern>()?.matches("callback.dead"));
/// assert!("delivery.snet".parse::<EventPattern>().is_err());
/// # Ok::<(), campanile::domain::ParseEventPatternError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    One(&'static str),
    /// What types begin with, its full stop included.
    Below(String),
    All,
}

/// The text is no type of event and no beginning of one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no type of event: {}", advice(.text))]
pub struct ParseEventPatternError {
    /// Its first 64 characters.
    pub text: String,
}

/// What is to be written instead.
fn advice(text: &str) -> String {
    let groups = groups();
    let wildcards: Vec<_> = groups.iter().map(|group| format!("{group}.*")).collect();
    let known = EVENT_TYPES.into_iter().chain(wildcards.iter().map(String::as_str));
    match nearest(text, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!(
            "write one such as `delivery.sent`, `delivery.*` for all that begin so (there are {}), or `*` for all but those \
             about callbacks",
            groups.join(", ")
        ),
    }
}

/// What types begin with, up to their full stop.
fn groups() -> Vec<&'static str> {
    let mut groups: Vec<_> = EVENT_TYPES.into_iter().filter_map(|kind| kind.split('.').next()).collect();
    groups.dedup();
    groups
}

impl EventPattern {
    /// Whether events of this type are meant.
    #[must_use]
    pub fn matches(&self, kind: &str) -> bool {
        match &self.0 {
            Kind::One(one) => *one == kind,
            Kind::Below(start) => kind.starts_with(start.as_str()),
            Kind::All => !kind.starts_with(OF_CALLBACKS),
        }
    }
}

impl fmt::Display for EventPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::One(one) => f.write_str(one),
            Kind::Below(start) => write!(f, "{start}*"),
            Kind::All => f.write_str("*"),
        }
    }
}

impl FromStr for EventPattern {
    type Err = ParseEventPatternError;

    fn from_str(text: &str) -> Result<Self, ParseEventPatternError> {
        let error = || ParseEventPatternError { text: text.chars().take(SHOWN_CHARS_MAX).collect() };
        let kind = match text.strip_suffix('*') {
            Some("") => Kind::All,
            Some(start) if start.ends_with('.') && EVENT_TYPES.iter().any(|kind| kind.starts_with(start)) => {
                Kind::Below(start.to_owned())
            }
            Some(_) => return Err(error()),
            None => Kind::One(EVENT_TYPES.into_iter().find(|kind| *kind == text).ok_or_else(error)?),
        };
        Ok(Self(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_type_or_a_beginning_of_one_and_survives_its_text() {
        for text in EVENT_TYPES.into_iter().chain(["delivery.*", "callback.*", "*"]) {
            assert_eq!(text.parse::<EventPattern>().map(|pattern| pattern.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "delivery", "delivery.", "delivery*", "*.sent", "inbox.*", "Delivery.sent", "delivery.sent "] {
            assert!(text.parse::<EventPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_no_type_is_told_with_the_nearest_or_with_what_there_is() {
        let error = |text: &str| text.parse::<EventPattern>().expect_err("no type").to_string();
        assert_eq!(error("delivery.snet"), "`delivery.snet` is no type of event: did you mean `delivery.sent`?");
        assert_eq!(error("Delivery.sent"), "`Delivery.sent` is no type of event: did you mean `delivery.sent`?");
        assert_eq!(error("delivery"), "`delivery` is no type of event: did you mean `delivery.*`?");
        assert_eq!(error("plugins.*"), "`plugins.*` is no type of event: did you mean `plugin.*`?");
        let far = "`gap` is no type of event: write one such as `delivery.sent`, `delivery.*` for all that begin so (there \
                   are breaker, callback, channel, config, delivery, notification, plugin, pool, worker), or `*` for all but those \
                   about callbacks";
        assert_eq!(error("gap"), far);
        assert!(error(&"x".repeat(1_000)).len() < 400, "only the beginning is shown");
    }

    #[test]
    fn who_asks_for_everything_is_not_told_of_callbacks() {
        let matched = |text: &str| {
            let pattern: EventPattern = text.parse().expect("a pattern");
            EVENT_TYPES.into_iter().filter(|kind| pattern.matches(kind)).count()
        };
        assert_eq!(matched("*"), EVENT_TYPES.len() - 2);
        assert_eq!(matched("callback.*"), 2);
        assert_eq!(matched("callback.dead"), 1);
        assert!(EVENT_TYPES.is_sorted());
    }
}
