//! `/v1/dead-letters`: what was given up, by filter; tried again at a rate, or put away.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::asked::Asked;
use super::decode::Object;
use super::failure::{Failure, json};
use super::query::{self, Named, Query};
use super::wire::found::{DeadLetterList, DeadLetterView, PurgeAnswer, ReplayAnswer};
use super::{Api, body, cursor, filter};
use crate::intake::{Problem, ProblemCode, Problems};
use crate::runtime::{DeadLetterFilter, ReplayRate};

const JSON: &str = "application/json";

/// `GET /v1/dead-letters`
pub(super) async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let asked = filter::dead_letters(&mut query, &mut problems);
    let limit = query.limit(&mut problems);
    let mark = filter::mark_of_dead_letters(&asked);
    let after = query.cursor(mark, &mut problems);
    query.finish(&[&filter::OF_DEAD_LETTERS[..], &["limit", "cursor"]].concat(), problems)?;
    let page = api.runtime.dead_letters(asked, after, limit).await?;
    let dead_letters = page.dead_letters.iter().map(DeadLetterView::from).collect();
    let next_cursor = page.next.map(|next| cursor::write(&next, mark));
    Ok(json(StatusCode::OK, JSON, &DeadLetterList { dead_letters, next_cursor }))
}

/// `POST /v1/dead-letters/replay`
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
    let mut asked = None;
    if let Some(mut object) = Object::read(String::new(), raw, &mut problems) {
        let rate = object.parse("rate", str::parse::<ReplayRate>, &mut problems);
        let filter = bulk(&mut object, "\"all\": true", &mut problems);
        object.finish(&[&filter::OF_DEAD_LETTERS[..], &["rate", "all"]].concat(), &[], &mut problems);
        asked = Some((filter, rate));
    }
    body::sound(problems)?;
    let Some((filter, rate)) = asked else { return Err(Failure::Internal) };
    let report = runtime.replay_dead_letters(filter, rate).await?;
    Ok(json(StatusCode::OK, JSON, &ReplayAnswer::from(report)))
}

/// `DELETE /v1/dead-letters`
pub(super) async fn purge(Asked(runtime): Asked, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let asked = bulk(&mut query, "?all=true", &mut problems);
    query.finish(&[&filter::OF_DEAD_LETTERS[..], &["all"]].concat(), problems)?;
    let purged = runtime.purge_dead_letters(asked).await?;
    Ok(json(StatusCode::OK, JSON, &PurgeAnswer { purged }))
}

/// The filters of what is done with many at once. None at all is every dead letter there is, which has to be said.
fn bulk(from: &mut impl Named, how: &str, problems: &mut Problems) -> DeadLetterFilter {
    let all = from.yes("all", problems);
    let sound = problems.is_empty();
    let asked = filter::dead_letters(from, problems);
    let filtered = asked != DeadLetterFilter::default();
    let message = match (all, filtered) {
        (true, true) => "says every dead letter, and there are filters: give one or the other",
        (false, false) if sound && problems.is_empty() => "no filter is given, and that is every dead letter there is",
        _ => return asked,
    };
    problems.push(Problem {
        at: from.place("all"),
        code: if all { ProblemCode::Conflict } else { ProblemCode::Missing },
        message: message.to_owned(),
        hint: (!all).then(|| format!("give a filter, or say that all are meant with `{how}`")),
    });
    asked
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is asked for, or each problem as `place code`.
    fn asked(text: &str) -> Result<DeadLetterFilter, Vec<String>> {
        let mut query = Query::read(Some(text));
        let mut problems = Problems::default();
        let asked = bulk(&mut query, "?all=true", &mut problems);
        let told = |failure: Failure| {
            let problems = failure.document().problems;
            problems.into_iter().map(|problem| format!("{} {}", problem.at, problem.code)).collect()
        };
        query.finish(&filter::OF_DEAD_LETTERS, problems).map(|()| asked).map_err(told)
    }

    #[test]
    fn that_all_are_meant_has_to_be_said() {
        assert_eq!(asked("all=true"), Ok(DeadLetterFilter::default()));
        let expired = DeadLetterFilter { reason: Some("expired".into()), ..DeadLetterFilter::default() };
        assert_eq!(asked("reason=expired"), Ok(expired.clone()));
        assert_eq!(asked("reason=expired&all=false"), Ok(expired));
        assert_eq!(asked(""), Err(vec!["all missing".to_owned()]));
        assert_eq!(asked("all=false"), Err(vec!["all missing".to_owned()]));
        assert_eq!(asked("all=true&reason=expired"), Err(vec!["all conflict".to_owned()]));
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_not_every_dead_letter() {
        assert_eq!(asked("reason="), Err(vec!["reason empty".to_owned()]));
        assert_eq!(asked("chanel=ops"), Err(vec!["all missing".to_owned(), "chanel unknown-field".to_owned()]));
    }
}
