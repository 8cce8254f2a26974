//! What is to be told of workers, on its way into the store: nobody who has something to do waits for that.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::store_wait;
use crate::clock::Clock;
use crate::domain::{Event, EventBody, Timestamp};
use crate::store::{Store, StoreError};

/// Events that wait while the store refuses to write. Beyond, the oldest go, and the log has them.
const WAITING_MAX: usize = 1_024;

#[derive(Default)]
pub(super) struct News {
    waiting: Mutex<VecDeque<Event>>,
    more: Notify,
}

impl News {
    pub(super) fn tell(&self, at: Timestamp, body: EventBody) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() == WAITING_MAX
            && let Some(oldest) = waiting.pop_front()
        {
            tracing::error!(event = oldest.body.kind(), "An event about workers is lost: the store does not write.");
        }
        waiting.push_back(Event { at, body });
        drop(waiting);
        self.more.notify_one();
    }

    /// Has what there is written, and what comes, until it is dropped.
    pub(super) async fn keep(&self, store: &dyn Store, clock: &dyn Clock) {
        let mut failures = 0;
        loop {
            match self.write(store).await {
                Ok(()) => {
                    failures = 0;
                    self.more.notified().await;
                }
                Err(StoreError::Closed) => return,
                Err(error) => {
                    failures += 1;
                    tracing::error!(error = %error, failures, "Could not tell of workers; trying again.");
                    clock.wait_until(clock.now().after(store_wait(failures))).await;
                }
            }
        }
    }

    /// Has what there is written.
    pub(super) async fn write(&self, store: &dyn Store) -> Result<(), StoreError> {
        let events: Vec<Event> = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        if events.is_empty() {
            return Ok(());
        }
        let told = store.tell(events.clone()).await;
        if told.is_err() {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            events.into_iter().rev().for_each(|event| waiting.push_front(event));
            waiting.truncate(WAITING_MAX);
        }
        told
    }
}
