//! Runs callbacks: its own workers, a bounded queue, retries.
//!
//! *Flow:* a follower makes a [`Job`] of an event and those it concerns → [`Executor::push`] → a worker calls one after
//! the other → what failed waits beside the queue for its retry → succeeded, or given up and noted in the ledger.
//!
//! *Invariants:* everything is bounded: jobs that wait for a worker by the queue, jobs that wait for a retry by
//! [`PARKED_MAX`], jobs under way by the workers. Nothing that a callback does ends a worker. No job ends without a word:
//! it succeeded, was skipped, or is dead.

mod ending;
mod job;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use tokio::sync::{Notify, watch};

use self::ending::STOPPED;
pub(super) use self::job::{Job, Link};
use super::ledger::Ledger;
use super::settings::{CallbackSettings, OnFailure, WhenFull};
use super::target::Failure;
use super::tracker::{ExecutionStatus, Mishap, Tracker};
use crate::clock::{Clock, Entropy};
use crate::domain::Timestamp;

/// Jobs that wait for a retry. One more is given up at once.
pub(super) const PARKED_MAX: usize = 1_000;

/// Between two jobs that are given up since a full queue does not move. A stuck callback must not have the store write
/// a dead callback for each delivery, as fast as they come.
const GIVING_UP_PACE: Duration = Duration::from_millis(1);

/// Runs jobs. Clones share it.
#[derive(Clone)]
pub(super) struct Executor {
    shared: Arc<Shared>,
}

struct Shared {
    settings: ArcSwap<CallbackSettings>,
    state: Mutex<State>,
    /// A place in the queue has become free, or the settings are others.
    room: Notify,
    /// A worker has ended, or a job no longer waits for a retry.
    quiet: Notify,
    /// True once nothing is to wait for a retry any more.
    closing: watch::Sender<bool>,
    clock: Arc<dyn Clock>,
    entropy: Arc<Entropy>,
    tracker: Arc<Tracker>,
    ledger: Ledger,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Their wait is over: they go before the queue.
    due: VecDeque<Job>,
    workers: usize,
    parked: usize,
    /// The queue is full, and nothing has changed since it is: who finds no room gives up at this instant.
    patient_until: Option<Timestamp>,
    counts: FullCounts,
    /// Nothing is begun any more.
    is_closed: bool,
}

/// What happened to jobs that found no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FullCounts {
    /// Waited in vain.
    pub timed_out: u64,
    /// Gave their place to a newer one.
    pub dropped: u64,
    /// Were turned away.
    pub refused: u64,
}

/// How the executor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecutorStatistics {
    /// Events that may be worked on at the same time.
    pub workers: usize,
    /// Events that are worked on.
    pub busy: usize,
    /// Events that wait for a worker.
    pub queued: usize,
    /// Events that may wait for a worker.
    pub queue: usize,
    /// Events that wait for a retry.
    pub retrying: usize,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// What happened when it was.
    pub full: FullCounts,
}

impl Executor {
    pub(super) fn new(
        settings: CallbackSettings,
        clock: Arc<dyn Clock>,
        entropy: Arc<Entropy>,
        tracker: Arc<Tracker>,
        ledger: Ledger,
    ) -> Self {
        let shared = Shared {
            settings: ArcSwap::from_pointee(settings),
            state: Mutex::default(),
            room: Notify::new(),
            quiet: Notify::new(),
            closing: watch::Sender::new(false),
            clock,
            entropy,
            tracker,
            ledger,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Other settings, from the next job and the next call on. Workers that are too many end after their job.
    pub(super) fn configure(&self, settings: CallbackSettings) {
        self.shared.settings.store(Arc::new(settings));
        self.shared.room.notify_waiters();
        // Where there are more of them now, each takes on one that waits.
        while self.shared.begin_worker() {}
    }

    pub(super) fn settings(&self) -> Arc<CallbackSettings> {
        self.shared.settings.load_full()
    }

    pub(super) fn statistics(&self) -> ExecutorStatistics {
        let settings = self.shared.settings.load();
        let state = self.shared.lock();
        ExecutorStatistics {
            workers: settings.workers,
            busy: state.workers,
            queued: state.queue.len() + state.due.len(),
            queue: settings.queue,
            retrying: state.parked,
            when_full: settings.when_full,
            full: state.counts,
        }
    }

    /// Makes what is to be queued of an event and those it concerns.
    pub(super) fn link(&self, callback: Arc<super::registry::Callback>, event: u64, replay_of: Option<u64>) -> Link {
        let at = self.shared.clock.now();
        let execution = self.shared.tracker.queued(callback.id, &callback.name, callback.kind, event, at);
        Link { callback, execution, attempts: 0, replay_of }
    }

    /// Queues a job, by the policy for when there is no room. Returns once it is queued or given up.
    pub(super) async fn push(&self, job: Job) {
        let mut job = Some(job);
        while let Some(next) = job.take() {
            let room = self.shared.room.notified();
            tokio::pin!(room);
            room.as_mut().enable();
            match self.shared.place(next) {
                Placed::Queued => {
                    self.shared.begin_worker();
                }
                Placed::InPlaceOf(oldest) => {
                    self.shared.begin_worker();
                    self.shared.give_up(oldest, "the queue was full and it had waited longest").await;
                }
                Placed::Refused(refused, why) => self.shared.give_up(refused, &why).await,
                Placed::Waits(waiting, until) => {
                    tokio::select! {
                        () = room => {}
                        () = self.shared.clock.wait_until(until) => {}
                    }
                    job = Some(waiting);
                }
            }
        }
    }

    /// Returns once nothing waits and nothing is under way. What waits for a retry is given up at once, unless it has a
    /// durable name: then it is called again after the next start.
    pub(super) async fn drain(&self) {
        self.shared.closing.send_replace(true);
        loop {
            let quiet = self.shared.quiet.notified();
            tokio::pin!(quiet);
            quiet.as_mut().enable();
            if self.shared.lock().is_quiet() {
                return;
            }
            quiet.await;
        }
    }

    /// Begins nothing any more, and gives up what waits. What is under way goes on, and nobody waits for it.
    pub(super) async fn close(&self) {
        self.shared.closing.send_replace(true);
        let left: Vec<Job> = {
            let mut state = self.shared.lock();
            state.is_closed = true;
            let State { queue, due, .. } = &mut *state;
            due.drain(..).chain(queue.drain(..)).collect()
        };
        self.shared.room.notify_waiters();
        for job in left {
            self.shared.leave(job).await;
        }
    }
}

enum Placed {
    Queued,
    /// The one that has waited longest is given up.
    InPlaceOf(Job),
    Refused(Job, String),
    /// No longer than until then.
    Waits(Job, Timestamp),
}

impl State {
    fn is_quiet(&self) -> bool {
        self.workers == 0 && self.parked == 0 && self.queue.is_empty() && self.due.is_empty()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, job: Job) -> Placed {
        let settings = self.settings.load();
        let now = self.clock.now();
        let mut state = self.lock();
        if state.is_closed {
            return Placed::Refused(job, STOPPED.to_owned());
        }
        if state.queue.len() < settings.queue {
            state.queue.push_back(job);
            return Placed::Queued;
        }
        let full = settings.queue;
        match settings.when_full {
            WhenFull::Refuse => {
                state.counts.refused += 1;
                Placed::Refused(job, format!("the queue of callbacks was full: {full} events waited"))
            }
            WhenFull::DropOldest => {
                state.queue.push_back(job);
                // It was full: there is one.
                let Some(oldest) = state.queue.pop_front() else { return Placed::Queued };
                state.counts.dropped += 1;
                Placed::InPlaceOf(oldest)
            }
            WhenFull::Wait(limit) => {
                let until = *state.patient_until.get_or_insert(now.after(limit));
                if now < until {
                    return Placed::Waits(job, until);
                }
                state.patient_until = Some(now.after(GIVING_UP_PACE));
                state.counts.timed_out += 1;
                let why = format!("the queue of callbacks was full for {limit:?}: {full} events waited");
                Placed::Refused(job, why)
            }
        }
    }

    /// Starts one more worker where there is something to do for it. Answers whether it did.
    fn begin_worker(self: &Arc<Self>) -> bool {
        let most = self.settings.load().workers;
        let mut state = self.lock();
        if state.workers >= most || state.queue.len() + state.due.len() == 0 {
            return false;
        }
        let Some(job) = self.take(&mut state) else { return false };
        state.workers += 1;
        drop(state);
        let shared = Arc::clone(self);
        tokio::spawn(async move { shared.work(job).await });
        true
    }

    fn take(&self, state: &mut State) -> Option<Job> {
        if let Some(job) = state.due.pop_front() {
            return Some(job);
        }
        let job = state.queue.pop_front()?;
        state.patient_until = None;
        self.room.notify_waiters();
        Some(job)
    }

    /// A worker: one job after the other, as long as there are any and not too many workers.
    async fn work(self: Arc<Self>, mut job: Job) {
        loop {
            // What callbacks do is caught closer to them. This is for a defect of ours: it must not cost the worker.
            if AssertUnwindSafe(self.run(job)).catch_unwind().await.is_err() {
                tracing::error!("A callback's worker panicked; it goes on.");
            }
            let most = self.settings.load().workers;
            let mut state = self.lock();
            let next = if state.workers > most { None } else { self.take(&mut state) };
            match next {
                Some(next) => job = next,
                None => {
                    state.workers -= 1;
                    self.quiet.notify_waiters();
                    return;
                }
            }
        }
    }

    /// Calls one after the other. Where one waits for a retry, those behind it wait as well, or go on, as it says.
    async fn run(self: &Arc<Self>, mut job: Job) {
        while let Some(mut link) = job.links.pop_front() {
            let is_first = link.attempts == 0;
            if link.callback.is_removed() {
                self.skip(&job, &link).await;
                continue;
            }
            let failure = match if is_first { job.meets_condition(&link) } else { Ok(true) } {
                Ok(true) => self.call(&job, &mut link).await.err(),
                Ok(false) => {
                    self.skip(&job, &link).await;
                    continue;
                }
                Err(failure) => Some(failure),
            };
            let on_failure = link.callback.options.load().on_failure;
            match failure.map(|failure| self.next(&link, failure)) {
                None => self.end(&job, &link).await,
                Some(Next::Again { due, reason }) => match on_failure {
                    OnFailure::Continue => self.park(job.alone(link), due, reason).await,
                    OnFailure::Stop => {
                        job.links.push_front(link);
                        return self.park(job, due, reason).await;
                    }
                },
                Some(Next::Dead { reason }) => {
                    self.bury(&job, link, &reason).await;
                    if on_failure == OnFailure::Stop {
                        for rest in std::mem::take(&mut job.links) {
                            self.skip(&job, &rest).await;
                        }
                    }
                }
            }
        }
    }

    /// Calls once.
    async fn call(&self, job: &Job, link: &mut Link) -> Result<(), Failure> {
        link.attempts += 1;
        let Link { callback, execution, attempts, .. } = &*link;
        let attempts = *attempts;
        let timeout = callback.options.load().timeout.unwrap_or(self.settings.load().timeout);
        let (began, at) = (Instant::now(), self.clock.now());
        self.tracker.running(*execution, attempts, at);
        let call = job.execution();
        let call = AssertUnwindSafe(callback.target.call(&call)).catch_unwind();
        let ended = tokio::select! {
            biased;
            ended = call => Some(ended),
            () = self.clock.wait_until(at.after(timeout)) => None,
        };
        let took = self.took(began, at);
        let now = self.clock.now();
        let retry = |reason: String| Failure::Retry { reason, after: None };
        let (mishap, failure) = match ended {
            Some(Ok(Ok(()))) => {
                self.tracker.succeeded(*execution, callback.kind, attempts, took, now);
                return Ok(());
            }
            Some(Ok(Err(failure))) => (Mishap::Failed, failure),
            // Its message is left out: it may hold anything.
            Some(Err(_)) => (Mishap::Panicked, retry("it panicked".to_owned())),
            None => (Mishap::TimedOut, retry(format!("it did not end within its timeout of {timeout:?}"))),
        };
        self.tracker.failed(callback.kind, mishap, took, now);
        Err(failure)
    }

    /// The injected clock counts in milliseconds: good for what is long, not for what is short.
    fn took(&self, began: Instant, at: Timestamp) -> Duration {
        began.elapsed().max(self.clock.now().since(at))
    }

    /// What comes after a failure.
    fn next(&self, link: &Link, failure: Failure) -> Next {
        let (reason, after) = match failure {
            Failure::Retry { reason, after } => (reason, after),
            Failure::GiveUp { reason } | Failure::Disable { reason } => return Next::Dead { reason },
        };
        let options = link.callback.options.load();
        let settings = self.settings.load();
        let policy = options.retry.as_ref().unwrap_or(&settings.retry);
        match policy.wait(link.attempts, after, self.entropy.roll()) {
            Some(wait) => Next::Again { due: self.clock.now().after(wait), reason },
            None => Next::Dead { reason },
        }
    }

    /// Has the job wait for the retry of its first link, beside the queue, and costing no worker.
    async fn park(self: &Arc<Self>, job: Job, due: Timestamp, reason: String) {
        let is_full = {
            let mut state = self.lock();
            let is_full = state.parked >= PARKED_MAX;
            state.parked += usize::from(!is_full);
            is_full
        };
        if is_full {
            return self
                .give_up(job, &format!("{PARKED_MAX} callbacks wait for their retries already: {reason}"))
                .await;
        }
        if let Some(link) = job.links.front() {
            let status = ExecutionStatus::Retrying { attempts: link.attempts, due, reason };
            self.tracker.retrying(link.execution, link.callback.kind, status, self.clock.now());
            self.ledger.failed(job.failure_of(link, self.clock.now())).await;
        }
        let (shared, mut closing) = (Arc::clone(self), self.closing.subscribe());
        tokio::spawn(async move {
            let is_closing = tokio::select! {
                // Its sender is in `shared`: it does not go.
                _ = closing.wait_for(|closing| *closing) => true,
                () = shared.clock.wait_until(due) => false,
            };
            if is_closing {
                shared.leave(job).await;
                shared.lock().parked -= 1;
                shared.quiet.notify_waiters();
                return;
            }
            {
                let mut state = shared.lock();
                state.parked -= 1;
                state.due.push_back(job);
            }
            shared.begin_worker();
        });
    }
}

enum Next {
    Again { due: Timestamp, reason: String },
    Dead { reason: String },
}
