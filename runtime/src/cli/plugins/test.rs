//! `campanile plugins test`: a component against golden cases and every answer a provider can give, in the real sandbox.

mod case;
mod matrix;
mod meaning;
mod template;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::build::built_in;
use super::{example, program};
use crate::cli::failure::{Exit, Failure};
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Paint, escaped};
use crate::cli::{Answer, Globals};
use crate::config::CallLimits;
use crate::runtime::{Role, Workpiece};

pub(super) use case::{call, letter, paths, read_object};
pub(super) use meaning::{meaning, word};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A `.wasm` file, or the folder of a project that was built
    #[arg(default_value = ".")]
    place: PathBuf,
    /// Folder of the cases [default: `cases` in the project]
    #[arg(long, value_name = "DIR")]
    cases: Option<PathBuf>,
}

/// What `plugins test` found.
struct Verdicts {
    cases: Vec<(String, Option<String>)>,
    matrix: Vec<matrix::Row>,
    /// Why there is no matrix.
    no_matrix: Option<String>,
}

impl Verdicts {
    fn passed(&self) -> bool {
        self.cases.iter().all(|(_, problem)| problem.is_none()) && self.matrix.iter().all(|row| row.problem.is_none())
    }
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let (file, folder) = places(args)?;
    let workpiece = open(&file).await?;
    let limits = limits_of(globals)?;
    let paths = match &folder {
        Some(folder) => paths(folder)?,
        None => Vec::new(),
    };
    let verdicts = match workpiece.inspection().descriptor.role {
        Role::Channel(_) => Box::pin(channel(&workpiece, &paths, folder.as_deref(), limits)).await?,
        Role::TemplateEngine(_) => Box::pin(engine(&workpiece, &paths, limits)).await,
    };
    let text =
        if globals.json { json_of(&workpiece, &verdicts) } else { show(&workpiece, &verdicts, globals.paint_stdout()) };
    Ok(Answer::ended(text, if verdicts.passed() { Exit::Ok } else { Exit::No }))
}

async fn channel(
    workpiece: &Workpiece,
    paths: &[PathBuf],
    folder: Option<&Path>,
    limits: CallLimits,
) -> Result<Verdicts, Failure> {
    let mut cases = Vec::new();
    let mut config = None;
    for path in paths {
        let problem = match case::Case::read(path) {
            Ok(case) => {
                config.get_or_insert_with(|| case.config().clone());
                Box::pin(case.run(workpiece, limits)).await
            }
            Err(error) => Some(error),
        };
        cases.push((name_of(path), problem));
    }
    let plan = matrix::Plan::read(folder).map_err(Failure::usage)?;
    let config = plan.config.clone().or(config).map_or_else(|| example::config(workpiece), Ok);
    let (matrix, no_matrix) = match config {
        Ok(config) => match Box::pin(matrix::run(workpiece, &config, &plan, limits)).await {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        },
        Err(error) => (Vec::new(), Some(error)),
    };
    Ok(Verdicts { cases, matrix, no_matrix })
}

/// An engine asks no provider, so there is no matrix.
async fn engine(workpiece: &Workpiece, paths: &[PathBuf], limits: CallLimits) -> Verdicts {
    let mut cases = Vec::new();
    for path in paths {
        let problem = match template::Case::read(path) {
            Ok(case) => Box::pin(case.run(workpiece, limits)).await,
            Err(error) => Some(error),
        };
        cases.push((name_of(path), problem));
    }
    Verdicts { cases, matrix: Vec::new(), no_matrix: None }
}

fn name_of(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The component, and the folder of its cases if there is one.
fn places(args: &Args) -> Result<(PathBuf, Option<PathBuf>), Failure> {
    if let Some(cases) = args.cases.as_ref().filter(|cases| !cases.is_dir()) {
        return Err(Failure::usage(format!("there is no folder `{}`", cases.display())).hint(case::FOLDER_HINT));
    }
    if !args.place.is_dir() {
        return Ok((super::there(&args.place)?.to_owned(), args.cases.clone()));
    }
    let file = built_in(&args.place).ok_or_else(|| {
        let message = format!("there is no component in `{}`", args.place.join("dist").display());
        Failure::usage(message).hint("build it first: campanile plugins build")
    })?;
    let own = args.place.join("cases");
    Ok((file, args.cases.clone().or_else(|| own.is_dir().then_some(own))))
}

pub(super) async fn open(file: &Path) -> Result<Workpiece, Failure> {
    Box::pin(Workpiece::open(file, program().as_deref())).await.map_err(|error| {
        Failure::new(Exit::No, anyhow::Error::new(error).context(format!("`{}` is no plugin to load", file.display())))
    })
}

/// What a channel may use where nobody says otherwise: `[plugins.defaults]`.
pub(super) fn limits_of(globals: &Globals) -> Result<CallLimits, Failure> {
    Ok(globals.load()?.config.plugins.defaults)
}

fn show(workpiece: &Workpiece, verdicts: &Verdicts, paint: Paint) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(text, "{}", workpiece.inspection().descriptor.version);
    for (name, problem) in &verdicts.cases {
        let _ = match problem {
            None => writeln!(text, "  ok    case {}", escaped(name)),
            Some(problem) => {
                let indented = problem.lines().map(escaped).collect::<Vec<_>>().join("\n          ");
                writeln!(text, "  FAIL  case {}: {indented}", escaped(name))
            }
        };
    }
    if verdicts.cases.is_empty() {
        text.push_str("  no cases: put golden cases into `cases/`, or name their folder with `--cases`\n");
    }
    if let Some(reason) = &verdicts.no_matrix {
        let _ = writeln!(text, "  no matrix: {}", escaped(reason));
    }
    if !verdicts.matrix.is_empty() {
        let mut table = Table::new(["ANSWER", "MEANS", "PROBLEM"]);
        for row in &verdicts.matrix {
            table.row([row.answer.into(), row.word.as_str().into(), Cell::or_dash(row.problem.as_deref())]);
        }
        text.push_str(&table.render(paint, 2));
    }
    let failed = verdicts.cases.iter().filter(|(_, problem)| problem.is_some()).count()
        + verdicts.matrix.iter().filter(|row| row.problem.is_some()).count();
    let _ = match failed {
        0 if verdicts.cases.is_empty() => {
            writeln!(text, "nothing failed: {} answers, and no case says what is right", verdicts.matrix.len())
        }
        0 => writeln!(text, "passed: {} cases, {} answers", verdicts.cases.len(), verdicts.matrix.len()),
        failed => writeln!(text, "failed: {failed}"),
    };
    text
}

fn json_of(workpiece: &Workpiece, verdicts: &Verdicts) -> String {
    let inspection = workpiece.inspection();
    let cases: Vec<_> = verdicts
        .cases
        .iter()
        .map(|(name, problem)| json!({ "name": name, "passed": problem.is_none(), "problem": problem }))
        .collect();
    let matrix: Vec<_> = verdicts
        .matrix
        .iter()
        .map(|row| {
            json!({
                "answer": row.answer, "means": row.word, "outcome": row.outcome, "requests": row.requests,
                "passed": row.problem.is_none(), "problem": row.problem,
            })
        })
        .collect();
    let value = json!({
        "name": inspection.descriptor.version.name.as_str(), "version": inspection.descriptor.version.version.to_string(),
        "sha256": inspection.sha256.to_string(), "passed": verdicts.passed(), "cases": cases, "matrix": matrix,
        "no_matrix": verdicts.no_matrix,
    });
    format!("{value:#}\n")
}

/// A JSON object, or what is wrong with it.
fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err("is not a JSON object: write `{ \"KEY\": VALUE }`".to_owned()),
    }
}
