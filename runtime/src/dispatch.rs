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
mod destination;
mod ended;
mod settling;
mod worker;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::call::{Caller, ContentSource};
use crate::clock::{Clock, Entropy};
use crate::config::WorkersConfig;
use crate::domain::{ChannelName, RetryPolicy};
use crate::queue::QueueHandle;
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

use destination::Destinations;
pub use destination::{Pace, Paces};

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
    /// Counts.
    pub metrics: Arc<Metrics>,
}

/// What all workers share.
struct Shared {
    with: Neighbours,
    destinations: Destinations,
    in_flight: AtomicUsize,
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
    workers: WorkersConfig,
    mode: watch::Sender<Mode>,
    tasks: Mutex<Tasks>,
}

struct Tasks {
    workers: JoinSet<()>,
    keeper: JoinSet<()>,
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
        let destinations = Destinations::new(with.paces.clone());
        let shared = Arc::new(Shared { with, destinations, in_flight: AtomicUsize::new(0) });
        let (mode, seen) = watch::channel(mode);
        let mut tasks = Tasks { workers: JoinSet::new(), keeper: JoinSet::new() };
        let (queue, store) = (shared.with.queue.clone(), Arc::clone(&shared.with.store));
        let shared_out = worker::Slots::shared_out(workers);
        queue.set_slots(worker::Slots::count(&shared_out));
        tasks.keeper.spawn(async move { queue.keep(store).await });
        for slots in shared_out {
            tasks.workers.spawn(worker::Worker::new(Arc::clone(&shared), seen.clone(), slots, workers.batch).run());
        }
        Ok(Self { shared, workers: *workers, mode, tasks: Mutex::new(tasks) })
    }

    /// Tells whether the pool can be as `workers` says while it runs. A pool has a fixed size: another one takes a restart.
    #[must_use]
    pub fn reconfigure(&self, workers: WorkersConfig) -> bool {
        self.workers == workers
    }

    /// Holds each destination back like this from here on. What is known of destinations stays.
    pub fn set_paces(&self, paces: Paces) {
        self.shared.destinations.set(paces);
    }

    /// Takes nothing until [`resume`](Self::resume). What is in flight goes on.
    pub fn pause(&self) {
        self.change_mode(Mode::Running, Mode::Paused);
    }

    /// Ends a pause.
    pub fn resume(&self) {
        self.change_mode(Mode::Paused, Mode::Running);
    }

    /// Deliveries that hold a slot: claimed, and not settled durably.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight.load(Ordering::Relaxed)
    }

    /// Takes nothing more, waits up to `timeout` for what is in flight, then interrupts the rest, which is tried again
    /// after the next start. Answers how many were interrupted. A second call waits for nothing.
    pub async fn shutdown(&self, timeout: Duration) -> usize {
        let mut tasks = {
            let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *tasks, Tasks { workers: JoinSet::new(), keeper: JoinSet::new() })
        };
        let clock = &self.shared.with.clock;
        let deadline = clock.now().after(timeout);
        self.mode.send_replace(Mode::Draining);
        let mut interrupted = 0;
        tokio::select! {
            biased;
            () = ended(&mut tasks.workers) => {}
            () = clock.wait_until(deadline) => {
                interrupted = self.in_flight();
                self.mode.send_replace(Mode::Ending);
                ended(&mut tasks.workers).await;
            }
        }
        tasks.keeper.shutdown().await;
        interrupted
    }

    fn change_mode(&self, from: Mode, to: Mode) {
        self.mode.send_if_modified(|mode| {
            let changes = *mode == from;
            if changes {
                *mode = to;
            }
            changes
        });
    }
}

async fn ended(workers: &mut JoinSet<()>) {
    while let Some(end) = workers.join_next().await {
        if let Err(error) = end {
            tracing::error!(error = %error, "A worker ended by a defect.");
        }
    }
}

/// The wait before the store is asked again after it refused `failures` times in a row: from 100 ms, doubling up to
/// 10 s. A full disk is not helped by asking often.
fn store_wait(failures: u32) -> Duration {
    Duration::from_millis(100 << failures.saturating_sub(1).min(7)).min(Duration::from_secs(10))
}

#[cfg(test)]
mod tests;
