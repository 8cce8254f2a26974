//! What is old enough, or too much, goes: a slice at a time.

use rusqlite::params;

use super::Transaction;
use crate::domain::{NotificationId, Timestamp};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::lookup::{self, Key};
use crate::store::sqlite::{audit, callbacks, event, expiry, read, row, totals};
use crate::store::{Shrink, Sweep, Swept};

/// Notifications that may go.
struct Going {
    after: NotificationId,
    before: Timestamp,
    /// Those stay whose idempotency key was used at or after this.
    keys_since: Timestamp,
    limit: usize,
}

impl Transaction<'_> {
    pub(super) fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, Failure> {
        let Sweep {
            after,
            notifications_before: before,
            keys_before,
            events_before,
            audit_before,
            dead_callbacks_before,
            limit,
        } = *sweep;
        let mut swept = self.sweep_notifications(&Going { after, before, keys_since: keys_before, limit })?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        swept.keys =
            self.delete_old("idempotency", keys_before, limit)? + self.delete_old("dedupe", keys_before, limit)?;
        swept.events = self.sweep_events(events_before, u64::MAX)?;
        swept.audit = self.sweep_audit(audit_before, u64::MAX)?;
        swept.dead_callbacks = self.sweep_callbacks(dead_callbacks_before, u64::MAX, limit)?;
        Ok(swept)
    }

    /// By size, whatever their age.
    pub(super) fn shrink(&mut self, shrink: &Shrink) -> Result<Swept, Failure> {
        let Shrink {
            after,
            notifications_before: before,
            keys_before,
            event_bytes_max,
            audit_bytes_max,
            dead_callbacks_max,
            limit,
        } = *shrink;
        let mut swept = self.sweep_notifications(&Going { after, before, keys_since: keys_before, limit })?;
        if let Some(bytes_max) = event_bytes_max {
            swept.events = self.sweep_events(Timestamp::default(), bytes_max)?;
        }
        if let Some(bytes_max) = audit_bytes_max {
            swept.audit = self.sweep_audit(Timestamp::default(), bytes_max)?;
        }
        if let Some(most) = dead_callbacks_max {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            swept.dead_callbacks = self.sweep_callbacks(Timestamp::default(), most, limit)?;
        }
        Ok(swept)
    }

    fn sweep_notifications(&self, going: &Going) -> Result<Swept, Failure> {
        let Going { after, before, keys_since, limit } = *going;
        let end = NotificationId::first_at(before);
        let mut statement = self.db.prepare_cached(
            "SELECT id, EXISTS (SELECT 1 FROM deliveries WHERE notification = id AND status = 0)
                 OR EXISTS (SELECT 1 FROM dead_letters WHERE notification = id)
                 OR EXISTS (SELECT 1 FROM targets WHERE notification = id)
                 OR EXISTS (SELECT 1 FROM idempotency WHERE notification = id AND at >= ?4)
             FROM notifications WHERE id > ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let (most, since) = (i64::try_from(limit).unwrap_or(i64::MAX), keys_since.as_millis() as i64);
        let mut rows = statement.query(params![after.as_bytes(), end.as_bytes(), most, since])?;
        let (mut swept, mut seen, mut last) = (Swept::default(), 0, after);
        while let Some(row) = rows.next()? {
            seen += 1;
            last = read::notification_id(row, 0)?;
            if row.get::<_, bool>(1)? {
                swept.kept += 1;
            } else {
                swept.deliveries += self.forget(last)?;
                swept.notifications += 1;
            }
        }
        swept.next = (seen == most).then_some(last);
        Ok(swept)
    }

    /// Answers how many deliveries it had.
    fn forget(&self, id: NotificationId) -> Result<u64, Failure> {
        let mut recipients = self.db.prepare_cached("SELECT recipient FROM deliveries WHERE notification = ?1")?;
        let mut rows = recipients.query([id.as_bytes()])?;
        while let Some(row) = rows.next()? {
            let recipient = row::recipient(read::blob(row, 0)?)?;
            // An address that it was sent to before another channel stood in is among the others.
            let others = recipient.others.iter().map(|(_, address)| address);
            for address in others.chain([&recipient.address]).filter(|address| !address.is_empty()) {
                lookup::remove(self.db, Key::Address(address), id)?;
            }
        }
        if let Some((notification, _)) = read::notification_row(self.db, id)? {
            if let Some(text) = &notification.correlation_id {
                lookup::remove(self.db, Key::Correlation(text), id)?;
            }
            if let Some(at) = notification.expires_at {
                expiry::remove(self.db, at, id)?;
            }
        }
        let delete = |table: &str| {
            let sql = format!("DELETE FROM {table} WHERE notification = ?1");
            self.db.prepare_cached(&sql)?.execute([id.as_bytes()])
        };
        delete("attempts")?;
        delete("reroutes")?;
        delete("tallies")?;
        delete("callback_urls")?;
        let deliveries = delete("deliveries")?;
        self.db.prepare_cached("DELETE FROM notifications WHERE id = ?1")?.execute([id.as_bytes()])?;
        Ok(deliveries as u64)
    }

    fn delete_old(&self, table: &str, before: Timestamp, limit: i64) -> Result<u64, Failure> {
        // A slice of a walk through all keys: they are few, and in no order of time.
        let sql = format!("DELETE FROM {table} WHERE key IN (SELECT key FROM {table} WHERE at < ?1 LIMIT ?2)");
        Ok(self.db.prepare_cached(&sql)?.execute(params![before.as_millis() as i64, limit])? as u64)
    }

    /// Whole frames whose last event is old, or while all of them take more than `bytes_max`; and never the newest
    /// frame: it holds the number that the next one follows.
    fn sweep_events(&mut self, before: Timestamp, bytes_max: u64) -> Result<u64, Failure> {
        const FRAMES: i64 = 200;
        let there = self.effects.totals.applied(totals::read(self.db)?).event_bytes;
        let mut statement = self.db.prepare_cached(
            "SELECT first, count, frame FROM outbox WHERE first < (SELECT max(first) FROM outbox)
             ORDER BY first LIMIT ?1",
        )?;
        let mut rows = statement.query([FRAMES])?;
        let (mut last, mut events, mut bytes) = (None, 0, 0);
        while let Some(row) = rows.next()? {
            let (first, count): (i64, u32) = (row.get(0)?, row.get(1)?);
            let blob = read::blob(row, 2)?;
            let frame = event::frame(count as usize, blob)?;
            let is_old = frame.last().is_none_or(|event| event.at < before);
            if !is_old && there.saturating_sub(bytes) <= bytes_max {
                break;
            }
            (last, events, bytes) = (Some(first), events + u64::from(count), bytes + blob.len() as u64);
        }
        if let Some(last) = last {
            self.db.prepare_cached("DELETE FROM outbox WHERE first <= ?1")?.execute([last])?;
            self.effects.totals.event_bytes -= bytes as i64;
        }
        Ok(events)
    }

    fn sweep_audit(&mut self, before: Timestamp, bytes_max: u64) -> Result<u64, Failure> {
        let there = self.effects.totals.applied(totals::read(self.db)?).audit_bytes;
        let (entries, bytes) = audit::sweep(self.db, before, there.saturating_sub(bytes_max))?;
        self.effects.totals.audit_bytes -= bytes as i64;
        Ok(entries)
    }

    fn sweep_callbacks(&mut self, before: Timestamp, most: u64, limit: i64) -> Result<u64, Failure> {
        let there = self.effects.totals.applied(totals::read(self.db)?).dead_callbacks;
        let gone = callbacks::sweep(self.db, before, there.saturating_sub(most), limit)?;
        self.effects.totals.dead_callbacks -= gone as i64;
        Ok(gone)
    }
}
