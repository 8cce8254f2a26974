//! What an embedder holds of a notification that was accepted.

use std::time::Duration;

use tokio::time::timeout;

use super::outcomes::For;
use super::{DeliveryRecord, NotificationRecord, Runtime};
use crate::domain::{DeliveryId, NotificationId};
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

    /// Waits until one of its deliveries is final, at most `limit`, whatever the others do. `delivery` is one of
    /// [`deliveries`](Self::deliveries), or of many that were not listed, `handle.id().delivery(index)`.
    ///
    /// # Errors
    ///
    /// [`DeliveryOutcomeError::Pending`] where `limit` passed first; [`DeliveryOutcomeError::Unknown`] where it has no such
    /// delivery, or has not made it yet.
    pub async fn delivery_outcome(
        &self,
        delivery: DeliveryId,
        limit: Duration,
    ) -> Result<DeliveryRecord, DeliveryOutcomeError> {
        if delivery.notification() != self.id() {
            return Err(DeliveryOutcomeError::Unknown { delivery });
        }
        let ended = async {
            loop {
                // First registered, then read: an end in between is seen by one of the two.
                let mut waiter = self.runtime.parts.outcomes.register(self.id(), For::Progress);
                let is_final = self.delivery(delivery).await?.state.status().is_final();
                if is_final || !waiter.woken().await {
                    return Ok::<_, DeliveryOutcomeError>(());
                }
            }
        };
        // Whether it has ended or the time is up, the record says how far it has come.
        timeout(limit, ended).await.unwrap_or(Ok(()))?;
        let record = self.delivery(delivery).await?;
        if record.state.status().is_final() {
            Ok(record)
        } else {
            Err(DeliveryOutcomeError::Pending { waited: limit, record: Box::new(record) })
        }
    }

    async fn delivery(&self, delivery: DeliveryId) -> Result<DeliveryRecord, DeliveryOutcomeError> {
        let here = self.runtime.parts.store.deliveries(self.id(), delivery.index(), 1).await?;
        here.into_iter().find(|record| record.id == delivery).ok_or(DeliveryOutcomeError::Unknown { delivery })
    }

    /// How many of its deliveries are final now.
    ///
    /// # Errors
    ///
    /// [`ProgressError::Gone`] where the notification is no longer kept.
    pub async fn progress(&self) -> Result<Progress, ProgressError> {
        let counts = self.runtime.parts.store.counts(self.id()).await?.ok_or(ProgressError::Gone)?;
        Ok(Progress { completed: counts.completed(), total: counts.total() })
    }

    /// Waits until its progress is another than `seen`, at most `limit`, and says how it stands then, `seen` where nothing
    /// has come of it. What is complete is not waited for.
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # async fn example(handle: campanile::runtime::Handle) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut progress = handle.progress().await?;
    /// while !progress.is_complete() {
    ///     progress = handle.progress_after(progress, Duration::from_secs(5)).await?;
    ///     println!("{} of {}", progress.completed, progress.total);
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ProgressError::Gone`] where the notification is no longer kept; [`ProgressError::Stopped`] where the runtime was shut
    /// down first.
    pub async fn progress_after(&self, seen: Progress, limit: Duration) -> Result<Progress, ProgressError> {
        let changed = async {
            loop {
                let mut waiter = self.runtime.parts.outcomes.register(self.id(), For::Progress);
                let now = self.progress().await?;
                if now != seen || now.is_complete() {
                    return Ok(now);
                }
                if !waiter.woken().await {
                    return Err(ProgressError::Stopped);
                }
            }
        };
        match timeout(limit, changed).await {
            Ok(changed) => changed,
            Err(_) => self.progress().await,
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

/// How far a notification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many of its deliveries are final: sent, failed or cancelled. A replay makes them fewer.
    pub completed: u32,
    /// How many deliveries it has, also those that are not made yet.
    pub total: u32,
}

impl Progress {
    /// Whether all are final.
    #[must_use]
    pub const fn is_complete(self) -> bool {
        self.completed >= self.total
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

/// Why there is no outcome of one delivery.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryOutcomeError {
    /// Time is up, or the runtime was shut down. The record says how far it has come.
    #[error("`{}` is not final after at most {waited:?}: it is {}", record.id, record.state.status().as_str())]
    Pending {
        /// How long at most.
        waited: Duration,
        /// How far it has come.
        record: Box<DeliveryRecord>,
    },
    /// It is none of this notification's, or was not made: as yet, or since another with its dedupe key was.
    #[error("the notification has no delivery `{delivery}`; `Handle::deliveries` lists those that it has")]
    Unknown {
        /// Which.
        delivery: DeliveryId,
    },
    /// The store cannot be read.
    #[error("the outcome cannot be read")]
    Store(#[from] StoreError),
}

/// Why it is not known how far a notification has come.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgressError {
    /// The runtime was shut down.
    #[error("the runtime was shut down; the next start goes on with what is open")]
    Stopped,
    /// The notification is no longer kept.
    #[error("the notification is no longer kept")]
    Gone,
    /// The store cannot be read.
    #[error("the progress cannot be read")]
    Store(#[from] StoreError),
}
