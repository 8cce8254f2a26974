//! What is shown of a notification.

use insta::assert_snapshot;
use serde_json::json;

use super::*;

#[test]
fn a_notification_shows_every_attempt_of_every_delivery() {
    let answer = json!({
        "id": "ntf_01", "status": "partial", "kind": "warning", "priority": "high",
        "created_at": "2026-01-02T03:04:05.000Z", "title": "Disk\u{1b}[2J full",
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
        ],
    });
    let notification: Notification = serde_json::from_value(answer).expect("the shape of the server's answer");
    assert_snapshot!(show(&notification, Paint::Off), @r#"
    id        ntf_01
    status    partial
    kind      warning
    priority  high
    accepted  2026-01-02T03:04:05.000Z
    title     Disk\u{1b}[2J full

    dlv_01_0 through ops: sent
      #  STARTED                   TOOK     OUTCOME  CODE  PLUGIN       FUEL   MEMORY   PROVIDER ID  REASON
      1  2026-01-02T03:04:05.010Z  12.5 ms  retry    503   slack@0.1.0  12000  1088KiB  -            busy
      2  2026-01-02T03:04:06.010Z  8 ms     sent     -     slack@0.1.0  11900  1088KiB  m-1          -

    dlv_01_1 through mail to ada@example.com: retrying, busy, due 2026-01-02T03:05:00.000Z

    dlv_01_2 through slack: pending, held: plugin `slack` is quarantined: …; `campanile plugins release slack`
      2026-01-02T03:04:05.020Z  breaker-open: slack stands in for mail
    "#);
}

#[test]
fn an_id_of_a_delivery_means_its_notification() {
    let hex = "01890a5d0b0170008000000000000001";
    assert_eq!(id(&format!("dlv_{hex}_7")), id(&format!("ntf_{hex}")));
    assert!(id("../plugins").is_err());
}
