//! Any order of ends, crashes and replays: nobody hears of an event before those before it, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::hosts::{Host, Hosts, Turn};
use super::super::line::End;
use crate::domain::{
    CallbackBook, CallbackName, Event, EventBody, NotificationId, OwedCallback, StatusCounts, Timestamp,
};
use crate::store::{EventNumber, NumberedEvent};

/// Calls at once.
const CALLS: usize = 8;
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

/// Where a notification leads: to one host, or to one of three.
fn host(notification: Option<NotificationId>, are_many: bool) -> Host {
    let of = |id: NotificationId| (id.as_bytes()[0] % 3).to_string();
    notification.filter(|_| are_many).map(of).unwrap_or_default().into()
}

/// What the store would hold.
struct Durable {
    are_many: bool,
    cursor: EventNumber,
    rows: BTreeMap<EventNumber, OwedCallback>,
}

impl Durable {
    fn new(are_many: bool) -> Self {
        Self { are_many, cursor: 0, rows: BTreeMap::new() }
    }

    fn write(&mut self, hosts: &mut Hosts) {
        let changes = hosts.changes();
        for number in changes.settled {
            self.rows.remove(&number);
        }
        self.rows.extend(changes.owed.into_iter().map(|row| (row.event, row)));
        self.cursor = hosts.cursor();
        hosts.written();
    }

    fn hosts(&self) -> Hosts {
        let book = CallbackBook { name: name(), cursor: self.cursor, disabled: None };
        let with_host = |row: &OwedCallback| (host(row.notification, self.are_many), row.clone());
        Hosts::new(&book, self.rows.values().map(with_host).collect(), self.are_many)
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

/// The lines of an endpoint, what they work on, and what its receivers heard.
struct World {
    about: Vec<u8>,
    hosts: Hosts,
    durable: Durable,
    now: Timestamp,
    running: Vec<Turn>,
    /// Heard or given up for good, at least once.
    done: BTreeSet<EventNumber>,
}

impl World {
    fn new(about: Vec<u8>, are_many: bool) -> Self {
        let durable = Durable::new(are_many);
        let hosts = durable.hosts();
        Self { about, hosts, durable, now: START, running: Vec::new(), done: BTreeSet::new() }
    }

    fn notification(&self, number: EventNumber) -> u8 {
        self.about[number as usize - 1]
    }

    fn take(&mut self) -> bool {
        let next = self.hosts.taken() + 1;
        let there = next as usize <= self.about.len();
        if there {
            let event = event(next, self.notification(next));
            let host = host(event.event.body.notification(), self.durable.are_many);
            self.hosts.take(&host, &event).expect("little is owed");
        }
        there
    }

    fn call(&mut self) -> bool {
        let Some(turn) = self.hosts.next(self.now, CALLS) else { return false };
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
        self.hosts.ended(&turn.host, turn.number, end);
        self.durable.write(&mut self.hosts);
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
                self.hosts = self.durable.hosts();
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
                self.hosts.owe(vec![(host(notification, self.durable.are_many), row)]);
                self.durable.write(&mut self.hosts);
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
        are_many in any::<bool>(),
    ) {
        let mut world = World::new(about, are_many);
        for step in steps {
            world.step(step);
        }
        // And in the end everything was heard.
        for _ in 0..1_000 {
            let took = world.take();
            let called = world.call();
            world.end(0, |_| End::Heard);
            world.now = world.now.after(Duration::from_secs(10));
            if !took && !called && world.running.is_empty() && world.hosts.next_due(CALLS).is_none() {
                break;
            }
        }
        prop_assert_eq!(world.done.len(), world.about.len());
        prop_assert_eq!(world.hosts.cursor() as usize, world.about.len());
        prop_assert!(world.durable.rows.is_empty());
        prop_assert_eq!((world.hosts.owed(), world.hosts.next_due(CALLS)), (0, None));
    }
}

fn one_place() -> Host {
    host(None, false)
}

fn fails(hosts: &mut Hosts, turn: &Turn, after: Duration) {
    let end = End::Again { due: START.after(after), reason: "busy".to_owned() };
    hosts.ended(&turn.host, turn.number, end);
}

#[test]
fn another_notification_does_not_wait_for_one_that_is_owed() {
    let (mut hosts, place) = (Durable::new(false).hosts(), one_place());
    for (number, one) in [(1, 1), (2, 1), (3, 2), (4, 1)] {
        hosts.take(&place, &event(number, one)).expect("nothing is owed");
    }
    let turn = hosts.next(START, CALLS).expect("the first");
    assert_eq!((turn.number, turn.attempt), (1, 1));
    fails(&mut hosts, &turn, Duration::from_secs(5));
    // 2 and 4 are owed behind it, so that the cursor is not held back.
    assert_eq!(
        hosts.changes().owed.iter().map(|row| (row.event, row.attempts)).collect::<Vec<_>>(),
        [(1, 1), (2, 0), (4, 0)]
    );
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(3));
    assert_eq!(hosts.cursor(), 2);
    hosts.ended(&place, 3, End::Heard);
    assert_eq!((hosts.cursor(), hosts.owed()), (4, 3));
    assert!(hosts.next(START.after(Duration::from_secs(4)), CALLS).is_none());
    assert_eq!(hosts.next(START.after(Duration::from_secs(5)), CALLS).map(|turn| turn.attempt), Some(2));
}

#[test]
fn a_line_that_owes_too_much_takes_no_more_from_the_stream() {
    let (mut hosts, place) = (Durable::new(false).hosts(), one_place());
    let mut number = 0;
    while !hosts.is_full() {
        number += 1;
        hosts.take(&place, &event(number, 0)).expect("it waits instead");
    }
    assert_eq!((number, hosts.cursor()), (512, 0));
    while let Some(turn) = hosts.next(START, CALLS) {
        fails(&mut hosts, &turn, Duration::from_secs(1));
    }
    assert!(!hosts.is_full(), "what is owed is not in the way");
    assert_eq!((hosts.owed(), hosts.cursor()), (512, 512));
    while hosts.owed() < 10_000 {
        number += 1;
        hosts.take(&place, &event(number, 0)).expect("it waits instead");
        let turn = hosts.next(START, CALLS).expect("it is due");
        fails(&mut hosts, &turn, Duration::from_secs(1));
    }
    assert!(hosts.is_full());
    assert_eq!((hosts.room(), hosts.most()), (0, 10_000));
}

#[test]
fn what_was_owed_ahead_of_the_cursor_waits_for_what_comes_before_it() {
    let mut durable = Durable::new(false);
    durable.cursor = 5;
    let (callback, notification) = (name(), Some(about(2)));
    let row = OwedCallback { callback, event: 9, notification, attempts: 0, due: START, last_error: None };
    durable.rows.insert(9, row);
    let (mut hosts, place) = (durable.hosts(), one_place());
    assert!(hosts.next(START, CALLS).is_none(), "8 may be of the same notification");
    hosts.take(&place, &event(8, 2)).expect("little is owed");
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(8));
    hosts.ended(&place, 8, End::Heard);
    assert!(hosts.next(START, CALLS).is_none());
    hosts.pass(12);
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(9));
    hosts.ended(&place, 9, End::Heard);
    assert_eq!((hosts.cursor(), hosts.owed()), (12, 0));
}

/// Hosts `silent` and `good`, of which the first has failed once.
fn with_a_silent_host() -> (Hosts, Host, Host) {
    let (mut hosts, silent, good) = (Durable::new(true).hosts(), Host::from("silent"), Host::from("good"));
    hosts.take(&silent, &event(1, 1)).expect("nothing is owed");
    let turn = hosts.next(START, CALLS).expect("the first");
    fails(&mut hosts, &turn, Duration::from_secs(5));
    (hosts, silent, good)
}

#[test]
fn a_host_that_does_not_answer_has_one_call_and_holds_back_no_other() {
    let (mut hosts, silent, good) = with_a_silent_host();
    for number in 2..=100 {
        hosts.take(&silent, &event(number, 0)).expect("little is owed");
    }
    assert_eq!((hosts.cursor(), hosts.owed()), (100, 100), "what it is to hear of is owed at once");
    for number in 101..=200 {
        hosts.take(&good, &event(number, 0)).expect("little is owed");
    }
    let later = START.after(Duration::from_secs(5));
    let mut called = Vec::new();
    while let Some(turn) = hosts.next(later, 64) {
        called.push(turn.host.to_string());
    }
    called.sort();
    assert_eq!(called, [vec!["good"; 8], vec!["silent"]].concat(), "each has its share");
    // One answer, and it is as good as any other.
    hosts.ended(&silent, 2, End::Heard);
    let mut more = 0;
    while hosts.next(later, 64).is_some() {
        more += 1;
    }
    assert_eq!(more, 8);
}

#[test]
fn hosts_that_do_not_answer_have_half_of_the_calls_at_most() {
    let mut hosts = Durable::new(true).hosts();
    for number in 1..=20_u64 {
        let host = Host::from(format!("silent-{number}"));
        hosts.take(&host, &event(number, 0)).expect("nothing is owed");
        let turn = hosts.next(START, CALLS).expect("it is due");
        fails(&mut hosts, &turn, Duration::from_secs(5));
    }
    let later = START.after(Duration::from_secs(5));
    let mut calls = 0;
    while hosts.next(later, CALLS).is_some() {
        calls += 1;
    }
    assert_eq!((calls, hosts.next_due(CALLS)), (CALLS / 2, None), "nobody is woken for what may not be called");
    hosts.take(&Host::from("good"), &event(21, 0)).expect("nothing is owed to it");
    assert_eq!(hosts.next(later, CALLS).map(|turn| turn.number), Some(21));
}

#[test]
fn a_host_that_does_not_answer_is_refused_more_than_it_may_be_owed() {
    let (mut hosts, silent, good) = with_a_silent_host();
    let mut number = 1;
    let refused = loop {
        number += 1;
        if let Err(refused) = hosts.take(&silent, &event(number, 0)) {
            break refused;
        }
    };
    assert_eq!((number, hosts.owed()), (10_001, 10_000));
    assert!(refused.to_string().contains("10000 events wait for it"), "{refused}");
    assert!(!hosts.is_full(), "others are told");
    hosts.take(&good, &event(10_002, 0)).expect("it answers");
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(10_002));
}

#[test]
fn hosts_that_answer_and_owe_too_much_hold_back_the_stream() {
    let (mut hosts, good) = (Durable::new(true).hosts(), Host::from("good"));
    let mut number = 0;
    while !hosts.is_full() {
        number += 1;
        hosts.take(&good, &event(number, 0)).expect("it answers");
    }
    // The first 64 are held in memory, with their events.
    assert_eq!((number, hosts.owed(), hosts.cursor()), (50_064, 50_000, 0));
}

#[test]
fn a_notification_that_is_told_of_no_longer_is_forgotten_with_all_that_waits() {
    let (mut hosts, silent, _) = with_a_silent_host();
    hosts.take(&silent, &event(2, 1)).expect("little is owed");
    hosts.take(&silent, &event(3, 2)).expect("little is owed");
    hosts.written();
    hosts.forget(&silent, about(1));
    assert_eq!((hosts.changes().settled, hosts.owed()), (vec![1, 2], 1));
    hosts.written();
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(3));
}

#[test]
fn a_host_that_asks_for_a_pause_gets_it_and_leaves_nothing_behind() {
    let (mut hosts, busy, good) = (Durable::new(true).hosts(), Host::from("busy"), Host::from("good"));
    let until = START.after(Duration::from_secs(60));
    hosts.hold(&busy, until);
    hosts.take(&busy, &event(1, 1)).expect("nothing is owed");
    hosts.take(&good, &event(2, 2)).expect("nothing is owed");
    assert_eq!(hosts.next(START, CALLS).map(|turn| turn.number), Some(2));
    assert_eq!((hosts.next_due(CALLS), hosts.held_until(START)), (Some(until), None));
    assert_eq!(hosts.next(until, CALLS).map(|turn| turn.number), Some(1));
    hosts.hold(&busy, until.after(Duration::from_secs(1)));
    hosts.ended(&busy, 1, End::Heard);
    let over = until.after(Duration::from_secs(1));
    assert_eq!(hosts.next_due(CALLS), Some(over));
    assert!(hosts.next(over, CALLS).is_none());
    assert_eq!(hosts.next_due(CALLS), None);
}
