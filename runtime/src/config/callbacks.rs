//! `[callbacks]`: how what is to be called is called.

use std::time::Duration;

/// What happens to an execution for which the queue has no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WhenFull {
    /// It waits for room, for `wait` at most, and is refused then. The default.
    #[default]
    Wait,
    /// The one that has waited longest gives way.
    DropOldest,
    /// It is refused at once.
    Refuse,
}

impl WhenFull {
    /// Every way there is.
    pub const ALL: [Self; 3] = [Self::Wait, Self::DropOldest, Self::Refuse];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::DropOldest => "drop-oldest",
            Self::Refuse => "refuse",
        }
    }
}

/// `[callbacks]`: how what is to be called is called. All of it can change while the process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbacksConfig {
    /// Callbacks that run at once. Default: 10.
    pub workers: u32,
    /// Executions that wait for a worker. Default: 100.
    pub queue: u32,
    /// What happens to one more. Default: `wait`.
    pub when_full: WhenFull,
    /// How long it waits then. Default: 100 ms.
    pub wait: Duration,
    /// How long one call may take, of a callback that does not say so itself. Default: 10 s.
    pub timeout: Duration,
    /// The retry policy of a callback that names none. Default: `callback`.
    pub retry: String,
    /// How long a call that was given up is kept, to be replayed. Default: 30 d.
    pub retention: Duration,
    /// Calls that were given up and are kept: above it the oldest go. Default: 100,000.
    pub dead_letters_max: u64,
}

impl Default for CallbacksConfig {
    fn default() -> Self {
        Self {
            workers: 10,
            queue: 100,
            when_full: WhenFull::Wait,
            wait: Duration::from_millis(100),
            timeout: Duration::from_secs(10),
            retry: "callback".to_owned(),
            retention: Duration::from_hours(30 * 24),
            dead_letters_max: 100_000,
        }
    }
}
