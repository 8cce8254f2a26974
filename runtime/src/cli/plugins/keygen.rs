//! `campanile plugins keygen`: a key to sign plugins with.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::cli::{Answer, Globals};
use crate::runtime::make_key;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Where to write the private key; nobody else can read it
    file: PathBuf,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let key = make_key(&args.file).map_err(|error| Failure::new(Exit::No, error))?;
    let file = args.file.display().to_string();
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", json!({ "key_file": file, "public_key": key.to_string() }))
    } else {
        format!(
            "the private key is in {}; keep it\nwho is to trust what it signs writes:\n\n[plugins]\ntrust = \
             \"require\"\ntrusted_keys = [\"{key}\"]\n",
            escaped(&file)
        )
    }))
}
