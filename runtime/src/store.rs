//! The only door to durable state.
//!
//! *Flow:* intake `accept`s, a worker `claim`s what the queue says is due, calls the channel and `settle`s; the queue
//! reads `page`s of what does not fit in memory; readers use `notification` and `outbox`.
//!
//! *Invariants:* each method is one transaction and returns after its commit is durable at the configured level. An
//! engine keeps, it never decides: states, due times and events arrive computed. Events are written in the transaction
//! of their cause.
//!
//! *Not here:* what a state means (`domain`), when something is due next (`domain::settle`).

mod audit;
mod callback;
mod failure;
mod find;
mod outbox;
mod record;
mod reroute;
pub mod sqlite;
mod sweep;
mod totals;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod model;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    Actor, Attempt, AuditEntry, AuditId, CallbackBook, CallbackName, CallbackUrl, ChannelBook, ChannelName,
    DeadCallback, DeliveryId, DeliveryState, Event, Flow, HeldBy, KvEntry, KvWrite, KvWritten, Lane, Notification,
    NotificationId, OwedCallback, PluginBook, Position, Queued, Recipient, StatusCounts, Timestamp, Waiting,
};

pub use crate::config::Durability;
pub use audit::{AuditFilter, AuditPage};
pub use callback::{CallbackChange, DeadCallbackFilter};
pub use failure::StoreError;
pub use find::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, NotificationFilter, NotificationPage, Replay, Replayed, SCAN_MAX,
};
pub use outbox::{EventEpoch, EventNumber, EventRange, NumberedEvent};
pub use record::{DeliveryRecord, Flight, NotificationRecord};
pub use reroute::Reroute;

pub use sweep::{Shrink, Sweep, Swept};
pub use totals::{StatusCounts64, StoreStats, StoreTotals};

/// Deliveries that one transaction makes of a notification. What has more is accepted with its targets, and its
/// deliveries are made a slice at a time.
pub const DELIVERIES_SLICE: usize = 1_000;

/// Deliveries that one notification may have.
pub const DELIVERIES_MAX: usize = 1_000_000;

/// A notification that passed every check, with the deliveries that `route` made of it.
#[derive(Clone, Debug)]
pub struct Planned {
    /// The notification.
    pub notification: Arc<Notification>,
    /// Its deliveries; the place in this list is the index in the id. 1 to [`DELIVERIES_MAX`]. Over
    /// [`DELIVERIES_SLICE`] they are made later, by [`Store::expand`].
    pub deliveries: Vec<PlannedDelivery>,
    /// Places of recipients whom no channel reaches, ascending. Kept with the key, so that its answer can be given again.
    pub skipped: Vec<usize>,
    /// The caller's key: with it, this is accepted once.
    pub idempotency: Option<IdempotencyKey>,
    /// Who asked for it.
    pub by: Actor,
    /// Channels of it that are held, and by what: each delivery made at once through one of them is told to be held. Empty
    /// for what is scheduled: it does not wait for its channel.
    pub held: Vec<(ChannelName, HeldBy)>,
    /// Where what happens to it is told.
    pub callback_url: Option<CallbackUrl>,
}

impl Planned {
    /// One without keys, of the embedder.
    #[must_use]
    pub const fn new(notification: Arc<Notification>, deliveries: Vec<PlannedDelivery>) -> Self {
        Self {
            notification,
            deliveries,
            skipped: Vec::new(),
            idempotency: None,
            by: Actor::Embedder,
            held: Vec::new(),
            callback_url: None,
        }
    }
}

/// A key that stands for something that is to happen once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceKey {
    /// The key and what it is about, hashed.
    pub hash: [u8; 16],
    /// A use before this does not count.
    pub since: Timestamp,
}

/// A caller's idempotency key, with what it is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The key.
    pub key: OnceKey,
    /// SHA-256 of what was submitted with it.
    pub digest: [u8; 32],
}

/// What a key was first used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstUse {
    /// SHA-256 of what was submitted.
    pub digest: [u8; 32],
    /// What it became.
    pub notification: NotificationId,
    /// Deliveries that were not made then.
    pub deduplicated: Vec<Deduplicated>,
    /// [`Planned::skipped`] of then.
    pub skipped: Vec<usize>,
}

/// A delivery that was not made, because another one with the same dedupe key was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deduplicated {
    /// Its place among the planned deliveries. No delivery of this notification has this index.
    pub index: u32,
    /// The delivery that was made.
    pub first: DeliveryId,
}

/// What became of one that was to be accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is kept.
    New {
        /// Deliveries of it that were not made.
        deduplicated: Vec<Deduplicated>,
    },
    /// Its idempotency key was used before: nothing of it is kept.
    Known(FirstUse),
}

/// One delivery to be.
#[derive(Clone, Debug)]
pub struct PlannedDelivery {
    /// Through which channel.
    pub channel: ChannelName,
    /// To whom.
    pub recipient: Recipient,
    /// Not before this.
    pub due: Timestamp,
    /// Whose it is, for the turns of the queue. Those of more than [`DELIVERIES_SLICE`] are the notification's own.
    pub flow: Flow,
    /// Dedupe key, channel and address in one: this delivery is not made where it was used before.
    pub dedupe: Option<OnceKey>,
}

impl Claim {
    /// Where it waits, between two attempts.
    #[must_use]
    pub fn lane(&self) -> Lane {
        Lane { priority: self.notification.priority, channel: self.channel.clone(), flow: self.flow }
    }
}

impl PlannedDelivery {
    /// One of the shared flow that is made whatever was made before.
    #[must_use]
    pub const fn new(channel: ChannelName, recipient: Recipient, due: Timestamp) -> Self {
        Self { channel, recipient, due, flow: Flow::SHARED, dedupe: None }
    }
}

/// The right to call a channel for one delivery, once. Claims are numbered; only the newest of a delivery can settle.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Greater than every claim before, in this process.
    pub number: u64,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// What was used up so far.
    pub progress: Waiting,
    /// Through which channel.
    pub channel: ChannelName,
    /// Whose it is.
    pub flow: Flow,
    /// To whom.
    pub recipient: Arc<Recipient>,
    /// What to tell.
    pub notification: Arc<Notification>,
    /// How often the process died while it was in flight, as far as that could be known.
    pub crashes: u32,
}

/// How an attempt ended and what comes next, to be written together.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// [`Claim::number`].
    pub claim: u64,
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The attempt's row; none where the delivery ends without a call, as when it expired, and where a provider has no
    /// final word yet on what it took.
    pub attempt: Option<Attempt>,
    /// The next state, by [`domain::settle`](crate::domain::settle).
    pub state: DeliveryState,
    /// Where it goes on through another channel; only with a state that waits. Boxed: hardly any settlement has one, and
    /// every one is moved from hand to hand up to the writer.
    pub reroute: Option<Box<Reroute>>,
    /// When.
    pub at: Timestamp,
}

/// What became of a settlement.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Written. The state is the one asked for, or `Cancelled` where the delivery was cancelled in flight and this
    /// attempt did not send it. What its provider took is as good as sent.
    Applied(DeliveryState),
    /// The claim is not the newest of its delivery, or the delivery is final: counted, and nothing written.
    Late,
}

/// What `cancel` found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancelled {
    /// No such notification, or no such delivery.
    Unknown,
    /// All that was to be cancelled was final before.
    AlreadyFinal,
    /// What is not final was taken by its provider: it cannot be withdrawn, and goes on to its final word.
    Taken,
    /// `now` deliveries are cancelled; `in_flight` will be, unless the attempt under way sends them. What a provider
    /// took is in neither.
    Cancelled {
        /// Cancelled in this transaction.
        now: u32,
        /// Will be cancelled when their attempt ends without being sent.
        in_flight: u32,
    },
}

/// How many deliveries wait in a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneDepth {
    /// Which lane.
    pub lane: Lane,
    /// Deliveries that are not final.
    pub waiting: u64,
}

/// A template's source, kept as long as a notification that is pinned to it waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateSource {
    /// SHA-256 of the source.
    pub version: [u8; 32],
    /// The engine that renders it: a plugin's name.
    pub engine: String,
    /// Parts, such as `title`, `text` and `html`, with their source. A name that starts with `_` is an include: other
    /// parts may use it, it is not rendered by itself.
    pub parts: Vec<(String, String)>,
}

/// What one commit made visible.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    /// Deliveries accepted in it, for the queue.
    pub accepted: Vec<Queued>,
    /// Deliveries that were cancelled in it while they waited, where they stood in the queue.
    pub withdrawn: Vec<Queued>,
    /// Events in it, numbered.
    pub events: Vec<NumberedEvent>,
    /// Commands that shared it.
    pub commands: usize,
    /// How long the commit itself took, the sync to the disk included.
    pub took: Duration,
}

/// Is told of every commit once it is durable, before its callers are, on the writer's own thread. It must be quick
/// and must not block: it holds up everybody.
pub trait CommitListener: Send + Sync + 'static {
    /// `committed` is durable.
    fn committed(&self, committed: Committed);
}

/// The only door to durable state. See the top of this file for what holds for every method.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Keeps notifications with their deliveries and events: all or nothing. One answer for each, in order.
    async fn accept(&self, planned: Vec<Planned>) -> Result<Vec<Accepted>, StoreError>;

    /// The first notification behind `after` that has deliveries to be made.
    async fn expanding(&self, after: NotificationId) -> Result<Option<NotificationId>, StoreError>;

    /// Makes the next [`DELIVERIES_SLICE`] deliveries of a notification. Answers whether there are more to be made.
    async fn expand(&self, id: NotificationId, at: Timestamp) -> Result<bool, StoreError>;

    /// Ends about `limit` deliveries that wait and whose notifications have expired at `now`, the first to expire first.
    /// What is claimed ends by its settlement, and what a provider took goes on to its final word. Answers how many
    /// ended; [`StoreTotals::next_expiry`] says when to come again.
    async fn expire(&self, now: Timestamp, limit: usize) -> Result<u32, StoreError>;

    /// Tells how far notifications have come of which more has ended since that was told, a second ago or earlier.
    /// [`StoreTotals::next_progress`] says when to come again.
    async fn tell_progress(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Up to `limit` deliveries of a notification that are made, from index `from` on.
    async fn deliveries(&self, id: NotificationId, from: u32, limit: usize) -> Result<Vec<DeliveryRecord>, StoreError>;

    /// What an idempotency key was first used for, if it was.
    async fn first_use(&self, key: OnceKey) -> Result<Option<FirstUse>, StoreError>;

    /// Claims those of `ids` that wait, are due at `now` and are not claimed. The rest is left out of the answer.
    async fn claim(&self, ids: &[DeliveryId], now: Timestamp) -> Result<Vec<Claim>, StoreError>;

    /// Gives up claims without an attempt: the deliveries wait as before.
    async fn release(&self, claims: &[u64]) -> Result<(), StoreError>;

    /// Writes attempts, next states and events together. One answer for each, in order.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Settled>, StoreError>;

    /// Cancels what has not left.
    async fn cancel(&self, id: NotificationId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError>;

    /// Cancels one delivery if it has not left. Its siblings go on.
    async fn cancel_delivery(&self, id: DeliveryId, at: Timestamp, by: Actor) -> Result<Cancelled, StoreError>;

    /// Starts a new run of deliveries that failed: each waits for its due time, with its attempts behind it and all of its
    /// retries before it. One answer for each, in order. What is being cancelled counts as not failed.
    async fn replay(&self, replays: Vec<Replay>, at: Timestamp, by: Actor) -> Result<Vec<Replayed>, StoreError>;

    /// Puts dead letters away and answers how many there were. Their deliveries stay failed.
    async fn purge(&self, ids: Vec<DeliveryId>, at: Timestamp, by: Actor) -> Result<u64, StoreError>;

    /// Up to `limit` notifications that match, older than `before`, the newest first. A page that has looked at
    /// [`SCAN_MAX`] rows ends there, perhaps with less.
    async fn query(
        &self,
        filter: NotificationFilter,
        before: Option<NotificationId>,
        limit: usize,
    ) -> Result<NotificationPage, StoreError>;

    /// Up to `limit` dead letters that match, behind `after`, those of the oldest notifications first. A page that has
    /// looked at [`SCAN_MAX`] rows ends there, perhaps with less.
    async fn dead_letters(
        &self,
        filter: DeadLetterFilter,
        after: Option<DeliveryId>,
        limit: usize,
    ) -> Result<DeadLetterPage, StoreError>;

    /// Keeps what was done elsewhere in the audit log. What changes the store is kept there with its change.
    async fn record(&self, entries: Vec<AuditEntry>) -> Result<(), StoreError>;

    /// Up to `limit` entries of the audit log that match, before `before`, the newest first. A page that has looked at
    /// [`SCAN_MAX`] entries ends there, perhaps with less.
    async fn audit(&self, filter: AuditFilter, before: Option<AuditId>, limit: usize) -> Result<AuditPage, StoreError>;

    /// Clears up one slice of what is old enough.
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    /// Clears up one slice of what is too much.
    async fn shrink(&self, shrink: Shrink) -> Result<Swept, StoreError>;

    /// What is in use of the database, in bytes: pages that are free do not count.
    async fn used_bytes(&self) -> Result<u64, StoreError>;

    /// Up to `limit` deliveries of a lane that are not final, in order, behind `after`.
    async fn page(&self, lane: &Lane, after: Option<Position>, limit: usize) -> Result<Vec<Queued>, StoreError>;

    /// Every lane in which something waits.
    async fn lanes(&self) -> Result<Vec<LaneDepth>, StoreError>;

    /// One notification with its deliveries and their attempts.
    async fn notification(&self, id: NotificationId) -> Result<Option<NotificationRecord>, StoreError>;

    /// A notification's deliveries per status, for less than its record costs.
    async fn counts(&self, id: NotificationId) -> Result<Option<StatusCounts>, StoreError> {
        Ok(self.notification(id).await?.map(|record| record.counts))
    }

    /// Up to `limit` events behind `after`, in order. 0 is before the first.
    async fn outbox(&self, after: EventNumber, limit: usize) -> Result<Vec<NumberedEvent>, StoreError>;

    /// Which events there are.
    async fn event_range(&self) -> Result<EventRange, StoreError>;

    /// Deliveries per status, counted from the rows.
    async fn count(&self) -> Result<StatusCounts64, StoreError>;

    /// Keeps a template's source; nothing happens if it is kept already.
    async fn keep_template(&self, source: TemplateSource) -> Result<(), StoreError>;

    /// The source with this SHA-256.
    async fn template(&self, version: [u8; 32]) -> Result<Option<TemplateSource>, StoreError>;

    /// Keeps what is remembered of plugins, each book in place of the one before it, and tells the events, which may be
    /// about others. `audit` says who did what of it.
    async fn keep_plugins(
        &self,
        books: Vec<PluginBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError>;

    /// Tells events that no other change of the store is the cause of.
    async fn tell(&self, events: Vec<Event>) -> Result<(), StoreError> {
        self.keep_plugins(Vec::new(), events, Vec::new()).await
    }

    /// What is remembered of every plugin, by name.
    async fn plugins(&self) -> Result<Vec<PluginBook>, StoreError>;

    /// Keeps what is remembered of channels, each book in place of the one before it, and tells the events, which may be
    /// about others. `audit` says who did what of it.
    async fn keep_channels(
        &self,
        books: Vec<ChannelBook>,
        events: Vec<Event>,
        audit: Vec<AuditEntry>,
    ) -> Result<(), StoreError>;

    /// What is remembered of every channel, also of one that is not configured any more, by name.
    async fn channels(&self) -> Result<Vec<ChannelBook>, StoreError>;

    /// Keeps how many workers somebody has set by hand, in place of what was kept before; none where the pool follows the
    /// load. `audit` says who did.
    async fn keep_pin(&self, workers: Option<u32>, audit: AuditEntry) -> Result<(), StoreError>;

    /// How many workers somebody has set by hand.
    async fn pin(&self) -> Result<Option<u32>, StoreError>;

    /// Changes what is remembered of callbacks, in one transaction.
    async fn keep_callbacks(&self, change: CallbackChange) -> Result<(), StoreError>;

    /// What is remembered of every callback, by name.
    async fn callbacks(&self) -> Result<Vec<CallbackBook>, StoreError>;

    /// Those of `ids` that have a URL to be called, and whose receiver has not ended that ([`CallbackChange::ended`]).
    async fn callback_urls(&self, ids: Vec<NotificationId>) -> Result<Vec<(NotificationId, CallbackUrl)>, StoreError>;

    /// Up to `limit` events that a callback owes, behind the event `after`, by number.
    async fn owed_callbacks(
        &self,
        callback: &CallbackName,
        after: EventNumber,
        limit: usize,
    ) -> Result<Vec<OwedCallback>, StoreError>;

    /// Up to `limit` calls that were given up, behind the id `after`, by id.
    async fn dead_callbacks(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<Vec<DeadCallback>, StoreError>;

    /// The value that a channel keeps under `key`.
    async fn kv_get(&self, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, StoreError>;

    /// Changes what a channel keeps, unless its condition does not hold or its quota forbids it; both are answers.
    async fn kv_write(&self, write: KvWrite) -> Result<KvWritten, StoreError>;

    /// Up to `limit` keys of a channel that begin with `prefix`, behind `after`, in the order of their bytes.
    async fn kv_keys(
        &self,
        channel: &ChannelName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, StoreError>;

    /// Totals since the store was opened.
    fn stats(&self) -> StoreStats;

    /// What is there, without counting it.
    fn totals(&self) -> StoreTotals;

    /// Writes something that changes nothing, to learn whether the disk takes it.
    async fn probe(&self) -> Result<(), StoreError>;

    /// Commits what was handed over, then refuses the rest.
    async fn close(&self);
}
