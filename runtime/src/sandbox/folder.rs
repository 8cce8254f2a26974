//! What lies in a folder of plugins, and which of it has come to rest.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::supply::{LOCK_FILE, signature_path};

/// Candidates in one folder. Each takes memory for its compiled code, so this many are a mistake.
pub(super) const FILES_MAX: usize = 1_000;

/// Entries of any kind looked at in one folder, so that a folder of something else does not hold up a look.
const ENTRIES_MAX: usize = 100_000;

/// What tells one state of a file from another without reading it. A rename puts another inode there, a write moves
/// the times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// In bytes.
    pub(super) size: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    /// Of the signature beside it: one that comes later, or another, may make a refused file welcome.
    signature: Option<Mark>,
    /// Of the lock beside it: files are judged by it, too.
    lock: Option<Mark>,
}

/// Inode and time of change: another content has another one.
type Mark = (u64, i64, i64);

fn mark(path: &Path) -> Option<Mark> {
    fs::metadata(path).ok().map(|found| (found.ino(), found.ctime(), found.ctime_nsec()))
}

impl Fingerprint {
    /// Whether nobody has written to the file in between; what is beside it may be another.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        let content = |it: &Self| (it.size, it.inode, it.modified, it.changed);
        content(self) == content(other)
    }

    /// When it came to be what it is, to be compared with others.
    pub(super) fn came(&self) -> (i64, i64) {
        self.changed
    }

    /// The same over restarts for as long as nobody writes to the file. For files that are not read.
    pub(super) fn written(&self) -> String {
        format!("{} {:?}", self.size, self.modified)
    }

    /// Of what a link points to. All zero where there is nothing to look at: to read it will say why.
    fn of(path: &Path, lock: Option<Mark>) -> Self {
        fs::metadata(path).map_or_else(
            |_| Self::default(),
            |found| Self {
                size: found.len(),
                inode: found.ino(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
                signature: mark(&signature_path(path)),
                lock,
            },
        )
    }
}

/// The candidates in a folder: everything named `*.wasm` that is not hidden.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listing(pub(super) BTreeMap<PathBuf, Fingerprint>);

/// Looks into a folder. Blocks.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut files = BTreeMap::new();
    let lock = mark(&dir.join(LOCK_FILE));
    for entry in fs::read_dir(dir)?.take(ENTRIES_MAX) {
        let path = entry?.path();
        if !is_candidate(&path) {
            continue;
        }
        if files.len() == FILES_MAX {
            tracing::warn!(limit = FILES_MAX, "A plugin folder has more files than the limit; the rest is left out.");
            break;
        }
        let fingerprint = Fingerprint::of(&path, lock);
        files.insert(path, fingerprint);
    }
    Ok(Listing(files))
}

/// The plugin files in a folder with their sizes in bytes, by name. Blocks.
///
/// # Errors
///
/// What the operating system says.
pub fn plugin_files(dir: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    Ok(list(dir)?.0.into_iter().map(|(path, fingerprint)| (path, fingerprint.size)).collect())
}

/// Hidden files are how editors and copying programs name what is not finished.
fn is_candidate(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
    !hidden && path.extension().is_some_and(|extension| extension == "wasm")
}

/// What one look at a folder tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Files that look as they did the last time: nobody is writing them.
    pub(super) settled: Listing,
    /// Files that have to be looked at once more.
    pub(super) moving: Vec<PathBuf>,
}

impl Seen {
    /// Whether a file is there, settled or not.
    pub(super) fn has(&self, path: &Path) -> bool {
        self.settled.0.contains_key(path) || self.moving.iter().any(|moving| moving == path)
    }
}

/// Compares looks: a file that is still being copied is not taken for a plugin.
#[derive(Debug, Default)]
pub(super) struct Settling {
    last: Listing,
}

impl Settling {
    /// Tells what has come to rest since the last look.
    pub(super) fn look(&mut self, listing: Listing) -> Seen {
        let mut seen = Seen::default();
        for (path, fingerprint) in &listing.0 {
            if self.last.0.get(path) == Some(fingerprint) {
                seen.settled.0.insert(path.clone(), *fingerprint);
            } else {
                seen.moving.push(path.clone());
            }
        }
        self.last = listing;
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(settling: &mut Settling, dir: &Path) -> Seen {
        settling.look(list(dir).expect("a folder"))
    }

    #[test]
    fn only_files_that_could_be_plugins_are_candidates() {
        let dir = tempfile::tempdir().expect("a folder");
        for name in ["a.wasm", ".half.wasm", "a.wasm.tmp", "README.md", "wasm"] {
            fs::write(dir.path().join(name), b"x").expect("writes");
        }
        std::os::unix::fs::symlink("nowhere", dir.path().join("dangling.wasm")).expect("a link");
        let found: Vec<_> = list(dir.path()).expect("a folder").0.into_keys().collect();
        assert_eq!(found, [dir.path().join("a.wasm"), dir.path().join("dangling.wasm")]);
    }

    #[test]
    fn a_file_settles_when_two_looks_agree() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut settling = Settling::default();
        let path = dir.path().join("a.wasm");
        fs::write(&path, b"half").expect("writes");
        assert_eq!(look(&mut settling, dir.path()).moving, std::slice::from_ref(&path));
        fs::write(&path, b"half and half").expect("writes");
        assert_eq!(look(&mut settling, dir.path()).moving, std::slice::from_ref(&path));
        let seen = look(&mut settling, dir.path());
        assert!(seen.moving.is_empty());
        assert_eq!(seen.settled.0[&path].size, 13);
    }

    #[test]
    fn a_file_renamed_over_another_is_a_change_even_at_the_same_size() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, next) = (dir.path().join("a.wasm"), dir.path().join("next"));
        fs::write(&path, b"one").expect("writes");
        fs::write(&next, b"two").expect("writes");
        let mut settling = Settling::default();
        look(&mut settling, dir.path());
        assert!(look(&mut settling, dir.path()).moving.is_empty());
        fs::rename(next, &path).expect("renames");
        assert_eq!(look(&mut settling, dir.path()).moving, std::slice::from_ref(&path));
        assert!(look(&mut settling, dir.path()).settled.0.contains_key(&path));
    }

    #[test]
    fn a_removed_file_is_not_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("a.wasm");
        fs::write(&path, b"one").expect("writes");
        let mut settling = Settling::default();
        assert!(look(&mut settling, dir.path()).has(&path));
        fs::remove_file(&path).expect("removes");
        assert!(!look(&mut settling, dir.path()).has(&path));
    }
}
