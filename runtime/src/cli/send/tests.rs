//! What is sent, and how its outcome is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::RawQuery;
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser as _;
use insta::assert_snapshot;

use super::*;
use crate::cli::client::tests::{globals, serve};
use crate::cli::{Cli, Command};

fn parse(arguments: &[&str]) -> Args {
    let arguments = ["campanile", "send"].iter().chain(arguments);
    match Cli::try_parse_from(arguments).expect("these arguments are good").command {
        Command::Send(args) => *args,
        other => panic!("not `send`: {other:?}"),
    }
}

fn body_of(arguments: &[&str], piped: Option<&str>) -> Result<String, Failure> {
    let now = "2030-01-31T09:30:00Z".parse::<jiff::Timestamp>().expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
    body(parse(arguments), piped.map(str::as_bytes), &now).map(|body| body.to_string())
}

#[test]
fn times_keys_and_metadata_are_sent_as_the_server_takes_them() {
    let arguments = ["-c", "ops", "-b", "x", "--at", "tomorrow 9am", "--expires", "2d", "--idempotency-key", "order-7"];
    let more = [
        "--dedupe-key",
        "disk-db-3",
        "--correlation-id",
        "order-7",
        "--callback-url",
        "https://example.com/done",
        "--metadata",
        "team=infra",
        "--metadata",
        "run=4=5",
    ];
    let sent = body_of(&[&arguments[..], &more[..]].concat(), None).expect("good");
    assert_snapshot!(sent, @r#"{"body":"x","callback_url":"https://example.com/done","channels":["ops"],"correlation_id":"order-7","dedupe_key":"disk-db-3","expires_at":"2030-02-02T09:30:00Z","idempotency_key":"order-7","metadata":{"run":"4=5","team":"infra"},"scheduled_at":"2030-02-01T09:00:00Z"}"#);
    let refused = body_of(&["-c", "ops", "-b", "x", "--at", "soon"], None).expect_err("no time");
    assert_snapshot!(refused.render(Paint::Off), @"error: `--at`: `soon` is no time: expected an instant such as `2030-01-31T09:30:00Z`, `2030-01-31 09:30`, `10m`, `in 2 days`, `17:30`, `tomorrow 9am` or `monday noon`");
}

#[test]
fn only_what_was_given_is_sent() {
    let sent = body_of(&["-c", "ops", "-b", "hi"], None).expect("good");
    assert_snapshot!(sent, @r#"{"body":"hi","channels":["ops"]}"#);
    let sent = body_of(
        &[
            "-c",
            "ops",
            "-c",
            "mail",
            "-t",
            "ada@example.com",
            "--title",
            "T",
            "-b",
            "x",
            "--html",
            "<p>x",
            "--kind",
            "warning",
            "--priority",
            "high",
            "-d",
            "host=db-3",
            "-d",
            "share=91=%",
        ],
        None,
    );
    assert_snapshot!(sent.expect("good"), @r#"{"body":"x","channels":["ops","mail"],"data":{"host":"db-3","share":"91=%"},"html":"<p>x","kind":"warning","priority":"high","title":"T","to":["ada@example.com"]}"#);
}

#[test]
fn the_text_comes_from_a_pipe_unless_there_is_another() {
    assert_snapshot!(body_of(&["-c", "ops"], Some("a\nb\n")).expect("good"), @r#"{"body":"a\nb","channels":["ops"]}"#);
    assert_snapshot!(body_of(&["-c", "ops", "-b", "x"], Some("piped")).expect("good"), @r#"{"body":"x","channels":["ops"]}"#);
    assert_snapshot!(body_of(&["-c", "ops", "--template", "t"], Some("piped")).expect("good"), @r#"{"channels":["ops"],"template":"t"}"#);
}

#[test]
fn with_nothing_to_send_nothing_is_asked_of_the_server() {
    for piped in [None, Some(""), Some("\n")] {
        let failure = body_of(&["-c", "ops"], piped).expect_err("refused");
        assert_eq!(failure.exit, Exit::Usage);
    }
}

#[test]
fn a_pair_goes_over_the_file_of_data() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data.json");
    std::fs::write(&path, r#"{"host": "a", "share": 91}"#).expect("written");
    let path = path.to_str().expect("UTF-8");
    let sent = body_of(&["-c", "ops", "--template", "t", "--data-file", path, "-d", "host=b"], None);
    assert_snapshot!(sent.expect("good"), @r#"{"channels":["ops"],"data":{"host":"b","share":91},"template":"t"}"#);
    std::fs::write(path, "[1]").expect("written");
    let refused = body_of(&["-c", "ops", "--template", "t", "--data-file", path], None).expect_err("refused");
    assert_eq!(refused.exit, Exit::Usage);
}

#[test]
fn waiting_takes_a_minute_or_what_is_said() {
    assert_eq!(parse(&["-c", "x", "-b", "y"]).wait, None);
    assert_eq!(parse(&["-c", "x", "-b", "y", "--wait"]).wait, Some(Duration::from_secs(60)));
    assert_eq!(parse(&["-c", "x", "--wait", "200ms", "-b", "y"]).wait, Some(Duration::from_millis(200)));
}

/// A server whose one delivery is first pending, then `outcome` from the second look on.
async fn server_with(outcome: &'static str) -> String {
    let accepted = Json(json!({
        "id": "ntf_1", "delivery_count": 1,
        "deliveries": [{ "id": "dlv_1_0", "channel": "ops", "recipient": null, "status": "pending" }],
    }));
    let looks = Arc::new(AtomicUsize::new(0));
    let notification = move |RawQuery(query): RawQuery| async move {
        assert!(query.is_some_and(|query| query.starts_with("wait=")), "the server is asked to wait");
        let status = if looks.fetch_add(1, Ordering::Relaxed) == 0 { "pending" } else { outcome };
        let delivery = json!({ "id": "dlv_1_0", "channel": "ops", "status": status, "reason": "why" });
        let mut counts = json!({ "open": 0, "sent": 0, "failed": 0, "cancelled": 0 });
        counts[if status == "pending" { "open" } else { status }] = json!(1);
        Json(json!({
            "id": "ntf_1", "status": status, "kind": "info", "priority": "normal", "created_at": "now",
            "counts": counts, "deliveries": [delivery],
        }))
    };
    let routes = Router::new()
        .route("/v1/notifications", post(|| async { accepted }))
        .route("/v1/notifications/{id}", get(notification));
    serve(routes).await
}

#[tokio::test]
async fn waiting_ends_with_the_outcome_and_its_exit_code() {
    for (outcome, exit) in [("sent", Exit::Ok), ("failed", Exit::No), ("cancelled", Exit::No)] {
        let url = server_with(outcome).await;
        let answer = run(&globals(&url), parse(&["-c", "ops", "-b", "hi", "--wait"])).await.expect("answered");
        assert_eq!(answer.exit, exit, "{outcome}");
        assert!(answer.text.starts_with(&format!("ntf_1 {outcome}\n")), "{}", answer.text);
    }
}

#[test]
fn what_is_still_on_its_way_when_the_time_is_over_is_a_time_out() {
    let json = json!({
        "id": "ntf_1", "status": "pending", "kind": "info", "priority": "normal", "created_at": "now",
        "counts": { "open": 1, "sent": 1, "failed": 0, "cancelled": 0 },
        "deliveries": [
            { "id": "dlv_1_0", "channel": "ops", "status": "sent", "recipient": "a" },
            { "id": "dlv_1_1", "channel": "mail", "status": "retrying", "recipient": "b", "attempts": [
                { "number": 1, "started_at": "x", "duration_ms": 1, "outcome": "retry", "reason": "busy",
                  "plugin": "mail@1.0.0", "fuel": 1, "memory_bytes": 65536 },
            ]},
        ],
    });
    let value = serde_json::from_value(json.clone()).expect("the shape of the server's answer");
    let answer = show_outcome(&Answered { json, value }, &globals("http://127.0.0.1:1"));
    assert_eq!(answer.exit, Exit::TimedOut);
    assert_snapshot!(answer.text, @r#"
    ntf_1 pending
      CHANNEL  RECIPIENT  STATUS    ATTEMPTS  REASON
      ops      a          sent      -         -
      mail     b          retrying  1         busy
    "#);
}

#[test]
fn of_more_deliveries_than_are_listed_the_status_and_the_count_decide() {
    for (status, [open, sent, failed], exit) in [
        ("sent", [0, 5_000, 0], Exit::Ok),
        ("partial", [0, 4_999, 1], Exit::No),
        ("pending", [1, 4_999, 0], Exit::TimedOut),
    ] {
        let json = json!({
            "id": "ntf_1", "status": status, "kind": "info", "priority": "normal", "created_at": "now",
            "counts": { "open": open, "sent": sent, "failed": failed, "cancelled": 0 },
            "deliveries": [{ "id": "dlv_1_0", "channel": "ops", "status": "sent" }],
        });
        let value = serde_json::from_value(json.clone()).expect("the shape of the server's answer");
        assert_eq!(show_outcome(&Answered { json, value }, &globals("http://127.0.0.1:1")).exit, exit, "{status}");
    }
}

#[tokio::test]
async fn what_cannot_come_in_time_is_not_waited_for_and_nothing_is_sent() {
    // Nobody listens there: what is refused is refused before anybody is asked.
    let arguments = parse(&["-c", "ops", "-b", "hi", "--at", "1h", "--wait"]);
    let refused = run(&globals("http://127.0.0.1:9"), arguments).await.expect_err("it cannot come");
    assert_eq!(refused.exit, Exit::Usage);
    let told = refused.render(Paint::Off);
    assert!(told.contains("`--wait` ends after 1m, and `--at` is in 1h"), "{told}");
    let now = Zoned::now();
    let soon = json!({ "scheduled_at": now.timestamp().to_string() });
    assert!(comes_in_time(&soon, Duration::from_secs(1), &now).is_ok());
}
