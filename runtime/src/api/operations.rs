//! What operators and their programs ask: is it there, can it work, what is loaded, how much.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use super::Api;
use super::failure::json;
use super::wire::{ComponentView, PluginView, Plugins, Readiness};
use crate::runtime::ComponentHealth;
use crate::telemetry::Metrics;

const JSON: &str = "application/json";

/// `GET /v1/plugins`
pub(super) async fn plugins(State(api): State<Arc<Api>>) -> Response {
    let plugins = api.runtime.plugins().iter().map(PluginView::from).collect();
    json(StatusCode::OK, JSON, &Plugins { plugins })
}

/// `GET /healthz`: the process answers.
pub(super) async fn healthz() -> Response {
    json(StatusCode::OK, JSON, &serde_json::json!({ "status": "ok" }))
}

/// `GET /readyz`: whether work can be done. A channel that cannot be used degrades the server and no more: to take it
/// out of service would stop the others, too.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> Response {
    let components = api.runtime.readiness().await;
    let ready = components.iter().all(|component| component.ready || !component.essential);
    let whole = components.iter().all(|component| component.ready);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let readiness = Readiness {
        status: if ready && !whole { "degraded" } else { ready_word(ready) }.to_owned(),
        components: components.into_iter().map(component_view).collect(),
    };
    json(status, JSON, &readiness)
}

fn component_view(component: ComponentHealth) -> ComponentView {
    let ComponentHealth { name, ready, essential: _, detail } = component;
    ComponentView { name, status: ready_word(ready).to_owned(), detail }
}

const fn ready_word(ready: bool) -> &'static str {
    if ready { "ready" } else { "not-ready" }
}

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let headers = [(CONTENT_TYPE, Metrics::CONTENT_TYPE), (CACHE_CONTROL, "no-store")];
    (headers, api.runtime.metrics_text()).into_response()
}
