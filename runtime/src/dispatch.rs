//! Makes deliveries happen: workers take from the queue, claim, call and settle.
//!
//! *Flow:* a worker with a free slot takes from the [queue](crate::queue), claims in the [store](crate::store), asks
//! for the content, makes the [call](crate::call), lets [`domain::settle`](crate::domain::settle) say what comes next
//! and has that written. A delivery that waits again is offered back to the queue.
//!
//! *Invariants:* a slot is not free before its settlement is durable. Every attempt that began ends in exactly one
//! settlement, also by a panic, a timeout or a shutdown; only the end of the process leaves some without, and their
//! deliveries wait as before. What needs a template engine that is held is set aside before an attempt begins. Where the store refuses to write, what is to be written is kept and written later.
//!
//! *Not here:* what an end means (`domain`), sandboxes, SQL.

mod attempt;
mod balance;
mod desk;
mod destination;
mod ended;
mod fallback;
mod handing;
mod monitor;
mod news;
mod outlook;
mod pool;
mod scaler;
mod settings;
mod settling;
mod slots;
mod statistics;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use crate::call::{Caller, ChannelDirectory, ContentSource};
use crate::clock::{Clock, Entropy};
use crate::config::WorkersConfig;
use crate::domain::{ChannelName, DeliveryId, HostBook, RetryPolicy, Timestamp};
use crate::queue::{Called, QueueHandle, Taken};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;
use monitor::Monitor;
use news::News;
use pool::Pool;
use settings::Settings;
use settling::Freed;
pub use statistics::{Affinity, CurrentTask, Latency, PoolStatus, WorkerState, WorkerStatus};

use attempt::Held;
use destination::{Destinations, Later};
use fallback::Chains;
use outlook::Records;

pub use destination::{HostBreaker, HostChanged, OpenHosts, Pace, Paces, TurnOf};
pub use fallback::Fallbacks;
pub use outlook::{ChannelRecord, Outlook};

/// Which channel tries again by which policy. Clones share it: what one is told holds for all.
#[derive(Clone, Debug, Default)]
pub struct RetryPolicies {
    current: Arc<ArcSwap<ByChannel>>,
}

#[derive(Debug, Default)]
struct ByChannel {
    /// Of every channel that is not named below.
    default: Arc<RetryPolicy>,
    of: BTreeMap<ChannelName, Arc<RetryPolicy>>,
}

impl RetryPolicies {
    /// `default` for every channel that is not named in `by_channel`.
    #[must_use]
    pub fn new(default: Arc<RetryPolicy>, by_channel: BTreeMap<ChannelName, Arc<RetryPolicy>>) -> Self {
        let policies = Self::default();
        policies.replace(default, by_channel);
        policies
    }

    /// Has every attempt that ends from here on followed these.
    pub fn replace(&self, default: Arc<RetryPolicy>, by_channel: BTreeMap<ChannelName, Arc<RetryPolicy>>) {
        self.current.store(Arc::new(ByChannel { default, of: by_channel }));
    }

    /// The policy of this channel.
    #[must_use]
    pub fn of(&self, channel: &ChannelName) -> Arc<RetryPolicy> {
        let current = self.current.load();
        Arc::clone(current.of.get(channel).unwrap_or(&current.default))
    }
}

/// How long a call may take by the limits of others. A call that outlives them by 30 s is given up here.
#[derive(Clone, Debug, Default)]
pub struct TimeLimits {
    /// Of a channel that is not named below; none where nobody limits it.
    pub default: Option<Duration>,
    /// Of channels with a limit of their own.
    pub by_channel: BTreeMap<ChannelName, Duration>,
    /// Of the rendering before it, where there is a template.
    pub render: Duration,
}

impl TimeLimits {
    fn of(&self, channel: &ChannelName, is_rendered: bool) -> Option<Duration> {
        let call = self.by_channel.get(channel).copied().or(self.default)?;
        Some(if is_rendered { call.saturating_add(self.render) } else { call })
    }
}

/// What dispatch works with.
pub struct Neighbours {
    /// Keeps what comes of it.
    pub store: Arc<dyn Store>,
    /// Says what is next. To be told by the store of what is accepted.
    pub queue: QueueHandle,
    /// Makes the calls.
    pub caller: Arc<dyn Caller>,
    /// Gives content to what names a template.
    pub content: Arc<dyn ContentSource>,
    /// Says what is due, expired and late.
    pub clock: Arc<dyn Clock>,
    /// Rolls the jitter.
    pub entropy: Arc<Entropy>,
    /// Say when again.
    pub policies: RetryPolicies,
    /// Say how often each destination may be called.
    pub paces: Paces,
    /// What is remembered of hosts that each channel calls.
    pub hosts: BTreeMap<ChannelName, Vec<HostBook>>,
    /// Say what takes too long, until others are [set](Dispatcher::set_time_limits).
    pub time_limits: TimeLimits,
    /// Says which channel can be used, where one is to stand in for another.
    pub channels: Arc<dyn ChannelDirectory>,
    /// Which channels stand in for which.
    pub fallbacks: Fallbacks,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What all workers share.
struct Shared {
    with: Neighbours,
    destinations: Arc<Destinations>,
    records: Arc<Records>,
    chains: Chains,
    time_limits: ArcSwap<TimeLimits>,
    workers: Settings,
    in_flight: AtomicUsize,
    /// The monitor waits for something to be taken.
    is_asleep: AtomicBool,
    /// There is something for the monitor to look at.
    stir: Notify,
    /// There may be a free slot for whoever hands out.
    freed: Notify,
    /// Counts the workers that have ended.
    ended: watch::Sender<u64>,
    news: News,
}

impl Shared {
    fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Deliveries that may be taken on top of those in flight. While workers have more than their settings allow by now,
    /// the others may not use all that is free: together they would be more than there is room for.
    fn room(&self) -> usize {
        self.workers.slots_max().saturating_sub(self.in_flight())
    }

    /// Tells whether the monitor was woken by it.
    fn took(&self, taken: &[Taken], now: Timestamp) -> bool {
        self.in_flight.fetch_add(taken.len(), Ordering::SeqCst);
        let wakes = self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst);
        if wakes {
            self.stir.notify_one();
        }
        for taken in taken {
            self.with.metrics.queue_waited(taken.priority, now.since(taken.position.due));
        }
        wakes
    }

    /// What is held waits for its turn at its destination.
    fn defer(&self, held: &Held, later: Later) {
        let (with, delivery) = (&self.with, held.claim.delivery);
        // What expires meanwhile is to be ended then.
        let again = || {
            let until = self.destinations.again(delivery, later, with.clock.now());
            held.claim.notification.expires_at.map_or(until, |expires_at| until.min(expires_at))
        };
        let from = again();
        tracing::debug!(delivery.id = %delivery, until = %from, "A delivery waits for its turn at its destination.");
        with.queue.defer(held.taken, from);
        // It may have been called between the two, and was not there to hear it.
        let to = again();
        if to < from {
            with.queue.call_up(&[Called { delivery, from, to }]);
        }
    }

    /// These do not wait for their destinations any more.
    fn forget(&self, deliveries: impl IntoIterator<Item = DeliveryId>) {
        self.destinations.forget(deliveries, self.with.clock.now());
        self.call_up();
    }

    /// Has those ask who are to ask earlier than they were told.
    fn call_up(&self) {
        self.with.queue.call_up(&self.destinations.take_called());
    }

    fn released(&self, freed: &[Freed]) {
        let now = self.with.clock.now();
        freed.iter().for_each(|freed| self.destinations.learn(&freed.learned, now));
        self.with.queue.release(freed.iter().map(|freed| (freed.hold, freed.ended)));
        self.in_flight.fetch_sub(freed.len(), Ordering::SeqCst);
        if !self.workers.pulls() {
            self.freed.notify_one();
        }
    }
}

/// What the workers are to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Take and deliver.
    Running,
    /// Take nothing for now.
    Paused,
    /// Take nothing more and end once nothing is in flight.
    Draining,
    /// Interrupt what is in flight and end.
    Ending,
}

/// The pool of workers. Dropping it ends them where they stand, as a crash would: nothing is lost, and what was in
/// flight is called again.
pub struct Dispatcher {
    shared: Arc<Shared>,
    pool: Arc<Pool>,
    keeper: Mutex<JoinSet<()>>,
}

/// A size that the pool cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} workers cannot be: the limits are 1 to {max}, and `max` in [workers] sets the upper one")]
pub struct ScaleError {
    /// Workers asked for.
    pub asked: u32,
    /// Workers at most.
    pub max: u32,
}

impl Dispatcher {
    /// Learns from the store what waits, then starts the workers.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot say what waits; nothing was started.
    pub async fn start(workers: &WorkersConfig, with: Neighbours) -> Result<Self, StoreError> {
        Self::start_in(Mode::Running, workers, with).await
    }

    /// The same, but nothing is taken until [`resume`](Self::resume).
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub async fn start_paused(workers: &WorkersConfig, with: Neighbours) -> Result<Self, StoreError> {
        Self::start_in(Mode::Paused, workers, with).await
    }

    async fn start_in(mode: Mode, workers: &WorkersConfig, with: Neighbours) -> Result<Self, StoreError> {
        with.queue.restore(with.store.as_ref()).await?;
        let destinations = Arc::new(Destinations::new(with.paces.clone()));
        for (channel, books) in &with.hosts {
            destinations.restore(channel, books, with.clock.now());
        }
        let chains = Chains::new(with.fallbacks.clone());
        let time_limits = ArcSwap::from_pointee(with.time_limits.clone());
        let shared = Arc::new(Shared {
            with,
            destinations,
            records: Arc::default(),
            chains,
            time_limits,
            workers: Settings::new(*workers),
            in_flight: AtomicUsize::new(0),
            is_asleep: AtomicBool::new(false),
            stir: Notify::new(),
            freed: Notify::new(),
            ended: watch::Sender::new(0),
            news: News::default(),
        });
        let mut keeper = JoinSet::new();
        let (queue, store) = (shared.with.queue.clone(), Arc::clone(&shared.with.store));
        keeper.spawn(async move { queue.keep(store).await });
        let pool = Pool::new(Arc::clone(&shared), mode);
        keeper.spawn(Monitor::new(Arc::clone(&pool)).run());
        keeper.spawn(handing::hand_out(Arc::clone(&pool)));
        let teller = Arc::clone(&shared);
        keeper.spawn(async move { teller.news.keep(teller.with.store.as_ref(), teller.with.clock.as_ref()).await });
        Ok(Self { shared, pool, keeper: Mutex::new(keeper) })
    }

    /// What of `wanted` can be while this runs: all of it but more slots than there could be at the start, which others
    /// have made room for. Then `max`, `per_worker` or both stay as they are, and `min` within `max`.
    #[must_use]
    pub fn as_far_as_can_be(&self, wanted: WorkersConfig) -> WorkersConfig {
        self.shared.workers.as_far_as_can_be(wanted)
    }

    /// Has the pool be as `workers` says from here on, as far as it [can](Self::as_far_as_can_be). What is in flight goes
    /// on; workers that are too many end with what they have. A size that was set by hand stays, as far as `max` allows.
    pub fn reconfigure(&self, workers: WorkersConfig) {
        self.pool.reconfigure(self.as_far_as_can_be(workers));
    }

    /// Holds each destination back like this from here on, also for what waits by now. What is known of destinations
    /// stays.
    pub fn set_paces(&self, paces: Paces) {
        let Neighbours { queue, clock, .. } = &self.shared.with;
        let is_different = self.shared.destinations.set(paces, clock.now());
        queue.let_go_of(is_different);
    }

    /// Forgets what is known of the destinations of this channel: what waits for them goes on.
    pub fn reset_destinations(&self, channel: &ChannelName) {
        let Neighbours { queue, clock, .. } = &self.shared.with;
        self.shared.destinations.reset(channel, clock.now());
        queue.let_go_of(|name| name == channel);
    }

    /// Closes the breaker of one host that this channel calls: what waits for it goes on. Tells whether it was not closed.
    pub fn reset_host(&self, channel: &ChannelName, host: &str) -> bool {
        let Neighbours { queue, clock, .. } = &self.shared.with;
        let is_closed_now = self.shared.destinations.reset_host(channel, host, clock.now());
        if is_closed_now {
            queue.let_go_of(|name| name == channel);
        }
        is_closed_now
    }

    /// A view of the channels that are called, which outlives this.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let Shared { destinations, records, .. } = &*self.shared;
        Outlook { destinations: Arc::clone(destinations), records: Arc::clone(records) }
    }

    /// What calls may take from here on. One under way has the longer of this and what it began with.
    pub fn set_time_limits(&self, limits: TimeLimits) {
        self.shared.time_limits.store(Arc::new(limits));
    }

    /// Takes nothing until [`resume`](Self::resume). What is in flight goes on.
    pub fn pause(&self) {
        self.change_mode(Mode::Running, Mode::Paused);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.change_mode(Mode::Paused, Mode::Running);
    }

    /// Which channels stand in for which from here on. What has failed by now stays failed.
    pub fn set_fallbacks(&self, fallbacks: Fallbacks) {
        self.shared.chains.set(fallbacks);
    }

    /// Deliveries that hold a slot: claimed, and not settled durably.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// Takes nothing more, waits up to `timeout` for what is in flight, then interrupts the rest, which is tried again
    /// after the next start. Answers how many were interrupted. A second call waits for nothing.
    pub async fn shutdown(&self, timeout: Duration) -> usize {
        let mut keeper = {
            let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *keeper)
        };
        let clock = &self.shared.with.clock;
        let deadline = clock.now().after(timeout);
        self.pool.order(Mode::Draining);
        let mut interrupted = 0;
        tokio::select! {
            biased;
            () = self.pool.ended() => {}
            () = clock.wait_until(deadline) => {
                interrupted = self.in_flight();
                self.pool.order(Mode::Ending);
                self.pool.ended().await;
            }
        }
        keeper.shutdown().await;
        if let Err(error) = self.shared.news.write(self.shared.with.store.as_ref()).await {
            tracing::warn!(error = %error, "Could not tell of the workers that ended.");
        }
        interrupted
    }

    /// Sets the number of workers by hand, until `None` lets it follow the load again. Workers that are too many end
    /// with what they have.
    ///
    /// # Errors
    ///
    /// [`ScaleError`] where the pool cannot have that size; nothing has changed.
    pub fn scale(&self, workers: Option<u32>) -> Result<(), ScaleError> {
        self.may_scale(workers)?;
        self.pin(workers);
        Ok(())
    }

    /// Says whether the pool can have that size by now.
    ///
    /// # Errors
    ///
    /// [`ScaleError`] where it cannot.
    pub fn may_scale(&self, workers: Option<u32>) -> Result<(), ScaleError> {
        let max = self.pool.config().max;
        let asked = workers.filter(|asked| !(1..=max).contains(asked));
        asked.map_or(Ok(()), |asked| Err(ScaleError { asked, max }))
    }

    /// As [`scale`](Self::scale), with a size that was allowed before: where `max` is less by now there are as many as that,
    /// which the log tells, and once it is more again as many as asked for.
    pub fn pin(&self, workers: Option<u32>) {
        self.pool.pin(workers);
    }

    /// The pool and its workers as they are now.
    #[must_use]
    pub fn pool(&self) -> PoolStatus {
        self.pool.status()
    }

    /// Workers that were asked whether they are well and have not answered so far.
    #[must_use]
    pub fn silent_workers(&self) -> usize {
        self.pool.lock().silent().len()
    }

    fn change_mode(&self, from: Mode, to: Mode) {
        self.pool.order_if(|now| now == from, to);
    }
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.pool.abort();
    }
}

/// The wait before the store is asked again after it refused `failures` times in a row: from 100 ms, doubling up to
/// 10 s. A full disk is not helped by asking often.
fn store_wait(failures: u32) -> Duration {
    Duration::from_millis(100 << failures.saturating_sub(1).min(7)).min(Duration::from_secs(10))
}

#[cfg(test)]
mod tests;
