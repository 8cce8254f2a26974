//! What is written of callbacks: those that were given up, and how far those with a durable name have come.
//!
//! *Invariant:* a cursor is never written before what was given up at or before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::registry::{Callback, Place};
use crate::clock::Clock;
use crate::domain::{
    CallbackBook, CallbackEvent, CallbackFate, CallbackName, DeadCallback, Event, EventBody, Timestamp,
};
use crate::store::{CallbackChange, Store, StoreError};

/// Notes that wait to be written. Who has one more waits: that is a worker or a follower of callbacks, never delivery.
const NOTES_MAX: usize = 1_024;

/// Notes that are written in one transaction.
const TOGETHER: usize = 256;

/// A cursor is written no more often than this.
const SAVED_EVERY: Duration = Duration::from_secs(1);

/// The wait after the store refused. A full disk is not helped by asking often.
const AGAIN: Duration = Duration::from_secs(1);

enum Note {
    /// Given up; with the id of the one that this was the replay of.
    Dead(DeadCallback, Option<u64>),
    /// A call failed, and will be made again.
    Failed(Event),
    /// A replay that succeeded.
    Revived(u64),
    /// It has come further.
    Moved(Arc<Callback>),
    /// Everything noted before is to be written, and this told.
    Flush(oneshot::Sender<()>),
}

/// Takes notes. Clones share it.
#[derive(Clone)]
pub(super) struct Ledger {
    notes: mpsc::Sender<Note>,
    /// Calls given up that could not be written down.
    lost: Arc<AtomicU64>,
}

impl Ledger {
    /// Starts to write.
    pub(super) fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> (Self, JoinHandle<()>) {
        let (notes, taken) = mpsc::channel(NOTES_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let scribe = Scribe { store, clock, lost: Arc::clone(&lost), moved: BTreeMap::new(), saved_at: None };
        (Self { notes, lost }, tokio::spawn(scribe.write_down(taken)))
    }

    pub(super) async fn dead(&self, dead: DeadCallback, replay_of: Option<u64>) {
        if self.notes.send(Note::Dead(dead, replay_of)).await.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) async fn failed(&self, event: Event) {
        // Not written, nobody hears of it but those who read the log.
        let _ = self.notes.send(Note::Failed(event)).await;
    }

    pub(super) async fn revived(&self, id: u64) {
        // Not written, it is still listed, and may be replayed once more.
        let _ = self.notes.send(Note::Revived(id)).await;
    }

    /// The place of this callback is another one.
    pub(super) async fn moved(&self, callback: &Arc<Callback>) {
        let Some(place) = &callback.place else { return };
        if !place.is_dirty.swap(true, Ordering::AcqRel) {
            // Not written, the events since the last time are told again.
            let _ = self.notes.send(Note::Moved(Arc::clone(callback))).await;
        }
    }

    /// Returns once everything noted before is written, or cannot be.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        if self.notes.send(Note::Flush(done)).await.is_ok() {
            // Where the scribe has ended there is nothing to wait for.
            let _ = written.await;
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

struct Scribe {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    lost: Arc<AtomicU64>,
    moved: BTreeMap<CallbackName, Arc<Callback>>,
    saved_at: Option<Timestamp>,
}

impl Scribe {
    async fn write_down(mut self, mut taken: mpsc::Receiver<Note>) {
        let mut notes = Vec::new();
        loop {
            let due = self.due();
            let saved = async {
                match due {
                    Some(due) => self.clock.wait_until(due).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                count = taken.recv_many(&mut notes, TOGETHER) => if count == 0 { return },
                () = saved => {}
            }
            let is_due = notes.iter().any(|note| matches!(note, Note::Flush(_)))
                || self.due().is_some_and(|due| due <= self.clock.now());
            self.note_moved(&mut notes);
            let books = if is_due { self.books() } else { Vec::new() };
            // What was given up before a cursor was read has been noted before it was: it is written along with it.
            while let Ok(note) = taken.try_recv() {
                notes.push(note);
            }
            self.note_moved(&mut notes);
            self.write(&mut notes, books).await;
        }
    }

    /// When places are to be written.
    fn due(&self) -> Option<Timestamp> {
        let due = self.saved_at.map_or(Timestamp::default(), |at| at.after(SAVED_EVERY));
        (!self.moved.is_empty()).then_some(due)
    }

    fn note_moved(&mut self, notes: &mut Vec<Note>) {
        for note in notes.extract_if(.., |note| matches!(note, Note::Moved(_))) {
            if let Note::Moved(callback) = note {
                self.moved.insert(callback.name.clone(), callback);
            }
        }
    }

    fn books(&mut self) -> Vec<CallbackBook> {
        self.saved_at = Some(self.clock.now());
        let moved = std::mem::take(&mut self.moved);
        moved.values().filter_map(|callback| callback.place.as_ref()).map(book_of).collect()
    }

    async fn write(&mut self, notes: &mut Vec<Note>, books: Vec<CallbackBook>) {
        let (mut change, mut flushed) = (CallbackChange { books, ..CallbackChange::default() }, Vec::new());
        for note in notes.drain(..) {
            match note {
                Note::Dead(dead, replay_of) => {
                    change.events.push(told(&dead));
                    change.dead.push(dead);
                    change.revived.extend(replay_of);
                }
                Note::Failed(event) => change.events.push(event),
                Note::Revived(id) => change.revived.push(id),
                Note::Moved(_) => {}
                Note::Flush(done) => flushed.push(done),
            }
        }
        if !(change.books.is_empty() && change.events.is_empty() && change.revived.is_empty()) {
            self.keep(change).await;
        }
        for done in flushed {
            // Who flushed may have given up.
            let _ = done.send(());
        }
    }

    async fn keep(&self, change: CallbackChange) {
        loop {
            match self.store.keep_callbacks(change.clone()).await {
                Ok(()) => return,
                Err(error) if error.is_transient() => {
                    tracing::error!(error = %error, "Could not write down what became of callbacks; trying again.");
                    self.clock.wait_until(self.clock.now().after(AGAIN)).await;
                }
                Err(error) => {
                    self.lost.fetch_add(change.dead.len() as u64, Ordering::Relaxed);
                    if !matches!(error, StoreError::Closed) || !change.dead.is_empty() {
                        let dead = change.dead.len();
                        tracing::error!(error = %error, dead, "Could not write down what became of callbacks.");
                    }
                    return;
                }
            }
        }
    }
}

fn told(dead: &DeadCallback) -> Event {
    let DeadCallback { callback, kind, event, notification, delivery, at, .. } = dead.clone();
    let fate = CallbackFate::Dead;
    Event { at, body: EventBody::Callback(CallbackEvent { callback, fate, kind, event, notification, delivery }) }
}

/// As it is to be written now. What comes after makes it dirty again.
fn book_of(place: &Place) -> CallbackBook {
    place.is_dirty.store(false, Ordering::Release);
    CallbackBook { cursor: place.cursor(), ..place.book.clone() }
}
