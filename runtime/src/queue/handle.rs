//! The queue as the rest of the house holds it: behind a lock, with a clock, waking whoever waits for work.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::{
    Called, Ended, GateChange, GateSettings, GateStatus, Hold, PriorityDepth, ReadyQueue, Slot, SlotCounts, Taken,
    WindowLimits,
};
use crate::clock::Clock;
use crate::domain::{BreakerBook, ChannelName, Flow, HeldBy, Lane, PluginName, Position, Priority, Queued, Timestamp};
use crate::store::{CommitListener, Committed, Store, StoreError};

/// Deliveries offered under one lock: about 10 µs, so that a commit of thousands does not hold up the workers.
const OFFER_CHUNK: usize = 256;

/// The wait before a page that could not be read is asked for again.
const PAGE_RETRY: Duration = Duration::from_secs(1);

/// A shared [`ReadyQueue`]. Clones are the same queue.
#[derive(Clone)]
pub struct QueueHandle {
    shared: Arc<Shared>,
}

struct Shared {
    queue: Mutex<ReadyQueue>,
    clock: Arc<dyn Clock>,
    /// Something may be there to take.
    work: Notify,
    /// The keeper has a page to read or an earlier timer to set.
    upkeep: Notify,
    /// A breaker has changed.
    changed: Notify,
}

impl QueueHandle {
    /// An empty queue on this clock.
    #[must_use]
    pub fn new(limits: WindowLimits, clock: Arc<dyn Clock>) -> Self {
        let (queue, notify) = (Mutex::new(ReadyQueue::new(limits)), Notify::new);
        Self { shared: Arc::new(Shared { queue, clock, work: notify(), upkeep: notify(), changed: notify() }) }
    }

    /// These deliveries wait, durably. Quick: it never waits for a worker or the store.
    pub fn offer_all(&self, queued: &[Queued]) {
        for chunk in queued.chunks(OFFER_CHUNK) {
            self.change(|queue, now| {
                for queued in chunk {
                    queue.offer(queued, now);
                }
            });
            self.shared.work.notify_waiters();
        }
    }

    /// These deliveries wait no longer, durably. One look at each lane, however many of it there are.
    pub fn withdraw_all(&self, withdrawn: &[Queued]) {
        let mut lanes = HashMap::<&Lane, BTreeSet<Position>>::new();
        for Queued { lane, position } in withdrawn {
            lanes.entry(lane).or_default().insert(*position);
        }
        for (lane, gone) in lanes {
            self.change(|queue, now| queue.withdraw(lane, &gone, now));
        }
    }

    /// The flow of a delivery to `address` that is about to wait: see [`ReadyQueue::flow_of`].
    #[must_use]
    pub fn flow_of(&self, priority: Priority, channel: &ChannelName, address: &str) -> Flow {
        self.lock().flow_of(priority, channel, address)
    }

    /// What was taken and not called waits as before.
    pub fn give_back(&self, taken: &[Taken]) {
        self.change(|queue, now| {
            for taken in taken {
                queue.give_back(taken, now);
            }
        });
        self.shared.work.notify_waiters();
    }

    /// So many slots there are in all. From here on each channel is held to its share of them.
    pub fn set_slots(&self, counts: SlotCounts) {
        self.lock().set_slots(counts);
    }

    /// These slots are free again: how each call ended. Wakes nobody: whoever releases slots can use them, and looks for
    /// work next.
    pub fn release(&self, holds: impl IntoIterator<Item = (Hold, Ended)>) {
        self.change(|queue, now| holds.into_iter().for_each(|(hold, ended)| queue.release(hold, &ended, now)));
    }

    /// What holds each of these channels back from here on.
    pub fn set_gates(&self, settings: impl IntoIterator<Item = (ChannelName, GateSettings)>) {
        self.change(|queue, now| {
            for (channel, settings) in settings {
                queue.set_gate(&channel, settings, now);
            }
        });
        self.shared.work.notify_waiters();
    }

    /// Takes nothing of this channel until it is [resumed](Self::resume).
    pub fn pause(&self, channel: &ChannelName) {
        self.change(|queue, now| queue.pause(channel, true, now));
    }

    /// Ends a pause.
    pub fn resume(&self, channel: &ChannelName) {
        if self.change(|queue, now| queue.pause(channel, false, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// Closes this channel's breaker and forgets what its provider asked for.
    pub fn reset(&self, channel: &ChannelName) {
        if self.change(|queue, now| queue.reset_gate(channel, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// What an earlier process knew of this channel.
    pub fn restore_gate(&self, channel: &ChannelName, paused: bool, book: BreakerBook) {
        if self.change(|queue, now| queue.restore_gate(channel, paused, book, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// How each channel's gate stands.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        self.change(|queue, now| {
            queue.advance(now);
            queue.gates()
        })
    }

    /// The same of one; none where it has no gate.
    #[must_use]
    pub fn gate(&self, channel: &ChannelName) -> Option<GateStatus> {
        self.gates().into_iter().find(|gate| gate.channel == *channel)
    }

    /// Whether nothing of this channel goes until an operator says so: it is paused, or was out of order for too long.
    #[must_use]
    pub fn is_stopped(&self, channel: &ChannelName) -> bool {
        self.lock().is_stopped(channel)
    }

    /// Why nothing of this channel is taken now: see [`ReadyQueue::held_by`].
    #[must_use]
    pub fn held_by(&self, channel: &ChannelName) -> Option<HeldBy> {
        self.lock().held_by(channel, self.shared.clock.now())
    }

    /// What changed, once something has. For one listener.
    pub async fn gate_changes(&self) -> Vec<GateChange> {
        loop {
            let changes = self.lock().take_gate_changes();
            if !changes.is_empty() {
                return changes;
            }
            self.shared.changed.notified().await;
        }
    }

    /// Has everybody look again who waits for work: slots are free that whoever released them does not use.
    pub fn wake(&self) {
        self.shared.work.notify_waiters();
    }

    /// Takes up to `most` deliveries for slots of this kind and adds them to `into`. All are due at the answer, which
    /// is the instant to claim them at.
    pub fn take(&self, slot: Slot, most: usize, into: &mut Vec<Taken>) -> Timestamp {
        self.change(|queue, now| {
            into.extend(std::iter::from_fn(|| queue.take(slot, now)).take(most));
            queue.now()
        })
    }

    /// Holds the deliveries of these channels and of no others: they wait, and nobody takes them. Quick.
    pub fn hold_only(&self, channels: &BTreeSet<ChannelName>) {
        if self.change(|queue, now| queue.hold_only(channels, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// What was taken cannot be called with while this template engine is held, and waits until it is held no longer:
    /// nobody takes it, and nothing is asked meanwhile. Where it is not held by now, it waits as before.
    pub fn set_aside(&self, engine: &PluginName, taken: Taken) {
        if self.change(|queue, now| queue.set_aside(engine, taken, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// What was taken is not called before `until`: its own turn comes then.
    pub fn defer(&self, taken: Taken, until: Timestamp) {
        if self.change(|queue, now| queue.defer(taken, until, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// What was deferred comes at another instant.
    pub fn call_up(&self, called: &[Called]) {
        if !called.is_empty() && self.change(|queue, now| queue.call_up(called, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// What is deferred on these channels waits as before.
    pub fn let_go_of(&self, is_one: impl Fn(&ChannelName) -> bool) {
        self.change(|queue, _| queue.let_go_of(is_one));
        while self.change(|queue, now| queue.take_in(OFFER_CHUNK, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// How many deliveries of this channel are [deferred](Self::defer).
    #[must_use]
    pub fn deferred(&self, channel: &ChannelName) -> usize {
        self.lock().deferred(channel)
    }

    /// Holds these template engines and no others: what was [set aside](Self::set_aside) for another waits as before.
    pub fn hold_engines_only(&self, engines: &BTreeSet<PluginName>) {
        self.change(|queue, _| queue.hold_engines_only(engines));
        while self.change(|queue, now| queue.take_in(OFFER_CHUNK, now)) {
            self.shared.work.notify_waiters();
        }
    }

    /// Completes once something may be there to take. To miss nothing, make and `enable` it before the
    /// [`take`](Self::take) that finds nothing.
    pub fn work(&self) -> Notified<'_> {
        self.shared.work.notified()
    }

    /// Learns what waited in `store` before this queue was made. Deliveries accepted since may have been offered
    /// already.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the lanes cannot be read; the queue is as before.
    pub async fn restore(&self, store: &dyn Store) -> Result<(), StoreError> {
        let lanes = store.lanes().await?;
        self.change(|queue, _| {
            for depth in &lanes {
                queue.restore(&depth.lane, depth.waiting);
            }
        });
        Ok(())
    }

    /// Reads the pages that the queue has room for and wakes the workers when something becomes due. Runs until it is
    /// dropped; one of these is needed, and one is enough.
    pub async fn keep(&self, store: Arc<dyn Store>) {
        loop {
            let upkeep = self.shared.upkeep.notified();
            tokio::pin!(upkeep);
            upkeep.as_mut().enable();
            if !self.read_page(store.as_ref()).await {
                let due = self.lock().next_due();
                match due {
                    None => upkeep.await,
                    Some(due) => tokio::select! {
                        // In a fixed order, so that the same story can be told twice.
                        biased;
                        () = upkeep => {}
                        () = self.shared.clock.wait_until(due) => self.wake_due(),
                    },
                }
            }
        }
    }

    /// What waits at each priority, as in [`Priority::DESCENDING`](crate::domain::Priority::DESCENDING).
    #[must_use]
    pub fn depths(&self) -> [PriorityDepth; 4] {
        let now = self.shared.clock.now();
        let mut queue = self.lock();
        queue.advance(now);
        queue.depths()
    }

    /// Tells whether there was a page to read.
    async fn read_page(&self, store: &dyn Store) -> bool {
        let Some(request) = self.lock().next_page() else { return false };
        match store.page(&request.lane, request.after, request.limit).await {
            Ok(page) => {
                self.change(|queue, now| queue.loaded(&request, &page, now));
                self.shared.work.notify_waiters();
            }
            Err(error) => {
                tracing::warn!(
                    channel = %request.lane.channel, priority = %request.lane.priority, error = %error,
                    "Could not read waiting deliveries; trying again."
                );
                let now = self.shared.clock.now();
                self.lock().load_failed(&request);
                self.shared.clock.wait_until(now.after(PAGE_RETRY)).await;
            }
        }
        true
    }

    fn wake_due(&self) {
        // Also where somebody has moved the queue on by now who only looked, as for metrics: they woke nobody.
        self.change(ReadyQueue::advance);
        self.shared.work.notify_waiters();
    }

    /// Changes the queue, and wakes the keeper where that made work for it.
    fn change<T>(&self, change: impl FnOnce(&mut ReadyQueue, Timestamp) -> T) -> T {
        let now = self.shared.clock.now();
        let mut queue = self.lock();
        let (due, wanted, changes) = (queue.next_due(), queue.wants_page(), queue.gate_changes());
        let answer = change(&mut queue, now);
        let earlier = queue.next_due().is_some_and(|new| due.is_none_or(|old| new < old));
        let upkeep = earlier || (!wanted && queue.wants_page());
        let changed = queue.gate_changes() != changes;
        drop(queue);
        if changed {
            self.shared.changed.notify_one();
            // What waited for a breaker that is closed now is more than whoever gave back the last slot can take.
            self.shared.work.notify_waiters();
        }
        if upkeep {
            self.shared.upkeep.notify_one();
        }
        answer
    }

    fn lock(&self) -> MutexGuard<'_, ReadyQueue> {
        // The queue is consistent between any two of its methods, and none of them calls foreign code.
        self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl CommitListener for QueueHandle {
    fn committed(&self, committed: Committed) {
        self.offer_all(&committed.accepted);
        self.withdraw_all(&committed.withdrawn);
    }
}

#[cfg(test)]
mod tests;
