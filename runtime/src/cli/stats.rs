//! `campanile stats`: totals of a running server.

use std::fmt::Write as _;

use super::client::stats::{Callbacks, Deliveries, Latency, Stats, Workers};
use super::client::{Answered, Client};
use super::failure::Failure;
use super::{Answer, Globals};
use crate::config::format_size;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Deliveries are those that are kept; calls of callbacks are counted since the
server started. `campanile top` shows it live.

Exit codes: 0 shown; 1 no server answers.

Examples:
  campanile stats
  campanile stats --json")]
pub(super) struct Args;

pub(super) async fn run(globals: &Globals) -> Result<Answer, Failure> {
    let answered: Answered<Stats> = Client::new(globals)?.get(&["stats"], None).await?;
    Ok(Answer::ok(match globals.json {
        true => format!("{:#}\n", answered.json),
        false => show(&answered.value),
    }))
}

fn show(stats: &Stats) -> String {
    let Stats { deliveries, queue, workers, callbacks, events, store } = stats;
    let Deliveries { open, retrying, sent, failed, cancelled, dead_letters } = deliveries;
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<11}{value}");
    };
    line(
        "deliveries",
        format!("{open} open ({retrying} retrying), {sent} sent, {failed} failed, {cancelled} cancelled"),
    );
    line("given up", format!("{dead_letters} deliveries, {} calls of callbacks", callbacks.dead_letters));
    let depths: Vec<_> = queue
        .iter()
        .map(|depth| match depth.oldest_ms {
            oldest if oldest > 0.0 => format!("{} {} (oldest {oldest:.0} ms)", depth.priority, depth.waiting),
            _ => format!("{} {}", depth.priority, depth.waiting),
        })
        .collect();
    line("waiting", depths.join(", "));
    let Workers { size, load, in_flight, slots } = workers;
    line("workers", format!("{size}, {in_flight} of {slots} slots in use, load {:.0} %", load * 100.0));
    let Callbacks { named, disabled, lag_max, succeeded, failed, queued, dead_letters: _, latency } = callbacks;
    let calls = format!("{succeeded} calls succeeded, {failed} failed, {queued} wait");
    line("callbacks", format!("{named} with a name ({disabled} disabled), {lag_max} events behind at most; {calls}"));
    let times = latency.iter().map(|Latency { kind, p95_ms, p99_ms }| format!("{kind} {p95_ms:.1} and {p99_ms:.1} ms"));
    if !latency.is_empty() {
        line("call times", format!("95 and 99 of 100 within: {}", times.collect::<Vec<_>>().join(", ")));
    }
    line("events", format!("{} so far, {}", events.newest, format_size(events.bytes)));
    line("database", format!("{}, audit log {}", format_size(store.bytes), format_size(store.audit_bytes)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn totals_are_a_line_for_each_part() {
        let answer = json!({
            "deliveries": { "open": 7, "retrying": 2, "sent": 1000, "failed": 3, "cancelled": 1, "dead_letters": 2 },
            "queue": [{ "priority": "critical", "waiting": 0, "oldest_ms": 0.0 },
                      { "priority": "low", "waiting": 7, "oldest_ms": 1500.4 }],
            "workers": { "size": 4, "load": 0.254, "in_flight": 65, "slots": 256 },
            "callbacks": { "named": 2, "disabled": 1, "lag_max": 40, "succeeded": 90, "failed": 4, "queued": 1,
                           "dead_letters": 5, "latency": [
                { "kind": "completion", "count": 4, "min_ms": 0.1, "avg_ms": 0.2, "max_ms": 0.4, "p95_ms": 0.35, "p99_ms": 0.4 },
                { "kind": "webhook", "count": 94, "min_ms": 1.0, "avg_ms": 12.25, "max_ms": 99.0, "p95_ms": 40.0, "p99_ms": 90.0 } ] },
            "events": { "newest": 4000, "bytes": 131_072 },
            "store": { "bytes": 4_194_304, "audit_bytes": 24_576 },
        });
        let stats: Stats = serde_json::from_value(answer).expect("the shape of `GET /v1/stats`");
        assert_snapshot!(show(&stats), @"
        deliveries 7 open (2 retrying), 1000 sent, 3 failed, 1 cancelled
        given up   2 deliveries, 5 calls of callbacks
        waiting    critical 0, low 7 (oldest 1500 ms)
        workers    4, 65 of 256 slots in use, load 25 %
        callbacks  2 with a name (1 disabled), 40 events behind at most; 90 calls succeeded, 4 failed, 1 wait
        call times 95 and 99 of 100 within: completion 0.3 and 0.4 ms, webhook 40.0 and 90.0 ms
        events     4000 so far, 128KiB
        database   4MiB, audit log 24KiB
        ");
    }
}
