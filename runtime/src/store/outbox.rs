//! What the outbox says of itself: which numbers there are, and of which life of the database.

use std::fmt;

use crate::domain::Event;

/// An event's place in the outbox: from 1, in the order of commits, and never used twice in one [`EventEpoch`]. Numbers
/// follow each other without gaps, except behind a crash at [`Durability::Os`](super::Durability::Os): there the next one
/// is greater than any that may have been given before, whether or not its event outlived the crash.
pub type EventNumber = u64;

/// An event with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberedEvent {
    /// Its place.
    pub number: EventNumber,
    /// The event.
    pub event: Event,
}

/// Tells one life of a database from another: random when it is made, and a new one when a backup is put in its place,
/// since numbers given after that backup are given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventEpoch(pub u64);

impl fmt::Display for EventEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Which events are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventRange {
    /// Of which life of the database.
    pub epoch: EventEpoch,
    /// The first that is kept; one more than `newest` where none is.
    pub oldest: EventNumber,
    /// No number beyond this was given; 0 where none was.
    pub newest: EventNumber,
}
