//! Where notifications have what happens to them told.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::failure::Failure;
use super::wire::Damaged;
use crate::domain::{CallbackUrl, NotificationId};

pub(super) fn put(db: &Connection, id: NotificationId, url: &CallbackUrl) -> Result<(), Failure> {
    db.prepare_cached("INSERT INTO callback_urls (notification, url) VALUES (?1, ?2)")?
        .execute(params![id.as_bytes(), url.as_str()])?;
    Ok(())
}

/// Calls with what happens to this one are made no more.
pub(super) fn end(db: &Connection, id: NotificationId) -> Result<(), Failure> {
    db.prepare_cached("UPDATE callback_urls SET ended = 1 WHERE notification = ?1")?.execute([id.as_bytes()])?;
    Ok(())
}

/// As it was accepted, whether it is called or not.
pub(super) fn of(db: &Connection, id: NotificationId) -> Result<Option<CallbackUrl>, Failure> {
    let mut statement = db.prepare_cached("SELECT url FROM callback_urls WHERE notification = ?1")?;
    let text: Option<String> = statement.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
    text.as_deref().map(read).transpose()
}

/// Those of `ids` that are called.
pub(super) fn called(db: &Connection, ids: &[NotificationId]) -> Result<Vec<(NotificationId, CallbackUrl)>, Failure> {
    // Where nobody asks for calls, nobody pays for looking for each of them.
    let mut is_any = db.prepare_cached("SELECT EXISTS (SELECT 1 FROM callback_urls)")?;
    let is_any: bool = is_any.query_row([], |row| row.get(0))?;
    if !is_any {
        return Ok(Vec::new());
    }
    let mut statement = db.prepare_cached("SELECT url FROM callback_urls WHERE notification = ?1 AND ended = 0")?;
    let mut found = Vec::new();
    for id in ids {
        let text: Option<String> = statement.query_row([id.as_bytes()], |row| row.get(0)).optional()?;
        if let Some(text) = text {
            found.push((*id, read(&text)?));
        }
    }
    Ok(found)
}

fn read(text: &str) -> Result<CallbackUrl, Failure> {
    CallbackUrl::new(text).map_err(|_| Damaged("callback URL").into())
}
