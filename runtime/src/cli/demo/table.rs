//! The deliveries of the demo, one line each.

use std::fmt::Write as _;

use crate::domain::Attempt;
use crate::runtime::{DeliveryRecord, NotificationRecord};

/// A table with one line per delivery.
pub(super) fn of(records: &[NotificationRecord]) -> String {
    let mut text = format!(
        "\n  {:<8} {:<8} {:<8} {:>8} {:>8} {:>9}  {:<16} {}\n",
        "channel", "priority", "status", "attempts", "ms", "fuel", "plugin", "what happened"
    );
    for record in records {
        for delivery in &record.deliveries {
            line(&mut text, record.notification.priority.as_str(), delivery);
        }
    }
    text
}

fn line(text: &mut String, priority: &str, delivery: &DeliveryRecord) {
    let last = delivery.attempts.last();
    let took: f64 = delivery.attempts.iter().map(|attempt| attempt.duration.as_secs_f64() * 1e3).sum();
    let _ = writeln!(
        text,
        "  {:<8} {:<8} {:<8} {:>8} {took:>8.2} {:>9}  {:<16} {}",
        delivery.channel.as_str(),
        priority,
        delivery.state.status().as_str(),
        delivery.attempts.len(),
        last.map_or(0, |attempt| attempt.fuel),
        last.map_or("", |attempt| &attempt.plugin),
        story(delivery)
    );
}

/// Each attempt's outcome in order, and what its plugin had to say.
fn story(delivery: &DeliveryRecord) -> String {
    let told = |attempt: &Attempt| match &attempt.reason {
        Some(reason) => format!("{}: {reason}", attempt.end),
        None => attempt.end.clone(),
    };
    delivery.attempts.iter().map(told).collect::<Vec<_>>().join(", then ")
}
