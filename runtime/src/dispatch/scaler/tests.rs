use proptest::prelude::*;

use super::*;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const STEP: Duration = WorkersConfig::SAMPLE;

/// A pool that follows a scaler, without workers.
struct Pool {
    scaler: Scaler,
    now: Timestamp,
    workers: u32,
    /// When, in milliseconds from the start, and what.
    changes: Vec<(u64, u32, ScaleReason)>,
}

impl Pool {
    fn of(min: u32, max: u32, workers: u32) -> Self {
        let settings = WorkersConfig { min, max, per_worker: 10, ..WorkersConfig::default() };
        Self { scaler: Scaler::new(settings), now: START, workers, changes: Vec::new() }
    }

    /// So many want a slot, for this long.
    fn wants(&mut self, in_flight: f64, time: Duration) -> &mut Self {
        let end = self.now.after(time);
        while self.now < end {
            self.now = self.now.after(STEP);
            let in_flight = in_flight.min(f64::from(self.workers) * 10.0);
            let sample = Sample { at: self.now, took: STEP, in_flight, workers: self.workers };
            if let Some(Decision { workers, reason }) = self.scaler.sample(sample) {
                self.workers = workers;
                self.changes.push((self.now.since(START).as_millis() as u64, workers, reason));
            }
        }
        self
    }
}

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_pool_that_is_full_grows_after_exactly_five_seconds_and_again_after_five_more() {
    let mut pool = Pool::of(2, 64, 2);
    pool.wants(1_000.0, Duration::from_millis(4_750));
    assert_eq!(pool.changes, []);
    pool.wants(1_000.0, Duration::from_millis(15_250));
    let high = ScaleReason::HighLoad;
    assert_eq!(pool.changes, [(5_000, 3, high), (10_000, 5, high), (15_000, 8, high), (20_000, 12, high)]);
}

#[test]
fn a_pool_doubles_at_most_and_stops_at_its_maximum() {
    let mut pool = Pool::of(1, 3, 1);
    pool.wants(1_000.0, seconds(60));
    assert_eq!(pool.changes, [(5_000, 2, ScaleReason::HighLoad), (10_000, 3, ScaleReason::HighLoad)]);
}

#[test]
fn a_pool_shrinks_after_exactly_thirty_seconds_to_what_the_peak_needs() {
    let mut pool = Pool::of(2, 16, 16);
    pool.wants(100.0, seconds(10));
    // 55 of 160 slots; a moment of more within the thirty seconds counts.
    pool.wants(40.0, seconds(10)).wants(55.0, Duration::from_millis(250)).wants(40.0, Duration::from_millis(19_500));
    assert_eq!(pool.changes, []);
    pool.wants(40.0, Duration::from_millis(250));
    assert_eq!(pool.changes, [(40_000, 8, ScaleReason::LowLoad)]);
    pool.wants(0.0, seconds(30));
    assert_eq!(pool.changes[1], (70_000, 2, ScaleReason::LowLoad));
    pool.wants(0.0, seconds(300));
    assert_eq!(pool.changes.len(), 2, "never below the minimum");
}

#[test]
fn a_square_wave_of_four_seconds_changes_nothing() {
    let mut pool = Pool::of(2, 64, 4);
    for _ in 0..100 {
        pool.wants(1_000.0, seconds(2)).wants(0.0, seconds(2));
    }
    assert_eq!(pool.changes, []);
}

#[test]
fn load_between_the_marks_changes_nothing() {
    let mut pool = Pool::of(2, 64, 10);
    pool.wants(35.0, seconds(300)).wants(70.0, seconds(300));
    assert_eq!(pool.changes, []);
}

#[test]
fn an_idle_worker_goes_only_where_the_others_have_room() {
    let mut pool = Pool::of(1, 8, 4);
    pool.wants(25.0, seconds(30));
    assert_eq!(pool.scaler.idle(pool.now, 4), None, "25 in 30 slots are too many");
    pool.wants(21.0, seconds(30));
    let decision = pool.scaler.idle(pool.now, 4);
    assert_eq!(decision, Some(Decision { workers: 3, reason: ScaleReason::IdleWorker }));
    assert_eq!(pool.scaler.idle(pool.now, 1), None);
}

#[test]
fn a_gap_without_samples_is_one_long_sample() {
    let mut pool = Pool::of(2, 8, 8);
    pool.wants(0.0, seconds(1));
    let due = pool.scaler.due_when_idle(pool.now, 8).expect("there are too many");
    assert_eq!(due, START.after(seconds(30)));
    let took = due.since(pool.now);
    let decision = pool.scaler.sample(Sample { at: due, took, in_flight: 0.0, workers: 8 });
    assert_eq!(decision, Some(Decision { workers: 2, reason: ScaleReason::LowLoad }));
    assert_eq!(pool.scaler.due_when_idle(due, 2), None);
}

proptest! {
    /// Whatever the load does, the size stays within its limits, at most doubles, and the direction changes at most
    /// once in thirty seconds.
    #[test]
    fn a_pool_never_flaps(
        min in 1_u32..6,
        more in 0_u32..60,
        start in 0_u32..60,
        loads in proptest::collection::vec((0.0..800.0_f64, 1_u64..200), 1..60),
    ) {
        let max = min + more;
        let mut pool = Pool::of(min, max, min + start.min(more));
        let mut before = pool.workers;
        for (in_flight, steps) in loads {
            pool.wants(in_flight, STEP * u32::try_from(steps).unwrap());
        }
        let mut turns: Vec<u64> = Vec::new();
        let mut last = None;
        for (at, workers, _) in &pool.changes {
            prop_assert!((min..=max).contains(workers));
            prop_assert!(*workers != before && *workers <= before * 2);
            let up = *workers > before;
            if last.is_some_and(|last| last != up) {
                turns.push(*at);
            }
            (last, before) = (Some(up), *workers);
        }
        prop_assert!(turns.windows(2).all(|pair| pair[1] - pair[0] >= 30_000), "{:?}", pool.changes);
    }
}
