//! What a plugin asks for and what it gets, and the limits both are held to.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use url::Url;

/// The longest URL of a request. Servers commonly refuse beyond 8 KiB.
const URL_BYTES_MAX: usize = 8 << 10;
/// The most headers of a request, and of a reply.
pub(super) const HEADERS_MAX: usize = 64;
/// All header names and values of a request together, and of a reply.
pub(super) const HEADER_BYTES_MAX: usize = 32 << 10;
/// The most redirects that are followed for one request. Providers that redirect at all do it once.
pub const REDIRECTS_MAX: u32 = 5;

/// What requests say of themselves where the plugin does not.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("campanile/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// Headers that belong to the connection, not to the plugin.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header belongs to the connection and no plugin may set it. `name` is in lower case.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
}

/// What one call of a plugin may use of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct EgressLimits {
    /// Requests per call; a redirect that is followed is another.
    pub calls: u32,
    /// The largest request body, in bytes.
    pub request_max: u64,
    /// The largest reply body that is handed over, in bytes; a longer one is cut.
    pub response_max: u64,
    /// What the whole call may take: what is said of a deadline that it sets.
    pub timeout: Duration,
}

/// A stretch of a body.
#[derive(Clone)]
pub enum BodyPart {
    /// Text, in which handles are replaced.
    Text(String),
    /// Sent as they are.
    Bytes(Bytes),
}

impl BodyPart {
    /// Its length as the plugin wrote it, in bytes.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl fmt::Debug for BodyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// A credential that the host puts on. Secrets are named by their handles.
#[derive(Clone, Debug, Default)]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// `Authorization: Bearer …`
    Bearer(String),
    /// `Authorization: Basic …`
    Basic {
        /// In clear.
        user: String,
        /// A handle.
        password: String,
    },
    /// A header.
    Header {
        /// Its name.
        name: String,
        /// A handle.
        value: String,
    },
    /// A parameter in the URL's query.
    Query {
        /// Its name.
        name: String,
        /// A handle.
        value: String,
    },
    /// The three headers of Standard Webhooks, over the final body.
    StandardWebhooks {
        /// The message's.
        id: String,
        /// Handles; each makes one signature.
        keys: Vec<String>,
    },
    /// AWS Signature Version 4, over the final request.
    AwsSigv4 {
        /// Names the key; no secret.
        access_key_id: String,
        /// A handle.
        secret_key: String,
        /// A handle, of temporary credentials.
        session_token: Option<String>,
        /// Such as `eu-central-1`.
        region: String,
        /// Such as `ses`.
        service: String,
    },
}

/// A request as a plugin makes it: handles stand where secrets will.
#[derive(Clone)]
pub struct HttpRequest {
    /// A token, such as `POST`.
    pub method: String,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// In order; several of a name stay several.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: Vec<BodyPart>,
    /// Put on by the host.
    pub auth: Auth,
    /// Never more than the call has left.
    pub timeout: Option<Duration>,
    /// How many redirects are followed, at most [`REDIRECTS_MAX`]; the one after is handed over as a reply.
    pub redirects: u32,
}

// URL, header values and body may hold credentials and addresses of recipients.
impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("headers", &names)
            .field("body_bytes", &self.body.iter().map(BodyPart::len).sum::<usize>())
            .field("auth", &self.auth)
            .field("timeout", &self.timeout)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}

/// A reply as a plugin gets it.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpReply {
    /// Of the status line.
    pub status: u16,
    /// Lower-case names; several of a name stay several.
    pub headers: Vec<(String, String)>,
    /// At most as long as the limit.
    pub body: Bytes,
    /// It was longer.
    pub truncated: bool,
}

impl fmt::Debug for HttpReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("HttpReply")
            .field("status", &self.status)
            .field("headers", &names)
            .field("body_bytes", &self.body.len())
            .field("truncated", &self.truncated)
            .finish()
    }
}

/// Why there is no reply. Each says whether the provider may have acted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not granted, or a forbidden address. Nothing was sent, but for what was answered by a redirect.
    #[error("denied: {0}")]
    Denied(String),
    /// A bad URL, method, header or size. Nothing was sent.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// More requests than a call may make. Nothing was sent, but for what was answered by a redirect.
    #[error("exhausted: {0}")]
    Exhausted(String),
    /// No connection. Nothing was sent: safe to repeat.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// The connection broke. The provider may have acted.
    #[error("interrupted: {0}")]
    Interrupted(String),
    /// No answer in time. The provider may have acted.
    #[error("timed out: {0}")]
    Timeout(String),
}

impl HttpError {
    /// Its sentence.
    pub(super) fn reason_mut(&mut self) -> &mut String {
        match self {
            Self::Denied(reason)
            | Self::Invalid(reason)
            | Self::Exhausted(reason)
            | Self::Unreachable(reason)
            | Self::Interrupted(reason)
            | Self::Timeout(reason) => reason,
        }
    }
}

pub(super) fn parse_method(text: &str) -> Result<Method, HttpError> {
    Method::from_bytes(text.as_bytes())
        .ok()
        .filter(|method| *method != Method::CONNECT && *method != Method::TRACE)
        .ok_or_else(|| {
            HttpError::Invalid("the method is no token, or `CONNECT` or `TRACE`, which are never sent".into())
        })
}

pub(super) fn parse_url(text: &str) -> Result<Url, HttpError> {
    if text.len() > URL_BYTES_MAX {
        return Err(HttpError::Invalid(format!(
            "the URL has {} bytes, the limit is {URL_BYTES_MAX}; no setting changes that",
            text.len()
        )));
    }
    // The text may hold a credential, so no message repeats it.
    let url = Url::parse(text).map_err(|error| HttpError::Invalid(format!("the URL is not one: {error}")))?;
    check_url(url).map_err(|sentence| HttpError::Invalid(format!("the URL {sentence}")))
}

/// What every URL has to be, the plugin's own and that of a redirect.
pub(super) fn check_url(mut url: Url) -> Result<Url, &'static str> {
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("is not an absolute http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries credentials; send them in a header");
    }
    url.set_fragment(None);
    Ok(url)
}

pub(super) fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(HttpError::Invalid(format!(
            "{} headers of {bytes} bytes, the limits are {HEADERS_MAX} and {HEADER_BYTES_MAX}; no setting changes that",
            headers.len()
        )));
    }
    let mut map = HeaderMap::with_capacity(headers.len() + 2);
    for (name, value) in headers {
        let name = parse_name(name)?;
        let value = HeaderValue::from_str(value).map_err(|_| {
            HttpError::Invalid(format!("the value of header `{name}` has characters that none may have"))
        })?;
        map.append(name, value);
    }
    map.entry(USER_AGENT).or_insert(AGENT);
    map.entry(ACCEPT).or_insert(ANYTHING);
    Ok(map)
}

pub(super) fn parse_name(name: &str) -> Result<HeaderName, HttpError> {
    let name = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| HttpError::Invalid("a header's name is not a token".into()))?;
    if is_reserved(name.as_str()) {
        return Err(HttpError::Invalid(format!(
            "the header `{name}` belongs to the connection: leave it out, the host sets it"
        )));
    }
    Ok(name)
}

/// The headers of a reply as far as the limits go.
pub(super) fn reply_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut bytes = 0;
    headers
        .iter()
        .take(HEADERS_MAX)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .take_while(|(name, value)| {
            bytes += name.len() + value.len();
            bytes <= HEADER_BYTES_MAX
        })
        .collect()
}
