//! What a frame shows of what was seen.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;
use crate::cli::client::Answered;
use crate::domain::{AttemptEnd, ChannelName, Interruption, Outcome, Priority, Receipt};
use crate::telemetry::Metrics;

fn answered<T: serde::de::DeserializeOwned>(json: Value) -> Answered<T> {
    let value = serde_json::from_value(json.clone()).expect("the shape of the answer");
    Answered { json, value }
}

fn at(second: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_767_323_045 + second).expect("an instant")
}

fn channel(name: &str, state: &str, reason: Option<&str>) -> Value {
    json!({
        "name": name, "plugin": "slack", "version": "0.1.0", "configured": true, "state": state, "reason": reason,
        "breaker": { "state": if state == "open" { "open" } else { "closed" }, "calls": 12, "failures": 1, "slow": 0,
                     "consecutive": 0 },
        "in_flight": 2, "limit": 64, "waiting": 7, "health": null,
    })
}

fn worker(number: u32, processed: u64) -> Value {
    json!({
        "number": number, "state": "processing", "started_at": "x", "uptime_s": 61, "last_activity": null,
        "in_flight": 33, "slots": 64, "processed": processed, "errors": 3,
        "current": { "channel": "ops", "since": "x" }, "affinity": null,
        "latency": { "mean_ms": 12.34, "p99_ms": 99.0 }, "cpu_ms": 1.0, "memory_bytes": 0, "memory_peak_bytes": 0,
    })
}

/// A look at a server that has sent so many through `ops`, and has failed as many through `pager`.
fn look(second: i64, sent: u64) -> Look {
    let metrics = Metrics::new();
    for (n, priority) in Priority::DESCENDING.into_iter().enumerate() {
        metrics.queue_depth(priority, 4 * n as u64);
        metrics.queue_oldest(priority, Duration::from_millis(1_300 * n as u64));
    }
    let name = |name: &str| ChannelName::new(name).expect("a name");
    let stopped = AttemptEnd::Interrupted { interruption: Interruption::Shutdown, message: String::new() };
    for _ in 0..sent {
        metrics.attempt_ended(&name("ops"), &AttemptEnd::Outcome(Outcome::Sent(Receipt::default())));
        metrics.attempt_ended(&name("ops"), &stopped);
        metrics.attempt_ended(&name("pager"), &AttemptEnd::HostDeadline { message: String::new() });
    }
    let workers = json!({
        "pool": { "size": 2, "min": 2, "max": 4, "pinned": false, "load": 0.254, "in_flight": 66, "slots": 128,
                  "strategy": "pull" },
        "workers": [worker(1, 100 + sent), worker(3, sent)],
    });
    let channels = json!({ "channels": [
        channel("ops", "ready", None),
        channel("pager", "open", Some("its breaker is open until 2026-01-02T03:04:15.000Z")),
        channel("odd\u{1b}[2J", "paused", Some("by\nhand")),
    ] });
    let plugins = json!({ "plugins": [
        { "name": "slack", "version": "0.1.0", "kind": "channel", "source": "own", "file": "slack.wasm", "size": 1,
          "state": "serving" },
        { "name": null, "version": null, "kind": null, "source": "own", "file": "odd\r.wasm", "size": 12,
          "state": "refused", "reason": "it is text, not WebAssembly" },
    ] });
    Look::new(at(second), answered(workers), answered(channels), answered(plugins), &metrics.encode())
}

fn frame(look: &Look) -> Frame<'_> {
    Frame { server: "http://127.0.0.1:7433/", look, rates: None, lost: None }
}

#[test]
fn a_frame_shows_lanes_channels_workers_and_plugins_with_names_made_safe() {
    let (before, now) = (look(0, 10), look(2, 25));
    let rates = Rates::between(&before, &now, Duration::from_secs(2));
    let shown = Frame { rates: Some(&rates), ..frame(&now) }.text(Paint::Off);
    assert_snapshot!(shown, @r"
    http://127.0.0.1:7433/  2026-01-02T03:04:07Z

    LANE      WAITING  OLDEST
    critical  0        -
    high      4        1.3s
    normal    8        2.6s
    low       12       3.9s

    CHANNEL       STATE   BREAKER  IN FLIGHT  WAITING  SENT/S  FAILED/S  REASON
    ops           ready   closed   2 of 64    7        7.5     0.0       -
    pager         open    open     2 of 64    7        0.0     7.5       its breaker is open until 2026-01-02T03:04:15.000Z
    odd\u{1b}[2J  paused  closed   2 of 64    7        0.0     0.0       by\nhand

    2 workers (2 to 4 by load), 66 of 128 slots in use, load 25 %, pull
    WORKER  STATE       IN FLIGHT  PROCESSED/S  ERRORS  MEAN    P99     AT WORK ON
    1       processing  33 of 64   7.5          3       12.3ms  99.0ms  ops
    3       processing  33 of 64   7.5          3       12.3ms  99.0ms  ops

    PLUGIN      VERSION  STATE    REASON
    slack       0.1.0    serving  -
    odd\r.wasm  -        refused  it is text, not WebAssembly
    ");
    assert!(!frame(&now).text(Paint::Off).contains("/S"), "one look has no rates");
}

#[test]
fn a_narrow_terminal_shows_the_beginning_of_each_line() {
    let now = look(2, 25);
    let mut written = Vec::new();
    let mut screen = Screen::enter(&mut written).expect("memory can be written");
    screen.draw(&frame(&now).text(Paint::On), (24, 12), &mut Scroll::default()).expect("memory can be written");
    drop(screen);
    let shown = String::from_utf8(written).expect("text");
    let lines: Vec<_> = shown.split("\r\n").collect();
    assert_eq!(lines.len(), 12, "{shown}");
    assert!(lines[0].ends_with("\u{1b}[Hhttp://127.0.0.1:7433/  \u{1b}[K"), "{shown}");
    assert_eq!(lines[2], "\u{1b}[2mLANE\u{1b}[0m      \u{1b}[2mWAITING\u{1b}[0m  \u{1b}[2mOLDES\u{1b}[0m\u{1b}[K");
    assert_eq!(lines[9], "ops           \u{1b}[32mready\u{1b}[0m   cl\u{1b}[0m\u{1b}[K");
    assert!(lines[11].starts_with("… 10 more lines: ↓ PgDn\u{1b}[K\u{1b}[J"), "{shown}");
}

#[test]
fn a_server_with_nothing_says_so_for_each_part() {
    let workers = json!({ "workers": [], "pool": { "size": 0, "min": 1, "max": 1, "pinned": false, "load": 0.0,
        "in_flight": 0, "slots": 0, "strategy": "pull" } });
    let (channels, plugins) = (json!({ "channels": [] }), json!({ "plugins": [] }));
    let now = Look::new(at(0), answered(workers), answered(channels), answered(plugins), "");
    assert_snapshot!(frame(&now).text(Paint::Off), @r"
    http://127.0.0.1:7433/  2026-01-02T03:04:05Z

    no lanes: the server measures none

    no channels

    0 workers (1 to 1 by load), 0 of 0 slots in use, load 0 %, pull

    no plugins
    ");
}

#[test]
fn a_server_that_is_away_is_shown_as_it_was_since_when_and_why() {
    let mut view = View::of("http://127.0.0.1:7433/".to_owned(), look(0, 10));
    view.add(Ok(look(1, 20)));
    assert!(view.rates.is_some());
    view.add(Err(Failure::usage("no server\u{7} answers")));
    let since = view.lost.as_ref().expect("it is away").since;
    view.add(Err(Failure::usage("it starts")));
    let shown = view.frame().text(Paint::Off);
    let second = shown.lines().nth(1).expect("a second line");
    assert_eq!(second, format!("not reachable since {since:.0}: it starts"), "since the first time");
    assert!(shown.contains("\nops ") && !shown.contains("SENT/S"), "what was seen stays, without a rate:\n{shown}");
    assert_eq!(view.frame().json()["not_reachable"]["message"], "it starts");

    view.add(Ok(look(9, 30)));
    assert!(view.lost.is_none() && view.rates.is_none(), "it may have begun to count anew");
    view.add(Ok(look(10, 40)));
    assert!(view.rates.is_some());
}

#[test]
fn what_counts_less_than_before_has_no_rate() {
    let (before, now) = (look(0, 10), look(1, 5));
    let rates = Rates::between(&before, &now, Duration::from_secs(1));
    assert_eq!((rates.of_channel("ops"), rates.of_worker(3)), (None, None));
    assert_eq!(rates.of_channel("odd\u{1b}[2J").map(|pace| pace.sent), Some(0.0));
}

#[test]
fn json_has_what_the_server_answered_with_lanes_and_rates() {
    let (before, now) = (look(0, 10), look(2, 25));
    let rates = Rates::between(&before, &now, Duration::from_secs(2));
    let json = Frame { rates: Some(&rates), ..frame(&now) }.json();
    assert_eq!(json["at"], "2026-01-02T03:04:07.000Z");
    assert_eq!(json["lanes"][1], json!({ "priority": "high", "waiting": 4, "oldest_s": 1.3 }));
    let pager = &json["channels"][1];
    assert_eq!((&pager["failed_per_s"], &pager["breaker"]["calls"]), (&json!(7.5), &json!(12)));
    assert_eq!((&json["workers"][0]["processed_per_s"], &json["pool"]["max"]), (&json!(7.5), &json!(4)));
    assert_eq!((&json["plugins"][1]["state"], &json["not_reachable"]), (&json!("refused"), &Value::Null));
    assert_eq!(frame(&now).json()["channels"][1]["failed_per_s"], Value::Null);
}

#[test]
fn a_pace_that_is_no_live_view_is_refused_with_the_limits() {
    assert_eq!(interval("200ms"), Ok(Duration::from_millis(200)));
    assert_eq!(interval("1m"), Ok(Duration::from_secs(60)));
    for wrong in ["199ms", "61s", "often"] {
        let refused = interval(wrong).expect_err("outside of the limits");
        assert!(wrong == "often" || refused.contains("outside of the limits, 200ms to 1m"), "{refused}");
    }
}
