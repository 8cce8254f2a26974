//! How much of the work may be work done again, so that retries do not bury a provider that is down already.

use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::window::Window;
use super::{Gcra, Rate, Timestamp};

/// Seconds over which first attempts are compared with retries, one bucket for each.
const SECONDS: usize = 10;
/// One retry for so many first attempts: 20 %.
const FIRST_PER_RETRY: u32 = 5;
/// Retries each second that need no first attempts; after a quiet second as many at once.
const FLOOR_PER_SECOND: u32 = 10;
/// No retry comes later than this because of the others: what fails half of the time is not made to fail by waiting.
const LATE_MAX: Duration = Duration::from_mins(1);

/// A bound on retries: a fifth of the first attempts of the last 10 s, and ten a second besides.
///
/// It never refuses a retry; it says when it is to be made, a minute later at most.
///
/// ```
/// use campanile::domain::{RetryBudget, Timestamp};
///
/// let (mut budget, now) = (RetryBudget::new(), Timestamp::from_millis(1_000));
/// (0..10).for_each(|_| assert_eq!(budget.retry(now), now));
/// assert_eq!(budget.retry(now), Timestamp::from_millis(1_100));
/// assert_eq!(budget.retry(now), Timestamp::from_millis(1_200));
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget {
    attempts: Window<Attempts, SECONDS>,
    floor: Gcra,
    floor_rate: Rate,
}

#[derive(Clone, Copy, Debug, Default)]
struct Attempts {
    first: u32,
    /// Those retries that first attempts paid for.
    retries: u32,
}

impl AddAssign for Attempts {
    fn add_assign(&mut self, other: Self) {
        self.first = self.first.saturating_add(other.first);
        self.retries = self.retries.saturating_add(other.retries);
    }
}

impl SubAssign for Attempts {
    fn sub_assign(&mut self, other: Self) {
        self.first = self.first.saturating_sub(other.first);
        self.retries = self.retries.saturating_sub(other.retries);
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new()
    }
}

impl RetryBudget {
    /// A budget that has seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            attempts: Window::new(Duration::from_secs(SECONDS as u64)),
            floor: Gcra::default(),
            floor_rate: Rate::per_second(FLOOR_PER_SECOND).with_burst(FLOOR_PER_SECOND),
        }
    }

    /// A first attempt was made.
    pub fn first(&mut self, now: Timestamp) {
        self.attempts.add(Attempts { first: 1, retries: 0 }, now);
    }

    /// When one more retry is to be made: its place in line is taken.
    pub fn retry(&mut self, now: Timestamp) -> Timestamp {
        let seen = self.attempts.total(now);
        if seen.retries < seen.first / FIRST_PER_RETRY {
            self.attempts.add(Attempts { first: 0, retries: 1 }, now);
            return now;
        }
        let latest = now.after(LATE_MAX);
        if self.floor.next(self.floor_rate, now) >= latest {
            return latest;
        }
        self.floor.reserve(self.floor_rate, now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + millis)
    }

    #[test]
    fn a_fifth_of_the_first_attempts_may_be_tried_again() {
        let mut budget = RetryBudget::new();
        for _ in 0..1_000 {
            budget.first(at(0));
        }
        let made = (0..1_000).filter(|_| budget.retry(at(0)) == at(0)).count();
        assert_eq!(made, 210, "a fifth of the first attempts, and ten that need none");
        assert_eq!(budget.retry(at(0)), at(60_000), "in line behind all of these, and a minute late at most");
    }

    #[test]
    fn first_attempts_pay_for_retries_for_ten_seconds() {
        let mut budget = RetryBudget::new();
        for _ in 0..5 {
            budget.first(at(0));
        }
        assert_eq!(budget.retry(at(8_999)), at(8_999));
        for _ in 0..5 {
            budget.first(at(9_000));
        }
        let made = (0..20).filter(|_| budget.retry(at(20_000)) == at(20_000)).count();
        assert_eq!(made, 10, "what was seen over ten seconds ago pays for nothing");
    }

    proptest! {
        #[test]
        fn retries_never_outgrow_first_attempts_and_the_floor(
            steps in prop::collection::vec((0_u64..2_000, any::<bool>(), 1_u32..40), 1..120),
        ) {
            let mut budget = RetryBudget::new();
            let (mut clock, mut firsts, mut retries) = (0, Vec::new(), Vec::new());
            for (pause, is_first, count) in steps {
                clock += pause;
                for _ in 0..count {
                    if is_first {
                        budget.first(at(clock));
                        firsts.push(clock);
                    } else {
                        let when = budget.retry(at(clock));
                        prop_assert!((at(clock)..=at(clock + 60_000)).contains(&when));
                        if when == at(clock) {
                            retries.push(clock);
                        }
                    }
                }
                // Of the window that ends here, with the first attempts of the one before: both slide by the second.
                let in_last = |times: &[u64], millis: u64| times.iter().filter(|time| **time + millis > clock).count();
                let allowed = in_last(&firsts, 20_000) / 5 + 110;
                prop_assert!(in_last(&retries, 9_000) <= allowed);
            }
        }
    }
}
