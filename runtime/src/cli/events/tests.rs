use serde_json::json;

use super::*;
use crate::events::EventId;
use crate::store::EventEpoch;

fn id(number: u64) -> String {
    EventId { epoch: EventEpoch(7), number }.to_string()
}

fn block(number: u64, kind: &str) -> Block {
    let data = json!({ "id": id(number), "type": kind, "at": "T", "data": {} }).to_string();
    Block { id: Some(id(number)), event: Some(kind.to_owned()), data: Some(data), retry_ms: None }
}

/// The numbers of what a listener printed of these.
fn heard(listener: &mut Listener, blocks: Vec<Block>) -> Vec<String> {
    let mut out = Vec::new();
    for block in blocks {
        assert!(listener.hear(block, &mut out).is_ok_and(|ended| ended.is_none()));
    }
    let text = String::from_utf8(out).unwrap();
    let ids = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_str().unwrap().to_owned());
    ids.collect()
}

#[test]
fn what_was_printed_is_not_printed_again_and_a_gap_begins_anew() {
    let mut listener = Listener::new(Vec::new(), None);
    let sent = "delivery.sent";
    assert_eq!(heard(&mut listener, vec![block(3, sent), block(4, sent)]), [id(3), id(4)]);
    assert_eq!(heard(&mut listener, vec![block(3, sent), block(4, sent), block(5, sent)]), [id(5)]);
    assert_eq!(heard(&mut listener, vec![block(1, "gap"), block(2, sent)]), [id(1), id(2)]);
    let position = Block { id: Some(id(9)), ..Block::default() };
    assert_eq!(heard(&mut listener, vec![position]), [""; 0]);
    assert_eq!(listener.tracker.last_id(), Some(&*id(9)), "a heartbeat moves the place");
    assert_eq!(heard(&mut listener, vec![block(10, sent), block(10, sent)]), [id(10)]);
}

#[test]
fn waits_double_until_something_is_heard() {
    let mut listener = Listener::new(Vec::new(), None);
    let waits: Vec<_> = (0..6).map(|_| listener.next_wait().as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8, 15, 15]);
    heard(&mut listener, vec![Block { retry_ms: Some(500), ..Block::default() }]);
    assert_eq!(listener.next_wait(), Duration::from_millis(500));
    heard(&mut listener, vec![Block { retry_ms: Some(3_600_000), ..Block::default() }]);
    assert_eq!(listener.next_wait(), RETRY_MAX, "whatever a server says");
}

#[test]
fn a_line_is_what_happened_to_what() {
    let event = json!({
        "id": "00c0ffee00c0ffee-6", "type": "delivery.sent", "at": "2026-01-02T03:04:05.000Z",
        "notification_id": "ntf_07", "delivery_id": "dlv_07_1",
        "data": { "attempts": 1, "provider_id": "m\u{1b}[2J", "unconfirmed": false, "none": null },
    });
    let gap = json!({ "id": "x-1", "type": "gap", "at": "T", "data": { "reason": "retention", "after": "x-0" } });
    insta::assert_snapshot!(format!("{}\n{}", line(&event, Paint::Off), line(&gap, Paint::Off)), @r"
    2026-01-02T03:04:05.000Z  delivery.sent           dlv_07_1  attempts=1 provider_id=m\u{1b}[2J unconfirmed=false  00c0ffee00c0ffee-6
    T  gap                     -  after=x-0 reason=retention  x-1
    ");
}
