//! What is to happen once: idempotency keys of callers, dedupe keys of deliveries.
//!
//! *Not here:* how keys are hashed and how long they hold (`intake`).

use rusqlite::{Connection, OptionalExtension, params};

use super::failure::Failure;
use super::wire::{Damaged, Reader, put_u64};
use crate::domain::{DeliveryId, NotificationId, Timestamp};
use crate::store::{Deduplicated, FirstUse, OnceKey};

/// What `key` was first used for, if that was at or after `since`.
pub(super) fn first_use(db: &Connection, key: &OnceKey) -> Result<Option<FirstUse>, Failure> {
    let mut statement = db.prepare_cached(
        "SELECT digest, notification, deduplicated, skipped FROM idempotency WHERE key = ?1 AND at >= ?2",
    )?;
    let mut rows = statement.query(params![key.hash, millis(key.since)])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let blob = |column| {
        let value = row.get_ref(column)?;
        value.as_blob().map_err(|_| Failure::from(Damaged("key")))
    };
    let array = |bytes: &[u8]| bytes.try_into().map_err(|_| Failure::from(Damaged("key")));
    Ok(Some(FirstUse {
        digest: array(blob(0)?)?,
        notification: id(blob(1)?)?,
        deduplicated: read_deduplicated(blob(2)?)?,
        skipped: read_skipped(blob(3)?)?,
    }))
}

/// Remembers the first use of a key, in place of one that does not count any more.
pub(super) fn remember_use(
    db: &Connection,
    key: &OnceKey,
    at: Timestamp,
    FirstUse { digest, notification, deduplicated, skipped }: &FirstUse,
) -> Result<(), Failure> {
    let (mut not_made, mut not_reached) = (Vec::new(), Vec::new());
    put_deduplicated(&mut not_made, deduplicated);
    put_skipped(&mut not_reached, skipped);
    db.prepare_cached(
        "INSERT OR REPLACE INTO idempotency (key, at, digest, notification, deduplicated, skipped)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?
    .execute(params![key.hash, millis(at), digest, notification.as_bytes(), not_made, not_reached])?;
    Ok(())
}

/// The delivery that was the first with `key`, if that was at or after its `since`.
pub(super) fn first_delivery(db: &Connection, key: &OnceKey) -> Result<Option<DeliveryId>, Failure> {
    let found = db
        .prepare_cached("SELECT notification, idx FROM dedupe WHERE key = ?1 AND at >= ?2")?
        .query_row(params![key.hash, millis(key.since)], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get(1)?)))
        .optional()?;
    found.map(|(notification, index)| Ok(id(&notification)?.delivery(index))).transpose()
}

pub(super) fn remember_delivery(
    db: &Connection,
    key: &OnceKey,
    at: Timestamp,
    first: DeliveryId,
) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO dedupe (key, at, notification, idx) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![key.hash, millis(at), first.notification().as_bytes(), first.index()])?;
    Ok(())
}

fn put_deduplicated(out: &mut Vec<u8>, deduplicated: &[Deduplicated]) {
    for Deduplicated { index, first } in deduplicated {
        put_u64(out, u64::from(*index));
        out.extend_from_slice(first.notification().as_bytes());
        put_u64(out, u64::from(first.index()));
    }
}

fn read_deduplicated(bytes: &[u8]) -> Result<Vec<Deduplicated>, Damaged> {
    let mut reader = Reader::new("key", bytes);
    let mut all = Vec::new();
    while !reader.is_empty() {
        let index = reader.u32()?;
        let notification = NotificationId::from_bytes(reader.array()?);
        all.push(Deduplicated { index, first: notification.delivery(reader.u32()?) });
    }
    Ok(all)
}

/// The first place, then how far each is behind the one before: of a million that are skipped, a megabyte.
fn put_skipped(out: &mut Vec<u8>, skipped: &[usize]) {
    let mut before = 0;
    for place in skipped {
        put_u64(out, place.saturating_sub(before) as u64);
        before = *place;
    }
}

fn read_skipped(bytes: &[u8]) -> Result<Vec<usize>, Damaged> {
    let mut reader = Reader::new("key", bytes);
    let (mut all, mut before) = (Vec::new(), 0_usize);
    while !reader.is_empty() {
        before = before.saturating_add(reader.u32()? as usize);
        all.push(before);
    }
    Ok(all)
}

fn id(bytes: &[u8]) -> Result<NotificationId, Failure> {
    Ok(NotificationId::from_bytes(bytes.try_into().map_err(|_| Damaged("id"))?))
}

const fn millis(at: Timestamp) -> i64 {
    at.as_millis() as i64
}
