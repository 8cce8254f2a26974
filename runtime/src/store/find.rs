//! What readers ask for, and the pages they get.

use std::collections::BTreeSet;

use super::{DeliveryRecord, NotificationRecord};
use crate::domain::{ChannelName, DeliveryId, DeliveryStatus, NotificationId, NotificationStatus, Priority, Timestamp};

/// Rows that one page may look at. A page that has looked at so many is short and says where to go on, so that no
/// question holds a reader up for long.
pub const SCAN_MAX: usize = 100_000;

/// Which notifications are asked for: those that fulfil every condition that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NotificationFilter {
    /// Where it stands.
    pub status: Option<NotificationStatus>,
    /// How urgent.
    pub priority: Option<Priority>,
    /// `info`, `warning`, ….
    pub kind: Option<String>,
    /// As its caller gave it.
    pub correlation_id: Option<String>,
    /// One of its caller's own pairs, key and value.
    pub metadata: Option<(String, String)>,
    /// One of its deliveries stands there.
    pub delivery_status: Option<DeliveryStatus>,
    /// One of its deliveries goes through this channel.
    pub channel: Option<ChannelName>,
    /// One of its deliveries goes to this address.
    pub recipient: Option<String>,
    /// Accepted at or after this.
    pub since: Option<Timestamp>,
    /// Accepted before this.
    pub until: Option<Timestamp>,
    /// One of its deliveries waits until this or later.
    pub due_since: Option<Timestamp>,
    /// One of its deliveries waits until before this.
    pub due_until: Option<Timestamp>,
    /// One of its deliveries waits, and goes through one of these channels.
    pub waits_for: Option<BTreeSet<ChannelName>>,
}

/// Some notifications, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NotificationPage {
    /// They match.
    pub notifications: Vec<NotificationRecord>,
    /// There may be more, older than this. None where there is nothing more.
    pub next: Option<NotificationId>,
}

/// Which dead letters are asked for: those that fulfil every condition that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadLetterFilter {
    /// As in [`FailReason::as_str`](crate::domain::FailReason::as_str).
    pub reason: Option<String>,
    /// How urgent.
    pub priority: Option<Priority>,
    /// Through which channel.
    pub channel: Option<ChannelName>,
    /// To which address.
    pub recipient: Option<String>,
    /// Of its notification: `info`, `warning`, ….
    pub kind: Option<String>,
    /// Of its notification, as its caller gave it.
    pub correlation_id: Option<String>,
    /// Its notification was accepted at or after this.
    pub since: Option<Timestamp>,
    /// Its notification was accepted before this.
    pub until: Option<Timestamp>,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq)]
pub struct DeadLetter {
    /// With its attempts. Its state is `Failed`.
    pub delivery: DeliveryRecord,
    /// How urgent it was.
    pub priority: Priority,
    /// When its notification was accepted.
    pub created_at: Timestamp,
    /// From here on no attempt may start.
    pub expires_at: Option<Timestamp>,
}

/// Some dead letters, those of the oldest notifications first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeadLetterPage {
    /// They match.
    pub dead_letters: Vec<DeadLetter>,
    /// There may be more behind this. None where there is nothing more.
    pub next: Option<DeliveryId>,
}

/// A new run of a delivery that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// Which.
    pub delivery: DeliveryId,
    /// Not before this.
    pub due: Timestamp,
}

/// What became of a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It waits.
    Waits,
    /// It has not failed: it waits, was sent or was cancelled. Nothing is changed.
    NotFailed,
    /// No such delivery.
    Unknown,
}
