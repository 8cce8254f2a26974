//! Callbacks: how they are doing, and what an operator does about those that were given up.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::asked::Asked;
use super::cursor::DeadCallbackId;
use super::decode::{Object, decode_owned, wrong_type};
use super::failure::{Failure, json};
use super::query::{self, Named, Query};
use super::submission::instant;
use super::wire::callbacks::{
    CallbackReplayAnswer, CallbacksView, DeadCallbackList, DeadCallbackView, EnableAnswer, ForgetAnswer, PurgedView,
    RangeReplayAnswer,
};
use super::{Api, body, cursor, filter};
use crate::domain::CallbackName;
use crate::intake::{Problem, ProblemCode, Problems};
use crate::runtime::{CallbackOperationError, DeadCallbackChoice, DeadCallbackFilter, WebhookError};

const JSON: &str = "application/json";

/// What a replay of a stretch of time takes.
const RANGE: [&str; 2] = ["since", "until"];

/// Ids that one request may name; for more there are filters.
const IDS_MAX: usize = 1_000;

/// `GET /v1/callbacks`
pub(super) async fn show(State(api): State<Arc<Api>>) -> Result<Response, Failure> {
    let status = api.runtime.callbacks_status().await?;
    Ok(json(StatusCode::OK, JSON, &CallbacksView::from(&status)))
}

/// `GET /v1/callbacks/dead-letters`
pub(super) async fn dead_letters(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let asked = filter::dead_callbacks(&mut query, &mut problems);
    let limit = query.limit(&mut problems);
    let mark = filter::mark_of_dead_callbacks(&asked);
    let after = query.cursor::<DeadCallbackId>(mark, &mut problems);
    query.finish(&[&filter::OF_DEAD_CALLBACKS[..], &["limit", "cursor"]].concat(), problems)?;
    let page = api.runtime.dead_callbacks(&asked, after.map_or(0, |id| id.0), limit).await?;
    let dead_letters = page.dead.iter().map(DeadCallbackView::from).collect();
    let next_cursor = page.next.map(|next| cursor::write(&DeadCallbackId(next), mark));
    Ok(json(StatusCode::OK, JSON, &DeadCallbackList { dead_letters, next_cursor }))
}

/// `POST /v1/callbacks/dead-letters/replay`: `{"ids": [1, 2]}`, filters, or `{"all": true}`.
pub(super) async fn replay(
    State(api): State<Arc<Api>>,
    Asked(runtime): Asked,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let bytes = body::whole(&headers, body, api.body_max).await?;
    let raw = body::document(&bytes)?;
    let mut problems = Problems::default();
    let mut chosen = None;
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        let ids = ids(&mut object, &mut problems);
        let choice = chosen_by(ids, &mut object, "\"all\": true", &mut problems);
        object.finish(&[&filter::OF_DEAD_CALLBACKS[..], &["ids", "all"]].concat(), &[], &mut problems);
        chosen = Some(choice);
    }
    query::sound(problems)?;
    let Some(choice) = chosen else { return Err(Failure::Internal) };
    let report = runtime.replay_callbacks(choice).await?;
    Ok(json(StatusCode::OK, JSON, &CallbackReplayAnswer::from(report)))
}

/// `DELETE /v1/callbacks/dead-letters`
pub(super) async fn purge(Asked(runtime): Asked, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let id = |text: &str| text.parse::<u64>().map_err(|_| "must be the number of a dead letter");
    let ids = query.parse("id", id, &mut problems).map(|id| vec![id]);
    let choice = chosen_by(ids, &mut query, "?all=true", &mut problems);
    query.finish(&[&filter::OF_DEAD_CALLBACKS[..], &["id", "all"]].concat(), problems)?;
    let purged = runtime.purge_callbacks(choice).await?;
    Ok(json(StatusCode::OK, JSON, &PurgedView { purged }))
}

/// `POST /v1/callbacks/{name}/enable`
pub(super) async fn enable(Asked(runtime): Asked, Path(name): Path<String>) -> Result<Response, Failure> {
    let name = CallbackName::new(&name).map_err(|error| Failure::NoCallback(error.to_string()))?;
    let changed = runtime.enable_callback(&name).await?;
    Ok(json(StatusCode::OK, JSON, &EnableAnswer { changed, name: name.to_string() }))
}

/// `DELETE /v1/callbacks/{name}`: of one that nobody calls any more.
pub(super) async fn forget(
    Asked(runtime): Asked,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let name = CallbackName::new(&name).map_err(|error| Failure::NoCallback(error.to_string()))?;
    let purged = runtime.forget_callback(&name).await?;
    Ok(json(StatusCode::OK, JSON, &ForgetAnswer { name: name.to_string(), purged }))
}

/// `POST /v1/callbacks/{name}/replay`: `{"since": "…", "until": "…"}`, both included. Of webhooks.
pub(super) async fn replay_range(
    State(api): State<Arc<Api>>,
    Asked(runtime): Asked,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let name = CallbackName::new(&name).map_err(|error| Failure::NoCallback(error.to_string()))?;
    let bytes = body::whole(&headers, body, api.body_max).await?;
    let raw = body::document(&bytes)?;
    let mut problems = Problems::default();
    let mut ends = [None, None];
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        for (end, key) in ends.iter_mut().zip(RANGE) {
            *end = object.parsed(key, instant, &mut problems);
            if end.is_none() && problems.is_empty() {
                let message = format!("`{key}` is missing: give both ends of the stretch of time");
                problems.push(Problem { at: object.at(key), code: ProblemCode::Missing, message, hint: None });
            }
        }
        object.finish(&RANGE, &[], &mut problems);
    }
    query::sound(problems)?;
    let [Some(since), Some(until)] = ends else { return Err(Failure::Internal) };
    let replayed = runtime.replay_webhook(&name, since, until).await?;
    Ok(json(StatusCode::OK, JSON, &RangeReplayAnswer { replayed }))
}

/// The list of ids, if there is one.
fn ids(object: &mut Object<'_>, problems: &mut Problems) -> Option<Vec<u64>> {
    let listed = object.list("ids", IDS_MAX, problems);
    let mut ids = Vec::with_capacity(listed.len());
    for (place, raw) in listed.iter().enumerate() {
        match decode_owned::<u64>(raw) {
            Some(id) => ids.push(id),
            None => wrong_type(&format!("{}/{place}", object.at("ids")), "the number of a dead letter", raw, problems),
        }
    }
    (!listed.is_empty()).then_some(ids)
}

/// What is done with many at once: ids, filters, or all of them, which has to be said.
fn chosen_by(ids: Option<Vec<u64>>, from: &mut impl Named, how: &str, problems: &mut Problems) -> DeadCallbackChoice {
    let all = from.yes("all", problems);
    let sound = problems.is_empty();
    let asked = filter::dead_callbacks(from, problems);
    let ways = u8::from(all) + u8::from(ids.is_some()) + u8::from(asked != DeadCallbackFilter::default());
    let message = match ways {
        0 if sound && problems.is_empty() => "nothing is chosen, and that is every dead letter of a callback there is",
        2.. => "every dead letter, some by their ids, and those that filters let through: give one of the three",
        _ => return ids.map_or(DeadCallbackChoice::Matching(asked), DeadCallbackChoice::Ids),
    };
    problems.push(Problem {
        at: from.place("all"),
        code: if ways == 0 { ProblemCode::Missing } else { ProblemCode::Conflict },
        message: message.to_owned(),
        hint: (ways == 0).then(|| format!("give a filter, or say that all are meant with `{how}`")),
    });
    DeadCallbackChoice::Matching(asked)
}

impl From<CallbackOperationError> for Failure {
    fn from(error: CallbackOperationError) -> Self {
        match error {
            CallbackOperationError::Store(error) => error.into(),
            CallbackOperationError::Unknown { .. } => Self::NoCallback(error.to_string()),
            CallbackOperationError::InUse { .. } => Self::CallbackInUse(error.to_string()),
        }
    }
}

impl From<WebhookError> for Failure {
    fn from(error: WebhookError) -> Self {
        match error {
            WebhookError::Store(error) => error.into(),
            WebhookError::Unknown { .. } => Self::NoCallback(error.to_string()),
            WebhookError::Backwards { .. } | WebhookError::Full { .. } | WebhookError::Stopped { .. } => {
                Self::NothingToDo(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen, or each problem as `place code`.
    fn chosen(text: &str) -> Result<DeadCallbackChoice, Vec<String>> {
        let mut problems = Problems::default();
        let raw = body::parse(text).expect("JSON");
        let mut object = Object::read(String::new(), raw, &mut problems).expect("an object");
        let ids = ids(&mut object, &mut problems);
        let choice = chosen_by(ids, &mut object, "\"all\": true", &mut problems);
        object.finish(&filter::OF_DEAD_CALLBACKS, &[], &mut problems);
        let told = |failure: Failure| {
            let problems = failure.document().problems;
            problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.code)).collect()
        };
        query::sound(problems).map(|()| choice).map_err(told)
    }

    #[test]
    fn ids_filters_or_all_are_chosen_and_one_of_them_has_to_be_said() {
        assert_eq!(chosen(r#"{"ids": [3, 1]}"#), Ok(DeadCallbackChoice::Ids(vec![3, 1])));
        let all = DeadCallbackFilter::default();
        assert_eq!(chosen(r#"{"all": true}"#), Ok(DeadCallbackChoice::Matching(all.clone())));
        let crm = DeadCallbackFilter { callback: Some(CallbackName::new("crm").expect("a name")), ..all };
        assert_eq!(chosen(r#"{"callback": "crm"}"#), Ok(DeadCallbackChoice::Matching(crm)));
        assert_eq!(chosen("{}"), Err(vec!["/all missing".to_owned()]));
        assert_eq!(chosen(r#"{"ids": []}"#), Err(vec!["/all missing".to_owned()]));
        assert_eq!(chosen(r#"{"ids": [1], "all": true}"#), Err(vec!["/all conflict".to_owned()]));
        assert_eq!(chosen(r#"{"ids": [1], "callback": "crm"}"#), Err(vec!["/all conflict".to_owned()]));
    }

    #[test]
    fn what_cannot_be_read_is_not_every_dead_letter() {
        assert_eq!(chosen(r#"{"ids": ["1"]}"#), Err(vec!["/ids/0 wrong-type".to_owned()]));
        assert_eq!(chosen(r#"{"callback": "C R M"}"#), Err(vec!["/callback bad-value".to_owned()]));
        assert_eq!(chosen(r#"{"notification": "x"}"#), Err(vec!["/notification bad-value".to_owned()]));
    }
}
