//! `campanile restore`: a backup in the place of the database.

use std::path::PathBuf;

use serde_json::json;

use super::failure::Failure;
use super::terminal::escaped;
use super::upkeep::{self, Hints};
use super::{Answer, Globals};
use crate::domain::Actor;
use crate::runtime::{STORE_VERSION, restore_store};

const HINTS: Hints = Hints {
    exists: "say `--yes` to replace it: it is kept beside the new one",
    missing: "name a file that `campanile backup` has written",
};

#[derive(Debug, clap::Args)]
#[command(after_help = "The server has to be stopped. The database that is there is kept beside the new one, as\n\
                        `campanile.db.before-restore-TIME`. What was delivered after the backup is delivered again.")]
pub(super) struct Args {
    /// What `campanile backup` has written
    file: PathBuf,
    /// Replace the database that is there
    #[arg(long)]
    yes: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let store = globals.load()?.config.store;
    let restored =
        restore_store(&store, &args.file, args.yes, Actor::Cli).map_err(|error| upkeep::refused(error, HINTS))?;
    let kept = restored.kept.map(|kept| kept.display().to_string());
    if globals.json {
        let mut answer = upkeep::json_of(&store.path, &restored.copied);
        answer["kept"] = json!(kept);
        return Ok(Answer::ok(format!("{answer:#}\n")));
    }
    let mut text = upkeep::text_of(&store.path, &restored.copied);
    if let Some(kept) = kept {
        text.push_str(&format!("the database before is kept as {}\n", escaped(&kept)));
    }
    if restored.copied.version < STORE_VERSION {
        text.push_str(&format!("the next start migrates it to version {STORE_VERSION}\n"));
    }
    Ok(Answer::ok(text))
}
