//! The policies that are there without being written.

use std::time::Duration;

use super::{Backoff, Jitter, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);
const HOUR: Duration = Duration::from_hours(1);

impl RetryPolicy {
    /// Every policy that is there without being written, with its name. A section `[retry.<name>]` changes one of them;
    /// under another name it starts from `default`.
    ///
    /// ```
    /// use campanile::domain::RetryPolicy;
    ///
    /// let names: Vec<_> = RetryPolicy::named().into_iter().map(|(name, _)| name).collect();
    /// assert_eq!(
    ///     names,
    ///     ["default", "standard", "aggressive", "conservative", "email", "webhook", "standard-webhooks", "callback"]
    /// );
    /// ```
    #[must_use]
    pub fn named() -> [(&'static str, Self); 8] {
        [
            ("default", Self::default()),
            ("standard", Self::standard()),
            ("aggressive", Self::aggressive()),
            ("conservative", Self::conservative()),
            ("email", Self::email()),
            ("webhook", Self::webhook()),
            ("standard-webhooks", Self::standard_webhooks()),
            ("callback", Self::callback()),
        ]
    }

    /// Three attempts, exponential from 1 s, full jitter.
    #[must_use]
    pub fn standard() -> Self {
        Self { max_retries: 2, jitter: Jitter::Full, ..Self::default() }
    }

    /// Five attempts, exponential from 200 ms, at most 2 s apart: for what is worth nothing a minute later.
    #[must_use]
    pub fn aggressive() -> Self {
        let backoff = Backoff::Exponential {
            initial: Duration::from_millis(200),
            factor: 2.0,
            max_interval: Duration::from_secs(2),
        };
        Self { backoff, max_retries: 4, ..Self::default() }
    }

    /// Two attempts, 30 s apart; more retries come 30 s later each: for a provider that is not to be pressed.
    #[must_use]
    pub fn conservative() -> Self {
        let backoff = Backoff::Linear { initial: 30 * SECOND, max_interval: 5 * MINUTE };
        Self { backoff, max_retries: 1, ..Self::default() }
    }

    /// Four attempts, after 1, 5 and 25 minutes: what greylisting asks for (RFC 6647, section 4: minutes, not seconds).
    #[must_use]
    pub fn email() -> Self {
        Self::scheduled([MINUTE, 5 * MINUTE, 25 * MINUTE])
    }

    /// Three attempts, after 5 s and 30 s.
    #[must_use]
    pub fn webhook() -> Self {
        Self::scheduled([5 * SECOND, 30 * SECOND])
    }

    /// The schedule that the Standard Webhooks specification recommends: ten attempts over 75 h 35 min. The age at
    /// which a delivery is given up is four days here, for the last attempt to be made.
    #[must_use]
    pub fn standard_webhooks() -> Self {
        let hours = [2, 5, 10, 14, 20, 24].map(|hours| hours * HOUR);
        let waits = [5 * SECOND, 5 * MINUTE, 30 * MINUTE].into_iter().chain(hours);
        Self { max_age: 96 * HOUR, ..Self::scheduled(waits) }
    }

    /// Four attempts, exponential from 1 s, at most 30 s apart: for a callback, whose occasion is soon yesterday's.
    #[must_use]
    pub fn callback() -> Self {
        let backoff = Backoff::Exponential { initial: SECOND, factor: 2.0, max_interval: 30 * SECOND };
        Self { backoff, max_retries: 3, ..Self::default() }
    }

    /// One retry for each of `waits`, with the jitter of the default.
    #[must_use]
    pub fn scheduled(waits: impl IntoIterator<Item = Duration>) -> Self {
        let waits: Vec<Duration> = waits.into_iter().collect();
        let max_retries = u32::try_from(waits.len()).unwrap_or(u32::MAX);
        Self { backoff: Backoff::Schedule { waits }, max_retries, ..Self::default() }
    }
}
