//! How much of the work may be work done again, so that retries do not bury a provider that is down already.

use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::window::Window;
use super::{Gcra, Rate, Timestamp};

/// Seconds over which first attempts are compared with retries, one bucket for each.
const SECONDS: usize = 10;
/// One retry for so many first attempts: 20 %.
const FIRST_PER_RETRY: u32 = 5;
/// Retries each second that need no first attempts.
const FLOOR_PER_SECOND: u32 = 10;

/// A bound on retries: a fifth of the first attempts of the last 10 s, and ten a second besides.
///
/// It never refuses a retry; it says when to ask again.
///
/// ```
/// use campanile::domain::{RetryBudget, Timestamp};
///
/// let (mut budget, now) = (RetryBudget::new(), Timestamp::from_millis(1_000));
/// assert_eq!(budget.retry(now), Ok(()));
/// assert_eq!(budget.retry(now), Err(Timestamp::from_millis(1_100)));
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
            floor_rate: Rate::per_second(FLOOR_PER_SECOND),
        }
    }

    /// A first attempt was made.
    pub fn first(&mut self, now: Timestamp) {
        self.attempts.add(Attempts { first: 1, retries: 0 }, now);
    }

    /// Makes a retry, if there is room for one.
    ///
    /// # Errors
    /// When to ask again, where there is none. No later than a tenth of a second, though others may be faster.
    pub fn retry(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let seen = self.attempts.total(now);
        if seen.retries < seen.first / FIRST_PER_RETRY {
            self.attempts.add(Attempts { first: 0, retries: 1 }, now);
            return Ok(());
        }
        let at = self.floor.next(self.floor_rate, now);
        if at > now {
            return Err(at);
        }
        self.floor.take(self.floor_rate, now);
        Ok(())
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
        let made = (0..1_000).filter(|_| budget.retry(at(0)).is_ok()).count();
        assert_eq!(made, 201, "a fifth of the first attempts, and one that needs none");
        assert_eq!(budget.retry(at(0)), Err(at(100)));
        assert_eq!(budget.retry(at(100)), Ok(()));
    }

    #[test]
    fn first_attempts_pay_for_retries_for_ten_seconds() {
        let mut budget = RetryBudget::new();
        for _ in 0..5 {
            budget.first(at(0));
        }
        assert_eq!(budget.retry(at(8_999)), Ok(()));
        for _ in 0..5 {
            budget.first(at(9_000));
        }
        let made = (0..10).filter(|_| budget.retry(at(20_000)).is_ok()).count();
        assert_eq!(made, 1, "what was seen over ten seconds ago pays for nothing");
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
                        match budget.retry(at(clock)) {
                            Ok(()) => retries.push(clock),
                            Err(later) => prop_assert!(later > at(clock) && later <= at(clock + 100)),
                        }
                    }
                }
                // Of the window that ends here, with the first attempts of the one before: both slide by the second.
                let in_last = |times: &[u64], millis: u64| times.iter().filter(|time| **time + millis > clock).count();
                let allowed = in_last(&firsts, 20_000) / 5 + 101;
                prop_assert!(in_last(&retries, 9_000) <= allowed);
            }
        }
    }
}
