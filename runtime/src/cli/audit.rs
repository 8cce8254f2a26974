//! `campanile audit`: who did what, page by page.

use jiff::Zoned;

use super::client::wire::{AuditDetails, AuditEntries, AuditEntry};
use super::failure::Failure;
use super::list::instant;
use super::paging::{self, List, Page, Paging};
use super::table::{Cell, Table};
use super::terminal::Paint;
use super::{Answer, Globals};
use crate::domain::AuditAction;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
What counts as `cli` is what says so of itself: while there are no API keys, it
tells people from programs and proves nothing.

Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.

Examples:
  campanile audit --since 2h
  campanile audit --action purge --since yesterday
  campanile --json audit --target ntf_01890a5d0b0170008000000000000001")]
pub(super) struct Args {
    /// submit, cancel, replay, purge, config, plugin.loaded and the like, as events are called, channel.paused,
    /// channel.resumed, channel.reset, channel.tested, callback.replayed, callback.purged or callback.enabled; backup,
    /// restore or migrate
    #[arg(long)]
    action: Option<AuditAction>,
    /// To this: a notification with its deliveries, a delivery, or a plugin, channel or callback by name
    #[arg(long, value_name = "ID")]
    target: Option<String>,
    /// At or after this: RFC 3339, `2h` for two hours ago, `9am`, `yesterday 17:30`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before this; written as --since
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let now = Zoned::now();
    let filters = [
        ("action", args.action.map(|action| action.as_str().to_owned())),
        ("target", args.target.clone()),
        ("since", instant(args.since.as_deref(), "--since", &now)?),
        ("until", instant(args.until.as_deref(), "--until", &now)?),
    ];
    let filters = filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let (path, command, nothing) = (&["audit"], "audit", "nothing in the audit log matches");
    paging::show::<AuditEntries>(globals, List { path, command, nothing, filters }, &args.paging).await
}

impl Page for AuditEntries {
    fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn next(&self) -> Option<&str> {
        self.next_cursor.as_deref()
    }

    fn table(&self, paint: Paint) -> String {
        show(&self.entries, paint)
    }
}

fn show(entries: &[AuditEntry], paint: Paint) -> String {
    let mut table = Table::new(["AT", "ACTOR", "ACTION", "TARGET", "OUTCOME", "DETAILS"]);
    for AuditEntry { at, actor, action, target, outcome, details } in entries {
        table.row([
            at.as_str().into(),
            actor.as_str().into(),
            action.as_str().into(),
            Cell::or_dash(target.as_deref()),
            outcome.as_str().into(),
            Cell::or_dash(in_words(details).as_deref()),
        ]);
    }
    table.render(paint, 0)
}

fn in_words(details: &AuditDetails) -> Option<String> {
    let AuditDetails { deliveries, in_flight, calls, due, version, sha256, workers, reason } = details;
    let words = [
        deliveries.map(super::cancel::deliveries),
        in_flight.filter(|count| *count > 0).map(|count| format!("{count} in flight")),
        calls.map(|count| if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }),
        due.as_ref().map(|due| format!("due {due}")),
        version.as_ref().map(|version| format!("version {version}")),
        // Enough to see that it is another one.
        sha256.as_ref().map(|sha256| format!("sha256 {}", sha256.chars().take(12).collect::<String>())),
        workers.as_ref().map(|workers| format!("to {workers}")),
        reason.clone(),
    ];
    let words: Vec<_> = words.into_iter().flatten().collect();
    if words.is_empty() { None } else { Some(words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn a_line_is_what_somebody_did() {
        let page = json!({ "next_cursor": null, "entries": [
            { "id": "aud_2", "at": "2026-01-02T03:04:06.000Z", "actor": "cli", "action": "cancel", "target": "ntf_01",
              "outcome": "in-flight", "details": { "deliveries": 1, "in_flight": 1 } },
            { "id": "aud_1", "at": "2026-01-02T03:04:05.000Z", "actor": "host", "action": "config", "target": null,
              "outcome": "done", "details": { "sha256": "0123456789abcdef0123" } },
        ]});
        let page: AuditEntries = serde_json::from_value(page).expect("the shape of the server's answer");
        assert_snapshot!(show(&page.entries, Paint::Off), @r"
        AT                        ACTOR  ACTION  TARGET  OUTCOME    DETAILS
        2026-01-02T03:04:06.000Z  cli    cancel  ntf_01  in-flight  1 delivery, 1 in flight
        2026-01-02T03:04:05.000Z  host   config  -       done       sha256 0123456789ab
        ");
    }
}
