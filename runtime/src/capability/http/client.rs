//! One exchange: checked, bounded in size and time, its failures told apart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use tokio::time::{Instant, timeout_at};

use super::connect::{ConnectError, Pool};
use super::edge::Edge;
use super::grant::HttpGrant;
use super::played::{PlayedRequest, play};
use super::redirect::{Hop, follow, is_redirect};
use super::request::{
    Auth, EgressLimits, HttpError, HttpReply, HttpRequest, REDIRECTS_MAX, parse_headers, parse_method, reply_headers,
};
use crate::capability::secret::CallSecrets;
use crate::config::{CallLimits, format_duration};

/// The longest reason that is handed over. It is a library's sentence, cut so that no surprise gets far.
const REASON_BYTES_MAX: usize = 200;

/// HTTP for one call of a plugin. Clones count together.
#[derive(Clone, Debug)]
pub struct OpenHttp {
    grant: Arc<HttpGrant>,
    limits: EgressLimits,
    deadline: Instant,
    calls: Arc<AtomicU32>,
}

impl HttpGrant {
    /// Opens HTTP for one call that ends at `deadline`.
    #[must_use]
    pub fn open(self: &Arc<Self>, limits: EgressLimits, deadline: Instant) -> OpenHttp {
        OpenHttp { grant: Arc::clone(self), limits, deadline, calls: Arc::default() }
    }
}

impl OpenHttp {
    /// One exchange, and those that redirects ask for. Handles in it stand for `secrets`, which come back blanked out.
    ///
    /// # Errors
    ///
    /// [`HttpError`] says what went wrong and whether the provider may have acted.
    pub async fn send(&self, request: HttpRequest, secrets: &CallSecrets) -> Result<HttpReply, HttpError> {
        self.count()?;
        let mut more = Vec::new();
        let mut answer = self.place_and_send(request, secrets, &mut more).await;
        for scrubber in secrets.scrubbers(&more).iter().flatten() {
            match &mut answer {
                Ok(reply) => {
                    reply.headers.iter_mut().for_each(|(_, value)| scrubber.text(value));
                    scrubber.bytes(&mut reply.body, reply.truncated);
                }
                Err(error) => scrubber.text(error.reason_mut()),
            }
        }
        answer
    }

    /// Puts the secrets in place, which nobody gets to see any more, and sends. `more` is what else is a secret now.
    async fn place_and_send(
        &self,
        request: HttpRequest,
        secrets: &CallSecrets,
        more: &mut Vec<String>,
    ) -> Result<HttpReply, HttpError> {
        let HttpRequest { method, url, headers, body, auth, timeout, redirects } = request;
        let grant = Arc::clone(&self.grant);
        let edge = Edge { secrets, clock: &*grant.clock, section: grant.section() };
        let url = edge.url(&url)?;
        grant.permits(&url).map_err(HttpError::Denied)?;
        let (body, secret_body) = edge.body(body, &headers, &url)?;
        self.check_body(&body)?;
        if redirects > REDIRECTS_MAX {
            return Err(HttpError::Invalid(format!(
                "{redirects} redirects are too many, the limit is {REDIRECTS_MAX}; no setting changes that"
            )));
        }
        let mut headers = parse_headers(&headers)?;
        edge.headers(&mut headers, &url)?;
        let hop = Hop { method: parse_method(&method)?, url, headers, body, secret_body };
        let (deadline, left) = self.time(timeout)?;
        let asked = timeout.is_some_and(|timeout| timeout <= left);
        match timeout_at(deadline, self.chain(hop, redirects, auth, &edge, more)).await {
            Ok(result) => result,
            Err(_) => Err(HttpError::Timeout(self.too_late(left, asked))),
        }
    }

    fn count(&self) -> Result<(), HttpError> {
        let limit = self.limits.calls;
        if self.calls.fetch_add(1, Ordering::Relaxed) >= limit {
            let most = CallLimits::EGRESS_CALLS_MAX;
            let remedy = match limit.saturating_mul(2).clamp(1, most) {
                more if more > limit => {
                    format!("set `egress_calls = {more}` under {} to allow more", self.grant.section())
                }
                _ => "no setting allows more".to_owned(),
            };
            return Err(HttpError::Exhausted(format!("a call may make {limit} requests, this is one more; {remedy}")));
        }
        Ok(())
    }

    fn check_body(&self, body: &Bytes) -> Result<(), HttpError> {
        let (len, limit) = (body.len() as u64, self.limits.request_max);
        if len > limit {
            return Err(HttpError::Invalid(format!(
                "the body has {len} bytes, the limit is {limit}; no setting changes that"
            )));
        }
        Ok(())
    }

    /// When the exchange has to be over, and how long that is from now.
    fn time(&self, timeout: Option<Duration>) -> Result<(Instant, Duration), HttpError> {
        let now = Instant::now();
        let deadline =
            timeout.and_then(|timeout| now.checked_add(timeout)).map_or(self.deadline, |at| at.min(self.deadline));
        if deadline <= now {
            return Err(HttpError::Timeout(match self.deadline <= now {
                true => format!("no time is left of {}, so that nothing was sent; {}", self.call_time(), self.longer()),
                false => {
                    "the request gives itself no time, so that nothing was sent: its plugin asks for more".to_owned()
                }
            }));
        }
        Ok((deadline, deadline - now))
    }

    fn call_time(&self) -> String {
        format!("the call's {}", format_duration(self.limits.timeout))
    }

    /// The line that would give a call more time.
    fn longer(&self) -> String {
        let (limit, most) = (self.limits.timeout, CallLimits::TIMEOUT_MAX);
        match limit.saturating_mul(2).min(most) {
            more if more > limit => {
                let more = format_duration(more);
                format!("set `timeout = \"{more}\"` under {} to allow more", self.grant.section())
            }
            _ => "no setting allows more".to_owned(),
        }
    }

    /// `asked`: the plugin set the limit.
    fn too_late(&self, limit: Duration, asked: bool) -> String {
        let whose = match asked {
            true => "the time that its plugin gives it".to_owned(),
            false => format!("what was left of {}; {}", self.call_time(), self.longer()),
        };
        format!("no complete answer within {}, {whose}", format_duration(limit))
    }

    async fn chain(
        &self,
        mut hop: Hop,
        redirects: u32,
        mut auth: Auth,
        edge: &Edge<'_>,
        more: &mut Vec<String>,
    ) -> Result<HttpReply, HttpError> {
        let mut followed = 0;
        loop {
            let mut last = hop.clone();
            more.extend(edge.auth(&auth, &mut last)?);
            if let Some(provider) = &self.grant.played {
                let Hop { method, url, headers, body, secret_body: _ } = last;
                let (method, url, headers) = (method.to_string(), url.into(), reply_headers(&headers));
                let request = PlayedRequest { method, url, headers, body };
                return play(provider.as_ref(), request, self.limits.response_max);
            }
            let sent = send(&self.grant.pool, last).await;
            let response = sent.map_err(|error| if followed > 0 { acted(error) } else { error })?;
            let (status, headers) = (response.status(), response.headers());
            if followed == redirects || !is_redirect(status, headers) {
                return collect(response, self.limits.response_max).await;
            }
            let away = follow(&mut hop, status, headers)
                .map_err(|sentence| HttpError::Denied(format!("the redirect {sentence}")))?;
            if away {
                auth = Auth::None;
            }
            self.grant.permits(&hop.url).map_err(|sentence| HttpError::Denied(format!("of a redirect: {sentence}")))?;
            self.count()?;
            followed += 1;
        }
    }
}

/// After a redirect something was sent, whatever became of the rest.
fn acted(error: HttpError) -> HttpError {
    match error {
        HttpError::Unreachable(reason) => HttpError::Interrupted(format!("of a redirect: {reason}")),
        HttpError::Denied(reason) => HttpError::Denied(format!("of a redirect: {reason}")),
        other => other,
    }
}

async fn send(pool: &Pool, hop: Hop) -> Result<Response<Incoming>, HttpError> {
    let uri = Uri::try_from(hop.url.as_str()).map_err(|_| HttpError::Invalid("the URL cannot be sent".into()))?;
    let mut request = Request::new(Full::new(hop.body));
    *request.method_mut() = hop.method;
    *request.uri_mut() = uri;
    *request.headers_mut() = hop.headers;
    pool.request(request).await.map_err(|error| judge(&error))
}

async fn collect(response: Response<Incoming>, response_max: u64) -> Result<HttpReply, HttpError> {
    let status = response.status().as_u16();
    let headers = reply_headers(response.headers());
    let limit = usize::try_from(response_max).unwrap_or(usize::MAX);
    let mut incoming = response.into_body();
    let mut body = BytesMut::new();
    let mut truncated = false;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| HttpError::Interrupted(innermost(&error)))?;
        // Trailers are nothing a plugin can ask for.
        let Ok(chunk) = frame.into_data() else { continue };
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

/// Tells the kinds of failure apart. Never repeats the URL.
fn judge(error: &legacy::Error) -> HttpError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(ConnectError::Forbidden(sentence)) = cause.downcast_ref() {
            return HttpError::Denied(sentence.clone());
        }
        source = cause.source();
    }
    let cause = innermost(error);
    if error.is_connect() { HttpError::Unreachable(cause) } else { HttpError::Interrupted(cause) }
}

fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let mut reason = cause.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}
