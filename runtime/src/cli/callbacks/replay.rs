//! `campanile callbacks replay`: calls that were given up are made again, or a webhook is told a stretch of time again.

use jiff::Zoned;
use serde_json::{Map, Value, json};

use super::{Filters, calls};
use crate::cli::client::callbacks::{CallbackReplayed, RangeReplayed};
use crate::cli::client::{Answered, Client};
use crate::cli::failure::{Exit, Failure};
use crate::cli::list::instant;
use crate::cli::{Answer, Globals};
use crate::domain::CallbackName;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Calls of a callback that is not configured or registered stay given up.
With the name of a webhook it is told again of all that it wants to hear of and
that happened from --since to --until, as far as events are kept, whatever
became of it before; events keep their ids.

Exit codes: 0 they are made again; 1 no server answers, or a webhook owes too
much; 2 refused; 3 nothing matched, or no such webhook.

Examples:
  campanile callbacks replay 17 18
  campanile callbacks replay --callback crm --since 1d
  campanile callbacks replay --all
  campanile callbacks replay crm --since 'yesterday 17:30' --until 9am")]
pub(in crate::cli) struct Args {
    /// Numbers, as `campanile callbacks dead-letters` prints them; or one webhook
    #[arg(value_name = "NUMBER|NAME", value_parser = chosen, conflicts_with_all = ["callback", "notification", "all"])]
    chosen: Vec<Chosen>,
    #[command(flatten)]
    filters: Filters,
    /// Every one there is
    #[arg(long, conflicts_with = "Filters")]
    all: bool,
}

/// What was named.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chosen {
    /// A call that was given up.
    Call(u64),
    Webhook(CallbackName),
}

/// A name starts with a letter.
fn chosen(text: &str) -> Result<Chosen, String> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return text
            .parse()
            .map(Chosen::Call)
            .map_err(|_| "a number is expected, as `dead-letters` prints it".to_owned());
    }
    CallbackName::new(text).map(Chosen::Webhook).map_err(|error| error.to_string())
}

/// What is asked of the server.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Calls that were given up.
    Dead(Value),
    /// All of a stretch of time.
    Range { webhook: CallbackName, body: Value },
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    match asked(args, &Zoned::now())? {
        Asked::Dead(body) => dead(globals, &body).await,
        Asked::Range { webhook, body } => range(globals, &webhook, &body).await,
    }
}

fn asked(args: &Args, now: &Zoned) -> Result<Asked, Failure> {
    let Args { chosen, filters, all } = args;
    match &chosen[..] {
        [] => {
            let fields = filters.said(*all)?.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
            let all = all.then(|| ("all".to_owned(), Value::Bool(true)));
            Ok(Asked::Dead(Value::Object(fields.chain(all).collect::<Map<_, _>>())))
        }
        [Chosen::Webhook(webhook)] => {
            let Some(since) = instant(filters.since.as_deref(), "--since", now)? else {
                let failure = Failure::usage(format!("from when on `{webhook}` is to be told again is not said"));
                return Err(failure.hint(format!(
                    "give the time with `--since`, such as `campanile callbacks replay {webhook} --since 2h`; calls of it \
                     that were given up are made again with `--callback {webhook}`"
                )));
            };
            let until = instant(Some(filters.until.as_deref().unwrap_or("now")), "--until", now)?;
            Ok(Asked::Range { webhook: webhook.clone(), body: json!({ "since": since, "until": until }) })
        }
        many => {
            let ids = many.iter().map(|one| match one {
                Chosen::Call(id) => Ok(*id),
                Chosen::Webhook(name) => Err(Failure::usage(format!("`{name}` and something else are named"))
                    .hint("name one webhook and nothing else, or numbers")),
            });
            let ids = ids.collect::<Result<Vec<_>, _>>()?;
            if filters.since.is_some() || filters.until.is_some() {
                let failure = Failure::usage("calls are named by their numbers, and by a time");
                return Err(failure.hint("leave out the numbers, or `--since` and `--until`"));
            }
            Ok(Asked::Dead(json!({ "ids": ids })))
        }
    }
}

async fn dead(globals: &Globals, body: &Value) -> Result<Answer, Failure> {
    let path = ["callbacks", "dead-letters", "replay"];
    let answered: Answered<CallbackReplayed> = Client::new(globals)?.post_bulk(&path, body).await?;
    let text = match globals.json {
        true => format!("{:#}\n", answered.json),
        false => replayed(&answered.value),
    };
    Ok(Answer::ended(text, if answered.value.replayed == 0 { Exit::Nothing } else { Exit::Ok }))
}

async fn range(globals: &Globals, webhook: &CallbackName, body: &Value) -> Result<Answer, Failure> {
    let path = ["callbacks", webhook.as_str(), "replay"];
    let answered: Answered<RangeReplayed> = Client::new(globals)?.post_bulk(&path, body).await?;
    let RangeReplayed { replayed } = answered.value;
    let text = match globals.json {
        true => format!("{:#}\n", answered.json),
        false => told_again(webhook, replayed),
    };
    Ok(Answer::ended(text, if replayed == 0 { Exit::Nothing } else { Exit::Ok }))
}

fn replayed(answer: &CallbackReplayed) -> String {
    let CallbackReplayed { replayed, unknown, disabled, gone } = *answer;
    let left = [
        (unknown, "of callbacks that are not configured or registered stay given up"),
        (disabled, "of callbacks that are disabled stay given up, see `campanile callbacks enable`"),
        (gone, "about events that are not kept any more stay given up, see `campanile callbacks purge`"),
    ];
    let made = (replayed > 0).then(|| format!("{} made again", calls(replayed)));
    let left = left.into_iter().filter(|(count, _)| *count > 0).map(|(count, why)| format!("{} {why}", calls(count)));
    let said: Vec<String> = made.into_iter().chain(left).collect();
    if said.is_empty() { "no call that was given up matches\n".to_owned() } else { said.join("; ") + "\n" }
}

fn told_again(webhook: &CallbackName, events: u64) -> String {
    match events {
        0 => format!("nothing that `{webhook}` wants to hear of is kept of that time, or it waits already\n"),
        1 => format!("1 event is told to `{webhook}` again\n"),
        events => format!("{events} events are told to `{webhook}` again\n"),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    /// What is asked of the server, or why nothing is.
    fn ask(words: &[&str]) -> Result<Asked, String> {
        let line = Line::try_parse_from([&["replay"], words].concat()).map_err(|error| error.to_string())?;
        let now = "2026-01-02T03:04:05Z".parse::<jiff::Timestamp>().expect("an instant");
        let now = now.to_zoned(jiff::tz::TimeZone::UTC);
        asked(&line.args, &now).map_err(|failure| failure.message())
    }

    #[test]
    fn what_came_of_a_replay_is_a_line() {
        let told = |again, unknown| replayed(&CallbackReplayed { replayed: again, unknown, disabled: 0, gone: 0 });
        assert_eq!(told(1, 0), "1 call made again\n");
        assert_eq!(told(0, 0), "no call that was given up matches\n");
        let left = "2 calls of callbacks that are not configured or registered stay given up\n";
        assert_eq!(told(0, 2), left);
        assert_eq!(told(3, 2), format!("3 calls made again; {left}"));
        let stays = replayed(&CallbackReplayed { replayed: 0, unknown: 0, disabled: 1, gone: 2 });
        assert!(
            stays.starts_with(
                "1 call of callbacks that are disabled stay given up, see `campanile callbacks enable`; 2"
            )
        );
    }

    #[test]
    fn numbers_filters_or_one_webhook_and_a_time_are_asked_for() {
        assert_eq!(ask(&["17", "18"]), Ok(Asked::Dead(json!({ "ids": [17, 18] }))));
        assert_eq!(ask(&["--callback", "crm"]), Ok(Asked::Dead(json!({ "callback": "crm" }))));
        assert_eq!(ask(&["--all"]), Ok(Asked::Dead(json!({ "all": true }))));
        let range = |since: &str, until: &str| {
            let webhook = CallbackName::new("crm").expect("a name");
            Ok(Asked::Range { webhook, body: json!({ "since": since, "until": until }) })
        };
        let (since, until) = ("2026-01-02T01:04:05Z", "2026-01-02T03:04:05Z");
        assert_eq!(ask(&["crm", "--since", "2h"]), range(since, until), "up to now");
        assert_eq!(ask(&["crm", "--since", "2h", "--until", "1h"]), range(since, "2026-01-02T02:04:05Z"));
        for (words, said) in [
            (&["crm"][..], "from when on `crm` is to be told again is not said"),
            (&["crm", "17"], "`crm` and something else are named"),
            (&["17", "--since", "1h"], "calls are named by their numbers, and by a time"),
            (&["crm", "--since", "soon"], "`--since`: `soon` is no time"),
            (&["crm", "--callback", "crm"], "cannot be used with"),
            (&["17x"], "a number is expected"),
            (&["CRM"], "`CRM` is not a callback name"),
            (&[], "nothing is chosen"),
        ] {
            let error = ask(words).expect_err("it is refused");
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }

    #[test]
    fn how_much_is_told_again_is_a_line() {
        let told = |events| told_again(&CallbackName::new("crm").expect("a name"), events);
        assert_eq!(told(1), "1 event is told to `crm` again\n");
        assert_eq!(told(2), "2 events are told to `crm` again\n");
        assert_eq!(told(0), "nothing that `crm` wants to hear of is kept of that time, or it waits already\n");
    }
}
