//! How fast the whole way is: accepted durably, queued, claimed, called, settled durably.
//!
//! Whoever composes the parts brings the caller: the sandbox with the `null` or the `webhook` channel, or any other.

mod beside;
mod meter;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use self::meter::{Listener, Meter};
use crate::call::{Caller, ContentSource, NoChannels};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{Durability, WorkersConfig};
use crate::dispatch::{Dispatcher, Fallbacks, Neighbours, Pace, Paces, RetryPolicies, TimeLimits};
use crate::domain::{BreakerPolicy, ChannelName, Content, Notification, Priority, Rate, Recipient, Timestamp};
use crate::events::Inlet;
use crate::queue::{GateSettings, QueueHandle, WindowLimits};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Planned, PlannedDelivery, Store, StoreError};
use crate::telemetry::Metrics;

/// What is measured.
#[derive(Clone, Debug)]
pub struct PipelineParams {
    /// Through which channel.
    pub channel: ChannelName,
    /// Notifications, with one delivery each. Default: 200,000.
    pub notifications: u32,
    /// Deliveries of the same lane that wait in the store besides, scheduled for tomorrow. Default: 0.
    pub backlog: u64,
    /// How durable. Default: `full`.
    pub durability: Durability,
    /// A folder on the disk to be measured; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
    /// The pool.
    pub workers: WorkersConfig,
    /// Notifications in one accept. Default: 250.
    pub batch: u32,
    /// Notifications accepted and not yet ended, at most: the clients' patience. Default: 10,000.
    pub open_max: u32,
    /// Whether every gate stands in the way, each too wide to hold anything back: breakers, rates, limits of calls at
    /// once. Default: yes.
    pub gates: bool,
    /// Callbacks beside it. Default: none, and nothing that would call them.
    pub callbacks: Beside,
}

/// What follows the ends of deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    #[default]
    Nothing,
    /// What calls callbacks, as in every runtime; none is registered.
    NoCallback,
    /// A callback of every end that never returns.
    StuckCallback,
}

impl PipelineParams {
    /// The defaults, through `channel`.
    #[must_use]
    pub fn through(channel: ChannelName) -> Self {
        Self {
            channel,
            notifications: 200_000,
            backlog: 0,
            durability: Durability::Full,
            folder: std::env::temp_dir(),
            workers: WorkersConfig::default(),
            batch: 250,
            open_max: 10_000,
            gates: true,
            callbacks: Beside::Nothing,
        }
    }
}

/// What makes the calls.
pub struct PipelineParts {
    /// Makes the calls.
    pub caller: Arc<dyn Caller>,
    /// Gives content.
    pub content: Arc<dyn ContentSource>,
    /// Counts, or is off.
    pub metrics: Arc<Metrics>,
}

/// The answer of `campanile bench pipeline`.
#[derive(Clone, Debug, Serialize)]
pub struct PipelineBench {
    /// N ÷ first submit to last durable accept.
    pub accepted_per_second: u64,
    /// N ÷ first submit to last durable outcome.
    pub completed_per_second: u64,
    /// From submit to durable outcome, half of all, in milliseconds.
    pub p50_ms: f64,
    /// From submit to durable outcome, 99 of 100, in milliseconds.
    pub p99_ms: f64,
    /// Resident memory of this process at the end, in megabytes; none where the system does not tell.
    pub rss_mb: Option<f64>,
    /// `full`, `os` or `memory`.
    pub durability: &'static str,
    /// Commits synced to the disk.
    pub fsyncs: u64,
    /// Deliveries sent, as the store counts them: N.
    pub sent: u64,
    /// Requests of a bare client to the same receiver.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_requests_per_second: Option<u64>,
    /// `completed_per_second` ÷ `baseline_requests_per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
}

impl PipelineBench {
    /// The same with a [baseline](crate::bench::receiver::Receiver::baseline) measured in the same run.
    #[must_use]
    pub fn against(mut self, baseline_requests_per_second: u64) -> Self {
        self.ratio = Some(self.completed_per_second as f64 / baseline_requests_per_second.max(1) as f64);
        self.baseline_requests_per_second = Some(baseline_requests_per_second);
        self
    }
}

/// Tasks that submit.
const SUBMITTERS: usize = 4;

/// Notifications in one accept of the backlog.
const BACKLOG_BATCH: u64 = 1_000;

/// A rate that nothing here comes near: 10,000,000 a second.
const WIDE: (u32, Duration) = (10_000_000, Duration::from_secs(1));

/// How long the end waits for what never ended: the figures then say so by `sent`.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Measures.
///
/// # Errors
///
/// [`StoreError`] where the folder cannot hold a store, or the store fails.
pub async fn run(params: &PipelineParams, parts: PipelineParts) -> Result<PipelineBench, StoreError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    let entropy = Arc::new(Entropy::from_system());
    let folder = params.folder.join(format!("campanile-bench-{}", entropy.notification_id(clock.now())));
    let bench = measure(params, parts, clock, entropy, folder.join("bench.db")).await;
    if params.durability != Durability::Memory {
        // What is left behind is a nuisance, not a wrong figure.
        let _ = std::fs::remove_dir_all(&folder);
    }
    bench
}

async fn measure(
    params: &PipelineParams,
    parts: PipelineParts,
    clock: Arc<dyn Clock>,
    entropy: Arc<Entropy>,
    path: PathBuf,
) -> Result<PipelineBench, StoreError> {
    let queue = QueueHandle::new(WindowLimits::default(), Arc::clone(&clock));
    let meter = Meter::new(queue.clone(), params.notifications, params.open_max.max(params.batch));
    let (inlet, outlet) = (params.callbacks != Beside::Nothing).then(Inlet::new).unzip();
    let listener = Arc::new(Listener { meter: Arc::clone(&meter), inlet });
    let store: Arc<dyn Store> = SqliteStore::open(SqliteOptions { path, durability: params.durability, listener })?;
    let callbacks = match outlet {
        Some(outlet) => {
            Some(beside::start(params.callbacks, outlet, &store, (&clock, &entropy), &parts.metrics).await?)
        }
        None => None,
    };
    let paces = if params.gates { put_up_gates(params, &queue) } else { Paces::default() };
    let plans = Arc::new(Plans { channel: params.channel.clone(), entropy: Arc::clone(&entropy), clock });
    plans.keep_backlog(store.as_ref(), params.backlog).await?;
    let with = Neighbours {
        store: Arc::clone(&store),
        queue,
        caller: parts.caller,
        content: parts.content,
        clock: Arc::clone(&plans.clock),
        entropy,
        policies: RetryPolicies::default(),
        paces,
        hosts: BTreeMap::new(),
        time_limits: TimeLimits::default(),
        channels: Arc::new(NoChannels),
        fallbacks: Fallbacks::default(),
        metrics: parts.metrics,
    };
    let dispatcher = Dispatcher::start(&params.workers, with).await?;
    let syncs_before = store.stats().syncs;

    let started = Instant::now();
    submit_all(params, &store, &plans, &meter).await?;
    let accepted_in = started.elapsed();
    let (ended, latencies) = meter.all_ended().await;
    let completed_in = ended.saturating_duration_since(started);

    let rss_mb = resident_mb("self");
    dispatcher.shutdown(SHUTDOWN).await;
    if let Some(callbacks) = callbacks {
        // Nobody waits for what never returns.
        callbacks.stop(Duration::ZERO).await;
    }
    let fsyncs = store.stats().syncs - syncs_before;
    let sent = store.count().await?.sent;
    store.close().await;
    let per_second = |time: Duration| (f64::from(params.notifications) / time.as_secs_f64()) as u64;
    Ok(PipelineBench {
        accepted_per_second: per_second(accepted_in),
        completed_per_second: per_second(completed_in),
        p50_ms: percentile_ms(&latencies, 50),
        p99_ms: percentile_ms(&latencies, 99),
        rss_mb,
        durability: params.durability.as_str(),
        fsyncs,
        sent,
        baseline_requests_per_second: None,
        ratio: None,
    })
}

/// Every gate a channel and its destinations can have.
fn put_up_gates(params: &PipelineParams, queue: &QueueHandle) -> Paces {
    let (breaker, rate) = (Some(BreakerPolicy::default()), Rate::new(WIDE.0, WIDE.1).ok());
    let concurrency = Some(params.workers.slots_max());
    let gate = GateSettings { breaker: breaker.clone(), rate, concurrency, ..GateSettings::default() };
    queue.set_gates([(params.channel.clone(), gate)]);
    Paces { default: Pace { per_recipient: rate, per_host: rate, breaker }, ..Paces::default() }
}

async fn submit_all(
    params: &PipelineParams,
    store: &Arc<dyn Store>,
    plans: &Arc<Plans>,
    meter: &Arc<Meter>,
) -> Result<(), StoreError> {
    let batch = params.batch.max(1);
    let left = Arc::new(AtomicU32::new(params.notifications));
    let mut submitters = JoinSet::new();
    for _ in 0..SUBMITTERS {
        let (store, plans, meter, left) = (Arc::clone(store), Arc::clone(plans), Arc::clone(meter), Arc::clone(&left));
        submitters.spawn(async move {
            loop {
                let take = |left: u32| Some(left.saturating_sub(batch));
                let before = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).unwrap_or(0);
                let count = before.min(batch);
                if count == 0 {
                    return Ok(());
                }
                meter.may_open(count).await;
                let planned: Vec<Planned> = (0..count).map(|_| plans.plan(None)).collect();
                meter.submitted(planned.iter().map(|planned| planned.notification.id));
                store.accept(planned).await?;
            }
        });
    }
    while let Some(ended) = submitters.join_next().await {
        match ended {
            Ok(submitted) => submitted?,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    Ok(())
}

/// Makes notifications of about 300 bytes.
struct Plans {
    channel: ChannelName,
    entropy: Arc<Entropy>,
    clock: Arc<dyn Clock>,
}

impl Plans {
    fn plan(&self, scheduled_at: Option<Timestamp>) -> Planned {
        let now = self.clock.now();
        let notification = Notification {
            id: self.entropy.notification_id(now),
            kind: "info".to_owned(),
            priority: Priority::Normal,
            content: Arc::new(Content {
                title: Some("Disk almost full".to_owned()),
                text: "db-3 is at 91 % and fills by 2 % an hour. ".repeat(5),
                ..Content::default()
            }),
            actions: Vec::new(),
            template: None,
            data: None,
            metadata: vec![("team".to_owned(), "infra".to_owned())],
            correlation_id: None,
            group_key: None,
            created_at: now,
            scheduled_at,
            expires_at: None,
        };
        let due = scheduled_at.unwrap_or(now);
        let delivery = PlannedDelivery::new(self.channel.clone(), Recipient::default(), due);
        Planned::new(Arc::new(notification), vec![delivery])
    }

    async fn keep_backlog(&self, store: &dyn Store, mut count: u64) -> Result<(), StoreError> {
        let tomorrow = self.clock.now().after(Duration::from_hours(24));
        while count > 0 {
            let batch = count.min(BACKLOG_BATCH);
            store.accept((0..batch).map(|_| self.plan(Some(tomorrow))).collect()).await?;
            count -= batch;
        }
        Ok(())
    }
}

/// `sorted` in ascending order.
pub(super) fn percentile_ms(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).map_or(0.0, |latency| (latency.as_secs_f64() * 1e5).round() / 100.0)
}

/// Linux tells; others need a system call that no dependency of ours offers.
pub(super) fn resident_mb(process: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kilobytes * 1_024.0 / 1e5).round() / 10.0)
}

#[cfg(test)]
mod tests;
