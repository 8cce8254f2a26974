//! Golden cases of template engines. `cases.md` says how they are written.

use std::{collections::BTreeMap, fs, path::Path};

use serde::Deserialize;
use serde_json::Value;

use super::{NOW_MS, cases::paths};
use crate::{Part, RenderOptions, Template, TemplateEngine, TemplateProblem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default, rename = "about")]
    _about: String,
    parts: BTreeMap<String, Lines>,
    #[serde(default)]
    includes: BTreeMap<String, Lines>,
    data: Option<Value>,
    now_ms: Option<u64>,
    locale: Option<String>,
    #[serde(default)]
    lenient: bool,
    variables: Option<BTreeMap<String, bool>>,
    problems: Option<Vec<ProblemOfCase>>,
    rendered: Option<BTreeMap<String, Lines>>,
    problem: Option<ProblemOfCase>,
}

/// Text, by lines where it has several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProblemOfCase {
    part: String,
    line: u32,
    column: u32,
    message: String,
}

impl From<TemplateProblem> for ProblemOfCase {
    fn from(TemplateProblem { part, line, column, message }: TemplateProblem) -> Self {
        Self { part, line, column, message }
    }
}

impl Lines {
    fn text(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(lines) => lines.join("\n"),
        }
    }
}

fn texts(lines: &BTreeMap<String, Lines>) -> BTreeMap<String, String> {
    lines.iter().map(|(name, lines)| (name.clone(), lines.text())).collect()
}

fn parts(lines: &BTreeMap<String, Lines>) -> Vec<Part> {
    texts(lines).into_iter().map(|(name, value)| Part { name, value }).collect()
}

/// Runs every `*.json` in `folder` through engine `E`; answers how many there were.
///
/// # Panics
///
/// The folder holds no case, a case cannot be read, or one ends otherwise than it says: the message names all that do.
pub fn run_template_cases<E: TemplateEngine>(folder: impl AsRef<Path>) -> usize {
    let paths = paths(folder.as_ref());
    let failures: Vec<String> =
        paths.iter().filter_map(|path| Some(format!("{}: {}", path.display(), run_case::<E>(path).err()?))).collect();
    assert!(failures.is_empty(), "{} of {} cases failed\n\n{}", failures.len(), paths.len(), failures.join("\n\n"));
    paths.len()
}

fn run_case<E: TemplateEngine>(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    let case: Case = serde_json::from_str(&text).map_err(|error| format!("is no case: {error}"))?;
    let template = Template { name: "test".to_owned(), parts: parts(&case.parts), includes: parts(&case.includes) };

    let check = E::check(&template).map(|info| info.variables.into_iter().map(|it| (it.name, it.required)).collect());
    let check = check.map_err(|problems| problems.into_iter().map(ProblemOfCase::from).collect::<Vec<_>>());
    if let Some(variables) = case.variables {
        same("the check", &Ok(variables), &check)?;
    } else if let Some(problems) = case.problems {
        same("the check", &Err(problems), &check)?;
    }
    let wanted = match (case.rendered, case.problem) {
        (Some(rendered), None) => Ok(texts(&rendered)),
        (None, Some(problem)) => Err(problem),
        (None, None) => return Ok(()),
        (Some(_), Some(_)) => return Err("a case has `rendered` or `problem`, not both".to_owned()),
    };
    let options = RenderOptions {
        locale: case.locale,
        now_ms: case.now_ms.unwrap_or(NOW_MS),
        strict: !case.lenient,
        ..RenderOptions::default()
    };
    let data = case.data.map_or_else(|| "{}".to_owned(), |data| data.to_string());
    let rendered = E::render(&template, &data, &options).map_err(ProblemOfCase::from);
    let rendered = rendered.map(|parts| parts.into_iter().map(|part| (part.name, part.value)).collect());
    same("rendering", &wanted, &rendered)
}

fn same<T: std::fmt::Debug + PartialEq>(what: &str, wanted: &T, got: &T) -> Result<(), String> {
    if got == wanted { Ok(()) } else { Err(format!("{what}\n  expected: {wanted:?}\n       got: {got:?}")) }
}
