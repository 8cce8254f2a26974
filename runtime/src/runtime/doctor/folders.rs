//! The data folder and the cache folder: there, for whom, and with how much room.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{Access, access, statvfs};

use super::{Check, size};

/// Below this much free space somebody should make room, in bytes: what the log of the database and a migration take.
const FREE_WARN: u64 = 1 << 30;

/// Below this much free space the next checkpoint may not find room, in bytes.
const FREE_MIN: u64 = 64 << 20;

/// The folder of the database. Where it is not there yet, the nearest one above it is looked at.
pub(super) fn of_data(database: &Path) -> Vec<Check> {
    let name = "data folder";
    let absolute = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let there = folder.ancestors().find(|folder| fs::symlink_metadata(folder).is_ok()).unwrap_or(Path::new("/"));
    let hint = "name another file with `url = \"sqlite://PATH\"` in `[store]`";
    if !there.is_dir() {
        let detail = format!("`{}` is not a folder", there.display());
        return vec![Check::fail(name, detail, format!("move it away, or {hint}"))];
    }
    let may_write = access(there, Access::WRITE_OK | Access::EXEC_OK);
    let mut checks = vec![match may_write {
        Err(error) => Check::fail(
            name,
            format!("`{}` cannot be written: {}", there.display(), io::Error::from(error)),
            format!("give it to the user that the server runs as (`chown USER {}`), or {hint}", there.display()),
        ),
        Ok(()) if there == folder => Check::ok(name, format!("`{}` can be written", folder.display())),
        Ok(()) => Check::ok(name, format!("`{}` is not there yet, `serve` makes it", folder.display())),
    }];
    checks.push(match free_bytes(there) {
        Ok(bytes) => of_free(bytes, there),
        Err(error) => Check::warn("free space", format!("it cannot be told: {error}"), "look yourself: `df`"),
    });
    checks
}

/// What to do where the database cannot be written: which folder it is in, and how much room there is.
pub(crate) fn room_hint(database: &Path) -> String {
    let absolute = std::path::absolute(database).unwrap_or_else(|_| database.to_owned());
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let free = free_bytes(folder).map_or_else(|_| "an unknown amount".to_owned(), size);
    format!(
        "nothing that the store holds is lost; `{}` has {free} free: make room on that disk ({} at least), or name another \
         file with `url = \"sqlite://PATH\"` in `[store]`; `campanile doctor` looks closer",
        folder.display(),
        size(FREE_MIN),
    )
}

fn free_bytes(folder: &Path) -> io::Result<u64> {
    let found = statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

pub(super) fn of_free(bytes: u64, folder: &Path) -> Check {
    let detail = format!("{} at `{}`", size(bytes), folder.display());
    let hint = |least| format!("make room on that disk: {} at least", size(least));
    match bytes {
        ..FREE_MIN => Check::fail("free space", detail, hint(FREE_MIN)),
        FREE_MIN..FREE_WARN => Check::warn("free space", detail, hint(FREE_WARN)),
        FREE_WARN.. => Check::ok("free space", detail),
    }
}

/// What is loaded from the cache is native code, vouched for by a key that lies in it.
pub(super) fn of_cache(dir: &Path) -> Check {
    let (name, shown) = ("plugin cache", dir.display());
    let found = match fs::metadata(dir) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Check::ok(name, format!("`{shown}` is not there yet, `serve` makes it"));
        }
        Err(error) => {
            let hint = "run this as the user that the server runs as";
            return Check::fail(name, format!("`{shown}` cannot be looked at: {error}"), hint);
        }
    };
    if !found.is_dir() {
        let hint = "move it away, or set `cache_dir` in `[plugins]`";
        return Check::fail(name, format!("`{shown}` is not a folder"), hint);
    }
    let mode = found.permissions().mode() & 0o7777;
    if mode != 0o700 {
        let hint = format!(
            "others may have read its key: stop the server and remove it (`rm -r {shown}`); `serve` makes it anew"
        );
        return Check::fail(name, format!("`{shown}` has mode {mode:04o}, not 0700"), hint);
    }
    Check::ok(name, format!("`{shown}` is for its owner alone"))
}
