//! Published shape `events`: how events lie in a frame of the outbox.
//!
//! *Invariants:* a frame starts with the number of its format. Kinds and formats are added, never changed.
//!
//! *Not here:* the numbers of events. A frame's row holds the first; the rest follow from it.

mod callback;
mod host;

use super::wire::{Damaged, Reader, put_option, put_text, put_u64};
use crate::domain::{
    ChannelChange, ChannelEvent, ChannelName, DeliveryId, Event, EventBody, HeldBy, NotificationId, NotificationStatus,
    PluginChange, PluginEvent, PoolScaled, Priority, ScaleReason, Timestamp, WorkerChange, WorkerEvent, WorkerNumber,
};

/// The only format so far.
const FORMAT: u8 = 1;

/// What happened to a worker.
const WORKER: u8 = 20;
/// A delivery goes another way.
const REROUTED: u8 = 23;
/// A provider took a delivery.
const ACCEPTED: u8 = 22;
/// What happened to the size of the pool.
const POOL_SCALED: u8 = 21;
/// What became of a call of a callback.
const CALLBACK: u8 = 24;
/// More of a notification is final.
const PROGRESS: u8 = 25;
/// The rest of a notification came too late.
const EXPIRED: u8 = 26;
/// What was accepted for a channel that is held.
const HELD: u8 = 28;

const STATUSES: [NotificationStatus; 5] = [
    NotificationStatus::Pending,
    NotificationStatus::Sent,
    NotificationStatus::Failed,
    NotificationStatus::Partial,
    NotificationStatus::Cancelled,
];

/// Appends a whole frame.
pub(super) fn put_frame(out: &mut Vec<u8>, events: &[Event]) {
    out.push(FORMAT);
    for Event { at, body } in events {
        put_u64(out, at.as_millis());
        put_body(out, body);
    }
}

/// The `count` events of a frame.
pub(super) fn frame(count: usize, bytes: &[u8]) -> Result<Vec<Event>, Damaged> {
    let mut reader = Reader::new("event", bytes);
    if reader.u8()? != FORMAT {
        return Err(reader.damaged());
    }
    let events = (0..count)
        .map(|_| Ok(Event { at: Timestamp::from_millis(reader.u64()?), body: body(&mut reader)? }))
        .collect::<Result<Vec<_>, Damaged>>()?;
    reader.end(events)
}

fn put_body(out: &mut Vec<u8>, body: &EventBody) {
    match body {
        EventBody::NotificationAccepted { notification, priority, deliveries } => {
            put_notification(out, 0, *notification);
            put_text(out, priority.as_str());
            put_u64(out, u64::from(*deliveries));
        }
        EventBody::NotificationCompleted { notification, status } => {
            put_notification(out, 1, *notification);
            put_text(out, status.as_str());
        }
        EventBody::NotificationCancelled { notification, deliveries } => {
            put_notification(out, 2, *notification);
            put_u64(out, u64::from(*deliveries));
        }
        EventBody::NotificationProgress { notification, completed, total } => {
            put_notification(out, PROGRESS, *notification);
            put_u64(out, u64::from(*completed));
            put_u64(out, u64::from(*total));
        }
        EventBody::NotificationExpired { notification } => put_notification(out, EXPIRED, *notification),
        EventBody::DeliveryHeld { delivery, channel, by } => put_held(out, *delivery, channel, *by),
        EventBody::DeliveryAttempted { delivery, attempt, end, duration_us } => {
            put_delivery(out, 3, *delivery, *attempt);
            put_text(out, end);
            put_u64(out, *duration_us);
        }
        EventBody::DeliverySent { delivery, attempts, provider_id, unconfirmed } => {
            put_delivery(out, 4, *delivery, *attempts);
            put_option(out, provider_id.as_deref(), put_text);
            out.push(u8::from(*unconfirmed));
        }
        EventBody::DeliveryAccepted { delivery, attempts, provider_id } => {
            put_delivery(out, ACCEPTED, *delivery, *attempts);
            put_option(out, provider_id.as_deref(), put_text);
        }
        EventBody::DeliveryRetrying { delivery, attempts, due } => {
            put_delivery(out, 5, *delivery, *attempts);
            put_u64(out, due.as_millis());
        }
        EventBody::DeliveryFailed { delivery, attempts, reason } => {
            put_delivery(out, 6, *delivery, *attempts);
            put_text(out, reason);
        }
        EventBody::DeliveryCancelled { delivery, attempts } => put_delivery(out, 7, *delivery, *attempts),
        EventBody::Plugin(event) => {
            out.push(8);
            put_plugin(out, event);
        }
        EventBody::DeliveryDeduplicated { notification, first } => {
            put_notification(out, 9, *notification);
            out.extend_from_slice(first.notification().as_bytes());
            put_u64(out, u64::from(first.index()));
        }
        EventBody::Channel(event) => {
            out.push(10);
            put_channel(out, event);
        }
        EventBody::Host(event) => host::put(out, event),
        EventBody::ConfigReloaded { sha256 } => {
            out.push(11);
            out.extend_from_slice(sha256);
        }
        EventBody::Worker(event) => put_worker(out, event),
        EventBody::PoolScaled(scaled) => {
            out.push(POOL_SCALED);
            put_scaled(out, *scaled);
        }
        EventBody::Callback(event) => callback::put(out, event),
        EventBody::DeliveryRerouted { delivery, from, to, reason } => put_rerouted(out, *delivery, from, to, reason),
    }
}

fn put_rerouted(out: &mut Vec<u8>, delivery: DeliveryId, from: &ChannelName, to: &ChannelName, reason: &str) {
    out.push(REROUTED);
    out.extend_from_slice(delivery.notification().as_bytes());
    put_u64(out, u64::from(delivery.index()));
    put_text(out, from.as_str());
    put_text(out, to.as_str());
    put_text(out, reason);
}

fn put_held(out: &mut Vec<u8>, delivery: DeliveryId, channel: &ChannelName, by: HeldBy) {
    put_delivery(out, HELD, delivery, 0);
    put_text(out, channel.as_str());
    put_text(out, by.as_str());
}

fn put_worker(out: &mut Vec<u8>, event: &WorkerEvent) {
    out.push(WORKER);
    let WorkerEvent { change, worker, reason } = event;
    put_text(out, change.kind());
    put_u64(out, u64::from(worker.0));
    put_option(out, reason.as_deref(), put_text);
}

fn worker(reader: &mut Reader<'_>) -> Result<WorkerEvent, Damaged> {
    let word = reader.text()?;
    let change = WorkerChange::ALL.into_iter().find(|change| change.kind() == word).ok_or_else(|| reader.damaged())?;
    Ok(WorkerEvent { change, worker: WorkerNumber(reader.u32()?), reason: reader.option(Reader::text)? })
}

fn put_scaled(out: &mut Vec<u8>, scaled: PoolScaled) {
    let PoolScaled { from, to, reason, load_percent } = scaled;
    put_u64(out, u64::from(from));
    put_u64(out, u64::from(to));
    put_text(out, reason.as_str());
    out.push(load_percent);
}

fn scaled(reader: &mut Reader<'_>) -> Result<PoolScaled, Damaged> {
    let (from, to, word) = (reader.u32()?, reader.u32()?, reader.text()?);
    let known = ScaleReason::ALL.into_iter().find(|reason| reason.as_str() == word);
    let reason = known.ok_or_else(|| reader.damaged())?;
    Ok(PoolScaled { from, to, reason, load_percent: reader.u8()? })
}

pub(super) fn put_plugin(out: &mut Vec<u8>, event: &PluginEvent) {
    let PluginEvent { change, plugin, version, sha256, reason } = event;
    put_text(out, change.kind());
    put_text(out, plugin);
    put_option(out, version.as_ref(), |out, version| put_text(out, &version.to_string()));
    put_option(out, sha256.as_ref(), |out, sha256| out.extend_from_slice(sha256));
    put_option(out, reason.as_deref(), put_text);
}

pub(super) fn plugin(reader: &mut Reader<'_>) -> Result<PluginEvent, Damaged> {
    let word = reader.text()?;
    let change = PluginChange::ALL.into_iter().find(|change| change.kind() == word).ok_or_else(|| reader.damaged())?;
    Ok(PluginEvent {
        change,
        plugin: reader.text()?,
        version: reader.option(|reader| reader.text()?.parse().map_err(|_| reader.damaged()))?,
        sha256: reader.option(Reader::array)?,
        reason: reader.option(Reader::text)?,
    })
}

pub(super) fn put_channel(out: &mut Vec<u8>, event: &ChannelEvent) {
    let ChannelEvent { channel, change, reason } = event;
    put_text(out, change.kind());
    put_text(out, channel.as_str());
    put_option(out, reason.as_deref(), put_text);
}

pub(super) fn channel(reader: &mut Reader<'_>) -> Result<ChannelEvent, Damaged> {
    let word = reader.text()?;
    let change = ChannelChange::ALL.into_iter().find(|change| change.kind() == word).ok_or_else(|| reader.damaged())?;
    Ok(ChannelEvent { change, channel: channel_name(reader)?, reason: reader.option(Reader::text)? })
}

fn channel_name(reader: &mut Reader<'_>) -> Result<ChannelName, Damaged> {
    ChannelName::new(&reader.text()?).map_err(|_| reader.damaged())
}

/// What an event of a notification starts with.
fn put_notification(out: &mut Vec<u8>, kind: u8, notification: NotificationId) {
    out.push(kind);
    out.extend_from_slice(notification.as_bytes());
}

/// What an event of a delivery and its attempts starts with.
fn put_delivery(out: &mut Vec<u8>, kind: u8, delivery: DeliveryId, attempts: u32) {
    out.push(kind);
    out.extend_from_slice(delivery.notification().as_bytes());
    put_u64(out, u64::from(delivery.index()));
    put_u64(out, u64::from(attempts));
}

fn body(reader: &mut Reader<'_>) -> Result<EventBody, Damaged> {
    let kind = reader.u8()?;
    match kind {
        8 => return plugin(reader).map(EventBody::Plugin),
        10 => return channel(reader).map(EventBody::Channel),
        11 => return Ok(EventBody::ConfigReloaded { sha256: reader.array()? }),
        WORKER => return worker(reader).map(EventBody::Worker),
        POOL_SCALED => return scaled(reader).map(EventBody::PoolScaled),
        host::HOST => return host::read(reader).map(EventBody::Host),
        CALLBACK => return callback::read(reader).map(EventBody::Callback),
        _ => {}
    }
    let notification = NotificationId::from_bytes(reader.array()?);
    match kind {
        0 => {
            let (priority, deliveries) = (priority(reader)?, reader.u32()?);
            return Ok(EventBody::NotificationAccepted { notification, priority, deliveries });
        }
        1 => return Ok(EventBody::NotificationCompleted { notification, status: status(reader)? }),
        2 => return Ok(EventBody::NotificationCancelled { notification, deliveries: reader.u32()? }),
        9 => {
            let first = NotificationId::from_bytes(reader.array()?).delivery(reader.u32()?);
            return Ok(EventBody::DeliveryDeduplicated { notification, first });
        }
        PROGRESS => {
            let (completed, total) = (reader.u32()?, reader.u32()?);
            return Ok(EventBody::NotificationProgress { notification, completed, total });
        }
        EXPIRED => return Ok(EventBody::NotificationExpired { notification }),
        _ => {}
    }
    let delivery = notification.delivery(reader.u32()?);
    if kind == REROUTED {
        let (from, to, reason) = (channel_name(reader)?, channel_name(reader)?, reader.text()?);
        return Ok(EventBody::DeliveryRerouted { delivery, from, to, reason });
    }
    let attempts = reader.u32()?;
    Ok(match kind {
        3 => EventBody::DeliveryAttempted {
            delivery,
            attempt: attempts,
            end: reader.text()?,
            duration_us: reader.u64()?,
        },
        4 => EventBody::DeliverySent {
            delivery,
            attempts,
            provider_id: reader.option(Reader::text)?,
            unconfirmed: reader.bool()?,
        },
        5 => EventBody::DeliveryRetrying { delivery, attempts, due: Timestamp::from_millis(reader.u64()?) },
        6 => EventBody::DeliveryFailed { delivery, attempts, reason: reader.text()? },
        7 => EventBody::DeliveryCancelled { delivery, attempts },
        HELD => EventBody::DeliveryHeld { delivery, channel: channel_name(reader)?, by: held_by(reader)? },
        ACCEPTED => EventBody::DeliveryAccepted { delivery, attempts, provider_id: reader.option(Reader::text)? },
        _ => return Err(reader.damaged()),
    })
}

fn held_by(reader: &mut Reader<'_>) -> Result<HeldBy, Damaged> {
    let word = reader.text()?;
    HeldBy::ALL.into_iter().find(|by| by.as_str() == word).ok_or_else(|| reader.damaged())
}

fn priority(reader: &mut Reader<'_>) -> Result<Priority, Damaged> {
    reader.text()?.parse().map_err(|_| reader.damaged())
}

fn status(reader: &mut Reader<'_>) -> Result<NotificationStatus, Damaged> {
    let word = reader.text()?;
    STATUSES.into_iter().find(|status| status.as_str() == word).ok_or_else(|| reader.damaged())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_of_each() -> Vec<Event> {
        let notification = NotificationId::from_bytes([7; 16]);
        let delivery = notification.delivery(999);
        let mut bodies = vec![
            EventBody::NotificationCancelled { notification, deliveries: 3 },
            EventBody::NotificationProgress { notification, completed: 999, total: 100_000 },
            EventBody::NotificationExpired { notification },
            EventBody::DeliveryDeduplicated { notification, first: NotificationId::from_bytes([9; 16]).delivery(2) },
            EventBody::DeliveryAttempted { delivery, attempt: 2, end: "rate-limited".into(), duration_us: u64::MAX },
            EventBody::DeliverySent { delivery, attempts: 1, provider_id: None, unconfirmed: true },
            EventBody::DeliverySent { delivery, attempts: 1, provider_id: Some("é".into()), unconfirmed: false },
            EventBody::DeliveryAccepted { delivery, attempts: 2, provider_id: Some("m-1".into()) },
            EventBody::DeliveryRetrying { delivery, attempts: 3, due: Timestamp::MAX },
            EventBody::DeliveryFailed { delivery, attempts: u32::MAX, reason: "too-old".into() },
            EventBody::DeliveryCancelled { delivery, attempts: 0 },
            EventBody::DeliveryRerouted {
                delivery,
                from: ChannelName::new("ops-slack").unwrap(),
                to: ChannelName::new("mail").unwrap(),
                reason: "exhausted".into(),
            },
        ];
        bodies.extend(Priority::DESCENDING.map(|priority| EventBody::NotificationAccepted {
            notification,
            priority,
            deliveries: 1_000,
        }));
        let held = |by| EventBody::DeliveryHeld { delivery, channel: ChannelName::new("ops-slack").unwrap(), by };
        bodies.extend(HeldBy::ALL.map(held));
        bodies.extend(STATUSES.map(|status| EventBody::NotificationCompleted { notification, status }));
        let event = |change, version, sha256| {
            EventBody::Plugin(PluginEvent { change, plugin: "odd.wasm".into(), version, sha256, reason: None })
        };
        bodies.extend(PluginChange::ALL.map(|change| event(change, Some("1.0.0-a+b".parse().unwrap()), None)));
        bodies.push(event(PluginChange::Refused, None, Some([3; 32])));
        let event = |change, reason: Option<&str>| {
            let channel = ChannelName::new("ops-slack").unwrap();
            EventBody::Channel(ChannelEvent { channel, change, reason: reason.map(str::to_owned) })
        };
        bodies.extend(ChannelChange::ALL.map(|change| event(change, None)));
        bodies.push(event(ChannelChange::Disabled, Some("`enabled = false`")));
        bodies.push(EventBody::ConfigReloaded { sha256: [5; 32] });
        bodies.extend(WorkerChange::ALL.map(|change| {
            let reason = (change == WorkerChange::Replaced).then(|| "it answered no more".to_owned());
            EventBody::Worker(WorkerEvent { change, worker: WorkerNumber(u32::MAX), reason })
        }));
        let scaled = |reason| EventBody::PoolScaled(PoolScaled { from: 2, to: 4_096, reason, load_percent: 71 });
        bodies.extend(ScaleReason::ALL.map(scaled));
        bodies.extend(host::one_of_each().into_iter().map(EventBody::Host));
        bodies.extend(callback::one_of_each().into_iter().map(EventBody::Callback));
        let at = Timestamp::from_millis(1_700_000_000_000);
        bodies.into_iter().map(|body| Event { at, body }).collect()
    }

    #[test]
    fn every_kind_of_event_survives_its_frame() {
        let events = one_of_each();
        let mut bytes = Vec::new();
        put_frame(&mut bytes, &events);
        assert_eq!(frame(events.len(), &bytes).as_ref(), Ok(&events));
    }

    #[test]
    fn a_frame_cut_anywhere_is_an_error() {
        let events = one_of_each();
        let mut bytes = Vec::new();
        put_frame(&mut bytes, &events);
        for length in 0..bytes.len() {
            assert_eq!(frame(events.len(), &bytes[..length]), Err(Damaged("event")), "cut at {length}");
        }
    }
}
