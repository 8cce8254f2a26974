//! How callbacks are doing, as plain values.

use super::executor::ExecutorStatistics;
use super::tracker::KindStatistics;

/// A callback with a durable name that is further behind than this does not keep up.
const BEHIND_MAX: u64 = 10_000;

/// How callbacks are doing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackStatistics {
    /// Of each kind that was called or was to be.
    pub kinds: Vec<KindStatistics>,
    /// What runs them.
    pub executor: ExecutorStatistics,
    /// Callbacks that are registered.
    pub registered: usize,
    /// How many events of the outbox the one with a durable name that is furthest behind has before it.
    pub behind: Option<u64>,
    /// Calls given up that could not be written down either, since the store was closed or refused them.
    pub lost: u64,
    /// Whether each part works.
    pub health: Vec<CallbackHealth>,
}

/// One part of what runs callbacks, and whether it works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackHealth {
    /// `registry`, `executor` or `recovery`.
    pub name: &'static str,
    /// Whether it works. Delivery goes on in any case.
    pub is_ready: bool,
    /// A word on its state.
    pub detail: String,
}

pub(super) fn health(
    registered: usize,
    executor: &ExecutorStatistics,
    behind: Option<u64>,
    lost: u64,
) -> Vec<CallbackHealth> {
    let ExecutorStatistics { workers, busy, queued, queue, retrying, .. } = *executor;
    let recovery = match (behind, lost) {
        (Some(behind), 0) => format!("the furthest behind has {behind} events before it"),
        (None, 0) => "no callback has a durable name".to_owned(),
        (_, lost) => {
            format!("{lost} calls that were given up could not be written down: see whether the store can be written")
        }
    };
    vec![
        CallbackHealth { name: "registry", is_ready: true, detail: format!("{registered} callbacks are registered") },
        CallbackHealth {
            name: "executor",
            is_ready: queued < queue,
            detail: format!(
                "{busy} of {workers} workers are busy, {queued} of {queue} places are taken, {retrying} retries wait"
            ),
        },
        CallbackHealth { name: "recovery", is_ready: lost == 0 && behind.unwrap_or(0) <= BEHIND_MAX, detail: recovery },
    ]
}
