//! What to tell somebody who asked for a channel that is not there.

use std::fmt::Write;

use serde_json::Value;

use super::schema::ConfigSchema;
use crate::domain::PluginName;
use crate::sandbox::SecretKey;

/// Below this likeness (Jaro-Winkler, 0 to 1) a name is another name and not a slip of the finger.
const ALIKE: f64 = 0.8;

/// Characters of a plugin's own words that are shown.
const WORDS_MAX: usize = 120;

/// The known name that is most like the one asked for.
pub(super) fn nearest<'a>(asked: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|name| (strsim::jaro_winkler(asked, name), name))
        .filter(|(likeness, _)| *likeness >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.1.cmp(a.1)))
        .map(|(_, name)| name.to_owned())
}

/// The section that makes a channel of a plugin, with what its schema requires and the hosts that it needs.
pub(super) fn section(plugin: &PluginName, schema: &ConfigSchema, secrets: &[SecretKey], hosts: &[&str]) -> String {
    let mut text = format!("[channels.{plugin}]\nplugin = \"{plugin}\"\n");
    if !hosts.is_empty() {
        let hosts: Vec<_> = hosts.iter().map(|host| toml::Value::from(*host).to_string()).collect();
        line(&mut text, format_args!("allow_hosts = [{}]", hosts.join(", ")));
    }
    let is_secret = |key: &str| secrets.iter().any(|secret| secret.pointer.strip_prefix('/') == Some(key));
    let (secret, required): (Vec<_>, Vec<_>) = schema.required().into_iter().partition(|(key, _)| is_secret(key));
    if !secret.is_empty() {
        let each = secret.iter().map(|(key, _)| format!("{} = \"env:{}\"", toml_key(key), variable(plugin, key)));
        line(&mut text, format_args!("secrets = {{ {} }}", each.collect::<Vec<_>>().join(", ")));
    }
    if !required.is_empty() {
        line(&mut text, format_args!("\n[channels.{plugin}.config]"));
    }
    for (key, property) in required {
        if let Some(words) = property.and_then(|property| property.get("description")).and_then(Value::as_str) {
            line(&mut text, format_args!("# {}", plain(words)));
        }
        line(&mut text, format_args!("{} = {}", toml_key(key), placeholder(property)));
    }
    text
}

/// A name for the environment variable of a secret: `SLACK_URL` for `url` of `slack`.
fn variable(plugin: &PluginName, key: &str) -> String {
    let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    plugin.as_str().chars().chain(['_']).chain(key.chars()).map(upper).collect()
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // Writing into a string cannot fail.
    let _ = writeln!(text, "{content}");
}

/// A plugin's words, on one line and without anything that moves a cursor.
pub(super) fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WORDS_MAX).collect()
}

pub(super) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}

/// A value of the right type that is to be replaced.
pub(super) fn placeholder(property: Option<&Value>) -> String {
    let said = property.and_then(|property| {
        let example = property.get("examples").and_then(|examples| examples.get(0));
        let choice = property.get("enum").and_then(|choices| choices.get(0));
        property.get("default").or(example).or(choice)
    });
    if let Some(value) = said.and_then(|value| toml::Value::try_from(value).ok()) {
        return value.to_string();
    }
    match property.and_then(|property| property.get("type")).and_then(Value::as_str) {
        Some("integer" | "number") => "0",
        Some("boolean") => "false",
        Some("array") => "[]",
        Some("object") => "{}",
        _ => "\"…\"",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capability::secret::Places;

    #[test]
    fn a_slip_of_the_finger_is_understood_and_a_guess_is_not() {
        let known = ["console", "ops-slack", "slack", "webhook"];
        assert_eq!(nearest("slcak", known).as_deref(), Some("slack"));
        assert_eq!(nearest("consol", known).as_deref(), Some("console"));
        assert_eq!(nearest("pager", known), None);
    }

    #[test]
    fn a_section_holds_what_the_schema_requires_and_is_toml() {
        let schema = json!({
            "type": "object",
            "properties": {
                "url": {"type": "string", "description": "Address of the\nwebhook.", "examples": ["https://x.example/\"1\""]},
                "team id": {"type": "integer"},
                "colour": {"enum": ["red", "green"]},
                "quiet": {"type": "boolean", "default": true},
            },
            "required": ["url", "team id", "colour", "key", "token"],
        });
        let schema = ConfigSchema::new(schema).expect("a schema");
        let secret = SecretKey { pointer: "/token".into(), places: Places::default() };
        let text =
            section(&"acme".parse().expect("a name"), &schema, &[secret], &["api.acme.example", "*.acme.example"]);
        insta::assert_snapshot!(text, @r#"
        [channels.acme]
        plugin = "acme"
        allow_hosts = ["api.acme.example", "*.acme.example"]
        secrets = { token = "env:ACME_TOKEN" }

        [channels.acme.config]
        # Address of the webhook.
        url = 'https://x.example/"1"'
        "team id" = 0
        colour = "red"
        key = "…"
        "#);
        assert!(text.parse::<toml::Table>().is_ok());
    }
}
