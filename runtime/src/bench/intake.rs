//! How fast notifications come in over HTTP: single requests and batches, each durable before its answer. Nothing is
//! delivered meanwhile.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::pipeline::percentile_ms;
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::Config;
use crate::runtime::{BuildError, Runtime};

/// What is measured.
#[derive(Clone, Debug)]
pub struct IntakeParams {
    /// The folder with the bundled plugins, `null.wasm` among them.
    pub plugins: PathBuf,
    /// A folder on the disk to be measured; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
    /// How long each kind of request is measured. Default: 8 s.
    pub time: Duration,
    /// Callers that send one notification after the other. Default: 256.
    pub callers: u32,
    /// Notifications of a batch. Default: 1,000.
    pub batch: u32,
    /// Callers that send one batch after the other. Default: 4.
    pub batch_callers: u32,
}

impl IntakeParams {
    /// The defaults, with these plugins, in this folder.
    #[must_use]
    pub const fn new(plugins: PathBuf, folder: PathBuf) -> Self {
        Self { plugins, folder, time: Duration::from_secs(8), callers: 256, batch: 1_000, batch_callers: 4 }
    }
}

/// The answer of `campanile bench pipeline --api`.
#[derive(Clone, Debug, Serialize)]
pub struct IntakeBench {
    /// Requests with one notification that were answered with 202.
    pub single_per_second: u64,
    /// Notifications in batches that were accepted.
    pub batch_per_second: u64,
    /// From a single request to its answer, 99 of 100, at that rate, in milliseconds.
    pub p99_ms: f64,
    /// `full`.
    pub durability: &'static str,
    /// Notifications that the store counts: all that were accepted, and those whose answers came after the time.
    pub stored: u64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntakeBenchError {
    /// The runtime does not start.
    #[error("the runtime does not start")]
    Build(#[from] BuildError),
    /// There is no port, or no folder.
    #[error("the server does not start")]
    Io(#[from] std::io::Error),
    /// A request failed.
    #[error("a request failed")]
    Request(#[from] reqwest::Error),
    /// The store cannot be read.
    #[error("the store cannot be read")]
    Store(#[from] crate::store::StoreError),
}

/// Measures.
///
/// # Errors
///
/// [`IntakeBenchError`] where the folder cannot hold a store, or a request fails.
pub async fn run(params: &IntakeParams) -> Result<IntakeBench, IntakeBenchError> {
    let id = Entropy::from_system().notification_id(SystemClock::default().now());
    let folder = params.folder.join(format!("campanile-bench-{id}"));
    let bench = measure(params, &folder).await;
    // What is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(&folder);
    bench
}

async fn measure(params: &IntakeParams, folder: &std::path::Path) -> Result<IntakeBench, IntakeBenchError> {
    let mut config = Config::default();
    config.store.path = folder.join("bench.db");
    config.plugins.dir = folder.join("plugins-enabled");
    config.plugins.cache_dir = folder.join("plugin-cache");
    config.plugins.bundled_dir = Some(params.plugins.clone());
    config.plugins.watch = false;
    let server = config.server.clone();
    let runtime = Runtime::builder().config(config).paused().build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1/notifications", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let router = crate::api::router(runtime.clone(), &server);
    let serving = tokio::spawn(crate::api::serve(listener, router, async move {
        // Dropping the sender stops it as well.
        let _ = stopped.await;
    }));
    let one = json!({
        "channels": ["null"], "title": "Disk almost full", "metadata": { "team": "infra" },
        "body": "db-3 is at 91 % and fills by 2 % an hour. ".repeat(5),
    });
    let batch = serde_json::Value::Array(vec![one.clone(); params.batch as usize]);
    let single = load(&url, &one.to_string(), params.callers, params.time).await?;
    let batches = load(&format!("{url}/batch"), &batch.to_string(), params.batch_callers, params.time).await?;
    let stored = runtime.stored().await?;
    // In this order: the server lets go of the runtime.
    let _ = stop.send(());
    let _ = serving.await;
    let _ = runtime.shutdown(Duration::ZERO).await;
    Ok(IntakeBench {
        single_per_second: single.per_second,
        batch_per_second: batches.per_second * u64::from(params.batch),
        p99_ms: percentile_ms(&single.latencies, 99),
        durability: "full",
        stored,
    })
}

struct Load {
    per_second: u64,
    /// Sorted.
    latencies: Vec<Duration>,
}

/// `callers` send the same request again and again, each once it has its answer.
async fn load(url: &str, body: &str, callers: u32, time: Duration) -> Result<Load, IntakeBenchError> {
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let (body, over) = (Bytes::from(body.to_owned()), Arc::new(AtomicBool::new(false)));
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (client, url, body, over) = (client.clone(), url.to_owned(), body.clone(), Arc::clone(&over));
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while !over.load(Ordering::Relaxed) {
                let sent = Instant::now();
                let request = client.post(&url).header("content-type", "application/json").body(body.clone());
                request.send().await?.error_for_status()?.bytes().await?;
                latencies.push(sent.elapsed());
            }
            Ok::<_, reqwest::Error>(latencies)
        });
    }
    tokio::time::sleep(time).await;
    over.store(true, Ordering::Relaxed);
    let mut latencies = Vec::new();
    while let Some(ended) = tasks.join_next().await {
        match ended {
            Ok(of_one) => latencies.append(&mut of_one?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    let per_second = (latencies.len() as f64 / started.elapsed().as_secs_f64()) as u64;
    latencies.sort_unstable();
    Ok(Load { per_second, latencies })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_is_counted_is_stored() {
        let guests = std::env::var_os("CAMPANILE_GUESTS").expect("CAMPANILE_GUESTS names the folder of built plugins");
        let folder = tempfile::tempdir().expect("a folder");
        let defaults = IntakeParams::new(guests.into(), folder.path().to_owned());
        let params =
            IntakeParams { time: Duration::from_millis(200), callers: 8, batch: 10, batch_callers: 2, ..defaults };
        let bench = run(&params).await.expect("measured");
        let least = (bench.single_per_second + bench.batch_per_second) / 10;
        assert!(bench.single_per_second > 0 && bench.batch_per_second > 0, "{bench:?}");
        assert!(bench.stored >= least, "{bench:?}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "it leaves nothing behind");
    }
}
