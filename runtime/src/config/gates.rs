//! What holds a channel back: `[breaker]`, and the keys of a channel that say how fast and how much.

use std::time::Duration;

use super::CallLimits;
use crate::domain::{BreakerPolicy, ChannelName, Rate};

/// `[breaker]`: when a channel is left alone, and for how long.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerConfig {
    /// Whether there is one. Default: true.
    pub enabled: bool,
    /// When it opens and closes. Its `slow_after` is told apart, below.
    pub policy: BreakerPolicy,
    /// A call that takes longer is slow. Default: four fifths of the channel's `timeout`.
    pub slow_after: Option<Duration>,
    /// How long a channel may be out of order before its `fallback` stands in for it. Default: 1 min.
    pub fallback_after: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            policy: BreakerPolicy::default(),
            slow_after: None,
            fallback_after: Duration::from_mins(1),
        }
    }
}

impl BreakerConfig {
    /// The policy for a channel with these limits; none where breakers are off.
    #[must_use]
    pub fn policy_for(&self, limits: &CallLimits) -> Option<BreakerPolicy> {
        let slow_after = self.slow_after.unwrap_or(limits.timeout * 4 / 5);
        self.enabled.then(|| BreakerPolicy { slow_after, ..self.policy.clone() })
    }
}

/// Keys of `[channels.<name>]`: how fast and how much a channel is called, and who stands in for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChannelGates {
    /// How fast it may be called. Default: as fast as it goes.
    pub rate_limit: Option<Rate>,
    /// How often one address may be called. Default: as often as there is something for it.
    pub per_recipient_rate: Option<Rate>,
    /// How fast one host may be called, where addresses are URLs. Default: as fast as it goes.
    pub per_host_rate: Option<Rate>,
    /// How many calls may be under way. Default: as many as its share of the slots.
    pub concurrency: Option<u32>,
    /// Channels that stand in for it, the first one first. Default: none.
    pub fallback: Vec<ChannelName>,
}

impl ChannelGates {
    /// Channels that `fallback` may name: a message that went through so many ways reaches nobody.
    pub const FALLBACK_MAX: usize = 8;
}
