//! Where in the configuration a channel's grants stand, and the lines that belong there: what a refusal names.

use std::fmt;
use std::sync::Arc;

use crate::domain::{CallbackName, ChannelName};

/// A section of the configuration, as it is written there: `[channels.ops]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section(Arc<str>);

impl Section {
    /// Where what a channel is granted stands.
    #[must_use]
    pub fn of_channel(channel: &ChannelName) -> Self {
        Self(format!("[channels.{channel}]").into())
    }

    /// Where what a webhook of ours is granted stands.
    #[must_use]
    pub fn of_webhook(name: &CallbackName) -> Self {
        Self(format!("`[[callbacks.webhook]]` with `name = \"{name}\"`").into())
    }

    /// Where what a `callback_url` is granted stands.
    #[must_use]
    pub fn of_callback_urls() -> Self {
        Self("`[callbacks]`".into())
    }

    /// The same for a channel that has no name yet: for trials of a plugin.
    #[must_use]
    pub fn of_any_channel() -> Self {
        Self("[channels.NAME]".into())
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The line that a list has to be: with what stands in it already, since a second line for it would be an error.
pub(super) fn list_line(key: &str, written: &[String], more: &[String]) -> String {
    let new = more.iter().filter(|entry| !written.contains(entry));
    let entries = written.iter().chain(new).cloned().map(toml::Value::String).collect();
    format!("{key} = {}", toml::Value::Array(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_what_stands_there_already_and_is_one_that_the_configuration_takes() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let written = texts(&["a.example", "\"odd\""]);
        let line = list_line("allow_hosts", &written, &texts(&["b.example:8080", "a.example"]));
        let parsed: toml::Table = line.parse().expect("it is TOML");
        let entries = parsed["allow_hosts"].as_array().expect("a list");
        let entries: Vec<_> = entries.iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(entries, ["a.example", "\"odd\"", "b.example:8080"], "{line}");
        assert_eq!(list_line("hosts", &[], &texts(&["a.example"])), r#"hosts = ["a.example"]"#);
    }
}
