//! How fast channels may be called: as an operator wrote it, or else as their plugins say of their providers.
//!
//! *Flow:* at start and at a reload the gates are made by both; where a plugin is another version by now and says
//! otherwise, they are made anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ChannelStatus, Parts, gates};
use crate::config::{ChannelGates, Config};
use crate::domain::{ChannelName, Rate, RateScope};
use crate::sandbox::{ProviderRate, Registry};

/// What plugins say, by channel.
pub(super) type ProviderRates = BTreeMap<ChannelName, ProviderRate>;

/// Who says how fast a channel may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateSource {
    /// The operator, by `rate_limit`.
    Configuration,
    /// Its plugin, of its provider.
    Plugin,
}

impl RateSource {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Plugin => "plugin",
        }
    }
}

/// How fast a channel may be called, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelRate {
    /// So fast.
    pub rate: Rate,
    /// The whole channel, or each recipient of it. What holds for an account is held by each of its channels.
    pub scope: RateScope,
    /// By whose word.
    pub source: RateSource,
}

impl ChannelRate {
    /// What holds for this channel; none where it may be called as fast as it goes.
    #[must_use]
    pub fn of(config: &Config, channel: &ChannelStatus) -> Option<Self> {
        let gates = config.channels.get(&channel.name).map(|channel| &channel.gates);
        Self::in_force(gates, channel.rate)
    }

    /// An operator's word takes the place of the plugin's, whichever is higher.
    pub(super) fn in_force(gates: Option<&ChannelGates>, said: Option<ProviderRate>) -> Option<Self> {
        if let Some(rate) = gates.and_then(|gates| gates.rate_limit) {
            return Some(Self { rate, scope: RateScope::Channel, source: RateSource::Configuration });
        }
        let ProviderRate { rate, scope } = said?;
        let is_set = scope == RateScope::Recipient && gates.is_some_and(|gates| gates.per_recipient_rate.is_some());
        (!is_set).then_some(Self { rate, scope, source: RateSource::Plugin })
    }

    /// As a rate of the channel.
    pub(super) fn of_channel(self) -> Option<Rate> {
        (self.scope != RateScope::Recipient).then_some(self.rate)
    }

    /// As a rate of each recipient.
    pub(super) fn of_recipient(self) -> Option<Rate> {
        (self.scope == RateScope::Recipient).then_some(self.rate)
    }
}

/// What plugins say by now.
pub(super) fn said(registry: &Registry) -> ProviderRates {
    registry.channels().into_iter().filter_map(|channel| Some((channel.name, channel.rate?))).collect()
}

/// Has the gates follow the plugins, until the runtime is dropped.
pub(super) fn keep(parts: &Arc<Parts>) {
    let (mut changes, parts) = (parts.registry.changes(), Arc::downgrade(parts));
    tokio::spawn(async move {
        let mut known = None;
        loop {
            match parts.upgrade() {
                Some(parts) => parts.follow_rates(&mut known).await,
                None => return,
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    });
}

impl Parts {
    async fn follow_rates(&self, known: &mut Option<ProviderRates>) {
        // A reload has put another configuration in force once it is over, and not before.
        let _alone = self.reloading.lock().await;
        let said = said(&self.registry);
        if known.as_ref() != Some(&said) {
            self.set_gates(&self.config.load(), &said);
            *known = Some(said);
        }
    }

    /// What holds channels and their destinations back from here on.
    pub(super) fn set_gates(&self, config: &Config, said: &ProviderRates) {
        let names = self.registry.channels().into_iter().map(|channel| channel.name);
        self.queue.set_gates(gates::of_channels(config, names, said));
        self.dispatcher.set_paces(gates::paces(config, said));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        text.parse().expect("a rate")
    }

    #[test]
    fn the_word_of_an_operator_takes_the_place_of_the_plugins() {
        let of = |rate_limit: Option<&str>, per_recipient: Option<&str>, scope| {
            let (rate_limit, per_recipient_rate) = (rate_limit.map(rate), per_recipient.map(rate));
            let gates = ChannelGates { rate_limit, per_recipient_rate, ..ChannelGates::default() };
            let said = ProviderRate { rate: rate("10/s"), scope };
            let rate = ChannelRate::in_force(Some(&gates), Some(said))?;
            Some((rate.of_channel(), rate.of_recipient(), rate.source))
        };
        let (channel, recipient) = (RateScope::Channel, RateScope::Recipient);
        assert_eq!(of(None, None, channel), Some((Some(rate("10/s")), None, RateSource::Plugin)));
        assert_eq!(of(None, None, RateScope::Account), Some((Some(rate("10/s")), None, RateSource::Plugin)));
        assert_eq!(of(None, None, recipient), Some((None, Some(rate("10/s")), RateSource::Plugin)));
        for other in ["1/s", "90/s"] {
            let set = Some((Some(rate(other)), None, RateSource::Configuration));
            assert_eq!((of(Some(other), None, channel), of(Some(other), None, recipient)), (set, set));
        }
        assert_eq!(of(None, Some("1/s"), recipient), None, "each recipient has a rate of its own by now");
        assert_eq!(of(None, Some("1/s"), channel), Some((Some(rate("10/s")), None, RateSource::Plugin)));
        assert_eq!(ChannelRate::in_force(None, None), None);
    }
}
