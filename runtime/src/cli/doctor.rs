//! `campanile doctor`: what is wrong with this installation.

use serde_json::{Value, json};

use super::client::Client;
use super::failure::{Exit, Failure};
use super::terminal::{Color, Paint, escaped};
use super::{Answer, Globals, plugins};
use crate::runtime::{Check, CheckStatus, Examined, examine_installation};

#[derive(Debug, clap::Args)]
#[command(after_help = "Changes nothing. Reads the whole database, and compiles the files in the plugin folder.\n\n\
                        Exit codes: 0 it works, perhaps with warnings; 1 something is to be put right.")]
pub(super) struct Args {}

pub(super) async fn run(globals: &Globals) -> Result<Answer, Failure> {
    let mut checks = Vec::new();
    match globals.load() {
        Ok(loaded) => {
            let from =
                loaded.file.map_or_else(|| "no file, all defaults".to_owned(), |file| file.display().to_string());
            checks.push(Check::ok("configuration", from));
            let Examined { checks: found, holder } =
                examine_installation(&loaded.config, plugins::program().as_deref()).await;
            checks.extend(found);
            checks.push(of_server(globals, holder).await);
        }
        // Without it nobody knows where anything is.
        Err(error) => {
            let problems: Vec<_> = error.problems.iter().map(ToString::to_string).collect();
            let hint = "put that right first: nothing else could be looked at";
            checks.push(Check::fail("configuration", problems.join("; "), hint));
        }
    }
    let ok = checks.iter().all(|check| check.status < CheckStatus::Fail);
    let text = if globals.json { json_of(&checks, ok) } else { text_of(&checks, globals.paint_stdout()) };
    Ok(Answer { text, talk: String::new(), exit: if ok { Exit::Ok } else { Exit::No } })
}

async fn of_server(globals: &Globals, holder: Option<String>) -> Check {
    let client = match Client::new(globals) {
        Ok(client) => client,
        Err(failure) => return Check::fail("server", failure.message(), "check `--url` and `CAMPANILE_URL`"),
    };
    server(client.base().as_str(), client.health().await.map_err(|failure| failure.message()), holder)
}

fn server(url: &str, answered: Result<(), String>, holder: Option<String>) -> Check {
    let name = "server";
    match (answered, holder) {
        (Ok(()), Some(holder)) => Check::ok(name, format!("it answers at `{url}`; {holder} has the database open")),
        (Ok(()), None) => Check::warn(
            name,
            format!("one answers at `{url}`, but nobody has this database open: it has another"),
            "name its configuration with `--config`, or another server with `--url`",
        ),
        (Err(_), None) => Check::warn(name, "none runs", "start it: `campanile serve`"),
        (Err(reason), Some(holder)) => Check::fail(
            name,
            format!("{holder} has the database open, but {reason}"),
            "name where it listens with `--url`; where that is right, look at its log and restart it",
        ),
    }
}

fn json_of(checks: &[Check], ok: bool) -> String {
    let one = |check: &Check| -> Value {
        let Check { name, status, detail, hint } = check;
        json!({ "name": name, "status": status.as_str(), "detail": detail, "hint": hint })
    };
    format!("{:#}\n", json!({ "ok": ok, "checks": checks.iter().map(one).collect::<Vec<_>>() }))
}

fn text_of(checks: &[Check], paint: Paint) -> String {
    let mut text = String::new();
    for Check { name, status, detail, hint } in checks {
        let color = match status {
            CheckStatus::Ok => Color::Green,
            CheckStatus::Warn => Color::Yellow,
            CheckStatus::Fail => Color::Red,
        };
        let word = paint.color(Some(color), &format!("{:<4}", status.as_str()));
        let hint = hint.as_ref().map(|hint| format!(" → {}", escaped(hint))).unwrap_or_default();
        text.push_str(&format!("{word}  {}: {}{hint}\n", escaped(name), escaped(detail)));
    }
    let count = |status| checks.iter().filter(|check| check.status == status).count();
    let (failed, warned) = (count(CheckStatus::Fail), count(CheckStatus::Warn));
    text.push_str(&match (failed, warned) {
        (0, 0) => "all is well\n".to_owned(),
        (0, warned) => format!("it works; {warned} to look at\n"),
        (failed, 0) => format!("{failed} to put right\n"),
        (failed, warned) => format!("{failed} to put right, {warned} to look at\n"),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn each_check_is_one_line_with_what_to_do_and_a_program_reads_the_same() {
        let checks = [
            Check::ok("clock", "2026-05-01T10:00:00.000Z"),
            Check::warn("server", "none runs", "start it: `campanile serve`"),
            Check::fail("free space", "12.0 MiB at `/data`\n", "make room"),
        ];
        assert_snapshot!(text_of(&checks, Paint::Off), @r#"
        ok    clock: 2026-05-01T10:00:00.000Z
        warn  server: none runs → start it: `campanile serve`
        fail  free space: 12.0 MiB at `/data`\n → make room
        1 to put right, 1 to look at
        "#);
        let read: Value = serde_json::from_str(&json_of(&checks[..1], true)).unwrap();
        let clock = json!({ "name": "clock", "status": "ok", "detail": "2026-05-01T10:00:00.000Z", "hint": null });
        assert_eq!(read, json!({ "ok": true, "checks": [clock] }));
    }

    #[test]
    fn a_server_is_judged_by_its_answer_and_by_who_has_the_database_open() {
        let status = |answers: bool, held: bool| {
            let answered = if answers { Ok(()) } else { Err("no server answers".to_owned()) };
            server("http://127.0.0.1:7433/", answered, held.then(|| "process 7".to_owned())).status
        };
        assert_eq!(status(true, true), CheckStatus::Ok);
        assert_eq!(status(true, false), CheckStatus::Warn);
        assert_eq!(status(false, false), CheckStatus::Warn);
        assert_eq!(status(false, true), CheckStatus::Fail);
    }
}
