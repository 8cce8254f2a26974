//! The index of addresses and correlation ids.
//!
//! *Invariants:* what it names may or may not match, since hashes meet; what matches is named.

use rusqlite::{CachedStatement, Connection, OptionalExtension, params};
use sha2::{Digest as _, Sha256};

use super::failure::Failure;
use super::wire::Damaged;
use super::{read, row};
use crate::domain::NotificationId;

/// Milliseconds of a bucket.
const HOUR_MS: u64 = 3_600_000;

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key<'a> {
    Address(&'a str),
    Correlation(&'a str),
}

impl Key<'_> {
    fn hash(self) -> i64 {
        let (kind, text) = match self {
            Self::Address(text) => (b"a", text),
            Self::Correlation(text) => (b"c", text),
        };
        let digest = Sha256::new().chain_update(kind).chain_update(text).finalize();
        let mut short = [0; 8];
        short.copy_from_slice(&digest[..8]);
        i64::from_le_bytes(short)
    }
}

pub(super) const INSERT: &str = "INSERT OR IGNORE INTO lookups (hour, hash, notification) VALUES (?1, ?2, ?3)";

pub(super) fn insert(
    statement: &mut CachedStatement<'_>,
    key: Key<'_>,
    notification: NotificationId,
) -> Result<(), Failure> {
    statement.execute(params![hour(notification), key.hash(), notification.as_bytes()])?;
    Ok(())
}

/// The bucket of an id.
fn hour(id: NotificationId) -> i64 {
    (id.created_at().as_millis() / HOUR_MS) as i64
}

/// Notifications that may have `key`, older than `before`, the newest first, and none older than `least`.
pub(super) fn find(
    db: &Connection,
    key: Key<'_>,
    before: NotificationId,
    least: NotificationId,
    limit: usize,
) -> Result<Vec<NotificationId>, Failure> {
    let mut next_hour = db.prepare_cached("SELECT max(hour) FROM lookups WHERE hour <= ?1 AND hour >= ?2")?;
    let mut in_hour = db.prepare_cached(
        "SELECT notification FROM lookups
         WHERE hour = ?1 AND hash = ?2 AND notification < ?3 AND notification >= ?4
         ORDER BY notification DESC LIMIT ?5",
    )?;
    let (hash, mut latest, mut found) = (key.hash(), hour(before), Vec::new());
    while found.len() < limit {
        let there: Option<Option<i64>> =
            next_hour.query_row(params![latest, hour(least)], |row| row.get(0)).optional()?;
        let Some(hour) = there.flatten() else { break };
        let left = i64::try_from(limit - found.len()).unwrap_or(i64::MAX);
        let mut rows = in_hour.query(params![hour, hash, before.as_bytes(), least.as_bytes(), left])?;
        while let Some(row) = rows.next()? {
            let bytes: [u8; 16] =
                row.get_ref(0)?.as_blob().ok().and_then(|b| b.try_into().ok()).ok_or(Damaged("id"))?;
            found.push(NotificationId::from_bytes(bytes));
        }
        latest = hour - 1;
    }
    Ok(found)
}

pub(super) fn remove(db: &Connection, key: Key<'_>, notification: NotificationId) -> Result<(), Failure> {
    db.prepare_cached("DELETE FROM lookups WHERE hour = ?1 AND hash = ?2 AND notification = ?3")?.execute(params![
        hour(notification),
        key.hash(),
        notification.as_bytes()
    ])?;
    Ok(())
}

/// Names what was accepted before there was an index.
pub(super) fn fill(db: &Connection) -> Result<(), Failure> {
    let mut statement = db.prepare_cached(INSERT)?;
    let mut deliveries = db.prepare("SELECT notification, recipient FROM deliveries")?;
    let mut rows = deliveries.query([])?;
    while let Some(row) = rows.next()? {
        let recipient = row::recipient(read::blob(row, 1)?)?;
        if !recipient.address.is_empty() {
            insert(&mut statement, Key::Address(&recipient.address), read::notification_id(row, 0)?)?;
        }
    }
    let mut notifications = db.prepare("SELECT id, payload FROM notifications")?;
    let mut rows = notifications.query([])?;
    while let Some(row) = rows.next()? {
        let id = read::notification_id(row, 0)?;
        if let Some(text) = row::notification(id, read::blob(row, 1)?)?.correlation_id {
            insert(&mut statement, Key::Correlation(&text), id)?;
        }
    }
    Ok(())
}
