//! `campanile status`: one notification, its deliveries and every attempt.

use std::fmt::Write as _;

use super::client::Client;
use super::client::wire::{Delivery, Notification, Rerouted};
use super::failure::Failure;
use super::table::{Cell, Table};
use super::terminal::{Color, Paint, escaped};
use super::{Answer, Globals};
use crate::config::format_size;
use crate::domain::{DeliveryId, NotificationId};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Id of a notification, or of one of its deliveries
    #[arg(value_parser = id)]
    id: NotificationId,
}

fn id(text: &str) -> Result<NotificationId, String> {
    let delivery = |_| text.parse::<DeliveryId>().map(DeliveryId::notification);
    let expected = |_| "expected `ntf_` and 32 hex digits, as `campanile send` prints it".to_owned();
    text.parse().or_else(delivery).map_err(expected)
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let answered = Client::new(globals)?.get(&["notifications", &args.id.to_string()], None).await?;
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show(&answered.value, globals.paint_stdout())
    }))
}

fn show(notification: &Notification, paint: Paint) -> String {
    let Notification { id, status, kind, priority, created_at, title, progress: _, deliveries } = notification;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<10}{value}");
    };
    line("id", &escaped(id));
    line("status", &paint.color(Color::of_status(status), &escaped(status)));
    line("kind", &escaped(kind));
    line("priority", &escaped(priority));
    line("accepted", &escaped(created_at));
    if let Some(title) = title {
        line("title", &escaped(title));
    }
    for delivery in deliveries {
        text.push('\n');
        text.push_str(&show_delivery(delivery, paint));
    }
    text
}

pub(super) fn show_delivery(delivery: &Delivery, paint: Paint) -> String {
    let Delivery { id, channel, recipient, status, detail, reason, due, held, rerouted, attempts } = delivery;
    let to = recipient.as_deref().filter(|recipient| !recipient.is_empty());
    let to = to.map(|recipient| format!(" to {}", escaped(recipient))).unwrap_or_default();
    let mut text = format!("{} through {}{to}: ", escaped(id), escaped(channel));
    text.push_str(&paint.color(Color::of_status(status), &escaped(status)));
    for more in [reason, detail].into_iter().flatten() {
        let _ = write!(text, ", {}", escaped(more));
    }
    // The time when it was due says nothing while it is held.
    if let Some(held) = held {
        let _ = write!(text, ", held: {}", escaped(held));
    } else if let Some(due) = due {
        let _ = write!(text, ", due {}", escaped(due));
    }
    text.push('\n');
    for Rerouted { from, to, at, reason } in rerouted {
        let [from, to, at, reason] = [from, to, at, reason].map(|part| escaped(part));
        let _ = writeln!(text, "  {at}  {reason}: {to} stands in for {from}");
    }
    if attempts.is_empty() {
        return text;
    }
    let head = ["#", "STARTED", "TOOK", "OUTCOME", "CODE", "PLUGIN", "FUEL", "MEMORY", "PROVIDER ID", "REASON"];
    let mut table = Table::new(head);
    for attempt in attempts {
        table.row([
            attempt.number.to_string().into(),
            attempt.started_at.as_str().into(),
            format!("{} ms", attempt.duration_ms).into(),
            Cell::status(&attempt.outcome),
            Cell::or_dash(attempt.code.as_deref()),
            Cell::or_dash(Some(&attempt.plugin)),
            attempt.fuel.to_string().into(),
            format_size(attempt.memory_bytes).into(),
            Cell::or_dash(attempt.provider_id.as_deref()),
            Cell::or_dash(attempt.reason.as_deref()),
        ]);
    }
    text + &table.render(paint, 2)
}

#[cfg(test)]
mod tests;
