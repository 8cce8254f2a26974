//! What is remembered of callbacks: their books, what they owe, and the calls that were given up.
//!
//! *Not here:* when a call is given up (`callback`).

use rusqlite::{Connection, Row, params};

use super::callback_urls;
use super::failure::Failure;
use super::read::{notification_id, timestamp, unsigned};
use super::wire::Damaged;
use crate::domain::{
    CallbackBook, CallbackDisabled, CallbackKind, CallbackName, DeadCallback, NotificationId, OwedCallback, Timestamp,
};
use crate::store::{CallbackChange, DeadCallbackFilter, EventNumber};

/// Writes the rows of a change, and answers how many more calls are given up than before.
pub(super) fn write(db: &Connection, change: &CallbackChange) -> Result<i64, Failure> {
    let CallbackChange { books, forgotten, owed, settled, dead, revived, ended, events: _, audit: _ } = change;
    for name in forgotten {
        db.prepare_cached("DELETE FROM callbacks WHERE name = ?1")?.execute([name.as_str()])?;
        db.prepare_cached("DELETE FROM owed_callbacks WHERE callback = ?1")?.execute([name.as_str()])?;
    }
    for book in books {
        put_book(db, book)?;
    }
    for (callback, event) in settled {
        db.prepare_cached("DELETE FROM owed_callbacks WHERE callback = ?1 AND event = ?2")?
            .execute(params![callback.as_str(), *event as i64])?;
    }
    for one in owed {
        put_owed(db, one)?;
    }
    for id in ended {
        callback_urls::end(db, *id)?;
    }
    let mut more = 0;
    for id in revived {
        more -= db.prepare_cached("DELETE FROM dead_callbacks WHERE id = ?1")?.execute([*id as i64])? as i64;
    }
    for one in dead {
        bury(db, one)?;
        more += 1;
    }
    Ok(more)
}

fn put_book(db: &Connection, book: &CallbackBook) -> Result<(), Failure> {
    let CallbackBook { name, cursor, disabled } = book;
    let (at, reason) = match disabled {
        Some(CallbackDisabled { at, reason }) => (Some(at.as_millis() as i64), Some(reason.as_str())),
        None => (None, None),
    };
    db.prepare_cached(
        "INSERT OR REPLACE INTO callbacks (name, cursor, disabled_at, disabled_reason) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![name.as_str(), *cursor as i64, at, reason])?;
    Ok(())
}

fn put_owed(db: &Connection, owed: &OwedCallback) -> Result<(), Failure> {
    let OwedCallback { callback, event, notification, attempts, due, last_error } = owed;
    let notification = notification.as_ref().map(NotificationId::as_bytes);
    db.prepare_cached(
        "INSERT OR REPLACE INTO owed_callbacks (callback, event, notification, attempts, due, last_error)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![
        callback.as_str(),
        *event as i64,
        notification,
        attempts,
        due.as_millis() as i64,
        last_error
    ])?;
    Ok(())
}

fn bury(db: &Connection, dead: &DeadCallback) -> Result<(), Failure> {
    let DeadCallback { id: _, callback, kind, event, notification, delivery, attempts, reason, at } = dead;
    let (notification, index) = match delivery {
        Some(delivery) => (Some(delivery.notification()), Some(delivery.index())),
        None => (*notification, None),
    };
    db.prepare_cached(
        "INSERT INTO dead_callbacks (callback, kind, event, notification, idx, attempts, reason, at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute(params![
        callback.as_str(),
        kind.as_str(),
        *event as i64,
        notification.as_ref().map(NotificationId::as_bytes),
        index,
        attempts,
        reason,
        at.as_millis() as i64
    ])?;
    Ok(())
}

/// A slice of those that were given up before `before`, or are `over` too many: the oldest. Answers how many went.
pub(super) fn sweep(db: &Connection, before: Timestamp, over: u64, limit: i64) -> Result<u64, Failure> {
    let over = i64::try_from(over).unwrap_or(i64::MAX).min(limit);
    let gone = db
        .prepare_cached(
            "DELETE FROM dead_callbacks WHERE id IN (SELECT id FROM dead_callbacks ORDER BY id LIMIT ?2)
                 OR id IN (SELECT id FROM (SELECT id, at FROM dead_callbacks ORDER BY id LIMIT ?3) WHERE at < ?1)",
        )?
        .execute(params![before.as_millis() as i64, over, limit])?;
    Ok(gone as u64)
}

pub(super) fn books(db: &Connection) -> Result<Vec<CallbackBook>, Failure> {
    let mut statement =
        db.prepare_cached("SELECT name, cursor, disabled_at, disabled_reason FROM callbacks ORDER BY name")?;
    let mut rows = statement.query([])?;
    let mut books = Vec::new();
    while let Some(row) = rows.next()? {
        let disabled = match row.get::<_, Option<String>>(3)? {
            Some(reason) => Some(CallbackDisabled { at: timestamp(row, 2)?, reason }),
            None => None,
        };
        books.push(CallbackBook { name: callback(row, 0)?, cursor: unsigned(row, 1)?, disabled });
    }
    Ok(books)
}

pub(super) fn owed(
    db: &Connection,
    name: &CallbackName,
    after: EventNumber,
    limit: usize,
) -> Result<Vec<OwedCallback>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT callback, event, notification, attempts, due, last_error FROM owed_callbacks
         WHERE callback = ?1 AND event > ?2 ORDER BY event LIMIT ?3",
    )?;
    let mut rows = statement.query(params![name.as_str(), signed(after), limit_of(limit)])?;
    let mut owed = Vec::new();
    while let Some(row) = rows.next()? {
        owed.push(OwedCallback {
            callback: callback(row, 0)?,
            event: unsigned(row, 1)?,
            notification: notification(row, 2)?,
            attempts: row.get(3)?,
            due: timestamp(row, 4)?,
            last_error: row.get(5)?,
        });
    }
    Ok(owed)
}

pub(super) fn dead(
    db: &Connection,
    filter: &DeadCallbackFilter,
    after: u64,
    limit: usize,
) -> Result<Vec<DeadCallback>, Failure> {
    let DeadCallbackFilter { callback: name, notification: about, since, until } = filter;
    let mut statement = db.prepare_cached(
        "SELECT id, callback, kind, event, notification, idx, attempts, reason, at FROM dead_callbacks
         WHERE id > ?1 AND (?2 IS NULL OR callback = ?2) AND (?3 IS NULL OR notification = ?3) AND at >= ?4
             AND (?5 IS NULL OR at < ?5) ORDER BY id LIMIT ?6",
    )?;
    let (name, about) = (name.as_ref().map(CallbackName::as_str), about.as_ref().map(NotificationId::as_bytes));
    let millis = |at: Timestamp| signed(at.as_millis());
    let (since, until) = (millis(since.unwrap_or_default()), until.map(millis));
    let mut rows = statement.query(params![signed(after), name, about, since, until, limit_of(limit)])?;
    let mut dead = Vec::new();
    while let Some(row) = rows.next()? {
        let word = row.get_ref(2)?.as_str().map_err(|_| Damaged("callback"))?;
        let kind = CallbackKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or(Damaged("callback"))?;
        let notification = notification(row, 4)?;
        let index: Option<u32> = row.get(5)?;
        dead.push(DeadCallback {
            id: unsigned(row, 0)?,
            callback: callback(row, 1)?,
            kind,
            event: unsigned(row, 3)?,
            notification,
            delivery: notification.zip(index).map(|(id, index)| id.delivery(index)),
            attempts: row.get(6)?,
            reason: row.get(7)?,
            at: timestamp(row, 8)?,
        });
    }
    Ok(dead)
}

fn callback(row: &Row<'_>, column: usize) -> Result<CallbackName, Failure> {
    let text = row.get_ref(column)?.as_str().map_err(|_| Damaged("callback"))?;
    CallbackName::new(text).map_err(|_| Damaged("callback").into())
}

fn notification(row: &Row<'_>, column: usize) -> Result<Option<NotificationId>, Failure> {
    let is_there = row.get_ref(column)? != rusqlite::types::ValueRef::Null;
    is_there.then(|| notification_id(row, column)).transpose()
}

/// Behind the last number that a row can have there is nothing.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
