//! What an attempt means.

use std::time::Duration;

/// What a provider gave in return for a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's own id of the message.
    pub provider_id: Option<String>,
    /// Whatever else the plugin found worth keeping.
    pub facts: Vec<(String, String)>,
}

impl Receipt {
    /// The same, and what it leaves out as `earlier` had it: the answer to a question need not repeat what is known.
    #[must_use]
    pub fn filled_from(self, earlier: &Self) -> Self {
        Self {
            provider_id: self.provider_id.or_else(|| earlier.provider_id.clone()),
            facts: if self.facts.is_empty() { earlier.facts.clone() } else { self.facts },
        }
    }
}

/// Of what kind the trouble behind a retry was. Only the first three count against the provider's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// No answer, or half of one.
    Unreachable,
    /// The provider says that it is in trouble (5xx).
    Server,
    /// No answer in time.
    Timeout,
    /// An answer that asks to come back: a lock, a conflict, a queue.
    Other,
}

/// What a rate limit holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateScope {
    /// Only this recipient.
    Recipient,
    /// Only this channel.
    Channel,
    /// Everything that shares the provider's account.
    Account,
}

impl RateScope {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Recipient => "recipient",
            Self::Channel => "channel",
            Self::Account => "account",
        }
    }
}

/// Who is to blame for a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// Only this message.
    Message,
    /// All would fail the same way: credentials, settings.
    Channel,
}

/// A plugin's judgement of one attempt. The host decides what follows, and when: see [`settle`](super::settle).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered as far as the provider can tell.
    Sent(Receipt),
    /// Taken; the final word comes later.
    Accepted {
        /// What the provider gave.
        receipt: Receipt,
        /// When it is worth asking for it.
        check_after: Option<Duration>,
        /// The plugin that said so can be asked. Where it cannot, this is the last word there is.
        polled: bool,
    },
    /// May work later; uses up a retry.
    Retry {
        /// The provider's hint. It may only delay.
        after: Option<Duration>,
        /// What kind of trouble.
        trouble: Trouble,
        /// The provider's code.
        code: Option<String>,
        /// A sentence for people.
        reason: String,
    },
    /// Too fast; uses up nothing.
    RateLimited {
        /// The provider's hint.
        after: Option<Duration>,
        /// What to hold back.
        scope: RateScope,
        /// The provider's code.
        code: Option<String>,
        /// A sentence for people.
        reason: String,
    },
    /// Never works as it is.
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
        /// Where the recipient is now, if the provider says so.
        new_address: Option<String>,
        /// The provider's code.
        code: Option<String>,
        /// A sentence for people.
        reason: String,
    },
}

impl Outcome {
    /// The same, and behind its reason what the host had to say: a plugin that speaks through a ready-made client may
    /// not have heard it. What was sent stays as it is.
    #[must_use]
    pub fn with_word_of_host(mut self, word: &str) -> Self {
        match &mut self {
            Self::Sent(_) | Self::Accepted { .. } => {}
            Self::Retry { reason, .. }
            | Self::RateLimited { reason, .. }
            | Self::Rejected { reason, .. }
            | Self::RecipientGone { reason, .. } => {
                if !reason.contains(word) {
                    reason.push_str("; the host says: ");
                    reason.push_str(word);
                }
            }
        }
        self
    }
}

/// How a plugin failed: its own fault, not the recipient's problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Its CPU budget is used up.
    OutOfFuel,
    /// The deadline passed while the guest itself was running.
    Deadline,
    /// It asked for more memory, table space or handles than it may have.
    Memory,
    /// It trapped; a panic is one.
    Trap,
    /// It left through `exit`.
    Exit,
    /// It answered what the contract does not allow.
    BadOutput,
}

impl Fault {
    /// Every fault there is.
    pub const ALL: [Self; 6] = [Self::OutOfFuel, Self::Deadline, Self::Memory, Self::Trap, Self::Exit, Self::BadOutput];

    /// Its word in metrics, events and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfFuel => "out-of-fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Trap => "trap",
            Self::Exit => "exit",
            Self::BadOutput => "bad-output",
        }
    }
}

/// Why a call ended through nobody's judgement: neither the plugin nor the provider had a say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interruption {
    /// A defect of ours, or a resource of the machine ran out.
    HostBug,
    /// No sandbox was free in time.
    PoolFull,
    /// The runtime is stopping.
    Shutdown,
    /// The channel has no plugin that serves right now.
    NoPlugin,
    /// The plugin failed too often and is not called for now.
    Quarantined,
}

impl Interruption {
    /// Every interruption there is.
    pub const ALL: [Self; 5] = [Self::HostBug, Self::PoolFull, Self::Shutdown, Self::NoPlugin, Self::Quarantined];

    /// Its word in metrics, events and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HostBug => "host-bug",
            Self::PoolFull => "pool-full",
            Self::Shutdown => "shutdown",
            Self::NoPlugin => "no-plugin",
            Self::Quarantined => "quarantined",
        }
    }
}
