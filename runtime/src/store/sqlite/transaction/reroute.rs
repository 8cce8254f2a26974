//! A delivery goes on through another channel.

use rusqlite::params;

use super::Transaction;
use crate::domain::{DeliveryId, DeliveryState, EventBody, Lane, Rerouted, Timestamp, Waiting};
use crate::store::Reroute;
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::live::{Change, Claimed};
use crate::store::sqlite::lookup::Key;
use crate::store::sqlite::{read, reroutes, row, totals};

impl Transaction<'_> {
    /// Its row, its place in `live`, the way it took, what it is found by, and its event. Rare: it may read.
    pub(super) fn reroute(
        &mut self,
        id: DeliveryId,
        before: Claimed,
        reroute: &Reroute,
        progress: &Waiting,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let Reroute { to, recipient, reason } = reroute;
        let nowhere = || Failure::Internal(format!("`{id}` is claimed but does not wait"));
        let (lane, _, _) = read::delivery_state(self.db, id)?.ok_or_else(nowhere)?;
        let (from, lane) = (lane.channel.clone(), Lane { channel: to.clone(), ..lane });
        let number = self.lane_number(&lane)?;
        let state = DeliveryState::Waiting(progress.clone());
        self.scratch.clear();
        row::put_state(&mut self.scratch, &state);
        let mut recipient_row = Vec::with_capacity(64);
        row::put_recipient(&mut recipient_row, recipient);
        let updated = self
            .db
            .prepare_cached(
                "UPDATE deliveries SET lane = ?3, status = ?4, state = ?5, recipient = ?6
                 WHERE notification = ?1 AND idx = ?2",
            )?
            .execute(params![
                id.notification().as_bytes(),
                id.index(),
                number,
                row::STATUS_OPEN,
                self.scratch,
                recipient_row
            ])?;
        let deleted = self.statements.delete_live(before.lane, before.progress.due, id)?;
        if (updated, deleted) != (1, 1) {
            return Err(nowhere());
        }
        self.statements.insert_live(number, progress.due, id)?;
        if !recipient.address.is_empty() {
            self.statements.insert_lookup(Key::Address(&recipient.address), id.notification())?;
        }
        self.effects.totals.retrying +=
            totals::retrying(&state) - totals::retrying(&DeliveryState::Waiting(before.progress));
        let rerouted = Rerouted { from, to: to.clone(), at, reason: reason.clone() };
        reroutes::insert(self.db, id, &rerouted)?;
        let Rerouted { from, to, at, reason } = rerouted;
        self.event(at, EventBody::DeliveryRerouted { delivery: id, from, to, reason });
        self.effects.changes.push(Change::Rerouted(id));
        Ok(())
    }
}
