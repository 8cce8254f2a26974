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

/// `POST /v1/channels/{name}/reset`
pub(super) async fn reset(Asked(runtime): Asked, Path(name): Path<String>) -> Result<Response, Failure> {
    let name = channel_name(&name)?;
    let changed = runtime.reset_channel(&name).await?;
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
    let (name, to) = (channel_name(&name)?, to_in(&api, &headers, body).await?);
    let tested = runtime.test_channel(&name, to.as_deref()).await?;
    Ok(json(StatusCode::OK, JSON, &TestView::from(&tested)))
}

/// To whom: `{"to": "ada@example.com"}`. No body is as good as an empty object.
async fn to_in(api: &Api, headers: &HeaderMap, body: Body) -> Result<Option<String>, Failure> {
    let bytes = body::read(headers, body, api.body_max).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    body::format_of(headers, false)?;
    let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
    let mut problems = Problems::default();
    let mut to = None;
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        to = object.text("to", &mut problems);
        if let Some(length) = to.as_ref().map(String::len).filter(|length| *length > limits::ADDRESS_BYTES_MAX) {
            let message = format!("{length} bytes, the limit is {}", limits::ADDRESS_BYTES_MAX);
            problems.add(object.at("to"), ProblemCode::TooLong, message);
        }
        object.finish(&["to"], &[("recipient", "to"), ("address", "to")], &mut problems);
    }
    body::sound(problems)?;
    Ok(to)
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
