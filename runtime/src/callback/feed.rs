//! Events, in the order of the outbox, for those who follow.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::store::{EventNumber, NumberedEvent, Store, StoreError};

/// Events that are read together.
const PAGE: usize = 512;

/// The wait after the store refused to be read.
const AGAIN: Duration = Duration::from_secs(1);

/// That there are events. The store's listener tells it, and holds nothing up with that.
#[derive(Debug, Default)]
pub(crate) struct News {
    /// 0 where there was none in this process.
    newest: AtomicU64,
    wake: Notify,
}

impl News {
    /// Called on the store's writer: quick.
    pub(crate) fn tell(&self, events: &[NumberedEvent]) {
        if let Some(last) = events.last() {
            self.newest.store(last.number, Ordering::Release);
            self.wake.notify_waiters();
        }
    }

    /// How many events there are behind this one, as far as this process has told any.
    pub(super) fn lag(&self, cursor: EventNumber) -> u64 {
        self.newest.load(Ordering::Acquire).saturating_sub(cursor)
    }

    /// The number of the newest event there is; 0 where there is none.
    pub(super) async fn newest(&self, store: &dyn Store) -> Result<EventNumber, StoreError> {
        match self.newest.load(Ordering::Acquire) {
            0 => newest_of(store).await,
            newest => Ok(newest),
        }
    }
}

/// Found by halving, since the outbox can be read from any place: a few dozen short reads, once in a process that has
/// told nothing yet.
async fn newest_of(store: &dyn Store) -> Result<EventNumber, StoreError> {
    let Some(mut known) = store.outbox(0, 1).await?.first().map(|first| first.number) else { return Ok(0) };
    let mut beyond = known.saturating_mul(2);
    while let Some(found) = store.outbox(beyond, 1).await?.first() {
        known = found.number;
        beyond = known.saturating_mul(2);
    }
    while known < beyond {
        let middle = known + (beyond - known) / 2;
        match store.outbox(middle, 1).await?.first() {
            Some(found) => known = found.number,
            None => beyond = middle,
        }
    }
    Ok(known)
}

/// What a follower reads from.
#[derive(Clone)]
pub(super) struct Feed {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) news: Arc<News>,
    /// True once there is to be an end behind the newest.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Feed {
    /// The next events behind `after`, at least one. None where the store is closed, or all is read and that is to be the
    /// end.
    pub(super) async fn next(&mut self, after: EventNumber) -> Option<Vec<Arc<NumberedEvent>>> {
        loop {
            let is_last = *self.stopping.borrow_and_update();
            let news = self.news.wake.notified();
            tokio::pin!(news);
            // Before it is read: what is committed from here on wakes.
            news.as_mut().enable();
            match self.store.outbox(after, PAGE).await {
                Ok(events) if !events.is_empty() => {
                    if let Some(first) = events.first().filter(|first| after > 0 && first.number > after + 1) {
                        let lost = first.number - after - 1;
                        tracing::warn!(lost, "Callbacks were not told of events that are no longer kept.");
                    }
                    return Some(events.into_iter().map(Arc::new).collect());
                }
                Ok(_) if is_last => return None,
                Ok(_) => tokio::select! {
                    () = news => {}
                    _ = self.stopping.changed() => {}
                },
                Err(StoreError::Closed) => return None,
                Err(error) => {
                    tracing::error!(error = %error, "Could not read events for callbacks; trying again.");
                    tokio::select! {
                        () = self.clock.wait_until(self.clock.now().after(AGAIN)) => {}
                        _ = self.stopping.changed() => {}
                    }
                }
            }
        }
    }
}
