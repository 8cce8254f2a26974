//! The newest events in memory, for those who follow them.
//!
//! *Flow:* the store's writer hands the events of a commit to the [`Inlet`] → the relay puts them into the ring as
//! chunks, and tells the followers how far it goes.
//!
//! *Invariants:* the writer waits for nobody: what the relay does not take in time is left to the outbox. Numbers in the
//! ring follow each other without a gap. While nobody follows nothing is kept.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

use super::{EventId, payload, sse};
use crate::store::{CommitListener, Committed, EventEpoch, EventNumber, NumberedEvent};

/// Events that the ring holds at least; a follower that is further behind reads the outbox.
pub const RING_EVENTS: usize = 65_536;

/// Events in a chunk at most, and in a page that is read from the outbox.
pub const CHUNK_EVENTS: usize = 1_024;

/// Commits that wait for the relay. It takes them as fast as they come unless the machine is busy with other things.
const COMMITS_MAX: usize = 1_024;

/// Events that followed each other, shared by all who follow.
#[derive(Debug)]
pub struct Chunk {
    epoch: EventEpoch,
    /// Never empty.
    events: Vec<NumberedEvent>,
    encoded: OnceLock<Encoded>,
}

/// A chunk as it goes over the wire.
#[derive(Debug)]
struct Encoded {
    frames: Bytes,
    /// Where each event's frame ends.
    ends: Vec<usize>,
}

impl Chunk {
    /// None of no events.
    pub(super) fn of(epoch: EventEpoch, events: Vec<NumberedEvent>) -> Option<Arc<Self>> {
        (!events.is_empty()).then(|| Arc::new(Self { epoch, events, encoded: OnceLock::new() }))
    }

    fn first(&self) -> EventNumber {
        self.events.first().map_or(0, |event| event.number)
    }

    pub(super) fn last(&self) -> EventNumber {
        self.events.last().map_or(0, |event| event.number)
    }

    /// Encoded by whoever asks first, once.
    fn encoded(&self) -> &Encoded {
        self.encoded.get_or_init(|| {
            let (mut frames, mut ends) = (Vec::new(), Vec::with_capacity(self.events.len()));
            for event in &self.events {
                let id = EventId { epoch: self.epoch, number: event.number };
                sse::put(&mut frames, Some(id), event.event.body.kind(), |out| payload::put(out, id, &event.event));
                ends.push(frames.len());
            }
            Encoded { frames: frames.into(), ends }
        })
    }
}

/// The part of a [`Chunk`] that a follower has not seen. Never empty.
#[derive(Clone, Debug)]
pub struct Batch {
    chunk: Arc<Chunk>,
    from: usize,
}

impl Batch {
    /// What of `chunk` lies behind `after`.
    pub(super) fn behind(chunk: Arc<Chunk>, after: EventNumber) -> Self {
        let from = chunk.events.partition_point(|event| event.number <= after);
        Self { chunk, from }
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[NumberedEvent] {
        &self.chunk.events[self.from..]
    }

    /// The id of one of them.
    #[must_use]
    pub fn id(&self, event: &NumberedEvent) -> EventId {
        EventId { epoch: self.chunk.epoch, number: event.number }
    }

    /// All of them as server-sent events.
    #[must_use]
    pub fn frames(&self) -> Bytes {
        let Encoded { frames, .. } = self.chunk.encoded();
        frames.slice(self.begin(0)..)
    }

    /// Those that `wanted` says yes to, as server-sent events.
    pub fn frames_of(&self, wanted: impl Fn(&NumberedEvent) -> bool) -> Bytes {
        let chosen = || self.events().iter().enumerate().filter(|(_, event)| wanted(event));
        let count = chosen().count();
        if count == 0 {
            return Bytes::new();
        }
        if count == self.events().len() {
            return self.frames();
        }
        let Encoded { frames, .. } = self.chunk.encoded();
        let pieces: Vec<&[u8]> = chosen().map(|(n, _)| &frames[self.begin(n)..self.begin(n + 1)]).collect();
        pieces.concat().into()
    }

    /// Where the frame of the `n`-th of this part begins, or the one before it ends.
    fn begin(&self, n: usize) -> usize {
        match (self.from + n).checked_sub(1) {
            None => 0,
            Some(before) => self.chunk.encoded().ends[before],
        }
    }
}

/// What the writer, the relay and the followers share.
#[derive(Debug, Default)]
pub(super) struct Ring {
    chunks: Mutex<Chunks>,
    followers: AtomicUsize,
    /// The last number that was committed.
    newest: AtomicU64,
    /// The relay did not take a commit in time.
    missed: AtomicBool,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Chunks {
    queue: VecDeque<Arc<Chunk>>,
    events: usize,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Chunks> {
        self.chunks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What follows `after`, as far as it is here.
    pub(super) fn after(&self, after: EventNumber) -> Option<Batch> {
        let chunk = {
            let Chunks { queue, .. } = &*self.lock();
            let first = queue.front()?.first();
            // What was committed before the first one is in the outbox.
            let at = queue.partition_point(|chunk| chunk.last() <= after);
            Arc::clone(queue.get(at).filter(|_| first <= after + 1)?)
        };
        Some(Batch::behind(chunk, after))
    }

    /// The last number that was committed.
    pub(super) fn newest(&self) -> EventNumber {
        self.newest.load(Ordering::SeqCst)
    }

    /// Numbers up to this were given before anybody could tell.
    pub(super) fn begin_behind(&self, newest: EventNumber) {
        self.newest.fetch_max(newest, Ordering::SeqCst);
    }

    /// Somebody follows. Before it asks for the newest number: a commit in between is seen by the one or the other.
    pub(super) fn join(&self) {
        self.followers.fetch_add(1, Ordering::SeqCst);
    }

    pub(super) fn leave(&self) {
        if self.followers.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.lock().clear();
        }
    }

    /// Events of commits that followed each other, which follow what is here or take its place.
    fn push(&self, epoch: EventEpoch, events: Vec<NumberedEvent>) {
        let mut rest = events.into_iter();
        while let Some(chunk) = Chunk::of(epoch, rest.by_ref().take(CHUNK_EVENTS).collect()) {
            let mut chunks = self.lock();
            if chunks.queue.back().is_some_and(|last| last.last() + 1 != chunk.first()) {
                chunks.clear();
            }
            chunks.events += chunk.events.len();
            chunks.queue.push_back(chunk);
            while let Some(oldest) = chunks.queue.front()
                && chunks.events - oldest.events.len() >= RING_EVENTS
            {
                chunks.events -= oldest.events.len();
                chunks.queue.pop_front();
            }
        }
    }
}

impl Chunks {
    fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Where the store's writer puts the events of its commits.
pub struct Inlet {
    ring: Arc<Ring>,
    commits: mpsc::Sender<Vec<NumberedEvent>>,
}

/// The other end of an [`Inlet`]: what an [`EventLog`](super::EventLog) is made of.
pub struct Outlet {
    pub(super) ring: Arc<Ring>,
    commits: mpsc::Receiver<Vec<NumberedEvent>>,
}

impl fmt::Debug for Inlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inlet").finish_non_exhaustive()
    }
}

impl fmt::Debug for Outlet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outlet").finish_non_exhaustive()
    }
}

impl Inlet {
    /// The stream ends when this is dropped.
    #[must_use]
    pub fn new() -> (Self, Outlet) {
        let (sender, commits) = mpsc::channel(COMMITS_MAX);
        let ring = Arc::<Ring>::default();
        (Self { ring: Arc::clone(&ring), commits: sender }, Outlet { ring, commits })
    }

    /// Takes the events of a commit that is durable. Called on the store's writer: never waits, and costs two atomics
    /// while nobody follows.
    pub fn tell(&self, events: Vec<NumberedEvent>) {
        let Some(last) = events.last() else { return };
        self.ring.newest.store(last.number, Ordering::SeqCst);
        if self.ring.followers.load(Ordering::SeqCst) > 0 && self.commits.try_send(events).is_err() {
            self.ring.missed.store(true, Ordering::SeqCst);
            self.ring.wake.notify_one();
        }
    }
}

impl CommitListener for Inlet {
    fn committed(&self, committed: Committed) {
        self.tell(committed.events);
    }
}

impl Outlet {
    /// Moves what comes in into the ring until the inlet is dropped. Followers are told how far it goes, and that it
    /// ended.
    pub(super) async fn relay(self, epoch: EventEpoch, announced: watch::Sender<EventNumber>) {
        let Self { ring, mut commits } = self;
        loop {
            let first = tokio::select! {
                biased;
                first = commits.recv() => match first {
                    Some(first) => first,
                    None => return,
                },
                () = ring.wake.notified() => Vec::new(),
            };
            let mut events = first;
            while let Ok(more) = commits.try_recv() {
                let follows = matches!((events.last(), more.first()), (Some(a), Some(b)) if a.number + 1 == b.number);
                if !follows || events.len() >= RING_EVENTS {
                    ring.push(epoch, std::mem::take(&mut events));
                }
                events.extend(more);
            }
            let mut newest = events.last().map_or(0, |event| event.number);
            ring.push(epoch, events);
            if ring.missed.swap(false, Ordering::SeqCst) {
                // What was left out is in the outbox, and so is all that follows it.
                ring.lock().clear();
                newest = ring.newest();
            }
            announced.send_if_modified(|before| {
                let is_news = newest > *before;
                *before = newest.max(*before);
                is_news
            });
        }
    }
}
