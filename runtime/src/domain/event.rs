//! Facts about notifications, deliveries, plugins, channels, workers and callbacks. Each is written in the transaction of its cause.

use std::time::Duration;

use super::{
    CallbackEvent, ChannelEvent, ChannelName, DeliveryId, DeliveryState, FailReason, HeldBy, HostEvent, NotificationId,
    NotificationStatus, PluginEvent, PoolScaled, Priority, Timestamp, Waiting, WorkerEvent,
};

/// How often the progress of one notification is told at most.
pub const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// What an event is about, with what is worth knowing. No address, no content, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventBody {
    /// A notification is durable.
    NotificationAccepted {
        /// Which.
        notification: NotificationId,
        /// How urgent.
        priority: Priority,
        /// How many deliveries it has.
        deliveries: u32,
    },
    /// All deliveries of a notification are final.
    NotificationCompleted {
        /// Which.
        notification: NotificationId,
        /// How it ended.
        status: NotificationStatus,
    },
    /// More deliveries of a notification that has several are final. Told at most once in [`PROGRESS_EVERY`], and not of the
    /// last one: that is its completion.
    NotificationProgress {
        /// Which.
        notification: NotificationId,
        /// How many of its deliveries are final.
        completed: u32,
        /// How many deliveries it has.
        total: u32,
    },
    /// The last of a notification's deliveries was given up because its time was over. Its completion follows.
    NotificationExpired {
        /// Which.
        notification: NotificationId,
    },
    /// A caller withdrew a notification.
    NotificationCancelled {
        /// Which.
        notification: NotificationId,
        /// Deliveries that will not happen.
        deliveries: u32,
    },
    /// A delivery was not made, since another one with the same dedupe key was.
    DeliveryDeduplicated {
        /// Whose delivery was not made.
        notification: NotificationId,
        /// The one that was.
        first: DeliveryId,
    },
    /// A delivery was accepted and has to wait, since nothing of its channel is taken. Told with its accept, and not of those
    /// that waited before their channel came to be held: that is told of the channel, once. Nor is it told of what is
    /// scheduled, or of the deliveries of a notification that has too many to make them at once.
    DeliveryHeld {
        /// Which.
        delivery: DeliveryId,
        /// Its channel.
        channel: ChannelName,
        /// What holds it.
        by: HeldBy,
    },
    /// A plugin was called.
    DeliveryAttempted {
        /// Which.
        delivery: DeliveryId,
        /// From 1.
        attempt: u32,
        /// How it ended, as in [`AttemptEnd::as_str`](super::AttemptEnd::as_str).
        end: String,
        /// How long it took, in microseconds.
        duration_us: u64,
    },
    /// A delivery was sent.
    DeliverySent {
        /// Which.
        delivery: DeliveryId,
        /// Attempts made.
        attempts: u32,
        /// The provider's id of the message.
        provider_id: Option<String>,
        /// The provider took it and nobody will tell its final word.
        unconfirmed: bool,
    },
    /// A provider took a delivery, and will be asked for its final word.
    DeliveryAccepted {
        /// Which.
        delivery: DeliveryId,
        /// Attempts made.
        attempts: u32,
        /// The provider's id of the message.
        provider_id: Option<String>,
    },
    /// A delivery waits for another attempt.
    DeliveryRetrying {
        /// Which.
        delivery: DeliveryId,
        /// Attempts made.
        attempts: u32,
        /// Not before this.
        due: Timestamp,
    },
    /// A delivery goes on through another channel.
    DeliveryRerouted {
        /// Which.
        delivery: DeliveryId,
        /// The channel before.
        from: ChannelName,
        /// The channel from here on.
        to: ChannelName,
        /// As in [`Rerouted::reason`](super::Rerouted::reason).
        reason: String,
    },
    /// A delivery was given up.
    DeliveryFailed {
        /// Which.
        delivery: DeliveryId,
        /// Attempts made.
        attempts: u32,
        /// As in [`FailReason::as_str`].
        reason: String,
    },
    /// A delivery was withdrawn.
    DeliveryCancelled {
        /// Which.
        delivery: DeliveryId,
        /// Attempts made.
        attempts: u32,
    },
    /// Something happened to a plugin.
    Plugin(PluginEvent),
    /// Something happened to a channel.
    Channel(ChannelEvent),
    /// Something happened to the breaker of a host that a channel calls.
    Host(HostEvent),
    /// Another configuration is in force.
    ConfigReloaded {
        /// SHA-256 of it as `campanile config print` shows it: another one says that something was changed.
        sha256: [u8; 32],
    },
    /// Something happened to a worker.
    Worker(WorkerEvent),
    /// The pool of workers has another size.
    PoolScaled(PoolScaled),
    /// A call of a callback did not do what it was made for.
    Callback(CallbackEvent),
}

/// The type of an event, as subscribers filter by it.
pub type EventKind = &'static str;

impl EventBody {
    /// Its published type.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::NotificationAccepted { .. } => "notification.accepted",
            Self::NotificationCompleted { .. } => "notification.completed",
            Self::NotificationProgress { .. } => "notification.progress",
            Self::NotificationExpired { .. } => "notification.expired",
            Self::NotificationCancelled { .. } => "notification.cancelled",
            Self::DeliveryDeduplicated { .. } => "delivery.deduplicated",
            Self::DeliveryHeld { .. } => "delivery.held",
            Self::DeliveryAttempted { .. } => "delivery.attempted",
            Self::DeliverySent { .. } => "delivery.sent",
            Self::DeliveryAccepted { .. } => "delivery.accepted",
            Self::DeliveryRetrying { .. } => "delivery.retrying",
            Self::DeliveryRerouted { .. } => "delivery.rerouted",
            Self::DeliveryFailed { .. } => "delivery.failed",
            Self::DeliveryCancelled { .. } => "delivery.cancelled",
            Self::Plugin(event) => event.change.kind(),
            Self::Channel(event) => event.change.kind(),
            Self::Host(event) => event.change.kind(),
            Self::ConfigReloaded { .. } => "config.reloaded",
            Self::Worker(event) => event.change.kind(),
            Self::PoolScaled(_) => "pool.scaled",
            Self::Callback(event) => event.fate.kind(),
        }
    }

    /// The event that says a delivery has come from `before` to `state`. There is none while its provider's final word is
    /// waited for: that it was accepted is told once.
    #[must_use]
    pub fn of_change(delivery: DeliveryId, before: &Waiting, state: &DeliveryState) -> Option<Self> {
        (!(before.accepted.is_some() && state.is_accepted())).then(|| Self::of_state(delivery, state))
    }

    /// The event that says a delivery has come to `state`.
    #[must_use]
    pub fn of_state(delivery: DeliveryId, state: &DeliveryState) -> Self {
        match state {
            DeliveryState::Waiting(Waiting { attempts, accepted: Some(awaited), .. }) => Self::DeliveryAccepted {
                delivery,
                attempts: *attempts,
                provider_id: awaited.receipt.provider_id.clone(),
            },
            DeliveryState::Waiting(waiting) => {
                Self::DeliveryRetrying { delivery, attempts: waiting.attempts, due: waiting.due }
            }
            DeliveryState::Sent { attempts, receipt, unconfirmed, .. } => Self::DeliverySent {
                delivery,
                attempts: *attempts,
                provider_id: receipt.provider_id.clone(),
                unconfirmed: *unconfirmed,
            },
            DeliveryState::Failed { attempts, reason, .. } => {
                Self::DeliveryFailed { delivery, attempts: *attempts, reason: FailReason::as_str(reason).to_owned() }
            }
            DeliveryState::Cancelled { attempts, .. } => Self::DeliveryCancelled { delivery, attempts: *attempts },
        }
    }

    /// The notification it is about, if it is about one.
    #[must_use]
    pub const fn notification(&self) -> Option<NotificationId> {
        match self {
            Self::NotificationAccepted { notification, .. }
            | Self::NotificationCompleted { notification, .. }
            | Self::NotificationProgress { notification, .. }
            | Self::NotificationExpired { notification }
            | Self::NotificationCancelled { notification, .. }
            | Self::DeliveryDeduplicated { notification, .. } => Some(*notification),
            Self::DeliveryHeld { delivery, .. }
            | Self::DeliveryAttempted { delivery, .. }
            | Self::DeliverySent { delivery, .. }
            | Self::DeliveryAccepted { delivery, .. }
            | Self::DeliveryRetrying { delivery, .. }
            | Self::DeliveryRerouted { delivery, .. }
            | Self::DeliveryFailed { delivery, .. }
            | Self::DeliveryCancelled { delivery, .. } => Some(delivery.notification()),
            Self::Callback(event) => event.notification,
            Self::Plugin(_)
            | Self::Channel(_)
            | Self::Host(_)
            | Self::ConfigReloaded { .. }
            | Self::Worker(_)
            | Self::PoolScaled(_) => None,
        }
    }

    /// The delivery it is about, if it is about one.
    #[must_use]
    pub const fn delivery(&self) -> Option<DeliveryId> {
        match self {
            Self::NotificationAccepted { .. }
            | Self::NotificationCompleted { .. }
            | Self::NotificationProgress { .. }
            | Self::NotificationExpired { .. }
            | Self::NotificationCancelled { .. }
            // The first one is a delivery of another notification.
            | Self::DeliveryDeduplicated { .. }
            | Self::Plugin(_)
            | Self::Channel(_)
            | Self::Host(_)
            | Self::ConfigReloaded { .. }
            | Self::Worker(_)
            | Self::PoolScaled(_) => None,
            Self::DeliveryHeld { delivery, .. }
            | Self::DeliveryAttempted { delivery, .. }
            | Self::DeliverySent { delivery, .. }
            | Self::DeliveryAccepted { delivery, .. }
            | Self::DeliveryRetrying { delivery, .. }
            | Self::DeliveryRerouted { delivery, .. }
            | Self::DeliveryFailed { delivery, .. }
            | Self::DeliveryCancelled { delivery, .. } => Some(*delivery),
            Self::Callback(event) => event.delivery,
        }
    }
}

/// A fact and when it became one. Its number is given when it becomes visible, by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: Timestamp,
    /// What.
    pub body: EventBody,
}
