//! `campanile plugins`: one file for each subcommand.

mod inspect;
mod list;

use std::path::Path;

use super::failure::Failure;
use super::{Answer, Globals};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the plugins of a running server
    List,
    /// Show what a plugin file is: needs no server
    Inspect(inspect::Args),
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::List => list::run(globals).await,
        Command::Inspect(args) => inspect::run(globals, &args).await,
    }
}

/// The file, if there is one of that name.
fn there(file: &Path) -> Result<&Path, Failure> {
    if file.exists() {
        return Ok(file);
    }
    let hint = "name a `.wasm` file: the bundled ones lie in `plugins/` beside the program";
    Err(Failure::usage(format!("there is no file `{}`", file.display())).hint(hint))
}
