//! Colors, and text from elsewhere made safe to print.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};

/// When to use colors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorWhen {
    pub(super) fn for_stdout(self) -> Paint {
        self.decide(io::stdout().is_terminal())
    }

    pub(super) fn for_stderr(self) -> Paint {
        self.decide(io::stderr().is_terminal())
    }

    fn decide(self, terminal: bool) -> Paint {
        let wanted = match self {
            Self::Auto => terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            Self::Always => true,
            Self::Never => false,
        };
        if wanted { Paint::On } else { Paint::Off }
    }
}

/// The colors of a terminal, by their ANSI numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Color {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Color {
    /// The color of a status word, whoever's it is.
    pub(super) fn of_status(status: &str) -> Option<Self> {
        match status {
            "sent" | "serving" | "ready" | "ok" => Some(Self::Green),
            "failed" | "refused" | "quarantined" | "rolled-back" | "unusable" | "disabled" | "open" | "down"
            | "silent" => Some(Self::Red),
            "retrying" | "partial" | "cancelled" | "held" | "canary" | "paused" | "half-open" | "degraded" => {
                Some(Self::Yellow)
            }
            _ => None,
        }
    }
}

/// Whether colors are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Paint {
    On,
    Off,
}

impl Paint {
    pub(super) fn bold(self, color: Color, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[1;{}m{text}\u{1b}[0m", color as u8),
            Self::Off => text.to_owned(),
        }
    }

    pub(super) fn color(self, color: Option<Color>, text: &str) -> String {
        match (self, color) {
            (Self::On, Some(color)) => format!("\u{1b}[{}m{text}\u{1b}[0m", color as u8),
            (Self::On, None) | (Self::Off, _) => text.to_owned(),
        }
    }

    pub(super) fn dim(self, text: &str) -> String {
        match self {
            Self::On => format!("\u{1b}[2m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

/// `text` on one line, with what could move a cursor or turn the writing direction spelled out.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        let direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || direction {
            // Writing to a `String` cannot fail.
            let _ = write!(safe, "{}", c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_moves_a_cursor_or_turns_the_writing_is_spelled_out() {
        assert_eq!(escaped("a\u{1b}[31m\nb\u{202e}c \u{9b}é"), r"a\u{1b}[31m\nb\u{202e}c \u{9b}é");
    }

    proptest! {
        #[test]
        fn no_control_character_survives(text in any::<String>()) {
            prop_assert!(!escaped(&text).chars().any(char::is_control));
        }
    }
}
