//! What was counted in the last while: a ring of buckets, rolled on when somebody looks.

use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::{Timestamp, nanos};

/// Counts of the last `N` buckets, the one under way among them: between `(N - 1) / N` of the window and all of it.
#[derive(Clone, Debug)]
pub(super) struct Window<T, const N: usize> {
    buckets: [T; N],
    total: T,
    bucket_ns: u64,
    /// Where the bucket under way ends. Most looks compare with this and are done.
    ends_ns: u64,
    current: usize,
}

impl<T: Copy + Default + AddAssign + SubAssign, const N: usize> Window<T, N> {
    pub(super) fn new(length: Duration) -> Self {
        let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        Self {
            buckets: [T::default(); N],
            total: T::default(),
            bucket_ns: (length_ns / N as u64).max(1),
            ends_ns: 0,
            current: 0,
        }
    }

    pub(super) fn add(&mut self, counted: T, now: Timestamp) {
        self.roll(now);
        self.buckets[self.current] += counted;
        self.total += counted;
    }

    /// What is in the window at `now`.
    pub(super) fn total(&mut self, now: Timestamp) -> T {
        self.roll(now);
        self.total
    }

    pub(super) fn clear(&mut self) {
        self.buckets = [T::default(); N];
        self.total = T::default();
    }

    /// A moment before the bucket under way counts as in it: time does not run back.
    fn roll(&mut self, now: Timestamp) {
        let now_ns = nanos(now);
        if now_ns < self.ends_ns {
            return;
        }
        let passed = (now_ns - self.ends_ns) / self.bucket_ns + 1;
        if passed >= N as u64 {
            self.clear();
        } else {
            for _ in 0..passed {
                self.current = (self.current + 1) % N;
                self.total -= std::mem::take(&mut self.buckets[self.current]);
            }
        }
        self.ends_ns = self.ends_ns.saturating_add(passed.saturating_mul(self.bucket_ns));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_was_counted_leaves_bucket_by_bucket() {
        let mut window = Window::<u32, 10>::new(Duration::from_secs(10));
        window.add(1, at(0));
        window.add(2, at(1_000));
        window.add(4, at(9_999));
        assert_eq!(window.total(at(9_999)), 7);
        assert_eq!(window.total(at(10_000)), 6);
        assert_eq!(window.total(at(11_000)), 4);
        assert_eq!(window.total(at(18_999)), 4);
        assert_eq!(window.total(at(19_000)), 0);
    }

    #[test]
    fn a_long_silence_empties_it_and_a_clock_that_steps_back_does_not() {
        let mut window = Window::<u32, 10>::new(Duration::from_secs(10));
        window.add(1, at(1_700_000_000_000));
        window.add(1, at(1_600_000_000_000));
        assert_eq!(window.total(at(1_700_000_000_000)), 2);
        assert_eq!(window.total(at(1_800_000_000_000)), 0);
        assert_eq!(window.total(Timestamp::MAX), 0);
    }
}
