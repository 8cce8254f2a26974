//! One thread that writes, many callers per commit.
//!
//! *Flow:* take a command, drain what has queued meanwhile, one transaction, one commit; then bring the memory up to
//! date, tell the listener, wake the callers. There is no timer: while one commit is synced the next batch gathers.
//!
//! *Invariants:* nobody hears of a commit before it is durable. A batch with a command that cannot be done is rolled
//! back and done again in halves, until that command stands alone: it fails, the others do not.

mod opening;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot};

use self::opening::Opening;
use super::checkpoint::Checkpoints;
use super::failure::Failure;
use super::live::Live;
use super::numbering::Numbering;
use super::readers::in_transaction;
use super::transaction::{Answer, Effects, LaneNumbers, Operation, Transaction};
use super::{audit, event, progress, read, suspects, totals};
use crate::domain::{Event, Lane, Position, Queued};
use crate::store::{CommitListener, Committed, Durability, EventNumber, NumberedEvent, StoreStats, StoreTotals};

/// Commands in one commit: enough for the sync to cost each of them little, few enough to answer within some 20 ms.
const BATCH_COMMANDS_MAX: usize = 4_096;

/// Bytes in one commit, as far as they are counted. A single larger command is a commit of its own.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// Events in a frame. A reader decodes whole frames, so a frame is about as long as a page of a reader.
const FRAME_EVENTS_MAX: usize = 256;

/// A read on the writer's own connection, where the database has no other.
pub(super) type ReadJob = Box<dyn FnOnce(&Connection) + Send>;

/// What callers send.
pub(super) enum Command {
    Write { operation: Operation, reply: oneshot::Sender<Result<Answer, Failure>> },
    Read(ReadJob),
    Close,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write { operation, .. } => f.debug_tuple("Write").field(operation).finish(),
            Self::Read(_) => f.write_str("Read"),
            Self::Close => f.write_str("Close"),
        }
    }
}

type Write = (Operation, oneshot::Sender<Result<Answer, Failure>>);

/// What a writer is made of.
pub(super) struct Parts {
    pub(super) db: Connection,
    pub(super) live: Arc<Live>,
    pub(super) listener: Arc<dyn CommitListener>,
    pub(super) stats: Arc<Mutex<StoreStats>>,
    pub(super) totals: Arc<Mutex<StoreTotals>>,
    /// None where the database has no file.
    pub(super) checkpoints: Option<Checkpoints>,
    /// How durable a commit is.
    pub(super) durability: Durability,
}

/// Owns the connection that writes.
pub(super) struct Writer {
    db: Connection,
    live: Arc<Live>,
    listener: Arc<dyn CommitListener>,
    stats: Arc<Mutex<StoreStats>>,
    totals: Arc<Mutex<StoreTotals>>,
    checkpoints: Option<Checkpoints>,
    numbering: Numbering,
    is_synced: bool,
    lanes: LaneNumbers,
    told: progress::Told,
    /// Claims to be released with the next commit: the disk refused it, and nobody else will ask again.
    owed: Vec<u64>,
    opening: Opening,
}

impl Writer {
    /// A writer on a database that was just opened. Learns what the last one left behind and clears it up; where the disk
    /// refuses that, it is done before the first write that the disk takes.
    pub(super) fn begin(parts: Parts) -> Result<Self, Failure> {
        let Parts { db, live, listener, stats, totals, checkpoints, durability } = parts;
        let is_synced = durability == Durability::Full;
        let numbering = Numbering::begin(&db, durability == Durability::Os)?;
        let (lanes, told, owed) = (LaneNumbers::new(), progress::Told::default(), Vec::new());
        let opening = Opening::Owed;
        let mut writer =
            Self { db, live, listener, stats, totals, checkpoints, numbering, is_synced, lanes, told, owed, opening };
        writer.begin_opening()?;
        Ok(writer)
    }

    /// The last number that was given to an event, or may have been.
    pub(super) const fn last_event(&self) -> EventNumber {
        self.numbering.last()
    }

    /// Serves until it is told to close, or nobody is left to tell.
    pub(super) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut is_closed = false;
        while let Some(first) = commands.blocking_recv() {
            if self.step(first, &mut commands).is_break() {
                is_closed = true;
                break;
            }
        }
        self.end(is_closed, &mut commands);
    }

    /// The end of the loop. `is_closed` where it was told to close.
    pub(super) fn end(self, is_closed: bool, commands: &mut mpsc::Receiver<Command>) {
        // Whoever lets go of a store without closing it leaves it as a crash would.
        // And so does one that never came to know how it was left.
        let is_closed = is_closed && self.opening != Opening::Owed;
        if is_closed && let Err(failure) = self.numbering.close(&self.db).and_then(|()| suspects::close(&self.db)) {
            tracing::warn!(error = ?failure, "The store could not be marked as closed; the next start takes it for a crash.");
        }
        // What comes from here on is refused; the log goes into the file, so that a backup of it is whole.
        commands.close();
        if let Err(error) = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())) {
            tracing::warn!(error = %error, "The store's log could not be emptied at close; it is replayed at the next start.");
        }
    }

    /// One turn of the loop: `first` and what has queued behind it.
    pub(super) fn step(&mut self, first: Command, commands: &mut mpsc::Receiver<Command>) -> ControlFlow<()> {
        let mut writes = Vec::new();
        let mut reads = Vec::new();
        let mut bytes = 0;
        let mut next = Some(first);
        let mut flow = ControlFlow::Continue(());
        while let Some(command) = next {
            match command {
                Command::Write { operation, reply } => {
                    bytes += operation.bytes();
                    writes.push((operation, reply));
                }
                Command::Read(job) => reads.push(job),
                Command::Close => {
                    flow = ControlFlow::Break(());
                    break;
                }
            }
            let is_full = writes.len() + reads.len() >= BATCH_COMMANDS_MAX || bytes >= BATCH_BYTES_MAX;
            next = if is_full { None } else { commands.try_recv().ok() };
        }
        self.write(writes);
        for job in reads {
            job(&self.db);
        }
        // Last: nobody has to wait for it.
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.tend(&self.db);
        }
        flow
    }

    /// Commits `writes` together, and answers them.
    fn write(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        match self.open_up() {
            Ok(()) => self.carry_out(writes),
            Err(failure) => self.refuse(writes, &failure),
        }
    }

    fn carry_out(&mut self, mut writes: Vec<Write>) {
        match self.transact(&writes) {
            Ok(answers) => {
                for ((_, reply), answer) in writes.into_iter().zip(answers) {
                    // A caller that does not wait any more has what it asked for all the same.
                    let _ = reply.send(Ok(answer));
                }
                let owed = std::mem::take(&mut self.owed);
                if !owed.is_empty() {
                    let (reply, _) = oneshot::channel();
                    self.carry_out(vec![(Operation::Release(owed), reply)]);
                }
            }
            Err(failure) if failure.is_of_one_command() && writes.len() > 1 => {
                let second_half = writes.split_off(writes.len() / 2);
                self.carry_out(writes);
                self.carry_out(second_half);
            }
            Err(failure) => self.refuse(writes, &failure),
        }
    }

    /// Tells everybody of `writes` that they did not happen.
    fn refuse(&mut self, writes: Vec<Write>, failure: &Failure) {
        self.count_refusal(failure);
        for (operation, reply) in writes {
            if let Operation::Release(numbers) = operation
                && reply.is_closed()
            {
                self.owed.extend(self.live.give_up(&numbers));
                continue;
            }
            let _ = reply.send(Err(failure.clone()));
        }
    }

    fn count_refusal(&self, failure: &Failure) {
        if let Failure::Disk(_) = failure {
            let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
            (stats.refused, stats.is_refusing) = (stats.refused + 1, true);
        }
    }

    fn transact(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Failure> {
        let result = self.try_transact(writes);
        if result.is_err() {
            // Numbers of lanes that were new in it are gone with it.
            self.lanes.clear();
            self.live.rolled_back();
        }
        result
    }

    fn try_transact(&mut self, writes: &[Write]) -> Result<Vec<Answer>, Failure> {
        let rows_before = self.db.total_changes();
        // Rolls back where it is dropped. Deferred: a batch of releases writes nothing and takes no lock.
        let guard = self.db.unchecked_transaction()?;
        let mut transaction = Transaction::begin(&self.db, &self.live, &mut self.lanes, &self.told)?;
        let answers =
            writes.iter().map(|(operation, _)| transaction.perform(operation)).collect::<Result<Vec<_>, _>>()?;
        let mut effects = transaction.effects()?;
        if !self.numbering.suffices_for(effects.events.len()) {
            // Once in a block: what was done is done again, behind a commit of its own.
            drop(guard);
            self.lanes.clear();
            self.live.rolled_back();
            self.numbering.reserve(&self.db, effects.events.len())?;
            return self.try_transact(writes);
        }
        effects.totals.event_bytes += write_outbox(&self.db, self.numbering.last() + 1, &effects.events)? as i64;
        effects.totals.audit_bytes += audit::write(&self.db, &mut effects.audit)? as i64;
        totals::write(&self.db, effects.totals)?;
        let withdrawn = self.places(std::mem::take(&mut effects.withdrawn))?;
        let started = Instant::now();
        guard.commit()?;
        if self.db.total_changes() > rows_before {
            self.stats.lock().unwrap_or_else(PoisonError::into_inner).is_refusing = false;
        }
        self.committed(effects, withdrawn, writes.len(), started.elapsed());
        Ok(answers)
    }

    /// Where these stood, as the queue knows it.
    fn places(&self, withdrawn: Vec<(i64, Position)>) -> Result<Vec<Queued>, Failure> {
        let mut lanes = HashMap::<i64, Lane>::new();
        let mut places = Vec::with_capacity(withdrawn.len());
        for (number, position) in withdrawn {
            let lane = match lanes.entry(number) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(unknown) => unknown.insert(read::lane_of(&self.db, number)?),
            };
            places.push(Queued { lane: lane.clone(), position });
        }
        Ok(places)
    }

    fn committed(&mut self, effects: Effects, withdrawn: Vec<Queued>, commands: usize, took: Duration) {
        let Effects {
            accepted,
            events,
            changes,
            ended,
            cancelling,
            late,
            totals,
            noted,
            told,
            expires,
            next_expiry,
            ..
        } = effects;
        // Whatever else is written, a template or nothing at all, is none.
        let is_news = !events.is_empty() || !accepted.is_empty();
        self.live.committed(changes, ended, cancelling, noted);
        self.told.committed(told);
        {
            let mut stats = self.stats.lock().unwrap_or_else(PoisonError::into_inner);
            stats.commits += 1;
            stats.commands += commands as u64;
            stats.late_settlements += late;
            stats.commit_us += u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            stats.syncs += u64::from(self.is_synced && is_news);
        }
        {
            let mut there = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            *there = totals.applied(*there);
            let known = [next_expiry.unwrap_or(there.next_expiry), expires];
            there.next_expiry = known.into_iter().flatten().min();
            there.next_progress = self.told.next();
            there.newest_event = self.numbering.last() + events.len() as u64;
        }
        if is_news {
            let first = self.numbering.last() + 1;
            self.numbering.gave(events.len());
            let events = (first..).zip(events).map(|(number, event)| NumberedEvent { number, event }).collect();
            self.listener.committed(Committed { accepted, withdrawn, events, commands, took });
        }
    }
}

/// Answers how many bytes it wrote.
fn write_outbox(db: &Connection, first: EventNumber, events: &[Event]) -> Result<usize, Failure> {
    let mut statement = db.prepare_cached("INSERT INTO outbox (first, count, frame) VALUES (?1, ?2, ?3)")?;
    let (mut frame, mut written) = (Vec::new(), 0);
    for (number, events) in (first..).step_by(FRAME_EVENTS_MAX).zip(events.chunks(FRAME_EVENTS_MAX)) {
        frame.clear();
        event::put_frame(&mut frame, events);
        statement.execute(params![number as i64, events.len() as i64, frame])?;
        written += frame.len();
    }
    Ok(written)
}

/// A read for the writer's own connection, and where its answer comes.
pub(super) fn read_job<T, F>(read: F) -> (ReadJob, oneshot::Receiver<Result<T, Failure>>)
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, Failure> + Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let job: ReadJob = Box::new(move |db| {
        let _ = reply.send(in_transaction(db, read));
    });
    (job, answer)
}
