//! Whose guest may use the CPU next. A short call never notices: its first slice is free. One that uses it up takes a
//! turn for each further slice.
//!
//! *Order:* of the lanes in which a call waits, the one whose last turn is the longest ago, so that one with a single
//! call has as many turns as a crowded one. Within a lane the oldest call first: its calls end one after the other
//! instead of all at their deadline, and one after the other touches its memory.
//!
//! A call that has used up its slice is back in line before anybody else is called: it is polled again only later, and a
//! line that nobody stands in would be no order at all.
//!
//! *Invariants:* no more slices at once than the machine has cores; no more than one of a lane while another waits or
//! has had a call lately; a lane whose calls use up slice after slice has no free ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::domain::{ChannelName, PluginName};

/// For so long after its last call a channel counts as one that has work: longer than any gap of a channel under load.
const LATELY_MS: u64 = 100;

/// Calls that use up their first slice before the lane loses its free ones.
const OVERRUNS_MAX: u32 = 8;

/// What a lane can owe at most: so many short calls free it again.
const OVERRUNS_OWED_MAX: u32 = 32;

/// Places to remember when a lane had its last call. Two lanes that share one only count as idle for each other.
const TRACES: usize = 256;

/// Who shares the CPU with whom: the calls of a channel, else those of a plugin, else those that only describe.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Lane {
    /// Calls of a channel.
    Channel(ChannelName),
    /// Calls of a plugin without one, such as a template engine.
    Plugin(PluginName),
    /// Calls of what is not a plugin yet.
    Newcomer,
}

/// Where calls of all plugins queue for the CPU. One per sandbox.
pub(super) struct Turnstile {
    lanes: Mutex<Lanes>,
    at_once: usize,
    /// Lanes without free first slices: while there are none, nobody looks them up.
    guarded: AtomicUsize,
    since: Instant,
    hasher: RandomState,
    /// When the lanes had their last calls, in milliseconds since `since`, plus one.
    traces: Box<[AtomicU64]>,
}

#[derive(Default)]
struct Lanes {
    by_name: HashMap<Lane, Queue>,
    /// Lanes in which a call waits, by the number of their last turn.
    line: BTreeSet<(u64, Lane)>,
    running: usize,
    tickets: u64,
    turns: u64,
}

#[derive(Default)]
struct Queue {
    /// By age.
    waiting: BTreeMap<u64, Arc<Place>>,
    running: usize,
    /// The number of the last turn that one of its calls had; 0 where it had none since the lane was last idle.
    last_turn: u64,
    /// Calls that used up their first slice, less those that did not.
    overruns: u32,
}

#[derive(Default)]
struct Place {
    called: AtomicBool,
    waker: AtomicWaker,
}

impl Turnstile {
    /// One for so many slices at once.
    pub(super) fn new(at_once: usize) -> Arc<Self> {
        Arc::new(Self {
            lanes: Mutex::default(),
            at_once: at_once.max(1),
            guarded: AtomicUsize::new(0),
            since: Instant::now(),
            hasher: RandomState::new(),
            traces: (0..TRACES).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// A call of this lane begins: whether its first slice is free.
    pub(super) fn begin(&self, lane: &Lane, now: Instant) -> bool {
        let (trace, now) = (self.trace(lane), self.stamp(now));
        // Read far more often than written, so that cores do not take the line from each other.
        if trace.load(Ordering::Relaxed) != now {
            trace.store(now, Ordering::Relaxed);
        }
        self.guarded.load(Ordering::Relaxed) == 0
            || self.lock().by_name.get(lane).is_none_or(|queue| queue.overruns < OVERRUNS_MAX)
    }

    /// A call has used up its first slice, or has ended within one that was not free.
    pub(super) fn first_slice(&self, lane: &Lane, used_up: bool) {
        let mut lanes = self.lock();
        let queue = lanes.by_name.entry(lane.clone()).or_default();
        let before = queue.overruns;
        let after = if used_up { (before + 1).min(OVERRUNS_OWED_MAX) } else { before.saturating_sub(1) };
        queue.overruns = after;
        match (before >= OVERRUNS_MAX, after >= OVERRUNS_MAX) {
            (false, true) => _ = self.guarded.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = self.guarded.fetch_sub(1, Ordering::Relaxed),
            (false, false) | (true, true) => {}
        }
        lanes.forget_idle(lane);
    }

    /// A place in the lane, by age.
    pub(super) fn ticket(self: &Arc<Self>, lane: Lane) -> Ticket {
        let mut lanes = self.lock();
        lanes.tickets += 1;
        Ticket { number: lanes.tickets, turnstile: Arc::clone(self), lane, stand: Stand::Aside }
    }

    fn trace(&self, lane: &Lane) -> &AtomicU64 {
        &self.traces[self.trace_of(lane)]
    }

    fn trace_of(&self, lane: &Lane) -> usize {
        // The remainder is below `TRACES`.
        (self.hasher.hash_one(lane) % TRACES as u64) as usize
    }

    fn stamp(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.since).as_millis()).unwrap_or(u64::MAX - 1) + 1
    }

    /// Whether another lane has had a call lately.
    fn others_work(&self, lane: &Lane) -> bool {
        let (own, now) = (self.trace_of(lane), self.stamp(Instant::now()));
        let lately = |stamp: u64| stamp != 0 && now.saturating_sub(stamp) < LATELY_MS;
        let mut traces = self.traces.iter().enumerate();
        traces.any(|(place, trace)| place != own && lately(trace.load(Ordering::Relaxed)))
    }

    /// Calls everybody whose turn it is. Not under the lock: a waker is foreign code.
    fn call_next(&self) {
        while let Some(place) = { self.lock().next(self) } {
            place.called.store(true, Ordering::Release);
            place.waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        // The books are consistent between any two methods.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lanes {
    /// The oldest call of the next lane that may run, with its turn.
    fn next(&mut self, turnstile: &Turnstile) -> Option<Arc<Place>> {
        if self.running >= turnstile.at_once {
            return None;
        }
        let alone = self.line.len() == 1;
        let may_run = |lane: &Lane| {
            let running = self.by_name.get(lane).map_or(0, |queue| queue.running);
            running == 0 || (alone && !turnstile.others_work(lane))
        };
        let next = self.line.iter().find(|(_, lane)| may_run(lane))?.clone();
        self.line.remove(&next);
        let (_, lane) = next;
        let queue = self.by_name.get_mut(&lane)?;
        let (_, place) = queue.waiting.pop_first()?;
        queue.running += 1;
        self.running += 1;
        self.turns += 1;
        queue.last_turn = self.turns;
        if !queue.waiting.is_empty() {
            self.line.insert((self.turns, lane));
        }
        Some(place)
    }

    /// A call stands in line.
    fn wait(&mut self, lane: &Lane, number: u64, place: Arc<Place>) {
        let queue = self.by_name.entry(lane.clone()).or_default();
        queue.waiting.insert(number, place);
        self.line.insert((queue.last_turn, lane.clone()));
    }

    /// A call that stood so gives it up.
    fn leave(&mut self, lane: &Lane, number: u64, stood: &Stand) {
        let Some(queue) = self.by_name.get_mut(lane) else { return };
        match stood {
            Stand::Aside => {}
            Stand::InLine(_) if queue.waiting.remove(&number).is_some() => {
                if queue.waiting.is_empty() {
                    self.line.remove(&(queue.last_turn, lane.clone()));
                }
            }
            // In line and not waiting: it has been called in this moment.
            Stand::InLine(_) | Stand::Through => {
                queue.running -= 1;
                self.running -= 1;
            }
        }
    }

    fn forget_idle(&mut self, lane: &Lane) {
        let idle = |queue: &Queue| queue.waiting.is_empty() && queue.running == 0 && queue.overruns == 0;
        if self.by_name.get(lane).is_some_and(idle) {
            self.by_name.remove(lane);
        }
    }
}

/// A call's place in its lane. Dropped, it gives back what it holds.
pub(super) struct Ticket {
    turnstile: Arc<Turnstile>,
    lane: Lane,
    number: u64,
    stand: Stand,
}

enum Stand {
    /// Asks for nothing.
    Aside,
    /// Waits, or has been called and does not know yet.
    InLine(Arc<Place>),
    /// Has the turn.
    Through,
}

impl Ticket {
    /// Asks for a turn.
    pub(super) fn ask(&mut self) {
        if !matches!(self.stand, Stand::Aside) {
            return;
        }
        let place = Arc::new(Place::default());
        self.turnstile.lock().wait(&self.lane, self.number, Arc::clone(&place));
        self.stand = Stand::InLine(place);
        self.turnstile.call_next();
    }

    /// Gives the turn back and asks for another, as one: with no other in between it is the next of its lane again.
    pub(super) fn ask_again(&mut self) {
        let place = Arc::new(Place::default());
        let mut lanes = self.turnstile.lock();
        lanes.leave(&self.lane, self.number, &self.stand);
        lanes.wait(&self.lane, self.number, Arc::clone(&place));
        self.stand = Stand::InLine(place);
        drop(lanes);
        self.turnstile.call_next();
    }

    /// Ready with the turn, which [`pass`](Self::pass) gives on.
    pub(super) fn poll_turn(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.ask();
        if let Stand::InLine(place) = &self.stand {
            // Before the look, so that a call in between is not missed.
            place.waker.register(cx.waker());
            if !place.called.load(Ordering::Acquire) {
                return Poll::Pending;
            }
            self.stand = Stand::Through;
        }
        Poll::Ready(())
    }

    /// Whether it waits for a turn.
    pub(super) fn is_in_line(&self) -> bool {
        matches!(&self.stand, Stand::InLine(place) if !place.called.load(Ordering::Acquire))
    }

    /// Gives the turn, or the place in line, to others.
    pub(super) fn pass(&mut self) {
        let before = std::mem::replace(&mut self.stand, Stand::Aside);
        let mut lanes = self.turnstile.lock();
        lanes.leave(&self.lane, self.number, &before);
        lanes.forget_idle(&self.lane);
        drop(lanes);
        self.turnstile.call_next();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !matches!(self.stand, Stand::Aside) {
            self.pass();
        }
    }
}

#[cfg(test)]
mod tests;
