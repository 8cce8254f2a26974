//! Remembers how channels stand beyond this process: who paused which, how their breakers are, and which of their hosts
//! are left alone.
//!
//! *Flow:* at start the queue is told what is remembered; from then on each change of a breaker is written with its
//! event, and a pause before it takes effect.
//!
//! *Invariants:* the queue waits for nobody here: where the store refuses, changes are tried again and the channel is as
//! it is. Who changes a book holds the turn until it is durable, so no book is written over with an older one.
//!
//! *Not here:* what a breaker does (`domain`), who waits for it (`queue`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::dispatch::{HostChanged, Outlook};
use crate::domain::{
    Act, Actor, AuditEntry, AuditOutcome, BreakerChange, BreakerNote, BreakerReason, BreakerState, ChannelBook,
    ChannelChange, ChannelDeed, ChannelEvent, ChannelName, Event, EventBody, HostBook, HostChange, HostEvent, HostTag,
    Paused, Timestamp,
};
use crate::queue::{GateChange, QueueHandle};
use crate::store::{Store, StoreError};

/// The wait after the store refused. A full disk is not helped by asking often.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps the books of channels.
pub(super) struct Gatekeeper {
    store: Arc<dyn Store>,
    queue: QueueHandle,
    clock: Arc<dyn Clock>,
    turn: Mutex<()>,
    /// As they are in the store.
    books: SyncMutex<BTreeMap<ChannelName, ChannelBook>>,
    /// What is about to be in the store, too.
    notes: SyncMutex<BTreeMap<ChannelName, BreakerNote>>,
}

impl Gatekeeper {
    /// Reads what is remembered.
    pub(super) async fn open(
        store: Arc<dyn Store>,
        queue: QueueHandle,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, StoreError> {
        let books = store.channels().await?;
        let notes = books.iter().filter_map(|book| Some((book.channel.clone(), book.note.clone()?))).collect();
        let books = books.into_iter().map(|book| (book.channel.clone(), book)).collect();
        let (turn, notes) = (Mutex::new(()), SyncMutex::new(notes));
        Ok(Arc::new(Self { store, queue, clock, turn, books: SyncMutex::new(books), notes }))
    }

    /// Channels that something is held against: they have to have a gate.
    pub(super) fn held(&self) -> Vec<ChannelName> {
        let is_held = |book: &ChannelBook| book.paused.is_some() || book.breaker.state != BreakerState::Closed;
        self.books().values().filter(|book| is_held(book)).map(|book| book.channel.clone()).collect()
    }

    /// Tells the queue, which has gates for the channels by now. To be done before anything is taken from it: what was
    /// paused, or failed, is not called for a start.
    pub(super) fn restore(&self) {
        for ChannelBook { channel, paused, breaker, note: _, hosts: _ } in self.books().values() {
            self.queue.restore_gate(channel, paused.is_some(), *breaker);
        }
    }

    /// The hosts of each channel that are left alone. Dispatch is told of them before it starts.
    pub(super) fn hosts(&self) -> BTreeMap<ChannelName, Vec<HostBook>> {
        let books = self.books();
        let with = books.values().filter(|book| !book.hosts.is_empty());
        with.map(|book| (book.channel.clone(), book.hosts.clone())).collect()
    }

    /// Writes what changes, until it is stopped or the store is closed.
    pub(super) fn start(self: &Arc<Self>, outlook: Outlook) -> Following {
        let keeper = Arc::clone(self);
        let (going, mut seen) = watch::channel(());
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    // First what changed: whoever stops this wants it written.
                    biased;
                    gates = keeper.queue.gate_changes() => {
                        let changed = Changed { gates, hosts: Vec::new() };
                        if !keeper.keep_at_last(&changed, &outlook, &mut seen).await {
                            return;
                        }
                    },
                    hosts = outlook.host_changes() => {
                        let changed = Changed { gates: Vec::new(), hosts };
                        if !keeper.keep_at_last(&changed, &outlook, &mut seen).await {
                            return;
                        }
                    },
                    _ = seen.changed() => return,
                }
            }
        });
        Following { going, task }
    }

    /// Who paused a channel.
    pub(super) fn paused(&self, channel: &ChannelName) -> Option<Paused> {
        self.books().get(channel).and_then(|book| book.paused)
    }

    /// When a channel's breaker last changed, and why.
    pub(super) fn note(&self, channel: &ChannelName) -> Option<BreakerNote> {
        self.notes().get(channel).cloned()
    }

    /// Has a channel's deliveries wait, or go on. Tells whether they did not before. Durable before it takes effect.
    pub(super) async fn pause(&self, channel: &ChannelName, pause: bool, by: Actor) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        let (deed, change) = match pause {
            true => (ChannelDeed::Pause, ChannelChange::Paused),
            false => (ChannelDeed::Resume, ChannelChange::Resumed),
        };
        let mut book = self.book(channel);
        if book.paused.is_some() == pause {
            self.record(channel, deed, by, AuditOutcome::Refused).await?;
            return Ok(false);
        }
        let at = self.clock.now();
        book.paused = pause.then_some(Paused { at, by });
        let reason = Some(format!("by `{}`", by.as_str()));
        let event = Event { at, body: EventBody::Channel(ChannelEvent { channel: channel.clone(), change, reason }) };
        let entry = self.entry(channel, deed, by, AuditOutcome::Done);
        self.store.keep_channels(vec![book.clone()], vec![event], vec![entry]).await?;
        self.books().insert(channel.clone(), book);
        match pause {
            true => self.queue.pause(channel),
            false => self.queue.resume(channel),
        }
        Ok(true)
    }

    /// Closes a channel's breaker and forgets what its provider asked for. Tells whether there was anything to forget, what
    /// waits for destinations of their own included.
    pub(super) async fn reset(&self, channel: &ChannelName, by: Actor) -> Result<bool, StoreError> {
        let held = self.queue.gate(channel);
        let held = held.is_some_and(|gate| gate.breaker != BreakerState::Closed || gate.not_before.is_some());
        let held = held || self.queue.deferred(channel) > 0;
        // Also where nothing is held back: what was counted of it is forgotten, so it is never in vain.
        self.record(channel, ChannelDeed::Reset, by, AuditOutcome::Done).await?;
        self.queue.reset(channel);
        Ok(held)
    }

    pub(super) async fn record(
        &self,
        channel: &ChannelName,
        deed: ChannelDeed,
        by: Actor,
        outcome: AuditOutcome,
    ) -> Result<(), StoreError> {
        self.store.record(vec![self.entry(channel, deed, by, outcome)]).await
    }

    fn entry(&self, channel: &ChannelName, deed: ChannelDeed, by: Actor, outcome: AuditOutcome) -> AuditEntry {
        AuditEntry { at: self.clock.now(), by, act: Act::Channel { channel: channel.clone(), deed }, outcome }
    }

    /// Tries until it is done. Tells whether it is; if not, the store is closed, or refuses while this is stopped.
    async fn keep_at_last(&self, changed: &Changed, outlook: &Outlook, going: &mut watch::Receiver<()>) -> bool {
        for GateChange { channel, changed } in &changed.gates {
            self.note_change(channel, changed.at, changed.change, outlook);
            log(channel, changed.change);
        }
        for HostChanged { channel, host, change, at: _ } in &changed.hosts {
            log_host(channel, *host, *change);
        }
        loop {
            match self.keep(changed, outlook).await {
                Ok(()) => return true,
                Err(StoreError::Closed) => return false,
                Err(error) => {
                    tracing::warn!(error = %error, "How channels stand could not be kept; trying again.");
                    tokio::select! {
                        () = self.clock.wait_until(self.clock.now().after(AGAIN)) => {}
                        _ = going.changed() => return false,
                    }
                }
            }
        }
    }

    /// The call that opened it was told of before its slot came back, and with it the change.
    fn note_change(&self, channel: &ChannelName, at: Timestamp, change: BreakerChange, outlook: &Outlook) {
        let mut notes = self.notes();
        let error = match change.to {
            BreakerState::Closed => None,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } | BreakerState::Disabled { .. } => {
                let before = || notes.get(channel).and_then(|note| note.error.clone());
                outlook.record(channel).last_error.or_else(before)
            }
        };
        notes.insert(channel.clone(), BreakerNote { at, reason: change.reason, error });
    }

    async fn keep(&self, changed: &Changed, outlook: &Outlook) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let mut books = BTreeMap::new();
        for GateChange { channel, changed } in &changed.gates {
            let book = books.entry(channel.clone()).or_insert_with(|| self.book(channel));
            (book.breaker, book.note) = (changed.book, self.note(channel));
        }
        for HostChanged { channel, .. } in &changed.hosts {
            // As they are by now: what follows from here on is told next.
            books.entry(channel.clone()).or_insert_with(|| {
                let open = outlook.open_hosts(channel, ChannelBook::HOSTS_MAX).hosts.into_iter();
                let hosts = open.map(|open| HostBook { host: open.host, breaker: open.breaker, reason: open.reason });
                ChannelBook { hosts: hosts.collect(), ..self.book(channel) }
            });
        }
        let events = changed.gates.iter().map(channel_event).chain(changed.hosts.iter().map(host_event)).collect();
        self.store.keep_channels(books.values().cloned().collect(), events, Vec::new()).await?;
        self.books().extend(books);
        Ok(())
    }

    fn book(&self, channel: &ChannelName) -> ChannelBook {
        self.books().get(channel).cloned().unwrap_or_else(|| ChannelBook::new(channel.clone()))
    }

    fn books(&self) -> MutexGuard<'_, BTreeMap<ChannelName, ChannelBook>> {
        // Whole between any two accesses.
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn notes(&self) -> MutexGuard<'_, BTreeMap<ChannelName, BreakerNote>> {
        // The same.
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Breakers that changed: of channels, or of hosts that they call.
#[derive(Debug, Default)]
struct Changed {
    gates: Vec<GateChange>,
    hosts: Vec<HostChanged>,
}

fn channel_event(GateChange { channel, changed }: &GateChange) -> Event {
    let change = change_to(changed.change.to);
    let reason = Some(sentence(channel, changed.change.reason));
    let body = EventBody::Channel(ChannelEvent { channel: channel.clone(), change, reason });
    Event { at: changed.at, body }
}

fn host_event(HostChanged { channel, host, change, at }: &HostChanged) -> Event {
    let reason = Some(sentence(channel, change.reason));
    let change = HostChange::to(change.to);
    Event { at: *at, body: EventBody::Host(HostEvent { channel: channel.clone(), host: *host, change, reason }) }
}

/// The task; it ends with this, once it has written what changed before.
#[derive(Debug)]
pub(super) struct Following {
    going: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Following {
    /// Ends it, with everything written that the store takes.
    pub(super) async fn stop(self) {
        drop(self.going);
        // A panic in it was reported when it happened.
        let _ = self.task.await;
    }
}

const fn change_to(state: BreakerState) -> ChannelChange {
    match state {
        BreakerState::Closed => ChannelChange::Closed,
        BreakerState::Open { .. } => ChannelChange::Opened,
        BreakerState::HalfOpen { .. } => ChannelChange::HalfOpen,
        BreakerState::Disabled { .. } => ChannelChange::Disabled,
    }
}

/// Why a breaker changed, for people.
pub(super) fn sentence(channel: &ChannelName, reason: BreakerReason) -> String {
    let why = match reason {
        BreakerReason::FailureRate => "too large a share of its calls failed",
        BreakerReason::SlowRate => "too large a share of its calls was slow",
        BreakerReason::Consecutive => "too many of its calls failed in a row",
        BreakerReason::ProbeFailed => "a call that was let through to see failed, or was slow",
        BreakerReason::ProbesPassed => "the calls that were let through to see were good",
        BreakerReason::TimeUp => "its time was up: single calls are let through to see",
        BreakerReason::Reset => "an operator reset it",
        BreakerReason::TooLong => {
            return format!(
                "no call was good for too long; `campanile channels reset {channel}` lets it be called again"
            );
        }
    };
    why.to_owned()
}

fn log(channel: &ChannelName, change: BreakerChange) {
    let (state, reason) = (change.to.as_str(), sentence(channel, change.reason));
    match change.to {
        BreakerState::Closed => tracing::info!(%channel, state, reason, "A channel is called again."),
        BreakerState::HalfOpen { .. } => tracing::debug!(%channel, state, reason, "A channel is tried."),
        BreakerState::Open { .. } => tracing::warn!(%channel, state, reason, "A channel is left alone for a while."),
        BreakerState::Disabled { .. } => tracing::error!(%channel, state, reason, "A channel is not called any more."),
    }
}

/// By its tag: its name is a part of somebody's address.
fn log_host(channel: &ChannelName, host: HostTag, change: BreakerChange) {
    let (state, reason) = (change.to.as_str(), sentence(channel, change.reason));
    match change.to {
        BreakerState::Closed => tracing::info!(%channel, %host, state, reason, "A host is called again."),
        BreakerState::HalfOpen { .. } => tracing::debug!(%channel, %host, state, reason, "A host is tried."),
        BreakerState::Open { .. } => {
            tracing::info!(%channel, %host, state, reason, "A host is left alone for a while.");
        }
        BreakerState::Disabled { .. } => {
            tracing::warn!(%channel, %host, state, reason, "A host is not called any more.");
        }
    }
}

#[cfg(test)]
mod tests;
