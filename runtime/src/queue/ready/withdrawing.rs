//! What waits no longer because somebody withdrew it.
//!
//! *Not here:* what is [set aside](super::aside): it is found by its engine or its instant, and goes with that.

use std::collections::BTreeSet;

use super::ReadyQueue;
use crate::domain::{Lane, Position, Timestamp};

impl ReadyQueue {
    /// These of a lane wait no longer: they ended without being taken. Costs a look at what memory holds of the lane.
    pub fn withdraw(&mut self, lane: &Lane, gone: &BTreeSet<Position>, now: Timestamp) {
        self.advance(now);
        let lane = self.number_of(lane);
        self.change_window(lane, |window| window.withdraw(gone));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{ChannelName, NotificationId, Priority, Queued};
    use crate::queue::{Slot, WindowLimits};

    const START: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn what_is_withdrawn_is_neither_counted_nor_taken_nor_waited_for() {
        let due = START.after(Duration::from_secs(3_600));
        let lane = Lane::shared(Priority::Normal, ChannelName::new("ops").expect("a name"));
        let queued = |number: u8| {
            let position = Position { due, delivery: NotificationId::from_bytes([number; 16]).delivery(0) };
            Queued { lane: lane.clone(), position }
        };
        // With all of them in memory, with two, and with one, the others in the store behind it.
        for lane_limit in [4_096, 4, 2] {
            let mut queue = ReadyQueue::new(WindowLimits { lane: lane_limit, total: 1 << 20 });
            let all: Vec<_> = (1..=16).map(queued).collect();
            queue.restore(&lane, all.len() as u64);
            let request = queue.next_page().expect("the store is asked");
            queue.loaded(&request, &all[..request.limit.min(all.len())], START);

            let gone = [0, 8, 15].map(|index: usize| all[index].position);
            queue.withdraw(&lane, &gone.into_iter().collect(), START);
            assert_eq!(queue.depths()[2].waiting, 13, "{lane_limit}");
            let rest = all.iter().map(|queued| queued.position).filter(|position| !gone.contains(position)).collect();
            queue.withdraw(&lane, &rest, START);
            assert_eq!((queue.depths()[2].waiting, queue.len()), (0, 0), "{lane_limit}");
            assert_eq!((queue.next_due(), queue.take(Slot::General, due)), (None, None), "{lane_limit}");

            // The lane goes on as before.
            let next = queued(17);
            queue.offer(&next, due);
            while let Some(request) = queue.next_page() {
                let page = if queue.is_empty() { std::slice::from_ref(&next) } else { &[] };
                queue.loaded(&request, page, due);
            }
            assert_eq!(queue.take(Slot::General, due).map(|taken| taken.position), Some(next.position));
        }
    }

    #[test]
    fn what_comes_while_a_page_is_read_can_be_withdrawn_before_it_is_there() {
        let lane = Lane::shared(Priority::Normal, ChannelName::new("ops").expect("a name"));
        let queued = |number: u8| {
            let position = Position { due: START, delivery: NotificationId::from_bytes([number; 16]).delivery(0) };
            Queued { lane: lane.clone(), position }
        };
        let mut queue = ReadyQueue::new(WindowLimits::default());
        queue.restore(&lane, 1);
        let request = queue.next_page().expect("the store is asked");
        queue.offer(&queued(2), START);
        assert_eq!(queue.depths()[2].waiting, 2);
        queue.withdraw(&lane, &[queued(2).position].into(), START);
        assert_eq!(queue.depths()[2].waiting, 1, "the other one is in the store");
        queue.loaded(&request, &[queued(1)], START);
        assert_eq!(queue.depths()[2].waiting, 1);
    }
}
