//! The published shape of the totals.

use serde::Serialize;

use super::callbacks::LatencyView;
use super::milliseconds;
use crate::runtime::{
    CallbacksStatus, KindStatistics, PoolStatus, QueueDepth, RuntimeStatistics, StatusCounts64, StoreTotals,
};

/// Totals, as they are now.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct StatsView {
    /// Deliveries that are kept.
    pub(in crate::api) deliveries: DeliveryTotals,
    /// What waits, the most urgent first.
    pub(in crate::api) queue: Vec<DepthView>,
    pub(in crate::api) workers: WorkerTotals,
    pub(in crate::api) callbacks: CallbackTotals,
    pub(in crate::api) events: EventTotals,
    /// The database.
    pub(in crate::api) store: StoreView,
}

/// Deliveries per status.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeliveryTotals {
    /// Pending or retrying.
    pub(in crate::api) open: u64,
    /// Those of them that wait for another attempt.
    pub(in crate::api) retrying: u64,
    pub(in crate::api) sent: u64,
    pub(in crate::api) failed: u64,
    pub(in crate::api) cancelled: u64,
    /// Failed, and neither replayed nor purged.
    pub(in crate::api) dead_letters: u64,
}

/// What waits at one priority.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DepthView {
    pub(in crate::api) priority: String,
    /// Deliveries, due or not.
    pub(in crate::api) waiting: u64,
    /// How long the oldest that is due has waited.
    pub(in crate::api) oldest_ms: f64,
}

/// The pool of workers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct WorkerTotals {
    pub(in crate::api) size: u32,
    /// From 0 to 1.
    pub(in crate::api) load: f64,
    pub(in crate::api) in_flight: usize,
    pub(in crate::api) slots: usize,
}

/// Callbacks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct CallbackTotals {
    /// With a durable name.
    pub(in crate::api) named: usize,
    /// Those of them that are called no longer.
    pub(in crate::api) disabled: usize,
    /// Events before the one that is furthest behind.
    pub(in crate::api) lag_max: u64,
    /// Since the server started.
    pub(in crate::api) succeeded: u64,
    pub(in crate::api) failed: u64,
    /// Executions that wait for a worker.
    pub(in crate::api) queued: usize,
    /// Calls that were given up, and are kept.
    pub(in crate::api) dead_letters: u64,
    /// How long calls took lately: each kind that was called.
    pub(in crate::api) latency: Vec<KindLatencyView>,
}

/// How long the calls of one kind took lately.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct KindLatencyView {
    /// `completion`, `error`, `progress` or `webhook`.
    pub(in crate::api) kind: String,
    #[serde(flatten)]
    pub(in crate::api) latency: LatencyView,
}

/// Events.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct EventTotals {
    /// The number of the newest: so many there were.
    pub(in crate::api) newest: u64,
    pub(in crate::api) bytes: u64,
}

/// The database.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct StoreView {
    /// In use.
    pub(in crate::api) bytes: u64,
    /// Of the audit log.
    pub(in crate::api) audit_bytes: u64,
}

impl StatsView {
    pub(in crate::api) fn of(statistics: &RuntimeStatistics, callbacks: &CallbacksStatus) -> Self {
        let RuntimeStatistics { deliveries, queue, pool, totals, store_bytes } = statistics;
        let StatusCounts64 { open, sent, failed, cancelled } = *deliveries;
        let StoreTotals { dead_letters, retrying, event_bytes, newest_event, audit_bytes, .. } = *totals;
        let depth = |depth: &QueueDepth| DepthView {
            priority: depth.priority.as_str().to_owned(),
            waiting: depth.waiting,
            oldest_ms: milliseconds(depth.oldest),
        };
        let PoolStatus { size, load, in_flight, slots, .. } = *pool;
        Self {
            deliveries: DeliveryTotals { open, retrying, sent, failed, cancelled, dead_letters },
            queue: queue.iter().map(depth).collect(),
            workers: WorkerTotals { size, load, in_flight, slots },
            callbacks: CallbackTotals::of(callbacks),
            events: EventTotals { newest: newest_event, bytes: event_bytes },
            store: StoreView { bytes: *store_bytes, audit_bytes },
        }
    }
}

impl KindLatencyView {
    fn of(statistics: &KindStatistics) -> Option<Self> {
        let latency = LatencyView::from(statistics.latency?);
        Some(Self { kind: statistics.kind.as_str().to_owned(), latency })
    }
}

impl CallbackTotals {
    fn of(status: &CallbacksStatus) -> Self {
        let CallbacksStatus { statistics, callbacks, dead_letters, components: _ } = status;
        let kinds = || statistics.iter().flat_map(|one| &one.kinds);
        Self {
            named: callbacks.len(),
            disabled: callbacks.iter().filter(|one| one.disabled.is_some()).count(),
            // One that nobody calls falls behind for ever, and that is no news.
            lag_max: callbacks.iter().filter(|one| one.known).map(|one| one.lag).max().unwrap_or_default(),
            succeeded: kinds().map(|kind| kind.succeeded).sum(),
            failed: kinds().map(|kind| kind.failed).sum(),
            queued: statistics.iter().filter_map(|one| one.executor.as_ref()).map(|one| one.queued).sum(),
            dead_letters: *dead_letters,
            latency: kinds().filter_map(KindLatencyView::of).collect(),
        }
    }
}
