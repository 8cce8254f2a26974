//! `campanile list`: notifications by filter, page by page.

use jiff::Zoned;

use super::client::wire::{Notification, Notifications};
use super::failure::Failure;
use super::paging::{self, List, Page, Paging};
use super::table::{Cell, Table};
use super::terminal::Paint;
use super::{Answer, Globals, when};
use crate::domain::{ChannelName, DeliveryStatus, NotificationStatus, Priority};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.

Examples:
  campanile list --status failed --since 2h
  campanile list --recipient ada@example.com --limit 10
  campanile list --delivery-status retrying --due-until 1h
  campanile list --held
  campanile --json list --correlation-id order-7")]
pub(super) struct Args {
    /// pending, sent, failed, partial or cancelled
    #[arg(long)]
    status: Option<NotificationStatus>,
    /// low, normal, high or critical
    #[arg(long)]
    priority: Option<Priority>,
    /// One of its deliveries goes through this channel
    #[arg(long)]
    channel: Option<ChannelName>,
    /// One of its deliveries goes to this address
    #[arg(long, value_name = "ADDRESS")]
    recipient: Option<String>,
    /// info, success, warning, error or a word of your own
    #[arg(long)]
    kind: Option<String>,
    /// As it was given when it was sent
    #[arg(long, value_name = "ID")]
    correlation_id: Option<String>,
    /// One of the pairs it was sent with
    #[arg(long, value_name = "KEY=VALUE")]
    metadata: Option<String>,
    /// One of its deliveries is pending, retrying, sent, failed or cancelled
    #[arg(long, value_name = "STATUS")]
    delivery_status: Option<DeliveryStatus>,
    /// One of its deliveries is held: its channel is not called now, or its template engine is not
    #[arg(long)]
    held: bool,
    /// One of its deliveries waits until this or later; written as --at of `send`, and `2h` counts from now
    #[arg(long, value_name = "TIME")]
    due_since: Option<String>,
    /// One of its deliveries waits until before this; written as --due-since
    #[arg(long, value_name = "TIME")]
    due_until: Option<String>,
    /// Accepted at or after this: RFC 3339, `2h` for two hours ago, `9am`, `yesterday 17:30`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Accepted before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let (path, command, nothing) = (&["notifications"], "list", "no notification matches");
    let filters = filters(args, &Zoned::now())?;
    paging::show::<Notifications>(globals, List { path, command, nothing, filters }, &args.paging).await
}

impl Page for Notifications {
    fn is_empty(&self) -> bool {
        self.notifications.is_empty()
    }

    fn next(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    fn table(&self, paint: Paint) -> String {
        show(&self.notifications, paint)
    }
}

/// The filters as the server takes them; times are instants from here on.
fn filters(args: &Args, now: &Zoned) -> Result<Vec<(&'static str, String)>, Failure> {
    let filters = [
        ("status", args.status.map(|status| status.as_str().to_owned())),
        ("priority", args.priority.map(|priority| priority.to_string())),
        ("channel", args.channel.as_ref().map(ToString::to_string)),
        ("recipient", args.recipient.clone()),
        ("kind", args.kind.clone()),
        ("correlation_id", args.correlation_id.clone()),
        ("metadata", args.metadata.clone()),
        ("delivery_status", args.delivery_status.map(|status| status.as_str().to_owned())),
        ("held", args.held.then(|| "true".to_owned())),
        ("due_since", ahead(args.due_since.as_deref(), "--due-since", now)?),
        ("due_until", ahead(args.due_until.as_deref(), "--due-until", now)?),
        ("since", instant(args.since.as_deref(), "--since", now)?),
        ("until", instant(args.until.as_deref(), "--until", now)?),
    ];
    Ok(filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

/// A time that was given, as an instant.
pub(super) fn instant(text: Option<&str>, flag: &str, now: &Zoned) -> Result<Option<String>, Failure> {
    let read = |text| when::parse_back(text, now).map_err(|message| Failure::usage(format!("`{flag}`: {message}")));
    Ok(text.map(read).transpose()?.map(|at| at.to_string()))
}

/// The same of a time that is still to come.
fn ahead(text: Option<&str>, flag: &str, now: &Zoned) -> Result<Option<String>, Failure> {
    let read = |text| when::parse(text, now).map_err(|message| Failure::usage(format!("`{flag}`: {message}")));
    Ok(text.map(read).transpose()?.map(|at| at.to_string()))
}

/// The command for the page behind this one. Its times are those of this page, or its cursor would be another's.
pub(super) fn more(command: &str, query: &[(&str, String)], cursor: &str) -> String {
    let mut line = format!("there is more: campanile {command}");
    for (name, value) in query.iter().chain([&("cursor", cursor.to_owned())]) {
        match *name {
            // A flag has no value.
            "held" => line.push_str(" --held"),
            _ => line.push_str(&format!(" --{} {}", name.replace('_', "-"), shell_word(value))),
        }
    }
    line.push('\n');
    line
}

/// `text` as one word of a POSIX shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:@/+,=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", super::terminal::escaped(text).replace('\'', r"'\''"))
}

fn show(notifications: &[Notification], paint: Paint) -> String {
    let mut table = Table::new(["ID", "STATUS", "PRIORITY", "KIND", "ACCEPTED", "DELIVERIES", "TITLE"]);
    for notification in notifications {
        let Notification { id, status, kind, priority, created_at, title, counts, .. } = notification;
        table.row([
            id.as_str().into(),
            Cell::status(status),
            priority.as_str().into(),
            kind.as_str().into(),
            created_at.as_str().into(),
            counts.total().to_string().into(),
            Cell::or_dash(title.as_deref()),
        ]);
    }
    table.render(paint, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn a_line_is_a_notification() {
        let page = json!({ "next_cursor": null, "notifications": [
            { "id": "ntf_02", "status": "failed", "kind": "warning", "priority": "high",
              "created_at": "2026-01-02T03:04:05.000Z", "title": "Disk\u{1b}[2J full",
              "counts": { "open": 0, "sent": 99_998, "failed": 1, "cancelled": 1 }, "deliveries": [
                { "id": "dlv_02_0", "channel": "ops", "recipient": null, "status": "failed", "attempts": [] }] },
            { "id": "ntf_01", "status": "pending", "kind": "info", "priority": "normal",
              "created_at": "2026-01-02T03:04:04.000Z", "deliveries": [],
              "counts": { "open": 2, "sent": 0, "failed": 0, "cancelled": 0 } },
        ]});
        let page: Notifications = serde_json::from_value(page).expect("the shape of the server's answer");
        assert_snapshot!(show(&page.notifications, Paint::Off), @r"
        ID      STATUS   PRIORITY  KIND     ACCEPTED                  DELIVERIES  TITLE
        ntf_02  failed   high      warning  2026-01-02T03:04:05.000Z  100000      Disk\u{1b}[2J full
        ntf_01  pending  normal    info     2026-01-02T03:04:04.000Z  2           -
        ");
    }

    #[test]
    fn what_is_due_lies_ahead_and_what_was_accepted_behind() {
        let arguments = "campanile list --due-since 1h --due-until 2030-02-01T00:00:00Z --since 2h --metadata team=infra \
                         --delivery-status retrying --held";
        let command = crate::cli::Cli::try_parse_from(arguments.split_whitespace()).expect("good arguments").command;
        let crate::cli::Command::List(args) = command else { panic!("not `list`") };
        let now = "2030-01-31T09:30:00Z".parse::<jiff::Timestamp>().expect("a time").to_zoned(jiff::tz::TimeZone::UTC);
        let filters = filters(&args, &now).map_err(|failure| failure.render(Paint::Off)).expect("good filters");
        let filters: Vec<_> = filters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_snapshot!(filters.join("&"), @"metadata=team=infra&delivery_status=retrying&held=true&due_since=2030-01-31T10:30:00Z&due_until=2030-02-01T00:00:00Z&since=2030-01-31T07:30:00Z");
    }

    #[test]
    fn the_command_for_the_next_page_can_be_pasted() {
        let query =
            [("kind", "it's full".to_owned()), ("correlation_id", "order-7".to_owned()), ("limit", "2".to_owned())];
        assert_snapshot!(more("list", &query, "AW4_-"), @r"there is more: campanile list --kind 'it'\''s full' --correlation-id order-7 --limit 2 --cursor AW4_-");
    }
}
