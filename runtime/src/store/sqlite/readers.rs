//! Connections for readers. A read begins after its call, so it sees every commit that was told before.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::failure::Failure;
use super::schema::{self, LogIndex};

/// Reads at once. More would only compete for the same two or four cores, and each may hold up a checkpoint.
const READERS_MAX: usize = 2;

/// A small pool; its connections are opened when they are first needed.
#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    index: LogIndex,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path, index: LogIndex) -> Self {
        Self { path: path.to_owned(), index, permits: Arc::new(Semaphore::new(READERS_MAX)), idle: Arc::default() }
    }

    /// Runs `read` in one transaction on a thread that may block. `None` after [`close`](Self::close).
    pub(super) async fn run<T, F>(&self, read: F) -> Option<Result<T, Failure>>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
    {
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok()?;
        let (path, index, idle) = (self.path.clone(), self.index, Arc::clone(&self.idle));
        let work = move || {
            // Goes back only after the connection has.
            let _permit = permit;
            let kept = lock(&idle).pop();
            let connection = kept.map_or_else(|| schema::open_reader(&path, index), Ok)?;
            let answer = in_transaction(&connection, read);
            lock(&idle).push(connection);
            answer
        };
        Some(tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(Failure::Internal(error.to_string()))))
    }

    /// Refuses new reads, waits for those under way and closes the connections.
    pub(super) async fn close(&self) {
        // An error means that somebody else closes them.
        let all = self.permits.acquire_many(READERS_MAX as u32).await;
        self.permits.close();
        drop(all);
        lock(&self.idle).clear();
    }
}

fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Several statements of one read see one state.
pub(super) fn in_transaction<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let transaction = connection.unchecked_transaction()?;
    let answer = read(&transaction)?;
    transaction.commit()?;
    Ok(answer)
}
