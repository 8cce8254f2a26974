//! One lane in memory: its smallest positions, and how far they are all there are.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};

use crate::domain::{Position, Queued, Timestamp};

/// How far memory holds everything that waits in a lane. Ordered by how much that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Frontier {
    /// Nothing was read yet.
    Nothing,
    /// Everything up to and with this position.
    UpTo(Position),
    /// Everything.
    Everything,
}

/// Where an offer went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offered {
    /// Only counted.
    Beyond,
    /// Into memory, behind another: the head is as before.
    Behind,
    /// Into memory, perhaps as the head.
    Anywhere,
}

/// Room that an empty lane keeps, in entries, so that a lane with one delivery at a time never allocates.
const KEPT_CAPACITY: usize = 64;

/// The entries of one lane that are in memory.
///
/// Most arrive in order and already due: they stand in `line`, where both ends are cheap. The others, such as retries
/// and schedules, are sorted by the heap.
#[derive(Debug)]
pub(super) struct Window {
    line: VecDeque<Position>,
    rest: BinaryHeap<Reverse<Position>>,
    frontier: Frontier,
    beyond: u64,
    /// While a page is being read: everything offered enters, except beyond this cut, made when there was too much.
    loading: Option<Frontier>,
}

impl Window {
    pub(super) const fn new() -> Self {
        Self {
            line: VecDeque::new(),
            rest: BinaryHeap::new(),
            frontier: Frontier::Everything,
            beyond: 0,
            loading: None,
        }
    }

    /// Entries in memory.
    pub(super) fn len(&self) -> usize {
        self.line.len() + self.rest.len()
    }

    /// Deliveries of the lane that wait beyond the frontier, as far as known.
    pub(super) const fn beyond(&self) -> u64 {
        self.beyond
    }

    /// Bytes taken for entries.
    pub(super) fn allocated_bytes(&self) -> usize {
        (self.line.capacity() + self.rest.capacity()) * size_of::<Position>()
    }

    /// The next entry, due or not. An entry beyond the frontier is none: something before it may be unread.
    pub(super) fn head(&self) -> Option<Position> {
        let head = match (self.line.front(), self.rest.peek()) {
            (Some(line), Some(Reverse(rest))) => *line.min(rest),
            (Some(line), None) => *line,
            (None, Some(Reverse(rest))) => *rest,
            (None, None) => return None,
        };
        self.covers(head).then_some(head)
    }

    /// Takes what [`head`](Self::head) shows.
    pub(super) fn pop(&mut self) -> Option<Position> {
        let head = self.head()?;
        if self.line.front() == Some(&head) {
            self.line.pop_front();
            if self.line.is_empty() && self.line.capacity() > KEPT_CAPACITY {
                self.line = VecDeque::new();
            }
        } else {
            self.rest.pop();
            if self.rest.is_empty() && self.rest.capacity() > KEPT_CAPACITY {
                self.rest = BinaryHeap::new();
            }
        }
        Some(head)
    }

    /// A delivery waits here.
    pub(super) fn offer(&mut self, position: Position, now: Timestamp) -> Offered {
        if !self.covers(position) && self.loading.is_none() {
            self.beyond += 1;
            return Offered::Beyond;
        }
        // One far-off schedule in the line would send all that follows to the heap.
        if position.due <= now {
            match self.line.back() {
                None => {
                    self.line.push_back(position);
                    return Offered::Anywhere;
                }
                Some(last) if *last <= position => {
                    self.line.push_back(position);
                    return Offered::Behind;
                }
                Some(_) => {}
            }
        }
        self.rest.push(Reverse(position));
        Offered::Anywhere
    }

    /// Keeps the `keep` smallest entries and forgets the others, which the store still has. Tells how many.
    pub(super) fn shrink_to(&mut self, keep: usize) -> usize {
        let mut all: Vec<Position> = self.line.drain(..).chain(self.rest.drain().map(|Reverse(p)| p)).collect();
        all.sort_unstable();
        let dropped = all.len().saturating_sub(keep);
        all.truncate(keep);
        all.shrink_to_fit();
        let cut = all.last().map_or(Frontier::Nothing, |last| Frontier::UpTo(*last));
        if dropped > 0 {
            self.beyond += dropped as u64;
            self.frontier = self.frontier.min(cut);
            self.loading = self.loading.map(|earlier| earlier.min(cut));
        }
        self.line = all.into();
        self.rest = BinaryHeap::new();
        dropped
    }

    /// These wait no longer, wherever they stand.
    pub(super) fn withdraw(&mut self, gone: &BTreeSet<Position>) {
        let frontier = self.frontier;
        let mut beyond = gone.iter().filter(|position| Frontier::UpTo(**position) > frontier).count() as u64;
        let mut stays = |position: &Position| {
            let stays = !gone.contains(position);
            // It came while a page is read, and is not counted as beyond.
            if !stays && Frontier::UpTo(*position) > frontier {
                beyond = beyond.saturating_sub(1);
            }
            stays
        };
        self.line.retain(&mut stays);
        self.rest.retain(|Reverse(position)| stays(position));
        self.beyond = self.beyond.saturating_sub(beyond);
    }

    /// The store has `waiting` deliveries of this lane. What was offered already is among them, and is read with them: an
    /// entry that stayed would be beyond a frontier that covers nothing, and with many of them no page were asked for.
    pub(super) fn restore(&mut self, waiting: u64) {
        (self.line, self.rest) = (VecDeque::new(), BinaryHeap::new());
        self.frontier = Frontier::Nothing;
        self.beyond = waiting;
    }

    /// Whether a page should be read now.
    pub(super) fn wants_page(&self, low: usize) -> bool {
        self.frontier != Frontier::Everything && self.loading.is_none() && self.len() <= low
    }

    /// A page behind the answer is being read from here on.
    pub(super) fn begin_load(&mut self) -> Option<Position> {
        self.loading = Some(Frontier::Everything);
        match self.frontier {
            Frontier::UpTo(position) => Some(position),
            Frontier::Nothing | Frontier::Everything => None,
        }
    }

    /// The page that was asked for; shorter than `limit` only where nothing follows.
    pub(super) fn end_load(&mut self, page: &[Queued], limit: usize) {
        let Some(cut) = self.loading.take() else { return };
        let read = match page.last() {
            Some(last) if page.len() >= limit => Frontier::UpTo(last.position),
            Some(_) | None => Frontier::Everything,
        };
        self.frontier = read.min(cut);
        self.forget_uncovered();
        let fitting = page.partition_point(|queued| self.covers(queued.position));
        for queued in &page[..fitting] {
            let position = queued.position;
            if self.line.back().is_none_or(|last| *last <= position) {
                self.line.push_back(position);
            } else {
                self.rest.push(Reverse(position));
            }
        }
        self.beyond = match self.frontier {
            Frontier::Everything => 0,
            Frontier::Nothing | Frontier::UpTo(_) => self.beyond.saturating_sub(fitting as u64),
        };
    }

    /// No page came: what was offered meanwhile beyond the frontier is in the store as before.
    pub(super) fn abandon_load(&mut self) {
        self.loading = None;
        self.forget_uncovered();
    }

    fn covers(&self, position: Position) -> bool {
        Frontier::UpTo(position) <= self.frontier
    }

    fn forget_uncovered(&mut self) {
        let before = self.len();
        let frontier = self.frontier;
        self.line.retain(|position| Frontier::UpTo(*position) <= frontier);
        self.rest.retain(|Reverse(position)| Frontier::UpTo(*position) <= frontier);
        self.beyond += (before - self.len()) as u64;
    }
}
