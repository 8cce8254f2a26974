//! Changes to what is remembered of callbacks.

use super::EventNumber;
use crate::domain::{
    AuditEntry, CallbackBook, CallbackName, DeadCallback, Event, NotificationId, OwedCallback, Timestamp,
};

/// One change, in one transaction. Each part may be empty. What is forgotten goes first, so that a book beside it starts
/// anew; what is settled goes before what is owed, and what is revived before what is given up.
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
    /// Notifications whose `callback_url` is called no more.
    pub ended: Vec<NotificationId>,
    /// Told with it.
    pub events: Vec<Event>,
    /// Who did what of it.
    pub audit: Vec<AuditEntry>,
}

impl CallbackChange {
    /// How many things it changes and tells.
    #[must_use]
    pub const fn len(&self) -> usize {
        let Self { books, forgotten, owed, settled, dead, revived, ended, events, audit } = self;
        let rows = books.len() + forgotten.len() + owed.len() + settled.len() + dead.len() + revived.len();
        rows + ended.len() + events.len() + audit.len()
    }

    /// Whether there is nothing to be written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which of the calls that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadCallbackFilter {
    /// Only of this callback.
    pub callback: Option<CallbackName>,
    /// Only about this notification.
    pub notification: Option<NotificationId>,
    /// Given up at or after this.
    pub since: Option<Timestamp>,
    /// Given up before this.
    pub until: Option<Timestamp>,
}

impl DeadCallbackFilter {
    /// Whether `dead` fulfils every condition.
    #[must_use]
    pub fn matches(&self, dead: &DeadCallback) -> bool {
        let Self { callback, notification, since, until } = self;
        callback.as_ref().is_none_or(|callback| *callback == dead.callback)
            && notification.is_none_or(|notification| dead.notification == Some(notification))
            && since.is_none_or(|since| dead.at >= since)
            && until.is_none_or(|until| dead.at < until)
    }
}
