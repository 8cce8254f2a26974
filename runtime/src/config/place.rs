//! Where a setting came from, and what is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Place {
    /// A configuration made in code, or a default.
    Code,
    /// A file.
    File {
        /// As it was named or found.
        path: Arc<Path>,
        /// From 1; the line of the key. 0 where the whole file is meant.
        line: usize,
    },
    /// An environment variable, by name.
    Variable(Arc<str>),
    /// A flag of the command line, with its dashes.
    Flag(&'static str),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code => f.write_str("configuration"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Where each setting came from, by its whole key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<String, Place>);

impl Places {
    pub(super) fn insert(&mut self, key: String, place: Place) {
        self.0.insert(key, place);
    }

    /// Of exactly this key.
    pub(super) fn get(&self, key: &str) -> Option<&Place> {
        self.0.get(key)
    }

    /// The place of a key, such as `channels.ops.config.url`, or of the nearest section around it that was written.
    #[must_use]
    pub fn of(&self, key: &str) -> Place {
        let mut key = key;
        loop {
            match (self.0.get(key), key.rsplit_once('.')) {
                (Some(place), _) => return place.clone(),
                (None, Some((parent, _))) => key = parent,
                (None, None) => return self.0.get("").cloned().unwrap_or(Place::Code),
            }
        }
    }
}

/// One thing that is wrong with the configuration. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// Where the setting came from.
    pub place: Place,
    /// Its whole key, such as `workers.batch`; empty where a whole file or variable is meant.
    pub key: String,
    /// What is wrong. Never holds a value of a channel's `config`.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    pub(super) fn new(place: Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place, key: key.into(), message: message.into(), hint: None }
    }

    /// Found by who looked at more than the configuration: at the value of a secret, or at an address.
    pub(crate) fn found(place: Place, key: String, message: String, hint: Option<String>) -> Self {
        Self { place, key, message, hint }
    }

    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, message, hint } = self;
        write!(f, "{place}: ")?;
        if !key.is_empty() {
            write!(f, "`{key}` ")?;
        }
        f.write_str(message)?;
        hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

/// The configuration cannot be used. Its `Display` lists every problem, each on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    /// Everything found; of files by place. Never empty.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.len() {
            1 => f.write_str("the configuration has a problem:")?,
            count => write!(f, "the configuration has {count} problems:")?,
        }
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for ConfigError {}
