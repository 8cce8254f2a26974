//! What readers are told of a notification and of its deliveries.

use std::sync::Arc;

use crate::domain::{
    Attempt, CallbackUrl, ChannelName, DeliveryId, DeliveryState, Notification, Recipient, Rerouted, StatusCounts,
};

/// One delivery as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct DeliveryRecord {
    /// Which.
    pub id: DeliveryId,
    /// Through which channel.
    pub channel: ChannelName,
    /// To whom.
    pub recipient: Recipient,
    /// Where it stands.
    pub state: DeliveryState,
    /// Whether it is in somebody's hands at this moment.
    pub flight: Flight,
    /// How often the process died while it was in flight, since its last attempt ended. What was cut off is no attempt: what
    /// came of it is not known.
    pub crashes: u32,
    /// Every call made, the first one first.
    pub attempts: Vec<Attempt>,
    /// Every time another channel stood in, the first one first.
    pub reroutes: Vec<Rerouted>,
}

/// Whether a delivery that waits is in flight. A process that dies forgets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flight {
    /// It is not.
    #[default]
    Idle,
    /// It is claimed: an attempt is under way, or about to be.
    UnderWay,
    /// The same, and it is cancelled once that ended, unless that sends it.
    Withdrawn,
}

/// One notification as a reader sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct NotificationRecord {
    /// As accepted.
    pub notification: Arc<Notification>,
    /// Its deliveries per status, made or not.
    pub counts: StatusCounts,
    /// Where what happens to it is told, whether its receiver still wants to hear of it or not.
    pub callback_url: Option<CallbackUrl>,
    /// Deliveries that are still to be made. They count as open.
    pub unmade: u32,
    /// Deliveries that were cancelled before they were made. They count as cancelled, and nothing else is kept of them.
    pub never_made: u32,
    /// Its first [`DELIVERIES_SLICE`](super::DELIVERIES_SLICE) deliveries that are made, by index.
    pub deliveries: Vec<DeliveryRecord>,
}
