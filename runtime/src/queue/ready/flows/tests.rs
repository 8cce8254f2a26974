//! Turns between flows, and who is one.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use super::*;
use crate::domain::{DeliveryId, NotificationId};

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn delivery(number: u64) -> DeliveryId {
    NotificationId::from_bytes(u128::from(number).to_be_bytes()).delivery(0)
}

fn mail() -> ChannelName {
    ChannelName::new("mail").expect("a name")
}

fn flow(number: u16) -> Flow {
    Flow::numbered(number).expect("there are 1,024")
}

fn lane(flow: Flow) -> Lane {
    Lane { priority: Priority::Normal, channel: mail(), flow }
}

fn queued(lane: Lane, number: u64) -> Queued {
    Queued { lane, position: Position { due: START, delivery: delivery(number) } }
}

fn queue() -> ReadyQueue {
    ReadyQueue::new(WindowLimits { lane: 8, total: 1 << 20 })
}

/// The flows of the next takes.
fn next(queue: &mut ReadyQueue, most: usize) -> Vec<u16> {
    let takes = std::iter::from_fn(|| queue.take(Slot::General, START)).take(most).collect::<Vec<_>>();
    takes.iter().map(|taken| queue.lane(taken.lane).flow.number()).collect()
}

#[test]
fn of_two_takes_one_goes_to_those_who_get_little_and_one_to_a_crowd_in_turn() {
    let mut queue = queue();
    for number in 0..60 {
        queue.offer(&queued(lane(flow(1 + (number % 3) as u16)), number), START);
    }
    assert_eq!(next(&mut queue, 4), [1, 2, 3, 1], "crowds by themselves take turns");
    for number in 100..104 {
        queue.offer(&queued(lane(Flow::SHARED), number), START);
    }
    assert_eq!(next(&mut queue, 10), [0, 2, 0, 3, 0, 1, 0, 2, 3, 1]);
}

#[test]
fn a_crowd_that_memory_does_not_hold_leaves_a_newcomer_its_turn() {
    let mut queue = queue();
    for number in 0..100_000 {
        queue.offer(&queued(lane(flow(7)), number), START);
    }
    assert!(queue.len() <= 16);
    queue.offer(&queued(lane(flow(8)), 100_000), START);
    queue.offer(&queued(lane(Flow::SHARED), 100_001), START);
    let mut soon = next(&mut queue, 3);
    soon.sort_unstable();
    assert_eq!(soon, [0, 7, 8]);
}

#[test]
fn another_channel_gets_every_second_take_however_many_flows_the_first_has() {
    let mut queue = queue();
    for number in 0..600 {
        queue.offer(&queued(lane(flow(1 + (number % 100) as u16)), number), START);
    }
    let other = Lane::shared(Priority::Normal, ChannelName::new("pager").expect("a name"));
    for number in 1_000..1_010 {
        queue.offer(&queued(other.clone(), number), START);
    }
    let takes: Vec<_> = std::iter::from_fn(|| queue.take(Slot::General, START)).take(20).collect();
    let others = takes.iter().filter(|taken| taken.position.delivery >= delivery(1_000)).count();
    assert_eq!(others, 10);
}

#[test]
fn a_turn_that_a_full_channel_cannot_use_is_not_lost() {
    let mut queue = queue();
    queue.set_slots(SlotCounts { general: 1, reserved: 1 });
    for (number, flow_number) in [(1, 1), (2, 2), (3, 1), (4, 2)] {
        queue.offer(&queued(lane(flow(flow_number)), number), START);
    }
    let first = queue.take(Slot::General, START).expect("a slot is free");
    for _ in 0..3 {
        assert_eq!(queue.take(Slot::General, START), None, "its only slot is held");
    }
    queue.release(first.hold, &Ended::WITHOUT_CALL, START);
    assert_eq!(next(&mut queue, 1), [2]);
}

#[test]
fn an_address_is_a_flow_once_it_gets_many_and_until_nothing_of_it_waits() {
    let mut queue = queue();
    let crowd = Flow::of_address("crowd");
    let of = |queue: &mut ReadyQueue, address: &str| queue.flow_of(Priority::Normal, &mail(), address);
    let flows: Vec<_> = (0..200).map(|_| of(&mut queue, "crowd")).collect();
    assert!(flows[..100].iter().all(|flow| *flow == Flow::SHARED));
    assert!(flows[100..].iter().all(|flow| *flow == crowd));
    assert_eq!(of(&mut queue, "somebody"), Flow::SHARED);
    assert_eq!(queue.flow_of(Priority::High, &mail(), "crowd"), Flow::SHARED, "priorities do not wait for one another");
    assert_eq!(of(&mut queue, ""), Flow::SHARED, "nobody's");

    // It gets little from here on, but something of it still waits.
    queue.offer(&queued(lane(crowd), 1), START);
    let others = |queue: &mut ReadyQueue| {
        for number in 0..40_000 {
            queue.flow_of(Priority::Normal, &mail(), &format!("recipient {number}"));
        }
    };
    others(&mut queue);
    assert_eq!(of(&mut queue, "crowd"), crowd);
    assert_eq!(next(&mut queue, 2), [crowd.number()]);
    others(&mut queue);
    assert_eq!(of(&mut queue, "crowd"), Flow::SHARED);
}

#[test]
fn what_waited_in_a_flow_before_a_restart_is_not_overtaken() {
    let mut queue = queue();
    let crowd = Flow::of_address("crowd");
    queue.restore(&lane(crowd), 5_000);
    assert_eq!(queue.flow_of(Priority::Normal, &mail(), "crowd"), crowd);
}

#[test]
fn many_who_get_little_never_become_flows() {
    let mut queue = queue();
    for number in 0..200_000 {
        assert_eq!(queue.flow_of(Priority::Normal, &mail(), &format!("recipient {number}")), Flow::SHARED);
    }
}

proptest! {
    /// Whatever comes and goes: while a flow has something due, it is taken within two rounds of all crowds, and what
    /// shares a flow within two takes.
    #[test]
    fn each_flow_has_its_turn_within_two_rounds(
        steps in proptest::collection::vec((0_u16..9, 0_usize..3), 50..800)
    ) {
        let mut queue = ReadyQueue::new(WindowLimits::default());
        let mut waiting: BTreeMap<u16, u64> = BTreeMap::new();
        let mut passed_over: BTreeMap<u16, usize> = BTreeMap::new();
        for (number, (flow_number, takes)) in (0..).zip(steps) {
            if flow_number < 8 {
                let lane = lane(Flow::numbered(flow_number).expect("below 1,024"));
                queue.offer(&queued(lane, number), START.after(Duration::from_millis(number)));
                *waiting.entry(flow_number).or_default() += 1;
            }
            for _ in 0..takes {
                let Some(taken) = queue.take(Slot::General, START) else { break };
                let taken = queue.lane(taken.lane).flow.number();
                for (flow, count) in &waiting {
                    let passed = passed_over.entry(*flow).or_default();
                    *passed = if *flow == taken || *count == 0 { 0 } else { *passed + 1 };
                    let limit = if *flow == 0 { 1 } else { 2 * 8 };
                    prop_assert!(*passed <= limit, "flow {} was passed over {} times", flow, passed);
                }
                *waiting.entry(taken).or_default() -= 1;
                passed_over.insert(taken, 0);
            }
        }
    }
}
