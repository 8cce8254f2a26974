//! Clears up what is kept for long enough, or is too much, a slice at a time, beside the work.
//!
//! *Flow:* a round by age every ten minutes; a look at how much there is every ten seconds. Both go in slices,
//! with others between them, until there is nothing more to go.
//!
//! *Not here:* what may go (`store`). Pages that become free are used again; the file itself does not shrink.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::config::{Config, format_size};
use crate::domain::{NotificationId, Timestamp};
use crate::intake::limits::IDEMPOTENCY_HOLDS;
use crate::store::{NotificationFilter, Shrink, Store, StoreError, Sweep, Swept};
use crate::telemetry::Metrics;

/// Notifications that one transaction looks at: some milliseconds.
const SLICE: usize = 200;

/// Between two slices others write.
const BETWEEN: Duration = Duration::from_millis(50);

/// The same where there is too much: it has to go faster than more of it comes.
const BETWEEN_PRESSED: Duration = Duration::from_millis(5);

/// After everything old was looked at, and where there is too much and nothing more can go.
const BETWEEN_ROUNDS: Duration = Duration::from_mins(10);

/// Between two looks at the size.
const BETWEEN_LOOKS: Duration = Duration::from_secs(10);

/// What came in since stays however much there is: somebody may be waiting to hear of it.
const YOUNG: Duration = Duration::from_mins(1);

/// How long what is kept, and how much of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    notifications: Duration,
    keys: Duration,
    events: Duration,
    audit: Duration,
    size_max: Option<u64>,
    event_bytes_max: Option<u64>,
    audit_bytes_max: Option<u64>,
    dead_callbacks: Duration,
    dead_callbacks_max: u64,
}

/// How far it has come.
#[derive(Clone, Copy, Debug)]
struct Progress {
    old_after: NotificationId,
    large_after: NotificationId,
    /// What went since there was too much.
    gone: Swept,
    /// When it was said last that nothing more may go.
    warned_at: Option<Timestamp>,
}

impl Default for Progress {
    fn default() -> Self {
        let (old_after, large_after) = (NotificationId::FIRST, NotificationId::FIRST);
        Self { old_after, large_after, gone: Swept::default(), warned_at: None }
    }
}

impl Retention {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            notifications: config.store.retention,
            keys: IDEMPOTENCY_HOLDS.max(config.store.dedupe_window),
            events: config.events.retention,
            audit: config.audit.retention,
            size_max: config.store.size_max,
            event_bytes_max: config.events.size_max,
            audit_bytes_max: config.audit.size_max,
            dead_callbacks: config.callbacks.retention,
            dead_callbacks_max: config.callbacks.dead_letters_max,
        }
    }

    /// Runs until the store is closed.
    pub(super) fn start(self, store: Arc<dyn Store>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Sweeper {
        Sweeper(tokio::spawn(async move {
            let mut progress = Progress::default();
            let (mut round, mut look) = (clock.now(), clock.now());
            loop {
                let now = clock.now();
                if round <= now {
                    let Some(wait) = told(self.by_age(&*store, now, &metrics, &mut progress).await) else { return };
                    round = now.after(wait);
                }
                if look <= now {
                    let Some(wait) = told(self.by_size(&*store, now, &metrics, &mut progress).await) else { return };
                    look = now.after(wait);
                }
                clock.wait_until(look.min(round)).await;
            }
        }))
    }

    /// A slice of what is old. Answers how long to wait for the next.
    async fn by_age(
        self,
        store: &dyn Store,
        now: Timestamp,
        metrics: &Metrics,
        progress: &mut Progress,
    ) -> Result<Duration, StoreError> {
        let sweep = Sweep {
            after: progress.old_after,
            notifications_before: now.before(self.notifications),
            keys_before: now.before(self.keys),
            events_before: now.before(self.events),
            audit_before: now.before(self.audit),
            dead_callbacks_before: now.before(self.dead_callbacks),
            limit: SLICE,
        };
        let swept = store.sweep(sweep).await?;
        count(metrics, "age", swept);
        let Swept { notifications, deliveries, events, audit, keys, dead_callbacks, .. } = swept;
        if notifications + events + audit + keys + dead_callbacks > 0 {
            tracing::debug!(
                notifications,
                deliveries,
                events,
                audit,
                keys,
                dead_callbacks,
                "Cleared up what was kept for long enough."
            );
        }
        progress.old_after = swept.next.unwrap_or(NotificationId::FIRST);
        let more = swept.next.is_some() || events + audit + keys + dead_callbacks > 0;
        Ok(if more { BETWEEN } else { BETWEEN_ROUNDS })
    }

    /// A slice of what is too much. Answers how long to wait for the next.
    async fn by_size(
        self,
        store: &dyn Store,
        now: Timestamp,
        metrics: &Metrics,
        progress: &mut Progress,
    ) -> Result<Duration, StoreError> {
        let totals = store.totals();
        let over = |size: u64, max: Option<u64>| max.filter(|max| size > *max);
        let event_bytes_max = over(totals.event_bytes, self.event_bytes_max);
        let audit_bytes_max = over(totals.audit_bytes, self.audit_bytes_max);
        let dead_callbacks_max = over(totals.dead_callbacks, Some(self.dead_callbacks_max));
        let (used, all) = match self.size_max {
            Some(max) => {
                let used = store.used_bytes().await?;
                (used, over(used, Some(max)))
            }
            None => (0, None),
        };
        let parts = [event_bytes_max, audit_bytes_max, dead_callbacks_max];
        if all.is_none() && parts.iter().all(Option::is_none) {
            progress.end();
            return Ok(BETWEEN_LOOKS);
        }
        let shrink = Shrink {
            after: progress.large_after,
            notifications_before: if all.is_some() { now.before(YOUNG) } else { Timestamp::default() },
            keys_before: now.before(self.keys),
            event_bytes_max,
            audit_bytes_max,
            dead_callbacks_max,
            limit: SLICE,
        };
        let swept = store.shrink(shrink).await?;
        count(metrics, "size", swept);
        progress.add(swept);
        progress.large_after = swept.next.unwrap_or(NotificationId::FIRST);
        if swept.next.is_some() || swept.notifications + swept.events + swept.audit + swept.dead_callbacks > 0 {
            return Ok(BETWEEN_PRESSED);
        }
        progress.end();
        let Some(max) = all else { return Ok(BETWEEN_ROUNDS) };
        if progress.warned_at.is_none_or(|at| at.after(BETWEEN_ROUNDS) <= now) {
            progress.warned_at = Some(now);
            tracing::warn!(
                used = format_size(used),
                size_max = format_size(max),
                "The database takes more than `[store] size_max`, and nothing more of it may go: what is left waits, is a \
                 dead letter, has an idempotency key that holds, or is younger than a minute. Set a larger `size_max`, or \
                 put dead letters away with `campanile dead-letters purge`."
            );
        }
        // What is too young now may go then.
        let young = NotificationFilter { since: Some(now.before(YOUNG)), ..NotificationFilter::default() };
        let is_young_there = !store.query(young, None, 1).await?.notifications.is_empty();
        Ok(if is_young_there { YOUNG } else { BETWEEN_ROUNDS })
    }
}

impl Progress {
    fn add(&mut self, swept: Swept) {
        self.gone.notifications += swept.notifications;
        self.gone.deliveries += swept.deliveries;
        self.gone.events += swept.events;
        self.gone.audit += swept.audit;
        self.gone.dead_callbacks += swept.dead_callbacks;
    }

    /// Says what went because there was too much.
    fn end(&mut self) {
        let Swept { notifications, deliveries, events, audit, dead_callbacks, .. } = std::mem::take(&mut self.gone);
        if notifications + events + audit + dead_callbacks > 0 {
            tracing::info!(
                notifications,
                deliveries,
                events,
                audit,
                dead_callbacks,
                "Cleared up what was over the sizes that are set."
            );
        }
        self.large_after = NotificationId::FIRST;
    }
}

fn count(metrics: &Metrics, cause: &'static str, swept: Swept) {
    let kinds = [
        ("notification", swept.notifications),
        ("event", swept.events),
        ("audit", swept.audit),
        ("callback", swept.dead_callbacks),
    ];
    for (kind, count) in kinds {
        metrics.cleared(kind, cause, count);
    }
}

/// How long to wait; none where the store is closed.
fn told(done: Result<Duration, StoreError>) -> Option<Duration> {
    match done {
        Ok(wait) => Some(wait),
        Err(StoreError::Closed) => None,
        Err(error) => {
            tracing::warn!(error = %error, "Could not clear up; trying again.");
            Some(BETWEEN_ROUNDS)
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

#[cfg(test)]
mod tests;
