//! `campanile plugins inspect`: what a plugin file is, without a server.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::there;
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::escaped;
use crate::cli::{Answer, Globals};
use crate::config::format_size;
use crate::runtime::{Inspection, Role, inspect_plugin};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A `.wasm` file
    file: PathBuf,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let file = there(&args.file)?;
    let inspected = Box::pin(inspect_plugin(file)).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("`{}` is no plugin to load", file.display()));
        Failure::new(Exit::No, error)
    })?;
    Ok(Answer::ok(if globals.json { inspection_json(&inspected) } else { show_inspection(&inspected) }))
}

fn show_inspection(inspection: &Inspection) -> String {
    let Inspection { size, sha256, contract, imports, exports, descriptor } = inspection;
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{key:<10}{}", escaped(value));
    };
    line("plugin", &descriptor.version.to_string());
    line("kind", descriptor.role.as_str());
    line("summary", &descriptor.summary);
    for (key, value) in [("homepage", &descriptor.homepage), ("license", &descriptor.license)] {
        if let Some(value) = value {
            line(key, value);
        }
    }
    match &descriptor.role {
        Role::Channel(channel) => {
            line("address", channel.address.as_ref().map_or("none", |address| &address.kind));
            line("features", &channel.features.join(", "));
        }
        Role::TemplateEngine(engine) => line("files", &engine.extensions.join(", ")),
    }
    for need in &descriptor.needs {
        let must = if need.required { "required" } else { "optional" };
        line("needs", &format!("{} ({must}) {}: {}", need.capability, need.scope.join(", "), need.reason));
    }
    line("contract", &contract.to_string());
    line("size", &format_size(*size));
    line("sha256", &sha256.to_string());
    line("schema", &descriptor.config_schema.to_string());
    for import in imports {
        line("import", import);
    }
    for export in exports {
        line("export", export);
    }
    text
}

fn inspection_json(inspection: &Inspection) -> String {
    let Inspection { size, sha256, contract, imports, exports, descriptor } = inspection;
    let needs: Vec<_> = descriptor
        .needs
        .iter()
        .map(|need| {
            json!({ "capability": need.capability, "scope": need.scope, "required": need.required, "reason": need.reason })
        })
        .collect();
    let value = json!({
        "name": descriptor.version.name.as_str(), "version": descriptor.version.version.to_string(),
        "kind": descriptor.role.as_str(), "summary": descriptor.summary, "homepage": descriptor.homepage,
        "license": descriptor.license, "needs": needs, "config_schema": descriptor.config_schema,
        "contract": contract.to_string(), "size": size, "sha256": sha256.to_string(),
        "imports": imports, "exports": exports,
    });
    format!("{value:#}\n")
}
