//! How long calls took lately.

use std::collections::VecDeque;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::domain::Timestamp;

/// One slice of the recent history.
const SLICE: Duration = Duration::from_mins(1);

/// Slices that are kept: the last five minutes.
const SLICES: usize = 5;

/// How long calls took. Each figure is at most 1 % off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LatencyStatistics {
    /// Calls that it is about.
    pub count: u64,
    /// The shortest.
    pub min: Duration,
    /// The mean.
    pub avg: Duration,
    /// The longest.
    pub max: Duration,
    /// 95 of 100 were not longer.
    pub p95: Duration,
    /// 99 of 100 were not longer.
    pub p99: Duration,
}

/// The latencies of the last five minutes, in bounded memory. Instants and durations are brought along.
#[derive(Debug, Default)]
pub(crate) struct RecentLatencies {
    /// The newest last, each with when it began.
    slices: VecDeque<(Timestamp, Histogram<u32>)>,
}

impl RecentLatencies {
    pub(crate) fn record(&mut self, took: Duration, at: Timestamp) {
        self.forget(at);
        if self.slices.back().is_none_or(|(began, _)| began.after(SLICE) <= at) {
            // Two digits are enough for people, and a slice stays small.
            let Ok(slice) = Histogram::new(2) else { return };
            self.slices.push_back((at, slice));
        }
        if let Some((_, slice)) = self.slices.back_mut() {
            // It grows with what it is given; what it cannot hold is beyond all times here.
            let _ = slice.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        }
    }

    fn forget(&mut self, at: Timestamp) {
        let kept = SLICE * u32::try_from(SLICES).unwrap_or(u32::MAX);
        self.slices.retain(|(began, _)| began.after(kept) > at);
        while self.slices.len() > SLICES {
            self.slices.pop_front();
        }
    }

    /// None where there was no call.
    pub(crate) fn statistics(&mut self, at: Timestamp) -> Option<LatencyStatistics> {
        self.forget(at);
        let mut all = self.slices.front()?.1.clone();
        for (_, slice) in self.slices.iter().skip(1) {
            // It resizes itself: nothing is out of its range.
            all.add(slice).ok()?;
        }
        let us = Duration::from_micros;
        let avg = Duration::try_from_secs_f64(all.mean() / 1_000_000.0).unwrap_or_default();
        Some(LatencyStatistics {
            count: all.len(),
            min: us(all.min()),
            avg,
            max: us(all.max()),
            p95: us(all.value_at_quantile(0.95)),
            p99: us(all.value_at_quantile(0.99)),
        })
    }
}
