//! What nobody means well with.

use std::sync::Arc;

use crate::domain::{Action, ActionStyle, Content, Notification, Part, Recipient, Timestamp};
use crate::runtime::{HttpError, HttpReply};

/// A notification to try, and to whom.
pub(super) struct Letter {
    pub(super) name: &'static str,
    pub(super) notification: Notification,
    pub(super) recipient: Recipient,
    pub(super) attempt: u32,
    pub(super) now: Option<Timestamp>,
}

const MIB: usize = 1 << 20;

/// Nesting of `data` that a server lets through.
const DEPTH_LET_THROUGH: usize = 32;

/// And one that it does not, but an embedder may.
const DEPTH_FAR_BEYOND: usize = 5_000;

/// Direction overrides, joiners, marks, what is invisible, what is no character, and what ends a string in C.
const ODD: &str = "\u{202e}live\u{2066}\u{2069} \u{200d}\u{200b}\u{feff}\u{fffd}\u{fffe}\u{10ffff} \0\u{1}\u{7f}\u{85} \
                   \u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467} e\u{301}\u{301}\u{301} \u{2028}\u{2029} <!--]]> ${x} {{x}} \\";

/// Each has to end with an outcome.
pub(super) fn letters() -> Vec<Letter> {
    vec![
        Letter::of("empty", ""),
        Letter::of("one MiB", "x".repeat(MIB)),
        Letter::of("one MiB of line ends", "\n".repeat(MIB)),
        Letter::of("64 KiB of quotes", "\"".repeat(64 << 10)),
        Letter::of("odd Unicode", ODD.repeat(50)),
        Letter::of("a tower of accents", format!("a{}", "\u{301}".repeat(20_000))),
        odd_everywhere(),
        with("line ends in the title", |it| it.title = Some("a\r\nX-Injected: 1\r\n\r\nb".into())),
        with("a title of 64 KiB", |it| it.title = Some("t".repeat(64 << 10))),
        with("HTML that never closes", |it| it.html = Some("<".repeat(64 << 10))),
        with("HTML a thousand deep", |it| it.html = Some("<div><b>".repeat(1_000))),
        with("Markdown that opens and opens", |it| it.markdown = Some("[*`_".repeat(10_000))),
        with("16 parts of 64 KiB", |it| {
            let part = |index: usize| Part { name: format!("part-{index}"), value: "p".repeat(64 << 10) };
            it.parts = (0..16).map(part).collect();
        }),
        data("data 32 deep", nested("{\"a\":", "1", "}", DEPTH_LET_THROUGH)),
        data("data 5,000 deep", nested("{\"a\":", "1", "}", DEPTH_FAR_BEYOND)),
        data("data with half a character", "{\"a\":\"\\ud800\",\"b\":\"\\udc00\\ud800\"}".to_owned()),
        data(
            "data with numbers beyond all bounds",
            "{\"a\":1e400,\"b\":-0,\"c\":123456789012345678901234567890}".to_owned(),
        ),
        data("256 KiB of data", format!("{{\"a\":\"{}\"}}", "d".repeat(256 << 10))),
        huge_metadata(),
        actions(),
        address("an address with line ends", "a@example.com\r\nBcc: b@example.com"),
        address("an address of 64 KiB", &"a".repeat(64 << 10)),
        address("an address that is a path", "../../etc/passwd?x=1#y"),
        Letter { name: "attempt 4294967295", attempt: u32::MAX, ..Letter::plain() },
        Letter { name: "in 1970", now: Some(Timestamp::from_millis(0)), ..Letter::plain() },
        Letter { name: "in the year 10000", now: Some(Timestamp::from_millis(253_402_300_800_000)), ..Letter::plain() },
        changed("expired long ago", |it| it.expires_at = Some(Timestamp::from_millis(1))),
        changed("a kind of odd Unicode", |it| it.kind = ODD.to_owned()),
    ]
}

fn with(name: &'static str, change: impl FnOnce(&mut Content)) -> Letter {
    let mut content = Content { text: "x".to_owned(), ..Content::default() };
    change(&mut content);
    changed(name, |it| it.content = Arc::new(content))
}

fn changed(name: &'static str, change: impl FnOnce(&mut Notification)) -> Letter {
    let mut letter = Letter { name, ..Letter::plain() };
    change(&mut letter.notification);
    letter
}

fn data(name: &'static str, text: String) -> Letter {
    changed(name, |it| it.data = Some(text))
}

fn address(name: &'static str, address: &str) -> Letter {
    let recipient = Recipient { address: address.to_owned(), ..Recipient::default() };
    Letter { name, recipient, ..Letter::plain() }
}

fn odd_everywhere() -> Letter {
    let odd = || ODD.to_owned();
    let mut letter = with("odd Unicode everywhere", |it| {
        *it = Content {
            title: Some(odd()),
            text: odd(),
            html: Some(odd()),
            markdown: Some(odd()),
            parts: vec![Part { name: odd(), value: odd() }],
        };
    });
    letter.notification.metadata = vec![(odd(), odd())];
    letter.notification.correlation_id = Some(odd());
    letter.notification.group_key = Some(odd());
    letter.recipient = Recipient {
        address: odd(),
        id: Some(odd()),
        name: Some(odd()),
        locale: Some(odd()),
        time_zone: Some(odd()),
        attributes: vec![(odd(), odd())],
        ..Recipient::default()
    };
    letter
}

fn huge_metadata() -> Letter {
    changed("2,000 pairs of metadata", |it| {
        it.metadata = (0..2_000).map(|index| (format!("key-{index}"), "v".repeat(200))).collect();
    })
}

fn actions() -> Letter {
    changed("25 actions with long links", |it| {
        let action = |index: usize| Action {
            id: format!("a{index}"),
            label: ODD.to_owned(),
            url: Some(format!("https://example.com/{}", "p".repeat(2_000))),
            style: ActionStyle::Danger,
        };
        it.actions = (0..25).map(action).collect();
    })
}

fn nested(open: &str, inner: &str, close: &str, depth: usize) -> String {
    format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
}

/// Each has to end with an outcome.
pub(super) fn replies() -> Vec<(&'static str, Result<HttpReply, HttpError>)> {
    let of = |status: u16, headers: &[(&str, &str)], body: Vec<u8>| {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(HttpReply { status, headers, body: body.into(), truncated: false })
    };
    let json = [("content-type", "application/json")];
    let body = |status: u16, text: &str| of(status, &json, text.as_bytes().to_vec());
    let limited = |value: &str| of(429, &[("retry-after", value)], Vec::new());
    vec![
        ("nothing", of(200, &[], Vec::new())),
        ("one MiB of zeros", of(200, &json, vec![0; MIB])),
        ("one MiB of brackets", of(200, &json, vec![b'['; MIB])),
        ("JSON 5,000 deep", body(200, &nested("[", "", "]", DEPTH_FAR_BEYOND))),
        ("an array", body(200, "[]")),
        ("null", body(200, "null")),
        ("a number beyond all bounds", body(200, "1e999999")),
        (
            "fields of other types",
            body(200, r#"{"ok":"yes","id":[],"error":{},"message":7,"status":null,"errors":"x"}"#),
        ),
        ("half a character", body(200, r#"{"ok":true,"id":"\ud800","error":"\udc00"}"#)),
        ("not UTF-8", of(400, &json, b"{\"error\":\"\xff\xfe\x80\"}".to_vec())),
        ("odd Unicode", body(400, &serde_json::json!({ "error": ODD, "message": ODD }).to_string())),
        ("an error of one MiB", of(500, &[("content-type", "text/plain")], vec![b'e'; MIB])),
        ("control characters", of(400, &[("content-type", "text/plain")], b"\x1b[2J\x00\x07\r\n\x9b".to_vec())),
        ("Retry-After of ages", limited("99999999999999999999")),
        ("Retry-After below zero", limited("-1")),
        ("Retry-After NaN", limited("NaN")),
        ("Retry-After with a fraction", limited("1.5e3")),
        ("Retry-After as no date", limited("Sat, 99 Foo 20x6 99:99:99 GMT")),
        ("Retry-After as a date far off", limited("Fri, 31 Dec 9999 23:59:59 GMT")),
        (
            "Retry-After three times",
            of(429, &[("retry-after", "1"), ("retry-after", "x"), ("retry-after", "")], Vec::new()),
        ),
        ("a redirect inwards", of(302, &[("location", "http://169.254.169.254/latest/meta-data/")], Vec::new())),
        ("a redirect to nowhere", of(301, &[], Vec::new())),
        ("not modified", of(304, &[], Vec::new())),
        ("a teapot", of(418, &[], Vec::new())),
        ("status 299", body(299, "{}")),
        ("status 599", of(599, &[], Vec::new())),
        ("status 999", of(999, &[], Vec::new())),
        ("no connection", Err(HttpError::Unreachable("refused".into()))),
        ("cut off", Err(HttpError::Interrupted("connection reset".into()))),
        ("too late", Err(HttpError::Timeout("no answer".into()))),
        ("denied", Err(HttpError::Denied("not granted".into()))),
        ("used up", Err(HttpError::Exhausted("no more requests".into()))),
    ]
}

/// Sources and data for a template engine of whatever language: most of the sources are wrong in all of them.
pub(super) fn templates() -> Vec<(&'static str, String, String)> {
    let plain = "Hello {{ name }}".to_owned();
    let none = "{}".to_owned();
    vec![
        ("empty", String::new(), none.clone()),
        ("256 KiB of text", "x".repeat(256 << 10), none.clone()),
        ("odd Unicode", ODD.repeat(50), none.clone()),
        ("opens and never closes", "{{ ".to_owned(), none.clone()),
        ("10,000 times open", "{{(".repeat(10_000), none.clone()),
        ("a thousand parentheses", format!("{{{{ {}1{} }}}}", "(".repeat(1_000), ")".repeat(1_000)), none.clone()),
        ("a thousand blocks", format!("{}x", "{% if true %}".repeat(1_000)), none.clone()),
        (
            "an endless loop",
            "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}".to_owned(),
            none.clone(),
        ),
        ("data that is missing", plain.clone(), none),
        ("data that is odd", plain.clone(), serde_json::json!({ "name": ODD }).to_string()),
        ("data 32 deep", plain.clone(), nested("{\"name\":", "1", "}", DEPTH_LET_THROUGH)),
        ("data 5,000 deep", plain.clone(), nested("{\"name\":", "1", "}", DEPTH_FAR_BEYOND)),
        ("data that is no object", plain, "[1]".to_owned()),
    ]
}
