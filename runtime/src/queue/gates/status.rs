//! What others are told of gates.

use crate::domain::{BreakerBook, BreakerChange, BreakerCounts, BreakerState, ChannelName, Timestamp};

/// How a channel's gate stands.
#[derive(Clone, Debug, PartialEq)]
pub struct GateStatus {
    /// Which channel.
    pub channel: ChannelName,
    /// Its breaker; closed where it has none.
    pub breaker: BreakerState,
    /// What the breaker has seen lately; while it is not closed, what it had seen when it opened.
    pub counts: BreakerCounts,
    /// An operator paused it.
    pub paused: bool,
    /// Its provider asked to be left alone until then, or its rate is used up until then.
    pub not_before: Option<Timestamp>,
    /// Slots that it holds.
    pub in_flight: u32,
    /// How many it may hold by now: what is configured, or less while its provider is overloaded.
    pub limit: u32,
    /// Deliveries that wait for it, due or not, those that are set aside among them.
    pub waiting: u64,
    /// Of these, those that wait for a turn of their own: that of their recipient or host, or of retries.
    pub deferred: u64,
    /// When the first of these is looked at again, where that is soon known.
    pub deferred_until: Option<Timestamp>,
}

/// A breaker that changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerChanged {
    /// How.
    pub change: BreakerChange,
    /// When.
    pub at: Timestamp,
    /// What is to be remembered of it.
    pub book: BreakerBook,
}

/// The same, with the channel.
#[derive(Clone, Debug, PartialEq)]
pub struct GateChange {
    /// Which channel.
    pub channel: ChannelName,
    /// What changed.
    pub changed: BreakerChanged,
}
