//! Whose turn it is: between priorities, and between the channels of one.

use std::cmp::Reverse;

use super::aged::AGED_EVERY;
use super::{LaneNumber, PRIORITIES, ReadyQueue, channel_of_group};
use crate::domain::Flow;
use crate::queue::Slot;

impl ReadyQueue {
    /// Puts a lane where its head belongs: in turn, or among the timers.
    pub(super) fn place(&mut self, number: LaneNumber) {
        let low = self.lane_limit() / 2;
        let rank_number = self.rank_of_lane(number);
        let lane = &mut self.lanes[number as usize];
        let group = &mut self.groups[lane.group as usize];
        let rank = &mut self.ranks[rank_number];
        // A held lane has no head: what is left of it in the rings and among the oldest goes when it comes up.
        let head = lane.window.head().filter(|_| !lane.waits());
        let wakes = head.map(|head| head.due).filter(|due| *due > self.now);
        if lane.wakes != wakes {
            if let Some(earlier) = lane.wakes {
                self.timers.remove(&(earlier, number));
            }
            if let Some(due) = wakes {
                self.timers.insert((due, number));
            }
            lane.wakes = wakes;
        }
        let due = head.filter(|_| wakes.is_none());
        if let Some(head) = due {
            if lane.flow != Flow::SHARED && !lane.in_ring {
                lane.in_ring = true;
                group.line_up(number);
            }
            if lane.aged_key.is_none_or(|key| head < key) {
                lane.aged_key = Some(head);
                rank.oldest.push(Reverse((head, number)));
            }
        }
        if !group.in_ring && (due.is_some() || group.has_flow_in_turn()) {
            group.in_ring = true;
            rank.ring.push_back(lane.group);
        }
        if !lane.wanted && !lane.waits() && lane.window.wants_page(low) {
            lane.wanted = true;
            rank.wanted.push_back(number);
        }
        if rank.oldest.len() > 64 + 2 * self.lanes.len() {
            self.forget_stale_keys(rank_number);
        }
    }

    pub(super) fn general_lane(&mut self) -> Option<LaneNumber> {
        let aged = if self.general_takes + 1 == AGED_EVERY { self.aged_lane() } else { None };
        let lane = aged.or_else(|| (0..PRIORITIES).find_map(|rank| self.next_in_ring(rank, Slot::General)))?;
        self.general_takes = (self.general_takes + 1) % AGED_EVERY;
        Some(lane)
    }

    /// The lane whose turn it is at this rank. Its group leaves the ring; what follows puts it back at the end. A group
    /// whose channel holds its share of the slots loses its turn and stays.
    pub(super) fn next_in_ring(&mut self, rank: usize, slot: Slot) -> Option<LaneNumber> {
        for _ in 0..self.ranks[rank].ring.len() {
            let group = self.ranks[rank].ring.pop_front()?;
            self.groups[group as usize].in_ring = false;
            let Some(lane) = self.lane_in_turn(group) else { continue };
            if self.shares.may_take(slot, channel_of_group(group)) {
                return Some(lane);
            }
            self.keep_turn(group, lane);
            self.groups[group as usize].in_ring = true;
            self.ranks[rank].ring.push_back(group);
        }
        None
    }
}
