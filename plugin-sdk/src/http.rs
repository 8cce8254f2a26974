//! HTTP through the channel's egress policy.
//!
//! ```
//! use campanile_plugin_sdk::{http, json, testing::{Expect, MockHost}};
//!
//! let host = MockHost::new().expect(
//!     Expect::post("https://api.example.com/messages").json(json!({ "text": "hi" })).reply(201, r#"{"id":"m1"}"#),
//! );
//! let (reply, _) = host.run(|| {
//!     http::post("https://api.example.com/messages").json(&json!({ "text": "hi" })).send()
//! });
//! let reply = reply.unwrap();
//! assert_eq!(reply.status(), 201);
//! assert_eq!(reply.json::<campanile_plugin_sdk::Value>().unwrap()["id"], "m1");
//! ```

use std::{borrow::Cow, fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

use crate::{Failure, Outcome, Pairs, Secret, Trouble, host, outcome, retry_after};

/// A request with this method; `url` is absolute.
pub fn request(method: impl Into<String>, url: impl Into<String>) -> RequestBuilder {
    let request = Request {
        method: method.into(),
        url: url.into(),
        headers: Pairs::new(),
        body: Body::Empty,
        auth: Auth::None,
        redirects: 0,
        timeout: None,
    };
    RequestBuilder { request, problem: None }
}

/// A `GET`.
pub fn get(url: impl Into<String>) -> RequestBuilder {
    request("GET", url)
}

/// A `POST`.
pub fn post(url: impl Into<String>) -> RequestBuilder {
    request("POST", url)
}

/// A `PUT`.
pub fn put(url: impl Into<String>) -> RequestBuilder {
    request("PUT", url)
}

/// A `PATCH`.
pub fn patch(url: impl Into<String>) -> RequestBuilder {
    request("PATCH", url)
}

/// A `DELETE`.
pub fn delete(url: impl Into<String>) -> RequestBuilder {
    request("DELETE", url)
}

/// One HTTP request, as plain values: what a plugin's tests compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// In the order they were set.
    pub headers: Pairs,
    /// What is sent.
    pub body: Body,
    /// What the host puts on, after everything that is logged.
    pub auth: Auth,
    /// Redirects to follow, at most 5.
    pub redirects: u8,
    /// How long to wait; never more than the call has left.
    pub timeout: Option<Duration>,
}

/// Credentials that the host puts on a request. The plugin never sees one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer …`
    Bearer(Secret),
    /// `Authorization: Basic …`
    Basic {
        /// Not a secret.
        user: String,
        /// The secret.
        password: Secret,
    },
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// Its whole value.
        value: Secret,
    },
    /// A query parameter.
    Query {
        /// Its name.
        name: String,
        /// Its value.
        value: Secret,
    },
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks {
        /// The message's id: the same over all attempts.
        id: String,
        /// `whsec_…` signs v1, `whsk_…` v1a. Several while a key is changed.
        keys: Vec<Secret>,
    },
    /// AWS Signature Version 4.
    AwsSigV4(AwsSigV4),
}

/// How a request to AWS is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsSigV4 {
    /// `AKIA…` or `ASIA…`; not a secret.
    pub access_key_id: String,
    /// The secret access key.
    pub secret_key: Secret,
    /// Of temporary credentials.
    pub session_token: Option<Secret>,
    /// Such as `eu-central-1`.
    pub region: String,
    /// Such as `ses` or `sns`.
    pub service: String,
}

/// What is sent with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// Nothing.
    #[default]
    Empty,
    /// UTF-8.
    Text(String),
    /// Anything.
    Bytes(Vec<u8>),
}

impl Body {
    /// The bytes as they are sent.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Empty => &[],
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// A request in the making.
#[derive(Debug)]
#[must_use = "nothing is sent before `send`"]
pub struct RequestBuilder {
    request: Request,
    problem: Option<String>,
}

impl RequestBuilder {
    /// With one more header.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request.headers.push((name.into(), value.into()));
        self
    }

    /// With this value as JSON, and `content-type: application/json` unless one is set already.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        match serde_json::to_string(value) {
            Ok(text) => self.request.body = Body::Text(text),
            Err(problem) => self.problem = Some(format!("body cannot be written as json: {problem}")),
        }
        self.content_type("application/json")
    }

    /// With this text, and `content-type: text/plain; charset=utf-8` unless one is set already.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.request.body = Body::Text(text.into());
        self.content_type("text/plain; charset=utf-8")
    }

    /// With these bytes; set a content type yourself.
    pub fn bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.request.body = Body::Bytes(bytes.into());
        self
    }

    /// `Authorization: Bearer …`, put on by the host.
    pub fn bearer(self, token: &Secret) -> Self {
        self.auth(Auth::Bearer(token.clone()))
    }

    /// `Authorization: Basic …`, put on by the host.
    pub fn basic(self, user: impl Into<String>, password: &Secret) -> Self {
        self.auth(Auth::Basic { user: user.into(), password: password.clone() })
    }

    /// A header whose whole value is the secret, put on by the host.
    pub fn auth_header(self, name: impl Into<String>, value: &Secret) -> Self {
        self.auth(Auth::Header { name: name.into(), value: value.clone() })
    }

    /// A query parameter whose value is the secret, put on by the host.
    pub fn auth_query(self, name: impl Into<String>, value: &Secret) -> Self {
        self.auth(Auth::Query { name: name.into(), value: value.clone() })
    }

    /// The three headers of Standard Webhooks over the final body, one signature for each key. `id` is the message's.
    pub fn standard_webhooks<'k>(self, id: impl Into<String>, keys: impl IntoIterator<Item = &'k Secret>) -> Self {
        self.auth(Auth::StandardWebhooks { id: id.into(), keys: keys.into_iter().cloned().collect() })
    }

    /// AWS Signature Version 4 over the final request.
    pub fn aws_sigv4(self, signature: AwsSigV4) -> Self {
        self.auth(Auth::AwsSigV4(signature))
    }

    /// Follows at most so many redirects, 5 at the most. Default: none. Each passes the whole egress policy again, and
    /// what [`Auth`] puts on goes to no other origin.
    pub fn redirects(mut self, most: u8) -> Self {
        self.request.redirects = most;
        self
    }

    fn auth(mut self, auth: Auth) -> Self {
        self.request.auth = auth;
        self
    }

    /// Waits no longer than this for the answer. The call's own deadline holds anyway.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.request.timeout = Some(timeout);
        self
    }

    fn content_type(mut self, kind: &str) -> Self {
        if !self.request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
            self.request.headers.push(("content-type".into(), kind.into()));
        }
        self
    }

    /// The request as a value, unsent.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] if the body could not be written.
    pub fn build(self) -> Result<Request, Error> {
        match self.problem {
            None => Ok(self.request),
            Some(problem) => Err(Error::Invalid(problem)),
        }
    }

    /// Sends it and waits for the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// There was no answer: [`Error`] says why, and becomes a [`Failure`] by `?`.
    pub fn send(self) -> Result<Reply, Error> {
        self.build()?.send()
    }
}

impl Request {
    /// Sends it and waits for the answer, whatever its status.
    ///
    /// # Errors
    ///
    /// There was no answer: [`Error`] says why, and becomes a [`Failure`] by `?`.
    pub fn send(self) -> Result<Reply, Error> {
        host::exchange(self)
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Pairs,
    pub(crate) body: Vec<u8>,
    pub(crate) truncated: bool,
    pub(crate) now_ms: u64,
}

impl Reply {
    /// An answer made by hand, for tests of what judges answers.
    ///
    /// ```
    /// # use campanile_plugin_sdk::http::Reply;
    /// assert!(Reply::new(204, "").judge().is_ok());
    /// ```
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, body: body.into(), ..Self::default() }
    }

    /// With one more header.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// As if it had come at this time (milliseconds since 1970).
    #[must_use]
    pub fn at(mut self, now_ms: u64) -> Self {
        self.now_ms = now_ms;
        self
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All headers, names in lower case.
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The body as it came.
    pub fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// The body as text; what is no UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Whether the body was longer than the host's limit. Not an error: the provider has acted.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The body read as JSON.
    ///
    /// # Errors
    ///
    /// It is not JSON of this shape. As [`Failure`] that is a retry with [`Trouble::Other`]: a proxy or a provider in
    /// trouble answers with a page of HTML.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|problem| {
            let (line, column) = (problem.line(), problem.column());
            let reason = format!("provider answered {} with unexpected json at {line}:{column}", self.status);
            Failure::retry(Trouble::Other, reason).code("unexpected-body")
        })
    }

    /// How long the provider asks to wait (`Retry-After`, in either form).
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::parse(self.header("retry-after")?, self.now_ms)
    }

    /// What the status code means where the provider says nothing better: see [`outcome::from_status`].
    ///
    /// # Errors
    ///
    /// Everything but a 2xx.
    pub fn judge(&self) -> Outcome {
        outcome::from_status(self)
    }
}

/// Why there was no answer. The sentence is the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted, or a forbidden address; says which line would grant it.
    Denied(String),
    /// A bad URL, method, header or size.
    Invalid(String),
    /// More requests than one call may make.
    Exhausted(String),
    /// Nothing was sent: safe to repeat.
    Unreachable(String),
    /// Something was sent: the provider may have acted.
    Interrupted(String),
    /// No answer in time; the provider may have acted.
    Timeout(String),
}

impl Error {
    /// Its word: `denied`, `invalid`, `exhausted`, `unreachable`, `interrupted`, `timeout`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Invalid(_) => "invalid",
            Self::Exhausted(_) => "exhausted",
            Self::Unreachable(_) => "unreachable",
            Self::Interrupted(_) => "interrupted",
            Self::Timeout(_) => "timeout",
        }
    }

    /// Whether the provider may have acted all the same.
    pub const fn may_have_acted(&self) -> bool {
        match self {
            Self::Interrupted(_) | Self::Timeout(_) => true,
            Self::Denied(_) | Self::Invalid(_) | Self::Exhausted(_) | Self::Unreachable(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(why)
        | Self::Invalid(why)
        | Self::Exhausted(why)
        | Self::Unreachable(why)
        | Self::Interrupted(why)
        | Self::Timeout(why)) = self;
        formatter.write_str(why)
    }
}

impl std::error::Error for Error {}

/// A missing grant is the channel's fault, a bad request too (its URL and headers come from the config); what did not
/// reach the provider, or may not have, is tried again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = error.name();
        match error {
            Error::Denied(why) | Error::Invalid(why) | Error::Exhausted(why) => Self::channel(code, why),
            Error::Unreachable(why) | Error::Interrupted(why) => Self::retry(Trouble::Unreachable, why).code(code),
            Error::Timeout(why) => Self::retry(Trouble::Timeout, why).code(code),
        }
    }
}
