//! The real store, behind a disk that is full for a while, or after a process that died.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;

use crate::domain::{
    Actor, AuditEntry, AuditId, CallbackBook, CallbackName, CallbackUrl, ChannelBook, ChannelName, DeadCallback,
    DeliveryId, Event, KvEntry, KvWrite, KvWritten, Lane, NotificationId, OwedCallback, PluginBook, Position, Queued,
    Timestamp,
};
use crate::store::{
    Accepted, AuditFilter, AuditPage, CallbackChange, Cancelled, Claim, DeadCallbackFilter, DeadLetterFilter,
    DeadLetterPage, DeliveryRecord, EventNumber, EventRange, FirstUse, LaneDepth, NotificationFilter, NotificationPage,
    NotificationRecord, NumberedEvent, OnceKey, Planned, Replay, Replayed, Settled, Settlement, Shrink, StatusCounts64,
    Store, StoreError, StoreStats, StoreTotals, Sweep, Swept, TemplateSource,
};

pub(super) struct Refusing {
    store: Arc<dyn Store>,
    settlements: AtomicU32,
    claims: AtomicU32,
    crashes: u32,
    /// Claims that break the worker that makes them.
    breaking: AtomicU32,
}

impl Refusing {
    /// Refuses the first `count` settlements.
    pub(super) fn settlements(store: Arc<dyn Store>, count: u32) -> Self {
        Self { store, settlements: count.into(), claims: 0.into(), crashes: 0, breaking: 0.into() }
    }

    /// Refuses the first `count` claims.
    pub(super) fn claims(store: Arc<dyn Store>, count: u32) -> Self {
        Self { store, settlements: 0.into(), claims: count.into(), crashes: 0, breaking: 0.into() }
    }

    /// Panics at the first claim.
    pub(super) fn breaking(store: Arc<dyn Store>) -> Self {
        Self { store, settlements: 0.into(), claims: 0.into(), crashes: 0, breaking: 1.into() }
    }

    /// Says of each claim that the process died so often while it was in flight.
    pub(super) fn after_crashes(store: Arc<dyn Store>, crashes: u32) -> Self {
        Self { store, settlements: 0.into(), claims: 0.into(), crashes, breaking: 0.into() }
    }
}

fn refuse(left: &AtomicU32) -> Result<(), StoreError> {
    match left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)) {
        Ok(_) => Err(StoreError::Unavailable { reason: "the disk is full".to_owned() }),
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl Store for Refusing {
    async fn claim(&self, ids: &[DeliveryId], now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        refuse(&self.claims)?;
        assert!(refuse(&self.breaking).is_ok(), "the script says so");
        let mut claims = self.store.claim(ids, now).await?;
        claims.iter_mut().for_each(|claim| claim.crashes += self.crashes);
        Ok(claims)
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        refuse(&self.settlements)?;
        self.store.settle(settlements).await
    }

    async fn accept(&self, planned: Vec<Planned>) -> Result<Vec<Accepted>, StoreError> {
        self.store.accept(planned).await
    }

    async fn first_use(&self, key: OnceKey) -> Result<Option<FirstUse>, StoreError> {
        self.store.first_use(key).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.store.probe().await
    }

    async fn release(&self, claims: &[u64]) -> Result<(), StoreError> {
        self.store.release(claims).await
    }

    async fn cancel(&self, id: NotificationId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError> {
        self.store.cancel(id, at, by).await
    }

    async fn cancel_delivery(&self, id: DeliveryId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError> {
        self.store.cancel_delivery(id, at, by).await
    }

    async fn expanding(&self, after: NotificationId) -> Result<Option<NotificationId>, StoreError> {
        self.store.expanding(after).await
    }

    async fn expand(&self, id: NotificationId, at: Timestamp) -> Result<bool, StoreError> {
        self.store.expand(id, at).await
    }

    async fn tell_progress(&self, now: Timestamp) -> Result<(), StoreError> {
        self.store.tell_progress(now).await
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u32, StoreError> {
        self.store.expire(now, limit).await
    }

    async fn deliveries(&self, id: NotificationId, from: u32, limit: usize) -> Result<Vec<DeliveryRecord>, StoreError> {
        self.store.deliveries(id, from, limit).await
    }

    async fn replay(&self, replays: Vec<Replay>, at: Timestamp, by: Actor) -> Result<Vec<Replayed>, StoreError> {
        self.store.replay(replays, at, by).await
    }

    async fn purge(&self, ids: Vec<DeliveryId>, at: Timestamp, by: Actor) -> Result<u64, StoreError> {
        self.store.purge(ids, at, by).await
    }

    async fn query(
        &self,
        filter: NotificationFilter,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<NotificationPage, StoreError> {
        self.store.query(filter, before, limit).await
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, StoreError> {
        self.store.dead_letters(filter, after, limit).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.store.sweep(sweep).await
    }

    async fn shrink(&self, shrink: Shrink) -> Result<Swept, StoreError> {
        self.store.shrink(shrink).await
    }

    async fn used_bytes(&self) -> Result<u64, StoreError> {
        self.store.used_bytes().await
    }

    async fn page(&self, lane: &Lane, after: Option<Position>, limit: usize) -> Result<Vec<Queued>, StoreError> {
        self.store.page(lane, after, limit).await
    }

    async fn lanes(&self) -> Result<Vec<LaneDepth>, StoreError> {
        self.store.lanes().await
    }

    async fn notification(&self, id: NotificationId) -> Result<Option<NotificationRecord>, StoreError> {
        self.store.notification(id).await
    }

    async fn outbox(&self, after: EventNumber, limit: usize) -> Result<Vec<NumberedEvent>, StoreError> {
        self.store.outbox(after, limit).await
    }

    async fn event_range(&self) -> Result<EventRange, StoreError> {
        self.store.event_range().await
    }

    async fn count(&self) -> Result<StatusCounts64, StoreError> {
        self.store.count().await
    }

    async fn keep_template(&self, source: TemplateSource) -> Result<(), StoreError> {
        self.store.keep_template(source).await
    }

    async fn template(&self, version: [u8; 32]) -> Result<Option<TemplateSource>, StoreError> {
        self.store.template(version).await
    }

    async fn keep_plugins(
        &self,
        books: Vec<PluginBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        self.store.keep_plugins(books, events, audit).await
    }

    async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.store.record(entries).await
    }

    async fn audit(&self, filter: AuditFilter, before: Option<AuditId>, limit: usize) -> Result<AuditPage, StoreError> {
        self.store.audit(filter, before, limit).await
    }

    async fn plugins(&self) -> Result<Vec<PluginBook>, StoreError> {
        self.store.plugins().await
    }

    async fn keep_channels(
        &self,
        books: Vec<ChannelBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        self.store.keep_channels(books, events, audit).await
    }

    async fn channels(&self) -> Result<Vec<ChannelBook>, StoreError> {
        self.store.channels().await
    }

    async fn keep_pin(&self, workers: Option<u32>, audit: AuditEntry) -> Result<(), StoreError> {
        self.store.keep_pin(workers, audit).await
    }

    async fn pin(&self) -> Result<Option<u32>, StoreError> {
        self.store.pin().await
    }

    async fn keep_callbacks(&self, change: CallbackChange) -> Result<(), StoreError> {
        self.store.keep_callbacks(change).await
    }

    async fn callbacks(&self) -> Result<Vec<CallbackBook>, StoreError> {
        self.store.callbacks().await
    }

    async fn callback_urls(&self, ids: Vec<NotificationId>) -> Result<Vec<(NotificationId, CallbackUrl)>, StoreError> {
        self.store.callback_urls(ids).await
    }

    async fn owed_callbacks(
        &self,
        callback: &CallbackName,
        after: EventNumber,
        limit: usize,
    ) -> Result<Vec<OwedCallback>, StoreError> {
        self.store.owed_callbacks(callback, after, limit).await
    }

    async fn dead_callbacks(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadCallback>, StoreError> {
        self.store.dead_callbacks(filter, after, limit).await
    }

    async fn kv_get(&self, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, StoreError> {
        self.store.kv_get(channel, key).await
    }

    async fn kv_write(&self, write: KvWrite) -> Result<KvWritten, StoreError> {
        self.store.kv_write(write).await
    }

    async fn kv_keys(
        &self,
        channel: &ChannelName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        self.store.kv_keys(channel, prefix, after, limit).await
    }

    fn stats(&self) -> StoreStats {
        self.store.stats()
    }

    fn totals(&self) -> StoreTotals {
        self.store.totals()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
