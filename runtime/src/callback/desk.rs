//! The callbacks of one runtime: registered, changed, replayed, stopped.

mod replay;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use self::replay::CallbackReplay;
use self::replay::{end_of, progress_of};
use super::closure::{ClosureTarget, Surroundings};
use super::executor::{Executor, ExecutorStatistics, Job};
use super::feed::Feed;
use super::follower::{DurableFollower, Follower};
use super::ledger::Ledger;
use super::progress::Progress;
use super::registration::{CallbackError, CallbackId, CallbackInfo, CallbackOptions, Registration};
use super::registry::{Callback, Place, Registry};
use super::settings::{CallbackSettings, CallbackSettingsError};
use super::statistics::{CallbackStatistics, health};
use super::target::Occasion;
use super::threads::Threads;
use super::tracker::{ExecutionRecord, Tracker};
use super::webhook::TakenNames;
use crate::clock::{Clock, Entropy};
use crate::domain::{CallbackBook, CallbackKind, CallbackName, NotificationId};
use crate::events::EventLog;
use crate::store::{CallbackChange, DELIVERIES_SLICE, NumberedEvent, Store};
use crate::telemetry::Metrics;

/// Threads for closures that block. More than workers, so that those that are stuck do not keep the others from theirs;
/// far from what a process may have.
const THREADS_MAX: usize = 64;

/// What callbacks need of the rest of the house.
pub(crate) struct Joints {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) log: Arc<EventLog>,
    pub(crate) metrics: Arc<Metrics>,
    /// Names that closures may not have.
    pub(crate) taken: TakenNames,
}

/// The callbacks of one runtime. Clones share them.
///
/// ```
/// use campanile::callback::{CallbackSettings, Registration};
/// use campanile::{Notification, Runtime};
///
/// # async fn example(runtime: Runtime) -> Result<(), Box<dyn std::error::Error>> {
/// let callbacks = runtime.callbacks();
/// let id = callbacks
///     .register(Registration::error(|notification, error| eprintln!("{}: {error}", notification.id())))
///     .await?;
/// callbacks.change(id, |options| options.priority = 10)?;
/// callbacks.resize(20)?;
/// for kind in callbacks.statistics().kinds {
///     println!("{}: {:?}", kind.kind.as_str(), kind.success_rate);
/// }
/// callbacks.remove(id);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Callbacks {
    parts: Arc<Parts>,
}

/// When the name of a callback that is new has to be written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// Before it is registered.
    Now,
    /// Once the disk takes it.
    AtLast,
}

struct Parts {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<Entropy>,
    log: Arc<EventLog>,
    registry: Arc<Registry>,
    tracker: Arc<Tracker>,
    ledger: Ledger,
    executor: Executor,
    surroundings: Arc<Surroundings>,
    stopping: watch::Sender<bool>,
    followers: Mutex<Vec<JoinHandle<()>>>,
    scribe: JoinHandle<()>,
    taken: TakenNames,
}

impl Drop for Parts {
    fn drop(&mut self) {
        for follower in self.followers.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            follower.abort();
        }
        self.scribe.abort();
    }
}

impl std::fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callbacks").finish_non_exhaustive()
    }
}

impl Callbacks {
    /// Starts: nothing is registered.
    pub(crate) fn start(with: Joints, settings: CallbackSettings) -> Result<Self, CallbackSettingsError> {
        settings.check()?;
        let Joints { store, clock, entropy, log, metrics, taken } = with;
        let (registry, tracker) = (Arc::new(Registry::default()), Arc::new(Tracker::new(metrics)));
        let (ledger, scribe) = Ledger::start(Arc::clone(&store), Arc::clone(&clock));
        let (their_clock, their_entropy) = (Arc::clone(&clock), Arc::clone(&entropy));
        let executor = Executor::new(settings, their_clock, their_entropy, Arc::clone(&tracker), ledger.clone());
        let surroundings = Arc::new(Surroundings::new(Arc::clone(&store), Threads::new(THREADS_MAX)));
        let (stopping, followers) = (watch::Sender::new(false), Mutex::default());
        let parts = Parts {
            store,
            clock,
            entropy,
            log,
            registry,
            tracker,
            ledger,
            executor,
            surroundings,
            stopping,
            followers,
            scribe,
            taken,
        };
        let follower = Follower {
            registry: Arc::clone(&parts.registry),
            executor: parts.executor.clone(),
            feed: parts.feed(),
            progress: Progress::new(Arc::clone(&parts.store)),
        };
        parts.keep(tokio::spawn(follower.follow()));
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Registers a callback for all notifications, from now on. One with a durable name that was registered before goes
    /// on where it was.
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn register(&self, registration: Registration) -> Result<CallbackId, CallbackError> {
        self.register_written(registration, Written::Now).await
    }

    /// The same at a start, which does not wait for a full disk: the name of one that is new is written down once the disk
    /// takes it.
    pub(crate) async fn register_at_start(&self, registration: Registration) -> Result<CallbackId, CallbackError> {
        self.register_written(registration, Written::AtLast).await
    }

    async fn register_written(
        &self,
        registration: Registration,
        written: Written,
    ) -> Result<CallbackId, CallbackError> {
        let parts = &self.parts;
        let newest = parts.log.newest().number;
        let (book, is_written) = match &registration.name {
            Some(name) => {
                let (book, is_written) = self.book(name, newest, written).await?;
                (Some(book), is_written)
            }
            None => (None, true),
        };
        let mut callback = parts.callback(registration)?;
        callback.from = newest;
        callback.place = book.map(Place::new);
        let callback = Arc::new(callback);
        parts.registry.add(&callback, newest)?;
        if callback.place.is_some() {
            let follower = DurableFollower {
                callback: Arc::clone(&callback),
                executor: parts.executor.clone(),
                ledger: parts.ledger.clone(),
                feed: parts.feed(),
                progress: Progress::new(Arc::clone(&parts.store)),
            };
            parts.keep(tokio::spawn(follower.follow()));
        }
        if !is_written {
            parts.ledger.moved(&callback).await;
        }
        Ok(callback.id)
    }

    /// What is remembered under this name, written down where it is new: it is told of everything from now on. Tells
    /// whether it is written.
    async fn book(
        &self,
        name: &CallbackName,
        newest: u64,
        written: Written,
    ) -> Result<(CallbackBook, bool), CallbackError> {
        let parts = &self.parts;
        if parts.registry.named(name).is_some() {
            return Err(CallbackError::NameTaken { name: name.clone() });
        }
        if name.is_reserved() {
            return Err(CallbackError::NameReserved { name: name.clone() });
        }
        if parts.taken.has(name) {
            return Err(CallbackError::NameOfWebhook { name: name.clone() });
        }
        let known = parts.store.callbacks().await?.into_iter().find(|book| book.name == *name);
        if let Some(book) = known {
            return Ok((CallbackBook { cursor: book.cursor.min(newest), ..book }, true));
        }
        let book = CallbackBook { name: name.clone(), cursor: newest, disabled: None };
        let books = vec![book.clone()];
        match parts.store.keep_callbacks(CallbackChange { books, ..CallbackChange::default() }).await {
            Ok(()) => Ok((book, true)),
            Err(error) if written == Written::AtLast && error.is_transient() => Ok((book, false)),
            Err(error) => Err(error.into()),
        }
    }

    /// Registers a callback for one notification, until it has completed. It is told of everything that has happened to
    /// the notification, also of what happened before.
    ///
    /// # Errors
    ///
    /// [`CallbackError`]; nothing is registered then.
    pub async fn register_for(
        &self,
        notification: NotificationId,
        registration: Registration,
    ) -> Result<CallbackId, CallbackError> {
        let parts = &self.parts;
        if let Some(name) = registration.name {
            return Err(CallbackError::NameOfOne { name });
        }
        let newest = parts.log.newest().number;
        let mut callback = parts.callback(registration)?;
        callback.notification = Some(notification);
        let callback = Arc::new(callback);
        // First registered, then read: what happens in between is seen by one of the two, and told once.
        callback.early.begin_reading();
        parts.registry.add(&callback, newest)?;
        let told = self.tell_early(&callback, notification).await;
        callback.early.end_reading();
        if told.is_err() {
            parts.registry.remove(callback.id);
        }
        if told? {
            parts.registry.completed(notification);
        }
        Ok(callback.id)
    }

    /// Tells what had happened before. Answers whether the notification has completed.
    async fn tell_early(&self, callback: &Arc<Callback>, id: NotificationId) -> Result<bool, CallbackError> {
        let store = &self.parts.store;
        let record = store.notification(id).await?.ok_or(CallbackError::Gone { notification: id })?;
        if callback.kind == CallbackKind::Progress {
            if let Some((event, occasion)) = progress_of(&record) {
                self.push(callback, event, occasion, None).await;
            }
            return Ok(record.counts.open == 0);
        }
        let counts = record.counts;
        let (is_complete, mut slice) = (counts.open == 0, record.deliveries);
        while let Some(last) = slice.last() {
            let from = last.id.index() + 1;
            for delivery in &slice {
                if let Some((event, occasion)) = end_of(delivery, callback.kind)
                    && callback.early.is_new(delivery.id.index(), delivery.state.attempts())
                {
                    self.push(callback, event, occasion, None).await;
                }
            }
            slice = match slice.len() < DELIVERIES_SLICE {
                true => Vec::new(),
                false => store.deliveries(id, from, DELIVERIES_SLICE).await?,
            };
        }
        Ok(is_complete)
    }

    async fn push(&self, callback: &Arc<Callback>, event: NumberedEvent, occasion: Occasion, replay_of: Option<u64>) {
        let link = self.parts.executor.link(Arc::clone(callback), event.number, replay_of);
        self.parts.executor.push(Job { event: Arc::new(event), occasion, links: [link].into() }).await;
    }

    /// Changes the options of a callback, from its next call on.
    ///
    /// # Errors
    ///
    /// [`CallbackError::Unknown`], or the option that is out of range. Nothing changed then.
    pub fn change(&self, id: CallbackId, change: impl FnOnce(&mut CallbackOptions)) -> Result<(), CallbackError> {
        let callback = self.parts.registry.get(id).ok_or(CallbackError::Unknown { id })?;
        let mut options = CallbackOptions::clone(&callback.options.load());
        change(&mut options);
        options.check()?;
        callback.options.store(Arc::new(options));
        Ok(())
    }

    /// Puts a word of metadata on a callback, in place of the one with this key.
    ///
    /// # Errors
    ///
    /// [`CallbackError::Unknown`], [`CallbackError::TooMuchMetadata`].
    pub fn set_metadata(
        &self,
        id: CallbackId,
        key: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), CallbackError> {
        self.change(id, |options| drop(options.metadata.insert(key.into(), value.into())))
    }

    /// Takes a word of metadata off a callback; nothing happens where it is not there.
    ///
    /// # Errors
    ///
    /// [`CallbackError::Unknown`].
    pub fn remove_metadata(&self, id: CallbackId, key: &str) -> Result<(), CallbackError> {
        self.change(id, |options| drop(options.metadata.remove(key)))
    }

    /// Ends a registration: no further call begins. Answers whether there was one. What is remembered under a durable
    /// name stays, for the next registration.
    pub fn remove(&self, id: CallbackId) -> bool {
        self.parts.registry.remove(id).is_some()
    }

    /// Every callback that is registered, in the order of registration.
    #[must_use]
    pub fn list(&self) -> Vec<CallbackInfo> {
        let newest = self.parts.log.newest().number;
        let info = |callback: Arc<Callback>| CallbackInfo {
            id: callback.id,
            name: callback.name.clone(),
            lag: callback.place.as_ref().map(|place| newest.saturating_sub(place.cursor())),
            kind: callback.kind,
            notification: callback.notification,
            options: CallbackOptions::clone(&callback.options.load()),
        };
        self.parts.registry.list().into_iter().map(info).collect()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> CallbackSettings {
        CallbackSettings::clone(&self.parts.executor.settings())
    }

    /// Other settings, from the next call on.
    ///
    /// # Errors
    ///
    /// [`CallbackSettingsError`] where they cannot be used; the old ones are in force then.
    pub fn configure(&self, settings: CallbackSettings) -> Result<(), CallbackSettingsError> {
        settings.check()?;
        self.parts.executor.configure(settings);
        Ok(())
    }

    /// Another number of workers. Those that are too many end after what they have in hand.
    ///
    /// # Errors
    ///
    /// [`CallbackSettingsError::Workers`] where there cannot be so many.
    pub fn resize(&self, workers: usize) -> Result<(), CallbackSettingsError> {
        self.configure(CallbackSettings { workers, ..self.settings() })
    }

    /// How callbacks are doing.
    #[must_use]
    pub fn statistics(&self) -> CallbackStatistics {
        let parts = &self.parts;
        let (executor, lost) = (parts.executor.statistics(), parts.ledger.lost());
        let all = parts.registry.list();
        let newest = parts.log.newest().number;
        let behind = all
            .iter()
            .filter_map(|callback| callback.place.as_ref())
            .map(|place| newest.saturating_sub(place.cursor()));
        let behind = behind.max();
        CallbackStatistics {
            kinds: parts.tracker.kinds(parts.clock.now()),
            registered: all.len(),
            behind,
            lost,
            health: health(all.len(), &executor, behind, lost),
            executor,
        }
    }

    /// The newest executions, the newest first, at most [`RECENT_MAX`](super::RECENT_MAX).
    #[must_use]
    pub fn executions(&self, limit: usize) -> Vec<ExecutionRecord> {
        self.parts.tracker.recent(self.parts.clock.now(), limit)
    }

    /// Stops: what has happened is told, for `timeout` at most. What was not told then is kept as dead, or, where it has
    /// a durable name, told after the next start. To be called while the store is open. A second call finds nothing to
    /// do. Answers what was not called in time.
    pub(crate) async fn stop(&self, timeout: Duration) -> Uncalled {
        let parts = &self.parts;
        parts.stopping.send_replace(true);
        let mut followers: Vec<_> = parts.followers.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        let told = tokio::time::timeout(timeout, async {
            for follower in &mut followers {
                // One that panicked has ended too.
                let _ = follower.await;
            }
            parts.executor.drain().await;
        });
        let is_over = told.await.is_ok();
        let left = if is_over { Uncalled::default() } else { parts.uncalled() };
        if left != Uncalled::default() {
            let Uncalled { events, calls } = left;
            tracing::warn!(events, calls, ?timeout, "Callbacks were not all called in time; calls can be replayed.");
        }
        followers.iter().for_each(JoinHandle::abort);
        parts.executor.close().await;
        let all = parts.registry.stop();
        for callback in &all {
            parts.ledger.moved(callback).await;
        }
        parts.ledger.flush().await;
        left
    }
}

/// What a stop left undone. What has a durable name goes on after the next start, the rest can be replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uncalled {
    /// Events that nobody has looked at.
    pub(crate) events: u64,
    /// Events whose calls wait or are under way.
    pub(crate) calls: usize,
}

impl Parts {
    /// What there is still to do. A time limit that is over while somebody goes to sleep says nothing of that.
    fn uncalled(&self) -> Uncalled {
        let ExecutorStatistics { busy, queued, retrying, .. } = self.executor.statistics();
        let behind = |position| self.log.newest().number.saturating_sub(position);
        Uncalled { events: self.registry.position().map_or(0, behind), calls: busy + queued + retrying }
    }

    fn feed(&self) -> Feed {
        Feed::new(Arc::clone(&self.log), Arc::clone(&self.clock), self.stopping.subscribe())
    }

    fn keep(&self, follower: JoinHandle<()>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        followers.retain(|other| !other.is_finished());
        followers.push(follower);
    }

    fn callback(&self, registration: Registration) -> Result<Callback, CallbackError> {
        let Registration { closure, name, options } = registration;
        options.check()?;
        let id = self.registry.next_id();
        let name = match name {
            Some(name) => name,
            None => self.unnamed(id),
        };
        let kind = closure.kind();
        let target = Arc::new(ClosureTarget::new(closure, Arc::clone(&self.surroundings)));
        Ok(Callback::new(id, name, kind, target, options))
    }

    /// A name that no callback of a later process has: what is dead of this one is never replayed to another.
    fn unnamed(&self, id: CallbackId) -> CallbackName {
        let process = u64::from_be_bytes(self.entropy.bytes());
        let name = CallbackName::new(&format!("unnamed.{id}.{process:016x}"));
        name.unwrap_or_else(|error| unreachable!("a made name is a name: {error}"))
    }
}
