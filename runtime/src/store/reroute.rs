//! How a delivery goes on through another channel.

use crate::domain::{ChannelName, Recipient};

/// The channel that stands in from here on. The delivery stays the same, and so do its attempts, its priority and its flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reroute {
    /// Which channel.
    pub to: ChannelName,
    /// To whom, with the address that this channel takes.
    pub recipient: Recipient,
    /// Why: as in [`Rerouted::reason`](crate::domain::Rerouted::reason).
    pub reason: String,
}
