//! The schema of a channel's config, as its plugin describes it.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, ValidationError};
use serde_json::{Map, Value};

use super::super::ConfigProblem;
use super::secrets::keys_of;
use super::suggest::{placeholder, plain, toml_key};
use crate::config::nearest;

/// A compiled pattern of a schema, in bytes. The `regex` engine takes linear time, but not always little memory.
const PATTERN_BYTES_MAX: usize = 1 << 20;

/// Problems told of one config: more would help nobody.
const PROBLEMS_MAX: usize = 50;

/// A config schema (JSON Schema 2020-12) that is ready to judge.
#[derive(Debug)]
pub struct ConfigSchema {
    root: Value,
    validator: jsonschema::Validator,
}

/// What a schema has against a config.
#[derive(Debug)]
pub(super) struct Objection {
    /// What it is about, as a JSON Pointer: of a value that is not there, where it should be.
    pub(super) about: String,
    pub(super) problem: ConfigProblem,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

impl Objection {
    fn new(at: String, message: impl Into<String>, hint: Option<String>) -> Self {
        Self { about: at.clone(), problem: ConfigProblem { at, message: message.into() }, hint }
    }

    /// What is wrong and what to do.
    pub(super) fn told(&self) -> String {
        let hint = self.hint.iter().map(|hint| format!("; {hint}"));
        std::iter::once(self.problem.message.clone()).chain(hint).collect()
    }
}

/// Why a plugin's schema cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
#[error("its config schema is not a JSON Schema: {0}")]
pub struct SchemaError(String);

impl ConfigSchema {
    /// Makes a schema ready. Nothing is fetched: a reference to elsewhere is an error.
    ///
    /// # Errors
    ///
    /// [`SchemaError`] says what is wrong with it.
    pub fn new(root: Value) -> Result<Self, SchemaError> {
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
            .should_validate_formats(true)
            .offline()
            .build(&root)
            .map_err(|error| SchemaError(error.to_string().chars().take(300).collect()))?;
        Ok(Self { root, validator })
    }

    /// The config with defaults filled in, or everything that is wrong with it. No value of the config stands in a
    /// problem: it may be a secret.
    ///
    /// # Errors
    ///
    /// Every problem, at most 50.
    pub fn complete(&self, config: &Map<String, Value>) -> Result<Map<String, Value>, Vec<ConfigProblem>> {
        match self.judge(config) {
            (config, objections) if objections.is_empty() => Ok(config),
            (_, objections) => {
                let whole = |objection: Objection| ConfigProblem { message: objection.told(), ..objection.problem };
                Err(objections.into_iter().map(whole).collect())
            }
        }
    }

    /// The same for whoever goes on with a config that is not good.
    pub(super) fn judge(&self, config: &Map<String, Value>) -> (Map<String, Value>, Vec<Objection>) {
        let mut complete = config.clone();
        fill_defaults(&self.root, &mut complete);
        let config = Value::Object(complete.clone());
        let objections = self.validator.iter_errors(&config).flat_map(|error| self.objections(&error));
        let objections = objections.take(PROBLEMS_MAX).collect();
        (complete, objections)
    }

    /// What an error comes to: one objection to each key that nobody knows, else one.
    fn objections(&self, error: &ValidationError<'_>) -> Vec<Objection> {
        let at = error.instance_path().to_string();
        let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        match error.kind() {
            ValidationErrorKind::Required { property } => {
                let about = below(property.as_str().unwrap_or_default());
                vec![self.missing(about)]
            }
            ValidationErrorKind::AdditionalProperties { unexpected }
            | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
                let known = self.known(&at);
                let stray = |key: &String| {
                    Objection::new(below(&plain(key)), "is not a known key", Some(known_hint(key, &known)))
                };
                unexpected.iter().map(stray).collect()
            }
            _ => vec![Objection::new(at, error.masked().to_string().replace(['"', '\''], "`"), None)],
        }
    }

    fn missing(&self, pointer: String) -> Objection {
        let purpose = self.description(&pointer).map(|words| plain(words).trim_end_matches('.').to_owned());
        let message = purpose.map_or_else(|| "is missing".to_owned(), |purpose| format!("is missing ({purpose})"));
        let key = keys_of(&pointer).next_back().unwrap_or_default();
        let line = format!("write `{} = {}` there", toml_key(&key), placeholder(self.property(&pointer)));
        Objection::new(pointer, message, Some(line))
    }

    /// The schema of the value at this JSON Pointer, as far as plain `properties` say.
    fn property(&self, pointer: &str) -> Option<&Value> {
        keys_of(pointer).try_fold(&self.root, |schema, key| schema.get("properties")?.get(&key))
    }

    /// The keys that an object at this JSON Pointer may have, as far as plain `properties` say.
    fn known(&self, pointer: &str) -> Vec<&str> {
        let properties = self.property(pointer).and_then(|schema| schema.get("properties")).and_then(Value::as_object);
        properties.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
    }

    /// Whether a config has to have a value at this JSON Pointer, as far as plain `properties` and `required` say.
    pub(super) fn requires(&self, pointer: &str, config: &Map<String, Value>) -> bool {
        let (mut schema, mut there) = (Some(&self.root), Some(config));
        keys_of(pointer).all(|key| {
            let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
            let needed = required.is_some_and(|keys| keys.iter().any(|known| known == key.as_str()));
            let value = there.and_then(|config| config.get(&key));
            schema = schema.and_then(|schema| schema.get("properties")?.get(&key));
            there = value.and_then(Value::as_object);
            needed || value.is_some()
        })
    }

    /// What the plugin says that the value at this JSON Pointer is.
    pub(super) fn description(&self, pointer: &str) -> Option<&str> {
        self.property(pointer)?.get("description")?.as_str().map(str::trim).filter(|words| !words.is_empty())
    }

    /// The keys that have to be set, with what the schema says of each.
    pub(super) fn required(&self) -> Vec<(&str, Option<&Value>)> {
        let keys = self.root.get("required").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        keys.iter()
            .filter_map(Value::as_str)
            .map(|key| (key, self.root.get("properties").and_then(|properties| properties.get(key))))
            .collect()
    }
}

/// The nearest of `known`, or all of them where none is near.
fn known_hint(key: &str, known: &[&str]) -> String {
    match nearest(key, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "its plugin knows none here: take it out".to_owned(),
        None => format!("known here: `{}`", known.join("`, `")),
    }
}

/// Fills in `default`s at every level that the config has. What `$ref` and conditions would add is left to the plugin.
fn fill_defaults(schema: &Value, config: &mut Map<String, Value>) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    for (key, property) in properties {
        match config.get_mut(key) {
            Some(Value::Object(inner)) => fill_defaults(property, inner),
            Some(_) => {}
            None => {
                if let Some(default) = property.get("default") {
                    config.insert(key.clone(), default.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(value: Value) -> ConfigSchema {
        ConfigSchema::new(value).expect("a schema")
    }

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(map) => map,
            _ => panic!("an object"),
        }
    }

    fn slack() -> ConfigSchema {
        schema(json!({
            "type": "object",
            "properties": {
                "url": {"type": "string", "pattern": "^https?://"},
                "username": {"type": "string", "maxLength": 5, "default": "bell"},
                "retry": {"type": "object", "properties": {"times": {"type": "integer", "default": 3}}},
            },
            "required": ["url"],
            "additionalProperties": false,
        }))
    }

    #[test]
    fn defaults_are_filled_in_where_nothing_is_set() {
        let complete = slack().complete(&object(json!({"url": "https://x", "retry": {}}))).expect("good");
        assert_eq!(Value::Object(complete), json!({"url": "https://x", "username": "bell", "retry": {"times": 3}}));
        let complete = slack().complete(&object(json!({"url": "https://x", "username": "me"}))).expect("good");
        assert_eq!(complete["username"], "me");
    }

    #[test]
    fn every_problem_is_told_and_no_value_with_it() {
        let config = object(json!({"username": "hunter22", "token": "hunter22", "retry": {"times": "hunter22"}}));
        let problems = slack().complete(&config).expect_err("bad");
        let mut text: Vec<_> = problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
        text.sort();
        insta::assert_snapshot!(text.join("\n"), @r#"
        /retry/times: value is not of type `integer`
        /token: is not a known key; known here: `retry`, `url`, `username`
        /url: is missing; write `url = "…"` there
        /username: value is longer than 5 characters
        "#);
        assert!(!text.concat().contains("hunter22"));
    }

    #[test]
    fn what_is_no_schema_or_lies_elsewhere_is_refused() {
        assert!(ConfigSchema::new(json!({"type": 5})).is_err());
        assert!(ConfigSchema::new(json!({"$ref": "https://example.com/schema.json"})).is_err());
        // Would take exponential time in a backtracking engine.
        assert!(ConfigSchema::new(json!({"pattern": "^(a+)+(?=b)$"})).is_err());
    }
}
