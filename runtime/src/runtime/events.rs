//! What an embedder reads of the events.

use std::sync::Arc;

use super::Runtime;
use crate::domain::Event;
use crate::events::{Batch, EventId, EventLog, Follow, Followed, Gap, Start, Subscribers};
use crate::store::StoreError;

/// What comes next in an [`EventStream`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StreamItem {
    /// Something happened.
    Event {
        /// From here a stream is resumed.
        id: EventId,
        /// What, and when.
        event: Event,
    },
    /// Events that were there are kept no more.
    Gap(Gap),
}

/// The events of a runtime, one after the other: in order, none twice, and none left out without a [`StreamItem::Gap`].
/// It ends when the runtime is shut down. Reading slowly holds up nobody.
#[derive(Debug)]
pub struct EventStream {
    follow: Follow,
    /// What was read and is not given out, from this place on.
    batch: Option<(Batch, usize)>,
    position: EventId,
}

impl EventStream {
    /// What comes next, once there is something; none once the runtime is shut down. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`] where the events cannot be read; it may be asked again.
    pub async fn next(&mut self) -> Result<Option<StreamItem>, StoreError> {
        loop {
            if let Some((batch, at)) = &mut self.batch {
                if let Some(numbered) = batch.events().get(*at) {
                    *at += 1;
                    self.position = batch.id(numbered);
                    return Ok(Some(StreamItem::Event { id: self.position, event: numbered.event.clone() }));
                }
                self.batch = None;
            }
            match self.follow.next().await? {
                Some(Followed::Events(batch)) => self.batch = Some((batch, 0)),
                Some(Followed::Gap(gap)) => {
                    self.position = gap.resumes;
                    return Ok(Some(StreamItem::Gap(gap)));
                }
                None => return Ok(None),
            }
        }
    }

    /// The last event that was given, or the one that the stream began behind. Kept somewhere, it is what
    /// [`Start::After`] takes.
    #[must_use]
    pub const fn position(&self) -> EventId {
        self.position
    }
}

impl Runtime {
    /// What happens to notifications, deliveries, channels, plugins and workers.
    ///
    /// ```no_run
    /// use campanile::events::Start;
    /// use campanile::runtime::StreamItem;
    /// # async fn example(runtime: campanile::Runtime) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut events = runtime.events(Start::Newest);
    /// while let Some(item) = events.next().await? {
    ///     match item {
    ///         StreamItem::Event { id, event } => println!("{id} {}", event.body.kind()),
    ///         StreamItem::Gap(gap) => println!("events behind {} are missing: {}", gap.after, gap.reason.as_str()),
    ///         _ => {}
    ///     }
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn events(&self, start: Start) -> EventStream {
        let follow = self.event_log().follow(start);
        EventStream { position: follow.position(), follow, batch: None }
    }

    /// Where the events come from.
    pub(crate) fn event_log(&self) -> &Arc<EventLog> {
        self.parts.subscribers.log()
    }

    /// Those who follow the events over connections.
    pub(crate) fn subscribers(&self) -> &Subscribers {
        &self.parts.subscribers
    }
}
