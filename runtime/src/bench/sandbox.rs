//! How fast plugins are called: in fresh instances, as every delivery is; in a reused one, which is the floor; and the
//! same work without a sandbox.

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;

use crate::call::Call;
use crate::capability::Section;
use crate::capability::http::{Allowed, Egress, HttpGrant};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, ChannelName, Content, Notification, NotificationId, Priority, Recipient, Timestamp};
use crate::sandbox::{
    ConsoleSink, Grants, Plugin, PrepareError, PreparedChannel, Sandbox, SandboxError, SandboxSettings,
};
use crate::telemetry::Metrics;

/// What is measured.
#[derive(Clone, Debug)]
pub struct SandboxParams {
    /// The plugin's file: a channel.
    pub plugin: PathBuf,
    /// The configuration it is called with.
    pub config_json: String,
    /// How long each of the six measurements takes. Default: 3 s.
    pub time_per_measurement: Duration,
    /// Calls at once where many are. Default: 256.
    pub in_flight: NonZeroU32,
}

impl SandboxParams {
    /// A configuration for `webhook`. Nothing is granted, so its one host call is answered `denied` at once.
    pub const WEBHOOK_CONFIG: &str = r#"{"url":"https://bench.invalid/hook"}"#;

    /// The default measurement of the plugin in this file.
    #[must_use]
    pub fn of_plugin(plugin: PathBuf, config_json: &str) -> Self {
        Self {
            plugin,
            config_json: config_json.to_owned(),
            time_per_measurement: Duration::from_secs(3),
            in_flight: NonZeroU32::new(256).unwrap_or(NonZeroU32::MIN),
        }
    }
}

/// The answer of `campanile bench sandbox`.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxBench {
    /// Fresh instances, every limit on, two tasks.
    pub calls_per_second: u64,
    /// One instance for thousands of calls, two tasks.
    pub reused_calls_per_second: u64,
    /// A request like the plugin's put together by native code, two tasks.
    pub native_calls_per_second: u64,
    /// A store and an instance, made and dropped with no call between; mean of one task.
    pub instantiate_us: f64,
    /// Store made to store dropped, one task: the median.
    pub p50_us: f64,
    /// The same, of the slowest hundredth.
    pub p99_us: f64,
    /// Fuel of one call.
    pub fuel_per_call: u64,
    /// Calls at once in the last measurement.
    pub in_flight: u32,
    /// Fresh instances with so many alive at once.
    pub calls_per_second_in_flight_256: u64,
}

/// Why there is no measurement.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxBenchError {
    /// The file cannot be read.
    #[error("plugin `{}` cannot be read", .path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The file is no plugin.
    #[error("plugin `{}` cannot be measured", .path.display())]
    Prepare {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: PrepareError,
    },
    /// The network part of the sandbox does not start.
    #[error("no grant can be made: {reason}")]
    Grant {
        /// Why.
        reason: String,
    },
    /// A call gave no outcome, so nothing was measured.
    #[error("the plugin gave no outcome: {end}: {reason}")]
    NoOutcome {
        /// How the call ended.
        end: &'static str,
        /// Why.
        reason: String,
    },
}

/// Calls in one reused instance, before it is made anew.
const REUSE: NonZeroU32 = NonZeroU32::new(2_000).expect("it is not zero");

/// Tasks where throughput is measured: one for each core of the machine of reference.
const TASKS: u32 = 2;

struct Silence;

impl ConsoleSink for Silence {
    fn line(&self, _: Option<&ChannelName>, _: &str) {}
}

/// Measures one plugin. About 20 s with default parameters.
///
/// # Errors
///
/// [`SandboxBenchError`] where the plugin cannot be called.
pub async fn run(params: &SandboxParams) -> Result<SandboxBench, SandboxBenchError> {
    let bed = Arc::new(TestBed::new(params).await?);
    let time = params.time_per_measurement;
    let fuel_per_call = bed.warm_up().await?;

    let fresh = throughput(TASKS, time, &bed, |bed| async move { bed.send().await.map(|_| 1) }).await?;
    let reused = throughput(TASKS, time, &bed, |bed| async move { bed.send_again().await }).await?;
    let native = throughput(TASKS, time, &bed, |bed| async move { bed.native().await }).await?;
    let mut durations = bed.durations(time).await?;
    let many = throughput(params.in_flight.get(), time, &bed, |bed| async move { bed.send_among().await }).await?;
    Ok(SandboxBench {
        calls_per_second: fresh,
        reused_calls_per_second: reused,
        native_calls_per_second: native,
        instantiate_us: bed.instantiate_us(time).await,
        p50_us: percentile_us(&mut durations, 50),
        p99_us: percentile_us(&mut durations, 99),
        fuel_per_call,
        in_flight: params.in_flight.get(),
        calls_per_second_in_flight_256: many,
    })
}

/// The plugin with a channel and a call to make.
struct TestBed {
    plugin: Plugin,
    channel: PreparedChannel,
    call: Call,
}

impl TestBed {
    async fn new(params: &SandboxParams) -> Result<Self, SandboxBenchError> {
        let path = params.plugin.clone();
        let wasm = std::fs::read(&path).map_err(|source| SandboxBenchError::Read { path: path.clone(), source })?;
        let sandbox = Sandbox::new(SandboxSettings {
            in_flight: params.in_flight.get(),
            memory_max: CallLimits::default().memory,
            console: Arc::new(Silence),
            metrics: Metrics::off(),
        })?;
        let plugin =
            sandbox.compile(wasm, [0; 32]).await.map_err(|source| SandboxBenchError::Prepare { path, source })?;
        let name = ChannelName::new("bench").expect("it is a name");
        let nobody = Allowed { section: &Section::of_channel(&name), hosts: &[], networks: &[] };
        let grant = HttpGrant::check(&[], &serde_json::Map::new(), nobody, &Egress::system())
            .map_err(|error| SandboxBenchError::Grant { reason: error.to_string() })?;
        let channel = PreparedChannel {
            name,
            config_json: params.config_json.clone(),
            grants: Arc::new(Grants::of_http(Arc::new(grant), Arc::default())),
            limits: CallLimits::default(),
        };
        Ok(Self { plugin, channel, call: call() })
    }

    /// Fuel of one call, after enough of them that every slot of the pool has been touched.
    async fn warm_up(&self) -> Result<u64, SandboxBenchError> {
        let mut fuel = 0;
        for _ in 0..1_000 {
            fuel = self.send().await?.1;
        }
        Ok(fuel)
    }

    /// One call in a fresh instance: how long it took and its fuel.
    async fn send(&self) -> Result<(Duration, u64), SandboxBenchError> {
        let report = self.plugin.send(&self.channel, &self.call).await;
        outcome(&report.end)?;
        Ok((report.duration, report.fuel))
    }

    /// One call in a fresh instance that lets other tasks run while it is alive, as one that waits for a provider.
    async fn send_among(&self) -> Result<u64, SandboxBenchError> {
        outcome(&self.plugin.send_among(&self.channel, &self.call).await.end)?;
        Ok(1)
    }

    /// Many calls in one instance: how many.
    async fn send_again(&self) -> Result<u64, SandboxBenchError> {
        let mut channel = self.channel.clone();
        let times = REUSE.get();
        channel.limits.fuel = Some(u64::MAX);
        channel.limits.egress_calls = u32::MAX;
        channel.limits.timeout = self.channel.limits.timeout * times;
        let report = self.plugin.send_again(&channel, &self.call, REUSE).await;
        outcome(&report.end)?;
        Ok(times.into())
    }

    /// What a plugin does at least, without one: a body of JSON and a call through a trait object.
    async fn native(&self) -> Result<u64, SandboxBenchError> {
        const ROUNDS: u64 = 1_000;
        for _ in 0..ROUNDS {
            let body = serde_json::json!({
                "type": self.call.notification.kind,
                "timestamp": self.call.now.as_millis(),
                "data": {
                    "id": self.call.delivery.to_string(),
                    "title": self.call.content.title,
                    "text": self.call.content.text,
                    "to": self.call.recipient.address,
                },
            });
            std::hint::black_box(body.to_string());
        }
        tokio::task::yield_now().await;
        Ok(ROUNDS)
    }

    async fn durations(&self, time: Duration) -> Result<Vec<Duration>, SandboxBenchError> {
        let started = Instant::now();
        let mut durations = Vec::new();
        while started.elapsed() < time {
            durations.push(self.send().await?.0);
        }
        Ok(durations)
    }

    async fn instantiate_us(&self, time: Duration) -> f64 {
        let started = Instant::now();
        let (mut spent, mut count) = (Duration::ZERO, 0_u32);
        while started.elapsed() < time || count == 0 {
            spent += self.plugin.instantiate_only(&self.channel).await;
            count += 1;
        }
        rounded_us(spent / count)
    }
}

fn outcome(end: &AttemptEnd) -> Result<(), SandboxBenchError> {
    match end {
        AttemptEnd::Outcome(_) => Ok(()),
        AttemptEnd::HostDeadline { .. } | AttemptEnd::Fault { .. } | AttemptEnd::Interrupted { .. } => {
            let reason = end.reason().unwrap_or_default().to_owned();
            Err(SandboxBenchError::NoOutcome { end: end.as_str(), reason })
        }
    }
}

/// How many per second so many tasks do together; `step` says how many it did.
async fn throughput<F>(
    tasks: u32,
    time: Duration,
    bed: &Arc<TestBed>,
    step: impl Fn(Arc<TestBed>) -> F + Copy + Send + 'static,
) -> Result<u64, SandboxBenchError>
where
    F: Future<Output = Result<u64, SandboxBenchError>> + Send,
{
    let started = Instant::now();
    let mut running = JoinSet::<Result<u64, SandboxBenchError>>::new();
    for _ in 0..tasks {
        let bed = Arc::clone(bed);
        running.spawn(async move {
            let mut done = 0;
            while started.elapsed() < time {
                done += step(Arc::clone(&bed)).await?;
                // A call that never waits would keep its thread, and tokio's own budget is not asked in it.
                tokio::task::consume_budget().await;
            }
            Ok(done)
        });
    }
    let mut done = 0;
    while let Some(task) = running.join_next().await {
        done += task.unwrap_or_else(|stopped| std::panic::resume_unwind(stopped.into_panic()))?;
    }
    Ok((done as f64 / started.elapsed().as_secs_f64()) as u64)
}

fn percentile_us(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let at = durations.len().saturating_sub(1) * percent / 100;
    rounded_us(durations.get(at).copied().unwrap_or_default())
}

fn rounded_us(duration: Duration) -> f64 {
    (duration.as_nanos() as f64 / 100.0).round() / 10.0
}

/// A notification as it is usual: a title, two sentences, an address.
fn call() -> Call {
    let id = NotificationId::from_bytes([7; 16]);
    let content = Arc::new(Content {
        title: Some("Disk almost full".to_owned()),
        text: "The disk of db-3 is at 91 %. It will be full in about four hours.".to_owned(),
        ..Content::default()
    });
    let notification = Notification {
        id,
        kind: "warning".to_owned(),
        priority: Priority::Normal,
        content: Arc::clone(&content),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: vec![("team".to_owned(), "infra".to_owned())],
        correlation_id: None,
        group_key: None,
        created_at: Timestamp::from_millis(1_700_000_000_000),
        scheduled_at: None,
        expires_at: None,
    };
    Call {
        channel: ChannelName::new("bench").expect("it is a name"),
        delivery: id.delivery(0),
        attempt: 1,
        recipient: Arc::new(Recipient { address: "ops@example.com".to_owned(), ..Recipient::default() }),
        notification: Arc::new(notification),
        content,
        now: Timestamp::from_millis(1_700_000_000_500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_sorted_durations() {
        let mut durations: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        assert_eq!(percentile_us(&mut durations, 50), 50.0);
        assert_eq!(percentile_us(&mut durations, 99), 99.0);
        assert_eq!(percentile_us(&mut [], 99), 0.0);
    }

    #[test]
    fn the_keys_are_those_that_are_published() {
        let bench = SandboxBench {
            calls_per_second: 0,
            reused_calls_per_second: 0,
            native_calls_per_second: 0,
            instantiate_us: 0.0,
            p50_us: 0.0,
            p99_us: 0.0,
            fuel_per_call: 0,
            in_flight: 0,
            calls_per_second_in_flight_256: 0,
        };
        let json = serde_json::to_value(bench).expect("it is plain data");
        let keys: Vec<&String> = json.as_object().expect("it is an object").keys().collect();
        let mut published = [
            "calls_per_second",
            "reused_calls_per_second",
            "native_calls_per_second",
            "instantiate_us",
            "p50_us",
            "p99_us",
            "fuel_per_call",
            "in_flight",
            "calls_per_second_in_flight_256",
        ];
        published.sort_unstable();
        assert_eq!(keys, published);
    }
}
