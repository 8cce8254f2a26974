//! The workers, as operators see and size them.

use std::sync::Arc;
use std::time::Duration;

use super::Runtime;
use super::outliving::to_its_end;
use crate::dispatch::{PoolStatus, ScaleError};
use crate::domain::{Act, AuditEntry, AuditOutcome, Timestamp};
use crate::store::StoreError;

/// Why the pool has not got another size.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScaleWorkersError {
    /// It cannot have that one.
    #[error(transparent)]
    Size(#[from] ScaleError),
    /// It could not be kept for the next start.
    #[error("the number of workers could not be kept, and stays as it is")]
    Store(#[from] StoreError),
}

impl Runtime {
    /// The pool of workers, and what each of them is doing.
    #[must_use]
    pub fn workers(&self) -> PoolStatus {
        self.parts.dispatcher.pool()
    }

    /// Sets the number of workers by hand, until `None` lets it follow the load again. Workers that are too many end
    /// with what they have. It stays so after a restart, too. Answers the pool as it is then.
    ///
    /// # Errors
    ///
    /// [`ScaleWorkersError`] where the pool cannot have that size, or it cannot be kept; nothing has changed.
    pub async fn scale_workers(&self, workers: Option<u32>) -> Result<PoolStatus, ScaleWorkersError> {
        let act = Act::Scale { workers };
        if let Err(error) = self.parts.dispatcher.may_scale(workers) {
            self.note(act, AuditOutcome::Refused).await;
            return Err(error.into());
        }
        let (parts, by) = (Arc::clone(&self.parts), self.by);
        to_its_end(async move {
            // One at a time: what is kept is what is in force.
            let _alone = parts.scaling.lock().await;
            let entry = AuditEntry { at: parts.clock.now(), by, act, outcome: AuditOutcome::Done };
            parts.store.keep_pin(workers, entry).await?;
            parts.dispatcher.pin(workers);
            Ok(())
        })
        .await?;
        Ok(self.workers())
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// What so many units of the engine take on this machine, by the calibration at start.
    #[must_use]
    pub fn cpu_time_of(&self, fuel: u64) -> Duration {
        Duration::from_micros(fuel.saturating_mul(1_000) / self.parts.fuel_per_ms.max(1))
    }
}
