//! `campanile plugins inspect`: what a plugin file is, without a server.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::{program, there};
use crate::cli::failure::{Exit, Failure};
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::{Paint, escaped};
use crate::cli::{Answer, Globals};
use crate::config::format_size;
use crate::runtime::{Inspection, Role, SecretKey, inspect_plugin};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A `.wasm` file
    file: PathBuf,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let file = there(&args.file)?;
    let inspected = Box::pin(inspect_plugin(file, program().as_deref())).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("`{}` is no plugin to load", file.display()));
        Failure::new(Exit::No, error)
    })?;
    Ok(Answer::ok(if globals.json {
        inspection_json(&inspected)
    } else {
        show_inspection(&inspected, globals.paint_stdout())
    }))
}

fn show_inspection(inspection: &Inspection, paint: Paint) -> String {
    let Inspection { size, sha256, contract, imports, exports, stack_bytes, descriptor } = inspection;
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
    for secret in &descriptor.secrets {
        line("secret", &format!("{} (placed: {})", secret.pointer, placed(secret).join(", ")));
    }
    line("contract", &contract.to_string());
    line("size", &format_size(*size));
    if let Some(bytes) = stack_bytes {
        line("stack", &format_size(*bytes));
    }
    line("sha256", &sha256.to_string());
    for import in imports {
        line("import", import);
    }
    for export in exports {
        line("export", export);
    }
    let keys = config_keys(inspection);
    if !keys.is_empty() {
        text.push_str("\nconfig\n");
        let mut table = Table::new(["KEY", "TYPE", "NEEDED", "DEFAULT", "IS"]);
        for ConfigKey { name, kind, required, secret, default, words } in keys {
            let needed = if required { "yes" } else { "no" };
            let kind = if secret { format!("{kind}, secret") } else { kind };
            table.row([
                name.into(),
                kind.into(),
                needed.into(),
                Cell::or_dash(default.map(|default| default.to_string()).as_deref()),
                Cell::or_dash(words.as_deref()),
            ]);
        }
        text.push_str(&table.render(paint, 2));
    }
    text
}

/// A key of the config, as the schema has it on its first level.
struct ConfigKey {
    name: String,
    kind: String,
    required: bool,
    secret: bool,
    default: Option<Value>,
    words: Option<String>,
}

fn config_keys(inspection: &Inspection) -> Vec<ConfigKey> {
    let schema = &inspection.descriptor.config_schema;
    let required: Vec<_> = schema.get("required").and_then(Value::as_array).into_iter().flatten().collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let key = |(name, property): (&String, &Value)| {
        let choices = property.get("enum").and_then(Value::as_array);
        let choices = choices.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "));
        let kind = property.get("type").and_then(Value::as_str).map(str::to_owned);
        ConfigKey {
            name: name.clone(),
            kind: choices.or(kind).unwrap_or_else(|| "any".to_owned()),
            required: required.iter().any(|required| required.as_str() == Some(name)),
            secret: inspection.descriptor.secrets.iter().any(|secret| secret.pointer == format!("/{name}")),
            default: property.get("default").cloned(),
            words: property.get("description").and_then(Value::as_str).map(str::to_owned),
        }
    };
    properties.into_iter().flatten().map(key).collect()
}

/// Where a secret may be put.
fn placed(secret: &SecretKey) -> Vec<&'static str> {
    let places = secret.places;
    [
        ("url", places.url),
        ("headers", places.headers),
        ("body", places.body),
        ("auth", places.auth),
        ("sign", places.sign),
    ]
    .into_iter()
    .filter_map(|(name, is_placed)| is_placed.then_some(name))
    .collect()
}

fn inspection_json(inspection: &Inspection) -> String {
    let Inspection { size, sha256, contract, imports, exports, stack_bytes, descriptor } = inspection;
    let needs: Vec<_> = descriptor
        .needs
        .iter()
        .map(|need| {
            json!({ "capability": need.capability, "scope": need.scope, "required": need.required, "reason": need.reason })
        })
        .collect();
    let secrets: Vec<_> =
        descriptor.secrets.iter().map(|it| json!({ "key": it.pointer, "places": placed(it) })).collect();
    let config: Vec<_> = config_keys(inspection)
        .into_iter()
        .map(|ConfigKey { name, kind, required, secret, default, words }| {
            json!({
                "key": name, "type": kind, "required": required, "secret": secret, "default": default,
                "description": words,
            })
        })
        .collect();
    let value = json!({
        "name": descriptor.version.name.as_str(), "version": descriptor.version.version.to_string(),
        "kind": descriptor.role.as_str(), "summary": descriptor.summary, "homepage": descriptor.homepage,
        "license": descriptor.license, "needs": needs, "secrets": secrets, "config": config,
        "config_schema": descriptor.config_schema, "contract": contract.to_string(), "size": size,
        "stack": stack_bytes, "sha256": sha256.to_string(), "imports": imports, "exports": exports,
    });
    format!("{value:#}\n")
}
