//! How a command ends: the exit code, and what is said when it went wrong.

use std::process::ExitCode;

use serde_json::json;

use crate::config::ConfigError;

use super::terminal::{Color, Paint, escaped};

/// The exit codes that scripts branch on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// Done.
    Ok = 0,
    /// The operation said no: a delivery failed, no server answers.
    No = 1,
    /// What was typed or configured is wrong.
    Usage = 2,
    /// Nothing matched.
    Nothing = 3,
    /// Timed out waiting.
    TimedOut = 4,
    /// A defect.
    Internal = 70,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What went wrong, why, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    error: anyhow::Error,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Into<anyhow::Error>) -> Self {
        Self { exit, error: error.into(), hint: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, anyhow::Error::msg(message.into()))
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Of arguments that are no command line: what clap says of them in its first paragraph, and the rest as a hint.
    pub(super) fn of_usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let (message, rest) = text.trim().split_once("\n\n").unwrap_or((text.trim(), ""));
        let failure = Self::usage(message.strip_prefix("error: ").unwrap_or(message));
        if rest.is_empty() { failure } else { failure.hint(rest) }
    }

    /// What went wrong and why, in one line.
    pub(super) fn message(&self) -> String {
        self.error.chain().map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// As it goes to standard output where JSON was asked for.
    pub(super) fn json(&self) -> String {
        let causes: Vec<_> = self.error.chain().skip(1).map(ToString::to_string).collect();
        let error = json!({
            "message": self.error.to_string(), "causes": causes, "hint": self.hint, "exit": self.exit as u8,
        });
        format!("{:#}\n", json!({ "error": error }))
    }

    /// As it goes to standard error.
    pub(super) fn render(&self, paint: Paint) -> String {
        let mut text = format!("{} {}\n", paint.bold(Color::Red, "error:"), lines(&self.error.to_string()));
        for cause in self.error.chain().skip(1) {
            text.push_str(&format!("  {} {}\n", paint.bold(Color::Yellow, "Caused by:"), lines(&cause.to_string())));
        }
        if let Some(hint) = &self.hint {
            // What has several lines is there to be pasted: it gets lines of its own.
            let gap = if hint.contains('\n') { "\n" } else { " " };
            text.push_str(&format!("\n{}{gap}{}\n", paint.bold(Color::Cyan, "hint:"), lines(hint)));
        }
        text
    }
}

/// Each line escaped by itself: a message may have several, its parts may not bring control characters along.
fn lines(text: &str) -> String {
    text.lines().map(escaped).collect::<Vec<_>>().join("\n")
}

/// What nobody foresaw.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::new(Exit::Internal, error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn a_failure_says_what_why_and_what_next() {
        let error = anyhow::anyhow!("connection refused").context("no server answers at `http://127.0.0.1:7433`");
        let failure = Failure::new(Exit::No, error).hint("start one with `campanile serve`");
        assert_snapshot!(failure.render(Paint::Off), @r#"
        error: no server answers at `http://127.0.0.1:7433`
          Caused by: connection refused

        hint: start one with `campanile serve`
        "#);
    }

    #[test]
    fn a_program_reads_the_same_as_one_object() {
        let error = anyhow::anyhow!("connection refused").context("no server answers");
        let failure = Failure::new(Exit::No, error).hint("start one with `campanile serve`");
        assert_snapshot!(failure.json(), @r#"
        {
          "error": {
            "causes": [
              "connection refused"
            ],
            "exit": 1,
            "hint": "start one with `campanile serve`",
            "message": "no server answers"
          }
        }
        "#);
    }

    #[test]
    fn control_characters_of_a_message_do_not_reach_the_terminal() {
        let rendered = Failure::usage("a\u{1b}[2Jb\nc\r").hint("d\u{7}").render(Paint::Off);
        assert_snapshot!(rendered, @r#"
        error: a\u{1b}[2Jb
        c\r

        hint: d\u{7}
        "#);
    }
}
