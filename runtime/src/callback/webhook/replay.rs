//! Events that are told once more: calls that were given up, or a stretch of time.

use std::sync::Arc;

use super::Receivers;
use crate::domain::{CallbackName, DeadCallback, EventPattern, NotificationId, OwedCallback, Timestamp};
use crate::store::{EventNumber, NumberedEvent, Store, StoreError};

/// Events that are read at once.
const PAGE: usize = 500;

/// Rows for calls that were given up, with all attempts before them.
pub(super) fn rows_of_dead(dead: &[DeadCallback], now: Timestamp) -> Vec<OwedCallback> {
    let row = |dead: &DeadCallback| OwedCallback {
        callback: dead.callback.clone(),
        event: dead.event,
        notification: dead.notification,
        attempts: 0,
        due: now,
        last_error: None,
    };
    dead.iter().map(row).collect()
}

/// Events of a stretch of time that are kept and wanted, and that somebody is told of: up to `most` and one more, which says that there are too many.
/// Clocks step; where the outbox was written by one that did, the stretch is as exact as that.
pub(super) async fn rows_of_range(
    store: &Arc<dyn Store>,
    callback: &CallbackName,
    (wanted, receivers): (&[EventPattern], Option<Arc<dyn Receivers>>),
    (since, until): (Timestamp, Timestamp),
    (now, most): (Timestamp, usize),
) -> Result<Vec<OwedCallback>, StoreError> {
    let mut rows = Vec::new();
    let mut after = last_before(store, since).await?;
    loop {
        let page = store.outbox(after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(rows) };
        after = last.number;
        let told = match &receivers {
            None => None,
            Some(receivers) => {
                let mut ids: Vec<_> = page.iter().filter_map(|event| event.event.body.notification()).collect();
                ids.sort_unstable();
                ids.dedup();
                Some(receivers.hosts(ids).await?)
            }
        };
        let is_told = |notification: Option<NotificationId>| {
            told.as_ref().is_none_or(|told| notification.is_some_and(|id| told.contains_key(&id)))
        };
        for NumberedEvent { number, event } in page {
            if event.at > until || rows.len() > most {
                return Ok(rows);
            }
            let kind = event.body.kind();
            let notification = event.body.notification();
            if event.at >= since && is_told(notification) && wanted.iter().any(|pattern| pattern.matches(kind)) {
                let callback = callback.clone();
                rows.push(OwedCallback {
                    callback,
                    event: number,
                    notification,
                    attempts: 0,
                    due: now,
                    last_error: None,
                });
            }
        }
    }
}

/// The number of the last event before an instant, or of one before it; found by halving, since the outbox may hold
/// millions.
async fn last_before(store: &Arc<dyn Store>, at: Timestamp) -> Result<EventNumber, StoreError> {
    let Some(oldest) = first_behind(store, 0).await? else { return Ok(0) };
    let mut low = oldest.number - 1;
    let mut step = 1;
    // Beyond `high` everything is at `at` or later, or there is nothing.
    let mut high = loop {
        match first_behind(store, low.saturating_add(step)).await? {
            Some(event) if event.event.at < at => (low, step) = (event.number, step * 2),
            Some(_) | None => break low.saturating_add(step),
        }
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match first_behind(store, middle).await? {
            Some(event) if event.event.at < at => low = middle,
            Some(_) | None => high = middle,
        }
    }
    Ok(low)
}

async fn first_behind(store: &Arc<dyn Store>, after: EventNumber) -> Result<Option<NumberedEvent>, StoreError> {
    Ok(store.outbox(after, 1).await?.into_iter().next())
}
