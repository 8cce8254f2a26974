//! Notifications and their deliveries, as they come in.

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::params;

use super::expand::Staged;
use super::{Asked, Transaction};
use crate::domain::{
    Act, Actor, AuditOutcome, CallbackUrl, ChannelName, DeliveryId, DeliveryState, EventBody, HeldBy, Lane,
    Notification, NotificationId, Position, Queued, StatusCounts, Waiting,
};
use crate::store::sqlite::failure::Failure;
use crate::store::sqlite::live::{Change, OpenDelivery, notification_bytes};
use crate::store::sqlite::lookup::Key;
use crate::store::sqlite::row::Target;
use crate::store::sqlite::{callback_urls, once, read, row};
use crate::store::{Accepted, DELIVERIES_SLICE, Deduplicated, FirstUse, IdempotencyKey, Planned};

/// A notification to accept, encoded by its caller: the writer has enough to do.
#[derive(Debug)]
pub(in crate::store::sqlite) struct Accepting {
    notification: Arc<Notification>,
    payload: Vec<u8>,
    /// Made at once.
    deliveries: Vec<Target>,
    /// How many were staged, to be made later.
    unmade: u32,
    idempotency: Option<IdempotencyKey>,
    /// Kept with the key.
    skipped: Vec<usize>,
    by: Actor,
    /// Channels that are held.
    held: Vec<(ChannelName, HeldBy)>,
    callback_url: Option<CallbackUrl>,
}

impl Accepting {
    /// What is to be accepted, and what has to be staged before where it is large.
    pub(in crate::store::sqlite) fn of(planned: Planned) -> (Self, Vec<Staged>) {
        let Planned { notification, deliveries, skipped, idempotency, by, held, callback_url } = planned;
        let mut payload = Vec::with_capacity(128 + notification_bytes(&notification));
        row::put_notification(&mut payload, &notification);
        if deliveries.len() <= DELIVERIES_SLICE {
            let deliveries = deliveries.into_iter().map(Target::from).collect();
            let unmade = 0;
            let one = Self { notification, payload, deliveries, unmade, idempotency, skipped, by, held, callback_url };
            return (one, Vec::new());
        }
        let slices = (0..).step_by(DELIVERIES_SLICE).zip(deliveries.chunks(DELIVERIES_SLICE));
        let staged = slices.map(|(first, slice)| {
            let mut targets = Vec::with_capacity(slice.len() * 64);
            row::put_targets(&mut targets, slice);
            Staged { notification: notification.id, first, count: slice.len() as u32, targets }
        });
        let staged = staged.collect();
        let unmade = deliveries.len() as u32;
        let (deliveries, held) = (Vec::new(), Vec::new());
        let one = Self { notification, payload, deliveries, unmade, idempotency, skipped, by, held, callback_url };
        (one, staged)
    }

    /// About what it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + self.deliveries.iter().map(|target| 160 + target.recipient_row.len()).sum::<usize>()
    }
}

impl Transaction<'_> {
    pub(super) fn accept(&mut self, one: &Accepting) -> Result<Accepted, Failure> {
        let Accepting { notification, payload, deliveries, unmade, idempotency, skipped, by, held, callback_url } = one;
        if let Some(known) = idempotency.as_ref().map(|key| once::first_use(self.db, &key.key)).transpose()?.flatten() {
            self.unstage(notification.id)?;
            return Ok(Accepted::Known(known));
        }
        let (id, at) = (notification.id, notification.created_at);
        let mut deduplicated = self.duplicates(id, 0, deliveries)?;
        let count = (deliveries.len() - deduplicated.len()) as u32 + unmade;
        self.statements.insert_notification(id, count, payload)?;
        if let Some(url) = callback_url {
            callback_urls::put(self.db, id, url)?;
        }
        if let Some(text) = &notification.correlation_id {
            self.statements.insert_lookup(Key::Correlation(text), id)?;
        }
        let is_made = |index: &u32| deduplicated.iter().all(|duplicate| duplicate.index != *index);
        for (index, delivery) in (0..).zip(deliveries).filter(|(index, _)| is_made(index)) {
            self.accept_delivery(notification, id.delivery(index), count, delivery)?;
        }
        if let Some(key) = idempotency {
            let first = FirstUse { digest: key.digest, notification: id, deduplicated, skipped: skipped.clone() };
            once::remember_use(self.db, &key.key, at, &first)?;
            deduplicated = first.deduplicated;
        }
        if count > 1 {
            self.db
                .prepare_cached(
                    "INSERT INTO tallies (notification, open, sent, failed, cancelled) VALUES (?1, ?2, 0, 0, 0)",
                )?
                .execute(params![id.as_bytes(), count])?;
        }
        let priority = notification.priority;
        self.event(at, EventBody::NotificationAccepted { notification: id, priority, deliveries: count });
        self.note(Asked { at, by: *by }, Act::Submit { notification: id, deliveries: count }, AuditOutcome::Done);
        for Deduplicated { first, .. } in &deduplicated {
            self.event(at, EventBody::DeliveryDeduplicated { notification: id, first: *first });
        }
        if let Some(expires_at) = notification.expires_at.filter(|_| count > 0) {
            self.expires(id, expires_at)?;
        }
        if !held.is_empty() {
            self.tell_held(notification, deliveries, &deduplicated, held);
        }
        if count == 0 {
            let status = StatusCounts::default().status();
            self.event(at, EventBody::NotificationCompleted { notification: id, status });
        }
        Ok(Accepted::New { deduplicated })
    }

    fn tell_held(
        &mut self,
        notification: &Notification,
        deliveries: &[Target],
        deduplicated: &[Deduplicated],
        held: &[(ChannelName, HeldBy)],
    ) {
        for (index, target) in (0..).zip(deliveries) {
            let Some((channel, by)) = held.iter().find(|(channel, _)| *channel == target.channel) else { continue };
            if deduplicated.iter().all(|duplicate| duplicate.index != index) {
                let (delivery, channel) = (notification.id.delivery(index), channel.clone());
                self.event(notification.created_at, EventBody::DeliveryHeld { delivery, channel, by: *by });
            }
        }
    }

    /// Those that were made before, or stand before here, by the keys they have. The deliveries are those from index
    /// `from` on.
    pub(super) fn duplicates(
        &self,
        id: NotificationId,
        from: u32,
        deliveries: &[Target],
    ) -> Result<Vec<Deduplicated>, Failure> {
        let mut duplicates = Vec::new();
        let mut here = HashMap::new();
        let with_key = (from..).zip(deliveries).filter_map(|(index, delivery)| Some((index, delivery.dedupe?)));
        for (index, key) in with_key {
            let first = match here.get(&key.hash) {
                Some(index) => Some(id.delivery(*index)),
                None => once::first_delivery(self.db, &key)?,
            };
            match first {
                Some(first) => duplicates.push(Deduplicated { index, first }),
                None => drop(here.insert(key.hash, index)),
            }
        }
        Ok(duplicates)
    }

    pub(super) fn accept_delivery(
        &mut self,
        notification: &Arc<Notification>,
        id: DeliveryId,
        siblings: u32,
        target: &Target,
    ) -> Result<(), Failure> {
        let Target { channel, recipient, recipient_row, due, flow, dedupe } = target;
        let lane = Lane { priority: notification.priority, channel: channel.clone(), flow: *flow };
        let number = self.lane_number(&lane)?;
        let progress = Waiting::fresh(*due);
        self.scratch.clear();
        row::put_state(&mut self.scratch, &DeliveryState::Waiting(progress.clone()));
        self.statements.insert_delivery(id, number, row::STATUS_OPEN, &self.scratch, recipient_row)?;
        self.statements.insert_live(number, *due, id)?;
        if !recipient.address.is_empty() {
            self.statements.insert_lookup(Key::Address(&recipient.address), id.notification())?;
        }
        if let Some(key) = dedupe {
            once::remember_delivery(self.db, key, notification.created_at, id)?;
        }
        self.effects.accepted.push(Queued { lane, position: Position { due: *due, delivery: id } });
        self.effects.changes.push(Change::Accepted(
            id,
            OpenDelivery {
                lane: number,
                siblings,
                progress,
                channel: channel.clone(),
                flow: *flow,
                recipient: Arc::clone(recipient),
                notification: Arc::clone(notification),
            },
        ));
        Ok(())
    }

    pub(super) fn lane_number(&mut self, lane: &Lane) -> Result<i64, Failure> {
        if let Some(number) = self.lanes.get(lane) {
            return Ok(*number);
        }
        let number = match read::lane_number(self.db, lane)? {
            Some(number) => number,
            None => {
                self.db
                    .prepare_cached("INSERT INTO lanes (priority, channel, flow) VALUES (?1, ?2, ?3)")?
                    .execute(params![row::priority_number(lane.priority), lane.channel.as_str(), lane.flow.number()])?;
                self.db.last_insert_rowid()
            }
        };
        self.lanes.insert(lane.clone(), number);
        Ok(number)
    }
}
