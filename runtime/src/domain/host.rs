//! Single hosts that a channel calls, where each address is a URL: their breakers, and what is told of them.

use std::fmt;

use super::{BreakerBook, BreakerReason, BreakerState, ChannelName};

/// What a host of a channel is called where an address must not stand, as in events and logs: the same for the same host
/// of the same channel, as far as the same build of the program goes, and nothing can be read from it. Shown as 16
/// hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTag(pub u64);

impl fmt::Display for HostTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What happened to the breaker of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostChange {
    /// It opened: what goes there waits.
    Opened,
    /// It lets single calls through, to see whether the host works again.
    HalfOpen,
    /// It closed: the host works again.
    Closed,
    /// It was open for too long: what goes there waits until somebody resets it.
    Disabled,
}

impl HostChange {
    /// Every change there is.
    pub const ALL: [Self; 4] = [Self::Opened, Self::HalfOpen, Self::Closed, Self::Disabled];

    /// The change that leads to this state.
    #[must_use]
    pub const fn to(state: BreakerState) -> Self {
        match state {
            BreakerState::Closed => Self::Closed,
            BreakerState::Open { .. } => Self::Opened,
            BreakerState::HalfOpen { .. } => Self::HalfOpen,
            BreakerState::Disabled { .. } => Self::Disabled,
        }
    }

    /// The type of its event.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Opened => "breaker.opened",
            Self::HalfOpen => "breaker.half_open",
            Self::Closed => "breaker.closed",
            Self::Disabled => "breaker.disabled",
        }
    }
}

/// A fact about the breaker of a host. No address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostEvent {
    /// Whose deliveries go there.
    pub channel: ChannelName,
    /// Which host.
    pub host: HostTag,
    /// What happened.
    pub change: HostChange,
    /// A sentence for people.
    pub reason: Option<String>,
}

/// What is remembered of a host whose breaker is not closed, beyond the process that learnt it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBook {
    /// Host and port as they stand in addresses, in lower case.
    pub host: String,
    /// How its breaker stands.
    pub breaker: BreakerBook,
    /// Why it changed last.
    pub reason: BreakerReason,
}
