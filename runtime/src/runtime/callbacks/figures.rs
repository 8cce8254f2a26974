//! What is counted of callbacks.

use std::time::Duration;

use crate::config::WhenFull;
use crate::domain::CallbackKind;

/// How the callbacks of one caller are doing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackStatistics {
    /// Those who call; none where each callback has a queue of its own.
    pub executor: Option<ExecutorStatistics>,
    /// Every kind that was called or was to be.
    pub kinds: Vec<KindStatistics>,
}

/// How the executor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorStatistics {
    /// Events that may be worked on at the same time.
    pub workers: usize,
    /// Events that are worked on.
    pub busy: usize,
    /// Events that wait for a worker.
    pub queued: usize,
    /// Events that may wait for a worker.
    pub queue: usize,
    /// Events that wait for a retry.
    pub retrying: usize,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// What happened when it was.
    pub full: FullCounts,
}

/// What happened to those that found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullCounts {
    /// Waited in vain.
    pub timed_out: u64,
    /// Gave their place to a newer one.
    pub dropped: u64,
    /// Were turned away.
    pub refused: u64,
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
    /// How long calls took lately; none where there was none.
    pub latency: Option<LatencyStatistics>,
}

/// How long calls took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyStatistics {
    /// Calls that it is about.
    pub count: u64,
    /// The shortest.
    pub min: Duration,
    /// The mean.
    pub avg: Duration,
    /// The longest.
    pub max: Duration,
    /// 95 of 100 were not longer.
    pub p95: Duration,
    /// 99 of 100 were not longer.
    pub p99: Duration,
}
