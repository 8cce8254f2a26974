//! A component of another world: it greets, and is no plugin.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

wit_bindgen::generate!({
    path: [],
    inline: "package elsewhere:greeting@1.0.0; world stranger { export greet: func() -> string; }",
});

struct Stranger;

impl Guest for Stranger {
    fn greet() -> String {
        "hello".to_owned()
    }
}

export!(Stranger);
