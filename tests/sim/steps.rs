//! What may happen next.

use std::sync::Arc;
use std::time::Duration;

use campanile::clock::Clock;
use campanile::domain::{Actor, DeliveryId, DeliveryState, NotificationId, Priority, Receipt, Timestamp};
use campanile::intake::{Submission, To};
use campanile::store::{Replay, Replayed, Settled, Settlement, Store};

use crate::disk::Faults;
use crate::ledger::{Purge, RequestNumber};
use crate::outside::{CHANNELS, any_end};
use crate::story::{START, Story};

/// Recipients that there are.
const PEOPLE: u64 = 10;

/// Deliveries of a large notification: more than are made at once, and no more than the look into the store reads.
const LARGE: (u64, u64) = (1_003, 1_400);

impl Story {
    /// One thing happens.
    pub(crate) fn step(&mut self, step: u64) {
        let now = self.clock.now().since(START);
        let choice = self.chance.below(100);
        let name = match choice {
            0..20 => "submit",
            20..26 => "batch",
            26..31 => "cancel",
            31..35 => "replay",
            35..37 => "purge",
            37..62 => "answer",
            62..77 => "time passes",
            77..79 => "what time brings about",
            79 => "the clock is set",
            80..84 => "crash",
            84..87 => "crash before the writer has its turn",
            87..90 => "the disk is about to go off",
            90..94 => "faults",
            94..96 => "stop",
            96..98 => "settle late",
            _ => "expand",
        };
        self.note(format!("step {step} at +{} ms: {name}", now.as_millis()));
        match choice {
            0..20 => self.submit_some(),
            20..26 => self.submit_batch(),
            26..31 => self.cancel(),
            31..35 => self.replay(),
            35..37 => self.purge(),
            37..62 => self.answer_some(),
            62..77 => self.pass_time(),
            77..79 => self.life().tend(),
            79 => self.set_clock(),
            80..84 => self.crash(),
            84..87 => self.crash_in_between(),
            87..90 => {
                let operations = self.chance.between(1, 60);
                self.disk.go_off_in(Some(operations));
                self.refusals_fit_the_disk();
                self.submit_some();
                self.answer_some();
            }
            90..94 => self.change_faults(),
            94..96 => self.restart(),
            96..98 => self.settle_late(),
            _ => {
                if self.large_left > 0 {
                    self.large_left -= 1;
                    let number = self.new_request(true);
                    self.life().submit(number);
                }
                self.life().expand();
            }
        }
    }

    fn submit_some(&mut self) {
        for _ in 0..self.chance.between(1, 4) {
            let number = self.any_request();
            self.life().submit(number);
        }
    }

    fn submit_batch(&mut self) {
        let numbers = (0..self.chance.between(2, 6)).map(|_| self.any_request()).collect();
        self.life().submit_batch(numbers);
    }

    /// A new one, or one with a key again.
    fn any_request(&mut self) -> RequestNumber {
        let keyed: Vec<RequestNumber> = {
            let books = self.books.open();
            let requests = books.requests.iter().enumerate();
            requests
                .filter(|(_, request)| request.submission.idempotency_key.is_some())
                .map(|(number, _)| number)
                .collect()
        };
        match self.chance.percent(15).then(|| self.chance.pick(&keyed)).flatten() {
            Some(number) => number,
            None => self.new_request(false),
        }
    }

    fn new_request(&mut self, is_large: bool) -> RequestNumber {
        let now = self.clock.now();
        let chance = &mut self.chance;
        let number = self.books.open().requests.len();
        let first = chance.below(PEOPLE);
        let (least, most) = if is_large { LARGE } else { (1, 3) };
        let people = chance.between(least, most);
        let name = |place: u64| if is_large { place } else { (first + place) % PEOPLE };
        let both = !is_large && chance.percent(30);
        let channels = if both { CHANNELS.to_vec() } else { chance.pick(&CHANNELS).into_iter().collect() };
        let scheduled_at = chance.percent(25).then(|| now.after(Duration::from_millis(chance.below(7_200_000))));
        let expires_at = (!is_large && chance.percent(25))
            .then(|| scheduled_at.unwrap_or(now).after(Duration::from_millis(chance.between(1, 3_600_000))));
        // Sometimes somebody else's.
        let key = chance
            .percent(30)
            .then(|| if chance.percent(10) { chance.below(number as u64 + 1) } else { number as u64 });
        let submission = Submission {
            to: (0..people).map(|place| To::from(format!("a{}@example.com", name(place)).as_str())).collect(),
            channels: channels.into_iter().map(str::to_owned).collect(),
            priority: chance.pick(&Priority::DESCENDING),
            body: Some(format!("m{number}")),
            scheduled_at,
            expires_at,
            correlation_id: Some(format!("r{number}")),
            dedupe_key: (!is_large && chance.percent(15)).then(|| format!("d{}", chance.below(3))),
            idempotency_key: key.map(|key| format!("k{key}")),
            ..Submission::default()
        };
        self.books.open().add_request(submission)
    }

    fn cancel(&mut self) {
        // Mostly one that is being called.
        let in_flight = if self.chance.percent(60) { self.books.open().notifications_in_flight() } else { Vec::new() };
        let known: Vec<NotificationId> = match in_flight.is_empty() {
            true => self.books.open().notifications.keys().copied().collect(),
            false => in_flight,
        };
        let Some(id) = self.chance.pick(&known) else { return };
        self.note(format!("  cancel {id}"));
        self.books.open().cancel_asked(id);
        let (books, now) = (self.books.clone(), self.clock.now());
        let store = Arc::clone(&self.life().store);
        self.life().spawn(async move {
            let answer = store.cancel(id, now, Actor::Api).await;
            let mut books = books.open();
            match answer {
                Ok(cancelled) => books.cancel_answered(id, cancelled),
                Err(error) => books.failed("a cancel", error.is_transient(), &error.to_string()),
            }
        });
        // The answers of what is in flight come in the same breath, or they come after it.
        if self.chance.percent(50) {
            self.answer_some();
        }
    }

    fn some_dead_letters(&mut self) -> Vec<DeliveryId> {
        let dead = self.books.open().dead_letters();
        let count = self.chance.between(1, 4);
        (0..count).filter_map(|_| self.chance.pick(&dead)).collect()
    }

    fn replay(&mut self) {
        let dead = self.some_dead_letters();
        self.note(format!("  replay {dead:?}"));
        let now = self.clock.now();
        let due = now.after(Duration::from_millis(self.chance.below(60_000)));
        dead.iter().for_each(|id| self.books.open().replay_asked(*id));
        let replays = dead.iter().map(|delivery| Replay { delivery: *delivery, due }).collect();
        let (books, store) = (self.books.clone(), Arc::clone(&self.life().store));
        self.life().spawn(async move {
            let answer = store.replay(replays, now, Actor::Api).await;
            let mut books = books.open();
            match answer {
                Ok(replayed) if replayed.contains(&Replayed::Unknown) => {
                    books.breaks("I1", format!("of {dead:?} one is gone"));
                }
                Ok(replayed) => books.note(format!("  replayed: {replayed:?}")),
                Err(error) => books.failed("a replay", error.is_transient(), &error.to_string()),
            }
        });
    }

    fn purge(&mut self) {
        let dead = self.some_dead_letters();
        self.note(format!("  purge {dead:?}"));
        dead.iter().for_each(|id| self.books.open().purge(*id, Purge::Perhaps));
        let (books, store, now) = (self.books.clone(), Arc::clone(&self.life().store), self.clock.now());
        self.life().spawn(async move {
            let answer = store.purge(dead.clone(), now, Actor::Api).await;
            let mut books = books.open();
            match answer {
                Ok(_) => dead.iter().for_each(|id| books.purge(*id, Purge::Yes)),
                Err(error) => books.failed("a purge", error.is_transient(), &error.to_string()),
            }
        });
    }

    fn answer_some(&mut self) {
        let Self { life: Some(life), chance, .. } = self else { return };
        for _ in 0..chance.between(1, 6) {
            let end = any_end(chance);
            life.provider.answer(chance, end);
        }
    }

    /// A moment, a while, or until something is due: the instant itself, and the one before it.
    fn pass_time(&mut self) {
        let now = self.clock.now();
        let next = self.clock.next_wait().map_or(Duration::ZERO, |at| at.since(now));
        let by = match self.chance.below(10) {
            0..3 => next,
            3 => next.saturating_sub(Duration::from_millis(1)),
            4..6 => Duration::from_millis(self.chance.between(1, 500)),
            6..9 => Duration::from_millis(self.chance.between(500, 120_000)),
            _ => Duration::from_millis(self.chance.between(60_000, 7_200_000)),
        };
        let by = by.min(self.time_left);
        self.time_left -= by;
        self.advance(by);
    }

    /// Somebody corrects the clock by up to an hour, mostly because it is fast. No time passes.
    fn set_clock(&mut self) {
        let by = Duration::from_millis(self.chance.between(1, 3_600_000));
        if self.chance.percent(60) {
            // No process sees that; the next one does.
            self.note(format!("  back by {} ms, while the process is away", by.as_millis()));
            self.set_back = by;
            self.crash();
        } else {
            let by = by.min(self.time_left);
            self.time_left -= by;
            self.note(format!("  ahead by {} ms", by.as_millis()));
            self.clock.advance(by);
        }
    }

    /// Things are under way, and the writer has had none or some of its turns.
    fn crash_in_between(&mut self) {
        self.submit_some();
        self.answer_some();
        if self.chance.percent(50) {
            self.cancel();
        }
        // Perhaps between two slices of a large one.
        self.life().expand();
        let turns = self.chance.below(3);
        self.life().go_on(turns);
        self.crash();
    }

    fn change_faults(&mut self) {
        let often = |chance: &mut crate::chance::Chance| if chance.percent(50) { chance.below(1_500) } else { 0 };
        let faults = if self.chance.percent(40) {
            Faults::default()
        } else {
            Faults {
                reads: often(&mut self.chance) / 4,
                writes: often(&mut self.chance),
                syncs: often(&mut self.chance),
                is_full: self.chance.percent(20),
            }
        };
        self.note(format!("  {faults:?}"));
        self.disk.set_faults(faults);
        self.refusals_fit_the_disk();
    }

    /// Somebody settles with a claim that is not the newest of its delivery.
    fn settle_late(&mut self) {
        let known: Vec<DeliveryId> = self.books.open().deliveries.keys().copied().collect();
        let Some(delivery) = self.chance.pick(&known) else { return };
        // Where nothing but calls holds a slot, what is not called is not claimed, and every number is an old one.
        let (in_flight, books) = (self.life().dispatcher.in_flight(), self.books.clone());
        let is_idle = in_flight == books.open().unsettled() && !books.open().is_in_flight(delivery);
        let claim = if is_idle { self.chance.between(1, 40) } else { 0 };
        self.note(format!("  settle {delivery} by claim {claim}"));
        let at: Timestamp = self.clock.now();
        let state = DeliveryState::Sent { at, attempts: 99, receipt: Receipt::default(), unconfirmed: false };
        let settlement = Settlement { claim, delivery, attempt: None, state, reroute: None, at };
        let store = Arc::clone(&self.life().store);
        self.life().spawn(async move {
            let answer = store.settle(vec![settlement]).await;
            let mut books = books.open();
            match answer {
                Ok(settled) if settled == [Settled::Late] => {}
                Ok(settled) => books.breaks("I2", format!("a late settlement of {delivery}: {settled:?}")),
                Err(error) => books.failed("a late settlement", error.is_transient(), &error.to_string()),
            }
        });
    }
}
