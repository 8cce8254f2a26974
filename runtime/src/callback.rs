//! Callbacks: what is run or called when an event happens.
//!
//! *Flow:* [`Registration`] → [`Callbacks::register`] → a follower of the stream finds whom an event concerns →
//! the executor calls them, one chain for each event → succeeded, or given up and kept in the store to be replayed.
//!
//! *Invariants:* nothing here holds up delivery: followers are given what is durable, and the store's writer waits for
//! none of them. A callback that is stuck, slow or panics costs a place among the workers, until its timeout, and
//! nothing else. `on_completion` and `on_error` are called once for each end of a delivery; what fails is called again.
//!
//! *Chains:* the callbacks of one event are called one after the other, by priority. One that fails is waited for only
//! where it stops those behind it. A callback with a durable name is a chain by itself, since it goes on from its own
//! place.
//!
//! *Not here:* events and their order (`store`), what a delivery's end is (`domain::settle`).

mod closure;
mod desk;
mod executor;
mod feed;
mod follower;
mod latency;
mod ledger;
mod progress;
mod receipt;
mod registration;
mod registry;
mod settings;
mod statistics;
mod target;
mod threads;
mod tracker;
pub(crate) mod webhook;

pub use closure::{Answer, Asynchronous, Blocking, Ending};
pub use desk::{CallbackReplay, Callbacks};
pub use executor::{ExecutorStatistics, FullCounts};
pub use latency::LatencyStatistics;
pub use receipt::{BatchProgress, DeliveryError, Receipt, ToldRecipient};
pub use registration::{CallbackError, CallbackId, CallbackInfo, CallbackOptions, Condition, Registration};
pub use settings::{CallbackSettings, CallbackSettingsError, OnFailure, WhenFull};
pub use statistics::{CallbackHealth, CallbackStatistics};
pub use tracker::{ExecutionRecord, ExecutionStatus, KindStatistics, RECENT_FOR, RECENT_MAX};

pub use crate::store::DeadCallbackFilter;

pub(crate) use desk::Joints;
pub(crate) use target::{Execution, Failure, Occasion, Target};

#[cfg(test)]
mod tests;
