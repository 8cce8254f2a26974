//! The files there are, and which template each belongs to. Blocking: for a thread of its own.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, str};

use crate::domain::TemplateName;

use super::template::{DEFAULT_PART, TemplateError, is_include};

/// Files looked at, over the whole folder. Each is looked at again every second while templates are in use.
const FILES_MAX: usize = 4096;

/// One file, in bytes: mails beyond 100 KiB are cut by their readers.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// What the folder holds.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) templates: BTreeMap<TemplateName, Vec<File>>,
    /// Includes of every template.
    pub(super) shared: Vec<File>,
}

/// One file of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct File {
    /// The part that it writes, or the include that it is.
    pub(super) part: String,
    /// Picks the engine.
    pub(super) extension: String,
    /// Relative to the folder, for messages.
    pub(super) shown: String,
    shared: bool,
    path: PathBuf,
    stamp: Stamp,
}

/// A file with another stamp has changed. One of the same size, written within the same tick of the file system's
/// clock, is not noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

/// Everything in `dir`; nothing where there is no such folder.
pub(super) fn list(dir: &Path) -> io::Result<Listing> {
    let mut listing = Listing::default();
    let mut left = FILES_MAX;
    for entry in entries(dir, &mut left)? {
        if entry.is_dir {
            // A folder of another name holds no template.
            let Ok(name) = TemplateName::new(&entry.name) else { continue };
            let inner = entries(&dir.join(&entry.name), &mut left)?;
            let files = inner.into_iter().filter(|file| !file.is_dir).filter_map(|file| {
                let (part, extension) = file.name.rsplit_once('.').filter(|(part, _)| is_part(part))?;
                Some(file.file(dir, Some(&entry.name), part, extension))
            });
            listing.templates.entry(name).or_default().extend(files);
            continue;
        }
        let Some((stem, extension)) = entry.name.rsplit_once('.') else { continue };
        let (template, part) = stem.split_once('.').unwrap_or((stem, DEFAULT_PART));
        if is_include(stem) {
            listing.shared.push(entry.file(dir, None, stem, extension));
        } else if is_part(part)
            && let Ok(name) = TemplateName::new(template)
        {
            listing.templates.entry(name).or_default().push(entry.file(dir, None, part, extension));
        }
    }
    listing.templates.retain(|_, files| !files.is_empty());
    Ok(listing)
}

struct Entry {
    name: String,
    is_dir: bool,
    stamp: Stamp,
}

impl Entry {
    fn file(&self, dir: &Path, folder: Option<&str>, part: &str, extension: &str) -> File {
        let shown = folder.map_or_else(|| self.name.clone(), |folder| format!("{folder}/{}", self.name));
        File {
            part: part.to_owned(),
            extension: extension.to_owned(),
            shared: folder.is_none() && is_include(part),
            path: dir.join(&shown),
            shown,
            stamp: self.stamp,
        }
    }
}

/// By name. Pipes and the like are left out: reading one may never end. Links are followed: a mounted volume has them.
fn entries(dir: &Path, left: &mut usize) -> io::Result<Vec<Entry>> {
    let folder = match fs::read_dir(dir) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut entries = Vec::new();
    for entry in folder {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        *left = left.checked_sub(1).ok_or_else(|| {
            io::Error::new(io::ErrorKind::QuotaExceeded, format!("it has over {FILES_MAX} files, which is the limit"))
        })?;
        // Gone in between, or a link to nothing.
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_dir() || metadata.is_file() {
            let stamp = Stamp { bytes: metadata.len(), modified: metadata.modified().ok() };
            entries.push(Entry { name, is_dir: metadata.is_dir(), stamp });
        }
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// `[_a-z][a-z0-9_.-]{0,63}`
fn is_part(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
    name.len() <= 64 && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') && name.chars().all(letters)
}

impl File {
    /// An include of every template.
    pub(super) fn is_shared(&self) -> bool {
        self.shared
    }

    /// Its text, without a byte order mark.
    pub(super) fn read(&self) -> Result<String, TemplateError> {
        let unreadable =
            |error: io::Error| TemplateError::Unreadable { file: self.shown.clone(), reason: error.to_string() };
        let file = fs::File::open(&self.path).map_err(unreadable)?;
        let mut bytes = Vec::new();
        // It may have grown since it was listed.
        let found = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)? as u64;
        if found > FILE_BYTES_MAX {
            let found = found.max(self.stamp.bytes);
            return Err(TemplateError::TooLarge { what: self.shown.clone(), found, limit: FILE_BYTES_MAX });
        }
        let text = str::from_utf8(&bytes).map_err(|_| TemplateError::NotText { file: self.shown.clone() })?;
        Ok(text.strip_prefix('\u{feff}').unwrap_or(text).to_owned())
    }
}
