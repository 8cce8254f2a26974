//! What an operator asks of the server as a whole.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::asked::Asked;
use super::decode::Object;
use super::failure::{Failure, json};
use super::wire::ReloadView;
use super::{Api, body};
use crate::intake::Problems;

const JSON: &str = "application/json";

/// `POST /v1/admin/reload`: reads the configuration again. There is nothing to be said in the body.
pub(super) async fn reload(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let bytes = body::read(&headers, body, api.body_max).await?;
    if !bytes.is_empty() {
        body::format_of(&headers, false)?;
        let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
        let mut problems = Problems::default();
        if let Some(object) = Object::read(String::new(), raw, &mut problems) {
            object.finish(&[], &[], &mut problems);
        }
        body::sound(problems)?;
    }
    Ok(json(StatusCode::OK, JSON, &ReloadView::from(&runtime.reload_from_source().await?)))
}
