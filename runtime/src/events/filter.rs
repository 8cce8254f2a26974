//! Which events a subscriber wants.

use std::str::FromStr;

use crate::domain::{EVENT_TYPES, Event, EventKind, NotificationId};

/// The longest text that is shown of what is no type, in characters.
const SHOWN_CHARS_MAX: usize = 64;

/// One type of events, or all of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TypeFilter {
    /// `delivery.sent`
    Exact(EventKind),
    /// `delivery.*`: what the types begin with, the dot included.
    Group(String),
}

impl TypeFilter {
    fn takes(&self, kind: EventKind) -> bool {
        match self {
            Self::Exact(wanted) => *wanted == kind,
            Self::Group(prefix) => kind.starts_with(prefix.as_str()),
        }
    }
}

/// A text that names no type of events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no event type `{text}`; there are {}, and groups such as `delivery.*`", EVENT_TYPES.join(", "))]
pub struct UnknownType {
    /// Its first 64 characters.
    pub text: String,
}

impl FromStr for TypeFilter {
    type Err = UnknownType;

    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let group = text.strip_suffix('*').filter(|prefix| prefix.ends_with('.'));
        if let Some(prefix) = group
            && EVENT_TYPES.iter().any(|kind| kind.starts_with(prefix))
        {
            return Ok(Self::Group(prefix.to_owned()));
        }
        let exact = EVENT_TYPES.into_iter().find(|kind| *kind == text);
        exact.map(Self::Exact).ok_or_else(|| UnknownType { text: text.chars().take(SHOWN_CHARS_MAX).collect() })
    }
}

/// What an event has to be. Nothing said takes all; gaps are told whatever is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of one of these types; none takes any.
    pub types: Vec<TypeFilter>,
    /// About this notification or one of its deliveries.
    pub notification: Option<NotificationId>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let kind = event.body.kind();
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted.takes(kind)))
            && (self.notification.is_none() || self.notification == event.body.notification())
    }

    /// Whether all are.
    #[must_use]
    pub fn takes_all(&self) -> bool {
        self.types.is_empty() && self.notification.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{EventBody, Timestamp};

    fn of(types: &[&str], notification: Option<NotificationId>) -> EventFilter {
        EventFilter { types: types.iter().map(|text| text.parse().unwrap()).collect(), notification }
    }

    #[test]
    fn a_filter_takes_types_groups_and_what_is_about_a_notification() {
        let (one, other) = (NotificationId::from_bytes([1; 16]), NotificationId::from_bytes([2; 16]));
        let event = |body| Event { at: Timestamp::default(), body };
        let sent = event(EventBody::DeliverySent {
            delivery: one.delivery(3),
            attempts: 1,
            provider_id: None,
            unconfirmed: false,
        });
        let cancelled = event(EventBody::NotificationCancelled { notification: other, deliveries: 1 });
        let reloaded = event(EventBody::ConfigReloaded { sha256: [0; 32] });
        let takes = |filter: &EventFilter| [&sent, &cancelled, &reloaded].map(|event| filter.takes(event));
        assert_eq!(takes(&of(&[], None)), [true; 3]);
        assert_eq!(takes(&of(&["delivery.sent"], None)), [true, false, false]);
        assert_eq!(takes(&of(&["delivery.failed"], None)), [false; 3]);
        assert_eq!(takes(&of(&["delivery.*", "config.reloaded"], None)), [true, false, true]);
        assert_eq!(takes(&of(&[], Some(one))), [true, false, false]);
        assert_eq!(takes(&of(&["notification.*"], Some(one))), [false; 3]);
        assert!(of(&[], None).takes_all() && !of(&["plugin.*"], None).takes_all());
    }

    #[test]
    fn what_is_no_type_is_refused_with_those_there_are() {
        for text in ["", "*", "delivery", "delivery*", "delivery.*.x", "deliveri.*", "delivery.Sent", "gap"] {
            let error = text.parse::<TypeFilter>().unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("there is no event type `{text}`; there are callback.dead, ")),
                "{error}"
            );
            assert!(
                error.contains("delivery.sent, ") && error.ends_with(", and groups such as `delivery.*`"),
                "{error}"
            );
        }
    }
}
