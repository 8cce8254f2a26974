//! A host for native tests: expectations instead of a network, and everything a plugin says kept for a look.
//!
//! ```
//! use campanile_plugin_sdk::{http, json, testing::{Expect, MockHost}, Failure, FailureKind};
//!
//! let host = MockHost::new().expect(
//!     Expect::post("https://api.example.com/send")
//!         .header("authorization", "Bearer x")
//!         .json(json!({ "text": "hi" }))
//!         .reply(503, "down"),
//! );
//! let (outcome, _) = host.run(|| {
//!     let request = http::post("https://api.example.com/send").header("Authorization", "Bearer x");
//!     request.json(&json!({ "text": "hi" })).send().map_err(Failure::from)?.judge()
//! });
//! assert!(matches!(outcome.unwrap_err().kind, FailureKind::Retry { .. }));
//! ```

mod cases;
pub(crate) mod host;
mod kept;
mod template_cases;

use std::collections::VecDeque;

use serde_json::Value;

pub use cases::{render_outcome, run_cases};
pub use kept::Kept;
pub use template_cases::run_template_cases;

use crate::{
    Call, Channel, Config, ConfigProblem, Content, Context, Notification, Outcome, Pairs, Receipt, Recipient,
    http::{Error, Reply, Request},
    log::Level,
};

/// The time a mock host shows unless told otherwise: 2026-01-31T12:00:00Z, in milliseconds since 1970.
pub const NOW_MS: u64 = 1_769_860_800_000;

/// A host that knows what a plugin will ask, in order.
#[derive(Debug)]
#[must_use = "nothing runs before `run` or `send`"]
pub struct MockHost {
    expected: VecDeque<Expect>,
    now_ms: u64,
    kept: Kept,
    denied: Vec<&'static str>,
}

/// What a plugin said while it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// Requests in their order, as they were sent.
    pub requests: Vec<Request>,
    /// Log lines in their order.
    pub logs: Vec<Logged>,
    /// What was signed, in its order. The mock host answers `ALGORITHM by KEY` to each.
    pub signed: Vec<Signed>,
    /// What was written to standard output.
    pub stdout: String,
    /// What the channel keeps now, for the next call: see [`MockHost::keeping`].
    pub kept: Kept,
}

/// One thing signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The handle; in a test, whatever the test's config has for the key.
    pub key: String,
    /// As the host was asked, such as `hmac-sha256`.
    pub algorithm: String,
    /// The message; of a token, header and claims with a full stop between them.
    pub message: Vec<u8>,
}

/// One log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// How loud.
    pub level: Level,
    /// The sentence.
    pub message: String,
    /// The data.
    pub fields: Pairs,
}

impl Default for MockHost {
    fn default() -> Self {
        Self::new()
    }
}

impl MockHost {
    /// A host that expects no request, at [`NOW_MS`].
    pub fn new() -> Self {
        Self { expected: VecDeque::new(), now_ms: NOW_MS, kept: Kept::default(), denied: Vec::new() }
    }

    /// Expects one more request, after the earlier ones.
    pub fn expect(mut self, expected: Expect) -> Self {
        self.expected.push_back(expected);
        self
    }

    /// Shows this time (milliseconds since 1970).
    pub fn at(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// With what an earlier call of the same channel left in `cache` and `kv`.
    pub fn keeping(mut self, kept: Kept) -> Self {
        self.kept = kept;
        self
    }

    /// Grants this ability (`cache`, `kv`, `sign`) not: its functions answer `denied`.
    pub fn deny(mut self, ability: &'static str) -> Self {
        self.denied.push(ability);
        self
    }

    /// Runs `code` with this host in place.
    ///
    /// # Panics
    ///
    /// A request is not the expected one, or an expected one did not come: the message says which and how it differs.
    pub fn run<T>(self, code: impl FnOnce() -> T) -> (T, Record) {
        let installed = host::Installed::new(self);
        let answer = code();
        (answer, installed.finish())
    }

    /// One attempt of channel `C` with this config and this host. The call's time becomes the host's.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), and if the config cannot be read.
    pub fn send<C: Channel>(self, config: &Value, mut call: Call) -> (Outcome, Record) {
        let channel: C = configured(config);
        call.context.config = config.to_string();
        call.context.now_ms = self.now_ms;
        self.run(|| channel.send(&call))
    }

    /// Asks channel `C` with this config and this host for the final word on what it accepted with this receipt.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub fn poll<C: Channel>(self, config: &Value, receipt: &Receipt) -> (Outcome, Record) {
        let channel: C = configured(config);
        let context = Context { config: config.to_string(), now_ms: self.now_ms, ..call("").context };
        self.run(|| channel.poll(&context, receipt))
    }
}

fn configured<C: Config>(config: &Value) -> C {
    C::from_json(&config.to_string()).unwrap_or_else(|problem| panic!("config of the test is refused: {problem}"))
}

/// A request that is expected, and what is answered.
#[derive(Clone, Debug)]
#[must_use = "give it to `MockHost::expect`"]
pub struct Expect {
    method: String,
    url: String,
    headers: Pairs,
    body: ExpectedBody,
    answer: Result<Reply, Error>,
}

#[derive(Clone, Debug)]
enum ExpectedBody {
    Any,
    Json(Value),
    Text(String),
}

impl Expect {
    /// A request with this method and URL; answered with 200 and no body unless said otherwise.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Pairs::new(),
            body: ExpectedBody::Any,
            answer: Ok(Reply::new(200, "")),
        }
    }

    /// A `POST`.
    pub fn post(url: impl Into<String>) -> Self {
        Self::new("POST", url)
    }

    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// With this header (name in any case). Headers not named may be there too.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With this JSON, whatever its spelling. Without a call to `json` or `text` any body will do.
    pub fn json(mut self, value: Value) -> Self {
        self.body = ExpectedBody::Json(value);
        self
    }

    /// With exactly this body.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.body = ExpectedBody::Text(text.into());
        self
    }

    /// Answers with this status and body.
    pub fn reply(self, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.answer_with(Ok(Reply::new(status, body)))
    }

    /// Answers with this reply, or as if there were none.
    pub fn answer_with(mut self, answer: Result<Reply, Error>) -> Self {
        self.answer = answer;
        self
    }

    /// How `request` differs from what was expected; empty: it does not.
    fn differences(&self, request: &Request) -> Vec<String> {
        let mut found = Vec::new();
        let mut compare = |what: &str, wanted: &str, got: &str| {
            if wanted != got {
                found.push(format!("{what}\n  expected: {wanted}\n       got: {got}"));
            }
        };
        compare("method", &self.method, &request.method);
        compare("url", &self.url, &request.url);
        for (name, wanted) in &self.headers {
            let got = request.headers.iter().find(|(got, _)| got.eq_ignore_ascii_case(name));
            compare(&format!("header `{name}`"), wanted, got.map_or("(none)", |(_, value)| value));
        }
        let body = String::from_utf8_lossy(request.body.as_bytes());
        match &self.body {
            ExpectedBody::Any => {}
            ExpectedBody::Text(wanted) => compare("body", wanted, &body),
            ExpectedBody::Json(wanted) => {
                // Through `Value` on both sides, so that the order of keys does not matter.
                let got = serde_json::from_str::<Value>(&body).map_or_else(|_| body.to_string(), |got| got.to_string());
                compare("json body", &wanted.to_string(), &got);
            }
        }
        found
    }
}

/// A call with this text, and ids that are the same in every test.
///
/// ```
/// let call = campanile_plugin_sdk::testing::call("hi");
/// assert_eq!(call.attempt, 1);
/// ```
#[must_use]
pub fn call(text: &str) -> Call {
    Call {
        context: Context {
            channel: "test".into(),
            config: "{}".into(),
            now_ms: NOW_MS,
            timeout_ms: 10_000,
            extra: Pairs::new(),
        },
        delivery_id: "del_test".into(),
        attempt: 1,
        recipient: Recipient::default(),
        notification: Notification {
            id: "ntf_test".into(),
            kind: "info".into(),
            content: Content { text: text.into(), ..Content::default() },
            created_ms: NOW_MS,
            ..Notification::default()
        },
    }
}

/// What `configure` says of this config: shape first, then meaning. As the host would be told.
pub fn configure<C: Channel>(config: &Value) -> Vec<ConfigProblem> {
    match <C as Config>::from_json(&config.to_string()) {
        Ok(channel) => channel.configure(),
        Err(problem) => vec![problem],
    }
}

#[cfg(test)]
mod tests;
