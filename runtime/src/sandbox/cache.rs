//! Compiled plugins on disk, so that a start does not compile what an earlier one has.
//!
//! *Invariants:* what is loaded is native code, so it is loaded only if this installation wrote it: every file ends up
//! under a MAC whose key lives beside it, readable by nobody else. A cache that fails costs time, never a load.

mod seal;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use self::seal::{Key, TAG_BYTES};
use super::inspect::FileHash;

/// All compiled plugins together, in bytes. One takes 1 to 5 MiB, a large toolchain's about 50.
pub(super) const CACHE_BYTES_MAX: u64 = 512 << 20;

/// One compiled plugin, in bytes: what compiling the largest file can make of it.
pub(super) const ENTRY_BYTES_MAX: u64 = 256 << 20;

/// Files looked at when the folder is swept; it holds nothing but what this program puts there.
const SWEEP_MAX: usize = 10_000;

const KEY_FILE: &str = "key";
const EXTENSION: &str = "compiled";

/// The compiled plugins of one engine.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    key: Key,
    /// What else compiled code depends on: versions, settings, CPU.
    engine: [u8; 32],
    bytes_max: u64,
}

/// Why there is no cache, or why something was not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum CacheError {
    /// The operating system says no.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Whoever owns the folder could replace the key.
    #[error("folder `{}` belongs to another user", .0.display())]
    OtherOwner(PathBuf),
    /// Too large to keep.
    #[error("a compiled plugin of {0} bytes is over the limit of {ENTRY_BYTES_MAX}")]
    TooLarge(u64),
}

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { what, path, source }
}

impl Cache {
    /// Opens or makes the cache in a folder of its own. Blocks.
    pub(super) fn open(dir: &Path, engine: &Engine) -> Result<Self, CacheError> {
        Self::open_with(dir, engine, CACHE_BYTES_MAX)
    }

    fn open_with(dir: &Path, engine: &Engine, bytes_max: u64) -> Result<Self, CacheError> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io_error("create", dir))?;
        // It may have been there, and open to others. Only its owner (or root) gets through here.
        fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(io_error("close to others", dir))?;
        let key = open_key(dir)?;
        Ok(Self { dir: dir.to_owned(), key, engine: fingerprint(engine), bytes_max })
    }

    /// A plugin compiled earlier by this installation, for this very engine. Whatever is wrong with it makes it none,
    /// and removes it. Blocks.
    pub(super) fn load(&self, engine: &Engine, wasm: FileHash) -> Option<Component> {
        let name = self.name(wasm);
        let path = self.dir.join(&name);
        let bytes = read_entry(&path).ok()?;
        let compiled = self.key.open(name.as_bytes(), &bytes);
        let component = compiled.and_then(|compiled| deserialize(engine, compiled).ok());
        if component.is_none() {
            tracing::warn!(wasm = %wasm, "A compiled plugin in the cache was not written by this installation or is damaged, and is compiled again.");
            let _ = fs::remove_file(&path);
            return None;
        }
        touch(&path);
        component
    }

    /// Keeps a compiled plugin, and makes room for it. Blocks.
    pub(super) fn keep(&self, wasm: FileHash, compiled: &[u8]) -> Result<(), CacheError> {
        let size = compiled.len() as u64;
        if size > ENTRY_BYTES_MAX.min(self.bytes_max) {
            return Err(CacheError::TooLarge(size));
        }
        let name = self.name(wasm);
        let tag = self.key.tag(name.as_bytes(), compiled);
        write_whole(&self.dir, &name, &[&tag, compiled])?;
        self.sweep(&name).map_err(io_error("sweep", &self.dir))
    }

    /// The name holds all that the compiled code depends on, so a wrong one cannot be found by it.
    fn name(&self, wasm: FileHash) -> String {
        let digest = Sha256::new().chain_update(wasm.0).chain_update(self.engine).finalize();
        format!("{}.{EXTENSION}", hex::encode(digest))
    }

    /// Removes what was not used for the longest time until the rest fits, and what a crash left half written. The
    /// newest entry stays.
    fn sweep(&self, newest: &str) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.dir)?.take(SWEEP_MAX) {
            let entry = entry?;
            let name = entry.file_name();
            if name == KEY_FILE || name == newest {
                continue;
            }
            let metadata = entry.metadata()?;
            // The registry's copies of plugin files.
            if metadata.is_dir() {
                continue;
            }
            let age = if Path::new(&name).extension().is_some_and(|found| found == EXTENSION) {
                metadata.modified()?
            } else {
                SystemTime::UNIX_EPOCH
            };
            entries.push((age, metadata.len(), entry.path()));
        }
        entries.sort_unstable_by_key(|(age, ..)| std::cmp::Reverse(*age));
        let mut total = fs::metadata(self.dir.join(newest))?.len();
        for (age, size, path) in entries {
            total += size;
            if total > self.bytes_max || age == SystemTime::UNIX_EPOCH {
                total -= size;
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

/// Code that a child process of this program has just compiled and handed over a pipe.
pub(super) fn of_child(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    deserialize(engine, compiled)
}

/// The only place where bytes become code without a compiler.
fn deserialize(engine: &Engine, compiled: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `Component::deserialize` must be given bytes that `Component::serialize` made, unchanged. `compiled` has
    // just passed a MAC over its name and content. The key was made by this installation, in a folder and a file that
    // only its user can read, so whoever could forge the MAC runs as that user already. What is sealed with it is the
    // output of `Component::serialize` alone, or of a child process of this program that ended well, which makes the same
    // of bytes that this process inspected, over a pipe that nobody else holds. An engine of another version, with other settings or for another CPU has
    // another name for the file, and wasmtime compares these once more.
    unsafe { Component::deserialize(engine, compiled) }
}

/// A hash of all that an engine's output depends on besides its input: wasmtime's full version, the compiler's
/// settings, the target and its CPU's features. wasmtime hashes all of these; our own version is added to them.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    struct Collect(Sha256);
    impl Hasher for Collect {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut collect = Collect(Sha256::new_with_prefix(env!("CARGO_PKG_VERSION")));
    engine.precompile_compatibility_hash().hash(&mut collect);
    collect.0.finalize().into()
}

fn open_key(dir: &Path) -> Result<Key, CacheError> {
    let path = dir.join(KEY_FILE);
    if let Some(key) = read_key(&path)? {
        check_owner(dir, &path)?;
        return Ok(key);
    }
    let mut fresh = [0_u8; seal::KEY_BYTES];
    getrandom::fill(&mut fresh).map_err(|error| CacheError::Io {
        what: "make a key for",
        path: dir.to_owned(),
        source: error.into(),
    })?;
    write_whole(dir, KEY_FILE, &[&fresh])?;
    check_owner(dir, &path)?;
    // Of two processes that start at once the later one has the word.
    read_key(&path)?.ok_or_else(|| CacheError::OtherOwner(dir.to_owned()))
}

/// None where there is no key, or one that others may have read.
fn read_key(path: &Path) -> Result<Option<Key>, CacheError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error("open", path)(error)),
    };
    let metadata = file.metadata().map_err(io_error("read", path))?;
    let mut bytes = Vec::new();
    file.take(seal::KEY_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(io_error("read", path))?;
    let private = metadata.is_file() && metadata.mode() & 0o077 == 0;
    Ok(private.then_some(bytes).and_then(|bytes| bytes.try_into().ok()).map(Key::new))
}

/// Whoever owns the folder can swap the key in it.
fn check_owner(dir: &Path, key: &Path) -> Result<(), CacheError> {
    let owner = |path: &Path| fs::symlink_metadata(path).map(|found| found.uid()).map_err(io_error("look at", path));
    let probe = dir.join(".owner");
    // A file made just now belongs to the user that this process runs as.
    write_whole(dir, ".owner", &[])?;
    let me = owner(&probe);
    let _ = fs::remove_file(&probe);
    let me = me?;
    if owner(dir)? == me && owner(key)? == me { Ok(()) } else { Err(CacheError::OtherOwner(dir.to_owned())) }
}

fn read_entry(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let limit = ENTRY_BYTES_MAX + TAG_BYTES as u64;
    if size > limit {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Nobody ever sees half of it: written under another name, then renamed. Not synced: what a crash of the machine
/// damages fails its MAC.
fn write_whole(dir: &Path, name: &str, parts: &[&[u8]]) -> Result<(), CacheError> {
    let path = dir.join(name);
    let half = dir.join(format!(".{name}.{}", std::process::id()));
    let written = (|| {
        // One left by a process of the same id before the last restart.
        let _ = fs::remove_file(&half);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        for part in parts {
            file.write_all(part)?;
        }
        fs::rename(&half, &path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&half);
    }
    written.map_err(io_error("write", &path))
}

/// The time of the last use decides who goes first. Best effort: without it the time of writing decides.
fn touch(path: &Path) {
    let _ = File::options().append(true).open(path).and_then(|file| file.set_modified(SystemTime::now()));
}

#[cfg(test)]
mod tests;
