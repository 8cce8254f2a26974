//! `campanile plugins`: one file for each subcommand.

mod add;
mod build;
mod check;
mod compile;
mod example;
mod inspect;
mod keygen;
mod list;
mod new;
mod operate;
#[cfg(test)]
mod refusals;
mod remove;
mod sign;
mod test;

pub(super) use compile::program;

use std::path::Path;

use super::failure::Failure;
use super::{Answer, Globals};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the plugins of a running server
    List,
    /// Let a plugin be called again that failed too often: what waits for it is delivered
    Release(operate::Args),
    /// Let a plugin have what a held version of it asks for
    Approve(operate::Args),
    /// Show what a plugin file is: needs no server
    Inspect(inspect::Args),
    /// Take a plugin into the folder: from a file, a URL or a registry
    Add(add::Args),
    /// Take a plugin out of the folder
    Remove(remove::Args),
    /// Sign a plugin file for others to trust
    Sign(sign::Args),
    /// Make a key to sign plugins with
    Keygen(keygen::Args),
    /// Compile what comes over standard input; a server calls this
    #[command(hide = true)]
    Compile,
    /// Make a project that builds and passes its tests
    New(new::Args),
    /// Build the project in a folder to `dist/NAME.wasm`
    Build(build::Args),
    /// Hold a plugin to golden cases and to every answer a provider can give: nothing leaves the machine
    Test(test::Args),
    /// Look a plugin file over: contract, permissions, cost, what it makes of hostile input
    Check(check::Args),
}

impl Command {
    /// Whether it calls a plugin many times over, to see what it does.
    pub(super) const fn tries(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Test(_))
    }
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::List => list::run(globals).await,
        Command::Release(args) => operate::release(globals, &args).await,
        Command::Approve(args) => operate::approve(globals, &args).await,
        Command::Compile => compile::run(),
        Command::Inspect(args) => inspect::run(globals, &args).await,
        Command::Add(args) => add::run(globals, args).await,
        Command::Remove(args) => remove::run(globals, &args),
        Command::Sign(args) => sign::run(globals, &args),
        Command::Keygen(args) => keygen::run(globals, &args),
        Command::New(args) => new::run(globals, &args),
        Command::Build(args) => build::run(globals, &args).await,
        Command::Test(args) => test::run(globals, &args).await,
        Command::Check(args) => check::run(globals, &args).await,
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
