//! The store in as few lines as say what it means: no disk, no batches, no cache. Engines are compared with it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::domain::{EventBody, FailReason, KvChange, KvUsage, PROGRESS_EVERY, PluginName, Rerouted, settle_cancelled};

/// What a store knows, as plain collections.
#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) deliveries: BTreeMap<DeliveryId, Kept>,
    pub(crate) claims: BTreeMap<DeliveryId, u64>,
    pub(crate) events: Vec<Event>,
    pub(crate) plugins: BTreeMap<PluginName, PluginBook>,
    pub(crate) channels: BTreeMap<ChannelName, ChannelBook>,
    pub(crate) callbacks: BTreeMap<CallbackName, CallbackBook>,
    pub(crate) owed: BTreeMap<(CallbackName, EventNumber), OwedCallback>,
    pub(crate) dead_callbacks: BTreeMap<u64, DeadCallback>,
    /// The highest id that was given.
    last_dead_callback: u64,
    cancelling: BTreeMap<NotificationId, Timestamp>,
    cancelling_one: BTreeMap<DeliveryId, Timestamp>,
    pub(crate) kv: BTreeMap<(ChannelName, String), KvEntry>,
    /// The highest version among the keys that each channel removed.
    kv_removed: BTreeMap<ChannelName, u64>,
    keys: BTreeMap<[u8; 16], (Timestamp, FirstUse)>,
    dedupe: BTreeMap<[u8; 16], (Timestamp, DeliveryId)>,
    pub(crate) dead: BTreeSet<DeliveryId>,
    /// When progress was told last, in this process.
    progress: BTreeMap<NotificationId, Timestamp>,
    /// Of whom deliveries have ended in the call under way.
    progressed: BTreeMap<NotificationId, Timestamp>,
    /// When progress may be told that was not.
    held_back: BTreeMap<NotificationId, Timestamp>,
    /// When to look at what expires.
    expiries: BTreeSet<(Timestamp, NotificationId)>,
    expires_at: BTreeMap<NotificationId, Timestamp>,
}

#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) lane: Lane,
    pub(crate) state: DeliveryState,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) reroutes: Vec<Rerouted>,
}

impl Model {
    pub(crate) fn accept(&mut self, planned: &Planned) -> Accepted {
        let Planned { notification, deliveries, skipped, idempotency, by: _, held, callback_url: _ } = planned;
        let (id, priority, now) = (notification.id, notification.priority, notification.created_at);
        if let Some(IdempotencyKey { key, .. }) = idempotency
            && let Some((_, first)) = self.keys.get(&key.hash).filter(|(at, _)| *at >= key.since)
        {
            return Accepted::Known(first.clone());
        }
        let mut deduplicated = Vec::new();
        for (index, delivery) in (0..).zip(deliveries) {
            if let Some(key) = &delivery.dedupe {
                if let Some((_, first)) = self.dedupe.get(&key.hash).filter(|(at, _)| *at >= key.since) {
                    deduplicated.push(Deduplicated { index, first: *first });
                    continue;
                }
                self.dedupe.insert(key.hash, (now, id.delivery(index)));
            }
            let lane = Lane { priority, channel: delivery.channel.clone(), flow: delivery.flow };
            let state = DeliveryState::Waiting(Waiting::fresh(delivery.due));
            self.deliveries
                .insert(id.delivery(index), Kept { lane, state, attempts: Vec::new(), reroutes: Vec::new() });
        }
        if let Some(IdempotencyKey { key, digest }) = idempotency {
            let (deduplicated, skipped) = (deduplicated.clone(), skipped.clone());
            let first = FirstUse { digest: *digest, notification: id, deduplicated, skipped };
            self.keys.insert(key.hash, (now, first));
        }
        let count = (deliveries.len() - deduplicated.len()) as u32;
        let mut bodies = vec![EventBody::NotificationAccepted { notification: id, priority, deliveries: count }];
        let first =
            |duplicate: &Deduplicated| EventBody::DeliveryDeduplicated { notification: id, first: duplicate.first };
        bodies.extend(deduplicated.iter().map(first));
        if let Some(expires_at) = notification.expires_at {
            self.expires_at.insert(id, expires_at);
            self.expiries.extend((count > 0).then_some((expires_at, id)));
        }
        bodies.extend((0..).zip(deliveries).filter_map(|(index, target)| {
            let is_made = deliveries.len() <= DELIVERIES_SLICE && deduplicated.iter().all(|one| one.index != index);
            let (channel, by) = held.iter().find(|(channel, _)| is_made && *channel == target.channel)?;
            Some(EventBody::DeliveryHeld { delivery: id.delivery(index), channel: channel.clone(), by: *by })
        }));
        if count == 0 {
            let status = StatusCounts::default().status();
            bodies.push(EventBody::NotificationCompleted { notification: id, status });
        }
        self.events.extend(bodies.into_iter().map(|body| Event { at: now, body }));
        Accepted::New { deduplicated }
    }

    pub(crate) fn claimable(&self, ids: &[DeliveryId], now: Timestamp) -> Vec<DeliveryId> {
        let is_free = |id: &DeliveryId| {
            !self.claims.contains_key(id) && (self.cancelled_at(*id).is_none() || self.is_accepted(*id))
        };
        let is_due =
            |id: &DeliveryId| matches!(self.deliveries.get(id), Some(kept) if kept.due().is_some_and(|due| due <= now));
        ids.iter().copied().filter(|id| is_free(id) && is_due(id)).collect()
    }

    pub(crate) fn release(&mut self, number: u64) {
        let Some(id) = self.claims.iter().find(|(_, claim)| **claim == number).map(|(id, _)| *id) else { return };
        self.claims.remove(&id);
        if let Some(at) = self.cancelled_at(id) {
            self.cancel_one(id, at);
        }
    }

    fn is_accepted(&self, id: DeliveryId) -> bool {
        self.deliveries.get(&id).is_some_and(|kept| kept.state.is_accepted())
    }

    fn cancelled_at(&self, id: DeliveryId) -> Option<Timestamp> {
        self.cancelling.get(&id.notification()).or_else(|| self.cancelling_one.get(&id)).copied()
    }

    pub(crate) fn settle(&mut self, settlement: &Settlement) -> Settled {
        let Settlement { claim, delivery, attempt, state, reroute, at } = settlement;
        if self.claims.get(delivery) != Some(claim) {
            return Settled::Late;
        }
        self.claims.remove(delivery);
        let was_accepted = self.is_accepted(*delivery);
        let kept = self.deliveries.get_mut(delivery).expect("what is claimed was accepted");
        if let Some(attempt) = attempt {
            kept.attempts.push(attempt.clone());
            let duration_us = attempt.duration.as_micros() as u64;
            let (attempt, end) = (attempt.number, attempt.end.clone());
            let body = EventBody::DeliveryAttempted { delivery: *delivery, attempt, end, duration_us };
            self.events.push(Event { at: *at, body });
        }
        let is_cancelled = self.cancelled_at(*delivery).is_some() && !was_accepted;
        let state = if is_cancelled { settle_cancelled(state.clone(), *at) } else { state.clone() };
        match (reroute.as_deref(), &state) {
            (Some(Reroute { to, recipient: _, reason }), DeliveryState::Waiting(_)) => {
                let kept = self.deliveries.get_mut(delivery).expect("what is claimed was accepted");
                let from = std::mem::replace(&mut kept.lane.channel, to.clone());
                let (to, reason) = (to.clone(), reason.clone());
                kept.reroutes.push(Rerouted { from: from.clone(), to: to.clone(), at: *at, reason: reason.clone() });
                kept.state = state.clone();
                let body = EventBody::DeliveryRerouted { delivery: *delivery, from, to, reason };
                self.events.push(Event { at: *at, body });
            }
            _ => self.change(*delivery, state.clone(), *at),
        }
        if state.status().is_final() {
            self.progressed.insert(delivery.notification(), *at);
        }
        Settled::Applied(state)
    }

    /// Behind a call that settled or ended some: all of their progress.
    pub(crate) fn tell(&mut self) {
        for (notification, at) in std::mem::take(&mut self.progressed) {
            self.tell_progress(notification, at);
        }
    }

    /// Of those that were not told as they had been told just before.
    pub(crate) fn tell_held_back(&mut self, now: Timestamp) {
        let due = self.held_back.iter().filter(|(_, due)| **due <= now).map(|(id, _)| (*id, now));
        self.progressed.extend(due.collect::<Vec<_>>());
        self.tell();
    }

    pub(crate) fn next_progress(&self) -> Option<Timestamp> {
        self.held_back.values().min().copied()
    }

    fn tell_progress(&mut self, notification: NotificationId, at: Timestamp) {
        let counts = self.counts_of(notification);
        self.held_back.remove(&notification);
        if counts.open == 0 {
            return;
        }
        match self.progress.get(&notification) {
            Some(last) if at.since(*last).max(last.since(at)) < PROGRESS_EVERY => {
                self.held_back.insert(notification, at.min(*last).after(PROGRESS_EVERY));
            }
            Some(_) | None => {
                self.progress.insert(notification, at);
                let (completed, total) = (counts.completed(), counts.total());
                let body = EventBody::NotificationProgress { notification, completed, total };
                self.events.push(Event { at, body });
            }
        }
    }

    /// Of each notification that has expired, ends what waits and nobody claimed.
    pub(crate) fn expire(&mut self, now: Timestamp) -> u32 {
        let mut ended = 0;
        for (at, notification) in self.expiries.clone().into_iter().filter(|(at, _)| *at <= now) {
            self.expiries.remove(&(at, notification));
            let open = self.withdrawable_of(notification);
            let is_idle = |id: &DeliveryId| !self.claims.contains_key(id) && self.cancelled_at(*id).is_none();
            let (idle, others): (Vec<_>, Vec<_>) = open.into_iter().partition(is_idle);
            for id in &idle {
                let attempts = self.deliveries[id].state.attempts();
                self.change(*id, DeliveryState::Failed { at: now, attempts, reason: FailReason::Expired }, now);
            }
            if !idle.is_empty() {
                self.progressed.insert(notification, now);
            }
            if !others.is_empty() {
                self.expiries.insert((now.after(Duration::from_secs(10)), notification));
            }
            ended += idle.len() as u32;
        }
        self.tell();
        ended
    }

    pub(crate) fn next_expiry(&self) -> Option<Timestamp> {
        self.expiries.first().map(|(at, _)| *at)
    }

    pub(crate) fn cancel(&mut self, id: NotificationId, at: Timestamp) -> Cancelled {
        let is_it = |event: &Event| matches!(event.body, EventBody::NotificationAccepted { notification, .. } if notification == id);
        if !self.events.iter().any(is_it) {
            return Cancelled::Unknown;
        }
        let (in_flight, idle): (Vec<_>, Vec<_>) =
            self.withdrawable_of(id).into_iter().partition(|id| self.claims.contains_key(id));
        let (now, in_flight) = (idle.len() as u32, in_flight.len() as u32);
        if (now, in_flight) == (0, 0) {
            return if self.open_of(id).is_empty() { Cancelled::AlreadyFinal } else { Cancelled::Taken };
        }
        if !self.cancelling.contains_key(&id) {
            let body = EventBody::NotificationCancelled { notification: id, deliveries: now };
            self.events.push(Event { at, body });
            if in_flight > 0 {
                self.cancelling.insert(id, at);
            }
        }
        idle.into_iter().for_each(|id| self.cancel_one(id, at));
        Cancelled::Cancelled { now, in_flight }
    }

    pub(crate) fn cancel_delivery(&mut self, id: DeliveryId, at: Timestamp) -> Cancelled {
        let Some(kept) = self.deliveries.get(&id) else { return Cancelled::Unknown };
        if kept.due().is_none() {
            return Cancelled::AlreadyFinal;
        }
        if self.is_accepted(id) {
            return Cancelled::Taken;
        }
        if !self.claims.contains_key(&id) {
            self.cancel_one(id, at);
            return Cancelled::Cancelled { now: 1, in_flight: 0 };
        }
        if self.cancelled_at(id).is_none() {
            self.cancelling_one.insert(id, at);
        }
        Cancelled::Cancelled { now: 0, in_flight: 1 }
    }

    /// Claims are forgotten; cancels that waited for them are finished.
    pub(crate) fn reopen(&mut self) {
        self.claims.clear();
        self.progress.clear();
        self.held_back.clear();
        for (id, at) in self.cancelling.clone() {
            self.withdrawable_of(id).into_iter().for_each(|id| self.cancel_one(id, at));
        }
        self.cancelling.clear();
        for (id, at) in self.cancelling_one.clone() {
            self.cancel_one(id, at);
        }
    }

    pub(crate) fn replay(&mut self, Replay { delivery, due }: Replay, now: Timestamp) -> Replayed {
        let Some(kept) = self.deliveries.get_mut(&delivery) else { return Replayed::Unknown };
        let DeliveryState::Failed { attempts, .. } = kept.state else { return Replayed::NotFailed };
        if self.cancelling.contains_key(&delivery.notification()) {
            return Replayed::NotFailed;
        }
        kept.state = DeliveryState::Waiting(Waiting { attempts, run_began: Some(due), ..Waiting::fresh(due) });
        self.events.push(Event { at: now, body: EventBody::of_state(delivery, &kept.state) });
        self.dead.remove(&delivery);
        let notification = delivery.notification();
        self.expiries.extend(self.expires_at.get(&notification).map(|at| (*at, notification)));
        Replayed::Waits
    }

    pub(crate) fn purge(&mut self, id: DeliveryId) -> u64 {
        u64::from(self.dead.remove(&id))
    }

    pub(crate) fn keep_plugins(&mut self, books: &[PluginBook], events: &[Event]) {
        self.plugins.extend(books.iter().map(|book| (book.plugin.clone(), book.clone())));
        self.events.extend_from_slice(events);
    }

    pub(crate) fn keep_channels(&mut self, books: &[ChannelBook], events: &[Event]) {
        self.channels.extend(books.iter().map(|book| (book.channel.clone(), book.clone())));
        self.events.extend_from_slice(events);
    }

    pub(crate) fn keep_callbacks(&mut self, change: &CallbackChange) {
        for name in &change.forgotten {
            self.callbacks.remove(name);
            self.owed.retain(|(callback, _), _| callback != name);
        }
        self.callbacks.extend(change.books.iter().map(|book| (book.name.clone(), book.clone())));
        change.settled.iter().for_each(|key| drop(self.owed.remove(key)));
        self.owed.extend(change.owed.iter().map(|owed| ((owed.callback.clone(), owed.event), owed.clone())));
        change.revived.iter().for_each(|id| drop(self.dead_callbacks.remove(id)));
        for dead in &change.dead {
            self.last_dead_callback += 1;
            let id = self.last_dead_callback;
            self.dead_callbacks.insert(id, DeadCallback { id, ..dead.clone() });
        }
        self.events.extend_from_slice(&change.events);
    }

    pub(crate) fn page(&self, lane: &Lane) -> Vec<Queued> {
        let here = self.deliveries.iter().filter(|(_, kept)| kept.lane == *lane);
        let positions = here.filter_map(|(id, kept)| kept.due().map(|due| Position { due, delivery: *id }));
        let mut page: Vec<_> = positions.map(|position| Queued { lane: lane.clone(), position }).collect();
        page.sort_by_key(|queued| queued.position);
        page
    }

    pub(crate) fn kv_write(&mut self, write: KvWrite) -> KvWritten {
        let of_channel = self.kv.iter().filter(|((channel, _), _)| *channel == write.channel);
        let usage = of_channel.fold(KvUsage::default(), |sum, ((_, key), entry)| KvUsage {
            bytes: sum.bytes + (key.len() + entry.value.len()) as u64,
            keys: sum.keys + 1,
        });
        let name = (write.channel.clone(), write.key.clone());
        let found = self.kv.get(&name);
        let version = found.map_or(0, |entry| entry.version);
        if write.expected.is_some_and(|expected| expected != version) {
            return KvWritten::Conflict(version);
        }
        match write.change {
            KvChange::Remove => {
                self.kv.remove(&name);
                let removed = self.kv_removed.entry(write.channel).or_default();
                *removed = version.max(*removed);
                KvWritten::Removed
            }
            KvChange::Set(value) => {
                let (added, gone) = (name.1.len() + value.len(), found.map(|entry| name.1.len() + entry.value.len()));
                let after = KvUsage {
                    bytes: usage.bytes + added as u64 - gone.unwrap_or(0) as u64,
                    keys: usage.keys + u64::from(gone.is_none()),
                };
                let is_more = after.bytes > usage.bytes;
                if after.bytes > write.quota.bytes && is_more || after.keys > write.quota.keys && gone.is_none() {
                    return KvWritten::OverQuota(after);
                }
                let removed = self.kv_removed.get(&write.channel).copied().unwrap_or_default();
                let version = if gone.is_some() { version + 1 } else { removed + 1 };
                self.kv.insert(name, KvEntry { value, version });
                KvWritten::Set(version)
            }
        }
    }

    pub(crate) fn counts_of(&self, id: NotificationId) -> StatusCounts {
        let mut counts = StatusCounts::default();
        let all = self.deliveries.range(id.delivery(0)..=id.delivery(u32::MAX));
        all.for_each(|(_, kept)| counts.add(kept.state.status()));
        counts
    }

    fn open_of(&self, id: NotificationId) -> Vec<DeliveryId> {
        let all = self.deliveries.range(id.delivery(0)..=id.delivery(u32::MAX));
        all.filter(|(_, kept)| kept.due().is_some()).map(|(id, _)| *id).collect()
    }

    /// What is not final and no provider took.
    fn withdrawable_of(&self, id: NotificationId) -> Vec<DeliveryId> {
        self.open_of(id).into_iter().filter(|id| !self.is_accepted(*id)).collect()
    }

    fn cancel_one(&mut self, id: DeliveryId, at: Timestamp) {
        if self.is_accepted(id) {
            return;
        }
        let attempts = self.deliveries[&id].state.attempts();
        self.change(id, DeliveryState::Cancelled { at, attempts }, at);
    }

    fn change(&mut self, id: DeliveryId, state: DeliveryState, at: Timestamp) {
        let told = match &self.deliveries[&id].state {
            DeliveryState::Waiting(before) => EventBody::of_change(id, before, &state),
            DeliveryState::Sent { .. } | DeliveryState::Failed { .. } | DeliveryState::Cancelled { .. } => None,
        };
        self.events.extend(told.map(|body| Event { at, body }));
        if let DeliveryState::Failed { .. } = state {
            self.dead.insert(id);
        }
        if state.status().is_final() || state.is_accepted() {
            self.cancelling_one.remove(&id);
        }
        let is_expired = matches!(state, DeliveryState::Failed { reason: FailReason::Expired, .. });
        self.deliveries.get_mut(&id).expect("what changes was accepted").state = state;
        let notification = id.notification();
        if self.open_of(notification).is_empty() {
            if is_expired {
                self.events.push(Event { at, body: EventBody::NotificationExpired { notification } });
            }
            let body = EventBody::NotificationCompleted { notification, status: self.counts_of(notification).status() };
            self.events.push(Event { at, body });
            self.cancelling.remove(&notification);
        }
    }
}

impl Kept {
    /// None where it is final.
    fn due(&self) -> Option<Timestamp> {
        match &self.state {
            DeliveryState::Waiting(waiting) => Some(waiting.due),
            DeliveryState::Sent { .. } | DeliveryState::Failed { .. } | DeliveryState::Cancelled { .. } => None,
        }
    }
}
