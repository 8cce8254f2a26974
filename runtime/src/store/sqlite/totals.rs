//! What is there of each kind: one row that each commit brings up to date, so that nobody has to count.

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::wire::Damaged;
use super::{expiry, read, row};
use crate::domain::{DeliveryState, DeliveryStatus};
use crate::store::StoreTotals;

/// What a transaction adds, or takes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) dead_letters: i64,
    pub(super) retrying: i64,
    pub(super) event_bytes: i64,
    pub(super) audit_bytes: i64,
    pub(super) dead_callbacks: i64,
}

impl Change {
    /// `totals` with this.
    pub(super) fn applied(self, totals: StoreTotals) -> StoreTotals {
        StoreTotals {
            dead_letters: totals.dead_letters.saturating_add_signed(self.dead_letters),
            retrying: totals.retrying.saturating_add_signed(self.retrying),
            event_bytes: totals.event_bytes.saturating_add_signed(self.event_bytes),
            audit_bytes: totals.audit_bytes.saturating_add_signed(self.audit_bytes),
            newest_event: totals.newest_event,
            next_expiry: totals.next_expiry,
            next_progress: totals.next_progress,
            dead_callbacks: totals.dead_callbacks.saturating_add_signed(self.dead_callbacks),
        }
    }
}

/// 1 where a delivery waits for another attempt, else 0.
pub(super) fn retrying(state: &DeliveryState) -> i64 {
    i64::from(state.status() == DeliveryStatus::Retrying)
}

pub(super) fn read(db: &Connection) -> Result<StoreTotals, Failure> {
    let sql = "SELECT dead_letters, retrying, event_bytes, audit_bytes, dead_callbacks FROM totals";
    let [dead_letters, retrying, event_bytes, audit_bytes, dead_callbacks] = db
        .prepare_cached(sql)?
        .query_row([], |row| Ok([row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?]))?
        .map(|number| u64::try_from(number).map_err(|_| Damaged("total")));
    Ok(StoreTotals {
        dead_letters: dead_letters?,
        retrying: retrying?,
        event_bytes: event_bytes?,
        audit_bytes: audit_bytes?,
        newest_event: read::last_event(db)?,
        next_expiry: expiry::first(db)?.map(|expiry| expiry.at),
        next_progress: None,
        dead_callbacks: dead_callbacks?,
    })
}

pub(super) fn write(db: &Connection, change: Change) -> Result<(), Failure> {
    if change == Change::default() {
        return Ok(());
    }
    let Change { dead_letters, retrying, event_bytes, audit_bytes, dead_callbacks } = change;
    if dead_callbacks != 0 {
        // By itself: the totals are written before this column is there, by the migration that fills them.
        db.prepare_cached("UPDATE totals SET dead_callbacks = dead_callbacks + ?1")?.execute([dead_callbacks])?;
    }
    db.prepare_cached(
        "UPDATE totals SET dead_letters = dead_letters + ?1, retrying = retrying + ?2,
             event_bytes = event_bytes + ?3, audit_bytes = audit_bytes + ?4",
    )?
    .execute(params![dead_letters, retrying, event_bytes, audit_bytes])?;
    Ok(())
}

/// Counts what was there before there were totals; the rest of it is counted by the migration itself.
pub(super) fn fill(db: &Connection) -> Result<(), Failure> {
    write(db, Change { retrying: count_retrying(db)?, ..Change::default() })
}

/// How many of the totals are not what there is.
pub(super) fn wrong(db: &Connection) -> Result<u64, Failure> {
    let number = |sql: &str| -> Result<u64, Failure> {
        let number: i64 = db.query_row(sql, [], |row| row.get(0))?;
        u64::try_from(number).map_err(|_| Damaged("total").into())
    };
    let StoreTotals { dead_letters, retrying, event_bytes, audit_bytes, dead_callbacks, .. } = read(db)?;
    let pairs = [
        (dead_letters, number("SELECT count(*) FROM dead_letters")?),
        (retrying, count_retrying(db)?.unsigned_abs()),
        (event_bytes, number("SELECT coalesce(sum(length(frame)), 0) FROM outbox")?),
        (audit_bytes, number("SELECT coalesce(sum(length(frame)), 0) FROM audit")?),
        (dead_callbacks, number("SELECT count(*) FROM dead_callbacks")?),
    ];
    Ok(pairs.into_iter().filter(|(told, there)| told != there).count() as u64)
}

fn count_retrying(db: &Connection) -> Result<i64, Failure> {
    let mut open = db.prepare("SELECT state FROM deliveries WHERE status = ?1")?;
    let mut rows = open.query([row::STATUS_OPEN])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        count += retrying(&row::state(read::blob(row, 0)?)?);
    }
    Ok(count)
}
