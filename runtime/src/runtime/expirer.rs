//! Ends what waits for longer than it may be sent, whatever it waits for.
//!
//! A worker ends what has expired when it takes it. What waits behind a channel that is held is not taken, and nobody
//! should hear of it only when the channel is let go.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::store::{Store, StoreError};

/// Between two looks at what expires next, which cost nothing: how late it may be told at most.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Between two slices others write.
const BETWEEN: Duration = Duration::from_millis(5);

/// Deliveries that one transaction ends: some milliseconds.
const SLICE: usize = 1_000;

/// The task; it ends with this.
#[derive(Debug)]
pub(super) struct Expirer(JoinHandle<()>);

impl Expirer {
    /// Ends when the store is closed.
    pub(super) fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self(tokio::spawn(async move {
            loop {
                let now = clock.now();
                let is_due = store.totals().next_expiry.is_some_and(|next| next <= now);
                let wait = match is_due {
                    false => BETWEEN_LOOKS,
                    true => match store.expire(now, SLICE).await {
                        Ok(ended) => {
                            tracing::debug!(ended, "Ended what has expired while it waited.");
                            BETWEEN
                        }
                        Err(StoreError::Closed) => return,
                        Err(error) => {
                            tracing::warn!(error = %error, "Could not end what has expired; trying again.");
                            BETWEEN_LOOKS
                        }
                    },
                };
                clock.wait_until(clock.now().after(wait)).await;
            }
        }))
    }
}

impl Drop for Expirer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
