//! Webhooks of the configuration: judged before anything starts, joined to the stream and the store, and put in the place
//! of those before them at a reload.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;

use super::Runtime;
use super::callbacks::{CallState, Caller, CallerStatistics, KindStatistics};
use crate::callback::Callbacks;
use crate::callback::webhook::{
    Endpoint, EndpointProblem, Feeds, Prepared, Standing, Stream, Surroundings, TakenNames, Tally, UrlReach, UrlTeller,
    Way, Webhooks, open, open_urls, prepare,
};
use crate::capability::http::Egress;
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{Config, Examined, Places, Problem, WebhookConfig};
use crate::domain::{
    AuditEntry, CallbackBook, CallbackDisabled, CallbackKind, CallbackName, CallbackUrl, DeadCallback, RetryPolicy,
    Timestamp,
};
use crate::events::EventLog;
use crate::intake::{CallbackUrlRefusal, CallbackUrls};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

pub use crate::callback::webhook::WebhookError;

/// How a webhook is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookStatus {
    /// Which.
    pub name: CallbackName,
    /// Every event up to this number of the outbox is done with: told, owed, or given up.
    pub cursor: u64,
    /// Events behind it that are still to be told.
    pub owed: usize,
    /// Calls under way.
    pub in_flight: usize,
    /// Why it is called no longer, and since when.
    pub disabled: Option<CallbackDisabled>,
    /// It asked not to be called before.
    pub held_until: Option<Timestamp>,
}

impl Runtime {
    /// How every webhook is doing, by name.
    pub async fn webhooks(&self) -> Vec<WebhookStatus> {
        let standings = self.parts.webhooks.webhooks.standings().await;
        let status = |(name, standing): (CallbackName, Standing)| WebhookStatus {
            name,
            cursor: standing.cursor,
            owed: standing.owed,
            in_flight: standing.in_flight,
            disabled: standing.disabled,
            held_until: standing.held_until,
        };
        standings.into_iter().map(status).collect()
    }

    /// Tells a webhook again of what it wants to hear of a stretch of time, both ends included, as far as events are kept.
    /// What waits already is not told twice. Answers how many events are to be told.
    ///
    /// # Errors
    ///
    /// [`WebhookError`]; nothing changed then.
    pub async fn replay_webhook(
        &self,
        name: &CallbackName,
        since: Timestamp,
        until: Timestamp,
    ) -> Result<u64, WebhookError> {
        self.parts.webhooks.webhooks.replay_range(name, (since, until), self.by).await
    }
}

/// What a configuration has called, with its keys read.
#[derive(Default)]
pub(super) struct Opened {
    endpoints: Vec<Endpoint>,
    /// None: no `callback_url` is called.
    urls: Option<Arc<UrlReach>>,
}

/// Where webhooks are looked after.
pub(super) struct WebhookDesk {
    pub(super) webhooks: Webhooks,
    urls: ArcSwapOption<UrlReach>,
    store: Arc<dyn Store>,
    feeds: Arc<dyn Feeds>,
    clock: Arc<dyn Clock>,
    entropy: Arc<Entropy>,
}

impl WebhookDesk {
    /// Goes on where each webhook stopped.
    pub(super) async fn start(
        config: &Config,
        opened: Opened,
        log: Arc<EventLog>,
        (store, clock, entropy): (&Arc<dyn Store>, &Arc<dyn Clock>, &Arc<Entropy>),
        metrics: &Arc<Metrics>,
    ) -> Result<Arc<Self>, StoreError> {
        let feeds: Arc<dyn Feeds> = Arc::new(Stream::new(log, Arc::clone(clock)));
        let with = Surroundings {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            entropy: Arc::clone(entropy),
            metrics: Arc::clone(metrics),
            tally: Arc::default(),
        };
        let urls = ArcSwapOption::new(opened.urls.clone());
        let prepared = prepared(config, opened, &feeds, store);
        let webhooks = Webhooks::start(prepared, Arc::clone(&feeds), with).await?;
        let (store, clock, entropy) = (Arc::clone(store), Arc::clone(clock), Arc::clone(entropy));
        Ok(Arc::new(Self { webhooks, urls, store, feeds, clock, entropy }))
    }

    /// Reads the keys of another configuration and judges its webhooks.
    pub(super) async fn open(&self, config: &Config, places: &Places) -> Result<Opened, Vec<Problem>> {
        open_webhooks(config, &self.clock, &self.entropy, places).await
    }

    /// The names of webhooks, now and from now on.
    pub(super) fn names(&self) -> TakenNames {
        self.webhooks.names()
    }

    /// Puts the webhooks of another configuration in the place of those there are.
    pub(super) async fn replace(&self, config: &Config, opened: Opened) {
        self.urls.store(opened.urls.clone());
        let prepared = prepared(config, opened, &self.feeds, &self.store);
        if let Err(error) = self.webhooks.replace(prepared).await {
            tracing::error!(%error, "A webhook that is new cannot be started; reload once more.");
        }
    }

    pub(super) async fn stop(&self, timeout: Duration) {
        self.webhooks.stop(timeout).await;
    }
}

impl CallbackUrls for WebhookDesk {
    fn permits(&self, url: &CallbackUrl) -> Result<(), CallbackUrlRefusal> {
        let reach = self.urls.load();
        let Some(reach) = reach.as_ref() else { return Err(CallbackUrlRefusal::Off) };
        reach.permits(url).map_err(|problem| {
            let (message, hint) = (problem.message, problem.hint);
            CallbackUrlRefusal::NotPermitted { message, hint }
        })
    }
}

/// Every webhook of a configuration, and who calls each `callback_url`.
fn prepared(config: &Config, opened: Opened, feeds: &Arc<dyn Feeds>, store: &Arc<dyn Store>) -> Vec<Prepared> {
    let Opened { endpoints, urls } = opened;
    let policy = |name: &str| policy(config, name);
    let mut all = prepare(&config.webhooks, endpoints, feeds, policy);
    all.extend(urls.map(|reach| {
        let (feeds, store) = (Arc::clone(feeds), Arc::clone(store));
        UrlTeller { reach, feeds, store }.prepare(&config.callback_urls, policy)
    }));
    all
}

/// Webhooks of a configuration that are named as a closure is: they would go on from one place.
pub(super) fn named_as_closures(config: &Config, closures: &Callbacks, places: &Places) -> Vec<Problem> {
    let taken = config.webhooks.iter().enumerate().filter(|(_, webhook)| closures.knows(&webhook.name));
    let problem = |(number, webhook): (usize, &WebhookConfig)| {
        let key = format!("callbacks.webhook.{number}.name");
        let message = format!("is `{}`, the name of a callback that the program has registered", webhook.name);
        let hint = "take another name: what is remembered of a callback, it finds again by its name";
        Problem::found(places.of(&key), key, message, Some(hint.to_owned()))
    };
    taken.map(problem).collect()
}

#[async_trait]
impl Caller for WebhookDesk {
    fn knows(&self, callback: &CallbackName) -> bool {
        self.webhooks.knows(callback)
    }

    async fn replay(&self, dead: Vec<DeadCallback>, entry: AuditEntry) -> Result<(), StoreError> {
        // All of them are of one callback.
        let Some(name) = dead.first().map(|dead| dead.callback.clone()) else { return Ok(()) };
        self.webhooks.replay(&name, &dead, vec![entry]).await.map(drop).map_err(of_store)
    }

    async fn enable(&self, book: CallbackBook, entry: AuditEntry) -> Result<bool, StoreError> {
        self.webhooks.enable(&book.name, vec![entry]).await.map_err(of_store)
    }

    async fn call_state(&self, callback: &CallbackName) -> Option<CallState> {
        let Standing { owed, held_until, next_call, trouble, .. } = self.webhooks.standing(callback).await?;
        let (failing_since, last_error) = trouble.map(|trouble| (trouble.since, trouble.reason)).unzip();
        Some(CallState { owed: owed as u64, held_until, next_call, failing_since, last_error })
    }

    fn statistics(&self, now: Timestamp) -> CallerStatistics {
        let Tally { succeeded, failed, retried, dead, latencies } = self.webhooks.tally();
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (succeeded, dead) = (read(succeeded), read(dead));
        let ended = succeeded + dead;
        let kind = KindStatistics {
            kind: CallbackKind::Webhook,
            succeeded,
            failed: read(failed),
            panicked: 0,
            timed_out: 0,
            retried: read(retried),
            dead,
            skipped: 0,
            success_rate: (ended > 0).then(|| succeeded as f64 / ended as f64),
            latency: latencies.lock().unwrap_or_else(PoisonError::into_inner).statistics(now),
        };
        let is_any = ended > 0 || read(failed) > 0;
        CallerStatistics { executor: None, kinds: if is_any { vec![kind] } else { Vec::new() } }
    }
}

/// It may be asked again: once it owes less, or after a reload.
fn of_store(error: WebhookError) -> StoreError {
    match error {
        WebhookError::Store(error) => error,
        error => StoreError::Unavailable { reason: error.to_string() },
    }
}

/// `check` has seen that there is one of that name.
fn policy(config: &Config, name: &str) -> RetryPolicy {
    config.retry.get(name).cloned().unwrap_or_default()
}

/// Reads the keys of every webhook of a configuration, and of `[callbacks]`, and judges keys and addresses.
pub(super) async fn open_webhooks(
    config: &Config,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<Entropy>,
    places: &Places,
) -> Result<Opened, Vec<Problem>> {
    if config.webhooks.is_empty() && !config.callback_urls.is_on() {
        return Ok(Opened::default());
    }
    let (webhooks, urls) = (config.webhooks.clone(), config.callback_urls.clone());
    let (clock, entropy) = (Arc::clone(clock), Arc::clone(entropy));
    let opened = tokio::task::spawn_blocking(move || {
        let way = Way { egress: Egress::system(), entropy, clock };
        (open(&webhooks, &way), open_urls(&urls, &way))
    });
    let problem =
        |key: String, message: String, hint: Option<String>| Problem::found(places.of(&key), key, message, hint);
    let (endpoints, urls) = match opened.await {
        Ok((Ok(endpoints), Ok(urls))) => return Ok(Opened { endpoints, urls }),
        Ok((endpoints, urls)) => (endpoints.err().unwrap_or_default(), urls.err().unwrap_or_default()),
        Err(error) => {
            let message = format!("could not be read: {error}");
            return Err(vec![problem("callbacks.webhook.0.secret".to_owned(), message, None)]);
        }
    };
    let of_one =
        |(number, found): (usize, EndpointProblem)| (format!("callbacks.webhook.{number}.{}", found.key), found);
    let of_urls = |found: EndpointProblem| (format!("callbacks.{}", found.key), found);
    let found = endpoints.into_iter().map(of_one).chain(urls.into_iter().map(of_urls));
    Err(found.map(|(key, found)| problem(key, found.message, found.hint)).collect())
}

/// Judges the webhooks of a configuration as a start would: reads their keys and looks at their addresses. Nothing is
/// sent. Answers nothing where they have problems that a look at the configuration found already.
pub async fn check_webhooks(examined: &Examined) -> Vec<Problem> {
    if examined.problems.iter().any(|problem| problem.key.starts_with("callbacks")) {
        return Vec::new();
    }
    let (clock, entropy): (Arc<dyn Clock>, _) = (Arc::new(SystemClock::default()), Arc::new(Entropy::from_system()));
    open_webhooks(&examined.config, &clock, &entropy, &examined.places).await.err().unwrap_or_default()
}
