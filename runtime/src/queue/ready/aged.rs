//! What has waited too long: the oldest of each priority, so that none starves.

use std::cmp::Reverse;
use std::time::Duration;

use super::gated::Turn;
use super::{LaneNumber, PRIORITIES, ReadyQueue};
use crate::domain::{Position, Timestamp};
use crate::queue::Slot;

/// One general take in this many may go to a priority that would otherwise starve.
pub(super) const AGED_EVERY: u32 = 32;

/// After this long a priority's oldest delivery may go before others.
pub(super) const AGED_AFTER: Duration = Duration::from_secs(30);

impl ReadyQueue {
    /// The lane with the oldest delivery of the first rank in rotation that has waited too long. Critical never has:
    /// it goes first anyway.
    pub(super) fn aged_lane(&mut self) -> Option<LaneNumber> {
        for step in 0..PRIORITIES - 1 {
            let rank = 1 + (self.aged_turn - 1 + step) % (PRIORITIES - 1);
            // Keys are lower bounds: where even the lowest is young, nothing has to be corrected.
            let may_have_aged =
                |Reverse((key, _)): &Reverse<(Position, LaneNumber)>| self.now.since(key.due) > AGED_AFTER;
            if !self.ranks[rank].oldest.peek().is_some_and(may_have_aged) {
                continue;
            }
            let Some((due, oldest)) = self.oldest_in(rank) else { continue };
            if self.now.since(due) <= AGED_AFTER {
                continue;
            }
            // Where its channel holds its share, or its gate is closed, another of this rank goes: they would wait
            // behind it for ever.
            let lane = match self.turn_of(self.channel_of(oldest), Slot::General) {
                Turn::Taken => Some(oldest),
                Turn::Later | Turn::Parked => self.next_in_ring(rank, Slot::General),
            };
            if lane.is_some() {
                self.aged_turn = 1 + rank % (PRIORITIES - 1);
                return lane;
            }
        }
        None
    }

    /// The lane of this rank whose head is due and the oldest.
    pub(super) fn oldest_in(&mut self, rank: usize) -> Option<(Timestamp, LaneNumber)> {
        let oldest = &mut self.ranks[rank].oldest;
        while let Some(&Reverse((key, number))) = oldest.peek() {
            let lane = &mut self.lanes[number as usize];
            if lane.aged_key != Some(key) {
                oldest.pop();
                continue;
            }
            match lane.window.head().filter(|_| !lane.waits()) {
                Some(head) if head == key => return Some((key.due, number)),
                Some(head) if head.due <= self.now => {
                    oldest.pop();
                    lane.aged_key = Some(head);
                    oldest.push(Reverse((head, number)));
                }
                Some(_) | None => {
                    oldest.pop();
                    lane.aged_key = None;
                }
            }
        }
        None
    }

    /// Keys that were lowered leave their old ones behind; this bounds how many.
    pub(super) fn forget_stale_keys(&mut self, rank: usize) {
        let mut kept = vec![false; self.lanes.len()];
        self.ranks[rank].oldest.retain(|Reverse((key, number))| {
            let lane = *number as usize;
            let keep = self.lanes[lane].aged_key == Some(*key) && !kept[lane];
            kept[lane] |= keep;
            keep
        });
    }
}
