//! What the world outside has seen: what was asked for and answered, which calls were made, which events were told. It
//! outlives every crash, and whatever does not fit to it is written down as broken.
//!
//! *Not here:* a look into the store (`check`).

mod learn;
mod questions;

use std::collections::{BTreeMap, BTreeSet};

use campanile::call::Call;
use campanile::domain::{AttemptEnd, DeliveryId, NotificationId, Timestamp};
use campanile::intake::{Acceptance, Problems, Submission, SubmitError};
use campanile::store::{Cancelled, NumberedEvent};

/// A request's place among all requests.
pub(crate) type RequestNumber = usize;

/// Something that was asked for, perhaps more than once with the same key.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) submission: Submission,
    /// What became of it, as far as known: at most one.
    notifications: BTreeSet<NotificationId>,
    times: u32,
}

/// Where a delivery stands, by the events that were told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Not before `due`, where that is known.
    Waiting {
        due: Option<Timestamp>,
    },
    /// Its provider took it, and is asked for its final word.
    Accepted,
    Sent,
    Failed,
    Cancelled,
}

impl Standing {
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Accepted)
    }
}

/// Whether a dead letter was put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purge {
    No,
    /// Asked for, and never answered.
    Perhaps,
    Yes,
}

/// A delivery, seen from outside.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) standing: Standing,
    /// Attempts that were told.
    pub(crate) attempts: u32,
    pub(crate) purge: Purge,
    last_end: Option<String>,
    may_be_replayed: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            standing: Standing::Waiting { due: None },
            attempts: 0,
            purge: Purge::No,
            last_end: None,
            may_be_replayed: false,
        }
    }
}

/// A notification, seen from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Told {
    /// How many it has.
    pub(crate) deliveries: u32,
    pub(crate) is_acknowledged: bool,
    cancel_asked: bool,
    pub(crate) is_cancelled: bool,
    /// What its cancel found in flight, once it has answered. A replay is a new run, for which the cancel counts no more.
    left_in_flight: Option<u32>,
    begun_after_cancel: u32,
}

/// A call whose end was not told yet.
#[derive(Clone, Debug)]
struct Unsettled {
    attempt: u32,
    /// What the provider said, once it has.
    answer: Option<&'static str>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// All that happened, for whoever tells the story again.
    pub(crate) log: Vec<String>,
    /// What should not have happened.
    pub(crate) broken: Vec<String>,
    pub(crate) requests: Vec<Request>,
    pub(crate) notifications: BTreeMap<NotificationId, Told>,
    pub(crate) deliveries: BTreeMap<DeliveryId, Seen>,
    pub(crate) events: Vec<NumberedEvent>,
    /// Notifications that something was told of since somebody looked.
    pub(crate) touched: BTreeSet<NotificationId>,
    /// Requests without an answer.
    pub(crate) open_requests: u32,
    /// At most so many calls at once.
    pub(crate) slots: usize,
    /// The store may refuse: the disk has faults, or is off.
    pub(crate) may_refuse: bool,
    /// The dispatcher ends: calls may be interrupted.
    pub(crate) is_stopping: bool,
    pub(crate) crashes: u32,
    /// Commits are not synced: after a crash numbers of events go on behind those that may have been given.
    pub(crate) may_skip_numbers: bool,
    unsettled: BTreeMap<DeliveryId, Unsettled>,
    /// As they stood at the last crash: what was settled in its last moment may be learned after it.
    at_crash: BTreeMap<DeliveryId, Unsettled>,
    questions: questions::Questions,
}

impl Ledger {
    pub(crate) fn note(&mut self, line: impl Into<String>) {
        self.log.push(line.into());
    }

    pub(crate) fn breaks(&mut self, invariant: &str, what: impl AsRef<str>) {
        let line = format!("{invariant}: {}", what.as_ref());
        self.log.push(format!("BROKEN {line}"));
        self.broken.push(line);
    }

    /// Calls whose end was not told.
    pub(crate) fn unsettled(&self) -> usize {
        self.unsettled.len()
    }

    pub(crate) fn is_in_flight(&self, id: DeliveryId) -> bool {
        self.unsettled.contains_key(&id)
    }

    /// Whose deliveries are in flight.
    pub(crate) fn notifications_in_flight(&self) -> Vec<NotificationId> {
        self.unsettled.keys().map(|id| id.notification()).collect()
    }

    /// A new request. What it is recognised by is its correlation id.
    pub(crate) fn add_request(&mut self, submission: Submission) -> RequestNumber {
        self.requests.push(Request { submission, notifications: BTreeSet::new(), times: 0 });
        self.requests.len() - 1
    }

    /// The request is on its way.
    pub(crate) fn asked(&mut self, number: RequestNumber) -> Submission {
        self.open_requests += 1;
        let request = &mut self.requests[number];
        request.times += 1;
        request.submission.clone()
    }

    pub(crate) fn answered(&mut self, number: RequestNumber, answer: Result<Acceptance, SubmitError>, now: Timestamp) {
        match answer {
            Ok(acceptance) => self.accepted(number, &acceptance),
            Err(SubmitError::Invalid(problems)) => self.refused(number, &problems, now),
            Err(error) => self.failed(&format!("r{number}"), error.is_transient(), &error.to_string()),
        }
        self.open_requests -= 1;
    }

    pub(crate) fn accepted(&mut self, number: RequestNumber, acceptance: &Acceptance) {
        let Acceptance { id, delivery_count, deduplicated, replayed, .. } = acceptance;
        let again = if *replayed { " again" } else { "" };
        self.note(format!("  r{number} is acknowledged{again}: {id}, {delivery_count} deliveries"));
        let request = &self.requests[number];
        let (expected, times) = (deliveries_of(&request.submission), request.times);
        if *replayed && times == 1 {
            self.breaks("once", format!("r{number} was asked once, and is told that it was accepted before"));
        }
        let made = *delivery_count as usize + deduplicated.len();
        if !*replayed && made != expected {
            self.breaks("I1", format!("r{number} has {made} deliveries instead of {expected}"));
        }
        match self.notifications.get_mut(id) {
            Some(told) if told.deliveries == *delivery_count => told.is_acknowledged = true,
            Some(told) => {
                let line =
                    format!("{id} was told with {} deliveries, acknowledged with {delivery_count}", told.deliveries);
                self.breaks("I1", line);
            }
            None => self.breaks("I1", format!("{id} is acknowledged before it is durable")),
        }
        self.belongs(*id, number);
    }

    /// The notification came of this request.
    pub(crate) fn belongs(&mut self, id: NotificationId, number: RequestNumber) {
        let of = &mut self.requests[number].notifications;
        of.insert(id);
        if of.len() > 1 {
            let line = format!("r{number} became {} notifications: {of:?}", of.len());
            self.breaks("once", line);
        }
        let key = self.requests[number].submission.idempotency_key.clone();
        let same = |request: &&Request| key.is_some() && request.submission.idempotency_key == key;
        let all: BTreeSet<_> = self.requests.iter().filter(same).flat_map(|request| &request.notifications).collect();
        if all.len() > 1 {
            let line = format!("the key {key:?} stands for {} notifications: {all:?}", all.len());
            self.breaks("once", line);
        }
    }

    pub(crate) fn refused(&mut self, number: RequestNumber, problems: &Problems, now: Timestamp) {
        self.note(format!("  r{number} is refused: {problems}"));
        let Request { submission, times, .. } = &self.requests[number];
        let key = &submission.idempotency_key;
        let shares = |other: &&Request| key.is_some() && other.submission.idempotency_key == *key;
        let is_shared = self.requests.iter().filter(shares).count() > 1;
        // Sent again, it may come too late.
        let is_late = *times > 1 && submission.expires_at.is_some_and(|at| at <= now);
        if !is_shared && !is_late {
            self.breaks("intake", format!("r{number} has nothing that could be refused: {problems}"));
        }
    }

    /// Something was asked of the store, and it said no.
    pub(crate) fn failed(&mut self, what: &str, is_transient: bool, error: &str) {
        self.note(format!("  {what} fails: {error}"));
        if !is_transient {
            self.breaks("store", format!("{what} is told of a defect: {error}"));
        } else if !self.may_refuse {
            self.breaks("store", format!("{what} fails, and the disk is well: {error}"));
        }
    }

    /// The channel is called.
    pub(crate) fn call_begins(&mut self, call: &Call) {
        let Call { delivery, attempt, now, notification, .. } = call;
        self.note(format!("  call {delivery} attempt {attempt}"));
        self.call_is_for_what_was_asked(call);
        if notification.expires_at.is_some_and(|at| at <= *now) {
            self.breaks("expiry", format!("{delivery} is called at {now:?}, and expired before"));
        }
        // Once it has been due, the clock of a later process may show less, and a replay has a due time of its own.
        if *attempt == 1 && notification.scheduled_at.is_some_and(|at| *now < at) {
            self.breaks("I8", format!("{delivery} is called at {now:?}, before its schedule"));
        }
        match self.notifications.get_mut(&delivery.notification()) {
            None => self.breaks("I1", format!("{delivery} is called before it is durable")),
            Some(told) => {
                told.begun_after_cancel += u32::from(told.is_cancelled);
                if let Some(left) = told.left_in_flight
                    && told.begun_after_cancel > left
                {
                    self.breaks("cancel", format!("{delivery} is called, and its cancel left {left} in flight"));
                }
            }
        }
        let seen = self.deliveries.entry(*delivery).or_default().clone();
        match seen.standing {
            Standing::Waiting { due: Some(due) } if *now < due => {
                self.breaks("I8", format!("{delivery} is called at {now:?}, and is due at {due:?}"));
            }
            Standing::Waiting { .. } => {}
            standing => self.breaks("I2", format!("{delivery} is called and stands at {standing:?}")),
        }
        if *attempt != seen.attempts + 1 {
            let line = format!("{delivery} is called with attempt {attempt}, and {} were told", seen.attempts);
            self.breaks("I3", line);
        }
        if self.unsettled.insert(*delivery, Unsettled { attempt: *attempt, answer: None }).is_some() {
            self.breaks("I6", format!("{delivery} is called twice at once"));
        }
        if self.unsettled.len() > self.slots {
            self.breaks(
                "I6",
                format!("{} calls are not settled, and there are {} slots", self.unsettled.len(), self.slots),
            );
        }
    }

    fn call_is_for_what_was_asked(&mut self, call: &Call) {
        let Some(number) = request_number(call.notification.correlation_id.as_deref()) else {
            return self.breaks("I3", format!("{} belongs to no request", call.delivery));
        };
        let submission = &self.requests[number].submission;
        let is_same = Some(&call.content.text) == submission.body.as_ref()
            && submission.channels.iter().any(|name| name == call.channel.as_str())
            && submission.to.contains(&call.recipient.address.as_str().into())
            && call.notification.expires_at == submission.expires_at;
        if !is_same {
            self.breaks("I3", format!("{} is called with something else than r{number}", call.delivery));
        }
    }

    /// The provider has answered the call.
    pub(crate) fn call_ends(&mut self, delivery: DeliveryId, end: &AttemptEnd) {
        self.note(format!("  answer {delivery}: {}", end.as_str()));
        match self.unsettled.get_mut(&delivery) {
            Some(unsettled) => unsettled.answer = Some(end.as_str()),
            None => self.questions.answered(delivery, end.as_str()),
        }
    }

    /// The process is gone, and everything that it had begun with it.
    pub(crate) fn crashed(&mut self) {
        self.crashes += 1;
        self.at_crash = std::mem::take(&mut self.unsettled);
        self.questions.cut_off();
        self.open_requests = 0;
        for told in self.notifications.values_mut() {
            // What was in flight is cancelled by the start that follows.
            told.left_in_flight = told.left_in_flight.map(|_| 0);
            told.begun_after_cancel = 0;
        }
    }

    /// The process has ended in order.
    pub(crate) fn stopped(&mut self) {
        // What cannot be written is taken for a crash by the next start.
        self.crashes += u32::from(self.may_refuse);
        self.at_crash = std::mem::take(&mut self.unsettled);
        self.questions.cut_off();
        self.open_requests = 0;
        self.is_stopping = false;
    }

    pub(crate) fn cancel_asked(&mut self, id: NotificationId) {
        self.notifications.entry(id).or_default().cancel_asked = true;
    }

    pub(crate) fn cancel_answered(&mut self, id: NotificationId, answer: Cancelled) {
        self.note(format!("  cancel {id}: {answer:?}"));
        let told = self.notifications.entry(id).or_default();
        match answer {
            Cancelled::Unknown if told.is_acknowledged => self.breaks("I1", format!("{id} is gone")),
            Cancelled::Unknown | Cancelled::AlreadyFinal | Cancelled::Taken => {}
            Cancelled::Cancelled { in_flight, .. } => {
                // Asked again, it counts those that the first one left.
                told.left_in_flight.get_or_insert(in_flight);
            }
        }
    }

    pub(crate) fn replay_asked(&mut self, id: DeliveryId) {
        self.deliveries.entry(id).or_default().may_be_replayed = true;
    }

    pub(crate) fn purge(&mut self, id: DeliveryId, purge: Purge) {
        let seen = self.deliveries.entry(id).or_default();
        seen.purge = purge;
    }

    /// Dead letters as far as known.
    pub(crate) fn dead_letters(&self) -> Vec<DeliveryId> {
        let is_dead = |(_, seen): &(&DeliveryId, &Seen)| seen.standing == Standing::Failed && seen.purge == Purge::No;
        self.deliveries.iter().filter(is_dead).map(|(id, _)| *id).collect()
    }
}

/// How many deliveries a request makes where no other has the same news.
fn deliveries_of(submission: &Submission) -> usize {
    submission.channels.len() * submission.to.len()
}

/// The request that a correlation id names.
pub(crate) fn request_number(correlation_id: Option<&str>) -> Option<RequestNumber> {
    correlation_id?.strip_prefix('r')?.parse().ok()
}
