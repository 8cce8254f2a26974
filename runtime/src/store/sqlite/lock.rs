//! One process owns the file. The lock goes with the process, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::store::StoreError;

/// Held as long as this lives.
#[derive(Debug)]
pub(super) struct OwnerLock {
    /// Closing it gives up the lock.
    _file: File,
}

impl OwnerLock {
    /// Takes the lock beside the database at `path`, and writes down who holds it.
    pub(super) fn take(path: &Path) -> Result<Self, StoreError> {
        let beside = lock_path(path);
        let unavailable = |error: std::io::Error| StoreError::Unavailable {
            reason: format!("cannot lock `{}`: {error}", beside.display()),
        };
        let mut file = open_private(&beside).map_err(unavailable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::Locked { path: path.display().to_string(), holder: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
        // On a full disk nobody is told who holds it; it is held all the same.
        if let Err(error) = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())) {
            tracing::debug!(%error, "It could not be written down who holds the store.");
        }
        Ok(Self { _file: file })
    }
}

/// Makes the folder, takes the lock and makes the file.
pub(super) fn own(path: &Path) -> Result<OwnerLock, StoreError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| StoreError::Unavailable {
            reason: format!("cannot make the folder `{}`: {error}", folder.display()),
        })?;
    }
    let lock = OwnerLock::take(path)?;
    open_private(path)
        .map_err(|error| StoreError::Unavailable { reason: format!("cannot open `{}`: {error}", path.display()) })?;
    Ok(lock)
}

/// Who has the database at `path` open, as [`StoreError::Locked`] names it; none where nobody has. Nothing is made or
/// written; a process that starts in this very moment may be refused once.
///
/// # Errors
///
/// [`StoreError::Unavailable`] where the lock file cannot be read.
pub fn holder_of(path: &Path) -> Result<Option<String>, StoreError> {
    let beside = lock_path(path);
    let unavailable = |error: std::io::Error| StoreError::Unavailable {
        reason: format!("cannot look at `{}`: {error}", beside.display()),
    };
    let mut file = match File::open(&beside) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(unavailable)?,
    };
    // Shared, so that two looks do not see each other. Closing the file gives it up.
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => Ok(Some(holder(&mut file))),
        Err(TryLockError::Error(error)) => Err(unavailable(error)),
    }
}

/// Opens a file, or makes it, for its owner alone: a store holds addresses and content. SQLite gives the files beside
/// the database the same mode.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn lock_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// What the holder wrote down. It may be about to write it.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(pid)) => format!("process {pid}"),
        _ => "another process".to_owned(),
    }
}
