//! What an operator can see from outside: the metrics catalogue, and the type that keeps personal data out of it.
//!
//! *Flow:* a room states a fact through one method of [`Metrics`]; `/metrics` encodes the whole catalogue.
//!
//! *Invariants:* every metric of the program is named in `metrics.rs`; a label takes its values from a closed set or
//! from names that an operator chose, and never more than a written number of them. An address, content or a secret is
//! never a label.
//!
//! *Not here:* state of the process. There is one `Arc<Metrics>` for each runtime, handed around.

mod handles;
mod metrics;
mod redact;

pub use metrics::{CallbackResult, EgressResult, Metrics, PluginUse};
pub use redact::Redacted;
