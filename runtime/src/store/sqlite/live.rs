//! What costs no write: who has claimed what, and a bounded cache of what will be claimed next.
//!
//! *Invariants:* a delivery has at most one claim. A delivery that the writer is about to make final without a claim is
//! `closing` until the commit has ended one way or the other, so that nobody claims it meanwhile. The cache says of a
//! delivery what the last commit said, or nothing.
//!
//! *Not here:* rows. A claim of what is not cached is reserved here, read by `read`, then confirmed here.

mod flight;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::suspects::{Noted, Suspects, Ticks};
use crate::domain::{
    ChannelName, DeliveryId, Flow, Notification, NotificationId, Priority, Recipient, Timestamp, Waiting,
};
use crate::store::Claim;

/// What the cache may hold, in bytes, as far as they can be counted.
const HOT_BYTES_MAX: usize = 64 << 20;

/// What deliveries below high priority may fill of it: the rest is for those that go first.
const HOT_BYTES_MAX_ORDINARY: usize = HOT_BYTES_MAX / 4 * 3;

/// Deliveries due later than this after their commit are not cached: they would only be in the way.
const HOT_HORIZON: Duration = Duration::from_secs(60);

/// What a cached delivery takes besides its texts: map entries, two allocations, and the structs themselves.
const HOT_OVERHEAD_BYTES: usize = 640;

/// All that a claim needs to know of a delivery that waits.
#[derive(Clone, Debug)]
pub(super) struct OpenDelivery {
    /// The number of its lane in `lanes`.
    pub(super) lane: i64,
    /// How many deliveries its notification has.
    pub(super) siblings: u32,
    pub(super) progress: Waiting,
    pub(super) channel: ChannelName,
    pub(super) flow: Flow,
    pub(super) recipient: Arc<Recipient>,
    pub(super) notification: Arc<Notification>,
}

/// What the writer needs to know of a claim to settle it.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    pub(super) lane: i64,
    pub(super) siblings: u32,
    pub(super) progress: Waiting,
}

/// What is cancelled while an attempt is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Withdrawal {
    /// Every delivery of it.
    All(NotificationId),
    /// This one.
    One(DeliveryId),
}

#[derive(Debug)]
struct Hot {
    open: OpenDelivery,
    bytes: usize,
}

#[derive(Debug)]
struct Ticket {
    number: u64,
    /// `None` while the delivery is being read.
    claimed: Option<Claimed>,
}

#[derive(Debug, Default)]
struct State {
    last_claim: u64,
    in_flight: HashMap<DeliveryId, Ticket>,
    by_number: HashMap<u64, DeliveryId>,
    closing: HashSet<DeliveryId>,
    cancelling: HashMap<Withdrawal, Timestamp>,
    hot: HashMap<DeliveryId, Hot>,
    hot_bytes: usize,
    suspects: Suspects,
    /// What the process before left behind is not cleared up: the disk refused.
    is_opening: bool,
}

/// The engine's memory. See the top of this file.
#[derive(Debug, Default)]
pub(super) struct Live {
    state: Mutex<State>,
}

/// What a claim found without reading.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) claims: Vec<Claim>,
    /// Reserved, with their claim numbers: to be read, then confirmed or given back.
    pub(super) unread: Vec<(DeliveryId, u64)>,
}

/// What the commit just made of a delivery.
#[derive(Debug)]
pub(super) enum Change {
    Accepted(DeliveryId, OpenDelivery),
    Waiting {
        delivery: DeliveryId,
        progress: Waiting,
        at: Timestamp,
    },
    /// Another channel stands in: what is cached of it holds no longer.
    Rerouted(DeliveryId),
    Final(DeliveryId),
}

impl Live {
    /// With another time than the machine's, by which claims grow old.
    pub(super) fn with_ticks(ticks: Ticks) -> Self {
        let state = State { suspects: Suspects::with_ticks(ticks), ..State::default() };
        Self { state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims what is cached and due, and reserves what has to be read.
    pub(super) fn claim(&self, ids: &[DeliveryId], now: Timestamp) -> Taken {
        let mut state = self.lock();
        let mut taken = Taken::default();
        let at = state.suspects.instant();
        for id in ids {
            if state.is_taken(*id) {
                continue;
            }
            let number = state.last_claim + 1;
            let is_withdrawn = state.is_cancelling(*id);
            let claimed = match state.hot.get(id) {
                Some(Hot { open, .. }) if !open.is_claimable(now, is_withdrawn) => continue,
                Some(Hot { open, .. }) => {
                    taken.claims.push(open.claim(*id, number, state.suspects.crashes(*id)));
                    Some(open.claimed())
                }
                None => {
                    taken.unread.push((*id, number));
                    None
                }
            };
            state.last_claim = number;
            state.in_flight.insert(*id, Ticket { number, claimed });
            state.by_number.insert(number, *id);
            state.suspects.claimed(*id, number, at);
        }
        taken
    }

    /// Whether a cancel is under way that withdraws `id` unless its provider took it.
    pub(super) fn is_withdrawn(&self, id: DeliveryId) -> bool {
        self.lock().is_cancelling(id)
    }

    /// Makes a claim of a reservation.
    pub(super) fn confirm(&self, id: DeliveryId, number: u64, open: &OpenDelivery) -> Claim {
        let mut state = self.lock();
        if let Some(ticket) = state.in_flight.get_mut(&id) {
            ticket.claimed = Some(open.claimed());
        }
        open.claim(id, number, state.suspects.crashes(id))
    }

    /// What an earlier process left behind.
    pub(super) fn learned(&self, crashes: HashMap<DeliveryId, u32>, after_crash: bool) {
        self.lock().suspects.learned(crashes, after_crash);
    }

    /// Nothing is to be claimed while it is so.
    pub(super) fn set_opening(&self, is_opening: bool) {
        self.lock().is_opening = is_opening;
    }

    pub(super) fn is_opening(&self) -> bool {
        self.lock().is_opening
    }

    /// Whether claims made at `now` are to be written before they are handed out.
    pub(super) fn is_wary(&self, now: Timestamp) -> bool {
        self.lock().suspects.is_wary(now)
    }

    /// Claims that have lived for long and are not written.
    pub(super) fn grown(&self) -> Vec<Noted> {
        let state = &mut *self.lock();
        let in_flight = &state.in_flight;
        let is_alive = |(id, number): &Noted| in_flight.get(id).is_some_and(|ticket| ticket.number == *number);
        let now = state.suspects.instant();
        state.suspects.grown(now, is_alive)
    }

    /// Whether the claim `number` of `id`, or an earlier one, is written.
    pub(super) fn has_row(&self, id: DeliveryId, number: u64) -> bool {
        self.lock().suspects.has_row(id, number)
    }

    /// Ends claims and reservations, by number.
    pub(super) fn end(&self, numbers: impl IntoIterator<Item = u64>) {
        let mut state = self.lock();
        for number in numbers {
            state.end(number);
        }
    }

    /// Ends claims whose release could not be written, so that they can be claimed again; nobody else would end them.
    /// Answers those that a cancel waits for: they cannot end without a write.
    pub(super) fn give_up(&self, numbers: &[u64]) -> Vec<u64> {
        let mut state = self.lock();
        let mut awaited = Vec::new();
        for number in numbers {
            let Some(id) = state.by_number.get(number).copied() else { continue };
            if state.is_cancelling(id) {
                awaited.push(*number);
            } else {
                state.suspects.given_up(id, *number);
                state.end(*number);
            }
        }
        awaited
    }

    /// The claim `number`, if it is the newest of this delivery.
    pub(super) fn claimed(&self, id: DeliveryId, number: u64) -> Option<Claimed> {
        self.lock().in_flight.get(&id).filter(|ticket| ticket.number == number)?.claimed.clone()
    }

    /// The delivery of a claim that has not ended.
    pub(super) fn delivery_of(&self, number: u64) -> Option<DeliveryId> {
        self.lock().by_number.get(&number).copied()
    }

    /// The number of the claim that stands in the way of closing `id`, else closes it to claims.
    pub(super) fn close(&self, id: DeliveryId, is_ended: impl Fn(u64) -> bool) -> Option<u64> {
        let mut state = self.lock();
        match state.in_flight.get(&id) {
            Some(ticket) if !is_ended(ticket.number) => Some(ticket.number),
            _ => {
                state.closing.insert(id);
                None
            }
        }
    }

    /// When this was cancelled, if some of it was in flight then.
    pub(super) fn withdrawn_at(&self, what: Withdrawal) -> Option<Timestamp> {
        self.lock().cancelling.get(&what).copied()
    }

    /// After a commit: ends its claims, brings the cache up to date and opens what was closed.
    pub(super) fn committed(
        &self,
        changes: Vec<Change>,
        ended: impl IntoIterator<Item = u64>,
        cancelling: impl IntoIterator<Item = (Withdrawal, Option<Timestamp>)>,
        noted: Vec<Noted>,
    ) {
        let mut state = self.lock();
        // Before their ends: one that ended in this very commit is not kept.
        state.suspects.noted(noted);
        for change in changes {
            state.apply(change);
        }
        for number in ended {
            state.end(number);
        }
        for (what, at) in cancelling {
            match at {
                Some(at) => state.cancelling.insert(what, at),
                None => state.cancelling.remove(&what),
            };
        }
        state.closing.clear();
    }

    /// After a commit that failed: opens what was closed.
    pub(super) fn rolled_back(&self) {
        self.lock().closing.clear();
    }
}

impl State {
    fn is_taken(&self, id: DeliveryId) -> bool {
        self.in_flight.contains_key(&id) || (!self.closing.is_empty() && self.closing.contains(&id))
    }

    fn is_cancelling(&self, id: DeliveryId) -> bool {
        let is_withdrawn = |what| self.cancelling.contains_key(&what);
        !self.cancelling.is_empty()
            && (is_withdrawn(Withdrawal::All(id.notification())) || is_withdrawn(Withdrawal::One(id)))
    }

    fn end(&mut self, number: u64) {
        if let Some(id) = self.by_number.remove(&number) {
            self.in_flight.remove(&id);
        }
        self.suspects.ended(number);
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Accepted(id, open) => {
                let bytes = open.bytes();
                let limit = match open.notification.priority {
                    Priority::Low | Priority::Normal => HOT_BYTES_MAX_ORDINARY,
                    Priority::High | Priority::Critical => HOT_BYTES_MAX,
                };
                let soon = open.progress.due.since(open.notification.created_at) <= HOT_HORIZON;
                if soon && self.hot_bytes + bytes <= limit {
                    self.hot_bytes += bytes;
                    self.hot.insert(id, Hot { open, bytes });
                }
            }
            Change::Waiting { delivery, progress, at } => {
                self.suspects.survived(delivery);
                if progress.due.since(at) > HOT_HORIZON {
                    self.cool(delivery);
                } else if let Some(hot) = self.hot.get_mut(&delivery) {
                    hot.open.progress = progress;
                }
            }
            Change::Rerouted(delivery) | Change::Final(delivery) => {
                self.suspects.survived(delivery);
                self.cool(delivery);
            }
        }
    }

    fn cool(&mut self, id: DeliveryId) {
        if let Some(hot) = self.hot.remove(&id) {
            self.hot_bytes -= hot.bytes;
        }
    }
}

impl OpenDelivery {
    /// Whether it is due, and not about to be withdrawn: of that, only what a provider took goes on.
    pub(super) fn is_claimable(&self, now: Timestamp, is_withdrawn: bool) -> bool {
        self.progress.due <= now && (!is_withdrawn || self.progress.accepted.is_some())
    }

    fn claim(&self, delivery: DeliveryId, number: u64, crashes: u32) -> Claim {
        Claim {
            number,
            delivery,
            progress: self.progress.clone(),
            channel: self.channel.clone(),
            flow: self.flow,
            recipient: Arc::clone(&self.recipient),
            notification: Arc::clone(&self.notification),
            crashes,
        }
    }

    fn claimed(&self) -> Claimed {
        Claimed { lane: self.lane, siblings: self.siblings, progress: self.progress.clone() }
    }

    /// Its own, and its share of the notification.
    fn bytes(&self) -> usize {
        let pairs = self.recipient.attributes.iter().chain(&self.recipient.others);
        let recipient: usize = self.recipient.address.len() + pairs.map(pair_bytes).sum::<usize>();
        HOT_OVERHEAD_BYTES + recipient + notification_bytes(&self.notification) / self.siblings.max(1) as usize
    }
}

fn pair_bytes((name, value): &(String, String)) -> usize {
    name.len() + value.len() + size_of::<(String, String)>()
}

/// What the texts of a notification take in memory, as far as callers can make them long.
pub(super) fn notification_bytes(notification: &Notification) -> usize {
    let content = &notification.content;
    let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    content.text.len()
        + length(&content.title)
        + length(&content.html)
        + length(&content.markdown)
        + length(&notification.data)
        + content.parts.iter().map(|part| part.name.len() + part.value.len()).sum::<usize>()
        + notification.metadata.iter().map(pair_bytes).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Content;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn accepted(n: u32, priority: Priority, due: Timestamp) -> Change {
        let id = NotificationId::from_bytes(u128::from(n).to_be_bytes());
        let notification = Notification {
            id,
            kind: "info".to_owned(),
            priority,
            content: Arc::new(Content { text: "x".repeat(1 << 20), ..Content::default() }),
            actions: Vec::new(),
            template: None,
            data: None,
            metadata: Vec::new(),
            correlation_id: None,
            group_key: None,
            created_at: NOW,
            scheduled_at: None,
            expires_at: None,
        };
        let open = OpenDelivery {
            lane: 1,
            siblings: 1,
            progress: Waiting::fresh(due),
            channel: ChannelName::new("mail").unwrap(),
            flow: Flow::SHARED,
            recipient: Arc::default(),
            notification: Arc::new(notification),
        };
        Change::Accepted(id.delivery(0), open)
    }

    fn delivery(n: u32) -> DeliveryId {
        NotificationId::from_bytes(u128::from(n).to_be_bytes()).delivery(0)
    }

    fn commit(live: &Live, changes: impl IntoIterator<Item = Change>) {
        live.committed(changes.into_iter().collect(), [], [], Vec::new());
    }

    fn cached(live: &Live) -> usize {
        live.lock().hot.len()
    }

    #[test]
    fn the_cache_has_a_limit_and_keeps_room_for_what_goes_first() {
        let live = Live::default();
        commit(&live, (0..100).map(|n| accepted(n, Priority::Normal, NOW)));
        assert_eq!(cached(&live), 47, "of 1 MiB each in 48 MiB");
        commit(&live, (100..200).map(|n| accepted(n, Priority::Critical, NOW)));
        assert_eq!(cached(&live), 63, "of 1 MiB each in 64 MiB");
        assert!(live.lock().hot_bytes <= HOT_BYTES_MAX);

        commit(&live, (0..200).map(|n| Change::Final(delivery(n))));
        assert_eq!((cached(&live), live.lock().hot_bytes), (0, 0));
    }

    #[test]
    fn what_is_far_off_is_not_cached() {
        let live = Live::default();
        let later = NOW.after(HOT_HORIZON + Duration::from_millis(1));
        commit(&live, [accepted(1, Priority::Normal, later), accepted(2, Priority::Normal, NOW)]);
        assert_eq!(cached(&live), 1);
        let progress = Waiting { attempts: 1, ..Waiting::fresh(later) };
        commit(&live, [Change::Waiting { delivery: delivery(2), progress, at: NOW }]);
        assert_eq!(cached(&live), 0);
    }

    #[test]
    fn what_is_given_up_can_be_claimed_again_and_its_row_is_not_forgotten() {
        let live = Live::default();
        commit(&live, [accepted(1, Priority::Normal, NOW), accepted(2, Priority::Normal, NOW)]);
        assert_eq!(live.claim(&[delivery(1), delivery(2)], NOW).claims.len(), 2);
        live.committed(
            Vec::new(),
            [],
            [(Withdrawal::All(delivery(2).notification()), Some(NOW))],
            vec![(delivery(1), 1)],
        );
        assert_eq!(live.give_up(&[1, 2, 3]), [2], "a cancel waits for the second, the third is nobody's");
        let again = live.claim(&[delivery(1), delivery(2)], NOW);
        assert_eq!(
            again.claims.iter().map(|claim| (claim.delivery, claim.number)).collect::<Vec<_>>(),
            [(delivery(1), 3)]
        );
        assert!(live.has_row(delivery(1), 3), "it is still written as in flight");
    }

    #[test]
    fn what_is_about_to_be_final_is_not_claimed_until_the_commit_has_ended() {
        let live = Live::default();
        commit(&live, [accepted(1, Priority::Normal, NOW)]);
        assert_eq!(live.close(delivery(1), |_| false), None);
        let during = live.claim(&[delivery(1)], NOW);
        assert_eq!((during.claims.len(), during.unread.len()), (0, 0));
        live.rolled_back();
        assert_eq!(live.claim(&[delivery(1)], NOW).claims.len(), 1);
        assert_eq!(live.close(delivery(1), |_| false), Some(1), "now its claim stands in the way");
    }
}
