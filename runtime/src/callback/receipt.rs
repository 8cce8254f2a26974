//! What a callback is told.

use std::fmt;

use crate::domain::{ChannelName, DeliveryId, FailReason, NotificationId, Recipient};
use crate::telemetry::Redacted;

/// A delivery was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Of which notification.
    pub notification: NotificationId,
    /// Which of its deliveries.
    pub delivery: DeliveryId,
    /// Through which channel.
    pub channel: ChannelName,
    /// To whom.
    pub recipient: ToldRecipient,
    /// Calls that it took.
    pub attempts: u32,
    /// The provider's id of the message.
    pub provider_id: Option<String>,
    /// The provider took it and nobody will tell its final word.
    pub unconfirmed: bool,
}

/// A delivery failed for good: it is a dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// Through which channel.
    pub channel: ChannelName,
    /// To whom.
    pub recipient: ToldRecipient,
    /// Calls that were made.
    pub attempts: u32,
    /// Why there will be no more by themselves.
    pub reason: FailReason,
}

impl fmt::Display for DeliveryError {
    /// What a provider said is left out here: it may name people. It is in [`reason`](Self::reason).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivery, channel, attempts, reason, .. } = self;
        write!(f, "delivery {delivery} through `{channel}` failed after {attempts} attempts: {}", reason.as_str())
    }
}

impl std::error::Error for DeliveryError {}

/// How far the deliveries of a notification with several of them have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchProgress {
    /// Which notification.
    pub notification: NotificationId,
    /// Its deliveries that are final: sent, failed or cancelled.
    pub completed: u32,
    /// All of its deliveries.
    pub total: u32,
}

/// Who a delivery was for. What is printed of it is safe to be logged: the name that the caller gave, never an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldRecipient {
    id: Option<String>,
    name: Option<String>,
    address: Redacted<String>,
}

impl ToldRecipient {
    /// The id of a stored recipient.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The display name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The address that the channel was given; empty where it needs none. Personal: not for logs.
    #[must_use]
    pub fn address(&self) -> &str {
        self.address.reveal()
    }
}

impl From<Recipient> for ToldRecipient {
    fn from(recipient: Recipient) -> Self {
        let Recipient { id, name, address, .. } = recipient;
        Self { id, name, address: Redacted::new(address) }
    }
}

impl fmt::Display for ToldRecipient {
    /// The id, or the name, or that it has neither.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id().or(self.name()).unwrap_or("a recipient without a name"))
    }
}
