//! What a consumer of events pays for a callback.

use std::hint::black_box;
use std::time::Instant;

use serde::Serialize;

use crate::events::{EventTracker, Recorded};

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct CallbackParams {
    /// Events recorded, each with an id of its own. Default: 200,000.
    pub events: u32,
    /// Events that may stand in the channel of the asynchronous callback. Default: 1,024.
    pub queue: usize,
}

impl Default for CallbackParams {
    fn default() -> Self {
        Self { events: 200_000, queue: 1_024 }
    }
}

/// The time that an [`EventTracker`] takes for an event, with a callback that does next to nothing.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CallbackCosts {
    /// With a synchronous callback, in nanoseconds an event.
    pub sync_callback_ns: f64,
    /// With an asynchronous one, until its last call has ended, in nanoseconds an event.
    pub async_callback_ns: f64,
}

/// Measures both.
pub async fn callbacks(params: CallbackParams) -> CallbackCosts {
    // Made before: what a source costs is not what is measured.
    let ids: Vec<String> = (0..params.events).map(|n| format!("0123456789abcdef-{n}")).collect();
    CallbackCosts {
        sync_callback_ns: synchronous(&ids).await,
        async_callback_ns: asynchronous(&ids, params.queue).await,
    }
}

async fn synchronous(ids: &[String]) -> f64 {
    let mut sum = 0_u64;
    let mut tracker = EventTracker::new(move |_: &str, event: &u64| sum = black_box(sum + *event));
    let started = Instant::now();
    for (event, id) in (0..).zip(ids) {
        hand(&mut tracker, id, event).await;
    }
    per_event(started, ids)
}

async fn asynchronous(ids: &[String], queue: usize) -> f64 {
    let mut sum = 0_u64;
    let mut tracker = EventTracker::asynchronous(queue, move |_, event: u64| {
        sum = black_box(sum + event);
        std::future::ready(())
    });
    let started = Instant::now();
    for (event, id) in (0..).zip(ids) {
        hand(&mut tracker, id, event).await;
    }
    tracker.close().await;
    per_event(started, ids)
}

/// As a consumer does that loses nothing.
async fn hand(tracker: &mut EventTracker<u64>, id: &str, mut event: u64) {
    while let Recorded::TimedOut(again) = tracker.record(id, event).await {
        event = again;
    }
}

fn per_event(started: Instant, ids: &[String]) -> f64 {
    let ns = started.elapsed().as_nanos() as f64 / ids.len().max(1) as f64;
    (ns * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn both_figures_stand_under_their_published_keys() {
        let costs = callbacks(CallbackParams { events: 1_000, queue: 8 }).await;
        let json = serde_json::to_value(costs).unwrap();
        assert!(json["sync_callback_ns"].as_f64().unwrap() > 0.0, "{json}");
        assert!(json["async_callback_ns"].as_f64().unwrap() > 0.0, "{json}");
    }
}
