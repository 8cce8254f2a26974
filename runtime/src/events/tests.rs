//! Following a real store: through lag, retention, restarts, and at their limits.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::poll;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tempfile::TempDir;

use super::*;
use crate::domain::{Actor, Event, EventBody, NotificationId, Timestamp};
use crate::store::sqlite::{SqliteOptions, SqliteStore, backup, restore};
use crate::store::{CommitListener, Committed, Durability, EventEpoch, EventNumber, Shrink, Store};

/// Passes commits on, or keeps them until they are let go all at once.
pub(super) struct Gate {
    inlet: Inlet,
    kept: Mutex<Option<Vec<Committed>>>,
}

impl Gate {
    fn keep(&self) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(Vec::new());
    }

    fn let_go(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.into_iter().flatten().for_each(|committed| self.inlet.committed(committed));
    }
}

impl CommitListener for Gate {
    fn committed(&self, committed: Committed) {
        match &mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(kept) => kept.push(committed),
            None => self.inlet.committed(committed),
        }
    }
}

/// A store that is open, and its events.
pub(super) struct Life {
    store: Arc<SqliteStore>,
    pub(super) log: Arc<EventLog>,
    gate: Arc<Gate>,
}

impl Life {
    pub(super) async fn begin(folder: &TempDir) -> Self {
        let (inlet, outlet) = Inlet::new();
        let gate = Arc::new(Gate { inlet, kept: Mutex::new(None) });
        let path = folder.path().join("campanile.db");
        let listener: Arc<dyn CommitListener> = Arc::clone(&gate) as _;
        let store = SqliteStore::open(SqliteOptions { path, durability: Durability::Full, listener }).unwrap();
        let log = EventLog::start(outlet, Arc::clone(&store) as _).await.unwrap();
        Self { store, log, gate }
    }

    /// Tells so many more events in one commit.
    pub(super) async fn tell(&self, count: usize) {
        let first = self.store.event_range().await.unwrap().newest + 1;
        self.store.tell((first..first + count as u64).map(event).collect()).await.unwrap();
    }

    /// Clears up all but the newest frame.
    pub(super) async fn clear_up(&self) {
        let shrink = Shrink {
            after: NotificationId::FIRST,
            notifications_before: Timestamp::default(),
            keys_before: Timestamp::default(),
            event_bytes_max: Some(0),
            audit_bytes_max: None,
            dead_callbacks_max: None,
            limit: 0,
        };
        while self.store.shrink(shrink).await.unwrap().events > 0 {}
    }

    pub(super) async fn end(self) {
        // Who listens to the store keeps the stream open.
        let Self { store, log: _, gate } = self;
        drop(gate);
        store.close().await;
    }
}

/// The event that has this number in these tests.
fn event(number: EventNumber) -> Event {
    let mut sha256 = [0; 32];
    sha256[..8].copy_from_slice(&number.to_be_bytes());
    Event { at: Timestamp::from_millis(number), body: EventBody::ConfigReloaded { sha256 } }
}

/// The numbers of the next events; each is the one that was told under its number.
async fn numbers(follow: &mut Follow) -> Vec<EventNumber> {
    match follow.next().await.unwrap() {
        Some(Followed::Events(batch)) => batch
            .events()
            .iter()
            .map(|numbered| {
                assert_eq!(numbered.event, event(numbered.number));
                numbered.number
            })
            .collect(),
        other => panic!("events are next, not {other:?}"),
    }
}

/// Reads until `newest` was seen.
async fn until(follow: &mut Follow, newest: EventNumber) -> Vec<EventNumber> {
    let mut seen = Vec::new();
    while seen.last() != Some(&newest) {
        seen.extend(numbers(follow).await);
    }
    seen
}

async fn gap(follow: &mut Follow) -> Gap {
    match follow.next().await.unwrap() {
        Some(Followed::Gap(gap)) => gap,
        other => panic!("a gap is next, not {other:?}"),
    }
}

#[tokio::test]
async fn a_follower_gets_what_was_and_what_comes_without_gap_or_repeat() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.tell(3_000).await;
    let (mut all, mut new) = (life.log.follow(Start::Oldest), life.log.follow(Start::Newest));
    assert!(poll!(Box::pin(new.next())).is_pending(), "nothing has happened since");
    for count in [1, 2_500, 7] {
        life.tell(count).await;
    }
    assert_eq!(until(&mut all, 5_508).await, (1..=5_508).collect::<Vec<_>>());
    assert_eq!(until(&mut new, 5_508).await, (3_001..=5_508).collect::<Vec<_>>());
    assert!(poll!(Box::pin(all.next())).is_pending());
    life.tell(1).await;
    assert_eq!((numbers(&mut all).await, numbers(&mut new).await), (vec![5_509], vec![5_509]));
    assert_eq!(all.position(), life.log.newest());
}

#[tokio::test]
async fn whoever_follows_again_goes_on_where_it_was_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.tell(10).await;
    let mut follow = life.log.follow(Start::Oldest);
    numbers(&mut follow).await;
    let position = follow.position();
    drop(follow);
    life.tell(10).await;
    assert_eq!(until(&mut life.log.follow(Start::After(position)), 20).await, (11..=20).collect::<Vec<_>>());
    life.end().await;

    let life = Life::begin(&folder).await;
    let mut follow = life.log.follow(Start::After(position));
    assert_eq!(until(&mut follow, 20).await, (11..=20).collect::<Vec<_>>());
    life.tell(1).await;
    assert_eq!(numbers(&mut follow).await, [21]);
}

#[tokio::test]
async fn what_a_follower_cannot_have_is_a_gap_with_its_reason() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    for _ in 0..5 {
        life.tell(2).await;
    }
    let at = |number| EventId { epoch: life.log.epoch(), number };
    life.clear_up().await;

    let mut old = life.log.follow(Start::After(at(3)));
    assert_eq!(gap(&mut old).await, Gap { reason: GapReason::Retention, after: at(3), resumes: at(8) });
    assert_eq!(numbers(&mut old).await, [9, 10]);
    let mut told = life.log.follow(Start::After(at(8)));
    assert_eq!(numbers(&mut told).await, [9, 10], "whoever resumes from the gap is not told again");
    assert_eq!(numbers(&mut life.log.follow(Start::Oldest)).await, [9, 10], "what went before is none");

    let mut ahead = life.log.follow(Start::After(at(11)));
    assert_eq!(gap(&mut ahead).await, Gap { reason: GapReason::BeyondNewest, after: at(11), resumes: at(8) });
    assert_eq!(numbers(&mut ahead).await, [9, 10]);

    let foreign = EventId { epoch: EventEpoch(life.log.epoch().0 ^ 1), number: 10 };
    let mut other = life.log.follow(Start::After(foreign));
    assert_eq!(gap(&mut other).await, Gap { reason: GapReason::OtherEpoch, after: foreign, resumes: at(8) });
    assert_eq!(numbers(&mut other).await, [9, 10]);
}

#[tokio::test]
async fn after_a_restore_an_id_of_before_is_of_another_epoch() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    life.tell(2).await;
    let (database, copy) = (folder.path().join("campanile.db"), folder.path().join("copy.db"));
    backup(&database, &copy, false, Timestamp::default(), Actor::Cli).unwrap();
    life.tell(2).await;
    let seen = life.log.newest();
    life.end().await;
    restore(&copy, &database, true, Timestamp::default(), Actor::Cli).unwrap();

    let life = Life::begin(&folder).await;
    life.tell(2).await;
    let mut follow = life.log.follow(Start::After(seen));
    let told = gap(&mut follow).await;
    assert_eq!((told.reason, told.resumes.number), (GapReason::OtherEpoch, 0), "the number alone would fit");
    assert_eq!(until(&mut follow, 4).await, [1, 2, 3, 4]);
}

#[tokio::test]
async fn one_that_lags_behind_the_ring_reads_the_outbox_and_catches_up() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    let mut slow = life.log.follow(Start::Newest);
    let mut quick = life.log.follow(Start::Newest);
    let mut seen = Vec::new();
    for _ in 0..(RING_EVENTS / 4_096 + 2) {
        life.tell(4_096).await;
        seen.extend(until(&mut quick, life.log.newest().number).await);
    }
    let newest = life.log.newest().number;
    assert!(newest > RING_EVENTS as u64 + 4_096);
    assert_eq!(seen, (1..=newest).collect::<Vec<_>>());
    assert_eq!(until(&mut slow, newest).await, seen);
}

#[tokio::test]
async fn commits_that_the_relay_did_not_take_in_time_are_read_from_the_outbox() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    let mut follow = life.log.follow(Start::Newest);
    life.gate.keep();
    for _ in 0..1_100 {
        life.tell(1).await;
    }
    // Without a pause, as a writer would while this machine is busy: the relay cannot run in between.
    life.gate.let_go();
    assert_eq!(until(&mut follow, 1_100).await, (1..=1_100).collect::<Vec<_>>());
    life.tell(1).await;
    assert_eq!(numbers(&mut follow).await, [1_101]);
}

#[tokio::test]
async fn a_stream_ends_with_its_store_and_gives_what_was_committed() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    let mut follow = life.log.follow(Start::Newest);
    life.tell(3).await;
    life.end().await;
    assert_eq!(numbers(&mut follow).await, [1, 2, 3]);
    assert!(follow.next().await.unwrap().is_none());
    assert!(follow.next().await.unwrap().is_none(), "it stays ended");
}

#[tokio::test]
async fn frames_are_those_of_the_events_that_are_wanted() {
    let folder = TempDir::new().unwrap();
    let life = Life::begin(&folder).await;
    let mut follow = life.log.follow(Start::Newest);
    life.tell(4).await;
    let Some(Followed::Events(batch)) = follow.next().await.unwrap() else { panic!("there are events") };
    let ids = |bytes: &[u8]| -> Vec<EventId> {
        let blocks = sse::Reader::default().read(bytes).unwrap();
        blocks.into_iter().map(|block| block.id.unwrap().parse().unwrap()).collect()
    };
    let at = |number| EventId { epoch: life.log.epoch(), number };
    assert_eq!(ids(&batch.frames()), [at(1), at(2), at(3), at(4)]);
    assert_eq!(ids(&batch.frames_of(|event| event.number % 2 == 0)), [at(2), at(4)]);
    assert_eq!(ids(&batch.frames_of(|_| true)), [at(1), at(2), at(3), at(4)]);
    assert!(batch.frames_of(|_| false).is_empty());
    let Some(Followed::Events(rest)) = life.log.follow(Start::After(at(2))).next().await.unwrap() else {
        panic!("there are events")
    };
    assert_eq!(ids(&rest.frames()), [at(3), at(4)]);
    assert_eq!(ids(&rest.frames_of(|event| event.number == 4)), [at(4)]);
}

/// One step of a story.
#[derive(Clone, Debug)]
enum Step {
    Tell(usize),
    /// Commits that come to the stream all at once.
    Burst(usize),
    /// So many turns of one of the followers, if there is something for it.
    Read(usize, usize),
    Leave(usize),
    ClearUp,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (1..40_usize).prop_map(Step::Tell),
        1 => (1_000..3_000_usize).prop_map(Step::Tell),
        2 => (1..20_usize).prop_map(Step::Burst),
        6 => (0..3_usize, 1..4_usize).prop_map(|(who, turns)| Step::Read(who, turns)),
        1 => (0..3_usize).prop_map(Step::Leave),
        2 => Just(Step::ClearUp),
        1 => Just(Step::Restart),
    ];
    proptest::collection::vec(step, 1..40)
}

/// One who follows, leaves and comes again, with all that it was told.
#[derive(Default)]
struct Reader {
    follow: Option<Follow>,
    position: Option<EventId>,
    seen: Vec<EventNumber>,
}

impl Reader {
    /// Reads once, if there is something to read.
    async fn read(&mut self, life: &Life) {
        let start = self.position.map_or(Start::Oldest, Start::After);
        let follow = self.follow.get_or_insert_with(|| life.log.follow(start));
        if follow.position().number >= life.log.newest().number {
            return;
        }
        let before = self.seen.last().copied();
        match follow.next().await.unwrap().expect("the store is open") {
            Followed::Gap(told) => {
                assert_eq!(told.reason, GapReason::Retention);
                assert_eq!(Some(told.after.number), self.position.map(|position| position.number));
                assert!(told.resumes.number > told.after.number, "something is missing");
                let oldest = life.store.event_range().await.unwrap().oldest;
                assert_eq!(told.resumes.number + 1, oldest, "the oldest that is kept follows");
                self.seen.clear();
            }
            Followed::Events(batch) => {
                let numbers: Vec<_> = batch.events().iter().map(|numbered| numbered.number).collect();
                assert!(batch.events().iter().all(|numbered| numbered.event == event(numbered.number)));
                assert!(before.is_none_or(|before| before + 1 == numbers[0]), "{before:?}, then {numbers:?}");
                assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
                self.seen.extend(numbers);
            }
        }
        self.position = Some(follow.position());
    }
}

async fn play(steps: Vec<Step>) {
    let folder = TempDir::new().unwrap();
    let mut life = Life::begin(&folder).await;
    let mut readers: [Reader; 3] = Default::default();
    for step in steps {
        match step {
            Step::Tell(count) => life.tell(count).await,
            Step::Burst(commits) => {
                life.gate.keep();
                for _ in 0..commits {
                    life.tell(1).await;
                }
                life.gate.let_go();
            }
            Step::Read(who, turns) => {
                for _ in 0..turns {
                    readers[who].read(&life).await;
                }
            }
            Step::Leave(who) => readers[who].follow = None,
            Step::ClearUp => life.clear_up().await,
            Step::Restart => {
                readers.iter_mut().for_each(|reader| reader.follow = None);
                life.end().await;
                life = Life::begin(&folder).await;
            }
        }
    }
    let newest = life.log.newest().number;
    for reader in &mut readers {
        while reader.position.map_or(0, |position| position.number) < newest {
            reader.read(&life).await;
        }
        assert!(newest == 0 || reader.seen.last() == Some(&newest), "the newest was seen");
    }
}

#[test]
fn in_any_story_a_follower_misses_nothing_without_a_word_and_sees_nothing_twice() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 48, failure_persistence: None, ..Config::default() });
    runner
        .run(&steps(), |steps| {
            runtime.block_on(play(steps));
            Ok(())
        })
        .unwrap();
}
