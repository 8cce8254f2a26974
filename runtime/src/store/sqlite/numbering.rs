//! Which number the next event gets.
//!
//! *Invariant:* no number is given twice in one epoch, also where a loss of power takes commits along that were told.
//! Where commits are not synced, numbers are reserved in blocks by a commit that is; after a crash the next number lies
//! behind the block. A stop gives the rest of the block back.

use rusqlite::{Connection, params};

use super::failure::Failure;
use super::read;
use crate::store::{EventEpoch, EventNumber, EventRange};

/// Numbers in a block: a sync for every 65,536 events is no cost, and a number has room for 2^47 crashes.
const BLOCK: EventNumber = 65_536;

/// Gives numbers to events.
#[derive(Debug)]
pub(super) struct Numbering {
    /// The last one that was given, or may have been.
    last: EventNumber,
    /// Up to here they may be given. None where every commit is synced.
    reserved: Option<EventNumber>,
}

impl Numbering {
    /// Goes on behind what was given before. `reserves` says that commits are not synced, and the file outlives them.
    pub(super) fn begin(db: &Connection, reserves: bool) -> Result<Self, Failure> {
        let reserved = mark(db, "numbered")?.max(0) as EventNumber;
        Ok(Self { last: read::last_event(db)?.max(reserved), reserved: reserves.then_some(reserved) })
    }

    pub(super) const fn last(&self) -> EventNumber {
        self.last
    }

    /// Whether so many more can be given.
    pub(super) fn suffices_for(&self, count: usize) -> bool {
        self.reserved.is_none_or(|reserved| self.last + count as EventNumber <= reserved)
    }

    /// Makes room for so many and a block beyond. Not inside of a transaction.
    pub(super) fn reserve(&mut self, db: &Connection, count: usize) -> Result<(), Failure> {
        let reserved = self.last + count as EventNumber + BLOCK;
        keep_synced(db, reserved)?;
        self.reserved = Some(reserved);
        Ok(())
    }

    /// So many were given, in a commit that is done.
    pub(super) fn gave(&mut self, count: usize) {
        self.last += count as EventNumber;
    }

    /// Gives back what was reserved and not given. What was given is on the disk with it.
    pub(super) fn close(&self, db: &Connection) -> Result<(), Failure> {
        match self.reserved {
            Some(reserved) if reserved > self.last => keep_synced(db, self.last),
            Some(_) | None => Ok(()),
        }
    }
}

/// Synced, and everything before it with it.
fn keep_synced(db: &Connection, reserved: EventNumber) -> Result<(), Failure> {
    db.execute_batch("PRAGMA synchronous = FULL")?;
    let kept = db.execute("UPDATE marks SET value = ?1 WHERE name = 'numbered'", [reserved as i64]);
    db.execute_batch("PRAGMA synchronous = NORMAL")?;
    kept?;
    Ok(())
}

/// Which events there are. A process that skipped numbers at its start began behind `began`.
pub(super) fn range(db: &Connection, began: EventNumber) -> Result<EventRange, Failure> {
    let newest = read::last_event(db)?.max(began);
    let mut statement = db.prepare_cached("SELECT min(first) FROM outbox")?;
    let oldest: Option<i64> = statement.query_row([], |row| row.get(0))?;
    let oldest = oldest.map_or(newest + 1, |first| first as EventNumber);
    Ok(EventRange { epoch: EventEpoch(mark(db, "epoch")? as u64), oldest, newest })
}

/// Gives the database another epoch: it is to have another life. One of a version without gets its first when it is
/// migrated.
pub(super) fn begin_epoch(db: &Connection) -> Result<(), Failure> {
    let has_marks: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'marks'", [], |row| row.get(0))?;
    if has_marks == 0 {
        return Ok(());
    }
    db.execute("UPDATE marks SET value = random() WHERE name = 'epoch'", [])?;
    Ok(())
}

fn mark(db: &Connection, name: &str) -> Result<i64, Failure> {
    let mut statement = db.prepare_cached("SELECT value FROM marks WHERE name = ?1")?;
    Ok(statement.query_row(params![name], |row| row.get(0))?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::Actor;
    use crate::store::conformance::{Ear, NOW, id, planned};
    use crate::store::sqlite::{SqliteOptions, SqliteStore};
    use crate::store::{Durability, Store};

    fn open(folder: &tempfile::TempDir, durability: Durability) -> Arc<SqliteStore> {
        let path = folder.path().join("campanile.db");
        SqliteStore::open(SqliteOptions { path, durability, listener: Arc::new(Ear::default()) }).unwrap()
    }

    /// Lets go of a store as a crash does.
    async fn crash(store: Arc<SqliteStore>) {
        let mut ended = store.ended.clone();
        drop(store);
        while ended.changed().await.is_ok() {}
    }

    /// The number of the newest event, once another notification is accepted.
    async fn number_of_next(store: &SqliteStore, n: u32) -> EventNumber {
        store.accept(vec![planned(n, &["mail"])]).await.unwrap();
        store.event_range().await.unwrap().newest
    }

    #[tokio::test]
    async fn behind_a_crash_unsynced_numbers_are_not_used_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = open(&folder, Durability::Os);
        assert_eq!(number_of_next(&store, 1).await, 1);
        let range = store.event_range().await.unwrap();
        crash(store).await;

        let store = open(&folder, Durability::Os);
        let behind = 1 + BLOCK;
        let after = store.event_range().await.unwrap();
        assert_eq!((after.epoch, after.oldest, after.newest), (range.epoch, 1, behind), "whatever was given before");
        assert_eq!(number_of_next(&store, 2).await, behind + 1);
        let numbers: Vec<_> = store.outbox(0, 10).await.unwrap().iter().map(|event| event.number).collect();
        assert_eq!(numbers, [1, behind + 1]);
        store.close().await;

        let store = open(&folder, Durability::Full);
        assert_eq!(number_of_next(&store, 3).await, behind + 2, "a stop gives the block back");
        crash(store).await;
        let store = open(&folder, Durability::Full);
        assert_eq!(number_of_next(&store, 4).await, behind + 3, "what is synced is not lost");
    }

    #[tokio::test]
    async fn a_commit_that_a_block_does_not_hold_is_made_once() {
        let folder = tempfile::TempDir::new().unwrap();
        let store = open(&folder, Durability::Os);
        for round in 0..3 {
            store.accept(vec![planned(round, &["mail"; 1_000])]).await.unwrap();
            store.cancel(id(round), NOW, Actor::Api).await.unwrap();
        }
        let events = store.outbox(0, 10_000).await.unwrap();
        assert_eq!(events.len(), 3 * 1_003, "accepted, cancelled, each delivery, completed");
        assert!((1..).zip(&events).all(|(number, event)| event.number == number));
    }
}
