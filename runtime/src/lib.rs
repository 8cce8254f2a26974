//! Campanile, a notification runtime: a durable queue, delivery at least once, channels as sandboxed WebAssembly
//! plugins.
//!
//! ARCHITECTURE.md in the repository is the map of the rooms below.

pub mod api;
pub mod bench;
pub mod call;
pub mod callback;
pub mod capability;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod domain;
pub mod events;
pub mod intake;
pub mod queue;
pub mod render;
pub mod retry;
pub mod route;
pub mod runtime;
pub mod sandbox;
pub mod store;
pub mod supply;
pub mod telemetry;

pub use config::Config;
pub use domain::Priority;
pub use runtime::{Notification, Runtime};

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
