//! Watches over the workers: measures the load, asks whether they are well, and lets the pool follow.
//!
//! While nothing is in flight and there are no more workers than there have to be, it sleeps until something is taken:
//! an idle runtime does not wake up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Mode;
use super::pool::Pool;
use super::scaler::{Decision, Sample, Scaler};
use crate::config::WorkersConfig;
use crate::domain::{Timestamp, WorkerNumber};

/// Machine time, on top of the time of the clock, before a worker is taken for stuck: a clock that jumps, as after a
/// machine has slept, says nothing of a worker that had no chance to run.
const GRACE: Duration = Duration::from_millis(100);

pub(super) struct Monitor {
    pool: Arc<Pool>,
    scaler: Scaler,
    sampled_at: Timestamp,
    /// Whether the size followed the load when it was last looked at.
    followed: bool,
    /// When the next question is due, and the answers to the last.
    check_at: Option<Timestamp>,
    question: u64,
    /// Slept until something was taken: there is a sample without an end.
    slept: bool,
}

impl Monitor {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        let (scaler, sampled_at) = (Scaler::new(pool.config()), pool.shared.with.clock.now());
        Self { pool, scaler, sampled_at, followed: false, check_at: None, question: 0, slept: false }
    }

    /// Runs until the workers are told to end.
    pub(super) async fn run(mut self) {
        let pool = Arc::clone(&self.pool);
        let clock = &pool.shared.with.clock;
        let mut mode = pool.mode.subscribe();
        while !matches!(*mode.borrow_and_update(), Mode::Draining | Mode::Ending) {
            let stirred = pool.shared.stir.notified();
            tokio::pin!(stirred);
            stirred.as_mut().enable();
            let wake = self.tend().await;
            tokio::select! {
                biased;
                changed = mode.changed() => if changed.is_err() { return },
                () = stirred => {}
                () = clock.wait_until(wake.unwrap_or(Timestamp::MAX)), if wake.is_some() => {}
            }
        }
    }

    /// Does what is due, and says when something is next. None where it depends on others alone.
    async fn tend(&mut self) -> Option<Timestamp> {
        let pool = Arc::clone(&self.pool);
        let now = pool.shared.with.clock.now();
        self.follow(pool.config());
        let silent = {
            let mut crew = pool.lock();
            crew.bury(now, &pool.shared);
            for worker in crew.broken() {
                crew.replace(&pool, worker, "its task ended by a defect", now);
            }
            crew.start_next(&pool);
            drop(crew);
            self.measure(now);
            self.check(now)
        };
        if !silent.is_empty() {
            tokio::time::sleep(GRACE).await;
            let mut crew = pool.lock();
            let still = crew.silent();
            for worker in silent.into_iter().filter(|worker| still.contains(worker)) {
                crew.replace(&pool, worker, "it did not answer from one health check to the next", now);
            }
        }
        self.next_wake(now)
    }

    /// Looks after them by these settings from here on.
    fn follow(&mut self, settings: WorkersConfig) {
        if self.scaler.settings().health_check != settings.health_check {
            self.check_at = None;
        }
        self.scaler.set(settings);
    }

    fn follows_load(&self) -> bool {
        let WorkersConfig { min, max, .. } = self.pool.config();
        min < max && self.pool.lock().pinned.is_none()
    }

    fn measure(&mut self, now: Timestamp) {
        let mut crew = self.pool.lock();
        let WorkersConfig { min, max, idle_after, .. } = self.pool.config();
        let follows = min < max && crew.pinned.is_none();
        if !follows || !self.followed {
            crew.load = None;
            crew.area(now);
            self.scaler.reset();
            (self.sampled_at, self.followed) = (now, follows);
            return;
        }
        let took = now.since(self.sampled_at);
        let woke = self.slept && self.pool.shared.in_flight() > 0;
        if took.is_zero() || (took < WorkersConfig::SAMPLE && !woke) {
            return;
        }
        (self.slept, self.sampled_at) = (false, now);
        let workers = crew.size();
        let in_flight = crew.area(now) as f64 / took.as_secs_f64() / 1_000.0;
        let decided = self.scaler.sample(Sample { at: now, took, in_flight, workers });
        crew.load = Some(self.scaler.load());
        let (decision, idle) = match decided {
            Some(decision) => (decision, None),
            None => {
                let Some((worker, since)) = crew.most_idle() else { return };
                if now.since(since) < idle_after || workers != crew.size() {
                    return;
                }
                let Some(decision) = self.scaler.idle(now, workers) else { return };
                (decision, Some(worker))
            }
        };
        let Decision { workers, reason } = decision;
        crew.resize(&self.pool, workers, reason, idle, now);
    }

    /// Asks, where it is time to. Answers who has said nothing since the last time.
    fn check(&mut self, now: Timestamp) -> Vec<WorkerNumber> {
        if self.check_at.is_none_or(|at| now < at) {
            return Vec::new();
        }
        let crew = self.pool.lock();
        let silent = if self.question > 0 { crew.silent() } else { Vec::new() };
        self.question += 1;
        self.check_at = Some(now.after(self.pool.config().health_check));
        if silent.is_empty() {
            crew.ask(self.question);
        }
        silent
    }

    fn next_wake(&mut self, now: Timestamp) -> Option<Timestamp> {
        let (pool, follows) = (Arc::clone(&self.pool), self.follows_load());
        let shared = &pool.shared;
        if shared.in_flight() == 0 {
            // First said, then looked again: what is taken in between is seen by one of the two.
            shared.is_asleep.store(true, Ordering::SeqCst);
            if shared.in_flight() == 0 {
                (self.slept, self.check_at) = (true, None);
                return if follows { self.when_idle(now) } else { None };
            }
            shared.is_asleep.store(false, Ordering::SeqCst);
        }
        let check = *self.check_at.get_or_insert(now.after(pool.config().health_check));
        let sample = self.sampled_at.after(WorkersConfig::SAMPLE);
        Some(if follows { check.min(sample) } else { check })
    }

    /// When a worker has to go, if nothing is taken from here on.
    fn when_idle(&self, now: Timestamp) -> Option<Timestamp> {
        let crew = self.pool.lock();
        let (size, idle_after) = (crew.size(), self.pool.config().idle_after);
        let low = self.scaler.due_when_idle(now, size);
        let spare = size > self.pool.config().min;
        let idle = crew.most_idle().filter(|_| spare).map(|(_, since)| since.after(idle_after)).filter(|at| *at > now);
        low.filter(|at| *at > now).into_iter().chain(idle).min()
    }
}
