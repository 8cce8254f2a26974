//! The stream of events as webhooks follow it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Fed, Feed, Feeds};
use crate::clock::Clock;
use crate::domain::EventPattern;
use crate::events::{EventId, EventLog, Follow, Followed, Start, payload};
use crate::store::{EventNumber, NumberedEvent, StoreError};

/// How long a follower waits that cannot read the outbox.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// The events of a store.
pub(crate) struct Stream {
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
}

impl Stream {
    pub(crate) fn new(log: Arc<EventLog>, clock: Arc<dyn Clock>) -> Self {
        Self { log, clock }
    }

    fn id(&self, number: EventNumber) -> EventId {
        EventId { epoch: self.log.epoch(), number }
    }
}

#[async_trait]
impl Feeds for Stream {
    async fn newest(&self) -> Result<EventNumber, StoreError> {
        Ok(self.log.newest().number)
    }

    fn behind(&self, after: EventNumber) -> Box<dyn Feed> {
        let follow = self.log.follow(Start::After(self.id(after)));
        Box::new(Follower { follow, clock: Arc::clone(&self.clock) })
    }

    fn published(&self, event: &NumberedEvent) -> Value {
        let mut bytes = Vec::new();
        payload::put(&mut bytes, self.id(event.number), &event.event);
        // Our own shape is JSON.
        serde_json::from_slice(&bytes).unwrap_or_default()
    }
}

struct Follower {
    follow: Follow,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Feed for Follower {
    async fn next(&mut self, wanted: &[EventPattern]) -> Option<Fed> {
        loop {
            match self.follow.next().await {
                Ok(Some(Followed::Events(batch))) => {
                    let last = batch.events().last()?.number;
                    let is_wanted =
                        |event: &&NumberedEvent| wanted.iter().any(|pattern| pattern.matches(event.event.body.kind()));
                    let wanted = batch.events().iter().filter(is_wanted).cloned().map(Arc::new).collect();
                    return Some(Fed::Events { wanted, last });
                }
                Ok(Some(Followed::Gap(_))) => return Some(Fed::Gap),
                Ok(None) => return None,
                Err(error) => {
                    tracing::warn!(%error, "The outbox cannot be read; webhooks wait.");
                    self.clock.wait_until(self.clock.now().after(STORE_WAIT)).await;
                }
            }
        }
    }
}
