//! Channels: how they stand, and what an operator does to them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::asked::Asked;
use super::decode::Object;
use super::failure::{Failure, json};
use super::wire::channels::{ChannelChanged, ChannelView, Channels, TestView};
use super::{Api, body};
use crate::domain::ChannelName;
use crate::intake::{ProblemCode, Problems, limits};
use crate::runtime::{ChannelError, Runtime};

/// The longest name a host can have, with its port.
const HOST_BYTES_MAX: usize = 253 + ":65535".len();

const JSON: &str = "application/json";

/// `GET /v1/channels`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let channels = api.runtime.channel_gates().iter().map(ChannelView::from).collect();
    json(StatusCode::OK, JSON, &Channels { channels })
}

/// `GET /v1/channels/{name}`
pub(super) async fn show(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Response, Failure> {
    let name = channel_name(&name)?;
    let view = view(&api.runtime, &name)?;
    Ok(json(StatusCode::OK, JSON, &view))
}

/// `POST /v1/channels/{name}/pause`
pub(super) async fn pause(Asked(runtime): Asked, Path(name): Path<String>) -> Result<Response, Failure> {
    let name = channel_name(&name)?;
    let changed = runtime.pause_channel(&name).await?;
    answer(&runtime, &name, changed)
}

/// `POST /v1/channels/{name}/resume`
pub(super) async fn resume(Asked(runtime): Asked, Path(name): Path<String>) -> Result<Response, Failure> {
    let name = channel_name(&name)?;
    let changed = runtime.resume_channel(&name).await?;
    answer(&runtime, &name, changed)
}

/// `POST /v1/channels/{name}/reset`: `{"host": "a.example"}` is about one host that it calls.
pub(super) async fn reset(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (name, host) = (channel_name(&name)?, text_in(&api, &headers, body, &HOST).await?);
    let changed = match host {
        Some(host) => runtime.reset_host(&name, &host).await?,
        None => runtime.reset_channel(&name).await?,
    };
    answer(&runtime, &name, changed)
}

/// `POST /v1/channels/{name}/test`: 200 however the call ended; that is what was asked.
pub(super) async fn test(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (name, to) = (channel_name(&name)?, text_in(&api, &headers, body, &TO).await?);
    let tested = runtime.test_channel(&name, to.as_deref()).await?;
    Ok(json(StatusCode::OK, JSON, &TestView::from(&tested)))
}

/// The only key that a body may have.
struct Key {
    name: &'static str,
    bytes_max: usize,
    /// What others would call it.
    meant: &'static [(&'static str, &'static str)],
}

const TO: Key =
    Key { name: "to", bytes_max: limits::ADDRESS_BYTES_MAX, meant: &[("recipient", "to"), ("address", "to")] };

const HOST: Key = Key { name: "host", bytes_max: HOST_BYTES_MAX, meant: &[("url", "host"), ("hosts", "host")] };

/// The text of one key: `{"to": "ada@example.com"}`. No body is as good as an empty object.
async fn text_in(api: &Api, headers: &HeaderMap, body: Body, key: &Key) -> Result<Option<String>, Failure> {
    let bytes = body::read(headers, body, api.body_max).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    body::format_of(headers, false)?;
    let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
    let mut problems = Problems::default();
    let mut text = None;
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        text = object.text(key.name, &mut problems);
        if let Some(length) = text.as_ref().map(String::len).filter(|length| *length > key.bytes_max) {
            let message = format!("{length} bytes, the limit is {}", key.bytes_max);
            problems.add(object.at(key.name), ProblemCode::TooLong, message);
        }
        object.finish(&[key.name], key.meant, &mut problems);
    }
    body::sound(problems)?;
    Ok(text)
}

fn channel_name(name: &str) -> Result<ChannelName, Failure> {
    ChannelName::new(name).map_err(|error| Failure::NoChannel(error.to_string()))
}

fn view(runtime: &Runtime, name: &ChannelName) -> Result<ChannelView, Failure> {
    let gate = runtime.channel_gate(name);
    gate.as_ref().map(ChannelView::from).ok_or_else(|| Failure::NoChannel(format!("there is no channel `{name}`")))
}

fn answer(runtime: &Runtime, name: &ChannelName, changed: bool) -> Result<Response, Failure> {
    Ok(json(StatusCode::OK, JSON, &ChannelChanged { changed, channel: view(runtime, name)? }))
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        let at_to = |code| {
            let mut problems = Problems::default();
            problems.add("/to", code, error.to_string());
            Self::Untestable(problems)
        };
        match error {
            ChannelError::NeedsAddress { .. } => at_to(ProblemCode::Missing),
            ChannelError::BadAddress { .. } => at_to(ProblemCode::BadAddress),
            ChannelError::NeedsNoAddress { .. } => at_to(ProblemCode::Conflict),
            ChannelError::Store(error) => error.into(),
            ChannelError::NotReady { .. } => Self::ChannelUnusable(error.to_string()),
            ChannelError::Unknown { .. } => Self::NoChannel(error.to_string()),
        }
    }
}
