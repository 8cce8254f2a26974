//! What operators and their programs ask: is it there, can it work, what is loaded, how much.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use semver::Version;

use super::asked::Asked;
use super::decode::Object;
use super::failure::{Failure, json};
use super::wire::{ComponentView, PluginView, Plugins, Readiness};
use super::{Api, body};
use crate::domain::PluginName;
use crate::intake::Problems;
use crate::runtime::{ComponentState, OperatorError, PluginStatus};
use crate::telemetry::Metrics;

const JSON: &str = "application/json";

/// `GET /v1/plugins`
pub(super) async fn plugins(State(api): State<Arc<Api>>) -> Response {
    let plugins = api
        .runtime
        .plugins()
        .iter()
        .map(|plugin| PluginView { warnings: api.runtime.plugin_warnings(plugin), ..PluginView::from(plugin) })
        .collect();
    json(StatusCode::OK, JSON, &Plugins { plugins })
}

/// `POST /v1/plugins/{name}/release`
pub(super) async fn release(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (name, version) = (plugin_name(&name)?, version_in(&api, &headers, body).await?);
    answer(runtime.release_plugin(&name, version.as_ref()).await)
}

/// `POST /v1/plugins/{name}/approve`
pub(super) async fn approve(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let (name, version) = (plugin_name(&name)?, version_in(&api, &headers, body).await?);
    answer(runtime.approve_plugin(&name, version.as_ref()).await)
}

/// The version that is meant: `{"version": "1.1.0"}`. No body is as good as an empty object.
async fn version_in(api: &Api, headers: &HeaderMap, body: Body) -> Result<Option<Version>, Failure> {
    let bytes = body::read(headers, body, api.body_max).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    body::format_of(headers, false)?;
    let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
    let mut problems = Problems::default();
    let mut version = None;
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        let parse =
            |text: &str| Version::parse(text).map_err(|error| format!("is no version such as `1.1.0`: {error}"));
        version = object.parsed("version", parse, &mut problems);
        object.finish(&["version"], &[], &mut problems);
    }
    body::sound(problems)?;
    Ok(version)
}

fn plugin_name(name: &str) -> Result<PluginName, Failure> {
    PluginName::new(name).map_err(|error| Failure::NoPlugin(error.to_string()))
}

/// How the plugin's files are doing now.
fn answer(done: Result<Vec<PluginStatus>, OperatorError>) -> Result<Response, Failure> {
    let plugins = done?.iter().map(PluginView::from).collect();
    Ok(json(StatusCode::OK, JSON, &Plugins { plugins }))
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, JSON, &serde_json::json!({ "status": "ok" }))
}

/// `GET /readyz`: whether work can be done. A channel that cannot be used degrades the server and no more: to take it
/// out of service would stop the others, too.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let components = api.runtime.readiness().await;
    let ready = components.iter().all(|component| component.is_ready() || !component.essential);
    let whole = components.iter().all(|component| component.state == ComponentState::Ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        status: if ready && !whole { "degraded" } else { ready_word(ready) }.to_owned(),
        components: components.iter().map(ComponentView::from).collect(),
    };
    json(status, JSON, &readiness)
}

const fn ready_word(ready: bool) -> &'static str {
    if ready { "ready" } else { "not-ready" }
}

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let headers = [(CONTENT_TYPE, Metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    (headers, api.runtime.metrics_text()).into_response()
}
