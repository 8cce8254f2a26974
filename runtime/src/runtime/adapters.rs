//! Joins rooms that do not know each other.

use std::sync::Arc;

use async_trait::async_trait;

use super::expander::Expansions;
use super::outcomes::Outcomes;
use crate::capability::kv::{KvStore, KvUnavailable};
use crate::domain::{
    Act, AuditEntry, AuditOutcome, ChannelName, Event, EventBody, KvEntry, KvWrite, KvWritten, PluginBook,
    TemplateName, TemplateUse,
};
use crate::events::Inlet;
use crate::intake::{PinError, TemplatePins};
use crate::queue::QueueHandle;
use crate::render::{self, TemplateError, TemplateRegistry};
use crate::sandbox::{DeliveryHolds, Held, NotKept, PluginMemory, Told};
use crate::store::{CommitListener, Committed, Store, StoreError};
use crate::telemetry::Metrics;

/// Hands each commit to those who wait for it.
pub(super) struct Commits {
    pub(super) queue: QueueHandle,
    pub(super) outcomes: Arc<Outcomes>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) expansions: Expansions,
    pub(super) events: Inlet,
}

impl CommitListener for Commits {
    fn committed(&self, committed: Committed) {
        self.metrics.committed(committed.commands, committed.took);
        self.queue.offer_all(&committed.accepted);
        self.queue.withdraw_all(&committed.withdrawn);
        self.outcomes.tell(&committed.events);
        self.expansions.tell(&committed.events);
        for event in &committed.events {
            self.metrics.event(event.event.body.kind());
        }
        // Last: they are its to keep.
        self.events.tell(committed.events);
    }
}

/// The registry's view of the store.
pub(super) struct Remembered(pub(super) Arc<dyn Store>);

#[async_trait]
impl PluginMemory for Remembered {
    async fn keep(&self, books: Vec<PluginBook>, told: Vec<Told>) -> Result<(), NotKept> {
        let event = |told: &Told| Event { at: told.at, body: EventBody::Plugin(told.event.clone()) };
        let events = told.iter().map(event).collect();
        let done = |Told { at, by, event }| AuditEntry { at, by, act: Act::Plugin(event), outcome: AuditOutcome::Done };
        let audit = told.into_iter().map(done).collect();
        self.0.keep_plugins(books, events, audit).await.map_err(|error| NotKept { reason: error.to_string() })
    }
}

/// The registry's view of the queue.
pub(super) struct Holds(pub(super) QueueHandle);

impl DeliveryHolds for Holds {
    fn hold_only(&self, held: &Held) {
        self.0.hold_only(&held.channels);
        self.0.hold_engines_only(&held.engines);
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

/// What channels keep, in the store.
pub(crate) struct KeptIn(pub(crate) Arc<dyn Store>);

#[async_trait]
impl KvStore for KeptIn {
    async fn get(&self, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, KvUnavailable> {
        self.0.kv_get(channel, key).await.map_err(|error| unavailable(&error))
    }

    async fn write(&self, write: KvWrite) -> Result<KvWritten, KvUnavailable> {
        self.0.kv_write(write).await.map_err(|error| unavailable(&error))
    }

    async fn keys(
        &self,
        channel: &ChannelName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, KvUnavailable> {
        self.0.kv_keys(channel, prefix, after, limit).await.map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &StoreError) -> KvUnavailable {
    KvUnavailable { reason: error.to_string() }
}
