//! The published shape of the pool of workers.

use std::time::Duration;

use serde::Serialize;

use super::milliseconds;
use crate::domain::Timestamp;
use crate::runtime::{PoolStatus, WorkerStatus};

/// The pool and its workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct WorkersView {
    pub(in crate::api) pool: PoolView,
    /// By number; those that have ended are the last few.
    pub(in crate::api) workers: Vec<WorkerView>,
}

/// The pool.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct PoolView {
    /// Workers there should be.
    pub(in crate::api) size: u32,
    pub(in crate::api) min: u32,
    pub(in crate::api) max: u32,
    /// Whether somebody has set the size by hand.
    pub(in crate::api) pinned: bool,
    /// That size: more than `size` where `max` is less by now. Null where the size follows the load.
    pub(in crate::api) pinned_to: Option<u32>,
    /// In flight ÷ slots, from 0 to 1.
    pub(in crate::api) load: f64,
    pub(in crate::api) in_flight: usize,
    pub(in crate::api) slots: usize,
    pub(in crate::api) strategy: String,
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct WorkerView {
    pub(in crate::api) number: u32,
    /// `idle`, `processing`, `draining`, `stopped`.
    pub(in crate::api) state: String,
    pub(in crate::api) started_at: String,
    pub(in crate::api) uptime_s: u64,
    pub(in crate::api) last_activity: Option<String>,
    pub(in crate::api) in_flight: usize,
    pub(in crate::api) slots: usize,
    /// Attempts that have ended.
    pub(in crate::api) processed: u64,
    /// Those of them that were neither sent nor accepted.
    pub(in crate::api) errors: u64,
    /// What it has been at for the longest; null where it has nothing.
    pub(in crate::api) current: Option<TaskView>,
    /// What was last put together on it; null where the strategy does not.
    pub(in crate::api) affinity: Option<AffinityView>,
    /// Null where no call has ended.
    pub(in crate::api) latency: Option<LatencyView>,
    /// What the guests of its calls computed, all together.
    pub(in crate::api) cpu_ms: f64,
    /// The linear memory of the guest that was called last.
    pub(in crate::api) memory_bytes: u64,
    pub(in crate::api) memory_peak_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct TaskView {
    pub(in crate::api) channel: String,
    pub(in crate::api) since: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct AffinityView {
    pub(in crate::api) channel: String,
    pub(in crate::api) kind: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct LatencyView {
    pub(in crate::api) mean_ms: f64,
    pub(in crate::api) p99_ms: f64,
}

impl WorkersView {
    /// The pool as it is at `now`. `cpu_time_of` says what fuel is in time.
    pub(in crate::api) fn of(pool: &PoolStatus, now: Timestamp, cpu_time_of: impl Fn(u64) -> Duration) -> Self {
        let PoolStatus { size, min, max, pinned, load, in_flight, slots, strategy, workers } = pool;
        let load = (load * 1_000.0).round() / 1_000.0;
        let (size, min, max, in_flight, slots) = (*size, *min, *max, *in_flight, *slots);
        let (pinned, pinned_to) = (pinned.is_some(), *pinned);
        let strategy = strategy.as_str().to_owned();
        Self {
            pool: PoolView { size, min, max, pinned, pinned_to, load, in_flight, slots, strategy },
            workers: workers.iter().map(|worker| WorkerView::of(worker, now, cpu_time_of(worker.fuel))).collect(),
        }
    }
}

impl WorkerView {
    fn of(worker: &WorkerStatus, now: Timestamp, cpu_time: Duration) -> Self {
        Self {
            number: worker.number.0,
            state: worker.state.as_str().to_owned(),
            started_at: worker.started_at.to_string(),
            uptime_s: now.since(worker.started_at).as_secs(),
            last_activity: worker.last_activity.map(|at| at.to_string()),
            in_flight: worker.in_flight,
            slots: worker.slots,
            processed: worker.processed,
            errors: worker.errors,
            current: worker
                .current
                .as_ref()
                .map(|task| TaskView { channel: task.channel.to_string(), since: task.since.to_string() }),
            affinity: worker
                .affinity
                .as_ref()
                .map(|last| AffinityView { channel: last.channel.to_string(), kind: last.kind.clone() }),
            latency: worker
                .latency
                .map(|latency| LatencyView { mean_ms: milliseconds(latency.mean), p99_ms: milliseconds(latency.p99) }),
            cpu_ms: milliseconds(cpu_time),
            memory_bytes: worker.memory_bytes,
            memory_peak_bytes: worker.memory_peak_bytes,
        }
    }
}
