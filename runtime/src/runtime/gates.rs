//! What the configuration says of gates, in the words of the queue and of dispatch.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::rates::{ChannelRate, ProviderRates};
use crate::config::{ChannelConfig, ChannelGates, Config};
use crate::dispatch::{Fallbacks, Pace, Paces};
use crate::domain::ChannelName;
use crate::queue::GateSettings;
use crate::sandbox::ProviderRate;

/// The gate of every channel that is configured, and of these that work without configuration.
pub(super) fn of_channels(
    config: &Config,
    implied: impl IntoIterator<Item = ChannelName>,
    said: &ProviderRates,
) -> Vec<(ChannelName, GateSettings)> {
    let said = |name: &ChannelName| said.get(name).copied();
    let own =
        config.channels.iter().map(|(name, channel)| (name.clone(), of_channel(config, name, channel, said(name))));
    let implied = implied.into_iter().filter(|name| !config.channels.contains_key(name));
    let breaker = config.breaker.policy_for(&config.plugins.defaults);
    let of_implied = |name: ChannelName| {
        let rate = ChannelRate::in_force(None, said(&name)).and_then(ChannelRate::of_channel);
        (name, GateSettings { breaker: breaker.clone(), rate, ..GateSettings::default() })
    };
    own.chain(implied.map(of_implied)).collect()
}

fn of_channel(
    config: &Config,
    name: &ChannelName,
    channel: &ChannelConfig,
    said: Option<ProviderRate>,
) -> GateSettings {
    let ChannelGates { rate_limit: _, per_recipient_rate: _, per_host_rate: _, concurrency, fallback: _ } =
        &channel.gates;
    GateSettings {
        breaker: config.breaker.policy_for(&channel.limits),
        rate: ChannelRate::in_force(Some(&channel.gates), said).and_then(ChannelRate::of_channel),
        concurrency: *concurrency,
        account: Some(account(channel)),
        detour_after: has_another_way(config, name).then_some(config.breaker.fallback_after),
    }
}

/// Whether what waits for this channel may go on to another: to its own stand-in, or past it in the chain of a channel
/// that it stands in for.
fn has_another_way(config: &Config, name: &ChannelName) -> bool {
    let goes_on = |chain: &[ChannelName]| chain.iter().rev().skip(1).any(|link| link == name);
    let is_first = |other: &ChannelName, chain: &[ChannelName]| other == name && !chain.is_empty();
    config.channels.iter().any(|(other, channel)| {
        let chain = channel.gates.fallback.as_slice();
        is_first(other, chain) || goes_on(chain)
    })
}

/// What holds the deliveries of each channel back by their destination.
pub(super) fn paces(config: &Config, said: &ProviderRates) -> Paces {
    let of_recipient = |gates: Option<&ChannelGates>, name: &ChannelName| {
        ChannelRate::in_force(gates, said.get(name).copied()).and_then(ChannelRate::of_recipient)
    };
    let pace = |name: &ChannelName, channel: &ChannelConfig| Pace {
        per_recipient: channel.gates.per_recipient_rate.or_else(|| of_recipient(Some(&channel.gates), name)),
        per_host: channel.gates.per_host_rate,
        breaker: config.breaker.policy_for(&channel.limits),
    };
    let default = Pace { breaker: config.breaker.policy_for(&config.plugins.defaults), ..Pace::default() };
    let own = config.channels.iter().map(|(name, channel)| (name.clone(), pace(name, channel)));
    let implied = said.keys().filter(|name| !config.channels.contains_key(*name));
    let implied =
        implied.map(|name| (name.clone(), Pace { per_recipient: of_recipient(None, name), ..default.clone() }));
    let by_channel = own.chain(implied).collect();
    Paces { default, by_channel }
}

/// Which channels stand in for which.
pub(super) fn fallbacks(config: &Config) -> Fallbacks {
    let with = config.channels.iter().filter(|(_, channel)| !channel.gates.fallback.is_empty());
    Fallbacks(with.map(|(name, channel)| (name.clone(), channel.gates.fallback.clone())).collect())
}

/// Channels of one plugin with the same secrets have one account; without secrets, those with the same configuration.
/// References, no values.
fn account(channel: &ChannelConfig) -> Arc<str> {
    let mut account = channel.plugin.to_string();
    for (key, grant) in &channel.secrets {
        // Writing to a `String` cannot fail.
        let _ = write!(account, "\n{key}={}", grant.written());
    }
    if channel.secrets.is_empty() {
        // A value may be a secret, and this may come to be printed: a hash tells two apart.
        let mut hasher = DefaultHasher::new();
        serde_json::Value::Object(channel.config.clone()).to_string().hash(&mut hasher);
        let _ = write!(account, "\n{:x}", hasher.finish());
    }
    account.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::PluginName;

    #[test]
    fn whoever_is_not_the_last_of_a_chain_lets_go_of_what_waits() {
        let name = |name: &str| ChannelName::new(name).expect("a name");
        let mut config = Config::default();
        for channel in ["first", "second", "last", "other"] {
            let null = PluginName::new("null").expect("a name");
            config.channels.insert(name(channel), ChannelConfig::new(null, config.plugins.defaults));
        }
        let first = config.channels.get_mut("first").expect("it was inserted");
        first.gates.fallback = vec![name("second"), name("last")];
        let detours: Vec<_> = of_channels(&config, [], &ProviderRates::new())
            .into_iter()
            .filter_map(|(name, gate)| gate.detour_after.map(|after| (name.to_string(), after)))
            .collect();
        let after = config.breaker.fallback_after;
        assert_eq!(detours, [("first".to_owned(), after), ("second".to_owned(), after)]);
    }
}
