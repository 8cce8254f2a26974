//! Changes to what is remembered of callbacks.

use super::EventNumber;
use crate::domain::{AuditEntry, CallbackBook, CallbackName, DeadCallback, Event, NotificationId, OwedCallback};

/// One change, in one transaction. Each part may be empty.
#[derive(Clone, Debug, Default)]
pub struct CallbackChange {
    /// Each in place of the one before it.
    pub books: Vec<CallbackBook>,
    /// Callbacks that are forgotten, with all they owe.
    pub forgotten: Vec<CallbackName>,
    /// Owed from here on; each in place of the one with its callback and event.
    pub owed: Vec<OwedCallback>,
    /// Owed no longer.
    pub settled: Vec<(CallbackName, EventNumber)>,
    /// Given up. The store gives the ids.
    pub dead: Vec<DeadCallback>,
    /// No longer among the given up, by id: replayed or purged. One that is not there is passed over.
    pub revived: Vec<u64>,
    /// Told with it.
    pub events: Vec<Event>,
    /// Who did what of it.
    pub audit: Vec<AuditEntry>,
}

/// Which of the calls that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadCallbackFilter {
    /// Only of this callback.
    pub callback: Option<CallbackName>,
    /// Only about this notification.
    pub notification: Option<NotificationId>,
}
