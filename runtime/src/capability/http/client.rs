//! One exchange: checked, bounded in size and time, its failures told apart.

use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use tokio::time::{Instant, timeout_at};

use super::address::Network;
use super::grant::{HostResolver, HttpGrant, permits_address};

/// The longest URL of a request. Servers commonly refuse beyond 8 KiB.
const URL_BYTES_MAX: usize = 8 << 10;
/// The most headers of a request, and of a reply.
const HEADERS_MAX: usize = 64;
/// All header names and values of a request together.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// A connection that takes longer is not coming.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unused connections are kept for this long; most servers close theirs after 60 s or more.
const POOL_IDLE: Duration = Duration::from_secs(30);

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

/// What one call of a plugin may use of HTTP.
#[derive(Clone, Copy, Debug)]
pub struct EgressLimits {
    /// Requests per call.
    pub calls: u32,
    /// The largest request body, in bytes.
    pub request_max: u64,
    /// The largest reply body that is handed over, in bytes; a longer one is cut.
    pub response_max: u64,
}

/// A request as a plugin makes it.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    /// A token, such as `POST`.
    pub method: String,
    /// Absolute, `http` or `https`.
    pub url: String,
    /// In order; several of a name stay several.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: Bytes,
    /// Never more than the call has left.
    pub timeout: Option<Duration>,
}

/// A reply as a plugin gets it.
#[derive(Clone, Debug)]
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

/// Why there is no reply. Each says whether the provider may have acted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// Not granted, or a forbidden address. Nothing was sent.
    #[error("denied: {0}")]
    Denied(String),
    /// A bad URL, method, header or size. Nothing was sent.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// More requests than a call may make. Nothing was sent.
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

/// HTTP for one call of a plugin.
#[derive(Debug)]
pub struct OpenHttp {
    grant: Arc<HttpGrant>,
    limits: EgressLimits,
    deadline: Instant,
    calls: u32,
}

impl HttpGrant {
    /// Opens HTTP for one call that ends at `deadline`.
    #[must_use]
    pub fn open(self: &Arc<Self>, limits: EgressLimits, deadline: Instant) -> OpenHttp {
        OpenHttp { grant: Arc::clone(self), limits, deadline, calls: 0 }
    }
}

impl OpenHttp {
    /// One exchange.
    ///
    /// # Errors
    ///
    /// [`HttpError`] says what went wrong and whether the provider may have acted.
    pub async fn send(&mut self, request: HttpRequest) -> Result<HttpReply, HttpError> {
        if self.calls >= self.limits.calls {
            return Err(HttpError::Exhausted(format!("a call may make {} requests", self.limits.calls)));
        }
        self.calls += 1;
        let url = parse_url(&request.url)?;
        self.grant.permits(&url).map_err(HttpError::Denied)?;
        let body_len = request.body.len() as u64;
        if body_len > self.limits.request_max {
            let limit = self.limits.request_max;
            return Err(HttpError::Invalid(format!("the body has {body_len} bytes, the limit is {limit}")));
        }
        let method = Method::from_bytes(request.method.as_bytes())
            .ok()
            .filter(|method| *method != Method::CONNECT && *method != Method::TRACE)
            .ok_or_else(|| HttpError::Invalid("the method is not one that can be used".into()))?;
        let headers = parse_headers(&request.headers)?;
        let now = Instant::now();
        let deadline = request.timeout.map_or(self.deadline, |timeout| self.deadline.min(now + timeout));
        if deadline <= now {
            return Err(HttpError::Timeout("no time is left; nothing was sent".into()));
        }
        let mut builder = self.grant.client.request(method, url).headers(headers);
        if !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let response_max = self.limits.response_max;
        match timeout_at(deadline, exchange(builder, response_max)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout(format!("no complete answer within {:?}", deadline - now))),
        }
    }
}

async fn exchange(builder: reqwest::RequestBuilder, response_max: u64) -> Result<HttpReply, HttpError> {
    let mut response = builder.send().await.map_err(|error| judge(&error))?;
    let status = response.status().as_u16();
    let headers = reply_headers(response.headers());
    let mut body = BytesMut::new();
    let mut truncated = false;
    let limit = usize::try_from(response_max).unwrap_or(usize::MAX);
    while let Some(chunk) = response.chunk().await.map_err(|error| judge(&error))? {
        let room = limit - body.len();
        if chunk.len() > room {
            body.extend_from_slice(&chunk[..room]);
            truncated = true;
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(HttpReply { status, headers, body: body.freeze(), truncated })
}

fn reply_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .take(HEADERS_MAX)
        .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

fn parse_url(text: &str) -> Result<Url, HttpError> {
    if text.len() > URL_BYTES_MAX {
        return Err(HttpError::Invalid(format!("the URL has {} bytes, the limit is {URL_BYTES_MAX}", text.len())));
    }
    // The text may hold a credential, so no message repeats it.
    let url = Url::parse(text).map_err(|error| HttpError::Invalid(format!("the URL is not one: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(HttpError::Invalid("the URL is not an absolute http or https URL".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(HttpError::Invalid("the URL carries credentials; send them in a header".into()));
    }
    Ok(url)
}

fn parse_headers(headers: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    let bytes: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(HttpError::Invalid(format!(
            "{} headers of {bytes} bytes, the limits are {HEADERS_MAX} and {HEADER_BYTES_MAX}",
            headers.len()
        )));
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| HttpError::Invalid("a header's name is not a token".into()))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(HttpError::Invalid(format!("the header `{name}` belongs to the connection")));
        }
        let value = HeaderValue::from_str(value).map_err(|_| {
            HttpError::Invalid(format!("the value of header `{name}` has characters that none may have"))
        })?;
        map.append(name, value);
    }
    Ok(map)
}

/// Tells the kinds of failure apart. Never repeats the URL: reqwest would.
fn judge(error: &reqwest::Error) -> HttpError {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(Forbidden(sentence)) = cause.downcast_ref() {
            return HttpError::Denied(sentence.clone());
        }
        source = cause.source();
    }
    let cause = innermost(error);
    if error.is_connect() {
        HttpError::Unreachable(cause)
    } else if error.is_builder() || error.is_request() && error.source().is_none() {
        HttpError::Invalid(cause)
    } else {
        HttpError::Interrupted(cause)
    }
}

fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = match error.source() {
        Some(source) => source,
        None => return "the connection failed".into(),
    };
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

/// Every address of a name is forbidden.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Forbidden(String);

/// Resolves a name once and hands over only the addresses that may be reached: the connection goes to one of these.
struct PolicyResolver {
    inner: Arc<dyn HostResolver>,
    networks: Arc<Vec<Network>>,
}

impl reqwest::dns::Resolve for PolicyResolver {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let inner = Arc::clone(&self.inner);
        let networks = Arc::clone(&self.networks);
        Box::pin(async move {
            let found = inner.resolve(name.as_str()).await?;
            let (allowed, refused) = sift(&networks, found);
            match (allowed.is_empty(), refused) {
                (true, Some(sentence)) => Err(Forbidden(sentence).into()),
                _ => Ok(Box::new(allowed.into_iter()) as reqwest::dns::Addrs),
            }
        })
    }
}

/// The addresses that may be reached, and the sentence about the first that may not.
fn sift(networks: &[Network], found: Vec<SocketAddr>) -> (Vec<SocketAddr>, Option<String>) {
    let mut refused = None;
    let allowed = found
        .into_iter()
        .filter(|address| match permits_address(networks, address.ip()) {
            Ok(()) => true,
            Err(sentence) => {
                refused.get_or_insert(sentence);
                false
            }
        })
        .collect();
    (allowed, refused)
}

pub(super) fn build(
    resolver: Arc<dyn HostResolver>,
    networks: Arc<Vec<Network>>,
) -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .user_agent(concat!("campanile/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .dns_resolver(Arc::new(PolicyResolver { inner: resolver, networks }))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .http1_max_headers(HEADERS_MAX)
        .tcp_nodelay(true)
        .build()
}

#[cfg(test)]
mod tests;
