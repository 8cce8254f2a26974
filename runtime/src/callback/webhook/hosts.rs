//! What an endpoint is still to tell, host by host: pure.
//!
//! *Flow:* as of a [`Line`], of which each host has one. A webhook leads to one host; what notifications name, to many.
//!
//! *Invariants:* of many hosts, one that does not answer holds back nobody: what it is to hear of is owed and not kept in
//! memory with its event, it has one call at a time, and all of its kind together have no more than half of the calls. What
//! is owed is bounded: while those that answer owe too much, nothing is taken from the stream, and what is beyond the bound
//! of those that do not is refused. The cursor never passes an event that is neither done nor owed.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::line::{self, Changes, End, FRESH_MAX, Line};
use crate::domain::{CallbackBook, CallbackName, NotificationId, OwedCallback, Timestamp};
use crate::store::{EventNumber, NumberedEvent};

/// Of many hosts, calls in flight to one.
const HOST_CALLS_MAX: usize = 8;
/// Of many hosts, events of one that are neither done nor owed.
const HOST_FRESH_MAX: usize = 64;
/// Of many hosts, events that are owed to those that answer: beyond it nothing is taken from the stream. About 5 MB.
const ANSWERING_OWED_MAX: usize = 50_000;
/// Of many hosts, events that are owed to one that does not answer.
const HOST_OWED_MAX: usize = 10_000;
/// Of many hosts, events that are owed to all that do not answer.
const SILENT_OWED_MAX: usize = 50_000;

/// Which host; empty where all that is told goes to one.
pub(crate) type Host = Arc<str>;

/// The host of an endpoint that has one.
pub(super) fn one_host() -> Host {
    Host::from("")
}

/// What a call is made for.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) host: Host,
    pub(super) number: EventNumber,
    /// From 1.
    pub(super) attempt: u32,
    /// What to tell; none: it is to be read from the outbox.
    pub(super) event: Option<Arc<NumberedEvent>>,
}

/// A host owes too much to be told of one more event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its host did not answer the last call, and {owed} events wait for it; the limit is {HOST_OWED_MAX} for one such host, \
     and {SILENT_OWED_MAX} for all: replay it when the host answers"
)]
pub(super) struct Refused {
    owed: usize,
}

/// The line of one host.
#[derive(Debug)]
struct HostLine {
    line: Line,
    /// It asked not to be called before.
    held_until: Option<Timestamp>,
    /// Its last call failed.
    is_silent: bool,
    /// As it stands among the heads.
    head: Option<Timestamp>,
}

/// What hosts of one kind have together.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    owed: usize,
    running: usize,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Hosts {
    callback: CallbackName,
    are_many: bool,
    lines: HashMap<Host, HostLine>,
    /// The hosts that may be called, by when; those that answer, and those that do not.
    heads: [BTreeSet<(Timestamp, Host)>; 2],
    shares: [Share; 2],
    /// The first event of each host that is neither done nor owed.
    first_fresh: BTreeSet<(EventNumber, Host)>,
    fresh: usize,
    /// Hosts of which something is to be written.
    changed: BTreeSet<Host>,
    /// The last that was taken from the stream.
    taken: EventNumber,
    /// Owed before a crash, and ahead of what is taken now.
    early: BTreeSet<(EventNumber, Host)>,
}

impl Hosts {
    /// Those that go on behind the cursor of `book`, with what each was owed before.
    pub(super) fn new(book: &CallbackBook, owed: Vec<(Host, OwedCallback)>, are_many: bool) -> Self {
        let mut all = Self {
            callback: book.name.clone(),
            are_many,
            lines: HashMap::new(),
            heads: Default::default(),
            shares: Default::default(),
            first_fresh: BTreeSet::new(),
            fresh: 0,
            changed: BTreeSet::new(),
            taken: book.cursor,
            early: BTreeSet::new(),
        };
        let mut by_host = HashMap::<Host, Vec<OwedCallback>>::new();
        for (host, row) in owed {
            if row.event > book.cursor {
                all.early.insert((row.event, Arc::clone(&host)));
            }
            by_host.entry(host).or_default().push(row);
        }
        for (host, rows) in by_host {
            let is_silent = are_many && rows.iter().any(|row| row.attempts > 0);
            let line = Line::new(all.callback.clone(), book.cursor, rows);
            all.put_on(&host, HostLine { line, held_until: None, is_silent, head: None });
        }
        all
    }

    /// Every event up to this number is done with or owed.
    pub(super) fn cursor(&self) -> EventNumber {
        self.first_fresh.first().map_or(self.taken, |(first, _)| first.saturating_sub(1))
    }

    /// The last event that was taken from the stream.
    pub(super) const fn taken(&self) -> EventNumber {
        self.taken
    }

    pub(super) fn running(&self) -> usize {
        self.shares.iter().map(|share| share.running).sum()
    }

    /// How many events are still to be told, after the cursor has passed them.
    pub(super) fn owed(&self) -> usize {
        self.shares.iter().map(|share| share.owed).sum()
    }

    /// How many may be owed when more are told again.
    pub(super) const fn most(&self) -> usize {
        if self.are_many { ANSWERING_OWED_MAX + SILENT_OWED_MAX } else { line::OWED_MAX }
    }

    /// How many more that is.
    pub(super) fn room(&self) -> usize {
        self.most().saturating_sub(self.owed())
    }

    /// Whether events of the stream have to wait there.
    pub(super) fn is_full(&self) -> bool {
        // What is owed ahead of the stream waits for it: it is known already, and may not keep itself from being told.
        let is_behind = !self.early.is_empty();
        match self.are_many {
            true => !is_behind && self.shares[0].owed >= ANSWERING_OWED_MAX,
            false => self.fresh >= FRESH_MAX || (!is_behind && self.owed() >= line::OWED_MAX),
        }
    }

    /// Goes past events that are not wanted, or not kept any more.
    pub(super) fn pass(&mut self, number: EventNumber) {
        self.taken = self.taken.max(number);
        let taken = self.taken;
        while self.early.first().is_some_and(|(early, _)| *early <= taken) {
            let Some((_, host)) = self.early.pop_first() else { break };
            self.with(&host, |one| one.line.pass(taken));
        }
    }

    /// Takes the next event of the stream.
    pub(super) fn take(&mut self, host: &Host, event: &Arc<NumberedEvent>) -> Result<(), Refused> {
        if event.number <= self.taken {
            return Ok(());
        }
        let mut at_once = false;
        if self.are_many {
            let (owed, fresh, is_silent) = match self.lines.get(host) {
                Some(one) => (one.line.owed(), one.line.fresh(), one.is_silent),
                None => (0, 0, false),
            };
            if is_silent && (owed >= HOST_OWED_MAX || self.shares[1].owed >= SILENT_OWED_MAX) {
                self.pass(event.number);
                return Err(Refused { owed });
            }
            at_once = is_silent || fresh >= HOST_FRESH_MAX || self.fresh >= FRESH_MAX;
        }
        self.with(host, |one| one.line.take(Arc::clone(event), at_once));
        self.pass(event.number);
        Ok(())
    }

    /// Puts events in once more, with all attempts before them. Answers how many of them were not there.
    pub(super) fn owe(&mut self, rows: Vec<(Host, OwedCallback)>) -> u64 {
        let mut by_host = HashMap::<Host, Vec<OwedCallback>>::new();
        for (host, row) in rows {
            by_host.entry(host).or_default().push(row);
        }
        let taken = self.taken;
        let mut more = 0;
        for (host, rows) in by_host {
            more += self.with(&host, |one| {
                one.line.pass(taken);
                one.line.owe(rows)
            });
        }
        more
    }

    /// What to call with now, if there is anything, where there are so many calls at once.
    pub(super) fn next(&mut self, now: Timestamp, calls: usize) -> Option<Turn> {
        loop {
            let (due, host) = self.first_head(calls)?;
            if *due > now {
                return None;
            }
            let host = Arc::clone(host);
            let turn = self.with(&host, |one| {
                one.held_until = one.held_until.filter(|until| *until > now);
                one.line.next(now)
            });
            // A host that had asked for a pause, and has nothing to be told, ends here.
            if let Some(line::Turn { number, attempt, event }) = turn {
                return Some(Turn { host, number, attempt, event });
            }
        }
    }

    /// When there is something to call with, if nothing else happens.
    pub(super) fn next_due(&self, calls: usize) -> Option<Timestamp> {
        self.first_head(calls).map(|(due, _)| *due)
    }

    fn first_head(&self, calls: usize) -> Option<&(Timestamp, Host)> {
        if self.running() >= calls {
            return None;
        }
        let silent = self.heads[1].first().filter(|_| self.shares[1].running < (calls / 2).max(1));
        self.heads[0].first().into_iter().chain(silent).min()
    }

    /// A call that [`next`](Self::next) asked for has ended.
    pub(super) fn ended(&mut self, host: &Host, number: EventNumber, end: End) {
        let is_silent = match end {
            End::Again { .. } => Some(self.are_many),
            End::Heard => Some(false),
            End::GivenUp | End::Undone => None,
        };
        self.with(host, |one| {
            one.is_silent = is_silent.unwrap_or(one.is_silent);
            one.line.ended(number, end);
        });
    }

    /// Drops what is still to be told of a notification, whose events nobody is being called with.
    pub(super) fn forget(&mut self, host: &Host, notification: NotificationId) {
        self.with(host, |one| one.line.forget(notification));
    }

    /// A host asked not to be called before.
    pub(super) fn hold(&mut self, host: &Host, until: Timestamp) {
        self.with(host, |one| one.held_until = Some(one.held_until.map_or(until, |held| held.max(until))));
    }

    /// No host is held any more, and what is owed is called with now. Answers whether anything waited.
    pub(super) fn hurry(&mut self, now: Timestamp) -> bool {
        let mut waited = false;
        for host in self.lines.keys().cloned().collect::<Vec<_>>() {
            waited |= self.with(&host, |one| {
                let was_held = one.held_until.take().is_some_and(|until| until > now);
                one.line.hurry(now) > 0 || was_held
            });
        }
        waited
    }

    /// The process ends: what is in memory alone becomes owed.
    pub(super) fn leave_behind(&mut self) {
        for host in self.lines.keys().cloned().collect::<Vec<_>>() {
            self.with(&host, |one| one.line.leave_behind());
        }
    }

    /// Until when the one host there is asked not to be called. Of many, each has its own word.
    pub(super) fn held_until(&self, now: Timestamp) -> Option<Timestamp> {
        let one = self.lines.get("").filter(|_| !self.are_many)?;
        one.held_until.filter(|until| *until > now)
    }

    /// What has to be durable before the cursor is.
    pub(super) fn changes(&self) -> Changes {
        let mut all = Changes::default();
        for one in self.changed.iter().filter_map(|host| self.lines.get(host)) {
            let Changes { owed, settled } = one.line.changes();
            all.owed.extend(owed);
            all.settled.extend(settled);
        }
        all
    }

    /// All that [`changes`](Self::changes) had is written.
    pub(super) fn written(&mut self) {
        for host in std::mem::take(&mut self.changed) {
            self.with(&host, |one| one.line.written());
        }
    }

    /// Changes one of them, and what is known of all by it.
    fn with<R>(&mut self, host: &Host, change: impl FnOnce(&mut HostLine) -> R) -> R {
        let mut one = match self.lines.remove(host) {
            Some(mut one) => {
                self.take_off(host, &mut one);
                one
            }
            None => {
                let line = Line::new(self.callback.clone(), self.taken, Vec::new());
                HostLine { line, held_until: None, is_silent: false, head: None }
            }
        };
        let answer = change(&mut one);
        self.put_on(host, one);
        answer
    }

    fn take_off(&mut self, host: &Host, one: &mut HostLine) {
        let kind = usize::from(one.is_silent);
        self.shares[kind].owed -= one.line.owed();
        self.shares[kind].running -= one.line.running();
        self.fresh -= one.line.fresh();
        if let Some(due) = one.head.take() {
            self.heads[kind].remove(&(due, Arc::clone(host)));
        }
        if let Some(first) = one.line.first_fresh() {
            self.first_fresh.remove(&(first, Arc::clone(host)));
        }
    }

    fn put_on(&mut self, host: &Host, mut one: HostLine) {
        if one.line.is_idle() && one.held_until.is_none() {
            return;
        }
        let kind = usize::from(one.is_silent);
        self.shares[kind].owed += one.line.owed();
        self.shares[kind].running += one.line.running();
        self.fresh += one.line.fresh();
        let calls = match (self.are_many, one.is_silent) {
            (false, _) => usize::MAX,
            (true, false) => HOST_CALLS_MAX,
            (true, true) => 1,
        };
        let due = match one.line.next_due() {
            Some(due) if one.line.running() < calls => Some(one.held_until.map_or(due, |held| held.max(due))),
            Some(_) => None,
            // It is looked at once more when its pause is over, and dropped then.
            None if one.line.is_idle() => one.held_until,
            None => None,
        };
        if let Some(due) = due {
            one.head = Some(due);
            self.heads[kind].insert((due, Arc::clone(host)));
        }
        if let Some(first) = one.line.first_fresh() {
            self.first_fresh.insert((first, Arc::clone(host)));
        }
        if one.line.has_changed() {
            self.changed.insert(Arc::clone(host));
        }
        self.lines.insert(Arc::clone(host), one);
    }
}
