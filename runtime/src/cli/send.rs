//! `campanile send`: hands a notification to the server, and waits for its outcome if asked to.

mod waiting;

use std::fs::File;
use std::io::{self, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use jiff::Zoned;
use serde_json::{Map, Value, json};

use super::client::wire::{Accepted, Counts, Deduplicated, Delivery, Notification};
use super::client::{Answered, Client};
use super::failure::{Exit, Failure};
use super::table::{Cell, Table};
use super::terminal::{Paint, escaped};
use super::{Answer, Globals, when};
use crate::config::{ParseUnitError, format_duration, parse_duration};
use crate::domain::Priority;
use waiting::Waiting;

/// The largest text and data that are read from standard input or a file, in bytes: the server's own default limit.
const INPUT_MAX: u64 = 4 << 20;
/// How long the server is asked to hold one answer back: what stands between may drop a connection that is silent.
const HOLD: Duration = Duration::from_secs(30);
/// How often the server is asked again at most.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 accepted, or with --wait sent; 1 a delivery failed, or no server
answers; 2 refused; 4 no outcome in time.

Examples:
  campanile send -c console -b 'Backup done'
  df -h | campanile send -c ops --title 'Disks' --priority high --wait
  campanile send -c mail -t ada@example.com --template welcome -d name=Ada")]
pub(super) struct Args {
    /// Channel to send through; may be repeated
    #[arg(short, long = "channel", value_name = "CHANNEL", required = true)]
    channels: Vec<String>,
    /// Recipient; may be repeated
    #[arg(short, long, value_name = "ADDRESS")]
    to: Vec<String>,
    /// A line above the text
    #[arg(long)]
    title: Option<String>,
    /// The text [default: standard input]
    #[arg(short, long, value_name = "TEXT")]
    body: Option<String>,
    /// The text as an HTML fragment, for channels that can show it
    #[arg(long)]
    html: Option<String>,
    /// Template that writes the content
    #[arg(long, value_name = "NAME")]
    template: Option<String>,
    /// A text for the template; may be repeated, and goes over --data-file
    #[arg(short, long = "data", value_name = "KEY=VALUE", value_parser = pair)]
    data: Vec<(String, String)>,
    /// A JSON object for the template
    #[arg(long, value_name = "FILE")]
    data_file: Option<PathBuf>,
    /// low, normal, high or critical [default: the channel's, else normal]
    #[arg(long)]
    priority: Option<Priority>,
    /// info, success, warning, error or a word of your own [default: info]
    #[arg(long)]
    kind: Option<String>,
    /// Not before this: RFC 3339, `10m`, `17:30`, `tomorrow 9am`, in the time zone of this machine
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Do not send it at or after this; written as --at, and `10m` counts from now
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Accept this once: the same key within 24 h gives the first answer again
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Make no second delivery of the same key, channel and recipient within a few minutes
    #[arg(long, value_name = "KEY")]
    dedupe_key: Option<String>,
    /// An id of your own, such as that of an order: `campanile list --correlation-id` finds it
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Where what happens to it is told, by signed requests: an https URL
    #[arg(long, value_name = "URL")]
    callback_url: Option<String>,
    /// A pair of your own: `campanile list --metadata` finds it; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Wait for the outcome, at most this long
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "60s", value_parser = wait)]
    wait: Option<Duration>,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        Some(_) | None => Err("expected `KEY=VALUE`".to_owned()),
    }
}

fn wait(text: &str) -> Result<Duration, ParseUnitError> {
    parse_duration(text)
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<Answer, Failure> {
    let client = Client::new(globals)?;
    let stdin = io::stdin();
    let piped = (!stdin.is_terminal()).then(|| stdin.lock());
    let wait = args.wait;
    let now = Zoned::now();
    let body = body(args, piped, &now)?;
    if let Some(wait) = wait {
        comes_in_time(&body, wait, &now)?;
    }
    let started = Instant::now();
    let accepted: Answered<Accepted> = client.post(&["notifications"], &body).await?;
    let Some(wait) = wait else { return Ok(show_accepted(&accepted, globals)) };
    let id = accepted.value.id.as_str();
    let mut waiting = Waiting::on_stderr();
    loop {
        let asked = Instant::now();
        let hold = wait.saturating_sub(started.elapsed()).min(HOLD).min(waiting.pace());
        let outcome: Answered<Notification> =
            client.get(&["notifications", id], Some(hold)).await.map_err(|failure| {
                failure
                    .hint(format!("it was accepted as `{id}`: do not send it again, ask with `campanile status {id}`"))
            })?;
        if started.elapsed() >= wait || has_ended(&outcome.value) {
            return Ok(show_outcome(&outcome, globals));
        }
        waiting.say(&outcome.value, Instant::now());
        // A server that stops lets go of those who wait: it is not asked again at once.
        tokio::time::sleep(ASK_AGAIN.saturating_sub(asked.elapsed())).await;
    }
}

/// Refuses to wait for what cannot come: nothing is sent before its `--at`.
fn comes_in_time(body: &Value, wait: Duration, now: &Zoned) -> Result<(), Failure> {
    let at = body.get("scheduled_at").and_then(Value::as_str).and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let ahead = at.map(|at| Duration::try_from(at.duration_since(now.timestamp())).unwrap_or_default());
    match ahead.filter(|ahead| *ahead >= wait) {
        None => Ok(()),
        Some(ahead) => {
            let (wait, ahead) = (
                format_duration(wait),
                format_duration(Duration::from_secs(ahead.as_secs() + u64::from(ahead.subsec_nanos() > 0))),
            );
            let message =
                format!("`--wait` ends after {wait}, and `--at` is in {ahead}: there is no outcome until then");
            Err(Failure::usage(message).hint("leave out `--wait`, and ask later with `campanile status`"))
        }
    }
}

/// The notification as the server takes it. What was not given is left out: the server has the defaults.
fn body(args: Args, piped: Option<impl Read>, now: &Zoned) -> Result<Value, Failure> {
    let Args { channels, to, title, body, html, template, data, data_file, priority, kind, .. } = args;
    let Args { at, expires, idempotency_key, dedupe_key, correlation_id, callback_url, metadata, .. } = args;
    let instant = |text: Option<String>, flag: &str| match text.map(|text| when::parse(&text, now)).transpose() {
        Ok(at) => Ok(at.map(|at| Value::String(at.to_string()))),
        Err(message) => Err(Failure::usage(format!("`{flag}`: {message}"))),
    };
    let (scheduled_at, expires_at) = (instant(at, "--at")?, instant(expires, "--expires")?);
    let body = match (body, piped) {
        (Some(body), _) => Some(body),
        (None, _) if template.is_some() || html.is_some() => None,
        (None, Some(piped)) => {
            let text = read_bounded(piped)
                .context("standard input cannot be read as a text to send")
                .map_err(|error| Failure::new(Exit::Usage, error).hint("give a shorter text, in UTF-8"))?;
            Some(text.trim_end_matches(['\r', '\n']).to_owned()).filter(|text| !text.is_empty())
        }
        (None, None) => None,
    };
    if body.is_none() && html.is_none() && template.is_none() {
        let hint = "give a text with `--body`, through a pipe, or from a template with `--template`";
        return Err(Failure::usage("there is nothing to send").hint(hint));
    }
    let mut variables = data_file.as_deref().map(read_data).transpose()?.unwrap_or_default();
    let has_data = data_file.is_some() || !data.is_empty();
    variables.extend(data.into_iter().map(|(key, value)| (key, Value::String(value))));
    let fields = [
        ("to", (!to.is_empty()).then(|| json!(to))),
        ("channels", Some(json!(channels))),
        ("kind", kind.map(Value::String)),
        ("priority", priority.map(|priority| json!(priority.as_str()))),
        ("title", title.map(Value::String)),
        ("body", body.map(Value::String)),
        ("html", html.map(Value::String)),
        ("template", template.map(Value::String)),
        ("data", has_data.then_some(Value::Object(variables))),
        ("scheduled_at", scheduled_at),
        ("expires_at", expires_at),
        ("idempotency_key", idempotency_key.map(Value::String)),
        ("dedupe_key", dedupe_key.map(Value::String)),
        ("correlation_id", correlation_id.map(Value::String)),
        ("callback_url", callback_url.map(Value::String)),
        (
            "metadata",
            (!metadata.is_empty()).then(|| metadata.into_iter().map(|(k, v)| (k, Value::String(v))).collect()),
        ),
    ];
    Ok(Value::Object(fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()))
}

fn read_data(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = File::open(path).and_then(read_bounded);
    let wrong = |error: anyhow::Error| Failure::new(Exit::Usage, error);
    let text = text.with_context(|| format!("`{}` cannot be read", path.display())).map_err(wrong)?;
    serde_json::from_str(&text)
        .with_context(|| format!("`{}` does not hold a JSON object", path.display()))
        .map_err(wrong)
}

fn read_bounded(from: impl Read) -> io::Result<String> {
    let mut text = String::new();
    if from.take(INPUT_MAX + 1).read_to_string(&mut text)? as u64 > INPUT_MAX {
        return Err(io::Error::other(format!("it has more than the limit of {INPUT_MAX} bytes")));
    }
    Ok(text)
}

/// None of its deliveries is open, also of those that are not in the answer.
const fn has_ended(notification: &Notification) -> bool {
    notification.counts.open == 0
}

fn show_accepted(accepted: &Answered<Accepted>, globals: &Globals) -> Answer {
    if globals.json {
        return Answer::ok(format!("{:#}\n", accepted.json));
    }
    let Accepted { id, delivery_count, deliveries, deduplicated, replayed } = &accepted.value;
    let status = if *replayed { "accepted before" } else { "accepted" };
    let mut text = show(id, status, deliveries, globals.paint_stdout());
    if *delivery_count > 0 && deliveries.is_empty() {
        text.push_str(&format!("  {delivery_count} deliveries: see `campanile status {}`\n", escaped(id)));
    }
    for Deduplicated { channel, recipient, first } in deduplicated {
        let whom = recipient.as_deref().map(|recipient| format!(" to {}", escaped(recipient))).unwrap_or_default();
        text.push_str(&format!("  not made{whom} through {}: it is {}\n", escaped(channel), escaped(first)));
    }
    Answer::ok(text)
}

fn show_outcome(outcome: &Answered<Notification>, globals: &Globals) -> Answer {
    let Notification { id, status, counts, deliveries, .. } = &outcome.value;
    let exit = match counts {
        Counts { failed: 1.., .. } | Counts { cancelled: 1.., .. } => Exit::No,
        Counts { open: 0, .. } => Exit::Ok,
        Counts { .. } => Exit::TimedOut,
    };
    let text = if globals.json {
        format!("{:#}\n", outcome.json)
    } else {
        show(id, status, deliveries, globals.paint_stdout())
    };
    Answer::ended(text, exit)
}

fn show(id: &str, status: &str, deliveries: &[Delivery], paint: Paint) -> String {
    let mut table = Table::new(["CHANNEL", "RECIPIENT", "STATUS", "ATTEMPTS", "REASON"]);
    for delivery in deliveries {
        let attempts = match delivery.attempts.len() {
            0 => "-".to_owned(),
            count => count.to_string(),
        };
        table.row([
            delivery.channel.as_str().into(),
            Cell::or_dash(delivery.recipient.as_deref()),
            Cell::status(&delivery.status),
            attempts.into(),
            Cell::or_dash(why(delivery).as_deref()),
        ]);
    }
    format!("{} {}\n{}", escaped(id), escaped(status), table.render(paint, 2))
}

/// Why it is not sent: the word and the sentence of a failed one, of another what its last attempt said.
fn why(delivery: &Delivery) -> Option<String> {
    match (&delivery.reason, &delivery.detail) {
        (Some(reason), Some(detail)) => Some(format!("{reason}: {detail}")),
        (Some(one), None) | (None, Some(one)) => Some(one.clone()),
        (None, None) if delivery.status == "sent" => None,
        (None, None) => delivery.attempts.last()?.reason.clone(),
    }
}

#[cfg(test)]
mod tests;
