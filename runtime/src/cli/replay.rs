//! `campanile replay`: what failed for good is tried again, one by its id or many by filter.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::cancel::deliveries;
use super::client::wire::Replayed;
use super::client::{Answered, Client};
use super::dead_letters::Filters;
use super::failure::{Exit, Failure};
use super::progress::while_dead_letters_go;
use super::target::Target;
use super::{Answer, Globals};
use crate::config::format_duration;
use crate::runtime::ReplayRate;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
All retries are before a delivery again; its id stays the same, so a receiver
that has it already can tell.

Exit codes: 0 they wait; 1 not failed or expired, or no server answers; 2 refused;
3 nothing matched.

Examples:
  campanile replay dlv_01890a5d0b0170008000000000000001_0
  campanile replay --channel ops --reason exhausted --since 1d --rate 50/s
  campanile replay --all")]
pub(super) struct Args {
    /// Id of a delivery, or of a notification: each of its deliveries that failed
    #[arg(conflicts_with_all = ["Filters", "rate"])]
    id: Option<Target>,
    #[command(flatten)]
    filters: Filters,
    /// Every dead letter there is
    #[arg(long, conflicts_with_all = ["Filters", "id"])]
    all: bool,
    /// How many are tried, such as `50/s`, `30/m` or `100/h` [default: all at once]
    #[arg(long, value_parser = rate)]
    rate: Option<String>,
}

/// The server reads it again: what is sent is what was typed.
fn rate(text: &str) -> Result<String, String> {
    text.parse::<ReplayRate>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let answered: Answered<Replayed> = match args.id {
        Some(target) => {
            let (collection, id) = target.path();
            Client::new(globals)?.post(&[collection, &id, "replay"], &json!({})).await?
        }
        None => {
            let filters = args.filters.said(args.all)?;
            let rate = args.rate.iter().map(|rate| ("rate", Value::from(&**rate)));
            let all = args.all.then_some(("all", Value::Bool(true)));
            let fields = filters.into_iter().map(|(name, value)| (name, Value::from(value))).chain(rate).chain(all);
            let body: Map<_, _> = fields.map(|(name, value)| (name.to_owned(), value)).collect();
            let client = Client::new(globals)?;
            let body = Value::Object(body);
            let work = client.post_bulk(&["dead-letters", "replay"], &body);
            while_dead_letters_go(&client, "replaying", work).await?
        }
    };
    let exit = match &answered.value {
        Replayed { replayed: 1.., .. } => Exit::Ok,
        Replayed { expired: 1.., .. } => Exit::No,
        Replayed { .. } => Exit::Nothing,
    };
    let text = if globals.json { format!("{:#}\n", answered.json) } else { show(&answered.value) };
    Ok(Answer::ended(text, exit))
}

fn show(answer: &Replayed) -> String {
    let Replayed { replayed, expired, takes_ms } = answer;
    if *replayed == 0 && *expired == 0 {
        return "no dead letter matches\n".to_owned();
    }
    let mut text = format!("{} replayed", deliveries(*replayed));
    if *takes_ms > 0 {
        text.push_str(&format!(", the last is due in {}", format_duration(Duration::from_millis(*takes_ms))));
    }
    if *expired > 0 {
        text.push_str(&format!("; {expired} stay dead letters: their `expires_at` passes before their turn"));
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn how_many_and_until_when_is_told() {
        let told = |replayed, expired, takes_ms| show(&Replayed { replayed, expired, takes_ms });
        assert_snapshot!(told(1, 0, 0), @"1 delivery replayed");
        assert_snapshot!(told(1_200, 3, 23_980), @"1200 deliveries replayed, the last is due in 23s980ms; 3 stay dead letters: their `expires_at` passes before their turn");
        assert_snapshot!(told(0, 2, 0), @"0 deliveries replayed; 2 stay dead letters: their `expires_at` passes before their turn");
        assert_snapshot!(told(0, 0, 0), @"no dead letter matches");
    }
}
