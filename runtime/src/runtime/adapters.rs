//! Joins rooms that do not know each other.

use std::sync::Arc;

use async_trait::async_trait;

use super::outcomes::Outcomes;
use crate::domain::{TemplateName, TemplateUse};
use crate::intake::{PinError, TemplatePins};
use crate::queue::QueueHandle;
use crate::render::{self, TemplateRegistry};
use crate::store::{CommitListener, Committed};
use crate::telemetry::Metrics;

/// Hands each commit to those who wait for it.
pub(super) struct Commits {
    pub(super) queue: Arc<QueueHandle>,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) metrics: Arc<Metrics>,
}

impl CommitListener for Commits {
    fn committed(&self, committed: Committed) {
        self.queue.offer_all(&committed.accepted);
        self.outcomes.tell(&committed.events);
        for event in &committed.events {
            self.metrics.event(event.event.body.kind());
        }
    }
}

/// Intake's view of the template registry.
pub(super) struct Pins(pub(super) Arc<TemplateRegistry>);
