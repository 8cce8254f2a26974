//! One life of the process: the real intake, queue, dispatcher and store on one thread, from a start to its end.
//!
//! *Flow:* tasks run until none can go on; then the writer takes one turn; and so on until nothing is left to do. Tokio's
//! time stands still and tells when all wait: nobody but the simulation uses it. The clock that the engine reads is moved
//! by hand.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use campanile::call::OwnContent;
use campanile::clock::{Clock, Entropy, ManualClock};
use campanile::config::WorkersConfig;
use campanile::dispatch::{Dispatcher, Fallbacks, Neighbours, Paces, RetryPolicies, TimeLimits};
use campanile::domain::NotificationId;
use campanile::intake::{Intake, NoCallbackUrls};
use campanile::queue::{QueueHandle, WindowLimits};
use campanile::store::sqlite::{SqliteStore, SteppedOptions, SteppedWriter};
use campanile::store::{Durability, Store, StoreError};
use campanile::telemetry::Metrics;
use tokio::runtime::{Builder, Runtime};

use crate::ledger::RequestNumber;
use crate::outside::{Books, Directory, Listener, NoTemplates, Provider};

/// So many turns without an end are a loop.
const TURNS_MAX: usize = 100_000;

/// Deliveries that expire with one commit, about: fewer than there may be.
const EXPIRED_MAX: usize = 3;

/// Events that are read at once.
const PAGE: usize = 1_000;

/// Longer than the simulation lasts, so that a key never holds twice.
const DEDUPE_WINDOW: Duration = Duration::from_hours(10_000);

/// What outlives the process.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) vfs: String,
    pub(crate) clock: ManualClock,
    /// Time that only grows, however the clock is set.
    pub(crate) grown: Grown,
    pub(crate) books: Books,
    pub(crate) durability: Durability,
    pub(crate) workers: WorkersConfig,
    pub(crate) window: WindowLimits,
    pub(crate) log_bytes: u64,
}

/// How much time has passed, whatever the clock shows. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grown(Arc<AtomicU64>);

impl Grown {
    pub(crate) fn by(&self, by: Duration) {
        self.0.fetch_add(by.as_millis() as u64, Ordering::Relaxed);
    }

    fn all(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

pub(crate) struct Life {
    /// First, so that no task is left when the rest goes.
    runtime: Runtime,
    pub(crate) store: Arc<SqliteStore>,
    writer: SteppedWriter,
    pub(crate) dispatcher: Arc<Dispatcher>,
    pub(crate) provider: Arc<Provider>,
    intake: Intake,
    books: Books,
    clock: ManualClock,
}

impl Life {
    /// Starts the process. `number` tells it from the others.
    pub(crate) fn start(world: &World, number: u64) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime starts");
        let clock = world.clock.clone();
        let queue = QueueHandle::new(world.window, Arc::new(clock.clone()));
        let is_opening = Arc::new(Mutex::new(true));
        let (books, real) = (world.books.clone(), Instant::now());
        let grown = world.grown.clone();
        let listener = Listener { books: books.clone(), queue: queue.clone(), is_opening: Arc::clone(&is_opening) };
        let (store, mut writer) = SqliteStore::open_stepped(SteppedOptions {
            path: "store.db".into(),
            vfs: world.vfs.clone(),
            durability: world.durability,
            listener: Arc::new(listener),
            ticks: Arc::new(move || real + grown.all()),
            log_bytes: world.log_bytes,
        })?;
        catch_up(&runtime, &mut writer, &store, &books)?;
        *is_opening.lock().unwrap_or_else(PoisonError::into_inner) = false;

        let entropy = Arc::new(Entropy::fixed(number));
        let provider = Arc::new(Provider::new(books.clone()));
        let waiting = queue.clone();
        let neighbours = Neighbours {
            store: Arc::clone(&store) as _,
            queue,
            caller: Arc::clone(&provider) as _,
            content: Arc::new(OwnContent),
            clock: Arc::new(clock.clone()),
            entropy: Arc::clone(&entropy),
            policies: RetryPolicies::default(),
            hosts: BTreeMap::new(),
            paces: Paces::default(),
            time_limits: TimeLimits::default(),
            channels: Arc::new(Directory::new()),
            fallbacks: Fallbacks::default(),
            metrics: Metrics::off(),
        };
        let workers = world.workers;
        let starting = async move { Dispatcher::start(&workers, neighbours).await };
        let dispatcher = Arc::new(ask(&runtime, &mut writer, starting)?);
        let intake = Intake {
            store: Arc::clone(&store) as _,
            channels: Arc::new(Directory::new()),
            templates: Arc::new(NoTemplates),
            clock: Arc::new(clock.clone()),
            entropy,
            metrics: Metrics::off(),
            queue: waiting,
            dedupe_window: DEDUPE_WINDOW,
            callback_urls: Arc::new(NoCallbackUrls),
        };
        Ok(Self { runtime, store, writer, dispatcher, provider, intake, books, clock })
    }

    /// Lets everything go on until nothing can without the clock.
    pub(crate) fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            idle(&self.runtime);
            if !self.writer.step() {
                return;
            }
        }
        self.books.open().breaks("I9", format!("no end after {TURNS_MAX} turns without the clock being moved"));
    }

    /// Lets the tasks go on, and the writer only so many turns: what is asked for then waits for it.
    pub(crate) fn go_on(&mut self, turns: u64) {
        for _ in 0..turns {
            idle(&self.runtime);
            self.writer.step();
        }
        idle(&self.runtime);
    }

    /// Waits for an answer that needs no clock.
    pub(crate) fn ask<T, F>(&mut self, question: F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        ask(&self.runtime, &mut self.writer, question)
    }

    /// Runs beside the rest, until it ends or the process does.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }

    /// Has something accepted. The answer comes into the books.
    pub(crate) fn submit(&self, number: RequestNumber) {
        let (intake, books, clock) = (self.intake.clone(), self.books.clone(), self.clock.clone());
        let submission = books.open().asked(number);
        self.spawn(async move {
            let answer = intake.submit(submission).await;
            books.open().answered(number, answer, clock.now());
        });
    }

    /// The same for many at once.
    pub(crate) fn submit_batch(&self, numbers: Vec<RequestNumber>) {
        let (intake, books, clock) = (self.intake.clone(), self.books.clone(), self.clock.clone());
        let submissions = numbers.iter().map(|number| books.open().asked(*number)).collect();
        self.spawn(async move {
            let answer = intake.submit_batch(submissions).await;
            let mut books = books.open();
            books.open_requests -= numbers.len() as u32;
            match answer {
                Err(error) => books.failed("a batch", error.is_transient(), &error.to_string()),
                Ok(answers) => {
                    for (number, answer) in numbers.into_iter().zip(answers) {
                        match answer {
                            Ok(acceptance) => books.accepted(number, &acceptance),
                            Err(problems) => books.refused(number, &problems, clock.now()),
                        }
                    }
                }
            }
        });
    }

    /// Makes the deliveries of large notifications, as the runtime does, until there are none left to be made or the store
    /// refuses.
    pub(crate) fn expand(&self) {
        let (store, clock, books) = (Arc::clone(&self.store), self.clock.clone(), self.books.clone());
        self.spawn(async move {
            let mut after = NotificationId::FIRST;
            let end = loop {
                match store.expanding(after).await {
                    Ok(Some(id)) => match store.expand(id, clock.now()).await {
                        Ok(_) => after = id,
                        Err(error) => break Some(error),
                    },
                    Ok(None) if after == NotificationId::FIRST => break None,
                    Ok(None) => after = NotificationId::FIRST,
                    Err(error) => break Some(error),
                }
            };
            if let Some(error) = end {
                books.open().failed("the expander", error.is_transient(), &error.to_string());
            }
        });
    }

    /// Ends what has expired while it waited, and tells progress that was held back, as the runtime does.
    pub(crate) fn tend(&self) {
        let (store, clock, books) = (Arc::clone(&self.store), self.clock.clone(), self.books.clone());
        self.spawn(async move {
            let tended = async {
                store.expire(clock.now(), EXPIRED_MAX).await?;
                store.tell_progress(clock.now()).await
            };
            if let Err(error) = tended.await {
                books.open().failed("what time brings about", error.is_transient(), &error.to_string());
            }
        });
    }

    /// Ends the process in order: what is in flight is interrupted.
    pub(crate) fn stop(mut self) {
        let dispatcher = Arc::clone(&self.dispatcher);
        self.ask(async move { dispatcher.shutdown(Duration::ZERO).await });
        let store = Arc::clone(&self.store);
        self.ask(async move { store.close().await });
    }
}

/// Reads the events that nobody was told of, since their commit was the last thing that happened.
fn catch_up(
    runtime: &Runtime,
    writer: &mut SteppedWriter,
    store: &Arc<SqliteStore>,
    books: &Books,
) -> Result<(), StoreError> {
    loop {
        let (store, after) = (Arc::clone(store), books.open().events.last().map_or(0, |event| event.number));
        let events = ask(runtime, writer, async move { store.outbox(after, PAGE).await })?;
        if events.is_empty() {
            return Ok(());
        }
        let mut books = books.open();
        events.iter().for_each(|event| books.learn(event));
    }
}

/// Lets the tasks go on until each of them waits.
fn idle(runtime: &Runtime) {
    // Tokio moves a clock that stands still when, and only when, there is nothing else to do.
    runtime.block_on(async {
        tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_millis(1)).await;
    });
}

fn ask<T, F>(runtime: &Runtime, writer: &mut SteppedWriter, question: F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let asked = runtime.spawn(question);
    for _ in 0..TURNS_MAX {
        idle(runtime);
        if asked.is_finished() {
            return runtime.block_on(asked).expect("what was asked does not panic");
        }
        writer.step();
    }
    panic!("no answer after {TURNS_MAX} turns of the writer");
}
