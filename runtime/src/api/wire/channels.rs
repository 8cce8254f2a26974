//! What is answered about channels.

use serde::Serialize;

use super::milliseconds;
use crate::config::ChannelGates;
use crate::domain::{AttemptEnd, BreakerBook, BreakerState, Outcome, Timestamp};
use crate::runtime::{ChannelGate, ChannelRate, ChannelTest, FailedCall, GateStatus, HostBreaker};

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
    /// Of these, those that wait for the turn of their recipient or host.
    pub(in crate::api) deferred: u64,
    /// How fast and how much it may be called, as configured.
    pub(in crate::api) limits: LimitsView,
    /// When its provider last took something, since the server started; RFC 3339.
    pub(in crate::api) last_success: Option<String>,
    /// The last call that failed: since the server started, or what opened its breaker before.
    pub(in crate::api) last_error: Option<FailedView>,
    /// Hosts that it calls and whose breakers are not closed.
    pub(in crate::api) hosts_not_closed: usize,
    /// The first 100 of them, by name; only where one channel is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(in crate::api) hosts: Vec<HostView>,
    /// Null where its plugin does not say.
    pub(in crate::api) health: Option<HealthView>,
}

/// What is configured of a channel's pace; what is null has no limit of its own.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct LimitsView {
    /// As `10/s`.
    pub(in crate::api) rate: Option<String>,
    /// The same of one recipient.
    pub(in crate::api) per_recipient_rate: Option<String>,
    /// The same of one host.
    pub(in crate::api) per_host_rate: Option<String>,
    /// Calls under way.
    pub(in crate::api) concurrency: Option<u32>,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct FailedView {
    /// When it ended; RFC 3339.
    pub(in crate::api) at: String,
    /// `retry`, `rate-limited`, `rejected`, `recipient-gone`, `timeout`, or how the plugin failed.
    pub(in crate::api) outcome: String,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) code: Option<String>,
    /// A sentence, without secrets and without the address.
    pub(in crate::api) reason: String,
}

/// The breaker of a host.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct HostView {
    /// Host and port as they stand in addresses.
    pub(in crate::api) host: String,
    /// What it is called in events and in the log.
    pub(in crate::api) tag: String,
    /// `open`, `half-open` or `disabled`.
    pub(in crate::api) state: String,
    /// Since when; RFC 3339.
    pub(in crate::api) since: Option<String>,
    /// Of `open`: when a call is let through to see; RFC 3339.
    pub(in crate::api) until: Option<String>,
    /// As in `breaker`.
    pub(in crate::api) reason: String,
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
    /// Why it changed last: `failure-rate`, `slow-rate`, `consecutive`, `probe-failed`,
    /// `probes-passed`, `time-up`, `reset` or `too-long`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// Calls that ended lately, as far as they say something of the provider; while it is not closed, those that opened it.
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
        let ChannelGate { channel, gate, rate, paused, breaker_note, health, limits, record, hosts, at } = stands;
        let reason = breaker_note.as_ref().map(|note| note.reason.as_str().to_owned());
        Self {
            name: channel.name.to_string(),
            plugin: channel.plugin.to_string(),
            version: channel.version.as_ref().map(ToString::to_string),
            configured: channel.configured,
            state: stands.state().as_str().to_owned(),
            reason: stands.reason(),
            breaker: gate.as_ref().map(|gate| BreakerView { reason, ..BreakerView::of(gate, *at) }),
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
            deferred: gate.as_ref().map_or(0, |gate| gate.deferred),
            limits: LimitsView::from(limits),
            last_success: record.last_success.map(|at| at.to_string()),
            last_error: stands.last_error().map(FailedView::from),
            hosts_not_closed: hosts.count,
            hosts: hosts.hosts.iter().map(|host| HostView::of(host, *at)).collect(),
            health: health.as_ref().map(|health| HealthView {
                state: health.state.as_str().to_owned(),
                message: health.state.message().to_owned(),
                at: health.at.to_string(),
                failures: health.failures,
            }),
        }
    }
}

impl BreakerView {
    fn of(gate: &GateStatus, now: Timestamp) -> Self {
        let (since, until) = times(gate.breaker);
        Self {
            state: state_at(gate.breaker, now).to_owned(),
            since,
            until,
            reason: None,
            calls: gate.counts.calls,
            failures: gate.counts.failures,
            slow: gate.counts.slow,
            consecutive: gate.counts.consecutive,
        }
    }
}

/// One that was open for its time lets the next call through, whether or not one has come.
fn state_at(state: BreakerState, now: Timestamp) -> &'static str {
    match state {
        BreakerState::Open { since: _, until } if until <= now => BreakerState::HalfOpen { since: until }.as_str(),
        _ => state.as_str(),
    }
}

fn times(state: BreakerState) -> (Option<String>, Option<String>) {
    let (since, until) = match state {
        BreakerState::Closed => (None, None),
        BreakerState::Open { since, until } => (Some(since), Some(until)),
        BreakerState::HalfOpen { since } | BreakerState::Disabled { since } => (Some(since), None),
    };
    (since.map(|at| at.to_string()), until.map(|at| at.to_string()))
}

impl HostView {
    fn of(host: &HostBreaker, now: Timestamp) -> Self {
        let HostBreaker { host, tag, breaker: BreakerBook { state, .. }, reason } = host;
        let (since, until) = times(*state);
        Self {
            host: host.clone(),
            tag: tag.to_string(),
            state: state_at(*state, now).to_owned(),
            since,
            until,
            reason: reason.as_str().to_owned(),
        }
    }
}

impl From<&FailedCall> for FailedView {
    fn from(failed: &FailedCall) -> Self {
        let FailedCall { at, outcome, code, reason } = failed;
        Self { at: at.to_string(), outcome: outcome.clone(), code: code.clone(), reason: reason.clone() }
    }
}

impl From<&ChannelGates> for LimitsView {
    fn from(gates: &ChannelGates) -> Self {
        let ChannelGates { rate_limit, per_recipient_rate, per_host_rate, concurrency, fallback: _ } = gates;
        Self {
            rate: rate_limit.map(|rate| rate.to_string()),
            per_recipient_rate: per_recipient_rate.map(|rate| rate.to_string()),
            per_host_rate: per_host_rate.map(|rate| rate.to_string()),
            concurrency: *concurrency,
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
