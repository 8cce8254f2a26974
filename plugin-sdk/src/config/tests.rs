//! What the derive makes of a struct.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::Config;

/// Where to post.
///
/// Keep it short.
#[derive(Config, Debug, PartialEq)]
struct Room {
    /// URL of the
    /// webhook.
    #[config(format = "uri", pattern = "^https:")]
    url: String,
    #[config(min_length = 1, max_length = 80)]
    username: Option<String>,
    #[config(default = 3, min = 1, max = 10)]
    tries: u32,
    #[config(default)]
    headers: BTreeMap<String, String>,
    #[config(default = "rich-text", rename = "look")]
    style: Style,
    #[config(default)]
    limits: Vec<Limit>,
    r#type: Option<Value>,
}

#[derive(Config, Debug, PartialEq)]
enum Style {
    Plain,
    RichText,
    #[config(rename = "HTML")]
    Html,
}

#[derive(Config, Debug, PartialEq)]
struct Limit {
    count: u8,
}

#[derive(Config, Debug, PartialEq)]
struct Nothing;

fn problem(config: &Value) -> String {
    Room::from_json(&config.to_string()).expect_err("a problem").to_string()
}

#[test]
fn what_is_left_out_takes_its_default() {
    let room = Room::from_json(r#"{ "url": "https://example.com" }"#).expect("the url is enough");
    let wanted = Room {
        url: "https://example.com".into(),
        username: None,
        tries: 3,
        headers: BTreeMap::new(),
        style: Style::RichText,
        limits: Vec::new(),
        r#type: None,
    };
    assert_eq!(room, wanted);
}

#[test]
fn everything_can_be_written() {
    let config = json!({
        "url": "u", "username": "n", "tries": 1, "headers": { "a": "b" }, "look": "HTML",
        "limits": [{ "count": 255 }], "type": [1],
    });
    let room = Room::from_json(&config.to_string()).expect("good");
    assert_eq!((room.style, room.limits), (Style::Html, vec![Limit { count: 255 }]));
    assert_eq!((room.headers["a"].as_str(), room.r#type), ("b", Some(json!([1]))));
}

#[test]
fn a_problem_names_its_place() {
    assert_eq!(problem(&json!({})), "/url: is required and missing");
    assert_eq!(problem(&json!([])), "must be an object, is a list");
    assert_eq!(problem(&json!({ "url": 1 })), "/url: must be a string, is a number");
    assert_eq!(
        problem(&json!({ "url": "u", "headers": { "a/b~c": 1 } })),
        "/headers/a~1b~0c: must be a string, is a number"
    );
    assert_eq!(
        problem(&json!({ "url": "u", "limits": [{ "count": 1 }, { "count": 256 }] })),
        "/limits/1/count: must be a whole number from 0 to 255, is a number",
    );
    assert_eq!(
        problem(&json!({ "url": "u", "look": "bold" })),
        "/look: is `bold`, must be one of `plain`, `rich-text`, `HTML`",
    );
    assert_eq!(
        problem(&json!({ "url": "u", "style": "plain" })),
        "/style: unknown key; known are `url`, `username`, `tries`, `headers`, `look`, `limits`, `type`",
    );
    assert!(Room::from_json("{").expect_err("a problem").to_string().starts_with("config is no valid json"));
}

#[test]
fn the_schema_says_the_same() {
    let wanted = json!({
        "type": "object",
        "description": "Where to post.\n\nKeep it short.",
        "required": ["url"],
        "additionalProperties": false,
        "properties": {
            "url": { "type": "string", "description": "URL of the webhook.", "format": "uri", "pattern": "^https:" },
            "username": { "type": "string", "minLength": 1, "maxLength": 80 },
            "tries": { "type": "integer", "minimum": 1, "maximum": 10, "default": 3 },
            "headers": { "type": "object", "additionalProperties": { "type": "string" } },
            "look": { "type": "string", "enum": ["plain", "rich-text", "HTML"], "default": "rich-text" },
            "limits": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["count"],
                    "additionalProperties": false,
                    "properties": { "count": { "type": "integer", "minimum": 0, "maximum": 255 } },
                },
            },
            "type": {},
        },
    });
    assert_eq!(Room::schema(), wanted);
    let document: Value = serde_json::from_str(&Room::schema_document()).expect("json");
    assert_eq!(document["$schema"], "https://json-schema.org/draft/2020-12/schema");
}

#[test]
fn a_channel_without_config_takes_the_empty_object_alone() {
    assert_eq!(Nothing::from_json("{}"), Ok(Nothing));
    let problem = Nothing::from_json(r#"{ "a": 1 }"#).expect_err("unknown");
    assert_eq!(problem.to_string(), "/a: unknown key; known are none");
}
