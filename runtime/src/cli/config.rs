//! `campanile config`: what is set, and whether it can be.

mod check;

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context as _;

use super::failure::Failure;
use super::plugins::program;
use super::{Answer, Globals};
use crate::config::{Config, Secrets, format_duration};
use crate::domain::{Jitter, RetryPolicy};

/// Waits that are printed before a schedule is cut short.
const WAITS_SHOWN: u32 = 10;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check the configuration and show what its retry policies come to
    Check,
    /// Print the effective configuration as TOML, secrets masked
    Print,
}

pub(super) fn run(globals: &Globals, command: &Command) -> Result<Answer, Failure> {
    match command {
        Command::Check => {
            let examined = globals.source().examine();
            let verdict = super::block_on(check::check(&examined, program().as_deref()))?;
            let mut answer = verdict.answer(globals.json);
            // What comes of values that are not good says nothing.
            if !globals.json && examined.problems.is_empty() {
                answer.text.push_str(&schedules(&examined.config));
            }
            Ok(answer)
        }
        Command::Print => print(&globals.load()?.config, globals.json),
    }
}

fn print(config: &Config, as_json: bool) -> Result<Answer, Failure> {
    let text = config.to_toml(Secrets::Masked);
    if !as_json {
        return Ok(Answer::ok(text));
    }
    let value: serde_json::Value = toml::from_str(&text).context("the configuration cannot be written as JSON")?;
    Ok(Answer::ok(format!("{value:#}\n")))
}

/// What every retry policy comes to.
fn schedules(config: &Config) -> String {
    let each = |(name, policy): (&String, &RetryPolicy)| format!("\n{}", schedule(name, policy, &users(config, name)));
    config.retry.iter().map(each).collect()
}

/// The channels that follow a policy.
fn users(config: &Config, policy: &str) -> Vec<String> {
    let followers = config.channels.iter().filter(|(_, channel)| channel.retry == policy);
    followers.map(|(name, _)| name.to_string()).collect()
}

/// What a policy comes to: each wait, and the window from the first attempt to the last.
fn schedule(name: &str, policy: &RetryPolicy, users: &[String]) -> String {
    let RetryPolicy { backoff, max_retries, jitter, max_age } = policy;
    let mut text = format!("retry policy `{name}`, {}", backoff.as_str());
    if !users.is_empty() {
        let _ = write!(text, ", used by {}", users.join(", "));
    }
    let mut waits: Vec<String> =
        (1..=(*max_retries).min(WAITS_SHOWN)).map(|retry| format_duration(backoff.wait(retry))).collect();
    if *max_retries > WAITS_SHOWN {
        waits.push(format!("… up to {}", format_duration(backoff.wait(*max_retries))));
    }
    let retries = if *max_retries == 1 { "retry" } else { "retries" };
    let _ = writeln!(text, "\n  attempts  {} (1 and {max_retries} {retries})", u64::from(*max_retries) + 1);
    if waits.is_empty() {
        return text;
    }
    let _ = writeln!(text, "  waits     {}{}", waits.join(", "), moved(*jitter));
    let (least, most) = policy.window();
    let _ = match rounded(least) == rounded(most) {
        true => writeln!(text, "  window    {}", format_duration(rounded(most))),
        false => {
            writeln!(text, "  window    {} to {}", format_duration(rounded(least)), format_duration(rounded(most)))
        }
    };
    let _ = writeln!(text, "  given up  {} after acceptance", format_duration(*max_age));
    if most > *max_age {
        let _ = writeln!(text, "  note      the window is longer than `max_age`: not all retries will be made");
    }
    text
}

fn moved(jitter: Jitter) -> String {
    match jitter {
        Jitter::None => String::new(),
        Jitter::Full => ", each anywhere from nothing to that".to_owned(),
        Jitter::Equal => ", each anywhere from half of that to that".to_owned(),
        Jitter::Plus(share) => format!(", each up to {} % later", percent(share)),
        Jitter::PlusMinus(share) => format!(", each up to {0} % earlier or later", percent(share)),
    }
}

/// A tenth of a percent is as fine as anybody asks.
fn percent(share: f64) -> f64 {
    (share * 1_000.0).round() / 10.0
}

/// In whole milliseconds, or seconds where it is long: a fraction of a share says nothing.
fn rounded(whole: Duration) -> Duration {
    if whole < Duration::from_mins(1) {
        Duration::from_millis(whole.as_millis().try_into().unwrap_or(u64::MAX))
    } else {
        Duration::from_secs(whole.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;
    use insta::assert_snapshot;

    #[test]
    fn a_check_shows_what_each_policy_comes_to() {
        let text = "
[retry.patient]
initial = '30s'
max_interval = '1h'
max_retries = 20
jitter = 0
max_age = '10h'
[retry.once]
max_retries = 0
[channels.ops]
plugin = 'slack'
retry = 'patient'
";
        let loaded = Source::new().text("campanile.toml", text).load().expect("good");
        assert_snapshot!(schedules(&loaded.config), @r#"

        retry policy `aggressive`, exponential
          attempts  5 (1 and 4 retries)
          waits     200ms, 400ms, 800ms, 1s600ms, each up to 10 % later
          window    3s to 3s300ms
          given up  3d after acceptance

        retry policy `callback`, exponential
          attempts  4 (1 and 3 retries)
          waits     1s, 2s, 4s, each up to 10 % later
          window    7s to 7s700ms
          given up  3d after acceptance

        retry policy `conservative`, linear
          attempts  2 (1 and 1 retry)
          waits     30s, each up to 10 % later
          window    30s to 33s
          given up  3d after acceptance

        retry policy `default`, exponential
          attempts  6 (1 and 5 retries)
          waits     1s, 2s, 4s, 8s, 16s, each up to 10 % later
          window    31s to 34s100ms
          given up  3d after acceptance

        retry policy `email`, schedule
          attempts  4 (1 and 3 retries)
          waits     1m, 5m, 25m, each up to 10 % later
          window    31m to 34m6s
          given up  3d after acceptance

        retry policy `once`, exponential
          attempts  1 (1 and 0 retries)

        retry policy `patient`, exponential, used by ops
          attempts  21 (1 and 20 retries)
          waits     30s, 1m, 2m, 4m, 8m, 16m, 32m, 1h, 1h, 1h, … up to 1h, each up to 0 % later
          window    14h3m30s
          given up  10h after acceptance
          note      the window is longer than `max_age`: not all retries will be made

        retry policy `standard`, exponential
          attempts  3 (1 and 2 retries)
          waits     1s, 2s, each anywhere from nothing to that
          window    0s to 3s
          given up  3d after acceptance

        retry policy `standard-webhooks`, schedule
          attempts  10 (1 and 9 retries)
          waits     5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 1d, each up to 10 % later
          window    3d3h35m5s to 3d11h8m35s
          given up  4d after acceptance

        retry policy `webhook`, schedule
          attempts  3 (1 and 2 retries)
          waits     5s, 30s, each up to 10 % later
          window    35s to 38s500ms
          given up  3d after acceptance
        "#);
    }
}
