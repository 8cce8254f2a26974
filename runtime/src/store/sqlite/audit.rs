//! Published shape `audit`: who did what, in frames like those of the outbox.
//!
//! *Flow:* what a transaction did is collected in its effects and written as one row with it, so that a thousand
//! accepts cost one insert more: some 20 bytes each, and no index.
//!
//! *Invariants:* a frame starts with the number of its format; kinds and formats are added, never changed. Its entries
//! stand in the order of time, and lie within [`SPAN`] of its key: what is asked for by time is found by the key, also
//! where the clock was set back.

use std::time::Duration;

use rusqlite::{Connection, params};

use super::event::{plugin, put_plugin};
use super::failure::Failure;
use super::read::{blob, timestamp};
use super::totals;
use super::wire::{Damaged, Reader, put_text, put_u64};
use crate::domain::{
    Act, Actor, AuditEntry, AuditId, AuditOutcome, CallbackDeed, CallbackName, ChannelDeed, ChannelName,
    NotificationId, StoreDeed, Timestamp,
};
use crate::store::{AuditFilter, AuditPage};

/// The only format so far.
const FORMAT: u8 = 1;

/// Entries in a frame, at most: about as long as one of the outbox.
const FRAME_ENTRIES_MAX: usize = 256;

/// How long after the first entry of a frame its last one may be.
const SPAN: Duration = Duration::from_secs(1);

/// The kind of act that sizes the pool.
const SCALE: u8 = 16;

/// The kind of act that is done to the file.
const STORE: u8 = 17;

/// A database of an earlier version has no audit log.
const SINCE_VERSION: u32 = 9;

/// Frames that one sweep takes.
const SWEEP_FRAMES: i64 = 200;

/// Writes what was done in this transaction, and answers how many bytes it takes.
pub(super) fn write(db: &Connection, entries: &mut [AuditEntry]) -> Result<usize, Failure> {
    if entries.is_empty() {
        return Ok(0);
    }
    let mut insert = db.prepare_cached(
        "INSERT INTO audit (at, seq, count, frame)
         VALUES (?1, (SELECT coalesce(max(seq) + 1, 0) FROM audit WHERE at = ?1), ?2, ?3)",
    )?;
    // Callers bring their own moments, and reach the writer in another order.
    entries.sort_by_key(|entry| entry.at);
    let (mut rest, mut bytes, mut written) = (&*entries, Vec::new(), 0);
    while let Some(first) = rest.first() {
        let end = first.at.after(SPAN);
        let fitting = rest.iter().take(FRAME_ENTRIES_MAX).take_while(|entry| entry.at <= end).count();
        let (frame, others) = rest.split_at(fitting);
        bytes.clear();
        put_frame(&mut bytes, first.at, frame);
        insert.execute(params![first.at.as_millis() as i64, frame.len() as i64, bytes])?;
        written += bytes.len();
        rest = others;
    }
    Ok(written)
}

/// Keeps what was done to a database of this version as a whole, with nobody else at it. Where it has no audit log yet,
/// nothing is kept.
pub(super) fn note_alone(db: &Connection, version: u32, entry: AuditEntry) -> Result<(), Failure> {
    if version < SINCE_VERSION {
        return Ok(());
    }
    let transaction = db.unchecked_transaction()?;
    let audit_bytes = write(db, &mut [entry])? as i64;
    totals::write(db, totals::Change { audit_bytes, ..totals::Change::default() })?;
    Ok(transaction.commit()?)
}

/// Up to `limit` entries before `before`, the newest first, looking at `scan_max` at most.
pub(super) fn find(
    db: &Connection,
    filter: &AuditFilter,
    before: Option<AuditId>,
    limit: usize,
    scan_max: usize,
) -> Result<AuditPage, Failure> {
    let mut page = AuditPage::default();
    let bound = filter.until.unwrap_or(Timestamp::MAX);
    let most = before.map_or(bound, |before| before.at.min(bound));
    let least = filter.since.map(|since| since.before(SPAN)).unwrap_or_default();
    let mut statement = db.prepare_cached(
        "SELECT at, seq, count, frame FROM audit WHERE at <= ?1 AND at >= ?2 ORDER BY at DESC, seq DESC",
    )?;
    let mut rows = statement.query(params![most.as_millis() as i64, least.as_millis() as i64])?;
    let mut scanned = 0;
    while let Some(row) = rows.next()? {
        let (at, frame) = (timestamp(row, 0)?, row.get(1)?);
        let entries = read_frame(at, row.get::<_, u32>(2)? as usize, blob(row, 3)?)?;
        for (index, entry) in entries.into_iter().enumerate().rev() {
            let id = AuditId { at, frame, index: index as u32 };
            if before.is_some_and(|before| id >= before) {
                continue;
            }
            scanned += 1;
            if filter.matches(&entry) {
                page.entries.push((id, entry));
            }
            if page.entries.len() >= limit || scanned >= scan_max {
                page.next = Some(id);
                return Ok(page);
            }
        }
    }
    Ok(page)
}

/// Takes a slice of the oldest frames: those that are older than `before`, and as many as take `bytes_over`. Answers how
/// many entries and bytes it was.
pub(super) fn sweep(db: &Connection, before: Timestamp, bytes_over: u64) -> Result<(u64, u64), Failure> {
    // The last of a frame may be younger than its first.
    let before = before.before(SPAN);
    let mut statement =
        db.prepare_cached("SELECT at, seq, count, length(frame) FROM audit ORDER BY at, seq LIMIT ?1")?;
    let mut rows = statement.query([SWEEP_FRAMES])?;
    let (mut last, mut entries, mut bytes) = (None, 0, 0);
    while let Some(row) = rows.next()? {
        let (at, seq) = (timestamp(row, 0)?, row.get::<_, i64>(1)?);
        if at >= before && bytes >= bytes_over {
            break;
        }
        last = Some((at.as_millis() as i64, seq));
        entries += u64::from(row.get::<_, u32>(2)?);
        bytes += u64::from(row.get::<_, u32>(3)?);
    }
    if let Some((at, seq)) = last {
        db.prepare_cached("DELETE FROM audit WHERE (at, seq) <= (?1, ?2)")?.execute(params![at, seq])?;
    }
    Ok((entries, bytes))
}

fn put_frame(out: &mut Vec<u8>, first: Timestamp, entries: &[AuditEntry]) {
    out.push(FORMAT);
    for AuditEntry { at, by, act, outcome } in entries {
        put_u64(out, at.as_millis().saturating_sub(first.as_millis()));
        out.push(place(&Actor::ALL, by));
        out.push(place(&AuditOutcome::ALL, outcome));
        put_act(out, act);
    }
}

/// Its place in the list of all. New ones come last there.
fn place<T: PartialEq>(all: &[T], one: &T) -> u8 {
    all.iter().position(|other| other == one).unwrap_or(all.len()) as u8
}

fn read_frame(first: Timestamp, count: usize, bytes: &[u8]) -> Result<Vec<AuditEntry>, Damaged> {
    let mut reader = Reader::new("audit", bytes);
    if reader.u8()? != FORMAT {
        return Err(reader.damaged());
    }
    let mut entries = Vec::new();
    for _ in 0..count {
        let at = first.after(Duration::from_millis(reader.u64()?));
        let by = one_of(&Actor::ALL, &mut reader)?;
        let outcome = one_of(&AuditOutcome::ALL, &mut reader)?;
        entries.push(AuditEntry { at, by, act: act(&mut reader)?, outcome });
    }
    reader.end(entries)
}

fn one_of<T: Copy>(all: &[T], reader: &mut Reader<'_>) -> Result<T, Damaged> {
    let place = usize::from(reader.u8()?);
    all.get(place).copied().ok_or_else(|| reader.damaged())
}

fn put_act(out: &mut Vec<u8>, act: &Act) {
    let put_notification = |out: &mut Vec<u8>, kind, id: NotificationId| {
        out.push(kind);
        out.extend_from_slice(id.as_bytes());
    };
    match act {
        Act::Submit { notification, deliveries } => {
            put_notification(out, 0, *notification);
            put_u64(out, u64::from(*deliveries));
        }
        Act::Cancel { notification, deliveries, in_flight } => {
            put_notification(out, 1, *notification);
            put_u64(out, u64::from(*deliveries));
            put_u64(out, u64::from(*in_flight));
        }
        Act::CancelDelivery { delivery } => {
            put_notification(out, 2, delivery.notification());
            put_u64(out, u64::from(delivery.index()));
        }
        Act::Replay { delivery, due } => {
            put_notification(out, 3, delivery.notification());
            put_u64(out, u64::from(delivery.index()));
            put_u64(out, due.as_millis());
        }
        Act::Purge { delivery } => {
            put_notification(out, 4, delivery.notification());
            put_u64(out, u64::from(delivery.index()));
        }
        Act::Config { sha256 } => {
            out.push(5);
            out.extend_from_slice(sha256);
        }
        Act::Plugin(event) => {
            out.push(6);
            put_plugin(out, event);
        }
        Act::Channel { channel, deed } => {
            out.push(7);
            out.push(place(&ChannelDeed::ALL, deed));
            put_text(out, channel.as_str());
        }
        Act::Callback { callback, deed, calls } => {
            out.push(8);
            out.push(place(&CallbackDeed::ALL, deed));
            put_text(out, callback.as_str());
            put_u64(out, *calls);
        }
        Act::Scale { workers } => {
            out.push(SCALE);
            // No pool has none.
            put_u64(out, workers.map_or(0, u64::from));
        }
        Act::Store { deed, from, to } => {
            out.push(STORE);
            out.push(place(&StoreDeed::ALL, deed));
            put_u64(out, u64::from(*from));
            put_u64(out, u64::from(*to));
        }
    }
}

fn act(reader: &mut Reader<'_>) -> Result<Act, Damaged> {
    match reader.u8()? {
        5 => Ok(Act::Config { sha256: reader.array()? }),
        6 => plugin(reader).map(Act::Plugin),
        7 => {
            let deed = one_of(&ChannelDeed::ALL, reader)?;
            Ok(Act::Channel { channel: ChannelName::new(&reader.text()?).map_err(|_| reader.damaged())?, deed })
        }
        8 => {
            let deed = one_of(&CallbackDeed::ALL, reader)?;
            let callback = CallbackName::new(&reader.text()?).map_err(|_| reader.damaged())?;
            Ok(Act::Callback { callback, deed, calls: reader.u64()? })
        }
        kind @ 0..=4 => {
            let notification = NotificationId::from_bytes(reader.array()?);
            let number = reader.u32()?;
            let delivery = notification.delivery(number);
            Ok(match kind {
                0 => Act::Submit { notification, deliveries: number },
                1 => Act::Cancel { notification, deliveries: number, in_flight: reader.u32()? },
                2 => Act::CancelDelivery { delivery },
                3 => Act::Replay { delivery, due: Timestamp::from_millis(reader.u64()?) },
                _ => Act::Purge { delivery },
            })
        }
        STORE => {
            let deed = one_of(&StoreDeed::ALL, reader)?;
            Ok(Act::Store { deed, from: reader.u32()?, to: reader.u32()? })
        }
        SCALE => reader.u32().map(|workers| Act::Scale { workers: (workers > 0).then_some(workers) }),
        _ => Err(reader.damaged()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{PluginChange, PluginEvent};

    const FIRST: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn one_of_each() -> Vec<AuditEntry> {
        let notification = NotificationId::from_bytes([7; 16]);
        let delivery = notification.delivery(u32::MAX);
        let event = PluginEvent {
            change: PluginChange::Approved,
            plugin: "slack".to_owned(),
            version: Some(semver::Version::new(1, 2, 3)),
            sha256: None,
            reason: Some("é".to_owned()),
        };
        let acts = [
            Act::Submit { notification, deliveries: 1_000_000 },
            Act::Cancel { notification, deliveries: 2, in_flight: 1 },
            Act::CancelDelivery { delivery },
            Act::Replay { delivery, due: Timestamp::MAX },
            Act::Purge { delivery },
            Act::Config { sha256: [9; 32] },
            Act::Plugin(event),
            Act::Channel { channel: ChannelName::new("ops").unwrap(), deed: ChannelDeed::Test },
            Act::Callback { callback: CallbackName::new("a.b").unwrap(), deed: CallbackDeed::Enable, calls: u64::MAX },
            Act::Scale { workers: Some(8) },
            Act::Store { deed: StoreDeed::Migrate, from: 1, to: u32::MAX },
            Act::Scale { workers: None },
        ];
        let (actors, outcomes) = (Actor::ALL.iter().cycle(), AuditOutcome::ALL.iter().cycle());
        let of = |((act, by), outcome): ((Act, &Actor), &AuditOutcome)| AuditEntry {
            at: FIRST.after(SPAN),
            by: *by,
            act,
            outcome: *outcome,
        };
        acts.into_iter().zip(actors).zip(outcomes).map(of).collect()
    }

    #[test]
    fn every_kind_of_act_survives_its_frame() {
        let entries = one_of_each();
        let mut bytes = Vec::new();
        put_frame(&mut bytes, FIRST, &entries);
        assert_eq!(read_frame(FIRST, entries.len(), &bytes).as_ref(), Ok(&entries));
        for length in 0..bytes.len() {
            let cut = read_frame(FIRST, entries.len(), &bytes[..length]);
            assert_eq!(cut, Err(Damaged("audit")), "cut at {length}");
        }
    }

    #[test]
    fn a_submit_costs_some_twenty_bytes() {
        let submit = AuditEntry {
            at: FIRST.after(Duration::from_millis(100)),
            by: Actor::Api,
            act: Act::Submit { notification: NotificationId::LAST, deliveries: 1 },
            outcome: AuditOutcome::Done,
        };
        let (mut one, mut two) = (Vec::new(), Vec::new());
        put_frame(&mut one, FIRST, std::slice::from_ref(&submit));
        put_frame(&mut two, FIRST, &[submit.clone(), submit]);
        assert_eq!(two.len() - one.len(), 21);
    }
}
