//! `campanile plugins build`: makes the component of a project with the tools of its language.

mod manifest;
mod toolchain;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::new::Language;
use super::program;
use crate::cli::failure::{Exit, Failure};
use crate::cli::{Answer, Globals};
use crate::config::format_size;
use crate::runtime::{Inspection, inspect_plugin};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Folder of the project
    #[arg(default_value = ".")]
    dir: PathBuf,
}

const HINT: &str = "name the folder of a project, or make one with `campanile plugins new NAME --lang rust|js|python`";

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let dir = fs::canonicalize(&args.dir)
        .map_err(|_| Failure::usage(format!("there is no folder `{}`", args.dir.display())).hint(HINT))?;
    let language = language_of(&dir)?;
    let made = match language {
        Language::Rust => toolchain::rust(&dir)?,
        Language::Js => toolchain::js(&dir)?,
        Language::Python => toolchain::python(&dir)?,
    };
    let inspected = Box::pin(inspect_plugin(&made, program().as_deref())).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("what was built, `{}`, is no plugin", made.display()));
        Failure::new(Exit::No, error)
    })?;
    let file = put(&dir, &made, &inspected)?;
    Ok(Answer::ok(if globals.json {
        json_of(&file, language, &inspected)
    } else {
        let Inspection { size, sha256, contract, imports, descriptor, .. } = &inspected;
        let shown = file.strip_prefix(&dir).unwrap_or(&file).display().to_string();
        format!(
            "built    {shown}\nplugin   {}\nsize     {}\nsha256   {sha256}\ncontract {contract}\nimports  {}\n",
            descriptor.version,
            format_size(*size),
            if imports.is_empty() { "nothing".to_owned() } else { imports.join(", ") },
        )
    }))
}

/// What the project is written in, by the file its tools need.
fn language_of(dir: &Path) -> Result<Language, Failure> {
    let signs =
        [("Cargo.toml", Language::Rust), ("package.json", Language::Js), ("requirements.txt", Language::Python)];
    let found = signs.into_iter().find(|(sign, _)| dir.join(sign).is_file());
    found.map(|(_, language)| language).ok_or_else(|| {
        let message = format!(
            "`{}` is no project of a plugin: it has neither Cargo.toml nor package.json nor requirements.txt",
            dir.display()
        );
        Failure::usage(message).hint(HINT)
    })
}

/// Puts the component into `dist/`, under the name it gives itself: that is the name its file is to have.
fn put(dir: &Path, made: &Path, inspected: &Inspection) -> Result<PathBuf, Failure> {
    let dist = dist_in(dir)?;
    let file = dist.join(format!("{}.wasm", inspected.descriptor.version.name));
    if made.parent() == Some(&dist) { fs::rename(made, &file) } else { fs::copy(made, &file).map(|_| ()) }
        .map_err(|error| unwritable(&file, error))?;
    Ok(file)
}

/// The folder that components are put into; made where it is not there.
fn dist_in(dir: &Path) -> Result<PathBuf, Failure> {
    let dist = dir.join("dist");
    fs::create_dir_all(&dist).map_err(|error| unwritable(&dist, error))?;
    Ok(dist)
}

/// The place is why nothing is built, and not this program.
fn unwritable(path: &Path, error: io::Error) -> Failure {
    Failure::new(Exit::No, anyhow::Error::new(error).context(format!("`{}` cannot be written", path.display())))
        .hint("see that this user may write in the project's folder, and that nothing else has that name")
}

fn json_of(file: &Path, language: Language, inspected: &Inspection) -> String {
    let Inspection { size, sha256, contract, imports, descriptor, .. } = inspected;
    let value = json!({
        "file": file.display().to_string(), "lang": language.as_str(), "name": descriptor.version.name.as_str(),
        "version": descriptor.version.version.to_string(), "size": size, "sha256": sha256.to_string(),
        "contract": contract.to_string(), "imports": imports,
    });
    format!("{value:#}\n")
}

/// The component that the project in `dir` was built to; none: it was not.
pub(super) fn built_in(dir: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(dir.join("dist")).ok()?;
    let mut files: Vec<_> = entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    // The newest: a plugin that was renamed leaves its old file behind.
    files.into_iter().max_by_key(|path| fs::metadata(path).and_then(|it| it.modified()).ok())
}
