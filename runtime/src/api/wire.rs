//! The published shapes of HTTP answers, and nothing else. They change only by additions.

pub(super) mod audit;
mod batch;
pub(super) mod callbacks;
pub(super) mod channels;
mod counts;
pub(super) mod found;
mod plugins;
mod reload;
pub(super) mod stats;
pub(super) mod workers;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::domain::{
    Attempt, CallbackUrl, DeliveryId, DeliveryState, DeliveryStatus, FailReason, NotificationId, Rerouted,
};
use crate::intake::{Acceptance, AcceptedDelivery, DeduplicatedDelivery, Problem};
use crate::runtime::{ComponentHealth, DeliveryRecord, Flight, NotificationRecord};

pub(super) use batch::{BatchAnswer, BatchItem, BatchResult};
pub(super) use counts::CountsView;
pub(super) use plugins::{PluginView, Plugins};
pub(super) use reload::{ReloadView, SettingItem};

/// The answer to a notification that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Accepted {
    /// `ntf_…`
    pub(super) id: String,
    /// How many there are.
    pub(super) delivery_count: u32,
    /// By index; empty where there are more than 1,000, which are made later.
    pub(super) deliveries: Vec<AcceptedItem>,
    /// Where those are found, page by page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deliveries_url: Option<String>,
    /// Places in `to` of those whom no channel reaches, of more than 100 recipients.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) skipped: Vec<usize>,
    /// Deliveries that were not made, since others with the same dedupe key were.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) deduplicated: Vec<DeduplicatedItem>,
    /// `true` where the idempotency key was used before, and this is the answer of that time.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) replayed: bool,
}

/// One delivery that was not made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct DeduplicatedItem {
    /// Through which channel.
    pub(super) channel: String,
    /// To which address; null where the channel needs none.
    pub(super) recipient: Option<String>,
    /// `dlv_…`: the one that was made.
    pub(super) first: String,
}

/// One delivery of a notification that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct AcceptedItem {
    /// `dlv_…`
    pub(super) id: String,
    /// Through which channel.
    pub(super) channel: String,
    /// To which address; null where the channel needs none.
    pub(super) recipient: Option<String>,
    /// `pending`.
    pub(super) status: String,
}

/// `application/problem+json`, RFC 9457.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ProblemDocument {
    /// `about:blank`: the title says what the status does.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// The status in words.
    pub(super) title: String,
    /// The HTTP status.
    pub(super) status: u16,
    /// For programs; does not change.
    pub(super) code: String,
    /// For people.
    pub(super) detail: String,
    /// Everything that is wrong with what was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) problems: Vec<ProblemItem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ProblemItem {
    /// A JSON Pointer (RFC 6901), the name of a parameter, or the place of a setting; empty for the whole.
    pub(super) at: String,
    /// For programs; does not change.
    pub(super) code: String,
    /// For people.
    pub(super) message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
    /// Which setting, where it is about one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) setting: Option<SettingItem>,
}

/// One notification with its deliveries.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct NotificationView {
    /// `ntf_…`
    pub(super) id: String,
    /// `pending`, `sent`, `failed`, `partial` or `cancelled`.
    pub(super) status: String,
    /// As asked for, or `info`.
    pub(super) kind: String,
    /// `low`, `normal`, `high` or `critical`.
    pub(super) priority: String,
    /// RFC 3339.
    pub(super) created_at: String,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) scheduled_at: Option<String>,
    /// RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<String>,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<String>,
    /// Where what happens to it is told, without what is in its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) callback_url: Option<String>,
    /// As asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) metadata: BTreeMap<String, String>,
    /// As asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    /// Of all deliveries, also those that are not listed.
    pub(super) progress: ProgressView,
    /// How many deliveries there are, made or not.
    pub(super) delivery_count: u32,
    /// The same per status.
    pub(super) counts: CountsView,
    /// How many are still to be made: of more than 1,000, a moment after they were accepted. They are open.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) to_be_made: u32,
    /// How many were cancelled before they were made: nothing is kept of them but their number.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) never_made: u32,
    /// The first 1,000 that are made, by index.
    pub(super) deliveries: Vec<DeliveryView>,
    /// Where all of them are found, page by page, where those above are not all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deliveries_url: Option<String>,
}

/// How far a notification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ProgressView {
    /// Deliveries that are final.
    pub(super) completed: u32,
    /// Deliveries that there are, or will be made.
    pub(super) total: u32,
}

/// One delivery with its attempts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct DeliveryView {
    /// `dlv_…`
    pub(super) id: String,
    /// Through which channel.
    pub(super) channel: String,
    /// To which address; null where the channel needs none.
    pub(super) recipient: Option<String>,
    /// `pending`, `retrying`, `sent`, `failed` or `cancelled`.
    pub(super) status: String,
    /// `accepted` where the provider took it: of `pending`, it is asked for its final word, of `sent`, nobody will tell one.
    /// Of `failed`: a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
    /// Of `failed`: `rejected`, `recipient-gone`, `exhausted`, `too-old`, `fault`, `expired` or `poison`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// True while an attempt is under way, or about to be.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) in_flight: bool,
    /// True while a cancel waits for that attempt: it is cancelled unless the attempt sends it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) cancelling: bool,
    /// Not called before this; RFC 3339. Where it is not final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) due: Option<String>,
    /// While it waits because the plugin of its channel, or the template engine that has to render it, is quarantined:
    /// why, and what ends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) held: Option<String>,
    /// How often the process died while it was in flight, since its last attempt. What was cut off is no attempt; at three
    /// it is a dead letter, `poison`.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) crashes: u32,
    /// Every time another channel stood in, the first one first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rerouted: Vec<ReroutedView>,
    /// The first one first.
    pub(super) attempts: Vec<AttemptView>,
}

/// Another channel stood in.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct ReroutedView {
    /// The channel before.
    pub(super) from: String,
    /// The channel from then on.
    pub(super) to: String,
    /// RFC 3339.
    pub(super) at: String,
    /// `exhausted`, `rejected`, `fault` or `breaker-open`.
    pub(super) reason: String,
}

/// One call of a plugin.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct AttemptView {
    /// From 1.
    pub(super) number: u32,
    /// RFC 3339.
    pub(super) started_at: String,
    /// Milliseconds, to the microsecond.
    pub(super) duration_ms: f64,
    /// `sent`, `accepted`, `retry`, `rate-limited`, `rejected`, `recipient-gone`, `timeout`, or how the call failed.
    pub(super) outcome: String,
    /// The provider's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) code: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider_id: Option<String>,
    /// `name@version`; empty where no plugin was reached.
    pub(super) plugin: String,
    /// Units of the engine.
    pub(super) fuel: u64,
    /// Linear memory at the end.
    pub(super) memory_bytes: u64,
}

/// Whether the process can do its work, part by part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Readiness {
    /// `ready`, `not-ready`, or of the whole `degraded`.
    pub(super) status: String,
    /// One for each part.
    pub(super) components: Vec<ComponentView>,
}

/// One part of the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ComponentView {
    /// `store`, `plugins`, ….
    pub(super) name: String,
    /// `ready` or `not-ready`.
    pub(super) status: String,
    /// `ok`, `degraded` or `failed`.
    pub(super) state: String,
    /// What is wrong, or a word on its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<String>,
}

impl From<&ComponentHealth> for ComponentView {
    fn from(part: &ComponentHealth) -> Self {
        let ComponentHealth { name, state, essential: _, detail } = part;
        let status = if part.is_ready() { "ready" } else { "not-ready" };
        Self { name: name.clone(), status: status.into(), state: state.as_str().into(), detail: detail.clone() }
    }
}

/// Where the deliveries of a notification are found, page by page.
fn deliveries_url(id: NotificationId) -> String {
    format!("/v1/notifications/{id}/deliveries")
}

const fn is_zero(count: &u32) -> bool {
    *count == 0
}

fn filled(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&Acceptance> for Accepted {
    fn from(acceptance: &Acceptance) -> Self {
        Self {
            id: acceptance.id.to_string(),
            delivery_count: acceptance.delivery_count,
            deliveries_url: (acceptance.delivery_count > 0 && acceptance.deliveries.is_empty())
                .then(|| deliveries_url(acceptance.id)),
            skipped: acceptance.skipped.clone(),
            deliveries: acceptance.deliveries.iter().map(Into::into).collect(),
            deduplicated: acceptance.deduplicated.iter().map(Into::into).collect(),
            replayed: acceptance.replayed,
        }
    }
}

impl From<&DeduplicatedDelivery> for DeduplicatedItem {
    fn from(delivery: &DeduplicatedDelivery) -> Self {
        let DeduplicatedDelivery { channel, address, first } = delivery;
        Self { channel: channel.to_string(), recipient: filled(address), first: first.to_string() }
    }
}

impl From<&AcceptedDelivery> for AcceptedItem {
    fn from(delivery: &AcceptedDelivery) -> Self {
        Self {
            id: delivery.id.to_string(),
            channel: delivery.channel.to_string(),
            recipient: filled(&delivery.address),
            status: DeliveryStatus::Pending.as_str().to_owned(),
        }
    }
}

impl From<&Problem> for ProblemItem {
    fn from(problem: &Problem) -> Self {
        Self {
            at: problem.at.clone(),
            code: problem.code.as_str().to_owned(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
            setting: None,
        }
    }
}

impl NotificationView {
    /// A notification, and why some of its deliveries are held.
    pub(super) fn of(record: &NotificationRecord, held: &BTreeMap<DeliveryId, String>) -> Self {
        let notification = &record.notification;
        Self {
            id: notification.id.to_string(),
            status: record.counts.status().as_str().to_owned(),
            kind: notification.kind.clone(),
            priority: notification.priority.to_string(),
            created_at: notification.created_at.to_string(),
            scheduled_at: notification.scheduled_at.map(|at| at.to_string()),
            expires_at: notification.expires_at.map(|at| at.to_string()),
            correlation_id: notification.correlation_id.clone(),
            callback_url: record.callback_url.as_ref().map(CallbackUrl::masked),
            metadata: notification.metadata.iter().cloned().collect(),
            title: notification.content.title.clone(),
            progress: ProgressView { completed: record.counts.completed(), total: record.counts.total() },
            delivery_count: record.counts.total(),
            counts: record.counts.into(),
            to_be_made: record.unmade,
            never_made: record.never_made,
            deliveries_url: (record.counts.total() as usize > record.deliveries.len())
                .then(|| deliveries_url(notification.id)),
            deliveries: record.deliveries.iter().map(|delivery| DeliveryView::of(delivery, held)).collect(),
        }
    }
}

impl DeliveryView {
    pub(super) fn of(record: &DeliveryRecord, held_deliveries: &BTreeMap<DeliveryId, String>) -> Self {
        let (mut detail, mut reason, mut due, mut held) = (None, None, None, None);
        match &record.state {
            DeliveryState::Waiting(waiting) => {
                due = Some(waiting.due.to_string());
                held = held_deliveries.get(&record.id).cloned();
                detail = waiting.accepted.as_ref().map(|_| "accepted".to_owned());
            }
            DeliveryState::Sent { unconfirmed: true, .. } => detail = Some("accepted".to_owned()),
            DeliveryState::Sent { unconfirmed: false, .. } | DeliveryState::Cancelled { .. } => {}
            DeliveryState::Failed { reason: why, .. } => {
                reason = Some(why.as_str().to_owned());
                detail = sentence_of(why);
            }
        }
        Self {
            id: record.id.to_string(),
            channel: record.channel.to_string(),
            recipient: filled(&record.recipient.address),
            status: record.state.status().as_str().to_owned(),
            detail,
            reason,
            in_flight: record.flight != Flight::Idle,
            cancelling: record.flight == Flight::Withdrawn,
            due,
            held,
            crashes: record.crashes,
            rerouted: record.reroutes.iter().map(Into::into).collect(),
            attempts: record.attempts.iter().map(Into::into).collect(),
        }
    }
}

fn sentence_of(reason: &FailReason) -> Option<String> {
    match reason {
        FailReason::Rejected { reason, .. } | FailReason::RecipientGone { reason, .. } => filled(reason),
        FailReason::Exhausted { last } | FailReason::TooOld { last } | FailReason::Fault { last, .. } => filled(last),
        FailReason::Expired => None,
        FailReason::Poison { crashes } => {
            Some(format!("the process died {crashes} times while it was in flight; replay it once it cannot do harm"))
        }
    }
}

impl From<&Rerouted> for ReroutedView {
    fn from(rerouted: &Rerouted) -> Self {
        Self {
            from: rerouted.from.to_string(),
            to: rerouted.to.to_string(),
            at: rerouted.at.to_string(),
            reason: rerouted.reason.clone(),
        }
    }
}

impl From<&Attempt> for AttemptView {
    fn from(attempt: &Attempt) -> Self {
        Self {
            number: attempt.number,
            started_at: attempt.started_at.to_string(),
            duration_ms: milliseconds(attempt.duration),
            outcome: attempt.end.clone(),
            code: attempt.code.clone(),
            reason: attempt.reason.clone(),
            provider_id: attempt.provider_id.clone(),
            plugin: attempt.plugin.clone(),
            fuel: attempt.fuel,
            memory_bytes: attempt.memory_bytes,
        }
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1_000.0
}
