//! The durable unit that has a state: one notification × one recipient × one channel.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use super::{Blame, ChannelName, Fault, Interruption, Outcome, Receipt, Timestamp};

/// What has been used up so far on the way to a final state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Not called before this: to send it, or to ask for its final word.
    pub due: Timestamp,
    /// Attempts made: calls of a plugin, whatever came of them. A question that is answered `accepted` again is none.
    pub attempts: u32,
    /// How many of them used up a retry.
    pub retries_used: u32,
    /// How many of them ended by the plugin's own fault.
    pub faults: u32,
    /// How many of them were interrupted: by a defect, a full pool, a shutdown.
    pub interrupted: u32,
    /// Of a delivery that was replayed: when that run began. Its age counts from here, its retries from none.
    pub run_began: Option<Timestamp>,
    /// The provider took it: it is never sent again, and what is waited for is its final word.
    pub accepted: Option<Arc<Awaited>>,
}

/// What a provider took without a final word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// What the provider gave: what it is asked with.
    pub receipt: Receipt,
    /// When it took it.
    pub since: Timestamp,
    /// How often it was asked and had no final word.
    pub polls: u32,
}

impl Waiting {
    /// A delivery that has not been tried.
    #[must_use]
    pub fn fresh(due: Timestamp) -> Self {
        Self { due, ..Self::default() }
    }
}

/// Why a delivery will not be tried again by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// The provider will never take it as it is.
    Rejected {
        /// Whose fault.
        blame: Blame,
        /// The provider's code.
        code: Option<String>,
        /// A sentence for people.
        reason: String,
    },
    /// The address is dead, invalid or opted out.
    RecipientGone {
        /// The provider's code.
        code: Option<String>,
        /// A sentence for people.
        reason: String,
    },
    /// All retries of its policy are used up; `last` is what the last attempt said.
    Exhausted {
        /// A sentence for people.
        last: String,
    },
    /// It waited longer than its policy's `max_age`.
    TooOld {
        /// A sentence for people.
        last: String,
    },
    /// The plugin faulted three times on it.
    Fault {
        /// How it failed the last time.
        fault: Fault,
        /// A sentence for people.
        last: String,
    },
    /// Its `expires_at` passed.
    Expired,
    /// The process died [`POISON_CRASHES`] times or more while it was in flight: whatever is wrong with it, it may not
    /// take the rest along again.
    Poison {
        /// How often.
        crashes: u32,
    },
}

/// Another channel stood in for the one that a delivery waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerouted {
    /// The channel before.
    pub from: ChannelName,
    /// The channel from then on.
    pub to: ChannelName,
    /// When.
    pub at: Timestamp,
    /// Why: as in [`FailReason::as_str`], or [`BREAKER_OPEN`](Self::BREAKER_OPEN).
    pub reason: String,
}

impl Rerouted {
    /// The breaker of the channel was open for too long.
    pub const BREAKER_OPEN: &str = "breaker-open";
}

/// A delivery that was in flight at so many crashes is not called again. One crash is anybody's, two may be chance.
pub const POISON_CRASHES: u32 = 3;

impl FailReason {
    /// Every word of [`as_str`](Self::as_str).
    pub const WORDS: [&str; 7] = ["rejected", "recipient-gone", "exhausted", "too-old", "fault", "expired", "poison"];

    /// Whether the channel is the reason, so that another one may fare better: its provider or its plugin did not work, or
    /// its configuration is wrong. What a recipient or their provider refuses is refused.
    #[must_use]
    pub const fn is_of_channel(&self) -> bool {
        match self {
            Self::Rejected { blame: Blame::Channel, .. } | Self::Exhausted { .. } | Self::Fault { .. } => true,
            Self::Rejected { blame: Blame::Message, .. }
            | Self::RecipientGone { .. }
            | Self::TooOld { .. }
            | Self::Expired
            | Self::Poison { .. } => false,
        }
    }

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rejected { .. } => "rejected",
            Self::RecipientGone { .. } => "recipient-gone",
            Self::Exhausted { .. } => "exhausted",
            Self::TooOld { .. } => "too-old",
            Self::Fault { .. } => "fault",
            Self::Expired => "expired",
            Self::Poison { .. } => "poison",
        }
    }
}

/// Where a delivery stands. The last three never change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryState {
    /// Not final: waiting for its time, for a slot, for its provider's final word, or in flight.
    Waiting(Waiting),
    /// Done.
    Sent {
        /// When.
        at: Timestamp,
        /// Attempts made.
        attempts: u32,
        /// What the provider gave.
        receipt: Receipt,
        /// The provider took it and nobody will tell its final word.
        unconfirmed: bool,
    },
    /// Given up: a dead letter.
    Failed {
        /// When.
        at: Timestamp,
        /// Attempts made.
        attempts: u32,
        /// Why.
        reason: FailReason,
    },
    /// Withdrawn by the caller.
    Cancelled {
        /// When.
        at: Timestamp,
        /// Attempts made.
        attempts: u32,
    },
}

/// The one word for where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Not final, and no retry or fault used; or its provider took it, and its final word is waited for.
    Pending,
    /// Not final, after a used retry or a fault.
    Retrying,
    /// Sent.
    Sent,
    /// Failed.
    Failed,
    /// Cancelled.
    Cancelled,
}

impl DeliveryStatus {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Retrying, Self::Sent, Self::Failed, Self::Cancelled];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Retrying => "retrying",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether it will never change.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Sent | Self::Failed | Self::Cancelled)
    }
}

/// The text names no status of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a status of a delivery: one of `pending`, `retrying`, `sent`, `failed`, `cancelled`")]
pub struct ParseDeliveryStatusError(String);

impl FromStr for DeliveryStatus {
    type Err = ParseDeliveryStatusError;

    fn from_str(text: &str) -> Result<Self, ParseDeliveryStatusError> {
        let found = Self::ALL.into_iter().find(|status| status.as_str() == text);
        found.ok_or_else(|| ParseDeliveryStatusError(text.chars().take(64).collect()))
    }
}

impl DeliveryState {
    /// The one word for it.
    #[must_use]
    pub const fn status(&self) -> DeliveryStatus {
        match self {
            // Nothing of what the provider took is tried again.
            Self::Waiting(Waiting { accepted: Some(_), .. } | Waiting { retries_used: 0, faults: 0, .. }) => {
                DeliveryStatus::Pending
            }
            Self::Waiting(_) => DeliveryStatus::Retrying,
            Self::Sent { .. } => DeliveryStatus::Sent,
            Self::Failed { .. } => DeliveryStatus::Failed,
            Self::Cancelled { .. } => DeliveryStatus::Cancelled,
        }
    }

    /// Whether its provider took it and its final word is waited for.
    #[must_use]
    pub const fn is_accepted(&self) -> bool {
        matches!(self, Self::Waiting(Waiting { accepted: Some(_), .. }))
    }

    /// Attempts made so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        match self {
            Self::Waiting(Waiting { attempts, .. })
            | Self::Sent { attempts, .. }
            | Self::Failed { attempts, .. }
            | Self::Cancelled { attempts, .. } => *attempts,
        }
    }
}

/// How one call of a plugin ended: the plugin's judgement, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptEnd {
    /// The plugin judged.
    Outcome(Outcome),
    /// The deadline passed while the guest waited for the host: a slow provider, not a slow plugin.
    HostDeadline {
        /// A sentence for people: which deadline, and what sets it.
        message: String,
    },
    /// The plugin failed.
    Fault {
        /// How.
        fault: Fault,
        /// A sentence for people, with a panic's message where there was one.
        message: String,
    },
    /// Nobody's judgement.
    Interrupted {
        /// Why.
        interruption: Interruption,
        /// A sentence for people.
        message: String,
    },
}

impl AttemptEnd {
    /// Its word in metrics, events and rows.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Outcome(Outcome::Sent(_)) => "sent",
            Self::Outcome(Outcome::Accepted { .. }) => "accepted",
            Self::Outcome(Outcome::Retry { .. }) => "retry",
            Self::Outcome(Outcome::RateLimited { .. }) => "rate-limited",
            Self::Outcome(Outcome::Rejected { .. }) => "rejected",
            Self::Outcome(Outcome::RecipientGone { .. }) => "recipient-gone",
            Self::HostDeadline { .. } => "timeout",
            Self::Fault { fault, .. } => fault.as_str(),
            Self::Interrupted { interruption, .. } => interruption.as_str(),
        }
    }

    /// The sentence for people; none where all went well.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. }) => None,
            Self::Outcome(
                Outcome::Retry { reason, .. }
                | Outcome::RateLimited { reason, .. }
                | Outcome::Rejected { reason, .. }
                | Outcome::RecipientGone { reason, .. },
            ) => Some(reason),
            Self::HostDeadline { message } | Self::Fault { message, .. } | Self::Interrupted { message, .. } => {
                Some(message)
            }
        }
    }

    /// The provider's code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Outcome(
                Outcome::Retry { code, .. }
                | Outcome::RateLimited { code, .. }
                | Outcome::Rejected { code, .. }
                | Outcome::RecipientGone { code, .. },
            ) => code.as_deref(),
            Self::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. })
            | Self::HostDeadline { .. }
            | Self::Fault { .. }
            | Self::Interrupted { .. } => None,
        }
    }
}

/// One call of a plugin for one delivery. A row that never changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// From 1.
    pub number: u32,
    /// When the call began.
    pub started_at: Timestamp,
    /// From store made to store dropped.
    pub duration: Duration,
    /// How it ended: [`AttemptEnd::as_str`].
    pub end: String,
    /// The provider's code.
    pub code: Option<String>,
    /// A sentence for people; none where all went well.
    pub reason: Option<String>,
    /// The provider's id of the message.
    pub provider_id: Option<String>,
    /// `name@version`; empty where no plugin was reached.
    pub plugin: String,
    /// Units of the engine; not comparable across engine versions.
    pub fuel: u64,
    /// The guest's linear memory at the end, in bytes.
    pub memory_bytes: u64,
}
