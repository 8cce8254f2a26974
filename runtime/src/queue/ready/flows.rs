//! The flows of one channel at one priority: which there are, whose turn it is, and who has become one.
//!
//! *Turns:* of two takes one goes to what shares a flow, the other to the flows in rotation, as long as both have
//! something due. So whoever gets little waits behind at most one delivery of a crowd for each of their own kind, and
//! each of `n` crowds has every `2n`th take or better. Each delivery counts the same (deficit round robin with a cost
//! of one): what a call costs is bounded by the channel's limits, and known only once it is over.
//!
//! *Crowds:* an address becomes a flow once it got over 100 of about the last 16,384 deliveries, so some 160 at most are
//! added to at a time. With few to tell apart, what is accepted together stays together in the store: a flow for each
//! address would spread every commit over a thousand pages. It stays a flow until its lane is empty, so that it does not
//! overtake itself; over time there may be all [`Flow::COUNT`] of them.

use std::collections::VecDeque;

use super::{LaneNumber, LaneState, ReadyQueue};
use crate::domain::{ChannelName, Flow, Priority};

/// An address that got more than so many of the last deliveries is a flow.
const CROWD_MIN: u16 = 100;

/// Counts are halved when they come to this many together: older deliveries count for less and less.
const RECENT_MAX: u32 = 16_384;

/// What stands for a flow that has no lane yet.
const NO_LANE: LaneNumber = LaneNumber::MAX;

/// What a shared lane knows of the flows beside it.
#[derive(Debug)]
pub(super) struct Crowds {
    /// Lanes by the flow's number less one.
    lanes: Vec<LaneNumber>,
    /// Those with something due, in turn.
    ring: VecDeque<LaneNumber>,
    /// The last turn was the shared flow's.
    shared_was_last: bool,
    /// How many were counted.
    total: u32,
    /// How often each address was seen, as far as its hash tells it apart.
    counts: [u16; Flow::COUNT as usize],
    /// Which of them are flows.
    are_crowds: [bool; Flow::COUNT as usize],
}

impl Crowds {
    fn new() -> Box<Self> {
        Box::new(Self {
            lanes: Vec::new(),
            ring: VecDeque::new(),
            shared_was_last: false,
            total: 0,
            counts: [0; Flow::COUNT as usize],
            are_crowds: [false; Flow::COUNT as usize],
        })
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        size_of::<Self>() + (self.lanes.capacity() + self.ring.capacity()) * size_of::<LaneNumber>()
    }

    /// Whether one of them has something due.
    pub(super) fn are_in_turn(&self) -> bool {
        !self.ring.is_empty()
    }

    /// This one has something due, and waits for its turn.
    pub(super) fn line_up(&mut self, lane: LaneNumber) {
        self.ring.push_back(lane);
    }

    fn lane(&self, flow: Flow) -> Option<LaneNumber> {
        self.lanes.get(place_of(flow)).copied().filter(|lane| *lane != NO_LANE)
    }

    /// One more of this flow. Tells whether it is many by now.
    fn count(&mut self, flow: Flow) -> bool {
        if self.total >= RECENT_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.total += 1;
        self.counts[place_of(flow)] += 1;
        self.counts[place_of(flow)] > CROWD_MIN
    }
}

/// Among the flows that are not the shared one.
fn place_of(flow: Flow) -> usize {
    usize::from(flow.number()).saturating_sub(1)
}

impl ReadyQueue {
    /// The flow of a delivery to `address` that is about to wait: the shared one, unless the address gets many.
    ///
    /// ```
    /// use campanile::domain::{ChannelName, Flow, Priority};
    /// use campanile::queue::{ReadyQueue, WindowLimits};
    ///
    /// let mut queue = ReadyQueue::new(WindowLimits::default());
    /// let mail = ChannelName::new("mail")?;
    /// let flows: Vec<Flow> = (0..101).map(|_| queue.flow_of(Priority::Normal, &mail, "ada@example.com")).collect();
    /// assert_eq!((flows[99], flows[100]), (Flow::SHARED, Flow::of_address("ada@example.com")));
    /// assert_eq!(queue.flow_of(Priority::Normal, &mail, "bob@example.com"), Flow::SHARED);
    /// # Ok::<(), campanile::domain::NameError>(())
    /// ```
    pub fn flow_of(&mut self, priority: Priority, channel: &ChannelName, address: &str) -> Flow {
        if address.is_empty() {
            return Flow::SHARED;
        }
        let flow = Flow::of_address(address);
        let shared = self.shared_lane(priority, channel);
        let crowds = self.crowds_of(shared);
        let is_many = crowds.count(flow);
        let mut is_crowd = crowds.are_crowds[place_of(flow)];
        if is_many != is_crowd {
            is_crowd = is_many || self.waits_in(shared, flow);
            self.crowds_of(shared).are_crowds[place_of(flow)] = is_crowd;
        }
        if is_crowd { flow } else { Flow::SHARED }
    }

    /// What waited in this lane before the queue was made goes first.
    pub(super) fn remember_crowd(&mut self, lane: LaneNumber) {
        let LaneState { shared, flow, .. } = self.lanes[lane as usize];
        if flow != Flow::SHARED {
            self.crowds_of(shared).are_crowds[place_of(flow)] = true;
        }
    }

    fn crowds_of(&mut self, shared: LaneNumber) -> &mut Crowds {
        self.lanes[shared as usize].crowds.get_or_insert_with(Crowds::new)
    }

    fn waits_in(&self, shared: LaneNumber, flow: Flow) -> bool {
        let lane = self.lanes[shared as usize].crowds.as_ref().and_then(|crowds| crowds.lane(flow));
        let window = lane.map(|lane| &self.lanes[lane as usize].window);
        window.is_some_and(|window| window.len() as u64 + window.beyond() > 0)
    }

    /// The lane of a flow beside this shared one.
    pub(super) fn flow_lane(&mut self, shared: LaneNumber, flow: Flow) -> LaneNumber {
        let number = self.lanes.len() as LaneNumber;
        let crowds = self.crowds_of(shared);
        if let Some(known) = crowds.lane(flow) {
            return known;
        }
        if crowds.lanes.len() <= place_of(flow) {
            crowds.lanes.resize(place_of(flow) + 1, NO_LANE);
        }
        crowds.lanes[place_of(flow)] = number;
        let LaneState { channel, rank, held, .. } = self.lanes[shared as usize];
        self.lanes.push(LaneState { flow, held, ..LaneState::new(channel, rank, shared) });
        number
    }

    /// The lane whose turn it is at this channel and rank. A crowd leaves its ring; what follows puts it back at the end,
    /// or [`keep_turn`](Self::keep_turn) to where it was.
    pub(super) fn lane_in_turn(&mut self, shared: LaneNumber) -> Option<LaneNumber> {
        let shared_is_due = self.is_due(shared);
        let Some(crowds) = &mut self.lanes[shared as usize].crowds else { return shared_is_due.then_some(shared) };
        if !shared_is_due || crowds.shared_was_last {
            crowds.shared_was_last = false;
            while let Some(lane) = self.crowds_of(shared).ring.pop_front() {
                self.lanes[lane as usize].in_ring = false;
                if self.is_due(lane) {
                    return Some(lane);
                }
            }
        }
        self.crowds_of(shared).shared_was_last = true;
        shared_is_due.then_some(shared)
    }

    /// The turn that this lane got could not be used.
    pub(super) fn keep_turn(&mut self, shared: LaneNumber, lane: LaneNumber) {
        let Some(crowds) = &mut self.lanes[shared as usize].crowds else { return };
        if lane == shared {
            crowds.shared_was_last = false;
        } else {
            crowds.ring.push_front(lane);
            self.lanes[lane as usize].in_ring = true;
        }
    }

    pub(super) fn is_due(&self, lane: LaneNumber) -> bool {
        let lane = &self.lanes[lane as usize];
        !lane.waits() && lane.window.head().is_some_and(|head| head.due <= self.now)
    }
}

#[cfg(test)]
mod tests;
