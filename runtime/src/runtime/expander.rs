//! Makes the deliveries of large notifications, a slice at a time, while others are accepted and delivered in between.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::domain::{EventBody, NotificationId};
use crate::store::{DELIVERIES_SLICE, NumberedEvent, Store, StoreError};

/// The wait after the store refused. A full disk is not helped by asking often.
const AGAIN: Duration = Duration::from_secs(1);

/// Wakes the expander. Clones wake the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Expansions {
    wake: Arc<Notify>,
}

impl Expansions {
    /// Called on the store's writer: quick.
    pub(super) fn tell(&self, events: &[NumberedEvent]) {
        let is_large = |event: &NumberedEvent| {
            matches!(event.event.body, EventBody::NotificationAccepted { deliveries, .. }
                if deliveries as usize > DELIVERIES_SLICE)
        };
        if events.iter().any(is_large) {
            self.wake.notify_one();
        }
    }

    /// Starts with what was left by the process before. Ends when the store is closed.
    pub(super) fn start(&self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Expander {
        let wake = Arc::clone(&self.wake);
        Expander(tokio::spawn(async move {
            loop {
                match expand_all(store.as_ref(), clock.as_ref()).await {
                    Ok(()) => wake.notified().await,
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::error!(error = %error, "Could not make deliveries of a large notification; trying again.");
                        clock.wait_until(clock.now().after(AGAIN)).await;
                    }
                }
            }
        }))
    }
}

/// The task; it ends with this.
#[derive(Debug)]
pub(super) struct Expander(JoinHandle<()>);

impl Drop for Expander {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Large notifications take turns, so that the second does not wait for all of the first.
async fn expand_all(store: &dyn Store, clock: &dyn Clock) -> Result<(), StoreError> {
    loop {
        let mut after = NotificationId::FIRST;
        while let Some(id) = store.expanding(after).await? {
            store.expand(id, clock.now()).await?;
            after = id;
        }
        if after == NotificationId::FIRST {
            return Ok(());
        }
    }
}
