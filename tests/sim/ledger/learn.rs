//! What each event that is told has to fit to.

use campanile::domain::{DeliveryId, EventBody, NotificationId, Timestamp, WorkerChange};
use campanile::store::{DELIVERIES_SLICE, NumberedEvent};

use super::{Ledger, Purge, Seen, Standing, Told};

/// How often the process has to die before a delivery is taken for its cause.
const POISON_CRASHES: u32 = 3;

/// After these a delivery is final, whatever comes.
const LAST_WORDS: [&str; 4] = ["sent", "accepted", "rejected", "recipient-gone"];

impl Ledger {
    /// The event is durable.
    pub(crate) fn learn(&mut self, event: &NumberedEvent) {
        let NumberedEvent { number, event: told } = event;
        let expected = self.events.last().map_or(0, |last| last.number) + 1;
        if *number < expected || (*number > expected && !self.may_skip_numbers) {
            self.breaks("I7", format!("event {number} follows, and {expected} should"));
        }
        self.note(format!("  event {number} at {:?}: {:?}", told.at, told.body));
        self.events.push(event.clone());
        self.touched.extend(told.body.notification());
        match &told.body {
            EventBody::NotificationAccepted { notification, deliveries, .. } => {
                self.learn_new(*notification, *deliveries);
            }
            EventBody::NotificationCancelled { notification, .. } => {
                let told = self.notifications.entry(*notification).or_default();
                told.is_cancelled = true;
                (told.left_in_flight, told.begun_after_cancel) = (None, 0);
                if !told.cancel_asked {
                    self.breaks("cancel", format!("{notification} is cancelled, and nobody asked for it"));
                }
            }
            EventBody::NotificationCompleted { notification, .. } => self.learn_complete(*notification),
            EventBody::NotificationProgress { notification, completed, total } => {
                self.learn_progress(*notification, *completed, *total);
            }
            EventBody::NotificationExpired { notification } => self.learn_expired(*notification),
            EventBody::DeliveryAttempted { delivery, attempt, end, .. } => self.learn_attempt(*delivery, *attempt, end),
            EventBody::DeliverySent { delivery, attempts, unconfirmed, .. } => {
                let (before, seen) = self.moves(*delivery, *attempts, Standing::Sent);
                let (last, was_taken) = (seen.last_end.as_deref(), before == Standing::Accepted);
                // What was taken may end without a final word, whatever the last answer was.
                let fits = if *unconfirmed { was_taken || last == Some("accepted") } else { last == Some("sent") };
                if !fits {
                    self.breaks("I2", format!("{delivery} is sent from {before:?}, and the provider said {last:?}"));
                }
            }
            EventBody::DeliveryAccepted { delivery, attempts, .. } => {
                let (before, seen) = self.moves(*delivery, *attempts, Standing::Accepted);
                if before == Standing::Accepted || seen.last_end.as_deref() != Some("accepted") {
                    let last = seen.last_end;
                    self.breaks(
                        "I2",
                        format!("{delivery} is accepted from {before:?}, and the provider said {last:?}"),
                    );
                }
            }
            EventBody::DeliveryRetrying { delivery, attempts, due } => {
                self.learn_waiting(*delivery, *attempts, *due, told.at);
            }
            EventBody::DeliveryFailed { delivery, attempts, reason } => self.learn_failed(*delivery, *attempts, reason),
            EventBody::DeliveryCancelled { delivery, attempts } => {
                let (before, seen) = self.moves(*delivery, *attempts, Standing::Cancelled);
                let last = seen.last_end;
                if before == Standing::Accepted || matches!(last.as_deref(), Some("sent" | "accepted")) {
                    self.breaks(
                        "I2",
                        format!("{delivery} is cancelled from {before:?}, and the provider said {last:?}"),
                    );
                }
                if !self.notifications.get(&delivery.notification()).is_some_and(|told| told.cancel_asked) {
                    self.breaks("cancel", format!("{delivery} is cancelled, and nobody asked for it"));
                }
            }
            EventBody::DeliveryDeduplicated { first, .. } => {
                if !self.notifications.contains_key(&first.notification()) {
                    self.breaks("dedupe", format!("{first} stands for another delivery, and was never accepted"));
                }
            }
            // Who comes and goes changes nothing; in these stories nobody is stuck, and the pool keeps its size.
            EventBody::Worker(event) if matches!(event.change, WorkerChange::Started | WorkerChange::Stopped) => {}
            other => self.breaks("I7", format!("nobody caused {other:?}")),
        }
    }

    fn learn_new(&mut self, id: NotificationId, deliveries: u32) {
        if self.notifications.insert(id, Told { deliveries, ..Told::default() }).is_some() {
            self.breaks("once", format!("{id} is accepted twice"));
        }
    }

    /// All that is final of a notification.
    fn learn_complete(&mut self, id: NotificationId) {
        let all = self.deliveries.range(id.delivery(0)..=id.delivery(u32::MAX));
        let finals = all.filter(|(_, seen)| !seen.standing.is_open()).count();
        let told = self.notifications.entry(id).or_default();
        // A large one may be cancelled before all of its deliveries are made.
        let was_unmade = told.is_cancelled && told.deliveries as usize > DELIVERIES_SLICE;
        let expected = told.deliveries as usize;
        if finals != expected && !was_unmade {
            self.breaks("I1", format!("{id} is complete with {finals} of {expected} deliveries"));
        }
    }

    /// Some of what is final of a notification, and never all of it.
    fn learn_progress(&mut self, id: NotificationId, completed: u32, total: u32) {
        let all = self.deliveries.range(id.delivery(0)..=id.delivery(u32::MAX));
        let finals = all.filter(|(_, seen)| !seen.standing.is_open()).count();
        let told = self.notifications.entry(id).or_default();
        let was_unmade = told.is_cancelled && told.deliveries as usize > DELIVERIES_SLICE;
        let fits = (1..total).contains(&completed) && total <= told.deliveries;
        if !fits || completed as usize != finals && !was_unmade {
            let deliveries = told.deliveries;
            self.breaks("I1", format!("{id} is at {completed} of {total}; {finals} of {deliveries} are final"));
        }
    }

    /// Its completion follows, and says whether all are final.
    fn learn_expired(&mut self, id: NotificationId) {
        let mut all = self.deliveries.range(id.delivery(0)..=id.delivery(u32::MAX));
        if !all.any(|(_, seen)| seen.standing == Standing::Failed) {
            self.breaks("I1", format!("{id} is told to have expired, and none of its deliveries failed"));
        }
    }

    fn learn_attempt(&mut self, id: DeliveryId, attempt: u32, end: &str) {
        let seen = self.deliveries.entry(id).or_default();
        let (before, standing) = (seen.attempts, seen.standing);
        seen.attempts = attempt;
        seen.last_end = Some(end.to_owned());
        if !standing.is_open() {
            self.breaks("I2", format!("{id} has another attempt and stands at {standing:?}"));
        }
        if attempt != before + 1 {
            self.breaks("I3", format!("attempt {attempt} of {id} is told after {before}"));
        }
        if standing == Standing::Accepted {
            if !self.questions.ends(id, end, self.is_stopping) {
                self.breaks("I2", format!("a question for {id} is told to have ended as `{end}`, and did not"));
            }
            return;
        }
        let call = self.unsettled.remove(&id).or_else(|| self.at_crash.remove(&id));
        let fits = call.as_ref().is_some_and(|call| {
            let is_interrupted = end == "shutdown" && self.is_stopping && call.answer.is_none();
            call.attempt == attempt && (call.answer == Some(end) || is_interrupted)
        });
        if !fits {
            self.breaks(
                "I2",
                format!("attempt {attempt} of {id} is told to have ended as `{end}`; the call: {call:?}"),
            );
        }
    }

    fn learn_waiting(&mut self, id: DeliveryId, attempts: u32, due: Timestamp, at: Timestamp) {
        let seen = self.deliveries.entry(id).or_default();
        let is_replay = seen.standing == Standing::Failed && seen.may_be_replayed;
        let last = seen.last_end.clone();
        if is_replay {
            if let Some(told) = self.notifications.get_mut(&id.notification()) {
                (told.left_in_flight, told.begun_after_cancel) = (None, 0);
            }
            (seen.standing, seen.purge) = (Standing::Waiting { due: None }, Purge::No);
        }
        let (before, _) = self.moves(id, attempts, Standing::Waiting { due: Some(due) });
        if before == Standing::Accepted {
            self.breaks("I2", format!("{id} is to be sent again, and its provider took it"));
        }
        if !is_replay && last.as_deref().is_some_and(|end| LAST_WORDS.contains(&end)) {
            self.breaks("I2", format!("{id} waits again, and the provider said {last:?}"));
        }
        if due < at {
            self.breaks("I8", format!("{id} is to be called again at {due:?}, which is before {at:?}"));
        }
    }

    fn learn_failed(&mut self, id: DeliveryId, attempts: u32, reason: &str) {
        let (before, seen) = self.moves(id, attempts, Standing::Failed);
        let last = seen.last_end.as_deref();
        let fits = match reason {
            "rejected" | "recipient-gone" => last == Some(reason),
            // What was taken fails by a final word alone.
            _ if before == Standing::Accepted => false,
            "poison" => self.crashes >= POISON_CRASHES,
            // With a call before it or none; that it has an end is seen in the store.
            "expired" => true,
            _ => last.is_some_and(|end| !LAST_WORDS.contains(&end)),
        };
        if !fits {
            let crashes = self.crashes;
            self.breaks("I2", format!("{id} failed as `{reason}`; the provider said {last:?}, {crashes} crashes"));
        }
    }

    /// Moves a delivery that is not final, and answers where it stood and what was known of it.
    fn moves(&mut self, id: DeliveryId, attempts: u32, to: Standing) -> (Standing, Seen) {
        let seen = self.deliveries.entry(id).or_default();
        let before = std::mem::replace(&mut seen.standing, to);
        let now = seen.clone();
        if !before.is_open() {
            self.breaks("I2", format!("{id} stood at {before:?} and moves to {to:?}"));
        }
        if attempts != now.attempts {
            self.breaks("I3", format!("{id} has {attempts} attempts, and {} were told", now.attempts));
        }
        (before, now)
    }
}
