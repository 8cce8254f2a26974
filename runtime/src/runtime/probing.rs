//! Asks the plugins of channels now and then how their providers do, where they have an answer.
//!
//! *Invariants:* a probe reaches nobody and holds nobody up; what it says is shown and closes no channel. Only calls do
//! that.
//!
//! *Not here:* whether deliveries go through a channel (`queue`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::task::JoinHandle;

use crate::clock::{Clock, Entropy};
use crate::domain::{ChannelName, Timestamp};
use crate::sandbox::{Health, Registry};

/// From one probe of a channel to the next, give or take a tenth: they are not to come all at once.
const BETWEEN: Duration = Duration::from_secs(60);

/// The first probe of a channel comes within this.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Probes at once. They share their places in the sandbox with what else is called beside deliveries.
const AT_ONCE: usize = 4;

/// How a channel's provider does, as its plugin said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelHealth {
    /// When it was asked.
    pub at: Timestamp,
    /// What it said.
    pub state: HealthState,
    /// How often in a row it said that it is down, or gave no answer.
    pub failures: u32,
}

/// What a plugin says of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthState {
    /// It works.
    Ok(String),
    /// It works badly.
    Degraded(String),
    /// It does not work.
    Down(String),
    /// The plugin gave no answer: why.
    Silent(String),
}

impl HealthState {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Degraded(_) => "degraded",
            Self::Down(_) => "down",
            Self::Silent(_) => "silent",
        }
    }

    /// The sentence that came with it; may be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Ok(message) | Self::Degraded(message) | Self::Down(message) | Self::Silent(message) => message,
        }
    }

    /// Whether it counts as a failure.
    #[must_use]
    pub const fn is_failure(&self) -> bool {
        matches!(self, Self::Down(_) | Self::Silent(_))
    }
}

impl From<Health> for HealthState {
    fn from(health: Health) -> Self {
        match health {
            Health::Ok(message) => Self::Ok(message),
            Health::Degraded(message) => Self::Degraded(message),
            Health::Down(message) => Self::Down(message),
        }
    }
}

/// What was said last. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings(Arc<Mutex<BTreeMap<ChannelName, ChannelHealth>>>);

impl Findings {
    pub(super) fn of(&self, channel: &ChannelName) -> Option<ChannelHealth> {
        self.lock().get(channel).cloned()
    }

    fn note(&self, channel: &ChannelName, at: Timestamp, state: HealthState) {
        let mut findings = self.lock();
        let before = findings.get(channel);
        let failures =
            if state.is_failure() { before.map_or(0, |before| before.failures).saturating_add(1) } else { 0 };
        if before.map_or("ok", |before| before.state.as_str()) != state.as_str() {
            let (health, message) = (state.as_str(), state.message());
            match state {
                HealthState::Ok(_) => tracing::info!(%channel, health, message, "A provider works again."),
                HealthState::Degraded(_) | HealthState::Down(_) | HealthState::Silent(_) => {
                    tracing::warn!(%channel, health, message, "A provider does not do well, as its plugin says.");
                }
            }
        }
        findings.insert(channel.clone(), ChannelHealth { at, state, failures });
    }

    fn keep_only(&self, channels: &[ChannelName]) {
        self.lock().retain(|channel, _| channels.contains(channel));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<ChannelName, ChannelHealth>> {
        // Whole between any two of its methods.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task; it ends with this.
#[derive(Debug)]
pub(super) struct Prober(JoinHandle<()>);

impl Drop for Prober {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Prober {
    pub(super) fn start(
        registry: Arc<Registry>,
        clock: Arc<dyn Clock>,
        entropy: Arc<Entropy>,
        findings: Findings,
    ) -> Self {
        Self(tokio::spawn(async move {
            let mut changes = registry.changes();
            let mut due = BTreeMap::new();
            loop {
                let channels = registry.with_health();
                findings.keep_only(&channels);
                due.retain(|channel, _| channels.contains(channel));
                let now = clock.now();
                for channel in channels {
                    due.entry(channel).or_insert_with(|| now.after(FIRST_WITHIN.mul_f64(entropy.roll())));
                }
                let asked: Vec<_> =
                    due.iter().filter(|(_, at)| **at <= now).map(|(channel, _)| channel.clone()).collect();
                for channel in &asked {
                    due.insert(channel.clone(), now.after(BETWEEN.mul_f64(0.9 + 0.2 * entropy.roll())));
                }
                let (registry, findings, clock) = (&registry, &findings, &clock);
                stream::iter(&asked)
                    .for_each_concurrent(AT_ONCE, async |channel| {
                        let Some(said) = registry.health(channel).await else { return };
                        let state = said.map_or_else(|end| HealthState::Silent(end.to_string()), HealthState::from);
                        findings.note(channel, clock.now(), state);
                    })
                    .await;
                let next = due.values().min().copied().unwrap_or(Timestamp::MAX);
                tokio::select! {
                    () = clock.wait_until(next) => {}
                    changed = changes.changed() => if changed.is_err() { return },
                }
            }
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_in_a_row() {
        let (findings, channel) = (Findings::default(), ChannelName::new("ops").expect("a name"));
        let mut failures = Vec::new();
        let said = ["down", "silent", "degraded", "down", "ok", "down"];
        for (second, word) in said.into_iter().enumerate() {
            let state = match word {
                "ok" => HealthState::Ok(String::new()),
                "degraded" => HealthState::Degraded("slow".to_owned()),
                "down" => HealthState::Down("gone".to_owned()),
                _ => HealthState::Silent("it trapped".to_owned()),
            };
            assert_eq!(state.as_str(), word);
            findings.note(&channel, Timestamp::from_millis(second as u64), state);
            failures.extend(findings.of(&channel).map(|health| health.failures));
        }
        assert_eq!(failures, [1, 2, 0, 1, 0, 1]);
        findings.keep_only(&[]);
        assert_eq!(findings.of(&channel), None);
    }
}
