//! A channel that uses everything that the contract has, and tells what came of it. When a contract is frozen, it is
//! built once more and kept (`tests/contract`): it has to load and answer the same for as long as that contract is served.

#![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated bindings")]

use campanile::plugin::http::{self, Auth, AwsSigv4, Basic, Named, Request, WebhookSignature};
use campanile::plugin::types::{
    About, Blame, Context, Delivery, Encoding, Gone, Need, Outcome, Pending, Piece, Placed, Places, RateLimit, Receipt,
    Recipient, Rejection, Retry, Scope, SecretKey, Trouble,
};
use campanile::plugin::{cache, kv, log, sign};
use exports::campanile::plugin::channel::{self, Address, Descriptor, Length, LengthUnit, Limits, Rate};
use exports::campanile::plugin::configure::{self, ConfigProblem};
use exports::campanile::plugin::health::{self, State};
use exports::campanile::plugin::{poll, supports};

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package campanile:guest;
        world sample {
            include campanile:plugin/plugin-imports@0.1.1;
            include campanile:plugin/channel-plugin@0.1.1;
            include campanile:plugin/with-configure@0.1.1;
            include campanile:plugin/with-supports@0.1.1;
            include campanile:plugin/with-health@0.1.1;
            include campanile:plugin/with-poll@0.1.1;
        }
    ",
    world: "campanile:guest/sample",
    generate_all,
});

/// Config: where to, and what to sign with. Written as a schema without anything that a later host may judge otherwise.
const SCHEMA: &str = r#"{
    "type": "object",
    "properties": { "url": { "type": "string" }, "key": { "type": "string" } },
    "required": ["url", "key"]
}"#;

/// What the signature of Standard Webhooks and the tokens are about.
const MESSAGE: &[u8] = b"campanile";

struct Sample;

impl channel::Guest for Sample {
    fn describe() -> Descriptor {
        let need = |capability: &str, scope: &[&str]| Need {
            capability: capability.to_owned(),
            scope: scope.iter().map(|&scope| scope.to_owned()).collect(),
            required: false,
            reason: "to use all that there is".to_owned(),
        };
        let about = About {
            name: "sample".to_owned(),
            version: "0.1.0".to_owned(),
            summary: "Uses everything of contract 0.1.1".to_owned(),
            homepage: Some("https://example.com/".to_owned()),
            license: Some("MIT OR Apache-2.0".to_owned()),
            config_schema: SCHEMA.to_owned(),
            secrets: vec![SecretKey { key: "/key".to_owned(), places: Places::all() }],
            needs: vec![
                need("http", &["config:/url"]),
                need("sign", &["hmac-sha256", "es256"]),
                need("cache", &[]),
                need("kv", &[]),
            ],
            extra: vec![("made-for".to_owned(), "0.1.1".to_owned())],
        };
        Descriptor {
            about,
            address: Some(Address { kind: "bell".to_owned(), pattern: Some("[a-z]+".to_owned()) }),
            features: vec!["markdown".to_owned(), "checks-recipient".to_owned()],
            limits: Limits {
                title: Some(Length { max: 80, unit: LengthUnit::Chars }),
                body: Some(Length { max: 4_000, unit: LengthUnit::Utf16 }),
                attachments: Some(3),
                attachment_size: Some(1 << 20),
                attachments_size: Some(2 << 20),
                batch: Some(1),
            },
            rate: Some(Rate { count: 100, per_ms: 1_000, scope: "channel".to_owned() }),
        }
    }

    /// The title of the notification says which outcome it ends in; `sent` with a fact for each thing tried, else.
    fn send(context: Context, delivery: Delivery) -> Outcome {
        let (code, reason) = (Some("told".to_owned()), "as it was told".to_owned());
        let receipt = |facts| Receipt { provider_id: Some(delivery.id.clone()), facts };
        match delivery.notification.content.title.as_deref() {
            Some("accepted") => {
                Outcome::Accepted(Pending { receipt: receipt(Vec::new()), check_after_ms: Some(1_000) })
            }
            Some("retry") => Outcome::Retry(Retry { after_ms: Some(1), trouble: Trouble::Server, code, reason }),
            Some("rate-limited") => {
                Outcome::RateLimited(RateLimit { after_ms: Some(1), scope: Scope::Channel, code, reason })
            }
            Some("rejected") => Outcome::Rejected(Rejection { blame: Blame::Message, code, reason }),
            Some("recipient-gone") => Outcome::RecipientGone(Gone { new_address: None, code, reason }),
            _ => {
                let (url, key) = (text(&context.config, "url"), text(&context.config, "key"));
                let mut facts = requests(&url, &key);
                facts.extend(signatures(&key));
                facts.extend(kept());
                log::log(log::Level::Info, "everything was tried", &[("facts".to_owned(), facts.len().to_string())]);
                Outcome::Sent(receipt(facts))
            }
        }
    }
}

impl configure::Guest for Sample {
    fn configure(config: String) -> Vec<ConfigProblem> {
        let is_plain = !text(&config, "url").contains('#');
        let problem = || ConfigProblem { at: "/url".to_owned(), message: "has a fragment".to_owned() };
        if is_plain { Vec::new() } else { vec![problem()] }
    }
}

impl supports::Guest for Sample {
    fn supports(_: Context, recipient: Recipient) -> Result<(), String> {
        if recipient.address == "nobody" { Err("nobody has no bell".to_owned()) } else { Ok(()) }
    }
}

impl health::Guest for Sample {
    fn health(context: Context) -> State {
        State::Degraded(context.channel)
    }
}

impl poll::Guest for Sample {
    /// What the provider says of the message: a status, in place of a word.
    fn poll(context: Context, receipt: Receipt) -> Outcome {
        let id = receipt.provider_id.clone().unwrap_or_default();
        let request = Request {
            method: "GET".to_owned(),
            url: format!("{}/{id}", text(&context.config, "url")),
            headers: Vec::new(),
            body: Vec::new(),
            auth: Auth::None,
            redirects: 0,
            timeout_ms: None,
        };
        let (code, reason) = (Some("told".to_owned()), "as it was told".to_owned());
        match http::send(&request) {
            Ok(response) if response.status == 200 => Outcome::Sent(receipt),
            Ok(response) if response.status == 202 => Outcome::Accepted(Pending { receipt, check_after_ms: None }),
            Ok(response) if response.status == 410 => {
                Outcome::Rejected(Rejection { blame: Blame::Message, code, reason })
            }
            Ok(_) => Outcome::Retry(Retry { after_ms: None, trouble: Trouble::Server, code, reason }),
            Err(error) => {
                let reason = http_error(&error);
                Outcome::Retry(Retry { after_ms: None, trouble: Trouble::Unreachable, code, reason })
            }
        }
    }
}

/// The text under `name` in a flat JSON object, as far as this needs it.
fn text(json: &str, name: &str) -> String {
    let rest = json.split(&format!("\"{name}\":")).nth(1).unwrap_or_default();
    rest.split('"').nth(1).unwrap_or_default().to_owned()
}

/// One request for each way to put credentials on.
fn requests(url: &str, key: &str) -> Vec<(String, String)> {
    let key = || key.to_owned();
    let named = |name: &str| Named { name: name.to_owned(), value: key() };
    let aws = AwsSigv4 {
        access_key_id: "sample".to_owned(),
        secret_key: key(),
        session_token: Some(key()),
        region: "eu-central-1".to_owned(),
        service: "sns".to_owned(),
    };
    let ways = [
        ("none", Auth::None),
        ("bearer", Auth::Bearer(key())),
        ("basic", Auth::Basic(Basic { user: "sample".to_owned(), password: key() })),
        ("header", Auth::Header(named("x-key"))),
        ("query", Auth::Query(named("key"))),
        ("standard-webhooks", Auth::StandardWebhooks(WebhookSignature { id: "msg_1".to_owned(), keys: vec![key()] })),
        ("aws-sigv4", Auth::AwsSigv4(aws)),
    ];
    let send = |(way, auth): (&str, Auth)| {
        let placed = Placed { id: 7, encoding: Encoding::Base64 };
        let mut body = vec![Piece::Text("campa".to_owned()), Piece::Bytes(b"nile".to_vec())];
        // An attachment that is not there.
        body.extend((way == "none").then_some(Piece::Attachment(placed)));
        let request = Request {
            method: "POST".to_owned(),
            url: format!("{url}/{way}"),
            headers: vec![("x-way".to_owned(), way.to_owned())],
            body,
            auth,
            redirects: 0,
            timeout_ms: Some(5_000),
        };
        let came = http::send(&request).map_or_else(|error| http_error(&error), |response| response.status.to_string());
        (format!("http {way}"), came)
    };
    ways.map(send).into()
}

fn http_error(error: &http::Error) -> String {
    let word = match error {
        http::Error::Denied(_) => "denied",
        http::Error::Invalid(_) => "invalid",
        http::Error::Exhausted(_) => "exhausted",
        http::Error::Unreachable(_) => "unreachable",
        http::Error::Interrupted(_) => "interrupted",
        http::Error::Timeout(_) => "timeout",
    };
    word.to_owned()
}

fn signatures(key: &str) -> Vec<(String, String)> {
    let word = |error: sign::Error| match error {
        sign::Error::Denied(_) => "denied".to_owned(),
        sign::Error::Invalid(_) => "invalid".to_owned(),
        sign::Error::Unsupported(_) => "unsupported".to_owned(),
    };
    let signed = sign::sign(key, "hmac-sha256", MESSAGE).map_or_else(word, |signature| signature.len().to_string());
    let token = sign::jwt(key, "es256", "{}", "{}").map_or_else(word, |_handle| "a handle".to_owned());
    vec![("sign".to_owned(), signed), ("jwt".to_owned(), token)]
}

/// Each function of `cache` and `kv`, in an order in which each has something to answer.
fn kept() -> Vec<(String, String)> {
    let cache_word = |error: cache::Error| match error {
        cache::Error::Denied(_) => "denied".to_owned(),
        cache::Error::Limit(_) => "limit".to_owned(),
        cache::Error::Timeout(_) => "timeout".to_owned(),
    };
    let kv_word = |error: kv::Error| match error {
        kv::Error::Denied(_) => "denied".to_owned(),
        kv::Error::Limit(_) => "limit".to_owned(),
        kv::Error::Conflict(version) => format!("conflict {version}"),
        kv::Error::Unavailable(_) => "unavailable".to_owned(),
    };
    let there = |is_there: bool| if is_there { "there" } else { "none" }.to_owned();
    let done = |(): ()| "done".to_owned();
    let claimed = cache::get_or_claim("key").map_or_else(cache_word, |value| there(value.is_some()));
    let put = cache::put("key", b"value", 60_000).map_or_else(cache_word, done);
    let got = cache::get("key").map_or_else(cache_word, |value| there(value.is_some()));
    let removed = cache::remove("key").map_or_else(cache_word, done);
    let set = kv::set("key", b"value", Some(0)).map_or_else(kv_word, |version| version.to_string());
    let again = kv::set("key", b"value", Some(0)).map_or_else(kv_word, |version| version.to_string());
    let read = kv::get("key").map_or_else(kv_word, |entry| there(entry.is_some()));
    let keys = kv::keys("k", None, 10).map_or_else(kv_word, |keys| keys.join(","));
    let forgotten = kv::remove("key", None).map_or_else(kv_word, done);
    [
        ("cache get-or-claim", claimed),
        ("cache put", put),
        ("cache get", got),
        ("cache remove", removed),
        ("kv set", set),
        ("kv set again", again),
        ("kv get", read),
        ("kv keys", keys),
        ("kv remove", forgotten),
    ]
    .map(|(name, came)| (name.to_owned(), came))
    .into()
}

export!(Sample);
