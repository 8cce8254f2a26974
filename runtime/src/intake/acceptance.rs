//! What a caller is told of what was accepted, now or with the same key before.

use crate::domain::{ChannelName, DeliveryId, NotificationId, Priority};
use crate::store::{
    Accepted, DELIVERIES_SLICE, Deduplicated, FirstUse, IdempotencyKey, NotificationRecord, Planned, StoreError,
};

use super::submission::Submission;
use super::{Intake, ProblemCode, Problems, SubmitError, once};

/// What a caller is given once its notification is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acceptance {
    /// The notification.
    pub id: NotificationId,
    /// How many deliveries it has.
    pub delivery_count: u32,
    /// Its deliveries, by index; empty where there are more than [`DELIVERIES_SLICE`], which are made later.
    pub deliveries: Vec<AcceptedDelivery>,
    /// Places in `to` of recipients whom no channel reaches: of more than
    /// [`STRICT_RECIPIENTS_MAX`](crate::route::STRICT_RECIPIENTS_MAX) recipients they do not keep the others out.
    pub skipped: Vec<usize>,
    /// Deliveries that were not made, since others with the same dedupe key were.
    pub deduplicated: Vec<DeduplicatedDelivery>,
    /// Its idempotency key was used before: this is what was accepted then, and nothing was accepted now.
    pub replayed: bool,
}

/// A delivery that was not made, and the one that was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeduplicatedDelivery {
    /// Through which channel.
    pub channel: ChannelName,
    /// To which address; empty where the channel needs none. Personal: never in a log.
    pub address: String,
    /// The delivery that was made.
    pub first: DeliveryId,
}

/// One delivery as it was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedDelivery {
    /// Which.
    pub id: DeliveryId,
    /// Through which channel.
    pub channel: ChannelName,
    /// To which address; empty where the channel needs none. Personal: never in a log.
    pub address: String,
}

/// A submission that passed every check.
pub(super) struct Plan {
    pub(super) planned: Planned,
}

impl Plan {
    /// Deliveries that are made in the transaction that accepts it.
    pub(super) fn at_once(&self) -> usize {
        self.planned.deliveries.len().min(DELIVERIES_SLICE)
    }
}

/// What has to be known of a plan once the store has it.
pub(super) struct Outline {
    id: NotificationId,
    priority: Priority,
    digest: Option<[u8; 32]>,
    /// Channel and address of each delivery that is made at once, by index.
    deliveries: Vec<(ChannelName, String)>,
    delivery_count: u32,
    skipped: Vec<usize>,
}

impl Outline {
    pub(super) fn of(Plan { planned }: &Plan) -> Self {
        let is_large = planned.deliveries.len() > DELIVERIES_SLICE;
        let deliveries = planned.deliveries.iter().take(if is_large { 0 } else { DELIVERIES_SLICE });
        Self {
            delivery_count: planned.deliveries.len() as u32,
            skipped: planned.skipped.clone(),
            id: planned.notification.id,
            priority: planned.notification.priority,
            digest: planned.idempotency.map(|key| key.digest),
            deliveries: deliveries.map(|one| (one.channel.clone(), one.recipient.address.clone())).collect(),
        }
    }

    fn acceptance(self, deduplicated: &[Deduplicated]) -> Acceptance {
        let mut acceptance = Acceptance {
            id: self.id,
            delivery_count: self.delivery_count - deduplicated.len() as u32,
            deliveries: Vec::new(),
            skipped: self.skipped,
            deduplicated: Vec::new(),
            replayed: false,
        };
        for (index, (channel, address)) in (0..).zip(self.deliveries) {
            match deduplicated.iter().find(|one| one.index == index) {
                Some(Deduplicated { first, .. }) => {
                    acceptance.deduplicated.push(DeduplicatedDelivery { channel, address, first: *first });
                }
                None => {
                    acceptance.deliveries.push(AcceptedDelivery { id: self.id.delivery(index), channel, address });
                }
            }
        }
        acceptance
    }
}

impl Intake {
    /// What was accepted with the key of `submission` before, if it was used.
    pub(super) async fn replayed(
        &self,
        submission: &Submission,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Acceptance>, SubmitError> {
        let Some(IdempotencyKey { key, digest }) = key else { return Ok(None) };
        if submission.idempotency_key.as_deref().is_some_and(|text| !once::is_key(text)) {
            // The check tells what is wrong with it.
            return Ok(None);
        }
        match self.store.first_use(*key).await? {
            Some(first) => self.rebuilt(first, Some(digest)).await,
            None => Ok(None),
        }
    }

    /// What the store made of a plan.
    pub(super) async fn told(&self, outline: Outline, accepted: Accepted) -> Result<Acceptance, SubmitError> {
        match accepted {
            Accepted::New { deduplicated } => {
                self.metrics.notification_accepted(outline.priority);
                Ok(outline.acceptance(&deduplicated))
            }
            // Somebody else was first, between the question and the accept.
            Accepted::Known(first) => self.rebuilt(first, outline.digest.as_ref()).await?.ok_or_else(unanswered),
        }
    }

    /// The answer to the first use of a key; none where what it stands for is no longer kept.
    async fn rebuilt(&self, first: FirstUse, digest: Option<&[u8; 32]>) -> Result<Option<Acceptance>, SubmitError> {
        if digest != Some(&first.digest) {
            let mut problems = Problems::default();
            let message = "was used for another notification within 24 h: take a new key for new content";
            problems.add("/idempotency_key", ProblemCode::KeyReused, message);
            return Err(SubmitError::Invalid(problems));
        }
        let Some(record) = self.store.notification(first.notification).await? else { return Ok(None) };
        let mut deduplicated = Vec::with_capacity(first.deduplicated.len());
        for Deduplicated { first, .. } in first.deduplicated {
            // Channel and address are those of the delivery that was made.
            let made = self.store.notification(first.notification()).await?;
            let made = made.and_then(|made| made.deliveries.into_iter().find(|delivery| delivery.id == first));
            deduplicated.extend(made.map(|made| DeduplicatedDelivery {
                channel: made.channel,
                address: made.recipient.address,
                first,
            }));
        }
        Ok(Some(Acceptance { deduplicated, skipped: first.skipped, ..replay_of(&record) }))
    }
}

fn replay_of(record: &NotificationRecord) -> Acceptance {
    let delivery_count = record.counts.total();
    let is_large = delivery_count as usize > DELIVERIES_SLICE;
    let made = record.deliveries.iter().take(if is_large { 0 } else { DELIVERIES_SLICE });
    let deliveries = made.map(|delivery| AcceptedDelivery {
        id: delivery.id,
        channel: delivery.channel.clone(),
        address: delivery.recipient.address.clone(),
    });
    let id = record.notification.id;
    Acceptance {
        id,
        delivery_count,
        deliveries: deliveries.collect(),
        skipped: Vec::new(),
        deduplicated: Vec::new(),
        replayed: true,
    }
}

/// The problems of one of a batch; what concerns all of it stays an error.
pub(super) fn problems_of(error: SubmitError) -> Result<Problems, SubmitError> {
    match error {
        SubmitError::Invalid(problems) => Ok(problems),
        error @ (SubmitError::Unavailable { .. } | SubmitError::Internal(_)) => Err(error),
    }
}

/// A store answers each plan.
pub(super) fn unanswered() -> SubmitError {
    let reason = "the store did not say what became of a notification".to_owned();
    SubmitError::Internal(StoreError::Internal { reason })
}
