//! `campanile backup`: a copy of the database, also while a server runs.

use std::path::PathBuf;

use super::failure::Failure;
use super::upkeep::{self, Hints};
use super::{Answer, Globals};
use crate::domain::Actor;
use crate::runtime::backup_store;

const HINTS: Hints = Hints {
    exists: "name another file, or replace it with `--force`",
    missing: "name the configuration of the server with `--config`, or run this in its folder: `[store] url` is looked for \
              from there",
};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The copy is the state of one instant; it is checked before it gets its name, and nobody else can\n\
                        read it. Plugins, templates and the configuration are files of their own: copy them too."
)]
pub(super) struct Args {
    /// Where to write the copy
    file: PathBuf,
    /// Replace FILE if it is there
    #[arg(long)]
    force: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let store = globals.load()?.config.store;
    let copied =
        backup_store(&store, &args.file, args.force, Actor::Cli).map_err(|error| upkeep::refused(error, HINTS))?;
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", upkeep::json_of(&args.file, &copied))
    } else {
        upkeep::text_of(&args.file, &copied)
    }))
}
