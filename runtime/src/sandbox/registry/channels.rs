//! What there is to say of each channel.

use std::collections::{BTreeMap, HashMap};

use super::problem::Unready;
use super::shelf::{ChannelEntry, Shelf, with_remedy};
use super::snapshot::{Served, Trial};
use super::status::{ChannelFinding, ChannelStatus, OutOfUse};
use super::suggest;
use crate::config::ChannelConfig;
use crate::domain::{ChannelName, PluginName};

impl Shelf {
    /// Every channel that is configured, or lent by a plugin.
    pub(super) fn all_served(
        &self,
        configured: &BTreeMap<ChannelName, ChannelConfig>,
    ) -> HashMap<ChannelName, Result<Served, Unready>> {
        let entries = self.channels.iter();
        let mut all: HashMap<_, _> =
            entries.map(|(name, entry)| (name.clone(), self.served(name, entry, configured))).collect();
        for (name, config) in configured.iter().filter(|(_, config)| config.enabled) {
            let missing = || Err(self.why_missing(name, &config.plugin).into());
            all.entry(name.clone()).or_insert_with(missing);
        }
        all
    }

    /// Channels whose deliveries wait because of the configuration: what is disabled, and what is there no longer. What
    /// comes with the program and nothing has used so far is there.
    pub(super) fn out_of_use(
        &mut self,
        channels: &HashMap<ChannelName, Result<Served, Unready>>,
        configured: &BTreeMap<ChannelName, ChannelConfig>,
    ) -> BTreeMap<ChannelName, OutOfUse> {
        self.known.extend(channels.keys().chain(configured.keys()).cloned());
        let unused = self.unused();
        let is_there = |name: &ChannelName| {
            channels.contains_key(name) || unused.iter().any(|plugin| plugin.as_str() == name.as_str())
        };
        let why = |name: &ChannelName| match configured.get(name) {
            Some(config) => (!config.enabled).then(|| OutOfUse::Disabled(name.clone())),
            None => (!is_there(name)).then(|| OutOfUse::Gone(name.clone())),
        };
        self.known.iter().filter_map(|name| Some((name.clone(), why(name)?))).collect()
    }

    fn served(
        &self,
        name: &ChannelName,
        entry: &ChannelEntry,
        configured: &BTreeMap<ChannelName, ChannelConfig>,
    ) -> Result<Served, Unready> {
        let ready = entry.prepared.ready.clone()?;
        let percent = configured.get(name).and_then(|config| config.canary);
        let trial = percent.and_then(|percent| {
            let tried = self.trials.get(&entry.plugin)?.channels.get(name)?;
            Some(Trial { percent, ready: tried.prepared.ready.clone().ok()? })
        });
        Ok(Served { ready, trial })
    }

    pub(super) fn why_missing(&self, channel: &ChannelName, plugin: &PluginName) -> ChannelFinding {
        let keys = vec!["plugin".to_owned()];
        if let Some(reason) = self.refusals().get(plugin) {
            return ChannelFinding { keys, message: reason.clone(), hint: None };
        }
        let known = self.serving.keys().map(PluginName::as_str).collect::<Vec<_>>();
        let unused = self.unused();
        let known = known.into_iter().chain(unused.iter().map(PluginName::as_str));
        let (near, what) = match suggest::nearest(plugin.as_str(), known) {
            Some(near) => {
                (format!(", there is `{near}`"), format!("write `plugin = \"{near}\"` under [channels.{channel}]"))
            }
            None => (
                String::new(),
                format!(
                    "put its file `{plugin}.wasm` into the folder that `dir` in [plugins] names, or name another plugin \
                     under [channels.{channel}]"
                ),
            ),
        };
        let message = format!("there is no plugin `{plugin}`{near}");
        ChannelFinding { keys, message, hint: Some(format!("{what}; `campanile plugins list` shows all")) }
    }

    pub(super) fn channel_statuses(
        &self,
        channels: &HashMap<ChannelName, Result<Served, Unready>>,
        configured: &BTreeMap<ChannelName, ChannelConfig>,
    ) -> Vec<ChannelStatus> {
        let mut statuses: Vec<_> = channels
            .iter()
            .filter_map(|(name, state)| {
                let (entry, written) = (self.channels.get(name), configured.get(name));
                let plugin = written.map(|config| &config.plugin).or_else(|| Some(&entry?.plugin))?;
                let version = state.as_ref().ok().map(|served| &served.ready.version);
                let stopped = version.filter(|version| version.is_stopped()).map(|version| {
                    let why = with_remedy(&self.why_stopped(version), Some(plugin));
                    format!("its deliveries wait: plugin `{plugin}` is quarantined: {why}")
                });
                let version = version.map(|version| version.number().clone());
                let unready = state.as_ref().err();
                Some(ChannelStatus {
                    name: name.clone(),
                    plugin: plugin.clone(),
                    version,
                    enabled: true,
                    configured: written.is_some(),
                    rate: state.as_ref().ok().and_then(|served| served.ready.version.provider_rate()),
                    problem: unready.map(ToString::to_string).or(stopped),
                    problems: unready.map(|unready| unready.0.to_vec()).unwrap_or_default(),
                    warnings: entry.map(|entry| entry.prepared.warnings.clone()).unwrap_or_default(),
                })
            })
            .collect();
        let disabled = configured.iter().filter(|(_, config)| !config.enabled);
        statuses.extend(disabled.map(|(name, config)| ChannelStatus {
            name: name.clone(),
            plugin: config.plugin.clone(),
            version: None,
            enabled: false,
            configured: true,
            rate: None,
            problem: None,
            problems: Vec::new(),
            warnings: Vec::new(),
        }));
        statuses.sort_by(|a, b| a.name.cmp(&b.name));
        statuses
    }
}
