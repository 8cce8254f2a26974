//! Puts a plugin into the folder, and takes one out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Sha256;
use super::lock::{Lock, LockEntry, LockError, TURN_WAIT_MAX, Turn};
use super::place::write_whole;
use super::trust::{Signature, signature_path};
use crate::domain::PluginName;

/// A plugin that was looked into and may come in.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'a> {
    /// The file's content.
    pub bytes: &'a [u8],
    /// The text of its signature.
    pub signature: Option<&'a str>,
    /// What it says it is called.
    pub name: &'a PluginName,
    /// What it says its version is.
    pub version: &'a str,
    /// Where it came from.
    pub source: &'a str,
    /// Of its manifest in the registry.
    pub digest: Option<&'a str>,
    /// Now, in RFC 3339.
    pub added_at: &'a str,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Where it stands.
    pub file: PathBuf,
    /// Its entry in the lock.
    pub entry: LockEntry,
    /// The very same was there already: nothing was written.
    pub already: bool,
}

/// Writes signature, lock and file, in this order and each whole: when a server sees the file, what it is judged by is
/// there. Blocks.
///
/// # Errors
///
/// [`LockError`] where the folder cannot be written, its lock cannot be understood, or another process changes it for
/// longer than 10 s.
pub fn install(dir: &Path, incoming: &Incoming<'_>) -> Result<Installed, LockError> {
    let Incoming { bytes, signature, name, version, source, digest, added_at } = *incoming;
    fs::create_dir_all(dir).map_err(LockError::of(dir))?;
    let _turn = Turn::take(dir, TURN_WAIT_MAX)?;
    let mut lock = Lock::read(dir)?;
    let file = dir.join(format!("{name}.wasm"));
    let sha256 = Sha256::of(bytes);
    let beside = signature_path(&file);
    let same_signature = fs::read_to_string(&beside).ok().as_deref() == signature;
    if let Some(entry) = lock.get(name.as_str())
        && entry.sha256 == sha256.to_string()
        && same_signature
        && fs::read(&file).is_ok_and(|there| Sha256::of(&there) == sha256)
    {
        return Ok(Installed { file, entry: entry.clone(), already: true });
    }
    let entry = LockEntry {
        name: name.to_string(),
        version: version.to_owned(),
        source: source.to_owned(),
        sha256: sha256.to_string(),
        digest: digest.map(str::to_owned),
        signed_by: signature.and_then(|text| text.parse::<Signature>().ok()).map(|signature| signature.key.to_string()),
        added_at: added_at.to_owned(),
    };
    match signature {
        Some(text) => write_whole(&beside, text.as_bytes(), 0o644).map_err(LockError::of(&beside))?,
        None => drop(gone(&beside)?),
    }
    lock.put(entry.clone());
    lock.write(dir)?;
    write_whole(&file, bytes, 0o644).map_err(LockError::of(&file))?;
    Ok(Installed { file, entry, already: false })
}

/// Removes a plugin's file, its signature and its entry in the lock; says whether any was there. Blocks.
///
/// # Errors
///
/// As [`install`].
pub fn remove(dir: &Path, name: &PluginName) -> Result<bool, LockError> {
    if !dir.is_dir() {
        return Ok(false);
    }
    let _turn = Turn::take(dir, TURN_WAIT_MAX)?;
    let mut lock = Lock::read(dir)?;
    let file = dir.join(format!("{name}.wasm"));
    let mut was_there = gone(&file)?;
    was_there |= gone(&signature_path(&file))?;
    if lock.remove(name) {
        lock.write(dir)?;
        was_there = true;
    }
    Ok(was_there)
}

/// Removes a file; says whether it was there.
fn gone(path: &Path) -> Result<bool, LockError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(LockError::of(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::LOCK_FILE;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).expect("a folder");
        let mut names: Vec<_> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    }

    /// Each reads the lock, adds its plugin and writes it: none may lose what another added meanwhile.
    #[test]
    fn what_many_add_and_remove_at_once_is_all_in_the_lock() {
        let dir = tempfile::tempdir().expect("a folder");
        let names: Vec<PluginName> = (0..12).map(|number| format!("acme-{number}").parse().expect("a name")).collect();
        let add = |name: &PluginName| {
            let incoming = Incoming {
                bytes: name.as_str().as_bytes(),
                signature: None,
                name,
                version: "1.0.0",
                source: "./acme.wasm",
                digest: None,
                added_at: "2026-11-21T11:00:00.000Z",
            };
            install(dir.path(), &incoming).expect("installs")
        };
        add(&names[0]);
        std::thread::scope(|scope| {
            scope.spawn(|| remove(dir.path(), &names[0]).expect("removes"));
            for name in &names[1..] {
                scope.spawn(move || add(name));
            }
        });
        let lock = Lock::read(dir.path()).expect("reads");
        let there: Vec<bool> = names.iter().map(|name| lock.get(name.as_str()).is_some()).collect();
        assert_eq!(there, (0..12).map(|number| number > 0).collect::<Vec<_>>());
    }

    #[test]
    fn a_plugin_comes_in_whole_once_and_goes_without_a_trace() {
        let root = tempfile::tempdir().expect("a folder");
        let dir = root.path().join("plugins-enabled");
        let name: PluginName = "acme".parse().expect("a name");
        let incoming = Incoming {
            bytes: b"one",
            signature: Some("a line\n"),
            name: &name,
            version: "1.0.0",
            source: "./acme.wasm",
            digest: None,
            added_at: "2026-11-21T11:00:00.000Z",
        };
        let first = install(&dir, &incoming).expect("installs");
        assert!(!first.already && first.file == dir.join("acme.wasm"));
        assert_eq!(names(&dir), ["acme.wasm", "acme.wasm.sig", LOCK_FILE]);
        let again = install(&dir, &Incoming { added_at: "later", ..incoming }).expect("installs");
        assert!(again.already && again.entry == first.entry);

        let next = install(&dir, &Incoming { bytes: b"two", signature: None, ..incoming }).expect("installs");
        assert!(!next.already);
        assert_eq!(names(&dir), ["acme.wasm", LOCK_FILE], "the old signature is of the old file");
        assert_eq!(fs::read(&next.file).expect("reads"), b"two");

        fs::write(&next.file, b"tampered").expect("writes");
        let mended = install(&dir, &Incoming { bytes: b"two", signature: None, ..incoming }).expect("installs");
        assert!(!mended.already && fs::read(&mended.file).expect("reads") == b"two");

        assert!(remove(&dir, &name).expect("removes"));
        assert_eq!(names(&dir), [LOCK_FILE]);
        assert!(!remove(&dir, &name).expect("removes"));
    }
}
