//! Bounds on a configuration schema, checked before anything is validated by it: a schema is a program that runs on the
//! host, without fuel.

use std::collections::HashMap;

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

/// Values in a schema. The largest of a real channel has some hundreds.
const VALUES_MAX: usize = 5_000;

/// Values that a validator may come to see where every reference is followed: what makes a small schema a large one.
const FOLLOWED_MAX: usize = 20_000;

/// References that lead to references.
const CHAIN_MAX: usize = 32;

/// Patterns, each of which is compiled to a program of its own.
const PATTERNS_MAX: usize = 32;

/// A compiled pattern, in bytes. The `regex` engine takes linear time, but not always little memory.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Keywords whose meaning depends on where a validator comes from; no configuration needs one.
const DYNAMIC: [&str; 4] = ["$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"];

/// Everything that has to be well with a schema before it can be used. The sentence goes on after "its configuration
/// schema".
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut values = 0;
    let mut patterns = 0;
    look(schema, &mut values, &mut patterns)?;
    if patterns > PATTERNS_MAX {
        return Err(format!("has {patterns} patterns, the limit is {PATTERNS_MAX}"));
    }
    Follow { root: schema, known: HashMap::new(), path: Vec::new() }.size(schema)?;
    // Compiling it finds what the meta-schema cannot say: references that lead nowhere, patterns that are none.
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX))
        .should_validate_formats(true)
        .offline()
        .build(schema)
        .map(drop)
        .map_err(|error| format!("is no JSON Schema: {error}"))
}

/// Counts, and finds what is not allowed anywhere. As deep as JSON is read, which is 128 levels.
fn look(value: &Value, values: &mut usize, patterns: &mut usize) -> Result<(), String> {
    *values += 1;
    if *values > VALUES_MAX {
        return Err(format!("has more than {VALUES_MAX} values, the limit"));
    }
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| look(item, values, patterns)),
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            if DYNAMIC.contains(&key.as_str()) {
                return Err(format!("uses `{key}`, which is not supported: use `$ref`"));
            }
            match (key.as_str(), member) {
                ("$ref", Value::String(target)) if target != "#" && !target.starts_with("#/") => {
                    let target: String = target.chars().take(64).collect();
                    return Err(format!("refers to `{target}`, and nothing is fetched: put it under `$defs`"));
                }
                ("pattern", Value::String(_)) => *patterns += 1,
                ("patternProperties", Value::Object(each)) => *patterns += each.len(),
                _ => {}
            }
            look(member, values, patterns)
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Follows every reference, each place once.
struct Follow<'a> {
    root: &'a Value,
    /// How large what stands at a pointer is when all its references are followed.
    known: HashMap<&'a str, usize>,
    /// The pointers that are being followed.
    path: Vec<&'a str>,
}

impl<'a> Follow<'a> {
    fn size(&mut self, value: &'a Value) -> Result<usize, String> {
        let mut size = 1_usize;
        match value {
            Value::Array(items) => {
                for item in items {
                    size = size.saturating_add(self.size(item)?);
                }
            }
            Value::Object(members) => {
                for (key, member) in members {
                    size = size.saturating_add(match member {
                        Value::String(target) if key == "$ref" => self.target(target)?,
                        _ => self.size(member)?,
                    });
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
        if size > FOLLOWED_MAX {
            return Err(format!(
                "grows to more than {FOLLOWED_MAX} values, the limit, when its references are followed"
            ));
        }
        Ok(size)
    }

    fn target(&mut self, target: &'a str) -> Result<usize, String> {
        if self.path.contains(&target) || target == "#" {
            let target: String = target.chars().take(64).collect();
            return Err(format!("leads in a circle through `{target}`: a configuration has an end"));
        }
        if let Some(size) = self.known.get(target) {
            return Ok(*size);
        }
        if self.path.len() >= CHAIN_MAX {
            return Err(format!("has references that lead to references, more than {CHAIN_MAX}, the limit"));
        }
        // One that leads nowhere is told by the validator.
        let Some(found) = self.root.pointer(target.trim_start_matches('#')) else { return Ok(1) };
        self.path.push(target);
        let size = self.size(found)?;
        self.path.pop();
        self.known.insert(target, size);
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::time::{Duration, Instant};

    use serde_json::json;

    use super::*;

    /// A hundred times what the slowest of these takes on a slow machine; without bounds some would take years.
    const TIME_MAX: Duration = Duration::from_secs(20);

    fn problem(schema: &Value) -> String {
        let started = Instant::now();
        let problem = check(schema).expect_err("it is hostile");
        assert!(started.elapsed() < TIME_MAX, "{problem}: {:?}", started.elapsed());
        problem
    }

    #[test]
    fn every_hostile_schema_is_refused_with_its_reason() {
        let laughs: serde_json::Map<String, Value> = (0..30)
            .map(|level| {
                let next = json!({ "$ref": format!("#/$defs/{}", level + 1) });
                (level.to_string(), json!({ "allOf": [next.clone(), next] }))
            })
            .chain([("30".to_owned(), json!(true))])
            .collect();
        let chain: serde_json::Map<String, Value> = (0..60)
            .map(|level| (level.to_string(), json!({ "not": { "$ref": format!("#/$defs/{}", level + 1) } })))
            .chain([("60".to_owned(), json!(true))])
            .collect();
        let many: serde_json::Map<String, Value> =
            (0..40).map(|number| (number.to_string(), json!({ "pattern": "a" }))).collect();
        let hostile = [
            json!({ "$ref": "#" }),
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "items": { "$ref": "#/$defs/a" } } } }),
            json!({ "$ref": "https://example.com/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
            json!({ "properties": { "a": { "$ref": "other.json#/$defs/a" } } }),
            json!({ "$dynamicRef": "#meta" }),
            json!({ "$ref": "#/$defs/0", "$defs": laughs }),
            json!({ "$ref": "#/$defs/0", "$defs": chain }),
            json!({ "properties": many }),
            json!({ "pattern": "(?:(?:[a-z]{1000}){1000}){1000}" }),
            json!({ "pattern": "(" }),
            json!({ "enum": (0..6_000).collect::<Vec<_>>() }),
            json!({ "type": 7 }),
        ];
        let mut problems = String::new();
        for schema in &hostile {
            let _ = writeln!(problems, "{}", problem(schema).chars().take(140).collect::<String>());
        }
        insta::assert_snapshot!(problems, @r##"
        leads in a circle through `#`: a configuration has an end
        leads in a circle through `#/$defs/b`: a configuration has an end
        refers to `https://example.com/schema.json`, and nothing is fetched: put it under `$defs`
        refers to `file:///etc/passwd`, and nothing is fetched: put it under `$defs`
        refers to `other.json#/$defs/a`, and nothing is fetched: put it under `$defs`
        uses `$dynamicRef`, which is not supported: use `$ref`
        grows to more than 20000 values, the limit, when its references are followed
        has references that lead to references, more than 32, the limit
        has 40 patterns, the limit is 32
        is no JSON Schema: "(?:(?:[a-z]{1000}){1000}){1000}" is not a "regex"
        is no JSON Schema: "(" is not a "regex"
        has more than 5000 values, the limit
        is no JSON Schema: 7 is not valid under any of the schemas listed in the 'anyOf' keyword
        "##);
    }

    #[test]
    fn a_pattern_that_backtracks_elsewhere_takes_linear_time_here() {
        let schema = json!({ "properties": { "to": { "type": "string", "pattern": "^(a+)+$" } } });
        assert_eq!(check(&schema), Ok(()));
    }

    #[test]
    fn definitions_that_are_used_twice_are_fine() {
        let schema = json!({
            "properties": { "to": { "$ref": "#/$defs/address" }, "from": { "$ref": "#/$defs/address" } },
            "$defs": { "address": { "type": "string", "maxLength": 64 } },
        });
        assert_eq!(check(&schema), Ok(()));
    }

    #[test]
    fn a_schema_deeper_than_json_is_read_is_none() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(serde_json::from_str::<Value>(&deep).is_err(), "the depth of `look` is bounded by this");
    }
}
