//! The whole way through the real sandbox: the `null` channel, or `webhook` to a receiver on this machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::pipeline::{self, PipelineBench, PipelineParams, PipelineParts};
use super::receiver::Receiver;
use crate::call::{ChannelDirectory as _, ChannelUnavailable, OwnContent};
use crate::capability::http::Egress;
use crate::capability::kv::Nowhere;
use crate::clock::{Entropy, SystemClock};
use crate::config::{ChannelConfig, Config};
use crate::domain::{ChannelName, NameError, PluginName};
use crate::sandbox::{Nobody, Registry, RegistrySettings, Sandbox, SandboxError, SandboxSettings, Stdout};
use crate::store::StoreError;
use crate::telemetry::Metrics;

/// How long the bare client sends.
const BASELINE_TIME: Duration = Duration::from_secs(5);

/// Which channel is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// Accepts at once.
    Null,
    /// Sends to a receiver on loopback, which a bare client measures in the same run.
    Webhook,
}

impl Through {
    /// Its plugin.
    #[must_use]
    pub const fn plugin(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Webhook => "webhook",
        }
    }

    /// As many notifications as end well within 45 s on two cores.
    #[must_use]
    pub const fn notifications(self) -> u32 {
        match self {
            Self::Null => 200_000,
            Self::Webhook => 100_000,
        }
    }
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThroughError {
    /// The sandbox does not start.
    #[error("the sandbox does not start")]
    Sandbox(#[from] SandboxError),
    /// The channel's plugin is missing or was refused.
    #[error("the channel cannot be measured")]
    Channel(#[from] ChannelUnavailable),
    /// The receiver got no port.
    #[error("the receiver does not listen")]
    Receiver(#[from] std::io::Error),
    /// The bare client failed.
    #[error("the bare client failed")]
    Baseline(#[from] reqwest::Error),
    /// The store failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A defect of ours: the channels have names.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Measures `params` through the plugin in the folder `plugins`.
///
/// # Errors
///
/// [`ThroughError`] where a part is missing or fails.
pub async fn run(
    through: Through,
    params: impl FnOnce(ChannelName) -> PipelineParams,
    plugins: PathBuf,
    metrics: Arc<Metrics>,
) -> Result<PipelineBench, ThroughError> {
    let receiver = Receiver::start().await?;
    let name = ChannelName::new("bench")?;
    let params = params(name.clone());
    let caller = registry(through, &name, &receiver, &params, plugins, Arc::clone(&metrics)).await?;
    caller.make_ready(name.as_str()).await;
    caller.channel(&name)?;
    let parts = PipelineParts { caller, content: Arc::new(OwnContent), metrics };
    let measured = pipeline::run(&params, parts).await?;
    match through {
        Through::Null => Ok(measured),
        Through::Webhook => {
            let slots = usize::try_from(params.workers.max * params.workers.per_worker).unwrap_or(usize::MAX);
            let in_flight = NonZeroUsize::new(slots).unwrap_or(NonZeroUsize::MIN);
            Ok(measured.against(receiver.baseline(in_flight, BASELINE_TIME).await?))
        }
    }
}

async fn registry(
    through: Through,
    name: &ChannelName,
    receiver: &Receiver,
    params: &PipelineParams,
    plugins: PathBuf,
    metrics: Arc<Metrics>,
) -> Result<Arc<Registry>, ThroughError> {
    let mut config = Config::default();
    config.plugins.cache_dir = params.folder.join(format!("campanile-bench-cache-{}", std::process::id()));
    config.plugins.dir = config.plugins.cache_dir.join("none");
    config.plugins.bundled_dir = Some(plugins);
    let mut channel = ChannelConfig::new(PluginName::new(through.plugin())?, config.plugins.defaults);
    if through == Through::Webhook {
        channel.config.insert("url".to_owned(), json!(receiver.url()));
        channel.allow_networks.push("127.0.0.1/32".to_owned());
    }
    config.channels.insert(name.clone(), channel);
    let sandbox = Sandbox::new(SandboxSettings {
        metrics,
        in_flight: params.workers.max * params.workers.per_worker,
        memory_max: config.plugins.defaults.memory,
        console: Arc::new(Stdout),
    })?;
    let cache = config.plugins.cache_dir.clone();
    let settings = RegistrySettings {
        plugins: config.plugins,
        channels: config.channels,
        egress: Egress::system(),
        entropy: Arc::new(Entropy::from_system()),
        kv: Arc::new(Nowhere),
        remembered: Vec::new(),
        memory: Arc::new(Nobody),
        holds: Arc::new(Nobody),
    };
    let registry = Registry::open(sandbox, settings, Arc::new(SystemClock::default())).await;
    // Loaded; what is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(cache);
    Ok(registry)
}
