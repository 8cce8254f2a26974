//! What channels keep: rows with a version each, and a row of usage per channel that every change brings up to date.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::failure::Failure;
use super::wire::Damaged;
use crate::domain::{ChannelName, KvChange, KvEntry, KvUsage, KvWrite, KvWritten};

pub(super) fn get(db: &Connection, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, Failure> {
    let mut statement = db.prepare_cached("SELECT value, version FROM kv WHERE channel = ?1 AND key = ?2")?;
    let found = statement
        .query_row(params![channel.as_str(), key], |row| Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    found.map(|(value, version)| Ok(KvEntry { value, version: unsigned(version)? })).transpose()
}

pub(super) fn keys(
    db: &Connection,
    channel: &ChannelName,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    // One bound, so that a page is found without reading those before it.
    let (sql, bound) = match after.filter(|after| *after >= prefix) {
        Some(after) => ("SELECT key FROM kv WHERE channel = ?1 AND key > ?2 ORDER BY key LIMIT ?3", after),
        None => ("SELECT key FROM kv WHERE channel = ?1 AND key >= ?2 ORDER BY key LIMIT ?3", prefix),
    };
    let mut statement = db.prepare_cached(sql)?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![channel.as_str(), bound, limit])?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        let key = row.get_ref(0)?.as_str().map_err(|_| Damaged("key"))?;
        if !key.starts_with(prefix) {
            break;
        }
        keys.push(key.to_owned());
    }
    Ok(keys)
}

/// Inside the writer's transaction.
pub(super) fn write(db: &Connection, write: &KvWrite) -> Result<KvWritten, Failure> {
    let KvWrite { channel, key, change, expected, quota } = write;
    let found = db
        .prepare_cached("SELECT length(value), version FROM kv WHERE channel = ?1 AND key = ?2")?
        .query_row(params![channel.as_str(), key], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))
        .optional()?;
    let (before, version) = match found {
        Some((length, version)) => (Some(unsigned(length)? as usize), unsigned(version)?),
        None => (None, 0),
    };
    if expected.is_some_and(|expected| expected != version) {
        return Ok(KvWritten::Conflict(version));
    }
    let (usage, removed) = usage(db, channel)?;
    match change {
        KvChange::Set(value) => {
            let after = usage.with(key.len(), before, Some(value.len()));
            if after.breaks(*quota, usage) {
                return Ok(KvWritten::OverQuota(after));
            }
            // A key that comes back goes on behind every version that was removed.
            let version = if before.is_some() { version + 1 } else { removed + 1 };
            db.prepare_cached("INSERT OR REPLACE INTO kv (channel, key, value, version) VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![channel.as_str(), key, value, version as i64])?;
            put_usage(db, channel, after, removed)?;
            Ok(KvWritten::Set(version))
        }
        KvChange::Remove => {
            if before.is_some() {
                db.prepare_cached("DELETE FROM kv WHERE channel = ?1 AND key = ?2")?
                    .execute(params![channel.as_str(), key])?;
                put_usage(db, channel, usage.with(key.len(), before, None), removed.max(version))?;
            }
            Ok(KvWritten::Removed)
        }
    }
}

/// How much the channel keeps, and the highest version among the keys it removed.
fn usage(db: &Connection, channel: &ChannelName) -> Result<(KvUsage, u64), Failure> {
    let found = db
        .prepare_cached("SELECT bytes, keys, removed FROM kv_usage WHERE channel = ?1")?
        .query_row([channel.as_str()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        .optional()?;
    let Some((bytes, keys, removed)) = found else { return Ok((KvUsage::default(), 0)) };
    Ok((KvUsage { bytes: unsigned(bytes)?, keys: unsigned(keys)? }, unsigned(removed)?))
}

fn put_usage(db: &Connection, channel: &ChannelName, usage: KvUsage, removed: u64) -> Result<(), Failure> {
    db.prepare_cached("INSERT OR REPLACE INTO kv_usage (channel, bytes, keys, removed) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![channel.as_str(), usage.bytes as i64, usage.keys as i64, removed as i64])?;
    Ok(())
}

fn unsigned(number: i64) -> Result<u64, Failure> {
    u64::try_from(number).map_err(|_| Damaged("number").into())
}
