//! Sees every notification from submit to durable outcome.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::domain::{EventBody, NotificationId};
use crate::events::Inlet;
use crate::queue::QueueHandle;
use crate::store::{CommitListener, Committed};

/// Stands between the store and the queue.
pub(super) struct Meter {
    queue: QueueHandle,
    expected: u32,
    /// Places for notifications that have not ended.
    open: Semaphore,
    state: Mutex<State>,
    ended: watch::Sender<Option<Instant>>,
}

struct State {
    submitted: HashMap<NotificationId, Instant>,
    latencies: Vec<Duration>,
}

impl Meter {
    pub(super) fn new(queue: QueueHandle, expected: u32, open_max: u32) -> Arc<Self> {
        let state = State {
            submitted: HashMap::with_capacity(open_max as usize),
            latencies: Vec::with_capacity(expected as usize),
        };
        let ended = (expected == 0).then(Instant::now);
        Arc::new(Self {
            queue,
            expected,
            open: Semaphore::new(open_max as usize),
            state: Mutex::new(state),
            ended: watch::Sender::new(ended),
        })
    }

    /// Waits until `count` more may be open.
    pub(super) async fn may_open(&self, count: u32) {
        if let Ok(places) = self.open.acquire_many(count).await {
            // Given back when they end.
            places.forget();
        }
    }

    pub(super) fn submitted(&self, notifications: impl Iterator<Item = NotificationId>) {
        let now = Instant::now();
        self.lock().submitted.extend(notifications.map(|id| (id, now)));
    }

    /// When the last one ended, and how long each took, in ascending order.
    pub(super) async fn all_ended(&self) -> (Instant, Vec<Duration>) {
        let mut ended = self.ended.subscribe();
        let at = ended.wait_for(Option::is_some).await.ok().and_then(|at| *at).unwrap_or_else(Instant::now);
        let mut latencies = std::mem::take(&mut self.lock().latencies);
        latencies.sort_unstable();
        (at, latencies)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows each commit to the meter, and to those who follow events.
pub(super) struct Listener {
    pub(super) meter: Arc<Meter>,
    pub(super) inlet: Option<Inlet>,
}

impl CommitListener for Listener {
    fn committed(&self, committed: Committed) {
        self.meter.see(&committed);
        if let Some(inlet) = &self.inlet {
            inlet.tell(committed.events);
        }
    }
}

impl Meter {
    fn see(&self, committed: &Committed) {
        self.queue.offer_all(&committed.accepted);
        let now = Instant::now();
        let mut state = self.lock();
        let before = state.latencies.len();
        for numbered in &committed.events {
            if let EventBody::NotificationCompleted { notification, .. } = &numbered.event.body
                && let Some(submitted) = state.submitted.remove(notification)
            {
                state.latencies.push(now - submitted);
            }
        }
        let after = state.latencies.len();
        drop(state);
        self.open.add_permits(after - before);
        if after > before && after == self.expected as usize {
            self.ended.send_replace(Some(now));
        }
    }
}
