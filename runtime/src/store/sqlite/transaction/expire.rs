//! What waits longer than it may be sent for, whatever it waits for: its channel may be held for days.

use std::time::Duration;

use rusqlite::params;

use super::Transaction;
use crate::domain::{DeliveryId, DeliveryState, FailReason, NotificationId, Position, Timestamp, settle_over};
use crate::store::sqlite::expiry::{self, Expiry};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::live::Claimed;
use crate::store::sqlite::wire::Damaged;
use crate::store::sqlite::{read, row, suspects};

/// When to look again at what has deliveries in flight, or to be made.
const AGAIN: Duration = Duration::from_secs(10);

/// Notifications that one slice looks at.
const LOOKS: usize = 256;

/// Rows of deliveries that one slice walks over: most of a large notification may be final.
const ROWS: u32 = 10_000;

/// What a slice found of one notification.
#[derive(Debug, Default)]
struct Found {
    /// To be ended: nobody has claimed them.
    idle: Vec<(DeliveryId, Claimed)>,
    /// The first that is in flight, about to be cancelled or still to be made: to be looked at again.
    later: Option<u32>,
    /// There is more to look at, from here on.
    next: Option<u32>,
}

impl Transaction<'_> {
    /// Something of `id` waits, and may not be sent from `at` on.
    pub(super) fn expires(&mut self, id: NotificationId, at: Timestamp) -> Result<(), Failure> {
        expiry::insert(self.db, Expiry { at, notification: id, from: 0 })?;
        self.effects.expires = Some(self.effects.expires.map_or(at, |first| first.min(at)));
        Ok(())
    }

    /// Ends about `limit` deliveries whose notifications have expired at `now`. What is in flight ends by its attempt, and
    /// what a provider took goes on to its final word.
    pub(super) fn expire(&mut self, now: Timestamp, limit: usize) -> Result<u32, Failure> {
        let (mut ended, mut rows) = (0, ROWS);
        for _ in 0..LOOKS {
            let Some(expiry) = expiry::first(self.db)?.filter(|expiry| expiry.at <= now) else { break };
            if ended as usize >= limit || rows == 0 {
                break;
            }
            let Expiry { at, notification, from } = expiry;
            expiry::remove(self.db, at, notification)?;
            let Some(siblings) = read::siblings(self.db, notification)? else { continue };
            let wide = rows.min(u32::try_from(limit).unwrap_or(ROWS));
            rows -= wide.min(siblings);
            let found = self.expired_of(notification, siblings, from, wide)?;
            for (delivery, claimed) in &found.idle {
                self.expire_one(*delivery, claimed, now)?;
                ended += 1;
            }
            if siblings > 1 && !found.idle.is_empty() {
                self.progressed(notification, now);
            }
            if let Some(from) = found.next {
                expiry::insert(self.db, Expiry { at, notification, from })?;
            }
            if let Some(from) = found.later {
                // Where an earlier part of it is to be looked at then, that comes by this one too.
                expiry::insert(self.db, Expiry { at: now.after(AGAIN), notification, from })?;
            }
        }
        self.effects.next_expiry = Some(expiry::first(self.db)?.map(|expiry| expiry.at));
        Ok(ended)
    }

    /// Looks at `wide` deliveries of a notification with so many.
    fn expired_of(&self, id: NotificationId, siblings: u32, from: u32, wide: u32) -> Result<Found, Failure> {
        let mut statement = self.db.prepare_cached(
            "SELECT idx, lane, state FROM deliveries
             WHERE notification = ?1 AND idx >= ?2 AND idx < ?3 AND status = ?4 ORDER BY idx",
        )?;
        let end = from.saturating_add(wide);
        let mut rows = statement.query(params![id.as_bytes(), from, end, row::STATUS_OPEN])?;
        let mut found = Found::default();
        while let Some(row) = rows.next()? {
            let delivery = id.delivery(row.get(0)?);
            let DeliveryState::Waiting(progress) = row::state(read::blob(row, 2)?)? else {
                return Err(Damaged("delivery").into());
            };
            if progress.accepted.is_some() {
                continue;
            }
            let ended = &self.effects.ended;
            let is_cancelled = self.cancelled_at(delivery).is_some();
            if is_cancelled || self.live.close(delivery, |number| ended.contains(&number)).is_some() {
                found.later = found.later.or(Some(delivery.index()));
            } else {
                found.idle.push((delivery, Claimed { lane: row.get(1)?, siblings, progress }));
            }
        }
        // Indices have gaps where a dedupe key kept one from being made.
        let last = self
            .db
            .prepare_cached("SELECT max(idx) FROM deliveries WHERE notification = ?1")?
            .query_row([id.as_bytes()], |row| row.get::<_, Option<u32>>(0))?;
        if last.is_some_and(|last| last >= end) {
            found.next = Some(end);
        } else if read::unmade(self.db, id)? > 0 {
            found.later = found.later.or(Some(last.map_or(0, |last| last + 1)));
        }
        Ok(found)
    }

    fn expire_one(&mut self, id: DeliveryId, claimed: &Claimed, at: Timestamp) -> Result<(), Failure> {
        // Under number 0, which no claim has: what is known of it from before.
        if self.live.has_row(id, 0) {
            suspects::forget(self.db, id)?;
        }
        self.effects.withdrawn.push((claimed.lane, Position { due: claimed.progress.due, delivery: id }));
        let state = settle_over(&claimed.progress, FailReason::Expired, at);
        self.change_state(id, claimed.clone(), &state, at)
    }
}
