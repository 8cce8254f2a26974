//! Golden cases of a template engine: one template each, checked and rendered. `plugin-sdk/src/testing/cases.md` says how
//! they are written; the SDK's `testing::template_cases` reads the same.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use super::case::{NOW_MS, no_case, unread};
use super::word;
use crate::config::CallLimits;
use crate::domain::Timestamp;
use crate::runtime::{RenderCall, RenderFailure, TemplateCheckError, TemplateProblem, Workpiece};

/// What cases call the template.
const TEMPLATE: &str = "test";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
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
    problems: Option<Vec<WrittenProblem>>,
    rendered: Option<BTreeMap<String, Lines>>,
    problem: Option<WrittenProblem>,
}

/// Text, by lines where it has several.
#[derive(Deserialize)]
#[serde(untagged)]
enum Lines {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenProblem {
    part: String,
    line: u32,
    column: u32,
    message: String,
}

impl From<TemplateProblem> for WrittenProblem {
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

fn texts<T: FromIterator<(String, String)>>(lines: &BTreeMap<String, Lines>) -> T {
    lines.iter().map(|(name, lines)| (name.clone(), lines.text())).collect()
}

impl Case {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(path).map_err(|error| unread(&error))?;
        serde_json::from_str(&text).map_err(|error| no_case(&error))
    }

    /// What is wrong with it; none: nothing.
    pub(super) async fn run(self, workpiece: &Workpiece, limits: CallLimits) -> Option<String> {
        let call = RenderCall {
            engine: workpiece.inspection().descriptor.version.name.clone(),
            template: TEMPLATE.to_owned(),
            parts: Arc::new(texts(&self.parts)),
            includes: Arc::new(texts(&self.includes)),
            data: self.data.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string),
            locale: self.locale.clone(),
            time_zone: None,
            strict: !self.lenient,
            now: Timestamp::from_millis(self.now_ms.unwrap_or(NOW_MS)),
        };
        match self.checked(workpiece, &call, &limits).await {
            Ok(()) => self.rendered(workpiece, &call, &limits).await.err(),
            Err(problem) => Some(problem),
        }
    }

    async fn checked(&self, workpiece: &Workpiece, call: &RenderCall, limits: &CallLimits) -> Result<(), String> {
        let got = match workpiece.check_template(call, limits).await {
            Ok(variables) => Ok(variables.into_iter().map(|it| (it.name, it.required)).collect::<BTreeMap<_, _>>()),
            Err(TemplateCheckError::Problems(found)) => Err(found.into_iter().map(WrittenProblem::from).collect()),
            Err(error @ TemplateCheckError::Engine { .. }) => return Err(error.to_string()),
        };
        match (&self.variables, &self.problems) {
            (Some(variables), None) => same("the check", &Ok(variables), &got.as_ref()),
            (None, Some(problems)) => same("the check", &Err(problems), &got.as_ref()),
            (None, None) => Ok(()),
            (Some(_), Some(_)) => {
                Err("a case has `variables` or `problems`, and this one has both: leave one out".to_owned())
            }
        }
    }

    async fn rendered(&self, workpiece: &Workpiece, call: &RenderCall, limits: &CallLimits) -> Result<(), String> {
        let wanted: Result<BTreeMap<_, _>, _> = match (&self.rendered, &self.problem) {
            (Some(rendered), None) => Ok(texts(rendered)),
            (None, Some(problem)) => Err(problem),
            (None, None) => return Ok(()),
            (Some(_), Some(_)) => {
                return Err("a case has `rendered` or `problem`, and this one has both: leave one out".to_owned());
            }
        };
        let got: Result<BTreeMap<_, _>, _> = match workpiece.render_template(call, limits).await {
            Ok(parts) => Ok(parts.into_iter().collect()),
            Err(RenderFailure::Problem(problem)) => Err(WrittenProblem::from(problem)),
            Err(failure) => return Err(word(&failure.into_end().0)),
        };
        same("rendering", &wanted.as_ref().map_err(|problem| *problem), &got.as_ref())
    }
}

fn same<T: Debug + PartialEq>(what: &str, wanted: &T, got: &T) -> Result<(), String> {
    if wanted == got { Ok(()) } else { Err(super::case::differs(what, &format!("{wanted:?}"), &format!("{got:?}"))) }
}
