//! Joins rooms that do not know each other.

use std::sync::Arc;

use async_trait::async_trait;

use super::outcomes::Outcomes;
use crate::domain::{TemplateName, TemplateUse};
use crate::intake::{PinError, TemplatePins};
use crate::queue::QueueHandle;
use crate::render::{self, TemplateError, TemplateRegistry};
use crate::store::{CommitListener, Committed};
use crate::telemetry::Metrics;

/// Hands each commit to those who wait for it.
pub(super) struct Commits {
    pub(super) queue: QueueHandle,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) metrics: Arc<Metrics>,
}

impl CommitListener for Commits {
    fn committed(&self, committed: Committed) {
        self.metrics.committed(committed.commands, committed.took);
        self.queue.offer_all(&committed.accepted);
        self.outcomes.tell(&committed.events);
        for event in &committed.events {
            self.metrics.event(event.event.body.kind());
        }
    }
}

/// Intake's view of the template registry.
pub(super) struct Pins(pub(super) TemplateRegistry);

#[async_trait]
impl TemplatePins for Pins {
    async fn pin(&self, name: &TemplateName, data: Option<&str>) -> Result<TemplateUse, PinError> {
        self.0.pin(name, data).await.map_err(|error| match error {
            render::PinError::Template(TemplateError::Unknown { name, nearest }) => PinError::Unknown { name, nearest },
            render::PinError::Template(error) => PinError::Broken { name: name.clone(), reason: error.to_string() },
            render::PinError::MissingData { name, variables } => PinError::MissingData { name, variables },
            // Intake takes nothing else for data.
            render::PinError::NotAnObject { name } => {
                PinError::Broken { name, reason: "its data is not a JSON object".to_owned() }
            }
            render::PinError::Store(error) => PinError::Store(error),
        })
    }
}
