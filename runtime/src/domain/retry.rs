//! When again: a pure function of policy, retry and one roll of jitter.

use std::time::Duration;

/// How the waits between attempts grow.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// `initial`, then each `factor` times the one before, never over `max_interval`.
    Exponential {
        /// The first wait.
        initial: Duration,
        /// How much longer each wait is than the one before; at least 1.
        factor: f64,
        /// No wait is longer, jitter aside.
        max_interval: Duration,
    },
}

impl Backoff {
    /// The wait before retry number `retry` (from 1), without jitter.
    #[must_use]
    pub fn wait(&self, retry: u32) -> Duration {
        match self {
            Self::Exponential { initial, factor, max_interval } => {
                let exponent = f64::from(retry.saturating_sub(1));
                let seconds = initial.as_secs_f64() * factor.powf(exponent);
                Duration::try_from_secs_f64(seconds).map_or(*max_interval, |wait| wait.min(*max_interval))
            }
        }
    }
}

/// When a delivery is tried again, and when it is given up.
///
/// The default is exponential 1, 2, 4, 8, 16 s, five retries (six attempts), capped at 5 min, with a jitter of 0 to
/// +10 %: never earlier than the schedule says.
///
/// ```
/// use campanile::domain::RetryPolicy;
/// use std::time::Duration;
///
/// let policy = RetryPolicy::default();
/// let no_jitter = 0.0;
/// assert_eq!(policy.wait(1, None, no_jitter), Some(Duration::from_secs(1)));
/// assert_eq!(policy.wait(5, None, no_jitter), Some(Duration::from_secs(16)));
/// assert_eq!(policy.wait(6, None, no_jitter), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How the waits grow.
    pub backoff: Backoff,
    /// Retries after the first attempt: attempts = 1 + `max_retries`.
    pub max_retries: u32,
    /// The largest share a wait may be stretched by: 0.1 is up to 10 %. Between 0 and 1.
    pub jitter: f64,
    /// A delivery that has waited this long since its notification was accepted (or was due) is not tried again.
    pub max_age: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            backoff: Backoff::Exponential {
                initial: Duration::from_secs(1),
                factor: 2.0,
                max_interval: Duration::from_mins(5),
            },
            max_retries: 5,
            jitter: 0.1,
            max_age: Duration::from_hours(72),
        }
    }
}

impl RetryPolicy {
    /// The longest wait that a provider's hint can ask for.
    pub const HINT_MAX: Duration = Duration::from_hours(24);

    /// The wait before retry number `retry` (from 1), or `None` where the retries are used up.
    ///
    /// `hint` is the provider's wish and only ever delays. `roll` is one draw from `[0, 1)`.
    #[must_use]
    pub fn wait(&self, retry: u32, hint: Option<Duration>, roll: f64) -> Option<Duration> {
        if retry == 0 || retry > self.max_retries {
            return None;
        }
        let planned = self.backoff.wait(retry);
        let stretched = planned.mul_f64(1.0 + self.jitter.clamp(0.0, 1.0) * roll.clamp(0.0, 1.0));
        Some(stretched.max(hint.unwrap_or_default().min(Self::HINT_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_is_one_two_four_eight_sixteen_seconds() {
        let policy = RetryPolicy::default();
        let schedule: Vec<u64> =
            (1..).map_while(|retry| policy.wait(retry, None, 0.0)).map(|wait| wait.as_secs()).collect();
        assert_eq!(schedule, [1, 2, 4, 8, 16]);
    }

    proptest! {
        #[test]
        fn a_wait_is_never_earlier_than_planned_and_at_most_a_tenth_later(
            retry in 1_u32..=5, roll in 0.0_f64..1.0
        ) {
            let policy = RetryPolicy::default();
            let planned = policy.backoff.wait(retry);
            let wait = policy.wait(retry, None, roll).expect("five retries are allowed");
            prop_assert!(wait >= planned && wait <= planned.mul_f64(1.1));
        }

        #[test]
        fn a_hint_only_delays_and_at_most_a_day(retry in 1_u32..=5, hint_s in 0_u64..1_000_000, roll in 0.0_f64..1.0) {
            let policy = RetryPolicy::default();
            let without = policy.wait(retry, None, roll).expect("allowed");
            let with = policy.wait(retry, Some(Duration::from_secs(hint_s)), roll).expect("allowed");
            prop_assert!(with >= without);
            prop_assert!(with <= without.max(RetryPolicy::HINT_MAX));
        }

        #[test]
        fn no_wait_is_over_the_cap_however_many_retries(max_retries in 1_u32..u32::MAX, factor in 1.0_f64..1e6) {
            let policy = RetryPolicy {
                backoff: Backoff::Exponential {
                    initial: Duration::from_secs(1), factor, max_interval: Duration::from_mins(5),
                },
                max_retries,
                ..RetryPolicy::default()
            };
            let wait = policy.wait(max_retries, None, 0.0).expect("allowed");
            prop_assert!(wait <= Duration::from_mins(5));
        }
    }
}
