//! Events: how fast one stream reaches many, how soon a callback is called, what a consumer pays for one, and what delivery
//! loses beside a callback that never returns.

mod fan_out;
mod latency;
mod stuck;

use std::hint::black_box;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;

use crate::bench::through::ThroughError;
use crate::callback::{CallbackError, CallbackSettingsError};
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::domain::NameError;
use crate::events::{EventTracker, Recorded};
use crate::runtime::BuildError;
use crate::store::StoreError;

/// What is measured.
#[derive(Clone, Debug)]
pub struct EventsParams {
    /// The folder with the bundled plugins, `null.wasm` among them.
    pub plugins: PathBuf,
    /// A folder on the disk; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
    /// Those who read the stream over connections, each all of it. Default: 100.
    pub subscribers: u32,
    /// Notifications that make the events, four each; in thousands. Default: 10,000.
    pub notifications: u32,
    /// Ends of deliveries of which a callback is told, one at a time. Default: 1,000.
    pub callbacks: u32,
    /// Notifications through the `null` channel, once with a callback that never returns and once without, a pair at a
    /// time. Default: 100,000.
    pub stuck_notifications: u32,
    /// Such pairs. Default: 3.
    pub stuck_pairs: u32,
}

impl EventsParams {
    /// The defaults, with these plugins, in this folder.
    #[must_use]
    pub const fn new(plugins: PathBuf, folder: PathBuf) -> Self {
        Self {
            plugins,
            folder,
            subscribers: 100,
            notifications: 10_000,
            callbacks: 1_000,
            stuck_notifications: 100_000,
            stuck_pairs: 3,
        }
    }
}

/// The answer of `campanile bench events`.
#[derive(Clone, Debug, Serialize)]
pub struct EventsBench {
    /// Events that reached the subscribers, all of them together, from the first submit to the last event.
    pub events_per_second: u64,
    /// Those who read all events.
    pub subscribers: u32,
    /// What an event costs a consumer.
    #[serde(flatten)]
    pub costs: CallbackCosts,
    /// From the commit of a delivery's end to the begin of `on_completion` in an idle program, 99 of 100, in milliseconds.
    pub callback_p99_ms: f64,
    /// What delivery does beside a callback that never returns.
    #[serde(flatten)]
    pub stuck: StuckCallback,
}

/// Deliveries through the `null` channel, from the first submit to the last durable outcome, with and without a callback
/// that never returns: the middle of several runs of each, in turn.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct StuckCallback {
    /// With ÷ without.
    pub stuck_callback_ratio: f64,
    /// Deliveries a second beside it.
    pub stuck_callback_completed_per_second: u64,
    /// Deliveries a second with no callback registered.
    pub no_callback_completed_per_second: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventsBenchError {
    /// The runtime does not start.
    #[error("the runtime does not start")]
    Build(#[from] BuildError),
    /// There is no port, or no folder.
    #[error("the server does not start")]
    Io(#[from] std::io::Error),
    /// A request failed.
    #[error("a request failed")]
    Request(#[from] reqwest::Error),
    /// Deliveries cannot be measured.
    #[error("deliveries cannot be measured")]
    Through(#[from] ThroughError),
    /// A subscriber was let go.
    #[error("a subscriber was cut off after {events} events")]
    CutOff {
        /// What it had by then.
        events: u64,
    },
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A defect of ours: a callback can be registered.
    #[error(transparent)]
    Callback(#[from] CallbackError),
    /// A defect of ours: the default settings are good.
    #[error(transparent)]
    Settings(#[from] CallbackSettingsError),
    /// A defect of ours: the channel has a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Measures.
///
/// # Errors
///
/// [`EventsBenchError`] where the folder cannot hold a store, or a request fails.
pub async fn run(params: &EventsParams) -> Result<EventsBench, EventsBenchError> {
    let id = Entropy::from_system().notification_id(SystemClock::default().now());
    let folder = params.folder.join(format!("campanile-bench-{id}"));
    let bench = measure(params, &folder).await;
    // What is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(&folder);
    bench
}

async fn measure(params: &EventsParams, folder: &std::path::Path) -> Result<EventsBench, EventsBenchError> {
    std::fs::create_dir_all(folder)?;
    let events_per_second = fan_out::measure(params, folder).await?;
    let callback_p99_ms = latency::measure(params, folder).await?;
    let costs = callbacks(CallbackParams::default()).await;
    let stuck = stuck::measure(params, folder).await?;
    Ok(EventsBench { events_per_second, subscribers: params.subscribers, costs, callback_p99_ms, stuck })
}

/// How the costs of a callback are measured.
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

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn everybody_reads_everything_and_the_keys_are_the_published_ones() {
        let guests = std::env::var_os("CAMPANILE_GUESTS").expect("CAMPANILE_GUESTS names the folder of built plugins");
        let folder = tempfile::tempdir().unwrap();
        let defaults = EventsParams::new(guests.into(), folder.path().to_owned());
        let bench = run(&EventsParams {
            subscribers: 3,
            notifications: 1_000,
            callbacks: 20,
            stuck_notifications: 500,
            stuck_pairs: 1,
            ..defaults
        })
        .await
        .unwrap();
        let json = serde_json::to_value(bench).unwrap();
        let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        let published = [
            "async_callback_ns",
            "callback_p99_ms",
            "events_per_second",
            "no_callback_completed_per_second",
            "stuck_callback_completed_per_second",
            "stuck_callback_ratio",
            "subscribers",
            "sync_callback_ns",
        ];
        assert_eq!(keys, published);
        assert!(json["events_per_second"].as_u64() > Some(0) && json["callback_p99_ms"].as_f64() > Some(0.0), "{json}");
        assert!(json["stuck_callback_ratio"].as_f64() > Some(0.0), "{json}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it leaves nothing behind");
    }
}
