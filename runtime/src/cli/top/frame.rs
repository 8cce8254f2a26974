//! What is seen as lines and as JSON: nothing here asks anybody, or knows a terminal.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::look::{Look, Rates, list};
use crate::cli::client::wire::{Breaker, Channel, Plugin};
use crate::cli::client::workers::Workers;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Color, Paint, escaped};
use crate::cli::workers::sized;

/// One frame. It borrows what it shows.
pub(super) struct Frame<'a> {
    pub(super) server: &'a str,
    pub(super) look: &'a Look,
    /// None where there is nothing to compare with.
    pub(super) rates: Option<&'a Rates>,
    /// What is shown was seen before this.
    pub(super) lost: Option<&'a Lost>,
}

/// A server that does not answer.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) since: jiff::Timestamp,
    /// A sentence.
    pub(super) message: String,
}

impl Frame<'_> {
    /// Each line ends with a newline and holds no escapes but those of `paint`.
    pub(super) fn text(&self, paint: Paint) -> String {
        let mut text = format!("{}  {:.0}\n", escaped(self.server), self.look.at);
        if let Some(Lost { since, message }) = self.lost {
            let line = format!("not reachable since {since:.0}: {}", escaped(message));
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "{}", paint.color(Some(Color::Red), &line));
        }
        let Workers { pool, workers } = &self.look.workers.value;
        text.push('\n');
        text.push_str(&self.lanes(paint));
        text.push('\n');
        text.push_str(&self.channels(paint));
        let _ = write!(text, "\n{}\n", escaped(&sized(pool)));
        if !workers.is_empty() {
            text.push_str(&self.workers(paint));
        }
        text.push('\n');
        text.push_str(&self.plugins(paint));
        text
    }

    /// What the server answered, with the lanes and the rates.
    pub(super) fn json(&self) -> Value {
        let Look { at, workers, channels, plugins, lanes, .. } = self.look;
        let lanes: Vec<_> = lanes
            .iter()
            .map(|lane| json!({ "priority": lane.priority.as_str(), "waiting": lane.waiting, "oldest_s": lane.oldest_s }))
            .collect();
        let mut channel_list = list(channels, "channels");
        for (json, channel) in channel_list.iter_mut().zip(&channels.value.channels) {
            let pace = self.rates.and_then(|rates| rates.of_channel(&channel.name));
            put(json, "sent_per_s", pace.map(|pace| pace.sent));
            put(json, "failed_per_s", pace.map(|pace| pace.failed));
        }
        let mut worker_list = list(workers, "workers");
        for (json, worker) in worker_list.iter_mut().zip(&workers.value.workers) {
            put(json, "processed_per_s", self.rates.and_then(|rates| rates.of_worker(worker.number)));
        }
        let lost =
            self.lost.map(|Lost { since, message }| json!({ "since": format!("{since:.3}"), "message": message }));
        json!({
            "at": format!("{at:.3}"), "not_reachable": lost, "lanes": lanes, "channels": channel_list,
            "pool": workers.json.get("pool"), "workers": worker_list, "plugins": list(plugins, "plugins"),
        })
    }

    fn lanes(&self, paint: Paint) -> String {
        if self.look.lanes.is_empty() {
            return "no lanes: the server measures none\n".to_owned();
        }
        let mut table = Table::new(["LANE", "WAITING", "OLDEST"]);
        for lane in &self.look.lanes {
            table.row([
                lane.priority.as_str().into(),
                lane.waiting.to_string().into(),
                if lane.waiting == 0 { "-".into() } else { format!("{:.1}s", lane.oldest_s).into() },
            ]);
        }
        table.render(paint, 0)
    }

    fn channels(&self, paint: Paint) -> String {
        let channels = &self.look.channels.value.channels;
        if channels.is_empty() {
            return "no channels\n".to_owned();
        }
        let head = ["CHANNEL", "STATE", "BREAKER", "IN FLIGHT", "WAITING", "SENT/S", "FAILED/S", "REASON"];
        let mut table = Table::new(head);
        for channel in channels {
            let Channel { name, state, reason, breaker, in_flight, limit, waiting, .. } = channel;
            let of = |limit: u32| format!("{in_flight} of {limit}");
            let pace = self.rates.and_then(|rates| rates.of_channel(name));
            table.row([
                name.as_str().into(),
                Cell::status(state),
                breaker.as_ref().map_or_else(|| "-".into(), |Breaker { state, .. }| Cell::status(state)),
                limit.map_or_else(|| in_flight.to_string(), of).into(),
                waiting.to_string().into(),
                per_second(pace.map(|pace| pace.sent)),
                per_second(pace.map(|pace| pace.failed)),
                Cell::or_dash(reason.as_deref()),
            ]);
        }
        table.render(paint, 0)
    }

    fn workers(&self, paint: Paint) -> String {
        let head = ["WORKER", "STATE", "IN FLIGHT", "PROCESSED/S", "ERRORS", "MEAN", "P99", "AT WORK ON"];
        let mut table = Table::new(head);
        for worker in &self.look.workers.value.workers {
            let (mean, p99) = worker.latency.as_ref().map(|latency| (latency.mean_ms, latency.p99_ms)).unzip();
            let milliseconds = |ms: Option<f64>| Cell::or_dash(ms.map(|ms| format!("{ms:.1}ms")).as_deref());
            table.row([
                worker.number.to_string().into(),
                Cell::status(&worker.state),
                format!("{} of {}", worker.in_flight, worker.slots).into(),
                per_second(self.rates.and_then(|rates| rates.of_worker(worker.number))),
                worker.errors.to_string().into(),
                milliseconds(mean),
                milliseconds(p99),
                Cell::or_dash(worker.current.as_ref().map(|task| task.channel.as_str())),
            ]);
        }
        table.render(paint, 0)
    }

    fn plugins(&self, paint: Paint) -> String {
        let plugins = &self.look.plugins.value.plugins;
        if plugins.is_empty() {
            return "no plugins\n".to_owned();
        }
        let mut table = Table::new(["PLUGIN", "VERSION", "STATE", "REASON"]);
        for Plugin { name, version, file, state, reason, .. } in plugins {
            table.row([
                // One that could not be asked is known by its file alone.
                name.as_deref().unwrap_or(file).into(),
                Cell::or_dash(version.as_deref()),
                Cell::status(state),
                Cell::or_dash(reason.as_deref()),
            ]);
        }
        table.render(paint, 0)
    }
}

fn put(json: &mut Value, key: &str, rate: Option<f64>) {
    if let Some(object) = json.as_object_mut() {
        object.insert(key.to_owned(), rate.into());
    }
}

fn per_second(rate: Option<f64>) -> Cell {
    Cell::or_dash(rate.map(|rate| format!("{rate:.1}")).as_deref())
}
