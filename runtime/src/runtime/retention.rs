//! Clears up what is kept for long enough, a slice at a time, beside the work.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{NotificationId, Timestamp};
use crate::intake::limits::IDEMPOTENCY_HOLDS;
use crate::store::{Store, StoreError, Sweep};

/// Notifications that one transaction looks at: some milliseconds.
const SLICE: usize = 200;

/// Between two slices others write.
const BETWEEN: Duration = Duration::from_millis(50);

/// After everything old was looked at.
const BETWEEN_ROUNDS: Duration = Duration::from_mins(10);

/// How long what is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    notifications: Duration,
    keys: Duration,
    events: Duration,
    audit: Duration,
}

impl Retention {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            notifications: config.store.retention,
            keys: IDEMPOTENCY_HOLDS.max(config.store.dedupe_window),
            events: config.events.retention,
            audit: config.audit.retention,
        }
    }

    /// Runs until the store is closed.
    pub(super) fn start(self, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Sweeper {
        Sweeper(tokio::spawn(async move {
            let mut after = NotificationId::FIRST;
            loop {
                let wait = match store.sweep(self.sweep(after, clock.now())).await {
                    Ok(swept) => {
                        if swept.notifications + swept.events + swept.audit + swept.keys > 0 {
                            tracing::debug!(
                                notifications = swept.notifications,
                                deliveries = swept.deliveries,
                                events = swept.events,
                                audit = swept.audit,
                                keys = swept.keys,
                                "Cleared up what was kept for long enough."
                            );
                        }
                        after = swept.next.unwrap_or(NotificationId::FIRST);
                        let more = swept.next.is_some() || swept.events + swept.audit + swept.keys > 0;
                        if more { BETWEEN } else { BETWEEN_ROUNDS }
                    }
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(error = %error, "Could not clear up; trying again.");
                        BETWEEN_ROUNDS
                    }
                };
                clock.wait_until(clock.now().after(wait)).await;
            }
        }))
    }

    fn sweep(self, after: NotificationId, now: Timestamp) -> Sweep {
        Sweep {
            after,
            notifications_before: now.before(self.notifications),
            keys_before: now.before(self.keys),
            events_before: now.before(self.events),
            audit_before: now.before(self.audit),
            limit: SLICE,
        }
    }
}

/// The task; it ends with this.
#[derive(Debug)]
pub(super) struct Sweeper(JoinHandle<()>);

impl Drop for Sweeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}
