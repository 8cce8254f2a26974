//! A config and an address that hold to what a plugin says of itself, for trials that nobody wrote a case for.

use serde_json::{Map, Value, json};

use crate::runtime::{Role, TrialError, Workpiece};

/// Texts that are tried where a schema wants one of some shape, the likely ones first.
const TEXTS: [&str; 12] = [
    "example",
    "https://example.com/hook",
    "ada@example.com",
    "+4915112345678",
    "example.com",
    "1234567890",
    "A1B2C3D4E5",
    "2026-01-31T12:00:00Z",
    "2026-01-31",
    "en",
    "Europe/London",
    "5e5e5e5e-5e5e-4e5e-8e5e-5e5e5e5e5e5e",
];

/// A config with what is required and nothing else, or why there is none.
pub(super) fn config(workpiece: &Workpiece) -> Result<Map<String, Value>, String> {
    let schema = &workpiece.inspection().descriptor.config_schema;
    let mut config = required(schema);
    // What is not a text is as it is; of texts, each is tried until nothing is said against it.
    for pointer in texts(schema, "") {
        for text in TEXTS {
            let mut tried = Value::Object(config.clone());
            let Some(place) = tried.pointer_mut(&pointer) else { break };
            if place.as_str() != Some(TEXTS[0]) && place.as_str() != Some("") {
                break;
            }
            *place = text.into();
            let Value::Object(tried) = tried else { break };
            if !complains(workpiece, &tried, &pointer) {
                config = tried;
                break;
            }
        }
    }
    match workpiece.complete(&config) {
        Ok(_) => Ok(config),
        Err(error) => Err(format!("no example config could be made from its schema: {error}")),
    }
}

fn complains(workpiece: &Workpiece, config: &Map<String, Value>, pointer: &str) -> bool {
    match workpiece.complete(config) {
        Ok(_) => false,
        Err(TrialError::Config(problems)) => problems.iter().any(|problem| problem.at == pointer),
        Err(_) => true,
    }
}

fn required(schema: &Value) -> Map<String, Value> {
    let keys = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    keys.map(|key| (key.to_owned(), value(property(schema, key)))).collect()
}

fn property<'a>(schema: &'a Value, key: &str) -> &'a Value {
    schema.get("properties").and_then(|properties| properties.get(key)).unwrap_or(&Value::Null)
}

fn value(schema: &Value) -> Value {
    let said = ["default", "const"].into_iter().find_map(|key| schema.get(key));
    let said = said.or_else(|| ["examples", "enum"].into_iter().find_map(|key| schema.get(key)?.get(0)));
    if let Some(said) = said {
        return said.clone();
    }
    let least = || schema.get("minimum").cloned().unwrap_or_else(|| json!(1));
    match schema.get("type").and_then(Value::as_str) {
        Some("integer" | "number") => least(),
        Some("boolean") => json!(false),
        Some("array") => match schema.get("minItems").and_then(Value::as_u64).unwrap_or(0) {
            0 => json!([]),
            _ => json!([value(schema.get("items").unwrap_or(&Value::Null))]),
        },
        Some("object") => Value::Object(required(schema)),
        _ => json!(TEXTS[0]),
    }
}

/// Where the required texts of a schema stand.
fn texts(schema: &Value, at: &str) -> Vec<String> {
    let keys = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    keys.flat_map(|key| {
        let here = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        let property = property(schema, key);
        match property.get("type").and_then(Value::as_str) {
            Some("object") => texts(property, &here),
            Some("string") | None => vec![here],
            Some(_) => Vec::new(),
        }
    })
    .collect()
}

/// An address of the kind that the channel asks for.
pub(super) fn address(role: &Role) -> String {
    let Role::Channel(channel) = role else { return String::new() };
    let Some(need) = &channel.address else { return String::new() };
    let fits = |text: &&str| need.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
    let likely = match need.kind.as_str() {
        "email" => "ada@example.com",
        "phone" => "+4915112345678",
        _ => TEXTS[0],
    };
    [likely].into_iter().chain(TEXTS).find(fits).unwrap_or(likely).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_required_is_there_and_of_its_type() {
        let schema = json!({
            "type": "object",
            "properties": {
                "url": { "type": "string" },
                "size": { "type": "integer", "minimum": 3 },
                "mode": { "enum": ["fast", "slow"] },
                "list": { "type": "array", "minItems": 1, "items": { "type": "boolean" } },
                "auth": { "type": "object", "properties": { "user": { "type": "string" } }, "required": ["user"] },
                "extra": { "type": "string" },
            },
            "required": ["url", "size", "mode", "list", "auth"],
        });
        let expected = json!({
            "url": "example", "size": 3, "mode": "fast", "list": [false], "auth": { "user": "example" } });
        assert_eq!(Value::Object(required(&schema)), expected);
        assert_eq!(texts(&schema, ""), ["/url", "/mode", "/auth/user"]);
    }
}
