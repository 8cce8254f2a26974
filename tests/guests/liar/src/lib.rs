//! A channel that lies about itself. What about stands in its file, where a test writes another word over it.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::hint::black_box;

use campanile::plugin::types::{About, Context, Delivery, Need, Outcome, Receipt};
use exports::campanile::plugin::channel::{self, Descriptor, Limits};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package campanile:guest;
        world liar {
            include campanile:plugin/plugin-imports@0.1.1;
            include campanile:plugin/channel-plugin@0.1.1;
        }
    ",
    world: "campanile:guest/liar",
    generate_all,
});

/// The word begins after the `=` and ends at the first dot.
static LIE: [u8; 32] = *b"campanile-lie=none..............";

fn lie() -> String {
    // SAFETY: a shared reference to a static can be read. Volatile, for the compiler knows nothing of the test's pen.
    let bytes = unsafe { std::ptr::read_volatile(&raw const LIE) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (_, word) = text.split_once('=').expect("it was built in");
    word.trim_end_matches('.').to_owned()
}

struct Liar;

impl channel::Guest for Liar {
    fn describe() -> Descriptor {
        let lie = lie();
        let is = |word: &str| lie == word;
        match lie.as_str() {
            "endless" => endless(),
            "hoard" => hoard(),
            "panic" => panic!("it has nothing to say"),
            _ => {}
        }
        let need = |capability: &str, scope: &str| Need {
            capability: capability.to_owned(),
            scope: vec![scope.to_owned()],
            required: true,
            reason: "it says so".to_owned(),
        };
        let about = About {
            name: if is("misnamed") { "Not A Name" } else { "liar" }.to_owned(),
            version: if is("fickle") { format!("0.1.{}", random()) } else { "0.1.0".to_owned() },
            summary: "Lies about itself".to_owned(),
            homepage: None,
            license: None,
            config_schema: schema(&lie).to_owned(),
            secrets: Vec::new(),
            needs: match lie.as_str() {
                "greedy" => vec![need("time-travel", "yesterday")],
                "asker" => vec![need("http", "pager.example")],
                _ => Vec::new(),
            },
            extra: Vec::new(),
        };
        Descriptor {
            about,
            address: None,
            features: match lie.as_str() {
                "boastful" => vec!["checks-recipient".to_owned()],
                "flood" => vec!["x".to_owned(); 1_000_000],
                _ => Vec::new(),
            },
            limits: Limits {
                title: None,
                body: None,
                attachments: None,
                attachment_size: None,
                attachments_size: None,
                batch: None,
            },
            rate: None,
        }
    }

    fn send(_: Context, _: Delivery) -> Outcome {
        Outcome::Sent(Receipt { provider_id: None, facts: Vec::new() })
    }
}

fn schema(lie: &str) -> &'static str {
    match lie {
        "circle" => r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##,
        "remote" => r#"{"$ref": "http://127.0.0.1:9/schema.json"}"#,
        "pattern" => r#"{"properties": {"to": {"pattern": "(?:(?:[a-z]{1000}){1000}){1000}"}}}"#,
        _ => r#"{"type": "object"}"#,
    }
}

fn random() -> u32 {
    RandomState::new().hash_one(0) as u32
}

fn endless() {
    while black_box(true) {}
}

fn hoard() {
    let mut hoard = Vec::new();
    while black_box(true) {
        hoard.push(black_box(vec![1_u8; 1 << 20]));
    }
}

export!(Liar);
