//! The composition root: makes the rooms, joins them, and stops them in order.
//!
//! *Flow:* [`Runtime::builder`] → [`RuntimeBuilder::build`] opens the store, loads the plugins and starts the workers →
//! [`Runtime::notify`] … → [`Runtime::shutdown`].
//!
//! *Invariants:* on an error nothing has started. No state outside the value: two runtimes in one process do not meet.
//!
//! *Not here:* HTTP (`api`), the command line (`cli`).

mod adapters;
mod auditing;
mod builder;
mod callbacks;
mod calling;
mod channels;
mod components;
mod desk;
mod doctor;
mod draft;
mod events;
mod expander;
mod finding;
mod findings;
mod gatekeeper;
mod gates;
mod handle;
mod hosts;
mod inspection;
mod neighbours;
mod outcomes;
mod outliving;
mod probing;
mod rates;
mod readiness;
mod reload;
mod retention;
mod statistics;
mod supplying;
mod timekeeper;
mod upkeep;
mod webhooks;
mod working;
mod workshop;

use std::sync::{Arc, Mutex as SyncMutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use crate::callback::Callbacks;
use crate::clock::Clock;
use crate::config::{Config, Source};
use crate::dispatch::{Dispatcher, RetryPolicies};
use crate::domain::{Actor, DeliveryId, NotificationId, PluginChange, PluginName, Priority};
use crate::events::Subscribers;
use crate::intake::{Acceptance, Intake, Problems, Submission, SubmitError};
use crate::queue::QueueHandle;
use crate::render::Renderer;
use crate::sandbox::{Registry, Watch};
use crate::store::Store;
use crate::telemetry::Metrics;

pub use crate::call::{Call, RenderCall, RenderFailure, TemplateCheckError, TemplateProblem, TemplateVariable};
pub use crate::capability::http::{HttpError, HttpReply, PlayedProvider, PlayedRequest};
pub use crate::dispatch::{
    Affinity, ChannelRecord, CurrentTask, HostBreaker, Latency, OpenHosts, PoolStatus, ScaleError, WorkerState,
    WorkerStatus,
};
pub use crate::domain::{BreakerNote, FailedCall, HostTag};
pub use crate::queue::GateStatus;
pub(crate) use crate::sandbox::compile_for_parent;
pub use crate::sandbox::{
    CONTRACT_VERSION, ChannelChanges, ChannelFinding, ChannelStatus, ConsoleSink, Descriptor, InspectError, Need,
    OperatorError, PluginKind, PluginSource, PluginState, PluginStatus, PrepareError, ProviderRate, Role, SecretKey,
};
pub use crate::store::sqlite::{Copied, Migrated, Restored, UpkeepError};
pub use crate::store::{
    AuditFilter, AuditPage, Cancelled, DeadCallbackFilter, DeadLetter, DeadLetterFilter, DeadLetterPage,
    DeliveryRecord, Flight, NotificationFilter, NotificationPage, NotificationRecord, StatusCounts64, StoreError,
    StoreTotals,
};
pub use crate::supply::{KeyError, LockError, RegistryLogin, SupplyError, TrustError};
pub use auditing::AuditQuery;
pub use builder::{BuildError, RuntimeBuilder};
pub use callbacks::{
    CallState, CallbackOperationError, CallbackReplay, CallbackStanding, CallbacksStatus, CallerStatistics,
    DeadCallbackChoice, DeadCallbackPage, ExecutorStatistics, FullCounts, KindStatistics, LatencyStatistics,
};
pub use channels::{ChannelError, ChannelGate, ChannelState, ChannelTest};
pub use components::{ComponentHealth, ComponentState};
pub(crate) use doctor::room_hint;
pub use doctor::{Check, CheckStatus, Examined, examine_installation};
pub use draft::Notification;
pub use events::{EventStream, StreamItem};
pub use finding::{NotReplayed, NotificationQuery, ParseRateError, ReplayRate, ReplayReport};
pub use findings::ConfigFinding;
pub use handle::{DeliveryOutcomeError, Handle, OutcomeError, Progress, ProgressError};
pub use inspection::{Inspection, InspectionError, check_channels, inspect_plugin};
pub use probing::{ChannelHealth, HealthState};
pub use rates::{ChannelRate, RateSource};
pub use reload::{ReloadError, Reloaded};
pub use statistics::{QueueDepth, RuntimeStatistics};
pub use supplying::{AddError, AddRequest, Added, SignFileError, add_plugin, make_key, remove_plugin, sign_plugin};
pub use upkeep::{STORE_VERSION, backup_store, migrate_store, restore_store, store_version};
pub use webhooks::{WebhookError, WebhookStatus, check_webhooks};
pub use working::ScaleWorkersError;
pub use workshop::{KeepError, Kept, TRIAL_MEMORY_MAX, Trial, TrialError, Tried, Workpiece};

#[cfg(test)]
pub(crate) use adapters::KeptIn;
use callbacks::CallbackDesk;
use desk::Desk;
use expander::Expander;
use outcomes::{For, Outcomes};
use outliving::to_its_end;
use retention::Sweeper;
use timekeeper::Timekeeper;
use webhooks::WebhookDesk;

/// How long a stop at once waits for the workers to write what they interrupted.
const INTERRUPT_LIMIT: Duration = Duration::from_secs(1);

/// How long it waits for the store to be closed.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// A running Campanile. Clones share it.
///
/// ```no_run
/// use std::time::Duration;
/// use campanile::{Config, Notification, Runtime};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::builder().config(Config::default()).build().await?;
/// let handle = runtime.notify(Notification::new().channel("console").body("hello")).await?;
/// let record = handle.outcome(Duration::from_secs(10)).await?;
/// println!("{}", record.counts.status().as_str());
/// runtime.shutdown(Duration::from_secs(30)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Runtime {
    parts: Arc<Parts>,
    /// Who asks, for the audit log.
    by: Actor,
}

struct Parts {
    /// What is in force.
    config: ArcSwap<Config>,
    /// Where it came from, for who wants it read again.
    source: Option<Source>,
    /// One reload at a time, from its reading on.
    reloading: Mutex<()>,
    /// One change of the pool's size by hand at a time.
    scaling: Mutex<()>,
    /// The most linear memory that the sandbox has for a call, in bytes.
    memory_max: u64,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    store: Arc<dyn Store>,
    registry: Arc<Registry>,
    watch: Mutex<Option<Watch>>,
    intake: ArcSwap<Intake>,
    policies: RetryPolicies,
    renderer: Arc<Renderer>,
    outcomes: Arc<Outcomes>,
    queue: QueueHandle,
    dispatcher: Dispatcher,
    /// Units of the engine in a millisecond of this machine.
    fuel_per_ms: u64,
    desk: Desk,
    callback_desk: CallbackDesk,
    subscribers: Subscribers,
    callbacks: Callbacks,
    webhooks: Arc<WebhookDesk>,
    /// Ends with the store, or with this.
    _expander: Expander,
    _timekeeper: Timekeeper,
    /// The same.
    sweeper: SyncMutex<Sweeper>,
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

impl Runtime {
    /// Starts with the default configuration; nothing runs before [`RuntimeBuilder::build`].
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder::default()
    }

    /// Accepts a notification. It is durable when this returns; nobody has been told yet.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Invalid`] names every problem. Nothing is stored then.
    pub async fn notify(&self, notification: Notification) -> Result<Handle, SubmitError> {
        Ok(Handle { runtime: self.clone(), accepted: self.submit(notification.into()).await? })
    }

    /// Accepts what a caller asks for, as [`notify`](Self::notify) does.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Invalid`] names every problem. Nothing is stored then.
    pub async fn submit(&self, submission: Submission) -> Result<Acceptance, SubmitError> {
        self.parts.intake.load_full().submit(Submission { by: self.by, ..submission }).await
    }

    /// Accepts many in one commit. The answers are in order; a bad one does not keep the others out.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] where none was accepted: too many at once, or the store failed.
    pub async fn submit_batch(
        &self,
        mut submissions: Vec<Submission>,
    ) -> Result<Vec<Result<Acceptance, Problems>>, SubmitError> {
        submissions.iter_mut().for_each(|submission| submission.by = self.by);
        self.parts.intake.load_full().submit_batch(submissions).await
    }

    /// Every problem of a submission, without accepting it.
    pub async fn examine(&self, submission: Submission) -> Problems {
        self.parts.intake.load_full().examine(submission).await
    }

    /// A notification with its deliveries and their attempts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn notification(&self, id: NotificationId) -> Result<Option<NotificationRecord>, StoreError> {
        self.parts.store.notification(id).await
    }

    /// The same once every delivery is final, or as it stands when `limit` has passed or the runtime stops.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn wait(&self, id: NotificationId, limit: Duration) -> Result<Option<NotificationRecord>, StoreError> {
        // First registered, then read: a completion in between is seen by one of the two.
        let mut waiter = self.parts.outcomes.register(id, For::End);
        match self.notification(id).await? {
            Some(record) if record.counts.open > 0 => {}
            settled => return Ok(settled),
        }
        // Whether it was completed or the time is up, the record says how far it has come.
        let _ = tokio::time::timeout(limit, waiter.woken()).await;
        self.notification(id).await
    }

    /// Withdraws what has not left. What is in flight is withdrawn too, unless that attempt sends it. Goes on to its end
    /// where nobody waits for the answer.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be changed.
    pub async fn cancel(&self, id: NotificationId) -> Result<Cancelled, StoreError> {
        let (store, at, by) = (Arc::clone(&self.parts.store), self.parts.clock.now(), self.by);
        to_its_end(async move { store.cancel(id, at, by).await }).await
    }

    /// Withdraws one delivery and no other. What is in flight is withdrawn too, unless that attempt sends it.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be changed.
    pub async fn cancel_delivery(&self, id: DeliveryId) -> Result<Cancelled, StoreError> {
        self.parts.store.cancel_delivery(id, self.parts.clock.now(), self.by).await
    }

    /// Every plugin there is, and why those that do not serve were refused.
    #[must_use]
    pub fn plugins(&self) -> Vec<PluginStatus> {
        self.parts.registry.plugins()
    }

    /// What speaks against a plugin file that is loaded all the same.
    #[must_use]
    pub fn plugin_warnings(&self, plugin: &PluginStatus) -> Vec<String> {
        plugin.sha256.map(|sha256| self.parts.registry.warnings(sha256)).unwrap_or_default()
    }

    /// Counts the changes: plugins and channels may be others after each.
    pub(crate) fn plugin_changes(&self) -> tokio::sync::watch::Receiver<u64> {
        self.parts.registry.changes()
    }

    /// Lets a version of a plugin be called again that failed too often: its deliveries wait no longer. `version` says
    /// which, where several were rolled back. Answers how the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, or nothing is held against it or that version of it.
    pub async fn release_plugin(
        &self,
        name: &PluginName,
        version: Option<&semver::Version>,
    ) -> Result<Vec<PluginStatus>, OperatorError> {
        let done = self.parts.registry.release(name, version, self.by).await;
        self.note_refusal(PluginChange::Released, name, &done).await;
        done
    }

    /// Lets a plugin have what a held version of it asks for; `version` says which, where several are held. Answers how
    /// the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, or none of its versions is held, or not that one.
    pub async fn approve_plugin(
        &self,
        name: &PluginName,
        version: Option<&semver::Version>,
    ) -> Result<Vec<PluginStatus>, OperatorError> {
        let done = self.parts.registry.approve(name, version, self.by).await;
        self.note_refusal(PluginChange::Approved, name, &done).await;
        done
    }

    /// Every channel there is, and why those that cannot be used cannot.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelStatus> {
        self.parts.registry.channels()
    }

    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.parts.config.load_full()
    }

    /// Everything counted and measured.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// The same as text for a scraper, of type [`Metrics::CONTENT_TYPE`].
    #[must_use]
    pub fn metrics_text(&self) -> String {
        // A depth is a state: it is read when somebody asks, and costs the queue nothing otherwise.
        for (priority, depth) in Priority::DESCENDING.into_iter().zip(self.parts.queue.depths()) {
            self.parts.metrics.queue_depth(priority, depth.waiting);
            self.parts.metrics.queue_oldest(priority, depth.oldest);
        }
        let pool = self.workers();
        let count = |state| pool.workers.iter().filter(|worker| worker.state == state).count();
        for state in [WorkerState::Idle, WorkerState::Processing, WorkerState::Draining] {
            self.parts.metrics.workers(state.as_str(), count(state));
        }
        self.parts.metrics.worker_load(pool.load);
        let breakers = self.parts.queue.gates().into_iter().map(|gate| (gate.channel, gate.breaker));
        self.parts.metrics.breaker_states(breakers);
        let totals = self.parts.store.totals();
        self.parts.metrics.outstanding(totals.retrying, totals.dead_letters);
        self.parts.metrics.store_errors(self.parts.store.stats().refused);
        self.parts.metrics.dead_callbacks(totals.dead_callbacks);
        self.parts.metrics.event_subscribers(self.parts.subscribers.count());
        self.parts.metrics.encode()
    }

    /// Lets go of everyone who [waits](Self::wait): they get the record as it stands. Streams of events over connections
    /// end. For a server that is about to stop and owes answers.
    pub fn release_waiters(&self) {
        self.parts.outcomes.stop();
        self.parts.subscribers.stop();
    }

    /// Stops: no new deliveries are begun, those in flight get `timeout` to end, and what is left stays in the store
    /// for the next start. Callbacks are called for what has happened in what is left of `timeout`. A second call finds
    /// nothing to do.
    ///
    /// # Errors
    ///
    /// [`ShutdownError`] where something was still in flight when the time was up: it will be delivered again.
    pub async fn shutdown(&self, timeout: Duration) -> Result<(), ShutdownError> {
        self.release_waiters();
        if let Some(watch) = self.parts.watch.lock().await.take() {
            watch.stop().await;
        }
        let began = Instant::now();
        let left = self.parts.dispatcher.shutdown(timeout).await;
        self.parts.desk.stop().await;
        // What is told of the last deliveries after that is told by the next start.
        tokio::join!(
            self.parts.callbacks.stop(timeout.saturating_sub(began.elapsed())),
            self.parts.webhooks.stop(timeout.saturating_sub(began.elapsed())),
        );
        self.parts.store.close().await;
        if left == 0 { Ok(()) } else { Err(ShutdownError { left, timeout }) }
    }

    /// Stops as [`shutdown`](Self::shutdown) does, for whoever has no patience for one that is under way: what is in
    /// flight is interrupted at once, and the store is closed in order, so that the next start does not take this for a
    /// crash. Returns within three seconds, whatever hangs.
    pub async fn shutdown_now(&self) {
        self.release_waiters();
        // Each apart: workers that do not end must not keep the store from being closed.
        let _ = tokio::time::timeout(INTERRUPT_LIMIT, self.parts.dispatcher.shutdown(Duration::ZERO)).await;
        if tokio::time::timeout(CLOSE_LIMIT, self.parts.store.close()).await.is_err() {
            let limit_s = CLOSE_LIMIT.as_secs();
            tracing::warn!(limit_s, "The store was not closed in time; the next start takes this for a crash.");
        }
    }
}

/// Deliveries were still in flight when a stop had to end. They stay in the store and are delivered again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} in flight after {timeout:?}; the next start delivers what was left again", still(*.left))]
pub struct ShutdownError {
    /// How many.
    pub left: usize,
    /// How long the stop waited.
    pub timeout: Duration,
}

fn still(left: usize) -> String {
    if left == 1 { "1 delivery was still".to_owned() } else { format!("{left} deliveries were still") }
}
