//! `campanile plugins list`: what a running server has loaded.

use crate::cli::client::Client;
use crate::cli::client::wire::{Plugin, Plugins};
use crate::cli::failure::Failure;
use crate::cli::table::{Cell, Table};
use crate::cli::terminal::Paint;
use crate::cli::{Answer, Globals};
use crate::config::format_size;

pub(super) async fn run(globals: &Globals) -> Result<Answer, Failure> {
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
        let Plugin { name, version, kind, source, file, size, state, reason, warnings, channels, shares } = plugin;
        let used = channels.iter().map(|channel| match shares.get(channel) {
            Some(percent) => format!("{percent} % of {channel}"),
            None => channel.clone(),
        });
        let used: Vec<_> = used.collect();
        let said = reason.iter().chain(warnings).map(String::as_str).collect::<Vec<_>>().join("; ");
        table.row([
            Cell::or_dash(name.as_deref()),
            Cell::or_dash(version.as_deref()),
            Cell::or_dash(kind.as_deref()),
            source.as_str().into(),
            file.as_str().into(),
            format_size(*size).into(),
            Cell::status(state),
            Cell::or_dash(Some(&used.join(", "))),
            Cell::or_dash(Some(&said)),
        ]);
    }
    table.render(paint, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use insta::assert_snapshot;
    use serde_json::json;

    #[test]
    fn plugins_are_a_table_and_a_refused_one_says_why() {
        let answer = json!({ "plugins": [
            { "name": "slack", "version": "0.1.0", "kind": "channel", "source": "own", "file": "slack.wasm",
              "sha256": "00", "size": 81920, "state": "serving", "channels": ["ops", "dev"], "since": "x" },
            { "name": "slack", "version": "0.2.0", "kind": "channel", "source": "own", "file": "slack.wasm",
              "sha256": "01", "size": 81920, "state": "canary", "channels": ["ops"], "shares": { "ops": 10 },
              "since": "x" },
            { "name": null, "version": null, "kind": null, "source": "own", "file": "odd.wasm", "sha256": null,
              "size": 12, "state": "refused", "reason": "it is text, not WebAssembly", "channels": [], "since": "x" },
        ]});
        let plugins: Plugins = serde_json::from_value(answer).expect("the shape of `GET /v1/plugins`");
        assert_snapshot!(show(&plugins.plugins, Paint::Off), @r#"
        NAME   VERSION  KIND     SOURCE  FILE        SIZE   STATE    CHANNELS     REASON
        slack  0.1.0    channel  own     slack.wasm  80KiB  serving  ops, dev     -
        slack  0.2.0    channel  own     slack.wasm  80KiB  canary   10 % of ops  -
        -      -        -        own     odd.wasm    12B    refused  -            it is text, not WebAssembly
        "#);
        assert_eq!(show(&[], Paint::Off), "no plugins\n");
    }
}
