//! `campanile config check`: everything that is wrong with a configuration, in one run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Answer;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::config::{Examined, Judgeable, Place, Places, Problem};
use crate::domain::ChannelName;
use crate::runtime::{ChannelFinding, ChannelStatus, check_channels};

/// One thing to change, whoever found it.
#[derive(Debug)]
struct Told {
    place: Place,
    key: String,
    /// The name of the channel it is about.
    channel: Option<String>,
    /// What stands before the message for people.
    about: String,
    message: String,
    hint: Option<String>,
}

/// What became of a check.
#[derive(Debug)]
pub(super) struct Verdict {
    file: Option<PathBuf>,
    problems: Vec<Told>,
    warnings: Vec<Told>,
    /// Channels whose plugins were not asked.
    not_asked: Vec<ChannelName>,
}

/// Has a configuration judged, also by the plugins of its channels: in a sandbox, as far as it can be. `compiler` is this
/// program, which compiles them in processes of their own; without it they are compiled here.
pub(super) async fn check(examined: &Examined, compiler: Option<&Path>) -> Result<Verdict, Failure> {
    let Judgeable { config, left_out } = examined.judgeable();
    let asked = match config.channels.is_empty() {
        true => Vec::new(),
        false => check_channels(&config, compiler).await.context("the plugins cannot be asked")?,
    };
    Ok(Verdict::of(examined, &asked, left_out))
}

impl Verdict {
    pub(super) fn of(examined: &Examined, asked: &[ChannelStatus], not_asked: Vec<ChannelName>) -> Self {
        let Examined { config: _, file, places, problems, warnings } = examined;
        let found = |of: fn(&ChannelStatus) -> &[ChannelFinding]| {
            let each =
                move |status| of(status).iter().map(move |finding| Told::of_channel(&status.name, finding, places));
            asked.iter().filter(|status| status.configured).flat_map(each)
        };
        let together = |own: &[Problem], of: fn(&ChannelStatus) -> &[ChannelFinding]| {
            let mut all: Vec<_> = own.iter().map(Told::of_setting).chain(found(of)).collect();
            all.sort_by(|a, b| a.place.cmp(&b.place));
            all
        };
        let problems = together(problems, |status| &status.problems);
        let warnings = together(warnings, |status| &status.warnings);
        Self { file: file.clone(), problems, warnings, not_asked }
    }

    pub(super) fn exit(&self) -> Exit {
        if self.problems.is_empty() { Exit::Ok } else { Exit::Usage }
    }

    pub(super) fn text(&self) -> String {
        let counts = [counted(self.problems.len(), "problem"), counted(self.warnings.len(), "warning")];
        let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        let verdict = if counts.is_empty() { "ok" } else { &counts };
        let mut text = match &self.file {
            Some(file) => format!("{}: {verdict}\n", file.display()),
            None => format!("no configuration file, all defaults: {verdict}\n"),
        };
        for problem in &self.problems {
            // Writing to a `String` cannot fail.
            let _ = writeln!(text, "  {}", problem.line());
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {}", warning.line());
        }
        if !self.not_asked.is_empty() {
            let names: Vec<_> = self.not_asked.iter().map(|name| format!("`{name}`")).collect();
            let (channels, names) = (if names.len() == 1 { "channel" } else { "channels" }, names.join(", "));
            let _ = writeln!(text, "\nnot asked, because of these problems: the plugin of {channels} {names}");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let all = |told: &[Told]| told.iter().map(Told::json).collect::<Vec<_>>();
        let not_asked: Vec<_> = self.not_asked.iter().map(ChannelName::as_str).collect();
        json!({
            "ok": self.problems.is_empty(), "file": self.file, "problems": all(&self.problems),
            "warnings": all(&self.warnings), "not_asked": not_asked,
        })
    }

    pub(super) fn answer(&self, as_json: bool) -> Answer {
        let text = if as_json { format!("{:#}\n", self.json()) } else { self.text() };
        Answer::ended(text, self.exit())
    }
}

fn counted(many: usize, what: &str) -> Option<String> {
    match many {
        0 => None,
        1 => Some(format!("1 {what}")),
        _ => Some(format!("{many} {what}s")),
    }
}

impl Told {
    fn of_setting(problem: &Problem) -> Self {
        let Problem { place, key, message, hint, .. } = problem;
        let channel = key.strip_prefix("channels.").and_then(|rest| rest.split('.').next());
        Self {
            place: place.clone(),
            key: key.clone(),
            channel: channel.map(str::to_owned),
            about: if key.is_empty() { String::new() } else { format!("`{key}` ") },
            message: message.clone(),
            hint: hint.clone(),
        }
    }

    fn of_channel(channel: &ChannelName, finding: &ChannelFinding, places: &Places) -> Self {
        let ChannelFinding { keys, message, hint } = finding;
        let key = ["channels", channel.as_str()].into_iter().chain(keys.iter().map(String::as_str));
        let key = key.collect::<Vec<_>>().join(".");
        Self {
            place: places.of(&key),
            key,
            channel: Some(channel.to_string()),
            about: format!("channel `{channel}`: "),
            message: message.clone(),
            hint: hint.clone(),
        }
    }

    /// For people. What a plugin has written brings no control characters along.
    fn line(&self) -> String {
        let hint = self.hint.iter().map(|hint| format!("; {hint}")).collect::<String>();
        escaped(&format!("{}: {}{}{hint}", self.place, self.about, self.message))
    }

    fn json(&self) -> Value {
        let line = match &self.place {
            Place::File { line, .. } => Some(*line).filter(|line| *line > 0),
            _ => None,
        };
        json!({
            "place": self.place.to_string(), "line": line, "channel": self.channel, "key": self.key,
            "message": self.message, "hint": self.hint,
        })
    }
}

#[cfg(test)]
mod tests;
