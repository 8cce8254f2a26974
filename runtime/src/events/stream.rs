//! Following the events: from the outbox while behind, from the ring once caught up.
//!
//! *Invariants:* a follower sees events in order, none twice, and none left out without a word: what is kept no more, or
//! was never of this database, is a [`Gap`]. Nobody who follows holds up the store.

use std::fmt;
use std::sync::Arc;

use tokio::sync::watch;

use super::EventId;
use super::ring::{Batch, CHUNK_EVENTS, Chunk, Outlet, Ring};
use crate::store::{EventEpoch, EventNumber, NumberedEvent, Store, StoreError};

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With what happens from now on.
    Newest,
    /// With the oldest event that is kept.
    Oldest,
    /// Behind the last event that was seen.
    After(EventId),
}

/// Why a follower does not get what follows the last event that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Events were cleared up before it came for them.
    Retention,
    /// What it saw was of another life of the database: before a backup was put in its place.
    OtherEpoch,
    /// It saw what has not happened yet.
    BeyondNewest,
}

impl GapReason {
    /// Every reason there is.
    pub const ALL: [Self; 3] = [Self::Retention, Self::OtherEpoch, Self::BeyondNewest];

    /// Its published name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Retention => "retention",
            Self::OtherEpoch => "other-epoch",
            Self::BeyondNewest => "beyond-newest",
        }
    }
}

/// A place where events are missing. What follows is the oldest event that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// Why.
    pub reason: GapReason,
    /// The last event that was seen before it.
    pub after: EventId,
    /// The stream goes on behind this one: whoever resumes from it is told of no gap again.
    pub resumes: EventId,
}

/// What a follower gets.
#[derive(Clone, Debug)]
pub enum Followed {
    /// Events that follow those before.
    Events(Batch),
    /// Events that it cannot have.
    Gap(Gap),
}

/// The events of a store, for whoever wants to follow them.
pub struct EventLog {
    ring: Arc<Ring>,
    announced: watch::Receiver<EventNumber>,
    store: Arc<dyn Store>,
    epoch: EventEpoch,
}

impl fmt::Debug for EventLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventLog")
            .field("epoch", &self.epoch)
            .field("newest", &self.ring.newest())
            .finish_non_exhaustive()
    }
}

impl EventLog {
    /// Begins to pass on what comes through the other end of `outlet`, which is the listener of `store`. It ends with the
    /// store.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the store cannot be read.
    pub async fn start(outlet: Outlet, store: Arc<dyn Store>) -> Result<Arc<Self>, StoreError> {
        let range = store.event_range().await?;
        let ring = Arc::clone(&outlet.ring);
        ring.begin_behind(range.newest);
        let (announce, announced) = watch::channel(0);
        tokio::spawn(outlet.relay(range.epoch, announce));
        Ok(Arc::new(Self { ring, announced, store, epoch: range.epoch }))
    }

    /// Of which life of the database.
    #[must_use]
    pub const fn epoch(&self) -> EventEpoch {
        self.epoch
    }

    /// The id of the newest event; its number is 0 where there is none.
    #[must_use]
    pub fn newest(&self) -> EventId {
        EventId { epoch: self.epoch, number: self.ring.newest() }
    }

    /// Follows from `start` on. Nothing is read before the first [`next`](Follow::next).
    #[must_use]
    pub fn follow(self: &Arc<Self>, start: Start) -> Follow {
        self.ring.join();
        let known = self.ring.newest();
        let mut follow = Follow {
            log: Arc::clone(self),
            announced: self.announced.clone(),
            known,
            after: 0,
            from_oldest: false,
            gap: None,
        };
        match start {
            Start::Newest => follow.after = known,
            Start::Oldest => follow.from_oldest = true,
            Start::After(id) if id.epoch != self.epoch => follow.gap = Some((GapReason::OtherEpoch, id)),
            Start::After(id) if id.number > known => follow.gap = Some((GapReason::BeyondNewest, id)),
            Start::After(id) => follow.after = id.number,
        }
        follow
    }
}

/// A place in the stream of events.
pub struct Follow {
    log: Arc<EventLog>,
    announced: watch::Receiver<EventNumber>,
    /// So much was committed when this began; what came later is announced.
    known: EventNumber,
    after: EventNumber,
    /// What went before the first event that is kept is no gap.
    from_oldest: bool,
    /// To be told first.
    gap: Option<(GapReason, EventId)>,
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("after", &self.after).field("known", &self.known).finish_non_exhaustive()
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.log.ring.leave();
    }
}

impl Follow {
    /// The last event that was given, or the one that this began behind: whoever resumes from here misses nothing and
    /// sees nothing twice.
    #[must_use]
    pub fn position(&self) -> EventId {
        match self.gap {
            Some((_, asked)) => asked,
            None => EventId { epoch: self.log.epoch, number: self.after },
        }
    }

    /// What follows, once there is something; nothing more once the store is closed. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the outbox cannot be read; it may be asked again.
    pub async fn next(&mut self) -> Result<Option<Followed>, StoreError> {
        self.next_until(None).await
    }

    /// The same; nothing more also once everything up to `until` was given.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_until(&mut self, until: Option<EventNumber>) -> Result<Option<Followed>, StoreError> {
        match self.try_next(until).await {
            Err(StoreError::Closed) => Ok(None),
            followed => followed,
        }
    }

    async fn try_next(&mut self, until: Option<EventNumber>) -> Result<Option<Followed>, StoreError> {
        if let Some((reason, asked)) = self.gap {
            let gap = self.resume_at_oldest(reason, asked).await?;
            self.gap = None;
            return Ok(Some(gap));
        }
        loop {
            if until.is_some_and(|until| self.after >= until) {
                return Ok(None);
            }
            let newest = self.known.max(*self.announced.borrow_and_update());
            if let Some(batch) = self.log.ring.after(self.after) {
                return Ok(Some(self.given(batch)));
            }
            if self.after >= newest {
                match self.announced.changed().await {
                    Ok(()) => continue,
                    Err(_) => return Ok(None),
                }
            }
            let page = self.log.store.outbox(self.after, CHUNK_EVENTS).await?;
            if let Some(gap) = self.gap_before(&page).await? {
                return Ok(Some(gap));
            }
            match Chunk::of(self.log.epoch, page) {
                Some(chunk) => return Ok(Some(self.given(Batch::behind(chunk, self.after)))),
                // Numbers that a process before this one had reserved.
                None => self.after = newest,
            }
        }
    }

    fn given(&mut self, batch: Batch) -> Followed {
        self.after = batch.events().last().map_or(self.after, |event| event.number);
        self.from_oldest = false;
        Followed::Events(batch)
    }

    /// Whether events were cleared up between those that were given and this page. Numbers that were never given are no
    /// gap.
    async fn gap_before(&mut self, page: &[NumberedEvent]) -> Result<Option<Followed>, StoreError> {
        if self.from_oldest || page.first().is_none_or(|first| first.number == self.after + 1) {
            return Ok(None);
        }
        let range = self.log.store.event_range().await?;
        if range.oldest <= self.after + 1 {
            return Ok(None);
        }
        self.resume_at_oldest(GapReason::Retention, self.position()).await.map(Some)
    }

    async fn resume_at_oldest(&mut self, reason: GapReason, after: EventId) -> Result<Followed, StoreError> {
        let range = self.log.store.event_range().await?;
        self.after = range.oldest - 1;
        // More may be cleared up before the first page is read: it was told that there is a gap.
        self.from_oldest = true;
        let resumes = EventId { epoch: self.log.epoch, number: self.after };
        Ok(Followed::Gap(Gap { reason, after, resumes }))
    }
}
