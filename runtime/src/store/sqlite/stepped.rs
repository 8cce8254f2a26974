//! A store whose writer is moved on by hand, in a file system of the caller's: for a simulation, which holds time still
//! and decides when what is written.
//!
//! *Flow:* [`SqliteStore::open_stepped`] hands over the writer; whoever has it calls [`SteppedWriter::step`], which is one
//! turn of the loop that a thread runs otherwise. No thread is started: reads and checkpoints use the writer's
//! connection. Everything else is as in [`SqliteStore::open`].

use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::checkpoint::Checkpoints;
use super::live::Live;
use super::schema;
use super::suspects::Ticks;
use super::writer::{Command, Parts, Writer};
use super::{COMMANDS_MAX, SqliteStore, totals};
use crate::store::{CommitListener, Durability, StoreError};

/// How to open a store that is stepped.
pub struct SteppedOptions {
    /// The file's name in its file system. It is not locked: nobody else knows of it.
    pub path: PathBuf,
    /// The file system: a name that is registered with SQLite. It needs neither locks nor shared memory.
    pub vfs: String,
    /// How durable a commit is when its caller is told: [`Durability::Full`] or [`Durability::Os`].
    pub durability: Durability,
    /// Is told of every commit.
    pub listener: Arc<dyn CommitListener>,
    /// By what claims grow old.
    pub ticks: Ticks,
    /// A log this long is copied into the file, in bytes.
    pub log_bytes: u64,
}

/// The writer of a store, waiting to be moved on. Dropping it leaves the store as a crash would, except that SQLite closes
/// the file in order: for a crash the file system has to stop taking writes first.
pub struct SteppedWriter {
    /// None once it was told to close.
    writer: Option<Writer>,
    commands: mpsc::Receiver<Command>,
    running: Option<watch::Sender<()>>,
}

impl fmt::Debug for SteppedWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SteppedWriter").field("is_closed", &self.writer.is_none()).finish_non_exhaustive()
    }
}

impl SteppedWriter {
    /// One turn of the writer's loop: commits what was asked for so far, answers, reads. Tells whether there was
    /// anything.
    pub fn step(&mut self) -> bool {
        let Some(writer) = &mut self.writer else { return false };
        let Ok(first) = self.commands.try_recv() else { return false };
        if let ControlFlow::Break(()) = writer.step(first, &mut self.commands) {
            if let Some(writer) = self.writer.take() {
                writer.end(true, &mut self.commands);
            }
            self.running = None;
        }
        true
    }
}

impl SqliteStore {
    /// Opens the file and hands over its writer. Nothing is written or read until that is stepped.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), except that nobody else can own the file.
    pub fn open_stepped(options: SteppedOptions) -> Result<(Arc<Self>, SteppedWriter), StoreError> {
        let SteppedOptions { path, vfs, durability, listener, ticks, log_bytes } = options;
        let db = schema::open_alone(&path, durability, &vfs)?;
        let (live, stats) = (Arc::new(Live::with_ticks(ticks)), Arc::default());
        let checkpoints = Some(Checkpoints::alone(&db, log_bytes).map_err(|failure| failure.at(&path))?);
        let totals = totals::read(&db).map_err(|failure| failure.at(&path))?;
        let totals = Arc::new(Mutex::new(totals));
        let writer = Writer::begin(Parts {
            db,
            live: Arc::clone(&live),
            listener,
            stats: Arc::clone(&stats),
            totals: Arc::clone(&totals),
            checkpoints,
            durability,
        })
        .map_err(|failure| failure.at(&path))?;
        let (sender, commands) = mpsc::channel(COMMANDS_MAX);
        let (running, ended) = watch::channel(());
        let began_after = writer.last_event();
        let store = Self {
            path,
            live,
            readers: None,
            commands: sender,
            began_after,
            stats,
            totals,
            ended,
            migrated_from: None,
        };
        Ok((Arc::new(store), SteppedWriter { writer: Some(writer), commands, running: Some(running) }))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::time::Instant;

    use futures_util::poll;

    use super::*;
    use crate::store::Store;
    use crate::store::conformance::{Ear, id, planned};
    use crate::store::sqlite::SqliteOptions;

    #[tokio::test]
    async fn nothing_is_written_before_the_writer_is_stepped() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("campanile.db");
        let (durability, listener) = (Durability::Full, Arc::new(Ear::default()));
        let (store, mut writer) = SqliteStore::open_stepped(SteppedOptions {
            path: path.clone(),
            vfs: "unix".to_owned(),
            durability,
            listener: Arc::clone(&listener) as _,
            ticks: Arc::new(Instant::now),
            log_bytes: 1 << 20,
        })
        .unwrap();
        let mut accepting = store.accept(vec![planned(1, &["mail"])]);
        assert!(poll!(&mut accepting).is_pending());
        assert!(writer.step());
        assert!(!writer.step(), "there was nothing else to do");
        accepting.await.unwrap();

        let mut closing = store.close();
        assert!(poll!(&mut closing).is_pending());
        assert!(writer.step());
        closing.await;
        let store = SqliteStore::open(SqliteOptions { path, durability, listener }).unwrap();
        assert!(store.notification(id(1)).await.unwrap().is_some(), "it is a file as any other");
    }
}
