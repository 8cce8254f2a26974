//! The transitions, as statements inside one transaction.
//!
//! *Flow:* the writer hands over operations one by one; rows are written at once, everything else is collected in
//! [`Effects`] and takes place after the commit, or never.
//!
//! *Invariants:* nothing in memory changes before the commit, except that deliveries about to be final are closed to
//! claims. A delivery's events follow in the order attempted, new state, notification's
//! progress or notification expired and completed.
//!
//! *Not here:* deciding. The one judgement needed, an attempt that ends after a cancel, is `domain::settle_cancelled`.

mod accept;
mod cancel;
mod expand;
mod expire;
mod replay;
mod reroute;
mod sweep;
mod telling;

use std::collections::{BTreeMap, HashMap, HashSet};

use rusqlite::{Connection, params};

pub(super) use accept::Accepting;
pub(super) use expand::Staged;

use super::failure::Failure;
use super::live::{Change, Claimed, Live, Withdrawal};
use super::progress::{self, Telling};
use super::statements::Statements;
use super::suspects::{self, Noted};
use super::{callbacks, kv, pin, read, row, totals};
use crate::domain::{
    Act, Actor, AuditEntry, AuditOutcome, ChannelBook, DeliveryId, DeliveryState, DeliveryStatus, Event, EventBody,
    FailReason, KvChange, KvWrite, KvWritten, Lane, NotificationId, PluginBook, Position, Queued, StatusCounts,
    Timestamp, settle_cancelled,
};
use crate::store::{
    Accepted, CallbackChange, Cancelled, Replay, Replayed, Settled, Settlement, Shrink, StoreError, Sweep, Swept,
    TemplateSource,
};

/// One thing to write.
#[derive(Debug)]
pub(super) enum Operation {
    Accept(Vec<Accepting>),
    Settle(Vec<Settlement>),
    Release(Vec<u64>),
    /// Nothing, to learn whether it can be written.
    Probe,
    /// Claims that are about to be handed out.
    Note(Vec<Noted>),
    /// Targets of a notification that is about to be accepted.
    Stage(Vec<Staged>),
    Unstage(NotificationId),
    /// The next slice of deliveries of a large notification.
    Expand(NotificationId, Timestamp),
    /// From this index on, a slice.
    Cancel(NotificationId, Asked, u32),
    CancelDelivery(DeliveryId, Asked),
    /// A slice of what has expired.
    Expire(Timestamp, usize),
    /// What was held back of progress.
    TellProgress(Timestamp),
    /// At open: what was cancelled in flight and never settled.
    FinishCancel(Withdrawal, Timestamp),
    Replay(Vec<Replay>, Asked),
    Purge(Vec<DeliveryId>, Asked),
    Sweep(Sweep),
    Shrink(Shrink),
    KeepTemplate(TemplateSource),
    KeepPlugins(Vec<PluginBook>, Vec<Event>, Vec<AuditEntry>),
    KeepChannels(Vec<ChannelBook>, Vec<Event>, Vec<AuditEntry>),
    KeepPin(Option<u32>, AuditEntry),
    KeepCallbacks(Box<CallbackChange>),
    Record(Vec<AuditEntry>),
    Kv(KvWrite),
}

/// When something was asked for, and by whom.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: Timestamp,
    pub(super) by: Actor,
}

/// What came of it.
#[derive(Debug)]
pub(super) enum Answer {
    Done,
    Accepted(Vec<Accepted>),
    Settled(Vec<Settled>),
    /// With the index to go on from, where there is more.
    Cancelled(Cancelled, Option<u32>),
    Expanded {
        more: bool,
    },
    Expired(u32),
    Replayed(Vec<Replayed>),
    Purged(u64),
    Swept(Swept),
    Kv(KvWritten),
}

/// The writer answers each operation with the answer of its kind.
pub(super) fn mixed_up() -> StoreError {
    StoreError::Internal { reason: "the writer gave the answer to another question".to_owned() }
}

impl Operation {
    /// About what it adds to a transaction, in bytes.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Accept(accepting) => accepting.iter().map(Accepting::bytes).sum(),
            Self::Stage(staged) => staged.iter().map(|one| 64 + one.targets.len()).sum(),
            Self::Expand(..) => 1_000 * 256,
            Self::Expire(_, limit) => limit * 256,
            Self::Settle(settlements) => settlements.len() * 256,
            Self::Replay(replays, _) => replays.len() * 256,
            Self::Purge(ids, _) => ids.len() * 64,
            Self::Sweep(Sweep { limit, .. }) | Self::Shrink(Shrink { limit, .. }) => limit * 512,
            Self::Note(claims) => claims.len() * 64,
            Self::Cancel(..) | Self::FinishCancel(..) | Self::TellProgress(_) => 1_000 * 128,
            Self::CancelDelivery(..) | Self::Release(_) | Self::Unstage(_) | Self::KeepPin(..) | Self::Probe => 256,
            Self::KeepPlugins(books, events, audit) => books.len() * 2_048 + (events.len() + audit.len()) * 256,
            Self::KeepChannels(books, events, audit) => (books.len() + events.len() + audit.len()) * 256,
            Self::KeepCallbacks(change) => change.len() * 256,
            Self::Record(entries) => entries.len() * 256,
            Self::Kv(write) => {
                let value = match &write.change {
                    KvChange::Set(value) => value.len(),
                    KvChange::Remove => 0,
                };
                256 + write.key.len() + value
            }
            Self::KeepTemplate(source) => source.parts.iter().map(|(name, text)| name.len() + text.len()).sum(),
        }
    }
}

/// What takes place after the commit.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) accepted: Vec<Queued>,
    pub(super) events: Vec<Event>,
    pub(super) changes: Vec<Change>,
    /// Who did what in it.
    pub(super) audit: Vec<AuditEntry>,
    /// Claims that end, by number.
    pub(super) ended: HashSet<u64>,
    /// What begins to wait for attempts under way to be cancelled, or waits no longer.
    pub(super) cancelling: HashMap<Withdrawal, Option<Timestamp>>,
    /// Where they stood that are cancelled and have no claim, with the number of their lane.
    pub(super) withdrawn: Vec<(i64, Position)>,
    pub(super) late: u64,
    /// What there is more of, or less.
    pub(super) totals: totals::Change,
    /// Claims that are written as in flight.
    pub(super) noted: Vec<Noted>,
    /// Of whom deliveries have ended, when, and what is known of them then.
    pub(super) progressed: BTreeMap<NotificationId, (Timestamp, StatusCounts)>,
    /// What is told of them, or held back.
    pub(super) told: Vec<(NotificationId, Telling)>,
    /// When the first of those that were accepted expires.
    pub(super) expires: Option<Timestamp>,
    /// When the next expires, where that was looked up: then `expires` tells of what came behind it.
    pub(super) next_expiry: Option<Option<Timestamp>>,
}

/// The numbers of lanes, as far as the writer has met them.
pub(super) type LaneNumbers = HashMap<Lane, i64>;

/// One transaction under way on the writer's connection.
pub(super) struct Transaction<'w> {
    db: &'w Connection,
    statements: Statements<'w>,
    live: &'w Live,
    lanes: &'w mut LaneNumbers,
    told: &'w progress::Told,
    effects: Effects,
    /// Tallies that the operation under way has changed.
    tallies: HashMap<NotificationId, StatusCounts>,
    scratch: Vec<u8>,
}

impl<'w> Transaction<'w> {
    pub(super) fn begin(
        db: &'w Connection,
        live: &'w Live,
        lanes: &'w mut LaneNumbers,
        told: &'w progress::Told,
    ) -> Result<Self, Failure> {
        let (effects, tallies, scratch) = (Effects::default(), HashMap::new(), Vec::new());
        Ok(Self { db, statements: Statements::prepare(db)?, live, lanes, told, effects, tallies, scratch })
    }

    /// What is to take place after the commit. Claims that have lived for long are written first.
    pub(super) fn effects(mut self) -> Result<Effects, Failure> {
        self.tell_progress();
        let mut grown = self.live.grown();
        grown.retain(|(_, number)| !self.effects.ended.contains(number));
        suspects::write(self.db, &grown)?;
        self.effects.noted.append(&mut grown);
        Ok(self.effects)
    }

    /// Writes what `operation` asks for.
    pub(super) fn perform(&mut self, operation: &Operation) -> Result<Answer, Failure> {
        let answer = match operation {
            Operation::Accept(accepting) => {
                Answer::Accepted(accepting.iter().map(|one| self.accept(one)).collect::<Result<_, _>>()?)
            }
            Operation::Settle(settlements) => {
                Answer::Settled(settlements.iter().map(|one| self.settle(one)).collect::<Result<_, _>>()?)
            }
            Operation::Release(numbers) => {
                numbers.iter().try_for_each(|number| self.release(*number))?;
                Answer::Done
            }
            Operation::Stage(staged) => {
                self.stage(staged)?;
                Answer::Done
            }
            Operation::Unstage(id) => {
                self.unstage(*id)?;
                Answer::Done
            }
            Operation::Expand(id, at) => Answer::Expanded { more: self.expand(*id, *at)? },
            Operation::Expire(now, limit) => Answer::Expired(self.expire(*now, *limit)?),
            Operation::TellProgress(now) => self.tell_held_back(*now).map(|()| Answer::Done)?,
            Operation::Probe => suspects::probe(self.db).map(|()| Answer::Done)?,
            Operation::Note(claims) => {
                suspects::write(self.db, claims)?;
                self.effects.noted.extend_from_slice(claims);
                Answer::Done
            }
            Operation::Cancel(id, asked, from) => {
                let (cancelled, next) = self.cancel(*id, *asked, *from)?;
                Answer::Cancelled(cancelled, next)
            }
            Operation::CancelDelivery(id, asked) => {
                let cancelled = self.cancel_delivery(*id, asked.at)?;
                self.note_cancel(*asked, Act::CancelDelivery { delivery: *id }, cancelled);
                Answer::Cancelled(cancelled, None)
            }
            Operation::FinishCancel(what, at) => self.finish_cancel(*what, *at).map(|()| Answer::Done)?,
            Operation::Replay(replays, asked) => {
                Answer::Replayed(replays.iter().map(|replay| self.replay(*replay, *asked)).collect::<Result<_, _>>()?)
            }
            Operation::Purge(ids, asked) => Answer::Purged(self.purge(ids, *asked)?),
            Operation::Sweep(sweep) => Answer::Swept(self.sweep(sweep)?),
            Operation::Shrink(shrink) => Answer::Swept(self.shrink(shrink)?),
            Operation::Record(entries) => {
                self.effects.audit.extend_from_slice(entries);
                Answer::Done
            }
            Operation::KeepPlugins(books, events, audit) => {
                self.keep_plugins(books, events, audit)?;
                Answer::Done
            }
            Operation::KeepChannels(books, events, audit) => {
                self.keep_channels(books, events, audit)?;
                Answer::Done
            }
            Operation::KeepPin(workers, audit) => {
                self.effects.audit.push(audit.clone());
                pin::keep(self.db, *workers)?;
                Answer::Done
            }
            Operation::KeepCallbacks(change) => self.keep_callbacks(change)?,
            Operation::KeepTemplate(source) => {
                self.keep_template(source)?;
                Answer::Done
            }
            Operation::Kv(write) => Answer::Kv(kv::write(self.db, write)?),
        };
        self.write_tallies()?;
        Ok(answer)
    }

    fn settle(&mut self, settlement: &Settlement) -> Result<Settled, Failure> {
        let Settlement { claim, delivery, attempt, state, reroute, at } = settlement;
        let newest = self.live.claimed(*delivery, *claim).filter(|_| !self.effects.ended.contains(claim));
        let Some(claimed) = newest else {
            self.effects.late += 1;
            return Ok(Settled::Late);
        };
        if let Some(attempt) = attempt {
            self.scratch.clear();
            row::put_attempt(&mut self.scratch, attempt);
            self.statements.insert_attempt(*delivery, attempt.number, &self.scratch)?;
            self.event(
                *at,
                EventBody::DeliveryAttempted {
                    delivery: *delivery,
                    attempt: attempt.number,
                    end: attempt.end.clone(),
                    duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
                },
            );
        }
        let siblings = claimed.siblings;
        let state = match self.cancelled_at(*delivery) {
            Some(_) if claimed.progress.accepted.is_none() => settle_cancelled(state.clone(), *at),
            // What its provider took is not withdrawn: the answer to a question counts, whatever it is.
            _ => state.clone(),
        };
        match (reroute, &state) {
            (Some(reroute), DeliveryState::Waiting(progress)) => {
                self.reroute(*delivery, claimed, reroute, progress, *at)?;
            }
            _ => self.change_state(*delivery, claimed, &state, *at)?,
        }
        if siblings > 1 && state.status().is_final() {
            self.progressed(delivery.notification(), *at);
        }
        if self.live.has_row(*delivery, *claim) {
            suspects::forget(self.db, *delivery)?;
        }
        self.effects.ended.insert(*claim);
        Ok(Settled::Applied(state))
    }

    /// A claim given up ends without a trace, unless its delivery was cancelled meanwhile.
    fn release(&mut self, number: u64) -> Result<(), Failure> {
        let Some(id) = self.live.delivery_of(number) else { return Ok(()) };
        if !self.effects.ended.insert(number) {
            return Ok(());
        }
        if self.live.has_row(id, number) {
            suspects::let_go(self.db, id)?;
        }
        let Some(at) = self.cancelled_at(id) else { return Ok(()) };
        let open = read::open_deliveries(self.db, id.notification(), id.index(), 1)?;
        let withdrawn = |(open, claimed): &(DeliveryId, Claimed)| *open == id && claimed.progress.accepted.is_none();
        if let Some((_, claimed)) = open.into_iter().find(withdrawn) {
            self.cancel_one(id, claimed, at)?;
        }
        Ok(())
    }

    /// The row, its place in `live`, its event, and what follows for the notification.
    fn change_state(
        &mut self,
        id: DeliveryId,
        before: Claimed,
        state: &DeliveryState,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let status = state.status();
        self.scratch.clear();
        row::put_state(&mut self.scratch, state);
        let updated = self.statements.update_delivery(id, row::status_number(status), &self.scratch)?;
        let deleted = self.statements.delete_live(before.lane, before.progress.due, id)?;
        if (updated, deleted) != (1, 1) {
            return Err(Failure::Internal(format!("`{id}` is claimed but does not wait")));
        }
        if let Some(body) = EventBody::of_change(id, &before.progress, state) {
            self.event(at, body);
        }
        self.effects.totals.retrying +=
            totals::retrying(state) - totals::retrying(&DeliveryState::Waiting(before.progress));
        match state {
            DeliveryState::Waiting(progress) => {
                self.statements.insert_live(before.lane, progress.due, id)?;
                if progress.accepted.is_some() {
                    self.withdrawn(id)?;
                }
                self.effects.changes.push(Change::Waiting { delivery: id, progress: progress.clone(), at });
            }
            DeliveryState::Sent { .. } | DeliveryState::Failed { .. } | DeliveryState::Cancelled { .. } => {
                if status == DeliveryStatus::Failed {
                    self.bury(id)?;
                }
                self.withdrawn(id)?;
                self.effects.changes.push(Change::Final(id));
                self.count_final(id.notification(), before.siblings, state, at)?;
            }
        }
        Ok(())
    }

    /// Counts a delivery as final; the last one completes its notification.
    fn count_final(
        &mut self,
        id: NotificationId,
        siblings: u32,
        state: &DeliveryState,
        at: Timestamp,
    ) -> Result<(), Failure> {
        let mut counts = match self.tallies.get(&id) {
            Some(counts) => *counts,
            None if siblings == 1 => StatusCounts { open: 1, ..StatusCounts::default() },
            None => read::tally(self.db, id)?,
        };
        counts.remove(DeliveryStatus::Pending);
        counts.add(state.status());
        if siblings > 1 {
            self.tallies.insert(id, counts);
        }
        if counts.open > 0 {
            return Ok(());
        }
        if matches!(state, DeliveryState::Failed { reason: FailReason::Expired, .. }) {
            self.event(at, EventBody::NotificationExpired { notification: id });
        }
        self.complete(id, counts, at)
    }

    fn complete(&mut self, id: NotificationId, counts: StatusCounts, at: Timestamp) -> Result<(), Failure> {
        self.event(at, EventBody::NotificationCompleted { notification: id, status: counts.status() });
        self.all_withdrawn(id)
    }

    /// Once for each operation, however many deliveries of a notification it settled.
    fn write_tallies(&mut self) -> Result<(), Failure> {
        for (id, counts) in self.tallies.drain() {
            if let Some((_, known)) = self.effects.progressed.get_mut(&id) {
                *known = counts;
            }
            self.db
                .prepare_cached(
                    "UPDATE tallies SET open = ?2, sent = ?3, failed = ?4, cancelled = ?5 WHERE notification = ?1",
                )?
                .execute(params![id.as_bytes(), counts.open, counts.sent, counts.failed, counts.cancelled])?;
        }
        Ok(())
    }

    fn keep_template(&mut self, source: &TemplateSource) -> Result<(), Failure> {
        self.scratch.clear();
        row::put_template(&mut self.scratch, source);
        self.db
            .prepare_cached("INSERT OR IGNORE INTO templates (version, source) VALUES (?1, ?2)")?
            .execute(params![source.version, self.scratch])?;
        Ok(())
    }

    fn keep_plugins(&mut self, books: &[PluginBook], events: &[Event], audit: &[AuditEntry]) -> Result<(), Failure> {
        self.effects.audit.extend_from_slice(audit);
        for book in books {
            self.scratch.clear();
            row::put_book(&mut self.scratch, book);
            self.db
                .prepare_cached("INSERT OR REPLACE INTO plugins (name, book) VALUES (?1, ?2)")?
                .execute(params![book.plugin.as_str(), self.scratch])?;
        }
        self.effects.events.extend_from_slice(events);
        Ok(())
    }

    fn keep_channels(&mut self, books: &[ChannelBook], events: &[Event], audit: &[AuditEntry]) -> Result<(), Failure> {
        self.effects.audit.extend_from_slice(audit);
        for book in books {
            self.scratch.clear();
            row::put_channel_book(&mut self.scratch, book);
            self.db
                .prepare_cached("INSERT OR REPLACE INTO channels (name, book) VALUES (?1, ?2)")?
                .execute(params![book.channel.as_str(), self.scratch])?;
        }
        self.effects.events.extend_from_slice(events);
        Ok(())
    }

    fn keep_callbacks(&mut self, change: &CallbackChange) -> Result<Answer, Failure> {
        self.effects.totals.dead_callbacks += callbacks::write(self.db, change)?;
        self.effects.events.extend_from_slice(&change.events);
        self.effects.audit.extend_from_slice(&change.audit);
        Ok(Answer::Done)
    }

    /// When a delivery in flight was cancelled, by itself or with its notification.
    fn cancelled_at(&self, id: DeliveryId) -> Option<Timestamp> {
        let all = self.withdrawn_at(Withdrawal::All(id.notification()));
        all.or_else(|| self.withdrawn_at(Withdrawal::One(id)))
    }

    fn withdrawn_at(&self, what: Withdrawal) -> Option<Timestamp> {
        match self.effects.cancelling.get(&what) {
            Some(now) => *now,
            None => self.live.withdrawn_at(what),
        }
    }

    fn note(&mut self, asked: Asked, act: Act, outcome: AuditOutcome) {
        let Asked { at, by } = asked;
        self.effects.audit.push(AuditEntry { at, by, act, outcome });
    }

    fn event(&mut self, at: Timestamp, body: EventBody) {
        self.effects.events.push(Event { at, body });
    }
}
