//! How far notifications with several deliveries have come.
//!
//! Told behind all else that a transaction does, so that it says what holds once it is committed.

use super::Transaction;
use crate::domain::{EventBody, NotificationId, Timestamp};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::progress::Telling;
use crate::store::sqlite::read;

impl Transaction<'_> {
    /// Deliveries of `id` have ended, and the tallies know of it.
    pub(super) fn progressed(&mut self, id: NotificationId, at: Timestamp) {
        if let Some(counts) = self.tallies.get(&id) {
            self.effects.progressed.insert(id, (at, *counts));
        }
    }

    /// Tells what was held back, as something had been told just before.
    pub(super) fn tell_held_back(&mut self, now: Timestamp) -> Result<(), Failure> {
        for id in self.told.owed(now) {
            // What is gone was final.
            let counts = match read::siblings(self.db, id)? {
                Some(_) => read::tally(self.db, id)?,
                None => Default::default(),
            };
            self.effects.progressed.entry(id).or_insert((now, counts));
        }
        Ok(())
    }

    /// Says of all that progressed how far it is, unless that was said just now or all of it is final.
    pub(super) fn tell_progress(&mut self) {
        for (notification, (at, counts)) in std::mem::take(&mut self.effects.progressed) {
            let telling = self.told.telling(notification, at, counts);
            if let Telling::Told(_) = telling {
                let (completed, total) = (counts.completed(), counts.total());
                self.event(at, EventBody::NotificationProgress { notification, completed, total });
            }
            self.effects.told.push((notification, telling));
        }
    }
}
