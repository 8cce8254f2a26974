//! Totals of the whole server.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::Api;
use super::failure::{Failure, json};
use super::wire::stats::StatsView;

/// `GET /v1/stats`
pub(super) async fn show(State(api): State<Arc<Api>>) -> Result<Response, Failure> {
    let statistics = api.runtime.statistics().await?;
    let callbacks = api.runtime.callbacks_status().await?;
    Ok(json(StatusCode::OK, "application/json", &StatsView::of(&statistics, &callbacks)))
}
