//! The outbox as a stream: numbered, resumable, bounded.
//!
//! *Flow:* the store tells of a commit → [`Inlet`] → ring → each [`Follow`] → one that is behind, or begins, reads the
//! outbox until it has caught up.
//!
//! *Invariants:* nobody who follows holds up the store's writer. A follower gets events in the order of their numbers, none
//! twice; what it cannot have is told as a [`Gap`]. An event is encoded once, however many read it.
//!
//! *Not here:* HTTP (`api`), what is done about an event (`callback`).

mod filter;
mod id;
pub mod payload;
mod ring;
pub mod sse;
mod stream;
mod subscribers;
mod tracker;

pub use filter::EventFilter;
pub use id::{EventId, EventIdError};
pub use ring::{Batch, CHUNK_EVENTS, Chunk, Inlet, Outlet, RING_EVENTS};
pub use stream::{EventLog, Follow, Followed, Gap, GapReason, Start};
pub use subscribers::{SUBSCRIBERS_MAX, Subscriber, Subscribers, Subscription, TooManySubscribers};
pub use tracker::{EventTracker, Recorded, TrackerCounts};

#[cfg(test)]
mod tests;
