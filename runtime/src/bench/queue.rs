//! How fast the ready queue is, and how much memory a waiting delivery takes.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::domain::{ChannelName, Lane, NotificationId, Position, Priority, Queued, Timestamp};
use crate::queue::{ReadyQueue, Slot, WindowLimits};

/// What is measured.
#[derive(Clone, Debug)]
pub struct QueueParams {
    /// Deliveries that wait when the queue is fullest; each is a row. Default: 1, 1,000 and 1,000,000.
    pub waiting: Vec<usize>,
    /// Channels, each with four priorities. Default: 1,000.
    pub channels: usize,
    /// How long each row is measured. Default: 2 s.
    pub time_per_row: Duration,
}

impl Default for QueueParams {
    fn default() -> Self {
        Self { waiting: vec![1, 1_000, 1_000_000], channels: 1_000, time_per_row: Duration::from_secs(2) }
    }
}

/// The answer of `campanile bench queue`.
#[derive(Clone, Debug, Serialize)]
pub struct QueueBench {
    /// Time ÷ (pushes + pops), in nanoseconds, by how many wait.
    pub ns_per_op: BTreeMap<String, f64>,
    /// Memory of the fullest queue ÷ deliveries in it, in bytes.
    pub bytes_per_waiting: f64,
}

/// Measures every row.
#[must_use]
pub fn run(params: &QueueParams) -> QueueBench {
    let mut ns_per_op = BTreeMap::new();
    let mut fullest = (0, 0.0);
    for &waiting in &params.waiting {
        let mut load = Load::new(params.channels, waiting);
        // The first turn brings memory in.
        load.turn();
        let bytes = load.bytes_per_waiting;
        if waiting > fullest.0 {
            fullest = (waiting, bytes);
        }
        let started = Instant::now();
        let mut turns = 0_u64;
        while started.elapsed() < params.time_per_row {
            load.turn();
            turns += 1;
        }
        let operations = turns as f64 * load.operations() as f64;
        ns_per_op.insert(waiting.to_string(), tenths(started.elapsed().as_nanos() as f64 / operations));
    }
    QueueBench { ns_per_op, bytes_per_waiting: tenths(fullest.1) }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

/// A queue that is filled and emptied, over and over.
#[derive(Debug)]
pub struct Load {
    queue: ReadyQueue,
    /// One for each lane, its position changed for each push.
    offers: Vec<Queued>,
    waiting: usize,
    fills: usize,
    next_id: u128,
    next_lane: usize,
    bytes_per_waiting: f64,
}

/// Everything is due.
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// Pushes in one turn at least, so that looking at the clock is not what is measured.
const TURN_LEAST: usize = 1_000;

impl Load {
    /// A queue for `waiting` deliveries over four priorities of `channels` channels.
    #[must_use]
    pub fn new(channels: usize, waiting: usize) -> Self {
        let offers = (0..channels.max(1))
            .flat_map(|channel| {
                let channel = ChannelName::new(&format!("channel-{channel}")).expect("a word and a number are a name");
                Priority::DESCENDING.map(|priority| Queued {
                    lane: Lane::shared(priority, channel.clone()),
                    position: Position { due: NOW, delivery: NotificationId::from_bytes([0; 16]).delivery(0) },
                })
            })
            .collect();
        let waiting = waiting.max(1);
        Self {
            queue: ReadyQueue::new(WindowLimits { lane: waiting, total: waiting }),
            offers,
            waiting,
            fills: TURN_LEAST.div_ceil(waiting),
            next_id: 0,
            next_lane: 0,
            bytes_per_waiting: 0.0,
        }
    }

    /// Pushes and pops in one [`turn`](Self::turn).
    #[must_use]
    pub const fn operations(&self) -> usize {
        2 * self.fills * self.waiting
    }

    /// Fills the queue and empties it, as often as a turn takes.
    pub fn turn(&mut self) {
        for _ in 0..self.fills {
            for _ in 0..self.waiting {
                self.push();
            }
            if self.bytes_per_waiting == 0.0 {
                self.bytes_per_waiting = self.queue.allocated_bytes() as f64 / self.waiting as f64;
            }
            for _ in 0..self.waiting {
                black_box(self.queue.take(Slot::General, NOW));
            }
        }
    }

    fn push(&mut self) {
        // Any odd step that is no divisor visits every lane, and no lane's neighbour next.
        self.next_lane = (self.next_lane + 1_663) % self.offers.len();
        self.next_id += 1;
        let offer = &mut self.offers[self.next_lane];
        offer.position.delivery = NotificationId::from_bytes(self.next_id.to_be_bytes()).delivery(0);
        self.queue.offer(offer, NOW);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_size_has_a_figure_under_its_published_key() {
        let params = QueueParams { waiting: vec![1, 1_000], channels: 10, time_per_row: Duration::from_millis(1) };
        let json = serde_json::to_value(run(&params)).unwrap();
        assert!(json["ns_per_op"]["1"].as_f64().unwrap() > 0.0);
        assert!(json["ns_per_op"]["1000"].as_f64().unwrap() > 0.0);
        assert!(json["bytes_per_waiting"].as_f64().unwrap() >= 32.0);
    }

    /// The written limit: 96 bytes for each delivery that waits in memory.
    #[test]
    fn a_waiting_delivery_takes_at_most_96_bytes() {
        let mut load = Load::new(1_000, 100_000);
        load.turn();
        assert!(load.bytes_per_waiting <= 96.0, "{} bytes", load.bytes_per_waiting);
    }
}
