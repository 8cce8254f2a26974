//! Callbacks: what came of calls, and how long they took.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::{CALL_S, Metrics, observed, registered};
use crate::domain::CallbackKind;

/// What came of a call of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackResult {
    /// It did what it was made for.
    Succeeded,
    /// It failed.
    Failed,
    /// It failed by a panic.
    Panicked,
    /// Its time was up.
    TimedOut,
    /// It was given up: no further call is made. Beside the result of the last call.
    Dead,
    /// It was not called: its condition was not met, or it had no turn.
    Skipped,
}

impl CallbackResult {
    /// Every result there is.
    pub const ALL: [Self; 6] =
        [Self::Succeeded, Self::Failed, Self::Panicked, Self::TimedOut, Self::Dead, Self::Skipped];

    /// Its word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed-out",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
        }
    }
}

type OfKind = [(&'static str, &'static str); 1];

#[derive(Debug)]
pub(super) struct CallbackMetrics {
    results: Family<[(&'static str, &'static str); 2], Counter>,
    seconds: Family<OfKind, Histogram, fn() -> Histogram>,
    dead: Gauge,
}

impl CallbackMetrics {
    pub(super) fn new(registry: &mut Registry) -> Self {
        let seconds: Family<OfKind, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(CALL_S));
        Self {
            results: registered(registry, "callbacks", "Calls of callbacks, by what came of them"),
            seconds: observed(registry, "callback_seconds", "How long a call of a callback took", seconds),
            dead: registered(registry, "dead_callbacks", "Calls of callbacks that were given up, and are kept"),
        }
    }
}

impl Metrics {
    /// A call of a callback came to this; `took` where there was a call.
    pub fn callback(&self, kind: CallbackKind, result: CallbackResult, took: Option<Duration>) {
        if !self.enabled {
            return;
        }
        let kind = ("kind", kind.as_str());
        self.callbacks.results.get_or_create(&[kind, ("result", result.as_str())]).inc();
        if let Some(took) = took {
            self.callbacks.seconds.get_or_create(&[kind]).observe(took.as_secs_f64());
        }
    }

    /// So many calls were given up and are kept.
    pub fn dead_callbacks(&self, count: u64) {
        if self.enabled {
            self.callbacks.dead.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
