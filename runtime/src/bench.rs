//! Measurements of this machine: `campanile bench`.
//!
//! *Flow:* each bench is one file with its parameters, a `run`, and a result whose keys are published.
//!
//! *Invariants:* a bench ends within 45 s with its default parameters, and leaves nothing behind.
//!
//! *Not here:* printing. The command line does that.

pub mod events;
pub mod intake;
pub mod neighbour;
pub mod pipeline;
pub mod queue;
pub mod receiver;
pub mod sandbox;
pub mod start;
pub mod store;
pub mod swap;
pub mod through;
