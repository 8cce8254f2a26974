//! Totals as a server tells them.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Stats {
    pub(in crate::cli) deliveries: Deliveries,
    pub(in crate::cli) queue: Vec<Depth>,
    pub(in crate::cli) workers: Workers,
    pub(in crate::cli) callbacks: Callbacks,
    pub(in crate::cli) events: Events,
    pub(in crate::cli) store: Store,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Deliveries {
    pub(in crate::cli) open: u64,
    pub(in crate::cli) retrying: u64,
    pub(in crate::cli) sent: u64,
    pub(in crate::cli) failed: u64,
    pub(in crate::cli) cancelled: u64,
    pub(in crate::cli) dead_letters: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Depth {
    pub(in crate::cli) priority: String,
    pub(in crate::cli) waiting: u64,
    pub(in crate::cli) oldest_ms: f64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Workers {
    pub(in crate::cli) size: u32,
    pub(in crate::cli) load: f64,
    pub(in crate::cli) in_flight: u64,
    pub(in crate::cli) slots: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Callbacks {
    pub(in crate::cli) named: u64,
    pub(in crate::cli) disabled: u64,
    pub(in crate::cli) lag_max: u64,
    pub(in crate::cli) succeeded: u64,
    pub(in crate::cli) failed: u64,
    pub(in crate::cli) queued: u64,
    pub(in crate::cli) dead_letters: u64,
    pub(in crate::cli) latency: Vec<Latency>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Latency {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) p95_ms: f64,
    pub(in crate::cli) p99_ms: f64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Events {
    pub(in crate::cli) newest: u64,
    pub(in crate::cli) bytes: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Store {
    pub(in crate::cli) bytes: u64,
    pub(in crate::cli) audit_bytes: u64,
}
