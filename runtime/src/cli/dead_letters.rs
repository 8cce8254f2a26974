//! `campanile dead-letters`: deliveries that were given up, listed, shown and put away.

use jiff::Zoned;

use super::cancel::deliveries;
use super::client::wire::{DeadLetter, DeadLetters, Delivery, Purged};
use super::client::{Answered, Client};
use super::failure::{Exit, Failure};
use super::list::instant;
use super::paging::{self, List, Page, Paging};
use super::progress::while_dead_letters_go;
use super::status::show_delivery;
use super::table::{Cell, Table};
use super::terminal::Paint;
use super::{Answer, Globals};
use crate::domain::{ChannelName, DeliveryId, Priority};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List dead letters, those of the oldest notifications first
    List(ListArgs),
    /// Show one with its attempts
    Show(ShowArgs),
    /// Put dead letters away: their deliveries stay failed
    Purge(PurgeArgs),
}

/// Which dead letters: every condition has to hold.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// rejected, recipient-gone, exhausted, too-old, fault, expired or poison
    #[arg(long)]
    reason: Option<String>,
    /// low, normal, high or critical
    #[arg(long)]
    priority: Option<Priority>,
    /// Through this channel
    #[arg(long)]
    channel: Option<ChannelName>,
    /// To this address
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// info, success, warning, error or a word of your own
    #[arg(long)]
    kind: Option<String>,
    /// Of its notification, as it was given when that was sent
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// Accepted at or after this: RFC 3339, `2h` for two hours ago, `9am`, `yesterday 17:30`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.")]
pub(super) struct ListArgs {
    #[command(flatten)]
    filters: Filters,
    #[command(flatten)]
    paging: Paging,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 found; 1 no server answers; 3 no such delivery, or it has not failed.")]
pub(super) struct ShowArgs {
    /// Id of a delivery, as `campanile dead-letters list` prints it
    #[arg(value_parser = delivery_id)]
    id: DeliveryId,
}

fn delivery_id(text: &str) -> Result<DeliveryId, String> {
    text.parse().map_err(|_| "expected `dlv_…`, as `campanile dead-letters list` prints it".to_owned())
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 purged; 1 no server answers; 2 refused; 3 nothing matched.

Examples:
  campanile dead-letters purge --reason expired
  campanile dead-letters purge --channel ops --until 30d
  campanile dead-letters purge --all")]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    filters: Filters,
    /// Every dead letter there is
    #[arg(long, conflicts_with = "Filters")]
    all: bool,
}

impl Filters {
    /// As the server takes them; times are instants from here on.
    fn query(&self, now: &Zoned) -> Result<Vec<(&'static str, String)>, Failure> {
        let filters = [
            ("reason", self.reason.clone()),
            ("priority", self.priority.map(|priority| priority.to_string())),
            ("channel", self.channel.as_ref().map(ToString::to_string)),
            ("recipient", self.recipient.clone()),
            ("kind", self.kind.clone()),
            ("correlation_id", self.correlation_id.clone()),
            ("since", instant(self.since.as_deref(), "--since", now)?),
            ("until", instant(self.until.as_deref(), "--until", now)?),
        ];
        Ok(filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// The same for what is done to many: that all of them are meant has to be said.
    pub(super) fn said(&self, all: bool) -> Result<Vec<(&'static str, String)>, Failure> {
        let filters = self.query(&Zoned::now())?;
        if filters.is_empty() && !all {
            let failure = Failure::usage("no filter is given, and that is every dead letter there is");
            return Err(failure.hint("give a filter such as `--channel ops`, or say `--all`"));
        }
        Ok(filters)
    }
}

pub(super) async fn run(globals: &Globals, command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::List(args) => list(globals, args).await,
        Command::Show(args) => show(globals, args).await,
        Command::Purge(args) => purge(globals, args).await,
    }
}

async fn list(globals: &Globals, args: &ListArgs) -> Result<Answer, Failure> {
    let (path, command, nothing) = (&["dead-letters"], "dead-letters list", "no dead letter matches");
    let filters = args.filters.query(&Zoned::now())?;
    paging::show::<DeadLetters>(globals, List { path, command, nothing, filters }, &args.paging).await
}

impl Page for DeadLetters {
    fn is_empty(&self) -> bool {
        self.dead_letters.is_empty()
    }

    fn next(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    fn table(&self, paint: Paint) -> String {
        table(&self.dead_letters, paint)
    }
}

fn table(dead_letters: &[DeadLetter], paint: Paint) -> String {
    let mut table =
        Table::new(["DELIVERY", "CHANNEL", "RECIPIENT", "PRIORITY", "REASON", "FAILED", "ATTEMPTS", "DETAIL"]);
    for DeadLetter { priority, failed_at, delivery } in dead_letters {
        table.row([
            delivery.id.as_str().into(),
            delivery.channel.as_str().into(),
            Cell::or_dash(delivery.recipient.as_deref()),
            priority.as_str().into(),
            Cell::or_dash(delivery.reason.as_deref()),
            Cell::or_dash(failed_at.as_deref()),
            delivery.attempts.len().to_string().into(),
            Cell::or_dash(delivery.detail.as_deref()),
        ]);
    }
    table.render(paint, 0)
}

async fn show(globals: &Globals, args: &ShowArgs) -> Result<Answer, Failure> {
    let answered: Answered<Delivery> = Client::new(globals)?.page(&["deliveries", &args.id.to_string()], &[]).await?;
    let Delivery { id, status, .. } = &answered.value;
    if status != "failed" {
        let message = format!("`{id}` is no dead letter: it is {status}");
        let hint = format!("see all of it with `campanile status {id}`");
        return Err(Failure::new(Exit::Nothing, anyhow::Error::msg(message)).hint(hint));
    }
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show_delivery(&answered.value, globals.paint_stdout())
    }))
}

async fn purge(globals: &Globals, args: &PurgeArgs) -> Result<Answer, Failure> {
    let mut query = args.filters.said(args.all)?;
    query.extend(args.all.then(|| ("all", "true".to_owned())));
    let client = Client::new(globals)?;
    let work = client.delete_bulk(&["dead-letters"], &query);
    let answered: Answered<Purged> = while_dead_letters_go(&client, "purging", work).await?;
    let Purged { purged } = answered.value;
    let exit = if purged == 0 { Exit::Nothing } else { Exit::Ok };
    let text = match (globals.json, purged) {
        (true, _) => format!("{:#}\n", answered.json),
        (false, 0) => "no dead letter matches\n".to_owned(),
        (false, purged) => format!("{} purged\n", deliveries(purged)),
    };
    Ok(Answer::ended(text, exit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn a_line_is_a_delivery_and_why_it_was_given_up() {
        let page = json!({ "next_cursor": null, "dead_letters": [
            { "id": "dlv_01_0", "notification_id": "ntf_01", "priority": "high", "channel": "ops", "recipient": null,
              "created_at": "2026-01-02T03:04:05.000Z", "failed_at": "2026-01-02T03:04:06.000Z", "status": "failed",
              "reason": "rejected", "detail": "receiver\n answered 404", "attempts": [
                { "number": 1, "started_at": "2026-01-02T03:04:05.010Z", "duration_ms": 12.5, "outcome": "rejected",
                  "plugin": "webhook@0.1.0", "fuel": 12000, "memory_bytes": 1_114_112 }] },
        ]});
        let page: DeadLetters = serde_json::from_value(page).expect("the shape of the server's answer");
        assert_snapshot!(table(&page.dead_letters, Paint::Off), @r"
        DELIVERY  CHANNEL  PRIORITY  REASON    FAILED                    ATTEMPTS  DETAIL
        dlv_01_0  ops      high      rejected  2026-01-02T03:04:06.000Z  1         receiver\n answered 404
        ");
    }
}
