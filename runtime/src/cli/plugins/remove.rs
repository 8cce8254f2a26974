//! `campanile plugins remove`: take a plugin out of the folder.

use serde_json::json;

use crate::cli::failure::{Exit, Failure};
use crate::cli::{Answer, Globals};
use crate::domain::PluginName;
use crate::runtime::remove_plugin;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
A running server drains the plugin once no file holds a version of it: also where
the file holds one that is held or was rolled back, and the one before it serves.")]
pub(in crate::cli) struct Args {
    /// The plugin's name
    name: PluginName,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let config = globals.load()?.config;
    let (plugins, name) = (config.plugins, &args.name);
    let removed = remove_plugin(&plugins, name).map_err(|error| {
        Failure::new(Exit::No, anyhow::Error::new(error).context(format!("plugin `{name}` was not removed")))
    })?;
    if !removed {
        let message = format!("there is no plugin `{name}` in `{}`", plugins.dir.display());
        return Err(Failure::new(Exit::Nothing, anyhow::Error::msg(message))
            .hint("name it as its file is called, without `.wasm`; `--config FILE` names another configuration"));
    }
    let users = config.channels.iter().filter(|(_, channel)| channel.plugin == *name);
    let users: Vec<_> = users.map(|(channel, _)| channel.as_str()).collect();
    Ok(Answer::ok(if globals.json {
        format!("{:#}\n", json!({ "removed": name.as_str(), "used_by": users }))
    } else if users.is_empty() {
        format!("removed {name}\n")
    } else {
        let sections: Vec<_> = users.iter().map(|channel| format!("[channels.{channel}]")).collect();
        format!("removed {name}\nnote: the configuration still has it in {}\n", sections.join(", "))
    }))
}
