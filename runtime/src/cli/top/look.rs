//! One look at a server: what it answers, and what two answers in a row say of its pace.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::Value;

use crate::cli::client::wire::{Channels, Plugins};
use crate::cli::client::workers::Workers;
use crate::cli::client::{Answered, Client};
use crate::cli::failure::{Exit, Failure};
use crate::domain::{Interruption, Priority};

/// How long a whole look may take. What takes longer is no live view, and is said.
const LOOK_LIMIT: Duration = Duration::from_secs(5);

/// What a server said of itself, all of it at about the same time.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) at: jiff::Timestamp,
    pub(super) workers: Answered<Workers>,
    pub(super) channels: Answered<Channels>,
    pub(super) plugins: Answered<Plugins>,
    /// The most urgent first.
    pub(super) lanes: Vec<Lane>,
    /// Since the server started, by channel; one that has had none is not in it.
    pub(super) attempts: BTreeMap<String, Attempts>,
}

/// What waits with one priority.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Lane {
    pub(super) priority: Priority,
    pub(super) waiting: u64,
    /// How long the one that is due the longest has been.
    pub(super) oldest_s: f64,
}

/// Attempts that ended with a judgement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// Sent, or accepted by a provider.
    pub(super) sent: u64,
    pub(super) failed: u64,
}

/// Asks `client`'s server.
pub(super) async fn take(client: &Client) -> Result<Look, Failure> {
    let asked = async {
        let workers = client.get(&["workers"], None).await?;
        let channels = client.get(&["channels"], None).await?;
        let plugins = client.get(&["plugins"], None).await?;
        Ok(Look::new(jiff::Timestamp::now(), workers, channels, plugins, &client.metrics().await?))
    };
    tokio::time::timeout(LOOK_LIMIT, asked).await.unwrap_or_else(|_| {
        let message = format!("the server at `{}` did not answer within {} s", client.base(), LOOK_LIMIT.as_secs());
        Err(Failure::new(Exit::TimedOut, anyhow!(message)))
    })
}

impl Look {
    pub(super) fn new(
        at: jiff::Timestamp,
        workers: Answered<Workers>,
        channels: Answered<Channels>,
        plugins: Answered<Plugins>,
        metrics: &str,
    ) -> Self {
        Self { at, workers, channels, plugins, lanes: lanes(metrics), attempts: attempts(metrics) }
    }
}

/// Those priorities that `metrics` tell of.
fn lanes(metrics: &str) -> Vec<Lane> {
    let of = |name: &str, priority: Priority| -> Option<f64> {
        samples(metrics, name).find(|sample| sample.label("priority") == Some(priority.as_str()))?.value.parse().ok()
    };
    let lane = |priority: Priority| {
        let waiting = of("campanile_queue_depth", priority)?;
        let oldest_s = of("campanile_queue_oldest_seconds", priority)?;
        // A gauge of deliveries is a whole number.
        Some(Lane { priority, waiting: waiting as u64, oldest_s })
    };
    Priority::DESCENDING.into_iter().filter_map(lane).collect()
}

fn attempts(metrics: &str) -> BTreeMap<String, Attempts> {
    let mut attempts: BTreeMap<String, Attempts> = BTreeMap::new();
    for sample in samples(metrics, "campanile_attempts_total") {
        let (Some(channel), Some(outcome)) = (sample.label("channel"), sample.label("outcome")) else { continue };
        let Ok(count) = sample.value.parse::<u64>() else { continue };
        let of_channel = attempts.entry(channel.to_owned()).or_default();
        match outcome {
            "sent" | "accepted" => of_channel.sent += count,
            // Nobody's judgement: of no provider and of no plugin.
            outcome if Interruption::ALL.iter().any(|interruption| interruption.as_str() == outcome) => {}
            _ => of_channel.failed += count,
        }
    }
    attempts
}

/// One line of the text format of Prometheus.
struct Sample<'a> {
    labels: &'a str,
    value: &'a str,
}

impl<'a> Sample<'a> {
    /// The labels that are asked for are names of this program, and hold nothing that is escaped.
    fn label(&self, name: &str) -> Option<&'a str> {
        let is_it = |label: &&str| label.strip_prefix(name).is_some_and(|rest| rest.starts_with("=\""));
        self.labels.split(',').find(is_it)?.get(name.len() + 2..)?.strip_suffix('"')
    }
}

fn samples<'a>(metrics: &'a str, name: &str) -> impl Iterator<Item = Sample<'a>> {
    metrics.lines().filter_map(move |line| {
        let (labels, value) = line.strip_prefix(name)?.strip_prefix('{')?.split_once("} ")?;
        Some(Sample { labels, value })
    })
}

/// How fast what is counted grows.
#[derive(Debug, Default)]
pub(super) struct Rates {
    channels: BTreeMap<String, Pace>,
    /// Processed per second, by number.
    workers: BTreeMap<u32, f64>,
}

/// Attempts per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pace {
    pub(super) sent: f64,
    pub(super) failed: f64,
}

impl Rates {
    /// From two looks, the second of which was taken so much later. What counts less than before was begun anew, and has
    /// no rate.
    pub(super) fn between(before: &Look, now: &Look, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64();
        if seconds <= 0.0 {
            return Self::default();
        }
        let rate = |before: u64, now: u64| Some(now.checked_sub(before)? as f64 / seconds);
        let mut rates = Self::default();
        for channel in &now.channels.value.channels {
            let of = |look: &Look| look.attempts.get(&channel.name).copied().unwrap_or_default();
            let (old, new) = (of(before), of(now));
            if let (Some(sent), Some(failed)) = (rate(old.sent, new.sent), rate(old.failed, new.failed)) {
                rates.channels.insert(channel.name.clone(), Pace { sent, failed });
            }
        }
        let old: BTreeMap<u32, u64> =
            before.workers.value.workers.iter().map(|worker| (worker.number, worker.processed)).collect();
        for worker in &now.workers.value.workers {
            let began_at = old.get(&worker.number).copied().unwrap_or(0);
            if let Some(rate) = rate(began_at, worker.processed) {
                rates.workers.insert(worker.number, rate);
            }
        }
        rates
    }

    pub(super) fn of_channel(&self, name: &str) -> Option<Pace> {
        self.channels.get(name).copied()
    }

    pub(super) fn of_worker(&self, number: u32) -> Option<f64> {
        self.workers.get(&number).copied()
    }
}

/// `answer`'s list of this name, as it came.
pub(super) fn list<T>(answer: &Answered<T>, name: &str) -> Vec<Value> {
    answer.json.get(name).and_then(Value::as_array).cloned().unwrap_or_default()
}
