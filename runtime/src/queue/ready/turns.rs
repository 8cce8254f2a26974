//! Whose turn it is: between priorities, and between the channels of one.

use std::cmp::Reverse;

use super::aged::AGED_EVERY;
use super::gated::Turn;
use super::{LaneNumber, LaneState, PRIORITIES, ReadyQueue};
use crate::queue::Slot;

impl ReadyQueue {
    /// Puts a lane where its head belongs: in turn, or among the timers.
    pub(super) fn place(&mut self, number: LaneNumber) {
        let low = self.lane_limit() / 2;
        let lane = &mut self.lanes[number as usize];
        let rank = &mut self.ranks[usize::from(lane.rank)];
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
        if let (Some(head), None) = (head, wakes)
            && lane.aged_key.is_none_or(|key| head < key)
        {
            lane.aged_key = Some(head);
            rank.oldest.push(Reverse((head, number)));
        }
        if !lane.wanted && !lane.waits() && lane.window.wants_page(low) {
            lane.wanted = true;
            rank.wanted.push_back(number);
        }
        if rank.oldest.len() > 64 + 2 * self.lanes.len() {
            self.forget_stale_keys(self.rank_of_lane(number));
        }
        self.line_up(number, head.is_some() && wakes.is_none());
    }

    /// Puts a lane that has something due where it waits for its turn, and the shared one with it.
    pub(super) fn line_up(&mut self, number: LaneNumber, is_due: bool) {
        let LaneState { shared, rank, in_ring, .. } = self.lanes[number as usize];
        let mut is_due = is_due;
        if number != shared && is_due && !in_ring {
            self.lanes[number as usize].in_ring = true;
            if let Some(crowds) = &mut self.lanes[shared as usize].crowds {
                crowds.line_up(number);
            }
        }
        // Where the turn of a crowd is over, the shared lane may still have something.
        is_due |= number != shared && self.is_due(shared);
        let lane = &mut self.lanes[shared as usize];
        is_due |= lane.crowds.as_ref().is_some_and(|crowds| crowds.are_in_turn());
        if is_due && !lane.in_ring && !lane.parked {
            lane.in_ring = true;
            self.ranks[usize::from(rank)].ring.push_back(shared);
        }
    }

    pub(super) fn general_lane(&mut self) -> Option<LaneNumber> {
        let aged = if self.general_takes + 1 == AGED_EVERY { self.aged_lane() } else { None };
        let lane = aged.or_else(|| (0..PRIORITIES).find_map(|rank| self.next_in_ring(rank, Slot::General)))?;
        self.general_takes = (self.general_takes + 1) % AGED_EVERY;
        Some(lane)
    }

    /// The lane whose turn it is at this rank. Its channel leaves the ring; what follows puts it back at the end. A channel
    /// that holds its share of the slots loses its turn and stays; one whose gate is closed leaves it until that is asked again.
    pub(super) fn next_in_ring(&mut self, rank: usize, slot: Slot) -> Option<LaneNumber> {
        for _ in 0..self.ranks[rank].ring.len() {
            let shared = self.ranks[rank].ring.pop_front()?;
            self.lanes[shared as usize].in_ring = false;
            let Some(lane) = self.lane_in_turn(shared) else { continue };
            match self.turn_of(self.channel_of(shared), slot) {
                Turn::Taken => return Some(lane),
                Turn::Later => {
                    self.lanes[shared as usize].in_ring = true;
                    self.ranks[rank].ring.push_back(shared);
                }
                Turn::Parked => self.lanes[shared as usize].parked = true,
            }
            self.keep_turn(shared, lane);
        }
        None
    }
}
