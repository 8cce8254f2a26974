//! The embedded engine: one SQLite file, one process, one writer.
//!
//! *Flow:* callers send operations to the writer's thread (`writer`), which does them in one transaction per batch
//! (`transaction`) and then tells the listener and the callers; reads go to connections of their own (`readers`,
//! `read`). Claims live in memory (`live`): this process is the only one, so they cost no write.
//!
//! *Invariants:* one process owns the file (`lock`). What a caller was told is durable at the configured level. A
//! restart forgets claims and nothing else.
//!
//! Operators have a side door (`upkeep`, `examine`): they copy, restore, migrate and look without a store that is open.
//!
//! *Not here:* decisions. States and due times arrive computed; rusqlite does not leave this room.

mod asking;
mod audit;
mod callback_urls;
mod callbacks;
mod checkpoint;
mod copying;
mod event;
mod examine;
mod expiry;
mod failure;
mod giving_up;
mod kv;
mod live;
mod lock;
mod lookup;
mod numbering;
mod once;
mod pin;
mod progress;
mod query;
mod read;
mod readers;
mod reroutes;
mod row;
mod schema;
mod statements;
mod stepped;
mod suspects;
mod totals;
mod transaction;
mod upkeep;
mod wire;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

pub use self::copying::Copied;
pub use self::examine::{Examination, Recounts, examine};
pub use self::lock::holder_of;
#[doc(hidden)]
pub use self::stepped::{SteppedOptions, SteppedWriter};
#[doc(hidden)]
pub use self::suspects::Ticks;
pub use self::upkeep::{Migrated, Restored, UpkeepError, VERSION, backup, migrate, restore, version};

use self::checkpoint::Checkpoints;
use self::failure::Failure;
use self::giving_up::Held;
use self::live::Live;
use self::readers::Readers;
use self::schema::Serving;
use self::transaction::{Answer, Asked, Operation, mixed_up};
use self::writer::{Command, Parts, Writer};
use super::{
    Accepted, AuditFilter, AuditPage, CallbackChange, Cancelled, Claim, CommitListener, DeadCallbackFilter,
    DeadLetterFilter, DeadLetterPage, DeliveryRecord, Durability, EventNumber, EventRange, FirstUse, LaneDepth,
    NotificationFilter, NotificationPage, NotificationRecord, NumberedEvent, OnceKey, Planned, Replay, Replayed,
    SCAN_MAX, Settled, Settlement, Shrink, StatusCounts64, Store, StoreError, StoreStats, StoreTotals, Sweep, Swept,
    TemplateSource,
};
use crate::domain::{
    Actor, AuditEntry, AuditId, CallbackBook, CallbackName, CallbackUrl, ChannelBook, ChannelName, DeadCallback,
    DeliveryId, Event, KvEntry, KvWrite, KvWritten, Lane, NotificationId, OwedCallback, PluginBook, Position, Queued,
    Timestamp,
};

/// Commands that wait for the writer. Callers beyond it wait to hand theirs over.
const COMMANDS_MAX: usize = 4_096;

/// Rows of targets in one commit: about a megabyte.
const STAGED_ROWS: usize = 10;

/// How to open a store.
pub struct SqliteOptions {
    /// The file; it and its folder are made where they do not exist. Only a name for messages at
    /// [`Durability::Memory`].
    pub path: PathBuf,
    /// How durable a commit is when its caller is told.
    pub durability: Durability,
    /// Is told of every commit.
    pub listener: Arc<dyn CommitListener>,
}

/// The embedded [`Store`].
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    live: Arc<Live>,
    /// None where nobody else can open the database: then the writer reads too.
    readers: Option<Readers>,
    commands: mpsc::Sender<Command>,
    /// Events of this process have greater numbers.
    began_after: EventNumber,
    stats: Arc<Mutex<StoreStats>>,
    totals: Arc<Mutex<StoreTotals>>,
    /// Its sender goes when the writer has ended.
    ended: watch::Receiver<()>,
    migrated_from: Option<u32>,
}

impl SqliteStore {
    /// Opens the file, migrates it where it is older, and starts the writer. Blocks on the disk: call it before serving,
    /// or on a thread that may block. Cancels that were under way when the store was last closed are finished here, and
    /// the listener is told.
    ///
    /// Where the disk takes nothing, a file of this version is opened all the same: it is read, and what a start writes
    /// comes before the first write that the disk takes. Nothing can be claimed until then.
    ///
    /// # Errors
    ///
    /// [`StoreError::Locked`] where another process owns the file, [`StoreError::Unusable`] where it is damaged, foreign
    /// or of a newer version, [`StoreError::Unavailable`] where the disk refuses.
    pub fn open(options: SqliteOptions) -> Result<Arc<Self>, StoreError> {
        let SqliteOptions { path, durability, listener } = options;
        let has_file = durability != Durability::Memory;
        let lock = if has_file { Some(lock::own(&path)?) } else { None };
        let Serving { connection: db, index, migrated_from } = schema::open_serving(&path, durability)?;
        let (live, stats) = (Arc::<Live>::default(), Arc::default());
        let failed = |failure: Failure| failure.at(&path);
        let totals = Arc::new(Mutex::new(totals::read(&db).map_err(failed)?));
        let writer = Writer::begin(Parts {
            db,
            live: Arc::clone(&live),
            listener,
            stats: Arc::clone(&stats),
            totals: Arc::clone(&totals),
            checkpoints: has_file.then(|| Checkpoints::start(&path, index)).transpose().map_err(failed)?,
            durability,
        })
        .map_err(failed)?;

        let began_after = writer.last_event();
        let (commands, queue) = mpsc::channel(COMMANDS_MAX);
        let (running, ended) = watch::channel(());
        std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                writer.run(queue);
                // In this order: whoever waits for the end may open the file again.
                drop(lock);
                drop(running);
            })
            .map_err(|error| StoreError::Unavailable { reason: format!("cannot start a thread: {error}") })?;
        let readers = has_file.then(|| Readers::new(&path, index));
        Ok(Arc::new(Self { path, live, readers, commands, began_after, stats, totals, ended, migrated_from }))
    }

    /// The version that the file had before it was opened; none where it was [`VERSION`], or there was no file.
    #[must_use]
    pub const fn migrated_from(&self) -> Option<u32> {
        self.migrated_from
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(&self, planned: Vec<Planned>) -> Result<Vec<Accepted>, StoreError> {
        self.take_in(planned).await
    }

    async fn expanding(&self, after: NotificationId) -> Result<Option<NotificationId>, StoreError> {
        self.read(move |db| read::expanding(db, after)).await
    }

    async fn expand(&self, id: NotificationId, at: Timestamp) -> Result<bool, StoreError> {
        match self.write(Operation::Expand(id, at)).await? {
            Answer::Expanded { more } => Ok(more),
            _ => Err(mixed_up()),
        }
    }

    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u32, StoreError> {
        match self.write(Operation::Expire(now, limit)).await? {
            Answer::Expired(ended) => Ok(ended),
            _ => Err(mixed_up()),
        }
    }

    async fn tell_progress(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write(Operation::TellProgress(now)).await.map(|_| ())
    }

    async fn deliveries(&self, id: NotificationId, from: u32, limit: usize) -> Result<Vec<DeliveryRecord>, StoreError> {
        let mut deliveries = self.read(move |db| read::deliveries(db, id, from, limit)).await?;
        self.live.mark(&mut deliveries);
        Ok(deliveries)
    }

    async fn first_use(&self, key: OnceKey) -> Result<Option<FirstUse>, StoreError> {
        self.read(move |db| once::first_use(db, &key)).await
    }

    async fn claim(&self, ids: &[DeliveryId], now: Timestamp) -> Result<Vec<Claim>, StoreError> {
        if self.live.is_opening() {
            // Has the writer try once more: it is not known yet what the last process died of.
            self.write(Operation::Release(Vec::new())).await?;
        }
        let taken = self.live.claim(ids, now);
        let mut claims = taken.claims;
        let is_wary = self.live.is_wary(now);
        if taken.unread.is_empty() && !is_wary {
            return Ok(claims);
        }
        let unread = taken.unread.iter().map(|(_, number)| *number);
        let mut held = Held { store: self, numbers: claims.iter().map(|claim| claim.number).chain(unread).collect() };
        let wanted: Vec<DeliveryId> = taken.unread.iter().map(|(id, _)| *id).collect();
        let found = self.read(move |db| read::claimable(db, &wanted)).await?;
        let mut unclaimable = Vec::new();
        for (id, number) in taken.unread {
            match found.get(&id).filter(|open| open.is_claimable(now, self.live.is_withdrawn(id))) {
                Some(open) => claims.push(self.live.confirm(id, number, open)),
                None => unclaimable.push(number),
            }
        }
        if !unclaimable.is_empty() {
            self.write(Operation::Release(unclaimable)).await?;
        }
        if is_wary && !claims.is_empty() {
            let noted = claims.iter().map(|claim| (claim.delivery, claim.number)).collect();
            self.write(Operation::Note(noted)).await?;
        }
        held.numbers.clear();
        Ok(claims)
    }

    async fn release(&self, claims: &[u64]) -> Result<(), StoreError> {
        self.write(Operation::Release(claims.to_vec())).await.map(|_| ())
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError> {
        match self.write(Operation::Settle(settlements)).await? {
            Answer::Settled(settled) => Ok(settled),
            _ => Err(mixed_up()),
        }
    }

    async fn cancel(&self, id: NotificationId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError> {
        let mut from = 0;
        let (mut all_now, mut all_in_flight) = (0, 0);
        loop {
            let Answer::Cancelled(cancelled, next) = self.write(Operation::Cancel(id, Asked { at, by }, from)).await?
            else {
                return Err(mixed_up());
            };
            let Cancelled::Cancelled { now, in_flight } = cancelled else { return Ok(cancelled) };
            (all_now, all_in_flight) = (all_now + now, all_in_flight + in_flight);
            match next {
                Some(next) => from = next,
                // Of many slices, each of which was taken by a provider.
                None if (all_now, all_in_flight) == (0, 0) => return Ok(Cancelled::Taken),
                None => return Ok(Cancelled::Cancelled { now: all_now, in_flight: all_in_flight }),
            }
        }
    }

    async fn cancel_delivery(&self, id: DeliveryId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError> {
        match self.write(Operation::CancelDelivery(id, Asked { at, by })).await? {
            Answer::Cancelled(cancelled, _) => Ok(cancelled),
            _ => Err(mixed_up()),
        }
    }

    async fn replay(&self, replays: Vec<Replay>, at: Timestamp, by: Actor) -> Result<Vec<Replayed>, StoreError> {
        match self.write(Operation::Replay(replays, Asked { at, by })).await? {
            Answer::Replayed(replayed) => Ok(replayed),
            _ => Err(mixed_up()),
        }
    }

    async fn purge(&self, ids: Vec<DeliveryId>, at: Timestamp, by: Actor) -> Result<u64, StoreError> {
        match self.write(Operation::Purge(ids, Asked { at, by })).await? {
            Answer::Purged(count) => Ok(count),
            _ => Err(mixed_up()),
        }
    }

    async fn query(
        &self,
        filter: NotificationFilter,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<NotificationPage, StoreError> {
        let mut page = self.read(move |db| query::notifications(db, &filter, before, limit, SCAN_MAX)).await?;
        page.notifications.iter_mut().for_each(|record| self.live.mark(&mut record.deliveries));
        Ok(page)
    }

    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, StoreError> {
        self.read(move |db| query::dead_letters(db, &filter, after, limit, SCAN_MAX)).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        match self.write(Operation::Sweep(sweep)).await? {
            Answer::Swept(swept) => Ok(swept),
            _ => Err(mixed_up()),
        }
    }

    async fn shrink(&self, shrink: Shrink) -> Result<Swept, StoreError> {
        match self.write(Operation::Shrink(shrink)).await? {
            Answer::Swept(swept) => Ok(swept),
            _ => Err(mixed_up()),
        }
    }

    async fn used_bytes(&self) -> Result<u64, StoreError> {
        self.read(read::used_bytes).await
    }

    async fn page(&self, lane: &Lane, after: Option<Position>, limit: usize) -> Result<Vec<Queued>, StoreError> {
        let lane = lane.clone();
        self.read(move |db| read::page(db, &lane, after, limit)).await
    }

    async fn lanes(&self) -> Result<Vec<LaneDepth>, StoreError> {
        self.read(read::lanes).await
    }

    async fn notification(&self, id: NotificationId) -> Result<Option<NotificationRecord>, StoreError> {
        let mut record = self.read(move |db| read::notification(db, id)).await?;
        record.iter_mut().for_each(|record| self.live.mark(&mut record.deliveries));
        Ok(record)
    }

    async fn counts(&self, id: NotificationId) -> Result<Option<crate::domain::StatusCounts>, StoreError> {
        self.read(move |db| read::siblings(db, id)?.map(|deliveries| read::counts(db, id, deliveries)).transpose())
            .await
    }

    async fn outbox(&self, after: EventNumber, limit: usize) -> Result<Vec<NumberedEvent>, StoreError> {
        self.read(move |db| read::outbox(db, after, limit)).await
    }

    async fn event_range(&self) -> Result<EventRange, StoreError> {
        let began_after = self.began_after;
        self.read(move |db| numbering::range(db, began_after)).await
    }

    async fn count(&self) -> Result<StatusCounts64, StoreError> {
        self.read(read::count).await
    }

    async fn keep_template(&self, source: TemplateSource) -> Result<(), StoreError> {
        self.write(Operation::KeepTemplate(source)).await.map(|_| ())
    }

    async fn template(&self, version: [u8; 32]) -> Result<Option<TemplateSource>, StoreError> {
        self.read(move |db| read::template(db, version)).await
    }

    async fn keep_plugins(
        &self,
        books: Vec<PluginBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        self.write(Operation::KeepPlugins(books, events, audit)).await.map(|_| ())
    }

    async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError> {
        self.write(Operation::Record(entries)).await.map(|_| ())
    }

    async fn audit(&self, filter: AuditFilter, before: Option<AuditId>, limit: usize) -> Result<AuditPage, StoreError> {
        self.read(move |db| audit::find(db, &filter, before, limit, SCAN_MAX)).await
    }

    async fn plugins(&self) -> Result<Vec<PluginBook>, StoreError> {
        self.read(read::plugins).await
    }

    async fn keep_channels(
        &self,
        books: Vec<ChannelBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError> {
        self.write(Operation::KeepChannels(books, events, audit)).await.map(|_| ())
    }

    async fn channels(&self) -> Result<Vec<ChannelBook>, StoreError> {
        self.read(read::channels).await
    }

    async fn keep_pin(&self, workers: Option<u32>, audit: AuditEntry) -> Result<(), StoreError> {
        self.write(Operation::KeepPin(workers, audit)).await.map(|_| ())
    }

    async fn pin(&self) -> Result<Option<u32>, StoreError> {
        self.read(pin::kept).await
    }

    async fn keep_callbacks(&self, change: CallbackChange) -> Result<(), StoreError> {
        self.write(Operation::KeepCallbacks(Box::new(change))).await.map(|_| ())
    }

    async fn callbacks(&self) -> Result<Vec<CallbackBook>, StoreError> {
        self.read(callbacks::books).await
    }

    async fn callback_urls(&self, ids: Vec<NotificationId>) -> Result<Vec<(NotificationId, CallbackUrl)>, StoreError> {
        self.read(move |db| callback_urls::called(db, &ids)).await
    }

    async fn owed_callbacks(
        &self,
        callback: &CallbackName,
        after: EventNumber,
        limit: usize,
    ) -> Result<Vec<OwedCallback>, StoreError> {
        let callback = callback.clone();
        self.read(move |db| callbacks::owed(db, &callback, after, limit)).await
    }

    async fn dead_callbacks(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadCallback>, StoreError> {
        let filter = filter.clone();
        self.read(move |db| callbacks::dead(db, &filter, after, limit)).await
    }

    async fn kv_get(&self, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, StoreError> {
        let (channel, key) = (channel.clone(), key.to_owned());
        self.read(move |db| kv::get(db, &channel, &key)).await
    }

    async fn kv_write(&self, write: KvWrite) -> Result<KvWritten, StoreError> {
        match self.write(Operation::Kv(write)).await? {
            Answer::Kv(written) => Ok(written),
            _ => Err(mixed_up()),
        }
    }

    async fn kv_keys(
        &self,
        channel: &ChannelName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let (channel, prefix, after) = (channel.clone(), prefix.to_owned(), after.map(str::to_owned));
        self.read(move |db| kv::keys(db, &channel, &prefix, after.as_deref(), limit)).await
    }

    fn stats(&self) -> StoreStats {
        *self.stats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn totals(&self) -> StoreTotals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write(Operation::Probe).await.map(|_| ())
    }

    async fn close(&self) {
        if let Some(readers) = &self.readers {
            readers.close().await;
        }
        // An error means that it is closed, or about to be.
        let _ = self.commands.send(Command::Close).await;
        let mut ended = self.ended.clone();
        while ended.changed().await.is_ok() {}
    }
}

#[cfg(test)]
mod tests;
