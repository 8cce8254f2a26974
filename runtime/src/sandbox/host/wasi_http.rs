//! `wasi:http/outgoing-handler` over `capability::http`: what ready-made clients and JavaScript's `fetch` call.
//!
//! *Invariants:* the same grant, connections, limits, deadline and count of requests as `campanile:plugin/http`; handles
//! of secrets are replaced as there, in the body if it is UTF-8, since nothing else here tells text from bytes; no
//! redirect is followed, a client follows them by itself, through here.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderName, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use tokio::time::timeout_at;
use wasmtime_wasi_http::{
    Error, ForbiddenHeaderFilter, RequestOptions, Result, WasiBody, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

use crate::capability::http::{Auth, BodyPart, HttpError, HttpReply, HttpRequest, is_reserved};
use crate::capability::secret::HANDLE_PREFIX;
use crate::telemetry::EgressResult;

use super::super::state::{CallState, HttpState};
use super::http::result_of;

/// A client that asks for no time at all gets this much: a timeout of zero would be one for sure.
const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// Of the connection, not of the message; and a length is wrong once secrets are blanked out.
const OF_CONNECTION: [&str; 6] =
    ["connection", "content-length", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"];

type Sent = (Response<WasiBody>, Box<dyn Future<Output = Result<()>> + Send>);

impl WasiHttpView for CallState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (wasi, http) = self.wasi();
        WasiHttpCtxView { hooks: http, table: &mut wasi.table, ctx: &mut wasi.http }
    }
}

/// Counts a request for as long as it is on its way, dropped or not.
struct OnItsWay(Arc<AtomicU32>);

impl OnItsWay {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(count))
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl WasiHttpHooks for HttpState {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        // A guest may say how long its body is; whether that is so is counted here.
        Arc::new(|name: &HeaderName| is_reserved(name.as_str()) && name != http::header::CONTENT_LENGTH)
    }

    fn set_host_header(&mut self) -> bool {
        // The connection's, as everywhere.
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<()>> + Send>,
    ) -> Box<dyn Future<Output = Result<Sent>> + Send> {
        let Some(grant) = &self.grant else {
            self.count(EgressResult::Denied);
            *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(super::UNGRANTED.to_owned());
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let open = self.open.get_or_insert_with(|| grant.open(self.limits, self.deadline)).clone();
        let (secrets, counted, pulse) = (self.secrets.clone(), self.counted.clone(), Arc::clone(&self.pulse));
        let (deadline, limit) = (self.deadline, self.limits.request_max);
        let told = Arc::clone(&self.told);
        let on_its_way = OnItsWay::new(&self.on_their_way);
        Box::new(async move {
            let _on_its_way = on_its_way;
            let (head, body) = request.into_parts();
            let body = match timeout_at(deadline, gather(body, limit)).await {
                Ok(body) => body?,
                Err(_) => return Err(Error::ConnectionWriteTimeout),
            };
            pulse.hand_over(body.len() as u64).map_err(|_| Error::HttpRequestBodySize(Some(limit)))?;
            let answer = match to_request(&head, body, options) {
                Ok(request) => open.send(request, &secrets).await,
                Err(error) => Err(error),
            };
            if let Some((plugin, metrics)) = &counted {
                metrics.egress(&plugin.name, answer.as_ref().map_or_else(result_of, |_| EgressResult::Answered));
            }
            if let Err(error) = &answer {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
            let done: Box<dyn Future<Output = Result<()>> + Send> = Box::new(async { Ok(()) });
            answer.map_err(to_error).and_then(to_response).map(|response| (response, done))
        })
    }
}

/// The whole body: nothing is sent before it is there, so that a limit is known before the provider acts.
async fn gather(mut body: WasiBody, limit: u64) -> Result<Bytes> {
    let mut gathered = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame?.into_data() else { continue };
        if (gathered.len() + chunk.len()) as u64 > limit {
            return Err(Error::HttpRequestBodySize(Some(limit)));
        }
        gathered.extend_from_slice(&chunk);
    }
    Ok(gathered.freeze())
}

fn to_request(
    head: &http::request::Parts,
    body: Bytes,
    options: Option<RequestOptions>,
) -> std::result::Result<HttpRequest, HttpError> {
    let mut headers = Vec::with_capacity(head.headers.len());
    for (name, value) in &head.headers {
        if *name == http::header::CONTENT_LENGTH {
            continue;
        }
        let value = value.to_str().map_err(|_| HttpError::Invalid(format!("the header `{name}` is not ASCII")))?;
        headers.push((name.as_str().to_owned(), value.to_owned()));
    }
    let timeout = options.and_then(|options| options.first_byte_timeout.or(options.connect_timeout));
    Ok(HttpRequest {
        method: head.method.to_string(),
        url: head.uri.to_string(),
        headers,
        body: vec![to_part(body)],
        auth: Auth::None,
        timeout: timeout.map(|timeout| timeout.max(TIMEOUT_MIN)),
        redirects: 0,
    })
}

fn to_part(body: Bytes) -> BodyPart {
    match str::from_utf8(&body) {
        Ok(text) if text.contains(HANDLE_PREFIX) => BodyPart::Text(text.to_owned()),
        _ => BodyPart::Bytes(body),
    }
}

fn to_response(reply: HttpReply) -> Result<Response<WasiBody>> {
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers.iter().filter(|(name, _)| !OF_CONNECTION.contains(&name.as_str())) {
        response = response.header(name, value);
    }
    // A reply that was cut is no whole reply: its end is an error, as that of a broken connection.
    let length = reply.body.len() as u64;
    let end = reply.truncated.then_some(Err(Error::HttpResponseBodySize(Some(length))));
    let frames = [Ok(Frame::data(reply.body))].into_iter().chain(end);
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    response.body(body).map_err(|_| Error::HttpProtocolError)
}

fn to_error(error: HttpError) -> Error {
    match error {
        HttpError::Denied(_) => Error::HttpRequestDenied,
        HttpError::Exhausted(_) => Error::ConnectionLimitReached,
        HttpError::Unreachable(_) => Error::DestinationUnavailable,
        HttpError::Interrupted(_) => Error::ConnectionTerminated,
        HttpError::Timeout(_) => Error::HttpResponseTimeout,
        // The one that has room for the sentence.
        HttpError::Invalid(reason) => Error::InternalError(Some(reason)),
    }
}
