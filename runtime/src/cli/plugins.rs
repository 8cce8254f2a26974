//! `campanile plugins`: what is loaded, and what a file would be.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::json;

use super::client::Client;
use super::client::wire::{Plugin, Plugins};
use super::failure::{Exit, Failure};
use super::table::{Cell, Table};
use super::terminal::{Paint, escaped};
use super::{Answer, Globals};
use crate::config::format_size;
use crate::runtime::{Inspection, Role, inspect_plugin};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the plugins of a running server
    List,
    /// Show what a plugin file is: needs no server
    Inspect {
        /// A `.wasm` file
        file: PathBuf,
    },
}

pub(super) async fn run(globals: &Globals, command: Command) -> Result<Answer, Failure> {
    match command {
        Command::List => list(globals).await,
        Command::Inspect { file } => {
            if !file.exists() {
                let hint = "name a `.wasm` file: the bundled ones lie in `plugins/` beside the program";
                return Err(Failure::usage(format!("there is no file `{}`", file.display())).hint(hint));
            }
            let inspected = Box::pin(inspect_plugin(&file)).await.map_err(|error| {
                let error = anyhow::Error::new(error).context(format!("`{}` is no plugin to load", file.display()));
                Failure::new(Exit::No, error)
            })?;
            Ok(Answer::ok(if globals.json { inspection_json(&inspected) } else { show_inspection(&inspected) }))
        }
    }
}

async fn list(globals: &Globals) -> Result<Answer, Failure> {
    let answered = Client::new(globals)?.get::<Plugins>(&["plugins"], None).await?;
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show(&answered.value.plugins, globals.paint_stdout())
    }))
}

fn show(plugins: &[Plugin], paint: Paint) -> String {
    if plugins.is_empty() {
        return "no plugins\n".to_owned();
    }
    let mut table = Table::new(["NAME", "VERSION", "KIND", "SOURCE", "FILE", "SIZE", "STATE", "CHANNELS", "REASON"]);
    for plugin in plugins {
        let Plugin { name, version, kind, source, file, size, state, reason, channels } = plugin;
        table.row([
            Cell::or_dash(name.as_deref()),
            Cell::or_dash(version.as_deref()),
            Cell::or_dash(kind.as_deref()),
            source.as_str().into(),
            file.as_str().into(),
            format_size(*size).into(),
            Cell::status(state),
            Cell::or_dash(Some(&channels.join(", "))),
            Cell::or_dash(reason.as_deref()),
        ]);
    }
    table.render(paint, 0)
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

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn plugins_are_a_table_and_a_refused_one_says_why() {
        let answer = json!({ "plugins": [
            { "name": "slack", "version": "0.1.0", "kind": "channel", "source": "own", "file": "slack.wasm",
              "sha256": "00", "size": 81920, "state": "serving", "channels": ["ops", "dev"], "since": "x" },
            { "name": null, "version": null, "kind": null, "source": "own", "file": "odd.wasm", "sha256": null,
              "size": 12, "state": "refused", "reason": "it is text, not WebAssembly", "channels": [], "since": "x" },
        ]});
        let plugins: Plugins = serde_json::from_value(answer).expect("the shape of `GET /v1/plugins`");
        assert_snapshot!(show(&plugins.plugins, Paint::Off), @r#"
        NAME   VERSION  KIND     SOURCE  FILE        SIZE   STATE    CHANNELS  REASON
        slack  0.1.0    channel  own     slack.wasm  80KiB  serving  ops, dev  -
        -      -        -        own     odd.wasm    12B    refused  -         it is text, not WebAssembly
        "#);
        assert_eq!(show(&[], Paint::Off), "no plugins\n");
    }
}
