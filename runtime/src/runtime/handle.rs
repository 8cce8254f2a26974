//! What an embedder holds of a notification that was accepted.

use std::time::Duration;

use super::{NotificationRecord, Runtime};
use crate::domain::NotificationId;
use crate::intake::{Acceptance, AcceptedDelivery, DeduplicatedDelivery};
use crate::store::{Cancelled, StoreError};

/// A notification that was accepted: ask for its outcome, or withdraw it. Dropping the handle changes nothing.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) runtime: Runtime,
    pub(super) accepted: Acceptance,
}

impl Handle {
    /// The notification's id.
    #[must_use]
    pub const fn id(&self) -> NotificationId {
        self.accepted.id
    }

    /// Its deliveries, as they were accepted.
    #[must_use]
    pub fn deliveries(&self) -> &[AcceptedDelivery] {
        &self.accepted.deliveries
    }

    /// Whether its idempotency key was used before: then this is the notification of that time.
    #[must_use]
    pub const fn was_accepted_before(&self) -> bool {
        self.accepted.replayed
    }

    /// Deliveries that were not made, since others with the same dedupe key were.
    #[must_use]
    pub fn deduplicated(&self) -> &[DeduplicatedDelivery] {
        &self.accepted.deduplicated
    }

    /// Waits until every delivery is final, at most `limit`, and returns the record as it then stands.
    ///
    /// # Errors
    ///
    /// [`OutcomeError::Pending`] where `limit` passed first.
    pub async fn outcome(&self, limit: Duration) -> Result<NotificationRecord, OutcomeError> {
        match self.runtime.wait(self.id(), limit).await? {
            Some(record) if record.counts.open == 0 => Ok(record),
            Some(record) => Err(OutcomeError::Pending { waited: limit, record: Box::new(record) }),
            None => Err(OutcomeError::Gone),
        }
    }

    /// Withdraws what has not left. What is in flight is withdrawn too, unless that attempt sends it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be changed.
    pub async fn cancel(&self) -> Result<Cancelled, StoreError> {
        self.runtime.cancel(self.id()).await
    }
}

/// Why there is no outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OutcomeError {
    /// Time is up. The record says how far it has come.
    #[error("not final after {waited:?}: {} of its deliveries wait", record.counts.open)]
    Pending {
        /// How long.
        waited: Duration,
        /// How far it has come.
        record: Box<NotificationRecord>,
    },
    /// The notification is no longer kept.
    #[error("the notification is no longer kept")]
    Gone,
    /// The store cannot be read.
    #[error("the outcome cannot be read")]
    Store(#[from] StoreError),
}
