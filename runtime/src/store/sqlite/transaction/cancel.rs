//! Deliveries that are withdrawn, a slice at a time, so that a large notification holds nobody up.

use rusqlite::params;

use super::{Asked, Transaction};
use crate::domain::{
    Act, AuditOutcome, DeliveryId, DeliveryState, DeliveryStatus, EventBody, NotificationId, Position, Timestamp,
};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::live::{Claimed, Withdrawal};
use crate::store::sqlite::wire::Damaged;
use crate::store::sqlite::{read, suspects};
use crate::store::{Cancelled, DELIVERIES_SLICE};

impl Transaction<'_> {
    /// Cancels the open deliveries from index `from` on, at most a slice, and those that are not made. Answers where to go
    /// on. From the first slice on nothing of it can be claimed.
    pub(super) fn cancel(
        &mut self,
        id: NotificationId,
        asked: Asked,
        from: u32,
    ) -> Result<(Cancelled, Option<u32>), Failure> {
        let at = asked.at;
        if read::siblings(self.db, id)?.is_none() {
            return Ok((Cancelled::Unknown, None));
        }
        let open = read::open_deliveries(self.db, id, from, DELIVERIES_SLICE)?;
        let unmade = self.unstage(id)?;
        if open.is_empty() && unmade == 0 {
            if from > 0 {
                return Ok((Cancelled::Cancelled { now: 0, in_flight: 0 }, None));
            }
            let act = Act::Cancel { notification: id, deliveries: 0, in_flight: 0 };
            self.note_cancel(asked, act, Cancelled::AlreadyFinal);
            return Ok((Cancelled::AlreadyFinal, None));
        }
        let next = if open.len() < DELIVERIES_SLICE { None } else { open.last().map(|(last, _)| last.index() + 1) };
        // What its provider took goes on to its final word.
        let (taken, open): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(_, claimed)| claimed.progress.accepted.is_some());
        if open.is_empty() && (from, unmade, next) == (0, 0, None) {
            let act = Act::Cancel { notification: id, deliveries: 0, in_flight: 0 };
            self.note_cancel(asked, act, Cancelled::Taken);
            return Ok((Cancelled::Taken, None));
        }
        let (live, ended) = (self.live, &self.effects.ended);
        let (in_flight, idle): (Vec<_>, Vec<_>) =
            open.into_iter().partition(|(id, _)| live.close(*id, |number| ended.contains(&number)).is_some());
        let (now, in_flight, taken) = (idle.len() as u32 + unmade, in_flight.len() as u32, taken.len() as u32);
        let again = self.withdrawn_at(Withdrawal::All(id)).is_some();
        if (in_flight > 0 || next.is_some()) && !again {
            self.db
                .prepare_cached("INSERT INTO cancelling (notification, at) VALUES (?1, ?2)")?
                .execute(params![id.as_bytes(), at.as_millis() as i64])?;
            self.effects.cancelling.insert(Withdrawal::All(id), Some(at));
        }
        // Of a large one, all that is open and not in flight as far as this slice knows.
        let deliveries = if next.is_some() { self.tally(id)?.open.saturating_sub(in_flight + taken) } else { now };
        if !again {
            self.event(at, EventBody::NotificationCancelled { notification: id, deliveries });
        }
        if from == 0 {
            let act = Act::Cancel { notification: id, deliveries, in_flight };
            self.note_cancel(asked, act, Cancelled::Cancelled { now, in_flight });
        }
        for (delivery, claimed) in idle {
            self.cancel_one(delivery, claimed, at)?;
        }
        if unmade > 0 {
            self.drop_from_tally(id, Some(DeliveryStatus::Cancelled), unmade)?;
            self.db
                .prepare_cached("UPDATE tallies SET never_made = never_made + ?2 WHERE notification = ?1")?
                .execute(params![id.as_bytes(), unmade])?;
            self.complete_if_done(id, at)?;
        }
        Ok((Cancelled::Cancelled { now, in_flight }, next))
    }

    /// Cancels one delivery, or has it cancelled once the attempt under way ends without sending it.
    pub(super) fn cancel_delivery(&mut self, id: DeliveryId, at: Timestamp) -> Result<Cancelled, Failure> {
        let Some((_, lane, state)) = read::delivery_state(self.db, id)? else { return Ok(Cancelled::Unknown) };
        let DeliveryState::Waiting(progress) = state else { return Ok(Cancelled::AlreadyFinal) };
        if progress.accepted.is_some() {
            self.withdrawn(id)?;
            return Ok(Cancelled::Taken);
        }
        let ended = &self.effects.ended;
        if self.live.close(id, |number| ended.contains(&number)).is_some() {
            if self.cancelled_at(id).is_none() {
                self.db
                    .prepare_cached("INSERT INTO cancelling_one (notification, idx, at) VALUES (?1, ?2, ?3)")?
                    .execute(params![id.notification().as_bytes(), id.index(), at.as_millis() as i64])?;
                self.effects.cancelling.insert(Withdrawal::One(id), Some(at));
            }
            return Ok(Cancelled::Cancelled { now: 0, in_flight: 1 });
        }
        let siblings = read::siblings(self.db, id.notification())?.ok_or(Damaged("notification"))?;
        self.cancel_one(id, Claimed { lane, siblings, progress }, at)?;
        Ok(Cancelled::Cancelled { now: 1, in_flight: 0 })
    }

    /// Keeps who asked for it. That there is nothing of this id is no news.
    pub(super) fn note_cancel(&mut self, asked: Asked, act: Act, cancelled: Cancelled) {
        let outcome = match cancelled {
            Cancelled::Unknown => return,
            Cancelled::AlreadyFinal | Cancelled::Taken => AuditOutcome::Refused,
            Cancelled::Cancelled { in_flight: 0, .. } => AuditOutcome::Done,
            Cancelled::Cancelled { .. } => AuditOutcome::InFlight,
        };
        self.note(asked, act, outcome);
    }

    /// `id` is final, or its provider took it: its own cancel waits for nothing any more.
    pub(super) fn withdrawn(&mut self, id: DeliveryId) -> Result<(), Failure> {
        if self.withdrawn_at(Withdrawal::One(id)).is_some() {
            self.db
                .prepare_cached("DELETE FROM cancelling_one WHERE notification = ?1 AND idx = ?2")?
                .execute(params![id.notification().as_bytes(), id.index()])?;
            self.effects.cancelling.insert(Withdrawal::One(id), None);
        }
        Ok(())
    }

    /// Nothing of `id` is left to withdraw.
    pub(super) fn all_withdrawn(&mut self, id: NotificationId) -> Result<(), Failure> {
        if self.withdrawn_at(Withdrawal::All(id)).is_some() {
            self.db.prepare_cached("DELETE FROM cancelling WHERE notification = ?1")?.execute([id.as_bytes()])?;
            self.effects.cancelling.insert(Withdrawal::All(id), None);
        }
        Ok(())
    }

    /// Nothing is in flight any more: what waited for that is cancelled. Who asked for it is kept already.
    pub(super) fn finish_cancel(&mut self, what: Withdrawal, at: Timestamp) -> Result<(), Failure> {
        match what {
            Withdrawal::All(id) => self.withdraw(id, at),
            Withdrawal::One(id) => self.cancel_delivery(id, at).map(|_| ()),
        }
    }

    /// Cancels whatever of `id` is open and can be withdrawn, without announcing it again.
    fn withdraw(&mut self, id: NotificationId, at: Timestamp) -> Result<(), Failure> {
        let mut from = 0;
        loop {
            let open = read::open_deliveries(self.db, id, from, DELIVERIES_SLICE)?;
            let Some((last, _)) = open.last() else { return self.all_withdrawn(id) };
            from = last.index() + 1;
            for (delivery, claimed) in open.into_iter().filter(|(_, claimed)| claimed.progress.accepted.is_none()) {
                self.cancel_one(delivery, claimed, at)?;
            }
        }
    }

    pub(super) fn cancel_one(&mut self, id: DeliveryId, claimed: Claimed, at: Timestamp) -> Result<(), Failure> {
        // Under number 0, which no claim has: what is known of it from before.
        if self.live.has_row(id, 0) {
            suspects::forget(self.db, id)?;
        }
        self.effects.withdrawn.push((claimed.lane, Position { due: claimed.progress.due, delivery: id }));
        let state = DeliveryState::Cancelled { at, attempts: claimed.progress.attempts };
        self.change_state(id, claimed, &state, at)
    }
}
