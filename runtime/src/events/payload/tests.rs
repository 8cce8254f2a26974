use insta::assert_snapshot;

use super::*;
use crate::domain::{
    ChannelChange, ChannelName, EVENT_TYPES, HeldBy, HostChange, NotificationStatus, PluginChange, PoolScaled,
    Priority, ScaleReason, WorkerChange, WorkerNumber,
};
use crate::events::GapReason;
use crate::store::EventEpoch;

fn id(number: u64) -> EventId {
    EventId { epoch: EventEpoch(0x00c0_ffee_00c0_ffee), number }
}

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

/// One of each shape; of plugins, channels and workers one with everything and one with nothing.
fn one_of_each() -> Vec<EventBody> {
    let notification = NotificationId::from_bytes([7; 16]);
    let delivery = notification.delivery(999);
    let plugin = PluginEvent {
        change: PluginChange::Swapped,
        plugin: "slack".to_owned(),
        version: Some(semver::Version::new(1, 2, 3)),
        sha256: Some([7; 32]),
        reason: Some("6 of 9 calls failed".to_owned()),
    };
    let bare = PluginEvent {
        change: PluginChange::Refused,
        plugin: "x.wasm".to_owned(),
        version: None,
        sha256: None,
        reason: None,
    };
    let of_channel = |change, reason: Option<&str>| {
        EventBody::Channel(ChannelEvent { channel: channel("ops"), change, reason: reason.map(str::to_owned) })
    };
    let of_worker = |change, reason: Option<&str>| {
        EventBody::Worker(WorkerEvent { change, worker: WorkerNumber(7), reason: reason.map(str::to_owned) })
    };
    vec![
        EventBody::NotificationAccepted { notification, priority: Priority::High, deliveries: 3 },
        EventBody::NotificationCompleted { notification, status: NotificationStatus::Partial },
        EventBody::NotificationProgress { notification, completed: 2, total: 3 },
        EventBody::NotificationExpired { notification },
        EventBody::NotificationCancelled { notification, deliveries: 2 },
        EventBody::DeliveryDeduplicated { notification, first: NotificationId::from_bytes([9; 16]).delivery(2) },
        EventBody::DeliveryAttempted { delivery, attempt: 2, end: "rate-limited".to_owned(), duration_us: 1_234 },
        EventBody::DeliverySent { delivery, attempts: 1, provider_id: Some("\"é\n".to_owned()), unconfirmed: false },
        EventBody::DeliveryAccepted { delivery, attempts: 2, provider_id: None },
        EventBody::DeliveryRetrying { delivery, attempts: 3, due: Timestamp::from_millis(1_000) },
        EventBody::DeliveryRerouted {
            delivery,
            from: channel("mail"),
            to: channel("sms"),
            reason: "rejected".to_owned(),
        },
        EventBody::DeliveryFailed { delivery, attempts: 4, reason: "max-retries".to_owned() },
        EventBody::DeliveryCancelled { delivery, attempts: 0 },
        EventBody::Plugin(plugin),
        EventBody::Plugin(bare),
        of_channel(ChannelChange::Opened, Some("5 calls failed in a row")),
        of_channel(ChannelChange::Added, None),
        EventBody::Host(HostEvent {
            channel: channel("ops"),
            host: HostTag(0xbeef),
            change: HostChange::HalfOpen,
            reason: Some("its time was up".to_owned()),
        }),
        EventBody::ConfigReloaded { sha256: [1; 32] },
        of_worker(WorkerChange::TimedOut, Some("no sign of life for 60s")),
        of_worker(WorkerChange::Started, None),
        EventBody::DeliveryHeld { delivery, channel: channel("mail"), by: HeldBy::Breaker },
        EventBody::PoolScaled(PoolScaled { from: 2, to: 3, reason: ScaleReason::HighLoad, load_percent: 80 }),
    ]
}

fn line(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn events_are_published_in_the_shape_that_clients_know() {
    let at = Timestamp::from_millis(1_767_323_045_000);
    let mut lines: Vec<String> =
        (1..).zip(one_of_each()).map(|(number, body)| line(|out| put(out, id(number), &Event { at, body }))).collect();
    let gap = Gap { reason: GapReason::Retention, after: id(3), resumes: id(41) };
    lines.push(line(|out| put_gap(out, gap, at)));
    assert!(lines.iter().all(|line| !line.contains('\n')), "each is one line");
    assert_snapshot!(lines.join("\n"));
}

#[test]
fn every_type_is_published() {
    let kinds = one_of_each().into_iter().map(|body| body.kind());
    let of_channels = ChannelChange::ALL.map(ChannelChange::kind).into_iter();
    let of_plugins = PluginChange::ALL.map(PluginChange::kind).into_iter();
    let of_hosts = HostChange::ALL.map(HostChange::kind).into_iter();
    for kind in
        kinds.chain(of_channels).chain(of_hosts).chain(of_plugins).chain(WorkerChange::ALL.map(WorkerChange::kind))
    {
        assert!(EVENT_TYPES.contains(&kind), "{kind}");
    }
}
