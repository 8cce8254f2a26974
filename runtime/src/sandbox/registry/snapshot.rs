//! What the registry answers from: made whole, replaced whole, never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use super::status::{ChannelStatus, PluginState, PluginStatus};
use super::suggest;
use super::version::{ReadyChannel, Version};
use crate::call::{ChannelFacts, ChannelUnavailable};
use crate::domain::{ChannelName, PluginName};

/// Everything there is at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Every channel that is configured or lent by a plugin; the error says why it cannot be used.
    pub(super) channels: HashMap<ChannelName, Result<Arc<ReadyChannel>, String>>,
    pub(super) engines: BTreeMap<PluginName, Arc<Version>>,
    pub(super) extensions: BTreeMap<String, PluginName>,
    /// Of the bundled set, what nothing has used so far.
    pub(super) available: BTreeSet<PluginName>,
    /// What to paste for plugins that serve, but lend no channel.
    pub(super) sections: BTreeMap<PluginName, String>,
    /// Why plugins that somebody may ask for are not there.
    pub(super) refused: BTreeMap<PluginName, String>,
    pub(super) plugins: Vec<PluginStatus>,
    pub(super) draining: Vec<(PluginStatus, Weak<Version>)>,
    pub(super) channel_statuses: Vec<ChannelStatus>,
}

impl Snapshot {
    /// A channel that can be called.
    pub(super) fn ready(&self, name: &ChannelName) -> Option<&Arc<ReadyChannel>> {
        self.channels.get(name)?.as_ref().ok()
    }

    pub(super) fn facts(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        match self.channels.get(name) {
            Some(Ok(ready)) => Ok(Arc::clone(&ready.facts)),
            Some(Err(reason)) => Err(ChannelUnavailable::NotReady { name: name.clone(), reason: reason.clone() }),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &ChannelName) -> ChannelUnavailable {
        if let Some(reason) = self.refused.get(name.as_str()) {
            let reason = format!("plugin `{name}` was refused: {reason}");
            return ChannelUnavailable::NotReady { name: name.clone(), reason };
        }
        let section = self.sections.get(name.as_str()).cloned();
        let known = || {
            let channels = self.channels.keys().map(ChannelName::as_str);
            channels
                .chain(self.available.iter().map(PluginName::as_str))
                .chain(self.sections.keys().map(PluginName::as_str))
        };
        let nearest = if section.is_none() { suggest::nearest(name.as_str(), known()) } else { None };
        let there = self.channels.keys().take(ChannelUnavailable::KNOWN_MAX).map(ToString::to_string).collect();
        ChannelUnavailable::Unknown { name: name.to_string(), nearest, section, known: there }
    }

    /// Every plugin, with those that only finish what they had begun.
    pub(super) fn statuses(&self) -> Vec<PluginStatus> {
        let draining = self.draining.iter().filter(|(_, version)| version.strong_count() > 0);
        let draining = draining.map(|(status, _)| PluginStatus {
            state: PluginState::Draining,
            channels: Vec::new(),
            ..status.clone()
        });
        let mut all: Vec<_> = self.plugins.iter().cloned().chain(draining).collect();
        all.sort_by(|a, b| (&a.name, &a.file, a.since).cmp(&(&b.name, &b.file, b.since)));
        all
    }
}
