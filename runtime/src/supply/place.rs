//! Writes files whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Writes a file under a hidden name beside `path` and renames it: whoever looks sees the old content or the new. Nothing
/// is left behind where it fails. Blocks.
///
/// # Errors
///
/// What the operating system says.
pub fn write_whole(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
    // Hidden: no look at the folder takes it for a plugin.
    let unfinished = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let written = write(&unfinished, content, mode).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // It may not have been made at all.
        let _ = fs::remove_file(&unfinished);
        return written;
    }
    // The name lasts only once the folder is on disk.
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => File::open(parent)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
