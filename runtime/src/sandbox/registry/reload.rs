//! Other channels, while calls are under way.
//!
//! *Flow:* new settings are judged by the plugins there are, beside the books → whoever asked has it made durable → they
//! take effect whole, for the next call; calls that had begun end on what they began with.
//!
//! *Invariants:* nothing changes unless every channel that is new, or other than before, can be used. A channel of which
//! nothing changed, its secrets included, goes on with what its cache holds; any other begins with an empty one.
//!
//! *Not here:* where settings come from, and those that are no channel's (`runtime`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::sync::MutexGuard;

use super::shelf::{ChannelEntry, Shelf};
use super::status::{ChannelFinding, PluginSource};
use super::version::{self, Prepared, ReadyChannel, Version};
use super::{Registry, RegistrySettings};
use crate::config::{CallLimits, ChannelConfig, PluginsConfig};
use crate::domain::{ChannelName, PluginName};
use crate::sandbox::loader::sentence;

/// What becomes of channels, each list in the order of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelChanges {
    /// They are there now.
    pub added: Vec<ChannelName>,
    /// Their settings, or values of their secrets, are others now.
    pub changed: Vec<ChannelName>,
    /// They are there no longer; their deliveries wait.
    pub removed: Vec<ChannelName>,
    /// They are not called; their deliveries wait.
    pub disabled: Vec<ChannelName>,
    /// They are called again.
    pub enabled: Vec<ChannelName>,
}

impl ChannelChanges {
    /// Every channel in any of the lists.
    fn all(&self) -> impl Iterator<Item = &ChannelName> {
        let Self { added, changed, removed, disabled, enabled } = self;
        [added, changed, removed, disabled, enabled].into_iter().flatten()
    }
}

/// Channels that could not be used, each with everything that speaks against it.
pub type Unusable = BTreeMap<ChannelName, Vec<ChannelFinding>>;

/// New settings that every channel can be used with, and that are not in force yet. Meanwhile nothing else changes:
/// plugins that come, and those that fail, wait for it. To drop it is to change nothing.
pub struct PlannedReload<'a> {
    registry: &'a Registry,
    shelf: MutexGuard<'a, Shelf>,
    settings: Arc<RegistrySettings>,
    entries: BTreeMap<ChannelName, ChannelEntry>,
    changes: ChannelChanges,
}

impl std::fmt::Debug for PlannedReload<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PlannedReload").field("changes", &self.changes).finish_non_exhaustive()
    }
}

impl RegistrySettings {
    /// The channels that a plugin serves: those that are configured, and its own where it needs no configuration.
    pub(super) fn channels_over(&self, version: &Version) -> Vec<(ChannelName, ChannelConfig)> {
        let is_its = |config: &ChannelConfig| config.enabled && config.plugin == *version.name();
        let written = self.channels.iter().filter(|(_, config)| is_its(config));
        let mut all: Vec<_> = written.map(|(name, config)| (name.clone(), config.clone())).collect();
        // Every plugin name is a channel name.
        let own = ChannelName::new(version.name().as_str()).ok();
        if let Some(own) = own.filter(|own| !self.channels.contains_key(own) && version.stands_alone()) {
            all.push((own, version::unwritten(version.name(), self.plugins.defaults)));
        }
        all
    }

    /// What is set for a channel, whether it is written down or lent by this plugin.
    fn of_channel(&self, name: &ChannelName, lender: &PluginName) -> ChannelConfig {
        self.channels.get(name).cloned().unwrap_or_else(|| version::unwritten(lender, self.plugins.defaults))
    }
}

/// What is in force while something else is judged.
#[derive(Clone, Copy)]
pub(super) struct Before<'a> {
    shelf: &'a Shelf,
    settings: &'a RegistrySettings,
}

/// How a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Absent,
    Disabled,
    InUse,
}

impl Before<'_> {
    /// The channel as it is, where nothing of it would be different.
    pub(super) async fn known(
        &self,
        version: &Arc<Version>,
        name: &ChannelName,
        config: &ChannelConfig,
    ) -> Option<Prepared> {
        let prepared = &self.shelf.channels.get(name)?.prepared;
        let ready = prepared.ready.as_ref().ok()?;
        let is_same = Arc::ptr_eq(&ready.version, version) && self.settings.of_channel(name, version.name()) == *config;
        let entropy = &self.settings.entropy;
        (is_same && ready.has_the_same_secrets(config, entropy).await).then(|| prepared.clone())
    }
}

impl Registry {
    /// Judges other channels, and other limits where a channel sets none: what is new or different has to be usable,
    /// what could not be used before and is the same may stay so.
    ///
    /// # Errors
    ///
    /// [`Unusable`]; nothing has changed then.
    pub async fn plan_reload(
        &self,
        channels: BTreeMap<ChannelName, ChannelConfig>,
        defaults: CallLimits,
    ) -> Result<PlannedReload<'_>, Unusable> {
        let shelf = self.shelf.lock().await;
        let old = self.settings();
        let plugins = PluginsConfig { defaults, ..old.plugins.clone() };
        let new = Arc::new(RegistrySettings { plugins, channels, ..old.as_ref().clone() });
        let before = Before { shelf: &shelf, settings: &old };
        let mut entries = BTreeMap::new();
        for shelved in shelf.serving.values() {
            entries.extend(self.channels_by(&shelved.version, &new, Some(before)).await);
        }
        let mut refused = BTreeMap::new();
        let unused = |plugin: &&PluginName| !shelf.serving.contains_key(*plugin);
        for plugin in new.used().filter(unused).collect::<BTreeSet<_>>() {
            // What comes with the program is on no shelf before a channel uses it.
            match self.look_at_bundled(&shelf, plugin).await {
                Ok(Some(version)) => {
                    let its = self.channels_by(&version, &new, None).await;
                    // What it lends was there before, for whoever asked first.
                    entries.extend(its.into_iter().filter(|(name, _)| new.channels.contains_key(name)));
                }
                Ok(None) => {}
                Err(reason) => drop(refused.insert(plugin.clone(), reason)),
            }
        }
        let found = |name: &ChannelName, config: &ChannelConfig| match entries.get(name) {
            Some(entry) => entry.prepared.ready.as_ref().err().map(|unready| unready.0.to_vec()),
            None => Some(vec![match refused.get(&config.plugin) {
                Some(reason) => ChannelFinding::of_plugin(&config.plugin, reason),
                None => shelf.why_missing(name, &config.plugin),
            }]),
        };
        let differs = |name: &ChannelName, config: &ChannelConfig| {
            old.channels.get(name) != Some(config) || before.ready(name).is_some()
        };
        let in_use = new.channels.iter().filter(|(name, config)| config.enabled && differs(name, config));
        let unusable: Unusable =
            in_use.filter_map(|(name, config)| Some((name.clone(), found(name, config)?))).collect();
        if !unusable.is_empty() {
            return Err(unusable);
        }
        let changes = changes(before, &new, &entries);
        Ok(PlannedReload { registry: self, shelf, settings: new, entries, changes })
    }

    /// A plugin of the set that comes with the program, as it would be loaded; none where there is none of that name.
    async fn look_at_bundled(&self, shelf: &Shelf, name: &PluginName) -> Result<Option<Arc<Version>>, String> {
        let Some(path) = shelf.available(name.as_str()) else { return Ok(None) };
        let inspected = self.loader.inspect(&path).await.map_err(|error| sentence(&error))?;
        let version = self.load(inspected, PluginSource::Bundled).await.map_err(|refusal| refusal.reason)?;
        // Another name is told of by whoever takes the file.
        Ok((version.name() == name).then(|| Arc::new(version)))
    }
}

impl<'a> Before<'a> {
    fn ready(&self, name: &ChannelName) -> Option<&'a Arc<ReadyChannel>> {
        self.shelf.channels.get(name)?.prepared.ready.as_ref().ok()
    }
}

/// What becomes of each channel that is there before or after.
fn changes(
    before: Before<'_>,
    new: &RegistrySettings,
    entries: &BTreeMap<ChannelName, ChannelEntry>,
) -> ChannelChanges {
    let standing = |settings: &RegistrySettings, is_lent: bool, name: &ChannelName| match settings.channels.get(name) {
        Some(config) if config.enabled => Standing::InUse,
        Some(_) => Standing::Disabled,
        None if is_lent => Standing::InUse,
        None => Standing::Absent,
    };
    let ready = |name: &ChannelName| entries.get(name)?.prepared.ready.as_ref().ok();
    let is_other = |name: &ChannelName| {
        let (was, is) = (before.ready(name), ready(name));
        let is_same_call = match (was, is) {
            (Some(was), Some(is)) => Arc::ptr_eq(was, is),
            (was, is) => was.is_none() && is.is_none(),
        };
        !is_same_call || before.settings.channels.get(name) != new.channels.get(name)
    };
    let names = before.shelf.channels.keys().chain(before.settings.channels.keys());
    let names: BTreeSet<_> = names.chain(new.channels.keys()).chain(entries.keys()).collect();
    let mut changes = ChannelChanges::default();
    for name in names {
        let was = standing(before.settings, before.shelf.channels.contains_key(name), name);
        let is = standing(new, entries.contains_key(name), name);
        let name = name.clone();
        match (was, is) {
            (Standing::Absent, Standing::InUse) => changes.added.push(name),
            (Standing::Absent, Standing::Disabled) => {
                changes.added.push(name.clone());
                changes.disabled.push(name);
            }
            (Standing::InUse, Standing::Disabled) => changes.disabled.push(name),
            (Standing::Disabled, Standing::InUse) => changes.enabled.push(name),
            (Standing::InUse | Standing::Disabled, Standing::Absent) => changes.removed.push(name),
            (Standing::InUse, Standing::InUse) | (Standing::Disabled, Standing::Disabled) if is_other(&name) => {
                changes.changed.push(name);
            }
            (Standing::Absent | Standing::InUse | Standing::Disabled, _) => {}
        }
    }
    changes
}

impl PlannedReload<'_> {
    /// What it does to the channels.
    #[must_use]
    pub const fn changes(&self) -> &ChannelChanges {
        &self.changes
    }

    /// Puts the settings in force.
    pub async fn apply(self) {
        let Self { registry, mut shelf, settings, entries, changes } = self;
        let old = registry.settings.swap(Arc::clone(&settings));
        let plugins = |name| [&old, &settings].map(|settings| Some(settings.channels.get(name)?.plugin.clone()));
        let touched: BTreeSet<PluginName> = changes.all().flat_map(plugins).flatten().collect();
        let serves = |entry: &ChannelEntry| shelf.serving.contains_key(&entry.plugin);
        shelf.channels = entries.into_iter().filter(|(_, entry)| serves(entry)).collect();
        // Nobody is let go before there is a plugin to call: until all is there, readers see what was.
        registry.take_used(&mut shelf).await;
        // What is tried was judged by the settings before.
        let tried: Vec<_> = shelf.trials.keys().filter(|name| touched.contains(*name)).cloned().collect();
        for name in tried {
            if let Some(trial) = shelf.end_trial(&name, registry.clock.now()) {
                registry.take_own(&mut shelf, &trial.shelved.path).await;
            }
        }
        registry.publish(&mut shelf);
        registry.hand_over(&mut shelf).await;
    }
}
