//! The parts of the runtime that are not one channel's or one callback's, and how each does.
//!
//! *Invariants:* only what keeps everything from going on makes the whole unready: a store that refuses, and a pool
//! without a worker.

use std::time::Duration;

use super::{PluginState, PluginStatus, PoolStatus, QueueDepth, Runtime, WorkerState};
use crate::config::format_duration;

/// What is due and not held waits no longer than this where there are workers enough.
const OLDEST_MAX: Duration = Duration::from_mins(1);

/// How a part does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ComponentState {
    /// It works.
    Ok,
    /// It works, and somebody should look at it.
    Degraded,
    /// It does not work.
    Failed,
}

impl ComponentState {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }

    /// Of what works, or does not.
    pub(super) const fn works(does: bool) -> Self {
        if does { Self::Ok } else { Self::Failed }
    }
}

/// One part of the runtime and how it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentHealth {
    /// `store`, `pool`, `queue`, `registry`, `callbacks`, `channel:<name>`, `template-engine:<name>` of one that is
    /// quarantined, `callback:<name>` of one with a durable name.
    pub name: String,
    /// How it does.
    pub state: ComponentState,
    /// Nothing can be accepted or delivered without it. A channel is not: the others go on.
    pub essential: bool,
    /// What is wrong, or a word on how it is.
    pub detail: Option<String>,
}

impl ComponentHealth {
    /// Whether it works, well or badly.
    #[must_use]
    pub const fn is_ready(&self) -> bool {
        !matches!(self.state, ComponentState::Failed)
    }

    fn new(name: &str, state: ComponentState, essential: bool, detail: String) -> Self {
        Self { name: name.to_owned(), state, essential, detail: Some(detail) }
    }
}

impl Runtime {
    /// The pool, the queue, the registry of plugins, and callbacks as a whole.
    pub(super) fn components(&self, callbacks: &[ComponentHealth]) -> [ComponentHealth; 4] {
        let silent = self.parts.dispatcher.silent_workers();
        [
            pool(&self.workers(), silent),
            queue(&self.queue_depths()),
            registry(&self.plugins()),
            together(callbacks, self.parts.store.totals().dead_callbacks),
        ]
    }
}

fn pool(pool: &PoolStatus, silent: usize) -> ComponentHealth {
    let alive = pool.workers.iter().filter(|worker| worker.state != WorkerState::Stopped).count();
    let (min, max) = (pool.min, pool.max);
    let mut detail = format!("{alive} {}, {min} to {max} by its settings", counted(alive, "worker", "workers"));
    let state = match (alive, silent) {
        (0, _) => ComponentState::Failed,
        (_, 0) if pool.pinned.is_some() || alive >= min as usize => ComponentState::Ok,
        _ => ComponentState::Degraded,
    };
    if silent > 0 {
        let one = counted(silent, "does not answer and is", "do not answer and are");
        detail.push_str(&format!("; {silent} {one} replaced at the next health check"));
    }
    ComponentHealth::new("pool", state, true, detail)
}

fn queue(depths: &[QueueDepth]) -> ComponentHealth {
    let waiting: u64 = depths.iter().map(|depth| depth.waiting).sum();
    let oldest = depths.iter().map(|depth| depth.oldest).max().unwrap_or_default();
    // To the second: nobody acts on less.
    let oldest = Duration::from_secs(oldest.as_secs());
    let mut detail = format!("{waiting} {}", counted(waiting as usize, "delivery waits", "deliveries wait"));
    if !oldest.is_zero() {
        detail.push_str(&format!(", the oldest that is due for {}", format_duration(oldest)));
    }
    let is_late = oldest > OLDEST_MAX;
    if is_late {
        detail.push_str("; more comes than is delivered: `campanile workers` and `campanile channels list` show where");
    }
    ComponentHealth::new("queue", if is_late { ComponentState::Degraded } else { ComponentState::Ok }, false, detail)
}

fn registry(plugins: &[PluginStatus]) -> ComponentHealth {
    let count = |is_one: fn(&PluginState) -> bool| plugins.iter().filter(|plugin| is_one(&plugin.state)).count();
    let loaded = count(|state| matches!(state, PluginState::Serving | PluginState::Canary | PluginState::Available));
    let troubled = [
        ("held", count(|state| matches!(state, PluginState::Held { .. }))),
        ("quarantined", count(|state| matches!(state, PluginState::Quarantined { .. }))),
        ("rolled back", count(|state| matches!(state, PluginState::RolledBack { .. }))),
        ("refused", count(|state| matches!(state, PluginState::Refused { .. }))),
    ];
    let words: Vec<_> =
        troubled.iter().filter(|(_, count)| *count > 0).map(|(word, count)| format!("{count} {word}")).collect();
    let mut detail = format!("{loaded} {}", counted(loaded, "plugin", "plugins"));
    if words.is_empty() {
        return ComponentHealth::new("registry", ComponentState::Ok, false, detail);
    }
    detail.push_str(&format!(", {}; `campanile plugins list` says why", words.join(", ")));
    ComponentHealth::new("registry", ComponentState::Degraded, false, detail)
}

fn together(callbacks: &[ComponentHealth], dead: u64) -> ComponentHealth {
    let off = callbacks.iter().filter(|callback| !callback.is_ready()).count();
    let all = callbacks.len();
    let mut detail = format!("{all} {} a durable name", counted(all, "callback has", "callbacks have"));
    if off > 0 {
        detail.push_str(&format!(", {off} {} called no longer", counted(off, "is", "are")));
    }
    if dead > 0 {
        let calls = counted(dead as usize, "call was", "calls were");
        detail.push_str(&format!("; {dead} {calls} given up: `campanile callbacks dead-letters` lists them"));
    }
    let state = if off > 0 { ComponentState::Degraded } else { ComponentState::Ok };
    ComponentHealth::new("callbacks", state, false, detail)
}

const fn counted(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::WorkersConfig;
    use crate::domain::Priority;

    fn sized(min: u32, pinned: Option<u32>) -> PoolStatus {
        let strategy = WorkersConfig::default().strategy;
        PoolStatus { size: 0, min, max: 4, pinned, load: 0.0, in_flight: 0, slots: 0, strategy, workers: Vec::new() }
    }

    fn depths(waiting: u64, oldest: Duration) -> Vec<QueueDepth> {
        let depth = |priority| QueueDepth { priority, waiting, oldest: Duration::ZERO };
        let mut depths = Priority::DESCENDING.map(depth).to_vec();
        depths[2].oldest = oldest;
        depths
    }

    #[test]
    fn a_pool_without_a_worker_has_failed_and_everything_with_it() {
        let health = pool(&sized(2, None), 0);
        assert_eq!((health.state, health.essential, health.is_ready()), (ComponentState::Failed, true, false));
        assert_eq!(health.detail.as_deref(), Some("0 workers, 2 to 4 by its settings"));
    }

    #[test]
    fn a_queue_is_looked_at_where_its_oldest_waits_for_over_a_minute() {
        let well = queue(&depths(1, Duration::from_millis(59_900)));
        assert_eq!(well.state, ComponentState::Ok);
        assert_eq!(well.detail.as_deref(), Some("4 deliveries wait, the oldest that is due for 59s"));
        let late = queue(&depths(0, Duration::from_secs(90)));
        assert_eq!((late.state, late.essential), (ComponentState::Degraded, false));
        assert!(late.detail.is_some_and(|detail| detail.contains("for 1m30s; more comes than is delivered")));
        assert_eq!(queue(&depths(0, Duration::ZERO)).detail.as_deref(), Some("0 deliveries wait"));
    }

    #[test]
    fn callbacks_are_looked_at_where_one_is_called_no_longer() {
        let one = |state| ComponentHealth::new("callback:x", state, false, String::new());
        let well = together(&[one(ComponentState::Ok)], 0);
        assert_eq!((well.state, well.detail.as_deref()), (ComponentState::Ok, Some("1 callback has a durable name")));
        let off = together(&[one(ComponentState::Ok), one(ComponentState::Failed)], 12);
        assert_eq!(off.state, ComponentState::Degraded);
        let expected = "2 callbacks have a durable name, 1 is called no longer; 12 calls were given up: \
                        `campanile callbacks dead-letters` lists them";
        assert_eq!(off.detail.as_deref(), Some(expected));
    }
}
