//! One event and those who are to be told of it, one after the other.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::super::registry::Callback;
use super::super::target::{Execution, Failure, Occasion};
use crate::domain::{CallbackEvent, CallbackFate, Event, EventBody, Timestamp};
use crate::store::NumberedEvent;

/// One event and those who are to be told of it, in order.
pub(in crate::callback) struct Job {
    pub(in crate::callback) event: Arc<NumberedEvent>,
    pub(in crate::callback) occasion: Occasion,
    pub(in crate::callback) links: VecDeque<Link>,
}

/// One of them.
pub(in crate::callback) struct Link {
    pub(in crate::callback) callback: Arc<Callback>,
    /// As the tracker knows it.
    pub(in crate::callback) execution: u64,
    /// Calls made.
    pub(in crate::callback) attempts: u32,
    /// The dead callback that this is the replay of.
    pub(in crate::callback) replay_of: Option<u64>,
}

impl Job {
    /// The same event for this one only.
    pub(super) fn alone(&self, link: Link) -> Self {
        Self { event: Arc::clone(&self.event), occasion: self.occasion, links: VecDeque::from([link]) }
    }

    pub(super) fn execution(&self) -> Execution {
        Execution { event: Arc::clone(&self.event), occasion: self.occasion }
    }

    /// The event that says that a call failed and will be made again.
    pub(super) fn failure_of(&self, link: &Link, at: Timestamp) -> Event {
        let body = &self.event.event.body;
        let event = CallbackEvent {
            callback: link.callback.name.clone(),
            fate: CallbackFate::Failed { attempt: link.attempts },
            kind: link.callback.kind,
            event: self.event.number,
            notification: body.notification(),
            delivery: body.delivery(),
        };
        Event { at, body: EventBody::Callback(event) }
    }

    /// Whether the callback is to be called for this event. A condition that panics has no answer for it.
    pub(super) fn meets_condition(&self, link: &Link) -> Result<bool, Failure> {
        let options = link.callback.options.load();
        let Some(condition) = &options.condition else { return Ok(true) };
        catch_unwind(AssertUnwindSafe(|| condition(&self.event.event)))
            .map_err(|_| Failure::GiveUp { reason: "its condition panicked".to_owned() })
    }
}
