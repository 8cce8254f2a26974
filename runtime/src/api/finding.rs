//! `/v1/notifications` by filter, one delivery, and what is done with them: cancel and replay.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::asked::Asked;
use super::failure::{Failure, json};
use super::query::{self, Named as _, Query};
use super::wire::found::{CancelAnswer, DeliveryAnswer, DeliveryPage, NotificationList, ReplayAnswer};
use super::wire::{DeliveryView, NotificationView};
use super::{Api, cursor, filter};
use crate::domain::{DeliveryId, NotificationId};
use crate::intake::Problems;
use crate::runtime::{Cancelled, NotReplayed, NotificationFilter, NotificationPage};

const JSON: &str = "application/json";

/// Notifications that are read at once.
const SLICE: usize = 100;

/// A page that holds so many deliveries is not made longer: a notification may have a thousand.
const PAGE_DELIVERIES: usize = 10_000;

const NO_NOTIFICATION: Failure = Failure::NotFound("no notification has this id");
const NO_DELIVERY: Failure = Failure::NotFound("no delivery has this id");

/// `GET /v1/notifications`
pub(super) async fn list(State(api): State<Arc<Api>>, RawQuery(query): RawQuery) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let asked = filter::notifications(&mut query, &mut problems);
    let limit = query.limit(&mut problems);
    let mark = filter::mark_of_notifications(&asked);
    let before = query.cursor(mark, &mut problems);
    query.finish(&[&filter::OF_NOTIFICATIONS[..], &["limit", "cursor"]].concat(), problems)?;
    let page = gather(&api, &asked, before, limit).await?;
    let mut notifications = Vec::with_capacity(page.notifications.len());
    for record in &page.notifications {
        notifications.push(NotificationView::of(record, &api.runtime.held_deliveries(record).await));
    }
    let next_cursor = page.next.map(|next| cursor::write(&next, mark));
    Ok(json(StatusCode::OK, JSON, &NotificationList { notifications, next_cursor }))
}

/// A page in slices, which ends early where its notifications are large or few match.
async fn gather(
    api: &Api,
    (asked, held): &(NotificationFilter, bool),
    mut before: Option<NotificationId>,
    limit: usize,
) -> Result<NotificationPage, Failure> {
    let mut page = NotificationPage::default();
    let mut deliveries = 0;
    loop {
        let wanted = (limit - page.notifications.len()).min(SLICE);
        let question = api.runtime.find(asked.clone()).limit(wanted);
        let question = if *held { question.held() } else { question };
        let slice = match before {
            Some(id) => question.before(id),
            None => question,
        };
        let slice = slice.page().await?;
        let short = slice.notifications.len() < wanted;
        deliveries += slice.notifications.iter().map(|record| record.deliveries.len()).sum::<usize>();
        page.notifications.extend(slice.notifications);
        page.next = slice.next;
        before = page.next;
        if before.is_none() || short || page.notifications.len() >= limit || deliveries >= PAGE_DELIVERIES {
            return Ok(page);
        }
    }
}

/// `GET /v1/deliveries/{id}`
pub(super) async fn delivery(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let id: DeliveryId = id.parse().map_err(|_| NO_DELIVERY)?;
    let mut record = api.runtime.notification(id.notification()).await?.ok_or(NO_DELIVERY)?;
    // Of a large notification the record holds the first ones only.
    record.deliveries = api.runtime.deliveries(id.notification(), id.index(), 1).await?;
    let delivery = record.deliveries.iter().find(|delivery| delivery.id == id).ok_or(NO_DELIVERY)?;
    let held = api.runtime.held_deliveries(&record).await;
    Ok(json(StatusCode::OK, JSON, &DeliveryAnswer::of(delivery, &held)))
}

fn whole(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "must be a whole number: `next` of the page before")
}

/// `GET /v1/notifications/{id}/deliveries`: those of a large one, page by page, as far as they are made.
pub(super) async fn deliveries(
    State(api): State<Arc<Api>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let mut query = Query::read(query.as_deref());
    let mut problems = Problems::default();
    let limit = query.limit(&mut problems);
    let from: Option<u32> = query.parse("from", whole, &mut problems);
    query.finish(&["from", "limit"], problems)?;
    let id: NotificationId = id.parse().map_err(|_| NO_NOTIFICATION)?;
    let mut record = api.runtime.notification(id).await?.ok_or(NO_NOTIFICATION)?;
    let complete = record.unmade == 0;
    record.deliveries = api.runtime.deliveries(id, from.unwrap_or(0), limit).await?;
    let next = match record.deliveries.last() {
        Some(last) if record.deliveries.len() == limit => Some(last.id.index() + 1),
        _ => None,
    };
    let held = api.runtime.held_deliveries(&record).await;
    let deliveries = record.deliveries.iter().map(|delivery| DeliveryView::of(delivery, &held)).collect();
    Ok(json(StatusCode::OK, JSON, &DeliveryPage { deliveries, next, complete }))
}

/// `POST /v1/notifications/{id}/cancel`: 202 where an attempt is under way that may still send, 409 where a
/// provider has taken all that is left.
pub(super) async fn cancel(
    Asked(runtime): Asked,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let id: NotificationId = id.parse().map_err(|_| NO_NOTIFICATION)?;
    let last = Failure::AlreadyFinal("every delivery of this notification is final");
    let taken = Failure::Taken("the provider has taken whatever of this notification is not final");
    cancel_answer(runtime.cancel(id).await?, NO_NOTIFICATION, last, taken)
}

/// `POST /v1/deliveries/{id}/cancel`: 202 where an attempt is under way that may still send, 409 where a
/// provider has taken all that is left.
pub(super) async fn cancel_delivery(
    Asked(runtime): Asked,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let id: DeliveryId = id.parse().map_err(|_| NO_DELIVERY)?;
    let last = Failure::AlreadyFinal("this delivery is final");
    let taken = Failure::Taken("the provider has taken this delivery");
    cancel_answer(runtime.cancel_delivery(id).await?, NO_DELIVERY, last, taken)
}

fn cancel_answer(cancelled: Cancelled, unknown: Failure, last: Failure, taken: Failure) -> Result<Response, Failure> {
    match cancelled {
        Cancelled::Unknown => Err(unknown),
        Cancelled::AlreadyFinal => Err(last),
        Cancelled::Taken => Err(taken),
        Cancelled::Cancelled { now: cancelled, in_flight } => {
            let status = if in_flight == 0 { StatusCode::OK } else { StatusCode::ACCEPTED };
            Ok(json(status, JSON, &CancelAnswer { cancelled, in_flight }))
        }
    }
}

/// `POST /v1/notifications/{id}/replay`: each of its deliveries that failed.
pub(super) async fn replay_notification(
    Asked(runtime): Asked,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let id: NotificationId = id.parse().map_err(|_| NO_NOTIFICATION)?;
    match runtime.replay_notification(id).await? {
        Ok(replayed) => Ok(replay_answer(replayed)),
        Err(NotReplayed::NotFailed) => Err(Failure::NotFailed("no delivery of this notification has failed")),
        Err(NotReplayed::Expired) => Err(Failure::Expired),
        Err(NotReplayed::Unknown) => Err(NO_NOTIFICATION),
    }
}

/// `POST /v1/deliveries/{id}/replay`
pub(super) async fn replay_delivery(
    Asked(runtime): Asked,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    query::none(query.as_deref())?;
    let id: DeliveryId = id.parse().map_err(|_| NO_DELIVERY)?;
    match runtime.replay(id).await? {
        Ok(()) => Ok(replay_answer(1)),
        Err(NotReplayed::NotFailed) => Err(Failure::NotFailed("this delivery has not failed")),
        Err(NotReplayed::Expired) => Err(Failure::Expired),
        Err(NotReplayed::Unknown) => Err(NO_DELIVERY),
    }
}

fn replay_answer(replayed: u64) -> Response {
    json(StatusCode::OK, JSON, &ReplayAnswer { replayed, ..ReplayAnswer::default() })
}
