//! Which worker has a delivery, where it is not simply the one that asks: pure choices among those with a free slot.
//!
//! *Not here:* who takes from the queue, what a slot is.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::config::Balance;
use crate::domain::WorkerNumber;

/// Up to so many workers are all looked at; of more, two that chance names. The better of two is nearly the best, and
/// many who choose at once do not all run to the same one.
const FULL_SCAN_MAX: usize = 8;

/// A worker has at most this many times the average in flight before its keys go on to the next one.
const BOUNDED_LOAD: f64 = 1.25;

/// What the fastest worker weighs.
const WEIGHT_MAX: f64 = 100.0;

/// A worker as a choice sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seat {
    pub(super) worker: WorkerNumber,
    /// Deliveries that it has.
    pub(super) in_flight: usize,
    /// Whether it has a slot for the one to be given away.
    pub(super) has_room: bool,
    /// How long its calls take, on average; zero where none has ended.
    pub(super) latency: Duration,
    /// What a slot of it gets done, in calls a second; none where none has ended.
    pub(super) throughput: Option<f64>,
}

/// What is to be kept together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key<'a> {
    pub(super) channel: &'a str,
    /// Of the notification.
    pub(super) kind: &'a str,
}

/// Chooses, one after the other.
#[derive(Debug)]
pub(super) struct Balancer {
    strategy: Balance,
    /// Who was the last in turn.
    last: Option<WorkerNumber>,
    /// What each has to its credit, where they are weighted.
    credit: BTreeMap<WorkerNumber, i64>,
}

impl Balancer {
    pub(super) const fn new(strategy: Balance) -> Self {
        Self { strategy, last: None, credit: BTreeMap::new() }
    }

    /// The place among `seats`, which are in the order of their numbers, of the one that gets what has this key. `roll`
    /// is chance. None where nobody has room.
    pub(super) fn choose(&mut self, seats: &[Seat], key: Key<'_>, roll: impl FnMut() -> u64) -> Option<usize> {
        match self.strategy {
            // Whoever asks is chosen; where somebody has to choose all the same, it is the next one.
            Balance::Pull | Balance::RoundRobin => self.next_in_turn(seats),
            Balance::LeastConnections => least_connections(seats, roll),
            Balance::WeightedRoundRobin => self.by_weight(seats),
            Balance::Affinity => by_affinity(seats, key),
        }
    }

    fn next_in_turn(&mut self, seats: &[Seat]) -> Option<usize> {
        let behind = self.last.map_or(0, |last| seats.partition_point(|seat| seat.worker <= last));
        let (before, rest) = seats.split_at(behind);
        let open = |seats: &[Seat]| seats.iter().position(|seat| seat.has_room);
        let place = open(rest).map(|place| place + behind).or_else(|| open(before))?;
        self.last = Some(seats[place].worker);
        Some(place)
    }

    /// Smooth weighted round robin, as nginx has it: each gets its weight as credit, the richest is chosen and pays for
    /// all. The turns of a heavy one do not stand in a row.
    fn by_weight(&mut self, seats: &[Seat]) -> Option<usize> {
        let weights = weights(seats);
        let mut total = 0;
        let mut richest: Option<(usize, i64)> = None;
        self.credit.retain(|worker, _| seats.binary_search_by_key(worker, |seat| seat.worker).is_ok());
        for (place, (seat, weight)) in seats.iter().zip(weights).enumerate() {
            if !seat.has_room {
                continue;
            }
            total += weight;
            let credit = self.credit.entry(seat.worker).or_default();
            *credit += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((place, *credit));
            }
        }
        let (place, _) = richest?;
        self.credit.entry(seats[place].worker).and_modify(|credit| *credit -= total);
        Some(place)
    }
}

/// In relation to the fastest. Whoever has ended no call yet weighs as much, so that it is tried.
fn weights(seats: &[Seat]) -> Vec<i64> {
    let fastest = seats.iter().filter_map(|seat| seat.throughput).fold(0.0, f64::max);
    let weight = |seat: &Seat| match seat.throughput {
        Some(throughput) if fastest > 0.0 => (throughput / fastest * WEIGHT_MAX).round().max(1.0) as i64,
        _ => WEIGHT_MAX as i64,
    };
    seats.iter().map(weight).collect()
}

fn least_connections(seats: &[Seat], mut roll: impl FnMut() -> u64) -> Option<usize> {
    let open: Vec<usize> = (0..seats.len()).filter(|place| seats[*place].has_room).collect();
    let burden = |place: &usize| (seats[*place].in_flight, seats[*place].latency, seats[*place].worker);
    if open.len() <= FULL_SCAN_MAX {
        return open.into_iter().min_by_key(burden);
    }
    let mut any = |among: usize| usize::try_from(roll() % among as u64).unwrap_or(0);
    let first = any(open.len());
    // One of the others.
    let second = (first + 1 + any(open.len() - 1)) % open.len();
    [open[first], open[second]].into_iter().min_by_key(burden)
}

/// Rendezvous hashing: every worker has a score for every key, and the highest one that has not too many gets it. A
/// worker that comes or goes moves only keys of its own.
fn by_affinity(seats: &[Seat], key: Key<'_>) -> Option<usize> {
    let all: usize = seats.iter().map(|seat| seat.in_flight).sum();
    let most = (BOUNDED_LOAD * (all + 1) as f64 / seats.len().max(1) as f64).ceil() as usize;
    let open = || (0..seats.len()).filter(|place| seats[*place].has_room);
    let best = |places: &mut dyn Iterator<Item = usize>| places.max_by_key(|place| score(seats[*place].worker, key));
    best(&mut open().filter(|place| seats[*place].in_flight < most)).or_else(|| best(&mut open()))
}

/// The keys of the hash are fixed, so that a restart changes nothing.
fn score(worker: WorkerNumber, key: Key<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (worker, key).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
