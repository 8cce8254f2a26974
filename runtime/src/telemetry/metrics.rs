//! The catalogue: every metric of the program, one method for each fact.

mod callbacks;
mod workers;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use callbacks::CallbackMetrics;

pub use callbacks::CallbackResult;

use super::handles::{ENDS, Handles, Histograms, Labels, Words};
use crate::domain::{
    AttemptEnd, BreakerState, ChannelName, DeliveryState, DeliveryStatus, EventKind, PluginName, Priority,
};

/// Channels with labels of their own; the rest count as `other`. A channel takes about 40 lines of a scrape.
const CHANNELS_MAX: usize = 1_024;
/// The same for plugins.
const PLUGINS_MAX: usize = 256;
/// The same for plugin versions: hot reload makes new ones for as long as the process runs.
const VERSIONS_MAX: usize = 1_024;
/// Stands for every channel or plugin past the limit.
const OTHER: &str = "other";

/// From accept to sent: a millisecond on an idle machine, days where a provider is down.
const DELIVERY_S: [f64; 14] =
    [0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 3_600.0, 86_400.0];
/// In the queue, once due.
const WAIT_S: [f64; 12] = [0.000_1, 0.000_5, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 10.0, 60.0, 600.0];
/// A call: 10 µs of pure computing up to the longest deadline anybody sets.
const CALL_S: [f64; 14] =
    [0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0];
/// A commit: memory, SSD, disk, trouble.
const COMMIT_S: [f64; 10] = [0.000_05, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0];
/// Commands in a commit; the writer takes at most 4,096.
const BATCH: [f64; 9] = [1.0, 2.0, 4.0, 16.0, 64.0, 256.0, 1_024.0, 2_048.0, 4_096.0];
/// Fuel: 200 ms of CPU are some 10⁸.
const FUEL: [f64; 11] = [1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6, 1e7, 1e8, 1e9, 1e10];
/// Linear memory: a small guest has two pages of 64 KiB, the default limit is 64 MiB.
const MEMORY: [f64; 8] = [131_072.0, 262_144.0, 524_288.0, 1e6, 4e6, 1.6e7, 6.4e7, 2.56e8];

/// What came of one HTTP request that a plugin asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EgressResult {
    /// The provider answered, whatever it said.
    Answered,
    /// Not granted, or a forbidden address.
    Denied,
    /// A bad URL, method, header or size.
    Invalid,
    /// More requests than one call may make.
    Exhausted,
    /// Nothing was sent.
    Unreachable,
    /// Something was sent, no whole answer came.
    Interrupted,
    /// No answer in time.
    Timeout,
}

impl EgressResult {
    /// Every result there is.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Denied,
        Self::Invalid,
        Self::Exhausted,
        Self::Unreachable,
        Self::Interrupted,
        Self::Timeout,
    ];

    /// Its word in metrics: as in the contract's `http.error`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::Invalid => "invalid",
            Self::Exhausted => "exhausted",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::Timeout => "timeout",
        }
    }
}

/// Every metric of one runtime.
///
/// ```
/// use campanile::domain::Priority;
/// use campanile::telemetry::Metrics;
///
/// let metrics = Metrics::new();
/// metrics.notification_accepted(Priority::High);
/// assert!(metrics.encode().contains("campanile_notifications_accepted_total{priority=\"high\"} 1"));
/// ```
#[derive(Debug)]
pub struct Metrics {
    /// `false`: every method returns at once. For measuring what metrics cost.
    enabled: bool,
    registry: Registry,
    accepted: [Counter; 4],
    queue_depth: [Gauge; 4],
    queue_wait: [Histogram; 4],
    queue_oldest: [Gauge<f64, AtomicU64>; 4],
    retries_scheduled: Gauge,
    dead_letters: Gauge,
    workers: Family<[(&'static str, &'static str); 1], Gauge>,
    worker_load: Gauge<f64, AtomicU64>,
    breaker_state: Family<Labels, Gauge>,
    cleared: Family<[(&'static str, &'static str); 2], Counter>,
    deliveries: Family<Labels, Counter>,
    delivery_duration: Histograms,
    attempts: Family<Labels, Counter>,
    plugin_calls: Family<Labels, Counter>,
    plugin_call: Histograms,
    plugin_fuel: Histograms,
    plugin_memory: Histograms,
    egress: Family<Labels, Counter>,
    events: Family<[(&'static str, &'static str); 1], Counter>,
    event_subscribers: Gauge,
    event_gaps: Family<[(&'static str, &'static str); 1], Counter>,
    event_subscribers_cut_off: Counter,
    commit: Histogram,
    batch: Histogram,
    store_errors: Counter,
    http: Family<HttpLabels, Counter>,
    callbacks: CallbackMetrics,
    channels: Handles<ChannelName, ChannelHandles>,
    plugins: Handles<PluginName, PluginHandles>,
    versions: Handles<(PluginName, semver::Version), Words<ENDS>>,
}

/// Route by template, then status: both are few.
type HttpLabels = ([(&'static str, &'static str); 1], [(&'static str, u16); 1]);

#[derive(Debug)]
struct ChannelHandles {
    attempts: Words<ENDS>,
    sent: Counter,
    failed: Counter,
    cancelled: Counter,
    duration: Histogram,
}

#[derive(Debug)]
struct PluginHandles {
    seconds: Histogram,
    fuel: Histogram,
    memory: Histogram,
    egress: Words<{ EgressResult::ALL.len() }>,
}

impl Metrics {
    /// The media type of [`encode`](Self::encode).
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// An empty catalogue.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::new(Self::build(true))
    }

    /// A catalogue that counts nothing: for measuring what counting costs.
    #[must_use]
    pub fn off() -> Arc<Self> {
        Arc::new(Self::build(false))
    }

    fn build(enabled: bool) -> Self {
        let mut registry = Registry::with_prefix("campanile");
        let r = &mut registry;
        let accepted = Family::<Labels, Counter>::default();
        r.register("notifications_accepted", "Notifications that are durable", accepted.clone());
        let queue_depth = Family::<Labels, Gauge>::default();
        r.register("queue_depth", "Deliveries that are not final and not in flight", queue_depth.clone());
        let queue_oldest = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        r.register("queue_oldest_seconds", "How long the oldest that is due waits for a worker", queue_oldest.clone());
        let queue_wait =
            histograms(r, "queue_wait_seconds", "From due to taken by a worker", || Histogram::new(WAIT_S));
        Self {
            enabled,
            accepted: by_priority(|labels| accepted.get_or_create_owned(labels)),
            queue_depth: by_priority(|labels| queue_depth.get_or_create_owned(labels)),
            queue_wait: by_priority(|labels| queue_wait.get_or_create_owned(labels)),
            queue_oldest: by_priority(|labels| queue_oldest.get_or_create_owned(labels)),
            retries_scheduled: registered(r, "retries_scheduled", "Deliveries that wait for another attempt"),
            dead_letters: registered(r, "dead_letters", "Deliveries that failed and that nobody replayed or purged"),
            workers: registered(r, "workers", "Workers that are there, by how they are doing"),
            worker_load: registered(r, "worker_load", "Deliveries in flight for each slot of the workers"),
            breaker_state: registered(
                r,
                "breaker_state",
                "0: the channel is called, 1: single calls are let through, 2: it is left alone, 3: until it is reset",
            ),
            cleared: registered(r, "cleared", "What went because it was old, or too much"),
            deliveries: registered(r, "deliveries", "Deliveries that came to a final state"),
            delivery_duration: histograms(
                r,
                "delivery_duration_seconds",
                "From accepted, or scheduled, to sent",
                || Histogram::new(DELIVERY_S),
            ),
            attempts: registered(r, "attempts", "Calls of a channel, by how they ended"),
            plugin_calls: registered(r, "plugin_calls", "Calls of a plugin, by how they ended"),
            plugin_call: histograms(r, "plugin_call_seconds", "From sandbox made to sandbox dropped", || {
                Histogram::new(CALL_S)
            }),
            plugin_fuel: histograms(r, "plugin_fuel", "Fuel that a call used", || Histogram::new(FUEL)),
            plugin_memory: histograms(r, "plugin_memory_bytes", "Linear memory at the end of a call", || {
                Histogram::new(MEMORY)
            }),
            egress: registered(r, "egress", "HTTP requests that plugins asked for"),
            events: registered(r, "events", "Events written"),
            event_subscribers: registered(r, "event_subscribers", "Connections that follow the events"),
            event_gaps: registered(r, "event_gaps", "Subscribers that were told that events are missing"),
            event_subscribers_cut_off: registered(
                r,
                "event_subscribers_cut_off",
                "Subscribers that were let go since they did not read what they were sent",
            ),
            commit: observed(r, "store_commit_seconds", "Time a commit took", Histogram::new(COMMIT_S)),
            batch: observed(r, "store_batch_size", "Commands in a commit", Histogram::new(BATCH)),
            store_errors: registered(r, "store_errors", "Commits that the disk refused"),
            http: registered(r, "http_requests", "Requests to the HTTP API"),
            callbacks: CallbackMetrics::new(r),
            channels: Handles::up_to(CHANNELS_MAX),
            plugins: Handles::up_to(PLUGINS_MAX),
            versions: Handles::up_to(VERSIONS_MAX),
            registry,
        }
    }

    /// A notification became durable.
    pub fn notification_accepted(&self, priority: Priority) {
        if self.enabled {
            self.accepted[priority as usize].inc();
        }
    }

    /// `waiting` deliveries of this priority are in the queue, those in the store included.
    pub fn queue_depth(&self, priority: Priority, waiting: u64) {
        if self.enabled {
            self.queue_depth[priority as usize].set(i64::try_from(waiting).unwrap_or(i64::MAX));
        }
    }

    /// The oldest delivery of this priority that is due, and not held, has waited for so long.
    pub fn queue_oldest(&self, priority: Priority, waited: Duration) {
        if self.enabled {
            self.queue_oldest[priority as usize].set(waited.as_secs_f64());
        }
    }

    /// So many deliveries wait for another attempt, and so many are dead letters.
    pub fn outstanding(&self, retrying: u64, dead_letters: u64) {
        if self.enabled {
            self.retries_scheduled.set(i64::try_from(retrying).unwrap_or(i64::MAX));
            self.dead_letters.set(i64::try_from(dead_letters).unwrap_or(i64::MAX));
        }
    }

    /// How the breaker of each channel stands; of a channel that is not among them, nothing is told any more. Past the
    /// limit on channels with labels of their own, the worst is told of all others.
    pub fn breaker_states(&self, breakers: impl IntoIterator<Item = (ChannelName, BreakerState)>) {
        if !self.enabled {
            return;
        }
        self.breaker_state.clear();
        for (place, (channel, state)) in breakers.into_iter().enumerate() {
            let value = match state {
                BreakerState::Closed => 0,
                BreakerState::HalfOpen { .. } => 1,
                BreakerState::Open { .. } => 2,
                BreakerState::Disabled { .. } => 3,
            };
            let label = text(Some(&channel).filter(|_| place < CHANNELS_MAX));
            let gauge = self.breaker_state.get_or_create_owned(&vec![("channel", label)]);
            gauge.set(gauge.get().max(value));
        }
    }

    /// `count` of a kind (`notification`, `event`, `audit`, `callback`) went, for being too old (`age`) or too much (`size`).
    pub fn cleared(&self, kind: &'static str, cause: &'static str, count: u64) {
        if self.enabled && count > 0 {
            self.cleared.get_or_create(&[("kind", kind), ("cause", cause)]).inc_by(count);
        }
    }

    /// A worker took a delivery `waited` after it was due.
    pub fn queue_waited(&self, priority: Priority, waited: Duration) {
        if self.enabled {
            self.queue_wait[priority as usize].observe(waited.as_secs_f64());
        }
    }

    /// An attempt on a channel ended, or a question for a final word. What its plugin used is told by [`plugin_called`](Self::plugin_called).
    pub fn attempt_ended(&self, channel: &ChannelName, end: &AttemptEnd) {
        if self.enabled {
            self.channel(channel).attempts.count_end(end);
        }
    }

    /// A settlement of a delivery is durable: it is `after`, and it could first be tried `age` ago.
    pub fn delivery_settled(&self, channel: &ChannelName, after: &DeliveryState, age: Duration) {
        if !self.enabled {
            return;
        }
        let handles = self.channel(channel);
        match after.status() {
            DeliveryStatus::Pending | DeliveryStatus::Retrying => {}
            DeliveryStatus::Sent => {
                handles.sent.inc();
                handles.duration.observe(age.as_secs_f64());
            }
            DeliveryStatus::Failed => _ = handles.failed.inc(),
            DeliveryStatus::Cancelled => _ = handles.cancelled.inc(),
        }
    }

    /// A plugin was called, for a delivery or for anything else.
    pub fn plugin_called(&self, plugin: &PluginName, version: &semver::Version, end: &AttemptEnd, used: PluginUse) {
        if !self.enabled {
            return;
        }
        let handles = self.plugin(plugin);
        handles.seconds.observe(used.duration.as_secs_f64());
        handles.fuel.observe(used.fuel as f64);
        handles.memory.observe(used.memory_bytes as f64);
        // A clone of a release version allocates nothing.
        let counters = self.versions.of(&(plugin.clone(), version.clone()), |key| {
            let version = key.map_or_else(|| OTHER.to_owned(), |(_, version)| version.to_string());
            let labels = vec![("plugin", text(key.map(|(name, _)| name))), ("version", version)];
            Words::new(&self.plugin_calls, labels, "result")
        });
        counters.count_end(end);
    }

    /// A plugin asked for one HTTP request.
    pub fn egress(&self, plugin: &PluginName, result: EgressResult) {
        if self.enabled {
            self.plugin(plugin).egress.count(result as usize, result.as_str());
        }
    }

    /// An event is durable.
    pub fn event(&self, kind: EventKind) {
        if self.enabled {
            self.events.get_or_create(&[("type", kind)]).inc();
        }
    }

    /// So many connections follow the events.
    pub fn event_subscribers(&self, count: usize) {
        if self.enabled {
            self.event_subscribers.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// A subscriber was told that events are missing: `retention`, `other-epoch`, `beyond-newest`.
    pub fn event_gap(&self, reason: &'static str) {
        if self.enabled {
            self.event_gaps.get_or_create(&[("reason", reason)]).inc();
        }
    }

    /// A subscriber did not read what it was sent, and was let go.
    pub fn subscriber_cut_off(&self) {
        if self.enabled {
            self.event_subscribers_cut_off.inc();
        }
    }

    /// A transaction with `commands` commands was committed in `took`.
    pub fn committed(&self, commands: usize, took: Duration) {
        if self.enabled {
            self.commit.observe(took.as_secs_f64());
            self.batch.observe(commands as f64);
        }
    }

    /// The disk refused so many commits since the store was opened.
    pub fn store_errors(&self, total: u64) {
        if self.enabled {
            self.store_errors.inner().store(total, Ordering::Relaxed);
        }
    }

    /// A request to the HTTP API was answered. `route` is the template (`/v1/notifications/{id}`), never the path.
    pub fn http_request(&self, route: &'static str, status: u16) {
        if self.enabled {
            self.http.get_or_create(&([("route", route)], [("status", status)])).inc();
        }
    }

    /// Everything, as OpenMetrics text. See [`CONTENT_TYPE`](Self::CONTENT_TYPE).
    #[must_use]
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` does not fail; were it to, half a scrape says more than none.
        let _ = encode(&mut text, &self.registry);
        text
    }

    fn plugin(&self, plugin: &PluginName) -> Arc<PluginHandles> {
        self.plugins.of(plugin, |name| {
            let labels = vec![("plugin", text(name))];
            PluginHandles {
                seconds: self.plugin_call.get_or_create_owned(&labels),
                fuel: self.plugin_fuel.get_or_create_owned(&labels),
                memory: self.plugin_memory.get_or_create_owned(&labels),
                egress: Words::new(&self.egress, labels, "result"),
            }
        })
    }

    fn channel(&self, channel: &ChannelName) -> Arc<ChannelHandles> {
        self.channels.of(channel, |name| {
            let labels = vec![("channel", text(name))];
            let outcome = |status: DeliveryStatus| {
                let mut labels = labels.clone();
                labels.push(("outcome", status.as_str().to_owned()));
                self.deliveries.get_or_create_owned(&labels)
            };
            ChannelHandles {
                sent: outcome(DeliveryStatus::Sent),
                failed: outcome(DeliveryStatus::Failed),
                cancelled: outcome(DeliveryStatus::Cancelled),
                duration: self.delivery_duration.get_or_create_owned(&labels),
                attempts: Words::new(&self.attempts, labels, "outcome"),
            }
        })
    }
}

/// What one call of a plugin used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PluginUse {
    /// From sandbox made to sandbox dropped.
    pub duration: Duration,
    /// Units of the engine.
    pub fuel: u64,
    /// Linear memory at the end.
    pub memory_bytes: u64,
}

fn text<T: ToString>(name: Option<&T>) -> String {
    name.map_or_else(|| OTHER.to_owned(), T::to_string)
}

fn by_priority<M>(make: impl Fn(&Labels) -> M) -> [M; 4] {
    let mut ascending = Priority::DESCENDING;
    ascending.reverse();
    ascending.map(|priority| make(&vec![("priority", priority.as_str().to_owned())]))
}

fn registered<M>(registry: &mut Registry, name: &str, help: &str) -> M
where
    M: prometheus_client::registry::Metric + Clone + Default,
{
    observed(registry, name, help, M::default())
}

fn observed<M>(registry: &mut Registry, name: &str, help: &str, metric: M) -> M
where
    M: prometheus_client::registry::Metric + Clone,
{
    registry.register(name, help, metric.clone());
    metric
}

fn histograms(registry: &mut Registry, name: &str, help: &str, make: fn() -> Histogram) -> Histograms {
    observed(registry, name, help, Family::new_with_constructor(make))
}

#[cfg(test)]
mod tests;
