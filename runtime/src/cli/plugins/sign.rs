//! `campanile plugins sign`: vouch for a plugin file.

use std::path::PathBuf;

use serde_json::json;

use super::there;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::cli::{Answer, Globals};
use crate::runtime::sign_plugin;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A `.wasm` file
    file: PathBuf,
    /// The private key, as `plugins keygen` makes one
    #[arg(long, value_name = "KEYFILE")]
    key: PathBuf,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let file = there(&args.file)?;
    let (path, key) = sign_plugin(file, &args.key).map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("`{}` was not signed", file.display()));
        Failure::new(Exit::No, error)
    })?;
    let path = path.display().to_string();
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", json!({ "signature_file": path, "public_key": key.to_string() }))
    } else {
        format!("signed with {key}: {}\n", escaped(&path))
    }))
}
