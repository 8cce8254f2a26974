//! What is kept for how long.

use crate::domain::{NotificationId, Timestamp};

/// A slice of clearing up. What is open or a dead letter stays, however old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Looks at notifications behind this: [`Swept::next`] of the slice before, or
    /// [`NotificationId::FIRST`].
    pub after: NotificationId,
    /// Notifications accepted before this may go, with deliveries and attempts.
    pub notifications_before: Timestamp,
    /// Idempotency and dedupe keys used before this go.
    pub keys_before: Timestamp,
    /// Events before this go.
    pub events_before: Timestamp,
    /// Entries of the audit log before this go.
    pub audit_before: Timestamp,
    /// Calls of callbacks that were given up before this go.
    pub dead_callbacks_before: Timestamp,
    /// Notifications that are looked at, and keys that go, at most.
    pub limit: usize,
}

/// A slice of what goes because there is too much, however young. What is open or a dead letter stays, and so does what
/// an idempotency key stands for that still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shrink {
    /// Looks at notifications behind this: [`Swept::next`] of the slice before, or
    /// [`NotificationId::FIRST`].
    pub after: NotificationId,
    /// Notifications accepted before this may go, with deliveries and attempts.
    pub notifications_before: Timestamp,
    /// Idempotency keys used before this hold no longer.
    pub keys_before: Timestamp,
    /// The oldest events go while all of them take more than this, in bytes. The newest frame stays.
    pub event_bytes_max: Option<u64>,
    /// The oldest entries of the audit log go while all of them take more than this, in bytes.
    pub audit_bytes_max: Option<u64>,
    /// The oldest calls of callbacks that were given up go while there are more than this.
    pub dead_callbacks_max: Option<u64>,
    /// Notifications that are looked at, at most.
    pub limit: usize,
}

/// What went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Notifications.
    pub notifications: u64,
    /// Their deliveries.
    pub deliveries: u64,
    /// Notifications that might have gone and stay: something of them is open or a dead letter, or their key holds.
    pub kept: u64,
    /// Idempotency and dedupe keys.
    pub keys: u64,
    /// Events.
    pub events: u64,
    /// Entries of the audit log.
    pub audit: u64,
    /// Calls of callbacks that were given up.
    pub dead_callbacks: u64,
    /// Where to go on; none where every old notification was looked at.
    pub next: Option<NotificationId>,
}
