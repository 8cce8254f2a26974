//! What one endpoint is still to hear of, and what comes next: pure.
//!
//! *Flow:* events come in by [`Line::take`] in the order of the stream, or by [`Line::owe`] once more → [`Line::next`] says
//! which to call with → [`Line::ended`] says how that went → [`Line::changes`] is what has to be durable now.
//!
//! *Invariants:* events of one notification are called in their order, one at a time; while one is owed, those behind it
//! are, and what was owed ahead of the cursor before a crash waits until the stream has come there. The cursor never passes
//! an event that is neither done nor owed, so a crash loses none. What waits is bounded: a line that is full takes nothing,
//! and the outbox keeps the rest.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::{CallbackName, NotificationId, OwedCallback, Timestamp};
use crate::store::{EventNumber, NumberedEvent};

/// Events that one endpoint may owe: about a megabyte of memory.
pub(super) const OWED_MAX: usize = 10_000;
/// Events that are taken from the stream and neither done nor owed. More would only lengthen what a crash repeats.
pub(super) const FRESH_MAX: usize = 512;

/// What a call is made for.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) number: EventNumber,
    /// From 1.
    pub(super) attempt: u32,
    /// What to tell; none: it is to be read from the outbox.
    pub(super) event: Option<Arc<NumberedEvent>>,
}

/// How a call ended, and what is to become of its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was heard.
    Heard,
    /// It is tried again.
    Again { due: Timestamp, reason: String },
    /// There will be no more calls.
    GivenUp,
    /// Nothing became of it, and that counts for nothing: it waits as it did.
    Undone,
}

/// What has to be written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) owed: Vec<OwedCallback>,
    pub(super) settled: Vec<EventNumber>,
}

/// Events that have to be told in order: those of a notification, or one that is about none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Thread {
    Of(NotificationId),
    Lone(EventNumber),
}

impl Thread {
    fn new(notification: Option<NotificationId>, number: EventNumber) -> Self {
        notification.map_or(Self::Lone(number), Self::Of)
    }
}

#[derive(Debug)]
struct Strand {
    events: BTreeSet<EventNumber>,
    /// What is being called with.
    running: Option<EventNumber>,
    /// As it stands among the heads.
    head: Option<(Timestamp, EventNumber)>,
}

#[derive(Debug)]
enum Waits {
    /// In memory; after a crash it is taken from the stream again.
    Fresh(Arc<NumberedEvent>),
    Owed(OwedCallback),
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Line {
    callback: CallbackName,
    entries: BTreeMap<EventNumber, Waits>,
    fresh: BTreeSet<EventNumber>,
    threads: HashMap<Thread, Strand>,
    /// What may be called with next, by when.
    heads: BTreeSet<(Timestamp, EventNumber)>,
    /// The last that was taken from the stream.
    taken: EventNumber,
    /// Owed before a crash, and ahead of what is taken now: what comes by the stream until there may be told before them.
    early: BTreeSet<(EventNumber, Thread)>,
    running: usize,
    /// What is to be written: a row, or that there is none any more.
    rows: BTreeMap<EventNumber, Option<OwedCallback>>,
}

impl Line {
    /// One that goes on behind `cursor`, with what it owed before.
    pub(super) fn new(callback: CallbackName, cursor: EventNumber, owed: Vec<OwedCallback>) -> Self {
        let mut line = Self {
            callback,
            entries: BTreeMap::new(),
            fresh: BTreeSet::new(),
            threads: HashMap::new(),
            heads: BTreeSet::new(),
            taken: cursor,
            early: BTreeSet::new(),
            running: 0,
            rows: BTreeMap::new(),
        };
        for owed in owed {
            line.enter(owed.event, owed.notification, Waits::Owed(owed));
        }
        line
    }

    /// The first event that is neither done with nor owed.
    pub(super) fn first_fresh(&self) -> Option<EventNumber> {
        self.fresh.first().copied()
    }

    /// How many are neither done with nor owed.
    pub(super) fn fresh(&self) -> usize {
        self.fresh.len()
    }

    /// Whether nothing waits and nothing is to be written.
    pub(super) fn is_idle(&self) -> bool {
        self.entries.is_empty() && self.rows.is_empty()
    }

    /// Whether something is to be written.
    pub(super) fn has_changed(&self) -> bool {
        !self.rows.is_empty()
    }

    pub(super) const fn running(&self) -> usize {
        self.running
    }

    /// How many events it is still to hear of, after the cursor has passed them.
    pub(super) fn owed(&self) -> usize {
        self.entries.len() - self.fresh.len()
    }

    /// Goes past events that it does not want, or that are not kept any more.
    pub(super) fn pass(&mut self, number: EventNumber) {
        self.taken = self.taken.max(number);
        while let Some((_, thread)) = self.early.first().filter(|(early, _)| *early <= self.taken).copied() {
            self.early.pop_first();
            self.line_up(thread);
        }
    }

    /// Takes the next event of the stream. Where `at_once`, it is owed from the beginning: it does not hold back the cursor,
    /// and not the memory of the event.
    pub(super) fn take(&mut self, event: Arc<NumberedEvent>, at_once: bool) {
        let number = event.number;
        if number <= self.taken {
            return;
        }
        self.pass(number);
        // It went on without the cursor before a crash.
        if self.entries.contains_key(&number) {
            return;
        }
        let notification = event.event.body.notification();
        if at_once || self.is_owed_to(notification) {
            let row = self.first_row(&event);
            self.rows.insert(number, Some(row.clone()));
            self.enter(number, notification, Waits::Owed(row));
        } else {
            self.enter(number, notification, Waits::Fresh(event));
        }
    }

    /// Drops what is still to be told of a notification, whose events nobody is being called with.
    pub(super) fn forget(&mut self, notification: NotificationId) {
        let thread = Thread::Of(notification);
        let Some(strand) = self.threads.get(&thread).filter(|strand| strand.running.is_none()) else { return };
        for number in strand.events.clone() {
            self.leave(number, thread);
        }
        self.line_up(thread);
    }

    /// Puts events in once more, with all attempts before them. Answers how many of them were not there.
    pub(super) fn owe(&mut self, rows: Vec<OwedCallback>) -> u64 {
        let mut more = 0;
        for row in rows {
            // What is still to come by the stream, or waits already, is told anyway.
            if row.event > self.taken || self.entries.contains_key(&row.event) {
                continue;
            }
            more += 1;
            self.rows.insert(row.event, Some(row.clone()));
            let (number, thread) = (row.event, Thread::new(row.notification, row.event));
            self.enter(number, row.notification, Waits::Owed(row));
            self.followers_become_owed(number, thread);
        }
        more
    }

    /// What to call with now, if there is anything.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Turn> {
        let &(due, number) = self.heads.first()?;
        if due > now {
            return None;
        }
        let (notification, attempt, event) = match self.entries.get(&number)? {
            Waits::Fresh(event) => (event.event.body.notification(), 1, Some(Arc::clone(event))),
            Waits::Owed(row) => (row.notification, row.attempts.saturating_add(1), None),
        };
        let thread = Thread::new(notification, number);
        self.threads.get_mut(&thread)?.running = Some(number);
        self.running += 1;
        self.line_up(thread);
        Some(Turn { number, attempt, event })
    }

    /// When there is something to call with, if nothing else happens.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.heads.first().map(|(due, _)| *due)
    }

    /// A call that [`next`](Self::next) asked for has ended.
    pub(super) fn ended(&mut self, number: EventNumber, end: End) {
        let Some(waits) = self.entries.get(&number) else { return };
        let notification = match waits {
            Waits::Fresh(event) => event.event.body.notification(),
            Waits::Owed(row) => row.notification,
        };
        let thread = Thread::new(notification, number);
        self.running -= 1;
        if let Some(strand) = self.threads.get_mut(&thread) {
            strand.running = None;
        }
        match end {
            End::Heard | End::GivenUp => self.leave(number, thread),
            End::Undone => {}
            End::Again { due, reason } => {
                let before = match self.entries.remove(&number) {
                    Some(Waits::Owed(row)) => row,
                    Some(Waits::Fresh(event)) => self.first_row(&event),
                    None => return,
                };
                let attempts = before.attempts.saturating_add(1);
                let row = OwedCallback { attempts, due, last_error: Some(reason), ..before };
                self.become_owed(number, row);
                self.followers_become_owed(number, thread);
            }
        }
        self.line_up(thread);
    }

    /// Has what is owed called with now, however long it was to wait. Answers for how many that is sooner.
    pub(super) fn hurry(&mut self, now: Timestamp) -> u64 {
        let waits = |waits: &Waits| matches!(waits, Waits::Owed(row) if row.due > now);
        let later: Vec<_> = self.entries.iter().filter(|(_, one)| waits(one)).map(|(number, _)| *number).collect();
        for number in &later {
            let Some(Waits::Owed(row)) = self.entries.get(number) else { continue };
            let (row, thread) = (OwedCallback { due: now, ..row.clone() }, Thread::new(row.notification, *number));
            self.become_owed(*number, row);
            self.line_up(thread);
        }
        later.len() as u64
    }

    /// Nothing more is called with in this process: all that is in memory alone becomes owed, so that the cursor need not
    /// stand before what was heard behind it.
    pub(super) fn leave_behind(&mut self) {
        for number in std::mem::take(&mut self.fresh) {
            if let Some(Waits::Fresh(event)) = self.entries.get(&number) {
                let row = self.first_row(&Arc::clone(event));
                self.become_owed(number, row);
            }
        }
    }

    /// What has to be durable before the cursor is.
    pub(super) fn changes(&self) -> Changes {
        let mut changes = Changes::default();
        for (number, row) in &self.rows {
            match row {
                Some(row) => changes.owed.push(row.clone()),
                None => changes.settled.push(*number),
            }
        }
        changes
    }

    /// All that [`changes`](Self::changes) had is written.
    pub(super) fn written(&mut self) {
        self.rows.clear();
    }

    /// Whether an earlier event of a notification is owed.
    fn is_owed_to(&self, notification: Option<NotificationId>) -> bool {
        let Some(strand) = notification.and_then(|notification| self.threads.get(&Thread::Of(notification))) else {
            return false;
        };
        // Behind one that is owed only the one that is being called with is not.
        let ends = [strand.events.first(), strand.events.last()];
        ends.into_iter().flatten().any(|number| !self.fresh.contains(number))
    }

    fn first_row(&self, event: &NumberedEvent) -> OwedCallback {
        OwedCallback {
            callback: self.callback.clone(),
            event: event.number,
            notification: event.event.body.notification(),
            attempts: 0,
            due: event.event.at,
            last_error: None,
        }
    }

    fn enter(&mut self, number: EventNumber, notification: Option<NotificationId>, waits: Waits) {
        if matches!(waits, Waits::Fresh(_)) {
            self.fresh.insert(number);
        }
        self.entries.insert(number, waits);
        let thread = Thread::new(notification, number);
        let strand =
            self.threads.entry(thread).or_insert_with(|| Strand { events: BTreeSet::new(), running: None, head: None });
        strand.events.insert(number);
        self.line_up(thread);
    }

    fn become_owed(&mut self, number: EventNumber, row: OwedCallback) {
        self.fresh.remove(&number);
        self.rows.insert(number, Some(row.clone()));
        self.entries.insert(number, Waits::Owed(row));
    }

    /// What is behind one that is owed is owed too: in memory it would hold back the cursor for as long.
    fn followers_become_owed(&mut self, number: EventNumber, thread: Thread) {
        let Some(strand) = self.threads.get(&thread) else { return };
        let behind: Vec<_> =
            strand.events.range(number + 1..).copied().filter(|number| strand.running != Some(*number)).collect();
        for number in behind {
            if let Some(Waits::Fresh(event)) = self.entries.get(&number) {
                let row = self.first_row(&Arc::clone(event));
                self.become_owed(number, row);
            }
        }
    }

    fn leave(&mut self, number: EventNumber, thread: Thread) {
        if let Some(Waits::Owed(_)) = self.entries.remove(&number) {
            self.rows.insert(number, None);
        }
        self.fresh.remove(&number);
        if let Some(strand) = self.threads.get_mut(&thread) {
            strand.events.remove(&number);
        }
    }

    /// Puts the first of a thread among the heads, unless one of it is being called with.
    fn line_up(&mut self, thread: Thread) {
        let Some(strand) = self.threads.get_mut(&thread) else { return };
        if let Some(head) = strand.head.take() {
            self.heads.remove(&head);
        }
        match strand.events.first() {
            None => drop(self.threads.remove(&thread)),
            Some(_) if strand.running.is_some() => {}
            Some(first) if *first > self.taken => drop(self.early.insert((*first, thread))),
            Some(first) => {
                let due = match self.entries.get(first) {
                    // By the time of the event, so that what is owed has its turn among what is new.
                    Some(Waits::Fresh(event)) => event.event.at,
                    Some(Waits::Owed(row)) => row.due,
                    None => return,
                };
                strand.head = Some((due, *first));
                self.heads.insert((due, *first));
            }
        }
    }
}
