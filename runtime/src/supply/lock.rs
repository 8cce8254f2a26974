//! `plugins.lock`: which file was taken in as which plugin, and from where.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Sha256;
use super::place::write_whole;
use crate::domain::PluginName;

/// The lock's name in the plugins folder.
pub const LOCK_FILE: &str = "plugins.lock";

/// A thousand plugins, the most that a folder may have, with long names of where they come from.
const LOCK_BYTES_MAX: u64 = 1 << 20;

/// The shape of the file. Raised when an older program would misread it.
const FORMAT: u32 = 1;

const HEADER: &str = "# What `campanile plugins add` took in. Commit it beside the configuration; do not edit it.\n";

/// Beside the lock, hidden: whoever changes the folder holds it, from reading the lock to the last write.
const TURN_FILE: &str = ".plugins.lock.turn";

/// Somebody else who changes the folder is waited for so long: to write 64 MiB takes a slow disk less.
pub(super) const TURN_WAIT_MAX: Duration = Duration::from_secs(10);

/// How often it is looked whether they are done.
const TURN_LOOK_EVERY: Duration = Duration::from_millis(20);

/// Why there is no lock to go by.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// The operating system says no.
    #[error(
        "`{}` cannot be read or written: {error}; see that this user may do both in its folder, and that there is room",
        .path.display()
    )]
    Io {
        /// The lock, or another file of its folder.
        path: PathBuf,
        /// What the system says. A part of the message: who warns of a lock has a sentence for it, and no causes.
        error: io::Error,
    },
    /// Another process changes the folder.
    #[error(
        "another `campanile plugins add` or `remove` has held `{file}` for {} s; wait until it has ended, then try \
         again",
        .waited.as_secs()
    )]
    Busy {
        /// What it holds.
        file: PathBuf,
        /// How long it was waited for.
        waited: Duration,
    },
    /// It is no lock of this program.
    #[error("`{LOCK_FILE}` cannot be understood: {reason}; remove it and add the plugins again, or restore it")]
    Unreadable {
        /// What is wrong, and where.
        reason: String,
    },
}

impl LockError {
    /// What the system says of a file.
    pub(super) fn of(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Io { path: path.to_owned(), error }
    }
}

/// One plugin that was taken in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// The plugin's name, and so its file's.
    pub name: String,
    /// The plugin's version.
    pub version: String,
    /// A path, a URL, or `oci://…`: as it was asked for.
    pub source: String,
    /// Of the file, in lower-case hex.
    pub sha256: String,
    /// Of the manifest in the registry, such as `sha256:…`: what a tag stood for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Whose signature it bore, whether trusted or not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_by: Option<String>,
    /// RFC 3339, in UTC.
    pub added_at: String,
}

/// The right to change a folder, until it is dropped or the process ends. Between processes of this program only: the
/// system asks nobody else.
#[derive(Debug)]
pub(super) struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for it, up to `patience`. Blocks.
    pub(super) fn take(dir: &Path, patience: Duration) -> Result<Self, LockError> {
        let path = dir.join(TURN_FILE);
        let opened = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(LockError::of(&path))?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(error)) => return Err(LockError::Io { path, error }),
                Err(TryLockError::WouldBlock) if began.elapsed() >= patience => {
                    return Err(LockError::Busy { file: path, waited: patience });
                }
                Err(TryLockError::WouldBlock) => std::thread::park_timeout(TURN_LOOK_EVERY),
            }
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u32,
    #[serde(default)]
    plugin: Vec<LockEntry>,
}

/// The lock of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    entries: BTreeMap<String, LockEntry>,
}

impl Lock {
    /// Reads the lock of a folder; an empty one where there is none. Blocks.
    ///
    /// # Errors
    ///
    /// [`LockError`] where it is there and cannot be understood.
    pub fn read(dir: &Path) -> Result<Self, LockError> {
        let path = dir.join(LOCK_FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(LockError::Io { path, error }),
        };
        let mut text = String::new();
        file.take(LOCK_BYTES_MAX + 1).read_to_string(&mut text).map_err(LockError::of(&path))?;
        let unreadable = |reason: String| LockError::Unreadable { reason };
        if text.len() as u64 > LOCK_BYTES_MAX {
            return Err(unreadable(format!("it has more than {LOCK_BYTES_MAX} bytes, the limit")));
        }
        let wire: Wire = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            unreadable(format!("line {}: {}", before.split('\n').count(), error.message()))
        })?;
        if wire.format != FORMAT {
            return Err(unreadable(format!("its format is {}, this program knows {FORMAT}", wire.format)));
        }
        Ok(Self { entries: wire.plugin.into_iter().map(|entry| (entry.name.clone(), entry)).collect() })
    }

    /// Writes the lock of a folder, ordered by name: the same entries are the same bytes. Blocks.
    ///
    /// # Errors
    ///
    /// [`LockError::Io`].
    pub fn write(&self, dir: &Path) -> Result<(), LockError> {
        let wire = Wire { format: FORMAT, plugin: self.entries.values().cloned().collect() };
        let text = toml::to_string(&wire).map_err(|error| LockError::Unreadable { reason: error.to_string() })?;
        let path = dir.join(LOCK_FILE);
        write_whole(&path, format!("{HEADER}{text}").as_bytes(), 0o644).map_err(LockError::of(&path))
    }

    /// The entry of a plugin.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&LockEntry> {
        self.entries.get(name)
    }

    /// Takes an entry in, in place of one of the same name.
    pub fn put(&mut self, entry: LockEntry) {
        self.entries.insert(entry.name.clone(), entry);
    }

    /// Removes an entry; says whether it was there.
    pub fn remove(&mut self, name: &PluginName) -> bool {
        self.entries.remove(name.as_str()).is_some()
    }

    /// What speaks against a file: another one was taken in under its name.
    #[must_use]
    pub fn mismatch(&self, file: &Path, sha256: Sha256) -> Option<String> {
        let entry = self.get(file.file_stem()?.to_str()?).filter(|entry| entry.sha256 != sha256.to_string())?;
        let LockEntry { name, sha256: locked, source, .. } = entry;
        Some(format!(
            "it is not the file that `{LOCK_FILE}` has for `{name}` ({locked} from `{source}`), but {sha256}; take this \
             one in with `campanile plugins add {}`, or the other one again with `campanile plugins add {source} \
             --sha256 {locked}`",
            file.display()
        ))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn entry(name: &str) -> LockEntry {
        LockEntry {
            name: name.to_owned(),
            version: "1.2.0".into(),
            source: format!("https://plugins.example.com/{name}.wasm"),
            sha256: Sha256::of(name.as_bytes()).to_string(),
            digest: None,
            signed_by: None,
            added_at: "2026-11-21T11:00:00.000Z".into(),
        }
    }

    #[test]
    fn a_lock_is_the_same_text_whatever_order_it_was_made_in_and_reads_back() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut lock = Lock::default();
        lock.put(LockEntry { digest: Some("sha256:00".into()), ..entry("slack") });
        lock.put(LockEntry { signed_by: Some("ed25519:x".into()), ..entry("acme") });
        lock.write(dir.path()).expect("writes");
        assert_eq!(Lock::read(dir.path()).expect("reads"), lock);
        let text = std::fs::read_to_string(dir.path().join(LOCK_FILE)).expect("reads");
        assert_snapshot!(text, @r#"
        # What `campanile plugins add` took in. Commit it beside the configuration; do not edit it.
        format = 1

        [[plugin]]
        name = "acme"
        version = "1.2.0"
        source = "https://plugins.example.com/acme.wasm"
        sha256 = "822b33ad87c148a0a20a5ba7cd5ebcaa68d36a18e7aad165554903f52ca82757"
        signed_by = "ed25519:x"
        added_at = "2026-11-21T11:00:00.000Z"

        [[plugin]]
        name = "slack"
        version = "1.2.0"
        source = "https://plugins.example.com/slack.wasm"
        sha256 = "877c3aec832cd41012590679bdb84ebe25e5ebbd71b6b81722b48b129feb76ae"
        digest = "sha256:00"
        added_at = "2026-11-21T11:00:00.000Z"
        "#);
        assert!(lock.remove(&"slack".parse().expect("a name")));
        assert!(!lock.remove(&"slack".parse().expect("a name")));
    }

    #[test]
    fn one_at_a_time_changes_a_folder_and_the_next_one_waits() {
        let dir = tempfile::tempdir().expect("a folder");
        let first = Turn::take(dir.path(), Duration::ZERO).expect("nobody else");
        let told = Turn::take(dir.path(), Duration::ZERO).expect_err("the first is not done").to_string();
        let file = dir.path().join(TURN_FILE);
        assert!(told.contains(&format!("has held `{}` for 0 s", file.display())), "{told}");
        std::thread::scope(|scope| {
            let next = scope.spawn(|| Turn::take(dir.path(), TURN_WAIT_MAX));
            drop(first);
            next.join().expect("no panic").expect("its turn has come");
        });
    }

    #[test]
    fn no_lock_is_an_empty_one_and_a_broken_one_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        assert_eq!(Lock::read(dir.path()).expect("none"), Lock::default());
        let long = "#".repeat(usize::try_from(LOCK_BYTES_MAX).expect("it fits") + 1);
        let mut told = Vec::new();
        for text in ["format = 2", "plugin = 7", "format = 1\nx", "format = 1\n[[plugin]]\nname = \"acme\"", &long] {
            std::fs::write(dir.path().join(LOCK_FILE), text).expect("writes");
            told.push(Lock::read(dir.path()).expect_err("it is none").to_string());
        }
        assert_snapshot!(told.join("\n"), @r"
        `plugins.lock` cannot be understood: its format is 2, this program knows 1; remove it and add the plugins again, or restore it
        `plugins.lock` cannot be understood: line 1: invalid type: integer `7`, expected a sequence; remove it and add the plugins again, or restore it
        `plugins.lock` cannot be understood: line 2: key with no value, expected `=`; remove it and add the plugins again, or restore it
        `plugins.lock` cannot be understood: line 2: missing field `version`; remove it and add the plugins again, or restore it
        `plugins.lock` cannot be understood: it has more than 1048576 bytes, the limit; remove it and add the plugins again, or restore it
        ");
    }

    /// A new one has to be written down here: this does not compile without it.
    #[test]
    fn every_reason_why_there_is_no_lock_says_which_file_and_what_to_do() {
        let mut errors = Vec::new();
        loop {
            errors.push(match errors.last() {
                None => {
                    LockError::of(Path::new("plugins-enabled/plugins.lock"))(io::ErrorKind::PermissionDenied.into())
                }
                Some(LockError::Io { .. }) => {
                    LockError::Busy { file: Path::new("plugins-enabled").join(TURN_FILE), waited: TURN_WAIT_MAX }
                }
                Some(LockError::Busy { .. }) => {
                    LockError::Unreadable { reason: "its format is 2, this program knows 1".to_owned() }
                }
                Some(LockError::Unreadable { .. }) => break,
            });
        }
        let told: Vec<_> = errors.iter().map(ToString::to_string).collect();
        assert_snapshot!(told.join("\n"), @r"
        `plugins-enabled/plugins.lock` cannot be read or written: permission denied; see that this user may do both in its folder, and that there is room
        another `campanile plugins add` or `remove` has held `plugins-enabled/.plugins.lock.turn` for 10 s; wait until it has ended, then try again
        `plugins.lock` cannot be understood: its format is 2, this program knows 1; remove it and add the plugins again, or restore it
        ");
    }

    #[test]
    fn another_file_under_a_locked_name_is_told() {
        let mut lock = Lock::default();
        lock.put(entry("acme"));
        assert_eq!(lock.mismatch(Path::new("acme.wasm"), Sha256::of(b"acme")), None);
        assert_eq!(lock.mismatch(Path::new("other.wasm"), Sha256::of(b"x")), None);
        let told = lock.mismatch(Path::new("acme.wasm"), Sha256::of(b"x")).expect("another");
        assert!(told.contains("`campanile plugins add acme.wasm`"), "{told}");
    }
}
