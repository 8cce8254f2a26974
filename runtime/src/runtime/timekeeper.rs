//! What time alone brings about in the store: what waits expires, and progress that was held back is told.
//!
//! A worker ends what has expired when it takes it. What waits behind a channel that is held is not taken, and nobody
//! should hear of it only when the channel is let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::domain::Timestamp;
use crate::store::{Store, StoreError, StoreTotals};

/// Between two looks at what comes next, which cost nothing: how late it may be told at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Between two slices others write.
const BETWEEN: Duration = Duration::from_millis(5);

/// Deliveries that one transaction ends: some milliseconds.
const SLICE: usize = 1_000;

/// The task; it ends with this.
#[derive(Debug)]
pub(super) struct Timekeeper(JoinHandle<()>);

impl Timekeeper {
    /// Ends when the store is closed.
    pub(super) fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let wait = match tend(&*store, clock.now()).await {
                    Ok(true) => BETWEEN,
                    Ok(false) => BETWEEN_LOOKS,
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(error = %error, "Could not end what has expired; trying again.");
                        BETWEEN_LOOKS
                    }
                };
                clock.wait_until(clock.now().after(wait)).await;
            }
        }))
    }
}

impl Drop for Timekeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Answers whether there was something to do, and so may be more.
async fn tend(store: &dyn Store, now: Timestamp) -> Result<bool, StoreError> {
    let StoreTotals { next_expiry, next_progress, .. } = store.totals();
    let is_due = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
    if is_due(next_expiry) {
        let ended = store.expire(now, SLICE).await?;
        tracing::debug!(ended, "Ended what has expired while it waited.");
    }
    if is_due(next_progress) {
        store.tell_progress(now).await?;
    }
    Ok(is_due(next_expiry) || is_due(next_progress))
}
