//! How much there is and was, without counting it.

use super::EventNumber;
use crate::domain::Timestamp;

/// Totals since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Transactions committed.
    pub commits: u64,
    /// Commands in them: `commands / commits` is the mean batch.
    pub commands: u64,
    /// Settlements that came too late and were not applied.
    pub late_settlements: u64,
    /// Sum of the time spent in commits, in microseconds.
    pub commit_us: u64,
    /// Commits that were synced to the disk.
    pub syncs: u64,
    /// Commits that the disk refused.
    pub refused: u64,
    /// The last one was: nothing has been written since.
    pub is_refusing: bool,
}

/// What is there now, those of before the store was opened included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTotals {
    /// Deliveries that failed and that nobody replayed or purged.
    pub dead_letters: u64,
    /// Deliveries that wait for another attempt.
    pub retrying: u64,
    /// What all events take, in bytes.
    pub event_bytes: u64,
    /// The number of the newest event; 0 where there is none.
    pub newest_event: EventNumber,
    /// What the audit log takes, in bytes.
    pub audit_bytes: u64,
    /// Calls of callbacks that were given up and that nobody replayed or purged.
    pub dead_callbacks: u64,
    /// When what waits may expire next: nothing does before it.
    pub next_expiry: Option<Timestamp>,
    /// When progress is to be told that was held back, since some had been told just before.
    pub next_progress: Option<Timestamp>,
}

/// Deliveries per status over the whole store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusCounts64 {
    /// Pending and retrying.
    pub open: u64,
    /// Sent.
    pub sent: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
}
