//! What the registry answers from: made whole, replaced whole, never changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Weak};

use super::problem::Unready;
use super::status::{ChannelStatus, OutOfUse, PluginState, PluginStatus};
use super::suggest;
use super::version::{ReadyChannel, Version};
use crate::call::{ChannelFacts, ChannelUnavailable};
use crate::domain::{ChannelName, NotificationId, PluginName};

/// A channel that can be called.
#[derive(Clone, Debug)]
pub(super) struct Served {
    pub(super) ready: Arc<ReadyChannel>,
    pub(super) trial: Option<Trial>,
}

/// The same channel over a version that is tried.
#[derive(Clone, Debug)]
pub(super) struct Trial {
    /// The share of its notifications, of a hundred.
    pub(super) percent: u8,
    pub(super) ready: Arc<ReadyChannel>,
}

/// Which version a call goes to.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) ready: Arc<ReadyChannel>,
    pub(super) on_trial: bool,
}

impl Served {
    /// All deliveries of a notification go one way, at every attempt.
    pub(super) fn way(&self, notification: NotificationId) -> Way {
        match &self.trial {
            Some(trial) if place(notification) < u64::from(trial.percent) && !trial.ready.version.is_stopped() => {
                Way { ready: Arc::clone(&trial.ready), on_trial: true }
            }
            Some(_) | None => Way { ready: Arc::clone(&self.ready), on_trial: false },
        }
    }
}

/// A notification's place among a hundred, spread evenly.
fn place(notification: NotificationId) -> u64 {
    let mut half = [0; 8];
    // Of a UUIDv7 the half that chance made; an id that was made otherwise is stirred as well.
    half.copy_from_slice(&notification.as_bytes()[8..]);
    let mixed = u64::from_be_bytes(half).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) % 100
}

/// Everything there is at one moment.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    /// Every channel that is configured or lent by a plugin; the error says why it cannot be used.
    pub(super) channels: HashMap<ChannelName, Result<Served, Unready>>,
    /// Channels whose deliveries wait because of the configuration.
    pub(super) out_of_use: BTreeMap<ChannelName, OutOfUse>,
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
    pub(super) fn served(&self, name: &ChannelName) -> Option<&Served> {
        self.channels.get(name)?.as_ref().ok()
    }

    pub(super) fn facts(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        match self.channels.get(name) {
            Some(Ok(served)) => Ok(Arc::clone(&served.ready.facts)),
            Some(Err(why)) => Err(ChannelUnavailable::NotReady { name: name.clone(), reason: why.to_string() }),
            None => Err(self.unknown(name)),
        }
    }

    fn unknown(&self, name: &ChannelName) -> ChannelUnavailable {
        if let Some(OutOfUse::Disabled(name)) = self.out_of_use.get(name) {
            return ChannelUnavailable::Disabled { name: name.clone() };
        }
        if let Some(reason) = self.refused.get(name.as_str()) {
            return ChannelUnavailable::NotReady { name: name.clone(), reason: reason.clone() };
        }
        let section = self.sections.get(name.as_str()).cloned();
        let names = || {
            let channels = self.channels.keys().map(ChannelName::as_str);
            channels
                .chain(self.available.iter().map(PluginName::as_str))
                .chain(self.sections.keys().map(PluginName::as_str))
        };
        let nearest = if section.is_none() { suggest::nearest(name.as_str(), names()) } else { None };
        let mut known: Vec<_> = self.channels.keys().map(ToString::to_string).collect();
        known.sort();
        known.truncate(ChannelUnavailable::KNOWN_MAX);
        ChannelUnavailable::Unknown { name: name.to_string(), nearest, section, known }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Entropy;
    use crate::domain::Timestamp;

    #[test]
    fn notifications_are_spread_evenly_over_a_hundred_places() {
        let entropy = Entropy::from_system();
        let mut counts = [0_u32; 100];
        for number in 0..100_000 {
            counts[place(entropy.notification_id(Timestamp::from_millis(number / 10))) as usize] += 1;
        }
        // Some 1,000 each, give or take six standard deviations.
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
