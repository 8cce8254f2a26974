//! The statements that are run for every delivery, got ready once per transaction.

use rusqlite::{CachedStatement, Connection, params};

use super::failure::Failure;
use super::lookup::{self, Key};
use crate::domain::{DeliveryId, NotificationId, Timestamp};

/// See the methods.
pub(super) struct Statements<'c> {
    insert_notification: CachedStatement<'c>,
    insert_delivery: CachedStatement<'c>,
    update_delivery: CachedStatement<'c>,
    insert_live: CachedStatement<'c>,
    delete_live: CachedStatement<'c>,
    insert_attempt: CachedStatement<'c>,
    insert_lookup: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    pub(super) fn prepare(db: &'c Connection) -> Result<Self, Failure> {
        Ok(Self {
            insert_notification: db
                .prepare_cached("INSERT INTO notifications (id, deliveries, payload) VALUES (?1, ?2, ?3)")?,
            insert_delivery: db.prepare_cached(
                "INSERT INTO deliveries (notification, idx, lane, status, state, recipient)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?,
            update_delivery: db
                .prepare_cached("UPDATE deliveries SET status = ?3, state = ?4 WHERE notification = ?1 AND idx = ?2")?,
            insert_live: db
                .prepare_cached("INSERT INTO live (lane, due, notification, idx) VALUES (?1, ?2, ?3, ?4)")?,
            delete_live: db
                .prepare_cached("DELETE FROM live WHERE lane = ?1 AND due = ?2 AND notification = ?3 AND idx = ?4")?,
            insert_attempt: db
                .prepare_cached("INSERT INTO attempts (notification, idx, number, attempt) VALUES (?1, ?2, ?3, ?4)")?,
            insert_lookup: db.prepare_cached(lookup::INSERT)?,
        })
    }

    pub(super) fn insert_notification(
        &mut self,
        id: NotificationId,
        deliveries: u32,
        payload: &[u8],
    ) -> Result<(), Failure> {
        self.insert_notification.execute(params![id.as_bytes(), deliveries, payload])?;
        Ok(())
    }

    pub(super) fn insert_delivery(
        &mut self,
        id: DeliveryId,
        lane: i64,
        status: u8,
        state: &[u8],
        recipient: &[u8],
    ) -> Result<(), Failure> {
        let key = id.notification();
        self.insert_delivery.execute(params![key.as_bytes(), id.index(), lane, status, state, recipient])?;
        Ok(())
    }

    /// Answers how many rows there were: 1 or 0.
    pub(super) fn update_delivery(&mut self, id: DeliveryId, status: u8, state: &[u8]) -> Result<usize, Failure> {
        let key = id.notification();
        Ok(self.update_delivery.execute(params![key.as_bytes(), id.index(), status, state])?)
    }

    pub(super) fn insert_live(&mut self, lane: i64, due: Timestamp, id: DeliveryId) -> Result<(), Failure> {
        let key = id.notification();
        self.insert_live.execute(params![lane, due.as_millis() as i64, key.as_bytes(), id.index()])?;
        Ok(())
    }

    /// Answers how many rows there were: 1 or 0.
    pub(super) fn delete_live(&mut self, lane: i64, due: Timestamp, id: DeliveryId) -> Result<usize, Failure> {
        let key = id.notification();
        Ok(self.delete_live.execute(params![lane, due.as_millis() as i64, key.as_bytes(), id.index()])?)
    }

    pub(super) fn insert_lookup(&mut self, key: Key<'_>, id: NotificationId) -> Result<(), Failure> {
        lookup::insert(&mut self.insert_lookup, key, id)
    }

    pub(super) fn insert_attempt(&mut self, id: DeliveryId, number: u32, attempt: &[u8]) -> Result<(), Failure> {
        let key = id.notification();
        self.insert_attempt.execute(params![key.as_bytes(), id.index(), number, attempt])?;
        Ok(())
    }
}
