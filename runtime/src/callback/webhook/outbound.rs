//! The durable queue of one endpoint: follows the stream, calls, and keeps what is owed.
//!
//! *Flow:* a [`Feed`] gives the stream from the cursor on → [`Line`] says what may be called with → calls run beside each
//! other → what is owed, or given up, is written → the cursor follows, at most once a second and when the queue stops.
//!
//! *Invariants:* each endpoint has a task of its own, so one that is stuck delays nobody else, and delivery knows of none.
//! The cursor is written behind or with what it passed. After a crash at most the calls since repeat, with the same id.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::WebhookError;
use super::line::{End, Line, Turn};
use crate::callback::latency::RecentLatencies;
use crate::callback::{Execution, Failure, Occasion, Target};
use crate::clock::{Clock, Entropy};
use crate::domain::{
    AuditEntry, CallbackBook, CallbackDisabled, CallbackEvent, CallbackFate, CallbackKind, CallbackName, DeadCallback,
    Event, EventBody, EventPattern, OwedCallback, RetryPolicy, Timestamp,
};
use crate::store::{CallbackChange, EventNumber, NumberedEvent, Store, StoreError};
use crate::telemetry::{CallbackResult, Metrics};

/// How often a cursor is written at most: what is between is told again after a crash.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// How long a queue waits that cannot read or write the store.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// The stream of events, as one reader has it.
#[async_trait]
pub(crate) trait Feed: Send + 'static {
    /// Waits for what is next, in order, and picks what is `wanted`. `None`: there will be no more. Dropping the future
    /// loses nothing.
    async fn next(&mut self, wanted: &[EventPattern]) -> Option<Fed>;
}

/// What a reader of the stream gets.
#[derive(Debug)]
pub(crate) enum Fed {
    /// All that are wanted, up to an event.
    Events { wanted: Vec<Arc<NumberedEvent>>, last: EventNumber },
    /// What it was to have next is not kept any more. It goes on with what is.
    Gap,
}

/// What an endpoint is called by. Another configuration has others.
pub(crate) struct Means {
    pub(crate) target: Arc<dyn Target>,
    /// What it wants to hear of.
    pub(crate) wanted: Vec<EventPattern>,
    pub(crate) policy: Arc<RetryPolicy>,
    /// Calls in flight at once.
    pub(crate) concurrency: usize,
}

/// What a queue works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tally: Arc<Tally>,
}

/// What came of the calls of all webhooks, since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) succeeded: AtomicU64,
    /// Those that were made again among them.
    pub(crate) failed: AtomicU64,
    pub(crate) retried: AtomicU64,
    /// Events that were given up.
    pub(crate) dead: AtomicU64,
    /// How long calls took.
    pub(crate) latencies: Mutex<RecentLatencies>,
}

/// How a webhook stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Every event up to this number is done with: told, owed, or given up.
    pub(crate) cursor: EventNumber,
    /// Events that it is still to hear of, behind the cursor.
    pub(crate) owed: usize,
    /// Calls under way.
    pub(crate) in_flight: usize,
    /// Why it is called no longer.
    pub(crate) disabled: Option<CallbackDisabled>,
    /// It asked not to be called before.
    pub(crate) held_until: Option<Timestamp>,
}

/// What a queue is asked to do.
pub(crate) enum Order {
    /// Goes on with other means; what is in flight ends by those it began with.
    Use(Box<Means>),
    /// Calls again, from the cursor on, after its receiver wanted to hear no more.
    Enable(Vec<AuditEntry>, oneshot::Sender<Result<bool, StoreError>>),
    /// Puts events in once more.
    Owe(Again, oneshot::Sender<Result<u64, WebhookError>>),
}

/// Events that are to be told again.
pub(crate) struct Again {
    /// Which.
    pub(crate) rows: Vec<OwedCallback>,
    /// Calls that were given up and are not any more, by id.
    pub(crate) revived: Vec<u64>,
    pub(crate) audit: Vec<AuditEntry>,
}

/// How a call ended, in its own task.
enum Called {
    Ended(Arc<NumberedEvent>, Result<(), Failure>, Duration),
    /// The event is not kept any more.
    Gone,
    Unread(StoreError),
}

/// See the top of this file.
pub(super) struct Outbound {
    name: CallbackName,
    line: Line,
    feed: Box<dyn Feed>,
    means: Means,
    with: Surroundings,
    disabled: Option<CallbackDisabled>,
    held_until: Option<Timestamp>,
    /// Written with the next change.
    told: Vec<Event>,
    dead: Vec<DeadCallback>,
    revived: Vec<u64>,
    audit: Vec<AuditEntry>,
    /// As it is in the store; none where the store did not take it yet.
    book: Option<CallbackBook>,
    saved_at: Timestamp,
    standing: watch::Sender<Standing>,
}

impl Outbound {
    /// One that goes on from `book`, which is in the store or is to be written, with what it owes.
    pub(super) fn new(
        (book, is_kept): (CallbackBook, bool),
        owed: Vec<OwedCallback>,
        feed: Box<dyn Feed>,
        means: Means,
        with: Surroundings,
    ) -> (Self, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::default());
        let outbound = Self {
            name: book.name.clone(),
            line: Line::new(book.name.clone(), book.cursor, owed),
            feed,
            means,
            disabled: book.disabled.clone(),
            held_until: None,
            told: Vec::new(),
            dead: Vec::new(),
            revived: Vec::new(),
            audit: Vec::new(),
            saved_at: with.clock.now(),
            book: is_kept.then_some(book),
            with,
            standing,
        };
        outbound.show();
        (outbound, seen)
    }

    /// Runs until nobody gives orders any more or the store is closed; then waits for the calls under way.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut calls = JoinSet::new();
        while self.step(&mut calls, &mut orders).await.is_ok_and(|goes_on| goes_on) {}
        while let Some(done) = calls.join_next().await {
            self.note(done);
        }
        // Nobody waits for a store that does not write: what is not written is told again.
        if let Err(error) = self.write(true).await {
            tracing::debug!(webhook = %self.name, %error, "The last calls of a webhook are not written down.");
        }
    }

    /// Does what can be done and waits for what is next. Answers whether there will be more.
    async fn step(
        &mut self,
        calls: &mut JoinSet<(EventNumber, u32, Called)>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<bool, StoreError> {
        self.call(calls);
        self.write_patiently().await?;
        self.show();
        let clock = Arc::clone(&self.with.clock);
        let wake = self.wake_at();
        let takes = self.disabled.is_none() && !self.line.is_full();
        tokio::select! {
            biased;
            // First: what was ordered before an event was told holds for that event.
            order = orders.recv() => match order {
                Some(order) => self.obey(order).await,
                None => return Ok(false),
            },
            Some(done) = calls.join_next(), if !calls.is_empty() => self.note(done),
            fed = self.feed.next(&self.means.wanted), if takes => match fed {
                Some(fed) => self.take(fed),
                None => return Ok(false),
            },
            () = clock.wait_until(wake.unwrap_or_default()), if wake.is_some() => {}
        }
        Ok(true)
    }

    /// Begins every call that there is a slot for.
    fn call(&mut self, calls: &mut JoinSet<(EventNumber, u32, Called)>) {
        let now = self.with.clock.now();
        if self.disabled.is_some() || self.held_until.is_some_and(|until| until > now) {
            return;
        }
        self.held_until = None;
        while self.line.running() < self.means.concurrency
            && let Some(Turn { number, attempt, event }) = self.line.next(now)
        {
            let (target, store) = (Arc::clone(&self.means.target), Arc::clone(&self.with.store));
            calls.spawn(async move { (number, attempt, call(target, store, number, event).await) });
        }
    }

    /// When there is something to do, if nothing else happens.
    fn wake_at(&self) -> Option<Timestamp> {
        let has_slot = self.disabled.is_none() && self.line.running() < self.means.concurrency;
        let due = self.line.next_due().filter(|_| has_slot);
        let due = due.map(|due| self.held_until.map_or(due, |held| due.max(held)));
        let is_kept = self.book.as_ref().is_some_and(|book| book.cursor == self.line.cursor());
        let save = (!is_kept).then(|| self.saved_at.after(SAVE_EVERY));
        due.into_iter().chain(save).min()
    }

    fn take(&mut self, fed: Fed) {
        match fed {
            Fed::Events { wanted, last } => {
                wanted.into_iter().for_each(|event| self.line.take(event));
                self.line.pass(last);
            }
            Fed::Gap => {
                let after = self.line.taken();
                tracing::warn!(webhook = %self.name, after, "Events are not kept any more that it was to hear of.");
            }
        }
    }

    fn note(&mut self, done: Result<(EventNumber, u32, Called), tokio::task::JoinError>) {
        // A panic is caught in the task, and nobody aborts it.
        let Ok((number, attempt, called)) = done else { return };
        let now = self.with.clock.now();
        match called {
            Called::Ended(_, Ok(()), took) => {
                self.count(CallbackResult::Succeeded, Some(took));
                self.line.ended(number, End::Heard);
            }
            Called::Ended(event, Err(failure), took) => {
                self.count(CallbackResult::Failed, Some(took));
                self.failed(&event, attempt, failure, now);
            }
            Called::Gone => {
                let reason = "the event is not kept any more".to_owned();
                self.bury(DeadCallback { attempts: attempt - 1, ..self.dead(number, reason, now) });
            }
            Called::Unread(error) => {
                tracing::warn!(webhook = %self.name, %error, "An event cannot be read; its webhook waits.");
                self.line.ended(number, End::Undone);
                self.hold(now.after(STORE_WAIT));
            }
        }
    }

    fn failed(&mut self, event: &NumberedEvent, attempt: u32, failure: Failure, now: Timestamp) {
        let number = event.number;
        let (reason, after) = match failure {
            Failure::Retry { reason, after } => (reason, after),
            Failure::GiveUp { reason } => {
                self.tell(event, CallbackFate::Dead, now);
                return self.bury(self.dead_of(event, attempt, reason, now));
            }
            Failure::Disable { reason } => {
                tracing::warn!(webhook = %self.name, %reason, "A webhook is called no longer.");
                self.disabled.get_or_insert(CallbackDisabled { at: now, reason });
                return self.line.ended(number, End::Undone);
            }
        };
        if let Some(after) = after {
            // It said so of itself, not of this event.
            self.hold(now.after(after.min(RetryPolicy::HINT_MAX)));
        }
        match self.means.policy.wait(attempt, after, self.with.entropy.roll()) {
            Some(wait) => {
                self.with.tally.retried.fetch_add(1, Ordering::Relaxed);
                self.tell(event, CallbackFate::Failed { attempt }, now);
                tracing::debug!(webhook = %self.name, event = number, attempt, %reason, "A webhook is called again later.");
                self.line.ended(number, End::Again { due: now.after(wait), reason });
            }
            None => {
                self.tell(event, CallbackFate::Dead, now);
                self.bury(self.dead_of(event, attempt, reason, now));
            }
        }
    }

    fn count(&self, result: CallbackResult, took: Option<Duration>) {
        self.with.metrics.callback(CallbackKind::Webhook, result, took);
        let Tally { succeeded, failed, retried: _, dead, latencies } = &*self.with.tally;
        if let Some(took) = took {
            latencies.lock().unwrap_or_else(PoisonError::into_inner).record(took, self.with.clock.now());
        }
        let counter = match result {
            CallbackResult::Succeeded => succeeded,
            CallbackResult::Dead => dead,
            _ => failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Has others hear what became of a call. What is about callbacks itself goes no further: a webhook that fails would hear
    /// of its failures, fail, and so on.
    fn tell(&mut self, event: &NumberedEvent, fate: CallbackFate, at: Timestamp) {
        let body = &event.event.body;
        if matches!(body, EventBody::Callback(_)) {
            return;
        }
        let (callback, kind) = (self.name.clone(), CallbackKind::Webhook);
        let (notification, delivery) = (body.notification(), body.delivery());
        let told = CallbackEvent { callback, fate, kind, event: event.number, notification, delivery };
        self.told.push(Event { at, body: EventBody::Callback(told) });
    }

    fn hold(&mut self, until: Timestamp) {
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    fn dead(&self, event: EventNumber, reason: String, at: Timestamp) -> DeadCallback {
        let (callback, kind) = (self.name.clone(), CallbackKind::Webhook);
        DeadCallback { id: 0, callback, kind, event, notification: None, delivery: None, attempts: 0, reason, at }
    }

    fn dead_of(&self, event: &NumberedEvent, attempts: u32, reason: String, at: Timestamp) -> DeadCallback {
        let (notification, delivery) = (event.event.body.notification(), event.event.body.delivery());
        DeadCallback { notification, delivery, attempts, ..self.dead(event.number, reason, at) }
    }

    fn bury(&mut self, dead: DeadCallback) {
        let (event, attempts, reason) = (dead.event, dead.attempts, &dead.reason);
        tracing::warn!(webhook = %self.name, event, attempts, %reason, "A webhook does not hear of an event.");
        self.line.ended(dead.event, End::GivenUp);
        self.count(CallbackResult::Dead, None);
        self.dead.push(dead);
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Use(means) => self.means = *means,
            Order::Enable(audit, reply) => {
                let was_disabled = self.disabled.take().is_some();
                self.held_until = None;
                self.audit.extend(audit);
                let done = self.write(true).await.map(|()| was_disabled);
                // Whoever asked may have gone.
                let _ = reply.send(done);
            }
            Order::Owe(again, reply) => {
                let _ = reply.send(self.owe(again).await);
            }
        }
    }

    async fn owe(&mut self, again: Again) -> Result<u64, WebhookError> {
        let Again { rows, revived, audit } = again;
        let (asked, most) = (rows.len(), super::line::OWED_MAX);
        let room = most.saturating_sub(self.line.owed());
        if asked > room {
            return Err(WebhookError::Full { name: self.name.clone(), asked, room, most });
        }
        let more = self.line.owe(rows);
        self.revived.extend(revived);
        self.audit.extend(audit);
        self.write(false).await?;
        Ok(more)
    }

    fn show(&self) {
        let standing = Standing {
            cursor: self.line.cursor(),
            owed: self.line.owed(),
            in_flight: self.line.running(),
            disabled: self.disabled.clone(),
            held_until: self.held_until,
        };
        self.standing.send_if_modified(|shown| std::mem::replace(shown, standing.clone()) != standing);
    }

    /// Writes until the store takes it: what it does not know of is not done.
    async fn write_patiently(&mut self) -> Result<(), StoreError> {
        let is_due = self.with.clock.now() >= self.saved_at.after(SAVE_EVERY);
        while let Err(error) = self.write(is_due).await {
            if matches!(error, StoreError::Closed) {
                return Err(error);
            }
            tracing::warn!(webhook = %self.name, %error, "What a webhook owes cannot be written down; it waits.");
            self.with.clock.wait_until(self.with.clock.now().after(STORE_WAIT)).await;
        }
        Ok(())
    }

    /// Writes what has to be durable, and the cursor with it, or alone where `cursor` says so.
    async fn write(&mut self, cursor: bool) -> Result<(), StoreError> {
        let changes = self.line.changes();
        let book =
            CallbackBook { name: self.name.clone(), cursor: self.line.cursor(), disabled: self.disabled.clone() };
        let settled = changes.settled.into_iter().map(|event| (self.name.clone(), event)).collect();
        let mut change = CallbackChange {
            books: Vec::new(),
            owed: changes.owed,
            settled,
            dead: self.dead.clone(),
            revived: self.revived.clone(),
            events: self.told.clone(),
            audit: self.audit.clone(),
            ..CallbackChange::default()
        };
        let kept = self.book.as_ref();
        let must = !change.is_empty() || kept.and_then(|kept| kept.disabled.as_ref()) != book.disabled.as_ref();
        let has_moved = cursor && kept != Some(&book);
        if !must && !has_moved {
            return Ok(());
        }
        change.books.push(book.clone());
        self.with.store.keep_callbacks(change).await?;
        self.line.written();
        self.told.clear();
        self.dead.clear();
        self.revived.clear();
        self.audit.clear();
        self.book = Some(book);
        self.saved_at = self.with.clock.now();
        Ok(())
    }
}

async fn call(
    target: Arc<dyn Target>,
    store: Arc<dyn Store>,
    number: EventNumber,
    event: Option<Arc<NumberedEvent>>,
) -> Called {
    let event = match event {
        Some(event) => event,
        None => match store.outbox(number - 1, 1).await.map(|found| found.into_iter().next()) {
            Ok(Some(event)) if event.number == number => Arc::new(event),
            Ok(_) => return Called::Gone,
            Err(error) => return Called::Unread(error),
        },
    };
    let execution = Execution { event: Arc::clone(&event), occasion: Occasion::Event };
    let begun = Instant::now();
    let ended = AssertUnwindSafe(target.call(&execution)).catch_unwind().await;
    let panicked = |_| Err(Failure::Retry { reason: "the call panicked".to_owned(), after: None });
    Called::Ended(event, ended.unwrap_or_else(panicked), begun.elapsed())
}
