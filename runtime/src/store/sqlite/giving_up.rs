//! What is given up where a caller fails or stops waiting.

use tokio::sync::oneshot;

use super::SqliteStore;
use super::transaction::Operation;
use super::writer::Command;
use crate::domain::NotificationId;

/// Gives claims and reservations up again unless they are handed over: where a read fails, and where the caller stops
/// waiting.
pub(super) struct Held<'s> {
    pub(super) store: &'s SqliteStore,
    pub(super) numbers: Vec<u64>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let numbers = std::mem::take(&mut self.numbers);
        if numbers.is_empty() {
            return;
        }
        // By way of the writer, which knows whether a cancel waits for them.
        let (reply, _) = oneshot::channel();
        let release = Command::Write { operation: Operation::Release(numbers.clone()), reply };
        if self.store.commands.try_send(release).is_err() {
            self.store.live.end(numbers);
        }
    }
}

/// Forgets what was staged for notifications that were not accepted.
pub(super) struct Unstage<'s> {
    pub(super) store: &'s SqliteStore,
    pub(super) notifications: Vec<NotificationId>,
}

impl Drop for Unstage<'_> {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.notifications) {
            let (reply, _) = oneshot::channel();
            // Where the writer is too busy for it, the next start forgets it.
            let _ = self.store.commands.try_send(Command::Write { operation: Operation::Unstage(id), reply });
        }
    }
}
