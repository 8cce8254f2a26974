//! For consumers of a stream of events: where to go on, what was there before, and callbacks that a slow disk or a panic
//! does not break.
//!
//! *Flow:* read an event from any source → [`EventTracker::record`] → its callback, at once or through a bounded channel.
//!
//! *Invariants:* an event that was not handed to the callback is given back, is not taken as seen, and
//! [`EventTracker::last_id`] does not pass it. A tracker with a synchronous callback has no channel and no task.
//!
//! *Not here:* where events come from. An id is any text, an event any value.

mod seen;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use seen::Seen;

/// How long [`EventTracker::record`] waits for a full channel.
const FULL_LIMIT: Duration = Duration::from_millis(100);

/// Follows a stream of events: remembers the last id, drops what comes twice, and calls a callback for each event.
///
/// A source that resumes may repeat itself; within the last [`WINDOW`](Self::WINDOW) ids a repeated event is dropped.
/// Events are `E`, whatever the source makes of them, and ids any text. Callbacks are called one at a time, in order.
///
/// With a synchronous callback:
///
/// ```
/// use campanile::events::{EventTracker, Recorded};
///
/// let mut tracker = EventTracker::new(|id: &str, text: &String| println!("{id}: {text}"));
/// assert_eq!(tracker.try_record("a-1", "sent".to_owned()), Recorded::Delivered);
/// assert_eq!(tracker.try_record("a-1", "sent".to_owned()), Recorded::Duplicate);
/// assert_eq!(tracker.last_id(), Some("a-1"));
/// ```
///
/// With an asynchronous one that may be slower than the source, which then has to wait:
///
/// ```
/// use campanile::events::{EventTracker, Recorded};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut tracker = EventTracker::asynchronous(64, |id, text: String| async move {
///     tokio::fs::write(std::env::temp_dir().join("newest"), format!("{id} {text}")).await.ok();
/// });
/// let mut event = "sent".to_owned();
/// loop {
///     match tracker.record("a-1", event).await {
///         Recorded::Delivered | Recorded::Duplicate => break,
///         // The callback is behind: nothing is lost, the event is here again.
///         Recorded::TimedOut(again) => event = again,
///         Recorded::Closed(_) => panic!("nobody closed it"),
///     }
/// }
/// tracker.close().await;
/// assert_eq!(tracker.done_id().as_deref(), Some("a-1"));
/// # }
/// ```
pub struct EventTracker<E> {
    seen: Seen,
    last: Option<Arc<str>>,
    counts: TrackerCounts,
    callback: Callback<E>,
}

/// What became of an event that was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an event that was not delivered is in here"]
pub enum Recorded<E> {
    /// The callback was called, or will be: it is in the channel.
    Delivered,
    /// It was recorded before.
    Duplicate,
    /// The channel was full for as long as was waited. It may be recorded again.
    TimedOut(E),
    /// Nobody is called any more: the tracker was closed, or the runtime of its callback has ended.
    Closed(E),
}

/// How often what became of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackerCounts {
    /// Handed to the callback.
    pub delivered: u64,
    /// Dropped, since they were recorded before.
    pub duplicate: u64,
    /// Given back, since the channel was full. One event may be counted several times.
    pub timed_out: u64,
    /// Given back, since nobody is called any more.
    pub closed: u64,
    /// Calls that panicked, of those delivered. The event is not told again.
    pub panicked: u64,
}

type SyncCallback<E> = Box<dyn FnMut(&str, &E) + Send>;

enum Callback<E> {
    Sync(SyncCallback<E>),
    Async(Line<E>),
    /// The last event whose callback had ended by then.
    Closed(Option<Arc<str>>),
}

/// The way to an asynchronous callback.
struct Line<E> {
    sender: mpsc::Sender<(Arc<str>, E)>,
    task: JoinHandle<()>,
    progress: Arc<Progress>,
}

/// What the task of an asynchronous callback tells the tracker.
#[derive(Debug, Default)]
struct Progress {
    panicked: AtomicU64,
    done: Mutex<Option<Arc<str>>>,
}

impl<E> EventTracker<E> {
    /// How many ids are remembered unless [`with_window`](Self::with_window) says otherwise.
    pub const WINDOW: usize = 1_024;

    /// With a callback that is called within [`record`](Self::record).
    #[must_use]
    pub fn new(callback: impl FnMut(&str, &E) + Send + 'static) -> Self {
        Self::with(Callback::Sync(Box::new(callback)))
    }

    fn with(callback: Callback<E>) -> Self {
        let seen = Seen::of(Self::WINDOW);
        Self { seen, last: None, counts: TrackerCounts::default(), callback }
    }

    /// Remembers the last `ids`, at least 1, in place of [`WINDOW`](Self::WINDOW). Events that the source may repeat when it
    /// resumes should fit.
    #[must_use]
    pub fn with_window(mut self, ids: usize) -> Self {
        self.seen.resize(ids);
        self
    }

    /// Goes on after the event `id`, which an earlier process saw.
    #[must_use]
    pub fn resuming_after(mut self, id: &str) -> Self {
        self.saw(Arc::from(id));
        self
    }

    /// Hands an event on, unless it was there before. Where the channel of an asynchronous callback is full, waits for room,
    /// at most 100 ms.
    ///
    /// May be cancelled: an event that was not handed on by then is not taken as seen.
    pub async fn record(&mut self, id: &str, event: E) -> Recorded<E> {
        let event = match self.offer(id, event) {
            Ok(recorded) => return recorded,
            Err(event) => event,
        };
        let Callback::Async(line) = &self.callback else { return self.refuse(event) };
        let sender = line.sender.clone();
        match tokio::time::timeout(FULL_LIMIT, sender.reserve()).await {
            Ok(Ok(place)) => {
                let id: Arc<str> = Arc::from(id);
                place.send((Arc::clone(&id), event));
                self.delivered(id)
            }
            Ok(Err(_)) => self.refuse(event),
            Err(_) => self.time_out(event),
        }
    }

    /// As [`record`](Self::record), and never waits: a full channel is [`Recorded::TimedOut`] at once.
    pub fn try_record(&mut self, id: &str, event: E) -> Recorded<E> {
        match self.offer(id, event) {
            Ok(recorded) => recorded,
            Err(event) => self.time_out(event),
        }
    }

    /// Gives the event back where the channel is full.
    fn offer(&mut self, id: &str, event: E) -> Result<Recorded<E>, E> {
        if self.seen.contains(id) {
            self.counts.duplicate += 1;
            return Ok(Recorded::Duplicate);
        }
        match &mut self.callback {
            Callback::Closed(_) => Ok(self.refuse(event)),
            Callback::Sync(call) => {
                // What a closure left half done is its own affair; nothing of the tracker is within it.
                if catch_unwind(AssertUnwindSafe(|| call(id, &event))).is_err() {
                    self.counts.panicked += 1;
                }
                Ok(self.delivered(Arc::from(id)))
            }
            Callback::Async(line) => {
                let shared: Arc<str> = Arc::from(id);
                match line.sender.try_send((Arc::clone(&shared), event)) {
                    Ok(()) => Ok(self.delivered(shared)),
                    Err(TrySendError::Full((_, event))) => Err(event),
                    Err(TrySendError::Closed((_, event))) => Ok(self.refuse(event)),
                }
            }
        }
    }

    fn delivered(&mut self, id: Arc<str>) -> Recorded<E> {
        self.counts.delivered += 1;
        self.saw(id);
        Recorded::Delivered
    }

    fn refuse(&mut self, event: E) -> Recorded<E> {
        self.counts.closed += 1;
        Recorded::Closed(event)
    }

    fn time_out(&mut self, event: E) -> Recorded<E> {
        self.counts.timed_out += 1;
        Recorded::TimedOut(event)
    }

    fn saw(&mut self, id: Arc<str>) {
        self.last = Some(Arc::clone(&id));
        self.seen.insert(id);
    }

    /// The event that was handed on last: a source that resumes after it leaves nothing out while this process lives. For
    /// what another process is to go on from, see [`done_id`](Self::done_id).
    #[must_use]
    pub fn last_id(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// The last event whose callback has ended, or none before the first in this process. What stands in the channel comes
    /// after it, so this one, not [`last_id`](Self::last_id), is to be kept for a restart.
    #[must_use]
    pub fn done_id(&self) -> Option<Arc<str>> {
        match &self.callback {
            Callback::Async(line) => line.progress.done.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Callback::Sync(_) if self.counts.delivered > 0 => self.last.clone(),
            Callback::Sync(_) => None,
            Callback::Closed(done) => done.clone(),
        }
    }

    /// What became of all events so far.
    #[must_use]
    pub fn counts(&self) -> TrackerCounts {
        let behind = match &self.callback {
            Callback::Async(line) => line.progress.panicked.load(Ordering::Relaxed),
            Callback::Sync(_) | Callback::Closed(_) => 0,
        };
        TrackerCounts { panicked: self.counts.panicked + behind, ..self.counts }
    }

    /// Takes no more events, and returns once the callback has had all that it was handed. A callback that never ends holds
    /// this up: put a limit around it. A tracker that is dropped instead lets its callback go on for as long as the runtime.
    pub async fn close(&mut self) {
        if let Callback::Async(Line { sender, task, .. }) = &mut self.callback {
            // Without its only sender the channel ends. Until it has, the callback stays in place: this may be cancelled.
            let (closed, _) = mpsc::channel(1);
            drop(std::mem::replace(sender, closed));
            // It catches what panics, and is aborted only with its runtime.
            let _ = task.await;
        }
        (self.counts, self.callback) = (self.counts(), Callback::Closed(self.done_id()));
    }
}

impl<E: Send + 'static> EventTracker<E> {
    /// With a callback that runs in a task of its own, behind a channel for `queue` events, at least 1. A callback that
    /// cannot keep up makes [`record`](Self::record) wait.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn asynchronous<F, C>(queue: usize, callback: F) -> Self
    where
        F: FnMut(Arc<str>, E) -> C + Send + 'static,
        C: Future<Output = ()> + Send + 'static,
    {
        let (sender, events) = mpsc::channel(queue.max(1));
        let progress = Arc::new(Progress::default());
        let task = tokio::spawn(serve(events, callback, Arc::clone(&progress)));
        Self::with(Callback::Async(Line { sender, task, progress }))
    }
}

async fn serve<E, F, C>(mut events: mpsc::Receiver<(Arc<str>, E)>, mut callback: F, progress: Arc<Progress>)
where
    F: FnMut(Arc<str>, E) -> C,
    C: Future<Output = ()>,
{
    while let Some((id, event)) = events.recv().await {
        // Within the future: a closure may panic before it has one.
        let call = async { callback(Arc::clone(&id), event).await };
        if AssertUnwindSafe(call).catch_unwind().await.is_err() {
            progress.panicked.fetch_add(1, Ordering::Relaxed);
        }
        *progress.done.lock().unwrap_or_else(PoisonError::into_inner) = Some(id);
    }
}

impl<E> fmt::Debug for EventTracker<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventTracker")
            .field("last_id", &self.last)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
