//! `campanile status`: one notification, its deliveries and every attempt.

use std::fmt::Write as _;

use super::client::wire::{Delivery, DeliveryPage, Notification, Rerouted};
use super::client::{Answered, Client};
use super::failure::{Exit, Failure};
use super::table::{Cell, Table};
use super::terminal::{Color, Paint, escaped};
use super::{Answer, Globals};
use crate::config::format_size;
use crate::domain::{DeliveryId, NotificationId};

/// Deliveries of one page.
const PAGE: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 found; 1 no server answers; 3 no such notification.

Examples:
  campanile status ntf_01890a5d0b0170008000000000000001
  campanile status ntf_01890a5d0b0170008000000000000001 --from 1000")]
pub(super) struct Args {
    /// Id of a notification, or of one of its deliveries
    #[arg(value_parser = id)]
    id: NotificationId,
    /// Show the 1,000 deliveries from this index on, counted from 0
    #[arg(long, value_name = "INDEX")]
    from: Option<u32>,
}

fn id(text: &str) -> Result<NotificationId, String> {
    let delivery = |_| text.parse::<DeliveryId>().map(DeliveryId::notification);
    let expected = |_| "expected `ntf_` and 32 hex digits, as `campanile send` prints it".to_owned();
    text.parse().or_else(delivery).map_err(expected)
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let (client, id) = (Client::new(globals)?, args.id.to_string());
    if let Some(from) = args.from {
        let query = [("from", from.to_string()), ("limit", PAGE.to_string())];
        let page: Answered<DeliveryPage> = client.page(&["notifications", &id, "deliveries"], &query).await?;
        let text = if globals.json {
            format!("{:#}\n", page.json)
        } else {
            show_deliveries(&page.value.deliveries, globals.paint_stdout())
        };
        return Ok(Answer { text, talk: rest_of(&page.value, &id, from), exit: Exit::Ok });
    }
    let answered: Answered<Notification> = client.get(&["notifications", &id], None).await?;
    let text =
        if globals.json { format!("{:#}\n", answered.json) } else { show(&answered.value, globals.paint_stdout()) };
    Ok(Answer::ok(text))
}

/// The command for what is behind a page.
fn rest_of(page: &DeliveryPage, id: &str, from: u32) -> String {
    match page.next {
        Some(next) => format!("there is more: campanile status {id} --from {next}\n"),
        None if page.complete => String::new(),
        None => {
            let again = from.saturating_add(u32::try_from(page.deliveries.len()).unwrap_or(u32::MAX));
            format!("more is being made: campanile status {id} --from {again}\n")
        }
    }
}

/// How many deliveries stand where, where not all of them are shown.
fn tally(notification: &Notification) -> Option<String> {
    let Notification { id, counts, never_made, deliveries, .. } = notification;
    let shown = deliveries.len() as u64;
    if counts.total() <= shown {
        return None;
    }
    let parts =
        [(counts.sent, "sent"), (counts.failed, "failed"), (counts.cancelled, "cancelled"), (counts.open, "waiting")];
    let parts: Vec<_> = parts.iter().filter(|(count, _)| *count > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let mut text = format!("{}: {}", counts.total(), parts.join(", "));
    if *never_made > 0 {
        text.push_str(&format!(
            "; {never_made} were cancelled before they were made, and nothing more is kept of them"
        ));
    }
    if shown > 0 && counts.total() - never_made > shown {
        let more = format!("campanile status {} --from {shown}", escaped(id));
        text.push_str(&format!("; the first {shown} are shown, more: {more}"));
    }
    Some(text)
}

fn show(notification: &Notification, paint: Paint) -> String {
    let Notification { id, status, kind, priority, created_at, title, deliveries, metadata, .. } = notification;
    let Notification { scheduled_at, expires_at, correlation_id, callback_url, .. } = notification;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<13}{value}");
    };
    line("id", &escaped(id));
    line("status", &paint.color(Color::of_status(status), &escaped(status)));
    line("kind", &escaped(kind));
    line("priority", &escaped(priority));
    line("accepted", &escaped(created_at));
    let may_be = [
        ("scheduled", scheduled_at),
        ("expires", expires_at),
        ("correlation", correlation_id),
        ("callback", callback_url),
        ("title", title),
    ];
    for (key, value) in may_be {
        if let Some(value) = value {
            line(key, &escaped(value));
        }
    }
    if !metadata.is_empty() {
        let pairs: Vec<_> = metadata.iter().map(|(key, value)| escaped(&format!("{key}={value}"))).collect();
        line("metadata", &pairs.join(", "));
    }
    if let Some(tally) = tally(notification) {
        line("deliveries", &tally);
    }
    if !deliveries.is_empty() {
        text.push('\n');
    }
    text + &show_deliveries(deliveries, paint)
}

fn show_deliveries(deliveries: &[Delivery], paint: Paint) -> String {
    deliveries.iter().map(|delivery| show_delivery(delivery, paint)).collect::<Vec<_>>().join("\n")
}

pub(super) fn show_delivery(delivery: &Delivery, paint: Paint) -> String {
    let Delivery { id, channel, recipient, status, detail, reason, due, held, rerouted, attempts, .. } = delivery;
    let to = recipient.as_deref().filter(|recipient| !recipient.is_empty());
    let to = to.map(|recipient| format!(" to {}", escaped(recipient))).unwrap_or_default();
    let mut text = format!("{} through {}{to}: ", escaped(id), escaped(channel));
    text.push_str(&paint.color(Color::of_status(status), &escaped(status)));
    for more in [reason, detail].into_iter().flatten() {
        let _ = write!(text, ", {}", escaped(more));
    }
    // The time when it was due says nothing while it is held or in flight.
    if delivery.cancelling {
        text.push_str(", in flight, and cancelled unless this attempt sends it");
    } else if delivery.in_flight {
        text.push_str(", in flight");
    } else if let Some(held) = held {
        let _ = write!(text, ", held: {}", escaped(held));
    } else if let Some(due) = due {
        let _ = write!(text, ", due {}", escaped(due));
    }
    if delivery.crashes > 0 {
        let _ = write!(text, ", crashes: {}", delivery.crashes);
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
