//! Events, in the order of the outbox, for those who follow.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::Clock;
use crate::events::{EventId, EventLog, Follow, Followed, Start};
use crate::store::{EventNumber, NumberedEvent};

/// The wait after the store refused to be read.
const AGAIN: Duration = Duration::from_secs(1);

/// What a follower reads from.
pub(super) struct Feed {
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
    /// True once there is to be an end behind the newest.
    pub(super) stopping: watch::Receiver<bool>,
    /// Where it is; none before the first event is asked for.
    place: Option<Follow>,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Feed {
    pub(super) fn new(log: Arc<EventLog>, clock: Arc<dyn Clock>, stopping: watch::Receiver<bool>) -> Self {
        Self { log, clock, stopping, place: None }
    }

    /// The next events behind `after`, at least one. None where the store is closed, or all is read and that is to be the
    /// end.
    pub(super) async fn next(&mut self, after: EventNumber) -> Option<Vec<Arc<NumberedEvent>>> {
        let Self { log, clock, stopping, place } = self;
        let mut follow = match place.take() {
            Some(follow) if follow.position().number == after => follow,
            // Whoever follows nothing yet costs the ring nothing.
            _ => log.follow(start(log, after)),
        };
        loop {
            let until = stopping.borrow_and_update().then(|| log.newest().number);
            let followed = tokio::select! {
                followed = follow.next_until(until) => followed,
                _ = stopping.changed() => continue,
            };
            match followed {
                Ok(Some(Followed::Events(batch))) => {
                    *place = Some(follow);
                    return Some(batch.events().iter().cloned().map(Arc::new).collect());
                }
                Ok(Some(Followed::Gap(gap))) => tracing::warn!(
                    after = %gap.after,
                    resumes = %gap.resumes,
                    reason = gap.reason.as_str(),
                    "Callbacks were not told of events that are no longer kept."
                ),
                Ok(None) => return None,
                Err(error) => {
                    tracing::error!(error = %error, "Could not read events for callbacks; trying again.");
                    tokio::select! {
                        () = clock.wait_until(clock.now().after(AGAIN)) => {}
                        _ = stopping.changed() => {}
                    }
                }
            }
        }
    }
}

/// Behind 0 is the beginning, however much of it was cleared up.
fn start(log: &EventLog, after: EventNumber) -> Start {
    match after {
        0 => Start::Oldest,
        number => Start::After(EventId { epoch: log.epoch(), number }),
    }
}
