//! `campanile plugins release` and `approve`: what an operator says of a plugin to a running server.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::client::Client;
use crate::cli::client::wire::{Plugin, Plugins};
use crate::cli::failure::{Exit, Failure};
use crate::cli::terminal::{Color, Paint, escaped};
use crate::cli::{Answer, Globals};
use crate::domain::PluginName;

/// Which plugin.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// A plugin, as `campanile plugins list` names it
    name: PluginName,
    /// The version that is meant, such as `1.1.0` [default: the one that waits]
    #[arg(long, value_name = "VERSION")]
    version: Option<semver::Version>,
}

/// Lets a version be called again that failed too often.
pub(super) async fn release(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    ask(globals, args, "release").await
}

/// Lets a plugin have what a held version of it asks for.
pub(super) async fn approve(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    ask(globals, args, "approve").await
}

async fn ask(globals: &Globals, args: &Args, what: &str) -> Result<Answer, Failure> {
    let path = ["plugins", args.name.as_str(), what];
    let asked = args.version.as_ref().map_or_else(|| json!({}), |version| json!({ "version": version.to_string() }));
    let answered = Client::new(globals)?.post::<Plugins>(&path, &asked).await?;
    let text = if globals.json {
        format!("{:#}\n", answered.json)
    } else {
        show(&answered.value.plugins, globals.paint_stdout())
    };
    // What was asked for was done, and a newer version, seen meanwhile, waits for another word.
    let waits = answered.value.plugins.iter().any(|plugin| matches!(plugin.state.as_str(), "held" | "quarantined"));
    Ok(Answer { exit: if waits { Exit::No } else { Exit::Ok }, ..Answer::ok(text) })
}

/// A line for each version, with how it is doing now.
fn show(plugins: &[Plugin], paint: Paint) -> String {
    let mut text = String::new();
    for Plugin { name, version, file, state, reason, .. } in plugins {
        let name = name.as_deref().unwrap_or(file);
        let version = version.as_deref().map(|version| format!("@{}", escaped(version))).unwrap_or_default();
        let state = paint.color(Color::of_status(state), &escaped(state));
        let reason = reason.as_deref().map(|reason| format!(": {}", escaped(reason))).unwrap_or_default();
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "{}{version} is {state}{reason}", escaped(name));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;

    #[test]
    fn each_version_is_shown_as_it_is_doing_now() {
        let entry = |version: &str, state: &str, reason: Option<&str>| {
            json!({ "name": "slack", "version": version, "kind": "channel", "source": "own", "file": "slack.wasm",
                    "sha256": "00", "size": 81920, "state": state, "reason": reason, "channels": [], "since": "x" })
        };
        let answer = json!({ "plugins": [
            entry("1.0.0", "serving", None), entry("1.1.0", "held", Some("it asks for\u{7} more")),
        ]});
        let plugins: Plugins = serde_json::from_value(answer).expect("the shape of the answer");
        assert_snapshot!(show(&plugins.plugins, Paint::Off), @r"
        slack@1.0.0 is serving
        slack@1.1.0 is held: it asks for\u{7} more
        ");
    }
}
