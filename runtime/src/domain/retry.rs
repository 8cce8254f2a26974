//! When again: a pure function of policy, retry and one roll of jitter.

mod backoff;
mod jitter;
mod named;

use std::time::Duration;

pub use backoff::Backoff;
pub use jitter::Jitter;

/// When a delivery is tried again, and when it is given up.
///
/// The default is exponential 1, 2, 4, 8, 16 s, five retries (six attempts), capped at 5 min, with a jitter of 0 to
/// +10 %: never earlier than the schedule says. [`RetryPolicy::named`] lists the others that are always there;
/// [`retry`](crate::retry) runs any operation by one.
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
    /// How far each wait is moved at random.
    pub jitter: Jitter,
    /// A delivery that has waited this long since its notification was accepted (or was due) is not tried again. One that
    /// its provider took is asked for so long from then on.
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
            jitter: Jitter::Plus(0.1),
            max_age: Duration::from_hours(72),
        }
    }
}

impl RetryPolicy {
    /// The longest wait that a provider's hint can ask for.
    pub const HINT_MAX: Duration = Duration::from_hours(24);

    /// The wait before retry number `retry` (from 1), or `None` where the retries are used up.
    ///
    /// `hint` is the provider's wish: it only ever delays, and by [`HINT_MAX`](Self::HINT_MAX) at most. `roll` is one
    /// draw from `[0, 1)`.
    #[must_use]
    pub fn wait(&self, retry: u32, hint: Option<Duration>, roll: f64) -> Option<Duration> {
        if retry == 0 || retry > self.max_retries {
            return None;
        }
        let moved = self.jitter.applied(self.backoff.wait(retry), roll);
        Some(moved.max(hint.unwrap_or_default().min(Self::HINT_MAX)))
    }

    /// The least and the most time from the first attempt to the last, where each fails at once and no provider asks
    /// for more. It may be longer than `max_age` allows.
    #[must_use]
    pub fn window(&self) -> (Duration, Duration) {
        (1..=self.max_retries).fold((Duration::ZERO, Duration::ZERO), |(least, most), retry| {
            let (shortest, longest) = self.jitter.bounds(self.backoff.wait(retry));
            (least.saturating_add(shortest), most.saturating_add(longest))
        })
    }
}

#[cfg(test)]
mod tests;
