//! Published shape `event payload`: what clients read of an event, as JSON.
//!
//! *Invariants:* fields and types are added, never changed or taken away. One line, without an address, content or secret.
//!
//! ```json
//! {"id":"00c0ffee00c0ffee-42","type":"delivery.sent","at":"2026-01-02T03:04:05.000Z",
//!  "notification_id":"ntf_…","delivery_id":"dlv_…","data":{"attempts":1,"provider_id":"m-1","unconfirmed":false}}
//! ```

use std::fmt::Display;

use serde::{Serialize, Serializer};

use super::{EventId, Gap};
use crate::domain::{
    CallbackEvent, CallbackFate, ChannelEvent, DeliveryId, Event, EventBody, EventKind, HostEvent, HostTag,
    NotificationId, PluginEvent, PoolScaled, Timestamp, WorkerEvent,
};

/// The type of what says that events are missing. It is told whatever a client filters by.
pub const GAP: EventKind = "gap";

/// Text that something is shown as.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

#[derive(Serialize)]
struct Payload<'a> {
    id: Shown<EventId>,
    #[serde(rename = "type")]
    kind: EventKind,
    at: Shown<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification_id: Option<Shown<NotificationId>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_id: Option<Shown<DeliveryId>>,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Accepted {
        priority: &'static str,
        deliveries: u32,
    },
    Completed {
        status: &'static str,
    },
    Progress {
        completed: u32,
        total: u32,
    },
    Expired {},
    Withdrawn {
        deliveries: u32,
    },
    Deduplicated {
        first: Shown<DeliveryId>,
    },
    Held {
        channel: &'a str,
        reason: &'static str,
    },
    Attempted {
        attempt: u32,
        end: &'a str,
        duration_us: u64,
    },
    Sent {
        attempts: u32,
        provider_id: Option<&'a str>,
        unconfirmed: bool,
    },
    Taken {
        attempts: u32,
        provider_id: Option<&'a str>,
    },
    Retrying {
        attempts: u32,
        due: Shown<Timestamp>,
    },
    Rerouted {
        from: &'a str,
        to: &'a str,
        reason: &'a str,
    },
    Failed {
        attempts: u32,
        reason: &'a str,
    },
    Cancelled {
        attempts: u32,
    },
    Plugin {
        plugin: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<Shown<&'a semver::Version>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        sha256: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Channel {
        channel: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Host {
        channel: &'a str,
        host: Shown<HostTag>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Reloaded {
        sha256: String,
    },
    Worker {
        worker: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<&'a str>,
    },
    Scaled {
        from: u32,
        to: u32,
        reason: &'static str,
        load_percent: u8,
    },
    Callback {
        callback: &'a str,
        kind: &'static str,
        event: Shown<EventId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        attempt: Option<u32>,
    },
    Gap {
        reason: &'static str,
        after: Shown<EventId>,
    },
}

/// `id` is the event's own: another one that it names is of the same life of the database.
fn data(id: EventId, body: &EventBody) -> Data<'_> {
    match body {
        EventBody::NotificationAccepted { priority, deliveries, .. } => {
            Data::Accepted { priority: priority.as_str(), deliveries: *deliveries }
        }
        EventBody::NotificationCompleted { status, .. } => Data::Completed { status: status.as_str() },
        EventBody::NotificationProgress { completed, total, .. } => {
            Data::Progress { completed: *completed, total: *total }
        }
        EventBody::NotificationExpired { .. } => Data::Expired {},
        EventBody::NotificationCancelled { deliveries, .. } => Data::Withdrawn { deliveries: *deliveries },
        EventBody::DeliveryDeduplicated { first, .. } => Data::Deduplicated { first: Shown(*first) },
        EventBody::DeliveryHeld { channel, by, .. } => Data::Held { channel: channel.as_str(), reason: by.as_str() },
        EventBody::DeliveryAttempted { attempt, end, duration_us, .. } => {
            Data::Attempted { attempt: *attempt, end, duration_us: *duration_us }
        }
        EventBody::DeliverySent { attempts, provider_id, unconfirmed, .. } => {
            Data::Sent { attempts: *attempts, provider_id: provider_id.as_deref(), unconfirmed: *unconfirmed }
        }
        EventBody::DeliveryAccepted { attempts, provider_id, .. } => {
            Data::Taken { attempts: *attempts, provider_id: provider_id.as_deref() }
        }
        EventBody::DeliveryRetrying { attempts, due, .. } => Data::Retrying { attempts: *attempts, due: Shown(*due) },
        EventBody::DeliveryRerouted { from, to, reason, .. } => {
            Data::Rerouted { from: from.as_str(), to: to.as_str(), reason }
        }
        EventBody::DeliveryFailed { attempts, reason, .. } => Data::Failed { attempts: *attempts, reason },
        EventBody::DeliveryCancelled { attempts, .. } => Data::Cancelled { attempts: *attempts },
        EventBody::Plugin(PluginEvent { change: _, plugin, version, sha256, reason }) => Data::Plugin {
            plugin,
            version: version.as_ref().map(Shown),
            sha256: sha256.as_ref().map(hex::encode),
            reason: reason.as_deref(),
        },
        EventBody::Channel(ChannelEvent { channel, change: _, reason }) => {
            Data::Channel { channel: channel.as_str(), reason: reason.as_deref() }
        }
        EventBody::Host(HostEvent { channel, host, change: _, reason }) => {
            Data::Host { channel: channel.as_str(), host: Shown(*host), reason: reason.as_deref() }
        }
        EventBody::ConfigReloaded { sha256 } => Data::Reloaded { sha256: hex::encode(sha256) },
        EventBody::Worker(WorkerEvent { change: _, worker, reason }) => {
            Data::Worker { worker: worker.0, reason: reason.as_deref() }
        }
        EventBody::PoolScaled(PoolScaled { from, to, reason, load_percent }) => {
            Data::Scaled { from: *from, to: *to, reason: reason.as_str(), load_percent: *load_percent }
        }
        EventBody::Callback(CallbackEvent { callback, fate, kind, event, notification: _, delivery: _ }) => {
            let attempt = match fate {
                CallbackFate::Failed { attempt } => Some(*attempt),
                CallbackFate::Dead => None,
            };
            let event = Shown(EventId { epoch: id.epoch, number: *event });
            Data::Callback { callback: callback.as_str(), kind: kind.as_str(), event, attempt }
        }
    }
}

fn write(out: &mut Vec<u8>, payload: &Payload<'_>) {
    // Our own shapes have string keys and finite numbers, and a `Vec` takes everything: it does not fail.
    let _ = serde_json::to_writer(out, payload);
}

/// Appends the payload of an event.
pub fn put(out: &mut Vec<u8>, id: EventId, event: &Event) {
    let Event { at, body } = event;
    let payload = Payload {
        id: Shown(id),
        kind: body.kind(),
        at: Shown(*at),
        notification_id: body.notification().map(Shown),
        delivery_id: body.delivery().map(Shown),
        data: data(id, body),
    };
    write(out, &payload);
}

/// Appends the payload of a gap that was met at this time. Its id is that of the last event that is missing.
pub fn put_gap(out: &mut Vec<u8>, gap: Gap, at: Timestamp) {
    let data = Data::Gap { reason: gap.reason.as_str(), after: Shown(gap.after) };
    let (id, at) = (Shown(gap.resumes), Shown(at));
    write(out, &Payload { id, kind: GAP, at, notification_id: None, delivery_id: None, data });
}

#[cfg(test)]
mod tests;
