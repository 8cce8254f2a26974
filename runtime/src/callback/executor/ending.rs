//! How a job ends for each callback: done, skipped, or given up.

use std::collections::VecDeque;

use super::{Job, Link, Shared};
use crate::domain::DeadCallback;

pub(super) const STOPPED: &str = "the runtime stopped before it was called";

impl Shared {
    /// The runtime stops before these were called. What has a durable name is called after the next start.
    pub(super) async fn leave(&self, job: Job) {
        let (durable, rest): (VecDeque<_>, VecDeque<_>) =
            job.links.into_iter().partition(|link| link.callback.place.is_some() && link.replay_of.is_none());
        drop(durable);
        self.give_up(Job { links: rest, ..job }, STOPPED).await;
    }

    pub(super) async fn give_up(&self, mut job: Job, reason: &str) {
        for link in std::mem::take(&mut job.links) {
            self.bury(&job, link, reason).await;
        }
    }

    /// It is called no more for this event, and can be replayed.
    pub(super) async fn bury(&self, job: &Job, link: Link, reason: &str) {
        let at = self.clock.now();
        let Link { callback, execution, attempts, replay_of } = link;
        self.tracker.dead(execution, callback.kind, attempts, reason, at);
        tracing::debug!(callback = %callback.name, event = job.event.number, attempts, reason, "A callback is given up.");
        let dead = DeadCallback {
            id: 0,
            callback: callback.name.clone(),
            kind: callback.kind,
            event: job.event.number,
            notification: job.event.event.body.notification(),
            delivery: job.event.event.body.delivery(),
            attempts,
            reason: reason.to_owned(),
            at,
        };
        self.ledger.dead(dead, replay_of).await;
        if let (Some(place), None) = (&callback.place, replay_of) {
            place.settle(job.event.number);
            self.ledger.moved(&callback).await;
        }
    }

    pub(super) async fn skip(&self, job: &Job, link: &Link) {
        self.tracker.skipped(link.execution, link.callback.kind, self.clock.now());
        // What was to be replayed for one that is gone can be replayed when it is there again.
        if link.replay_of.is_none() {
            self.end(job, link).await;
        }
    }

    /// It has nothing more to do with this event.
    pub(super) async fn end(&self, job: &Job, link: &Link) {
        if let Some(id) = link.replay_of {
            return self.ledger.revived(id).await;
        }
        if let Some(place) = &link.callback.place {
            place.settle(job.event.number);
            self.ledger.moved(&link.callback).await;
        }
    }
}
