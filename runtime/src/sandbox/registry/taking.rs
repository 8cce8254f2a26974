//! From a file to a version that serves, or to the reason why not.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::reload::Before;
use super::shelf::{self, ChannelEntry, FileRecord, FileState, OnTrial, Refusal, Shelf, Shelved, Sight};
use super::status::PluginSource;
use super::version::{Prepared, Version};
use super::{Registry, RegistrySettings, permission};
use crate::domain::{ChannelName, Permission, PluginChange, PluginEvent, PluginName, VersionMark};
use crate::sandbox::folder::Fingerprint;
use crate::sandbox::inspect::{Inspected, PluginKind};
use crate::sandbox::loader::sentence;

impl Registry {
    /// Takes a file into the books and, where all goes well, on the shelf.
    pub(super) async fn take(&self, shelf: &mut Shelf, path: &Path, source: PluginSource, fingerprint: Fingerprint) {
        let started = std::time::Instant::now();
        let mut record = FileRecord::fresh(path, source, fingerprint, self.clock.now());
        let file = shelf::file_name(path);
        let taken = self.try_take(shelf, path, &record.clone(), &mut record.seen).await;
        let load_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        record.state = taken.unwrap_or_else(FileState::Refused);
        let (name, sha256) = (record.seen.name.as_ref(), record.seen.sha256.as_ref());
        let (name, sha256) = (name.map(tracing::field::display), sha256.map(tracing::field::display));
        match &record.state {
            FileState::Used => match shelf.why_waiting(path) {
                None => tracing::info!(plugin = name, file, sha256, load_ms, "A plugin serves."),
                Some(reason) => tracing::warn!(
                    plugin = name,
                    file,
                    sha256,
                    load_ms,
                    reason,
                    "A plugin is loaded and quarantined; its deliveries wait."
                ),
            },
            FileState::Trial => tracing::info!(plugin = name, file, sha256, load_ms, "A plugin version is on trial."),
            FileState::Held { reason, .. } => {
                if self.tell_of_file(shelf, PluginChange::Held, &file, &record, reason) {
                    tracing::warn!(plugin = name, file, reason, "A plugin version is held back until it is approved.");
                }
            }
            FileState::Barred(kind, reason) => {
                tracing::warn!(plugin = name, file, reason, state = kind.as_str(), "A plugin version is not used.");
            }
            FileState::Refused(refusal) => {
                if self.tell_of_file(shelf, PluginChange::Refused, &file, &record, &refusal.reason) {
                    tracing::warn!(file, reason = refusal.reason, "A plugin file is refused.");
                }
            }
            // Only what nobody looked into.
            FileState::Available => {}
        }
        shelf.files.insert(path.to_owned(), record);
    }

    /// Tells of a file that is not used, once for what it holds and why: at the next start, or the next look, it is no
    /// news. A file whose name is no plugin's, and that says no other, has no book to remember it in.
    fn tell_of_file(
        &self,
        shelf: &mut Shelf,
        change: PluginChange,
        file: &str,
        record: &FileRecord,
        reason: &str,
    ) -> bool {
        let seen = &record.seen;
        let told = shelf::telling(change, file, record, reason);
        if seen.name.as_ref().is_some_and(|name| !shelf.ledger.is_news(name, told)) {
            return false;
        }
        let event = PluginEvent {
            change,
            plugin: seen.name.as_ref().map_or_else(|| file.to_owned(), ToString::to_string),
            version: seen.version.clone(),
            sha256: seen.sha256.map(|sha256| sha256.0),
            reason: Some(reason.to_owned()),
        };
        shelf.ledger.tell(event, self.clock.now());
        true
    }

    async fn try_take(
        &self,
        shelf: &mut Shelf,
        path: &Path,
        record: &FileRecord,
        seen: &mut Sight,
    ) -> Result<FileState, Refusal> {
        let inspected = self.loader.inspect(path).await.map_err(|error| Refusal::of(sentence(&error)))?;
        (seen.kind, seen.sha256) = (Some(inspected.kind), Some(inspected.sha256));
        let (kind, sha256, size) = (inspected.kind, inspected.sha256, inspected.bytes.len() as u64);
        if let Some(state) = self.known(shelf, path, record.source, seen)? {
            return Ok(state);
        }
        let barred = shelf.ledger.bar(&sha256.0).map(|(name, bar)| (name.clone(), bar.clone()));
        if let Some((name, bar)) = &barred {
            (seen.name, seen.version) = (Some(name.clone()), Some(bar.mark.version.clone()));
            self.restore(shelf, name, path, &sha256.0).await;
            if shelf.serving.contains_key(name) {
                return Ok(FileState::Barred(bar.kind, bar.reason.clone()));
            }
        }
        let version = self.load(inspected, record.source).await?;
        let name = version.name().clone();
        let hint = seen.name.replace(name.clone());
        seen.version = Some(version.number().clone());
        if record.source == PluginSource::Bundled && hint.as_ref() != Some(&name) {
            return Err(Refusal::of(format!(
                "it is plugin `{name}`, and its file has another name; rename it to `{name}.wasm`"
            )));
        }
        if record.source == PluginSource::Own {
            self.restore(shelf, &name, path, &sha256.0).await;
        }
        if let Some(old) = shelf.serving.get(&name)
            && !shelf.may_replace(old, path, record.source)
        {
            return Err(behind(&name, old));
        }
        let asked = permission::asked(version.plugin.descriptor());
        if let Some(reason) = growth(shelf, &version, record.source, &asked) {
            return Ok(FileState::Held { reason, asked });
        }
        if barred.is_some() {
            version.stop();
        }
        let version = Arc::new(version);
        let channels = self.channels_of(&version).await;
        check_channels(shelf, &name, &channels)?;
        let shelved =
            Shelved { version, path: path.to_owned(), source: record.source, kind, size, since: self.clock.now() };
        if self.is_to_be_tried(shelf, &name) {
            self.try_out(shelf, OnTrial { shelved, channels });
            return Ok(FileState::Trial);
        }
        self.serve(shelf, shelved, channels, &asked);
        Ok(FileState::Used)
    }

    /// What becomes of a file whose content is in use already: nothing is loaded, at most the file it belongs to is
    /// another.
    fn known(
        &self,
        shelf: &mut Shelf,
        path: &Path,
        source: PluginSource,
        seen: &mut Sight,
    ) -> Result<Option<FileState>, Refusal> {
        let is_same = |shelved: &Shelved| Some(shelved.version.sha256()) == seen.sha256;
        if let Some((name, trial)) = shelf.trials.iter().find(|(_, trial)| is_same(&trial.shelved)) {
            (seen.name, seen.version) = (Some(name.clone()), Some(trial.shelved.version.number().clone()));
            return Ok(Some(FileState::Trial));
        }
        let Some(name) = shelf.serving.iter().find(|(_, shelved)| is_same(shelved)).map(|(name, _)| name.clone())
        else {
            return Ok(None);
        };
        take_over(shelf, &name, path, source, seen)?;
        if shelf.end_trial(&name, self.clock.now()).is_some() {
            shelf.ledger.change(&name).canary = None;
        }
        Ok(Some(FileState::Used))
    }

    pub(super) async fn load(&self, inspected: Inspected, source: PluginSource) -> Result<Version, Refusal> {
        let inspected = match source {
            PluginSource::Own => self.copies.keep(inspected).await,
            PluginSource::Bundled => Some(inspected),
        };
        let inspected = inspected.ok_or_else(|| Refusal::of("the host failed while it copied the file"))?;
        let plugin = self.loader.prepare(inspected).await.map_err(|error| Refusal::of(sentence(&error)))?;
        Version::new(plugin).map_err(|error| Refusal::of(error.to_string()))
    }

    /// Loads what served before this process, unless that is the file at hand, so that a new file has something to be
    /// measured by and to take over from.
    async fn restore(&self, shelf: &mut Shelf, name: &PluginName, path: &Path, sha256: &[u8; 32]) {
        if shelf.serving.contains_key(name) {
            return;
        }
        let served = shelf.ledger.book(name).and_then(|book| book.serving.clone());
        let Some(mark) = served.filter(|mark| mark.sha256 != *sha256) else { return };
        let Some((shelved, channels)) = self.revive(shelf, name, &mark, path).await else {
            tracing::warn!(plugin = %name, version = %mark.version, "The version that served last is not there any more.");
            return;
        };
        if shelf.ledger.book(name).is_some_and(|book| book.bar(&mark.sha256).is_some()) {
            shelved.version.stop();
        }
        shelf.put(Shelved { since: mark.since, ..shelved }, channels);
    }

    /// Loads an earlier version once more: from the copy of its file, or from the bundled set.
    pub(super) async fn revive(
        &self,
        shelf: &mut Shelf,
        name: &PluginName,
        mark: &VersionMark,
        path: &Path,
    ) -> Option<(Shelved, BTreeMap<ChannelName, ChannelEntry>)> {
        let is_bundled =
            |record: &FileRecord| record.source == PluginSource::Bundled && record.seen.name.as_ref() == Some(name);
        let bundled = shelf.files.iter().find(|(_, record)| is_bundled(record)).map(|(path, _)| path.clone());
        let kept = Some((self.copies.path(&mark.sha256), path.to_owned(), PluginSource::Own));
        let bundled = bundled.map(|path| (path.clone(), path, PluginSource::Bundled));
        for (from, path, source) in [kept, bundled].into_iter().flatten() {
            let Some((version, kind, size)) = self.load_exactly(&from, mark).await else { continue };
            if version.name() != name {
                continue;
            }
            if let Some(record) = shelf.files.get_mut(&path).filter(|_| source == PluginSource::Bundled) {
                record.state = FileState::Used;
            }
            let version = Arc::new(version);
            let channels = self.channels_of(&version).await;
            let since = self.clock.now();
            return Some((Shelved { version, path, source, kind, size, since }, channels));
        }
        None
    }

    async fn load_exactly(&self, from: &Path, mark: &VersionMark) -> Option<(Version, PluginKind, u64)> {
        let inspected = self.loader.inspect(from).await.ok().filter(|found| found.sha256.0 == mark.sha256)?;
        let (kind, size) = (inspected.kind, inspected.bytes.len() as u64);
        let plugin = self.loader.prepare(inspected).await.ok()?;
        Some((Version::new(plugin).ok()?, kind, size))
    }

    /// Puts a version on the shelf, and into the book of its plugin unless that says so already.
    pub(super) fn serve(
        &self,
        shelf: &mut Shelf,
        mut shelved: Shelved,
        channels: BTreeMap<ChannelName, ChannelEntry>,
        asked: &[Permission],
    ) {
        let (now, name) = (self.clock.now(), shelved.version.name().clone());
        let before = shelf.ledger.book(&name).and_then(|book| book.serving.clone());
        let mark = shelved.version.mark(now);
        match before {
            Some(before) if before.sha256 == mark.sha256 => shelved.since = before.since,
            before => {
                let book = shelf.ledger.change(&name);
                if let Some(before) = before.clone().filter(|before| book.bar(&before.sha256).is_none()) {
                    book.previous = Some(before);
                }
                (book.serving, book.canary, book.has_served) = (Some(mark.clone()), None, true);
                // It has come to something: what speaks against a file from here on is news.
                book.told.clear();
                permission::approve(&mut book.approved, asked);
                let change = if before.is_some() { PluginChange::Swapped } else { PluginChange::Loaded };
                let reason = before.map(|before| format!("in place of version {}", before.version));
                shelf.ledger.tell_of(change, &name, &mark, reason, now);
            }
        }
        let path = shelved.path.clone();
        let renamed = shelf.serving.iter().filter(|(old, other)| **old != name && other.path == path);
        let renamed: Vec<_> = renamed.map(|(old, _)| old.clone()).collect();
        shelf.put(shelved, channels);
        for old in renamed {
            self.told_removed(shelf, &old, format!("its file `{}` holds another plugin", shelf::file_name(&path)));
        }
    }

    /// The channels of a plugin: the configured ones, and its own where it needs no configuration.
    async fn channels_of(&self, version: &Arc<Version>) -> BTreeMap<ChannelName, ChannelEntry> {
        self.channels_by(version, &self.settings(), None).await
    }

    /// The same by these settings. Of those `before`, what is the same in everything goes on as it is.
    pub(super) async fn channels_by(
        &self,
        version: &Arc<Version>,
        settings: &RegistrySettings,
        before: Option<Before<'_>>,
    ) -> BTreeMap<ChannelName, ChannelEntry> {
        let mut entries = BTreeMap::new();
        for (name, config) in settings.channels_over(version) {
            let known = match before {
                Some(before) => before.known(version, &name, &config).await,
                None => None,
            };
            let prepared = match known {
                Some(known) => known,
                None => Prepared::make(version, &name, &config, settings, &self.clock).await,
            };
            // What a plugin lends is there or is not; there is nobody to tell why not.
            if prepared.ready.is_ok() || settings.channels.contains_key(&name) {
                entries.insert(name, ChannelEntry { plugin: version.name().clone(), prepared });
            }
        }
        entries
    }
}

/// What a new version of the operator's asks for beyond what was approved. The first one is approved by being put
/// there, and what comes with the program by having been installed.
fn growth(shelf: &Shelf, version: &Version, source: PluginSource, asked: &[Permission]) -> Option<String> {
    let book = shelf.ledger.book(version.name()).filter(|book| source == PluginSource::Own && book.has_served)?;
    if book.serving.as_ref().is_some_and(|mark| mark.sha256 == version.sha256().0) {
        return None;
    }
    let grown = permission::growth(&book.approved, asked);
    (!grown.is_empty()).then(|| {
        // With its version, so that a later one is not approved unseen.
        let (name, number) = (version.name(), version.number());
        let line = format!("campanile plugins approve {name} --version {number}");
        format!("{}; allow it with `{line}`", permission::sentence(&grown))
    })
}

fn take_over(
    shelf: &mut Shelf,
    name: &PluginName,
    path: &Path,
    source: PluginSource,
    seen: &mut Sight,
) -> Result<(), Refusal> {
    let Some(old) = shelf.serving.get(name) else { return Ok(()) };
    (seen.name, seen.version) = (Some(name.clone()), Some(old.version.number().clone()));
    if !shelf.may_replace(old, path, source) {
        return Err(behind(name, old));
    }
    let before = old.path.clone();
    if before != path
        && let Some(record) = shelf.files.get_mut(&before)
    {
        record.state = FileState::Available;
    }
    if let Some(shelved) = shelf.serving.get_mut(name) {
        (shelved.path, shelved.source) = (path.to_owned(), source);
    }
    Ok(())
}

fn behind(name: &PluginName, old: &Shelved) -> Refusal {
    let file = shelf::file_name(&old.path);
    let reason = format!("file `{file}` provides plugin `{name}` already; remove one of the two files");
    Refusal { reason, behind: Some(name.clone()) }
}

/// A new version has to serve every channel that the old one serves.
fn check_channels(
    shelf: &Shelf,
    name: &PluginName,
    channels: &BTreeMap<ChannelName, ChannelEntry>,
) -> Result<(), Refusal> {
    let served = shelf.channels.iter().filter(|(_, entry)| entry.plugin == *name && entry.prepared.ready.is_ok());
    let broken: Vec<_> = served
        .filter_map(|(channel, _)| match channels.get(channel).map(|entry| &entry.prepared.ready) {
            Some(Ok(_)) => None,
            Some(Err(reason)) => Some(format!("channel `{channel}` would stop working: {reason}")),
            None => Some(format!(
                "channel `{channel}` would stop working: it has no configuration; add [channels.{channel}]"
            )),
        })
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(Refusal::of(broken.join("; "))) }
}
