//! Makes what came of attempts durable, however long the store takes, and gives up claims of which nothing came.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::attempt::{Aside, Finished, Held, Wait};
use super::destination::Learned;
use super::ended::ended;
use super::fallback::{self, Judged};
use super::worker::Order;
use super::{Mode, Shared, store_wait};
use crate::call::Report;
use crate::domain::{DeliveryState, Position, Queued, Timestamp, Verdict};
use crate::queue::{Ended, Hold, Taken};
use crate::store::{Settled, Settlement, StoreError};
use crate::telemetry::PluginUse;

/// A slot that is free again, and what its call said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Freed {
    pub(super) hold: Hold,
    /// Of the channel.
    pub(super) ended: Ended,
    /// Of the destination.
    pub(super) learned: Learned,
}

impl Freed {
    /// Nobody was called with it.
    pub(super) const fn unused(taken: &Taken) -> Self {
        Self { hold: taken.hold, ended: Ended::WITHOUT_CALL, learned: Learned::NOTHING }
    }

    /// A host of its own has its own breaker: what it does says nothing of its channel.
    fn of(held: &Held, report: Option<&Report>, now: Timestamp) -> Self {
        let took = report.map_or(Duration::ZERO, |report| report.duration);
        let learned = Learned::of(&held.claim, held.host, report.map(|report| &report.end), took, now);
        let mut ended = report.map_or(Ended::WITHOUT_CALL, |report| ended(&report.end, took, now));
        if held.host.is_some() {
            ended.verdict = Verdict::Neutral;
        }
        Self { hold: held.taken.hold, ended, learned }
    }
}

/// Says what is to come of what has ended, and makes it durable. Answers the slots that are free now.
pub(super) async fn settle_durably(
    shared: Arc<Shared>,
    mut mode: watch::Receiver<Order>,
    finished: Vec<Finished>,
) -> Vec<Freed> {
    let Judged { finished, settlements, aside, unsaid } = fallback::judge(&shared, &mut mode, finished).await;
    let now = shared.with.clock.now();
    let mut free: Vec<Freed> = unsaid.iter().map(|left| Freed::of(&left.held, left.report.as_ref(), now)).collect();
    free.extend(write_durably(&shared, &mut mode, finished, settlements).await);
    if !aside.is_empty() {
        free.extend(set_aside(shared, mode, aside).await);
    }
    free
}

/// Writes settlements, trying again until the store takes them. Gives up where the store is closed, and while the
/// dispatcher is ending: then the deliveries wait as before, and are called again after the next start.
async fn write_durably(
    shared: &Shared,
    mode: &mut watch::Receiver<Order>,
    mut finished: Vec<Finished>,
    mut settlements: Vec<Settlement>,
) -> Vec<Freed> {
    // Before it can be read in the store: whoever sees a delivery fail sees it of its channel, too.
    let ended_at = shared.with.clock.now();
    finished.iter().for_each(|finished| shared.remember(finished, ended_at));
    let mut failures = 0;
    let mut together = true;
    let mut done = 0;
    while done < finished.len() {
        let end = if together { finished.len() } else { done + 1 };
        match shared.with.store.settle(settlements[done..end].to_vec()).await {
            Ok(answers) => {
                failures = 0;
                settled(shared, &finished[done..end], &settlements[done..end], &answers);
                done = end;
            }
            Err(StoreError::Closed) => break,
            Err(error) => {
                failures += 1;
                if !error.is_transient() {
                    // One that the store can never take must not keep those it came with from being taken.
                    together = false;
                    settlements[done..].rotate_left(1);
                    finished[done..].rotate_left(1);
                }
                tracing::error!(error = %error, failures, "Could not keep what came of an attempt; trying again.");
                if !wait_unless_ending(shared, mode, failures).await {
                    break;
                }
            }
        }
    }
    let now = shared.with.clock.now();
    finished.iter().map(|finished| Freed::of(&finished.held, finished.report.as_ref(), now)).collect()
}

/// Gives up claims, then has what they were for wait for its template engine. Where the dispatcher ends meanwhile, the
/// deliveries wait as before, for the next start.
///
/// Answers the slots that are free now.
pub(super) async fn set_aside(shared: Arc<Shared>, mut mode: watch::Receiver<Order>, aside: Vec<Aside>) -> Vec<Freed> {
    let claims: Vec<u64> = aside.iter().map(|aside| aside.held.claim.number).collect();
    let now = shared.with.clock.now();
    let holds = aside.iter().map(|aside| Freed::of(&aside.held, None, now)).collect();
    let mut failures = 0;
    loop {
        match shared.with.store.release(&claims).await {
            Ok(()) => break,
            Err(StoreError::Closed) => return holds,
            Err(error) => {
                failures += 1;
                tracing::error!(error = %error, failures, "Could not give up claims; trying again.");
                if !wait_unless_ending(&shared, &mut mode, failures).await {
                    return holds;
                }
            }
        }
    }
    for Aside { held, wait } in aside {
        let delivery = held.claim.delivery;
        // Only now: before, it could not be claimed by whoever takes it next.
        match wait {
            Wait::Engine(engine) => {
                tracing::debug!(delivery.id = %delivery, %engine, "A delivery waits for its template engine.");
                shared.with.queue.set_aside(&engine, held.taken);
            }
            Wait::Turn(later) => shared.defer(&held, later),
            Wait::Until(until) => {
                tracing::debug!(delivery.id = %delivery, %until, "A delivery waits for another way.");
                // What expires meanwhile is to be ended then.
                let until = held.claim.notification.expires_at.map_or(until, |expires_at| until.min(expires_at));
                shared.with.queue.defer(held.taken, until);
            }
        }
    }
    holds
}

pub(super) async fn wait_unless_ending(shared: &Shared, mode: &mut watch::Receiver<Order>, failures: u32) -> bool {
    let clock = &shared.with.clock;
    tokio::select! {
        biased;
        _ = mode.wait_for(|order| order.mode == Mode::Ending) => false,
        () = clock.wait_until(clock.now().after(store_wait(failures))) => true,
    }
}

fn settled(shared: &Shared, finished: &[Finished], settlements: &[Settlement], answers: &[Settled]) {
    let with = &shared.with;
    let now = with.clock.now();
    let mut waiting = Vec::new();
    for ((finished, settlement), answer) in finished.iter().zip(settlements).zip(answers) {
        let claim = &finished.held.claim;
        if let Some(report) = &finished.report {
            with.metrics.attempt_ended(&claim.channel, &report.end);
            if let Some(plugin) = &report.plugin {
                let used =
                    PluginUse { duration: report.duration, fuel: report.fuel, memory_bytes: report.memory_bytes };
                with.metrics.plugin_called(&plugin.name, &plugin.version, &report.end, used);
            }
        }
        match answer {
            Settled::Late => {
                tracing::warn!(delivery.id = %claim.delivery, claim = claim.number, "A settlement came too late.");
            }
            Settled::Applied(state) => {
                with.metrics.delivery_settled(&claim.channel, state, age(finished, now));
                tracing::debug!(
                    delivery.id = %claim.delivery,
                    attempts = state.attempts(),
                    status = state.status().as_str(),
                    "Settled a delivery."
                );
                if let DeliveryState::Failed { attempts, reason, .. } = state {
                    tracing::warn!(
                        delivery.id = %claim.delivery,
                        channel = %claim.channel,
                        attempts,
                        reason = reason.as_str(),
                        outcome = finished.report.as_ref().map(|report| report.end.as_str()),
                        code = finished.report.as_ref().and_then(|report| report.end.code()),
                        "A delivery failed for good."
                    );
                }
                if let DeliveryState::Waiting(next) = state {
                    let position = Position { due: next.due, delivery: claim.delivery };
                    let mut lane = claim.lane();
                    if let Some(reroute) = &settlement.reroute {
                        tracing::warn!(
                            delivery.id = %claim.delivery, from = %lane.channel, to = %reroute.to, reason = reroute.reason,
                            "A delivery goes on through another channel."
                        );
                        lane.channel.clone_from(&reroute.to);
                    }
                    waiting.push(Queued { lane, position });
                }
            }
        }
    }
    with.queue.offer_all(&waiting);
}

/// How long ago the delivery could first be tried.
fn age(finished: &Finished, now: Timestamp) -> Duration {
    let claim = &finished.held.claim;
    now.since(claim.progress.run_began.unwrap_or_else(|| claim.notification.due_from()))
}
