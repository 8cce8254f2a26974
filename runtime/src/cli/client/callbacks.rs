//! Callbacks as a server tells of them.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Callbacks {
    pub(in crate::cli) callbacks: Vec<Callback>,
    pub(in crate::cli) kinds: Vec<Kind>,
    pub(in crate::cli) executor: Option<Executor>,
    pub(in crate::cli) dead_letters: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Callback {
    pub(in crate::cli) name: String,
    pub(in crate::cli) state: String,
    pub(in crate::cli) cursor: u64,
    pub(in crate::cli) lag: u64,
    pub(in crate::cli) owed: u64,
    pub(in crate::cli) disabled_at: Option<String>,
    pub(in crate::cli) reason: Option<String>,
    pub(in crate::cli) failing_since: Option<String>,
    pub(in crate::cli) last_error: Option<String>,
    pub(in crate::cli) held_until: Option<String>,
    pub(in crate::cli) next_call_at: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Kind {
    pub(in crate::cli) kind: String,
    pub(in crate::cli) succeeded: u64,
    pub(in crate::cli) failed: u64,
    pub(in crate::cli) dead: u64,
    pub(in crate::cli) success_rate: Option<f64>,
    pub(in crate::cli) latency: Option<Latency>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Latency {
    pub(in crate::cli) avg_ms: f64,
    pub(in crate::cli) p95_ms: f64,
    pub(in crate::cli) p99_ms: f64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct Executor {
    pub(in crate::cli) workers: u64,
    pub(in crate::cli) busy: u64,
    pub(in crate::cli) queued: u64,
    pub(in crate::cli) queue: u64,
    pub(in crate::cli) retrying: u64,
    pub(in crate::cli) when_full: String,
}

/// A page of calls that were given up.
#[derive(Debug, Deserialize)]
pub(in crate::cli) struct DeadCallbacks {
    pub(in crate::cli) dead_letters: Vec<DeadCallback>,
    pub(in crate::cli) next_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct DeadCallback {
    pub(in crate::cli) id: u64,
    pub(in crate::cli) callback: String,
    pub(in crate::cli) kind: String,
    pub(in crate::cli) event: u64,
    pub(in crate::cli) notification_id: Option<String>,
    pub(in crate::cli) delivery_id: Option<String>,
    pub(in crate::cli) attempts: u32,
    pub(in crate::cli) reason: String,
    pub(in crate::cli) at: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct CallbackReplayed {
    pub(in crate::cli) replayed: u64,
    pub(in crate::cli) unknown: u64,
    pub(in crate::cli) disabled: u64,
    pub(in crate::cli) gone: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct CallbackEnabled {
    pub(in crate::cli) changed: bool,
    pub(in crate::cli) name: String,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct CallbackForgotten {
    pub(in crate::cli) name: String,
    pub(in crate::cli) purged: u64,
}

#[derive(Debug, Deserialize)]
pub(in crate::cli) struct RangeReplayed {
    pub(in crate::cli) replayed: u64,
}
