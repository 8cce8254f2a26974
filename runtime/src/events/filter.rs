//! Which events a subscriber wants.

use crate::domain::{Event, EventPattern, NotificationId};

/// What an event has to be. Nothing said takes all; gaps are told whatever is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Of one of these types; none takes any.
    pub types: Vec<EventPattern>,
    /// About this notification or one of its deliveries.
    pub notification: Option<NotificationId>,
}

impl EventFilter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn takes(&self, event: &Event) -> bool {
        let kind = event.body.kind();
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted.matches(kind)))
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
}
