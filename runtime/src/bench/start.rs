//! How soon a server is there: ready, accepting, calling; and how soon an idle one calls.
//!
//! *Flow:* a folder with a configuration, and what is to wait in its store → the program itself, started as `serve`, its
//! plugins compiled before → the first answers, the first request at a receiver on loopback, then one notification at a
//! time.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;

use super::pipeline::{percentile_ms, resident_mb};
use super::receiver::Receiver;
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::{ChannelConfig, Config, Secrets};
use crate::domain::{ChannelName, NameError, PluginName};
use crate::intake::Submission;
use crate::runtime::{BuildError, Runtime};

/// What is measured.
#[derive(Clone, Debug)]
pub struct StartParams {
    /// The program to start.
    pub program: PathBuf,
    /// The folder with the bundled plugins: all of them are loaded, `webhook` is called.
    pub plugins: PathBuf,
    /// A folder on the disk; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
    /// Deliveries that wait in the store, due, when the program starts. Default: 0.
    pub waiting: u32,
    /// Notifications sent to the idle server, one at a time. Default: 500.
    pub calls: NonZeroU32,
}

impl StartParams {
    /// The defaults, with this program and these plugins, in this folder.
    #[must_use]
    pub fn new(program: PathBuf, plugins: PathBuf, folder: PathBuf) -> Self {
        Self { program, plugins, folder, waiting: 0, calls: NonZeroU32::MIN.saturating_add(499) }
    }
}

/// The answer of `campanile bench start`. Times count from the start of the process.
#[derive(Clone, Debug, Serialize)]
pub struct StartBench {
    /// Deliveries that waited in the store.
    pub waiting: u32,
    /// To the first `/readyz` that says ready, in milliseconds.
    pub ready_ms: f64,
    /// To the answer that a first notification is durable, in milliseconds.
    pub first_accept_ms: f64,
    /// To the first request at the receiver, in milliseconds.
    pub first_dispatch_ms: f64,
    /// Resident memory once it is ready, in megabytes; none where the system does not tell.
    pub idle_rss_mb: Option<f64>,
    /// From submitting to an idle server to the plugin's request at the receiver, half of all, in milliseconds; none
    /// where others wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_call_p50_ms: Option<f64>,
    /// The same, 99 of 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_call_p99_ms: Option<f64>,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// What is to wait could not be prepared.
    #[error("the runtime does not start")]
    Build(#[from] BuildError),
    /// A notification was not accepted.
    #[error("a notification was not accepted: {0}")]
    Submit(String),
    /// A file could not be written, or the program not started.
    #[error("the server does not start")]
    Io(#[from] std::io::Error),
    /// It ended, or said something else than where it listens.
    #[error("the server does not say where it listens: {0}")]
    Silent(String),
    /// A request failed.
    #[error("a request failed")]
    Request(#[from] reqwest::Error),
    /// Nothing arrived in time.
    #[error("nothing arrived at the receiver within {LIMIT:?}")]
    NothingArrived,
    /// A defect of ours: the channel has a name.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// What takes longer does not happen.
const LIMIT: Duration = Duration::from_secs(30);

/// Between two questions whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(1);

/// Between two notifications to an idle server: longer than one takes.
const IDLE: Duration = Duration::from_millis(5);

/// Notifications accepted at once, of those that are to wait.
const BATCH: u32 = 1_000;

/// The channel, named as the plugin behind it.
const CHANNEL: &str = "webhook";

/// Measures.
///
/// # Errors
///
/// [`StartError`] where a part is missing or fails.
pub async fn run(params: &StartParams) -> Result<StartBench, StartError> {
    let id = Entropy::from_system().notification_id(SystemClock::default().now());
    let folder = params.folder.join(format!("campanile-bench-{id}"));
    let bench = measure(params, &folder).await;
    // What is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(&folder);
    bench
}

async fn measure(params: &StartParams, folder: &Path) -> Result<StartBench, StartError> {
    let (receiver, mut arrivals) = Receiver::start_telling().await?;
    let config = config(params, folder, &receiver.url())?;
    prepare(&config, params.waiting).await?;
    let file = folder.join("campanile.toml");
    std::fs::write(&file, config.to_toml(Secrets::Shown))?;

    let started = Instant::now();
    let server = Server::start(&params.program, &file).await?;
    let ready_ms = { server.ready().await.map(|()| millis(started.elapsed()))? };
    let idle_rss_mb = server.resident_mb();
    server.submit().await?;
    let first_accept_ms = millis(started.elapsed());
    let first_dispatch_ms = millis(arrival(&mut arrivals).await?.duration_since(started));
    let latencies = if params.waiting == 0 { calls(&server, &mut arrivals, params.calls).await? } else { Vec::new() };
    let percentile = |percent| (!latencies.is_empty()).then(|| percentile_ms(&latencies, percent));
    Ok(StartBench {
        waiting: params.waiting,
        ready_ms,
        first_accept_ms,
        first_dispatch_ms,
        idle_rss_mb,
        first_call_p50_ms: percentile(50),
        first_call_p99_ms: percentile(99),
    })
}

fn config(params: &StartParams, folder: &Path, url: &str) -> Result<Config, StartError> {
    let mut config = Config::default();
    config.store.path = folder.join("bench.db");
    config.server.listen.set_port(0);
    config.plugins.dir = folder.join("plugins-enabled");
    config.plugins.cache_dir = folder.join("plugin-cache");
    config.plugins.bundled_dir = Some(params.plugins.clone());
    let mut channel = ChannelConfig::new(PluginName::new(CHANNEL)?, config.plugins.defaults);
    channel.config = json!({ "url": url }).as_object().cloned().unwrap_or_default();
    channel.allow_networks = vec!["127.0.0.1/32".to_owned()];
    config.channels.insert(ChannelName::new(CHANNEL)?, channel);
    Ok(config)
}

/// Compiles the plugins, and keeps what is to wait: nothing is delivered.
async fn prepare(config: &Config, waiting: u32) -> Result<(), StartError> {
    let runtime = Runtime::builder().config(config.clone()).paused().build().await?;
    let mut left = waiting;
    while left > 0 {
        let count = left.min(BATCH);
        let answers = runtime.submit_batch((0..count).map(|_| submission()).collect()).await;
        let answers = answers.map_err(|error| StartError::Submit(error.to_string()))?;
        if let Some(problems) = answers.into_iter().find_map(Result::err) {
            return Err(StartError::Submit(problems.to_string()));
        }
        left -= count;
    }
    let _ = runtime.shutdown(Duration::ZERO).await;
    Ok(())
}

fn submission() -> Submission {
    Submission {
        channels: vec![CHANNEL.to_owned()],
        title: Some("Disk almost full".to_owned()),
        body: Some("db-3 is at 91 % and fills by 2 % an hour.".to_owned()),
        ..Submission::default()
    }
}

/// One notification at a time: from submitting it to its request, sorted.
async fn calls(
    server: &Server,
    arrivals: &mut mpsc::Receiver<Instant>,
    calls: NonZeroU32,
) -> Result<Vec<Duration>, StartError> {
    let mut latencies = Vec::with_capacity(calls.get() as usize);
    for _ in 0..calls.get() {
        tokio::time::sleep(IDLE).await;
        let submitted = Instant::now();
        server.submit().await?;
        latencies.push(arrival(arrivals).await?.duration_since(submitted));
    }
    latencies.sort_unstable();
    Ok(latencies)
}

async fn arrival(arrivals: &mut mpsc::Receiver<Instant>) -> Result<Instant, StartError> {
    let arrived = tokio::time::timeout(LIMIT, arrivals.recv()).await;
    arrived.ok().flatten().ok_or(StartError::NothingArrived)
}

fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 100.0
}

/// The program, serving. Ends when it is dropped.
struct Server {
    process: Child,
    url: String,
    client: reqwest::Client,
}

impl Server {
    async fn start(program: &Path, config: &Path) -> Result<Self, StartError> {
        let mut process = Command::new(program)
            .arg("--config")
            .arg(config)
            .arg("serve")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = process.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).await?;
        }
        let url = line.trim().strip_prefix("listening on ").ok_or_else(|| StartError::Silent(line.clone()))?.to_owned();
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { process, url, client })
    }

    async fn ready(&self) -> Result<(), StartError> {
        let asked = Instant::now();
        loop {
            let answer = self.client.get(format!("{}/readyz", self.url)).send().await?;
            if answer.status().is_success() {
                return Ok(());
            }
            if asked.elapsed() > LIMIT {
                return Err(StartError::Silent(format!("/readyz answers {} after {LIMIT:?}", answer.status())));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    async fn submit(&self) -> Result<(), StartError> {
        let body = json!({
            "channels": [CHANNEL], "title": "Disk almost full", "body": "db-3 is at 91 % and fills by 2 % an hour.",
        });
        let request = self.client.post(format!("{}/v1/notifications", self.url));
        let request = request.header("content-type", "application/json").body(body.to_string());
        request.send().await?.error_for_status()?.bytes().await?;
        Ok(())
    }

    fn resident_mb(&self) -> Option<f64> {
        resident_mb(&self.process.id()?.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_keys_are_those_that_are_published() {
        let bench = StartBench {
            waiting: 0,
            ready_ms: 100.0,
            first_accept_ms: 110.0,
            first_dispatch_ms: 112.0,
            idle_rss_mb: Some(40.0),
            first_call_p50_ms: Some(0.9),
            first_call_p99_ms: Some(4.0),
        };
        let Value::Object(figures) = serde_json::to_value(bench).unwrap() else { panic!("an object") };
        for key in ["ready_ms", "first_accept_ms", "idle_rss_mb", "first_call_p50_ms", "first_call_p99_ms"] {
            assert!(figures.contains_key(key), "{key}");
        }
    }
}
