//! `campanile plugins check`: everything that can be said of a plugin file before anybody trusts it, each with why and
//! what to do. It ends in a bounded time, whatever the plugin does.

mod battery;
mod hostile;
mod looks;
mod pace;
mod profile;

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::test::limits_of;
use super::there;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::{Color, Paint, escaped};
use crate::cli::{Answer, Globals};

pub(super) use battery::Battery;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A `.wasm` file
    file: PathBuf,
    /// A JSON object to configure it with [default: an example made from its schema]
    // Not `config`: a name that a global option has as well is one and the same to clap.
    #[arg(long, value_name = "FILE")]
    with: Option<PathBuf>,
}

/// How a check ended. Only a failure makes the file a bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Pass,
    Warn,
    Fail,
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    const fn color(self) -> Color {
        match self {
            Self::Pass => Color::Green,
            Self::Warn => Color::Yellow,
            Self::Fail => Color::Red,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    name: &'static str,
    verdict: Verdict,
    /// What was found.
    says: String,
    /// What would make it better.
    mend: Option<String>,
}

impl Check {
    fn pass(name: &'static str, says: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Pass, says: says.into(), mend: None }
    }

    fn warn(name: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, says: says.into(), mend: Some(mend.into()) }
    }

    fn fail(name: &'static str, says: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, says: says.into(), mend: Some(mend.into()) }
    }
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let file = there(&args.file)?;
    let config = args.with.as_deref().map(super::test::read_object).transpose().map_err(Failure::usage)?;
    let battery = Box::pin(Battery::run(file, config, limits_of(globals)?)).await;
    let passed = battery.checks.iter().all(|check| check.verdict != Verdict::Fail);
    let text = if globals.json { json_of(&battery, passed) } else { show(&battery, passed, globals.paint_stdout()) };
    Ok(Answer::ended(text, if passed { Exit::Ok } else { Exit::No }))
}

fn show(battery: &Battery, passed: bool, paint: Paint) -> String {
    let mut text = String::new();
    let widest = battery.checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    for Check { name, verdict, says, mend } in &battery.checks {
        let indent = " ".repeat(widest + 8);
        let says = says.lines().map(escaped).collect::<Vec<_>>().join(&format!("\n{indent}"));
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}  {name:widest$}  {says}", paint.bold(verdict.color(), verdict.as_str()));
        for line in mend.iter().flat_map(|mend| mend.lines()) {
            let _ = writeln!(text, "{indent}→ {}", escaped(line));
        }
    }
    if !battery.profile.is_empty() {
        text.push('\n');
        text.push_str(&profile::table(&battery.profile, paint));
    }
    let count = |wanted| battery.checks.iter().filter(|check| check.verdict == wanted).count();
    let _ = writeln!(
        text,
        "\n{}: {} passed, {} warned, {} failed",
        if passed { "good" } else { "not good" },
        count(Verdict::Pass),
        count(Verdict::Warn),
        count(Verdict::Fail)
    );
    text
}

fn json_of(battery: &Battery, passed: bool) -> String {
    let checks: Vec<_> = battery
        .checks
        .iter()
        .map(|Check { name, verdict, says, mend }| {
            json!({ "name": name, "verdict": verdict.as_str().to_lowercase(), "says": says, "mend": mend })
        })
        .collect();
    let profile: Vec<_> = battery.profile.iter().map(profile::Line::json).collect();
    let value = json!({
        "name": battery.name, "version": battery.version, "sha256": battery.sha256, "passed": passed,
        "checks": checks, "profile": profile,
    });
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn every_check_says_what_it_found_and_what_to_do() {
        let battery = Battery {
            name: Some("pager".to_owned()),
            version: Some("0.1.0".to_owned()),
            sha256: None,
            checks: vec![
                Check::pass("contract", "0.1.0, a channel"),
                Check::warn("stack", "1MiB", "link with a smaller one"),
                Check::fail("hostile-input", "`empty`: fault (trap): oh\u{7}\nno", "answer an outcome\nas always"),
            ],
            profile: Vec::new(),
        };
        assert_snapshot!(show(&battery, false, Paint::Off), @r#"
        pass  contract       0.1.0, a channel
        warn  stack          1MiB
                             → link with a smaller one
        FAIL  hostile-input  `empty`: fault (trap): oh\u{7}
                             no
                             → answer an outcome
                             → as always

        not good: 1 passed, 1 warned, 1 failed
        "#);
    }
}
