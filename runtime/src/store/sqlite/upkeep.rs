//! What an operator does with the file: copy it, put a copy back, bring it up to date.
//!
//! *Invariants:* only [`backup`] and looks work beside the process that owns the file; the others take its lock. What is
//! replaced is kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use super::audit;
use super::copying::{self, BESIDE, Copied, Noted, Unfinished};
use super::failure::Failure;
use super::lock::OwnerLock;
use super::schema::{self, Kind};
use crate::domain::{Actor, StoreDeed, Timestamp};
use crate::store::{Durability, StoreError};

/// The version of the tables that this program writes.
pub const VERSION: u32 = schema::VERSION;

/// Why nothing was copied, put back or brought up to date.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// The database: damaged, foreign, of a newer version, or in use where that matters.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// At durability `memory` there is no file.
    #[error("the store is in memory only: there is no database")]
    InMemory,
    /// There is no such file.
    #[error("there is no database at `{}`", .0.display())]
    Missing(PathBuf),
    /// It would be replaced.
    #[error("`{}` is there already", .0.display())]
    Exists(PathBuf),
    /// A copy cannot stand where the store has its own files.
    #[error("`{}` is a file of the store itself", .0.display())]
    Own(PathBuf),
    /// The copy came to nothing.
    #[error("the copy `{}` cannot be made: {reason}", path.display())]
    Copy {
        /// Where it was to stand.
        path: PathBuf,
        /// What the engine said.
        reason: String,
    },
    /// What was to be put back is no backup, or not whole.
    #[error("`{}` cannot be restored: {reason}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system says no.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl UpkeepError {
    pub(super) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }

    /// In one line, for a place that has no room for causes.
    pub(super) fn with_source(&self) -> String {
        match self {
            Self::Io { source, .. } => format!("{self}: {source}"),
            _ => self.to_string(),
        }
    }
}

/// Copies a database to `to`, also beside a process that writes to it: the copy is the state of one instant. The lock is
/// left alone. The copy has in its audit log that it is one, made at `at` by whom; the database, which may be another
/// process's, is not changed. Blocks.
///
/// # Errors
///
/// [`UpkeepError`]; a file at `to` is as it was then.
pub fn backup(database: &Path, to: &Path, replace: bool, at: Timestamp, by: Actor) -> Result<Copied, UpkeepError> {
    if !database.is_file() {
        return Err(UpkeepError::Missing(database.to_owned()));
    }
    let own = BESIDE.iter().chain([&".lock"]).map(|suffix| copying::beside(database, suffix));
    if same_file(database, to) || own.into_iter().any(|own| same_place(&own, to)) {
        return Err(UpkeepError::Own(to.to_owned()));
    }
    // Before the work: it is looked at once more when the copy gets its name.
    if !replace && copying::is_taken(to) {
        return Err(UpkeepError::Exists(to.to_owned()));
    }
    let failed = |failure: Failure| failure.at(database);
    let db = schema::open_read_only(database).map_err(failed)?;
    match Kind::of(&db).map_err(failed)? {
        Kind::Ours(_) => copying::write(&db, to, replace, Some(Noted { deed: StoreDeed::Backup, at, by })),
        Kind::Empty => Err(UpkeepError::Missing(database.to_owned())),
        kind @ (Kind::Unknown(_) | Kind::Foreign) => Err(unusable(database, kind)),
    }
}

/// What a restore did.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What is in place now.
    pub copied: Copied,
    /// Where the database before is kept.
    pub kept: Option<PathBuf>,
}

/// Puts a copy in the place of the database, as one step. What was there is kept beside it, named for `at`. That it was
/// restored then, and by whom, is in its audit log. Blocks.
///
/// # Errors
///
/// [`UpkeepError`]; the database is as it was then.
pub fn restore(file: &Path, database: &Path, replace: bool, at: Timestamp, by: Actor) -> Result<Restored, UpkeepError> {
    if !file.is_file() {
        return Err(UpkeepError::Missing(file.to_owned()));
    }
    if same_file(file, database) {
        return Err(UpkeepError::Own(file.to_owned()));
    }
    let unfit = |reason: String| UpkeepError::Unfit { path: file.to_owned(), reason };
    let broken = |failure: Failure| unfit(failure.reason());
    let copy = schema::open_look(file).map_err(broken)?;
    match Kind::of(&copy).map_err(broken)? {
        Kind::Ours(_) => {}
        Kind::Empty => return Err(unfit("there is nothing in it".to_owned())),
        kind @ (Kind::Unknown(_) | Kind::Foreign) => return Err(unfit(kind.version().unwrap_err())),
    }
    let folder = copying::folder_of(database);
    fs::create_dir_all(folder).map_err(UpkeepError::io("make the folder", folder))?;
    let lock = OwnerLock::take(database)?;
    let is_there = fs::metadata(database).is_ok_and(|found| found.len() > 0);
    if is_there && !replace {
        return Err(UpkeepError::Exists(database.to_owned()));
    }
    // Damage that shows only when everything is read.
    let problems = copying::problems(&copy, false).map_err(broken)?;
    if let Some(problem) = problems.first() {
        return Err(unfit(format!("it is damaged: {problem}")));
    }
    let noted = Noted { deed: StoreDeed::Restore, at, by };
    let copy = Unfinished::fill(&copy, database, Some(noted)).map_err(|error| match error {
        UpkeepError::Store(error) => unfit(error.to_string()),
        error => error,
    })?;
    copy.begin_epoch()?;
    let kept = if is_there { Some(keep(database, at)?) } else { None };
    let copied = copy.place(true)?;
    drop(lock);
    Ok(Restored { copied, kept })
}

/// Gives the database a second name. A rename would leave a moment in which a crash leaves none, and the next start would
/// make an empty one.
fn keep(database: &Path, at: Timestamp) -> Result<PathBuf, UpkeepError> {
    // What is in the log goes into the file, so that one file is all of it. One that is damaged is kept with its log.
    let emptied = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .and_then(|db| db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)));
    if !matches!(emptied, Ok(0)) {
        tracing::warn!("The log of the database could not be emptied; it is kept beside it.");
    }
    let time: String = at.to_string().chars().filter(|sign| !matches!(sign, '-' | ':')).collect();
    let kept = copying::beside(database, &format!(".before-restore-{time}"));
    link(database, &kept)?;
    let log = copying::beside(database, "-wal");
    if fs::metadata(&log).is_ok_and(|found| found.len() > 0) {
        link(&log, &copying::beside(&kept, "-wal"))?;
    }
    copying::sync_folder(database)?;
    Ok(kept)
}

fn link(from: &Path, to: &Path) -> Result<(), UpkeepError> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            // Not every file system has links.
            fs::copy(from, to).and_then(|_| fs::File::open(to)?.sync_all()).map_err(UpkeepError::io("keep", to))
        }
        linked => linked.map_err(UpkeepError::io("keep", to)),
    }
}

/// What a migration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migrated {
    /// The version it had.
    pub from: u32,
    /// The version it has: [`VERSION`].
    pub to: u32,
    /// Where the database before is kept.
    pub kept: Option<PathBuf>,
}

/// Brings a database up to [`VERSION`]. With `keep`, what was there stays beside it as `NAME.v<version>`. That it was done
/// at `at`, and by whom, is in its audit log. Blocks.
///
/// # Errors
///
/// [`UpkeepError`]; each version that was reached is whole.
pub fn migrate(database: &Path, keep: bool, at: Timestamp, by: Actor) -> Result<Migrated, UpkeepError> {
    if version(database)?.is_none() {
        return Err(UpkeepError::Missing(database.to_owned()));
    }
    let lock = OwnerLock::take(database)?;
    let (db, steps) = schema::open_migrating(database, Durability::Full, keep)?;
    if steps.from < VERSION {
        let entry = Noted { deed: StoreDeed::Migrate, at, by }.entry(steps.from, VERSION);
        audit::note_alone(&db, VERSION, entry).map_err(|failure| failure.at(database))?;
    }
    // The last connection empties the log.
    drop(db);
    drop(lock);
    Ok(Migrated { from: steps.from, to: VERSION, kept: steps.kept })
}

/// The version of a database; none where there is no database yet. Changes nothing. Blocks.
///
/// # Errors
///
/// [`UpkeepError::Store`] where this program cannot use it.
pub fn version(database: &Path) -> Result<Option<u32>, UpkeepError> {
    if !database.is_file() {
        return Ok(None);
    }
    let failed = |failure: Failure| failure.at(database);
    let db = schema::open_look(database).map_err(failed)?;
    match Kind::of(&db).map_err(failed)? {
        Kind::Empty => Ok(None),
        Kind::Ours(version) => Ok(Some(version)),
        kind @ (Kind::Unknown(_) | Kind::Foreign) => Err(unusable(database, kind)),
    }
}

fn unusable(database: &Path, kind: Kind) -> UpkeepError {
    let reason = kind.version().err().unwrap_or_default();
    StoreError::Unusable { path: database.display().to_string(), reason }.into()
}

/// Whether two names lead to one file.
fn same_file(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (fs::metadata(one), fs::metadata(other)) {
        (Ok(one), Ok(other)) => (one.dev(), one.ino()) == (other.dev(), other.ino()),
        _ => false,
    }
}

/// Whether two names are one, also where there is no file.
fn same_place(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| Some((fs::canonicalize(copying::folder_of(path)).ok()?, path.file_name()?.to_owned()));
    place(one).is_some_and(|one| place(other) == Some(one))
}

#[cfg(test)]
mod tests;
