use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::clock::Entropy;

fn seat(number: u32) -> Seat {
    let worker = WorkerNumber(number);
    Seat { worker, in_flight: 0, has_room: true, latency: Duration::ZERO, throughput: None }
}

fn seats(count: u32) -> Vec<Seat> {
    (1..=count).map(seat).collect()
}

const fn key<'a>(channel: &'a str, kind: &'a str) -> Key<'a> {
    Key { channel, kind }
}

const ANY: Key<'static> = key("ops", "info");

/// Which workers are chosen, where each delivery stays for good.
fn chosen(strategy: Balance, seats: &mut [Seat], count: usize) -> Vec<u32> {
    let entropy = Entropy::fixed(1);
    let mut balancer = Balancer::new(strategy);
    let choice = (0..count).map(|_| {
        let place = balancer.choose(seats, ANY, || u64::from_le_bytes(entropy.bytes())).expect("somebody has room");
        seats[place].in_flight += 1;
        seats[place].worker.0
    });
    choice.collect()
}

fn counts(chosen: &[u32]) -> BTreeMap<u32, usize> {
    let mut counts = BTreeMap::new();
    chosen.iter().for_each(|worker| *counts.entry(*worker).or_default() += 1);
    counts
}

#[test]
fn round_robin_goes_round_and_passes_over_whoever_is_full_or_gone() {
    let mut four = seats(4);
    assert_eq!(chosen(Balance::RoundRobin, &mut four, 6), [1, 2, 3, 4, 1, 2]);
    four[2].has_room = false;
    assert_eq!(chosen(Balance::RoundRobin, &mut four, 5), [1, 2, 4, 1, 2]);
    let mut balancer = Balancer::new(Balance::RoundRobin);
    let mut next = |seats: &[Seat]| balancer.choose(seats, ANY, || 0).map(|place| seats[place].worker.0);
    assert_eq!((next(&seats(3)), next(&seats(3))), (Some(1), Some(2)));
    assert_eq!(next(&[seat(1), seat(3), seat(4)]), Some(3), "the second one has gone");
    assert_eq!(next(&[]), None);
}

#[test]
fn least_connections_fills_the_emptiest_and_prefers_the_faster_of_two() {
    let mut three = seats(3);
    three[0].in_flight = 2;
    three[1].latency = Duration::from_millis(9);
    assert_eq!(chosen(Balance::LeastConnections, &mut three, 6), [3, 2, 3, 2, 1, 3]);
}

/// Far more than are looked at one by one: two choices keep everybody close to the average, where one would not.
#[test]
fn two_choices_of_a_hundred_workers_keep_all_of_them_even() {
    let mut hundred = seats(100);
    let counts = counts(&chosen(Balance::LeastConnections, &mut hundred, 10_000));
    assert_eq!(counts.len(), 100);
    assert!(counts.values().all(|count| (95..=105).contains(count)), "{counts:?}");
}

#[test]
fn weights_of_five_one_and_one_make_the_order_of_nginx() {
    let mut three = seats(3);
    for (seat, throughput) in three.iter_mut().zip([500.0, 100.0, 100.0]) {
        seat.throughput = Some(throughput);
    }
    assert_eq!(chosen(Balance::WeightedRoundRobin, &mut three, 7), [1, 1, 2, 1, 3, 1, 1]);
    let counts = counts(&chosen(Balance::WeightedRoundRobin, &mut three, 700));
    assert_eq!(counts, BTreeMap::from([(1, 500), (2, 100), (3, 100)]));
}

#[test]
fn whoever_has_not_been_measured_weighs_as_much_as_the_fastest_and_whoever_is_full_is_left_out() {
    let mut three = seats(3);
    three[0].throughput = Some(300.0);
    three[1].throughput = Some(100.0);
    assert_eq!(
        counts(&chosen(Balance::WeightedRoundRobin, &mut three, 466)),
        BTreeMap::from([(1, 200), (2, 66), (3, 200)])
    );
    three[2].has_room = false;
    assert!(!chosen(Balance::WeightedRoundRobin, &mut three, 50).contains(&3));
}

/// Each of a thousand keys, and who has it while nobody has anything.
fn homes(seats: &[Seat]) -> BTreeMap<String, u32> {
    let home = |n: u32| {
        let kind = format!("kind-{n}");
        let place = by_affinity(seats, key("ops", &kind)).expect("somebody has room");
        (kind, seats[place].worker.0)
    };
    (0..1_000).map(home).collect()
}

#[test]
fn keys_are_spread_over_all_and_stay_where_they_are_when_another_worker_goes() {
    let all = seats(10);
    let before = homes(&all);
    let shares = counts(&before.values().copied().collect::<Vec<_>>());
    assert!(shares.len() == 10 && shares.values().all(|share| (60..=140).contains(share)), "{shares:?}");
    let without: Vec<Seat> = all.iter().copied().filter(|seat| seat.worker.0 != 4).collect();
    let moved = homes(&without).into_iter().filter(|(key, home)| before[key] != *home);
    assert_eq!(moved.count(), shares[&4], "only what the fourth had");
    assert_ne!(score(WorkerNumber(1), key("ops", "x")), score(WorkerNumber(1), key("op", "sx")));
}

#[test]
fn a_key_that_is_all_there_is_goes_on_to_the_next_once_its_worker_has_too_many() {
    let mut four = seats(4);
    let counts = counts(&chosen(Balance::Affinity, &mut four, 400));
    assert_eq!(counts.len(), 4);
    assert!(counts.values().all(|count| *count <= 126), "1.25 times the average: {counts:?}");
}

proptest! {
    /// Whatever the strategy: who is chosen has room, and where somebody has room, somebody is chosen.
    #[test]
    fn the_chosen_one_has_room(
        strategy in 0_usize..5,
        workers in proptest::collection::vec((0_usize..50, any::<bool>(), proptest::option::of(0.0..1e6_f64)), 0..20),
        rolls in proptest::collection::vec(any::<u64>(), 40),
    ) {
        let mut seats = seats(workers.len() as u32);
        for (seat, (in_flight, has_room, throughput)) in seats.iter_mut().zip(workers) {
            (seat.in_flight, seat.has_room, seat.throughput) = (in_flight, has_room, throughput);
        }
        let mut rolls = rolls.into_iter().cycle();
        let mut balancer = Balancer::new(Balance::ALL[strategy]);
        for _ in 0..20 {
            let place = balancer.choose(&seats, ANY, || rolls.next().unwrap_or(0));
            prop_assert_eq!(place.is_some(), seats.iter().any(|seat| seat.has_room));
            prop_assert!(place.is_none_or(|place| seats[place].has_room));
        }
    }
}
