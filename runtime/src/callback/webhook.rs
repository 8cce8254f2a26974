//! Signed webhooks: other processes are told of events (Standard Webhooks 1.0).
//!
//! *Flow:* [`prepare`] reads keys and judges addresses → [`Webhooks::start`] gives each webhook a queue of its own →
//! the queue follows the stream, and [`Endpoint`] signs, sends and judges what is answered.
//!
//! *Invariants:* each event that a webhook wants is told at least once, always with the same id, in the order of its
//! notification; what cannot be told is a dead callback. No redirect is followed, no private address reached by
//! accident, no reply repeated to anybody.
//!
//! *Not here:* what an event looks like (`events`), what is kept (`store`).

mod answer;
mod endpoint;
mod feed;
mod hosts;
mod line;
mod means;
mod message;
mod outbound;
mod replay;
mod taken;
mod urls;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::domain::{
    Act, Actor, AuditEntry, AuditOutcome, CallbackBook, CallbackDeed, CallbackName, DeadCallback, EventPattern,
    OwedCallback, RetryPolicy, Timestamp,
};
use crate::store::{CallbackChange, EventNumber, NumberedEvent, StoreError};

pub(crate) use endpoint::{Endpoint, EndpointProblem, Way, open};
pub(crate) use feed::Stream;
pub(crate) use means::{Fed, Feed, Means, Receivers, Standing, Surroundings, Tally};
pub(crate) use taken::TakenNames;
pub(crate) use urls::{UrlReach, UrlTeller, open_urls};

use crate::callback::{Execution, Failure, Target};
use crate::config::WebhookConfig;
use hosts::{Host, one_host};
use means::{Again, Order};
use outbound::Outbound;

/// Orders that wait for a queue: a reload and an operator at once.
const ORDERS_MAX: usize = 8;
/// Rows of the store that are read at once.
const PAGE: usize = 1_000;

/// Where queues have the stream from.
#[async_trait]
pub(crate) trait Feeds: Send + Sync + 'static {
    /// The number of the newest event; 0 where there is none.
    async fn newest(&self) -> Result<EventNumber, StoreError>;

    /// The stream behind an event.
    fn behind(&self, after: EventNumber) -> Box<dyn Feed>;

    /// An event as everybody gets it: `{id, type, at, notification_id?, delivery_id?, data}`.
    fn published(&self, event: &NumberedEvent) -> serde_json::Value;
}

/// A webhook that can be used.
pub(crate) struct Prepared {
    pub(crate) name: CallbackName,
    pub(crate) means: Means,
}

/// Joins webhooks to their endpoints, which are in the same order. `policy` finds a retry policy by its name.
pub(crate) fn prepare(
    config: &[WebhookConfig],
    endpoints: Vec<Endpoint>,
    feeds: &Arc<dyn Feeds>,
    policy: impl Fn(&str) -> RetryPolicy,
) -> Vec<Prepared> {
    let prepared = |(webhook, endpoint): (&WebhookConfig, Endpoint)| Prepared {
        name: webhook.name.clone(),
        means: Means {
            target: Arc::new(Teller { endpoint, feeds: Arc::clone(feeds) }),
            receivers: None,
            wanted: webhook.events.clone(),
            policy: Arc::new(policy(&webhook.retry)),
            concurrency: webhook.concurrency as usize,
        },
    };
    config.iter().zip(endpoints).map(prepared).collect()
}

/// Tells an endpoint what happened.
struct Teller {
    endpoint: Endpoint,
    feeds: Arc<dyn Feeds>,
}

#[async_trait]
impl Target for Teller {
    async fn call(&self, execution: &Execution) -> Result<(), Failure> {
        self.endpoint.tell(self.feeds.published(&execution.event)).await
    }
}

/// Why a webhook does not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// None is configured under this name.
    #[error("there is no webhook `{name}`; {}", there_are(.known))]
    Unknown {
        /// The name.
        name: CallbackName,
        /// Those that are configured.
        known: Vec<CallbackName>,
    },
    /// The stretch of time ends before it begins.
    #[error("`since` is {since}, later than `until`, which is {until}")]
    Backwards {
        /// Its beginning.
        since: Timestamp,
        /// Its end.
        until: Timestamp,
    },
    /// It would owe too much.
    #[error(
        "{asked} events are more than `{name}` can take now, which is {room}: a webhook owes {most} at most; ask for fewer, \
         or again when it has heard of some"
    )]
    Full {
        /// Which webhook.
        name: CallbackName,
        /// How many events were asked for; of a stretch of time it may be more.
        asked: usize,
        /// How many it can take.
        room: usize,
        /// How many it may owe.
        most: usize,
    },
    /// The store cannot be read or changed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It stops.
    #[error("the webhook `{name}` is being stopped; ask again")]
    Stopped {
        /// Which webhook.
        name: CallbackName,
    },
}

fn there_are(known: &[CallbackName]) -> String {
    match known {
        [] => "none is configured: write `[[callbacks.webhook]]`".to_owned(),
        known => format!("there are `{}`", known.iter().map(CallbackName::as_str).collect::<Vec<_>>().join("`, `")),
    }
}

/// Every webhook, each with a queue of its own.
pub(crate) struct Webhooks {
    running: Mutex<BTreeMap<CallbackName, Running>>,
    /// Those that run, for who cannot wait.
    names: TakenNames,
    feeds: Arc<dyn Feeds>,
    with: Surroundings,
}

struct Running {
    orders: mpsc::Sender<Order>,
    standing: watch::Receiver<Standing>,
    wanted: Vec<EventPattern>,
    receivers: Option<Arc<dyn Receivers>>,
    task: JoinHandle<()>,
}

/// How one is asked, what it wants to hear of, and where that goes.
type Found = (mpsc::Sender<Order>, Vec<EventPattern>, Option<Arc<dyn Receivers>>);

impl Drop for Webhooks {
    fn drop(&mut self) {
        // Who is dropped without a stop waits for nobody: what is under way is told again.
        self.running.get_mut().values().for_each(|one| one.task.abort());
    }
}

impl Webhooks {
    /// Goes on where each webhook stopped. One that is new is told of what happens from now on.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read how far they had come.
    pub(crate) async fn start(
        webhooks: Vec<Prepared>,
        feeds: Arc<dyn Feeds>,
        with: Surroundings,
    ) -> Result<Self, StoreError> {
        let all = Self { running: Mutex::default(), names: TakenNames::default(), feeds, with };
        all.replace(webhooks).await?;
        Ok(all)
    }

    /// Puts other webhooks in the place of those there are. One of the same name goes on where it is, by its new means;
    /// one that is not there any more ends, and what it owes waits for its name to come back.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where it cannot be read how far a new one had come. Those before it run then.
    pub(crate) async fn replace(&self, webhooks: Vec<Prepared>) -> Result<(), StoreError> {
        let mut running = self.running.lock().await;
        let (kept, new): (Vec<_>, Vec<_>) = webhooks.into_iter().partition(|one| running.contains_key(&one.name));
        let mut begun = BTreeMap::new();
        if !new.is_empty() {
            let books = self.with.store.callbacks().await?;
            let mut books: BTreeMap<_, _> = books.into_iter().map(|book| (book.name.clone(), book)).collect();
            for Prepared { name, means } in new {
                let one = self.begin(name.clone(), books.remove(&name), means).await?;
                begun.insert(name, one);
            }
        }
        let mut before = std::mem::replace(&mut *running, begun);
        for Prepared { name, means } in kept {
            let Some(one) = before.remove(&name) else { continue };
            let (wanted, receivers) = (means.wanted.clone(), means.receivers.clone());
            // One whose task has ended is at its end with the store.
            let _ = one.orders.send(Order::Use(Box::new(means))).await;
            running.insert(name, Running { wanted, receivers, ..one });
        }
        self.names.replace(running.keys());
        // Of those that are left, what is in flight ends by itself, within the time limit of a call.
        Ok(())
    }

    async fn begin(&self, name: CallbackName, book: Option<CallbackBook>, means: Means) -> Result<Running, StoreError> {
        let is_new = book.is_none();
        let book = match book {
            Some(book) => book,
            None => CallbackBook { name, cursor: self.feeds.newest().await?, disabled: None },
        };
        let is_kept = if is_new {
            let change = CallbackChange { books: vec![book.clone()], ..CallbackChange::default() };
            match self.with.store.keep_callbacks(change).await {
                Ok(()) => true,
                // Its queue writes it once the disk takes it; a start does not wait for that.
                Err(error) if error.is_transient() => false,
                Err(error) => return Err(error),
            }
        } else {
            true
        };
        let owed = self.owed(&book.name, means.receivers.as_ref()).await?;
        let (orders, received) = mpsc::channel(ORDERS_MAX);
        let (wanted, receivers) = (means.wanted.clone(), means.receivers.clone());
        let feed = self.feeds.behind(book.cursor);
        let (outbound, standing) = Outbound::new((book, is_kept), owed, feed, means, self.with.clone());
        Ok(Running { orders, standing, wanted, receivers, task: tokio::spawn(outbound.run(received)) })
    }

    /// What one owes, by host. Where a notification is not kept any more, no host: nobody is called there, and that is said.
    async fn owed(
        &self,
        name: &CallbackName,
        receivers: Option<&Arc<dyn Receivers>>,
    ) -> Result<Vec<(Host, OwedCallback)>, StoreError> {
        let mut all: Vec<(Host, OwedCallback)> = Vec::new();
        loop {
            let after = all.last().map_or(0, |(_, row)| row.event);
            let page = self.with.store.owed_callbacks(name, after, PAGE).await?;
            if page.is_empty() {
                return Ok(all);
            }
            let hosts = match receivers {
                Some(receivers) => receivers.hosts(page.iter().filter_map(|row| row.notification).collect()).await?,
                None => HashMap::new(),
            };
            let host = |row: &OwedCallback| row.notification.and_then(|id| hosts.get(&id).cloned());
            all.extend(page.into_iter().map(|row| (host(&row).unwrap_or_else(one_host), row)));
        }
    }

    /// Whether there is one of this name.
    pub(crate) fn knows(&self, name: &CallbackName) -> bool {
        self.names.has(name)
    }

    /// The names of those that run, now and from now on.
    pub(crate) fn names(&self) -> TakenNames {
        self.names.clone()
    }

    /// What came of all calls.
    pub(crate) fn tally(&self) -> &Tally {
        &self.with.tally
    }

    /// How each one stands, by name.
    pub(crate) async fn standings(&self) -> Vec<(CallbackName, Standing)> {
        let running = self.running.lock().await;
        running.iter().map(|(name, one)| (name.clone(), one.standing.borrow().clone())).collect()
    }

    /// How one of them stands.
    pub(crate) async fn standing(&self, name: &CallbackName) -> Option<Standing> {
        self.running.lock().await.get(name).map(|one| one.standing.borrow().clone())
    }

    /// How one of them stands, now and from now on.
    #[cfg(test)]
    pub(crate) async fn watch(&self, name: &CallbackName) -> Option<watch::Receiver<Standing>> {
        self.running.lock().await.get(name).map(|one| one.standing.clone())
    }

    /// Calls a webhook again whose receiver wanted to hear no more. What happened meanwhile is told then, as far as it is
    /// kept. Answers whether it was disabled.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; nothing changed then.
    pub(crate) async fn enable(&self, name: &CallbackName, audit: Vec<AuditEntry>) -> Result<bool, WebhookError> {
        let (orders, ..) = self.find(name).await?;
        let (reply, done) = oneshot::channel();
        let stopped = || WebhookError::Stopped { name: name.clone() };
        orders.send(Order::Enable(audit, reply)).await.map_err(|_| stopped())?;
        Ok(done.await.map_err(|_| stopped())??)
    }

    /// Tells events again that were given up, with all attempts before them. All of `dead` are of webhook `name`. Answers
    /// how many there are that did not wait already.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; nothing changed then.
    pub(crate) async fn replay(
        &self,
        name: &CallbackName,
        dead: &[DeadCallback],
        audit: Vec<AuditEntry>,
    ) -> Result<u64, WebhookError> {
        let (orders, ..) = self.find(name).await?;
        let rows = replay::rows_of_dead(dead, self.with.clock.now());
        let revived = dead.iter().map(|dead| dead.id).collect();
        owe(name, &orders, Again { rows, revived, audit }).await
    }

    /// Tells all that a webhook wants to hear of a stretch of time again, as far as it is kept. Answers how many events
    /// there are that did not wait already.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; nothing changed then.
    pub(crate) async fn replay_range(
        &self,
        name: &CallbackName,
        (since, until): (Timestamp, Timestamp),
        by: Actor,
    ) -> Result<u64, WebhookError> {
        if since > until {
            return Err(WebhookError::Backwards { since, until });
        }
        let (orders, wanted, receivers) = self.find(name).await?;
        let bounds = (self.with.clock.now(), line::OWED_MAX);
        let rows = replay::rows_of_range(&self.with.store, name, (&wanted, receivers), (since, until), bounds).await?;
        let (callback, calls) = (name.clone(), rows.len() as u64);
        let act = Act::Callback { callback, deed: CallbackDeed::Replay, calls };
        let entry = AuditEntry { at: self.with.clock.now(), by, act, outcome: AuditOutcome::Done };
        owe(name, &orders, Again { rows, revived: Vec::new(), audit: vec![entry] }).await
    }

    async fn find(&self, name: &CallbackName) -> Result<Found, WebhookError> {
        let running = self.running.lock().await;
        match running.get(name) {
            Some(one) => Ok((one.orders.clone(), one.wanted.clone(), one.receivers.clone())),
            None => Err(WebhookError::Unknown { name: name.clone(), known: running.keys().cloned().collect() }),
        }
    }

    /// Stops: no new calls are begun, those under way get `timeout` to end, and how far each has come is written down. What
    /// is left is told after the next start.
    pub(crate) async fn stop(&self, timeout: Duration) {
        let running = std::mem::take(&mut *self.running.lock().await);
        let tasks: Vec<_> = running.into_values().map(|one| one.task).collect();
        let aborts: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
        if tokio::time::timeout(timeout, futures_util::future::join_all(tasks)).await.is_err() {
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

async fn owe(name: &CallbackName, orders: &mpsc::Sender<Order>, again: Again) -> Result<u64, WebhookError> {
    let (reply, done) = oneshot::channel();
    let stopped = || WebhookError::Stopped { name: name.clone() };
    orders.send(Order::Owe(again, reply)).await.map_err(|_| stopped())?;
    done.await.map_err(|_| stopped())?
}

#[cfg(test)]
mod tests;
