//! What a plugin may do beyond computing: one room per ability, without WebAssembly.
//!
//! *Flow:* **check** when a channel is loaded (what the plugin asks for ∩ what the operator grants; a refusal names the
//! line that would grant it) → **open** per call (a small value made from the grant) → **use** through plain async
//! methods with limits and the call's remaining deadline.
//!
//! *Invariants:* nothing is decided during a call that could be decided at load; what is not granted answers `denied`.
//!
//! *Not here:* the thin WIT adapters over these rooms (`sandbox::host`).

mod allowance;
pub mod cache;
pub mod http;
pub mod kv;
pub mod log;
pub mod secret;
mod section;
pub mod sign;

pub use section::Section;
