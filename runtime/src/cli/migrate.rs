//! `campanile migrate`: the database at the version of this program.

use serde_json::json;

use super::failure::{Exit, Failure};
use super::terminal::escaped;
use super::upkeep::{self, Hints};
use super::{Answer, Globals};
use crate::domain::Actor;
use crate::runtime::{Migrated, STORE_VERSION, UpkeepError, migrate_store, store_version};

const HINTS: Hints = Hints { exists: "move it away", missing: "`campanile serve` makes it" };

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A server migrates when it starts. This does the same before, with the server stopped: the file as\n\
                        it was stays beside it as `campanile.db.vVERSION`.\n\n\
                        Exit codes: 0 up to date; 1 with --check, a migration is due."
)]
pub(super) struct Args {
    /// Only say whether a migration is due
    #[arg(long)]
    check: bool,
    /// Keep no copy of the file before
    #[arg(long, conflicts_with = "check")]
    no_backup: bool,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let store = globals.load()?.config.store;
    let refused = |error: UpkeepError| upkeep::refused(error, HINTS);
    let file = store.path.display().to_string();
    let from = store_version(&store).map_err(refused)?;
    let due = from.is_some_and(|from| from < STORE_VERSION);
    let done = match due && !args.check {
        true => Some(migrate_store(&store, !args.no_backup, Actor::Cli).map_err(refused)?),
        false => None,
    };
    let exit = if due && args.check { Exit::No } else { Exit::Ok };
    if globals.json {
        let kept = done.and_then(|done| done.kept).map(|kept| kept.display().to_string());
        let answer = json!({ "file": file, "from": from, "to": STORE_VERSION, "due": due && args.check, "kept": kept });
        return Ok(Answer { text: format!("{answer:#}\n"), talk: String::new(), exit });
    }
    let file = escaped(&file);
    let text = match (from, done) {
        (None, _) => format!("{file}: there is none yet, `campanile serve` makes it at version {STORE_VERSION}\n"),
        (Some(from), None) if due => {
            format!("{file}: version {from}, this program writes {STORE_VERSION}: a migration is due\n")
        }
        (Some(from), None) => format!("{file}: version {from}, up to date\n"),
        (Some(_), Some(Migrated { from, to, kept })) => {
            let kept =
                kept.map(|kept| format!("the file before is kept as {}\n", escaped(&kept.display().to_string())));
            format!("{file}: migrated from version {from} to {to}\n{}", kept.unwrap_or_default())
        }
    };
    Ok(Answer { text, talk: String::new(), exit })
}
