//! `campanile plugins add`: take a plugin into the folder.

use std::fmt::Write as _;

use serde_json::json;

use super::program;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::cli::{Answer, Globals};
use crate::config::Trust;
use crate::runtime::{AddRequest, Added, RegistryLogin, add_plugin};
use crate::telemetry::Redacted;

/// Names the registry's user, and its password outright or in a file.
const USER: &str = "CAMPANILE_REGISTRY_USER";
const PASSWORD: &str = "CAMPANILE_REGISTRY_PASSWORD";
const PASSWORD_FILE: &str = "CAMPANILE_REGISTRY_PASSWORD_FILE";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A file, a URL, or `oci://REGISTRY/NAME` with `:TAG` or `@sha256:…`
    source: String,
    /// Take it only if this is the file's SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
}

pub(super) async fn run(globals: &Globals, args: Args) -> Result<Answer, Failure> {
    let Args { source, sha256 } = args;
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if let Some(text) = sha256.as_ref().filter(|text| !is_hash(text)) {
        return Err(Failure::usage(format!("`--sha256` takes 64 hex digits, and `{text}` is none of that"))
            .hint("`sha256sum FILE` prints them, and so does `campanile plugins inspect FILE`"));
    }
    let plugins = globals.load()?.config.plugins;
    let login = if source.starts_with("oci://") { login(|name| std::env::var(name).ok())? } else { None };
    let request = AddRequest { source, sha256: sha256.map(|text| text.to_lowercase()), login, compiler: program() };
    let added = Box::pin(add_plugin(&plugins, &request)).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("`{}` was not added", request.source));
        Failure::new(Exit::No, error)
    })?;
    Ok(Answer::ok(if globals.json { to_json(&added) } else { show(&added, plugins.trust) }))
}

/// Who asks a registry, as the variables of the process say it.
pub(super) fn login(variable: impl Fn(&str) -> Option<String>) -> Result<Option<RegistryLogin>, Failure> {
    let Some(user) = variable(USER) else { return Ok(None) };
    let password = match (variable(PASSWORD), variable(PASSWORD_FILE)) {
        (Some(password), _) => password,
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                Failure::usage(format!("`{PASSWORD_FILE}` names `{path}`, which cannot be read: {error}"))
                    .hint(format!("let this user read it, or set `{PASSWORD}`"))
            })?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) => {
            return Err(Failure::usage(format!("`{USER}` is set, and neither `{PASSWORD}` nor `{PASSWORD_FILE}` is"))
                .hint(format!("set one of them, or unset `{USER}` to ask the registry without a login")));
        }
    };
    Ok(Some(RegistryLogin { user, password: Redacted::new(password) }))
}

fn to_json(added: &Added) -> String {
    let Added { file, entry, already, trusted, warnings } = added;
    let value = json!({
        "name": entry.name, "version": entry.version, "source": entry.source, "sha256": entry.sha256,
        "digest": entry.digest, "signed_by": entry.signed_by, "trusted": trusted, "already": already,
        "file": file.display().to_string(), "warnings": warnings,
    });
    format!("{value:#}\n")
}

fn show(added: &Added, trust: Trust) -> String {
    let Added { file, entry, already, trusted, warnings } = added;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<10}{}", escaped(value));
    };
    line(if *already { "already" } else { "added" }, &format!("{} {}", entry.name, entry.version));
    line("file", &file.display().to_string());
    line("from", &entry.source);
    line("sha256", &entry.sha256);
    if let Some(digest) = &entry.digest {
        line("digest", digest);
    }
    let judged = match (trusted, trust) {
        (true, _) => "trusted",
        (false, Trust::Off) => "not looked at: `[plugins] trust = \"off\"`",
        (false, Trust::Warn | Trust::Require) => "not trusted",
    };
    line("signed", &entry.signed_by.as_ref().map_or("no".to_owned(), |key| format!("by {key} ({judged})")));
    for warning in warnings {
        line("warning", warning);
    }
    text
}
