//! What a worker has in hand, where others can reach it: a worker that is stuck cannot give it away itself.
//!
//! *Invariants:* whoever is about to run foreign code, which may never come back, says so first ([`Desk::away`]). Only
//! from one that is away, or gone, the rest can be [taken over](Desk::take_over), and when it comes back it finds that
//! nothing is its own any more. So a slot has one owner at any instant, and is released once. Nothing foreign runs under
//! the lock.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::Notify;

use super::attempt::Held;
use super::settling::Freed;
use super::slots::Slots;
use super::statistics::{Affinity, CurrentTask, Record, WorkerState, WorkerStatus};
use crate::call::Report;
use crate::domain::{Timestamp, WorkerNumber};
use crate::queue::{Hold, Taken};
use crate::store::{Claim, StoreError};

/// What was claimed of what was taken, or what the store said.
pub(super) type Claimed = (Vec<Taken>, Result<Vec<Claim>, StoreError>);
/// A claim under way.
pub(super) type Claiming = Pin<Box<dyn Future<Output = Claimed> + Send>>;
/// A settlement under way. Its end says which slots are free.
pub(super) type Settling = Pin<Box<dyn Future<Output = Vec<Freed>> + Send>>;

/// The worker is in code of its own.
const HERE: u8 = 0;
/// It is in foreign code.
const AWAY: u8 = 1;
/// Somebody else has what it had.
const TAKEN: u8 = 2;

pub(super) struct Desk {
    papers: Mutex<Papers>,
    whereabouts: AtomicU8,
    /// The last question that was answered.
    answered: AtomicU64,
    is_up: AtomicBool,
    /// The task has ended, and whether in order.
    is_gone: AtomicBool,
    ended_well: AtomicBool,
    /// Something was handed over.
    pub(super) handed: Notify,
}

/// What a worker leaves that its successor does not go on with.
#[derive(Default)]
pub(super) struct Left {
    /// Calls that nobody makes any more.
    pub(super) calls: Vec<Arc<Held>>,
    /// What was being claimed when that broke.
    pub(super) unclaimed: Vec<Taken>,
}

/// All that a worker has.
#[derive(Default)]
pub(super) struct Papers {
    pub(super) slots: Slots,
    used: Slots,
    /// The worker has ended, or is about to: it takes nothing any more, whatever it is told.
    is_closed: bool,
    claiming: Option<Claiming>,
    /// What is being claimed.
    unclaimed: Vec<Taken>,
    settling: FuturesUnordered<Settling>,
    /// By the number of their claim.
    calls: HashMap<u64, Arc<Held>>,
    inbox: Vec<(Claim, Taken)>,
    pub(super) record: Record,
    meter: Meter,
}

/// Slots in use, over time.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    /// In slots × milliseconds.
    area: u64,
    read_at: Timestamp,
}

impl Meter {
    fn read(&mut self, used: usize, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.read_at).as_millis()).unwrap_or(u64::MAX);
        self.area = self.area.saturating_add(passed.saturating_mul(used as u64));
        self.read_at = self.read_at.max(now);
        self.area
    }
}

impl Desk {
    pub(super) fn new(slots: Slots, now: Timestamp) -> Self {
        let meter = Meter { area: 0, read_at: now };
        Self::with(Papers { slots, meter, ..Papers::default() })
    }

    fn with(papers: Papers) -> Self {
        Self {
            papers: Mutex::new(papers),
            whereabouts: AtomicU8::new(HERE),
            answered: AtomicU64::new(0),
            is_up: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            ended_well: AtomicBool::new(false),
            handed: Notify::new(),
        }
    }

    /// Lets foreign code run. None where somebody has taken over meanwhile: then nothing here is the caller's any more.
    pub(super) fn away<T>(&self, foreign: impl FnOnce() -> T) -> (T, bool) {
        self.whereabouts.store(AWAY, Ordering::SeqCst);
        let came_of_it = foreign();
        let back = self.whereabouts.compare_exchange(AWAY, HERE, Ordering::SeqCst, Ordering::SeqCst);
        (came_of_it, back.is_ok())
    }

    /// What a worker had that is gone, or does not come back: on a new desk, and what is left of it.
    /// None where it is in code of its own: it will answer in a moment.
    pub(super) fn take_over(&self, now: Timestamp) -> Option<(Self, Left)> {
        let taken = self.whereabouts.compare_exchange(AWAY, TAKEN, Ordering::SeqCst, Ordering::SeqCst);
        if taken.is_err() && !self.is_gone() {
            return None;
        }
        let mut left = std::mem::take(&mut *self.lock());
        self.lock().is_closed = true;
        let calls = std::mem::take(&mut left.calls).into_values().collect();
        // What it did stays with its number; what it had in use is in use all along.
        let meter = Meter { area: 0, read_at: now };
        let unclaimed = if left.claiming.is_some() { Vec::new() } else { std::mem::take(&mut left.unclaimed) };
        Some((
            Self::with(Papers { record: Record::default(), meter, is_closed: false, ..left }),
            Left { calls, unclaimed },
        ))
    }

    pub(super) fn came_up(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_up(&self) -> bool {
        self.is_up.load(Ordering::SeqCst)
    }

    /// The task has ended; in order, or by a defect.
    pub(super) fn ended(&self, well: bool) {
        self.ended_well.store(well, Ordering::SeqCst);
        self.is_gone.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::SeqCst)
    }

    pub(super) fn ended_well(&self) -> bool {
        self.ended_well.load(Ordering::SeqCst)
    }

    pub(super) fn answer(&self, question: u64) {
        self.answered.store(question, Ordering::Relaxed);
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// The next settlement that is durable, and the slots that it held, which are free now. Pending where there is none.
    pub(super) fn poll_settled(&self, context: &mut Context<'_>) -> Poll<Vec<Freed>> {
        match self.lock().settling.poll_next_unpin(context) {
            Poll::Ready(Some(freed)) => Poll::Ready(freed),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// The end of the claim under way. Pending where there is none.
    pub(super) fn poll_claimed(&self, context: &mut Context<'_>) -> Poll<Claimed> {
        let mut papers = self.lock();
        // Where it breaks, it is gone, and what it was for is known.
        let Some(mut claiming) = papers.claiming.take() else { return Poll::Pending };
        let polled = claiming.as_mut().poll(context);
        match polled {
            Poll::Pending => papers.claiming = Some(claiming),
            Poll::Ready(_) => papers.unclaimed.clear(),
        }
        polled
    }

    /// Where this is nothing to be done, it is the end of it: whether it was.
    pub(super) fn close_if_empty(&self) -> bool {
        let mut papers = self.lock();
        papers.is_closed |= papers.is_empty();
        papers.is_closed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    pub(super) fn status(&self, number: WorkerNumber, started_at: Timestamp, is_draining: bool) -> WorkerStatus {
        let papers = self.lock();
        let state = match (self.is_gone(), is_draining, papers.used.total()) {
            (true, ..) => WorkerState::Stopped,
            (false, true, _) => WorkerState::Draining,
            (false, false, 0) => WorkerState::Idle,
            (false, false, _) => WorkerState::Processing,
        };
        let oldest = papers.calls.values().min_by_key(|held| (held.started_at, held.claim.number));
        let current = oldest.map(|held| CurrentTask { channel: held.claim.channel.clone(), since: held.started_at });
        papers.record.status(number, state, started_at, current, (papers.used, papers.slots))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Papers> {
        // What is half done by a defect is put right by whoever takes over.
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Papers {
    pub(super) fn is_empty(&self) -> bool {
        self.used.total() == 0 && self.inbox.is_empty() && self.claiming.is_none() && self.settling.is_empty()
    }

    pub(super) fn is_settling(&self) -> bool {
        !self.settling.is_empty()
    }

    pub(super) const fn is_claiming(&self) -> bool {
        self.claiming.is_some()
    }

    /// Slots that nobody has.
    pub(super) fn free(&self) -> Slots {
        if self.is_closed { Slots::default() } else { self.slots.without(self.used) }
    }

    pub(super) const fn used(&self) -> usize {
        self.used.total()
    }

    /// Slots in use so far, in slots × milliseconds.
    pub(super) fn area(&mut self, now: Timestamp) -> u64 {
        self.meter.read(self.used.total(), now)
    }

    /// These slots are in use, and what was taken for them is being claimed.
    pub(super) fn claim(&mut self, taken: Vec<Taken>, claiming: Claiming, now: Timestamp) {
        self.hold(taken.iter().map(|taken| taken.hold), now);
        (self.unclaimed, self.claiming) = (taken, Some(claiming));
    }

    /// Somebody has chosen this worker for something that is claimed.
    pub(super) fn hand_over(&mut self, claim: Claim, taken: Taken, affinity: Option<Affinity>, now: Timestamp) {
        self.hold(std::iter::once(taken.hold), now);
        if affinity.is_some() {
            self.record.affinity = affinity;
        }
        self.inbox.push((claim, taken));
    }

    pub(super) fn take_inbox(&mut self) -> Vec<(Claim, Taken)> {
        std::mem::take(&mut self.inbox)
    }

    pub(super) fn begin(&mut self, held: &Arc<Held>) {
        self.calls.insert(held.claim.number, Arc::clone(held));
    }

    /// An attempt has ended.
    pub(super) fn end(&mut self, held: &Held, report: Option<&Report>) {
        self.calls.remove(&held.claim.number);
        report.into_iter().for_each(|report| self.record.ended(report));
    }

    /// A call was given up before it was made: it counts for nothing.
    pub(super) fn forget(&mut self, held: &Held) {
        self.calls.remove(&held.claim.number);
    }

    pub(super) fn settle(&mut self, settling: Settling) {
        self.settling.push(settling);
    }

    pub(super) fn release(&mut self, freed: &[Freed], now: Timestamp) {
        self.meter.read(self.used.total(), now);
        freed.iter().for_each(|freed| self.used.remove(freed.hold));
        self.record.last_activity = Some(now);
    }

    fn hold(&mut self, holds: impl Iterator<Item = Hold>, now: Timestamp) {
        self.meter.read(self.used.total(), now);
        holds.for_each(|hold| self.used.add(hold));
        self.record.last_activity = Some(now);
    }
}
