//! What the configuration says of gates, in the words of the queue and of dispatch.

use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::config::{ChannelConfig, ChannelGates, Config};
use crate::dispatch::{Fallbacks, Pace, Paces};
use crate::domain::ChannelName;
use crate::queue::GateSettings;

/// The gate of every channel that is configured, and of these that work without configuration.
pub(super) fn of_channels(
    config: &Config,
    implied: impl IntoIterator<Item = ChannelName>,
) -> Vec<(ChannelName, GateSettings)> {
    let own = config.channels.iter().map(|(name, channel)| (name.clone(), of_channel(config, channel)));
    let implied = implied.into_iter().filter(|name| !config.channels.contains_key(name));
    let breaker = config.breaker.policy_for(&config.plugins.defaults);
    own.chain(implied.map(|name| (name, GateSettings { breaker: breaker.clone(), ..GateSettings::default() })))
        .collect()
}

fn of_channel(config: &Config, channel: &ChannelConfig) -> GateSettings {
    let ChannelGates { rate_limit, per_recipient_rate: _, per_host_rate: _, concurrency, fallback } = &channel.gates;
    GateSettings {
        breaker: config.breaker.policy_for(&channel.limits),
        rate: *rate_limit,
        concurrency: *concurrency,
        account: Some(account(channel)),
        detour_after: (!fallback.is_empty()).then_some(config.breaker.fallback_after),
    }
}

/// What holds the deliveries of each channel back by their destination.
pub(super) fn paces(config: &Config) -> Paces {
    let pace = |channel: &ChannelConfig| Pace {
        per_recipient: channel.gates.per_recipient_rate,
        per_host: channel.gates.per_host_rate,
        breaker: config.breaker.policy_for(&channel.limits),
    };
    Paces {
        default: Pace { breaker: config.breaker.policy_for(&config.plugins.defaults), ..Pace::default() },
        by_channel: config.channels.iter().map(|(name, channel)| (name.clone(), pace(channel))).collect(),
    }
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
