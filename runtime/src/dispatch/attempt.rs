//! One attempt: from a claim to how it ended, whatever happens on the way.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tracing::Instrument;

use super::destination::{HostPass, Later};
use super::{RetryPolicies, Shared};
use crate::call::{Call, Question, RenderFailure, Report};
use crate::config::format_duration;
use crate::domain::{
    self, Attempt, AttemptEnd, ChannelName, DeliveryId, FailReason, Interruption, Lifetime, Moment, Outcome,
    POISON_CRASHES, PluginName, Receipt, Timestamp,
};
use crate::queue::Taken;
use crate::store::{Claim, Settlement};

/// The longest part of a panic's message that is kept, in bytes.
const PANIC_MESSAGE_MAX: usize = 512;

/// What a call may take beyond its limits before it is given up: whoever should have ended it had all that time.
const OVERDUE_AFTER: Duration = Duration::from_secs(30);

/// A claim that holds a slot.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) claim: Claim,
    pub(super) taken: Taken,
    pub(super) started_at: Timestamp,
    /// Its host's breaker has let it through.
    pub(super) host: Option<HostPass>,
}

impl Held {
    /// Why no attempt may start any more. What is only asked about does not expire, and is not too old.
    pub(super) fn is_over(&self, policies: &RetryPolicies) -> Option<FailReason> {
        let Claim { notification, crashes, progress, channel, .. } = &self.claim;
        let is_expired = notification.expires_at.is_some_and(|expires_at| expires_at <= self.started_at);
        if is_expired && progress.accepted.is_none() {
            Some(FailReason::Expired)
        } else if *crashes >= POISON_CRASHES {
            Some(FailReason::Poison { crashes: *crashes })
        } else if progress.accepted.is_none() {
            let (waited, max_age) = (self.started_at.since(self.began()), policies.of(channel).max_age);
            (waited > max_age).then(|| FailReason::TooOld { last: told_age(waited, max_age) })
        } else {
            None
        }
    }

    /// When it could first be tried.
    fn began(&self) -> Timestamp {
        self.claim.progress.run_began.unwrap_or_else(|| self.claim.notification.due_from())
    }
}

/// What held it up is somebody else's to say: a pause, a breaker, a queue.
fn told_age(waited: Duration, max_age: Duration) -> String {
    let waited = format_duration(Duration::from_secs(waited.as_secs()));
    format!("its turn came after {waited}, its retry policy's `max_age` is {}", format_duration(max_age))
}

/// How a claim ends.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) held: Arc<Held>,
    /// None where it was over before a call, or another channel is to stand in.
    pub(super) report: Option<Report>,
}

/// A claim that comes to nothing for now: nobody was called, and nothing is written of it.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) held: Arc<Held>,
    /// What it waits for.
    pub(super) wait: Wait,
}

/// What a claim waits for that came to nothing.
#[derive(Debug)]
pub(super) enum Wait {
    /// A template engine that is held.
    Engine(PluginName),
    /// Its turn at its destination.
    Turn(Later),
    /// That there may be another way for it.
    Until(Timestamp),
}

/// An attempt under way. A future of its own, so that a panic inside it, or its end from outside, leaves the claim.
pub(super) struct Underway {
    /// Taken when it ends.
    held: Option<Arc<Held>>,
    /// What it may take by the settings it began with.
    limit: Option<Duration>,
    call: Pin<Box<dyn Future<Output = Result<Report, PluginName>> + Send>>,
}

impl Underway {
    pub(super) fn begin(shared: &Arc<Shared>, held: Arc<Held>) -> Self {
        let span = tracing::debug_span!(
            "delivery.attempt",
            delivery.id = %held.claim.delivery,
            attempt.number = held.claim.progress.attempts + 1,
            channel = %held.claim.channel,
        );
        let limit = time_limit(shared, &held.claim);
        let call = perform(Arc::clone(shared), Arc::clone(&held)).instrument(span);
        Self { held: Some(held), limit, call: Box::pin(call) }
    }

    /// Ends it here and now. The call is dropped.
    pub(super) fn interrupt(self, now: Timestamp) -> Option<Finished> {
        let message = "the runtime stopped while the call was under way".to_owned();
        Some(Finished::cut_short(self.held?, Interruption::Shutdown, message, now))
    }

    /// Ends it here and now, because nothing else does. The call is dropped.
    pub(super) fn give_up(self, overdue: &Overdue, now: Timestamp) -> Option<Finished> {
        Some(Finished::cut_short(self.held?, Interruption::HostBug, overdue.to_string(), now))
    }

    /// Whether it has outlived its limits by far, and how.
    pub(super) fn overdue(&self, shared: &Shared, now: Timestamp) -> Option<Overdue> {
        let Held { claim, started_at, .. } = &**self.held.as_ref()?;
        // Whoever makes the call may have had a reload a moment before, or after, it began.
        let limit = self.limit?.max(time_limit(shared, claim)?);
        let after = now.since(*started_at);
        let overdue = || Overdue { delivery: claim.delivery, channel: claim.channel.clone(), after, limit };
        (after >= limit.saturating_add(OVERDUE_AFTER)).then(overdue)
    }
}

/// What a call of this claim may take, as the settings are now.
fn time_limit(shared: &Shared, claim: &Claim) -> Option<Duration> {
    shared.time_limits.load().of(&claim.channel, claim.notification.template.is_some())
}

/// A call that outlived the limits that should have ended it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the call of `{channel}` for delivery {delivery} was under way for {} s and was given up: its limit is {} s, and \
     nothing had ended it", .after.as_secs(), .limit.as_secs_f64()
)]
pub(super) struct Overdue {
    delivery: DeliveryId,
    channel: ChannelName,
    after: Duration,
    limit: Duration,
}

impl Future for Underway {
    type Output = Result<Finished, Aside>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let report = match catch_unwind(AssertUnwindSafe(|| this.call.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(report)) => report,
            Err(panic) => {
                let message = panic_message(panic.as_ref());
                tracing::error!(message, "A call panicked.");
                Ok(interrupted(Interruption::HostBug, message, Duration::ZERO))
            }
        };
        let held = this.held.take().expect("a future is not polled after it is ready");
        Poll::Ready(match report {
            Ok(report) => Ok(Finished { held, report: Some(report) }),
            Err(engine) => Err(Aside { held, wait: Wait::Engine(engine) }),
        })
    }
}

/// The error is a template engine that is held: no attempt was made.
async fn perform(shared: Arc<Shared>, held: Arc<Held>) -> Result<Report, PluginName> {
    let with = &shared.with;
    let Held { claim, started_at, .. } = &*held;
    if let Some(awaited) = &claim.progress.accepted {
        let (channel, awaited) = (claim.channel.clone(), Arc::clone(awaited));
        let question = Question { channel, delivery: claim.delivery, awaited, now: with.clock.now() };
        return Ok(with.caller.ask(question).await);
    }
    let content = match with.content.content(&claim.notification, &claim.recipient).await {
        Ok(content) => content,
        Err(RenderFailure::Held { engine }) => return Err(engine),
        Err(failure) => {
            let (end, plugin) = failure.into_end();
            let duration = with.clock.now().since(*started_at);
            return Ok(Report { end, duration, plugin, fuel: 0, memory_bytes: 0 });
        }
    };
    let call = Call {
        channel: claim.channel.clone(),
        delivery: claim.delivery,
        attempt: claim.progress.attempts.saturating_add(1),
        recipient: Arc::clone(&claim.recipient),
        notification: Arc::clone(&claim.notification),
        content,
        now: with.clock.now(),
    };
    Ok(with.caller.call(call).await)
}

fn interrupted(interruption: Interruption, message: String, duration: Duration) -> Report {
    let end = AttemptEnd::Interrupted { interruption, message };
    Report { end, duration, plugin: None, fuel: 0, memory_bytes: 0 }
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    let end = text.floor_char_boundary(PANIC_MESSAGE_MAX.min(text.len()));
    text[..end].to_owned()
}

impl Finished {
    /// It came to nothing, by nobody's judgement.
    pub(super) fn cut_short(held: Arc<Held>, interruption: Interruption, message: String, now: Timestamp) -> Self {
        let report = interrupted(interruption, message, now.since(held.started_at));
        Self { held, report: Some(report) }
    }

    /// Whether nobody is to be called, because another channel stands in.
    pub(super) fn is_detour(&self, policies: &RetryPolicies) -> bool {
        self.report.is_none() && self.held.taken.is_detour && self.held.is_over(policies).is_none()
    }

    /// What is to be written of it, unless it [is a detour](Self::is_detour) or another channel stands in.
    pub(super) fn settlement(&self, shared: &Shared) -> Settlement {
        let with = &shared.with;
        let Claim { number, delivery, progress, channel, notification, .. } = &self.held.claim;
        let now = with.clock.now();
        let Some(report) = &self.report else {
            let reason = self.held.is_over(&with.policies).unwrap_or(FailReason::Expired);
            let state = domain::settle_over(progress, reason, now);
            return Settlement { claim: *number, delivery: *delivery, attempt: None, state, reroute: None, at: now };
        };
        let lifetime = Lifetime { began: self.held.began(), expires_at: notification.expires_at };
        let moment = Moment { now, roll: with.entropy.roll() };
        let state = domain::settle(progress, &report.end, &with.policies.of(channel), lifetime, moment);
        // Of questions that are answered `accepted` again the history would be full.
        let attempt = (state.attempts() > progress.attempts).then(|| Attempt {
            number: state.attempts(),
            started_at: self.held.started_at,
            duration: report.duration,
            end: report.end.as_str().to_owned(),
            code: report.end.code().map(str::to_owned),
            reason: report.end.reason().map(str::to_owned),
            provider_id: receipt(&report.end).and_then(|receipt| receipt.provider_id.clone()),
            plugin: report.plugin.as_ref().map(ToString::to_string).unwrap_or_default(),
            fuel: report.fuel,
            memory_bytes: report.memory_bytes,
        });
        Settlement { claim: *number, delivery: *delivery, attempt, state, reroute: None, at: now }
    }
}

const fn receipt(end: &AttemptEnd) -> Option<&Receipt> {
    match end {
        AttemptEnd::Outcome(Outcome::Sent(receipt) | Outcome::Accepted { receipt, .. }) => Some(receipt),
        AttemptEnd::Outcome(
            Outcome::Retry { .. }
            | Outcome::RateLimited { .. }
            | Outcome::Rejected { .. }
            | Outcome::RecipientGone { .. },
        )
        | AttemptEnd::HostDeadline { .. }
        | AttemptEnd::Fault { .. }
        | AttemptEnd::Interrupted { .. } => None,
    }
}
