//! The workers, as operators see and size them.

use std::time::Duration;

use super::Runtime;
use crate::dispatch::{PoolStatus, ScaleError};
use crate::domain::{Act, AuditOutcome, Timestamp};

impl Runtime {
    /// The pool of workers, and what each of them is doing.
    #[must_use]
    pub fn workers(&self) -> PoolStatus {
        self.parts.dispatcher.pool()
    }

    /// Sets the number of workers by hand, until `None` lets it follow the load again. Workers that are too many end
    /// with what they have. Answers the pool as it is then.
    ///
    /// # Errors
    ///
    /// [`ScaleError`] where the pool cannot have that size; nothing has changed.
    pub async fn scale_workers(&self, workers: Option<u32>) -> Result<PoolStatus, ScaleError> {
        let scaled = self.parts.dispatcher.scale(workers);
        let outcome = if scaled.is_ok() { AuditOutcome::Done } else { AuditOutcome::Refused };
        self.note(Act::Scale { workers }, outcome).await;
        scaled.map(|()| self.workers())
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
