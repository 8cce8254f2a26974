//! What was given up, listed and called again.

use super::super::target::Occasion;
use super::Callbacks;
use crate::domain::{
    AuditEntry, CallbackBook, CallbackKind, CallbackName, DeadCallback, DeliveryState, Event, EventBody,
};
use crate::store::{CallbackChange, DeadCallbackFilter, DeliveryRecord, NotificationRecord, NumberedEvent, StoreError};

/// What became of dead callbacks that were to be replayed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallbackReplay {
    /// Queued again. Each is listed as dead until it has succeeded; where it fails again, another one takes its place.
    pub replayed: Vec<u64>,
    /// There is none with this id: it was replayed or purged before.
    pub unknown: Vec<u64>,
    /// No callback with the name is registered.
    pub not_registered: Vec<(u64, CallbackName)>,
    /// What it was about is no longer kept.
    pub gone: Vec<u64>,
}

impl Callbacks {
    /// Up to `limit` callbacks that were given up, behind the id `after` (0 is before the first), the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn dead_letters(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadCallback>, StoreError> {
        // What was given up just now is to be among them.
        self.parts.ledger.flush().await;
        self.parts.store.dead_callbacks(filter, after, limit).await
    }

    /// Calls again what was given up, with all retries before it. The callback must be registered, under the same name.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read; some may have been queued before.
    pub async fn replay(&self, ids: &[u64]) -> Result<CallbackReplay, StoreError> {
        self.parts.ledger.flush().await;
        let mut replay = CallbackReplay::default();
        for &id in ids {
            let behind = id.saturating_sub(1);
            let found = self.parts.store.dead_callbacks(&DeadCallbackFilter::default(), behind, 1).await?;
            let Some(dead) = found.into_iter().find(|dead| dead.id == id) else {
                replay.unknown.push(id);
                continue;
            };
            let registered = self.parts.registry.named(&dead.callback).filter(|callback| callback.kind == dead.kind);
            let Some(callback) = registered else {
                replay.not_registered.push((id, dead.callback));
                continue;
            };
            match self.occasion_again(&dead).await? {
                Some((event, occasion)) => {
                    self.push(&callback, event, occasion, Some(id)).await;
                    replay.replayed.push(id);
                }
                None => replay.gone.push(id),
            }
        }
        Ok(replay)
    }

    /// Calls these again, all of one callback, and keeps `entry` of it. Each is listed as dead until it has succeeded.
    pub(crate) async fn replay_with(&self, dead: &[DeadCallback], entry: AuditEntry) -> Result<(), StoreError> {
        self.parts.store.record(vec![entry]).await?;
        let ids: Vec<_> = dead.iter().map(|dead| dead.id).collect();
        self.replay(&ids).await.map(drop)
    }

    /// Whether a callback is registered under this durable name.
    pub(crate) fn knows(&self, name: &CallbackName) -> bool {
        self.parts.registry.named(name).is_some()
    }

    /// Keeps another book of a callback. A closure is never disabled, so there is nothing else to do.
    pub(crate) async fn keep(&self, book: CallbackBook, entry: AuditEntry) -> Result<(), StoreError> {
        let change = CallbackChange { books: vec![book], audit: vec![entry], ..CallbackChange::default() };
        self.parts.store.keep_callbacks(change).await
    }

    /// What a dead callback was about: its event, or, where that is no longer kept, what the store says of it now.
    async fn occasion_again(&self, dead: &DeadCallback) -> Result<Option<(NumberedEvent, Occasion)>, StoreError> {
        let store = &self.parts.store;
        if let (CallbackKind::Progress, Some(notification)) = (dead.kind, dead.notification) {
            return Ok(store.notification(notification).await?.as_ref().and_then(progress_of));
        }
        let Some(delivery) = dead.delivery else { return Ok(None) };
        let found = store.deliveries(delivery.notification(), delivery.index(), 1).await?;
        let found = found.into_iter().find(|record| record.id == delivery);
        let again = found.and_then(|record| end_of(&record, dead.kind));
        Ok(again.map(|(event, occasion)| (NumberedEvent { number: dead.event, ..event }, occasion)))
    }
}

/// The end of a delivery that a callback of this kind is told of, as its event says it.
pub(super) fn end_of(record: &DeliveryRecord, kind: CallbackKind) -> Option<(NumberedEvent, Occasion)> {
    let (at, occasion) = match (&record.state, kind) {
        (DeliveryState::Sent { at, .. }, CallbackKind::Completion) => (*at, Occasion::Sent),
        (DeliveryState::Failed { at, .. }, CallbackKind::Error) => (*at, Occasion::Failed),
        _ => return None,
    };
    Some((
        NumberedEvent { number: 0, event: Event { at, body: EventBody::of_state(record.id, &record.state) } },
        occasion,
    ))
}

/// How far a notification with several deliveries has come, if any of them is final.
pub(super) fn progress_of(record: &NotificationRecord) -> Option<(NumberedEvent, Occasion)> {
    let (counts, notification) = (record.counts, record.notification.id);
    let completed = counts.sent + counts.failed + counts.cancelled;
    let total = completed + counts.open;
    let body = match counts.open {
        0 => EventBody::NotificationCompleted { notification, status: counts.status() },
        _ => {
            EventBody::NotificationAccepted { notification, priority: record.notification.priority, deliveries: total }
        }
    };
    let event = NumberedEvent { number: 0, event: Event { at: record.notification.created_at, body } };
    (completed > 0 && total > 1).then_some((event, Occasion::Progress { completed, total }))
}
