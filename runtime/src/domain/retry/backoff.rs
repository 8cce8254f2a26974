//! How the waits between attempts grow.

use std::time::Duration;

/// How the waits between attempts grow. No wait is ever over `max_interval`, and none overflows, however many retries.
#[derive(Clone, Debug, PartialEq)]
pub enum Backoff {
    /// `initial`, then each `factor` times the one before.
    Exponential {
        /// The first wait.
        initial: Duration,
        /// How much longer each wait is than the one before; at least 1.
        factor: f64,
        /// No wait is longer, jitter aside.
        max_interval: Duration,
    },
    /// `initial`, then each by `initial` longer than the one before: 30 s, 60 s, 90 s.
    Linear {
        /// The first wait, and what each further one adds.
        initial: Duration,
        /// No wait is longer, jitter aside.
        max_interval: Duration,
    },
    /// `initial` times 1, 1, 2, 3, 5, 8: slower than doubling, faster than adding.
    Fibonacci {
        /// The first wait.
        initial: Duration,
        /// No wait is longer, jitter aside.
        max_interval: Duration,
    },
    /// The same wait each time.
    Fixed {
        /// Each wait.
        interval: Duration,
    },
    /// Each wait as written. The last one is repeated where more retries are allowed than waits are written.
    Schedule {
        /// The waits, the first one first. An empty schedule never waits.
        waits: Vec<Duration>,
    },
}

impl Backoff {
    /// The wait before retry number `retry` (from 1), without jitter. Number 0 is treated as 1.
    ///
    /// ```
    /// use campanile::domain::Backoff;
    /// use std::time::Duration;
    ///
    /// let fibonacci = Backoff::Fibonacci { initial: Duration::from_secs(1), max_interval: Duration::from_secs(6) };
    /// let waits: Vec<u64> = (1..=6).map(|retry| fibonacci.wait(retry).as_secs()).collect();
    /// assert_eq!(waits, [1, 1, 2, 3, 5, 6]);
    /// ```
    #[must_use]
    pub fn wait(&self, retry: u32) -> Duration {
        let retry = retry.max(1);
        match self {
            Self::Exponential { initial, factor, max_interval } => {
                let seconds = initial.as_secs_f64() * factor.powf(f64::from(retry - 1));
                Duration::try_from_secs_f64(seconds).map_or(*max_interval, |wait| wait.min(*max_interval))
            }
            Self::Linear { initial, max_interval } => initial.saturating_mul(retry).min(*max_interval),
            Self::Fibonacci { initial, max_interval } => {
                let (mut this, mut next) = (*initial, *initial);
                for _ in 1..retry {
                    if this >= *max_interval {
                        break;
                    }
                    (this, next) = (next, this.saturating_add(next));
                }
                this.min(*max_interval)
            }
            Self::Fixed { interval } => *interval,
            Self::Schedule { waits } => {
                let index = usize::try_from(retry - 1).unwrap_or(usize::MAX).min(waits.len().saturating_sub(1));
                waits.get(index).copied().unwrap_or_default()
            }
        }
    }

    /// Its word in configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Exponential { .. } => "exponential",
            Self::Linear { .. } => "linear",
            Self::Fibonacci { .. } => "fibonacci",
            Self::Fixed { .. } => "fixed",
            Self::Schedule { .. } => "schedule",
        }
    }
}
