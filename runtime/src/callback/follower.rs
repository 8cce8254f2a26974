//! Follows the stream of events and finds out who is to be told of what.
//!
//! *Flow:* one follower for all callbacks without a durable name: it begins with the newest event when the first of them
//! is registered. One for each callback with a durable name: it begins where that callback was.
//!
//! *Not here:* calling anybody (`executor`).

use std::sync::Arc;

use super::executor::{Executor, Job};
use super::feed::Feed;
use super::ledger::Ledger;
use super::progress::Progress;
use super::registry::{Callback, Registry, occasion_of};
use super::target::Occasion;
use crate::domain::{CallbackKind, EventBody, NotificationId};
use crate::store::NumberedEvent;

/// For callbacks without a durable name.
pub(super) struct Follower {
    pub(super) registry: Arc<Registry>,
    pub(super) executor: Executor,
    pub(super) feed: Feed,
    pub(super) progress: Progress,
}

impl Follower {
    /// Follows until the store is closed or there is to be an end.
    pub(super) async fn follow(mut self) {
        let mut stopping = self.feed.stopping.clone();
        loop {
            let Some(after) = self.registry.position() else {
                // An end that was told before is one too.
                if *stopping.borrow_and_update() {
                    return;
                }
                tokio::select! {
                    () = self.registry.wanted.notified() => {}
                    _ = stopping.changed() => {}
                }
                continue;
            };
            let Some(events) = self.feed.next(after).await else { return };
            for event in events {
                self.look_at(&event).await;
                self.registry.reached(event.number);
            }
        }
    }

    async fn look_at(&mut self, event: &Arc<NumberedEvent>) {
        let body = &event.event.body;
        let Some(notification) = body.notification() else { return };
        if let Some((kind, occasion)) = occasion_of(body) {
            self.tell(event, kind, notification, occasion).await;
        }
        let is_wanted = self.registry.wants_progress(notification);
        if let Some(occasion) = self.progress.take(event, is_wanted).await {
            self.tell(event, CallbackKind::Progress, notification, occasion).await;
        }
        if matches!(body, EventBody::NotificationCompleted { .. }) {
            self.registry.completed(notification);
        }
    }

    async fn tell(
        &self,
        event: &Arc<NumberedEvent>,
        kind: CallbackKind,
        notification: NotificationId,
        occasion: Occasion,
    ) {
        let concerned = self.registry.concerned(kind, notification, event.number);
        let concerned = concerned.into_iter().filter(|callback| is_news(callback, &event.event.body));
        let links = concerned.map(|callback| self.executor.link(callback, event.number, None)).collect();
        let job = Job { event: Arc::clone(event), occasion, links };
        if !job.links.is_empty() {
            self.executor.push(job).await;
        }
    }
}

/// Whether the callback was not told of it already, when it was registered for a notification under way.
fn is_news(callback: &Callback, body: &EventBody) -> bool {
    match body {
        _ if callback.notification.is_none() => true,
        EventBody::DeliverySent { delivery, attempts, .. } | EventBody::DeliveryFailed { delivery, attempts, .. } => {
            callback.early.is_news(delivery.index(), *attempts)
        }
        _ => true,
    }
}

/// For one callback with a durable name.
pub(super) struct DurableFollower {
    pub(super) callback: Arc<Callback>,
    pub(super) executor: Executor,
    pub(super) ledger: Ledger,
    pub(super) feed: Feed,
    pub(super) progress: Progress,
}

impl DurableFollower {
    /// Follows until the callback is removed, the store is closed or there is to be an end.
    pub(super) async fn follow(mut self) {
        let callback = Arc::clone(&self.callback);
        let Some(place) = &callback.place else { return };
        while !callback.is_removed() {
            let Some(events) = self.feed.next(place.seen()).await else { return };
            for event in events {
                match self.occasion(&event).await {
                    None => place.pass(event.number),
                    Some(occasion) => {
                        // It holds up nobody but itself, so that its backlog leaves the queue to the others.
                        while !place.begin(event.number) {
                            place.room.notified().await;
                        }
                        if callback.is_removed() {
                            return;
                        }
                        let link = self.executor.link(Arc::clone(&callback), event.number, None);
                        self.executor.push(Job { event, occasion, links: [link].into() }).await;
                    }
                }
            }
            self.ledger.moved(&callback).await;
        }
    }

    async fn occasion(&mut self, event: &NumberedEvent) -> Option<Occasion> {
        if self.callback.kind == CallbackKind::Progress {
            return self.progress.take(event, true).await;
        }
        occasion_of(&event.event.body).filter(|(kind, _)| *kind == self.callback.kind).map(|(_, occasion)| occasion)
    }
}
