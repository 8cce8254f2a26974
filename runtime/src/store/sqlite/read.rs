//! Everything that is only read. Each function works on any connection.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::failure::Failure;
use super::live::{Claimed, OpenDelivery, Withdrawal};
use super::wire::Damaged;
use super::{callback_urls, event, reroutes, row};
use crate::domain::{
    Attempt, ChannelBook, ChannelName, DeliveryId, DeliveryState, Flow, Lane, Notification, NotificationId, PluginBook,
    PluginName, Position, Queued, StatusCounts, Timestamp,
};
use crate::store::{
    DELIVERIES_SLICE, DeliveryRecord, EventNumber, Flight, LaneDepth, NotificationRecord, NumberedEvent,
    StatusCounts64, TemplateSource,
};

pub(super) fn lane_number(db: &Connection, lane: &Lane) -> Result<Option<i64>, Failure> {
    Ok(db
        .prepare_cached("SELECT id FROM lanes WHERE priority = ?1 AND channel = ?2 AND flow = ?3")?
        .query_row(params![row::priority_number(lane.priority), lane.channel.as_str(), lane.flow.number()], |row| {
            row.get(0)
        })
        .optional()?)
}

/// How many deliveries the notification has, if there is one.
pub(super) fn siblings(db: &Connection, id: NotificationId) -> Result<Option<u32>, Failure> {
    Ok(db
        .prepare_cached("SELECT deliveries FROM notifications WHERE id = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))
        .optional()?)
}

/// Deliveries per status of a notification that has more than one.
pub(super) fn tally(db: &Connection, id: NotificationId) -> Result<StatusCounts, Failure> {
    Ok(db
        .prepare_cached("SELECT open, sent, failed, cancelled FROM tallies WHERE notification = ?1")?
        .query_row([id.as_bytes()], |row| {
            Ok(StatusCounts { open: row.get(0)?, sent: row.get(1)?, failed: row.get(2)?, cancelled: row.get(3)? })
        })?)
}

/// How many deliveries of a notification are still to be made.
pub(super) fn unmade(db: &Connection, id: NotificationId) -> Result<u32, Failure> {
    Ok(db
        .prepare_cached("SELECT coalesce(sum(count), 0) FROM targets WHERE notification = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))?)
}

/// How many deliveries of a notification were cancelled before they were made.
fn never_made(db: &Connection, id: NotificationId) -> Result<u32, Failure> {
    Ok(db
        .prepare_cached("SELECT never_made FROM tallies WHERE notification = ?1")?
        .query_row([id.as_bytes()], |row| row.get(0))?)
}

/// Deliveries per status of a notification that has so many, made or not.
pub(super) fn counts(db: &Connection, id: NotificationId, deliveries: u32) -> Result<StatusCounts, Failure> {
    if deliveries > 1 {
        return tally(db, id);
    }
    let mut statement = db.prepare_cached("SELECT status FROM deliveries WHERE notification = ?1")?;
    let mut rows = statement.query([id.as_bytes()])?;
    let mut counts = StatusCounts::default();
    while let Some(row) = rows.next()? {
        counts.add(row::status_of(row.get(0)?)?);
    }
    Ok(counts)
}

/// Up to `limit` deliveries of a notification that are not final, from index `from` on.
pub(super) fn open_deliveries(
    db: &Connection,
    id: NotificationId,
    from: u32,
    limit: usize,
) -> Result<Vec<(DeliveryId, Claimed)>, Failure> {
    let Some(siblings) = siblings(db, id)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT idx, lane, state FROM deliveries WHERE notification = ?1 AND idx >= ?3 AND status = ?2
         ORDER BY idx LIMIT ?4",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![id.as_bytes(), row::STATUS_OPEN, from, limit])?;
    let mut open = Vec::new();
    while let Some(row) = rows.next()? {
        let DeliveryState::Waiting(progress) = row::state(blob(row, 2)?)? else {
            return Err(Damaged("delivery").into());
        };
        open.push((id.delivery(row.get(0)?), Claimed { lane: row.get(1)?, siblings, progress }));
    }
    Ok(open)
}

/// Those of `ids` that are not final.
pub(super) fn claimable<'i>(
    db: &Connection,
    ids: impl IntoIterator<Item = &'i DeliveryId>,
) -> Result<HashMap<DeliveryId, OpenDelivery>, Failure> {
    let mut notifications = HashMap::new();
    let mut statement = db.prepare_cached(
        "SELECT lane, channel, state, recipient, flow FROM deliveries JOIN lanes ON lanes.id = lane
         WHERE notification = ?1 AND idx = ?2 AND status = ?3",
    )?;
    let mut found = HashMap::new();
    for id in ids {
        let mut rows = statement.query(params![id.notification().as_bytes(), id.index(), row::STATUS_OPEN])?;
        let Some(row) = rows.next()? else { continue };
        let DeliveryState::Waiting(progress) = row::state(blob(row, 2)?)? else {
            return Err(Damaged("delivery").into());
        };
        let known = notifications.get(&id.notification()).cloned();
        let (notification, siblings) = match known {
            Some(known) => known,
            None => {
                let read = notification_row(db, id.notification())?.ok_or(Damaged("notification"))?;
                notifications.insert(id.notification(), read.clone());
                read
            }
        };
        let open = OpenDelivery {
            lane: row.get(0)?,
            siblings,
            progress,
            channel: channel(row, 1)?,
            flow: flow(row, 4)?,
            recipient: Arc::new(row::recipient(blob(row, 3)?)?),
            notification,
        };
        found.insert(*id, open);
    }
    Ok(found)
}

pub(super) fn notification_row(
    db: &Connection,
    id: NotificationId,
) -> Result<Option<(Arc<Notification>, u32)>, Failure> {
    let mut statement = db.prepare_cached("SELECT payload, deliveries FROM notifications WHERE id = ?1")?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((Arc::new(row::notification(id, blob(row, 0)?)?), row.get(1)?)))
}

/// The kind of a notification, without what follows it in its row.
pub(super) fn kind(db: &Connection, id: NotificationId) -> Result<Option<String>, Failure> {
    let mut statement = db.prepare_cached("SELECT payload FROM notifications WHERE id = ?1")?;
    let mut rows = statement.query([id.as_bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(row::kind(blob(row, 0)?)?))
}

pub(super) fn page(
    db: &Connection,
    lane: &Lane,
    after: Option<Position>,
    limit: usize,
) -> Result<Vec<Queued>, Failure> {
    let Some(number) = lane_number(db, lane)? else { return Ok(Vec::new()) };
    let mut statement = db.prepare_cached(
        "SELECT due, notification, idx FROM live WHERE lane = ?1 AND (due, notification, idx) > (?2, ?3, ?4)
         ORDER BY due, notification, idx LIMIT ?5",
    )?;
    let key = after.map(|Position { due, delivery }| (due, delivery.notification(), delivery.index()));
    let (due, notification, index) = match &key {
        // Before every row: no due time is negative.
        None => (-1, &[][..], 0),
        Some((due, notification, index)) => (due.as_millis() as i64, &notification.as_bytes()[..], *index),
    };
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![number, due, notification, index, limit])?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        let delivery = notification_id(row, 1)?.delivery(row.get(2)?);
        page.push(Queued { lane: lane.clone(), position: Position { due: timestamp(row, 0)?, delivery } });
    }
    Ok(page)
}

pub(super) fn lanes(db: &Connection) -> Result<Vec<LaneDepth>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT priority, channel, flow, waiting FROM (SELECT lane, count(*) AS waiting FROM live GROUP BY lane)
         JOIN lanes ON lanes.id = lane ORDER BY priority DESC, channel, flow",
    )?;
    let mut rows = statement.query([])?;
    let mut lanes = Vec::new();
    while let Some(row) = rows.next()? {
        lanes.push(LaneDepth { lane: lane(row)?, waiting: unsigned(row, 3)? });
    }
    Ok(lanes)
}

/// The lane of this number.
pub(super) fn lane_of(db: &Connection, number: i64) -> Result<Lane, Failure> {
    let mut statement = db.prepare_cached("SELECT priority, channel, flow FROM lanes WHERE id = ?1")?;
    let mut rows = statement.query([number])?;
    rows.next()?.map_or(Err(Damaged("lane").into()), lane)
}

pub(super) fn notification(db: &Connection, id: NotificationId) -> Result<Option<NotificationRecord>, Failure> {
    let Some((notification, siblings)) = notification_row(db, id)? else { return Ok(None) };
    // Asked before the deliveries are: where nothing is to be made any more, those that are read then are all.
    let unmade = if siblings as usize > DELIVERIES_SLICE { unmade(db, id)? } else { 0 };
    let deliveries = deliveries(db, id, 0, DELIVERIES_SLICE)?;
    let counts = counts(db, id, siblings)?;
    let callback_url = callback_urls::of(db, id)?;
    let never_made = if siblings as usize > DELIVERIES_SLICE { never_made(db, id)? } else { 0 };
    Ok(Some(NotificationRecord { notification, counts, callback_url, unmade, never_made, deliveries }))
}

/// Up to `limit` deliveries of a notification, from index `from` on.
pub(super) fn deliveries(
    db: &Connection,
    id: NotificationId,
    from: u32,
    limit: usize,
) -> Result<Vec<DeliveryRecord>, Failure> {
    let mut deliveries = Vec::new();
    let mut statement = db.prepare_cached(
        "SELECT idx, channel, state, recipient FROM deliveries JOIN lanes ON lanes.id = lane
         WHERE notification = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3",
    )?;
    let mut rows = statement.query(params![id.as_bytes(), from, i64::try_from(limit).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        let index = row.get(0)?;
        let state = row::state(blob(row, 2)?)?;
        deliveries.push(DeliveryRecord {
            id: id.delivery(index),
            channel: channel(row, 1)?,
            recipient: row::recipient(blob(row, 3)?)?,
            state,
            flight: Flight::Idle,
            crashes: 0,
            attempts: Vec::new(),
            reroutes: Vec::new(),
        });
    }
    if let (Some(first), Some(last)) = (deliveries.first(), deliveries.last()) {
        let (first, last) = (first.id.index(), last.id.index());
        let (mut attempts, mut reroutes) = (attempts(db, id, first, last)?, reroutes::of(db, id, first, last)?);
        for delivery in &mut deliveries {
            delivery.attempts = attempts.remove(&delivery.id.index()).unwrap_or_default();
            delivery.reroutes = reroutes.remove(&delivery.id.index()).unwrap_or_default();
        }
    }
    Ok(deliveries)
}

/// The first notification behind `after` that has deliveries to be made; rows of what was never accepted do not count.
pub(super) fn expanding(db: &Connection, after: NotificationId) -> Result<Option<NotificationId>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT notification FROM targets JOIN notifications ON notifications.id = notification
         WHERE notification > ?1 ORDER BY notification LIMIT 1",
    )?;
    let mut rows = statement.query([after.as_bytes()])?;
    rows.next()?.map(|row| notification_id(row, 0)).transpose()
}

/// Every attempt of one delivery.
pub(super) fn attempts_of(db: &Connection, id: DeliveryId) -> Result<Vec<Attempt>, Failure> {
    let mut statement =
        db.prepare_cached("SELECT number, attempt FROM attempts WHERE notification = ?1 AND idx = ?2 ORDER BY number")?;
    let mut rows = statement.query(params![id.notification().as_bytes(), id.index()])?;
    let mut attempts = Vec::new();
    while let Some(row) = rows.next()? {
        attempts.push(row::attempt(row.get(0)?, blob(row, 1)?)?);
    }
    Ok(attempts)
}

/// Lane, number of the lane and state of one delivery.
pub(super) fn delivery_state(db: &Connection, id: DeliveryId) -> Result<Option<(Lane, i64, DeliveryState)>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT priority, channel, flow, lane, state FROM deliveries JOIN lanes ON lanes.id = lane
         WHERE notification = ?1 AND idx = ?2",
    )?;
    let mut rows = statement.query(params![id.notification().as_bytes(), id.index()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some((lane(row)?, row.get(3)?, row::state(blob(row, 4)?)?)))
}

fn attempts(db: &Connection, id: NotificationId, first: u32, last: u32) -> Result<HashMap<u32, Vec<Attempt>>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT idx, number, attempt FROM attempts WHERE notification = ?1 AND idx BETWEEN ?2 AND ?3
         ORDER BY idx, number",
    )?;
    let mut rows = statement.query(params![id.as_bytes(), first, last])?;
    let mut attempts: HashMap<u32, Vec<Attempt>> = HashMap::new();
    while let Some(row) = rows.next()? {
        let attempt = row::attempt(row.get(1)?, blob(row, 2)?)?;
        attempts.entry(row.get(0)?).or_default().push(attempt);
    }
    Ok(attempts)
}

pub(super) fn outbox(db: &Connection, after: EventNumber, limit: usize) -> Result<Vec<NumberedEvent>, Failure> {
    // The frame that holds the next event may begin before it.
    let mut statement = db.prepare_cached(
        "SELECT first, count, frame FROM outbox
         WHERE first >= coalesce((SELECT max(first) FROM outbox WHERE first <= ?1), 0) ORDER BY first",
    )?;
    let mut rows = statement.query([i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX)])?;
    let mut events = Vec::new();
    while events.len() < limit
        && let Some(row) = rows.next()?
    {
        let (first, count) = (unsigned(row, 0)?, unsigned(row, 1)?);
        let frame = event::frame(count as usize, blob(row, 2)?)?;
        let numbered = (first..).zip(frame).map(|(number, event)| NumberedEvent { number, event });
        events.extend(numbered.filter(|event| event.number > after).take(limit - events.len()));
    }
    Ok(events)
}

/// The number of the newest event; 0 where there is none.
pub(super) fn last_event(db: &Connection) -> Result<EventNumber, Failure> {
    let mut statement = db.prepare_cached("SELECT coalesce(max(first) + count - 1, 0) FROM outbox")?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(Damaged("event"))?;
    unsigned(row, 0)
}

/// What waits for attempts under way to be cancelled.
pub(super) fn cancelling(db: &Connection) -> Result<Vec<(Withdrawal, Timestamp)>, Failure> {
    let mut found = Vec::new();
    let mut statement = db.prepare("SELECT notification, at FROM cancelling")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.push((Withdrawal::All(notification_id(row, 0)?), timestamp(row, 1)?));
    }
    let mut statement = db.prepare("SELECT notification, idx, at FROM cancelling_one")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.push((Withdrawal::One(notification_id(row, 0)?.delivery(row.get(1)?)), timestamp(row, 2)?));
    }
    Ok(found)
}

pub(super) fn count(db: &Connection) -> Result<StatusCounts64, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT count(*), coalesce(sum(status = 1), 0), coalesce(sum(status = 2), 0), coalesce(sum(status = 3), 0)
         FROM deliveries",
    )?;
    let mut rows = statement.query([])?;
    let row = rows.next()?.ok_or(Damaged("delivery"))?;
    let (all, sent, failed, cancelled) = (unsigned(row, 0)?, unsigned(row, 1)?, unsigned(row, 2)?, unsigned(row, 3)?);
    Ok(StatusCounts64 { open: all - sent - failed - cancelled, sent, failed, cancelled })
}

/// What is in use of the database. Pages that became free are used again before the file grows.
pub(super) fn used_bytes(db: &Connection) -> Result<u64, Failure> {
    // Not cached: some pragmas take effect when they are prepared.
    let number = |pragma: &str| -> Result<u64, Failure> {
        let number: i64 = db.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0))?;
        u64::try_from(number).map_err(|_| Damaged("number").into())
    };
    Ok(number("page_count")?.saturating_sub(number("freelist_count")?) * number("page_size")?)
}

pub(super) fn template(db: &Connection, version: [u8; 32]) -> Result<Option<TemplateSource>, Failure> {
    let mut statement = db.prepare_cached("SELECT source FROM templates WHERE version = ?1")?;
    let mut rows = statement.query([version])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    Ok(Some(row::template(version, blob(row, 0)?)?))
}

pub(super) fn plugins(db: &Connection) -> Result<Vec<PluginBook>, Failure> {
    let mut statement = db.prepare_cached("SELECT name, book FROM plugins ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut books = Vec::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().map_err(|_| Damaged("plugin"))?;
        let name = PluginName::new(name).map_err(|_| Damaged("plugin"))?;
        books.push(row::book(name, blob(row, 1)?)?);
    }
    Ok(books)
}

pub(super) fn channels(db: &Connection) -> Result<Vec<ChannelBook>, Failure> {
    let mut statement = db.prepare_cached("SELECT name, book FROM channels ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut books = Vec::new();
    while let Some(row) = rows.next()? {
        books.push(row::channel_book(channel(row, 0)?, blob(row, 1)?)?);
    }
    Ok(books)
}

pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], Failure> {
    row.get_ref(column)?.as_blob().map_err(|_| Damaged("row").into())
}

pub(super) fn notification_id(row: &Row<'_>, column: usize) -> Result<NotificationId, Failure> {
    let bytes = blob(row, column)?.try_into().map_err(|_| Damaged("id"))?;
    Ok(NotificationId::from_bytes(bytes))
}

pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, Failure> {
    u64::try_from(row.get::<_, i64>(column)?).map_err(|_| Damaged("number").into())
}

pub(super) fn timestamp(row: &Row<'_>, column: usize) -> Result<Timestamp, Failure> {
    unsigned(row, column).map(Timestamp::from_millis)
}

/// From the columns priority, channel and flow.
fn lane(row: &Row<'_>) -> Result<Lane, Failure> {
    Ok(Lane { priority: row::priority_of(row.get(0)?)?, channel: channel(row, 1)?, flow: flow(row, 2)? })
}

fn flow(row: &Row<'_>, column: usize) -> Result<Flow, Failure> {
    Ok(Flow::numbered(row.get(column)?).ok_or(Damaged("flow"))?)
}

pub(super) fn channel(row: &Row<'_>, column: usize) -> Result<ChannelName, Failure> {
    let text = row.get_ref(column)?.as_str().map_err(|_| Damaged("channel"))?;
    ChannelName::new(text).map_err(|_| Damaged("channel").into())
}
