//! Pages of notifications and dead letters by filter.
//!
//! *Invariants:* time is the key. A page looks at a bounded number of rows, and where it stopped is where the next one
//! goes on, so a question never holds a reader up and never skips a row.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::lookup::{self, Key};
use super::read::{attempts_of, blob, channel, notification_id};
use super::wire::Damaged;
use super::{read, reroutes, row};
use crate::domain::{ChannelName, DeliveryId, DeliveryState, Notification, NotificationId, Priority, Recipient};
use crate::store::{
    DeadLetter, DeadLetterFilter, DeadLetterPage, DeliveryRecord, Flight, NotificationFilter, NotificationPage,
};

/// Candidates that are looked up at once.
const LOOKUP_CHUNK: usize = 1_000;

/// Up to `limit` notifications older than `before`, looking at `scan_max` rows at most.
pub(super) fn notifications(
    db: &Connection,
    filter: &NotificationFilter,
    before: Option<NotificationId>,
    limit: usize,
    scan_max: usize,
) -> Result<NotificationPage, Failure> {
    let bound = filter.until.map(NotificationId::first_at);
    let mut before = [before, bound].into_iter().flatten().min().unwrap_or(NotificationId::LAST);
    let least = filter.since.map_or(NotificationId::FIRST, NotificationId::first_at);
    let mut scan = Scan { lanes: Lanes::default(), filter, rows: 0 };
    let mut page = NotificationPage::default();
    while page.notifications.len() < limit && scan.rows < scan_max {
        let chunk = candidates(db, filter, before, least, (scan_max - scan.rows).min(LOOKUP_CHUNK))?;
        if chunk.is_empty() {
            return Ok(page);
        }
        for id in chunk {
            before = id;
            if scan.matches(db, id)?
                && let Some(record) = read::notification(db, id)?
            {
                page.notifications.push(record);
            }
            if page.notifications.len() >= limit || scan.rows >= scan_max {
                break;
            }
        }
    }
    page.next = Some(before);
    Ok(page)
}

/// What may match, by the index where it helps.
fn candidates(
    db: &Connection,
    filter: &NotificationFilter,
    before: NotificationId,
    least: NotificationId,
    limit: usize,
) -> Result<Vec<NotificationId>, Failure> {
    let key = match (&filter.correlation_id, &filter.recipient) {
        (Some(id), _) => Key::Correlation(id),
        (None, Some(address)) => Key::Address(address),
        (None, None) => return recent(db, before, least, limit),
    };
    lookup::find(db, key, before, least, limit)
}

fn recent(
    db: &Connection,
    before: NotificationId,
    least: NotificationId,
    limit: usize,
) -> Result<Vec<NotificationId>, Failure> {
    let mut statement =
        db.prepare_cached("SELECT id FROM notifications WHERE id < ?1 AND id >= ?2 ORDER BY id DESC LIMIT ?3")?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![before.as_bytes(), least.as_bytes(), limit])?;
    let mut ids = Vec::new();
    while let Some(row) = rows.next()? {
        ids.push(notification_id(row, 0)?);
    }
    Ok(ids)
}

struct Scan<'f> {
    lanes: Lanes,
    filter: &'f NotificationFilter,
    /// Looked at so far.
    rows: usize,
}

impl Scan<'_> {
    fn matches(&mut self, db: &Connection, id: NotificationId) -> Result<bool, Failure> {
        let NotificationFilter { kind, correlation_id, metadata, status, .. } = self.filter;
        self.rows += 1;
        if let Some(status) = status {
            self.rows += 1;
            let Some(deliveries) = read::siblings(db, id)? else { return Ok(false) };
            if read::counts(db, id, deliveries)?.status() != *status {
                return Ok(false);
            }
        }
        if let Some(kind) = kind {
            self.rows += 1;
            if read::kind(db, id)?.is_none_or(|it| it != *kind) {
                return Ok(false);
            }
        }
        if correlation_id.is_some() || metadata.is_some() {
            self.rows += 1;
            let Some((notification, _)) = read::notification_row(db, id)? else { return Ok(false) };
            let is_it = correlation_id.as_ref().is_none_or(|id| Some(id) == notification.correlation_id.as_ref())
                && metadata.as_ref().is_none_or(|pair| notification.metadata.contains(pair));
            if !is_it {
                return Ok(false);
            }
        }
        let NotificationFilter { delivery_status, priority, channel, recipient, .. } = self.filter;
        let NotificationFilter { due_since, due_until, waits_for, .. } = self.filter;
        let about_deliveries = delivery_status.is_some()
            || priority.is_some()
            || channel.is_some()
            || recipient.is_some()
            || due_since.is_some()
            || due_until.is_some()
            || waits_for.is_some();
        if about_deliveries { self.has_such_deliveries(db, id) } else { Ok(true) }
    }

    /// One delivery has to fulfil all that is asked of deliveries.
    fn has_such_deliveries(&mut self, db: &Connection, id: NotificationId) -> Result<bool, Failure> {
        let filter = self.filter;
        let mut statement =
            db.prepare_cached("SELECT lane, state, recipient FROM deliveries WHERE notification = ?1")?;
        let mut rows = statement.query([id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            self.rows += 1;
            let (priority, channel) = self.lanes.of(db, row.get(0)?)?;
            let is_it = filter.priority.is_none_or(|wanted| wanted == *priority)
                && filter.channel.as_ref().is_none_or(|wanted| wanted == channel)
                && filter.waits_for.as_ref().is_none_or(|wanted| wanted.contains(channel))
                && stands(filter, blob(row, 1)?)?
                && is_to(filter.recipient.as_deref(), blob(row, 2)?)?;
            if is_it {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether its state is what is asked for: its word, whether it waits, and when it is due.
fn stands(filter: &NotificationFilter, state: &[u8]) -> Result<bool, Failure> {
    let NotificationFilter { delivery_status, due_since, due_until, waits_for, .. } = filter;
    let is_to_wait = due_since.is_some() || due_until.is_some() || waits_for.is_some();
    if delivery_status.is_none() && !is_to_wait {
        return Ok(true);
    }
    let state = row::state(state)?;
    if delivery_status.is_some_and(|wanted| wanted != state.status()) {
        return Ok(false);
    }
    if !is_to_wait {
        return Ok(true);
    }
    let DeliveryState::Waiting(waiting) = state else { return Ok(false) };
    Ok(due_since.is_none_or(|since| waiting.due >= since) && due_until.is_none_or(|until| waiting.due < until))
}

fn is_to(wanted: Option<&str>, recipient: &[u8]) -> Result<bool, Failure> {
    match wanted {
        None => Ok(true),
        Some(address) => Ok(row::recipient(recipient)?.address == address),
    }
}

/// Priority and channel by the number of a lane.
#[derive(Default)]
struct Lanes(HashMap<i64, (Priority, ChannelName)>);

impl Lanes {
    fn of(&mut self, db: &Connection, number: i64) -> Result<&(Priority, ChannelName), Failure> {
        match self.0.entry(number) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let mut statement = db.prepare_cached("SELECT priority, channel FROM lanes WHERE id = ?1")?;
                let mut rows = statement.query([number])?;
                let row = rows.next()?.ok_or(Damaged("lane"))?;
                Ok(new.insert((row::priority_of(row.get(0)?)?, channel(row, 1)?)))
            }
        }
    }
}

fn is_about(filter: &DeadLetterFilter, notification: &Notification) -> bool {
    let DeadLetterFilter { kind, correlation_id, .. } = filter;
    kind.as_ref().is_none_or(|kind| *kind == notification.kind)
        && correlation_id.as_ref().is_none_or(|id| Some(id) == notification.correlation_id.as_ref())
}

/// Up to `limit` dead letters behind `after`, looking at `scan_max` rows at most.
pub(super) fn dead_letters(
    db: &Connection,
    filter: &DeadLetterFilter,
    after: Option<DeliveryId>,
    limit: usize,
    scan_max: usize,
) -> Result<DeadLetterPage, Failure> {
    let least = filter.since.map_or(NotificationId::FIRST, NotificationId::first_at);
    let until = filter.until.map_or(NotificationId::LAST, NotificationId::first_at);
    // Before the first delivery of `least`: no index is negative.
    let (notification, index) = match after.filter(|after| after.notification() >= least) {
        Some(after) => (after.notification(), i64::from(after.index())),
        None => (least, -1),
    };
    let mut statement = db.prepare_cached(
        "SELECT d.notification, d.idx, lane, state, recipient FROM dead_letters d
         JOIN deliveries USING (notification, idx)
         WHERE (d.notification, d.idx) > (?1, ?2) AND d.notification < ?3 ORDER BY d.notification, d.idx",
    )?;
    let mut rows = statement.query(params![notification.as_bytes(), index, until.as_bytes()])?;
    let (mut lanes, mut page, mut scanned) = (Lanes::default(), DeadLetterPage::default(), 0);
    // Of the dead letter before, which is often one of the same notification.
    let mut told: Option<Arc<Notification>> = None;
    while let Some(row) = rows.next()? {
        scanned += 1;
        let id = notification_id(row, 0)?.delivery(row.get(1)?);
        let (priority, channel) = lanes.of(db, row.get(2)?)?.clone();
        let (state, recipient) = (row::state(blob(row, 3)?)?, row::recipient(blob(row, 4)?)?);
        let DeliveryState::Failed { reason, .. } = &state else { return Err(Damaged("dead letter").into()) };
        let matches = filter.reason.as_ref().is_none_or(|wanted| wanted == reason.as_str())
            && filter.priority.is_none_or(|wanted| wanted == priority)
            && filter.channel.as_ref().is_none_or(|wanted| *wanted == channel)
            && filter.recipient.as_ref().is_none_or(|wanted| *wanted == recipient.address);
        if matches {
            let notification = match told.take().filter(|told| told.id == id.notification()) {
                Some(told) => told,
                None => read::notification_row(db, id.notification())?.ok_or(Damaged("notification"))?.0,
            };
            scanned += usize::from(filter.kind.is_some() || filter.correlation_id.is_some());
            if is_about(filter, &notification) {
                let delivery = dead_delivery(db, id, (channel, recipient, state))?;
                let Notification { created_at, expires_at, .. } = *notification;
                page.dead_letters.push(DeadLetter { delivery, priority, created_at, expires_at });
            }
            told = Some(notification);
        }
        if page.dead_letters.len() >= limit || scanned >= scan_max {
            page.next = Some(id);
            break;
        }
    }
    Ok(page)
}

/// A dead letter with its attempts and its way.
fn dead_delivery(
    db: &Connection,
    id: DeliveryId,
    (channel, recipient, state): (ChannelName, Recipient, DeliveryState),
) -> Result<DeliveryRecord, Failure> {
    let attempts = attempts_of(db, id)?;
    let reroutes = reroutes::of(db, id.notification(), id.index(), id.index())?.remove(&id.index()).unwrap_or_default();
    Ok(DeliveryRecord { id, channel, recipient, state, flight: Flight::Idle, crashes: 0, attempts, reroutes })
}
