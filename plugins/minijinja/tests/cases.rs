//! Golden cases: each file in `cases/` is a template with data and what comes of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use campanile_plugin_sdk::{Part, RenderOptions, Template, TemplateEngine, TemplateProblem};
use minijinja::Minijinja;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    parts: BTreeMap<String, Lines>,
    #[serde(default)]
    includes: BTreeMap<String, Lines>,
    #[serde(default)]
    data: serde_json::Value,
    locale: Option<String>,
    #[serde(default)]
    lenient: bool,
    /// What the check finds: variables with whether they are required.
    variables: Option<BTreeMap<String, bool>>,
    /// What the check finds to be wrong.
    problems: Option<Vec<Problem>>,
    rendered: Option<BTreeMap<String, Lines>>,
    /// What rendering ends with.
    problem: Option<Problem>,
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
struct Problem {
    part: String,
    line: u32,
    column: u32,
    message: String,
}

impl From<TemplateProblem> for Problem {
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

fn parts(parts: &BTreeMap<String, Lines>) -> Vec<Part> {
    parts.iter().map(|(name, lines)| Part { name: name.clone(), value: lines.text() }).collect()
}

fn run(file: &Path) {
    let case: Case = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let template = Template { name: "case".to_owned(), parts: parts(&case.parts), includes: parts(&case.includes) };

    let check = Minijinja::check(&template);
    if let Some(expected) = case.variables {
        let info = check.as_ref().unwrap();
        let found: BTreeMap<_, _> = info.variables.iter().map(|v| (v.name.clone(), v.required)).collect();
        assert_eq!(found, expected, "{}: variables", file.display());
    }
    if let Some(expected) = case.problems {
        let found: Vec<Problem> = check.unwrap_err().into_iter().map(Into::into).collect();
        assert_eq!(found, expected, "{}: problems", file.display());
    }
    if case.rendered.is_none() && case.problem.is_none() {
        return;
    }

    let options = RenderOptions {
        locale: case.locale,
        now_ms: 1_772_357_400_000,
        strict: !case.lenient,
        ..RenderOptions::default()
    };
    let data = if case.data.is_null() { "{}".to_owned() } else { case.data.to_string() };
    match Minijinja::render(&template, &data, &options) {
        Ok(rendered) => {
            let found: BTreeMap<_, _> = rendered.into_iter().map(|part| (part.name, part.value)).collect();
            let expected = case.rendered.unwrap_or_default();
            let expected: BTreeMap<_, _> = expected.iter().map(|(name, lines)| (name.clone(), lines.text())).collect();
            assert_eq!(found, expected, "{}: rendered", file.display());
        }
        Err(problem) => assert_eq!(Some(Problem::from(problem)), case.problem, "{}: problem", file.display()),
    }
}

#[test]
fn every_case_comes_out_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    let failed: Vec<_> = files.iter().filter(|file| std::panic::catch_unwind(|| run(file)).is_err()).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
