//! What is wrong with a submission: all of it, each with its place.

use std::fmt;

use super::limits::PROBLEMS_MAX;

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A JSON Pointer (RFC 6901) into the submission; empty for the whole.
    pub at: String,
    /// What kind of problem, for programs.
    pub code: ProblemCode,
    /// A sentence for people. Never repeats an address or content.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "`{}`: ", self.at)?;
        }
        f.write_str(&self.message)
    }
}

/// The kind of a problem. Its word is a promise to programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemCode {
    /// Something that must be there is not.
    Missing,
    /// It is there, and there is nothing in it.
    Empty,
    /// No such field.
    UnknownField,
    /// The same field twice.
    DuplicateField,
    /// Another type of value was expected.
    WrongType,
    /// The right type, and not a value that is allowed.
    BadValue,
    /// Longer than its limit.
    TooLong,
    /// More than its limit.
    TooMany,
    /// Nested deeper than its limit.
    TooDeep,
    /// Two fields that exclude each other.
    Conflict,
    /// An instant too far back.
    TooOld,
    /// An instant too far ahead.
    TooFarAhead,
    /// An idempotency key that stands for another notification.
    KeyReused,
    /// No channel of that name.
    UnknownChannel,
    /// A channel that cannot be used right now.
    ChannelNotReady,
    /// A channel that the configuration switches off.
    ChannelDisabled,
    /// A recipient whom no named channel reaches.
    UnreachableRecipient,
    /// An address that is not one.
    BadAddress,
    /// No template of that name.
    UnknownTemplate,
    /// A template that cannot be used.
    BrokenTemplate,
    /// Data that a template needs is not there.
    MissingData,
    /// A `callback_url`, and the configuration has no key to sign calls with.
    CallbacksOff,
    /// Part of the interface, and not of this version of the program.
    Unsupported,
}

impl ProblemCode {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Empty => "empty",
            Self::UnknownField => "unknown-field",
            Self::DuplicateField => "duplicate-field",
            Self::WrongType => "wrong-type",
            Self::BadValue => "bad-value",
            Self::TooLong => "too-long",
            Self::TooMany => "too-many",
            Self::TooDeep => "too-deep",
            Self::Conflict => "conflict",
            Self::TooOld => "too-old",
            Self::TooFarAhead => "too-far-ahead",
            Self::KeyReused => "idempotency-key-reused",
            Self::UnknownChannel => "unknown-channel",
            Self::ChannelNotReady => "channel-not-ready",
            Self::ChannelDisabled => "channel-disabled",
            Self::UnreachableRecipient => "unreachable-recipient",
            Self::BadAddress => "bad-address",
            Self::UnknownTemplate => "unknown-template",
            Self::BrokenTemplate => "broken-template",
            Self::MissingData => "missing-data",
            Self::CallbacksOff => "callbacks-off",
            Self::Unsupported => "unsupported",
        }
    }
}

/// Problems as they are found. Never more than [`PROBLEMS_MAX`] are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    /// There are more than are kept.
    is_cut: bool,
}

impl Problems {
    /// Notes one more problem.
    pub fn add(&mut self, at: impl Into<String>, code: ProblemCode, message: impl Into<String>) {
        self.push(Problem { at: at.into(), code, message: message.into(), hint: None });
    }

    /// Notes one more problem.
    pub fn push(&mut self, problem: Problem) {
        if self.list.len() < PROBLEMS_MAX {
            self.list.push(problem);
        } else {
            self.is_cut = true;
        }
    }

    /// Whether there are more than are kept.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The same problems, and more that are not kept.
    #[must_use]
    pub fn cut(mut self) -> Self {
        self.is_cut = true;
        self
    }

    /// How many there are, in words, as they follow `has`.
    ///
    /// ```
    /// use campanile::intake::{ProblemCode, Problems};
    ///
    /// let mut problems = Problems::default();
    /// problems.add("/body", ProblemCode::Missing, "is missing");
    /// assert_eq!(problems.counted(), "a problem");
    /// ```
    #[must_use]
    pub fn counted(&self) -> String {
        match self.list.len() {
            1 => "a problem".to_owned(),
            count if self.is_cut => format!("more than {count} problems, of which the first {count} are named"),
            count => format!("{count} problems"),
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether something is wrong at `at` or below it.
    #[must_use]
    pub fn any_under(&self, at: &str) -> bool {
        let under = |place: &str| place.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.list.iter().any(|problem| under(&problem.at))
    }

    /// What is wrong, in the order it was found.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.list
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.as_slice() {
            [] => f.write_str("nothing is wrong"),
            [only] => write!(f, "{only}"),
            [first, rest @ ..] if self.is_cut => write!(f, "{first}, and more than {} more", rest.len()),
            [first, rest @ ..] => write!(f, "{first}, and {} more", rest.len()),
        }
    }
}

/// `parent/key`, with the key escaped as RFC 6901 wants and cut where it is absurdly long.
///
/// ```
/// use campanile::intake::pointer;
///
/// assert_eq!(pointer("/metadata", "a/b"), "/metadata/a~1b");
/// ```
#[must_use]
pub fn pointer(parent: &str, key: &str) -> String {
    /// Longer keys are problems themselves, and a problem must not be as large as its cause.
    const KEY_CHARS_MAX: usize = 64;
    let mut pointer = format!("{parent}/");
    for c in key.chars().take(KEY_CHARS_MAX) {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_cut_says_so() {
        let mut problems = Problems::default();
        for place in 0..PROBLEMS_MAX {
            problems.add(format!("/to/{place}"), ProblemCode::Missing, "is missing");
        }
        assert_eq!(problems.counted(), "100 problems");
        problems.add("/to/100", ProblemCode::Missing, "is missing");
        assert_eq!(problems.counted(), "more than 100 problems, of which the first 100 are named");
        assert_eq!(problems.as_slice().len(), PROBLEMS_MAX);
    }
}
