//! A registry over folders of its own, with real plugins to put into them. These are built by `make guests`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value;
use tempfile::TempDir;

use crate::call::{Call, Caller, Report};
use crate::capability::http::Egress;
use crate::capability::kv::{KvStore, Nowhere};
use crate::clock::{Entropy, ManualClock};
use crate::config::{CallLimits, ChannelConfig, PluginsConfig};
use crate::domain::{
    AttemptEnd, ChannelName, Content, Notification, NotificationId, Outcome, PluginBook, PluginEvent, PluginName,
    Priority, Recipient, Timestamp,
};
use crate::sandbox::folder::{self, Settling};
use crate::sandbox::registry::version::Version;
use crate::sandbox::{
    ConsoleSink, DeliveryHolds, Held, NotKept, PluginMemory, PluginStatus, Registry, RegistrySettings, Sandbox,
    SandboxSettings, Told,
};
use crate::telemetry::Metrics;

/// A plugin as it is built.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let default = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/release"));
    let folder = std::env::var_os("CAMPANILE_GUESTS").map_or_else(default, PathBuf::from);
    let path = folder.join(name).with_extension("wasm");
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; run `make guests` first", path.display()))
}

/// The same plugin in another file: one more custom section changes its hash and nothing else.
pub(crate) fn edition(name: &str, number: u8) -> Vec<u8> {
    let mut bytes = guest(name);
    bytes.extend([0, 8, 7, b'e', b'd', b'i', b't', b'i', b'o', number]);
    bytes
}

/// The same plugin with one of its words for another of the same length.
pub(crate) fn patched(name: &str, word: &str, other: &str) -> Vec<u8> {
    assert_eq!(word.len(), other.len());
    let mut bytes = guest(name);
    let at = bytes.windows(word.len()).position(|found| found == word.as_bytes()).expect("the word is in the plugin");
    bytes[at..at + word.len()].copy_from_slice(other.as_bytes());
    bytes
}

#[derive(Debug, Default)]
struct Lines(Mutex<Vec<String>>);

impl ConsoleSink for Lines {
    fn line(&self, _channel: Option<&ChannelName>, line: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line.to_owned());
    }
}

/// What the registry had kept, as a store would; the events since they were last asked for.
#[derive(Debug, Default)]
struct Remembering(Mutex<(BTreeMap<PluginName, PluginBook>, Vec<PluginEvent>)>);

impl Remembering {
    fn books(&self) -> Vec<PluginBook> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.values().cloned().collect()
    }
}

#[async_trait]
impl PluginMemory for Remembering {
    async fn keep(&self, books: Vec<PluginBook>, told: Vec<Told>) -> Result<(), NotKept> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.0.extend(books.into_iter().map(|book| (book.plugin.clone(), book)));
        kept.1.extend(told.into_iter().map(|told| told.event));
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Waiting(Mutex<Held>);

impl DeliveryHolds for Waiting {
    fn hold_only(&self, held: &Held) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone_from(held);
    }
}

/// The guest `fickle` as this version of it: `mood` is `good` or `bad`, `hosts` what it asks for.
pub(crate) fn fickle(version: &str, mood: &str, hosts: &str) -> Vec<u8> {
    let mut bytes = guest("fickle");
    let mark = b"fickle:";
    let at = bytes.windows(mark.len()).position(|found| found == mark).expect("the guest has its settings");
    let settings = format!("fickle:{version};{mood};{hosts};");
    assert!(settings.len() <= 128);
    bytes[at..at + 128].fill(b' ');
    bytes[at..at + settings.len()].copy_from_slice(settings.as_bytes());
    bytes
}

/// Folders, and what is to be opened over them.
pub(crate) struct Rig {
    root: TempDir,
    pub(crate) channels: BTreeMap<ChannelName, ChannelConfig>,
    /// Its folders are those of the rig, whatever stands here.
    pub(crate) plugins: PluginsConfig,
    pub(crate) clock: ManualClock,
    /// What compiles in a process of its own; none: plugins are compiled in a thread.
    pub(crate) compiler: Option<PathBuf>,
    /// Outlives the registries that are opened here.
    pub(crate) kv: Arc<dyn KvStore>,
    settling: Settling,
    memory: Arc<Remembering>,
    waiting: Arc<Waiting>,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["own", "bundled"] {
            fs::create_dir(root.path().join(folder)).expect("a folder");
        }
        let clock = ManualClock::at(Timestamp::from_millis(1_000));
        Self {
            root,
            channels: BTreeMap::new(),
            plugins: PluginsConfig::default(),
            clock,
            compiler: None,
            kv: Arc::new(Nowhere),
            settling: Settling::default(),
            memory: Arc::default(),
            waiting: Arc::default(),
        }
    }

    /// A channel in the configuration.
    pub(crate) fn with_channel(mut self, name: &str, plugin: &str, config: Value) -> Self {
        let Value::Object(config) = config else { panic!("a config is an object") };
        let plugin = plugin.parse().expect("a name");
        let priority = Some(Priority::Low);
        // Where the receivers of tests listen.
        let allow_networks = vec!["127.0.0.1/32".to_owned()];
        let channel =
            ChannelConfig { config, priority, allow_networks, ..ChannelConfig::new(plugin, CallLimits::default()) };
        self.channels.insert(name.parse().expect("a name"), channel);
        self
    }

    pub(crate) fn own(&self, file: &str) -> PathBuf {
        self.root.path().join("own").join(file)
    }

    pub(crate) fn bundled(&self, file: &str) -> PathBuf {
        self.root.path().join("bundled").join(file)
    }

    pub(crate) fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    /// Puts a file into a folder as it should be done: whole, under its name, at once.
    pub(crate) fn put(&self, path: &PathBuf, bytes: &[u8]) {
        let half = self.root.path().join("half");
        fs::write(&half, bytes).and_then(|()| fs::rename(half, path)).expect("written");
    }

    pub(crate) async fn open(&self) -> Arc<Registry> {
        self.open_with(4).await
    }

    /// With so many calls at once.
    pub(crate) async fn open_with(&self, in_flight: u32) -> Arc<Registry> {
        let settings = SandboxSettings {
            in_flight,
            memory_max: 64 << 20,
            console: Arc::new(Lines::default()) as _,
            metrics: Metrics::off(),
        };
        let sandbox = Sandbox::new(settings).expect("the engine runs here");
        if let Some(program) = &self.compiler {
            sandbox.compile_with(program.clone());
        }
        let plugins = PluginsConfig {
            dir: self.root.path().join("own"),
            bundled_dir: Some(self.root.path().join("bundled")),
            watch: true,
            cache_dir: self.cache(),
            ..self.plugins.clone()
        };
        let entropy = Arc::new(Entropy::fixed(1));
        let settings = RegistrySettings {
            plugins,
            channels: self.channels.clone(),
            egress: Egress::system(),
            entropy,
            kv: Arc::clone(&self.kv),
            remembered: self.memory.books(),
            memory: Arc::clone(&self.memory) as _,
            holds: Arc::clone(&self.waiting) as _,
        };
        Registry::open(sandbox, settings, Arc::new(self.clock.clone())).await
    }

    /// A share of this channel's calls goes to a new version first.
    pub(crate) fn with_canary(mut self, channel: &str, percent: u8) -> Self {
        self.channels.get_mut(channel).expect("it is there").canary = Some(percent);
        self
    }

    /// What was told of plugins since this was last asked: type, plugin and version, reason.
    pub(crate) fn told(&self) -> String {
        let mut kept = self.memory.0.lock().unwrap_or_else(PoisonError::into_inner);
        let line = |event: PluginEvent| {
            let version = event.version.map(|version| format!("@{version}")).unwrap_or_default();
            let reason = event.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{} {}{version}{reason}", event.change.kind(), event.plugin)
        };
        kept.1.drain(..).map(line).collect::<Vec<_>>().join("\n")
    }

    /// Channels whose deliveries wait.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.channels.iter().map(ToString::to_string).collect()
    }

    /// Template engines whose deliveries wait.
    pub(crate) fn waiting_engines(&self) -> Vec<String> {
        let waiting = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.engines.iter().map(ToString::to_string).collect()
    }

    /// Looks at the folder as the watch does: until everything in it has come to rest.
    pub(crate) async fn look(&mut self, registry: &Registry) {
        for _ in 0..2 {
            let listing = folder::list(&self.root.path().join("own")).expect("a folder");
            registry.follow(&self.settling.look(listing), &BTreeSet::new()).await;
        }
    }
}

/// Each plugin file on a line: what, where from, how it is doing.
pub(crate) fn table(registry: &Registry) -> String {
    let line = |status: PluginStatus| {
        let name = status.name.as_ref().map_or("?", PluginName::as_str).to_owned();
        let version = status.version.map(|version| format!("@{version}")).unwrap_or_default();
        let channels: Vec<_> = status.channels.iter().map(ChannelName::as_str).collect();
        let reason = status.state.reason();
        let more = reason.map_or_else(|| format!(" [{}]", channels.join(" ")), |reason| format!(": {reason}"));
        format!("{name}{version} {}/{} {}{more}", status.source.as_str(), status.file, status.state.as_str())
    };
    registry.plugins().into_iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What a channel's calls reach right now.
pub(super) async fn version(registry: &Registry, channel: &str) -> Arc<Version> {
    let name: ChannelName = channel.parse().expect("a name");
    Arc::clone(&registry.served(&name).await.expect("it is ready").ready.version)
}

pub(crate) async fn send(registry: &Registry, channel: &str) -> Report {
    say(registry, channel, "ding").await
}

/// A fact of the receipt that it ends in.
pub(super) fn fact(report: &Report, name: &str) -> String {
    let AttemptEnd::Outcome(Outcome::Sent(receipt)) = &report.end else { panic!("it should be sent: {report:?}") };
    let found = receipt.facts.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.clone()).expect("it is told")
}

pub(crate) async fn say(registry: &Registry, channel: &str, text: &str) -> Report {
    send_as(registry, channel, text, NotificationId::from_bytes([1; 16])).await
}

/// Sends a notification of this number.
pub(crate) async fn send_number(registry: &Registry, channel: &str, number: u32) -> Report {
    let mut bytes = [0; 16];
    bytes[12..].copy_from_slice(&number.to_be_bytes());
    send_as(registry, channel, "ding", NotificationId::from_bytes(bytes)).await
}

async fn send_as(registry: &Registry, channel: &str, text: &str, id: NotificationId) -> Report {
    let content =
        Arc::new(Content { title: None, text: text.to_owned(), html: None, markdown: None, parts: Vec::new() });
    let notification = Notification {
        id,
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::clone(&content),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: Vec::new(),
        correlation_id: None,
        group_key: None,
        created_at: Timestamp::from_millis(0),
        scheduled_at: None,
        expires_at: None,
    };
    let call = Call {
        channel: channel.parse().expect("a name"),
        delivery: id.delivery(0),
        attempt: 1,
        recipient: Arc::new(Recipient::default()),
        notification: Arc::new(notification),
        content,
        now: Timestamp::from_millis(1_000),
    };
    registry.call(call).await
}

pub(crate) fn is_sent(report: &Report) -> bool {
    matches!(report.end, AttemptEnd::Outcome(Outcome::Sent(_)))
}
