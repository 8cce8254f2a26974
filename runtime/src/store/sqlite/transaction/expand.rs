//! Large notifications: kept as targets first, made into deliveries a slice at a time.

use rusqlite::{OptionalExtension, params};

use super::Transaction;
use crate::domain::{DeliveryStatus, EventBody, Flow, NotificationId, StatusCounts, Timestamp};
use crate::store::Deduplicated;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::wire::Damaged;
use crate::store::sqlite::{read, row};

/// A row of `targets`, encoded by its caller.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Staged {
    pub(in crate::store::sqlite) notification: NotificationId,
    pub(in crate::store::sqlite) first: u32,
    pub(in crate::store::sqlite) count: u32,
    pub(in crate::store::sqlite) targets: Vec<u8>,
}

impl Transaction<'_> {
    pub(super) fn stage(&self, staged: &[Staged]) -> Result<(), Failure> {
        let mut insert = self
            .db
            .prepare_cached("INSERT INTO targets (notification, first, count, targets) VALUES (?1, ?2, ?3, ?4)")?;
        for Staged { notification, first, count, targets } in staged {
            insert.execute(params![notification.as_bytes(), first, count, targets])?;
        }
        Ok(())
    }

    /// Forgets what was staged, and answers how many deliveries will not be made.
    pub(super) fn unstage(&self, id: NotificationId) -> Result<u32, Failure> {
        let count = read::unmade(self.db, id)?;
        if count > 0 {
            self.db.prepare_cached("DELETE FROM targets WHERE notification = ?1")?.execute([id.as_bytes()])?;
        }
        Ok(count)
    }

    /// Makes the next slice of deliveries. Answers whether there are more.
    pub(super) fn expand(&mut self, id: NotificationId, at: Timestamp) -> Result<bool, Failure> {
        let next = self
            .db
            .prepare_cached("SELECT first, targets FROM targets WHERE notification = ?1 ORDER BY first LIMIT 1")?
            .query_row([id.as_bytes()], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()?;
        let Some((first, bytes)) = next else { return Ok(false) };
        let Some((notification, count)) = read::notification_row(self.db, id)? else {
            return Err(Damaged("target").into());
        };
        let targets = row::targets(&bytes, Flow::of_notification(id))?;
        let mut deduplicated = self.duplicates(id, first, &targets)?;
        let is_made = |index: &u32| deduplicated.iter().all(|duplicate| duplicate.index != *index);
        for (index, target) in (first..).zip(&targets).filter(|(index, _)| is_made(index)) {
            self.accept_delivery(&notification, id.delivery(index), count, target)?;
        }
        self.db
            .prepare_cached("DELETE FROM targets WHERE notification = ?1 AND first = ?2")?
            .execute(params![id.as_bytes(), first])?;
        if !deduplicated.is_empty() {
            for Deduplicated { first, .. } in deduplicated.drain(..) {
                self.event(at, EventBody::DeliveryDeduplicated { notification: id, first });
                self.drop_from_tally(id, None, 1)?;
            }
            self.complete_if_done(id, at)?;
        }
        let more =
            self.db.prepare_cached("SELECT 1 FROM targets WHERE notification = ?1 LIMIT 1")?.exists([id.as_bytes()])?;
        Ok(more)
    }

    /// `count` open deliveries of a large notification end without having been made, as `status` or as nothing.
    pub(super) fn drop_from_tally(
        &mut self,
        id: NotificationId,
        status: Option<DeliveryStatus>,
        count: u32,
    ) -> Result<(), Failure> {
        let mut counts = self.tally(id)?;
        counts.open = counts.open.saturating_sub(count);
        if status == Some(DeliveryStatus::Cancelled) {
            counts.cancelled += count;
        }
        self.tallies.insert(id, counts);
        Ok(())
    }

    pub(super) fn complete_if_done(&mut self, id: NotificationId, at: Timestamp) -> Result<(), Failure> {
        let counts = self.tally(id)?;
        if counts.open == 0 {
            self.complete(id, counts, at)?;
        }
        Ok(())
    }

    pub(super) fn tally(&self, id: NotificationId) -> Result<StatusCounts, Failure> {
        match self.tallies.get(&id) {
            Some(counts) => Ok(*counts),
            None => read::tally(self.db, id),
        }
    }
}
