//! What happens to a channel, beside the deliveries that go through it, and what is remembered of it.

use super::{Actor, AttemptEnd, BreakerBook, BreakerReason, ChannelName, HostBook, Timestamp};

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

/// When a breaker last changed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerNote {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: BreakerReason,
    /// Where it is not closed: the last call before that which failed.
    pub error: Option<FailedCall>,
}

/// A call of a channel that did not do what it was made for, as an operator is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedCall {
    /// When it ended.
    pub at: Timestamp,
    /// Its word, as in [`AttemptEnd::as_str`].
    pub outcome: String,
    /// The provider's code.
    pub code: Option<String>,
    /// What was said of it, without the address it went to; up to [`FailedCall::REASON_CHARS_MAX`] characters.
    pub reason: String,
}

impl FailedCall {
    /// What is longer is cut.
    pub const REASON_CHARS_MAX: usize = 300;

    /// What is to be shown of this end of a call to `address`, at `at`; none where it was good, or where nobody judged.
    #[must_use]
    pub fn of(end: &AttemptEnd, address: &str, at: Timestamp) -> Option<Self> {
        if matches!(end, AttemptEnd::Interrupted { .. }) {
            return None;
        }
        let reason = end.reason()?;
        // Providers like to repeat whom they do not know.
        let blanked = if address.is_empty() { reason.to_owned() } else { reason.replace(address, "***") };
        let reason = blanked.chars().take(Self::REASON_CHARS_MAX).collect();
        Some(Self { at, outcome: end.as_str().to_owned(), code: end.code().map(str::to_owned), reason })
    }
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
    /// When that changed last, and why.
    pub note: Option<BreakerNote>,
    /// Hosts it calls whose breakers are not closed, up to [`ChannelBook::HOSTS_MAX`].
    pub hosts: Vec<HostBook>,
}

impl ChannelBook {
    /// Hosts beyond are not remembered: the next process finds out again.
    pub const HOSTS_MAX: usize = 1_000;

    /// An empty book.
    #[must_use]
    pub fn new(channel: ChannelName) -> Self {
        Self { channel, paused: None, breaker: BreakerBook::default(), note: None, hosts: Vec::new() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Interruption, Outcome, Receipt, Trouble};

    #[test]
    fn what_is_shown_of_a_failed_call_is_short_and_names_no_address() {
        let reason = format!("no mailbox ada@example.com here; {}", "é".repeat(400));
        let code = Some("550".to_owned());
        let end = AttemptEnd::Outcome(Outcome::Retry { after: None, trouble: Trouble::Server, code, reason });
        let at = Timestamp::from_millis(7);
        let failed = FailedCall::of(&end, "ada@example.com", at).expect("it failed");
        assert_eq!((failed.outcome.as_str(), failed.code.as_deref(), failed.at), ("retry", Some("550"), at));
        assert!(failed.reason.starts_with("no mailbox *** here; é"), "{failed:?}");
        assert_eq!(failed.reason.chars().count(), FailedCall::REASON_CHARS_MAX);
        assert_eq!(FailedCall::of(&AttemptEnd::Outcome(Outcome::Sent(Receipt::default())), "", at), None);
        let stopped = AttemptEnd::Interrupted { interruption: Interruption::Shutdown, message: "it stops".to_owned() };
        assert_eq!(FailedCall::of(&stopped, "", at), None, "it says nothing of the channel");
    }
}
