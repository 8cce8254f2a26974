//! The way in: a submission is checked, routed and made durable before its caller is told.
//!
//! *Flow:* [`Submission`] → `check` (what can be seen by looking at it) → channels looked up, template pinned, `route` →
//! [`Store::accept`] → [`Acceptance`].
//!
//! *Invariants:* a submission with a problem leaves nothing behind, and all of its problems are told at once. An
//! [`Acceptance`] is given only after its commit. Everything that comes from outside has its limit in `limits.rs`.
//!
//! *Not here:* rendering (at dispatch), shapes of HTTP (`api`).

mod acceptance;
mod callback_url;
mod check;
pub mod limits;
mod once;
mod problem;
mod submission;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::call::{ChannelDirectory, ChannelUnavailable};
use crate::clock::{Clock, Entropy};
use crate::domain::{ChannelName, Content, Flow, HeldBy, Notification, TemplateName, TemplateUse, Timestamp};
use crate::queue::QueueHandle;
use crate::route::{NamedChannel, RouteProblem, Routed, route};
use crate::store::{Planned, PlannedDelivery, Store, StoreError};
use crate::telemetry::Metrics;
use acceptance::{Outline, Plan, problems_of, unanswered};

pub use crate::route::{Contact, To};
pub use acceptance::{Acceptance, AcceptedDelivery, DeduplicatedDelivery};
pub use callback_url::{CallbackUrlRefusal, CallbackUrls, NoCallbackUrls};
pub use problem::{Problem, ProblemCode, Problems, pointer};
pub use submission::{Submission, SubmittedAction};

/// When to ask again where the store does not answer: a full disk or a slow one does not change faster.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The kind of a notification that names none.
const DEFAULT_KIND: &str = "info";

/// Ties a notification to the version of its template that is current.
#[async_trait]
pub trait TemplatePins: Send + Sync + 'static {
    /// The current version of `name`, kept as long as it is used, if `data` (a JSON object) has what it needs.
    ///
    /// # Errors
    ///
    /// [`PinError`] where there is no such template, or it cannot be used with this data.
    async fn pin(&self, name: &TemplateName, data: Option<&str>) -> Result<TemplateUse, PinError>;
}

/// Why a template cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PinError {
    /// No template of that name.
    #[error("there is no template `{name}`")]
    Unknown {
        /// The name asked for.
        name: TemplateName,
        /// A known template with a similar name.
        nearest: Option<String>,
    },
    /// It reads variables that the data does not have.
    #[error("template `{name}` needs data that is not there: `{}`", variables.join("`, `"))]
    MissingData {
        /// Which template.
        name: TemplateName,
        /// What it needs.
        variables: Vec<String>,
    },
    /// Its current source is not one that an engine takes.
    #[error("template `{name}` cannot be used: {reason}")]
    Broken {
        /// Which template.
        name: TemplateName,
        /// What is wrong.
        reason: String,
    },
    /// Its source could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing was accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The caller asked for what cannot be done.
    #[error("it has problems: {0}")]
    Invalid(Problems),
    /// Not now: the same may be asked for again.
    #[error("the store does not take anything right now")]
    Unavailable {
        /// When to ask again.
        retry_after: Duration,
        /// What the store said.
        source: StoreError,
    },
    /// A defect of ours.
    #[error("it could not be stored")]
    Internal(#[source] StoreError),
}

impl SubmitError {
    /// Whether asking for the same again later may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

impl From<StoreError> for SubmitError {
    fn from(source: StoreError) -> Self {
        match source {
            // A closed store is one of a runtime that stops; its successor will answer.
            StoreError::Unavailable { .. } | StoreError::Closed => {
                Self::Unavailable { retry_after: RETRY_AFTER, source }
            }
            StoreError::Locked { .. } | StoreError::Unusable { .. } | StoreError::Internal { .. } => {
                Self::Internal(source)
            }
        }
    }
}

/// The way in. Cheap to share: everything in it is behind an `Arc`.
#[derive(Clone)]
pub struct Intake {
    /// Durable state.
    pub store: Arc<dyn Store>,
    /// The channels there are.
    pub channels: Arc<dyn ChannelDirectory>,
    /// The templates there are.
    pub templates: Arc<dyn TemplatePins>,
    /// Now.
    pub clock: Arc<dyn Clock>,
    /// Ids.
    pub entropy: Arc<Entropy>,
    /// Counts what is accepted.
    pub metrics: Arc<Metrics>,
    /// Knows who gets many.
    pub queue: QueueHandle,
    /// How long a dedupe key holds.
    pub dedupe_window: Duration,
    /// Which URLs may be called.
    pub callback_urls: Arc<dyn CallbackUrls>,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

impl Intake {
    /// Checks, routes and stores one notification. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Invalid`] with every problem found; otherwise the store's. Nothing is stored then.
    pub async fn submit(&self, submission: Submission) -> Result<Acceptance, SubmitError> {
        let now = self.clock.now();
        let key = once::idempotency(&submission, now);
        // Asked first: what was accepted then may be one that would be refused now.
        if let Some(known) = self.replayed(&submission, key.as_ref()).await? {
            return Ok(known);
        }
        let plan = self.plan(submission, now).await?;
        let outline = Outline::of(&plan);
        match self.store.accept(vec![plan.planned]).await?.pop() {
            Some(accepted) => self.told(outline, accepted).await,
            None => Err(unanswered()),
        }
    }

    /// The same for many, in one commit: the good ones are accepted, the others told apart. Answers are in order.
    ///
    /// # Errors
    ///
    /// [`SubmitError`] where none was accepted: too many at once, or the store failed.
    pub async fn submit_batch(
        &self,
        submissions: Vec<Submission>,
    ) -> Result<Vec<Result<Acceptance, Problems>>, SubmitError> {
        check_batch(submissions.len()).map_err(SubmitError::Invalid)?;
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(submissions.len());
        let mut accepted = Vec::with_capacity(submissions.len());
        // What is to be accepted, with its place among the answers.
        let mut planning = Vec::with_capacity(submissions.len());
        let mut deliveries = 0;
        for submission in submissions {
            let key = once::idempotency(&submission, now);
            let known = self.replayed(&submission, key.as_ref()).await;
            let answer = match known {
                Ok(Some(known)) => Some(Ok(known)),
                Ok(None) => match self.plan(submission, now).await {
                    Ok(plan) if deliveries + plan.at_once() > limits::BATCH_DELIVERIES_MAX => {
                        Some(Err(batch_is_full()))
                    }
                    Ok(plan) => {
                        deliveries += plan.at_once();
                        planning.push((answers.len(), Outline::of(&plan)));
                        accepted.push(plan.planned);
                        None
                    }
                    Err(error) => Some(Err(problems_of(error)?)),
                },
                Err(error) => Some(Err(problems_of(error)?)),
            };
            answers.push(answer);
        }
        if !accepted.is_empty() {
            let told = self.store.accept(accepted).await?;
            for ((place, outline), accepted) in planning.into_iter().zip(told) {
                let answer = self.told(outline, accepted).await;
                answers[place] =
                    Some(answer.map_or_else(|error| problems_of(error).map(Err), |answer| Ok(Ok(answer)))?);
            }
        }
        answers.into_iter().map(|answer| answer.ok_or_else(unanswered)).collect()
    }

    /// Every problem of a submission, without accepting it. For one that is refused in any case, since a part of it
    /// could not even be read.
    pub async fn examine(&self, submission: Submission) -> Problems {
        match self.plan(submission, self.clock.now()).await {
            Err(SubmitError::Invalid(problems)) => problems,
            Ok(_) | Err(SubmitError::Unavailable { .. } | SubmitError::Internal(_)) => Problems::default(),
        }
    }

    async fn plan(&self, submission: Submission, now: Timestamp) -> Result<Plan, SubmitError> {
        let mut problems = Problems::default();
        check::check(&submission, now, &mut problems);
        let scheduled_at = submission.scheduled_at.filter(|at| *at > now);
        let callback_url = submission.callback_url.as_deref();
        let callback_url = callback_url.and_then(|text| callback_url::read(text, &*self.callback_urls, &mut problems));
        let channels = self.look_up(&submission.channels, &mut problems).await;
        let template = self.pin(&submission, &mut problems).await?;
        let idempotency = once::idempotency(&submission, now);
        let Routed { mut deliveries, skipped } = match &channels {
            Some(channels) if !problems.any_under("/to") => {
                route(&submission.to, channels, scheduled_at.unwrap_or(now)).unwrap_or_else(|found| {
                    found.into_iter().for_each(|problem| add_route_problem(&problem, &mut problems));
                    Routed::default()
                })
            }
            Some(_) | None => Routed::default(),
        };
        if !problems.is_empty() {
            return Err(SubmitError::Invalid(problems));
        }
        if let Some(key) = &submission.dedupe_key {
            for delivery in &mut deliveries {
                let address = &delivery.recipient.address;
                delivery.dedupe = Some(once::dedupe(key, &delivery.channel, address, now, self.dedupe_window));
            }
        }
        let by = submission.by;
        let default = channels.iter().flatten().filter_map(|(_, facts)| facts.priority).max();
        let notification = Notification {
            id: self.entropy.notification_id(now),
            kind: submission.kind.unwrap_or_else(|| DEFAULT_KIND.to_owned()),
            priority: submission.priority.or(default).unwrap_or_default(),
            content: Arc::new(Content {
                title: submission.title,
                text: submission.body.unwrap_or_default(),
                html: submission.html,
                markdown: submission.markdown,
                parts: submission.parts,
            }),
            actions: check::actions_of(submission.actions),
            template,
            data: submission.data,
            metadata: submission.metadata,
            correlation_id: submission.correlation_id,
            group_key: submission.group_key,
            created_at: now,
            scheduled_at,
            expires_at: submission.expires_at,
        };
        self.give_flows(&notification, &mut deliveries);
        let held = if scheduled_at.is_none() { self.held(channels.iter().flatten()) } else { Vec::new() };
        let notification = Arc::new(notification);
        Ok(Plan { planned: Planned { notification, deliveries, skipped, idempotency, by, held, callback_url } })
    }

    /// Those of the channels that are held, and by what.
    fn held<'c>(&self, channels: impl Iterator<Item = &'c NamedChannel>) -> Vec<(ChannelName, HeldBy)> {
        channels.filter_map(|(name, _)| Some((name.clone(), self.queue.held_by(name)?))).collect()
    }

    fn give_flows(&self, notification: &Notification, deliveries: &mut [PlannedDelivery]) {
        let is_large = deliveries.len() > Flow::NOTIFICATION_MIN;
        for PlannedDelivery { channel, recipient, flow, .. } in deliveries {
            *flow = match is_large {
                true => Flow::of_notification(notification.id),
                false => self.queue.flow_of(notification.priority, channel, &recipient.address),
            };
        }
    }

    /// The named channels; none where one of them cannot be used, since routing without it would find problems that
    /// are none.
    async fn look_up(&self, names: &[String], problems: &mut Problems) -> Option<Vec<NamedChannel>> {
        let mut found = Vec::with_capacity(names.len().min(limits::CHANNELS_MAX));
        let mut all = true;
        for (place, text) in names.iter().take(limits::CHANNELS_MAX).enumerate() {
            let at = || format!("/channels/{place}");
            match ChannelName::new(text) {
                Err(error) => {
                    problems.add(at(), ProblemCode::UnknownChannel, error.to_string());
                    all = false;
                }
                Ok(name) => {
                    self.channels.make_ready(text).await;
                    match self.channels.channel(&name) {
                        Ok(facts) => found.push((name, facts)),
                        Err(unavailable) => {
                            problems.push(channel_problem(at(), &unavailable));
                            all = false;
                        }
                    }
                }
            }
        }
        all.then_some(found)
    }

    async fn pin(&self, submission: &Submission, problems: &mut Problems) -> Result<Option<TemplateUse>, SubmitError> {
        const AT: &str = "/template";
        let Some(text) = &submission.template else { return Ok(None) };
        let name = match TemplateName::new(text) {
            Ok(name) => name,
            Err(error) => {
                problems.add(AT, ProblemCode::UnknownTemplate, error.to_string());
                return Ok(None);
            }
        };
        // Data that is not data would be found to lack everything.
        if problems.any_under("/data") {
            return Ok(None);
        }
        let error = match self.templates.pin(&name, submission.data.as_deref()).await {
            Ok(template) => return Ok(Some(template)),
            Err(error) => error,
        };
        let message = error.to_string();
        let (at, code, hint) = match error {
            PinError::Store(source) => return Err(source.into()),
            PinError::Unknown { nearest, .. } => {
                (AT, ProblemCode::UnknownTemplate, nearest.map(|name| did_you_mean(&name)))
            }
            PinError::MissingData { .. } => ("/data", ProblemCode::MissingData, None),
            PinError::Broken { .. } => (AT, ProblemCode::BrokenTemplate, None),
        };
        problems.push(Problem { at: at.to_owned(), code, message, hint });
        Ok(None)
    }
}

/// Whether a batch of `count` may be looked at.
///
/// # Errors
///
/// The problem where it is larger than [`limits::BATCH_MAX`].
pub fn check_batch(count: usize) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if count > limits::BATCH_MAX {
        let message = format!("{count} notifications in one batch, the limit is {}", limits::BATCH_MAX);
        problems.add("", ProblemCode::TooMany, message);
        return Err(problems);
    }
    Ok(())
}

fn batch_is_full() -> Problems {
    let limit = limits::BATCH_DELIVERIES_MAX;
    let mut problems = Problems::default();
    let message =
        format!("the notifications before it make up the {limit} deliveries of one batch: send it in another");
    problems.add("", ProblemCode::TooMany, message);
    problems
}

fn did_you_mean(name: &str) -> String {
    format!("did you mean `{name}`?")
}

fn channel_problem(at: String, unavailable: &ChannelUnavailable) -> Problem {
    let message = unavailable.to_string();
    let (code, hint) = match unavailable {
        ChannelUnavailable::Unknown { nearest, section, known, .. } => {
            let section = section.as_ref().map(|section| format!("add this to the configuration:\n\n{section}"));
            let mut hints: Vec<String> = nearest.as_deref().map(did_you_mean).into_iter().chain(section).collect();
            if hints.is_empty() && !known.is_empty() {
                hints.push(format!("there are `{}`", known.join("`, `")));
            }
            (ProblemCode::UnknownChannel, (!hints.is_empty()).then(|| hints.join("\n")))
        }
        ChannelUnavailable::Disabled { .. } => (ProblemCode::ChannelDisabled, None),
        ChannelUnavailable::NotReady { .. } => (ProblemCode::ChannelNotReady, None),
    };
    Problem { at, code, message, hint }
}

fn add_route_problem(problem: &RouteProblem, problems: &mut Problems) {
    let (at, code) = match problem {
        RouteProblem::NoChannels => ("/channels".to_owned(), ProblemCode::Missing),
        RouteProblem::NoRecipients { .. } => ("/to".to_owned(), ProblemCode::Missing),
        RouteProblem::Unreachable { recipient, .. } => (format!("/to/{recipient}"), ProblemCode::UnreachableRecipient),
        RouteProblem::BadAddress { recipient, kind, .. } => {
            (pointer(&format!("/to/{recipient}"), kind), ProblemCode::BadAddress)
        }
        RouteProblem::TooMany { .. } => ("/to".to_owned(), ProblemCode::TooMany),
    };
    problems.add(at, code, problem.to_string());
}

#[cfg(test)]
mod tests;
