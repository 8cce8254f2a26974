//! What lists, cancels, replays and purges answer.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{DeliveryView, NotificationView};
use crate::domain::{DeliveryId, DeliveryState};
use crate::runtime::{DeadLetter, DeliveryRecord, ReplayReport};

/// A page of notifications.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct NotificationList {
    /// The newest first.
    pub(in crate::api) notifications: Vec<NotificationView>,
    /// To be given as `cursor` with the same filters; null where there is nothing more. A page may have fewer entries
    /// than asked for, and even none, where there is more.
    pub(in crate::api) next_cursor: Option<String>,
}

/// One delivery, by itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeliveryAnswer {
    /// `ntf_…`
    pub(in crate::api) notification_id: String,
    /// As in its notification.
    #[serde(flatten)]
    pub(in crate::api) delivery: DeliveryView,
}

/// Some deliveries of a notification.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeliveryPage {
    /// By index.
    pub(in crate::api) deliveries: Vec<DeliveryView>,
    /// What `from` is for the next page; null where no more are made.
    pub(in crate::api) next: Option<u32>,
    /// False while there are more to be made: what is behind this page is found later.
    pub(in crate::api) complete: bool,
}

/// What a cancel did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct CancelAnswer {
    /// Deliveries that are cancelled.
    pub(in crate::api) cancelled: u32,
    /// Deliveries that will be, unless the attempt under way sends them.
    pub(in crate::api) in_flight: u32,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::api) struct ReplayAnswer {
    /// Deliveries that wait again.
    pub(in crate::api) replayed: u64,
    /// Deliveries that stay dead letters, since their `expires_at` passes first.
    pub(in crate::api) expired: u64,
    /// Milliseconds until the last of them is due.
    pub(in crate::api) takes_ms: u64,
}

/// A page of dead letters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeadLetterList {
    /// Those of the oldest notifications first.
    pub(in crate::api) dead_letters: Vec<DeadLetterView>,
    /// To be given as `cursor` with the same filters; null where there is nothing more. A page may have fewer entries
    /// than asked for, and even none, where there is more.
    pub(in crate::api) next_cursor: Option<String>,
}

/// A delivery that was given up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct DeadLetterView {
    /// `ntf_…`
    pub(in crate::api) notification_id: String,
    /// `low`, `normal`, `high` or `critical`.
    pub(in crate::api) priority: String,
    /// When its notification was accepted; RFC 3339.
    pub(in crate::api) created_at: String,
    /// When it was given up; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) failed_at: Option<String>,
    /// No attempt starts from here on; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) expires_at: Option<String>,
    /// As in its notification.
    #[serde(flatten)]
    pub(in crate::api) delivery: DeliveryView,
}

/// How many dead letters were put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct PurgeAnswer {
    /// Their deliveries stay failed.
    pub(in crate::api) purged: u64,
}

impl DeliveryAnswer {
    /// A delivery, and why it is held if it is.
    pub(in crate::api) fn of(record: &DeliveryRecord, held: &BTreeMap<DeliveryId, String>) -> Self {
        Self { notification_id: record.id.notification().to_string(), delivery: DeliveryView::of(record, held) }
    }
}

impl From<&DeadLetter> for DeadLetterView {
    fn from(dead: &DeadLetter) -> Self {
        let DeadLetter { delivery, priority, created_at, expires_at } = dead;
        let failed_at = match &delivery.state {
            DeliveryState::Failed { at, .. } => Some(at.to_string()),
            _ => None,
        };
        Self {
            notification_id: delivery.id.notification().to_string(),
            priority: priority.to_string(),
            created_at: created_at.to_string(),
            failed_at,
            expires_at: expires_at.map(|at| at.to_string()),
            delivery: DeliveryView::of(delivery, &BTreeMap::new()),
        }
    }
}

impl From<ReplayReport> for ReplayAnswer {
    fn from(report: ReplayReport) -> Self {
        let ReplayReport { replayed, expired, takes } = report;
        Self { replayed, expired, takes_ms: u64::try_from(takes.as_millis()).unwrap_or(u64::MAX) }
    }
}
