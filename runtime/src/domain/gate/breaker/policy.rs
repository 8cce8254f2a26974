//! By what a breaker goes, and what it tells.

use std::time::Duration;

use super::Timestamp;

/// When a breaker opens, for how long, and what closes it again.
#[derive(Clone, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// It opens where this share of the calls in the window failed, of 1.
    pub failure_rate: f64,
    /// It opens where this share of the calls in the window was slow, of 1.
    pub slow_rate: f64,
    /// A call that took this long or longer was slow.
    pub slow_after: Duration,
    /// With fewer calls in the window no share is taken.
    pub minimum_calls: u32,
    /// It opens after so many failures in a row; zero never opens it.
    pub consecutive: u32,
    /// How far back it looks, to a thirtieth of it.
    pub window: Duration,
    /// How long it stays open the first time. Each failed probe doubles it, each whole window closed halves it again.
    pub open_for: Duration,
    /// It never stays open for longer than this at a time, or than `open_for` if that is longer.
    pub open_max: Duration,
    /// Good probes that close it, and how many may be under way at once after the first good one; at least one.
    pub half_open_calls: u32,
    /// With no good probe for this long it is disabled, until somebody resets it.
    pub disable_after: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            slow_rate: 0.8,
            slow_after: Duration::from_secs(8),
            minimum_calls: 10,
            consecutive: 5,
            window: Duration::from_secs(30),
            open_for: Duration::from_secs(10),
            open_max: Duration::from_mins(5),
            half_open_calls: 3,
            disable_after: Duration::from_hours(72),
        }
    }
}

impl BreakerPolicy {
    /// How long a breaker stays open whose time has doubled `trips` times.
    #[must_use]
    pub fn open_for(&self, trips: u32) -> Duration {
        let factor = 2_u32.checked_pow(trips).unwrap_or(u32::MAX);
        self.open_for.saturating_mul(factor).min(self.open_for_at_most())
    }

    pub(super) fn open_for_at_most(&self) -> Duration {
        self.open_max.max(self.open_for)
    }

    /// What of it is broken by what was counted, if anything.
    pub(super) fn breach(&self, counts: BreakerCounts) -> Option<BreakerReason> {
        // A quotient, not a product: seven of ten is exactly the 0.7 that somebody wrote.
        let is_share = |part: u32, rate: f64| part > 0 && f64::from(part) / f64::from(counts.calls) >= rate;
        let are_enough = counts.calls >= self.minimum_calls;
        if self.consecutive > 0 && counts.consecutive >= self.consecutive {
            Some(BreakerReason::Consecutive)
        } else if are_enough && is_share(counts.failures, self.failure_rate) {
            Some(BreakerReason::FailureRate)
        } else if are_enough && is_share(counts.slow, self.slow_rate) {
            Some(BreakerReason::SlowRate)
        } else {
            None
        }
    }
}

/// What a breaker does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// It lets them through, and counts.
    Closed,
    /// It holds them back.
    Open {
        /// When it opened.
        since: Timestamp,
        /// When the next call may begin, as a probe.
        until: Timestamp,
    },
    /// It lets a few through to see.
    HalfOpen {
        /// When the first of them began.
        since: Timestamp,
    },
    /// It holds them back until somebody resets it.
    Disabled {
        /// When it was.
        since: Timestamp,
    },
}

impl BreakerState {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half-open",
            Self::Disabled { .. } => "disabled",
        }
    }
}

/// Whether a call may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Now,
    /// Ask again at this instant.
    At(Timestamp),
    /// Ask again when a probe has ended.
    AfterProbe,
    /// Not until somebody resets the breaker.
    Never,
}

/// Why a breaker changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BreakerReason {
    /// Too large a share of the calls failed.
    FailureRate,
    /// Too large a share of the calls was slow.
    SlowRate,
    /// Too many calls in a row failed.
    Consecutive,
    /// A probe failed, or was slow.
    ProbeFailed,
    /// The probes were good.
    ProbesPassed,
    /// It had been open for its time.
    TimeUp,
    /// Somebody reset it.
    Reset,
    /// There was no good probe for too long.
    TooLong,
}

impl BreakerReason {
    /// Every reason there is.
    pub const ALL: [Self; 8] = [
        Self::FailureRate,
        Self::SlowRate,
        Self::Consecutive,
        Self::ProbeFailed,
        Self::ProbesPassed,
        Self::TimeUp,
        Self::Reset,
        Self::TooLong,
    ];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "failure-rate",
            Self::SlowRate => "slow-rate",
            Self::Consecutive => "consecutive",
            Self::ProbeFailed => "probe-failed",
            Self::ProbesPassed => "probes-passed",
            Self::TimeUp => "time-up",
            Self::Reset => "reset",
            Self::TooLong => "too-long",
        }
    }
}

/// A breaker went from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerChange {
    /// What it was.
    pub from: BreakerState,
    /// What it is.
    pub to: BreakerState,
    /// Why.
    pub reason: BreakerReason,
}

/// What is remembered of a breaker, beyond the process that learnt it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerBook {
    /// What it was when it was written down.
    pub state: BreakerState,
    /// How often the time it stays open had doubled.
    pub trips: u32,
    /// When it opened first, with no good probe since.
    pub first_opened: Option<Timestamp>,
    /// What its window held as it opened; empty where it is closed, or where nobody wrote it down.
    pub opening: BreakerCounts,
}

impl Default for BreakerBook {
    fn default() -> Self {
        Self { state: BreakerState::Closed, trips: 0, first_opened: None, opening: BreakerCounts::default() }
    }
}

/// What a breaker has counted: calls that ended in its window, since it closed or until it opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerCounts {
    /// All that were good or bad.
    pub calls: u32,
    /// Those that were bad.
    pub failures: u32,
    /// Those that were slow, good or bad.
    pub slow: u32,
    /// Those that were bad since the last good one, in the window or not.
    pub consecutive: u32,
}
