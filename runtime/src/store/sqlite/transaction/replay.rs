//! Dead letters: kept where a delivery fails, taken up again, put away.

use rusqlite::params;

use super::{Asked, Transaction};
use crate::domain::{
    Act, AuditOutcome, DeliveryId, DeliveryState, DeliveryStatus, EventBody, Lane, Position, Queued, StatusCounts,
    Waiting,
};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::live::Withdrawal;
use crate::store::sqlite::{read, row};
use crate::store::{Replay, Replayed};

impl Transaction<'_> {
    /// Remembers that `id` failed.
    pub(super) fn bury(&mut self, id: DeliveryId) -> Result<(), Failure> {
        let inserted = self
            .db
            .prepare_cached("INSERT OR IGNORE INTO dead_letters (notification, idx) VALUES (?1, ?2)")?
            .execute(params![id.notification().as_bytes(), id.index()])?;
        self.effects.totals.dead_letters += inserted as i64;
        Ok(())
    }

    /// Whether it was there.
    fn dig_up(&mut self, id: DeliveryId) -> Result<bool, Failure> {
        let deleted = self
            .db
            .prepare_cached("DELETE FROM dead_letters WHERE notification = ?1 AND idx = ?2")?
            .execute(params![id.notification().as_bytes(), id.index()])?;
        self.effects.totals.dead_letters -= deleted as i64;
        Ok(deleted > 0)
    }

    /// Puts dead letters away and says how many there were. The deliveries stay failed.
    pub(super) fn purge(&mut self, ids: &[DeliveryId], asked: Asked) -> Result<u64, Failure> {
        let mut purged = 0;
        for id in ids {
            if self.dig_up(*id)? {
                purged += 1;
                self.note(asked, Act::Purge { delivery: *id }, AuditOutcome::Done);
            }
        }
        Ok(purged)
    }

    pub(super) fn replay(&mut self, replay: Replay, asked: Asked) -> Result<Replayed, Failure> {
        let Replay { delivery: id, due } = replay;
        let replayed = self.try_replay(replay, asked)?;
        let outcome = match replayed {
            Replayed::Waits => AuditOutcome::Done,
            Replayed::NotFailed => AuditOutcome::Refused,
            Replayed::Unknown => return Ok(replayed),
        };
        self.note(asked, Act::Replay { delivery: id, due }, outcome);
        Ok(replayed)
    }

    fn try_replay(&mut self, replay: Replay, asked: Asked) -> Result<Replayed, Failure> {
        let Replay { delivery: id, due } = replay;
        let Some((lane, lane_number, state)) = read::delivery_state(self.db, id)? else { return Ok(Replayed::Unknown) };
        let DeliveryState::Failed { attempts, .. } = state else { return Ok(Replayed::NotFailed) };
        if self.withdrawn_at(Withdrawal::All(id.notification())).is_some() {
            return Ok(Replayed::NotFailed);
        }
        let state = DeliveryState::Waiting(Waiting { attempts, run_began: Some(due), ..Waiting::fresh(due) });
        self.scratch.clear();
        row::put_state(&mut self.scratch, &state);
        self.statements.update_delivery(id, row::STATUS_OPEN, &self.scratch)?;
        self.statements.insert_live(lane_number, due, id)?;
        self.dig_up(id)?;
        self.reopen_tally(id)?;
        // It may have been looked at before.
        if let Some(at) = read::notification_row(self.db, id.notification())?.and_then(|(found, _)| found.expires_at) {
            self.expires(id.notification(), at)?;
        }
        self.event(asked.at, EventBody::of_state(id, &state));
        self.wake(lane, Position { due, delivery: id });
        Ok(Replayed::Waits)
    }

    fn reopen_tally(&mut self, id: DeliveryId) -> Result<(), Failure> {
        let notification = id.notification();
        // A notification with one delivery has no tally.
        if read::siblings(self.db, notification)? == Some(1) {
            return Ok(());
        }
        let mut counts: StatusCounts = match self.tallies.get(&notification) {
            Some(counts) => *counts,
            None => read::tally(self.db, notification)?,
        };
        counts.remove(DeliveryStatus::Failed);
        counts.add(DeliveryStatus::Pending);
        self.tallies.insert(notification, counts);
        Ok(())
    }

    fn wake(&mut self, lane: Lane, position: Position) {
        self.effects.accepted.push(Queued { lane, position });
    }
}
