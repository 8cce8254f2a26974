//! How far notifications with several deliveries have come, told at a bounded rate.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::target::Occasion;
use crate::domain::{EventBody, NotificationId, Timestamp};
use crate::store::{NumberedEvent, Store};

/// Between the first and the last time, one notification's progress is told no more often than this.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Open notifications that are counted. Those beyond are read from the store each time.
const COUNTED_MAX: usize = 100_000;

/// Counts what one follower sees.
pub(super) struct Progress {
    store: Arc<dyn Store>,
    ongoing: HashMap<NotificationId, Ongoing>,
}

struct Ongoing {
    completed: u32,
    total: u32,
    /// Every event of it was seen. Otherwise the store is asked how far it has come.
    is_counted: bool,
    told: Option<Timestamp>,
}

impl Progress {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, ongoing: HashMap::new() }
    }

    /// What is to be told with this event. `is_wanted` says whether anybody wants to know of this notification.
    pub(super) async fn take(&mut self, event: &NumberedEvent, is_wanted: bool) -> Option<Occasion> {
        match event.event.body {
            EventBody::NotificationAccepted { notification, deliveries, .. } if is_wanted => {
                if self.ongoing.len() < COUNTED_MAX {
                    let fresh = Ongoing { completed: 0, total: deliveries, is_counted: true, told: None };
                    self.ongoing.insert(notification, fresh);
                }
                None
            }
            EventBody::DeliverySent { delivery, .. }
            | EventBody::DeliveryFailed { delivery, .. }
            | EventBody::DeliveryCancelled { delivery, .. } => {
                self.one_more(delivery.notification(), event.event.at, is_wanted).await
            }
            EventBody::NotificationCompleted { notification, .. } => {
                let known = self.ongoing.remove(&notification).map(|ongoing| ongoing.total);
                let total = match known {
                    Some(total) => total,
                    None if is_wanted => self.read(notification).await?.total,
                    None => return None,
                };
                (is_wanted && total > 1).then_some(Occasion::Progress { completed: total, total })
            }
            _ => None,
        }
    }

    async fn one_more(&mut self, id: NotificationId, at: Timestamp, is_wanted: bool) -> Option<Occasion> {
        if let Some(ongoing) = self.ongoing.get_mut(&id) {
            // A replayed delivery ends twice, and is one all the same.
            ongoing.completed = ongoing.completed.saturating_add(1).min(ongoing.total);
        } else if is_wanted {
            let found = self.read(id).await?;
            self.ongoing.insert(id, found);
        }
        let ongoing = self.ongoing.get(&id).filter(|ongoing| is_wanted && ongoing.total > 1)?;
        if ongoing.told.is_some_and(|told| at < told.after(TOLD_EVERY)) {
            return None;
        }
        let completed = if ongoing.is_counted { ongoing.completed } else { self.read(id).await?.completed };
        let ongoing = self.ongoing.get_mut(&id)?;
        ongoing.completed = completed;
        ongoing.told = Some(at);
        let total = ongoing.total;
        // The last one is told once, with the completion of the notification.
        (completed < total).then_some(Occasion::Progress { completed, total })
    }

    /// A notification whose beginning was not seen. One that cannot be read is not told of.
    async fn read(&self, id: NotificationId) -> Option<Ongoing> {
        let counts = self.store.notification(id).await.ok().flatten()?.counts;
        let completed = counts.sent + counts.failed + counts.cancelled;
        Some(Ongoing { completed, total: completed + counts.open, is_counted: false, told: None })
    }
}
