//! A channel that breaks a rule of the sandbox on request: the notification's text names which, or `always` of its config
//! for whatever is sent.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

mod memory;

use std::hint::black_box;

use campanile::plugin::http::{self, Request};
use campanile::plugin::kv;
use campanile::plugin::log::{self, Level};
use campanile::plugin::types::{
    About, Blame, Context, Delivery, Gone, Need, Outcome, Piece, RateLimit, Receipt, Recipient, Rejection, Retry,
    Scope, Trouble,
};
use exports::campanile::plugin::channel::{self, Descriptor, Limits};
use exports::campanile::plugin::configure::{self, ConfigProblem};
use exports::campanile::plugin::health::{self, State};
use exports::campanile::plugin::supports;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package campanile:guest;
        world unruly {
            include campanile:plugin/plugin-imports@0.1.1;
            include campanile:plugin/channel-plugin@0.1.1;
            include campanile:plugin/with-configure@0.1.1;
            include campanile:plugin/with-supports@0.1.1;
            include campanile:plugin/with-health@0.1.1;
        }
    ",
    world: "campanile:guest/unruly",
    generate_all,
});

struct Unruly;

impl channel::Guest for Unruly {
    fn describe() -> Descriptor {
        let need = Need {
            capability: "http".to_owned(),
            scope: vec!["127.0.0.1".to_owned()],
            required: false,
            reason: "to wait for an answer that never comes".to_owned(),
        };
        let about = About {
            name: "unruly".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Breaks a rule on request".to_owned(),
            homepage: None,
            license: None,
            config_schema: r#"{"type": "object"}"#.to_owned(),
            secrets: Vec::new(),
            needs: vec![need],
            extra: Vec::new(),
        };
        Descriptor {
            about,
            address: None,
            features: vec!["checks-recipient".to_owned()],
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

    fn send(context: Context, delivery: Delivery) -> Outcome {
        let text = delivery.notification.content.text.as_str();
        match always(&context.config).unwrap_or(text) {
            "panic" => panic!("the ink is frozen"),
            "spin" => spin(),
            "sleep" => sleep(),
            "ask" => return ask(&delivery.recipient.address),
            "hoard" => hoard(),
            "recurse" => drop(black_box(recurse(1))),
            "divide" => drop(black_box(7 / black_box(0_i32))),
            "exit" => leave(),
            "mark" => memory::mark(),
            "look" => return facts(&[("marks", memory::count().to_string())]),
            "print" => println!("one\ntwo\nthr\u{1b}ee"),
            "print-much" => println!("{}", "x".repeat(200_000)),
            "print-endlessly" => endlessly(|| print!("{}", "x".repeat(64_000))),
            "log" => log::log(Level::Info, "it rang", &[("bell".to_owned(), "great".to_owned())]),
            "moan" => log::log(Level::Error, "it hurts", &[]),
            "log-much" => (0..500).for_each(|_| log::log(Level::Debug, &"x".repeat(1_000), &[])),
            "log-endlessly" => endlessly(|| log::log(Level::Debug, "again", &[])),
            "log-hugely" => log::log(Level::Debug, &"x".repeat(9 << 20), &[]),
            "storm-denied" => endlessly(|| drop(black_box(ask("http://127.0.0.1:9/")))),
            "storm-bodies" => endlessly(|| _ = black_box(hand_over(4 << 20))),
            "storm-clock" => endlessly(|| _ = black_box(std::time::SystemTime::now())),
            "storm-kept" => endlessly(|| drop(black_box(kv::get("bell")))),
            "reply-list" => return Outcome::Sent(pairs_without_end()),
            "reply-text" => return rejected("x".repeat(9 << 20)),
            "not-text" => return sent(not_text()),
            "long-winded" => return long_winded(),
            "gone" => return gone(),
            "retry" => return retry(),
            "rate-limited" => return rate_limited(),
            "context" => return told(&context, &delivery),
            _ => {}
        }
        sent("p-1".to_owned())
    }
}

impl configure::Guest for Unruly {
    fn configure(config: String) -> Vec<ConfigProblem> {
        let denied = ask("http://127.0.0.1:9/");
        assert!(matches!(denied, Outcome::Rejected(_)), "nothing is granted while configuring");
        if config.contains("crooked") {
            vec![ConfigProblem { at: "/shape".to_owned(), message: "it is crooked".to_owned() }]
        } else {
            Vec::new()
        }
    }
}

impl supports::Guest for Unruly {
    fn supports(_: Context, recipient: Recipient) -> Result<(), String> {
        if recipient.address == "nobody" { Err("nobody has no bell".to_owned()) } else { Ok(()) }
    }
}

impl health::Guest for Unruly {
    fn health(context: Context) -> State {
        State::Degraded(format!("{} is tired", context.channel))
    }
}

/// The word after `"always":` in a config of one line.
fn always(config: &str) -> Option<&str> {
    config.split_once(r#""always":""#)?.1.split('"').next()
}

fn sent(provider_id: String) -> Outcome {
    Outcome::Sent(Receipt { provider_id: Some(provider_id), facts: Vec::new() })
}

fn facts(facts: &[(&str, String)]) -> Outcome {
    let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Outcome::Sent(Receipt { provider_id: None, facts })
}

fn rejected(reason: String) -> Outcome {
    Outcome::Rejected(Rejection { blame: Blame::Channel, code: None, reason })
}

fn spin() {
    let mut turns = 0_u64;
    while black_box(turns) < u64::MAX {
        turns += 1;
    }
}

fn endlessly(mut act: impl FnMut()) {
    loop {
        act();
    }
}

fn ask(url: &str) -> Outcome {
    let request = Request {
        method: "GET".to_owned(),
        url: url.to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        auth: http::Auth::None,
        redirects: 0,
        timeout_ms: None,
    };
    match http::send(&request) {
        Ok(response) => facts(&[("status", response.status.to_string())]),
        Err(error) => rejected(format!("{error:?}")),
    }
}

fn hand_over(bytes: usize) -> bool {
    let request = Request {
        method: "POST".to_owned(),
        url: "http://127.0.0.1:9/".to_owned(),
        headers: Vec::new(),
        body: vec![Piece::Bytes(vec![0; bytes])],
        auth: http::Auth::None,
        redirects: 0,
        timeout_ms: None,
    };
    http::send(&request).is_ok()
}

fn pairs_without_end() -> Receipt {
    let pair = || ("name".to_owned(), "value".to_owned());
    Receipt { provider_id: None, facts: std::iter::repeat_with(pair).take(200_000).collect() }
}

fn hoard() {
    let mut hoard = Vec::new();
    endlessly(|| hoard.push(black_box(vec![1_u8; 1 << 20])));
}

#[allow(unconditional_recursion, reason = "it is what the stack limit is for")]
fn recurse(depth: u64) -> u64 {
    let below = recurse(black_box(depth) + 1);
    black_box(below) + depth
}

#[allow(clippy::disallowed_methods, reason = "leaving is the rule broken here")]
fn leave() {
    std::process::exit(3);
}

#[allow(clippy::disallowed_methods, reason = "sleeping through the deadline is the rule broken here")]
fn sleep() {
    std::thread::sleep(std::time::Duration::from_secs(3_600));
}

fn not_text() -> String {
    // SAFETY: none; a string that is no UTF-8 is the rule broken here, and nothing in the guest reads it.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }
}

fn long_winded() -> Outcome {
    let reason = format!("\u{1b}[31m{}", "ä".repeat(5_000));
    Outcome::Rejected(Rejection { blame: Blame::Message, code: Some("c".repeat(1_000)), reason })
}

fn gone() -> Outcome {
    Outcome::RecipientGone(Gone { new_address: Some("next door".to_owned()), code: None, reason: "moved".to_owned() })
}

fn retry() -> Outcome {
    let code = Some("503".to_owned());
    Outcome::Retry(Retry { after_ms: Some(1_500), trouble: Trouble::Server, code, reason: "busy".to_owned() })
}

fn rate_limited() -> Outcome {
    let reason = "too fast".to_owned();
    Outcome::RateLimited(RateLimit { after_ms: None, scope: Scope::Account, code: None, reason })
}

fn told(context: &Context, delivery: &Delivery) -> Outcome {
    let notification = &delivery.notification;
    facts(&[
        ("channel", context.channel.clone()),
        ("config", context.config.clone()),
        ("now", context.now_ms.to_string()),
        ("has-time", (1..=60_000).contains(&context.timeout_ms).to_string()),
        ("delivery", delivery.id.clone()),
        ("attempt", delivery.attempt.to_string()),
        ("recipient", format!("{:?}", delivery.recipient)),
        ("notification", format!("{} {} {:?}", notification.id, notification.kind, notification.priority)),
        ("content", format!("{:?}", notification.content)),
        ("actions", format!("{:?}", notification.actions)),
        ("metadata", format!("{:?}", notification.metadata)),
    ])
}

export!(Unruly);
