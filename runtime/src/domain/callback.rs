//! What is remembered of callbacks: how far each has come in the outbox, what it owes, what was given up.

use super::{CallbackName, DeliveryId, EventKind, NotificationId, Timestamp};

/// What a callback waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallbackKind {
    /// A delivery was sent.
    Completion,
    /// A delivery failed for good.
    Error,
    /// More of a notification's deliveries are final.
    Progress,
    /// Any event, told to another process by a signed request.
    Webhook,
}

impl CallbackKind {
    /// Every kind there is.
    pub const ALL: [Self; 4] = [Self::Completion, Self::Error, Self::Progress, Self::Webhook];

    /// Its name in metrics, the API and the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completion => "completion",
            Self::Error => "error",
            Self::Progress => "progress",
            Self::Webhook => "webhook",
        }
    }
}

/// What became of a call of a callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallbackFate {
    /// It failed, and will be tried again.
    Failed {
        /// From 1.
        attempt: u32,
    },
    /// It was given up, and can be replayed.
    Dead,
}

impl CallbackFate {
    /// The type of the event that says so.
    #[must_use]
    pub const fn kind(self) -> EventKind {
        match self {
            Self::Failed { .. } => "callback.failed",
            Self::Dead => "callback.dead",
        }
    }
}

/// A call of a callback did not do what it was made for.
///
/// Nobody is called about these without asking by name, for `callback.*` or one of them: a callback would else be called for
/// its own failure, and fail again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackEvent {
    /// Which.
    pub callback: CallbackName,
    /// What became of the call.
    pub fate: CallbackFate,
    /// What the callback waits for.
    pub kind: CallbackKind,
    /// Of which event it was to hear, by its number in the outbox.
    pub event: u64,
    /// The notification that that event is about, if it is about one.
    pub notification: Option<NotificationId>,
    /// The delivery that it is about, if it is about one.
    pub delivery: Option<DeliveryId>,
}

/// What an operator does to callbacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackDeed {
    /// Calls that were given up are made again.
    Replay,
    /// Calls that were given up are put away.
    Purge,
    /// One whose receiver wanted to hear no more is called again.
    Enable,
    /// One that nobody calls any more is forgotten, with all that it was still to hear of.
    Forget,
}

impl CallbackDeed {
    /// Every deed there is.
    pub const ALL: [Self; 4] = [Self::Replay, Self::Purge, Self::Enable, Self::Forget];

    /// Its word in the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "callback.replayed",
            Self::Purge => "callback.purged",
            Self::Enable => "callback.enabled",
            Self::Forget => "callback.forgotten",
        }
    }
}

/// What is remembered of a callback with a durable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackBook {
    /// Which.
    pub name: CallbackName,
    /// Every event up to this number is done with: called, owed, or given up. 0 is before the first.
    pub cursor: u64,
    /// Why it is called no longer, and since when: its receiver said so.
    pub disabled: Option<CallbackDisabled>,
}

/// A receiver that wants to hear no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackDisabled {
    /// Since when.
    pub at: Timestamp,
    /// What it said.
    pub reason: String,
}

/// An event that a callback is still to hear of, after its cursor has gone on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedCallback {
    /// Who is to hear.
    pub callback: CallbackName,
    /// Of which event, by its number in the outbox.
    pub event: u64,
    /// The notification that it is about, if it is about one: its events are told in order.
    pub notification: Option<NotificationId>,
    /// Calls made.
    pub attempts: u32,
    /// Not before this.
    pub due: Timestamp,
    /// How the last call ended. No address, no secret.
    pub last_error: Option<String>,
}

/// A call of a callback that was given up; it can be replayed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadCallback {
    /// Which, given by the store when it is written; 0 before.
    pub id: u64,
    /// Who was to hear.
    pub callback: CallbackName,
    /// What it waits for.
    pub kind: CallbackKind,
    /// Of which event, by its number in the outbox.
    pub event: u64,
    /// The notification that it is about, if it is about one.
    pub notification: Option<NotificationId>,
    /// The delivery that it is about, if it is about one.
    pub delivery: Option<DeliveryId>,
    /// Calls made.
    pub attempts: u32,
    /// Why there will be no more. No address, no secret.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
}
