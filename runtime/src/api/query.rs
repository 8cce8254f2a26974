//! The parameters of a URL, with everything that is wrong with them.

use std::fmt;

use super::cursor::{self, Mark, Place};
use super::decode::{Object, wrong_type};
use super::failure::Failure;
use crate::config::nearest;
use crate::intake::{Problem, ProblemCode, Problems};

/// Parameters of one query that are looked at. The longest list there is has twelve.
const PARAMETERS_MAX: usize = 64;

/// A name that is repeated in a message is cut to this.
const NAME_CHARS_MAX: usize = 64;

/// Entries of a page where nothing is said.
const LIMIT: usize = 100;

/// Entries of a page at most.
const LIMIT_MAX: usize = 1_000;

/// Left empty by a variable that is not set, a parameter must not mean "any".
const EMPTY: &str = "is empty: give a value, or leave the parameter out";

/// Values by name: of a query, or of an object in a body.
pub(super) trait Named {
    /// How a problem names the place of a value.
    fn place(&self, name: &str) -> String;

    /// The text of a value.
    fn word(&mut self, name: &str, problems: &mut Problems) -> Option<String>;

    /// Whether a value says yes.
    fn yes(&mut self, name: &str, problems: &mut Problems) -> bool;

    /// A text that is read further; what it should be is said by `parse`'s error.
    fn parse<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
        problems: &mut Problems,
    ) -> Option<T> {
        let text = self.word(name, problems)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                problems.add(self.place(name), ProblemCode::BadValue, error.to_string());
                None
            }
        }
    }
}

/// Parameters that are taken one by one.
#[derive(Debug)]
pub(super) struct Query {
    pairs: Vec<(String, String)>,
    overflown: bool,
}

impl Query {
    /// What stands behind the `?`.
    pub(super) fn read(query: Option<&str>) -> Self {
        let mut pairs = url::form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let owned = pairs.by_ref().map(|(name, value)| (name.into_owned(), value.into_owned()));
        Self { pairs: owned.take(PARAMETERS_MAX).collect(), overflown: pairs.next().is_some() }
    }

    /// Every value of a parameter that may be there several times.
    pub(super) fn words(&mut self, name: &str, problems: &mut Problems) -> Vec<String> {
        let (mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pairs).into_iter().partition(|(key, _)| key == name);
        self.pairs = others;
        let words = mine.into_iter().map(|(_, value)| value);
        let (empty, words): (Vec<_>, Vec<_>) = words.partition(String::is_empty);
        if !empty.is_empty() {
            problems.add(name, ProblemCode::Empty, EMPTY);
        }
        words
    }

    /// Whether a value says yes, or nothing is said.
    pub(super) fn yes_unless(&mut self, name: &str, problems: &mut Problems) -> bool {
        !self.pairs.iter().any(|(key, _)| key == name) || self.yes(name, problems)
    }

    /// How many entries a page may have.
    pub(super) fn limit(&mut self, problems: &mut Problems) -> usize {
        let parse = |text: &str| match text.parse::<usize>() {
            Ok(limit) if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            _ => Err(format!("must be a number from 1 to {LIMIT_MAX}")),
        };
        self.parse("limit", parse, problems).unwrap_or(LIMIT)
    }

    /// Where the list goes on. Where something is wrong with its filters, it is not held against them.
    pub(super) fn cursor<P: Place>(&mut self, mark: Mark, problems: &mut Problems) -> Option<P> {
        let sound = problems.is_empty();
        let text = self.word("cursor", problems)?;
        match cursor::read(&text, mark) {
            Ok(place) => Some(place),
            Err(error) => {
                if sound {
                    problems.add("cursor", ProblemCode::BadValue, error.to_string());
                }
                None
            }
        }
    }

    /// Notes every parameter that nobody took, and refuses the query where anything is wrong with it.
    pub(super) fn finish(self, known: &[&str], mut problems: Problems) -> Result<(), Failure> {
        if self.overflown {
            let message = format!("more than {PARAMETERS_MAX} parameters");
            problems.add("", ProblemCode::TooMany, message);
        }
        for (name, _) in self.pairs {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            let meant = nearest(&name, known.iter().copied());
            problems.push(Problem {
                code: ProblemCode::UnknownField,
                message: format!("there is no parameter `{name}`"),
                hint: meant.map(|meant| format!("did you mean `{meant}`?")),
                at: name,
            });
        }
        sound(problems)
    }
}

/// Refuses what has problems.
pub(super) fn sound(problems: Problems) -> Result<(), Failure> {
    if problems.is_empty() { Ok(()) } else { Err(Failure::Query(problems)) }
}

/// Refuses every parameter.
pub(super) fn none(query: Option<&str>) -> Result<(), Failure> {
    Query::read(query).finish(&[], Problems::default())
}

impl Named for Query {
    fn place(&self, name: &str) -> String {
        name.to_owned()
    }

    fn word(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        let place = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.pairs.remove(place);
        let others = self.pairs.len();
        self.pairs.retain(|(key, _)| key != name);
        if self.pairs.len() < others {
            problems.add(name, ProblemCode::DuplicateField, "the parameter is there twice");
        }
        if value.is_empty() {
            problems.add(name, ProblemCode::Empty, EMPTY);
            return None;
        }
        Some(value)
    }

    fn yes(&mut self, name: &str, problems: &mut Problems) -> bool {
        let parse = |text: &str| match text {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be `true` or `false`"),
        };
        self.parse(name, parse, problems).unwrap_or(false)
    }
}

impl Named for Object<'_> {
    fn place(&self, name: &str) -> String {
        self.at(name)
    }

    fn word(&mut self, name: &str, problems: &mut Problems) -> Option<String> {
        let value = self.text(name, problems)?;
        if value.is_empty() {
            problems.add(self.at(name), ProblemCode::Empty, "is empty: give a value, or leave the field out");
            return None;
        }
        Some(value)
    }

    fn yes(&mut self, name: &str, problems: &mut Problems) -> bool {
        match self.take(name, problems) {
            Some(raw) if matches!(raw.get(), "true" | "false") => raw.get() == "true",
            Some(raw) => {
                wrong_type(&self.at(name), "`true` or `false`", raw, problems);
                false
            }
            None => false,
        }
    }
}
