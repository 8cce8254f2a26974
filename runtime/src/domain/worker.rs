//! What is told of the worker pool.

use std::fmt;

/// Which worker, from 1. No two workers of a process have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerNumber(pub u32);

impl fmt::Display for WorkerNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WorkerChange {
    /// It came up.
    Started,
    /// It had nothing left to do, and ended.
    Stopped,
    /// A call of it outlived every limit, and was given up.
    TimedOut,
    /// It answered no more; another one has what it had.
    Replaced,
}

impl WorkerChange {
    /// Every change there is.
    pub const ALL: [Self; 4] = [Self::Started, Self::Stopped, Self::TimedOut, Self::Replaced];

    /// The type of its event.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Started => "worker.started",
            Self::Stopped => "worker.stopped",
            Self::TimedOut => "worker.timed_out",
            Self::Replaced => "worker.replaced",
        }
    }
}

/// Something happened to a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerEvent {
    /// What.
    pub change: WorkerChange,
    /// To which.
    pub worker: WorkerNumber,
    /// A sentence for people, where there is more to say. No address, no content.
    pub reason: Option<String>,
}

/// Why a pool has another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScaleReason {
    /// The load was high for long enough.
    HighLoad,
    /// The load was low for long enough.
    LowLoad,
    /// A worker had nothing to do for long enough.
    IdleWorker,
    /// Somebody said so.
    ByHand,
    /// The configuration says so, and was another one before.
    Configuration,
}

impl ScaleReason {
    /// Every reason there is.
    pub const ALL: [Self; 5] = [Self::HighLoad, Self::LowLoad, Self::IdleWorker, Self::ByHand, Self::Configuration];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HighLoad => "high-load",
            Self::LowLoad => "low-load",
            Self::IdleWorker => "idle-worker",
            Self::ByHand => "by-hand",
            Self::Configuration => "configuration",
        }
    }
}

/// The pool has another size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolScaled {
    /// Workers before.
    pub from: u32,
    /// Workers that are wanted now. Those that are too many take nothing more, and end with what they have.
    pub to: u32,
    /// Why.
    pub reason: ScaleReason,
    /// The load that it was decided by, in percent of the slots.
    pub load_percent: u8,
}
