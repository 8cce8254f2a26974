//! What became of each call, and how callbacks are doing altogether.
//!
//! *Invariants:* bounded, whatever happens: [`RECENT_MAX`] executions, and recent latencies. Instants and durations are
//! brought along. What is counted here is counted in the metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::latency::{LatencyStatistics, RecentLatencies};
use super::registration::CallbackId;
use crate::domain::{CallbackKind, CallbackName, Timestamp};
use crate::store::EventNumber;
use crate::telemetry::{CallbackResult, Metrics};

/// Executions that are remembered.
pub const RECENT_MAX: usize = 1_000;

/// What ended longer ago is forgotten.
pub const RECENT_FOR: Duration = Duration::from_hours(24);

/// Where one execution stands: one callback, called for one event, with all of its retries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    /// It waits for a worker, or for the callbacks before it.
    Queued,
    /// A call is under way.
    Running {
        /// From 1.
        attempt: u32,
    },
    /// The last call failed; it waits for the next.
    Retrying {
        /// Calls made.
        attempts: u32,
        /// Not before this.
        due: Timestamp,
        /// How the last one ended.
        reason: String,
    },
    /// A call ended well.
    Succeeded {
        /// Calls made.
        attempts: u32,
    },
    /// It was not called: its condition was not met, a callback before it failed, or it was removed.
    Skipped,
    /// It was given up, and is kept as a dead callback.
    Dead {
        /// Calls made.
        attempts: u32,
        /// Why.
        reason: String,
    },
}

impl ExecutionStatus {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running { .. } => "running",
            Self::Retrying { .. } => "retrying",
            Self::Succeeded { .. } => "succeeded",
            Self::Skipped => "skipped",
            Self::Dead { .. } => "dead",
        }
    }

    /// Whether it will change no more.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded { .. } | Self::Skipped | Self::Dead { .. })
    }
}

/// One execution, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecutionRecord {
    /// Greater than every one before, in this process.
    pub id: u64,
    /// Of which callback.
    pub callback: CallbackId,
    /// Its name.
    pub name: CallbackName,
    /// What it waits for.
    pub kind: CallbackKind,
    /// For which event.
    pub event: EventNumber,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// Since when.
    pub since: Timestamp,
}

/// How the callbacks of one kind are doing, since the runtime was started.
#[derive(Clone, Debug, PartialEq)]
pub struct KindStatistics {
    /// Which kind.
    pub kind: CallbackKind,
    /// Executions that ended well.
    pub succeeded: u64,
    /// Calls that failed, those that were made again among them.
    pub failed: u64,
    /// Failed calls that panicked.
    pub panicked: u64,
    /// Failed calls whose time was up.
    pub timed_out: u64,
    /// Retries that were waited for.
    pub retried: u64,
    /// Executions that were given up.
    pub dead: u64,
    /// Executions that were not called.
    pub skipped: u64,
    /// Of the executions that ended well or were given up, the share that ended well; none where there was none.
    pub success_rate: Option<f64>,
    /// How long the calls of the last five minutes took; none where there was none.
    pub latency: Option<LatencyStatistics>,
}

/// How one call ended badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    Failed,
    Panicked,
    TimedOut,
}

/// Follows executions.
pub(super) struct Tracker {
    state: Mutex<State>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct State {
    next: u64,
    recent: BTreeMap<u64, ExecutionRecord>,
    kinds: BTreeMap<CallbackKind, Totals>,
}

#[derive(Default)]
struct Totals {
    succeeded: u64,
    failed: u64,
    panicked: u64,
    timed_out: u64,
    retried: u64,
    dead: u64,
    skipped: u64,
    latencies: RecentLatencies,
}

impl Tracker {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { state: Mutex::default(), metrics }
    }

    /// Begins to follow one. Answers its id.
    pub(super) fn queued(
        &self,
        callback: CallbackId,
        name: &CallbackName,
        kind: CallbackKind,
        event: EventNumber,
        at: Timestamp,
    ) -> u64 {
        let mut state = self.lock();
        state.next += 1;
        let id = state.next;
        let (name, status) = (name.clone(), ExecutionStatus::Queued);
        state.recent.insert(id, ExecutionRecord { id, callback, name, kind, event, status, since: at });
        state.clean(at);
        id
    }

    pub(super) fn running(&self, id: u64, attempt: u32, at: Timestamp) {
        self.lock().set(id, ExecutionStatus::Running { attempt }, at);
    }

    /// One call ended well, and the execution with it.
    pub(super) fn succeeded(&self, id: u64, kind: CallbackKind, attempts: u32, took: Duration, at: Timestamp) {
        let mut state = self.lock();
        let totals = state.kinds.entry(kind).or_default();
        totals.succeeded += 1;
        totals.latencies.record(took, at);
        state.set(id, ExecutionStatus::Succeeded { attempts }, at);
        drop(state);
        self.metrics.callback(kind, CallbackResult::Succeeded, Some(took));
    }

    /// One call ended badly. What comes of the execution is told apart.
    pub(super) fn failed(&self, kind: CallbackKind, mishap: Mishap, took: Duration, at: Timestamp) {
        let mut state = self.lock();
        let totals = state.kinds.entry(kind).or_default();
        totals.failed += 1;
        let result = match mishap {
            Mishap::Failed => CallbackResult::Failed,
            Mishap::Panicked => {
                totals.panicked += 1;
                CallbackResult::Panicked
            }
            Mishap::TimedOut => {
                totals.timed_out += 1;
                CallbackResult::TimedOut
            }
        };
        totals.latencies.record(took, at);
        drop(state);
        self.metrics.callback(kind, result, Some(took));
    }

    pub(super) fn retrying(&self, id: u64, kind: CallbackKind, status: ExecutionStatus, at: Timestamp) {
        let mut state = self.lock();
        state.kinds.entry(kind).or_default().retried += 1;
        state.set(id, status, at);
    }

    pub(super) fn skipped(&self, id: u64, kind: CallbackKind, at: Timestamp) {
        let mut state = self.lock();
        state.kinds.entry(kind).or_default().skipped += 1;
        state.set(id, ExecutionStatus::Skipped, at);
        drop(state);
        self.metrics.callback(kind, CallbackResult::Skipped, None);
    }

    pub(super) fn dead(&self, id: u64, kind: CallbackKind, attempts: u32, reason: &str, at: Timestamp) {
        let mut state = self.lock();
        state.kinds.entry(kind).or_default().dead += 1;
        state.set(id, ExecutionStatus::Dead { attempts, reason: reason.to_owned() }, at);
        drop(state);
        self.metrics.callback(kind, CallbackResult::Dead, None);
    }

    /// The newest executions, the newest first.
    pub(super) fn recent(&self, at: Timestamp, limit: usize) -> Vec<ExecutionRecord> {
        let mut state = self.lock();
        state.clean(at);
        state.recent.values().rev().take(limit).cloned().collect()
    }

    /// Every kind that was called or was to be.
    pub(super) fn kinds(&self, at: Timestamp) -> Vec<KindStatistics> {
        let mut state = self.lock();
        state.kinds.iter_mut().map(|(kind, totals)| totals.told(*kind, at)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set(&mut self, id: u64, status: ExecutionStatus, at: Timestamp) {
        // One that is remembered no longer made room for newer ones.
        if let Some(record) = self.recent.get_mut(&id) {
            record.status = status;
            record.since = at;
        }
    }

    /// Forgets what is too old or too much: what has ended before what has not.
    fn clean(&mut self, at: Timestamp) {
        while let Some(oldest) = self.recent.first_entry() {
            let is_old = oldest.get().status.is_final() && oldest.get().since.after(RECENT_FOR) <= at;
            if !is_old {
                break;
            }
            oldest.remove();
        }
        if self.recent.len() > RECENT_MAX {
            let ended = self.recent.values().find(|record| record.status.is_final()).map(|record| record.id);
            match ended {
                Some(id) => drop(self.recent.remove(&id)),
                None => drop(self.recent.pop_first()),
            }
        }
    }
}

impl Totals {
    fn told(&mut self, kind: CallbackKind, at: Timestamp) -> KindStatistics {
        let &mut Self { succeeded, failed, panicked, timed_out, retried, dead, skipped, .. } = self;
        let ended = succeeded + dead;
        let success_rate = (ended > 0).then(|| succeeded as f64 / ended as f64);
        let latency = self.latencies.statistics(at);
        KindStatistics { kind, succeeded, failed, panicked, timed_out, retried, dead, skipped, success_rate, latency }
    }
}

#[cfg(test)]
mod tests;
