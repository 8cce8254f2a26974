//! Opening the file: settings of a connection, and the migrations up to the version that this program writes.
//!
//! *Invariants:* a migration that was released never changes. A file of a later version is left alone.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::failure::Failure;
use super::lookup;
use crate::store::{Durability, StoreError};

/// Step `n` takes a file from version `n` to `n + 1`.
const MIGRATIONS: [&str; 7] = [
    include_str!("schema/0001_first.sql"),
    include_str!("schema/0002_plugins.sql"),
    include_str!("schema/0003_kv.sql"),
    include_str!("schema/0004_once.sql"),
    FIND,
    include_str!("schema/0006_targets.sql"),
    include_str!("schema/0007_in_flight.sql"),
];

/// The step whose table is filled from what is there, which takes more than SQL.
const FIND: &str = include_str!("schema/0005_find.sql");

/// "CAMP": tells our files from those of other programs.
const APPLICATION_ID: i32 = 0x4341_4d50;

/// Below it two connections could damage the file when the log is reset: <https://sqlite.org/wal.html#walresetbug>.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// A log that was ever longer than this is cut when it is reset, in bytes. Twice what starts a checkpoint: the space is
/// used again and again without the file system's metadata changing.
const JOURNAL_SIZE_LIMIT: u32 = 128 << 20;

/// Statements kept ready per connection. There are about 40.
const STATEMENTS_MAX: usize = 64;

/// Opens the connection that writes, creating or migrating the file.
pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < SQLITE_VERSION_MIN {
        return Err(StoreError::Unusable {
            path: path.display().to_string(),
            reason: format!("SQLite {} is older than 3.51.3; build with the bundled one", rusqlite::version()),
        });
    }
    let connection = match durability {
        Durability::Memory => Connection::open_in_memory(),
        Durability::Full | Durability::Os => Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        ),
    };
    connection
        .map_err(Failure::from)
        .and_then(|mut connection| {
            set_up_writer(&mut connection, durability)?;
            migrate(&mut connection)?;
            Ok(connection)
        })
        .map_err(|failure| failure.at(path))
}

/// Opens one of the connections that read, or the one that checkpoints.
pub(super) fn open_reader(path: &Path) -> Result<Connection, Failure> {
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
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

fn migrate(connection: &mut Connection) -> Result<(), Failure> {
    let number = |connection: &Connection, sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number(connection, "PRAGMA user_version")?;
    let application = number(connection, "PRAGMA application_id")?;
    let tables = number(connection, "SELECT count(*) FROM sqlite_schema")?;
    if application != i64::from(APPLICATION_ID) && tables > 0 {
        return Err(Failure::Damaged("it is a database of another program".to_owned()));
    }
    let Some(steps) = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(version..)) else {
        return Err(Failure::Damaged(format!(
            "it has version {version}, this program knows up to {}: use the newer program",
            MIGRATIONS.len()
        )));
    };
    for (step, sql) in steps.iter().enumerate() {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        if *sql == FIND {
            lookup::fill(&transaction)?;
        }
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", version + 1 + step as i64)?;
        transaction.commit()?;
    }
    Ok(())
}
