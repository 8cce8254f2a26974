//! Channels as an operator sees them: what holds their deliveries back, and what can be done about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::gatekeeper::sentence;
use super::{
    BreakerNote, ChannelHealth, ChannelRate, ChannelRecord, ChannelStatus, ComponentState, FailedCall, HealthState,
    OpenHosts, Parts, Runtime, StoreError, gates, rates,
};
use crate::call::{Call, Caller as _, ChannelDirectory as _, ChannelFacts, ChannelUnavailable, Report};
use crate::config::ChannelGates;
use crate::domain::{
    AttemptEnd, AuditOutcome, BreakerState, ChannelDeed, ChannelName, Content, Notification, Outcome, Paused, Priority,
    Recipient, Timestamp,
};
use crate::queue::GateStatus;
use crate::route::{To, route};

/// What a test says it is.
const TEST_KIND: &str = "test";

/// A channel, and what holds its deliveries back.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelGate {
    /// Whether it can be used.
    pub channel: ChannelStatus,
    /// Its breaker, its rate and what is under way; none while nothing has gone through it that has no section in the
    /// configuration.
    pub gate: Option<GateStatus>,
    /// How fast it may be called, and who says so; none where that is as fast as it goes.
    pub rate: Option<ChannelRate>,
    /// Who paused it.
    pub paused: Option<Paused>,
    /// When its breaker last changed, and why.
    pub breaker_note: Option<BreakerNote>,
    /// How its provider does; none where its plugin does not say.
    pub health: Option<ChannelHealth>,
    /// How fast and how much it may be called, as it is configured.
    pub limits: ChannelGates,
    /// How its last calls ended, in this process.
    pub record: ChannelRecord,
    /// Hosts that it calls and whose breakers are not closed. Named only where one channel is asked for.
    pub hosts: OpenHosts,
    /// When this was so.
    pub at: Timestamp,
}

/// The one word for how a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelState {
    /// It is called.
    Ready,
    /// It cannot be called: its configuration or its plugin cannot be used.
    Unusable,
    /// Its plugin is quarantined: its deliveries wait.
    Held,
    /// An operator had its deliveries wait.
    Paused,
    /// The configuration switches it off, or its breaker was open for too long: its deliveries wait for an operator.
    Disabled,
    /// Its breaker is open: its deliveries wait.
    Open,
    /// Its breaker lets single calls through.
    HalfOpen,
}

impl ChannelState {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Unusable => "unusable",
            Self::Held => "held",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl ChannelGate {
    /// How it stands: of several things that hold it back, the one that somebody has to act on first.
    #[must_use]
    pub fn state(&self) -> ChannelState {
        let breaker = self.gate.as_ref().map_or(BreakerState::Closed, |gate| gate.breaker);
        match (&self.channel, breaker) {
            (ChannelStatus { enabled: false, .. }, _) => ChannelState::Disabled,
            (ChannelStatus { problem: Some(_), version: None, .. }, _) => ChannelState::Unusable,
            (ChannelStatus { problem: Some(_), .. }, _) => ChannelState::Held,
            _ if self.paused.is_some() => ChannelState::Paused,
            (_, BreakerState::Disabled { .. }) => ChannelState::Disabled,
            (_, BreakerState::Open { until, .. }) if until > self.at => ChannelState::Open,
            // Nothing has asked since: the next one does.
            (_, BreakerState::Open { .. } | BreakerState::HalfOpen { .. }) => ChannelState::HalfOpen,
            (_, BreakerState::Closed) => ChannelState::Ready,
        }
    }

    /// Why its deliveries wait, and what ends it, those that wait for a turn of their own included; none where none do.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        let words: Vec<_> =
            self.holding_reason().into_iter().chain(self.deferred_reason()).chain(self.hosts_reason()).collect();
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// What waits for its recipient or its host, while others go.
    fn deferred_reason(&self) -> Option<String> {
        let gate = self.gate.as_ref().filter(|gate| gate.deferred > 0)?;
        let first = gate.deferred_until.map(|until| format!(", the first until {until}")).unwrap_or_default();
        Some(match gate.deferred {
            1 => format!("1 delivery waits for the turn of its recipient or host{first}"),
            count => format!("{count} deliveries wait for the turn of their recipients or hosts{first}"),
        })
    }

    fn hosts_reason(&self) -> Option<String> {
        let name = &self.channel.name;
        match self.hosts.count {
            0 => None,
            1 => Some(format!("1 host is left alone; `campanile channels show {name}` names it")),
            count => Some(format!("{count} hosts are left alone; `campanile channels show {name}` names them")),
        }
    }

    /// The last call that failed, also of the process before where that opened the breaker.
    #[must_use]
    pub fn last_error(&self) -> Option<&FailedCall> {
        let remembered = self.breaker_note.as_ref().and_then(|note| note.error.as_ref());
        self.record.last_error.as_ref().or(remembered)
    }

    /// Why all of its deliveries wait, and what ends it; none where they do not.
    fn holding_reason(&self) -> Option<String> {
        let name = &self.channel.name;
        let breaker = self.gate.as_ref().map_or(BreakerState::Closed, |gate| gate.breaker);
        let why =
            || self.breaker_note.as_ref().map(|note| format!(": {}", sentence(name, note.reason))).unwrap_or_default();
        match (self.state(), breaker) {
            _ if !self.channel.enabled => Some(format!("it is disabled; {}", ChannelUnavailable::enabling(name))),
            (ChannelState::Unusable | ChannelState::Held, _) => self.channel.problem.clone(),
            (ChannelState::Paused, _) => self.paused.map(|Paused { at, by }| {
                format!("paused by `{}` at {at}; `campanile channels resume {name}` lets it go on", by.as_str())
            }),
            (_, BreakerState::Disabled { since }) => Some(format!(
                "its breaker has disabled it at {since}, after too long without a good call; \
                 `campanile channels reset {name}` lets it be called again"
            )),
            (ChannelState::HalfOpen, BreakerState::Open { until, .. }) => {
                let next = if self.waits_for_one() { "it waits for a delivery" } else { "the next delivery goes" };
                Some(format!("its breaker was open until {until}{}; {next}, as its trial", why()))
            }
            (_, BreakerState::Open { until, .. }) => Some(format!("its breaker is open until {until}{}", why())),
            (_, BreakerState::HalfOpen { .. }) if self.waits_for_one() => {
                Some("its breaker lets single calls through to see; it waits for a delivery".to_owned())
            }
            (_, BreakerState::HalfOpen { .. }) => Some("its breaker lets single calls through to see".to_owned()),
            (_, BreakerState::Closed) => self.next_at().map(|at| {
                format!("the next delivery goes at {at}: its rate is used up, or its provider asked to be left alone")
            }),
        }
    }

    /// When the next of those that wait goes, where its breaker is closed and something else puts it off.
    fn next_at(&self) -> Option<Timestamp> {
        self.gate.as_ref().filter(|gate| gate.waiting > gate.deferred)?.not_before
    }

    /// Whether nothing is there that could be its trial.
    fn waits_for_one(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| gate.waiting == 0 && gate.in_flight == 0)
    }

    /// Whether its deliveries wait for something that is its own.
    fn is_holding(&self) -> bool {
        match self.state() {
            ChannelState::Paused | ChannelState::Disabled | ChannelState::Open | ChannelState::HalfOpen => true,
            ChannelState::Ready => self.next_at().is_some(),
            ChannelState::Unusable | ChannelState::Held => false,
        }
    }

    /// Whether it does what somebody wants of it: it is called, or they had it wait, or nothing waits for its trial.
    fn is_as_wanted(&self) -> bool {
        match self.state() {
            ChannelState::Ready | ChannelState::Paused => true,
            ChannelState::HalfOpen => self.gate.as_ref().is_none_or(|gate| gate.waiting == 0),
            ChannelState::Unusable | ChannelState::Held | ChannelState::Disabled | ChannelState::Open => false,
        }
    }
}

/// What came of a test of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTest {
    /// Which channel.
    pub channel: ChannelName,
    /// How the call ended.
    pub end: AttemptEnd,
    /// How long it took.
    pub duration: Duration,
    /// Who was called, as `name@version`; none where no plugin was reached.
    pub plugin: Option<String>,
}

impl ChannelTest {
    /// Whether the provider took it.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        matches!(self.end, AttemptEnd::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. }))
    }
}

/// Why something was not done to a channel.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// There is no such channel.
    #[error("{}", unknown(.name, .nearest.as_deref()))]
    Unknown {
        /// The name asked for.
        name: ChannelName,
        /// A known channel with a similar name.
        nearest: Option<String>,
    },
    /// It cannot be called.
    #[error("channel `{channel}` cannot be used: {reason}")]
    NotReady {
        /// Which channel.
        channel: ChannelName,
        /// What is wrong.
        reason: String,
    },
    /// A test has nobody to go to.
    #[error("channel `{channel}` needs an address of kind `{kind}` to send a test to")]
    NeedsAddress {
        /// Which channel.
        channel: ChannelName,
        /// What it needs.
        kind: String,
    },
    /// A test is to go to what is no address for the channel.
    #[error("channel `{channel}` does not take this as an address of kind `{kind}`")]
    BadAddress {
        /// Which channel.
        channel: ChannelName,
        /// What it needs.
        kind: String,
    },
    /// A test has somebody to go to, and the channel goes where its configuration says.
    #[error("channel `{channel}` goes where its configuration says, and takes no address")]
    NeedsNoAddress {
        /// Which channel.
        channel: ChannelName,
    },
    /// The store could not be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Runtime {
    /// Every channel there is, by name, and what holds its deliveries back.
    #[must_use]
    pub fn channel_gates(&self) -> Vec<ChannelGate> {
        let mut gates: BTreeMap<_, _> =
            self.parts.queue.gates().into_iter().map(|gate| (gate.channel.clone(), gate)).collect();
        let channels = self.channels().into_iter();
        channels.map(|channel| self.parts.gate_of(channel.clone(), gates.remove(&channel.name))).collect()
    }

    /// One of them.
    #[must_use]
    pub fn channel_gate(&self, name: &ChannelName) -> Option<ChannelGate> {
        let channel = self.channels().into_iter().find(|channel| channel.name == *name)?;
        let gate = self.parts.gate_of(channel, self.parts.queue.gate(name));
        Some(ChannelGate { hosts: self.open_hosts(name), ..gate })
    }

    /// Channels whose deliveries wait because somebody paused them, their breakers are not closed, their rates are used up
    /// or their providers asked for it, each with the reason and what ends it.
    pub(super) fn gated_channels(&self) -> impl Iterator<Item = (ChannelName, String)> {
        self.channel_gates().into_iter().filter_map(|gate| {
            let reason = gate.holding_reason().filter(|_| gate.is_holding())?;
            Some((gate.channel.name, reason))
        })
    }

    /// Has a channel's deliveries wait until it is [resumed](Self::resume_channel), also beyond this process; what is
    /// under way ends as it would. Tells whether they did not wait before.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Unknown`] where there is no such channel; [`ChannelError::Store`], and nothing has changed then.
    pub async fn pause_channel(&self, name: &ChannelName) -> Result<bool, ChannelError> {
        self.set_paused(name, true).await
    }

    /// Ends a pause. Tells whether there was one.
    ///
    /// # Errors
    ///
    /// As [`pause_channel`](Self::pause_channel).
    pub async fn resume_channel(&self, name: &ChannelName) -> Result<bool, ChannelError> {
        self.set_paused(name, false).await
    }

    async fn set_paused(&self, name: &ChannelName, pause: bool) -> Result<bool, ChannelError> {
        self.known(name)?;
        self.give_gate(name);
        let (keeper, channel, by) = (Arc::clone(&self.parts.desk.keeper), name.clone(), self.by);
        to_the_end(async move { keeper.pause(&channel, pause, by).await }).await
    }

    /// Closes a channel's breaker, lets it be called where it was disabled, and forgets how long its provider asked to be
    /// left alone and how much of its rates is used up, also by single recipients and hosts. Tells whether any of it held its deliveries back.
    ///
    /// # Errors
    ///
    /// As [`pause_channel`](Self::pause_channel).
    pub async fn reset_channel(&self, name: &ChannelName) -> Result<bool, ChannelError> {
        self.known(name)?;
        let (parts, channel, by) = (Arc::clone(&self.parts), name.clone(), self.by);
        to_the_end(async move {
            let hosts = parts.dispatcher.outlook().open_hosts(&channel, 0).count;
            let held = parts.desk.keeper.reset(&channel, by).await? || hosts > 0;
            parts.dispatcher.reset_destinations(&channel);
            Ok(held)
        })
        .await
    }

    /// Sends a real notification through a channel, now: around its queue, its breaker and its rate, for none of which it
    /// counts. Nothing of it is kept but that it was done. `to` is an address where the channel needs one.
    ///
    /// # Errors
    ///
    /// [`ChannelError`] where nobody was called. How a call ended is in the answer.
    pub async fn test_channel(&self, name: &ChannelName, to: Option<&str>) -> Result<ChannelTest, ChannelError> {
        let parts = &self.parts;
        parts.registry.make_ready(name.as_str()).await;
        let facts = parts.registry.channel(name).map_err(|why| unavailable(name, why))?;
        let call = self.test_call(name, recipient_of(name, facts, to)?);
        parts.desk.keeper.record(name, ChannelDeed::Test, self.by, AuditOutcome::Done).await?;
        let Report { end, duration, plugin, .. } = parts.registry.call(call).await;
        Ok(ChannelTest { channel: name.clone(), end, duration, plugin: plugin.map(|plugin| plugin.to_string()) })
    }

    fn test_call(&self, name: &ChannelName, recipient: Recipient) -> Call {
        let now = self.parts.clock.now();
        let id = self.parts.desk.entropy.notification_id(now);
        let content = Arc::new(Content {
            title: Some(format!("Test of channel {name}")),
            text: format!("Somebody asked Campanile to try channel {name}. There is nothing to do."),
            ..Content::default()
        });
        let notification = Notification {
            id,
            kind: TEST_KIND.to_owned(),
            priority: Priority::Normal,
            content: Arc::clone(&content),
            actions: Vec::new(),
            template: None,
            data: None,
            metadata: Vec::new(),
            correlation_id: None,
            group_key: None,
            created_at: now,
            scheduled_at: None,
            expires_at: None,
        };
        Call {
            channel: name.clone(),
            delivery: id.delivery(0),
            attempt: 1,
            recipient: Arc::new(recipient),
            notification: Arc::new(notification),
            content,
            now,
        }
    }

    /// A plugin that comes with the program may lend its name to a channel that nothing has gone through yet.
    fn give_gate(&self, name: &ChannelName) {
        if self.parts.queue.gate(name).is_none() {
            let said = rates::said(&self.parts.registry);
            let gates = gates::of_channels(&self.parts.config.load(), [name.clone()], &said).into_iter();
            self.parts.queue.set_gates(gates.filter(|(gated, _)| gated == name));
        }
    }

    /// A channel that cannot be used is one, too: it may be paused before it can.
    pub(super) fn known(&self, name: &ChannelName) -> Result<(), ChannelError> {
        match self.parts.registry.channel(name) {
            Err(why @ ChannelUnavailable::Unknown { .. }) => Err(unavailable(name, why)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Parts {
    fn gate_of(&self, channel: ChannelStatus, gate: Option<GateStatus>) -> ChannelGate {
        let name = &channel.name;
        let (paused, breaker_note) = (self.desk.keeper.paused(name), self.desk.keeper.note(name));
        let health = self.desk.health.of(name);
        let config = self.config.load();
        let rate = ChannelRate::of(&config, &channel);
        let outlook = self.dispatcher.outlook();
        let (record, hosts) = (outlook.record(name), outlook.open_hosts(name, 0));
        let limits = config.channels.get(name).map(|channel| channel.gates.clone()).unwrap_or_default();
        let at = self.clock.now();
        ChannelGate { channel, gate, rate, paused, breaker_note, health, limits, record, hosts, at }
    }
}

/// In a task of its own: whoever asked may go away between the store and the queue.
pub(super) async fn to_the_end(
    change: impl Future<Output = Result<bool, StoreError>> + Send + 'static,
) -> Result<bool, ChannelError> {
    let cut_off = |error: tokio::task::JoinError| StoreError::Internal {
        reason: format!("a change of a channel was cut off: {error}"),
    };
    Ok(tokio::spawn(change).await.map_err(cut_off)??)
}

fn unknown(name: &ChannelName, nearest: Option<&str>) -> String {
    let nearest = nearest.map(|nearest| format!("; is `{nearest}` meant?")).unwrap_or_default();
    format!("there is no channel `{name}`{nearest}")
}

fn unavailable(name: &ChannelName, why: ChannelUnavailable) -> ChannelError {
    match why {
        ChannelUnavailable::Unknown { nearest, .. } => ChannelError::Unknown { name: name.clone(), nearest },
        ChannelUnavailable::NotReady { name, reason } => ChannelError::NotReady { channel: name, reason },
        ChannelUnavailable::Disabled { name } => {
            let reason = format!("it is disabled; {}", ChannelUnavailable::enabling(&name));
            ChannelError::NotReady { channel: name, reason }
        }
    }
}

/// Whom a test goes to, by the rules of every notification.
fn recipient_of(name: &ChannelName, facts: Arc<ChannelFacts>, to: Option<&str>) -> Result<Recipient, ChannelError> {
    let channel = name.clone();
    let kind = facts.address.as_ref().map(|need| need.kind.clone());
    let (to, kind) = match (to, kind) {
        (None, None) => return Ok(Recipient::default()),
        (Some(_), None) => return Err(ChannelError::NeedsNoAddress { channel }),
        (None, Some(kind)) => return Err(ChannelError::NeedsAddress { channel, kind }),
        (Some(to), Some(kind)) => (to, kind),
    };
    let routed = route(&[To::from(to)], &[(channel.clone(), facts)], Timestamp::default());
    let delivery = routed.ok().and_then(|mut routed| routed.deliveries.pop());
    delivery.map(|delivery| delivery.recipient).ok_or(ChannelError::BadAddress { channel, kind })
}

/// What a component's health says of a channel: how it does, and a word on it.
pub(super) fn readiness_of(gate: &ChannelGate) -> (ComponentState, Option<String>) {
    let health = gate.health.as_ref().filter(|health| !matches!(health.state, HealthState::Ok(_)));
    let said = health.map(|health| {
        let times = if health.failures > 1 { format!(", {} times in a row", health.failures) } else { String::new() };
        format!("its plugin says of its provider: {}: {}{times}", health.state.as_str(), health.state.message())
    });
    let is_well = health.is_none_or(|health| !health.state.is_failure());
    let words: Vec<_> = gate.reason().into_iter().chain(said).collect();
    let state = match gate.is_as_wanted() && is_well {
        false => ComponentState::Failed,
        true if health.is_some() || gate.hosts.count > 0 => ComponentState::Degraded,
        true => ComponentState::Ok,
    };
    (state, (!words.is_empty()).then(|| words.join("; ")))
}
