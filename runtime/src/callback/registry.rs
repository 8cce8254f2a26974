//! Which callbacks there are, and whom an event concerns.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::registration::{CallbackError, CallbackId, CallbackOptions};
use super::target::{Occasion, Target};
use crate::domain::{CallbackBook, CallbackKind, CallbackName, EventBody, NotificationId};
use crate::store::EventNumber;

/// Callbacks that may be registered: those for all notifications and those for one together.
pub(super) const CALLBACKS_MAX: usize = 100_000;

/// One that is registered.
pub(super) struct Callback {
    pub(super) id: CallbackId,
    pub(super) name: CallbackName,
    pub(super) kind: CallbackKind,
    pub(super) notification: Option<NotificationId>,
    pub(super) target: Arc<dyn Target>,
    pub(super) options: ArcSwap<CallbackOptions>,
    /// Events up to this happened before it was there.
    pub(super) from: EventNumber,
    /// Of one with a durable name: how far it has come.
    pub(super) place: Option<Place>,
    pub(super) early: Early,
    is_removed: AtomicBool,
}

impl Callback {
    pub(super) fn new(
        id: CallbackId,
        name: CallbackName,
        kind: CallbackKind,
        target: Arc<dyn Target>,
        options: CallbackOptions,
    ) -> Self {
        Self {
            id,
            name,
            kind,
            notification: None,
            target,
            options: ArcSwap::from_pointee(options),
            from: 0,
            place: None,
            early: Early::default(),
            is_removed: AtomicBool::new(false),
        }
    }

    /// Nobody wants it to be called any more.
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed.load(Ordering::Acquire)
    }

    pub(super) fn remove(&self) {
        self.is_removed.store(true, Ordering::Release);
    }

    pub(super) fn priority(&self) -> i32 {
        self.options.load().priority
    }
}

/// What became of this event for a callback of this kind, other than progress.
pub(super) const fn occasion_of(body: &EventBody) -> Option<(CallbackKind, Occasion)> {
    match body {
        EventBody::DeliverySent { .. } => Some((CallbackKind::Completion, Occasion::Sent)),
        EventBody::DeliveryFailed { .. } => Some((CallbackKind::Error, Occasion::Failed)),
        // Whatever else happens is no delivery at its end.
        _ => None,
    }
}

/// How far a callback with a durable name has come.
pub(super) struct Place {
    /// As it was read.
    pub(super) book: CallbackBook,
    state: Mutex<PlaceState>,
    /// Whether its book is to be written.
    pub(super) is_dirty: AtomicBool,
    pub(super) room: Notify,
}

struct PlaceState {
    /// Every event up to this was looked at.
    seen: EventNumber,
    /// What is still to be called for. What it is as a cursor is the one before the first of these.
    under_way: BTreeSet<EventNumber>,
}

impl Place {
    /// Events of one callback that are under way at the same time: what is behind them waits in the outbox.
    pub(super) const UNDER_WAY_MAX: usize = 32;

    pub(super) fn new(book: CallbackBook) -> Self {
        let state = Mutex::new(PlaceState { seen: book.cursor, under_way: BTreeSet::new() });
        Self { book, state, is_dirty: AtomicBool::new(false), room: Notify::new() }
    }

    /// Every event up to this is done with.
    pub(super) fn cursor(&self) -> EventNumber {
        let state = self.lock();
        state.under_way.first().map_or(state.seen, |first| first.saturating_sub(1))
    }

    pub(super) fn seen(&self) -> EventNumber {
        self.lock().seen
    }

    /// Looks at an event that concerns the callback. False where too much is under way.
    pub(super) fn begin(&self, number: EventNumber) -> bool {
        let mut state = self.lock();
        if state.under_way.len() >= Self::UNDER_WAY_MAX {
            return false;
        }
        state.under_way.insert(number);
        state.seen = state.seen.max(number);
        true
    }

    /// Looks at an event that does not concern it.
    pub(super) fn pass(&self, number: EventNumber) {
        let mut state = self.lock();
        state.seen = state.seen.max(number);
    }

    /// This one is done with: called, or given up.
    pub(super) fn settle(&self, number: EventNumber) {
        self.lock().under_way.remove(&number);
        self.room.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, PlaceState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a callback of one notification was told from the store, because it may have happened before the callback was
/// registered: the events of it may still come.
#[derive(Default)]
pub(super) struct Early {
    state: Mutex<EarlyState>,
}

#[derive(Default)]
struct EarlyState {
    /// The store is still being read.
    is_reading: bool,
    /// The attempts at the end of each delivery that was told, by its index. One that was replayed has more.
    told: HashMap<u32, u32>,
}

impl Early {
    pub(super) fn begin_reading(&self) {
        self.lock().is_reading = true;
    }

    pub(super) fn end_reading(&self) {
        self.lock().is_reading = false;
    }

    /// Whether the end of this delivery found in the store is to be told.
    pub(super) fn is_new(&self, index: u32, attempts: u32) -> bool {
        self.lock().told.insert(index, attempts) != Some(attempts)
    }

    /// Whether an event of this delivery's end is to be told.
    pub(super) fn is_news(&self, index: u32, attempts: u32) -> bool {
        let mut state = self.lock();
        match state.is_reading {
            true => state.told.insert(index, attempts) != Some(attempts),
            false => state.told.remove(&index) != Some(attempts),
        }
    }

    fn lock(&self) -> MutexGuard<'_, EarlyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All that are registered.
#[derive(Default)]
pub(super) struct Registry {
    next: AtomicU64,
    state: Mutex<RegistryState>,
    /// Somebody is there to be told by the follower.
    pub(super) wanted: Notify,
}

#[derive(Default)]
struct RegistryState {
    is_stopped: bool,
    /// Events up to this were looked at for those without a durable name.
    position: EventNumber,
    all: HashMap<CallbackId, Arc<Callback>>,
    /// Without a durable name, for all notifications.
    global: Vec<Arc<Callback>>,
    of_one: HashMap<NotificationId, Vec<Arc<Callback>>>,
}

impl RegistryState {
    fn is_followed(&self) -> bool {
        !self.global.is_empty() || !self.of_one.is_empty()
    }
}

impl Registry {
    pub(super) fn next_id(&self) -> CallbackId {
        CallbackId(self.next.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Adds one. `newest` is the number of the newest event: where nobody followed, following begins behind it.
    pub(super) fn add(&self, callback: &Arc<Callback>, newest: EventNumber) -> Result<(), CallbackError> {
        let mut state = self.lock();
        if state.is_stopped {
            return Err(CallbackError::Stopped);
        }
        if state.all.len() >= CALLBACKS_MAX {
            return Err(CallbackError::TooMany { limit: CALLBACKS_MAX });
        }
        if callback.notification.is_none() && state.all.values().any(|other| other.name == callback.name) {
            return Err(CallbackError::NameTaken { name: callback.name.clone() });
        }
        if callback.place.is_none() {
            if !state.is_followed() {
                state.position = newest.max(state.position);
            }
            match callback.notification {
                Some(one) => state.of_one.entry(one).or_default().push(Arc::clone(callback)),
                None => state.global.push(Arc::clone(callback)),
            }
        }
        state.all.insert(callback.id, Arc::clone(callback));
        drop(state);
        self.wanted.notify_one();
        Ok(())
    }

    /// Takes one out. It is not called any more, also not for what was told to it before.
    pub(super) fn remove(&self, id: CallbackId) -> Option<Arc<Callback>> {
        let mut state = self.lock();
        let callback = state.all.remove(&id)?;
        callback.remove();
        state.global.retain(|other| other.id != id);
        if let Some(one) = callback.notification
            && let Some(of_one) = state.of_one.get_mut(&one)
        {
            of_one.retain(|other| other.id != id);
            if of_one.is_empty() {
                state.of_one.remove(&one);
            }
        }
        Some(callback)
    }

    /// Those of a notification that has completed are told no more than they were.
    pub(super) fn completed(&self, notification: NotificationId) {
        let mut state = self.lock();
        for callback in state.of_one.remove(&notification).unwrap_or_default() {
            state.all.remove(&callback.id);
        }
    }

    /// Ends it: nobody is registered any more, and nobody can be.
    pub(super) fn stop(&self) -> Vec<Arc<Callback>> {
        let mut state = self.lock();
        state.is_stopped = true;
        state.global.clear();
        state.of_one.clear();
        let all = std::mem::take(&mut state.all);
        drop(state);
        self.wanted.notify_one();
        all.into_values().collect()
    }

    pub(super) fn get(&self, id: CallbackId) -> Option<Arc<Callback>> {
        self.lock().all.get(&id).cloned()
    }

    pub(super) fn named(&self, name: &CallbackName) -> Option<Arc<Callback>> {
        self.lock().all.values().find(|callback| callback.name == *name).cloned()
    }

    /// All of them, in the order in which they were registered.
    pub(super) fn list(&self) -> Vec<Arc<Callback>> {
        let mut all: Vec<_> = self.lock().all.values().cloned().collect();
        all.sort_by_key(|callback| callback.id);
        all
    }

    /// The event behind which to go on, while somebody is there to be told.
    pub(super) fn position(&self) -> Option<EventNumber> {
        let state = self.lock();
        state.is_followed().then_some(state.position)
    }

    /// Every event up to this was looked at.
    pub(super) fn reached(&self, number: EventNumber) {
        let mut state = self.lock();
        state.position = state.position.max(number);
    }

    /// Those of a kind that are told of what happened to a notification, in the order of their chain.
    pub(super) fn concerned(
        &self,
        kind: CallbackKind,
        notification: NotificationId,
        number: EventNumber,
    ) -> Vec<Arc<Callback>> {
        let state = self.lock();
        let of_one = state.of_one.get(&notification).into_iter().flatten();
        let is_concerned = |callback: &&Arc<Callback>| callback.kind == kind && callback.from < number;
        let both = state.global.iter().chain(of_one).filter(is_concerned);
        let mut chain: Vec<_> = both.map(|callback| (-i64::from(callback.priority()), callback)).collect();
        chain.sort_by_key(|(order, callback)| (*order, callback.id));
        chain.into_iter().map(|(_, callback)| Arc::clone(callback)).collect()
    }

    /// Whether anybody wants to be told of the progress of a notification.
    pub(super) fn wants_progress(&self, of: NotificationId) -> bool {
        let state = self.lock();
        let of_one = state.of_one.get(&of).into_iter().flatten();
        state.global.iter().chain(of_one).any(|callback| callback.kind == CallbackKind::Progress)
    }

    fn lock(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
