//! What happens to a channel, beside the deliveries that go through it, and what is remembered of it.

use super::{Actor, BreakerBook, ChannelName, Timestamp};

/// What happened to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelChange {
    /// It is configured now.
    Added,
    /// Its settings are others now.
    Changed,
    /// It is configured no longer: its deliveries wait.
    Removed,
    /// It is not called, by the configuration or because it failed for too long: its deliveries wait.
    Disabled,
    /// It is called again.
    Enabled,
    /// Its breaker opened: its deliveries wait, and nobody is called.
    Opened,
    /// Its breaker lets single calls through, to see whether it works again.
    HalfOpen,
    /// Its breaker closed: it works again.
    Closed,
    /// An operator had its deliveries wait.
    Paused,
    /// An operator lets them go on.
    Resumed,
}

impl ChannelChange {
    /// Every change there is.
    pub const ALL: [Self; 10] = [
        Self::Added,
        Self::Changed,
        Self::Removed,
        Self::Disabled,
        Self::Enabled,
        Self::Opened,
        Self::HalfOpen,
        Self::Closed,
        Self::Paused,
        Self::Resumed,
    ];

    /// The type of its event.
    #[must_use]
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Added => "channel.added",
            Self::Changed => "channel.changed",
            Self::Removed => "channel.removed",
            Self::Disabled => "channel.disabled",
            Self::Enabled => "channel.enabled",
            Self::Opened => "channel.opened",
            Self::HalfOpen => "channel.half_open",
            Self::Closed => "channel.closed",
            Self::Paused => "channel.paused",
            Self::Resumed => "channel.resumed",
        }
    }
}

/// A fact about a channel. No secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// Which.
    pub channel: ChannelName,
    /// What happened.
    pub change: ChannelChange,
    /// A sentence for people.
    pub reason: Option<String>,
}

/// Somebody had a channel's deliveries wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paused {
    /// Since when.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
}

/// What is remembered of a channel, beyond the process that learnt it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelBook {
    /// Whose book it is.
    pub channel: ChannelName,
    /// Whether an operator had its deliveries wait.
    pub paused: Option<Paused>,
    /// How its breaker stands.
    pub breaker: BreakerBook,
}

impl ChannelBook {
    /// An empty book.
    #[must_use]
    pub fn new(channel: ChannelName) -> Self {
        Self { channel, paused: None, breaker: BreakerBook::default() }
    }
}

/// What somebody did to a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChannelDeed {
    /// Had its deliveries wait.
    Pause,
    /// Let them go on.
    Resume,
    /// Closed its breaker.
    Reset,
    /// Sent a probe through it.
    Test,
}

impl ChannelDeed {
    /// Every deed there is.
    pub const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Reset, Self::Test];

    /// Its word in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "channel.paused",
            Self::Resume => "channel.resumed",
            Self::Reset => "channel.reset",
            Self::Test => "channel.tested",
        }
    }
}
