//! The seam between who decides when a callback is called, and what a call is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::store::NumberedEvent;

/// What is called: a closure of the embedding program, or another process.
#[async_trait]
pub(crate) trait Target: Send + Sync + 'static {
    /// Calls once. A panic counts as a failure that may be tried again.
    async fn call(&self, execution: &Execution) -> Result<(), Failure>;
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Execution {
    /// What happened.
    pub(crate) event: Arc<NumberedEvent>,
    /// What it means for the callback.
    pub(crate) occasion: Occasion,
}

/// Why a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A delivery was sent.
    Sent,
    /// A delivery failed for good.
    Failed,
    /// More of a notification's deliveries are final.
    Progress { completed: u32, total: u32 },
    /// Its filter lets the event through.
    Event,
}

/// How a call failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// It may work later, not before `after` has passed. The reason has no address and no secret.
    #[error("{reason}")]
    Retry { reason: String, after: Option<Duration> },
    /// It will not work for this event.
    #[error("{reason}")]
    GiveUp { reason: String },
    /// The receiver wants to hear no more of anything.
    #[error("{reason}")]
    Disable { reason: String },
}
