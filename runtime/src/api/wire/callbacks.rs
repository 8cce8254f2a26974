//! What is answered about callbacks.

use serde::Serialize;

use super::{ComponentView, milliseconds};
use crate::domain::{CallbackDisabled, DeadCallback, Timestamp};
use crate::runtime::{
    CallState, CallbackReplay, CallbackStanding, CallbacksStatus, ExecutorStatistics, FullCounts, KindStatistics,
    LatencyStatistics,
};

/// How callbacks are doing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct CallbacksView {
    /// Those with a durable name, by name.
    pub(in crate::api) callbacks: Vec<CallbackView>,
    /// Every kind that was called or was to be.
    pub(in crate::api) kinds: Vec<KindView>,
    /// Null where nobody in this server runs callbacks of an embedding program.
    pub(in crate::api) executor: Option<ExecutorView>,
    /// Calls that were given up, and are kept.
    pub(in crate::api) dead_letters: u64,
    /// What works.
    pub(in crate::api) components: Vec<ComponentView>,
}

/// A callback with a durable name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct CallbackView {
    pub(in crate::api) name: String,
    /// `ready`, `failing` and called again later, `held` by its receiver's `Retry-After`, `disabled`, or `unknown` where nobody
    /// calls it: it is not configured, and not registered.
    pub(in crate::api) state: String,
    /// The number of the last event that it is through with, those owed aside.
    pub(in crate::api) cursor: u64,
    /// Events behind that one.
    pub(in crate::api) lag: u64,
    /// Events that it is still to hear of after a call that failed. Of an unknown one, 1,000 stands for more.
    pub(in crate::api) owed: u64,
    /// Since when it is called no longer; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) disabled_at: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
    /// Since when its calls fail; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) failing_since: Option<String>,
    /// Why the last one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) last_error: Option<String>,
    /// Its receiver asked not to be called before; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) held_until: Option<String>,
    /// When the next call is to be made of those that are owed; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) next_call_at: Option<String>,
}

/// The callbacks of one kind, since the server started.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct KindView {
    /// `completion`, `error`, `progress` or `webhook`.
    pub(in crate::api) kind: String,
    /// Executions that ended well.
    pub(in crate::api) succeeded: u64,
    /// Calls that failed, those that were made again among them.
    pub(in crate::api) failed: u64,
    /// Failed calls that panicked.
    pub(in crate::api) panicked: u64,
    /// Failed calls whose time was up.
    pub(in crate::api) timed_out: u64,
    /// Retries that were waited for.
    pub(in crate::api) retried: u64,
    /// Executions that were given up.
    pub(in crate::api) dead: u64,
    /// Executions that were not called.
    pub(in crate::api) skipped: u64,
    /// From 0 to 1; null where none has ended.
    pub(in crate::api) success_rate: Option<f64>,
    /// Null where nobody was called lately.
    pub(in crate::api) latency: Option<LatencyView>,
}

/// How long calls took lately, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct LatencyView {
    pub(in crate::api) count: u64,
    pub(in crate::api) min_ms: f64,
    pub(in crate::api) avg_ms: f64,
    pub(in crate::api) max_ms: f64,
    pub(in crate::api) p95_ms: f64,
    pub(in crate::api) p99_ms: f64,
}

/// Who runs callbacks of an embedding program.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct ExecutorView {
    pub(in crate::api) workers: usize,
    pub(in crate::api) busy: usize,
    /// Executions that wait for a worker, and how many may.
    pub(in crate::api) queued: usize,
    pub(in crate::api) queue: usize,
    /// Executions that wait for a retry.
    pub(in crate::api) retrying: usize,
    /// `wait`, `drop-oldest` or `refuse`.
    pub(in crate::api) when_full: String,
    /// What happened to those that found no room.
    pub(in crate::api) full: FullView,
}

/// What happened where the queue was full.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct FullView {
    /// Waited in vain.
    pub(in crate::api) timed_out: u64,
    /// Gave their place to a newer one.
    pub(in crate::api) dropped: u64,
    /// Were turned away.
    pub(in crate::api) refused: u64,
}

/// A page of calls that were given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeadCallbackList {
    /// The oldest first.
    pub(in crate::api) dead_letters: Vec<DeadCallbackView>,
    /// Where the list goes on; null at its end.
    pub(in crate::api) next_cursor: Option<String>,
}

/// A call that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeadCallbackView {
    pub(in crate::api) id: u64,
    pub(in crate::api) callback: String,
    /// `completion`, `error`, `progress` or `webhook`.
    pub(in crate::api) kind: String,
    /// The number of the event.
    pub(in crate::api) event: u64,
    pub(in crate::api) notification_id: Option<String>,
    pub(in crate::api) delivery_id: Option<String>,
    /// Calls made.
    pub(in crate::api) attempts: u32,
    /// Why there will be no more.
    pub(in crate::api) reason: String,
    /// When it was given up; RFC 3339.
    pub(in crate::api) at: String,
}

/// What came of a replay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct CallbackReplayAnswer {
    /// Calls that are made again.
    pub(in crate::api) replayed: u64,
    /// Calls of callbacks that nobody has registered or configured: they stay dead.
    pub(in crate::api) unknown: u64,
    /// Calls of callbacks that are disabled: they stay dead.
    pub(in crate::api) disabled: u64,
    /// Calls about events that are not kept any more: they stay dead.
    pub(in crate::api) gone: u64,
}

/// How many were put away.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct PurgedView {
    pub(in crate::api) purged: u64,
}

/// What was done to a callback.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct EnableAnswer {
    /// `false` where it was called before.
    pub(in crate::api) changed: bool,
    pub(in crate::api) name: String,
}

/// What is remembered no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct ForgetAnswer {
    pub(in crate::api) name: String,
    /// Calls of it that were given up, and are put away.
    pub(in crate::api) purged: u64,
}

/// What came of the replay of a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct RangeReplayAnswer {
    /// Events that are told again; what waits already is not among them.
    pub(in crate::api) replayed: u64,
}

impl From<&CallbacksStatus> for CallbacksView {
    fn from(status: &CallbacksStatus) -> Self {
        let CallbacksStatus { statistics, callbacks, dead_letters, components } = status;
        Self {
            callbacks: callbacks.iter().map(CallbackView::from).collect(),
            kinds: statistics.iter().flat_map(|one| &one.kinds).map(KindView::from).collect(),
            executor: statistics.iter().find_map(|one| one.executor.as_ref()).map(ExecutorView::from),
            dead_letters: *dead_letters,
            components: components.iter().map(ComponentView::from).collect(),
        }
    }
}

impl From<&CallbackStanding> for CallbackView {
    fn from(standing: &CallbackStanding) -> Self {
        let CallbackStanding { name, known, cursor, lag, owed, calls, disabled } = standing;
        let CallState { held_until, next_call, failing_since, last_error, .. } = calls.clone().unwrap_or_default();
        let state = match (known, disabled) {
            (false, _) => "unknown",
            (true, Some(_)) => "disabled",
            (true, None) if held_until.is_some() => "held",
            (true, None) if last_error.is_some() => "failing",
            (true, None) => "ready",
        };
        let (disabled_at, reason) =
            disabled.as_ref().map(|CallbackDisabled { at, reason }| (at.to_string(), reason.clone())).unzip();
        let told = |at: Option<Timestamp>| at.map(|at| at.to_string());
        Self {
            name: name.to_string(),
            state: state.to_owned(),
            cursor: *cursor,
            lag: *lag,
            owed: *owed,
            disabled_at,
            reason,
            failing_since: told(failing_since),
            last_error,
            held_until: told(held_until),
            // Of what is owed: to one that is through with everything the next event is told at once.
            next_call_at: told(next_call.filter(|_| *owed > 0)),
        }
    }
}

impl From<&KindStatistics> for KindView {
    fn from(statistics: &KindStatistics) -> Self {
        let KindStatistics { kind, succeeded, failed, panicked, timed_out, retried, dead, skipped, .. } = *statistics;
        let latency = statistics.latency.map(LatencyView::from);
        let (kind, success_rate) = (kind.as_str().to_owned(), statistics.success_rate);
        Self { kind, succeeded, failed, panicked, timed_out, retried, dead, skipped, success_rate, latency }
    }
}

impl From<LatencyStatistics> for LatencyView {
    fn from(LatencyStatistics { count, min, avg, max, p95, p99 }: LatencyStatistics) -> Self {
        Self {
            count,
            min_ms: milliseconds(min),
            avg_ms: milliseconds(avg),
            max_ms: milliseconds(max),
            p95_ms: milliseconds(p95),
            p99_ms: milliseconds(p99),
        }
    }
}

impl From<&ExecutorStatistics> for ExecutorView {
    fn from(statistics: &ExecutorStatistics) -> Self {
        let ExecutorStatistics { workers, busy, queued, queue, retrying, when_full, full } = *statistics;
        let FullCounts { timed_out, dropped, refused } = full;
        let (when_full, full) = (when_full.as_str().to_owned(), FullView { timed_out, dropped, refused });
        Self { workers, busy, queued, queue, retrying, when_full, full }
    }
}

impl From<&DeadCallback> for DeadCallbackView {
    fn from(dead: &DeadCallback) -> Self {
        let DeadCallback { id, callback, kind, event, notification, delivery, attempts, reason, at } = dead;
        Self {
            id: *id,
            callback: callback.to_string(),
            kind: kind.as_str().to_owned(),
            event: *event,
            notification_id: notification.map(|id| id.to_string()),
            delivery_id: delivery.map(|id| id.to_string()),
            attempts: *attempts,
            reason: reason.clone(),
            at: at.to_string(),
        }
    }
}

impl From<CallbackReplay> for CallbackReplayAnswer {
    fn from(CallbackReplay { replayed, unknown, disabled, gone }: CallbackReplay) -> Self {
        Self { replayed, unknown, disabled, gone }
    }
}
