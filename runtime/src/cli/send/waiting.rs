//! What `--wait` waits for, said on standard error: a bar on a terminal, now and then a line elsewhere.

use std::io::{self, IsTerminal as _, Write};
use std::time::{Duration, Instant};

use super::super::client::wire::{Delivery, Notification};
use super::super::terminal::escaped;
use super::why;

/// What takes less than this says nothing, and a line on a terminal stands for as long.
const EVERY_ON_TERMINAL: Duration = Duration::from_secs(1);
/// The same where lines stay, as in a log.
const EVERY_IN_LINES: Duration = Duration::from_secs(5);
/// Cells of the bar.
const BAR: usize = 30;
/// A longer line might take two rows of a terminal, and only one is wiped.
const LINE_MAX: usize = 79;

/// Says how far a notification has come.
pub(super) struct Waiting<W: Write> {
    out: W,
    is_terminal: bool,
    /// When something was said last, or the wait began.
    last: Instant,
    /// A line is to be wiped.
    is_drawn: bool,
}

impl Waiting<io::Stderr> {
    /// Since now, for standard error.
    pub(super) fn on_stderr() -> Self {
        Self::on(io::stderr(), io::stderr().is_terminal(), Instant::now())
    }
}

impl<W: Write> Waiting<W> {
    fn on(out: W, is_terminal: bool, now: Instant) -> Self {
        Self { out, is_terminal, last: now, is_drawn: false }
    }

    /// How long after the last word there may be another.
    pub(super) const fn pace(&self) -> Duration {
        if self.is_terminal { EVERY_ON_TERMINAL } else { EVERY_IN_LINES }
    }

    /// Says it, unless something was said just now.
    pub(super) fn say(&mut self, notification: &Notification, now: Instant) {
        if now.saturating_duration_since(self.last) < self.pace() {
            return;
        }
        self.last = now;
        // A terminal that is gone is none of the notification's business.
        if self.is_terminal {
            let line = line(notification, true);
            let _ = write!(self.out, "\r\u{1b}[2K{}", shortened(&line)).and_then(|()| self.out.flush());
            self.is_drawn = true;
        } else {
            let _ = writeln!(self.out, "{}: {}", escaped(&notification.id), line(notification, false));
        }
    }

    /// Makes room for what comes next. A line in a log stays.
    fn wipe(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(self.out, "\r\u{1b}[2K").and_then(|()| self.out.flush());
        }
    }
}

impl<W: Write> Drop for Waiting<W> {
    fn drop(&mut self) {
        self.wipe();
    }
}

fn line(notification: &Notification, with_bar: bool) -> String {
    let total = notification.counts.total();
    let completed = total - notification.counts.open;
    if let ([delivery], 0..=1) = (&*notification.deliveries, total) {
        return one(delivery);
    }
    let text = format!("{completed} of {total} deliveries are final");
    if with_bar { format!("[{}] {text}", bar(completed, total)) } else { text }
}

/// What the one delivery there is waits for.
fn one(delivery: &Delivery) -> String {
    let mut text = format!("waiting for {}: {}", escaped(&delivery.channel), escaped(&delivery.status));
    if let Some(held) = &delivery.held {
        text.push_str(&format!(", held: {}", escaped(held)));
        return text;
    }
    if let Some(why) = why(delivery) {
        text.push_str(&format!(", {}", escaped(&why)));
    }
    if let (Some(due), "retrying") = (&delivery.due, &*delivery.status) {
        text.push_str(&format!("; the next attempt is due at {}", escaped(due)));
    }
    text
}

fn bar(completed: u64, total: u64) -> String {
    let filled = (BAR as u64 * completed.min(total)).checked_div(total).unwrap_or(BAR as u64) as usize;
    format!("{}{}", "#".repeat(filled), "-".repeat(BAR - filled))
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= LINE_MAX {
        return line.to_owned();
    }
    line.chars().take(LINE_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use serde_json::json;

    use super::*;

    fn notification((completed, total): (u32, u32), deliveries: &serde_json::Value) -> Notification {
        serde_json::from_value(json!({
            "id": "ntf_1", "status": "pending", "kind": "info", "priority": "normal", "created_at": "now",
            "counts": { "open": total - completed, "sent": completed, "failed": 0, "cancelled": 0 },
            "deliveries": deliveries,
        }))
        .expect("the shape of the server's answer")
    }

    fn single(more: &serde_json::Value) -> Notification {
        let mut delivery = json!({ "id": "dlv_1_0", "channel": "ops", "status": "pending" });
        delivery.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        notification((0, 1), &json!([delivery]))
    }

    #[test]
    fn several_deliveries_are_counted_and_drawn() {
        assert_snapshot!(line(&notification((0, 12_000), &json!([])), true), @"[------------------------------] 0 of 12000 deliveries are final");
        assert_snapshot!(line(&notification((6_000, 12_000), &json!([])), true), @"[###############---------------] 6000 of 12000 deliveries are final");
        assert_snapshot!(line(&notification((11_999, 12_000), &json!([])), true), @"[#############################-] 11999 of 12000 deliveries are final");
        assert_snapshot!(line(&notification((6_000, 12_000), &json!([])), false), @"6000 of 12000 deliveries are final");
    }

    #[test]
    fn of_one_delivery_it_is_said_what_it_waits_for() {
        assert_snapshot!(line(&single(&json!({})), true), @"waiting for ops: pending");
        let held = json!({ "held": "the channel is paused\u{1b}[2J: `campanile channels resume ops`" });
        assert_snapshot!(line(&single(&held), true), @r"waiting for ops: pending, held: the channel is paused\u{1b}[2J: `campanile channels resume ops`");
        let retrying = json!({ "status": "retrying", "due": "2030-01-31T09:30:00Z", "attempts": [
            { "number": 1, "started_at": "x", "duration_ms": 1, "outcome": "retry", "reason": "busy",
              "plugin": "mail@1.0.0", "fuel": 1, "memory_bytes": 65536 },
        ]});
        assert_snapshot!(line(&single(&retrying), true), @"waiting for ops: retrying, busy; the next attempt is due at 2030-01-31T09:30:00Z");
    }

    #[test]
    fn a_terminal_has_one_line_that_is_drawn_anew_each_second_and_wiped() {
        let (mut out, start) = (Vec::new(), Instant::now());
        {
            let mut waiting = Waiting::on(&mut out, true, start);
            let held = json!({ "held": "x".repeat(100) });
            for (millis, shown) in [
                (999, notification((1, 4), &json!([]))),
                (1_000, notification((2, 4), &json!([]))),
                (1_900, notification((3, 4), &json!([]))),
                (2_000, single(&held)),
            ] {
                waiting.say(&shown, start + Duration::from_millis(millis));
            }
        }
        let told = String::from_utf8(out).unwrap();
        let lines: Vec<_> = told.split("\r\u{1b}[2K").collect();
        assert_eq!(lines.len(), 4, "{told:?}");
        assert_eq!(
            (lines[0], lines[1], lines[3]),
            ("", "[###############---------------] 2 of 4 deliveries are final", "")
        );
        assert_eq!(lines[2].chars().count(), 79, "it fits a row");
    }

    #[test]
    fn elsewhere_a_line_is_written_every_five_seconds_at_most() {
        let (mut out, start) = (Vec::new(), Instant::now());
        {
            let mut waiting = Waiting::on(&mut out, false, start);
            for (completed, seconds) in [(1, 1), (2, 4), (3, 5), (4, 9), (5, 11)] {
                waiting.say(&notification((completed, 9), &json!([])), start + Duration::from_secs(seconds));
            }
        }
        assert_snapshot!(String::from_utf8(out).unwrap(), @"
        ntf_1: 3 of 9 deliveries are final
        ntf_1: 5 of 9 deliveries are final
        ");
    }
}
