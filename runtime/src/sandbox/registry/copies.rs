//! Copies of the operator's plugin files that serve, or served before: what a version goes back to when its own file
//! was overwritten.
//!
//! *Invariants:* a copy is a plugin file like any other: it is inspected before it is used, and counts only where its
//! hash is the one in its name. A copy that cannot be had costs a way back, never a load.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::sandbox::inspect::{FileHash, Inspected};

/// Files looked at in a sweep; the folder holds nothing but what this program puts there.
const SWEEP_MAX: usize = 10_000;

/// A folder of copies, by hash.
#[derive(Clone, Debug)]
pub(super) struct Copies {
    dir: PathBuf,
}

impl Copies {
    pub(super) const fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where the copy of a file is, if there is one.
    pub(super) fn path(&self, sha256: &[u8; 32]) -> PathBuf {
        self.dir.join(format!("{}.wasm", FileHash(*sha256)))
    }

    /// Copies a file that was read, and gives it back.
    pub(super) async fn keep(&self, inspected: Inspected) -> Option<Inspected> {
        let copies = self.clone();
        let kept = tokio::task::spawn_blocking(move || {
            if let Err(error) = copies.write(&inspected) {
                tracing::warn!(%error, folder = %copies.dir.display(), "A plugin file could not be copied; once it is overwritten, nothing goes back to it.");
            }
            inspected
        });
        kept.await.ok()
    }

    fn write(&self, inspected: &Inspected) -> io::Result<()> {
        let path = self.path(&inspected.sha256.0);
        if fs::metadata(&path).is_ok_and(|found| found.len() == inspected.bytes.len() as u64) {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
        let half = self.dir.join(format!(".half.{}", std::process::id()));
        fs::write(&half, &inspected.bytes)?;
        fs::rename(&half, &path)
    }

    /// Removes every copy but these.
    pub(super) async fn keep_only(&self, wanted: &BTreeSet<[u8; 32]>) {
        let wanted: BTreeSet<PathBuf> = wanted.iter().map(|sha256| self.path(sha256)).collect();
        let dir = self.dir.clone();
        let swept = tokio::task::spawn_blocking(move || {
            let Ok(entries) = fs::read_dir(&dir) else { return };
            for entry in entries.take(SWEEP_MAX).flatten() {
                if !wanted.contains(&entry.path()) {
                    // The next sweep tries again.
                    let _ = fs::remove_file(entry.path());
                }
            }
        });
        // A panic in it was reported when it happened.
        let _ = swept.await;
    }
}
