//! Whether a database is whole, and whether what it counts is so.
//!
//! *Invariants:* changes nothing. All of it is the state of one instant, also beside a process that writes.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::readers::in_transaction;
use super::schema::{self, Kind, VERSION};
use super::wire::Damaged;
use super::{copying, read, row, totals};
use crate::domain::{DeliveryState, NotificationId};
use crate::store::{StatusCounts64, StoreError};

/// What an examination found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Examination {
    /// Of its tables; lower than [`VERSION`] where a migration is due.
    pub version: u32,
    /// The file and its log, in bytes.
    pub bytes: u64,
    /// What is wrong with its pages, at most ten lines. The rest was not looked at then.
    pub damage: Vec<String>,
    /// The newest notification.
    pub newest: Option<NotificationId>,
    /// What was counted anew; none where the file is damaged or a migration is due.
    pub recounts: Option<Recounts>,
}

/// What a database counts, beside what there is. Each number that says `wrong`, `missing` or `stray` is 0 in a sound one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recounts {
    /// Notifications.
    pub notifications: u64,
    /// Deliveries per status.
    pub deliveries: StatusCounts64,
    /// Notifications whose tally, or number of deliveries, is not what their deliveries come to.
    pub wrong_tallies: u64,
    /// Open deliveries without their place in the queue: nobody would ever take them.
    pub missing_live: u64,
    /// Places in the queue without an open delivery.
    pub stray_live: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Failed deliveries without a dead letter. Those that were purged are among them.
    pub missing_dead_letters: u64,
    /// Dead letters whose delivery has not failed.
    pub stray_dead_letters: u64,
    /// Channels whose usage of `kv` is not what they keep.
    pub wrong_kv_usage: u64,
    /// Totals of the whole database that are not what there is: of dead letters, retries, and bytes.
    pub wrong_totals: u64,
}

/// Looks a database over; none where there is none. Reads all of it, and keeps its log from being reset meanwhile. Blocks.
///
/// # Errors
///
/// [`StoreError::Unusable`] where it is foreign, of a newer version, or too damaged to be opened;
/// [`StoreError::Unavailable`] where it cannot be read.
pub fn examine(path: &Path) -> Result<Option<Examination>, StoreError> {
    if !path.is_file() {
        return Ok(None);
    }
    let failed = |failure: Failure| failure.at(path);
    let before = Stand::of(path);
    let found = look(path);
    if before.at_rest && Stand::of(path) != before {
        // Somebody opened it while it was taken as it stood. With a log beside it, it is read with that.
        return look(path).map_err(failed);
    }
    found.map_err(failed)
}

/// What tells whether a file was touched.
#[derive(PartialEq, Eq)]
struct Stand {
    at_rest: bool,
    file: Option<(u64, SystemTime)>,
}

impl Stand {
    fn of(path: &Path) -> Self {
        let file = fs::metadata(path).ok().and_then(|found| Some((found.len(), found.modified().ok()?)));
        Self { at_rest: schema::is_at_rest(path), file }
    }
}

fn look(path: &Path) -> Result<Option<Examination>, Failure> {
    let db = schema::open_look(path)?;
    let kind = Kind::of(&db)?;
    let version = match kind {
        Kind::Empty => return Ok(None),
        Kind::Ours(version) => version,
        Kind::Unknown(_) | Kind::Foreign => return Err(Failure::Damaged(kind.version().err().unwrap_or_default())),
    };
    in_transaction(&db, |db| {
        let damage = copying::problems(db, false)?;
        let (mut newest, mut recounts) = (None, None);
        if damage.is_empty() {
            newest = read_newest(db)?;
            recounts = (version == VERSION).then(|| recount(db)).transpose()?;
        }
        Ok(Some(Examination { version, bytes: bytes(path), damage, newest, recounts }))
    })
}

fn bytes(path: &Path) -> u64 {
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |found| found.len());
    size(path.to_owned()) + size(copying::beside(path, "-wal"))
}

fn read_newest(db: &Connection) -> Result<Option<NotificationId>, Failure> {
    let mut statement = db.prepare("SELECT id FROM notifications ORDER BY id DESC LIMIT 1")?;
    let mut rows = statement.query([])?;
    rows.next()?.map(|row| read::notification_id(row, 0)).transpose()
}

fn recount(db: &Connection) -> Result<Recounts, Failure> {
    let count = |sql: &str| -> Result<u64, Failure> {
        let number: i64 = db.query_row(sql, [], |row| row.get(0))?;
        u64::try_from(number).map_err(|_| Damaged("number").into())
    };
    let (missing_live, stray_live) = live(db)?;
    Ok(Recounts {
        notifications: copying::notifications(db)?,
        deliveries: read::count(db)?,
        wrong_tallies: count(WRONG_COUNTS)? + count(WRONG_TALLIES)? + count(MISSING_TALLIES)?,
        missing_live,
        stray_live,
        dead_letters: count("SELECT count(*) FROM dead_letters")?,
        missing_dead_letters: count(MISSING_DEAD_LETTERS)?,
        stray_dead_letters: count(STRAY_DEAD_LETTERS)?,
        wrong_kv_usage: count(WRONG_KV_USAGE)?,
        wrong_totals: totals::wrong(db)?,
    })
}

/// Of a large notification some deliveries are not made yet, and duplicates that were found while it was made, or what
/// was cancelled before, never will be.
const WRONG_COUNTS: &str = "SELECT count(*) FROM (
    SELECT deliveries, (SELECT count(*) FROM deliveries WHERE notification = id)
        + (SELECT coalesce(sum(count), 0) FROM targets WHERE notification = id) AS there FROM notifications)
    WHERE deliveries < there OR deliveries > there AND deliveries <= 1000";

/// What is not made yet is open. What was cancelled before it was made is cancelled, and has no row.
const WRONG_TALLIES: &str = "SELECT count(*) FROM (
    SELECT t.*, n.deliveries, coalesce(sum(d.status = 0), 0)
            + (SELECT coalesce(sum(count), 0) FROM targets WHERE notification = t.notification) AS is_open,
        coalesce(sum(d.status = 1), 0) AS is_sent, coalesce(sum(d.status = 2), 0) AS is_failed,
        coalesce(sum(d.status = 3), 0) AS is_cancelled
    FROM tallies AS t JOIN notifications AS n ON n.id = t.notification
    LEFT JOIN deliveries AS d ON d.notification = t.notification GROUP BY t.notification)
    WHERE (open, sent, failed) IS NOT (is_open, is_sent, is_failed)
        OR cancelled < is_cancelled OR cancelled > is_cancelled AND deliveries <= 1000";

const MISSING_TALLIES: &str = "SELECT count(*) FROM notifications
    WHERE deliveries > 1 AND NOT EXISTS (SELECT 1 FROM tallies WHERE notification = id)";

const MISSING_DEAD_LETTERS: &str = "SELECT count(*) FROM deliveries AS d
    WHERE status = 2 AND NOT EXISTS (SELECT 1 FROM dead_letters WHERE notification = d.notification AND idx = d.idx)";

const STRAY_DEAD_LETTERS: &str = "SELECT count(*) FROM dead_letters AS l
    WHERE 2 IS NOT (SELECT status FROM deliveries WHERE notification = l.notification AND idx = l.idx)";

/// A channel that removed everything has a row of zeros, and one that never kept anything has none.
const WRONG_KV_USAGE: &str = "SELECT count(*) FROM (
    SELECT channel FROM (
        SELECT channel, sum(length(CAST(key AS BLOB)) + length(value)) AS bytes, count(*) AS keys FROM kv GROUP BY channel
        UNION ALL SELECT channel, -bytes, -keys FROM kv_usage)
    GROUP BY channel HAVING sum(bytes) <> 0 OR sum(keys) <> 0)";

/// Open deliveries that are missing in the queue, and what is too much there.
fn live(db: &Connection) -> Result<(u64, u64), Failure> {
    let mut open = db.prepare("SELECT notification, idx, lane, state FROM deliveries WHERE status = ?1")?;
    let mut place = db.prepare("SELECT 1 FROM live WHERE lane = ?1 AND due = ?2 AND notification = ?3 AND idx = ?4")?;
    let (mut missing, mut found) = (0_u64, 0_u64);
    let mut rows = open.query([row::STATUS_OPEN])?;
    while let Some(row) = rows.next()? {
        let (id, index, lane) = (read::notification_id(row, 0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?);
        let DeliveryState::Waiting(progress) = row::state(read::blob(row, 3)?)? else {
            return Err(Damaged("delivery").into());
        };
        if place.exists(params![lane, progress.due.as_millis() as i64, id.as_bytes(), index])? {
            found += 1;
        } else {
            missing += 1;
        }
    }
    let all: i64 = db.query_row("SELECT count(*) FROM live", [], |row| row.get(0))?;
    Ok((missing, u64::try_from(all).unwrap_or(0).saturating_sub(found)))
}

#[cfg(test)]
mod tests;
