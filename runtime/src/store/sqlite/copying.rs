//! Whole copies of a database: what a backup, a restore and a migration begin with.
//!
//! *Flow:* `VACUUM INTO` a hidden file beside the final name → checked → on the disk → renamed.
//!
//! *Invariants:* a copy is the state of one instant. Under its final name it is whole, checked and for its owner alone.
//! Nothing is left behind where it fails.
//!
//! `VACUUM INTO` and not SQLite's backup API: it is one read transaction, so a process that writes meanwhile neither
//! waits nor makes it start over; it reads every row, so that damage is found where it is and not carried along; and what
//! was removed is not in the copy, which free pages would be. It takes more CPU time than a copy of pages, and like any
//! long read it keeps the log from being reset until it is done.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::Failure;
use super::schema::{self, Kind};
use super::{UpkeepError, audit, numbering, read};
use crate::domain::{Act, Actor, AuditEntry, AuditOutcome, StoreDeed, Timestamp};
use crate::store::StatusCounts64;

/// A copy up to this many bytes is checked with its values and indexes; of a larger one the pages, which takes a fraction
/// of the time.
const THOROUGH_BYTES_MAX: u64 = 1 << 30;

/// What SQLite keeps beside a database: left there, they would be taken for those of another database of the name.
pub(super) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Problems that a check tells at most.
const PROBLEMS_MAX: u32 = 10;

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// In bytes.
    pub bytes: u64,
    /// Of its tables.
    pub version: u32,
    /// Notifications in it.
    pub notifications: u64,
    /// Deliveries in it, per status.
    pub deliveries: StatusCounts64,
    /// Whether values and indexes were checked (up to 1 GiB), and not only pages.
    pub thorough: bool,
}

/// `path` with `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The folder that a file stands in.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A name lasts only once its folder is on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<(), UpkeepError> {
    let folder = folder_of(path);
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(UpkeepError::io("sync", folder))
}

/// Copies what `db` sees to `to`, which may be there only where it is to be replaced. The copy knows `noted` of itself.
pub(super) fn write(db: &Connection, to: &Path, replace: bool, noted: Option<Noted>) -> Result<Copied, UpkeepError> {
    let unfinished = Unfinished::fill(db, to, noted)?;
    unfinished.place(replace)
}

/// What is to be in the audit log of a copy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Noted {
    pub(super) deed: StoreDeed,
    pub(super) at: Timestamp,
    pub(super) by: Actor,
}

impl Noted {
    /// Of tables that were of version `from` and are of version `to`.
    pub(super) fn entry(self, from: u32, to: u32) -> AuditEntry {
        let Self { deed, at, by } = self;
        AuditEntry { at, by, act: Act::Store { deed, from, to }, outcome: AuditOutcome::Done }
    }
}

/// A copy under a hidden name; it goes unless it is given its name.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    to: PathBuf,
    copied: Copied,
    placed: bool,
}

impl Unfinished {
    /// Copies and checks; `to` is as it was.
    pub(super) fn fill(db: &Connection, to: &Path, noted: Option<Noted>) -> Result<Self, UpkeepError> {
        let to = std::path::absolute(to).map_err(UpkeepError::io("find", to))?;
        let name = to.file_name().ok_or_else(|| UpkeepError::io("write", &to)(io::ErrorKind::InvalidInput.into()))?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}", std::process::id()));
        let path = to.with_file_name(hidden);
        let copied =
            Copied { bytes: 0, version: 0, notifications: 0, deliveries: StatusCounts64::default(), thorough: false };
        let mut unfinished = Self { path, to, copied, placed: false };
        unfinished.remove();
        unfinished.copy(db)?;
        if let Some(noted) = noted {
            unfinished.change(|db| match Kind::of(db)? {
                Kind::Ours(version) => audit::note_alone(db, version, noted.entry(version, version)),
                Kind::Empty | Kind::Unknown(_) | Kind::Foreign => Ok(()),
            })?;
        }
        unfinished.check()?;
        Ok(unfinished)
    }

    fn copy(&self, db: &Connection) -> Result<(), UpkeepError> {
        // `VACUUM INTO` takes an empty file; made before it, nobody else can ever open it.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path);
        let file = file.map_err(UpkeepError::io("write", &self.path))?;
        // As bytes: a path need not be text.
        let copied = db.execute("VACUUM INTO CAST(?1 AS TEXT)", [self.path.as_os_str().as_bytes()]);
        copied.map_err(|error| match Failure::from(error) {
            Failure::Disk(reason) => UpkeepError::Copy { path: self.to.clone(), reason },
            failure @ (Failure::Damaged(_) | Failure::Internal(_)) => {
                failure.at(Path::new(db.path().unwrap_or(""))).into()
            }
        })?;
        file.sync_all().map_err(UpkeepError::io("sync", &self.path))
    }

    fn check(&mut self) -> Result<(), UpkeepError> {
        let failed = |failure: Failure| UpkeepError::Copy { path: self.to.clone(), reason: failure.reason() };
        let bytes = fs::metadata(&self.path).map_err(UpkeepError::io("read", &self.path))?.len();
        let thorough = bytes <= THOROUGH_BYTES_MAX;
        let db = schema::open_look(&self.path).map_err(failed)?;
        let problems = problems(&db, thorough).map_err(failed)?;
        if let Some(problem) = problems.first() {
            return Err(failed(Failure::Damaged(format!("its check says: {problem}"))));
        }
        let version = match Kind::of(&db).map_err(failed)? {
            Kind::Ours(version) => version,
            Kind::Empty | Kind::Unknown(_) | Kind::Foreign => {
                return Err(failed(Failure::Damaged("it is not what it was copied from".to_owned())));
            }
        };
        let deliveries = read::count(&db).map_err(failed)?;
        let notifications = notifications(&db).map_err(failed)?;
        self.copied = Copied { bytes, version, notifications, deliveries, thorough };
        Ok(())
    }

    /// Has whoever follows its events know that it is another life of the database: numbers that were given after the
    /// original was made are given again.
    pub(super) fn begin_epoch(&self) -> Result<(), UpkeepError> {
        self.change(numbering::begin_epoch)
    }

    /// Changes it while nobody else knows of it.
    fn change(&self, change: impl FnOnce(&Connection) -> Result<(), Failure>) -> Result<(), UpkeepError> {
        let failed = |failure: Failure| UpkeepError::Copy { path: self.to.clone(), reason: failure.reason() };
        let db = Connection::open(&self.path).map_err(Failure::from).map_err(failed)?;
        // Without a log beside it: the file alone gets the name.
        let set_up = db.execute_batch("PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL");
        set_up.map_err(Failure::from).and_then(|()| change(&db)).map_err(failed)
    }

    /// Gives it its name; from then on it is there whatever happens.
    pub(super) fn place(mut self, replace: bool) -> Result<Copied, UpkeepError> {
        if !replace && is_taken(&self.to) {
            return Err(UpkeepError::Exists(self.to.clone()));
        }
        for suffix in BESIDE {
            remove(&beside(&self.to, suffix))?;
        }
        fs::rename(&self.path, &self.to).map_err(UpkeepError::io("write", &self.to))?;
        self.placed = true;
        sync_folder(&self.to)?;
        Ok(self.copied.clone())
    }

    /// It may not have been made at all.
    fn remove(&self) {
        let _ = fs::remove_file(&self.path);
        for suffix in BESIDE {
            let _ = fs::remove_file(beside(&self.path, suffix));
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.placed {
            self.remove();
        }
    }
}

/// Whether there is a file of the name, or what SQLite would take for a part of it.
pub(super) fn is_taken(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok() || BESIDE.iter().any(|suffix| beside(path, suffix).exists())
}

/// Removes a file that need not be there.
pub(super) fn remove(path: &Path) -> Result<(), UpkeepError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(UpkeepError::io("remove", path)(error)),
        _ => Ok(()),
    }
}

/// What SQLite finds wrong with a file; nothing, where it is whole.
pub(super) fn problems(db: &Connection, thorough: bool) -> Result<Vec<String>, Failure> {
    let check = if thorough { "integrity_check" } else { "quick_check" };
    let mut statement = db.prepare(&format!("PRAGMA {check}({PROBLEMS_MAX})"))?;
    let said: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

pub(super) fn notifications(db: &Connection) -> Result<u64, Failure> {
    let count: i64 = db.query_row("SELECT count(*) FROM notifications", [], |row| row.get(0))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
