//! A channel's config: parsing with exact complaints, and the JSON Schema an operator's file is checked against.
//!
//! The host checks a config against the schema and fills in defaults before any call, so parsing looks at shape only:
//! lengths and bounds stand in the schema and nowhere else.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value, json};

use crate::{Places, SecretKey};

/// A value that can stand in a config. Derive it for the channel's own struct, for structs in it, and for enums of
/// unit variants.
///
/// Doc comments become descriptions, `Option` makes a key optional, an unknown key is refused. Attributes of a field,
/// all within `#[config(…)]`:
///
/// | attribute | meaning |
/// |---|---|
/// | `default` / `default = LITERAL` | optional; `Default::default()`, or this JSON value |
/// | `rename = "key"` | another key (of a variant: another word) |
/// | `min_length = N`, `max_length = N` | of a string, in characters |
/// | `min = N`, `max = N` | of a number |
/// | `format = "uri"` | a format of JSON Schema |
/// | `pattern = "…"` | a regular expression |
///
/// Variants are written in kebab case unless renamed.
///
/// ```
/// use campanile_plugin_sdk::{Config, json};
///
/// /// Where to post, and as whom.
/// #[derive(Config)]
/// struct Room {
///     /// URL of the webhook.
///     #[config(format = "uri")]
///     url: String,
///     /// Name to post as.
///     #[config(max_length = 80)]
///     username: Option<String>,
///     #[config(default = "plain")]
///     style: Style,
/// }
///
/// #[derive(Config, Debug, PartialEq)]
/// enum Style { Plain, RichText }
///
/// let room = Room::from_json(r#"{ "url": "https://example.com/x", "style": "rich-text" }"#).unwrap();
/// assert_eq!((room.username, room.style), (None, Style::RichText));
///
/// let problem = Room::from_json(r#"{ "url": "https://example.com/x", "colour": 1 }"#).err().unwrap();
/// assert_eq!(problem.to_string(), "/colour: unknown key; known are `url`, `username`, `style`");
///
/// assert_eq!(Room::schema()["required"], json!(["url"]));
/// assert_eq!(Room::schema()["properties"]["username"]["maxLength"], 80);
/// ```
pub trait Config: Sized {
    /// Reads it from a JSON value.
    ///
    /// # Errors
    ///
    /// The first problem, with its place relative to `value`.
    fn from_value(value: Value) -> Result<Self, ConfigProblem>;

    /// Its JSON Schema, 2020-12, without `$schema`.
    fn schema() -> Value;

    /// What it is where its key is absent; none: the key is required.
    fn absent() -> Option<Self> {
        None
    }

    /// The parts of it that are secrets, as JSON Pointers. Those within lists and maps cannot be pointed at.
    fn secrets() -> Vec<SecretKey> {
        Vec::new()
    }

    /// Reads it from JSON text.
    ///
    /// # Errors
    ///
    /// The text is no JSON, or the first problem with its JSON Pointer.
    fn from_json(text: &str) -> Result<Self, ConfigProblem> {
        let value = serde_json::from_str(text)
            .map_err(|problem| ConfigProblem::at("", format!("config is no valid json: {problem}")))?;
        Self::from_value(value)
    }

    /// The schema as a document of its own: JSON text with `$schema`.
    fn schema_document() -> String {
        let mut schema = Self::schema();
        if let Value::Object(keys) = &mut schema {
            keys.insert("$schema".into(), "https://json-schema.org/draft/2020-12/schema".into());
        }
        schema.to_string()
    }
}

/// What is wrong with a config, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// JSON Pointer (RFC 6901) into the config; empty: the whole.
    pub at: String,
    /// A sentence for the operator.
    pub message: String,
}

impl ConfigProblem {
    /// A problem at this JSON Pointer.
    ///
    /// ```
    /// # use campanile_plugin_sdk::ConfigProblem;
    /// let problem = ConfigProblem::at("/url", "must be https");
    /// assert_eq!(problem.to_string(), "/url: must be https");
    /// ```
    pub fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { at: pointer.into(), message: message.into() }
    }

    /// The same problem seen from outside: `key` is put in front of its place.
    #[must_use]
    pub fn under(mut self, key: &str) -> Self {
        self.at = format!("/{}{}", key.replace('~', "~0").replace('/', "~1"), self.at);
        self
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at.is_empty() {
            return formatter.write_str(&self.message);
        }
        write!(formatter, "{}: {}", self.at, self.message)
    }
}

impl std::error::Error for ConfigProblem {}

fn mismatch(wanted: &str, found: &Value) -> ConfigProblem {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    ConfigProblem::at("", format!("must be {wanted}, is {found}"))
}

impl Config for String {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        match value {
            Value::String(text) => Ok(text),
            other => Err(mismatch("a string", &other)),
        }
    }

    fn schema() -> Value {
        json!({ "type": "string" })
    }
}

impl Config for bool {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        value.as_bool().ok_or_else(|| mismatch("true or false", &value))
    }

    fn schema() -> Value {
        json!({ "type": "boolean" })
    }
}

impl Config for f64 {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        value.as_f64().ok_or_else(|| mismatch("a number", &value))
    }

    fn schema() -> Value {
        json!({ "type": "number" })
    }
}

macro_rules! integer {
    ($($kind:ty, $read:ident);+ $(;)?) => {$(
        impl Config for $kind {
            fn from_value(value: Value) -> Result<Self, ConfigProblem> {
                let number = value.$read().and_then(|number| Self::try_from(number).ok());
                number.ok_or_else(|| {
                    let (min, max) = (Self::MIN, Self::MAX);
                    mismatch(&format!("a whole number from {min} to {max}"), &value)
                })
            }

            fn schema() -> Value {
                json!({ "type": "integer", "minimum": Self::MIN, "maximum": Self::MAX })
            }
        }
    )+};
}

integer!(u8, as_u64; u16, as_u64; u32, as_u64; u64, as_u64; i32, as_i64; i64, as_i64);

impl Config for Value {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        Ok(value)
    }

    fn schema() -> Value {
        json!({})
    }
}

impl<T: Config> Config for Option<T> {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        T::from_value(value).map(Some)
    }

    fn schema() -> Value {
        T::schema()
    }

    fn absent() -> Option<Self> {
        Some(None)
    }

    fn secrets() -> Vec<SecretKey> {
        T::secrets()
    }
}

impl<T: Config> Config for Vec<T> {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        let Value::Array(items) = value else { return Err(mismatch("a list", &value)) };
        let read =
            |(index, item): (usize, Value)| T::from_value(item).map_err(|problem| problem.under(&index.to_string()));
        items.into_iter().enumerate().map(read).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": T::schema() })
    }
}

impl<T: Config> Config for BTreeMap<String, T> {
    fn from_value(value: Value) -> Result<Self, ConfigProblem> {
        let Value::Object(keys) = value else { return Err(mismatch("an object", &value)) };
        let read = |(key, item): (String, Value)| match T::from_value(item) {
            Ok(item) => Ok((key, item)),
            Err(problem) => Err(problem.under(&key)),
        };
        keys.into_iter().map(read).collect()
    }

    fn schema() -> Value {
        json!({ "type": "object", "additionalProperties": T::schema() })
    }
}

/// What the derive writes calls to.
#[doc(hidden)]
pub mod derived {
    use super::{Config, ConfigProblem, Map, Places, SecretKey, Value, json, mismatch};

    /// The keys of a struct.
    pub fn keys(value: Value) -> Result<Map<String, Value>, ConfigProblem> {
        match value {
            Value::Object(keys) => Ok(keys),
            other => Err(mismatch("an object", &other)),
        }
    }

    /// One field; `default` is asked where the key is absent.
    pub fn field<T: Config>(
        keys: &mut Map<String, Value>,
        key: &'static str,
        default: impl FnOnce() -> Option<T>,
    ) -> Result<T, ConfigProblem> {
        match keys.remove(key) {
            Some(value) => T::from_value(value).map_err(|problem| problem.under(key)),
            None => default().ok_or_else(|| ConfigProblem::at("", "is required and missing").under(key)),
        }
    }

    /// A default written in an attribute.
    pub fn literal<T: Config>(value: Value) -> Option<T> {
        T::from_value(value).ok()
    }

    /// Whatever is left over is unknown.
    pub fn finish(left: Map<String, Value>, known: &[&str]) -> Result<(), ConfigProblem> {
        let Some((key, _)) = left.into_iter().next() else { return Ok(()) };
        Err(ConfigProblem::at("", format!("unknown key; known are {}", list(known))).under(&key))
    }

    /// The word of an enum.
    pub fn word(value: Value, known: &[&str]) -> Result<usize, ConfigProblem> {
        let word = String::from_value(value)?;
        let place = known.iter().position(|candidate| *candidate == word);
        place.ok_or_else(|| ConfigProblem::at("", format!("is `{word}`, must be one of {}", list(known))))
    }

    /// The secrets within the field `key`. `places` is what its attribute says.
    pub fn secrets(found: Vec<SecretKey>, key: &str, places: Option<&str>) -> Vec<SecretKey> {
        let places = places.map(|list| match Places::parse(list) {
            Ok(places) => places,
            Err(word) => panic!("`{word}` is no place of a secret: there are url, headers, body, auth, sign"),
        });
        let under = |secret: SecretKey| SecretKey {
            key: ConfigProblem::at(secret.key, "").under(key).at,
            places: places.unwrap_or(secret.places),
        };
        found.into_iter().map(under).collect()
    }

    fn list(words: &[&str]) -> String {
        if words.is_empty() {
            return "none".into();
        }
        words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
    }

    /// One property of a struct's schema.
    pub struct Property {
        pub key: &'static str,
        pub schema: Value,
        pub required: bool,
        pub description: &'static str,
        pub constraints: Vec<(&'static str, Value)>,
    }

    /// The schema of a struct.
    pub fn object(description: &str, properties: Vec<Property>) -> Value {
        let required: Vec<_> =
            properties.iter().filter(|property| property.required).map(|property| property.key).collect();
        let mut schemas = Map::new();
        for mut property in properties {
            describe(&mut property.schema, property.description);
            for (name, value) in property.constraints {
                set(&mut property.schema, name, value);
            }
            schemas.insert(property.key.into(), property.schema);
        }
        let mut schema =
            json!({ "type": "object", "properties": schemas, "required": required, "additionalProperties": false });
        describe(&mut schema, description);
        schema
    }

    /// The schema of an enum.
    pub fn words(description: &str, known: &[&str]) -> Value {
        let mut schema = json!({ "type": "string", "enum": known });
        describe(&mut schema, description);
        schema
    }

    fn describe(schema: &mut Value, description: &str) {
        if !description.is_empty() {
            set(schema, "description", description.into());
        }
    }

    fn set(schema: &mut Value, name: &str, value: Value) {
        if let Value::Object(keys) = schema {
            keys.insert(name.into(), value);
        }
    }
}

#[cfg(test)]
mod tests;
