//! Which plugins and channels there are, and which version of each serves.
//!
//! *Flow:* a file comes to rest → inspected → compiled and described → its config judged for every channel that uses it
//! → tried on a share of the calls, where a channel says so → swapped in whole; calls that had begun end on the version
//! they began with, and the last of them lets it go. A version that fails too often is not called any more: the one
//! before it takes over again, or its channels are held.
//!
//! *Invariants:* readers take no lock and see one consistent state; a new version that cannot serve every channel that
//! the old one serves, or that asks for more than was approved, replaces nothing; a file that is refused is kept in the
//! books with its reason. Approvals, bad versions and what served last outlive the process.
//!
//! *Not here:* notices of the file system ([`Watch`](super::Watch)), what a failed delivery does (`domain::settle`),
//! who keeps what is remembered and who makes deliveries wait ([`PluginMemory`], [`DeliveryHolds`]).

mod calls;
mod channels;
mod copies;
mod kept;
mod ledger;
mod life;
mod operator;
mod permission;
mod probes;
mod problem;
mod quarantine;
mod reload;
mod schema;
mod secrets;
mod shelf;
mod snapshot;
mod status;
mod suggest;
mod taking;
mod version;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, watch};

pub use ledger::{DeliveryHolds, Held, Nobody, NotKept, PluginMemory, Told};
pub use operator::OperatorError;
pub use reload::{ChannelChanges, PlannedReload, Unusable};
pub use schema::{ConfigSchema, SchemaError};
pub use status::{ChannelFinding, ChannelStatus, OutOfUse, PluginSource, PluginState, PluginStatus, ProviderRate};

use self::copies::Copies;
use self::ledger::Ledger;
use self::shelf::{FileRecord, FileState, Shelf};
use self::snapshot::Snapshot;
use super::Sandbox;
use super::folder::{self, Fingerprint, Listing, Seen};
use super::inspect::{FileHash, PluginKind, hash_of};
use super::loader::Loader;
use crate::capability::http::Egress;
use crate::capability::kv::KvStore;
use crate::clock::{Clock, Entropy};
use crate::config::{ChannelConfig, PluginsConfig};
use crate::domain::{ChannelName, PluginBook, PluginChange, PluginName};

/// Where packages put the set that comes with the program.
const PACKAGED: &str = "/usr/lib/campanile/plugins";

/// Of the folder of compiled plugins: copies of the operator's files.
const COPIES: &str = "versions";

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
    /// What an earlier process handed over to `memory`.
    pub remembered: Vec<PluginBook>,
    /// Keeps what is remembered of plugins.
    pub memory: Arc<dyn PluginMemory>,
    /// Makes deliveries wait for a plugin that is not to be called.
    pub holds: Arc<dyn DeliveryHolds>,
}

impl RegistrySettings {
    /// The plugins of channels that are called.
    fn used(&self) -> impl Iterator<Item = &PluginName> {
        self.channels.values().filter(|channel| channel.enabled).map(|channel| &channel.plugin)
    }
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

/// What was logged of configured channels.
#[derive(Debug, Default)]
struct Logged {
    /// Those that cannot be used, with the reason.
    unusable: BTreeMap<ChannelName, String>,
    /// Grants that are of no use.
    vain: BTreeSet<(ChannelName, String)>,
}

/// The plugins and channels of one runtime.
pub struct Registry {
    current: ArcSwap<Snapshot>,
    /// Held while a plugin is loaded: changes are made one after the other.
    shelf: Mutex<Shelf>,
    loader: Loader,
    copies: Copies,
    /// What `holds` was told.
    held: SyncMutex<Held>,
    /// What speaks against configured channels, as it was logged last; none while nobody has asked for that.
    logged: SyncMutex<Option<Logged>>,
    /// Channels and defaults among it may be others after a reload; the folders stay.
    settings: ArcSwap<RegistrySettings>,
    own_dir: PathBuf,
    clock: Arc<dyn Clock>,
    changes: watch::Sender<u64>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("settings", &*self.settings()).finish_non_exhaustive()
    }
}

impl Registry {
    /// Loads every plugin of the operator's own folder, and of the bundled set those that a configured channel uses.
    /// Never fails: what cannot be loaded is in [`plugins`](Self::plugins) with its reason, and a channel that cannot be
    /// used says why.
    pub async fn open(sandbox: Arc<Sandbox>, mut settings: RegistrySettings, clock: Arc<dyn Clock>) -> Arc<Self> {
        let loader = Loader::open(sandbox, settings.plugins.clone()).await;
        let bundled = settings.plugins.bundled_dir.clone().or_else(find_bundled);
        let copies = Copies::at(settings.plugins.cache_dir.join(COPIES));
        let registry = Arc::new(Self {
            current: ArcSwap::default(),
            shelf: Mutex::new(Shelf::with(Ledger::of(std::mem::take(&mut settings.remembered)))),
            loader,
            copies,
            held: SyncMutex::default(),
            logged: SyncMutex::default(),
            own_dir: settings.plugins.dir.clone(),
            settings: ArcSwap::from_pointee(settings),
            clock,
            changes: watch::Sender::new(0),
        });
        let mut shelf = registry.shelf.lock().await;
        for (path, fingerprint) in listing(bundled).await.0 {
            let record = FileRecord::fresh(&path, PluginSource::Bundled, fingerprint, registry.clock.now());
            shelf.files.insert(path, record);
        }
        for (path, fingerprint) in registry.served_first(&shelf.ledger).await {
            registry.take(&mut shelf, &path, PluginSource::Own, fingerprint).await;
        }
        registry.take_used(&mut shelf).await;
        registry.publish(&mut shelf);
        registry.hand_over(&mut shelf).await;
        drop(shelf);
        registry
    }

    /// Every plugin file, and versions that are still running, by name and file.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.current.load().statuses()
    }

    /// What speaks against a plugin file that is loaded all the same: nobody trusted has signed it, or the lock has
    /// another.
    #[must_use]
    pub fn warnings(&self, sha256: FileHash) -> Vec<String> {
        self.loader.warnings(sha256)
    }

    /// Every channel that is configured, or lent by a plugin that needs no configuration, by name.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelStatus> {
        self.current.load().channel_statuses.clone()
    }

    /// From here on the log says which configured channels cannot be used, and which of their grants are of no use, and
    /// what to do: those of now, and each that becomes one. For who serves them: a mere look has them in [`channels`](Self::channels).
    pub fn log_channels(&self) {
        self.logged.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default();
        self.log_unusable();
    }

    /// Counts the changes: plugins and channels may be others after each.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// What is in force.
    fn settings(&self) -> Arc<RegistrySettings> {
        self.settings.load_full()
    }

    /// From here on deliveries through these channels wait without a call where there is no such channel: an earlier
    /// process may have left them.
    pub async fn expect(&self, channels: impl IntoIterator<Item = ChannelName>) {
        let mut shelf = self.shelf.lock().await;
        shelf.known.extend(channels);
        self.publish(&mut shelf);
    }

    /// Channels whose deliveries wait because of the configuration, each with the reason and what ends it.
    #[must_use]
    pub fn out_of_use(&self) -> BTreeMap<ChannelName, OutOfUse> {
        self.current.load().out_of_use.clone()
    }

    /// The operator's own folder.
    pub(super) fn own_dir(&self) -> &Path {
        &self.own_dir
    }

    /// Compiles a file of the operator's of so many bytes ahead of the books: a quarantine, an operator's word and a
    /// channel that needs its plugin do not wait for a compiler.
    pub(super) async fn compile_ahead(&self, path: &Path, bytes: u64) {
        self.loader.compile_ahead(path, bytes).await;
    }

    /// Brings the books in step with what a look at the operator's folder told. What is still being `compiled` ahead is
    /// left for another time.
    pub(super) async fn follow(&self, seen: &Seen, compiled: &BTreeSet<PathBuf>) {
        let mut shelf = self.shelf.lock().await;
        let mut changed = shelf.forget_gone(|path| seen.has(path));
        for (path, fingerprint) in seen.settled.0.iter().filter(|(path, _)| !compiled.contains(*path)) {
            if shelf.files.get(path).is_none_or(|record| record.fingerprint != *fingerprint) {
                self.take(&mut shelf, path, PluginSource::Own, *fingerprint).await;
                changed = true;
            }
        }
        // A file that is renamed is first gone and then new. While anything moves, or may turn out to be a plugin whose
        // file is gone, nothing is taken away.
        if seen.moving.is_empty() && compiled.is_empty() {
            changed |= self.remove_orphans(&mut shelf).await;
            self.loader.forget_ahead();
        }
        changed |= self.tend_trials(&mut shelf);
        if changed {
            self.publish(&mut shelf);
        }
        self.hand_over(&mut shelf).await;
    }

    /// Files that the books do not have as they are, in the order in which they came.
    pub(super) async fn fresh(&self, seen: &Seen) -> Vec<(PathBuf, Fingerprint)> {
        let shelf = self.shelf.lock().await;
        let is_fresh = |(path, fingerprint): &(&PathBuf, &Fingerprint)| {
            shelf.files.get(*path).is_none_or(|record| record.fingerprint != **fingerprint)
        };
        let fresh = seen.settled.0.iter().filter(is_fresh).map(|(path, fingerprint)| (path.clone(), *fingerprint));
        let mut fresh: Vec<_> = fresh.collect();
        fresh.sort_by_key(|(_, fingerprint)| fingerprint.came());
        fresh
    }

    async fn remove_orphans(&self, shelf: &mut Shelf) -> bool {
        let orphans = shelf.orphans();
        for name in &orphans {
            self.go_on_or_remove(shelf, name).await;
        }
        shelf.gone.clear();
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

    /// A plugin goes with the last of its files: while another holds this version, or one that waits to be approved,
    /// released or proved, it goes on.
    async fn go_on_or_remove(&self, shelf: &mut Shelf, name: &PluginName) {
        if shelf.adopt(name) {
            return;
        }
        for path in shelf.behind(name) {
            self.take_own(shelf, &path).await;
        }
        if !shelf.orphans().contains(name) || shelf.adopt(name) {
            return;
        }
        let reason = shelf.why_removed(name);
        tracing::info!(plugin = %name, reason, "A plugin is removed.");
        shelf.remove(name, self.clock.now());
        self.told_removed(shelf, name, reason);
    }

    async fn take_own(&self, shelf: &mut Shelf, path: &Path) {
        if let Some(fingerprint) = shelf.files.get(path).map(|record| record.fingerprint) {
            self.take(shelf, path, PluginSource::Own, fingerprint).await;
        }
    }

    /// The operator's files, those first that hold what served last: another file of the same plugin does not take over
    /// because its name comes first.
    async fn served_first(&self, ledger: &Ledger) -> Vec<(PathBuf, Fingerprint)> {
        let mut files: Vec<_> = listing(Some(self.own_dir().to_owned())).await.0.into_iter().collect();
        let served = ledger.served();
        if files.len() > 1 && !served.is_empty() {
            let paths: Vec<_> = files.iter().map(|(path, _)| path.clone()).collect();
            let holds = move |path: &PathBuf| hash_of(path).is_some_and(|sha256| served.contains(&sha256.0));
            let looked = tokio::task::spawn_blocking(move || paths.into_iter().filter(holds).collect::<BTreeSet<_>>());
            // A panic in it was reported when it happened; the order is only by name then.
            let first = looked.await.unwrap_or_default();
            files.sort_by_key(|(path, _)| !first.contains(path));
        }
        files
    }

    /// Loads of the bundled set what configured channels use.
    async fn take_used(&self, shelf: &mut Shelf) {
        let settings = self.settings();
        let used: BTreeSet<_> = settings.used().collect();
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
            self.hand_over(&mut shelf).await;
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
        self.hand_over(&mut shelf).await;
    }

    fn publish(&self, shelf: &mut Shelf) {
        let snapshot = Arc::new(shelf.snapshot(&self.settings().channels));
        self.current.store(Arc::clone(&snapshot));
        self.log_unusable();
        self.change_holds(|held| {
            *held = shelf.held();
            held.channels.extend(snapshot.out_of_use.keys().cloned());
        });
        self.changes.send_modify(|count| *count += 1);
    }

    fn log_unusable(&self) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(logged) = logged.as_mut() else { return };
        let current = self.current.load();
        let mut now = Logged::default();
        for status in current.channel_statuses.iter().filter(|status| status.configured) {
            // One that only waits has a version.
            if let Some(reason) = status.problem.clone().filter(|_| status.version.is_none()) {
                now.unusable.insert(status.name.clone(), reason);
            }
            now.vain.extend(status.warnings.iter().map(|warning| (status.name.clone(), warning.to_string())));
        }
        for (channel, reason) in
            now.unusable.iter().filter(|(name, reason)| logged.unusable.get(*name) != Some(*reason))
        {
            tracing::warn!(%channel, reason, "A channel cannot be used.");
        }
        for (channel, reason) in now.vain.difference(&logged.vain) {
            tracing::warn!(%channel, reason, "A grant is of no use.");
        }
        *logged = now;
    }

    /// Under one lock, so that the last word told is the last one meant.
    fn change_holds(&self, change: impl FnOnce(&mut Held)) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut held);
        self.settings.load().holds.hold_only(&held);
    }

    /// Has everything kept that changed, and lets go of copies that nothing can go back to any more.
    async fn hand_over(&self, shelf: &mut Shelf) {
        if shelf.ledger.hand_over(self.settings().memory.as_ref()).await {
            self.copies.keep_only(&shelf.ledger.wanted()).await;
        }
    }

    fn told_removed(&self, shelf: &mut Shelf, name: &PluginName, reason: String) {
        let book = shelf.ledger.change(name);
        (book.previous, book.canary) = (None, None);
        if let Some(mark) = book.serving.take() {
            shelf.ledger.tell_of(PluginChange::Removed, name, &mark, Some(reason), self.clock.now());
        }
    }
}

/// Where the plugins are looked for that come with the program, where `bundled_dir` says nothing.
#[must_use]
pub fn find_bundled() -> Option<PathBuf> {
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
