//! Who did what: asked for by filter, and kept where the store does not see it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::{OperatorError, Parts, Runtime, rates};
use crate::config::{Config, Secrets};
use crate::domain::{
    Act, Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, AuditTarget, PluginChange, PluginEvent, PluginName,
    Timestamp,
};
use crate::store::{AuditFilter, AuditPage, StoreError};

/// The wait after the store refused. A full disk is not helped by asking often.
const AGAIN: Duration = Duration::from_secs(1);

/// Entries of a page where nothing is said.
const PAGE: usize = 100;

/// Entries of a page at most.
const PAGE_MAX: usize = 1_000;

/// A question for the audit log, to be filled in by its methods. Every condition has to hold.
///
/// ```no_run
/// # async fn example(runtime: &campanile::Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// use campanile::domain::AuditAction;
///
/// let page = runtime.audit().action(AuditAction::Purge).page().await?;
/// for (id, entry) in page.entries {
///     println!("{id} {} {}", entry.at, entry.by.as_str());
/// }
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a question is asked with `page`"]
pub struct AuditQuery {
    runtime: Runtime,
    filter: AuditFilter,
    before: Option<AuditId>,
    limit: usize,
}

impl AuditQuery {
    /// What was done.
    pub fn action(mut self, action: AuditAction) -> Self {
        self.filter.action = Some(action);
        self
    }

    /// To what. A notification stands for its deliveries too.
    pub fn target(mut self, target: AuditTarget) -> Self {
        self.filter.target = Some(target);
        self
    }

    /// At or after this.
    pub fn since(mut self, at: Timestamp) -> Self {
        self.filter.since = Some(at);
        self
    }

    /// Before this.
    pub fn until(mut self, at: Timestamp) -> Self {
        self.filter.until = Some(at);
        self
    }

    /// Behind this in the list: [`AuditPage::next`] of the page before.
    pub fn before(mut self, id: AuditId) -> Self {
        self.before = Some(id);
        self
    }

    /// At most so many, 1 to 1,000. Default: 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = limit.clamp(1, PAGE_MAX);
        self
    }

    /// Asks.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn page(self) -> Result<AuditPage, StoreError> {
        self.runtime.parts.store.audit(self.filter, self.before, self.limit).await
    }
}

/// Stands for a configuration: SHA-256 of it as `campanile config print` shows it.
pub(super) fn digest_of(config: &Config) -> [u8; 32] {
    Sha256::digest(config.to_toml(Secrets::Masked)).into()
}

/// Tries until it is written, as long as the runtime is there and its store is open. A start does not wait for a full disk.
async fn record_at_last(parts: Weak<Parts>, entry: AuditEntry) {
    loop {
        let Some(here) = parts.upgrade() else { return };
        match here.store.record(vec![entry.clone()]).await {
            Err(error) if error.is_transient() => {}
            Ok(()) | Err(_) => return,
        }
        let clock = Arc::clone(&here.clock);
        drop(here);
        clock.wait_until(clock.now().after(AGAIN)).await;
    }
}

impl Runtime {
    /// Asks who did what, the newest first.
    pub fn audit(&self) -> AuditQuery {
        self.find_audit(AuditFilter::default())
    }

    /// The same, with conditions that are there already.
    pub fn find_audit(&self, filter: AuditFilter) -> AuditQuery {
        AuditQuery { runtime: self.clone(), filter, before: None, limit: PAGE }
    }

    /// The same runtime, for somebody else: the audit log says that it was they. A runtime that was built acts for the
    /// embedder.
    #[must_use]
    pub fn acting_for(&self, by: Actor) -> Self {
        Self { by, ..self.clone() }
    }

    /// A runtime of these parts, which follows its plugins from here on. That its configuration took effect is in the audit
    /// log.
    pub(super) async fn of(parts: Parts) -> Result<Self, StoreError> {
        let sha256 = digest_of(&parts.config.load());
        let at = parts.clock.now();
        let entry = AuditEntry { at, by: Actor::Host, act: Act::Config { sha256 }, outcome: AuditOutcome::Done };
        let parts = Arc::new(parts);
        match parts.store.record(vec![entry.clone()]).await {
            Ok(()) => {}
            Err(error) if error.is_transient() => drop(tokio::spawn(record_at_last(Arc::downgrade(&parts), entry))),
            Err(error) => return Err(error),
        }
        rates::keep(&parts);
        Ok(Self { parts, by: Actor::default() })
    }

    /// Keeps that an operator was refused. What was done is kept with what it changed; of a plugin that is not there,
    /// nothing is.
    pub(super) async fn note_refusal<T>(
        &self,
        change: PluginChange,
        name: &PluginName,
        done: &Result<T, OperatorError>,
    ) {
        let Err(error @ OperatorError::NothingToDo { .. }) = done else { return };
        let event = PluginEvent {
            change,
            plugin: name.to_string(),
            version: None,
            sha256: None,
            reason: Some(error.to_string()),
        };
        self.note(Act::Plugin(event), AuditOutcome::Refused).await;
    }

    /// Keeps what changes nothing in the store.
    pub(super) async fn note(&self, act: Act, outcome: AuditOutcome) {
        let entry = AuditEntry { at: self.parts.clock.now(), by: self.by, act, outcome };
        if let Err(error) = self.parts.store.record(vec![entry]).await {
            tracing::warn!(%error, "What an operator did, or was refused, is not in the audit log.");
        }
    }
}
