//! How far notifications with several deliveries have come: what their events say of it, and their completion.
//!
//! *Not here:* counting, and how often it is told at most (`store`).

use std::collections::HashMap;
use std::sync::Arc;

use super::target::Occasion;
use crate::domain::{EventBody, NotificationId};
use crate::store::{NumberedEvent, Store};

/// Open notifications whose size is remembered. Those beyond are read from the store when they have completed.
const REMEMBERED_MAX: usize = 100_000;

/// Follows what one follower sees.
pub(super) struct Progress {
    store: Arc<dyn Store>,
    /// How many deliveries each has.
    totals: HashMap<NotificationId, u32>,
}

impl Progress {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, totals: HashMap::new() }
    }

    /// What is to be told with this event. `is_wanted` says whether anybody wants to know of this notification.
    pub(super) async fn take(&mut self, event: &NumberedEvent, is_wanted: bool) -> Option<Occasion> {
        match event.event.body {
            EventBody::NotificationAccepted { notification, deliveries, .. } if is_wanted => {
                if self.totals.len() < REMEMBERED_MAX {
                    self.totals.insert(notification, deliveries);
                }
                None
            }
            EventBody::NotificationProgress { completed, total, .. } => {
                is_wanted.then_some(Occasion::Progress { completed, total })
            }
            EventBody::NotificationCompleted { notification, .. } => {
                let known = self.totals.remove(&notification);
                if !is_wanted {
                    return None;
                }
                let total = match known {
                    Some(total) => total,
                    None => self.read(notification).await?,
                };
                (total > 1).then_some(Occasion::Progress { completed: total, total })
            }
            _ => None,
        }
    }

    /// Of a notification whose beginning was not seen. One that cannot be read is not told of.
    async fn read(&self, id: NotificationId) -> Option<u32> {
        Some(self.store.notification(id).await.ok().flatten()?.counts.total())
    }
}
