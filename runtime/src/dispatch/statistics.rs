//! What a worker has done and what it is doing, as people read it.

use std::time::Duration;

use super::slots::Slots;
use crate::call::Report;
use crate::config::Balance;
use crate::domain::{AttemptEnd, ChannelName, Outcome, Timestamp, WorkerNumber};

/// How a worker is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerState {
    /// It has nothing in flight.
    Idle,
    /// It has something in flight.
    Processing,
    /// It takes nothing more, and ends with what it has.
    Draining,
    /// It has ended.
    Stopped,
}

impl WorkerState {
    /// Every state there is.
    pub const ALL: [Self; 4] = [Self::Idle, Self::Processing, Self::Draining, Self::Stopped];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Processing => "processing",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
        }
    }
}

/// What a worker is at: of all its calls the one that has been under way for the longest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CurrentTask {
    /// Through which channel.
    pub channel: ChannelName,
    /// When the attempt began.
    pub since: Timestamp,
}

/// What was last put together on a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Affinity {
    /// The channel.
    pub channel: ChannelName,
    /// The kind of the notification.
    pub kind: String,
}

/// How long the calls of a worker took: the last 512 to 1,024 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// On average.
    pub mean: Duration,
    /// Of 99 in 100 calls at most this, or an eighth less.
    pub p99: Duration,
}

/// One worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerStatus {
    /// Which.
    pub number: WorkerNumber,
    /// How it is doing.
    pub state: WorkerState,
    /// When it came up.
    pub started_at: Timestamp,
    /// When something last began or ended.
    pub last_activity: Option<Timestamp>,
    /// Deliveries that it has.
    pub in_flight: usize,
    /// Deliveries that it may have.
    pub slots: usize,
    /// Attempts that have ended.
    pub processed: u64,
    /// Those of them that were neither sent nor accepted.
    pub errors: u64,
    /// What it is at.
    pub current: Option<CurrentTask>,
    /// What was last put together on it, where the strategy does.
    pub affinity: Option<Affinity>,
    /// None where no call has ended.
    pub latency: Option<Latency>,
    /// Units that the guests of its calls used, all together.
    pub fuel: u64,
    /// The linear memory of the guest that was called last, in bytes.
    pub memory_bytes: u64,
    /// The same, the most there was.
    pub memory_peak_bytes: u64,
}

/// The pool and its workers.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolStatus {
    /// Workers that there should be; those that are draining do not count.
    pub size: u32,
    /// Never fewer, unless somebody says so.
    pub min: u32,
    /// Never more.
    pub max: u32,
    /// The size that somebody has set by hand; more than `size` where `max` is less by now.
    pub pinned: Option<u32>,
    /// In flight ÷ slots: over the last sample where the size follows the load, else right now.
    pub load: f64,
    /// Deliveries in flight.
    pub in_flight: usize,
    /// Deliveries that may be in flight.
    pub slots: usize,
    /// How the next worker is chosen.
    pub strategy: Balance,
    /// Each of them, by number; of those that have ended, the last few.
    pub workers: Vec<WorkerStatus>,
}

/// What a worker counts.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) last_activity: Option<Timestamp>,
    pub(super) affinity: Option<Affinity>,
    processed: u64,
    errors: u64,
    fuel: u64,
    memory_bytes: u64,
    memory_peak_bytes: u64,
    latency: History,
}

impl Record {
    /// An attempt has ended.
    pub(super) fn ended(&mut self, report: &Report) {
        let Report { end, duration, fuel, memory_bytes, .. } = report;
        self.processed += 1;
        let is_well = matches!(end, AttemptEnd::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. }));
        self.errors += u64::from(!is_well);
        self.fuel = self.fuel.saturating_add(*fuel);
        self.latency.add(*duration);
        if *memory_bytes > 0 {
            self.memory_bytes = *memory_bytes;
            self.memory_peak_bytes = self.memory_peak_bytes.max(*memory_bytes);
        }
    }

    pub(super) fn latency(&self) -> Option<Latency> {
        self.latency.read()
    }

    /// What a slot gets done, in calls a second, where it is busy for `busy_ms` slot milliseconds.
    pub(super) fn throughput(&self, busy_ms: u64) -> Option<f64> {
        (self.processed > 0).then(|| self.processed as f64 * 1_000.0 / busy_ms.max(1) as f64)
    }

    pub(super) fn status(
        &self,
        number: WorkerNumber,
        state: WorkerState,
        started_at: Timestamp,
        current: Option<CurrentTask>,
        (used, slots): (Slots, Slots),
    ) -> WorkerStatus {
        WorkerStatus {
            number,
            state,
            started_at,
            last_activity: self.last_activity,
            in_flight: used.total(),
            slots: slots.total(),
            processed: self.processed,
            errors: self.errors,
            current,
            affinity: self.affinity.clone(),
            latency: self.latency(),
            fuel: self.fuel,
            memory_bytes: self.memory_bytes,
            memory_peak_bytes: self.memory_peak_bytes,
        }
    }
}

/// Each power of two of microseconds in eight steps.
const STEPS: usize = 8;
/// Up to 2³⁵ µs: over nine hours.
const BUCKETS: usize = 33 * STEPS;
/// Calls of one half.
const HALF: u32 = 512;

/// How long the last calls took: two halves, of which the older one is forgotten when the newer one is full. A call
/// costs two additions, and nothing is ever allocated after the first.
#[derive(Debug, Default)]
struct History {
    newer: Half,
    older: Half,
}

#[derive(Debug)]
struct Half {
    buckets: Box<[u16; BUCKETS]>,
    calls: u32,
    sum_us: u64,
}

impl Default for Half {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), calls: 0, sum_us: 0 }
    }
}

/// The bucket of what takes so long, and the other way round: the longest that falls into it.
fn bucket(us: u64) -> usize {
    if us < STEPS as u64 {
        return us as usize;
    }
    let power = us.ilog2() as usize;
    let step = (us >> (power - 3)) as usize & (STEPS - 1);
    ((power - 2) * STEPS + step).min(BUCKETS - 1)
}

const fn upper_us(bucket: usize) -> u64 {
    if bucket < STEPS {
        return bucket as u64;
    }
    let (power, step) = (bucket / STEPS + 2, bucket % STEPS);
    ((STEPS + step + 1) as u64) << (power - 3)
}

impl History {
    fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        if self.newer.calls == HALF {
            std::mem::swap(&mut self.newer, &mut self.older);
            self.newer.buckets.fill(0);
            (self.newer.calls, self.newer.sum_us) = (0, 0);
        }
        self.newer.buckets[bucket(us)] += 1;
        self.newer.calls += 1;
        self.newer.sum_us = self.newer.sum_us.saturating_add(us);
    }

    fn read(&self) -> Option<Latency> {
        let calls = self.newer.calls + self.older.calls;
        let mean = self.newer.sum_us.saturating_add(self.older.sum_us).checked_div(u64::from(calls))?;
        let wanted = (calls * 99).div_ceil(100);
        let mut seen = 0;
        let both = self.newer.buckets.iter().zip(self.older.buckets.iter());
        let place = both.map(|(newer, older)| u32::from(*newer) + u32::from(*older)).position(|count| {
            seen += count;
            seen >= wanted
        });
        let p99 = upper_us(place.unwrap_or(BUCKETS - 1));
        Some(Latency { mean: Duration::from_micros(mean), p99: Duration::from_micros(p99) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn latency_is_that_of_the_last_calls() {
        let mut history = History::default();
        assert_eq!(history.read(), None);
        (0..99).for_each(|_| history.add(Duration::from_millis(10)));
        history.add(Duration::from_secs(10));
        let latency = history.read().expect("there were calls");
        assert_eq!(latency.mean, Duration::from_micros(109_900));
        assert!((10_000..=11_250).contains(&latency.p99.as_micros()), "{latency:?}");
        (0..2).for_each(|_| history.add(Duration::from_secs(10)));
        assert!(history.read().is_some_and(|latency| latency.p99 >= Duration::from_secs(10)));
        (0..1_024).for_each(|_| history.add(Duration::from_millis(1)));
        assert_eq!(history.read().map(|latency| latency.mean), Some(Duration::from_millis(1)), "the rest is forgotten");
    }

    proptest! {
        #[test]
        fn a_bucket_is_an_eighth_wide_at_most(us in 0_u64..1 << 34) {
            let upper = upper_us(bucket(us));
            prop_assert!(upper >= us && upper <= us + us / 8 + 1, "{us} is taken for {upper}");
        }
    }
}
