//! One simulation: a story that its seed tells.
//!
//! *Flow:* a step by chance, everything goes on as far as it can, a look at all that has to hold; and again. At the end the
//! disk is well, providers take everything, and all there is has to be done.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use campanile::clock::{Clock, ManualClock};
use campanile::config::WorkersConfig;
use campanile::domain::{NotificationId, Timestamp};
use campanile::queue::WindowLimits;
use campanile::store::{Durability, Store, StoreError, Sweep};

use crate::chance::Chance;
use crate::check::Firsts;
use crate::disk::{Crash, Disk, Faults};
use crate::life::{Grown, Life, World};
use crate::outside::{Books, sent};
use crate::vfs::Vfs;

pub(crate) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// A store that finds its disk well starts.
const STARTS_MAX: u64 = 6;

/// Moves of the clock in which everything has to be done. A delivery takes some ten.
const LAST_MOVES_MAX: usize = 5_000;

const NOTHING_IS_OLD: Sweep = Sweep {
    after: NotificationId::FIRST,
    notifications_before: Timestamp::from_millis(0),
    keys_before: Timestamp::from_millis(0),
    events_before: Timestamp::from_millis(0),
    audit_before: Timestamp::from_millis(0),
    dead_callbacks_before: Timestamp::from_millis(0),
    limit: 1,
};

/// Everything is looked at after so many steps.
const LOOK_EVERY: u64 = 16;

pub(crate) struct Story {
    pub(crate) chance: Chance,
    pub(crate) world: World,
    pub(crate) books: Books,
    pub(crate) clock: ManualClock,
    /// By how much it is set back before the next process starts.
    pub(crate) set_back: Duration,
    /// None only while the process is down. Before the file system, which it uses.
    pub(crate) life: Option<Life>,
    lives: u64,
    seed: u64,
    pub(crate) disk: Arc<Disk>,
    firsts: Firsts,
    /// Time that may still pass before the end, so that a key holds for all of it.
    pub(crate) time_left: Duration,
    pub(crate) large_left: u64,
    _vfs: Vfs,
}

/// Tells the story of `seed`. The answer is all that happened.
///
/// # Errors
///
/// What went wrong, with the last `lines` of the story and how to hear it again.
pub(crate) fn tell(seed: u64, lines: usize) -> Result<Vec<String>, String> {
    let mut story = Story::new(seed);
    let ended = catch_unwind(AssertUnwindSafe(|| story.run()));
    let panic = ended.err().map(|_| "a panic, told above".to_owned());
    if panic.is_some() {
        // Closing it would write on.
        story.disk.go_off();
    }
    let mut books = story.books.open();
    let broken: Vec<String> = panic.into_iter().chain(std::mem::take(&mut books.broken)).collect();
    let log = std::mem::take(&mut books.log);
    drop(books);
    if broken.is_empty() {
        return Ok(log);
    }
    let shown = &log[log.len().saturating_sub(lines)..];
    Err(format!(
        "seed {seed}: {}\n\nhow it came to that ({} lines before):\n{}\n\nagain: CAMPANILE_SEED={seed} cargo test --locked \
         --workspace --test sim",
        broken.join("\n  "),
        log.len() - shown.len(),
        shown.join("\n"),
    ))
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let disk = Arc::new(Disk::new(chance.fork()));
        let vfs = Vfs::register(&disk);
        let (books, clock) = (Books::default(), ManualClock::at(START));
        let (count, each, batch) = (chance.between(1, 3), chance.between(1, 4), chance.between(1, 5));
        let workers = WorkersConfig::fixed(count as u32, each as u32, batch as u32);
        books.open().slots = (workers.max * workers.per_worker) as usize;
        let world = World {
            vfs: vfs.name().to_owned(),
            clock: clock.clone(),
            grown: Grown::default(),
            books: books.clone(),
            durability: if chance.percent(75) { Durability::Full } else { Durability::Os },
            workers,
            window: WindowLimits { lane: chance.between(2, 12) as usize, total: chance.between(8, 64) as usize },
            log_bytes: chance.between(64 << 10, 1 << 20),
        };
        let large_left = u64::from(chance.percent(12));
        let time_left = Duration::from_hours(20);
        let (life, lives, firsts) = (None, 0, Firsts::new());
        let set_back = Duration::ZERO;
        Self {
            chance,
            world,
            books,
            clock,
            set_back,
            life,
            lives,
            seed,
            disk,
            firsts,
            time_left,
            large_left,
            _vfs: vfs,
        }
    }

    fn run(&mut self) {
        let (durability, workers) = (self.world.durability, self.world.workers);
        self.note(format!("durability {durability:?}, {workers:?}, {:?}", self.world.window));
        self.books.open().may_skip_numbers = durability == Durability::Os;
        self.start();
        let steps = self.chance.between(40, 120);
        for step in 1..=steps {
            self.refusals_fit_the_disk();
            self.step(step);
            if self.is_broken() {
                return;
            }
            self.go_on();
            self.look(step % LOOK_EVERY == 0);
            if self.is_broken() {
                return;
            }
        }
        self.finish();
    }

    pub(crate) fn note(&self, line: impl Into<String>) {
        self.books.open().note(line);
    }

    pub(crate) fn is_broken(&self) -> bool {
        !self.books.open().broken.is_empty()
    }

    pub(crate) fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("the process is up between two steps")
    }

    /// Time passes.
    pub(crate) fn advance(&self, by: Duration) {
        self.world.grown.by(by);
        self.clock.advance(by);
    }

    /// Everything goes on as far as it can; where the disk has gone off meanwhile, the process dies of it.
    pub(crate) fn go_on(&mut self) {
        self.life().settle();
        if self.disk.is_off() {
            self.crash();
        }
    }

    pub(crate) fn refusals_fit_the_disk(&self) {
        let may_refuse = self.disk.faults() != Faults::default() || self.disk.may_go_off();
        self.books.open().may_refuse = may_refuse;
    }

    /// Looks at what has changed, or at everything, while the disk is held well.
    fn look(&mut self, at_everything: bool) {
        self.disk.hold(true);
        let books = self.books.clone();
        let life = self.life.as_mut().expect("the process is up between two steps");
        life.check_touched(&books, &mut self.firsts);
        if at_everything {
            life.check_everything(&books, &mut self.firsts);
        }
        self.disk.hold(false);
    }

    /// The process is gone between two instructions, and comes again.
    pub(crate) fn crash(&mut self) {
        let crash = match self.world.durability {
            Durability::Full if self.chance.percent(70) => Crash::Power,
            Durability::Full | Durability::Os | Durability::Memory => Crash::Process,
        };
        self.note(format!("crash: {crash:?}"));
        self.disk.go_off();
        self.life = None;
        self.disk.come_back(crash);
        self.books.open().crashed();
        self.start();
        self.go_on();
        self.look(true);
    }

    /// The process ends in order, and comes again.
    pub(crate) fn restart(&mut self) {
        self.note("stop");
        if self.world.workers.max > 1 {
            self.let_calls_end();
        }
        self.books.open().is_stopping = true;
        if let Some(life) = self.life.take() {
            life.stop();
        }
        if self.disk.is_off() {
            self.disk.come_back(Crash::Process);
        }
        self.books.open().stopped();
        self.start();
        self.go_on();
        self.look(true);
    }

    /// Tokio wakes those who wait for a change of the dispatcher's mode in an order of its own. Only a single worker may
    /// have calls to interrupt then, or the story could not be told again.
    fn let_calls_end(&mut self) {
        let Self { life: Some(life), chance, .. } = self else { return };
        life.dispatcher.pause();
        life.settle();
        while life.provider.waiting() > 0 {
            life.provider.answer(chance, sent());
            life.settle();
        }
    }

    /// Starts the process, however often it takes.
    fn start(&mut self) {
        for start in 1..=STARTS_MAX {
            if start == STARTS_MAX {
                self.disk.set_faults(Faults::default());
                self.disk.go_off_in(None);
            }
            self.refusals_fit_the_disk();
            self.lives += 1;
            self.note(format!("start {}", self.lives));
            self.clock.set_back(std::mem::take(&mut self.set_back));
            match Life::start(&self.world, self.seed.wrapping_mul(1_000) + self.lives) {
                Ok(life) => {
                    self.life = Some(life);
                    return;
                }
                Err(error @ StoreError::Unavailable { .. }) => {
                    self.books.open().failed("the start", true, &error.to_string());
                }
                Err(error) => self.books.open().failed("the start", false, &error.to_string()),
            }
            if self.disk.is_off() {
                let crash = if self.world.durability == Durability::Full { Crash::Power } else { Crash::Process };
                self.disk.come_back(crash);
            }
            if self.is_broken() {
                break;
            }
        }
        panic!("the process does not start");
    }

    /// All is well from here on: everything has to come to its end.
    fn finish(&mut self) {
        self.note("the end: the disk is well, and providers take everything");
        self.disk.set_faults(Faults::default());
        self.disk.go_off_in(None);
        self.refusals_fit_the_disk();
        for _ in 0..LAST_MOVES_MAX {
            self.life().expand();
            self.life().settle();
            while self.life().provider.waiting() > 0 {
                let Self { life: Some(life), chance, .. } = self else { return };
                for _ in 0..life.provider.waiting() {
                    life.provider.answer(chance, sent());
                }
                life.settle();
            }
            if self.is_broken() {
                return;
            }
            let store = Arc::clone(&self.life().store);
            let count = self.life().ask(async move {
                // As the runtime does all the time: a commit, and nothing is old enough to go.
                store.sweep(NOTHING_IS_OLD).await?;
                store.count().await
            });
            if count.is_ok_and(|count| count.open == 0) && self.books.open().open_requests == 0 {
                return self.ended();
            }
            let now = self.clock.now();
            match self.clock.next_wait() {
                Some(next) => self.advance(next.since(now)),
                None => break,
            }
        }
        let (waits, in_flight) = (self.clock.next_wait(), self.life().dispatcher.in_flight());
        let mut books = self.books.open();
        let (unsettled, requests) = (books.unsettled(), books.open_requests);
        let line = format!(
            "not all is done: {in_flight} slots are taken, {unsettled} calls and {requests} requests are open, next wait {waits:?}"
        );
        books.breaks("I9", line);
    }

    fn ended(&mut self) {
        self.look(true);
        let (in_flight, unsettled) = (self.life().dispatcher.in_flight(), self.books.open().unsettled());
        if in_flight + unsettled > 0 {
            self.books.open().breaks("I6", format!("all is done, {in_flight} slots are taken, {unsettled} calls open"));
        }
        self.restart();
    }
}

impl Drop for Story {
    fn drop(&mut self) {
        // Connections are closed before the file system that they are in goes.
        self.life = None;
    }
}
