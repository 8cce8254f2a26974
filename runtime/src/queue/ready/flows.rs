//! The flows of one channel at one priority: which there are, whose turn it is, and who has become one.
//!
//! *Turns:* of two takes one goes to what shares a flow, the other to the flows in rotation, as long as both have
//! something due. So whoever gets little waits behind at most one delivery of a crowd for each of their own kind, and
//! each of `n` crowds has every `2n`th take or better. Each delivery counts the same (deficit round robin with a cost
//! of one): what a call costs is bounded by the channel's limits, and known only once it is over.
//!
//! *Crowds:* an address becomes a flow once it got over 100 of about the last 16,384 deliveries, so there are never more
//! than some 160 at a time. With fewer to tell apart, what is accepted together stays together in the store: a flow for
//! each address would spread every commit over a thousand pages. It stays a flow until its lane is empty, so that it
//! does not overtake itself.

use std::collections::VecDeque;

use super::{GroupNumber, LaneNumber, LaneState, ReadyQueue};
use crate::domain::{ChannelName, Flow, Position, Priority};

/// An address that got more than so many of the last deliveries is a flow.
const CROWD_MIN: u16 = 100;

/// Counts are halved when they come to this many together: older deliveries count for less and less.
const RECENT_MAX: u32 = 16_384;

/// What stands for a flow that has no lane yet.
const NO_LANE: LaneNumber = LaneNumber::MAX;

/// The lanes of one channel at one priority.
#[derive(Debug)]
pub(super) struct Group {
    /// The lane of the shared flow. It stands in no ring of the group.
    pub(super) shared: LaneNumber,
    /// Stands in its rank's ring, once, perhaps with nothing due any more.
    pub(super) in_ring: bool,
    flows: Option<Box<Flows>>,
    recent: Option<Box<Recent>>,
}

#[derive(Debug, Default)]
struct Flows {
    /// By the flow's number less one.
    lanes: Vec<LaneNumber>,
    /// Those with something due, in turn.
    ring: VecDeque<LaneNumber>,
    /// The last turn was the shared flow's.
    shared_was_last: bool,
}

/// How often each address was seen, as far as its hash tells it apart.
#[derive(Debug)]
struct Recent {
    total: u32,
    counts: [u16; Flow::COUNT as usize],
    /// Those that are flows.
    crowds: [bool; Flow::COUNT as usize],
}

impl Group {
    pub(super) const fn of(shared: LaneNumber) -> Self {
        Self { shared, in_ring: false, flows: None, recent: None }
    }

    pub(super) fn allocated_bytes(&self) -> usize {
        let flows = self.flows.as_ref();
        flows.map_or(0, |flows| (flows.lanes.capacity() + flows.ring.capacity()) * size_of::<LaneNumber>())
            + self.recent.as_ref().map_or(0, |_| size_of::<Recent>())
    }

    /// Whether a flow beside the shared one has something due.
    pub(super) fn has_flow_in_turn(&self) -> bool {
        self.flows.as_ref().is_some_and(|flows| !flows.ring.is_empty())
    }

    /// This lane has something due, and waits for its turn.
    pub(super) fn line_up(&mut self, lane: LaneNumber) {
        if let Some(flows) = &mut self.flows {
            flows.ring.push_back(lane);
        }
    }
}

impl Recent {
    fn new() -> Box<Self> {
        Box::new(Self { total: 0, counts: [0; Flow::COUNT as usize], crowds: [false; Flow::COUNT as usize] })
    }

    /// One more of this flow.
    fn count(&mut self, flow: usize) {
        if self.total >= RECENT_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.total = self.counts.iter().map(|count| u32::from(*count)).sum();
        }
        self.total += 1;
        self.counts[flow] += 1;
    }
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
        let place = usize::from(flow.number() - 1);
        let group = self.group_of(priority, channel) as usize;
        let recent = self.groups[group].recent.get_or_insert_with(Recent::new);
        recent.count(place);
        let is_crowd = recent.counts[place] > CROWD_MIN;
        if is_crowd == recent.crowds[place] {
            return if is_crowd { flow } else { Flow::SHARED };
        }
        let stays = is_crowd || self.waits_in_flow(group, place);
        if let Some(recent) = &mut self.groups[group].recent {
            recent.crowds[place] = stays;
        }
        if stays { flow } else { Flow::SHARED }
    }

    /// What waited in this flow before the queue was made goes first.
    pub(super) fn remember_crowd(&mut self, lane: LaneNumber) {
        let LaneState { group, flow, .. } = self.lanes[lane as usize];
        if flow != Flow::SHARED {
            let recent = self.groups[group as usize].recent.get_or_insert_with(Recent::new);
            recent.crowds[usize::from(flow.number() - 1)] = true;
        }
    }

    fn waits_in_flow(&self, group: usize, place: usize) -> bool {
        let lane = self.groups[group].flows.as_ref().and_then(|flows| flows.lanes.get(place));
        let window = lane.and_then(|lane| self.lanes.get(*lane as usize)).map(|lane| &lane.window);
        window.is_some_and(|window| window.len() as u64 + window.beyond() > 0)
    }

    /// The lane of a flow that is not the shared one.
    pub(super) fn flow_lane(&mut self, group: GroupNumber, flow: Flow) -> LaneNumber {
        let place = usize::from(flow.number()) - 1;
        let known = self.groups[group as usize].flows.as_ref().and_then(|flows| flows.lanes.get(place).copied());
        if let Some(lane) = known.filter(|lane| *lane != NO_LANE) {
            return lane;
        }
        let shared = self.groups[group as usize].shared as usize;
        let number = self.lanes.len() as LaneNumber;
        self.lanes.push(LaneState::new(group, flow, self.lanes[shared].held));
        let flows = self.groups[group as usize].flows.get_or_insert_default();
        if flows.lanes.len() <= place {
            flows.lanes.resize(place + 1, NO_LANE);
        }
        flows.lanes[place] = number;
        number
    }

    /// The lane of this group whose turn it is. A flow leaves the group's ring; what follows puts it back at the end, or
    /// [`keep_turn`](Self::keep_turn) to where it was.
    pub(super) fn lane_in_turn(&mut self, group: GroupNumber) -> Option<LaneNumber> {
        let shared = self.groups[group as usize].shared;
        let shared_is_due = self.is_due(shared);
        let Some(flows) = &mut self.groups[group as usize].flows else { return shared_is_due.then_some(shared) };
        if shared_is_due && !flows.shared_was_last {
            flows.shared_was_last = true;
            return Some(shared);
        }
        flows.shared_was_last = false;
        while let Some(lane) = self.groups[group as usize].flows.as_mut().and_then(|flows| flows.ring.pop_front()) {
            self.lanes[lane as usize].in_ring = false;
            if self.is_due(lane) {
                return Some(lane);
            }
        }
        if let Some(flows) = &mut self.groups[group as usize].flows {
            flows.shared_was_last = true;
        }
        shared_is_due.then_some(shared)
    }

    /// The turn that this lane got could not be used.
    pub(super) fn keep_turn(&mut self, group: GroupNumber, lane: LaneNumber) {
        let Some(flows) = &mut self.groups[group as usize].flows else { return };
        let state = &mut self.lanes[lane as usize];
        if state.flow == Flow::SHARED {
            flows.shared_was_last = false;
        } else if !state.in_ring {
            state.in_ring = true;
            flows.ring.push_front(lane);
        }
    }

    fn is_due(&self, lane: LaneNumber) -> bool {
        let lane = &self.lanes[lane as usize];
        !lane.waits() && lane.window.head().is_some_and(|head: Position| head.due <= self.now)
    }
}

#[cfg(test)]
mod tests;
