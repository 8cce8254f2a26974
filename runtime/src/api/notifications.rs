//! `/v1/notifications`: one, many, and how they are doing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::asked::Asked;
use super::body::{self, Format};
use super::decode::{self, Object, Raw};
use super::failure::{Failure, json};
use super::query::{self, Named as _, Query};
use super::wire::{Accepted, BatchAnswer, BatchItem, BatchResult, NotificationView};
use super::{Api, submission};
use crate::config::parse_duration;
use crate::domain::NotificationId;
use crate::intake::{ProblemCode, Problems, Submission, check_batch, limits::BATCH_MAX};
use crate::runtime::NotificationRecord;

/// A longer `wait` is answered after this all the same, with what is known then: many proxies drop a connection that
/// is silent for longer.
const WAIT_MAX: Duration = Duration::from_mins(5);

/// Other requests get a turn after so many notifications of a batch were read.
const BATCH_SLICE: usize = 128;

/// One notification is accepted once with it.
const KEY: &str = "idempotency-key";

/// Says that an answer was given before.
const REPLAYED: &str = "idempotent-replayed";

const JSON: &str = "application/json";

/// `POST /v1/notifications`
pub(super) async fn submit(
    State(api): State<Arc<Api>>,
    Asked(runtime): Asked,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let wait = wait_of(query.as_deref())?;
    body::format_of(&headers, false)?;
    let bytes = body::read(&headers, body, api.body_max).await?;
    let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
    let submission = examined(&api, raw, key_of(&headers)?).await.map_err(Failure::Invalid)?;
    let acceptance = runtime.submit(submission).await?;
    if let Some(wait) = wait {
        // It is accepted, so nothing that goes wrong from here on may look as if it were not.
        if let Ok(Some(record)) = api.runtime.wait(acceptance.id, wait).await {
            return Ok(record_answer(&api, &record).await);
        }
    }
    let mut answer = json(StatusCode::ACCEPTED, JSON, &Accepted::from(&acceptance));
    if acceptance.replayed {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(answer)
}

/// The header `Idempotency-Key`; what it may hold is the intake's to say.
fn key_of(headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Failure::Header("`Idempotency-Key` is there twice, and one request has one key"));
    }
    match value.to_str() {
        Ok(key) => Ok(Some(key.to_owned())),
        Err(_) => Err(Failure::Header("`Idempotency-Key` may have 1 to 255 visible ASCII characters")),
    }
}

/// `POST /v1/notifications/batch`. 200 says that each result speaks for itself: some may be refusals.
pub(super) async fn submit_batch(
    State(api): State<Arc<Api>>,
    Asked(runtime): Asked,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    if headers.contains_key(KEY) {
        return Err(Failure::Header(
            "`Idempotency-Key` stands for one notification: give each of a batch its own `idempotency_key`",
        ));
    }
    let format = body::format_of(&headers, true)?;
    let bytes = body::read(&headers, body, api.batch_body_max).await?;
    let text = body::text(&bytes)?;
    let items = match format {
        Format::Json => array_items(text)?,
        Format::Lines => line_items(text)?,
    };
    let mut good = Vec::with_capacity(items.len());
    let mut refused = Vec::new();
    for (place, item) in items.into_iter().enumerate() {
        if place % BATCH_SLICE == BATCH_SLICE - 1 {
            tokio::task::yield_now().await;
        }
        let read = match item {
            Ok(raw) => examined(&api, raw, None).await.map_err(Failure::Invalid),
            Err(message) => Err(Failure::Malformed { message }),
        };
        match read {
            Ok(submission) => good.push(submission),
            Err(failure) => refused.push((place, failure)),
        }
    }
    let answers = runtime.submit_batch(good).await?;
    Ok(json(StatusCode::OK, JSON, &BatchAnswer { results: in_order(answers, refused) }))
}

/// Puts the answers of those that were handed on and the refusals of the others back in the order of the request.
fn in_order(
    answers: Vec<Result<crate::intake::Acceptance, Problems>>,
    refused: Vec<(usize, Failure)>,
) -> Vec<BatchItem> {
    let refusal = |failure: &Failure| BatchResult::Refused { problem: failure.document() };
    let total = answers.len() + refused.len();
    let mut answers = answers.into_iter().map(|answer| match answer {
        Ok(acceptance) => BatchResult::Accepted(Accepted::from(&acceptance)),
        Err(problems) => refusal(&Failure::Invalid(problems)),
    });
    let mut refused = refused.into_iter().peekable();
    (0..total)
        .filter_map(|place| match refused.next_if(|(refused, _)| *refused == place) {
            Some((_, failure)) => Some(refusal(&failure)),
            None => answers.next(),
        })
        .enumerate()
        .map(|(index, result)| BatchItem { index, result })
        .collect()
}

/// `GET /v1/notifications/{id}`
pub(super) async fn show(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    const UNKNOWN: Failure = Failure::NotFound("no notification has this id");
    let wait = wait_of(query.as_deref())?;
    let id: NotificationId = id.parse().map_err(|_| UNKNOWN)?;
    let record = match wait {
        Some(wait) => api.runtime.wait(id, wait).await,
        None => api.runtime.notification(id).await,
    };
    let record = record?.ok_or(UNKNOWN)?;
    Ok(json(StatusCode::OK, JSON, &view(&api, &record).await))
}

/// How it stands, with what the registry says of its plugins at this moment.
async fn view(api: &Api, record: &NotificationRecord) -> NotificationView {
    NotificationView::of(record, &api.runtime.held_deliveries(record).await)
}

/// 200 where it has ended, 202 where time was up first.
async fn record_answer(api: &Api, record: &NotificationRecord) -> Response {
    let status = if record.counts.open == 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
    json(status, JSON, &view(api, record).await)
}

/// One notification that could be read, or all of its problems: those of reading it and, as far as it could be read,
/// those of checking it.
async fn examined(api: &Api, raw: Raw<'_>, key: Option<String>) -> Result<Submission, Problems> {
    let mut problems = Problems::default();
    let mut submission = submission::read(raw, &mut problems);
    if let Some(key) = key {
        if submission.idempotency_key.as_ref().is_some_and(|written| *written != key) {
            let message = "is another key than the header `Idempotency-Key`: give one of them";
            problems.add("/idempotency_key", ProblemCode::Conflict, message);
        }
        submission.idempotency_key = Some(key);
    }
    if problems.is_empty() {
        return Ok(submission);
    }
    let checked = api.runtime.examine(submission).await;
    Err(submission::merged(problems, &checked))
}

type Items<'a> = Vec<Result<Raw<'a>, String>>;

/// The notifications in an array, or in the field `notifications` of an object.
fn array_items(text: &str) -> Result<Items<'_>, Failure> {
    let raw = body::parse(text).map_err(|message| Failure::Malformed { message })?;
    let mut problems = Problems::default();
    let list = if raw.get().starts_with('{') {
        let object = Object::read(String::new(), raw, &mut problems);
        object.and_then(|mut object| {
            let list = object.take("notifications", &mut problems);
            object.finish(&["notifications"], &[], &mut problems);
            list
        })
    } else {
        Some(raw)
    };
    let entries = list.and_then(|list| decode::entries(list, BATCH_MAX));
    match entries {
        Some((_, count)) if count > BATCH_MAX => check_batch(count).map_err(Failure::Invalid)?,
        Some(_) => {}
        None => decode::wrong_type("", "an array, or an object with an array `notifications`,", raw, &mut problems),
    }
    if !problems.is_empty() {
        return Err(Failure::Invalid(problems));
    }
    Ok(entries.map(|(list, _)| list.into_iter().map(Ok).collect()).unwrap_or_default())
}

/// The notifications in lines; an empty line is none.
fn line_items(text: &str) -> Result<Items<'_>, Failure> {
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let items: Items<'_> = lines.take(BATCH_MAX + 1).map(|(number, line)| body::parse_line(line, number)).collect();
    check_batch(items.len()).map_err(Failure::Invalid)?;
    Ok(items)
}

/// `wait=10s`
fn wait_of(query: Option<&str>) -> Result<Option<Duration>, Failure> {
    let mut query = Query::read(query);
    let mut problems = Problems::default();
    let wait = query.parse("wait", parse_duration, &mut problems);
    query.finish(&["wait"], problems)?;
    Ok(wait.map(|wait| wait.min(WAIT_MAX)))
}
