//! What is answered about channels.

use serde::Serialize;

use super::milliseconds;
use crate::domain::{AttemptEnd, BreakerState, Outcome};
use crate::runtime::{ChannelGate, ChannelRate, ChannelTest, GateStatus};

/// Every channel there is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct Channels {
    /// By name.
    pub(in crate::api) channels: Vec<ChannelView>,
}

/// A channel and what was done to it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct ChannelChanged {
    /// `false` where it was so before.
    pub(in crate::api) changed: bool,
    /// How it stands now.
    pub(in crate::api) channel: ChannelView,
}

/// A channel, and what holds its deliveries back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct ChannelView {
    /// Its name.
    pub(in crate::api) name: String,
    /// Its plugin.
    pub(in crate::api) plugin: String,
    /// The plugin's version; null where the channel cannot be used.
    pub(in crate::api) version: Option<String>,
    /// Whether it stands in the configuration; otherwise its plugin needs none.
    pub(in crate::api) configured: bool,
    /// `ready`, `unusable`, `held`, `paused`, `disabled`, `open` or `half-open`.
    pub(in crate::api) state: String,
    /// Why its deliveries wait, and what ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// Null while it is not configured and nothing has gone through it.
    pub(in crate::api) breaker: Option<BreakerView>,
    /// Who paused it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) paused: Option<PausedView>,
    /// How fast it may be called, and who says so; null where that is as fast as it goes.
    pub(in crate::api) rate: Option<RateView>,
    /// Not called before this, since its rate is used up or its provider asked for it; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) not_before: Option<String>,
    /// Calls under way.
    pub(in crate::api) in_flight: u32,
    /// How many may be under way by now; null like `breaker`.
    pub(in crate::api) limit: Option<u32>,
    /// Deliveries that wait for it, due or not.
    pub(in crate::api) waiting: u64,
    /// Null where its plugin does not say.
    pub(in crate::api) health: Option<HealthView>,
}

/// A breaker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct BreakerView {
    /// `closed`, `open`, `half-open` or `disabled`.
    pub(in crate::api) state: String,
    /// Since when it is not closed; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) since: Option<String>,
    /// Of `open`: when a call is let through to see; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) until: Option<String>,
    /// Why it changed last, since the server started: `failure-rate`, `slow-rate`, `consecutive`, `probe-failed`,
    /// `probes-passed`, `time-up`, `reset` or `too-long`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// Calls that ended lately, as far as they say something of the provider.
    pub(in crate::api) calls: u32,
    /// Those that failed.
    pub(in crate::api) failures: u32,
    /// Those that were slow.
    pub(in crate::api) slow: u32,
    /// Failures in a row.
    pub(in crate::api) consecutive: u32,
}

/// How fast a channel may be called.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct RateView {
    /// As in a configuration: `50/s`.
    pub(in crate::api) rate: String,
    /// `channel`, `account` or `recipient`: each of these by itself.
    pub(in crate::api) scope: String,
    /// `configuration` or `plugin`.
    pub(in crate::api) source: String,
}

/// A pause.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct PausedView {
    /// Since when; RFC 3339.
    pub(in crate::api) at: String,
    /// `api`, `cli`, `embedder` or `host`.
    pub(in crate::api) by: String,
}

/// How a provider does, as its plugin said last.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct HealthView {
    /// `ok`, `degraded`, `down`, or `silent` where the plugin gave no answer.
    pub(in crate::api) state: String,
    /// What it said.
    pub(in crate::api) message: String,
    /// When; RFC 3339.
    pub(in crate::api) at: String,
    /// How often in a row it was `down` or `silent`.
    pub(in crate::api) failures: u32,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct TestView {
    /// Which channel.
    pub(in crate::api) channel: String,
    /// `sent`, `accepted`, `retry`, `rate-limited`, `rejected`, `recipient-gone`, `timeout`, or how the call failed.
    pub(in crate::api) outcome: String,
    /// Milliseconds, to the microsecond.
    pub(in crate::api) duration_ms: f64,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) code: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) provider_id: Option<String>,
    /// `name@version`; null where no plugin was reached.
    pub(in crate::api) plugin: Option<String>,
}

impl From<&ChannelGate> for ChannelView {
    fn from(stands: &ChannelGate) -> Self {
        let ChannelGate { channel, gate, rate, paused, breaker_note, health, at: _ } = stands;
        let reason = breaker_note.map(|note| note.reason.as_str().to_owned());
        Self {
            name: channel.name.to_string(),
            plugin: channel.plugin.to_string(),
            version: channel.version.as_ref().map(ToString::to_string),
            configured: channel.configured,
            state: stands.state().as_str().to_owned(),
            reason: stands.reason(),
            breaker: gate.as_ref().map(|gate| BreakerView { reason, ..BreakerView::from(gate) }),
            paused: paused.map(|paused| PausedView { at: paused.at.to_string(), by: paused.by.as_str().to_owned() }),
            rate: rate.map(|ChannelRate { rate, scope, source }| RateView {
                rate: rate.to_string(),
                scope: scope.as_str().to_owned(),
                source: source.as_str().to_owned(),
            }),
            not_before: gate.as_ref().and_then(|gate| gate.not_before).map(|at| at.to_string()),
            in_flight: gate.as_ref().map_or(0, |gate| gate.in_flight),
            limit: gate.as_ref().map(|gate| gate.limit),
            waiting: gate.as_ref().map_or(0, |gate| gate.waiting),
            health: health.as_ref().map(|health| HealthView {
                state: health.state.as_str().to_owned(),
                message: health.state.message().to_owned(),
                at: health.at.to_string(),
                failures: health.failures,
            }),
        }
    }
}

impl From<&GateStatus> for BreakerView {
    fn from(gate: &GateStatus) -> Self {
        let (since, until) = match gate.breaker {
            BreakerState::Closed => (None, None),
            BreakerState::Open { since, until } => (Some(since), Some(until)),
            BreakerState::HalfOpen { since } | BreakerState::Disabled { since } => (Some(since), None),
        };
        Self {
            state: gate.breaker.as_str().to_owned(),
            since: since.map(|at| at.to_string()),
            until: until.map(|at| at.to_string()),
            reason: None,
            calls: gate.counts.calls,
            failures: gate.counts.failures,
            slow: gate.counts.slow,
            consecutive: gate.counts.consecutive,
        }
    }
}

impl From<&ChannelTest> for TestView {
    fn from(test: &ChannelTest) -> Self {
        let ChannelTest { channel, end, duration, plugin } = test;
        let provider_id = match end {
            AttemptEnd::Outcome(Outcome::Sent(receipt) | Outcome::Accepted { receipt, .. }) => {
                receipt.provider_id.clone()
            }
            AttemptEnd::Outcome(_)
            | AttemptEnd::HostDeadline { .. }
            | AttemptEnd::Fault { .. }
            | AttemptEnd::Interrupted { .. } => None,
        };
        Self {
            channel: channel.to_string(),
            outcome: end.as_str().to_owned(),
            duration_ms: milliseconds(*duration),
            code: end.code().map(str::to_owned),
            reason: end.reason().map(str::to_owned),
            provider_id,
            plugin: plugin.clone(),
        }
    }
}
