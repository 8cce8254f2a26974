//! `campanile:plugin/http` over `capability::http`.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::HasData;

use crate::capability::http::{self, BodyPart, HttpError, HttpReply, HttpRequest};
use crate::telemetry::EgressResult;

use super::super::bindings::campanile::plugin::http::{Auth, Error, Host, Request, Response};
use super::super::bindings::campanile::plugin::types;
use super::super::limits::Refusal;
use super::super::state::{CallState, HttpState};

/// What `send` answers when there is no reply: an error the guest may handle, or the end of its call.
pub(in super::super) enum HttpEnd {
    Guest(Error),
    Call(Refusal),
}

impl From<Error> for HttpEnd {
    fn from(error: Error) -> Self {
        Self::Guest(error)
    }
}

pub(super) struct HttpAbility;

impl HasData for HttpAbility {
    type Data<'a> = &'a mut HttpState;
}

pub(super) fn view(state: &mut CallState) -> &mut HttpState {
    state.pulse.host_call();
    &mut state.http
}

impl HttpState {
    pub(super) fn count(&self, result: EgressResult) {
        if let Some((plugin, metrics)) = &self.counted {
            metrics.egress(&plugin.name, result);
        }
    }
}

pub(super) const fn result_of(error: &HttpError) -> EgressResult {
    match error {
        HttpError::Denied(_) => EgressResult::Denied,
        HttpError::Invalid(_) => EgressResult::Invalid,
        HttpError::Exhausted(_) => EgressResult::Exhausted,
        HttpError::Unreachable(_) => EgressResult::Unreachable,
        HttpError::Interrupted(_) => EgressResult::Interrupted,
        HttpError::Timeout(_) => EgressResult::Timeout,
    }
}

impl types::Host for HttpState {}

impl Host for HttpState {
    async fn send(&mut self, request: Request) -> Result<Response, HttpEnd> {
        let handed = request.body.iter().map(piece_bytes).sum();
        self.pulse.hand_over(handed).map_err(HttpEnd::Call)?;
        let Some(grant) = &self.grant else {
            self.count(EgressResult::Denied);
            return Err(HttpEnd::Guest(Error::Denied(super::UNGRANTED.to_owned())));
        };
        let open = self.open.get_or_insert_with(|| grant.open(self.limits, self.deadline));
        let request = match to_request(request) {
            Ok(request) => request,
            Err(error) => {
                self.count(EgressResult::Invalid);
                return Err(HttpEnd::Guest(error));
            }
        };
        // Not reset when the future is dropped: that is how a deadline learns where it struck.
        self.waiting = true;
        let answer = open.send(request, &self.secrets).await;
        self.waiting = false;
        self.count(answer.as_ref().map_or_else(result_of, |_| EgressResult::Answered));
        answer.map(to_response).map_err(|error| match error {
            // The guest could do nothing with the answer any more, and would be blamed for running on.
            HttpError::Timeout(_) if Instant::now() >= self.deadline => HttpEnd::Call(Refusal::ProviderDeadline),
            other => HttpEnd::Guest(to_error(other)),
        })
    }

    fn convert_error(&mut self, end: HttpEnd) -> wasmtime::Result<Error> {
        match end {
            HttpEnd::Guest(error) => Ok(error),
            HttpEnd::Call(refusal) => Err(refusal.into()),
        }
    }
}

fn to_request(request: Request) -> Result<HttpRequest, Error> {
    Ok(HttpRequest {
        method: request.method,
        url: request.url,
        headers: request.headers,
        body: request.body.into_iter().map(to_part).collect::<Result<_, _>>()?,
        auth: to_auth(request.auth),
        timeout: request.timeout_ms.map(|ms| Duration::from_millis(ms.into())),
        redirects: request.redirects.into(),
    })
}

fn piece_bytes(piece: &types::Piece) -> u64 {
    match piece {
        types::Piece::Text(text) => text.len() as u64,
        types::Piece::Bytes(bytes) => bytes.len() as u64,
        // Its bytes are with the host already.
        types::Piece::Attachment(_) => 0,
    }
}

fn to_part(piece: types::Piece) -> Result<BodyPart, Error> {
    match piece {
        types::Piece::Text(text) => Ok(BodyPart::Text(text)),
        types::Piece::Bytes(bytes) => Ok(BodyPart::Bytes(bytes.into())),
        types::Piece::Attachment(placed) => {
            Err(Error::Invalid(format!("the call has no attachment {}; it has none at all", placed.id)))
        }
    }
}

fn to_auth(auth: Auth) -> http::Auth {
    match auth {
        Auth::None => http::Auth::None,
        Auth::Bearer(token) => http::Auth::Bearer(token),
        Auth::Basic(basic) => http::Auth::Basic { user: basic.user, password: basic.password },
        Auth::Header(named) => http::Auth::Header { name: named.name, value: named.value },
        Auth::Query(named) => http::Auth::Query { name: named.name, value: named.value },
        Auth::StandardWebhooks(signature) => http::Auth::StandardWebhooks { id: signature.id, keys: signature.keys },
        Auth::AwsSigv4(aws) => http::Auth::AwsSigv4 {
            access_key_id: aws.access_key_id,
            secret_key: aws.secret_key,
            session_token: aws.session_token,
            region: aws.region,
            service: aws.service,
        },
    }
}

fn to_response(reply: HttpReply) -> Response {
    Response { status: reply.status, headers: reply.headers, body: reply.body.into(), truncated: reply.truncated }
}

fn to_error(error: HttpError) -> Error {
    match error {
        HttpError::Denied(reason) => Error::Denied(reason),
        HttpError::Invalid(reason) => Error::Invalid(reason),
        HttpError::Exhausted(reason) => Error::Exhausted(reason),
        HttpError::Unreachable(reason) => Error::Unreachable(reason),
        HttpError::Interrupted(reason) => Error::Interrupted(reason),
        HttpError::Timeout(reason) => Error::Timeout(reason),
    }
}
