//! Which plugins and channels there are, and which version of each serves.
//!
//! *Flow:* a file comes to rest → inspected → compiled and described → its config judged for every channel that uses it
//! → swapped in whole; calls that had begun end on the version they began with, and the last of them lets it go.
//!
//! *Invariants:* readers take no lock and see one consistent state; a new version that cannot serve every channel that
//! the old one serves replaces nothing; a file that is refused is kept in the books with its reason.
//!
//! *Not here:* notices of the file system ([`Watch`](super::Watch)), what a failed delivery does (`domain::settle`).

mod calls;
mod kept;
mod schema;
mod secrets;
mod shelf;
mod snapshot;
mod status;
mod suggest;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};

pub use status::{ChannelStatus, PluginSource, PluginState, PluginStatus};

use self::shelf::{ChannelEntry, FileRecord, FileState, Refusal, Shelf, Shelved, Sight};
use self::snapshot::Snapshot;
use self::version::{ReadyChannel, Version};
use super::Sandbox;
use super::folder::{self, Fingerprint, Listing, Seen};
use super::inspect::PluginKind;
use super::loader::{Loader, sentence};
use crate::capability::http::Egress;
use crate::capability::kv::KvStore;
use crate::clock::{Clock, Entropy};
use crate::config::{ChannelConfig, PluginsConfig};
use crate::domain::{ChannelName, PluginName};

/// Where packages put the set that comes with the program.
const PACKAGED: &str = "/usr/lib/campanile/plugins";

/// What a registry is made with.
#[derive(Clone)]
pub struct RegistrySettings {
    /// Folders, cache, and what a call may use where no channel says otherwise.
    pub plugins: PluginsConfig,
    /// The configured channels.
    pub channels: BTreeMap<ChannelName, ChannelConfig>,
    /// How channels find their providers.
    pub egress: Egress,
    /// Where handles of secrets come from.
    pub entropy: Arc<Entropy>,
    /// Where channels keep what is to last.
    pub kv: Arc<dyn KvStore>,
}

impl std::fmt::Debug for RegistrySettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A channel's config may hold secrets.
        f.debug_struct("RegistrySettings")
            .field("plugins", &self.plugins)
            .field("channels", &self.channels.keys())
            .finish_non_exhaustive()
    }
}

/// The plugins and channels of one runtime.
pub struct Registry {
    current: ArcSwap<Snapshot>,
    /// Held while a plugin is loaded: changes are made one after the other.
    shelf: Mutex<Shelf>,
    loader: Loader,
    settings: RegistrySettings,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Registry {
    /// Loads every plugin of the operator's own folder, and of the bundled set those that a configured channel uses.
    /// Never fails: what cannot be loaded is in [`plugins`](Self::plugins) with its reason, and a channel that cannot be
    /// used says why.
    pub async fn open(sandbox: Arc<Sandbox>, settings: RegistrySettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let loader = Loader::open(sandbox, settings.plugins.clone()).await;
        let bundled = settings.plugins.bundled_dir.clone().or_else(find_bundled);
        let registry = Arc::new(Self {
            current: ArcSwap::default(),
            shelf: Mutex::default(),
            loader,
            settings,
            clock,
            changes: watch::Sender::new(0),
        });
        let mut shelf = registry.shelf.lock().await;
        for (path, fingerprint) in listing(bundled).await.0 {
            let record = FileRecord::fresh(&path, PluginSource::Bundled, fingerprint, registry.clock.now());
            shelf.files.insert(path, record);
        }
        for (path, fingerprint) in listing(Some(registry.own_dir().to_owned())).await.0 {
            registry.take(&mut shelf, &path, PluginSource::Own, fingerprint).await;
        }
        registry.take_used(&mut shelf).await;
        registry.publish(&mut shelf);
        drop(shelf);
        registry
    }

    /// Every plugin file, and versions that are still running, by name and file.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.current.load().statuses()
    }

    /// Every channel that is configured, or lent by a plugin that needs no configuration, by name.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelStatus> {
        self.current.load().channel_statuses.clone()
    }

    /// Counts the changes: plugins and channels may be others after each.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The operator's own folder.
    pub(super) fn own_dir(&self) -> &Path {
        &self.settings.plugins.dir
    }

    /// Brings the books in step with what a look at the operator's folder told.
    pub(super) async fn follow(&self, seen: &Seen) {
        let mut shelf = self.shelf.lock().await;
        let before = shelf.files.len();
        shelf.files.retain(|path, record| record.source == PluginSource::Bundled || seen.has(path));
        let mut changed = shelf.files.len() != before;
        for (path, fingerprint) in &seen.settled.0 {
            if shelf.files.get(path).is_none_or(|record| record.fingerprint != *fingerprint) {
                self.take(&mut shelf, path, PluginSource::Own, *fingerprint).await;
                changed = true;
            }
        }
        // A file that is renamed is first gone and then new. While anything moves, nothing is taken away.
        if seen.moving.is_empty() {
            changed |= self.remove_orphans(&mut shelf).await;
        }
        if changed {
            self.publish(&mut shelf);
        }
    }

    async fn remove_orphans(&self, shelf: &mut Shelf) -> bool {
        let orphans = shelf.orphans();
        for name in &orphans {
            tracing::info!(plugin = %name, "A plugin is removed: its file is gone.");
            shelf.remove(name, self.clock.now());
        }
        for path in shelf.next_in_line() {
            if let Some(record) = shelf.files.get(&path) {
                let (source, fingerprint) = (record.source, record.fingerprint);
                self.take(shelf, &path, source, fingerprint).await;
            }
        }
        if !orphans.is_empty() {
            self.take_used(shelf).await;
        }
        !orphans.is_empty()
    }

    /// Loads of the bundled set what configured channels use.
    async fn take_used(&self, shelf: &mut Shelf) {
        let used: BTreeSet<_> = self.settings.channels.values().map(|channel| &channel.plugin).collect();
        for plugin in used {
            self.take_bundled(shelf, plugin).await;
        }
    }

    async fn take_bundled(&self, shelf: &mut Shelf, name: &PluginName) -> bool {
        if shelf.serving.contains_key(name) {
            return false;
        }
        let Some(path) = shelf.available(name.as_str()) else { return false };
        let fingerprint = shelf.files.get(&path).map(|record| record.fingerprint).unwrap_or_default();
        self.take(shelf, &path, PluginSource::Bundled, fingerprint).await;
        true
    }

    /// Loads a bundled plugin unless that has happened.
    async fn ensure(&self, name: &PluginName) {
        let mut shelf = self.shelf.lock().await;
        if self.take_bundled(&mut shelf, name).await {
            self.publish(&mut shelf);
        }
    }

    /// Loads every template engine of the bundled set.
    async fn ensure_engines(&self) {
        let mut shelf = self.shelf.lock().await;
        let unused: Vec<PathBuf> = shelf
            .files
            .iter()
            .filter(|(_, record)| record.state == FileState::Available && record.seen.kind != Some(PluginKind::Channel))
            .map(|(path, _)| path.clone())
            .collect();
        if unused.is_empty() {
            return;
        }
        for path in unused {
            // Most of the set are channels: what kind it is takes a look, not a compiler.
            let kind = self.loader.inspect(&path).await.ok().map(|inspected| inspected.kind);
            let Some(record) = shelf.files.get_mut(&path) else { continue };
            record.seen.kind = kind;
            let fingerprint = record.fingerprint;
            if kind != Some(PluginKind::Channel) {
                self.take(&mut shelf, &path, PluginSource::Bundled, fingerprint).await;
            }
        }
        self.publish(&mut shelf);
    }

    /// Takes a file into the books and, where all goes well, on the shelf.
    async fn take(&self, shelf: &mut Shelf, path: &Path, source: PluginSource, fingerprint: Fingerprint) {
        let started = std::time::Instant::now();
        let mut record = FileRecord::fresh(path, source, fingerprint, self.clock.now());
        let file = shelf::file_name(path);
        let taken = self.try_take(shelf, path, &record.clone(), &mut record.seen).await;
        let load_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        record.state = match taken {
            Ok(()) => {
                let (name, sha256) = (record.seen.name.as_ref(), record.seen.sha256.as_ref());
                let (name, sha256) = (name.map(tracing::field::display), sha256.map(tracing::field::display));
                tracing::info!(plugin = name, file, sha256, load_ms, "A plugin serves.");
                FileState::Used
            }
            Err(refusal) => {
                tracing::warn!(file, reason = refusal.reason, "A plugin file is refused.");
                FileState::Refused(refusal)
            }
        };
        shelf.files.insert(path.to_owned(), record);
    }

    async fn try_take(
        &self,
        shelf: &mut Shelf,
        path: &Path,
        record: &FileRecord,
        seen: &mut Sight,
    ) -> Result<(), Refusal> {
        let inspected = self.loader.inspect(path).await.map_err(|error| Refusal::of(sentence(&error)))?;
        (seen.kind, seen.sha256) = (Some(inspected.kind), Some(inspected.sha256));
        let kind = inspected.kind;
        let size = inspected.bytes.len() as u64;
        let same = shelf.serving.values().find(|shelved| shelved.version.sha256() == inspected.sha256);
        if let Some(name) = same.map(|shelved| shelved.version.name().clone()) {
            return take_over(shelf, &name, path, record.source, seen);
        }
        let plugin = self.loader.prepare(inspected).await.map_err(|error| Refusal::of(sentence(&error)))?;
        let version = Version::new(plugin).map_err(|error| Refusal::of(error.to_string()))?;
        let name = version.name().clone();
        let hint = seen.name.replace(name.clone());
        seen.version = Some(version.number().clone());
        if record.source == PluginSource::Bundled && hint.as_ref() != Some(&name) {
            return Err(Refusal::of(format!("it is plugin `{name}`, and its file has another name")));
        }
        if let Some(old) = shelf.serving.get(&name)
            && !shelf.may_replace(old, path, record.source)
        {
            return Err(behind(&name, old));
        }
        let version = Arc::new(version);
        let channels = self.channels_of(&version).await;
        check_channels(shelf, &name, &channels)?;
        let path = path.to_owned();
        shelf.put(Shelved { version, path, source: record.source, kind, size, since: self.clock.now() }, channels);
        Ok(())
    }

    /// The channels of a plugin: the configured ones, and its own where it needs no configuration.
    async fn channels_of(&self, version: &Arc<Version>) -> BTreeMap<ChannelName, ChannelEntry> {
        let mut entries = BTreeMap::new();
        let written = self.settings.channels.iter().filter(|(_, config)| config.plugin == *version.name());
        for (name, config) in written {
            let ready = self.prepare(version, name, config).await;
            if let Err(reason) = &ready {
                tracing::warn!(channel = %name, reason, "A channel cannot be used.");
            }
            entries.insert(name.clone(), ChannelEntry { plugin: version.name().clone(), ready });
        }
        // Every plugin name is a channel name.
        let Ok(own) = ChannelName::new(version.name().as_str()) else { return entries };
        if !self.settings.channels.contains_key(&own) && version.stands_alone() {
            let config = version::unwritten(version.name(), self.settings.plugins.defaults);
            if let Ok(ready) = self.prepare(version, &own, &config).await {
                entries.insert(own, ChannelEntry { plugin: version.name().clone(), ready: Ok(ready) });
            }
        }
        entries
    }

    async fn prepare(
        &self,
        version: &Arc<Version>,
        name: &ChannelName,
        config: &ChannelConfig,
    ) -> Result<Arc<ReadyChannel>, String> {
        ReadyChannel::prepare(version, name, config, &self.settings, &self.clock).await
    }

    fn publish(&self, shelf: &mut Shelf) {
        self.current.store(Arc::new(shelf.snapshot(&self.settings.channels)));
        self.changes.send_modify(|count| *count += 1);
    }
}

/// The same content again: nothing is loaded, at most the file it belongs to is another.
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
    let reason = format!("file `{}` provides plugin `{name}` already", shelf::file_name(&old.path));
    Refusal { reason, behind: Some(name.clone()) }
}

/// A new version has to serve every channel that the old one serves.
fn check_channels(
    shelf: &Shelf,
    name: &PluginName,
    channels: &BTreeMap<ChannelName, ChannelEntry>,
) -> Result<(), Refusal> {
    let served = shelf.channels.iter().filter(|(_, entry)| entry.plugin == *name && entry.ready.is_ok());
    let broken: Vec<_> = served
        .filter_map(|(channel, _)| match channels.get(channel).map(|entry| &entry.ready) {
            Some(Ok(_)) => None,
            Some(Err(reason)) => Some(format!("channel `{channel}` would stop working: {reason}")),
            None => Some(format!("channel `{channel}` would stop working: it has no configuration")),
        })
        .collect();
    if broken.is_empty() { Ok(()) } else { Err(Refusal::of(broken.join("; "))) }
}

fn find_bundled() -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("plugins")));
    [beside, Some(PathBuf::from(PACKAGED))].into_iter().flatten().find(|dir| dir.is_dir())
}

/// What lies in a folder; nothing, where it is not there or cannot be read.
async fn listing(dir: Option<PathBuf>) -> Listing {
    let Some(dir) = dir else { return Listing::default() };
    let path = dir.clone();
    let listed = tokio::task::spawn_blocking(move || folder::list(&path)).await;
    match listed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(listing) => listing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Listing::default(),
        Err(error) => {
            tracing::warn!(%error, folder = %dir.display(), "A plugin folder cannot be read.");
            Listing::default()
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
