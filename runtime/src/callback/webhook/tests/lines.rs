//! Any order of ends, crashes and replays: nobody hears of an event before those before it, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::line::{End, Line, Turn};
use crate::domain::{CallbackName, Event, EventBody, NotificationId, OwedCallback, StatusCounts, Timestamp};
use crate::store::{EventNumber, NumberedEvent};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn name() -> CallbackName {
    "crm".parse().expect("a name")
}

fn about(notification: u8) -> NotificationId {
    NotificationId::from_bytes([notification; 16])
}

/// An event of a notification, or of none where that is 0.
fn event(number: EventNumber, notification: u8) -> Arc<NumberedEvent> {
    let body = match notification {
        0 => EventBody::ConfigReloaded { sha256: [0; 32] },
        one => EventBody::NotificationCompleted { notification: about(one), status: StatusCounts::default().status() },
    };
    Arc::new(NumberedEvent { number, event: Event { at: START, body } })
}

/// What the store would hold.
#[derive(Default)]
struct Durable {
    cursor: EventNumber,
    rows: BTreeMap<EventNumber, OwedCallback>,
}

impl Durable {
    fn write(&mut self, line: &mut Line) {
        let changes = line.changes();
        for number in changes.settled {
            self.rows.remove(&number);
        }
        self.rows.extend(changes.owed.into_iter().map(|row| (row.event, row)));
        self.cursor = line.cursor();
        line.written();
    }

    fn line(&self) -> Line {
        Line::new(name(), self.cursor, self.rows.values().cloned().collect())
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Take,
    Call,
    /// The n-th call under way ends.
    Heard(usize),
    Fails(usize),
    GivesUp(usize),
    Wait,
    Crash,
    /// An event is told again.
    Replay(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Take),
        4 => Just(Step::Call),
        3 => (0..8_usize).prop_map(Step::Heard),
        2 => (0..8_usize).prop_map(Step::Fails),
        1 => (0..8_usize).prop_map(Step::GivesUp),
        2 => Just(Step::Wait),
        1 => Just(Step::Crash),
        1 => (0..40_usize).prop_map(Step::Replay),
    ]
}

/// A line, what it works on, and what its receiver heard.
struct World {
    about: Vec<u8>,
    line: Line,
    durable: Durable,
    now: Timestamp,
    running: Vec<Turn>,
    /// Heard or given up for good, at least once.
    done: BTreeSet<EventNumber>,
}

impl World {
    fn new(about: Vec<u8>) -> Self {
        let durable = Durable::default();
        let line = durable.line();
        Self { about, line, durable, now: START, running: Vec::new(), done: BTreeSet::new() }
    }

    fn notification(&self, number: EventNumber) -> u8 {
        self.about[number as usize - 1]
    }

    fn take(&mut self) -> bool {
        let next = self.line.taken() + 1;
        let there = next as usize <= self.about.len();
        if there {
            self.line.take(event(next, self.notification(next)));
        }
        there
    }

    fn call(&mut self) -> bool {
        let Some(turn) = self.line.next(self.now) else { return false };
        let own = self.notification(turn.number);
        if own != 0 {
            for other in &self.running {
                assert_ne!(self.notification(other.number), own, "two calls of one notification at once");
            }
            let before = (1..turn.number).filter(|number| self.notification(*number) == own);
            for number in before {
                assert!(self.done.contains(&number), "{} is called before {number}", turn.number);
            }
        }
        self.running.push(turn);
        true
    }

    fn end(&mut self, n: usize, end: impl FnOnce(Timestamp) -> End) {
        if self.running.is_empty() {
            return;
        }
        let turn = self.running.remove(n % self.running.len());
        let end = end(self.now);
        if !matches!(end, End::Again { .. }) {
            self.done.insert(turn.number);
        }
        self.line.ended(turn.number, end);
        self.durable.write(&mut self.line);
    }

    fn step(&mut self, step: Step) {
        let again = |now: Timestamp| End::Again { due: now.after(Duration::from_secs(5)), reason: "busy".to_owned() };
        match step {
            Step::Take => drop(self.take()),
            Step::Call => drop(self.call()),
            Step::Heard(n) => self.end(n, |_| End::Heard),
            Step::Fails(n) => self.end(n, again),
            Step::GivesUp(n) => self.end(n, |_| End::GivenUp),
            Step::Wait => self.now = self.now.after(Duration::from_secs(3)),
            Step::Crash => {
                self.running.clear();
                self.line = self.durable.line();
            }
            Step::Replay(n) => {
                let number = (n % self.about.len()) as EventNumber + 1;
                let notification = Some(self.notification(number)).filter(|one| *one != 0).map(about);
                let row = OwedCallback {
                    callback: name(),
                    event: number,
                    notification,
                    attempts: 0,
                    due: self.now,
                    last_error: None,
                };
                self.line.owe(vec![row]);
                self.durable.write(&mut self.line);
            }
        }
        // All that is neither done nor to come by the stream again is owed where a crash leaves it.
        for number in 1..=self.durable.cursor {
            let kept = self.done.contains(&number) || self.durable.rows.contains_key(&number);
            assert!(kept, "{number} is lost, the cursor is {}", self.durable.cursor);
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_told_out_of_order(
        about in proptest::collection::vec(0_u8..4, 1..40), steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut world = World::new(about);
        for step in steps {
            world.step(step);
        }
        // And in the end everything was heard.
        for _ in 0..1_000 {
            let took = world.take();
            let called = world.call();
            world.end(0, |_| End::Heard);
            world.now = world.now.after(Duration::from_secs(10));
            if !took && !called && world.running.is_empty() && world.line.next_due().is_none() {
                break;
            }
        }
        prop_assert_eq!(world.done.len(), world.about.len());
        prop_assert_eq!(world.line.cursor() as usize, world.about.len());
        prop_assert!(world.durable.rows.is_empty());
        prop_assert_eq!((world.line.owed(), world.line.next_due()), (0, None));
    }
}

#[test]
fn another_notification_does_not_wait_for_one_that_is_owed() {
    let mut line = Line::new(name(), 0, Vec::new());
    for (number, one) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        line.take(event(number, one));
    }
    let turn = line.next(START).expect("the first");
    assert_eq!((turn.number, turn.attempt), (1, 1));
    line.ended(1, End::Again { due: START.after(Duration::from_secs(5)), reason: "busy".to_owned() });
    // 2 and 4 are owed behind it, so that the cursor is not held back.
    assert_eq!(
        line.changes().owed.iter().map(|row| (row.event, row.attempts)).collect::<Vec<_>>(),
        [(1, 1), (2, 0), (4, 0)]
    );
    assert_eq!(line.next(START).map(|turn| turn.number), Some(3));
    assert_eq!(line.cursor(), 2);
    line.ended(3, End::Heard);
    assert_eq!((line.cursor(), line.owed()), (4, 3));
    assert!(line.next(START.after(Duration::from_secs(4))).is_none());
    assert_eq!(line.next(START.after(Duration::from_secs(5))).map(|turn| turn.attempt), Some(2));
}

#[test]
fn a_line_that_owes_too_much_takes_no_more_from_the_stream() {
    let mut line = Line::new(name(), 0, Vec::new());
    let mut number = 0;
    while !line.is_full() {
        number += 1;
        line.take(event(number, 0));
    }
    assert_eq!((number, line.cursor()), (512, 0));
    while let Some(turn) = line.next(START) {
        line.ended(turn.number, End::Again { due: START.after(Duration::from_secs(1)), reason: "busy".to_owned() });
    }
    assert!(!line.is_full(), "what is owed is not in the way");
    assert_eq!((line.owed(), line.cursor()), (512, 512));
    while line.owed() < 10_000 {
        number += 1;
        line.take(event(number, 0));
        let turn = line.next(START).expect("it is due");
        line.ended(turn.number, End::Again { due: START.after(Duration::from_secs(1)), reason: "busy".to_owned() });
    }
    assert!(line.is_full());
}
