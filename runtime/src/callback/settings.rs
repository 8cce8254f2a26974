//! How much callbacks may use, how long they may take, and what happens where it is too much.

use std::time::Duration;

use crate::config::{self, CallbacksConfig};
use crate::domain::RetryPolicy;

/// How callbacks are run. Everything in it can be changed while they run.
///
/// ```
/// use campanile::callback::{CallbackSettings, WhenFull};
///
/// let settings = CallbackSettings { workers: 4, when_full: WhenFull::DropOldest, ..CallbackSettings::default() };
/// assert!(settings.check().is_ok());
/// assert!(CallbackSettings { workers: 0, ..settings }.check().is_err());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackSettings {
    /// Events that are worked on at the same time, 1 to [`WORKERS_MAX`](Self::WORKERS_MAX). Default: 10.
    pub workers: usize,
    /// Events that wait for a worker, 1 to [`QUEUE_MAX`](Self::QUEUE_MAX). Default: 100.
    pub queue: usize,
    /// What happens with one more. Default: [`WhenFull::Wait`] for 100 ms.
    pub when_full: WhenFull,
    /// How long one call may take where its callback says nothing else. More than nothing. Default: 10 s.
    pub timeout: Duration,
    /// When a call that failed is made again where its callback says nothing else. Default: three retries after 1, 2 and
    /// 4 s, none after more than 30 s, each up to 10 % later by chance.
    pub retry: RetryPolicy,
}

/// What happens with an event that finds no room. Whoever is not told is a callback that can be replayed, and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits until there is room, but no longer than until the queue has been full for so long without any change.
    Wait(Duration),
    /// It takes the place of the one that has waited longest.
    DropOldest,
    /// It is turned away.
    Refuse,
}

impl WhenFull {
    /// Its word in configuration and statistics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::DropOldest => "drop-oldest",
            Self::Refuse => "refuse",
        }
    }
}

/// What happens with the callbacks behind one that failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They are called. They do not wait for its retries either.
    #[default]
    Continue,
    /// They are not called for this event. They wait until it has succeeded or failed for good, its retries included.
    Stop,
}

impl Default for CallbackSettings {
    fn default() -> Self {
        Self {
            workers: 10,
            queue: 100,
            when_full: WhenFull::Wait(Duration::from_millis(100)),
            timeout: Duration::from_secs(10),
            retry: RetryPolicy::callback(),
        }
    }
}

impl CallbackSettings {
    /// The most workers. Each may hold a thread.
    pub const WORKERS_MAX: usize = 1_024;

    /// The most events that may wait: each is kept in memory.
    pub const QUEUE_MAX: usize = 1_000_000;

    /// What a configuration says, with the policy that it names for retries.
    pub(crate) fn of(config: &CallbacksConfig, retry: RetryPolicy) -> Self {
        Self {
            workers: config.workers as usize,
            queue: config.queue as usize,
            when_full: match config.when_full {
                config::WhenFull::Wait => WhenFull::Wait(config.wait),
                config::WhenFull::DropOldest => WhenFull::DropOldest,
                config::WhenFull::Refuse => WhenFull::Refuse,
            },
            timeout: config.timeout,
            retry,
        }
    }

    /// Whether these can be used.
    ///
    /// # Errors
    ///
    /// [`CallbackSettingsError`] names the first that is out of range, and its range.
    pub fn check(&self) -> Result<(), CallbackSettingsError> {
        if !(1..=Self::WORKERS_MAX).contains(&self.workers) {
            return Err(CallbackSettingsError::Workers { asked: self.workers });
        }
        if !(1..=Self::QUEUE_MAX).contains(&self.queue) {
            return Err(CallbackSettingsError::Queue { asked: self.queue });
        }
        if self.timeout.is_zero() {
            return Err(CallbackSettingsError::NoTime);
        }
        Ok(())
    }
}

/// Why settings cannot be used. Nothing changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackSettingsError {
    /// None, or too many.
    #[error("`workers` is {asked}: callbacks have 1 to {} workers", CallbackSettings::WORKERS_MAX)]
    Workers {
        /// How many were asked for.
        asked: usize,
    },
    /// No place, or too many.
    #[error("`queue` is {asked}: 1 to {} events may wait for a worker", CallbackSettings::QUEUE_MAX)]
    Queue {
        /// How many places were asked for.
        asked: usize,
    },
    /// No call would ever succeed.
    #[error("`timeout` is nothing: give a call some time, such as 10 s")]
    NoTime,
}
