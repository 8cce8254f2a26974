//! Where a delivery waits: the lane of its priority, channel and flow, in the order of due times.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::{ChannelName, DeliveryId, NotificationId, Priority, Timestamp};

/// Whose a delivery is, where that matters for who goes next: the flows of one channel take turns, so that a crowd of
/// one makes nobody else wait.
///
/// Most deliveries share a flow; those of a large notification, and those to an address that gets many, have one to
/// themselves. There are [`COUNT`](Self::COUNT) of these beside the shared one; what has the same number is one flow.
///
/// ```
/// use campanile::domain::{Flow, NotificationId};
///
/// assert_eq!(Flow::of_address("ada@example.com"), Flow::of_address("ada@example.com"));
/// assert_ne!(Flow::of_notification(NotificationId::from_bytes([7; 16])), Flow::SHARED);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow(u16);

impl Flow {
    /// Of all that have none to themselves.
    pub const SHARED: Self = Self(0);

    /// Flows beside the shared one.
    pub const COUNT: u16 = 1_024;

    /// A notification with more deliveries than this is a flow of its own.
    pub const NOTIFICATION_MIN: usize = 100;

    /// Of a large notification.
    #[must_use]
    pub fn of_notification(id: NotificationId) -> Self {
        Self::of(&id)
    }

    /// Of an address that gets many.
    #[must_use]
    pub fn of_address(address: &str) -> Self {
        Self::of(address)
    }

    /// The one with this number: 0 is the shared one, 1 to [`COUNT`](Self::COUNT) the others. None of any other.
    #[must_use]
    pub const fn numbered(number: u16) -> Option<Self> {
        if number <= Self::COUNT { Some(Self(number)) } else { None }
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// The keys of the hash are fixed: what waits after a restart has the flow that it had. Whoever finds an address
    /// with the flow of another one can make that one wait for its own crowd, and no other.
    fn of<T: Hash + ?Sized>(owner: &T) -> Self {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        Self(1 + (hasher.finish() % u64::from(Self::COUNT)) as u16)
    }
}

/// All deliveries of one flow through one channel at one priority.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lane {
    /// How urgent.
    pub priority: Priority,
    /// Through which channel.
    pub channel: ChannelName,
    /// Whose.
    pub flow: Flow,
}

impl Lane {
    /// That of the shared flow.
    #[must_use]
    pub const fn shared(priority: Priority, channel: ChannelName) -> Self {
        Self { priority, channel, flow: Flow::SHARED }
    }
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
