//! `campanile bench`: measures this machine.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

use super::failure::{Exit, Failure};
use super::plugins::program;
use super::terminal::{Paint, escaped};
use super::{Answer, Globals};
use crate::bench::neighbour::Neighbour;
use crate::bench::pipeline::PipelineParams;
use crate::bench::through::{self, Through};
use crate::bench::{events, intake, neighbour, queue, sandbox, start, store, swap};
use crate::runtime::{Inspection, inspect_plugin};
use crate::telemetry::Metrics;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Calls of a plugin in the sandbox, a fresh instance for each
    Sandbox {
        /// A channel plugin that is content with the configuration of `webhook`
        /// [default: the bundled webhook.wasm]
        #[arg(long, value_name = "FILE")]
        plugin: Option<PathBuf>,
    },
    /// A hostile channel beside a good one: how much later the good one's deliveries arrive, as medians
    Neighbour {
        /// Beside a channel whose provider takes 5 s for each answer, in place of a hostile one
        #[arg(long)]
        slow: bool,
        /// How often all of it is measured
        #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1_000))]
        rounds: u32,
        /// Folder with the plugins `webhook` and `null` [default: the bundled ones]
        #[arg(long, value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// Folder on the disk to work in; what is made in it is removed at the end
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// The queue in memory: time per push or pop, and bytes per waiting delivery
    Queue,
    /// The whole way: accepted durably, queued, claimed, called in the sandbox, settled durably
    Pipeline(PipelineArgs),
    /// A plugin's file replaced again and again under load: what is lost, fails or comes twice, and how long a swap takes
    Swap {
        /// How often
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        swaps: u32,
        /// The `webhook` plugin [default: the bundled webhook.wasm]
        #[arg(long, value_name = "FILE")]
        plugin: Option<PathBuf>,
        /// Folder on the disk to work in; what is made in it is removed at the end
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// Events: how fast one stream reaches 100 subscribers, how soon a callback is called, what one costs a consumer,
    /// and what delivery does beside one that never returns
    Events {
        /// Folder on the disk to work in; what is made in it is removed at the end
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// How soon a server is ready, accepts and calls, and how soon an idle one calls
    Start {
        /// Deliveries that wait in the store, due, when it starts
        #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
        waiting: u32,
        /// Folder with the plugins to load, `webhook` among them [default: the bundled ones]
        #[arg(long, value_name = "DIR")]
        plugins: Option<PathBuf>,
        /// Folder on the disk to work in; what is made in it is removed at the end
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
    /// The embedded store: accepts, completions and both, at every durability
    Store {
        /// Folder on the disk to measure; what is made in it is removed at the end
        #[arg(long, value_name = "DIR", default_value = ".")]
        dir: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct PipelineArgs {
    /// Channel: `null` accepts at once, `webhook` sends to a receiver on loopback
    #[arg(long, value_enum, default_value_t, value_name = "CHANNEL")]
    channel: ChannelArg,
    /// Notifications, with one delivery each [default: 200000, or 100000 through `webhook`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    notifications: Option<u32>,
    /// Deliveries of the same channel that wait in the store besides, for tomorrow
    #[arg(long, value_name = "N", default_value_t = 0)]
    backlog: u64,
    /// Measure what comes in over HTTP instead, while nothing is delivered: single requests and batches
    #[arg(long, conflicts_with_all = ["channel", "notifications", "backlog", "metrics", "gates"])]
    api: bool,
    /// Whether metrics are counted
    #[arg(long, value_enum, default_value_t, value_name = "on|off")]
    metrics: Switch,
    /// Whether every gate stands in the way, each too wide to hold anything back
    #[arg(long, value_enum, default_value_t, value_name = "on|off")]
    gates: Switch,
    /// Folder on the disk to measure; what is made in it is removed at the end
    #[arg(long, value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum ChannelArg {
    #[default]
    Null,
    Webhook,
}

#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
enum Switch {
    #[default]
    On,
    Off,
}

pub(super) fn run(globals: &Globals, command: Command) -> Result<Answer, Failure> {
    // All cores, as the server has them.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the asynchronous runtime does not start")?;
    let (parameters, figures) = runtime.block_on(measure(command))?;
    if globals.json {
        return Ok(Answer::ok(format!("{figures:#}\n")));
    }
    Ok(Answer::ok(format!("{parameters}\n{}\n\n{}", machine(), show(&figures, globals.paint_stdout()))))
}

/// Runs one bench. Gives its parameters in words, and its figures.
async fn measure(command: Command) -> Result<(String, Value), Failure> {
    match command {
        Command::Sandbox { plugin } => {
            let plugin = plugin.map_or_else(|| bundled("webhook.wasm"), Ok)?;
            inspected(&plugin).await?;
            let params = sandbox::SandboxParams::of_plugin(plugin, sandbox::SandboxParams::WEBHOOK_CONFIG);
            let seconds = params.time_per_measurement.as_secs();
            let parameters = format!("`{}`, {seconds} s per measurement; nothing is stored", params.plugin.display());
            let figures = sandbox::run(&params).await.map_err(|error| Failure::new(Exit::No, error))?;
            Ok((parameters, json(&figures)?))
        }
        Command::Neighbour { slow, rounds, plugins, dir } => neighbour(slow, rounds, plugins, dir).await,
        Command::Queue => {
            let params = queue::QueueParams::default();
            let parameters = format!("{} channels, 4 priorities; nothing is stored", params.channels);
            let figures = tokio::task::spawn_blocking(move || queue::run(&params)).await;
            Ok((parameters, json(&figures.context("the bench ended by a defect")?)?))
        }
        Command::Pipeline(args) => pipeline(args).await,
        Command::Swap { swaps, plugin, dir } => swap(swaps, plugin, dir).await,
        Command::Events { dir } => {
            let plugins = bundled("null.wasm")?.parent().map(PathBuf::from).unwrap_or_default();
            let params = events::EventsParams::new(plugins, folder(dir)?);
            let parameters = format!(
                "{} notifications, {} subscribers on loopback, {} callbacks one at a time, {} pairs of {} deliveries; \
                 durability full, in `{}`",
                params.notifications,
                params.subscribers,
                params.callbacks,
                params.stuck_pairs,
                params.stuck_notifications,
                params.folder.display()
            );
            let figures = Box::pin(events::run(&params)).await.map_err(unwritable)?;
            Ok((parameters, json(&figures)?))
        }
        Command::Start { waiting, plugins, dir } => start(waiting, plugins, dir).await,
        Command::Store { dir } => {
            let dir = folder(dir)?;
            let params = store::StoreParams { folder: dir, ..store::StoreParams::default() };
            let parameters = format!("{} s per row, in `{}`", params.time_per_row.as_secs(), params.folder.display());
            let measured = store::run(&params).await.context("the store cannot be measured");
            let figures = measured.map_err(unwritable)?;
            Ok((parameters, json(&figures)?))
        }
    }
}

async fn neighbour(
    slow: bool,
    rounds: u32,
    plugins: Option<PathBuf>,
    dir: PathBuf,
) -> Result<(String, Value), Failure> {
    let plugins = plugins.map_or_else(beside_webhook, Ok)?;
    let neighbour = if slow { Neighbour::Slow } else { Neighbour::Hostile };
    let params = neighbour::NeighbourParams {
        neighbour,
        rounds,
        ..neighbour::NeighbourParams::with_plugins(plugins, folder(dir)?)
    };
    let beside = match neighbour {
        Neighbour::Hostile => "never end".to_owned(),
        Neighbour::Slow => format!("take {} s", neighbour::SLOW_ANSWER.as_secs()),
    };
    let parameters = format!(
        "{} rounds, {} good notifications a second beside as many that {beside}, durability full, in `{}`",
        params.rounds,
        params.per_second,
        params.folder.display()
    );
    let measured = neighbour::run(&params).await.context("the neighbour cannot be measured");
    let figures = measured.map_err(unwritable)?;
    Ok((parameters, json(&figures)?))
}

async fn start(waiting: u32, plugins: Option<PathBuf>, dir: PathBuf) -> Result<(String, Value), Failure> {
    let plugins = plugins.map_or_else(beside_webhook, Ok)?;
    let program = program().ok_or_else(|| anyhow::anyhow!("the program does not know its own file"))?;
    let params = start::StartParams { waiting, ..start::StartParams::new(program, plugins, folder(dir)?) };
    let parameters = format!(
        "the bundled plugins, compiled before; {} deliveries waiting, then {} one at a time; durability full, in `{}`",
        params.waiting,
        if waiting == 0 { params.calls.get() } else { 0 },
        params.folder.display()
    );
    let figures = Box::pin(start::run(&params)).await.map_err(unwritable)?;
    Ok((parameters, json(&figures)?))
}

async fn swap(swaps: u32, plugin: Option<PathBuf>, dir: PathBuf) -> Result<(String, Value), Failure> {
    let plugin = plugin.map_or_else(|| bundled("webhook.wasm"), Ok)?;
    let name = inspected(&plugin).await?.descriptor.version.name.clone();
    if name.as_str() != swap::PLUGIN {
        let message = format!("`{}` is the plugin `{name}`", plugin.display());
        return Err(Failure::usage(message)
            .hint(format!("this bench sends to a receiver of its own: name an edition of `{}`", swap::PLUGIN)));
    }
    let dir = folder(dir)?;
    let params = swap::SwapParams { swaps, ..swap::SwapParams::of_plugin(plugin, dir) };
    let parameters = format!(
        "two editions of `{}`, {} callers, durability full, in `{}`",
        params.plugin.display(),
        params.callers,
        params.folder.display()
    );
    let measured = swap::run(&params).await.context("the swap cannot be measured");
    // What a plugin's file did is no matter of the folder.
    let figures = measured.map_err(|error| match error.downcast_ref() {
        Some(swap::SwapError::Refused { .. } | swap::SwapError::NotSwapped { .. }) => Failure::new(Exit::No, error),
        _ => unwritable(error),
    })?;
    Ok((parameters, json(&figures)?))
}

async fn pipeline(args: PipelineArgs) -> Result<(String, Value), Failure> {
    let dir = folder(args.dir)?;
    if args.api {
        return intake(dir).await;
    }
    let through = match args.channel {
        ChannelArg::Null => Through::Null,
        ChannelArg::Webhook => Through::Webhook,
    };
    let metrics = match args.metrics {
        Switch::On => Metrics::new(),
        Switch::Off => Metrics::off(),
    };
    let notifications = args.notifications.unwrap_or_else(|| through.notifications());
    let file = bundled(&format!("{}.wasm", through.plugin()))?;
    let plugins = file.parent().map(PathBuf::from).unwrap_or_default();
    let parameters = format!(
        "{notifications} notifications through `{}`, {} more waiting, metrics {:?}, gates {:?}, durability full, in `{}`",
        through.plugin(),
        args.backlog,
        args.metrics,
        args.gates,
        dir.display()
    );
    let params = |channel| PipelineParams {
        notifications,
        backlog: args.backlog,
        folder: dir,
        gates: matches!(args.gates, Switch::On),
        ..PipelineParams::through(channel)
    };
    let figures = through::run(through, params, plugins, metrics).await.map_err(unwritable)?;
    Ok((parameters, json(&figures)?))
}

async fn intake(dir: PathBuf) -> Result<(String, Value), Failure> {
    let plugins = bundled("null.wasm")?.parent().map(PathBuf::from).unwrap_or_default();
    let params = intake::IntakeParams::new(plugins, dir);
    let parameters = format!(
        "{} callers one notification at a time, then {} callers {} at a time, {} s each, durability full, in `{}`",
        params.callers,
        params.batch_callers,
        params.batch,
        params.time.as_secs(),
        params.folder.display()
    );
    let figures = Box::pin(intake::run(&params)).await.map_err(unwritable)?;
    Ok((parameters, json(&figures)?))
}

/// Most often the folder is why there are no figures.
fn unwritable(error: impl Into<anyhow::Error>) -> Failure {
    Failure::new(Exit::No, error).hint("name a folder that can be written with `--dir`")
}

/// The plugin's file, if a plugin is in it.
async fn inspected(file: &Path) -> Result<Inspection, Failure> {
    Box::pin(inspect_plugin(file, program().as_deref())).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("`{}` is no plugin to load", file.display()));
        Failure::new(Exit::No, error)
    })
}

/// The folder, which has to be there: one that was mistyped is not to be made.
fn folder(dir: PathBuf) -> Result<PathBuf, Failure> {
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(Failure::usage(format!("there is no folder `{}`", dir.display())).hint("make it, or name another with `--dir`"))
}

/// The folder of the bundled plugins.
fn beside_webhook() -> Result<PathBuf, Failure> {
    bundled("webhook.wasm").map(|file| file.parent().map(PathBuf::from).unwrap_or_default())
}

/// A plugin that came with the program: beside it, else where packages put it.
fn bundled(file: &str) -> Result<PathBuf, Failure> {
    let program = std::env::current_exe().ok();
    let beside = program.and_then(|program| Some(program.parent()?.join("plugins")));
    let folders = beside.into_iter().chain([PathBuf::from("/usr/lib/campanile/plugins")]);
    folders.map(|folder| folder.join(file)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::usage(format!("the bundled plugin `{file}` is not beside the program"))
            .hint("name one with `--plugin`")
    })
}

fn json(figures: &impl serde::Serialize) -> Result<Value, Failure> {
    Ok(serde_json::to_value(figures).context("the figures cannot be written as JSON")?)
}

/// What the figures are true for.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let build = if cfg!(debug_assertions) { ", not a release build" } else { "" };
    format!("{cores} cores, {} {}{build}", std::env::consts::OS, std::env::consts::ARCH)
}

/// An object as a line for each key; an array of objects as a table.
fn show(figures: &Value, paint: Paint) -> String {
    let Value::Object(figures) = figures else { return format!("{}\n", plain(figures)) };
    let width = figures.keys().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for (key, value) in figures {
        // Writing to a `String` cannot fail.
        let _ = match value {
            Value::Array(rows) if rows.iter().all(Value::is_object) => write!(text, "{}", show_rows(rows, paint)),
            _ => writeln!(text, "{} {}", paint.dim(&format!("{key:<width$}")), plain(value)),
        };
    }
    text
}

/// Rows that all have the keys of the first one.
fn show_rows(rows: &[Value], paint: Paint) -> String {
    let Some(Value::Object(first)) = rows.first() else { return String::new() };
    let cells = |row: &Value| -> Vec<String> { first.keys().map(|key| plain(&row[key])).collect() };
    let texts: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut text = String::new();
    let widths: Vec<usize> = first
        .keys()
        .enumerate()
        .map(|(column, key)| texts.iter().map(|row| row[column].chars().count()).chain([key.len()]).max().unwrap_or(0))
        .collect();
    let line = |cells: Vec<&str>| -> String {
        // Figures are compared by their last digits: to the right.
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}")).collect();
        padded.join("  ")
    };
    let _ = writeln!(text, "{}", paint.dim(&line(first.keys().map(String::as_str).collect())));
    for row in &texts {
        let _ = writeln!(text, "{}", line(row.iter().map(String::as_str).collect()));
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escaped(text),
        Value::Object(map) => {
            map.iter().map(|(key, value)| format!("{} {}", escaped(key), plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn figures_are_lines_and_rows_a_table() {
        let figures = json!({
            "calls_per_second": 98_000, "ns_per_op": { "1": 40, "1000": 41.5 }, "durability": "full",
            "rows": [
                { "batch": 100, "accepts_per_second": 90_000 },
                { "batch": 1000, "accepts_per_second": 120_000 },
            ],
        });
        assert_snapshot!(show(&figures, Paint::Off), @r#"
        calls_per_second 98000
        durability       full
        ns_per_op        1 40, 1000 41.5
        accepts_per_second  batch
                     90000    100
                    120000   1000
        "#);
    }
}
