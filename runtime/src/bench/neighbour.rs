//! A hostile channel beside a good one: what calls that never end do to deliveries that have nothing to do with them. Or
//! a slow one, whose provider takes its time with every answer.
//!
//! *Flow:* a runtime of its own with two channels → a steady load through the good one, to a receiver on loopback with a
//! thread of its own → for a while alone, then beside the same load of calls that burn all the CPU time they are given,
//! then with these quarantined. Each round is a new runtime, so that none knows of the one before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::arrivals::{Arrivals, SLOW_PATH};
use super::pipeline::percentile_ms;
use crate::clock::{Clock as _, Entropy, SystemClock};
use crate::config::{ChannelConfig, Config};
use crate::domain::{ChannelName, NameError, PluginName};
use crate::runtime::{BuildError, Notification, PluginState, Runtime};

mod arrivals;

/// Who stands beside the good channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Its calls burn all the CPU time they are given.
    Hostile,
    /// Its provider answers each call after [`SLOW_ANSWER`].
    Slow,
}

/// How long a slow provider takes: too short for a time-out, so that nothing but shares of slots protects the others.
pub const SLOW_ANSWER: Duration = Duration::from_secs(5);

/// What is measured.
#[derive(Clone, Debug)]
pub struct NeighbourParams {
    /// Who stands beside the good channel.
    pub neighbour: Neighbour,
    /// The folder with the plugins `webhook`, which is good, and `null`, which is made to spin.
    pub plugins: PathBuf,
    /// Rounds; the figures are their medians.
    pub rounds: u32,
    /// Notifications a second for each channel, whether or not those before them have arrived.
    pub per_second: u32,
    /// How long the good channel is looked at before, and again after the quarantine.
    pub time_per_phase: Duration,
    /// A folder on the disk; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
}

impl NeighbourParams {
    /// 5 rounds of 1,000 notifications a second for each channel, 2 s for each phase.
    #[must_use]
    pub fn with_plugins(plugins: PathBuf, folder: PathBuf) -> Self {
        let time_per_phase = Duration::from_secs(2);
        Self { neighbour: Neighbour::Hostile, plugins, rounds: 5, per_second: 1_000, time_per_phase, folder }
    }
}

/// The answer of `campanile bench neighbour`. Every figure is the median of the rounds.
#[derive(Clone, Debug, Serialize)]
pub struct NeighbourBench {
    /// Rounds.
    pub rounds: u32,
    /// From submit to arrival, 99 of 100, with the good channel alone, in milliseconds.
    pub p99_before_ms: f64,
    /// The same while the calls of the neighbour run.
    pub p99_during_ms: f64,
    /// During ÷ before.
    pub p99_ratio_during: f64,
    /// What came of the quarantine; none beside a slow neighbour, which nobody quarantines.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// Good notifications of all rounds together.
    pub good: u64,
    /// Of them, those that never arrived.
    pub lost: u64,
}

/// What came of the quarantine of a hostile plugin.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quarantine {
    /// From submit to arrival once it is quarantined, 99 of 100, in milliseconds.
    pub p99_after_quarantine_ms: f64,
    /// After the quarantine ÷ before.
    pub p99_ratio_after_quarantine: f64,
    /// From the first hostile notification to the quarantine, in milliseconds.
    pub quarantined_after_ms: f64,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NeighbourError {
    /// There is no port to listen on, or no thread.
    #[error("the receiver does not listen")]
    Receiver(#[from] std::io::Error),
    /// The runtime does not start.
    #[error("the runtime does not start")]
    Build(#[from] BuildError),
    /// A notification was not accepted.
    #[error("a notification was not accepted")]
    Submit(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The hostile plugin was called on and on.
    #[error("the hostile plugin was not quarantined within {limit:?}")]
    NotQuarantined {
        /// How long was waited.
        limit: Duration,
    },
    /// A defect of ours: the channels have names.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// A plugin that is not quarantined by then never is: five calls of 200 ms of CPU time each are enough.
const QUARANTINE_LIMIT: Duration = Duration::from_secs(20);
/// What has not arrived by then is lost.
const ARRIVAL_LIMIT: Duration = Duration::from_secs(10);
/// Runs before anything is measured: connections are made, pages are touched.
const WARM_UP: Duration = Duration::from_millis(500);

const GOOD: &str = "good";
const BESIDE: &str = "beside";

/// Measures.
///
/// # Errors
///
/// [`NeighbourError`] where a part is missing or fails.
pub async fn run(params: &NeighbourParams) -> Result<NeighbourBench, NeighbourError> {
    let id = Entropy::from_system().notification_id(SystemClock::default().now());
    let folder = params.folder.join(format!("campanile-bench-{id}"));
    let measured = measure(params, &folder).await;
    // What is left behind is a nuisance, not a wrong figure.
    let _ = std::fs::remove_dir_all(&folder);
    measured
}

async fn measure(params: &NeighbourParams, folder: &Path) -> Result<NeighbourBench, NeighbourError> {
    let mut rounds = Vec::new();
    for number in 1..=params.rounds.max(1) {
        rounds.push(round(params, folder, number).await?);
    }
    let median = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let quarantine = (params.neighbour == Neighbour::Hostile).then(|| Quarantine {
        p99_after_quarantine_ms: median(|round| round.after_ms),
        p99_ratio_after_quarantine: median(|round| ratio(round.after_ms, round.before_ms)),
        quarantined_after_ms: median(|round| round.quarantined_after_ms),
    });
    Ok(NeighbourBench {
        rounds: params.rounds.max(1),
        p99_before_ms: median(|round| round.before_ms),
        p99_during_ms: median(|round| round.during_ms),
        p99_ratio_during: median(|round| ratio(round.during_ms, round.before_ms)),
        quarantine,
        good: rounds.iter().map(|round| round.good).sum(),
        lost: rounds.iter().map(|round| round.lost).sum(),
    })
}

struct Round {
    before_ms: f64,
    during_ms: f64,
    after_ms: f64,
    quarantined_after_ms: f64,
    good: u64,
    lost: u64,
}

async fn round(params: &NeighbourParams, folder: &Path, number: u32) -> Result<Round, NeighbourError> {
    let receiver = Arrivals::start()?;
    let runtime = Runtime::builder().config(config(params, folder, number, receiver.url())?).build().await?;
    let measured = phases(params, &runtime, &receiver).await;
    // Everything has ended, or the figures say that it has not.
    let _ = runtime.shutdown(Duration::ZERO).await;
    measured
}

async fn phases(params: &NeighbourParams, runtime: &Runtime, receiver: &Arrivals) -> Result<Round, NeighbourError> {
    let good = |end| steady(runtime, GOOD, params.per_second, end);
    let for_a_while = |time| async move {
        tokio::time::sleep(time).await;
        Ok(())
    };
    good(for_a_while(WARM_UP)).await?;
    let before = good(for_a_while(params.time_per_phase)).await?;
    let beside_since = Instant::now();
    // Within a fifth of a second more of it waits than there are slots.
    let over = || async {
        match params.neighbour {
            Neighbour::Hostile => until_quarantined(runtime).await,
            Neighbour::Slow => for_a_while(params.time_per_phase).await,
        }
    };
    let beside = steady(runtime, BESIDE, params.per_second, over());
    let (during, _) = tokio::try_join!(steady(runtime, GOOD, params.per_second, over()), beside)?;
    let quarantined_after = beside_since.elapsed();
    let after = match params.neighbour {
        Neighbour::Hostile => good(for_a_while(params.time_per_phase)).await?,
        Neighbour::Slow => HashMap::new(),
    };
    let all: Vec<&String> = [&before, &during, &after].into_iter().flat_map(HashMap::keys).collect();
    receiver.wait_for(&all, ARRIVAL_LIMIT).await;
    let arrived = receiver.arrived();
    let p99 = |phase: &HashMap<String, Instant>| {
        let mut times: Vec<Duration> = phase
            .iter()
            // What never arrived was as late as can be.
            .map(|(id, since)| arrived.get(id).map_or(ARRIVAL_LIMIT, |at| at.saturating_duration_since(*since)))
            .collect();
        times.sort_unstable();
        percentile_ms(&times, 99)
    };
    Ok(Round {
        before_ms: p99(&before),
        during_ms: p99(&during),
        after_ms: p99(&after),
        quarantined_after_ms: percentile_ms(&[quarantined_after], 100),
        good: all.len() as u64,
        lost: all.iter().filter(|id| !arrived.contains_key(**id)).count() as u64,
    })
}

fn config(params: &NeighbourParams, folder: &Path, round: u32, url: &str) -> Result<Config, NeighbourError> {
    let mut config = Config::default();
    config.store.path = folder.join(format!("round-{round}.db"));
    config.plugins.dir = folder.join("none");
    config.plugins.bundled_dir = Some(params.plugins.clone());
    // Compiled once for all rounds.
    config.plugins.cache_dir = folder.join("cache");
    config.templates.dir = folder.join("templates");
    let mut good = ChannelConfig::new(PluginName::new("webhook")?, config.plugins.defaults);
    good.config.insert("url".to_owned(), json!(url));
    good.allow_networks.push("127.0.0.1/32".to_owned());
    let beside = match params.neighbour {
        Neighbour::Hostile => {
            let mut hostile = ChannelConfig::new(PluginName::new("null")?, config.plugins.defaults);
            hostile.config.insert("spin".to_owned(), json!(true));
            hostile
        }
        Neighbour::Slow => {
            let mut slow = good.clone();
            slow.config.insert("url".to_owned(), json!(format!("{url}{SLOW_PATH}")));
            slow
        }
    };
    config.channels.insert(ChannelName::new(GOOD)?, good);
    config.channels.insert(ChannelName::new(BESIDE)?, beside);
    Ok(config)
}

/// Notifications at a steady rate until `end`: when each was due to be submitted, by its delivery.
async fn steady(
    runtime: &Runtime,
    channel: &'static str,
    per_second: u32,
    end: impl Future<Output = Result<(), NeighbourError>>,
) -> Result<HashMap<String, Instant>, NeighbourError> {
    let period = Duration::from_secs(1) / per_second.max(1);
    let mut ticks = interval_at(Instant::now() + period, period);
    // Whoever comes late to a submit has kept somebody waiting, and that counts.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut submits = JoinSet::new();
    let mut end = std::pin::pin!(end);
    loop {
        tokio::select! {
            biased;
            ended = &mut end => break ended?,
            due = ticks.tick() => {
                let runtime = runtime.clone();
                submits.spawn(async move { notify(&runtime, channel).await.map(|delivery| (delivery, due)) });
            }
        }
    }
    let mut submitted = HashMap::new();
    while let Some(ended) = submits.join_next().await {
        let (delivery, due) = ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        submitted.insert(delivery, due);
    }
    Ok(submitted)
}

/// Submits one. Gives the id of its delivery.
async fn notify(runtime: &Runtime, channel: &str) -> Result<String, NeighbourError> {
    let notification = Notification::new().channel(channel).title("Disk almost full").body("db-3 is at 91 %");
    let handle = runtime.notify(notification).await.map_err(|error| NeighbourError::Submit(Box::new(error)))?;
    Ok(handle.id().delivery(0).to_string())
}

async fn until_quarantined(runtime: &Runtime) -> Result<(), NeighbourError> {
    let mut changes = runtime.plugin_changes();
    let quarantined = async {
        loop {
            changes.mark_unchanged();
            if runtime.plugins().iter().any(|plugin| matches!(plugin.state, PluginState::Quarantined { .. }))
                || changes.changed().await.is_err()
            {
                return;
            }
        }
    };
    let limit = QUARANTINE_LIMIT;
    tokio::time::timeout(limit, quarantined).await.map_err(|_| NeighbourError::NotQuarantined { limit })
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of.get(of.len() / 2).copied().unwrap_or_default()
}

fn ratio(of: f64, to: f64) -> f64 {
    (of / to * 1e3).round() / 1e3
}
