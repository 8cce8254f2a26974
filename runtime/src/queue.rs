//! What is to be delivered next: a bounded window in memory over what waits in the store.
//!
//! *Flow:* a durable accept or retry is `offer`ed; a worker with a free slot `take`s; the keeper loads pages of what
//! did not fit and wakes the workers when something becomes due.
//!
//! *Order:* four priorities, the highest first. Within one, channels take turns; within a channel, by due time, then
//! by id. Two rules bend this: every 32nd take goes, in rotation, to a priority below critical whose oldest delivery
//! has waited over 30 s; and a [reserved](Slot::Reserved) slot takes only critical and high. So critical waits behind
//! at most one other take, and the oldest of each priority is taken within 96 takes after its 30 s.
//!
//! *Invariants:* whatever waits in the store is in memory, beyond its lane's frontier, or in the hands of whoever took
//! it. An entry may stand in memory twice; `Store::claim` grants it once. Memory is bounded however much waits.
//!
//! *Held* channels keep what waits where it is: in memory, or in the store behind it. What turns out to need a held
//! template engine once it is taken is *set aside*, until the engine is held no longer.
//!
//! *Shares:* a channel holds at most eight times as many slots as are free, so one whose calls never end leaves one in
//! nine to the others. What waits then loses its turn and nothing else.
//!
//! *Gates:* a channel whose breaker is open, whose rate or concurrency is used up, or whose provider asked for patience is
//! not taken from: its lanes are parked, and looked at again when the gate's instant comes or one of its calls ends.
//!
//! *Not here:* why a channel or an engine is held, plugins, states, when a retry is due, what a slot is good for.

mod channels;
mod gates;
mod handle;
mod ready;
mod shares;
mod window;

pub use gates::{BreakerChanged, Ended, GateChange, GateSettings, GateStatus};
pub use handle::QueueHandle;
pub use ready::{Called, Hold, PageRequest, PriorityDepth, ReadyQueue, Taken};

/// What a free slot may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Anything.
    General,
    /// Only critical and high, so that a backlog of slow calls below them never holds all slots.
    Reserved,
}

/// The slots of all workers together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlotCounts {
    /// Those that may take anything.
    pub general: u32,
    /// Those that may take only critical and high.
    pub reserved: u32,
}

/// How much of what waits is held in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowLimits {
    /// Entries of one lane that stay when it overflows; it overflows at twice as many. At least 2.
    ///
    /// The default, 4,096, is a tenth of a second at full speed through one channel: a page is read long before the
    /// half that is left is taken.
    pub lane: usize,
    /// Entries of all lanes together above which each lane is held to an equal share, and to at least 64. So memory
    /// holds at most twice this many entries of 32 bytes.
    ///
    /// The default is 2²⁰: a million waiting deliveries over many channels need no page at all.
    pub total: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        Self { lane: 4_096, total: 1 << 20 }
    }
}
