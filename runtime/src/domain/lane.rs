//! Where a delivery waits: the lane of its priority and channel, in the order of due times.

use super::{ChannelName, DeliveryId, Priority, Timestamp};

/// All deliveries of one channel at one priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// How urgent.
    pub priority: Priority,
    /// Through which channel.
    pub channel: ChannelName,
}

/// A place in a lane: by due time, then by id. Unique, so it is a cursor too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Not called before this.
    pub due: Timestamp,
    /// Which delivery.
    pub delivery: DeliveryId,
}

/// A delivery that waits, as the queue knows it: no content, no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Which lane.
    pub lane: Lane,
    /// Where in it.
    pub position: Position,
}
