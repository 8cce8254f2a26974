//! Asking the writer, or a reader, and waiting for the answer.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::giving_up::Unstage;
use super::transaction::{Accepting, Answer, Operation, Staged, mixed_up};
use super::writer::{Command, read_job};
use super::{STAGED_ROWS, SqliteStore};
use crate::store::{Accepted, DELIVERIES_MAX, Planned, StoreError};

impl SqliteStore {
    pub(super) async fn write(&self, operation: Operation) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Write { operation, reply }).await.map_err(|_| StoreError::Closed)?;
        let answer = answer.await.map_err(|_| StoreError::Closed)?;
        answer.map_err(|failure| failure.at(&self.path))
    }

    /// Keeps them, those that are large with their targets first.
    pub(super) async fn take_in(&self, planned: Vec<Planned>) -> Result<Vec<Accepted>, StoreError> {
        for one in &planned {
            let (id, count) = (one.notification.id, one.deliveries.len());
            if count == 0 || count > DELIVERIES_MAX {
                let reason = format!("`{id}` has {count} deliveries, it may have 1 to {DELIVERIES_MAX}");
                return Err(StoreError::Internal { reason });
            }
        }
        let mut accepting = Vec::with_capacity(planned.len());
        let mut unstage = Unstage { store: self, notifications: Vec::new() };
        for one in planned {
            let id = one.notification.id;
            let (one, staged) = Accepting::of(one);
            accepting.push(one);
            if !staged.is_empty() {
                unstage.notifications.push(id);
                self.stage(staged).await?;
            }
        }
        match self.write(Operation::Accept(accepting)).await? {
            Answer::Accepted(accepted) => {
                unstage.notifications.clear();
                Ok(accepted)
            }
            _ => Err(mixed_up()),
        }
    }

    /// Keeps targets, in commits that hold nobody up.
    pub(super) async fn stage(&self, staged: Vec<Staged>) -> Result<(), StoreError> {
        let mut staged = staged.into_iter().peekable();
        while staged.peek().is_some() {
            let slice = staged.by_ref().take(STAGED_ROWS).collect();
            self.write(Operation::Stage(slice)).await?;
        }
        Ok(())
    }

    pub(super) async fn read<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let answer = match &self.readers {
            Some(readers) => readers.run(read).await.ok_or(StoreError::Closed)?,
            None => {
                let (job, answer) = read_job(read);
                self.commands.send(Command::Read(job)).await.map_err(|_| StoreError::Closed)?;
                answer.await.map_err(|_| StoreError::Closed)?
            }
        };
        answer.map_err(|failure| failure.at(&self.path))
    }
}
