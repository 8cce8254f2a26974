//! Keeps the log short, so that reads stay fast and a restart has little to replay.
//!
//! *Flow:* at 64 MiB a thread of its own copies the bulk into the file while the writer goes on; then the writer copies
//! the small tail between two commits, and the next commit starts the log afresh. A background checkpoint alone never
//! catches up with a writer that does not pause. Once nothing has been written for a while, the thread copies the rest,
//! and the log gives its room back to the disk.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;

use super::failure::Failure;
use super::schema::{self, LogIndex};

/// A log this long is worth a checkpoint, in bytes.
const LOG_BYTES: u64 = 64 << 20;

/// A log this long means that a reader stands in the way, in bytes. From here the writer waits for readers, at most as
/// long as its busy timeout.
const LOG_BYTES_MAX: u64 = 256 << 20;

/// After a checkpoint that did not shorten the log it has to grow by this much before the next, in bytes.
const STEP_BYTES: u64 = 32 << 20;

/// The thread looks this often whether anything was written meanwhile.
const IDLE: Duration = Duration::from_secs(60);

/// A log whose file is no longer than this keeps its room, in bytes: it is needed again soon.
const IDLE_LOG_BYTES: u64 = 4 << 20;

/// A page in the log has a header of this many bytes.
const FRAME_HEADER_BYTES: u64 = 24;

/// The writer's side of checkpoints.
#[derive(Debug)]
pub(super) struct Checkpoints {
    /// Asks the thread for a pass. One that is not taken yet is as good as a second.
    /// None once it is to end.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    done: Arc<AtomicBool>,
    under_way: bool,
    frame_bytes: u64,
    /// See [`LOG_BYTES`].
    log_bytes: u64,
    next_at: u64,
    warned: bool,
}

impl Checkpoints {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start(path: &Path, index: LogIndex) -> Result<Self, Failure> {
        Self::start_at(path, index, LOG_BYTES, IDLE)
    }

    /// Without a thread: the writer copies everything itself, from a log this long on, in bytes. What a writer falls back
    /// to whose thread is gone, and what serves where nobody else may open the file.
    pub(super) fn alone(writer: &Connection, log_bytes: u64) -> Result<Self, Failure> {
        let frame_bytes = frame_bytes(writer)?;
        let done = Arc::new(AtomicBool::new(false));
        let (wake, thread, under_way) = (None, None, false);
        Ok(Self { wake, thread, done, under_way, frame_bytes, log_bytes, next_at: log_bytes, warned: false })
    }

    fn start_at(path: &Path, index: LogIndex, log_bytes: u64, idle: Duration) -> Result<Self, Failure> {
        let connection = schema::open_reader(path, index)?;
        let frame_bytes = frame_bytes(&connection)?;
        let (wake, asked) = sync_channel(1);
        let done = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&done);
        let mut idle_log = IdleLog::of(path);
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".to_owned())
            .spawn(move || {
                loop {
                    let is_asked = asked.recv_timeout(idle);
                    let tried = match is_asked {
                        Ok(()) => checkpoint(&connection, "PASSIVE").map(drop),
                        Err(RecvTimeoutError::Timeout) => idle_log.tend(&connection),
                        Err(RecvTimeoutError::Disconnected) => break,
                    };
                    if let Err(error) = tried {
                        tracing::warn!(error = %error, "Checkpoint failed; it will be tried again.");
                    }
                    if is_asked.is_ok() {
                        tell.store(true, Ordering::Release);
                    }
                }
            })
            .map_err(|error| Failure::Disk(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            wake: Some(wake),
            thread: Some(thread),
            done,
            under_way: false,
            frame_bytes,
            log_bytes,
            next_at: log_bytes,
            warned: false,
        })
    }

    /// Called by the writer after each commit.
    pub(super) fn tend(&mut self, writer: &Connection) {
        if let Err(error) = self.try_tend(writer) {
            tracing::warn!(error = %error, "Checkpoint failed; it will be tried again.");
        }
    }

    fn try_tend(&mut self, writer: &Connection) -> Result<(), rusqlite::Error> {
        let log_bytes = checkpoint(writer, "NOOP")? * self.frame_bytes;
        if self.under_way {
            if self.done.swap(false, Ordering::Acquire) {
                self.under_way = false;
                let mode = if log_bytes < LOG_BYTES_MAX { "PASSIVE" } else { "RESTART" };
                checkpoint(writer, mode)?;
                self.next_at = log_bytes + STEP_BYTES;
            }
        } else if log_bytes < self.log_bytes {
            self.next_at = self.log_bytes;
            self.warned = false;
        } else if log_bytes >= self.next_at {
            match self.wake.as_ref().map(|wake| wake.try_send(())) {
                Some(Ok(()) | Err(TrySendError::Full(()))) => self.under_way = true,
                // Its thread is gone: the writer does it alone.
                Some(Err(TrySendError::Disconnected(()))) | None => drop(checkpoint(writer, "PASSIVE")?),
            }
        }
        if log_bytes >= LOG_BYTES_MAX && !self.warned {
            self.warned = true;
            tracing::warn!(log_bytes, limit_bytes = LOG_BYTES_MAX, "A reader keeps the store's log from being reset.");
        }
        Ok(())
    }
}

/// The log of a store that may be idle.
struct IdleLog {
    file: PathBuf,
    /// At the last look.
    frames: u64,
}

impl IdleLog {
    fn of(database: &Path) -> Self {
        let mut file = database.as_os_str().to_owned();
        file.push("-wal");
        Self { file: file.into(), frames: 0 }
    }

    /// Cuts it where it is long and nothing was written since the last look.
    fn tend(&mut self, connection: &Connection) -> Result<(), rusqlite::Error> {
        let frames = checkpoint(connection, "NOOP")?;
        let is_idle = frames == std::mem::replace(&mut self.frames, frames);
        let is_long = std::fs::metadata(&self.file).is_ok_and(|there| there.len() > IDLE_LOG_BYTES);
        if is_idle && is_long {
            checkpoint(connection, "TRUNCATE")?;
        }
        Ok(())
    }
}

impl Drop for Checkpoints {
    /// Waits for the thread, so that its connection is closed: the last one to close takes the log away.
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // A panic of it has been told by its hook.
            let _ = thread.join();
        }
    }
}

/// What a page takes in the log.
fn frame_bytes(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let page_bytes: u32 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    Ok(u64::from(page_bytes) + FRAME_HEADER_BYTES)
}

/// Answers how many frames the log has.
fn checkpoint(connection: &Connection, mode: &str) -> Result<u64, rusqlite::Error> {
    // Not cached: some pragmas take effect when they are prepared.
    let frames: i64 = connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| row.get(1))?;
    Ok(u64::try_from(frames).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Durability;

    #[test]
    fn the_log_starts_afresh_while_the_writer_goes_on() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("log.db");
        let writer = schema::open_writer(&path, Durability::Os).unwrap();
        let mut checkpoints = Checkpoints::start_at(&path, LogIndex::Shared, 1 << 20, IDLE).unwrap();
        let mut longest = 0;
        // Ends with the first commit whose log is shorter than the one before. The thread gets its turn in the end.
        loop {
            writer.execute("INSERT INTO outbox (count, frame) VALUES (0, zeroblob(100000))", []).unwrap();
            let frames = checkpoint(&writer, "NOOP").unwrap();
            if frames < longest {
                break;
            }
            longest = frames;
            checkpoints.tend(&writer);
        }
        assert!(longest * checkpoints.frame_bytes >= 1 << 20);
    }
    #[test]
    fn the_log_of_an_idle_store_gives_its_room_back() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("log.db");
        let writer = schema::open_writer(&path, Durability::Os).unwrap();
        let (thread, mut log) = (schema::open_reader(&path, LogIndex::Shared).unwrap(), IdleLog::of(&path));
        let log_bytes = || std::fs::metadata(folder.path().join("log.db-wal")).unwrap().len();
        let write = |bytes: i64| {
            writer.execute("INSERT INTO outbox (count, frame) VALUES (0, zeroblob(?1))", [bytes]).unwrap();
        };
        write(2 * IDLE_LOG_BYTES as i64);
        log.tend(&thread).unwrap();
        write(1);
        log.tend(&thread).unwrap();
        assert!(log_bytes() > 2 * IDLE_LOG_BYTES, "something was written between the two looks");
        log.tend(&thread).unwrap();
        assert_eq!(log_bytes(), 0);
        write(1);
        log.tend(&thread).unwrap();
        log.tend(&thread).unwrap();
        assert_ne!(log_bytes(), 0, "a short log keeps its room");
    }
}
