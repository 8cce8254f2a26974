//! The durable queue of one endpoint: follows the stream, calls, and keeps what is owed.
//!
//! *Flow:* a [`Feed`] gives the stream from the cursor on → [`Hosts`] says what may be called with → calls run beside each
//! other → what is owed, or given up, is written → the cursor follows, at most once a second and when the queue stops.
//!
//! *Invariants:* each endpoint has a task of its own, so one that is stuck delays nobody else, and delivery knows of none;
//! of an endpoint with many hosts, those that are stuck have no more than half of the calls.
//! The cursor is written behind or with what it passed. After a crash at most the calls since repeat, with the same id.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::WebhookError;
use super::hosts::{Host, Hosts, Turn, one_host};
use super::line::End;
use super::means::{Again, Fed, Feed, Means, Order, Standing, Surroundings, Tally, Trouble};
use crate::callback::{Execution, Failure, Occasion, Target};
use crate::domain::{
    AuditEntry, CallbackBook, CallbackDisabled, CallbackEvent, CallbackFate, CallbackKind, CallbackName, DeadCallback,
    Event, EventBody, NotificationId, OwedCallback, Timestamp,
};
use crate::store::{CallbackChange, EventNumber, NumberedEvent, Store, StoreError};
use crate::telemetry::CallbackResult;

/// How often a cursor is written at most: what is between is told again after a crash.
const SAVE_EVERY: Duration = Duration::from_secs(1);
/// The longest that a receiver may have all its calls wait by `Retry-After`. One that is busy for longer is asked by then.
const HOLD_MAX: Duration = Duration::from_hours(1);
/// How long a queue that ends waits for the calls under way: what is not heard by then is told again by the next process.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// How long a queue waits that cannot read or write the store.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// How a call ended, in its own task.
struct Done {
    host: Host,
    number: EventNumber,
    attempt: u32,
    called: Called,
}

enum Called {
    Ended(Arc<NumberedEvent>, Result<(), Failure>, Duration),
    /// The event is not kept any more.
    Gone,
    Unread(StoreError),
}

/// See the top of this file.
pub(super) struct Outbound {
    name: CallbackName,
    hosts: Hosts,
    feed: Box<dyn Feed>,
    means: Means,
    with: Surroundings,
    disabled: Option<CallbackDisabled>,
    /// Written with the next change.
    told: Vec<Event>,
    dead: Vec<DeadCallback>,
    revived: Vec<u64>,
    /// Notifications that their receiver wants to hear no more of.
    ended: Vec<NotificationId>,
    audit: Vec<AuditEntry>,
    /// As it is in the store; none where the store did not take it yet.
    book: Option<CallbackBook>,
    saved_at: Timestamp,
    standing: watch::Sender<Standing>,
    trouble: Option<Trouble>,
}

impl Outbound {
    /// One that goes on from `book`, which is in the store or is to be written, with what it owes to each host.
    pub(super) fn new(
        (book, is_kept): (CallbackBook, bool),
        owed: Vec<(Host, OwedCallback)>,
        feed: Box<dyn Feed>,
        means: Means,
        with: Surroundings,
    ) -> (Self, watch::Receiver<Standing>) {
        let (standing, seen) = watch::channel(Standing::default());
        let outbound = Self {
            name: book.name.clone(),
            hosts: Hosts::new(&book, owed, means.receivers.is_some()),
            feed,
            means,
            disabled: book.disabled.clone(),
            told: Vec::new(),
            dead: Vec::new(),
            revived: Vec::new(),
            ended: Vec::new(),
            audit: Vec::new(),
            saved_at: with.clock.now(),
            book: is_kept.then_some(book),
            with,
            standing,
            trouble: None,
        };
        outbound.show();
        (outbound, seen)
    }

    /// Runs until nobody gives orders any more or the store is closed; then waits a little for the calls under way.
    pub(super) async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut calls = JoinSet::new();
        while self.step(&mut calls, &mut orders).await.is_ok_and(|goes_on| goes_on) {}
        let clock = Arc::clone(&self.with.clock);
        let until = clock.now().after(STOP_WAIT);
        loop {
            tokio::select! {
                biased;
                done = calls.join_next() => match done {
                    Some(done) => self.note(done),
                    None => break,
                },
                () = clock.wait_until(until) => {
                    let calls = self.hosts.running();
                    tracing::info!(webhook = %self.name, calls, "Calls of a webhook are not waited for; they are made again.");
                    break;
                }
            }
        }
        self.hosts.leave_behind();
        // Nobody waits for a store that does not write: what is not written is told again.
        if let Err(error) = self.write(true).await {
            tracing::debug!(webhook = %self.name, %error, "The last calls of a webhook are not written down.");
        }
    }

    /// Does what can be done and waits for what is next. Answers whether there will be more.
    async fn step(
        &mut self,
        calls: &mut JoinSet<Done>,
        orders: &mut mpsc::Receiver<Order>,
    ) -> Result<bool, StoreError> {
        self.call(calls);
        self.write_patiently().await?;
        self.show();
        let clock = Arc::clone(&self.with.clock);
        let wake = self.wake_at();
        let takes = self.disabled.is_none() && !self.hosts.is_full();
        tokio::select! {
            biased;
            // First: what was ordered before an event was told holds for that event.
            order = orders.recv() => match order {
                Some(order) => self.obey(order).await,
                None => return Ok(false),
            },
            Some(done) = calls.join_next(), if !calls.is_empty() => self.note(done),
            fed = self.feed.next(&self.means.wanted), if takes => match fed {
                Some(fed) => self.take(fed).await?,
                None => return Ok(false),
            },
            () = clock.wait_until(wake.unwrap_or_default()), if wake.is_some() => {}
        }
        Ok(true)
    }

    /// Begins every call that there is a slot for.
    fn call(&mut self, calls: &mut JoinSet<Done>) {
        let now = self.with.clock.now();
        if self.disabled.is_some() {
            return;
        }
        while let Some(Turn { host, number, attempt, event }) = self.hosts.next(now, self.means.concurrency) {
            let (target, store) = (Arc::clone(&self.means.target), Arc::clone(&self.with.store));
            calls.spawn(async move {
                let called = call(target, store, number, event).await;
                Done { host, number, attempt, called }
            });
        }
    }

    /// When there is something to do, if nothing else happens.
    fn wake_at(&self) -> Option<Timestamp> {
        let due = self.hosts.next_due(self.means.concurrency).filter(|_| self.disabled.is_none());
        let is_kept = self.book.as_ref().is_some_and(|book| book.cursor == self.hosts.cursor());
        let save = (!is_kept).then(|| self.saved_at.after(SAVE_EVERY));
        due.into_iter().chain(save).min()
    }

    async fn take(&mut self, fed: Fed) -> Result<(), StoreError> {
        let (wanted, last) = match fed {
            Fed::Events { wanted, last } => (wanted, last),
            Fed::Gap => {
                self.missed();
                return Ok(());
            }
        };
        for (host, event) in self.with_hosts(wanted, |event| event.event.body.notification()).await? {
            let Some(host) = host else { continue };
            if let Err(refused) = self.hosts.take(&host, &event) {
                let now = self.with.clock.now();
                self.tell(&event, CallbackFate::Dead, now);
                self.bury(&host, self.dead_of(&event, 0, refused.to_string(), now));
            }
        }
        self.hosts.pass(last);
        Ok(())
    }

    /// It was not called for longer than events are kept: that is told as what it is, a call that was given up.
    fn missed(&mut self) {
        let (after, now) = (self.hosts.taken(), self.with.clock.now());
        tracing::warn!(webhook = %self.name, after, "Events are not kept any more that it was to hear of.");
        let reason =
            format!("events behind {after} are not kept any more: those among them that it wants were never told");
        let (callback, kind, event) = (self.name.clone(), CallbackKind::Webhook, after + 1);
        let fate = CallbackFate::Dead;
        let told = CallbackEvent { callback, fate, kind, event, notification: None, delivery: None };
        self.told.push(Event { at: now, body: EventBody::Callback(told) });
        self.count(CallbackResult::Dead, None);
        self.dead.push(self.dead(event, reason, now));
    }

    /// Each with the host that is told of it, if anybody is. Waits for a store that cannot be read.
    async fn with_hosts<T: Send>(
        &mut self,
        all: Vec<T>,
        about: impl Fn(&T) -> Option<NotificationId> + Send + Sync,
    ) -> Result<Vec<(Option<Host>, T)>, StoreError> {
        let Some(receivers) = self.means.receivers.clone() else {
            return Ok(all.into_iter().map(|one| (Some(one_host()), one)).collect());
        };
        let mut ids: Vec<_> = all.iter().filter_map(&about).collect();
        ids.sort_unstable();
        ids.dedup();
        let hosts = loop {
            match receivers.hosts(ids.clone()).await {
                Ok(hosts) => break hosts,
                Err(StoreError::Closed) => return Err(StoreError::Closed),
                Err(error) => {
                    tracing::warn!(webhook = %self.name, %error, "It cannot be read where to call; calls wait.");
                    self.with.clock.wait_until(self.with.clock.now().after(STORE_WAIT)).await;
                }
            }
        };
        let host = |one: &T| about(one).and_then(|id| hosts.get(&id).cloned());
        Ok(all.into_iter().map(|one| (host(&one), one)).collect())
    }

    fn note(&mut self, done: Result<Done, tokio::task::JoinError>) {
        // A panic is caught in the task, and nobody aborts it.
        let Ok(Done { host, number, attempt, called }) = done else { return };
        let now = self.with.clock.now();
        match called {
            Called::Ended(_, Ok(()), took) => {
                self.count(CallbackResult::Succeeded, Some(took));
                if let Some(Trouble { since, .. }) = self.trouble.take().filter(|_| self.means.receivers.is_none()) {
                    tracing::info!(webhook = %self.name, %since, "A webhook that failed is heard again.");
                }
                self.hosts.ended(&host, number, End::Heard);
            }
            Called::Ended(event, Err(failure), took) => {
                self.count(CallbackResult::Failed, Some(took));
                self.failed(&host, &event, attempt, failure, now);
            }
            Called::Gone => {
                let reason = "the event is not kept any more".to_owned();
                self.bury(&host, DeadCallback { attempts: attempt - 1, ..self.dead(number, reason, now) });
            }
            Called::Unread(error) => {
                tracing::warn!(webhook = %self.name, %error, "An event cannot be read; its webhook waits.");
                self.hosts.ended(&host, number, End::Undone);
                self.hosts.hold(&host, now.after(STORE_WAIT));
            }
        }
    }

    fn failed(&mut self, host: &Host, event: &NumberedEvent, attempt: u32, failure: Failure, now: Timestamp) {
        let number = event.number;
        let (reason, after) = match failure {
            Failure::Retry { reason, after } => (reason, after),
            Failure::GiveUp { reason } => {
                self.tell(event, CallbackFate::Dead, now);
                return self.bury(host, self.dead_of(event, attempt, reason, now));
            }
            Failure::Disable { reason } => return self.wants_no_more(host, event, reason, now),
        };
        self.fails(&reason, now);
        if let Some(after) = after {
            // It said so of itself, not of this event.
            self.hosts.hold(host, now.after(after.min(HOLD_MAX)));
        }
        match self.means.policy.wait(attempt, after, self.with.entropy.roll()) {
            Some(wait) => {
                self.with.tally.retried.fetch_add(1, Ordering::Relaxed);
                self.tell(event, CallbackFate::Failed { attempt }, now);
                tracing::debug!(webhook = %self.name, event = number, attempt, %reason, "A webhook is called again later.");
                self.hosts.ended(host, number, End::Again { due: now.after(wait), reason });
            }
            None => {
                self.tell(event, CallbackFate::Dead, now);
                self.bury(host, self.dead_of(event, attempt, reason, now));
            }
        }
    }

    /// Said once, however many calls fail until one is heard.
    fn fails(&mut self, reason: &str, now: Timestamp) {
        if self.trouble.is_none() && self.means.receivers.is_none() {
            tracing::warn!(webhook = %self.name, %reason, "A webhook fails; what it is to hear of waits and is tried again.");
        }
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble { since, reason: reason.to_owned() });
    }

    /// Nothing is called with any more: of the whole endpoint, or of the notification that named this place.
    fn wants_no_more(&mut self, host: &Host, event: &NumberedEvent, reason: String, now: Timestamp) {
        match event.event.body.notification().filter(|_| self.means.receivers.is_some()) {
            Some(notification) => {
                tracing::info!(webhook = %self.name, %notification, %reason, "A notification is told of no longer.");
                self.ended.push(notification);
                self.hosts.ended(host, event.number, End::GivenUp);
                self.hosts.forget(host, notification);
            }
            None => {
                tracing::warn!(webhook = %self.name, %reason, "A webhook is called no longer.");
                self.disabled.get_or_insert(CallbackDisabled { at: now, reason });
                self.hosts.ended(host, event.number, End::Undone);
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

    fn dead(&self, event: EventNumber, reason: String, at: Timestamp) -> DeadCallback {
        let (callback, kind) = (self.name.clone(), CallbackKind::Webhook);
        DeadCallback { id: 0, callback, kind, event, notification: None, delivery: None, attempts: 0, reason, at }
    }

    fn dead_of(&self, event: &NumberedEvent, attempts: u32, reason: String, at: Timestamp) -> DeadCallback {
        let (notification, delivery) = (event.event.body.notification(), event.event.body.delivery());
        DeadCallback { notification, delivery, attempts, ..self.dead(event.number, reason, at) }
    }

    fn bury(&mut self, host: &Host, dead: DeadCallback) {
        let (event, attempts, reason) = (dead.event, dead.attempts, &dead.reason);
        tracing::warn!(webhook = %self.name, event, attempts, %reason, "A webhook does not hear of an event.");
        self.hosts.ended(host, dead.event, End::GivenUp);
        self.count(CallbackResult::Dead, None);
        self.dead.push(dead);
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Use(means) => self.means = *means,
            Order::Enable(audit, reply) => {
                let was_disabled = self.disabled.take().is_some();
                let waited = self.hosts.hurry(self.with.clock.now());
                self.audit.extend(audit);
                let done = self.write(true).await.map(|()| was_disabled || waited);
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
        let rows = self.with_hosts(rows, |row| row.notification).await?;
        // Where nobody is to be told any more, that is said of each call, and nothing is lost silently.
        let rows: Vec<_> = rows.into_iter().map(|(host, row)| (host.unwrap_or_else(one_host), row)).collect();
        let (asked, room) = (rows.len(), self.hosts.room());
        if asked > room {
            return Err(WebhookError::Full { name: self.name.clone(), asked, room, most: self.hosts.most() });
        }
        let more = self.hosts.owe(rows);
        self.revived.extend(revived);
        self.audit.extend(audit);
        self.write(false).await?;
        Ok(more)
    }

    fn show(&self) {
        let standing = Standing {
            cursor: self.hosts.cursor(),
            owed: self.hosts.owed(),
            in_flight: self.hosts.running(),
            disabled: self.disabled.clone(),
            held_until: self.hosts.held_until(self.with.clock.now()),
            next_call: self.hosts.next_due(self.means.concurrency).filter(|_| self.disabled.is_none()),
            trouble: self.trouble.clone(),
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
        let changes = self.hosts.changes();
        let book =
            CallbackBook { name: self.name.clone(), cursor: self.hosts.cursor(), disabled: self.disabled.clone() };
        let settled = changes.settled.into_iter().map(|event| (self.name.clone(), event)).collect();
        let mut change = CallbackChange {
            books: Vec::new(),
            owed: changes.owed,
            settled,
            dead: self.dead.clone(),
            revived: self.revived.clone(),
            ended: self.ended.clone(),
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
        self.hosts.written();
        self.told.clear();
        self.dead.clear();
        self.revived.clear();
        self.ended.clear();
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
