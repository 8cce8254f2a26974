//! Callbacks of the program that Campanile is part of.

use std::sync::Arc;

use async_trait::async_trait;

use super::callbacks::{Caller, CallerStatistics};
use super::{Handle, Runtime, StoreError};
use crate::callback::{
    Answer, BatchProgress, CallbackError, CallbackId, CallbackStatistics, Callbacks, DeliveryError, Receipt,
    Registration,
};
use crate::domain::{AuditEntry, CallbackBook, CallbackName, DeadCallback, Notification, Timestamp};

#[async_trait]
impl Caller for Callbacks {
    fn knows(&self, callback: &CallbackName) -> bool {
        Self::knows(self, callback)
    }

    async fn replay(&self, dead: Vec<DeadCallback>, entry: AuditEntry) -> Result<(), StoreError> {
        self.replay_with(&dead, entry).await
    }

    async fn enable(&self, book: CallbackBook, entry: AuditEntry) -> Result<(), StoreError> {
        self.keep(book, entry).await
    }

    fn statistics(&self, _: Timestamp) -> CallerStatistics {
        let CallbackStatistics { kinds, executor, .. } = Self::statistics(self);
        CallerStatistics { executor: Some(executor), kinds }
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
