//! Threads of their own for closures that block.
//!
//! The program's runtime waits for its blocking tasks when it ends: a closure that never returns would keep the program
//! from ending. These threads keep nobody.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What a thread is given. It must not panic.
pub(super) type Work = Box<dyn FnOnce() + Send>;

/// A thread that has nothing to do for so long ends.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// Threads that are made when there is something to do for them. Clones share them.
#[derive(Clone)]
pub(super) struct Threads {
    shared: Arc<Shared>,
}

struct Shared {
    most: usize,
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    alive: usize,
    idle: usize,
}

/// Every thread is held by something that does not return.
#[derive(Debug)]
pub(super) struct NoThread;

impl Threads {
    /// At most `most` of them.
    pub(super) fn new(most: usize) -> Self {
        Self { shared: Arc::new(Shared { most, state: Mutex::default(), work: Condvar::new() }) }
    }

    /// Has a thread do this at once, or not at all.
    pub(super) fn run(&self, work: Work) -> Result<(), NoThread> {
        let mut state = self.shared.lock();
        if state.waiting.len() < state.idle {
            state.waiting.push_back(work);
            self.shared.work.notify_one();
            return Ok(());
        }
        if state.alive == self.shared.most {
            return Err(NoThread);
        }
        state.alive += 1;
        drop(state);
        let shared = Arc::clone(&self.shared);
        started(move || shared.live(work)).map_err(|error| {
            tracing::error!(error = %error, "Could not start a thread for a callback.");
            self.shared.lock().alive -= 1;
            NoThread
        })
    }
}

fn started(body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    std::thread::Builder::new().name("campanile-callback".to_owned()).spawn(body).map(drop)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, mut work: Work) {
        loop {
            work();
            let mut state = self.lock();
            state.idle += 1;
            let waited = self.work.wait_timeout_while(state, IDLE_MAX, |state| state.waiting.is_empty());
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.idle -= 1;
            match state.waiting.pop_front() {
                Some(next) => work = next,
                None => {
                    state.alive -= 1;
                    return;
                }
            }
        }
    }
}
