//! Settings: one `Default` for each section, which code, documents and tests all read.
//!
//! *Flow:* flags over environment over file over default; then one check that collects every problem.
//!
//! *Invariants:* a default is written once, in the `Default` of its section below; a limit once, in `check`. A value
//! of a channel's `config` may be a secret: it stands in no message and in no `Debug`.
//!
//! *Not here:* what a setting does. Each room takes its own section.

mod callback_url;
mod callbacks;
mod check;
mod difference;
mod examined;
mod gates;
mod load;
mod place;
mod print;
mod secret;
mod source;
mod tree;
mod trust;
mod unit;
mod webhook;
mod workers;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::domain::{ChannelName, PluginName, Priority, RetryPolicy};

pub(crate) use crate::domain::nearest;
pub use callback_url::CallbackUrlConfig;
pub use callbacks::{CallbacksConfig, WhenFull};
pub use examined::{Examined, Judgeable};
pub use gates::{BreakerConfig, ChannelGates};
pub use place::{ConfigError, Place, Places, Problem};
pub use print::Secrets;
pub use secret::{ParseSecretRefError, SecretGrant, SecretGrants, SecretRef};
pub use source::{Loaded, Source};
pub use trust::{ParseTrustedKeyError, Trust, TrustedKey};
pub use unit::{ParseUnitError, format_duration, format_size, parse_duration, parse_size};
pub use webhook::WebhookConfig;
pub use workers::{Balance, WorkersConfig};

/// The retry policy of a channel that names none.
pub const DEFAULT_POLICY: &str = "default";

/// Everything that can be set.
///
/// ```
/// use campanile::config::{Config, Source};
///
/// let config = Source::new().text("campanile.toml", "[workers]\nbatch = 20").load()?.config;
/// assert_eq!(config.workers.batch, 20);
/// assert_eq!(config.server, Config::default().server);
///
/// let error = Source::new().text("campanile.toml", "[workers]\nbach = 20").load().unwrap_err();
/// assert_eq!(
///     error.problems[0].to_string(),
///     "campanile.toml:2: `workers.bach` is not a known key; did you mean `batch`?"
/// );
/// # Ok::<(), campanile::config::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[plugins]`
    pub plugins: PluginsConfig,
    /// `[channels.<name>]`
    pub channels: BTreeMap<ChannelName, ChannelConfig>,
    /// `[events]`
    pub events: EventsConfig,
    /// `[audit]`
    pub audit: AuditConfig,
    /// `[templates]`
    pub templates: TemplatesConfig,
    /// `[workers]`
    pub workers: WorkersConfig,
    /// `[breaker]`
    pub breaker: BreakerConfig,
    /// `[retry.<policy>]`; those of [`RetryPolicy::named`] are always there.
    pub retry: BTreeMap<String, RetryPolicy>,
    /// `[callbacks]`
    pub callbacks: CallbacksConfig,
    /// `[callbacks]`: how the `callback_url` of a notification is called.
    pub callback_urls: CallbackUrlConfig,
    /// `[[callbacks.webhook]]`
    pub webhooks: Vec<WebhookConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig::default(),
            store: StoreConfig::default(),
            plugins: PluginsConfig::default(),
            channels: BTreeMap::new(),
            events: EventsConfig::default(),
            audit: AuditConfig::default(),
            templates: TemplatesConfig::default(),
            workers: WorkersConfig::default(),
            breaker: BreakerConfig::default(),
            retry: RetryPolicy::named().into_iter().map(|(name, policy)| (name.to_owned(), policy)).collect(),
            callbacks: CallbacksConfig::default(),
            callback_urls: CallbackUrlConfig::default(),
            webhooks: Vec::new(),
        }
    }
}

impl Config {
    /// Loads the configuration of this process: environment over file over default. The file is the first of
    /// `./campanile.toml`, `$XDG_CONFIG_HOME/campanile/config.toml` and `/etc/campanile/config.toml` that exists.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found.
    pub fn load() -> Result<Self, ConfigError> {
        Source::of_process(None).load().map(|loaded| loaded.config)
    }

    /// Checks ranges and relations: what a configuration made in code has to pass as much as one from a file.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem found.
    pub fn check(&self) -> Result<(), ConfigError> {
        ConfigError::unless_empty(check::check(self).into_iter().map(|finding| finding.at(Place::Code)).collect())
    }

    /// What is good and does nothing, as it stands. A text has more that cannot be meant: see [`Loaded::warnings`].
    #[must_use]
    pub fn warnings(&self) -> Vec<Problem> {
        check::in_vain(self).into_iter().map(|finding| finding.at(Place::Code)).collect()
    }

    /// The whole keys, such as `workers.batch`, of what is set otherwise in `other`, in order.
    #[must_use]
    pub fn differing_keys(&self, other: &Self) -> Vec<String> {
        difference::keys(self, other)
    }

    /// The whole configuration as TOML that loads to an equal value, or, with [`Secrets::Masked`], to one whose
    /// channels have `***` in place of every text of their `config`.
    #[must_use]
    pub fn to_toml(&self, secrets: Secrets) -> String {
        print::print(self, secrets)
    }
}

/// `[server]`: the HTTP API.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// Where to listen. Without API keys this must be a loopback address. Default: `127.0.0.1:7433`.
    pub listen: SocketAddr,
    /// The largest request body, in bytes. Default: 4 MiB.
    pub body_max: u64,
    /// The largest body of a batch, in bytes. Default: 64 MiB.
    pub batch_body_max: u64,
    /// How long a stop waits for what is in flight. Default: 30 s.
    pub shutdown_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7433),
            body_max: 4 << 20,
            batch_body_max: 64 << 20,
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}

/// How durable a commit is when its caller is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On the disk: survives a loss of power. The default.
    #[default]
    Full,
    /// With the operating system: survives the end of this process.
    Os,
    /// In memory only: for tests and measurements.
    Memory,
}

impl Durability {
    /// Its word in configuration and figures.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Os => "os",
            Self::Memory => "memory",
        }
    }
}

/// `[store]`: durable state.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreConfig {
    /// The SQLite file, from `url = "sqlite://PATH"`. Default: `data/campanile.db`.
    pub path: PathBuf,
    /// How durable a commit is when its caller is told. Default: `full`.
    pub durability: Durability,
    /// How long the same `dedupe_key`, channel and address make no second delivery. Default: 5 min.
    pub dedupe_window: Duration,
    /// How long a notification is kept once all of it is final and none of it is a dead letter, counted from its
    /// acceptance. Default: 30 d.
    pub retention: Duration,
    /// What the database may take, in bytes. Over it the oldest notifications go that are final and no dead letters,
    /// however young. Default: as much as there is room for.
    pub size_max: Option<u64>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            path: PathBuf::from("data/campanile.db"),
            durability: Durability::Full,
            dedupe_window: Duration::from_mins(5),
            retention: Duration::from_hours(30 * 24),
            size_max: None,
        }
    }
}

/// `[plugins]`: where they come from and what a call of one may use.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginsConfig {
    /// The operator's own plugins: loaded eagerly, watched. Default: `plugins-enabled`.
    pub dir: PathBuf,
    /// The set that comes with the program: loaded when a channel first uses one. Default: `plugins` beside the
    /// executable, else `/usr/lib/campanile/plugins`; found at start, hence `None` here.
    pub bundled_dir: Option<PathBuf>,
    /// Whether `dir` is watched. Default: true.
    pub watch: bool,
    /// Compiled plugins, in a directory of its own with mode 0700. Default: `data/plugin-cache`.
    pub cache_dir: PathBuf,
    /// What happens to a file in `dir` that nobody trusted has signed. Bundled plugins come with the program and are not
    /// asked. Default: `off`.
    pub trust: Trust,
    /// Whose signatures count: at most 32. Default: nobody's.
    pub trusted_keys: Vec<TrustedKey>,
    /// `[plugins.defaults]`
    pub defaults: CallLimits,
}

impl Default for PluginsConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("plugins-enabled"),
            bundled_dir: None,
            watch: true,
            cache_dir: PathBuf::from("data/plugin-cache"),
            trust: Trust::default(),
            trusted_keys: Vec::new(),
            defaults: CallLimits::default(),
        }
    }
}

/// What one call of a plugin may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// CPU time; turned into fuel by a calibration at start. Default: 200 ms.
    pub cpu_time: Duration,
    /// Fuel, if it is to be given outright. Default: by `cpu_time`.
    pub fuel: Option<u64>,
    /// Linear memory, in bytes. Default: 64 MiB.
    pub memory: u64,
    /// Wall clock, over instantiation, guest code and host calls. Default: 10 s.
    pub timeout: Duration,
    /// HTTP requests per call. Default: 8.
    pub egress_calls: u32,
    /// The largest HTTP reply handed to a guest, in bytes; longer ones are cut. Default: 1 MiB.
    pub response_max: u64,
    /// Log output per call, in bytes, over the log interface and standard output together. Default: 16 KiB.
    pub log_max: u64,
}

impl CallLimits {
    /// The most that `cpu_time` may be.
    pub const CPU_TIME_MAX: Duration = Duration::from_mins(1);
    /// The most that `fuel` may be.
    pub const FUEL_MAX: u64 = i64::MAX as u64;
    /// The most that `memory` may be, in bytes.
    pub const MEMORY_MAX: u64 = 4 << 30;
    /// The most that `timeout` may be.
    pub const TIMEOUT_MAX: Duration = Duration::from_hours(1);
    /// The most that `egress_calls` may be.
    pub const EGRESS_CALLS_MAX: u32 = 1_000;
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            cpu_time: Duration::from_millis(200),
            fuel: None,
            memory: 64 << 20,
            timeout: Duration::from_secs(10),
            egress_calls: 8,
            response_max: 1 << 20,
            log_max: 16 << 10,
        }
    }
}

/// What a channel may keep where nothing else is said: some thousand cursors and counters.
const KV_MAX: u64 = 1 << 20;

/// What `deny` can take away. Other abilities are not granted without a line that grants them.
const DENIABLE: [&str; 2] = ["cache", "kv"];

/// `[channels.<name>]`: a configured instance of a channel plugin.
#[derive(Clone, PartialEq)]
pub struct ChannelConfig {
    /// Its plugin, by name.
    pub plugin: PluginName,
    /// Whether it is called. Of one that is not, deliveries wait and nothing more is accepted; its plugin is not asked
    /// about it. Default: true.
    pub enabled: bool,
    /// What the plugin's schema asks for. May hold secrets: never printed.
    pub config: serde_json::Map<String, serde_json::Value>,
    /// Its secrets, by their key in `config`: where each is to be found. Default: none.
    pub secrets: SecretGrants,
    /// Hosts it may speak to, besides those that its `config` names: `host`, `*.domain` or `host:port`.
    pub allow_hosts: Vec<String>,
    /// Special and private address ranges it may speak to, such as `127.0.0.1/32`. Default: none.
    pub allow_networks: Vec<String>,
    /// Abilities that are granted to a plugin that asks for them, and are taken away here: `cache`, `kv`. Default: none.
    pub deny: Vec<String>,
    /// Keys and values that it may keep with `kv`, together, in bytes. Default: 1 MiB.
    pub kv_max: u64,
    /// The retry policy, by name. Default: `default`.
    pub retry: String,
    /// Priority of notifications that name none. Default: none.
    pub priority: Option<Priority>,
    /// The share of its notifications that a new version of its plugin gets first, in percent: 1 to 50. Default: none;
    /// a new version takes over at once.
    pub canary: Option<u8>,
    /// How fast and how much it is called, and who stands in for it.
    pub gates: ChannelGates,
    /// Overrides of `[plugins.defaults]`.
    pub limits: CallLimits,
}

impl ChannelConfig {
    /// The most that `kv_max` may be, in bytes.
    pub const KV_MAX: u64 = 1 << 30;

    /// A channel of `plugin` with nothing set.
    #[must_use]
    pub fn new(plugin: PluginName, limits: CallLimits) -> Self {
        Self {
            plugin,
            enabled: true,
            config: serde_json::Map::new(),
            secrets: SecretGrants::new(),
            allow_hosts: Vec::new(),
            allow_networks: Vec::new(),
            deny: Vec::new(),
            kv_max: KV_MAX,
            retry: DEFAULT_POLICY.to_owned(),
            priority: None,
            canary: None,
            gates: ChannelGates::default(),
            limits,
        }
    }
}

impl fmt::Debug for ChannelConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            plugin,
            enabled,
            config,
            secrets,
            allow_hosts,
            allow_networks,
            deny,
            kv_max,
            retry,
            priority,
            canary,
            gates,
            limits,
        } = self;
        f.debug_struct("ChannelConfig")
            .field("plugin", plugin)
            .field("enabled", enabled)
            .field("config", &config.keys().collect::<Vec<_>>())
            .field("secrets", secrets)
            .field("allow_hosts", allow_hosts)
            .field("allow_networks", allow_networks)
            .field("deny", deny)
            .field("kv_max", kv_max)
            .field("retry", retry)
            .field("priority", priority)
            .field("canary", canary)
            .field("gates", gates)
            .field("limits", limits)
            .finish()
    }
}

/// `[events]`: what became of notifications and plugins, as facts in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventsConfig {
    /// How long an event is kept. Default: 7 d.
    pub retention: Duration,
    /// What all events may take, in bytes: over it the oldest go. Default: as much as there is room for.
    pub size_max: Option<u64>,
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self { retention: Duration::from_hours(7 * 24), size_max: None }
    }
}

/// `[audit]`: who did what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditConfig {
    /// How long an entry is kept. Default: 90 d.
    pub retention: Duration,
    /// What all entries may take, in bytes: over it the oldest go. Default: as much as there is room for.
    pub size_max: Option<u64>,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { retention: Duration::from_hours(90 * 24), size_max: None }
    }
}

/// `[templates]`
#[derive(Clone, Debug, PartialEq)]
pub struct TemplatesConfig {
    /// The folder of template files. Default: `templates`.
    pub dir: PathBuf,
    /// An undefined variable is an error. Default: true.
    pub strict: bool,
}

impl Default for TemplatesConfig {
    fn default() -> Self {
        Self { dir: PathBuf::from("templates"), strict: true }
    }
}
