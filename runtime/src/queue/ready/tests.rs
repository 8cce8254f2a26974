use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::aged::AGED_AFTER;
use super::*;
use crate::domain::{DeliveryId, NotificationId};

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn delivery(number: u64) -> DeliveryId {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    NotificationId::from_bytes(bytes).delivery(0)
}

fn lane(priority: Priority, channel: u8) -> Lane {
    let channel = ChannelName::new(&format!("channel-{channel}")).expect("a valid name");
    Lane::shared(priority, channel)
}

fn queued(lane: &Lane, due: Timestamp, number: u64) -> Queued {
    Queued { lane: lane.clone(), position: Position { due, delivery: delivery(number) } }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn queue() -> ReadyQueue {
    ReadyQueue::new(WindowLimits::default())
}

#[test]
fn the_highest_priority_goes_first_and_a_reserved_slot_takes_only_the_upper_two() {
    let mut queue = queue();
    for (number, priority) in (1..).zip(Priority::DESCENDING.into_iter().rev()) {
        queue.offer(&queued(&lane(priority, 1), START, number), START);
    }
    let mut reserved = std::iter::from_fn(|| queue.take(Slot::Reserved, START)).map(|taken| taken.priority);
    assert_eq!(reserved.next(), Some(Priority::Critical));
    assert_eq!(reserved.next(), Some(Priority::High));
    assert_eq!(reserved.next(), None);
    let general: Vec<_> = std::iter::from_fn(|| queue.take(Slot::General, START)).map(|taken| taken.priority).collect();
    assert_eq!(general, [Priority::Normal, Priority::Low]);
}

#[test]
fn what_was_offered_before_the_store_was_asked_is_read_with_the_rest_and_taken() {
    let mut queue = ReadyQueue::new(WindowLimits { lane: 4, total: 1 << 20 });
    let (ours, tomorrow) = (lane(Priority::Normal, 1), START.after(seconds(86_400)));
    let backlog: Vec<_> = (10..30).map(|number| queued(&ours, tomorrow, number)).collect();
    for queued in &backlog {
        queue.offer(queued, START);
    }
    queue.restore(&ours, backlog.len() as u64);
    let request = queue.next_page().expect("the store is asked");
    assert_eq!(request.after, None);
    queue.loaded(&request, &backlog[..request.limit.min(backlog.len())], START);
    queue.offer(&queued(&ours, START, 1), START);
    assert_eq!(queue.take(Slot::General, START).map(|taken| taken.position.delivery), Some(delivery(1)));
    assert_eq!(queue.take(Slot::General, START), None, "the rest is for tomorrow");
    assert_eq!(queue.depths().iter().map(|depth| depth.waiting).sum::<u64>(), backlog.len() as u64);
}

#[test]
fn channels_of_one_priority_take_turns_however_long_their_lanes() {
    let mut queue = queue();
    let (long, short) = (lane(Priority::Normal, 1), lane(Priority::Normal, 2));
    for number in 0..100 {
        queue.offer(&queued(&long, START, number), START);
    }
    for number in 100..103 {
        queue.offer(&queued(&short, START, number), START);
    }
    let first_six: Vec<bool> =
        (0..6).filter_map(|_| queue.take(Slot::General, START)).map(|t| t.position.delivery >= delivery(100)).collect();
    assert_eq!(first_six, [false, true, false, true, false, true]);
}

#[test]
fn nothing_is_taken_before_it_is_due() {
    let mut queue = queue();
    let due = START.after(seconds(5));
    queue.offer(&queued(&lane(Priority::Normal, 1), due, 1), START);
    assert_eq!(queue.next_due(), Some(due));
    assert_eq!(queue.take(Slot::General, Timestamp::from_millis(due.as_millis() - 1)), None);
    assert!(queue.take(Slot::General, due).is_some());
    assert_eq!(queue.next_due(), None);
}

#[test]
fn what_is_given_back_is_next_again() {
    let mut queue = queue();
    for number in 0..3 {
        queue.offer(&queued(&lane(Priority::Normal, 1), START, number), START);
    }
    let taken = queue.take(Slot::General, START).expect("three wait");
    queue.give_back(&taken, START);
    assert_eq!(queue.take(Slot::General, START), Some(taken));
}

#[test]
fn a_held_channel_waits_and_the_others_do_not() {
    let mut queue = ReadyQueue::new(WindowLimits { lane: 8, total: 64 });
    let (held, other) = (lane(Priority::Critical, 1), lane(Priority::Low, 2));
    let only = BTreeSet::from([held.channel.clone()]);
    queue.offer(&queued(&held, START, 1), START);
    assert!(!queue.hold_only(&only, START));
    for number in 2..1_000 {
        queue.offer(&queued(&held, START, number), START);
    }
    queue.offer(&queued(&held, START.after(seconds(1)), 1_000), START);
    queue.offer(&queued(&other, START, 1_001), START);
    assert_eq!(queue.take(Slot::General, START).map(|taken| taken.position.delivery), Some(delivery(1_001)));
    let later = START.after(seconds(60));
    assert_eq!((queue.take(Slot::General, later), queue.take(Slot::Reserved, later)), (None, None));
    assert_eq!((queue.next_due(), queue.wants_page()), (None, false), "nothing is timed or read for it");
    assert_eq!(queue.depths()[0], PriorityDepth { waiting: 1_000, oldest: Duration::ZERO });

    assert!(queue.hold_only(&BTreeSet::new(), later));
    assert_eq!(queue.take(Slot::General, later).map(|taken| taken.position.delivery), Some(delivery(1)));
}

#[test]
fn a_clock_that_is_set_back_takes_nothing_out_of_turn() {
    let mut queue = queue();
    queue.offer(&queued(&lane(Priority::Normal, 1), START, 1), START);
    let taken = queue.take(Slot::General, Timestamp::from_millis(1)).expect("it was due");
    assert!(taken.position.due <= queue.now());
}

#[test]
fn work_of_another_lane_enters_at_once_beside_a_lane_that_overflows() {
    let mut queue = ReadyQueue::new(WindowLimits { lane: 8, total: 64 });
    let crowded = lane(Priority::Normal, 1);
    for number in 0..100_000 {
        queue.offer(&queued(&crowded, START, number), START);
    }
    assert!(queue.len() <= 16);
    queue.offer(&queued(&lane(Priority::Normal, 2), START, 100_000), START);
    let served: Vec<_> = (0..2).filter_map(|_| queue.take(Slot::General, START)).collect();
    assert!(served.iter().any(|taken| taken.position.delivery == delivery(100_000)));
    assert_eq!(queue.depths()[2].waiting, 99_999);
}

#[test]
fn an_immediate_delivery_enters_a_lane_that_is_full_of_schedules() {
    let mut queue = ReadyQueue::new(WindowLimits { lane: 8, total: 64 });
    let lane = lane(Priority::Normal, 1);
    for number in 0..10_000 {
        queue.offer(&queued(&lane, START.after(seconds(3_600)), number), START);
    }
    queue.offer(&queued(&lane, START, 10_000), START);
    let taken = queue.take(Slot::General, START).expect("it is due");
    assert_eq!(taken.position.delivery, delivery(10_000));
}

#[test]
fn memory_stays_within_twice_the_total_over_many_lanes() {
    let limits = WindowLimits { lane: 1_000, total: 10_000 };
    let mut queue = ReadyQueue::new(limits);
    let lanes: Vec<Lane> = (0..100).map(|channel| lane(Priority::Low, channel)).collect();
    for number in 0..200_000_u64 {
        queue.offer(&queued(&lanes[number as usize % lanes.len()], START, number), START);
        assert!(queue.len() <= 2 * limits.total);
    }
}

#[test]
fn keys_of_the_oldest_do_not_pile_up_where_dues_only_fall() {
    let mut queue = queue();
    let lane = lane(Priority::Low, 1);
    for number in 0..10_000_u64 {
        queue.offer(&queued(&lane, Timestamp::from_millis(900_000 - number), number), START);
    }
    assert!(queue.ranks[rank_of(Priority::Low)].oldest.len() <= 64 + 2 * queue.lanes.len() + 1);
}

/// A queue in which every priority always has work, taken from by general slots only.
struct Backlog {
    queue: ReadyQueue,
    waiting: BTreeMap<usize, BTreeSet<(Position, u8)>>,
    next: u64,
    now: Timestamp,
}

impl Backlog {
    fn offer(&mut self, rank: usize, channel: u8) {
        let queued = queued(&lane(Priority::DESCENDING[rank], channel), self.now, self.next);
        self.next += 1;
        self.waiting.entry(rank).or_default().insert((queued.position, channel));
        self.queue.offer(&queued, self.now);
    }

    fn take(&mut self, slot: Slot) -> Option<usize> {
        let taken = self.queue.take(slot, self.now)?;
        let rank = rank_of(taken.priority);
        let waiting = self.waiting.get_mut(&rank).expect("it was offered");
        waiting.retain(|(position, _)| *position != taken.position);
        Some(rank)
    }

    fn oldest(&self, rank: usize) -> Option<Position> {
        self.waiting.get(&rank)?.first().map(|(position, _)| *position)
    }
}

proptest! {
    /// However much waits and however long: while critical waits, of two takes in a row one is critical.
    #[test]
    fn critical_waits_behind_at_most_one_other_take(
        steps in proptest::collection::vec((0_usize..4, 0_u8..5, any::<bool>(), 0_u64..40), 1..600)
    ) {
        let mut backlog = Backlog { queue: queue(), waiting: BTreeMap::new(), next: 0, now: START };
        let mut others_in_a_row = 0;
        for (rank, channel, reserved, wait_s) in steps {
            backlog.offer(rank, channel);
            if wait_s == 39 {
                backlog.now = backlog.now.after(seconds(wait_s));
            }
            let critical_waits = backlog.oldest(0).is_some();
            let slot = if reserved { Slot::Reserved } else { Slot::General };
            match backlog.take(slot) {
                Some(rank) if critical_waits && rank != 0 => others_in_a_row += 1,
                Some(_) | None => others_in_a_row = 0,
            }
            prop_assert!(others_in_a_row <= 1);
        }
    }

    /// Under endless work of every priority, the oldest of each is taken within 96 takes after its 30 s.
    #[test]
    fn the_oldest_of_each_priority_is_taken_within_96_takes_after_its_30_s(
        start in proptest::collection::vec((0_usize..4, 0_u8..20), 50..400),
        flood in proptest::collection::vec((0_usize..4, 0_u8..20, 0_u64..2_000), 400..1_500),
    ) {
        let mut backlog = Backlog { queue: queue(), waiting: BTreeMap::new(), next: 0, now: START };
        for (rank, channel) in start {
            backlog.offer(rank, channel);
        }
        let mut since: BTreeMap<usize, (Position, u32)> = BTreeMap::new();
        for (rank, channel, pass_ms) in flood {
            backlog.now = backlog.now.after(Duration::from_millis(pass_ms));
            // Critical never runs dry, so that nothing below it is taken by rank.
            backlog.offer(0, channel);
            backlog.offer(rank, channel);
            for rank in 1..4 {
                match backlog.oldest(rank) {
                    Some(oldest) if backlog.now.since(oldest.due) > AGED_AFTER => {
                        let entry = since.entry(rank).or_insert((oldest, 0));
                        if entry.0 != oldest {
                            *entry = (oldest, 0);
                        }
                        prop_assert!(entry.1 < 96, "rank {} waited for {} takes", rank, entry.1);
                    }
                    Some(_) | None => { since.remove(&rank); }
                }
            }
            prop_assert!(backlog.take(Slot::General).is_some());
            for (_, takes) in since.values_mut() {
                *takes += 1;
            }
        }
    }
}

/// The store, as far as the queue sees it: what waits in each lane.
#[derive(Default)]
struct Waiting {
    lanes: BTreeMap<Lane, BTreeSet<Position>>,
}

impl Waiting {
    fn page(&self, request: &PageRequest) -> Vec<Queued> {
        let Some(lane) = self.lanes.get(&request.lane) else { return Vec::new() };
        lane.iter()
            .filter(|position| request.after.is_none_or(|after| **position > after))
            .take(request.limit)
            .map(|position| Queued { lane: request.lane.clone(), position: *position })
            .collect()
    }

    fn len(&self) -> usize {
        self.lanes.values().map(BTreeSet::len).sum()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Accept into a lane, due after so many milliseconds.
    Accept(u8, u64),
    /// Take, claim, and let it be done.
    Finish,
    /// Take, claim, and let it be retried after so many milliseconds.
    Retry(u64),
    /// Take, claim, and leave in flight.
    Hold,
    /// What is in flight for longest is done.
    FinishHeld,
    /// Take and give back.
    GiveBack,
    /// Begin to read a page.
    BeginPage,
    /// The page that was begun arrives, or fails.
    EndPage(bool),
    /// Time passes, in milliseconds.
    Pass(u64),
    /// Everything in memory is lost and rebuilt.
    Restart,
    /// The channels whose bits are set are held, the others are not.
    HoldChannels(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..5, prop_oneof![Just(0_u64), 0_u64..100]).prop_map(|(lane, after)| Step::Accept(lane, after)),
        4 => Just(Step::Finish),
        2 => (0_u64..100).prop_map(Step::Retry),
        2 => Just(Step::Hold),
        1 => Just(Step::FinishHeld),
        1 => Just(Step::GiveBack),
        2 => Just(Step::BeginPage),
        2 => any::<bool>().prop_map(Step::EndPage),
        2 => (0_u64..50).prop_map(Step::Pass),
        1 => Just(Step::Restart),
        2 => (0_u8..8).prop_map(Step::HoldChannels),
    ]
}

struct Model {
    limits: WindowLimits,
    queue: ReadyQueue,
    store: Waiting,
    begun: Option<(PageRequest, Vec<Queued>)>,
    held: VecDeque<Taken>,
    held_channels: BTreeSet<ChannelName>,
    now: Timestamp,
    next: u64,
}

impl Model {
    fn new(lane: usize) -> Self {
        let limits = WindowLimits { lane, total: 20 };
        let store = Waiting::default();
        Self {
            limits,
            queue: ReadyQueue::new(limits),
            store,
            begun: None,
            held: VecDeque::new(),
            held_channels: BTreeSet::new(),
            now: START,
            next: 0,
        }
    }

    fn keep(&mut self, queued: &Queued) {
        self.store.lanes.entry(queued.lane.clone()).or_default().insert(queued.position);
        self.queue.offer(queued, self.now);
    }

    /// The next take that a claim grants. It must be what the store would say is the first of its lane.
    fn take(&mut self) -> Result<Option<Taken>, TestCaseError> {
        while let Some(taken) = self.queue.take(Slot::General, self.now) {
            prop_assert!(!self.held_channels.contains(&self.queue.lane(taken.lane).channel));
            let claimed = |position: &Position| self.held.iter().any(|held| held.position == *position);
            let waiting = self.store.lanes.entry(self.queue.lane(taken.lane)).or_default();
            if waiting.contains(&taken.position) && !claimed(&taken.position) {
                prop_assert!(taken.position.due <= self.now);
                prop_assert_eq!(waiting.iter().find(|position| !claimed(position)), Some(&taken.position));
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    fn finish(&mut self, taken: &Taken) -> Lane {
        let lane = self.queue.lane(taken.lane);
        self.store.lanes.entry(lane.clone()).or_default().remove(&taken.position);
        lane
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Accept(number, after_ms) => {
                let due = self.now.after(Duration::from_millis(*after_ms));
                // The last two are flows beside lanes of the same priority and channel.
                let flow = Flow::numbered(if *number < 3 { 0 } else { 7 }).expect("below 1,024");
                let channel = if *number < 3 { *number } else { *number - 2 };
                let lane = Lane { flow, ..lane(Priority::DESCENDING[usize::from(channel) % 2], channel) };
                self.next += 1;
                self.keep(&queued(&lane, due, self.next));
            }
            Step::Finish => {
                if let Some(taken) = self.take()? {
                    self.finish(&taken);
                }
            }
            Step::Retry(after_ms) => {
                if let Some(taken) = self.take()? {
                    let lane = self.finish(&taken);
                    let due = self.now.after(Duration::from_millis(*after_ms));
                    self.keep(&Queued { lane, position: Position { due, ..taken.position } });
                }
            }
            Step::Hold => {
                let taken = self.take()?;
                self.held.extend(taken);
            }
            Step::FinishHeld => {
                if let Some(taken) = self.held.pop_front() {
                    self.finish(&taken);
                }
            }
            Step::GiveBack => {
                if let Some(taken) = self.take()? {
                    self.queue.give_back(&taken, self.now);
                }
            }
            Step::BeginPage => {
                if self.begun.is_none()
                    && let Some(request) = self.queue.next_page()
                {
                    let page = self.store.page(&request);
                    self.begun = Some((request, page));
                }
            }
            Step::EndPage(arrives) => {
                if let Some((request, page)) = self.begun.take() {
                    if *arrives {
                        self.queue.loaded(&request, &page, self.now);
                    } else {
                        self.queue.load_failed(&request);
                    }
                }
            }
            Step::Pass(ms) => self.now = self.now.after(Duration::from_millis(*ms)),
            Step::Restart => {
                self.begun = None;
                self.held.clear();
                self.queue = ReadyQueue::new(self.limits);
                self.queue.hold_only(&self.held_channels, self.now);
                for (lane, waiting) in &self.store.lanes {
                    self.queue.restore(lane, waiting.len() as u64);
                }
            }
            Step::HoldChannels(bits) => {
                let channels = (0..3).filter(|number| bits & (1 << number) != 0);
                self.held_channels = channels.map(|number| lane(Priority::Low, number).channel).collect();
                self.queue.hold_only(&self.held_channels, self.now);
            }
        }
        Ok(())
    }

    /// Takes and reads until nothing comes any more.
    fn drain(&mut self) -> Result<(), TestCaseError> {
        self.now = self.now.after(seconds(1_000));
        self.step(&Step::HoldChannels(0))?;
        self.step(&Step::EndPage(true))?;
        while !self.held.is_empty() {
            self.step(&Step::FinishHeld)?;
        }
        loop {
            while let Some(taken) = self.take()? {
                self.finish(&taken);
            }
            if !self.queue.wants_page() {
                return Ok(());
            }
            self.step(&Step::BeginPage)?;
            self.step(&Step::EndPage(true))?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever is accepted, retried, given back, spilled, read back or lost with the process: every delivery is
    /// granted exactly once for each time it waits, and in each lane by due time, then id.
    #[test]
    fn nothing_is_lost_and_a_lane_keeps_its_order(
        lane in 2_usize..8, steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut model = Model::new(lane);
        for step in &steps {
            model.step(step)?;
            // Five lanes.
            prop_assert!(model.queue.len() <= 5 * (2 * lane + lane / 2));
        }
        model.drain()?;
        prop_assert_eq!(model.store.len(), 0);
        prop_assert!(model.queue.is_empty());
        prop_assert_eq!(model.queue.depths().iter().map(|depth| depth.waiting).sum::<u64>(), 0);
    }
}
