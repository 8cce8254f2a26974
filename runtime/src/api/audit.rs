//! `/v1/audit`: who did what, by filter.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::failure::{Failure, json};
use super::query::Query;
use super::wire::audit::{AuditList, AuditView};
use super::{Api, cursor, filter};
use crate::intake::Problems;

const JSON: &str = "application/json";

/// `GET /v1/audit`
pub(super) async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let asked = filter::audit(&mut query, &mut problems);
    let limit = query.limit(&mut problems);
    let mark = filter::mark_of_audit(&asked);
    let before = query.cursor(mark, &mut problems);
    query.finish(&[&filter::OF_AUDIT[..], &["limit", "cursor"]].concat(), problems)?;
    let question = api.runtime.find_audit(asked).limit(limit);
    let question = match before {
        Some(id) => question.before(id),
        None => question,
    };
    let page = question.page().await?;
    let entries = page.entries.iter().map(|(id, entry)| AuditView::of(*id, entry)).collect();
    let next_cursor = page.next.map(|next| cursor::write(&next, mark));
    Ok(json(StatusCode::OK, JSON, &AuditList { entries, next_cursor }))
}
