//! Looks into the store and holds it against the books.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use campanile::domain::{DeliveryId, DeliveryState, NotificationId, StatusCounts};
use campanile::store::{
    DELIVERIES_SLICE, DeadLetterFilter, DeliveryRecord, NotificationRecord, NumberedEvent, StatusCounts64, Store,
    StoreError,
};

use crate::ledger::{Ledger, Purge, Seen, Standing, Told, request_number};
use crate::life::Life;

/// Entries that are read at once.
const PAGE: usize = 500;

/// Which delivery was the first with its dedupe key, channel and address.
pub(crate) type Firsts = BTreeMap<(String, String, String), DeliveryId>;

/// All that is in a store.
struct Everything {
    events: Vec<NumberedEvent>,
    dead_letters: BTreeSet<DeliveryId>,
    counts: StatusCounts64,
    waiting: u64,
}

impl Life {
    /// Holds what something was told of since the last look against the books.
    pub(crate) fn check_touched(&mut self, books: &crate::outside::Books, firsts: &mut Firsts) {
        let touched = std::mem::take(&mut books.open().touched);
        self.check_these(touched.into_iter().collect(), books, firsts);
        let (in_flight, mut books) = (self.dispatcher.in_flight(), books.open());
        let (slots, unsettled) = (books.slots, books.unsettled());
        if in_flight > slots || in_flight < unsettled {
            let line = format!("{in_flight} slots of {slots} are taken, {unsettled} calls are not settled");
            books.breaks("I6", line);
        }
    }

    /// Holds all of it against the books.
    pub(crate) fn check_everything(&mut self, books: &crate::outside::Books, firsts: &mut Firsts) {
        let all = books.open().notifications.keys().copied().collect();
        self.check_these(all, books, firsts);
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        match self.ask(async move { everything(store.as_ref()).await }) {
            Ok(found) => books.open().hold_against(&found),
            Err(error) => books.open().breaks("store", format!("it cannot be read: {error}")),
        }
    }

    fn check_these(&mut self, ids: Vec<NotificationId>, books: &crate::outside::Books, firsts: &mut Firsts) {
        let store = Arc::clone(&self.store);
        let read = self.ask(async move {
            let mut records = Vec::with_capacity(ids.len());
            for id in ids {
                let Some(record) = store.notification(id).await? else {
                    records.push((id, None, Vec::new()));
                    continue;
                };
                let mut rest = Vec::new();
                if record.deliveries.len() == DELIVERIES_SLICE {
                    rest = store.deliveries(id, DELIVERIES_SLICE as u32, DELIVERIES_SLICE).await?;
                }
                records.push((id, Some(record), rest));
            }
            Ok::<_, StoreError>(records)
        });
        let mut books = books.open();
        match read {
            Err(error) => books.breaks("store", format!("it cannot be read: {error}")),
            Ok(records) => {
                for (id, record, rest) in records {
                    match record {
                        None => books.breaks("I1", format!("{id} is gone")),
                        Some(record) => books.hold_record_against(record, rest, firsts),
                    }
                }
            }
        }
    }
}

async fn everything(store: &dyn Store) -> Result<Everything, StoreError> {
    let mut events: Vec<NumberedEvent> = Vec::new();
    loop {
        let page = store.outbox(events.last().map_or(0, |event| event.number), PAGE).await?;
        if page.is_empty() {
            break;
        }
        events.extend(page);
    }
    let (mut dead_letters, mut after) = (BTreeSet::new(), None);
    loop {
        let page = store.dead_letters(DeadLetterFilter::default(), after, PAGE).await?;
        dead_letters.extend(page.dead_letters.iter().map(|letter| letter.delivery.id));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let waiting = store.lanes().await?.iter().map(|depth| depth.waiting).sum();
    Ok(Everything { events, dead_letters, counts: store.count().await?, waiting })
}

impl Ledger {
    fn hold_against(&mut self, found: &Everything) {
        if found.events != self.events {
            let (stored, told) = (found.events.len(), self.events.len());
            let first = found.events.iter().zip(&self.events).position(|(stored, told)| stored != told);
            self.breaks(
                "I7",
                format!("{stored} events are stored, {told} were told; the first that differs: {first:?}"),
            );
        }
        let told =
            |standing: Standing| self.deliveries.values().filter(|seen| seen.standing == standing).count() as u64;
        let (sent, failed, cancelled) = (told(Standing::Sent), told(Standing::Failed), told(Standing::Cancelled));
        let expected = StatusCounts64 { open: found.waiting, sent, failed, cancelled };
        if found.counts != expected {
            self.breaks(
                "I1",
                format!("the store counts {:?}; what was told and what waits: {expected:?}", found.counts),
            );
        }
        let mut wrong = Vec::new();
        for (id, seen) in &mut self.deliveries {
            let is_dead = found.dead_letters.contains(id);
            let should_be = seen.standing == Standing::Failed && seen.purge != Purge::Yes;
            if seen.purge == Purge::Perhaps && seen.standing == Standing::Failed {
                seen.purge = if is_dead { Purge::No } else { Purge::Yes };
            } else if is_dead != should_be {
                wrong.push(format!("{id}: {seen:?}, a dead letter: {is_dead}"));
            }
        }
        wrong.iter().for_each(|line| self.breaks("I1", line));
    }

    /// Holds one notification against what was told of it. `rest` is what a record does not hold of a large one.
    fn hold_record_against(&mut self, record: NotificationRecord, rest: Vec<DeliveryRecord>, firsts: &mut Firsts) {
        let NotificationRecord { notification, counts, unmade: to_be_made, never_made, mut deliveries, .. } = record;
        deliveries.extend(rest);
        let id = notification.id;
        let Some(number) = request_number(notification.correlation_id.as_deref()) else {
            return self.breaks("I1", format!("{id} belongs to no request"));
        };
        self.belongs(id, number);
        let submission = self.requests[number].submission.clone();
        let is_same = submission.body.as_ref() == Some(&notification.content.text)
            && submission.expires_at == notification.expires_at
            && submission.scheduled_at.filter(|at| *at > notification.created_at) == notification.scheduled_at;
        if !is_same {
            self.breaks("I1", format!("{id} is not what r{number} asked for"));
        }
        let Told { deliveries: expected, is_cancelled, .. } = self.notifications.entry(id).or_default().clone();
        let mut found = StatusCounts::default();
        for delivery in &deliveries {
            found.add(delivery.state.status());
            self.hold_delivery_against(delivery, notification.expires_at.is_some());
            if let Some(key) = &submission.dedupe_key {
                let news = (key.clone(), delivery.channel.to_string(), delivery.recipient.address.clone());
                let first = *firsts.entry(news).or_insert(delivery.id);
                if first != delivery.id {
                    self.breaks("dedupe", format!("{} and {first} are the same news", delivery.id));
                }
            }
        }
        let unmade = expected.saturating_sub(deliveries.len() as u32);
        match is_cancelled {
            true => found.cancelled += unmade,
            false => found.open += unmade,
        }
        let told = if is_cancelled { (0, unmade) } else { (unmade, 0) };
        if (to_be_made, never_made) != told {
            self.breaks("I1", format!("{id}: {to_be_made} to be made and {never_made} never, told were {told:?}"));
        }
        let is_large = expected as usize > DELIVERIES_SLICE;
        if (unmade > 0 && !is_large) || deliveries.len() > expected as usize || counts != found {
            self.breaks("I1", format!("{id} counts {counts:?}; of {expected} deliveries there are {found:?}"));
        }
    }

    fn hold_delivery_against(&mut self, delivery: &DeliveryRecord, expires: bool) {
        let DeliveryRecord { id, state, attempts, .. } = delivery;
        let seen: Seen = self.deliveries.get(id).cloned().unwrap_or_default();
        let stands = match (state, seen.standing) {
            (DeliveryState::Waiting(waiting), Standing::Waiting { due }) => {
                waiting.accepted.is_none() && due.is_none_or(|due| due == waiting.due)
            }
            (DeliveryState::Waiting(waiting), Standing::Accepted) => waiting.accepted.is_some(),
            (DeliveryState::Sent { .. }, Standing::Sent) | (DeliveryState::Cancelled { .. }, Standing::Cancelled) => {
                true
            }
            (DeliveryState::Failed { reason, .. }, Standing::Failed) => reason.as_str() != "expired" || expires,
            _ => false,
        };
        if !stands {
            self.breaks("I1", format!("{id} is stored as {state:?}, and told as {:?}", seen.standing));
        }
        let numbers = attempts.iter().map(|attempt| attempt.number);
        if state.attempts() != seen.attempts || !numbers.eq(1..=seen.attempts) {
            self.breaks("I3", format!("{id} is stored with attempts {attempts:?}, and {} were told", seen.attempts));
        }
    }
}
