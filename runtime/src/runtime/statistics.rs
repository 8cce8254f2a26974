//! Totals: what a dashboard shows of the whole runtime.

use std::time::Duration;

use super::Runtime;
use crate::dispatch::PoolStatus;
use crate::domain::Priority;
use crate::store::{StatusCounts64, StoreError, StoreTotals};

/// What waits at one priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueDepth {
    /// Which.
    pub priority: Priority,
    /// Deliveries, due or not.
    pub waiting: u64,
    /// How long the oldest that is due and not held has waited; zero where none is.
    pub oldest: Duration,
}

/// Totals of a runtime, as they are at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeStatistics {
    /// Deliveries that are kept, per status.
    pub deliveries: StatusCounts64,
    /// What waits, the most urgent first.
    pub queue: [QueueDepth; 4],
    /// The workers.
    pub pool: PoolStatus,
    /// Retries and dead letters, the newest event, and what events and the audit log take.
    pub totals: StoreTotals,
    /// What is in use of the database, in bytes.
    pub store_bytes: u64,
}

impl Runtime {
    /// Totals. Deliveries are counted from their rows, which takes a second where there are millions.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn statistics(&self) -> Result<RuntimeStatistics, StoreError> {
        let parts = &self.parts;
        let (deliveries, store_bytes) = (parts.store.count().await?, parts.store.used_bytes().await?);
        let (queue, totals) = (self.queue_depths(), parts.store.totals());
        Ok(RuntimeStatistics { deliveries, queue, pool: self.workers(), totals, store_bytes })
    }

    /// What waits, the most urgent first.
    pub(super) fn queue_depths(&self) -> [QueueDepth; 4] {
        let depths = self.parts.queue.depths();
        std::array::from_fn(|place| QueueDepth {
            priority: Priority::DESCENDING[place],
            waiting: depths[place].waiting,
            oldest: depths[place].oldest,
        })
    }
}
