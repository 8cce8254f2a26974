//! `campanile workers`: how the pool is doing, and how large it is to be.

use std::str::FromStr;

use serde_json::json;

use super::client::workers::{Pool, Worker, Workers};
use super::client::{Answered, Client};
use super::failure::Failure;
use super::table::{Cell, Table};
use super::terminal::Paint;
use super::{Answer, Globals};
use crate::config::format_size;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 shown, or done; 1 no server answers; 2 refused.

Examples:
  campanile workers
  campanile workers scale 8
  campanile workers scale auto")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Set the number of workers by hand, or let it follow the load again
    Scale(ScaleArgs),
}

#[derive(Debug, clap::Args)]
struct ScaleArgs {
    /// How many there are to be, or `auto`
    #[arg(value_name = "N|auto")]
    workers: Size,
}

/// How many workers there are to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    /// As the load asks for.
    Auto,
    Pinned(u32),
}

impl FromStr for Size {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            _ => text.parse().map(Self::Pinned).map_err(|_| "expected a whole number, or `auto`"),
        }
    }
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let client = Client::new(globals)?;
    let answered: Answered<Workers> = match &args.command {
        None => client.get(&["workers"], None).await?,
        Some(Command::Scale(ScaleArgs { workers })) => {
            let asked = match workers {
                Size::Auto => json!({ "workers": "auto" }),
                Size::Pinned(workers) => json!({ "workers": workers }),
            };
            client.post(&["workers", "scale"], &asked).await?
        }
    };
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show(&answered.value, globals.paint_stdout())
    }))
}

/// The pool in one line.
pub(super) fn sized(pool: &Pool) -> String {
    let Pool { size, min, max, pinned, pinned_to, load, in_flight, slots, strategy } = pool;
    let sized = match pinned_to.filter(|asked| asked > max) {
        Some(asked) => format!("set to {asked} by hand, and `max` is {max}"),
        None if *pinned => "set by hand".to_owned(),
        None => format!("{min} to {max} by load"),
    };
    let workers_word = if *size == 1 { "worker" } else { "workers" };
    let load = load * 100.0;
    format!("{size} {workers_word} ({sized}), {in_flight} of {slots} slots in use, load {load:.0} %, {strategy}")
}

fn show(Workers { pool, workers }: &Workers, paint: Paint) -> String {
    let mut text = format!("{}\n\n", sized(pool));
    let mut table = Table::new([
        "WORKER",
        "STATE",
        "UPTIME",
        "SLOTS",
        "PROCESSED",
        "ERRORS",
        "MEAN",
        "P99",
        "CPU",
        "MEMORY",
        "PEAK",
        "LAST",
        "AT WORK ON",
        "AFFINITY",
    ]);
    for worker in workers {
        let Worker { number, state, uptime_s, in_flight, slots, processed, errors, cpu_ms, last_activity, .. } = worker;
        let (mean, p99) = worker.latency.as_ref().map(|latency| (latency.mean_ms, latency.p99_ms)).unzip();
        let milliseconds = |ms: Option<f64>| ms.map(|ms| format!("{ms:.1}ms"));
        let bytes = |bytes: u64| (bytes > 0).then(|| format_size(bytes));
        let task = worker.current.as_ref().map(|task| format!("{} since {}", task.channel, task.since));
        let affinity = worker.affinity.as_ref().map(|last| format!("{} {}", last.channel, last.kind));
        table.row([
            number.to_string().into(),
            Cell::status(state),
            format!("{uptime_s}s").into(),
            format!("{in_flight}/{slots}").into(),
            processed.to_string().into(),
            errors.to_string().into(),
            Cell::or_dash(milliseconds(mean).as_deref()),
            Cell::or_dash(milliseconds(p99).as_deref()),
            format!("{cpu_ms:.0}ms").into(),
            Cell::or_dash(bytes(worker.memory_bytes).as_deref()),
            Cell::or_dash(bytes(worker.memory_peak_bytes).as_deref()),
            Cell::or_dash(last_activity.as_deref()),
            Cell::or_dash(task.as_deref()),
            Cell::or_dash(affinity.as_deref()),
        ]);
    }
    text.push_str(&table.render(paint, 0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn a_size_is_a_number_or_auto() {
        assert_eq!("auto".parse(), Ok(Size::Auto));
        assert_eq!("12".parse(), Ok(Size::Pinned(12)));
        assert!(["", "-1", "many", "1.5"].into_iter().all(|text| text.parse::<Size>().is_err()));
    }

    #[test]
    fn the_pool_is_a_line_and_each_worker_another() {
        let answer = json!({
            "pool": { "size": 2, "min": 2, "max": 4, "pinned": false, "load": 0.254, "in_flight": 33, "slots": 130,
                      "strategy": "affinity" },
            "workers": [
                { "number": 1, "state": "processing", "started_at": "x", "uptime_s": 61,
                  "last_activity": "2026-01-02T03:04:06.000Z", "in_flight": 33, "slots": 64, "processed": 1000,
                  "errors": 3, "current": { "channel": "ops", "since": "2026-01-02T03:04:05.000Z" },
                  "affinity": { "channel": "ops", "kind": "info" }, "latency": { "mean_ms": 12.34, "p99_ms": 99.0 },
                  "cpu_ms": 181.2, "memory_bytes": 131_072, "memory_peak_bytes": 1_048_576 },
                { "number": 3, "state": "idle", "started_at": "x", "uptime_s": 2, "last_activity": null, "in_flight": 0,
                  "slots": 64, "processed": 0, "errors": 0, "current": null, "affinity": null, "latency": null,
                  "cpu_ms": 0.0, "memory_bytes": 0, "memory_peak_bytes": 0 },
            ],
        });
        let workers: Workers = serde_json::from_value(answer).expect("the shape of `GET /v1/workers`");
        let pinned = |pinned_to| {
            let pool = Pool { pinned: true, pinned_to: Some(pinned_to), ..workers.pool.clone() };
            sized(&pool)
        };
        assert!(pinned(2).starts_with("2 workers (set by hand), 33 of"), "{}", pinned(2));
        assert!(pinned(8).starts_with("2 workers (set to 8 by hand, and `max` is 4), 33 of"), "{}", pinned(8));
        assert_snapshot!(show(&workers, Paint::Off), @r"
        2 workers (2 to 4 by load), 33 of 130 slots in use, load 25 %, affinity

        WORKER  STATE       UPTIME  SLOTS  PROCESSED  ERRORS  MEAN    P99     CPU    MEMORY  PEAK  LAST                      AT WORK ON                          AFFINITY
        1       processing  61s     33/64  1000       3       12.3ms  99.0ms  181ms  128KiB  1MiB  2026-01-02T03:04:06.000Z  ops since 2026-01-02T03:04:05.000Z  ops info
        3       idle        2s      0/64   0          0       -       -       0ms    -       -     -                         -                                   -
        ");
    }
}
