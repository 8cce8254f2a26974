//! `campanile reload`: has a running server read its configuration again.

use std::fmt::Write as _;

use serde_json::json;

use super::client::Client;
use super::client::wire::{Found, Problem, Reloaded};
use super::failure::{Exit, Failure};
use super::terminal::escaped;
use super::{Answer, Globals};

#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) async fn run(globals: &Globals, _: &Args) -> Result<Answer, Failure> {
    Ok(match Client::new(globals)?.reload().await? {
        Ok(answered) if globals.json => Answer::ok(format!("{:#}\n", answered.json)),
        Ok(answered) => Answer::ok(show(&answered.value)),
        Err(problem) if globals.json => Answer::ended(json_of(&problem), Exit::Usage),
        Err(problem) => Answer::ended(show_problems(&problem), Exit::Usage),
    })
}

/// What is other now, and what of it only after a restart.
fn show(reloaded: &Reloaded) -> String {
    let Reloaded { file, added, changed, removed, disabled, enabled, settings, restart_needed, warnings } = reloaded;
    let from = file.as_deref().map_or_else(|| "no configuration file, all defaults".to_owned(), escaped);
    let mut text = format!("{from}: reloaded\n");
    let lists = [
        ("added", added),
        ("changed", changed),
        ("removed", removed),
        ("disabled", disabled),
        ("enabled", enabled),
        ("settings", settings),
        ("restart needed", restart_needed),
    ];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "  {what:<16}{}", escaped(&names.join(", ")));
    }
    for warning in warnings {
        let _ = writeln!(text, "  warning: {}", line(warning));
    }
    text
}

/// As `campanile config check` shows them.
fn show_problems(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("the configuration has problems, and nothing of it takes effect");
    let mut text = format!("{}\n", escaped(detail));
    for found in &problem.problems {
        let _ = writeln!(text, "  {}", line(found));
    }
    text
}

fn line(found: &Found) -> String {
    let place = found.at.as_deref().map(|place| format!("{place}: ")).unwrap_or_default();
    let hint = found.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
    escaped(&format!("{place}{}{hint}", found.message))
}

fn json_of(problem: &Problem) -> String {
    format!("{:#}\n", json!({ "ok": false, "problems": problem.problems }))
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn what_is_other_now_stands_in_lines_of_its_own() {
        let answer = json!({
            "file": "/etc/campanile/config.toml", "added": ["ops", "site"], "changed": [], "removed": ["fax"],
            "disabled": [], "enabled": [], "settings": ["templates.strict"], "restart_needed": ["server.listen"],
            "warnings": [{ "at": "a.toml:3", "code": "configuration", "message": "`x` is of no use", "hint": "drop it" }],
        });
        let reloaded: Reloaded = serde_json::from_value(answer).expect("the shape of the answer");
        assert_snapshot!(show(&reloaded), @r"
        /etc/campanile/config.toml: reloaded
          added           ops, site
          removed         fax
          settings        templates.strict
          restart needed  server.listen
          warning: a.toml:3: `x` is of no use; drop it
        ");
    }

    #[test]
    fn every_problem_stands_in_a_line_with_its_place_and_what_to_do() {
        let refused = json!({
            "title": "Unprocessable Content", "detail": "the configuration has 2 problems, and nothing of it takes effect",
            "problems": [
                { "at": "a.toml:2", "code": "configuration", "message": "`workers.bach` is not a known key",
                  "hint": "did you mean `batch`?", "key": "workers.bach", "channel": null, "line": 2 },
                { "at": "a.toml", "code": "configuration", "message": "odd\u{7}" },
            ],
        });
        let problem: Problem = serde_json::from_value(refused).expect("the shape of the answer");
        assert_snapshot!(show_problems(&problem), @r"
        the configuration has 2 problems, and nothing of it takes effect
          a.toml:2: `workers.bach` is not a known key; did you mean `batch`?
          a.toml: odd\u{7}
        ");
    }
}
