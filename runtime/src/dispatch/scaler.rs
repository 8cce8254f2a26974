//! How many workers there should be, by the load: a state machine without a clock.
//!
//! *Invariants:* what goes up goes up only after the load was above the target in every sample of `scale_up_after`, and
//! what goes down only after it was below the lower mark in every sample of `scale_down_after`. The new size would have
//! had the load at or below the target, so one change never calls for the opposite; and where the load itself turns,
//! the direction changes once in `scale_down_after` at most.
//!
//! *Not here:* what a worker is, who is told.

use std::collections::VecDeque;
use std::time::Duration;

use crate::config::WorkersConfig;
use crate::domain::{ScaleReason, Timestamp};

/// What was measured since the sample before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Its end.
    pub(super) at: Timestamp,
    /// How long it is.
    pub(super) took: Duration,
    /// Deliveries in flight, on average over that time.
    pub(super) in_flight: f64,
    /// Workers that had them, or could have.
    pub(super) workers: u32,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// How many workers there should be.
    pub(super) workers: u32,
    pub(super) reason: ScaleReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// A time over which the load was on one side of a mark without a break.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    since: Timestamp,
    /// Deliveries in flight, times milliseconds.
    area: f64,
}

#[derive(Debug)]
pub(super) struct Scaler {
    settings: WorkersConfig,
    above: Option<Stretch>,
    below: Option<Timestamp>,
    /// The highest samples of the last `scale_down_after`, each lower than the one before it.
    peaks: VecDeque<(Timestamp, f64)>,
    last: Option<Direction>,
    /// When the direction changed.
    turned_at: Option<Timestamp>,
    load: f64,
}

impl Scaler {
    pub(super) const fn new(settings: WorkersConfig) -> Self {
        let (above, below, last, turned_at) = (None, None, None, None);
        Self { settings, above, below, peaks: VecDeque::new(), last, turned_at, load: 0.0 }
    }

    pub(super) const fn settings(&self) -> &WorkersConfig {
        &self.settings
    }

    /// Decides by these from here on. How long the load was beyond a mark is counted anew where they are others: it was
    /// another mark.
    pub(super) fn set(&mut self, settings: WorkersConfig) {
        if self.settings != settings {
            self.settings = settings;
            (self.above, self.below) = (None, None);
        }
    }

    /// In flight ÷ slots, in the last sample.
    pub(super) const fn load(&self) -> f64 {
        self.load
    }

    /// Forgets what was measured: somebody else has set the size.
    pub(super) fn reset(&mut self) {
        *self = Self { load: self.load, ..Self::new(self.settings) };
    }

    /// Takes what was measured, and says what follows from it.
    pub(super) fn sample(&mut self, sample: Sample) -> Option<Decision> {
        let Sample { at, took, in_flight, workers } = sample;
        let began = Timestamp::from_millis(at.as_millis().saturating_sub(millis(took)));
        self.load = in_flight / self.slots(workers);
        self.remember(at, in_flight);
        let WorkersConfig { target_load, scale_up_after, scale_down_load, scale_down_after, .. } = self.settings;
        if self.load > target_load {
            let stretch = self.above.get_or_insert(Stretch { since: began, area: 0.0 });
            stretch.area += in_flight * millis(took) as f64;
        } else {
            self.above = None;
        }
        if self.load < scale_down_load {
            self.below.get_or_insert(began);
        } else {
            self.below = None;
        }
        if let Some(Stretch { since, area }) = self.above
            && at.since(since) >= scale_up_after
            && workers < self.settings.max
            && self.may_turn(Direction::Up, at)
        {
            let wanted = self.needed(area / millis(at.since(since)).max(1) as f64);
            let most = workers.saturating_mul(2).min(self.settings.max);
            return Some(self.decide(Direction::Up, wanted.clamp(workers + 1, most), ScaleReason::HighLoad, at));
        }
        if let Some(since) = self.below
            && at.since(since) >= scale_down_after
            && workers > self.settings.min
            && self.may_turn(Direction::Down, at)
        {
            let wanted = self.needed(self.peak());
            let wanted = wanted.clamp(self.settings.min, workers - 1);
            return Some(self.decide(Direction::Down, wanted, ScaleReason::LowLoad, at));
        }
        None
    }

    /// A worker has had nothing for `idle_after`: says whether the pool can do without it.
    pub(super) fn idle(&mut self, at: Timestamp, workers: u32) -> Option<Decision> {
        let left = workers.checked_sub(1).filter(|left| *left >= self.settings.min)?;
        let would_do = self.needed(self.peak()) <= left && self.may_turn(Direction::Down, at);
        would_do.then(|| self.decide(Direction::Down, left, ScaleReason::IdleWorker, at))
    }

    /// When there are too many workers, if nothing is in flight from here on. None where there are as few as there may be.
    pub(super) fn due_when_idle(&self, now: Timestamp, workers: u32) -> Option<Timestamp> {
        if workers <= self.settings.min || self.settings.scale_down_load <= 0.0 {
            return None;
        }
        let due = self.below.unwrap_or(now).after(self.settings.scale_down_after);
        let turn = self.turned_at.filter(|_| self.last == Some(Direction::Up));
        Some(turn.map_or(due, |turned| due.max(turned.after(self.settings.scale_down_after))))
    }

    fn decide(&mut self, direction: Direction, workers: u32, reason: ScaleReason, at: Timestamp) -> Decision {
        if self.last.is_some_and(|last| last != direction) {
            self.turned_at = Some(at);
        }
        self.last = Some(direction);
        // The next change needs a stretch of its own.
        (self.above, self.below) = (None, None);
        Decision { workers, reason }
    }

    fn may_turn(&self, direction: Direction, at: Timestamp) -> bool {
        let turns = self.last.is_some_and(|last| last != direction);
        !turns || self.turned_at.is_none_or(|turned| at.since(turned) >= self.settings.scale_down_after)
    }

    fn remember(&mut self, at: Timestamp, in_flight: f64) {
        let window = self.settings.scale_down_after;
        while self.peaks.front().is_some_and(|(then, _)| at.since(*then) >= window) {
            self.peaks.pop_front();
        }
        while self.peaks.back().is_some_and(|(_, lower)| *lower <= in_flight) {
            self.peaks.pop_back();
        }
        self.peaks.push_back((at, in_flight));
    }

    fn peak(&self) -> f64 {
        self.peaks.front().map_or(0.0, |(_, peak)| *peak)
    }

    /// Workers that have so many in flight at the target load.
    fn needed(&self, in_flight: f64) -> u32 {
        // A hair less, so that what is exactly at the target does not need one more by the rounding of a division.
        (in_flight / (self.slots(1) * self.settings.target_load) - 1e-9).ceil() as u32
    }

    fn slots(&self, workers: u32) -> f64 {
        f64::from(workers.max(1)) * f64::from(self.settings.per_worker.max(1))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
