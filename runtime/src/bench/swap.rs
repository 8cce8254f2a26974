//! Hot swap under load: whether a delivery is lost, fails or comes twice while a plugin's file is replaced again and
//! again, and how long a new file waits until it serves.
//!
//! *Flow:* a runtime of its own with the `webhook` channel and a receiver on loopback → callers that send and wait → two
//! editions of the plugin, renamed into the folder in turn, each as soon as the one before it has served.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::pipeline::percentile_ms;
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::{ChannelConfig, Config};
use crate::domain::{ChannelName, DeliveryStatus, NameError, PluginName};
use crate::runtime::{BuildError, Notification, OutcomeError, PluginState, PluginStatus, Runtime, StoreError};

/// What is measured.
#[derive(Clone, Debug)]
pub struct SwapParams {
    /// The `webhook` plugin's file.
    pub plugin: PathBuf,
    /// How often its file is replaced.
    pub swaps: u32,
    /// Callers, each with one delivery under way.
    pub callers: u32,
    /// A folder on the disk; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
}

impl SwapParams {
    /// 100 swaps beside 32 callers.
    #[must_use]
    pub fn of_plugin(plugin: PathBuf, folder: PathBuf) -> Self {
        Self { plugin, swaps: 100, callers: 32, folder }
    }
}

/// The answer of `campanile bench swap`.
#[derive(Clone, Debug, Serialize)]
pub struct SwapBench {
    /// Times that the file was replaced and the new one served.
    pub swaps: u32,
    /// Notifications that were accepted and delivered meanwhile.
    pub sent: u64,
    /// Notifications that were accepted, and the receiver never saw.
    pub lost: u64,
    /// Calls that ended in anything but `sent`, and deliveries that came to nothing.
    pub failed: u64,
    /// Requests that repeated an earlier one's delivery.
    pub duplicated: u64,
    /// From the rename to the first moment at which new calls go to the new file, 99 of 100, in milliseconds.
    pub p99_swap_ms: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SwapError {
    /// A file could not be read, written or renamed, or there is no port to listen on.
    #[error("`{path}` cannot be read or written")]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The runtime does not start.
    #[error("the runtime does not start")]
    Build(#[from] BuildError),
    /// A new file never served.
    #[error("swap {swap} did not happen within {limit:?}: {state}")]
    NotSwapped {
        /// From 1; 0 is before the load begins.
        swap: u32,
        /// How long was waited.
        limit: Duration,
        /// What is known of the file.
        state: String,
    },
    /// A file is not used, and will not be.
    #[error("swap {swap} did not happen: {reason}")]
    Refused {
        /// From 1; 0 is before the load begins.
        swap: u32,
        /// Why.
        reason: String,
    },
    /// A notification was not accepted.
    #[error("a notification was not accepted")]
    Submit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store could not be read.
    #[error("the store cannot be read")]
    Store(#[from] StoreError),
    /// A defect of ours: the channel has a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// A swap that takes longer does not happen: compiling a small plugin takes some seconds in a build without optimisation.
const SWAP_LIMIT: Duration = Duration::from_secs(30);
/// A delivery that takes longer is lost. Twice a call's deadline: it may be tried again once.
const DELIVERY_LIMIT: Duration = Duration::from_secs(20);
/// The plugin that is replaced.
pub const PLUGIN: &str = "webhook";
/// The channel, named as the plugin behind it.
const CHANNEL: &str = PLUGIN;
/// Its file in the watched folder.
const FILE: &str = "webhook.wasm";

/// Measures.
///
/// # Errors
///
/// [`SwapError`] where a part is missing or fails.
pub async fn run(params: &SwapParams) -> Result<SwapBench, SwapError> {
    let id = Entropy::from_system().notification_id(SystemClock::default().now());
    let folder = params.folder.join(format!("campanile-bench-{id}"));
    let measured = measure(params, &folder).await;
    // What is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(&folder);
    measured
}

async fn measure(params: &SwapParams, folder: &Path) -> Result<SwapBench, SwapError> {
    let receiver = Receiver::start().await.map_err(at("127.0.0.1"))?;
    let editions = Editions::of(&params.plugin, folder)?;
    // Before it opens, so that the channel has its plugin from the start.
    editions.rename(0)?;
    let runtime = Runtime::builder().config(config(folder, &receiver.url)?).build().await?;
    let measured = swap_under_load(params, &runtime, &editions, &receiver).await;
    // Everything has ended, or the figures say that it has not.
    let _ = runtime.shutdown(Duration::from_secs(1)).await;
    measured
}

async fn swap_under_load(
    params: &SwapParams,
    runtime: &Runtime,
    editions: &Editions,
    receiver: &Receiver,
) -> Result<SwapBench, SwapError> {
    // Both are compiled once; every swap that is timed finds them in the cache.
    for edition in [1, 0] {
        editions.rename(edition)?;
        until_serving(runtime, &editions.sha256[edition], 0).await?;
    }
    let load = Load::start(params.callers, runtime);
    let mut times = Vec::new();
    for swap in 1..=params.swaps {
        let edition = swap as usize % 2;
        let started = Instant::now();
        editions.rename(edition)?;
        until_serving(runtime, &editions.sha256[edition], swap).await?;
        times.push(started.elapsed());
        // Every caller has called the new one.
        load.more(u64::from(params.callers)).await;
    }
    let Tally { accepted, sent, mut failed } = load.stop().await?;
    failed += accepted.len() as u64 - sent;
    let seen = receiver.seen();
    times.sort_unstable();
    Ok(SwapBench {
        swaps: params.swaps,
        sent,
        lost: accepted.iter().filter(|id| !seen.contains_key(*id)).count() as u64,
        failed,
        duplicated: seen.values().map(|requests| requests - 1).sum(),
        p99_swap_ms: percentile_ms(&times, 99),
    })
}

fn at(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> SwapError {
    let path = path.into();
    move |source| SwapError::Io { path, source }
}

fn config(folder: &Path, url: &str) -> Result<Config, SwapError> {
    let mut config = Config::default();
    config.store.path = folder.join("bench.db");
    config.plugins.dir = folder.join("plugins");
    config.plugins.bundled_dir = Some(folder.join("none"));
    config.plugins.cache_dir = folder.join("cache");
    config.templates.dir = folder.join("templates");
    let mut channel = ChannelConfig::new(PluginName::new(CHANNEL)?, config.plugins.defaults);
    channel.config.insert("url".to_owned(), json!(url));
    channel.allow_networks.push("127.0.0.1/32".to_owned());
    config.channels.insert(ChannelName::new(CHANNEL)?, channel);
    Ok(config)
}

/// Waits until new calls go to the file with this hash.
async fn until_serving(runtime: &Runtime, sha256: &str, swap: u32) -> Result<(), SwapError> {
    let mut changes = runtime.plugin_changes();
    let swapped = async {
        loop {
            changes.mark_unchanged();
            // What was refused before it was hashed is known by its name alone.
            let ours = |found: &PluginStatus| {
                found.sha256.map_or_else(|| found.file == FILE, |found| found.to_string() == sha256)
            };
            // The file served before: what became of it is not asked.
            let states = runtime.plugins().into_iter().filter(ours).map(|plugin| plugin.state);
            let states: Vec<_> = states.filter(|state| !matches!(state, PluginState::Draining)).collect();
            if states.iter().any(|state| matches!(state, PluginState::Serving)) {
                return Ok(());
            }
            // Nobody is there to approve or to release it.
            if let Some(reason) = states.iter().find_map(PluginState::reason) {
                return Err(SwapError::Refused { swap, reason: reason.to_owned() });
            }
            if changes.changed().await.is_err() {
                return Ok(());
            }
        }
    };
    if let Ok(ended) = tokio::time::timeout(SWAP_LIMIT, swapped).await {
        return ended;
    }
    let known: Vec<_> =
        runtime.plugins().iter().map(|plugin| format!("{} is {:?}", plugin.file, plugin.state)).collect();
    Err(SwapError::NotSwapped { swap, limit: SWAP_LIMIT, state: known.join("; ") })
}

/// Two files of one plugin: the same code, and a custom section more, which changes the hash and nothing else.
struct Editions {
    folder: PathBuf,
    bytes: [Vec<u8>; 2],
    sha256: [String; 2],
}

impl Editions {
    fn of(plugin: &Path, folder: &Path) -> Result<Self, SwapError> {
        let wasm = std::fs::read(plugin).map_err(at(plugin))?;
        let plugins = folder.join("plugins");
        std::fs::create_dir_all(&plugins).map_err(at(&plugins))?;
        let edition = |number: u8| {
            // Section 0 (custom), 9 bytes: its name of 7, and one of content.
            let section = [&[0, 9, 7][..], b"edition", &[number]].concat();
            [wasm.as_slice(), &section].concat()
        };
        let bytes = [edition(0), edition(1)];
        let sha256 = bytes.each_ref().map(|bytes| hex::encode(Sha256::digest(bytes)));
        Ok(Self { folder: folder.to_owned(), bytes, sha256 })
    }

    /// Puts one into the plugins folder, whole and at once.
    fn rename(&self, edition: usize) -> Result<(), SwapError> {
        let (whole, place) = (self.folder.join("whole"), self.folder.join("plugins").join(FILE));
        std::fs::write(&whole, &self.bytes[edition]).map_err(at(&whole))?;
        std::fs::rename(&whole, &place).map_err(at(&place))
    }
}

/// Callers that send one notification after the other.
struct Load {
    stop: Arc<AtomicBool>,
    done: watch::Sender<u64>,
    callers: JoinSet<Result<Tally, SwapError>>,
}

/// What one caller, or all, saw.
#[derive(Default)]
struct Tally {
    /// Deliveries that were accepted, by id.
    accepted: Vec<String>,
    /// Of them, those that were sent.
    sent: u64,
    /// Calls that ended in something else.
    failed: u64,
}

impl Load {
    fn start(count: u32, runtime: &Runtime) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = watch::Sender::new(0);
        let mut callers = JoinSet::new();
        for _ in 0..count {
            let (stop, done, runtime) = (Arc::clone(&stop), done.clone(), runtime.clone());
            callers.spawn(async move {
                let mut tally = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    tally.send_one(&runtime).await?;
                    done.send_modify(|done| *done += 1);
                }
                Ok(tally)
            });
        }
        Self { stop, done, callers }
    }

    /// Waits until so many more have ended.
    async fn more(&self, count: u64) {
        let mut done = self.done.subscribe();
        let enough = *done.borrow() + count;
        // Where callers have failed, `stop` tells.
        let _ = tokio::time::timeout(DELIVERY_LIMIT, done.wait_for(|done| *done >= enough)).await;
    }

    async fn stop(mut self) -> Result<Tally, SwapError> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        while let Some(ended) = self.callers.join_next().await {
            let tally = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            all.accepted.extend(tally.accepted);
            all.sent += tally.sent;
            all.failed += tally.failed;
        }
        Ok(all)
    }
}

impl Tally {
    async fn send_one(&mut self, runtime: &Runtime) -> Result<(), SwapError> {
        let notification = Notification::new().channel(CHANNEL).body("db-3 is at 91 %");
        let handle = runtime.notify(notification).await.map_err(|error| SwapError::Submit(Box::new(error)))?;
        let record = match handle.outcome(DELIVERY_LIMIT).await {
            Ok(record) => record,
            Err(OutcomeError::Pending { record, .. }) => *record,
            Err(OutcomeError::Store(error)) => return Err(error.into()),
            // Nothing removes notifications here: it counts as not sent.
            Err(OutcomeError::Gone) => {
                self.accepted.push(handle.id().to_string());
                return Ok(());
            }
        };
        for delivery in record.deliveries {
            self.accepted.push(delivery.id.to_string());
            self.sent += u64::from(delivery.state.status() == DeliveryStatus::Sent);
            self.failed += delivery.attempts.iter().filter(|attempt| attempt.end != "sent").count() as u64;
        }
        Ok(())
    }
}

/// Answers every request with 204, and counts them by delivery. Ends when it is dropped.
struct Receiver {
    url: String,
    seen: Arc<Mutex<HashMap<String, u64>>>,
    _server: JoinSet<()>,
}

impl Receiver {
    async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}/hook", listener.local_addr()?);
        let seen = Arc::<Mutex<HashMap<String, u64>>>::default();
        let router = Router::new().fallback(receive).with_state(Arc::clone(&seen));
        let mut server = JoinSet::new();
        server.spawn(async move {
            // Accepting goes on for as long as the process has files to open.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, seen, _server: server })
    }

    fn seen(&self) -> HashMap<String, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(State(seen): State<Arc<Mutex<HashMap<String, u64>>>>, headers: HeaderMap) -> StatusCode {
    // The delivery's id: the same over all attempts.
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default();
    *seen.lock().unwrap_or_else(PoisonError::into_inner).entry(id.to_owned()).or_default() += 1;
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_is_refused_ends_the_bench_with_the_reason() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("core.wasm");
        std::fs::write(&file, b"\0asm\x01\0\0\0").expect("a file");
        let measured = run(&SwapParams::of_plugin(file, dir.path().to_owned())).await;
        let Err(SwapError::Refused { swap: 0, reason }) = measured else { panic!("{measured:?}") };
        assert!(reason.contains("it is a core module"), "{reason}");
    }
}
