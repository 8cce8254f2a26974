//! Callbacks of the program that Campanile is part of.

use std::sync::Arc;

use async_trait::async_trait;

use super::callbacks::{CallbackDesk, Caller, CallerStatistics};
use super::webhooks::WebhookDesk;
use super::{Handle, Runtime, StoreError};
use crate::callback::webhook::TakenNames;
use crate::callback::{
    Answer, BatchProgress, CallbackError, CallbackId, CallbackSettings, CallbackStatistics, Callbacks, DeliveryError,
    Joints, Receipt, Registration,
};
use crate::clock::Clock;
use crate::config::Config;
use crate::dispatch::Neighbours;
use crate::domain::{AuditEntry, CallbackBook, CallbackName, DeadCallback, Notification, RetryPolicy, Timestamp};
use crate::events::EventLog;
use crate::store::Store;

#[async_trait]
impl Caller for Callbacks {
    fn knows(&self, callback: &CallbackName) -> bool {
        Self::knows(self, callback)
    }

    async fn replay(&self, dead: Vec<DeadCallback>, entry: AuditEntry) -> Result<(), StoreError> {
        self.replay_with(&dead, entry).await
    }

    async fn enable(&self, book: CallbackBook, entry: AuditEntry) -> Result<bool, StoreError> {
        self.keep(book, entry).await.map(|()| true)
    }

    fn statistics(&self, _: Timestamp) -> CallerStatistics {
        let CallbackStatistics { kinds, executor, registered, .. } = Self::statistics(self);
        // A program that registers none has nobody who runs them.
        CallerStatistics { executor: (registered > 0 || !kinds.is_empty()).then_some(executor), kinds }
    }
}

impl Runtime {
    /// The callbacks: to register, change, list and replay them, and to see how they are doing.
    #[must_use]
    pub fn callbacks(&self) -> &Callbacks {
        &self.parts.callbacks
    }
}

impl Handle {
    /// Calls this once for each delivery of the notification that was sent, also for those that were sent before. What
    /// is registered goes when the notification has completed.
    ///
    /// ```no_run
    /// # use campanile::{Notification, Runtime};
    /// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// let handle = runtime.notify(Notification::new().channel("console").body("hello")).await?;
    /// handle.on_completion(|receipt| println!("it took {} attempts", receipt.attempts)).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn on_completion<K, A: Answer<K>>(
        &self,
        closure: impl Fn(Receipt) -> A + Send + Sync + 'static,
    ) -> Result<CallbackId, CallbackError> {
        self.callback(Registration::completion(closure)).await
    }

    /// Calls this once for each delivery of the notification that failed for good, also for those that failed before.
    /// What is registered goes when the notification has completed.
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn on_error<K, A: Answer<K>>(
        &self,
        closure: impl Fn(Arc<Notification>, DeliveryError) -> A + Send + Sync + 'static,
    ) -> Result<CallbackId, CallbackError> {
        self.callback(Registration::error(closure)).await
    }

    /// Calls this as the deliveries of the notification become final, where it has several: at most once a second, and
    /// at the last one. What is registered goes when the notification has completed.
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn on_progress<K, A: Answer<K>>(
        &self,
        closure: impl Fn(BatchProgress) -> A + Send + Sync + 'static,
    ) -> Result<CallbackId, CallbackError> {
        self.callback(Registration::progress(closure)).await
    }

    /// Registers a callback with its options, for this notification.
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn callback(&self, registration: Registration) -> Result<CallbackId, CallbackError> {
        self.runtime.callbacks().register_for(self.id(), registration).await
    }
}

/// Before anything is delivered, so that nothing is missed.
pub(super) async fn open_callbacks(
    with: &Neighbours,
    (log, taken): (Arc<EventLog>, TakenNames),
    (config, own): (&Config, Option<CallbackSettings>),
    registrations: Vec<Registration>,
) -> Result<Callbacks, CallbackError> {
    let (store, clock, entropy) = (Arc::clone(&with.store), Arc::clone(&with.clock), Arc::clone(&with.entropy));
    let metrics = Arc::clone(&with.metrics);
    let settings = own.unwrap_or_else(|| callback_settings(config));
    let joints = Joints { store, clock, entropy, log, metrics, taken };
    let callbacks = Callbacks::start(joints, settings).map_err(CallbackError::Settings)?;
    for registration in registrations {
        callbacks.register_at_start(registration).await?;
    }
    Ok(callbacks)
}

/// As the configuration says; `check` has seen that there is the policy that it names.
pub(super) fn callback_settings(config: &Config) -> CallbackSettings {
    let retry = config.retry.get(&config.callbacks.retry).cloned();
    CallbackSettings::of(&config.callbacks, retry.unwrap_or_else(RetryPolicy::callback))
}

/// Who calls callbacks here.
pub(super) fn callback_desk(
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    closures: &Callbacks,
    webhooks: &Arc<WebhookDesk>,
) -> CallbackDesk {
    let callers: Vec<Arc<dyn Caller>> = vec![Arc::new(closures.clone()), Arc::clone(webhooks) as _];
    CallbackDesk::new(store, clock, callers)
}
