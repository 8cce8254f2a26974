//! Asking the writer, or a reader, and waiting for the answer.

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::failure::Failure;
use super::transaction::{Answer, Operation, Staged};
use super::writer::{Command, read_job};
use super::{STAGED_ROWS, SqliteStore};
use crate::store::StoreError;

impl SqliteStore {
    pub(super) async fn write(&self, operation: Operation) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Write { operation, reply }).await.map_err(|_| StoreError::Closed)?;
        let answer = answer.await.map_err(|_| StoreError::Closed)?;
        answer.map_err(|failure| failure.at(&self.path))
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
