//! Which delivery is next: turns between priorities and channels, over one window per lane.

mod aged;
mod aside;
mod flows;
mod gated;
mod holding;
mod turns;
mod withdrawing;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::time::Duration;

use self::aside::Aside;
pub use self::aside::Called;
use self::flows::Crowds;
use super::channels::{ChannelNumber, Channels};
use super::gates::{Ended, Entry, GatePass, Gates};
use super::shares::Shares;
use super::window::{Offered, Window};
use super::{Slot, SlotCounts, WindowLimits};
use crate::domain::{ChannelName, Flow, Lane, Position, Priority, Queued, Timestamp};

/// What a lane may keep at least, however many lanes there are.
const LANE_LEAST: usize = 64;

const PRIORITIES: usize = Priority::DESCENDING.len();

/// A delivery in the hands of whoever took it. Until it is claimed and settled, or given back, the queue forgets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Where it waited.
    pub position: Position,
    /// How urgent.
    pub priority: Priority,
    /// The slot that it holds.
    pub hold: Hold,
    /// Its channel has been out of order for so long that another is to stand in: it is not to be called.
    pub is_detour: bool,
    lane: LaneNumber,
}

/// A slot in the hands of a channel. Whoever took counts on it to be [released](ReadyQueue::release), once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Of which kind.
    pub slot: Slot,
    channel: ChannelNumber,
    pass: Option<GatePass>,
}

/// A page of the store that the queue has room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Of this lane,
    pub lane: Lane,
    /// what follows this,
    pub after: Option<Position>,
    /// up to this many.
    pub limit: usize,
    number: LaneNumber,
}

/// What waits at one priority.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriorityDepth {
    /// Deliveries, due or not. Of those that are set aside, cancelled ones count until the queue comes to them.
    pub waiting: u64,
    /// How long the oldest that is due and not held has waited; zero where none is.
    pub oldest: Duration,
}

/// A lane's place among the lanes.
type LaneNumber = u32;

/// The queue itself: synchronous, and without a clock. Whoever calls brings `now`; an earlier one than before counts
/// as the latest seen.
///
/// ```
/// use campanile::domain::{ChannelName, Lane, NotificationId, Position, Priority, Queued, Timestamp};
/// use campanile::queue::{ReadyQueue, Slot, WindowLimits};
///
/// let now = Timestamp::from_millis(1_000);
/// let lane = Lane::shared(Priority::High, ChannelName::new("ops")?);
/// let delivery = NotificationId::from_bytes([1; 16]).delivery(0);
/// let mut queue = ReadyQueue::new(WindowLimits::default());
/// queue.offer(&Queued { lane, position: Position { due: now, delivery } }, now);
/// assert_eq!(queue.take(Slot::General, now).map(|taken| taken.position.delivery), Some(delivery));
/// assert_eq!(queue.take(Slot::General, now), None);
/// # Ok::<(), campanile::domain::NameError>(())
/// ```
#[derive(Debug)]
pub struct ReadyQueue {
    limits: WindowLimits,
    now: Timestamp,
    channels: Channels,
    shares: Shares,
    gates: Gates,
    /// Channels that are held for a reason that the queue does not know.
    held: BTreeSet<ChannelName>,
    lanes: Vec<LaneState>,
    /// The first of the four shared lanes of each channel, in the order of the ranks.
    first_lanes: Vec<LaneNumber>,
    ranks: [Rank; PRIORITIES],
    /// Lanes whose head is not due, by when it is.
    timers: BTreeSet<(Timestamp, LaneNumber)>,
    in_memory: usize,
    aside: Aside,
    general_takes: u32,
    /// Which rank the next aged take looks at first.
    aged_turn: usize,
}

#[derive(Debug)]
struct LaneState {
    window: Window,
    channel: ChannelNumber,
    rank: u8,
    flow: Flow,
    /// The lane of the shared flow at this channel and rank: it has the turns of the others too.
    shared: LaneNumber,
    /// Of a shared lane, once there is something to tell apart.
    crowds: Option<Box<Crowds>>,
    /// Stands in its rank's ring, or in that of the crowds, once, perhaps with nothing due any more.
    in_ring: bool,
    /// Its place in `timers`.
    wakes: Option<Timestamp>,
    /// Its place in its rank's `oldest`: never behind its head while that is due.
    aged_key: Option<Position>,
    /// Stands in its rank's `wanted`.
    wanted: bool,
    /// Nothing is taken, timed or read for it: its channel is held.
    held: bool,
    /// The same, because no more of it can be set aside.
    clogged: bool,
    /// Of a shared lane: its channel's gate is closed, and it has no turns until the gate is asked again.
    parked: bool,
}

impl LaneState {
    /// The shared one of these.
    const fn new(channel: ChannelNumber, rank: u8, number: LaneNumber) -> Self {
        Self {
            window: Window::new(),
            channel,
            rank,
            flow: Flow::SHARED,
            shared: number,
            crowds: None,
            in_ring: false,
            wakes: None,
            aged_key: None,
            wanted: false,
            held: false,
            clogged: false,
            parked: false,
        }
    }

    const fn waits(&self) -> bool {
        self.held || self.clogged
    }
}

/// What is kept for one priority. The first rank is critical.
#[derive(Debug, Default)]
struct Rank {
    /// Shared lanes of channels with something due in any flow, in turn.
    ring: VecDeque<LaneNumber>,
    /// Lanes by a lower bound of their head, corrected when it comes up. A heap that had to be exact would cost every
    /// take a sift; only one take in 32 asks.
    oldest: BinaryHeap<Reverse<(Position, LaneNumber)>>,
    /// Lanes that have room for a page.
    wanted: VecDeque<LaneNumber>,
}

const fn rank_of(priority: Priority) -> usize {
    match priority {
        Priority::Critical => 0,
        Priority::High => 1,
        Priority::Normal => 2,
        Priority::Low => 3,
    }
}

impl ReadyQueue {
    /// A queue in which nothing waits.
    #[must_use]
    pub fn new(limits: WindowLimits) -> Self {
        Self {
            limits: WindowLimits { lane: limits.lane.max(2), total: limits.total },
            now: Timestamp::default(),
            channels: Channels::default(),
            shares: Shares::default(),
            gates: Gates::default(),
            held: BTreeSet::new(),
            lanes: Vec::new(),
            first_lanes: Vec::new(),
            ranks: Default::default(),
            timers: BTreeSet::new(),
            in_memory: 0,
            aside: Aside::default(),
            general_takes: 0,
            aged_turn: 1,
        }
    }

    /// A delivery waits, durably. The same one may be offered more than once.
    pub fn offer(&mut self, queued: &Queued, now: Timestamp) {
        self.advance(now);
        let lane = self.number_of(&queued.lane);
        self.enter(lane, queued.position);
    }

    /// So many slots there are in all. From here on each channel is held to its share of them.
    pub fn set_slots(&mut self, counts: SlotCounts) {
        self.shares.set(counts);
        self.gates.set_slots(counts.general.saturating_add(counts.reserved));
    }

    /// A slot is free again: how its call ended.
    pub fn release(&mut self, hold: Hold, ended: &Ended, now: Timestamp) {
        self.advance(now);
        self.shares.release(hold.slot, hold.channel);
        let Some(pass) = hold.pass else { return };
        let stopped = self.gates.is_stopped(hold.channel);
        self.gates.end(hold.channel, pass, ended, self.now);
        if stopped != self.gates.is_stopped(hold.channel) {
            self.refresh_held();
        }
        self.ask_again(hold.channel);
    }

    /// What was taken and not called waits as before. Its slot is released apart from it.
    pub fn give_back(&mut self, taken: &Taken, now: Timestamp) {
        self.advance(now);
        self.enter(taken.lane, taken.position);
    }

    /// The next delivery for a free slot, if one is due.
    pub fn take(&mut self, slot: Slot, now: Timestamp) -> Option<Taken> {
        self.advance(now);
        let lane = match slot {
            Slot::General => self.general_lane(),
            Slot::Reserved => self.next_in_ring(0, slot).or_else(|| self.next_in_ring(1, slot)),
        }?;
        let position = self.lanes[lane as usize].window.pop()?;
        self.in_memory -= 1;
        self.place(lane);
        let channel = self.channel_of(lane);
        let entry = self.gates.begin(channel, self.now);
        let pass = if let Entry::Call(pass) = entry { Some(pass) } else { None };
        self.shares.take(slot, channel);
        let priority = Priority::DESCENDING[self.rank_of_lane(lane)];
        Some(Taken { position, priority, hold: Hold { slot, channel, pass }, is_detour: entry == Entry::Detour, lane })
    }

    /// The latest instant seen: what was taken is due at it, whatever a clock that was set back says.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Moves on to `now`. Tells whether a lane came to have something due.
    pub fn advance(&mut self, now: Timestamp) -> bool {
        self.now = self.now.max(now);
        let mut woken = false;
        while let Some(&(due, lane)) = self.timers.first() {
            if due > self.now {
                break;
            }
            self.timers.pop_first();
            self.lanes[lane as usize].wakes = None;
            self.place(lane);
            woken = true;
        }
        woken | self.pass_gate_timers() | self.take_in_deferred()
    }

    /// When something in memory becomes due that is not, or something is to be looked at again.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        let due = self.timers.first().map(|(due, _)| *due);
        due.into_iter().chain(self.gates.next_timer()).chain(self.aside.next_due()).min()
    }

    /// The store has `waiting` deliveries in this lane, also those of before this queue was made.
    pub fn restore(&mut self, lane: &Lane, waiting: u64) {
        let number = self.number_of(lane);
        let window = &mut self.lanes[number as usize].window;
        self.in_memory -= window.len();
        window.restore(waiting);
        self.remember_crowd(number);
        self.place(number);
    }

    /// Whether a lane has room for a page.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        self.ranks.iter().any(|rank| !rank.wanted.is_empty())
    }

    /// The page to be read next. Each request is answered by [`loaded`](Self::loaded) or
    /// [`load_failed`](Self::load_failed).
    pub fn next_page(&mut self) -> Option<PageRequest> {
        let number = self.ranks.iter_mut().find_map(|rank| rank.wanted.pop_front())?;
        let limit = (self.lane_limit() / 2).max(1);
        let state = &mut self.lanes[number as usize];
        state.wanted = false;
        let after = state.window.begin_load();
        Some(PageRequest { lane: self.lane(number), after, limit, number })
    }

    /// The page that was asked for. One that is shorter than the limit says that nothing follows.
    pub fn loaded(&mut self, request: &PageRequest, page: &[Queued], now: Timestamp) {
        self.advance(now);
        self.change_window(request.number, |window| window.end_load(page, request.limit));
    }

    /// The page that was asked for could not be read. It is asked for again.
    pub fn load_failed(&mut self, request: &PageRequest) {
        self.change_window(request.number, Window::abandon_load);
    }

    /// What waits at each priority, as in [`Priority::DESCENDING`].
    pub fn depths(&mut self) -> [PriorityDepth; PRIORITIES] {
        let mut depths = [PriorityDepth::default(); PRIORITIES];
        for lane in &self.lanes {
            depths[usize::from(lane.rank)].waiting += lane.window.len() as u64 + lane.window.beyond();
        }
        for (rank, depth) in depths.iter_mut().enumerate() {
            depth.waiting += self.aside.in_rank(rank);
            depth.oldest = self.oldest_in(rank).map_or(Duration::ZERO, |(due, _)| self.now.since(due));
        }
        depths
    }

    /// Entries in memory, without what is set aside.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.in_memory
    }

    /// Whether memory holds no entry to take. The store may hold some.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.in_memory == 0
    }

    /// Bytes taken by entries and lanes, unused room included.
    #[must_use]
    pub fn allocated_bytes(&self) -> usize {
        let entries: usize = self.lanes.iter().map(|lane| lane.window.allocated_bytes()).sum();
        let crowds: usize =
            self.lanes.iter().filter_map(|lane| lane.crowds.as_ref()).map(|crowds| crowds.allocated_bytes()).sum();
        let lanes = self.lanes.capacity() * size_of::<LaneState>() + crowds;
        let turns: usize = self.ranks.iter().map(|rank| rank.ring.capacity() * 4 + rank.oldest.capacity() * 40).sum();
        entries + lanes + turns
    }

    fn rank_of_lane(&self, lane: LaneNumber) -> usize {
        usize::from(self.lanes[lane as usize].rank)
    }

    fn channel_of(&self, lane: LaneNumber) -> ChannelNumber {
        self.lanes[lane as usize].channel
    }

    fn lane(&self, number: LaneNumber) -> Lane {
        let LaneState { channel, rank, flow, .. } = self.lanes[number as usize];
        Lane { priority: Priority::DESCENDING[usize::from(rank)], channel: self.channels.name(channel).clone(), flow }
    }

    fn number_of(&mut self, lane: &Lane) -> LaneNumber {
        let shared = self.shared_lane(lane.priority, &lane.channel);
        if lane.flow == Flow::SHARED { shared } else { self.flow_lane(shared, lane.flow) }
    }

    fn shared_lane(&mut self, priority: Priority, channel: &ChannelName) -> LaneNumber {
        let channel = self.channels.get(channel).unwrap_or_else(|| self.add_channel(channel));
        self.first_lanes[channel as usize] + rank_of(priority) as u32
    }

    fn add_channel(&mut self, name: &ChannelName) -> ChannelNumber {
        let channel = self.channels.add(name);
        let first = self.lanes.len() as LaneNumber;
        self.first_lanes.push(first);
        self.lanes.extend((0..PRIORITIES as u8).map(|rank| LaneState::new(channel, rank, first + u32::from(rank))));
        channel
    }

    fn enter(&mut self, lane: LaneNumber, position: Position) {
        let window = &mut self.lanes[lane as usize].window;
        let offered = window.offer(position, self.now);
        if offered == Offered::Beyond {
            return;
        }
        let held = window.len();
        self.in_memory += 1;
        let limit = self.lane_limit();
        let overflows = held > 2 * limit;
        if overflows {
            self.in_memory -= self.lanes[lane as usize].window.shrink_to(limit);
        }
        if overflows || offered == Offered::Anywhere {
            self.place(lane);
        }
    }

    fn change_window(&mut self, lane: LaneNumber, change: impl FnOnce(&mut Window)) {
        let window = &mut self.lanes[lane as usize].window;
        let before = window.len();
        change(window);
        self.in_memory = self.in_memory - before + window.len();
        self.place(lane);
    }

    /// Entries that a lane keeps when it overflows.
    fn lane_limit(&self) -> usize {
        if self.in_memory < self.limits.total {
            self.limits.lane
        } else {
            (self.limits.total / self.lanes.len().max(1)).max(LANE_LEAST).min(self.limits.lane)
        }
    }
}

#[cfg(test)]
mod tests;
