//! `campanile config check`: everything that is wrong with a configuration, in one run.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::cli::Answer;
use crate::cli::channels::allowed;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::config::{Examined, Judgeable, Problem};
use crate::domain::ChannelName;
use crate::runtime::{
    ChannelFinding, ChannelRate, ChannelStatus, ConfigFinding, RateSource, check_channels, check_webhooks,
};

/// What became of a check.
#[derive(Debug)]
pub(super) struct Verdict {
    file: Option<PathBuf>,
    problems: Vec<ConfigFinding>,
    warnings: Vec<ConfigFinding>,
    /// Channels whose plugins were not asked.
    not_asked: Vec<ChannelName>,
    /// Those that are switched off: nobody asks about them.
    disabled: Vec<ChannelName>,
    /// How fast channels may be called, where their plugins say so and the configuration does not.
    rates: Vec<(ChannelName, ChannelRate)>,
}

/// Has a configuration judged, also by the plugins of its channels: in a sandbox, as far as it can be. Keys of webhooks are
/// read. `compiler` is this
/// program, which compiles them in processes of their own; without it they are compiled here.
pub(super) async fn check(examined: &Examined, compiler: Option<&Path>) -> Result<Verdict, Failure> {
    let mut examined = examined.clone();
    examined.problems.extend(check_webhooks(&examined).await);
    let Judgeable { config, left_out } = examined.judgeable();
    let asked = match config.channels.is_empty() {
        true => Vec::new(),
        false => check_channels(&config, compiler).await.context("the plugins cannot be asked")?,
    };
    Ok(Verdict::of(&examined, &asked, left_out))
}

impl Verdict {
    pub(super) fn of(examined: &Examined, asked: &[ChannelStatus], not_asked: Vec<ChannelName>) -> Self {
        let Examined { config, file, places, problems, warnings } = examined;
        let found = |of: fn(&ChannelStatus) -> &[ChannelFinding]| {
            let each = move |status| {
                of(status).iter().map(move |finding| ConfigFinding::of_channel(&status.name, finding, places))
            };
            asked.iter().filter(|status| status.configured).flat_map(each)
        };
        let together = |own: &[Problem], of: fn(&ChannelStatus) -> &[ChannelFinding]| {
            let mut all: Vec<_> = own.iter().map(ConfigFinding::of_setting).chain(found(of)).collect();
            all.sort_by(|a, b| a.place.cmp(&b.place));
            all
        };
        let problems = together(problems, |status| &status.problems);
        let warnings = together(warnings, |status| &status.warnings);
        let disabled = asked.iter().filter(|status| !status.enabled).map(|status| status.name.clone()).collect();
        let said = asked.iter().filter(|status| status.configured);
        let said = said.filter_map(|status| Some((status.name.clone(), ChannelRate::of(config, status)?)));
        let rates = said.filter(|(_, rate)| rate.source == RateSource::Plugin).collect();
        Self { file: file.clone(), problems, warnings, not_asked, disabled, rates }
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
            let _ = writeln!(text, "  {}", line(problem));
        }
        for warning in &self.warnings {
            let _ = writeln!(text, "  warning: {}", line(warning));
        }
        for (why, names) in [("because of these problems", &self.not_asked), ("as disabled", &self.disabled)] {
            if names.is_empty() {
                continue;
            }
            let channels = if names.len() == 1 { "channel" } else { "channels" };
            let names = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            let _ = writeln!(text, "\nnot asked, {why}: the plugin of {channels} {names}");
        }
        if !self.rates.is_empty() {
            text.push('\n');
        }
        for (name, ChannelRate { rate, scope, source }) in &self.rates {
            let allowed = allowed(name.as_str(), &rate.to_string(), scope.as_str(), source.as_str());
            let _ = writeln!(text, "channel `{name}` may be called {allowed}");
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let all = |told: &[ConfigFinding]| told.iter().map(json_of).collect::<Vec<_>>();
        let names = |names: &[ChannelName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rate = |(name, said): &(ChannelName, ChannelRate)| {
            let ChannelRate { rate, scope, source } = said;
            json!({ "channel": name.as_str(), "rate": rate.to_string(), "scope": scope.as_str(), "source": source.as_str() })
        };
        json!({
            "ok": self.problems.is_empty(), "file": self.file, "problems": all(&self.problems),
            "warnings": all(&self.warnings), "not_asked": names(&self.not_asked),
            "disabled": names(&self.disabled), "rates": self.rates.iter().map(rate).collect::<Vec<_>>(),
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

/// For people. What a plugin has written brings no control characters along.
fn line(told: &ConfigFinding) -> String {
    escaped(&told.to_string())
}

fn json_of(told: &ConfigFinding) -> Value {
    json!({
        "place": told.place.to_string(), "line": told.line(), "channel": told.channel, "key": told.key,
        "message": told.message, "hint": told.hint,
    })
}

#[cfg(test)]
mod tests;
