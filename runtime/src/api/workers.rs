//! The pool of workers: how it is doing, and how large it is to be.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::asked::Asked;
use super::decode::{Object, Raw, decode_owned, wrong_type};
use super::failure::{Failure, json};
use super::wire::workers::WorkersView;
use super::{Api, body};
use crate::intake::{ProblemCode, Problems};
use crate::runtime::{Runtime, ScaleWorkersError};

const JSON: &str = "application/json";

/// The field that says how many.
const WORKERS: &str = "workers";

/// `GET /v1/workers`
pub(super) async fn show(State(api): State<Arc<Api>>) -> Response {
    view(&api.runtime)
}

/// `POST /v1/workers/scale`: `{"workers": 3}`, or `"auto"`.
pub(super) async fn scale(
    Asked(runtime): Asked,
    State(api): State<Arc<Api>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let bytes = body::read(&headers, body, api.body_max).await?;
    body::format_of(&headers, false)?;
    let raw = body::parse(body::text(&bytes)?).map_err(|message| Failure::Malformed { message })?;
    let mut problems = Problems::default();
    let Some(mut object) = Object::read(String::new(), raw, &mut problems) else {
        return Err(Failure::Body(problems));
    };
    let at = object.at(WORKERS);
    let size = match object.take(WORKERS, &mut problems) {
        Some(raw) => size_in(raw, &at, &mut problems),
        None => {
            problems.add(&*at, ProblemCode::Missing, "say how many workers there are to be, or `\"auto\"`");
            None
        }
    };
    object.finish(&[WORKERS], &[], &mut problems);
    body::sound(problems)?;
    match runtime.scale_workers(size.flatten()).await {
        Ok(_) => Ok(view(&runtime)),
        Err(ScaleWorkersError::Store(error)) => Err(error.into()),
        Err(ScaleWorkersError::Size(error)) => {
            let mut problems = Problems::default();
            problems.add(at, ProblemCode::BadValue, error.to_string());
            Err(Failure::Body(problems))
        }
    }
}

/// How many; none where they follow the load.
fn size_in(raw: Raw<'_>, at: &str, problems: &mut Problems) -> Option<Option<u32>> {
    match (decode_owned::<u32>(raw), decode_owned::<String>(raw).as_deref()) {
        (Some(workers), _) => Some(Some(workers)),
        (None, Some("auto")) => Some(None),
        (None, Some(_)) => {
            problems.add(at, ProblemCode::BadValue, "must be a number, or `\"auto\"`");
            None
        }
        (None, None) => {
            wrong_type(at, "a whole number, or `\"auto\"`", raw, problems);
            None
        }
    }
}

fn view(runtime: &Runtime) -> Response {
    let view = WorkersView::of(&runtime.workers(), runtime.now(), |fuel| runtime.cpu_time_of(fuel));
    json(StatusCode::OK, JSON, &view)
}
