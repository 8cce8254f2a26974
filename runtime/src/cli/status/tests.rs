//! What is shown of a notification.

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::*;

#[test]
fn a_notification_shows_every_attempt_of_every_delivery() {
    let answer = json!({
        "id": "ntf_01", "status": "partial", "kind": "warning", "priority": "high",
        "created_at": "2026-01-02T03:04:05.000Z", "title": "Disk\u{1b}[2J full",
        "counts": { "open": 3, "sent": 1, "failed": 0, "cancelled": 0 }, "correlation_id": "order-7",
        "scheduled_at": "2026-01-02T03:04:05.000Z", "expires_at": "2026-01-03T03:04:05.000Z",
        "metadata": { "run": "4=5", "team": "infra" },
        "deliveries": [
            { "id": "dlv_01_0", "channel": "ops", "recipient": "", "status": "sent", "attempts": [
                { "number": 1, "started_at": "2026-01-02T03:04:05.010Z", "duration_ms": 12.5, "outcome": "retry",
                  "code": "503", "reason": "busy", "plugin": "slack@0.1.0", "fuel": 12000, "memory_bytes": 1_114_112 },
                { "number": 2, "started_at": "2026-01-02T03:04:06.010Z", "duration_ms": 8, "outcome": "sent",
                  "provider_id": "m-1", "plugin": "slack@0.1.0", "fuel": 11_900, "memory_bytes": 1_114_112 },
            ]},
            { "id": "dlv_01_1", "channel": "mail", "recipient": "ada@example.com", "status": "retrying",
              "due": "2026-01-02T03:05:00.000Z", "reason": "busy", "attempts": [] },
            { "id": "dlv_01_2", "channel": "slack", "status": "pending", "due": "2026-01-02T03:04:05.000Z",
              "rerouted": [{ "from": "mail", "to": "slack", "at": "2026-01-02T03:04:05.020Z", "reason": "breaker-open" }],
              "held": "plugin `slack` is quarantined: …; `campanile plugins release slack`", "attempts": [] },
            { "id": "dlv_01_3", "channel": "sms", "status": "pending", "due": "2026-01-02T03:04:05.000Z",
              "in_flight": true, "cancelling": true, "crashes": 2, "attempts": [] },
        ],
    });
    let notification: Notification = serde_json::from_value(answer).expect("the shape of the server's answer");
    assert_snapshot!(show(&notification, Paint::Off), @r#"
    id           ntf_01
    status       partial
    kind         warning
    priority     high
    accepted     2026-01-02T03:04:05.000Z
    scheduled    2026-01-02T03:04:05.000Z
    expires      2026-01-03T03:04:05.000Z
    correlation  order-7
    title        Disk\u{1b}[2J full
    metadata     run=4=5, team=infra

    dlv_01_0 through ops: sent
      #  STARTED                   TOOK     OUTCOME  CODE  PLUGIN       FUEL   MEMORY   PROVIDER ID  REASON
      1  2026-01-02T03:04:05.010Z  12.5 ms  retry    503   slack@0.1.0  12000  1088KiB  -            busy
      2  2026-01-02T03:04:06.010Z  8 ms     sent     -     slack@0.1.0  11900  1088KiB  m-1          -

    dlv_01_1 through mail to ada@example.com: retrying, busy, due 2026-01-02T03:05:00.000Z

    dlv_01_2 through slack: pending, held: plugin `slack` is quarantined: …; `campanile plugins release slack`
      2026-01-02T03:04:05.020Z  breaker-open: slack stands in for mail

    dlv_01_3 through sms: pending, in flight, and cancelled unless this attempt sends it, crashes: 2
    "#);
}

#[test]
fn an_id_of_a_delivery_means_its_notification() {
    let hex = "01890a5d0b0170008000000000000001";
    assert_eq!(id(&format!("dlv_{hex}_7")), id(&format!("ntf_{hex}")));
    assert!(id("../plugins").is_err());
}

#[test]
fn of_a_large_notification_it_is_told_how_much_is_not_shown() {
    let answer = |counts: Value, never_made: u64| {
        let delivery = json!({ "id": "dlv_01_0", "channel": "ops", "status": "sent" });
        let answer = json!({
            "id": "ntf_01", "status": "pending", "kind": "info", "priority": "low", "created_at": "now",
            "counts": counts, "never_made": never_made, "deliveries": [delivery, delivery],
        });
        let notification: Notification = serde_json::from_value(answer).expect("the shape of the server's answer");
        tally(&notification).unwrap_or_default()
    };
    let large = json!({ "open": 880, "sent": 99_120, "failed": 0, "cancelled": 0 });
    assert_snapshot!(answer(large, 0), @"100000: 99120 sent, 880 waiting; the first 2 are shown, more: campanile status ntf_01 --from 2");
    let cancelled = json!({ "open": 0, "sent": 2, "failed": 0, "cancelled": 29_998 });
    assert_snapshot!(answer(cancelled, 29_998), @"30000: 2 sent, 29998 cancelled; 29998 were cancelled before they were made, and nothing more is kept of them");
    assert_eq!(answer(json!({ "open": 0, "sent": 2, "failed": 0, "cancelled": 0 }), 0), "");
}

#[test]
fn what_is_behind_a_page_is_told_with_the_command_for_it() {
    let page = |next: Value, complete: bool| {
        let page = json!({ "deliveries": [], "next": next, "complete": complete });
        rest_of(&serde_json::from_value(page).expect("the shape of the server's answer"), "ntf_01", 1_000)
    };
    assert_eq!(page(json!(2_000), true), "there is more: campanile status ntf_01 --from 2000\n");
    assert_eq!(page(Value::Null, false), "more is being made: campanile status ntf_01 --from 1000\n");
    assert_eq!(page(Value::Null, true), "");
}
