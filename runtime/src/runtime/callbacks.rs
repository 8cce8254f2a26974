//! Callbacks, as operators see them: how they are doing, what was given up, and what can be done about it.
//!
//! *Invariants:* what was done is in the audit log, one entry for each callback. Nothing is called here: that is up to a
//! [`Caller`], which is asked for those that it knows.

mod figures;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use super::{ComponentHealth, ComponentState, Runtime};
use crate::clock::Clock;
use crate::domain::{
    Act, Actor, AuditEntry, AuditOutcome, CallbackBook, CallbackDeed, CallbackDisabled, CallbackName, DeadCallback,
    Timestamp,
};
use crate::store::{CallbackChange, DeadCallbackFilter, EventNumber, Store, StoreError};

pub use crate::callback::{ExecutorStatistics, FullCounts, KindStatistics, LatencyStatistics};
pub use figures::CallerStatistics;

/// Dead letters that are read and changed together.
const SLICE: usize = 1_000;

/// Events owed that are counted for one callback; it may be more.
const OWED_MAX: usize = 1_000;

/// Who calls callbacks in this process: those of the embedding program, or those of the configuration.
#[async_trait]
pub(super) trait Caller: Send + Sync + 'static {
    /// Whether it calls the one of this name.
    fn knows(&self, callback: &CallbackName) -> bool;

    /// Makes calls of one callback again that were given up, each with all of its retries before it. Whoever is asked
    /// takes them from the dead ones, and keeps `entry` where it does.
    async fn replay(&self, dead: Vec<DeadCallback>, entry: AuditEntry) -> Result<(), StoreError>;

    /// Calls one again whose receiver wanted to hear no more, and at once with what was to wait; keeps this book of it with
    /// `entry`. Answers whether there was anything to change.
    async fn enable(&self, book: CallbackBook, entry: AuditEntry) -> Result<bool, StoreError>;

    /// How one stands that is called by this process, where more is known than the store keeps.
    async fn call_state(&self, _: &CallbackName) -> Option<CallState> {
        None
    }

    /// How its callbacks are doing.
    fn statistics(&self, now: Timestamp) -> CallerStatistics;
}

/// How the calls of a callback go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallState {
    /// Events that it is still to hear of.
    pub owed: u64,
    /// It asked not to be called before.
    pub held_until: Option<Timestamp>,
    /// When the next call is to be made, if nothing else happens.
    pub next_call: Option<Timestamp>,
    /// Since when calls fail; none where the last one was heard.
    pub failing_since: Option<Timestamp>,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

/// Which dead letters of callbacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadCallbackChoice {
    /// These. One that is not there is passed over.
    Ids(Vec<u64>),
    /// Those that match.
    Matching(DeadCallbackFilter),
}

/// What came of a replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallbackReplay {
    /// Calls that are made again.
    pub replayed: u64,
    /// Calls of callbacks that nobody has registered or configured: they stay dead, and can be replayed when somebody has.
    pub unknown: u64,
    /// Calls of callbacks whose receiver wanted to hear no more: they stay dead until it is enabled again.
    pub disabled: u64,
    /// Calls about events that are not kept any more: they stay dead, since there is nothing to tell.
    pub gone: u64,
}

/// Some dead letters of callbacks, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadCallbackPage {
    /// They match.
    pub dead: Vec<DeadCallback>,
    /// Where to go on; none where there is nothing more.
    pub next: Option<u64>,
}

/// A callback with a durable name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackStanding {
    /// Which.
    pub name: CallbackName,
    /// Whether somebody calls it in this process.
    pub known: bool,
    /// Every event up to this is done with, or owed.
    pub cursor: EventNumber,
    /// Events behind it that it has not been through.
    pub lag: u64,
    /// Events that it is still to hear of; where nobody calls it in this process, up to 1,000.
    pub owed: u64,
    /// How its calls go; none where nobody makes any, or nothing is known of them.
    pub calls: Option<CallState>,
    /// Why it is called no longer, and since when.
    pub disabled: Option<CallbackDisabled>,
}

/// How callbacks are doing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbacksStatus {
    /// Of each who calls callbacks.
    pub statistics: Vec<CallerStatistics>,
    /// Those with a durable name, by name.
    pub callbacks: Vec<CallbackStanding>,
    /// Calls that were given up.
    pub dead_letters: u64,
    /// What works.
    pub components: Vec<ComponentHealth>,
}

/// What an operator asked for could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackOperationError {
    /// Nothing is remembered under this name.
    #[error("there is no callback `{name}` that anything is remembered of; see `campanile callbacks list`")]
    Unknown {
        /// The name.
        name: CallbackName,
    },
    /// It is called in this process: what is remembered of it is in use.
    #[error(
        "`{name}` is still called: take its `[[callbacks.webhook]]` out of the configuration and reload, or end its \
         registration, then ask again"
    )]
    InUse {
        /// The name.
        name: CallbackName,
    },
    /// The store cannot be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Where callbacks are looked after.
pub(super) struct CallbackDesk {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    callers: Vec<Arc<dyn Caller>>,
}

impl CallbackDesk {
    /// `callers` are asked in this order.
    pub(super) fn new(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>, callers: Vec<Arc<dyn Caller>>) -> Self {
        Self { store: Arc::clone(store), clock: Arc::clone(clock), callers }
    }

    fn caller(&self, callback: &CallbackName) -> Option<&Arc<dyn Caller>> {
        self.callers.iter().find(|caller| caller.knows(callback))
    }

    async fn status(&self) -> Result<CallbacksStatus, StoreError> {
        let callbacks = self.standings().await?;
        let now = self.clock.now();
        Ok(CallbacksStatus {
            statistics: self.callers.iter().map(|caller| caller.statistics(now)).collect(),
            components: callbacks.iter().map(component).collect(),
            dead_letters: self.store.totals().dead_callbacks,
            callbacks,
        })
    }

    async fn standings(&self) -> Result<Vec<CallbackStanding>, StoreError> {
        let newest = self.store.totals().newest_event;
        let mut standings = Vec::new();
        for CallbackBook { name, cursor, disabled } in self.store.callbacks().await? {
            let caller = self.caller(&name);
            let calls = match caller {
                Some(caller) => caller.call_state(&name).await,
                None => None,
            };
            let owed = match &calls {
                Some(calls) => calls.owed,
                None => self.store.owed_callbacks(&name, 0, OWED_MAX).await?.len() as u64,
            };
            let (known, lag) = (caller.is_some(), newest.saturating_sub(cursor));
            standings.push(CallbackStanding { name, known, cursor, lag, owed, calls, disabled });
        }
        Ok(standings)
    }

    async fn page(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<DeadCallbackPage, StoreError> {
        let limit = limit.clamp(1, SLICE);
        let mut dead = self.store.dead_callbacks(filter, after, limit + 1).await?;
        let is_more = dead.len() > limit;
        dead.truncate(limit);
        let next = dead.last().map(|last| last.id).filter(|_| is_more);
        Ok(DeadCallbackPage { dead, next })
    }

    async fn replay(&self, choice: DeadCallbackChoice, by: Actor) -> Result<CallbackReplay, StoreError> {
        let mut report = CallbackReplay::default();
        let books = self.store.callbacks().await?;
        let is_disabled = |name: &CallbackName| books.iter().any(|book| book.name == *name && book.disabled.is_some());
        let oldest = self.store.event_range().await?.oldest;
        let mut chosen = Chosen::new(self, choice);
        while let Some(slice) = chosen.next().await? {
            for (callback, dead) in by_callback(slice) {
                let (kept, gone): (Vec<_>, Vec<_>) = dead.into_iter().partition(|dead| dead.event >= oldest);
                report.gone += gone.len() as u64;
                let calls = kept.len() as u64;
                let refused = match self.caller(&callback) {
                    Some(caller) if !is_disabled(&callback) => {
                        if calls > 0 {
                            let entry = self.entry(callback, CallbackDeed::Replay, calls, by, AuditOutcome::Done);
                            caller.replay(kept, entry).await?;
                            report.replayed += calls;
                        }
                        continue;
                    }
                    Some(_) => &mut report.disabled,
                    None => &mut report.unknown,
                };
                *refused += calls;
                let entry = self.entry(callback, CallbackDeed::Replay, calls, by, AuditOutcome::Refused);
                self.store.record(vec![entry]).await?;
            }
        }
        Ok(report)
    }

    async fn purge(&self, choice: DeadCallbackChoice, by: Actor) -> Result<u64, StoreError> {
        let mut purged = 0;
        let mut chosen = Chosen::new(self, choice);
        while let Some(slice) = chosen.next().await? {
            let revived = slice.iter().map(|dead| dead.id).collect();
            purged += slice.len() as u64;
            let entry = |(callback, dead): (CallbackName, Vec<DeadCallback>)| {
                self.entry(callback, CallbackDeed::Purge, dead.len() as u64, by, AuditOutcome::Done)
            };
            let audit = by_callback(slice).into_iter().map(entry).collect();
            self.store.keep_callbacks(CallbackChange { revived, audit, ..CallbackChange::default() }).await?;
        }
        Ok(purged)
    }

    async fn enable(&self, name: &CallbackName, by: Actor) -> Result<bool, CallbackOperationError> {
        let books = self.store.callbacks().await?;
        let book = books.into_iter().find(|book| book.name == *name);
        let book = book.ok_or_else(|| CallbackOperationError::Unknown { name: name.clone() })?;
        let entry = |outcome| self.entry(name.clone(), CallbackDeed::Enable, 0, by, outcome);
        let was_disabled = book.disabled.is_some();
        let waits = |calls: CallState| calls.owed > 0 || calls.held_until.is_some();
        let caller = self.caller(name);
        let calls = match caller {
            Some(caller) => caller.call_state(name).await,
            None => None,
        };
        if !was_disabled && !calls.is_some_and(waits) {
            self.store.record(vec![entry(AuditOutcome::Refused)]).await?;
            return Ok(false);
        }
        let (book, entry) = (CallbackBook { disabled: None, ..book }, entry(AuditOutcome::Done));
        match caller {
            Some(caller) => Ok(caller.enable(book, entry).await?),
            // Whoever calls it later finds the book so.
            None => {
                let change = CallbackChange { books: vec![book], audit: vec![entry], ..CallbackChange::default() };
                self.store.keep_callbacks(change).await?;
                Ok(true)
            }
        }
    }

    async fn forget(&self, name: &CallbackName, by: Actor) -> Result<u64, CallbackOperationError> {
        let entry = |calls, outcome| self.entry(name.clone(), CallbackDeed::Forget, calls, by, outcome);
        if self.caller(name).is_some() {
            self.store.record(vec![entry(0, AuditOutcome::Refused)]).await?;
            return Err(CallbackOperationError::InUse { name: name.clone() });
        }
        let is_remembered = self.store.callbacks().await?.iter().any(|book| book.name == *name);
        let dead = DeadCallbackFilter { callback: Some(name.clone()), ..DeadCallbackFilter::default() };
        let purged = self.purge(DeadCallbackChoice::Matching(dead), by).await?;
        if !is_remembered && purged == 0 {
            return Err(CallbackOperationError::Unknown { name: name.clone() });
        }
        let (forgotten, audit) = (vec![name.clone()], vec![entry(purged, AuditOutcome::Done)]);
        self.store.keep_callbacks(CallbackChange { forgotten, audit, ..CallbackChange::default() }).await?;
        Ok(purged)
    }

    fn entry(
        &self,
        callback: CallbackName,
        deed: CallbackDeed,
        calls: u64,
        by: Actor,
        outcome: AuditOutcome,
    ) -> AuditEntry {
        AuditEntry { at: self.clock.now(), by, act: Act::Callback { callback, deed, calls }, outcome }
    }
}

fn by_callback(dead: Vec<DeadCallback>) -> BTreeMap<CallbackName, Vec<DeadCallback>> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    for one in dead {
        all.entry(one.callback.clone()).or_default().push(one);
    }
    all
}

/// One that hears nothing is told of; that somebody is behind is no fault of this program.
fn component(standing: &CallbackStanding) -> ComponentHealth {
    let CallbackStanding { name, known, lag, owed, calls, disabled, .. } = standing;
    let last_error = calls.as_ref().and_then(|calls| calls.last_error.as_ref());
    let detail = match disabled {
        Some(CallbackDisabled { at, reason }) => Some(format!(
            "it is called no longer since {at}: {reason}; `campanile callbacks enable {name}` has it called again"
        )),
        None if !*known => {
            Some(format!("nobody calls it in this process; `campanile callbacks forget {name}` forgets it"))
        }
        None if let Some(error) = last_error => {
            Some(format!("waits to call again for {}; the last call: {error}", events(*owed)))
        }
        None if *owed > 0 => Some(format!("waits to call again for {}", events(*owed))),
        None if *lag > 0 => Some(format!("{} behind the newest", events(*lag))),
        None => None,
    };
    let state = ComponentState::works(disabled.is_none());
    ComponentHealth { name: format!("callback:{name}"), state, essential: false, detail }
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".to_owned() } else { format!("{count} events") }
}

/// Dead letters that were chosen, slice by slice, while those of the slices before may be gone.
struct Chosen<'d> {
    desk: &'d CallbackDesk,
    choice: DeadCallbackChoice,
    after: u64,
    /// Behind this are those that were given up since: they must not make it endless.
    until: Timestamp,
    over: bool,
}

impl<'d> Chosen<'d> {
    fn new(desk: &'d CallbackDesk, choice: DeadCallbackChoice) -> Self {
        Self { desk, choice, after: 0, until: desk.clock.now(), over: false }
    }

    async fn next(&mut self) -> Result<Option<Vec<DeadCallback>>, StoreError> {
        if self.over {
            return Ok(None);
        }
        let mut slice = match &mut self.choice {
            DeadCallbackChoice::Matching(filter) => {
                let page = self.desk.page(filter, self.after, SLICE).await?;
                (self.after, self.over) = (page.next.unwrap_or(self.after), page.next.is_none());
                page.dead
            }
            DeadCallbackChoice::Ids(ids) => {
                self.over = true;
                ids.sort_unstable();
                ids.dedup();
                let mut found = Vec::new();
                for id in ids.iter().filter(|id| **id > 0) {
                    let next = self.desk.store.dead_callbacks(&DeadCallbackFilter::default(), id - 1, 1).await?;
                    found.extend(next.into_iter().filter(|dead| dead.id == *id));
                }
                found
            }
        };
        slice.retain(|dead| dead.at <= self.until);
        Ok(Some(slice))
    }
}

impl Runtime {
    /// How callbacks are doing: what is counted, how far those with a durable name have come, and what works.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn callbacks_status(&self) -> Result<CallbacksStatus, StoreError> {
        self.parts.callback_desk.status().await
    }

    /// Up to `limit` calls of callbacks (at most 1,000) that were given up, behind the id `after`, the oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn dead_callbacks(
        &self,
        filter: &DeadCallbackFilter,
        after: u64,
        limit: usize,
    ) -> Result<DeadCallbackPage, StoreError> {
        self.parts.callback_desk.page(filter, after, limit).await
    }

    /// Makes calls again that were given up. Those of callbacks that nobody has registered stay dead.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed: what was replayed before stays so.
    pub async fn replay_callbacks(&self, choice: DeadCallbackChoice) -> Result<CallbackReplay, StoreError> {
        self.parts.callback_desk.replay(choice, self.by).await
    }

    /// Puts calls away that were given up, and answers how many: they cannot be replayed any more.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read or changed: what was put away before stays so.
    pub async fn purge_callbacks(&self, choice: DeadCallbackChoice) -> Result<u64, StoreError> {
        self.parts.callback_desk.purge(choice, self.by).await
    }

    /// Has a callback called again whose receiver wanted to hear no more, and at once with what waits for its next call.
    /// Answers whether there was anything to change.
    ///
    /// # Errors
    ///
    /// [`CallbackOperationError`] where nothing is remembered under that name, or the store cannot be changed.
    pub async fn enable_callback(&self, name: &CallbackName) -> Result<bool, CallbackOperationError> {
        self.parts.callback_desk.enable(name, self.by).await
    }

    /// Forgets a callback with a durable name that nobody calls any more: how far it has come, what it is still to hear
    /// of, and its calls that were given up, whose number is answered. Registered or configured again, it is a new one.
    ///
    /// # Errors
    ///
    /// [`CallbackOperationError`] where nothing is remembered under that name, it is called in this process, or the store
    /// cannot be changed.
    pub async fn forget_callback(&self, name: &CallbackName) -> Result<u64, CallbackOperationError> {
        self.parts.callback_desk.forget(name, self.by).await
    }

    /// What works of callbacks, and what does not.
    pub(super) async fn callback_components(&self) -> Vec<ComponentHealth> {
        // That the store cannot be read is told by its own component.
        self.parts.callback_desk.standings().await.unwrap_or_default().iter().map(component).collect()
    }
}

#[cfg(test)]
mod tests;
