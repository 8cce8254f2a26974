//! A template as the registry serves it, and why there may be none.

use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use crate::call::{TemplateProblem, TemplateVariable};
use crate::domain::TemplateName;
use crate::store::{StoreError, TemplateSource};

/// The part that a file without a part in its name writes.
pub(super) const DEFAULT_PART: &str = "text";

/// Texts by name.
pub(super) type Texts = Vec<(String, String)>;

/// A template that its engine has checked.
#[derive(Debug)]
pub struct Template {
    /// Its name.
    pub name: TemplateName,
    /// Its parts and includes, with their version.
    pub source: TemplateSource,
    /// What it reads of the data.
    pub variables: Vec<TemplateVariable>,
    /// Set once the store has the source.
    pub(super) kept: OnceCell<()>,
}

impl Template {
    /// The variables it cannot do without, by name.
    pub fn required(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().filter(|variable| variable.required).map(|variable| variable.name.as_str())
    }
}

/// Why a template is not served. One that works goes on being served although its files have such an error now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// There are no files for it.
    #[error("there is no template `{name}`")]
    Unknown {
        /// The name asked for.
        name: TemplateName,
        /// A known template with a similar name.
        nearest: Option<String>,
    },
    /// No template plugin takes files of this kind.
    #[error("no template engine renders `.{extension}`, the extension of `{file}`")]
    NoEngine {
        /// The file, relative to the folder.
        file: String,
        /// Its last extension.
        extension: String,
    },
    /// Two of its files are for different engines.
    #[error("`{file}` is for engine `{second}`, the files before it are for `{first}`: one template has one engine")]
    TwoEngines {
        /// The file, relative to the folder.
        file: String,
        /// The engine of the files before it.
        first: String,
        /// The engine of this one.
        second: String,
    },
    /// Two of its files write the same part.
    #[error("`{file}` writes part `{part}`, which another file writes too")]
    TwoFiles {
        /// The file, relative to the folder.
        file: String,
        /// The part.
        part: String,
    },
    /// It has includes and nothing that includes them.
    #[error("template `{name}` has includes and no part")]
    NoPart {
        /// Its name.
        name: TemplateName,
    },
    /// It has too many files.
    #[error("template `{name}` has {found} parts and includes, the limit is {limit}")]
    TooManyParts {
        /// Its name.
        name: TemplateName,
        /// How many, with the includes of all templates.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// A file, or all of them together, is too large.
    #[error("`{what}` has {found} bytes, the limit is {limit}")]
    TooLarge {
        /// The file, relative to the folder, or the template.
        what: String,
        /// Its size.
        found: u64,
        /// The largest there may be.
        limit: u64,
    },
    /// A file is not UTF-8.
    #[error("`{file}` is not text in UTF-8")]
    NotText {
        /// The file, relative to the folder.
        file: String,
    },
    /// A file cannot be read.
    #[error("`{file}` cannot be read: {reason}")]
    Unreadable {
        /// The file, relative to the folder.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// Its engine found problems.
    #[error("{}", lines(.0))]
    Problems(Vec<TemplateProblem>),
    /// Its engine did not answer.
    #[error("template engine `{engine}` did not answer: {reason}")]
    Engine {
        /// Which engine.
        engine: String,
        /// Why.
        reason: String,
    },
}

impl TemplateError {
    /// Whether the same files may be fine later: an engine may come, or the system may let them be read.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::NoEngine { .. } | Self::Engine { .. } | Self::Unreadable { .. })
    }

    /// What is wrong in the source, where it is the source.
    #[must_use]
    pub fn problems(&self) -> &[TemplateProblem] {
        if let Self::Problems(problems) = self { problems } else { &[] }
    }
}

fn lines(problems: &[TemplateProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Why a notification cannot be tied to a template.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// There is no such template, or none that works.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// It reads variables that the data does not have.
    #[error("template `{name}` needs data that is not there: `{}`", variables.join("`, `"))]
    MissingData {
        /// Which template.
        name: TemplateName,
        /// What it needs, in order.
        variables: Vec<String>,
    },
    /// The data is not a JSON object.
    #[error("the data of template `{name}` is not a JSON object")]
    NotAnObject {
        /// Which template.
        name: TemplateName,
    },
    /// Its source could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A source with its version: SHA-256 over engine, names and texts, each with its length before it, in order of names.
pub(super) fn source(engine: String, mut parts: Texts) -> TemplateSource {
    parts.sort();
    let mut hash = Sha256::new();
    let mut add = |text: &str| {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    };
    add(&engine);
    for (name, text) in &parts {
        add(name);
        add(text);
    }
    TemplateSource { version: hash.finalize().into(), engine, parts }
}

/// Parts and includes of a source, apart.
pub(super) fn split(parts: Texts) -> (Texts, Texts) {
    parts.into_iter().partition(|(name, _)| !is_include(name))
}

/// Not rendered by itself.
pub(super) fn is_include(name: &str) -> bool {
    name.starts_with('_')
}
