//! The pool of workers as a server tells of it.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Workers {
    pub(in crate::cli) pool: Pool,
    pub(in crate::cli) workers: Vec<Worker>,
}

#[derive(Clone, Debug, Deserialize)]
pub(in crate::cli) struct Pool {
    pub(in crate::cli) size: u32,
    pub(in crate::cli) min: u32,
    pub(in crate::cli) max: u32,
    /// Somebody has set the size.
    pub(in crate::cli) pinned: bool,
    pub(in crate::cli) pinned_to: Option<u32>,
    /// From 0 to 1.
    pub(in crate::cli) load: f64,
    pub(in crate::cli) in_flight: u64,
    pub(in crate::cli) slots: u64,
    pub(in crate::cli) strategy: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Worker {
    pub(in crate::cli) number: u32,
    pub(in crate::cli) state: String,
    pub(in crate::cli) uptime_s: u64,
    pub(in crate::cli) last_activity: Option<String>,
    pub(in crate::cli) in_flight: u64,
    pub(in crate::cli) slots: u64,
    pub(in crate::cli) processed: u64,
    pub(in crate::cli) errors: u64,
    pub(in crate::cli) current: Option<Task>,
    pub(in crate::cli) affinity: Option<Affinity>,
    pub(in crate::cli) latency: Option<Latency>,
    pub(in crate::cli) cpu_ms: f64,
    pub(in crate::cli) memory_bytes: u64,
    pub(in crate::cli) memory_peak_bytes: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Task {
    pub(in crate::cli) channel: String,
    pub(in crate::cli) since: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Affinity {
    pub(in crate::cli) channel: String,
    pub(in crate::cli) kind: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Latency {
    pub(in crate::cli) mean_ms: f64,
    pub(in crate::cli) p99_ms: f64,
}
