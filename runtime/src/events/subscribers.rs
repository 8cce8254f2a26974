//! Those who read the stream over a connection, which may be slow.
//!
//! *Flow:* [`Subscribers::subscribe`] → a task that follows the log and fills a buffer of bounded size → whoever sends it
//! on empties it.
//!
//! *Invariants:* what a slow client has not taken is not kept for it: its buffer is bounded, and beyond it only its place is
//! remembered. One whose buffer stays full is let go with a word. So is everybody when the server stops.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};

use super::stream::{EventLog, Follow, Followed, Start};
use super::{EventFilter, EventId, payload, sse};
use crate::clock::Clock;
use crate::store::EventNumber;
use crate::telemetry::Metrics;

/// Subscribers at once.
pub const SUBSCRIBERS_MAX: usize = 1_000;

/// What is made ready for a subscriber that does not take it, in bytes. A larger portion has the buffer for itself.
const BUFFER_BYTES: usize = 1 << 20;

/// The same in portions, each of which is of one commit at least.
const BUFFER_PORTIONS: usize = 256;

/// A buffer that is full for so long belongs to a client that reads no more, or too slowly.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// A connection on which nothing is said for so long is given a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// When a client is to connect again, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// There are [`SUBSCRIBERS_MAX`] already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{SUBSCRIBERS_MAX} subscribers follow the events already, which is the limit; ask again later")]
pub struct TooManySubscribers;

/// Why a stream ends that was not given up by its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// All that there was when it began was told, and no more was asked for.
    Newest,
    /// The server stops.
    Stopping,
    /// The client does not take what it is given.
    TooSlow,
    /// The outbox cannot be read.
    Failed,
}

impl End {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Newest => "newest",
            Self::Stopping => "stopping",
            Self::TooSlow => "too-slow",
            Self::Failed => "failed",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::Newest => "this was the newest event when the stream began",
            Self::Stopping => "the server stops; connect again with the last id",
            Self::TooSlow => {
                "1 MiB waited for this client for 10 s; connect again with the last id, or ask for less by filters"
            }
            Self::Failed => "the events cannot be read now; connect again with the last id",
        }
    }
}

/// The reader is gone, or the stream ends.
enum Stop {
    Gone,
    End(End),
}

/// What a subscriber asks for.
#[derive(Clone, Debug)]
pub struct Subscription {
    /// Where to begin.
    pub start: Start,
    /// Which events.
    pub filter: EventFilter,
    /// Whether to go on with what happens later.
    pub follow: bool,
}

/// All who read the stream over connections.
pub struct Subscribers {
    log: Arc<EventLog>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    places: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers").field("places_left", &self.places.available_permits()).finish_non_exhaustive()
    }
}

impl Subscribers {
    /// Of this log. None so far.
    #[must_use]
    pub fn new(log: Arc<EventLog>, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let places = Arc::new(Semaphore::new(SUBSCRIBERS_MAX));
        Self { log, clock, metrics, places, stopping: watch::Sender::new(false) }
    }

    /// The log.
    #[must_use]
    pub const fn log(&self) -> &Arc<EventLog> {
        &self.log
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        SUBSCRIBERS_MAX - self.places.available_permits()
    }

    /// Ends all streams, those to come as well: the server stops.
    pub fn stop(&self) {
        self.stopping.send_replace(true);
    }

    /// Begins a stream. It ends when it is dropped.
    ///
    /// # Errors
    ///
    /// [`TooManySubscribers`].
    pub fn subscribe(&self, subscription: Subscription) -> Result<Subscriber, TooManySubscribers> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TooManySubscribers)?;
        // One place more: for the last word.
        let (out, portions) = mpsc::channel(BUFFER_PORTIONS + 1);
        let Subscription { start, filter, follow } = subscription;
        let pump = Pump {
            // Before the first event of the stream could be missed.
            follow: self.log.follow(start),
            until: (!follow).then(|| self.log.newest().number),
            said: None,
            filter,
            clock: Arc::clone(&self.clock),
            metrics: Arc::clone(&self.metrics),
            out,
            room: Arc::new(Semaphore::new(BUFFER_BYTES)),
            stopping: self.stopping.subscribe(),
        };
        tokio::spawn(async move {
            pump.run(start).await;
            drop(place);
        });
        Ok(Subscriber { portions })
    }
}

/// Bytes that wait for the client, and the room that they take.
struct Portion {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

/// One who reads: the bytes of server-sent events. What was taken makes room for more.
pub struct Subscriber {
    portions: mpsc::Receiver<Portion>,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

impl Stream for Subscriber {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.portions.poll_recv(cx).map(|portion| portion.map(|portion| Ok(portion.bytes)))
    }
}

/// Fills the buffer of one subscriber.
struct Pump {
    follow: Follow,
    /// The stream ends with this event.
    until: Option<EventNumber>,
    /// How far the client knows that it has come.
    said: Option<EventId>,
    filter: EventFilter,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    out: mpsc::Sender<Portion>,
    /// In bytes.
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Pump {
    async fn run(mut self, start: Start) {
        let Ok(last_word) = self.out.clone().reserve_owned().await else { return };
        let mut opening = format!("retry: {RETRY_MS}\n\n").into_bytes();
        if start == Start::Newest {
            // Whoever is cut off before the first event resumes from here all the same.
            sse::put_position(&mut opening, self.follow.position());
        }
        self.said = Some(self.follow.position());
        let stopped = match self.send(opening.into()).await {
            Ok(()) => self.pump().await,
            Err(stop) => stop,
        };
        let Stop::End(end) = stopped else { return };
        if end == End::TooSlow {
            self.metrics.subscriber_cut_off();
        }
        let mut last = Vec::new();
        let data = serde_json::json!({ "type": "end", "data": { "reason": end.as_str(), "detail": end.detail() } });
        sse::put(&mut last, None, "end", |out| out.extend_from_slice(data.to_string().as_bytes()));
        // Beside the buffer: one that is too slow is told why, if it reads on.
        last_word.send(Portion { bytes: last.into(), _room: None });
    }

    async fn pump(&mut self) -> Stop {
        let mut heartbeat_at = self.clock.now().after(HEARTBEAT);
        loop {
            let followed = tokio::select! {
                biased;
                stop = stop_of(&mut self.stopping, &self.out) => return stop,
                // Before events: there may always be some, and none that is wanted.
                () = self.clock.wait_until(heartbeat_at) => None,
                followed = self.follow.next_until(self.until) => Some(followed),
            };
            let said = match followed {
                None => self.heartbeat().await.map(|()| true),
                Some(Ok(Some(followed))) => self.say(followed).await,
                Some(Ok(None)) if self.until.is_some_and(|until| self.follow.position().number >= until) => {
                    return Stop::End(End::Newest);
                }
                // The store is closed.
                Some(Ok(None)) => return Stop::End(End::Stopping),
                Some(Err(error)) => {
                    tracing::warn!(%error, "Events cannot be read for a subscriber; its stream ends.");
                    return Stop::End(End::Failed);
                }
            };
            match said {
                Ok(true) => heartbeat_at = self.clock.now().after(HEARTBEAT),
                // Of what others want to hear nothing was sent: the connection is as silent as before.
                Ok(false) => {}
                Err(stop) => return stop,
            }
        }
    }

    /// Answers whether there was anything to send.
    async fn say(&mut self, followed: Followed) -> Result<bool, Stop> {
        let bytes = match followed {
            Followed::Events(batch) if self.filter.takes_all() => batch.frames(),
            Followed::Events(batch) => batch.frames_of(|event| self.filter.takes(&event.event)),
            Followed::Gap(gap) => {
                self.metrics.event_gap(gap.reason.as_str());
                let mut frame = Vec::new();
                let now = self.clock.now();
                sse::put(&mut frame, Some(gap.resumes), payload::GAP, |out| payload::put_gap(out, gap, now));
                frame.into()
            }
        };
        if bytes.is_empty() {
            return Ok(false);
        }
        self.said = Some(self.follow.position());
        self.send(bytes).await.map(|()| true)
    }

    /// A comment, and how far the stream has come where nothing that was wanted said it: a client that waits for rare
    /// events resumes from there, and not from where everything has been cleared up.
    async fn heartbeat(&mut self) -> Result<(), Stop> {
        let position = self.follow.position();
        let mut bytes = b": heartbeat\n\n".to_vec();
        if self.said.replace(position) != Some(position) {
            sse::put_position(&mut bytes, position);
        }
        self.send(bytes.into()).await
    }

    /// Waits for room, which the client makes by reading.
    async fn send(&mut self, bytes: Bytes) -> Result<(), Stop> {
        let wanted = u32::try_from(bytes.len().min(BUFFER_BYTES)).unwrap_or(u32::MAX);
        let too_late = self.clock.now().after(STALLED_AFTER);
        let (rooms, out) = (&self.room, &self.out);
        let ready = async {
            let room = Arc::clone(rooms).acquire_many_owned(wanted).await.ok()?;
            Some((room, out.reserve().await.ok()?))
        };
        tokio::select! {
            biased;
            ready = ready => {
                // Nobody closes the room: the reader is gone.
                let (room, slot) = ready.ok_or(Stop::Gone)?;
                slot.send(Portion { bytes, _room: Some(room) });
                Ok(())
            }
            stop = stop_of(&mut self.stopping, out) => Err(stop),
            () = self.clock.wait_until(too_late) => Err(Stop::End(End::TooSlow)),
        }
    }
}

/// Completes when the server stops, or the reader is gone.
async fn stop_of(stopping: &mut watch::Receiver<bool>, out: &mpsc::Sender<Portion>) -> Stop {
    tokio::select! {
        // One that cannot be asked any more has stopped.
        _ = stopping.wait_for(|stopping| *stopping) => Stop::End(End::Stopping),
        () = out.closed() => Stop::Gone,
    }
}

#[cfg(test)]
mod tests;
