//! A channel whose version, mood and wishes stand in its file, where a test writes others over them: every edition of
//! it is a whole plugin, and none has to be built.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

use std::hint::black_box;

use campanile::plugin::types::{About, Context, Delivery, Need, Outcome, Receipt};
use exports::campanile::plugin::channel::{Descriptor, Guest, Limits};

wit_bindgen::generate!({ path: "../../../wit", world: "channel-plugin", generate_all });

/// `fickle:VERSION;MOOD;HOST,HOST;`, filled up with spaces. A `bad` one panics at every call.
static SETTINGS: [u8; 128] =
    *b"fickle:0.1.0;good;;                                                                                                             ";

struct Fickle;

/// The settings as they stand in the file at hand: the compiler must not know them better.
fn setting(place: usize) -> String {
    let text = black_box(&SETTINGS).to_vec();
    let text = String::from_utf8(text).expect("settings are text");
    text.trim_start_matches("fickle:").split(';').nth(place).unwrap_or_default().to_owned()
}

impl Guest for Fickle {
    fn describe() -> Descriptor {
        let hosts: Vec<String> = setting(2).split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect();
        let need = Need {
            capability: "http".to_owned(),
            scope: hosts.clone(),
            required: false,
            reason: "to speak to its provider".to_owned(),
        };
        let about = About {
            name: "fickle".to_owned(),
            version: setting(0),
            summary: "Is as its file says".to_owned(),
            homepage: None,
            license: None,
            config_schema: r#"{"type": "object"}"#.to_owned(),
            secrets: Vec::new(),
            needs: if hosts.is_empty() { Vec::new() } else { vec![need] },
            extra: Vec::new(),
        };
        let limits = Limits {
            title: None,
            body: None,
            attachments: None,
            attachment_size: None,
            attachments_size: None,
            batch: None,
        };
        Descriptor { about, address: None, features: Vec::new(), limits, rate: None }
    }

    fn send(_: Context, _: Delivery) -> Outcome {
        assert!(setting(1) == "good", "it is in a bad mood");
        Outcome::Sent(Receipt { provider_id: Some(setting(0)), facts: Vec::new() })
    }
}

export!(Fickle);
