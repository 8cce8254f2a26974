//! Everything that a runtime is made of, checked before anything starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex as SyncMutex};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;

use super::adapters::{Commits, Holds, KeptIn, Pins, Remembered};
use super::calling::{callback_desk, open_callbacks};
use super::desk::Desk;
use super::expander::Expansions;
use super::neighbours::{neighbours, rendering, retry_policies};
use super::outcomes::Outcomes;
use super::retention::Retention;
use super::timekeeper::Timekeeper;
use super::webhooks::{Opened, WebhookDesk, open_webhooks};
use super::{Parts, Runtime, gates, rates};
use crate::call::TemplateCaller;
use crate::callback::{Answer, BatchProgress, CallbackError, CallbackSettings, DeliveryError, Receipt, Registration};
use crate::capability::http::Egress;
use crate::capability::kv::{KvStore, Nowhere};
use crate::clock::{Clock, Entropy, SystemClock};
use crate::config::{Config, ConfigError, Durability, Places, Source, StoreConfig, TemplatesConfig, WorkersConfig};
use crate::dispatch::{Dispatcher, Neighbours, TimeLimits};
use crate::domain::{
    Act, Actor, AuditEntry, AuditOutcome, ChannelName, Notification, PluginBook, RetryPolicy, StoreDeed,
};
use crate::events::{EventLog, Inlet, Subscribers};
use crate::intake::{Intake, TemplatePins};
use crate::queue::{QueueHandle, WindowLimits};
use crate::render::{TemplateOptions, TemplateRegistry};
use crate::sandbox::{
    ConsoleSink, DeliveryHolds, Nobody, PluginMemory, Registry, RegistrySettings, Sandbox, SandboxError,
    SandboxSettings, Stdout, Watch,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore, VERSION};
use crate::store::{Store, StoreError};
use crate::telemetry::Metrics;

/// Calls beside the deliveries in flight: plugins that describe themselves, templates that are checked.
const CALLS_BESIDE: u32 = 8;

/// Makes a [`Runtime`].
#[must_use = "nothing runs before `build`"]
pub struct RuntimeBuilder {
    config: Config,
    source: Option<Source>,
    clock: Arc<dyn Clock>,
    entropy: Arc<Entropy>,
    console: Arc<dyn ConsoleSink>,
    metrics: Arc<Metrics>,
    compiler: Option<PathBuf>,
    paused: bool,
    callbacks: Option<CallbackSettings>,
    registrations: Vec<Registration>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            source: None,
            clock: Arc::new(SystemClock::default()),
            entropy: Arc::new(Entropy::from_system()),
            console: Arc::new(Stdout),
            metrics: Metrics::new(),
            compiler: None,
            paused: false,
            callbacks: None,
            registrations: Vec::new(),
        }
    }
}

impl std::fmt::Debug for RuntimeBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RuntimeBuilder").finish_non_exhaustive()
    }
}

/// Why there is no runtime. Nothing has started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The configuration has problems; all of them are in it.
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    /// The store does not open.
    #[error("the store does not open")]
    Store(#[from] StoreError),
    /// The sandbox does not start.
    #[error("the sandbox does not start")]
    Sandbox(#[from] SandboxError),
    /// A callback cannot be registered, or callbacks cannot have these settings.
    #[error("the callbacks cannot be registered")]
    Callbacks(#[from] CallbackError),
}

impl RuntimeBuilder {
    /// Has plugins compiled by this program, a `campanile` of this version, in a process of its own: bounded in time and
    /// memory. Default: in a thread, bounded in the shape of what it is given.
    pub fn compiler(mut self, program: PathBuf) -> Self {
        self.compiler = Some(program);
        self
    }

    /// Sets the configuration. Default: every section's own default.
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Says where the configuration came from, so that [`Runtime::reload_from_source`] can read it again. Default: nowhere.
    pub fn source(mut self, source: Source) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets the folder of the operator's own plugins.
    pub fn plugin_dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.config.plugins.dir = dir.into();
        self
    }

    /// Sets the clock that every due time is read from. Default: the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets where ids and jitter come from. Default: seeded by the operating system.
    pub fn entropy(mut self, entropy: Arc<Entropy>) -> Self {
        self.entropy = entropy;
        self
    }

    /// Sets where lines go that plugins print, the `console` channel's among them. Default: standard output.
    pub fn console(mut self, console: Arc<dyn ConsoleSink>) -> Self {
        self.console = console;
        self
    }

    /// Calls this once for each delivery that was sent, from the start on. A closure that gives a future is run with the
    /// program's tasks, any other one on a thread for callbacks.
    ///
    /// ```
    /// use campanile::Runtime;
    ///
    /// let builder = Runtime::builder()
    ///     .on_completion(|receipt| async move { println!("{} reached {}", receipt.notification, receipt.recipient) })
    ///     .on_error(|notification, error| eprintln!("{}: {error}", notification.id()))
    ///     .on_progress(|progress| println!("{} of {}", progress.completed, progress.total));
    /// # let _ = builder;
    /// ```
    pub fn on_completion<K, A: Answer<K>>(self, closure: impl Fn(Receipt) -> A + Send + Sync + 'static) -> Self {
        self.callback(Registration::completion(closure))
    }

    /// Calls this once for each delivery that failed for good. One that is replayed and fails again is told again.
    pub fn on_error<K, A: Answer<K>>(
        self,
        closure: impl Fn(Arc<Notification>, DeliveryError) -> A + Send + Sync + 'static,
    ) -> Self {
        self.callback(Registration::error(closure))
    }

    /// Calls this as the deliveries of notifications with several of them become final, at most once a second for each
    /// notification, and at the last one.
    pub fn on_progress<K, A: Answer<K>>(self, closure: impl Fn(BatchProgress) -> A + Send + Sync + 'static) -> Self {
        self.callback(Registration::progress(closure))
    }

    /// Registers a callback with its options, before anything is delivered.
    pub fn callback(mut self, registration: Registration) -> Self {
        self.registrations.push(registration);
        self
    }

    /// Sets how callbacks are run, whatever the configuration says. Default: as `[callbacks]` says.
    pub fn callbacks(mut self, settings: CallbackSettings) -> Self {
        self.callbacks = Some(settings);
        self
    }

    /// Delivers nothing: for measuring what comes in.
    pub(crate) fn paused(mut self) -> Self {
        self.paused = true;
        self
    }

    /// Counts and measures nothing.
    pub fn without_metrics(mut self) -> Self {
        self.metrics = Metrics::off();
        self
    }

    /// Checks the configuration, opens the store, loads the plugins, and starts to deliver what waits.
    ///
    /// # Errors
    ///
    /// [`BuildError`]; nothing has started then. A plugin or channel that cannot be used is not an error: the others
    /// serve, and [`Runtime::plugins`] and [`Runtime::channels`] say why.
    pub async fn build(self) -> Result<Runtime, BuildError> {
        let Self { config, source, clock, entropy, console, metrics, compiler, paused, callbacks, registrations } =
            self;
        check(&config, source.as_ref())?;
        let opened = open_all(&config, &clock, &entropy).await?;
        let sandbox = open_sandbox(&config, console, &metrics)?;
        compiler.into_iter().for_each(|program| sandbox.compile_with(program));
        let fuel_per_ms = sandbox.fuel_per_ms();
        let queue = QueueHandle::new(WindowLimits::default(), Arc::clone(&clock));
        let Told { store, log, outcomes, expansions } = open_told(&config, &queue, (&metrics, &clock)).await?;
        let subscribers = Subscribers::new(Arc::clone(&log), Arc::clone(&clock), Arc::clone(&metrics));
        let webhooks =
            WebhookDesk::start(&config, opened, Arc::clone(&log), (&store, &clock, &entropy), &metrics).await?;
        let registry = open_registry(sandbox, &config, &clock, &entropy, memory(&store, &queue).await?).await;
        registry.expect(store.lanes().await?.into_iter().map(|depth| depth.lane.channel)).await;
        registry.log_channels();

        let (templates, renderer) = rendering(&config, &registry, &store, &clock);
        let policies = retry_policies(&config);
        let told = (&clock, entropy, &metrics);
        let mut neighbours = neighbours(&config, &registry, &renderer, &policies, (&store, &queue), told);
        let intake = way_in(&neighbours, &registry, (templates, &webhooks), &config);
        let desk = open_desk(&neighbours, &config, &registry).await?;
        neighbours.hosts = desk.keeper.hosts();
        let callbacks =
            open_callbacks(&neighbours, (log, webhooks.names()), (&config, callbacks), registrations).await?;
        let dispatcher = start(paused, &config.workers, neighbours).await?;
        desk.start(&registry, &clock, dispatcher.outlook()).await;
        let expander = expansions.start(Arc::clone(&store), Arc::clone(&clock));
        let timekeeper = Timekeeper::start(Arc::clone(&store), Arc::clone(&clock));
        let sweeper = Retention::of(&config).start(Arc::clone(&store), Arc::clone(&clock), Arc::clone(&metrics));
        let watch = config.plugins.watch.then(|| Watch::start(Arc::clone(&registry), Arc::clone(&clock)));
        let callback_desk = callback_desk(&store, &clock, &callbacks, &webhooks);
        let parts = Parts {
            callback_desk,
            memory_max: memory_of(&config),
            config: ArcSwap::from_pointee(config),
            source,
            reloading: Mutex::new(()),
            scaling: Mutex::new(()),
            clock,
            metrics,
            store,
            registry,
            watch: Mutex::new(watch),
            intake: ArcSwap::from_pointee(intake),
            policies,
            renderer,
            outcomes,
            queue,
            dispatcher,
            fuel_per_ms,
            desk,
            subscribers,
            callbacks,
            webhooks,
            _expander: expander,
            _timekeeper: timekeeper,
            sweeper: SyncMutex::new(sweeper),
        };
        Ok(Runtime::of(parts).await?)
    }
}

/// What does nothing as it stands is told by whoever loaded it, and here where nobody did.
fn check(config: &Config, source: Option<&Source>) -> Result<(), ConfigError> {
    config.check()?;
    let warnings = if source.is_none() { config.warnings() } else { Vec::new() };
    for warning in warnings {
        tracing::warn!(%warning, "The configuration has a setting that deserves a look.");
    }
    Ok(())
}

async fn open_all(config: &Config, clock: &Arc<dyn Clock>, entropy: &Arc<Entropy>) -> Result<Opened, ConfigError> {
    let opened = open_webhooks(config, clock, entropy, &Places::default()).await;
    opened.map_err(|problems| ConfigError { problems })
}

fn way_in(
    with: &Neighbours,
    registry: &Arc<Registry>,
    (templates, webhooks): (Arc<dyn TemplatePins>, &Arc<WebhookDesk>),
    config: &Config,
) -> Intake {
    Intake {
        store: Arc::clone(&with.store),
        channels: Arc::clone(registry) as _,
        templates,
        clock: Arc::clone(&with.clock),
        entropy: Arc::clone(&with.entropy),
        metrics: Arc::clone(&with.metrics),
        queue: with.queue.clone(),
        dedupe_window: config.store.dedupe_window,
        callback_urls: Arc::clone(webhooks) as _,
    }
}

/// What the registry knows of what was before, and of the rest of the house.
async fn memory(store: &Arc<dyn Store>, queue: &QueueHandle) -> Result<Memory, StoreError> {
    Ok(Memory {
        remembered: store.plugins().await?,
        memory: Arc::new(Remembered(Arc::clone(store))),
        holds: Arc::new(Holds(queue.clone())),
        kv: Arc::new(KeptIn(Arc::clone(store))),
    })
}

/// The queue has its gates from here on, and knows what is held against channels.
async fn open_desk(with: &Neighbours, config: &Config, registry: &Registry) -> Result<Desk, StoreError> {
    let desk = Desk::open(&with.store, &with.queue, &with.clock, &with.entropy).await?;
    let implied = registry.channels().into_iter().map(|channel| channel.name);
    let said = rates::said(registry);
    with.queue.set_gates(gates::of_channels(config, implied.chain(desk.keeper.held()), &said));
    desk.keeper.restore();
    Ok(desk)
}

async fn start(paused: bool, workers: &WorkersConfig, with: Neighbours) -> Result<Dispatcher, StoreError> {
    let pinned = with.store.pin().await?;
    let dispatcher = match paused {
        false => Dispatcher::start(workers, with).await?,
        true => Dispatcher::start_paused(workers, with).await?,
    };
    if let Some(workers) = pinned {
        tracing::info!(
            workers,
            "The number of workers was set by hand before this start, and stays: `campanile workers scale auto` lets it \
             follow the load again."
        );
        dispatcher.pin(pinned);
    }
    Ok(dispatcher)
}

/// The most linear memory that any call may have, in bytes.
fn memory_of(config: &Config) -> u64 {
    let memory = config.channels.values().map(|channel| channel.limits.memory);
    memory.fold(config.plugins.defaults.memory, u64::max)
}

pub(super) fn open_sandbox(
    config: &Config,
    console: Arc<dyn ConsoleSink>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<Sandbox>, SandboxError> {
    let slots = config.workers.slots_max();
    Sandbox::new(SandboxSettings {
        in_flight: slots.saturating_add(CALLS_BESIDE),
        memory_max: memory_of(config),
        console,
        metrics: Arc::clone(metrics),
    })
}

/// What a registry knows of earlier processes, and whom it tells.
pub(super) struct Memory {
    pub(super) remembered: Vec<PluginBook>,
    pub(super) memory: Arc<dyn PluginMemory>,
    pub(super) holds: Arc<dyn DeliveryHolds>,
    pub(super) kv: Arc<dyn KvStore>,
}

impl Memory {
    /// Of no earlier process, and telling nobody: for a look at an installation.
    pub(super) fn none() -> Self {
        Self { remembered: Vec::new(), memory: Arc::new(Nobody), holds: Arc::new(Nobody), kv: Arc::new(Nowhere) }
    }
}

pub(super) async fn open_registry(
    sandbox: Arc<Sandbox>,
    config: &Config,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<Entropy>,
    memory: Memory,
) -> Arc<Registry> {
    let Memory { remembered, memory, holds, kv } = memory;
    let settings = RegistrySettings {
        plugins: config.plugins.clone(),
        channels: config.channels.clone(),
        egress: Egress::system(),
        entropy: Arc::clone(entropy),
        kv,
        remembered,
        memory,
        holds,
    };
    Registry::open(sandbox, settings, Arc::clone(clock)).await
}

/// The store, and those who are told of its commits.
struct Told {
    store: Arc<dyn Store>,
    log: Arc<EventLog>,
    outcomes: Arc<Outcomes>,
    expansions: Expansions,
}

async fn open_told(
    config: &Config,
    queue: &QueueHandle,
    (metrics, clock): (&Arc<Metrics>, &Arc<dyn Clock>),
) -> Result<Told, StoreError> {
    let outcomes = Arc::new(Outcomes::default());
    let expansions = Expansions::default();
    let (inlet, outlet) = Inlet::new();
    let commits = Commits {
        events: inlet,
        queue: queue.clone(),
        outcomes: Arc::clone(&outcomes),
        metrics: Arc::clone(metrics),
        expansions: expansions.clone(),
    };
    let store = open_store(config, Arc::new(commits), &**clock).await?;
    let log = EventLog::start(outlet, Arc::clone(&store)).await?;
    Ok(Told { store, log, outcomes, expansions })
}

async fn open_store(config: &Config, listener: Arc<Commits>, clock: &dyn Clock) -> Result<Arc<dyn Store>, StoreError> {
    let StoreConfig { path, durability, .. } = config.store.clone();
    if durability != Durability::Memory && std::fs::metadata(&path).is_ok_and(|there| there.len() == 0) {
        // It opens as a new one would: whoever has lost what was in it should hear of it before the day is over.
        tracing::warn!(
            path = %path.display(),
            "The database was there and empty, and begins anew. If it held anything, stop the server and put a backup back: \
             `campanile restore FILE --yes`."
        );
    }
    let options = SqliteOptions { path, durability, listener };
    let opened = tokio::task::spawn_blocking(move || SqliteStore::open(options)).await;
    let store = opened.map_err(|error| StoreError::Internal { reason: format!("opening was cut off: {error}") })??;
    if let Some(from) = store.migrated_from() {
        let act = Act::Store { deed: StoreDeed::Migrate, from, to: VERSION };
        let entry = AuditEntry { at: clock.now(), by: Actor::Host, act, outcome: AuditOutcome::Done };
        if let Err(error) = store.record(vec![entry]).await {
            tracing::warn!(%error, from, "That the database was migrated is not in its audit log.");
        }
    }
    Ok(store)
}

/// The templates of a folder, as intake knows them.
pub(super) fn templates(
    config: &TemplatesConfig,
    engines: &Arc<dyn TemplateCaller>,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Arc<dyn TemplatePins> {
    let TemplatesConfig { dir, strict } = config.clone();
    let options = TemplateOptions { dir, strict };
    Arc::new(Pins(TemplateRegistry::new(options, Arc::clone(engines), Arc::clone(store), Arc::clone(clock))))
}

/// Each channel's policy by the name that its configuration gives, and that of those that give none. `check` has seen
/// that there is one.
pub(super) fn policies(config: &Config) -> (Arc<RetryPolicy>, BTreeMap<ChannelName, Arc<RetryPolicy>>) {
    let named = |name: &str| config.retry.get(name).cloned().unwrap_or_default();
    let default: Arc<RetryPolicy> = Arc::new(named("default"));
    let own = config.channels.iter().filter(|(_, channel)| channel.retry != "default");
    let by_channel = own.map(|(name, channel)| (name.clone(), Arc::new(named(&channel.retry)))).collect();
    (default, by_channel)
}

/// What a sandbox lets each channel's calls take.
pub(super) fn time_limits(config: &Config) -> TimeLimits {
    let by_channel = config.channels.iter().map(|(name, channel)| (name.clone(), channel.limits.timeout)).collect();
    let timeout = config.plugins.defaults.timeout;
    TimeLimits { default: Some(timeout), by_channel, render: timeout }
}
