//! When which notification expires, in that order.
//!
//! *Invariant:* whatever is open and expires has a row. A row may be of what is final, or gone: it is dropped when its
//! time comes.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::failure::Failure;
use super::{read, row};
use crate::domain::{NotificationId, Timestamp};

/// Something to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// When.
    pub(super) at: Timestamp,
    /// At what.
    pub(super) notification: NotificationId,
    /// From which of its deliveries on.
    pub(super) from: u32,
}

/// Where there is one of this notification for this very time, that one stays.
pub(super) fn insert(db: &Connection, expiry: Expiry) -> Result<(), Failure> {
    let Expiry { at, notification, from } = expiry;
    db.prepare_cached("INSERT OR IGNORE INTO expiries (at, notification, idx) VALUES (?1, ?2, ?3)")?
        .execute(params![at.as_millis() as i64, notification.as_bytes(), from])?;
    Ok(())
}

pub(super) fn remove(db: &Connection, at: Timestamp, notification: NotificationId) -> Result<(), Failure> {
    db.prepare_cached("DELETE FROM expiries WHERE at = ?1 AND notification = ?2")?
        .execute(params![at.as_millis() as i64, notification.as_bytes()])?;
    Ok(())
}

/// What is to be looked at first.
pub(super) fn first(db: &Connection) -> Result<Option<Expiry>, Failure> {
    let first = db
        .prepare_cached("SELECT at, notification, idx FROM expiries ORDER BY at, notification LIMIT 1")?
        .query_row([], |row| {
            let at = Timestamp::from_millis(row.get::<_, i64>(0)?.unsigned_abs());
            Ok((at, read::notification_id(row, 1), row.get(2)?))
        })
        .optional()?;
    let Some((at, notification, from)) = first else { return Ok(None) };
    Ok(Some(Expiry { at, notification: notification?, from }))
}

/// Names what waits since before there was this table.
pub(super) fn fill(db: &Connection) -> Result<(), Failure> {
    let mut waiting = db.prepare("SELECT notification FROM live UNION SELECT notification FROM targets")?;
    let mut payload = db.prepare_cached("SELECT payload FROM notifications WHERE id = ?1")?;
    let mut rows = waiting.query([])?;
    while let Some(row) = rows.next()? {
        let id = read::notification_id(row, 0)?;
        let mut found = payload.query([id.as_bytes()])?;
        let Some(row) = found.next()? else { continue };
        if let Some(at) = row::notification(id, read::blob(row, 0)?)?.expires_at {
            insert(db, Expiry { at, notification: id, from: 0 })?;
        }
    }
    Ok(())
}
