//! Opening the file: settings of a connection, and the migrations up to the version that this program writes.
//!
//! *Invariants:* a migration that was released never changes. A file of a later version is left alone. What is opened to
//! be looked at is not changed.

use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use rusqlite::{Connection, OpenFlags};

use super::failure::Failure;
use super::{copying, expiry, lookup, totals};
use crate::store::{Durability, StoreError};

/// Step `n` takes a file from version `n` to `n + 1`.
const MIGRATIONS: [&str; 17] = [
    include_str!("schema/0001_first.sql"),
    include_str!("schema/0002_plugins.sql"),
    include_str!("schema/0003_kv.sql"),
    include_str!("schema/0004_once.sql"),
    FIND,
    include_str!("schema/0006_targets.sql"),
    include_str!("schema/0007_in_flight.sql"),
    include_str!("schema/0008_flows.sql"),
    AUDIT,
    include_str!("schema/0010_accepted.sql"),
    include_str!("schema/0011_channels.sql"),
    include_str!("schema/0012_reroutes.sql"),
    include_str!("schema/0013_callbacks.sql"),
    include_str!("schema/0014_epoch.sql"),
    include_str!("schema/0015_never_made.sql"),
    EXPIRIES,
    include_str!("schema/0017_callback_url.sql"),
];

/// The step whose table is filled from what is there, which takes more than SQL.
const FIND: &str = include_str!("schema/0005_find.sql");

/// The same of this one: what waits for another attempt is counted by reading its state.
const AUDIT: &str = include_str!("schema/0009_audit.sql");

/// The same: when something expires is in what was submitted.
const EXPIRIES: &str = include_str!("schema/0016_expiries.sql");

/// The version that this program writes.
pub(super) const VERSION: u32 = MIGRATIONS.len() as u32;

/// "CAMP": tells our files from those of other programs.
const APPLICATION_ID: i32 = 0x4341_4d50;

/// Below it two connections could damage the file when the log is reset: <https://sqlite.org/wal.html#walresetbug>.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// A log that was ever longer than this is cut when it is reset, in bytes. Twice what starts a checkpoint: the space is
/// used again and again without the file system's metadata changing.
const JOURNAL_SIZE_LIMIT: u32 = 128 << 20;

/// Statements kept ready per connection. There are about 40.
const STATEMENTS_MAX: usize = 64;

/// How the connection that writes is opened.
const WRITER_FLAGS: OpenFlags =
    OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE).union(OpenFlags::SQLITE_OPEN_NO_MUTEX);

/// The file system of SQLite's that keeps the index of the log in memory, and the file for this process alone.
const ALONE_VFS: &str = "unix-excl";

/// What has a meaning in a file name that SQLite takes as a URI.
const URI_RESERVED: &AsciiSet = &CONTROLS.add(b'%').add(b'?').add(b'#').add(b' ');

/// Whose database a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody's: there is nothing in it.
    Empty,
    /// Ours, of this version.
    Ours(u32),
    /// Ours, of a version that this program does not know.
    Unknown(i64),
    /// Another program's.
    Foreign,
}

impl Kind {
    pub(super) fn of(connection: &Connection) -> Result<Self, Failure> {
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
        let version = number("PRAGMA user_version")?;
        if number("PRAGMA application_id")? == i64::from(APPLICATION_ID) {
            return Ok(match u32::try_from(version) {
                Ok(version) if version <= VERSION => Self::Ours(version),
                _ => Self::Unknown(version),
            });
        }
        Ok(if number("SELECT count(*) FROM sqlite_schema")? == 0 { Self::Empty } else { Self::Foreign })
    }

    /// The version to migrate from; 0 where there is nothing yet.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(super) fn version(self) -> Result<u32, String> {
        match self {
            Self::Empty => Ok(0),
            Self::Ours(version) => Ok(version),
            Self::Foreign => Err("it is a database of another program".to_owned()),
            Self::Unknown(version) => {
                Err(format!("it has version {version}, this program knows up to {VERSION}: use the newer program"))
            }
        }
    }
}

/// Where the index of the log lies, by which connections find what was written last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogIndex {
    /// In a file beside the database: other processes can read while this one writes.
    Shared,
    /// In the memory of this process: no other one can open the database meanwhile.
    Own,
}

impl LogIndex {
    fn open(self, path: &Path, flags: OpenFlags) -> Result<Connection, rusqlite::Error> {
        match self {
            Self::Shared => Connection::open_with_flags(path, flags),
            Self::Own => Connection::open_with_flags_and_vfs(path, flags, ALONE_VFS),
        }
    }
}

/// What a process that serves has opened.
#[derive(Debug)]
pub(super) struct Serving {
    /// The one that writes.
    pub(super) connection: Connection,
    /// The others have it there too.
    pub(super) index: LogIndex,
    /// The version that the file had; none where it was this one, or there was none.
    pub(super) migrated_from: Option<u32>,
}

/// Opens the connection that writes, creating or migrating the file. What is about to be migrated is kept beside it.
#[cfg(test)]
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    open_migrating(path, durability, true).map(|(connection, _)| connection)
}

/// The same for a process that serves. Where the disk has no room for the file of the log's index, the index lies in
/// memory: a start on a full disk comes up.
pub(super) fn open_serving(path: &Path, durability: Durability) -> Result<Serving, StoreError> {
    let reason = match open_migrating(path, durability, true) {
        Err(StoreError::Unavailable { reason }) if durability != Durability::Memory => reason,
        opened => {
            return opened.map(|(connection, Steps { from, .. })| {
                let migrated_from = (0 < from && from < VERSION).then_some(from);
                Serving { connection, index: LogIndex::Shared, migrated_from }
            });
        }
    };
    let own = LogIndex::Own.open(path, WRITER_FLAGS).map_err(Failure::from).and_then(|mut connection| {
        set_up_writer(&mut connection, durability)?;
        Ok((Kind::of(&connection)?, connection))
    });
    match own {
        // What was to be migrated, or made, has failed for want of room: it would again.
        Ok((Kind::Ours(VERSION), connection)) => {
            tracing::warn!(
                %reason,
                "There is no room for the index of the store's log beside it, and it is kept in memory: no other process, a \
                 backup for one, can open the database until the server was started again with room on that disk."
            );
            Ok(Serving { connection, index: LogIndex::Own, migrated_from: None })
        }
        Ok(_) | Err(_) => Err(StoreError::Unavailable { reason }),
    }
}

/// Opens the one connection there is to a file in another file system of SQLite's, named `vfs`. It takes the file for
/// itself, so that the log's index lies in memory and the file system needs no shared memory.
pub(super) fn open_alone(path: &Path, durability: Durability, vfs: &str) -> Result<Connection, StoreError> {
    let opened = Connection::open_with_flags_and_vfs(path, WRITER_FLAGS, vfs).and_then(|connection| {
        // Before the log is looked at, and for good.
        connection.execute_batch("PRAGMA locking_mode = EXCLUSIVE")?;
        Ok(connection)
    });
    prepared(opened, path, durability, false).map(|(connection, _)| connection)
}

/// What a migration did.
#[derive(Debug)]
pub(super) struct Steps {
    /// 0 where the file was new.
    pub(super) from: u32,
    /// The copy of the file before.
    pub(super) kept: Option<PathBuf>,
}

/// The same; says what it did.
pub(super) fn open_migrating(
    path: &Path,
    durability: Durability,
    keep: bool,
) -> Result<(Connection, Steps), StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::Unusable {
            path: path.display().to_string(),
            reason: format!("SQLite {} is older than 3.51.3; build with the bundled one", rusqlite::version()),
        });
    }
    let opened = match durability {
        Durability::Memory => Connection::open_in_memory(),
        Durability::Full | Durability::Os => Connection::open_with_flags(path, WRITER_FLAGS),
    };
    prepared(opened, path, durability, keep)
}

/// Sets the connection up and migrates what it leads to.
fn prepared(
    opened: Result<Connection, rusqlite::Error>,
    path: &Path,
    durability: Durability,
    keep: bool,
) -> Result<(Connection, Steps), StoreError> {
    opened
        .map_err(Failure::from)
        .and_then(|mut connection| {
            set_up_writer(&mut connection, durability)?;
            let from = Kind::of(&connection)?.version().map_err(Failure::Damaged)?;
            let kept =
                if keep && 0 < from && from < VERSION { Some(keep_before(&connection, path, from)?) } else { None };
            migrate(&mut connection, from)?;
            Ok((connection, Steps { from, kept }))
        })
        .map_err(|failure| failure.at(path))
}

/// Opens one of the connections that read, or the one that checkpoints.
pub(super) fn open_reader(path: &Path, index: LogIndex) -> Result<Connection, Failure> {
    let connection = index.open(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection.execute_batch("PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY; PRAGMA busy_timeout = 5000")?;
    Ok(connection)
}

fn set_up_writer(connection: &mut Connection, durability: Durability) -> Result<(), Failure> {
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // `page_size` counts for a new file only. Checkpoints are ours to time: see `checkpoint`.
    connection.execute_batch(&format!(
        "PRAGMA page_size = 8192;
         PRAGMA busy_timeout = 5000;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;
         PRAGMA foreign_keys = OFF;
         PRAGMA journal_mode = {};
         PRAGMA synchronous = {};
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA journal_size_limit = {JOURNAL_SIZE_LIMIT};",
        match durability {
            Durability::Full | Durability::Os => "WAL",
            Durability::Memory => "MEMORY",
        },
        match durability {
            Durability::Full => "FULL",
            // The log is synced before a checkpoint, so that the file is whole whatever happens.
            Durability::Os => "NORMAL",
            Durability::Memory => "OFF",
        },
    ))?;
    Ok(())
}

/// Opens a file to look at it, without a trace. Where nobody has it open there is no log, and the file is taken as it
/// stands: SQLite would make a log and an index of it otherwise. Whoever looks for long checks with [`is_at_rest`] that
/// nobody opened it meanwhile.
pub(super) fn open_look(path: &Path) -> Result<Connection, Failure> {
    open_uri(path, if is_at_rest(path) { "&immutable=1" } else { "" })
}

/// Whether the file has no log beside it, which it has whenever somebody has it open, and after a crash.
pub(super) fn is_at_rest(path: &Path) -> bool {
    !copying::beside(path, "-wal").exists()
}

/// Opens a connection that cannot write. Also beside a process that does: the log keeps both apart.
pub(super) fn open_read_only(path: &Path) -> Result<Connection, Failure> {
    open_uri(path, "")
}

fn open_uri(path: &Path, more: &str) -> Result<Connection, Failure> {
    let path = std::path::absolute(path).map_err(|error| Failure::Disk(error.to_string()))?;
    let name = percent_encode(path.as_os_str().as_encoded_bytes(), URI_RESERVED);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let connection = Connection::open_with_flags(format!("file:{name}?mode=ro{more}"), flags)?;
    connection.execute_batch("PRAGMA cache_size = -8192; PRAGMA busy_timeout = 5000")?;
    Ok(connection)
}

/// Copies the file as it is before its first migration to `NAME.v<version>`; one that is there is replaced, since it is
/// of an earlier try.
fn keep_before(connection: &Connection, path: &Path, version: u32) -> Result<PathBuf, Failure> {
    let to = copying::beside(path, &format!(".v{version}"));
    match copying::write(connection, &to, true, None) {
        Ok(_) => Ok(to),
        Err(error) => Err(Failure::Disk(format!(
            "there is no copy of it before its migration: {}; make room, or go without one: `campanile migrate \
             --no-backup`",
            error.with_source()
        ))),
    }
}

fn migrate(connection: &mut Connection, version: u32) -> Result<(), Failure> {
    let steps = MIGRATIONS.get(version as usize..).unwrap_or_default();
    for (step, sql) in (version + 1..).zip(steps) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        if *sql == FIND {
            lookup::fill(&transaction)?;
        }
        if *sql == AUDIT {
            totals::fill(&transaction)?;
        }
        if *sql == EXPIRIES {
            expiry::fill(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", step)?;
        transaction.commit()?;
    }
    Ok(())
}
