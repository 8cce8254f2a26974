//! `/v1/events`: what happens, as server-sent events.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use super::Api;
use super::failure::Failure;
use super::query::{Named as _, Query};
use crate::domain::{EventPattern, NotificationId, ParseEventPatternError};
use crate::events::{EventFilter, EventId, EventIdError, Start, Subscription};
use crate::intake::{ProblemCode, Problems};

const PARAMETERS: [&str; 4] = ["since", "type", "notification", "follow"];

/// The last id that a client has seen; browsers send it when they connect again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Has proxies pass on what comes at once.
const UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// `GET /v1/events`
pub(super) async fn stream(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let resumed = last_event_id(&headers)?;
    let mut subscription = subscription(query.as_deref())?;
    // A browser repeats the URL that it began with: what it has seen since counts more.
    if let Some(id) = resumed {
        subscription.start = Start::After(id);
    }
    let subscriber = api.runtime.subscribers().subscribe(subscription)?;
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store"), (UNBUFFERED, "no")];
    Ok((headers, Body::from_stream(subscriber)).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<EventId>, Failure> {
    let Some(value) = headers.get(LAST_EVENT_ID).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    text.parse().map(Some).map_err(Failure::LastEventId)
}

fn subscription(query: Option<&str>) -> Result<Subscription, Failure> {
    let mut query = Query::read(query);
    let mut problems = Problems::default();
    let mut types = Vec::new();
    for text in query.words("type", &mut problems) {
        let wanted: Result<EventPattern, ParseEventPatternError> = text.parse();
        match wanted {
            Ok(wanted) => types.push(wanted),
            Err(error) => problems.add("type", ProblemCode::BadValue, error.to_string()),
        }
    }
    let notification = query.parse("notification", str::parse::<NotificationId>, &mut problems);
    let follow = query.yes_unless("follow", &mut problems);
    let start = query.parse("since", start, &mut problems);
    query.finish(&PARAMETERS, problems)?;
    // A list is of what there is, a stream of what comes.
    let start = start.unwrap_or(if follow { Start::Newest } else { Start::Oldest });
    Ok(Subscription { start, filter: EventFilter { types, notification }, follow })
}

fn start(text: &str) -> Result<Start, EventIdError> {
    match text {
        "oldest" => Ok(Start::Oldest),
        "newest" => Ok(Start::Newest),
        id => id.parse().map(Start::After),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::EventEpoch;

    fn problems(query: &str) -> Vec<String> {
        let Err(failure) = subscription(Some(query)) else { panic!("`{query}` is refused") };
        let problems = failure.document().problems;
        problems.into_iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect()
    }

    #[test]
    fn a_stream_begins_at_the_newest_and_a_list_at_the_oldest_unless_it_is_said() {
        let start = |query| subscription(query).map(|subscription| (subscription.start, subscription.follow)).unwrap();
        assert_eq!(start(None), (Start::Newest, true));
        assert_eq!(start(Some("follow=false")), (Start::Oldest, false));
        assert_eq!(start(Some("since=oldest&follow=true")), (Start::Oldest, true));
        assert_eq!(start(Some("since=newest&follow=false")), (Start::Newest, false));
        let id = EventId { epoch: EventEpoch(0xab), number: 7 };
        assert_eq!(start(Some("since=00000000000000ab-7")), (Start::After(id), true));
    }

    #[test]
    fn types_may_be_several() {
        let wanted = subscription(Some("type=delivery.*&type=plugin.swapped")).unwrap().filter;
        assert_eq!(wanted.types, ["delivery.*".parse().unwrap(), "plugin.swapped".parse().unwrap()]);
        assert_eq!(wanted.notification, None);
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let said = problems("type=delivery.sent&type=delivery.gone&type=&since=42&notification=x&follow=maybe&tpye=y");
        let has = |start: &str| said.iter().filter(|problem| problem.starts_with(start)).count();
        assert_eq!(has("type: `delivery.gone` is no type of event: "), 1, "{said:#?}");
        assert_eq!(has("type: is empty"), 1, "{said:#?}");
        assert_eq!(has("since: `42` is not the id of an event"), 1, "{said:#?}");
        assert_eq!((has("notification: "), has("follow: must be"), has("tpye: ")), (1, 1, 1), "{said:#?}");
        assert_eq!(problems("since=a&since=b").len(), 2, "twice, and no id");
    }

    #[test]
    fn one_subscriber_too_many_is_told_when_to_come_again() {
        let failure = Failure::from(crate::events::TooManySubscribers);
        let document = failure.document();
        assert_eq!((document.status, document.code.as_str()), (503, "too-many-subscribers"));
        assert!(document.detail.starts_with("1000 subscribers follow the events already"), "{}", document.detail);
        assert_eq!(failure.into_response().headers()[http::header::RETRY_AFTER], "5");
    }

    #[test]
    fn the_last_id_of_a_client_is_an_id_or_nothing() {
        let of = |value: &'static [u8]| {
            last_event_id(&[(LAST_EVENT_ID, http::HeaderValue::from_bytes(value).unwrap())].into_iter().collect())
        };
        assert_eq!(last_event_id(&HeaderMap::new()).unwrap(), None);
        assert_eq!(of(b"").unwrap(), None);
        assert_eq!(of(b"00000000000000ab-7").unwrap().map(|id| id.number), Some(7));
        for wrong in [&b"42"[..], b"\xff", b"00000000000000ab-7, 00000000000000ab-8"] {
            let document = of(wrong).unwrap_err().document();
            assert_eq!((document.status, document.code.as_str()), (400, "invalid-header"));
            assert!(document.detail.starts_with("the header `Last-Event-ID`: `"), "{}", document.detail);
        }
    }
}
