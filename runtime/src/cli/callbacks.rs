//! `campanile callbacks`: how callbacks are doing, and what can be done about calls that were given up.

mod replay;

use jiff::Zoned;
use serde_json::json;

use super::client::callbacks::{
    Callback, CallbackEnabled, CallbackForgotten, Callbacks, DeadCallback, DeadCallbacks, Executor, Kind,
};
use super::client::wire::Purged;
use super::client::{Answered, Client};
use super::failure::{Exit, Failure};
use super::list::instant;
use super::paging::{self, List, Page, Paging};
use super::table::{Cell, Table};
use super::terminal::Paint;
use super::{Answer, Globals};
use crate::domain::{CallbackName, NotificationId};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List callbacks with a name, and what is counted of all
    List,
    /// List calls that were given up, the oldest first
    DeadLetters(ListArgs),
    /// Make calls again that were given up, or tell a webhook all of a stretch of time again
    Replay(replay::Args),
    /// Put calls away that were given up
    Purge(PurgeArgs),
    /// Call a webhook again that wanted to hear no more
    Enable(EnableArgs),
    /// Forget a callback that nobody calls any more
    Forget(ForgetArgs),
}

/// Which calls: every condition has to hold.
#[derive(Debug, clap::Args)]
pub(super) struct Filters {
    /// Of this callback
    #[arg(long, value_name = "NAME")]
    callback: Option<CallbackName>,
    /// About this notification
    #[arg(long, value_name = "ID")]
    notification: Option<NotificationId>,
    /// Given up at or after this: RFC 3339, `2h` for two hours ago, `9am`, `yesterday 17:30`
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Given up before this; written as --since
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
#[command(after_help = "\
Exit codes: 0 purged; 1 no server answers; 2 refused; 3 nothing matched.

Examples:
  campanile callbacks purge --callback crm --until 30d
  campanile callbacks purge --all")]
pub(super) struct PurgeArgs {
    #[command(flatten)]
    filters: Filters,
    /// Every one there is
    #[arg(long, conflicts_with = "Filters")]
    all: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 done; 1 no server answers; 3 no such callback.")]
pub(super) struct EnableArgs {
    /// A callback, as `campanile callbacks list` names it
    name: CallbackName,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
How far it has come, what it is still to hear of, and its calls that were given
up are gone. One that is registered or configured under its name later is new.

Exit codes: 0 forgotten; 1 it is still called, or no server answers; 3 no such
callback.")]
pub(super) struct ForgetArgs {
    /// A callback, as `campanile callbacks list` names it
    name: CallbackName,
}

impl Filters {
    /// As the server takes them; times are instants from here on.
    fn query(&self, now: &Zoned) -> Result<Vec<(&'static str, String)>, Failure> {
        let filters = [
            ("callback", self.callback.as_ref().map(ToString::to_string)),
            ("notification", self.notification.map(|id| id.to_string())),
            ("since", instant(self.since.as_deref(), "--since", now)?),
            ("until", instant(self.until.as_deref(), "--until", now)?),
        ];
        Ok(filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }

    /// The same for what is done to many: that all of them are meant has to be said.
    fn said(&self, all: bool) -> Result<Vec<(&'static str, String)>, Failure> {
        let filters = self.query(&Zoned::now())?;
        if filters.is_empty() && !all {
            let failure = Failure::usage("nothing is chosen, and that is every call there is that was given up");
            return Err(failure.hint("give a filter such as `--callback crm`, or say `--all`"));
        }
        Ok(filters)
    }
}

pub(super) async fn run(globals: &Globals, command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::List => list(globals).await,
        Command::DeadLetters(args) => dead_letters(globals, args).await,
        Command::Replay(args) => replay::run(globals, args).await,
        Command::Purge(args) => purge(globals, args).await,
        Command::Enable(args) => enable(globals, args).await,
        Command::Forget(args) => forget(globals, args).await,
    }
}

async fn list(globals: &Globals) -> Result<Answer, Failure> {
    let answered = Client::new(globals)?.get::<Callbacks>(&["callbacks"], None).await?;
    Ok(Answer::ok(match globals.json {
        true => format!("{:#}\n", answered.json),
        false => page(&answered.value, globals.paint_stdout()),
    }))
}

async fn dead_letters(globals: &Globals, args: &ListArgs) -> Result<Answer, Failure> {
    let path = &["callbacks", "dead-letters"];
    let (command, nothing) = ("callbacks dead-letters", "no call that was given up matches");
    let filters = args.filters.query(&Zoned::now())?;
    paging::show::<DeadCallbacks>(globals, List { path, command, nothing, filters }, &args.paging).await
}

impl Page for DeadCallbacks {
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

async fn purge(globals: &Globals, args: &PurgeArgs) -> Result<Answer, Failure> {
    let mut query = args.filters.said(args.all)?;
    query.extend(args.all.then(|| ("all", "true".to_owned())));
    let answered: Answered<Purged> = Client::new(globals)?.delete_bulk(&["callbacks", "dead-letters"], &query).await?;
    let Purged { purged } = answered.value;
    let text = match (globals.json, purged) {
        (true, _) => format!("{:#}\n", answered.json),
        (false, 0) => "no call that was given up matches\n".to_owned(),
        (false, purged) => format!("{} purged\n", calls(purged)),
    };
    Ok(Answer::ended(text, if purged == 0 { Exit::Nothing } else { Exit::Ok }))
}

async fn enable(globals: &Globals, args: &EnableArgs) -> Result<Answer, Failure> {
    let path = ["callbacks", args.name.as_str(), "enable"];
    let answered = Client::new(globals)?.post::<CallbackEnabled>(&path, &json!({})).await?;
    let CallbackEnabled { changed, name } = &answered.value;
    Ok(Answer::ok(match (globals.json, changed) {
        (true, _) => format!("{:#}\n", answered.json),
        (false, true) => format!("{name} is called again\n"),
        (false, false) => format!("{name} was neither disabled nor waiting for its next call\n"),
    }))
}

async fn forget(globals: &Globals, args: &ForgetArgs) -> Result<Answer, Failure> {
    let answered: Answered<CallbackForgotten> =
        Client::new(globals)?.delete_bulk(&["callbacks", args.name.as_str()], &[]).await?;
    let CallbackForgotten { name, purged } = &answered.value;
    Ok(Answer::ok(match (globals.json, purged) {
        (true, _) => format!("{:#}\n", answered.json),
        (false, 0) => format!("{name} is forgotten\n"),
        (false, purged) => format!("{name} is forgotten, {} that were given up with it\n", calls(*purged)),
    }))
}

fn calls(count: u64) -> String {
    if count == 1 { "1 call".to_owned() } else { format!("{count} calls") }
}

fn page(answer: &Callbacks, paint: Paint) -> String {
    let Callbacks { callbacks, kinds, executor, dead_letters } = answer;
    let mut text = named(callbacks, paint);
    if !kinds.is_empty() {
        text.push('\n');
        text.push_str(&counted(kinds, paint));
    }
    text.push('\n');
    if let Some(Executor { workers, busy, queued, queue, retrying, when_full }) = executor {
        text.push_str(&format!(
            "{busy} of {workers} workers busy, {queued} of {queue} places in the queue taken (then: {when_full}), \
             {retrying} wait for a retry\n"
        ));
    }
    text.push_str(&match dead_letters {
        0 => "no call that was given up is kept\n".to_owned(),
        count => format!("{} given up; see `campanile callbacks dead-letters`\n", calls(*count)),
    });
    text
}

fn named(callbacks: &[Callback], paint: Paint) -> String {
    if callbacks.is_empty() {
        return "no callback with a name\n".to_owned();
    }
    let mut table = Table::new(["NAME", "STATE", "EVENT", "BEHIND", "OWED", "NEXT CALL", "SINCE", "REASON"]);
    for one in callbacks {
        let Callback { name, state, cursor, lag, owed, held_until, next_call_at, .. } = one;
        let next = held_until.as_deref().or(next_call_at.as_deref());
        table.row([
            name.as_str().into(),
            Cell::status(state),
            cursor.to_string().into(),
            lag.to_string().into(),
            owed.to_string().into(),
            Cell::or_dash(next),
            Cell::or_dash(one.disabled_at.as_deref().or(one.failing_since.as_deref())),
            Cell::or_dash(one.reason.as_deref().or(one.last_error.as_deref())),
        ]);
    }
    table.render(paint, 0)
}

fn counted(kinds: &[Kind], paint: Paint) -> String {
    let mut table = Table::new(["KIND", "SUCCEEDED", "FAILED", "GIVEN UP", "SUCCESS", "MEAN", "P95", "P99"]);
    for Kind { kind, succeeded, failed, dead, success_rate, latency } in kinds {
        let milliseconds = |ms: Option<f64>| ms.map(|ms| format!("{ms:.1}ms"));
        let of = |figure: fn(&super::client::callbacks::Latency) -> f64| milliseconds(latency.as_ref().map(figure));
        table.row([
            kind.as_str().into(),
            succeeded.to_string().into(),
            failed.to_string().into(),
            dead.to_string().into(),
            Cell::or_dash(success_rate.map(|rate| format!("{:.1} %", rate * 100.0)).as_deref()),
            Cell::or_dash(of(|latency| latency.avg_ms).as_deref()),
            Cell::or_dash(of(|latency| latency.p95_ms).as_deref()),
            Cell::or_dash(of(|latency| latency.p99_ms).as_deref()),
        ]);
    }
    table.render(paint, 0)
}

fn table(dead: &[DeadCallback], paint: Paint) -> String {
    let mut table = Table::new(["ID", "CALLBACK", "KIND", "EVENT", "ABOUT", "CALLS", "GIVEN UP", "REASON"]);
    for DeadCallback { id, callback, kind, event, notification_id, delivery_id, attempts, reason, at } in dead {
        table.row([
            id.to_string().into(),
            callback.as_str().into(),
            kind.as_str().into(),
            event.to_string().into(),
            Cell::or_dash(delivery_id.as_deref().or(notification_id.as_deref())),
            attempts.to_string().into(),
            at.as_str().into(),
            Cell::or_dash(Some(reason)),
        ]);
    }
    table.render(paint, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn callbacks_with_a_name_and_what_is_counted_are_tables() {
        let answer = json!({
            "callbacks": [
                { "name": "billing.sent", "state": "unknown", "cursor": 12, "lag": 30, "owed": 0 },
                { "name": "crm", "state": "disabled", "cursor": 40, "lag": 2, "owed": 1,
                  "disabled_at": "2026-01-02T03:04:05.000Z", "reason": "it answered 410 Gone\u{7}" },
                { "name": "erp", "state": "failing", "cursor": 42, "lag": 0, "owed": 3,
                  "failing_since": "2026-01-02T03:00:00.000Z", "last_error": "the receiver answered 500",
                  "next_call_at": "2026-01-02T03:09:00.000Z" },
            ],
            "kinds": [
                { "kind": "webhook", "succeeded": 90, "failed": 4, "panicked": 0, "timed_out": 1, "retried": 3, "dead": 1,
                  "skipped": 0, "success_rate": 0.989, "latency": { "count": 94, "min_ms": 1.0, "avg_ms": 12.25,
                  "max_ms": 99.0, "p95_ms": 40.0, "p99_ms": 90.0 } },
                { "kind": "progress", "succeeded": 0, "failed": 0, "panicked": 0, "timed_out": 0, "retried": 0, "dead": 0,
                  "skipped": 2, "success_rate": null, "latency": null },
            ],
            "executor": { "workers": 10, "busy": 2, "queued": 3, "queue": 100, "retrying": 1, "when_full": "wait",
                          "full": { "timed_out": 0, "dropped": 0, "refused": 0 } },
            "dead_letters": 1,
            "components": [],
        });
        let answer: Callbacks = serde_json::from_value(answer).expect("the shape of `GET /v1/callbacks`");
        assert_snapshot!(page(&answer, Paint::Off), @r"
        NAME          STATE     EVENT  BEHIND  OWED  NEXT CALL                 SINCE                     REASON
        billing.sent  unknown   12     30      0     -                         -                         -
        crm           disabled  40     2       1     -                         2026-01-02T03:04:05.000Z  it answered 410 Gone\u{7}
        erp           failing   42     0       3     2026-01-02T03:09:00.000Z  2026-01-02T03:00:00.000Z  the receiver answered 500

        KIND      SUCCEEDED  FAILED  GIVEN UP  SUCCESS  MEAN    P95     P99
        webhook   90         4       1         98.9 %   12.2ms  40.0ms  90.0ms
        progress  0          0       0         -        -       -       -

        2 of 10 workers busy, 3 of 100 places in the queue taken (then: wait), 1 wait for a retry
        1 call given up; see `campanile callbacks dead-letters`
        ");
        let empty = Callbacks { callbacks: Vec::new(), kinds: Vec::new(), executor: None, dead_letters: 0 };
        assert_snapshot!(page(&empty, Paint::Off), @"
        no callback with a name

        no call that was given up is kept
        ");
    }

    #[test]
    fn a_line_is_a_call_and_why_it_was_given_up() {
        let page = json!({ "next_cursor": null, "dead_letters": [
            { "id": 17, "callback": "crm", "kind": "webhook", "event": 400, "notification_id": "ntf_01",
              "delivery_id": "dlv_01_0", "attempts": 10, "reason": "it answered 503\n",
              "at": "2026-01-02T03:04:05.000Z" },
            { "id": 18, "callback": "crm", "kind": "webhook", "event": 401, "notification_id": null,
              "delivery_id": null, "attempts": 1, "reason": "it answered 404", "at": "2026-01-02T03:04:06.000Z" },
        ]});
        let page: DeadCallbacks = serde_json::from_value(page).expect("the shape of the server's answer");
        assert_snapshot!(table(&page.dead_letters, Paint::Off), @r"
        ID  CALLBACK  KIND     EVENT  ABOUT     CALLS  GIVEN UP                  REASON
        17  crm       webhook  400    dlv_01_0  10     2026-01-02T03:04:05.000Z  it answered 503\n
        18  crm       webhook  401    -         1      2026-01-02T03:04:06.000Z  it answered 404
        ");
    }
}
