//! Which channel stands in where one cannot do its work.
//!
//! *Invariants:* the chain is that of the channel a delivery was accepted for, and only goes forward: whoever had their
//! turn does not get another. One that an operator paused is passed over, unless nobody else is left: then it is better to
//! wait there than to fail. What the recipient or their provider refuses goes nowhere else. A delivery whose chain is
//! used up fails by its last reason.
//!
//! *Not here:* when a breaker has been open for too long (`queue`), which ends are the channel's (`domain`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::Shared;
use super::attempt::{Aside, Finished, Wait};
use super::settling::wait_unless_ending;
use super::worker::Order;
use crate::call::{AddressNeed, ChannelFacts};
use crate::domain::{ChannelName, DeliveryState, Recipient, Rerouted, Timestamp, Waiting};
use crate::store::{Claim, Reroute, Settlement, StoreError};

/// What should go another way and finds none asks again after this: one of the channels may be back by then.
const DETOUR_WAIT: Duration = Duration::from_secs(10);

/// Of each channel those that stand in for it, the first one first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fallbacks(pub BTreeMap<ChannelName, Vec<ChannelName>>);

impl Fallbacks {
    /// Whether a delivery that is now this channel's may have somewhere else to go.
    fn concern(&self, channel: &ChannelName) -> bool {
        self.0.contains_key(channel) || self.0.values().any(|chain| chain.contains(channel))
    }

    /// What is left of the chain for a delivery that came this way to `at`.
    fn left<'a>(&'a self, way: &'a [Rerouted], at: &'a ChannelName) -> impl Iterator<Item = &'a ChannelName> {
        let first = way.first().map_or(at, |rerouted| &rerouted.from);
        let chain = self.0.get(first).map(Vec::as_slice).unwrap_or_default();
        let next = chain.iter().position(|name| name == at).map_or(0, |place| place + 1);
        let had_turn =
            move |name: &ChannelName| name == at || way.iter().any(|had| had.from == *name || had.to == *name);
        chain[next..].iter().filter(move |name| !had_turn(name))
    }
}

/// The fallbacks in force.
#[derive(Debug, Default)]
pub(super) struct Chains(Mutex<Arc<Fallbacks>>);

impl Chains {
    pub(super) fn new(fallbacks: Fallbacks) -> Self {
        Self(Mutex::new(Arc::new(fallbacks)))
    }

    pub(super) fn set(&self, fallbacks: Fallbacks) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(fallbacks);
    }

    fn get(&self) -> Arc<Fallbacks> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What is to come of claims that have ended.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// With their settlements.
    pub(super) finished: Vec<Finished>,
    pub(super) settlements: Vec<Settlement>,
    /// They should go another way, and there is none for now.
    pub(super) aside: Vec<Aside>,
    /// Nothing can be said of them before the dispatcher ends: they wait as before, for the next start.
    pub(super) unsaid: Vec<Finished>,
}

/// Where a delivery is to go.
enum Next {
    Channel(ChannelName, Recipient),
    Nowhere,
    /// The dispatcher ends before the store has told.
    Unsaid,
}

/// Says what is to be written of each.
pub(super) async fn judge(shared: &Shared, mode: &mut watch::Receiver<Order>, ended: Vec<Finished>) -> Judged {
    let chains = shared.chains.get();
    let mut judged = Judged::default();
    for finished in ended {
        let settlement = (!finished.is_detour(&shared.with.policies)).then(|| finished.settlement(shared));
        let reason = match settlement.as_ref().map(|settlement| &settlement.state) {
            None => Some(Rerouted::BREAKER_OPEN),
            Some(DeliveryState::Failed { reason, .. }) if reason.is_of_channel() => Some(reason.as_str()),
            Some(_) => None,
        };
        let next = match reason {
            Some(_) => next(shared, mode, &chains, &finished).await,
            None => Next::Nowhere,
        };
        match (next, settlement) {
            (Next::Unsaid, _) => judged.unsaid.push(finished),
            (Next::Nowhere, Some(settlement)) => {
                judged.settlements.push(settlement);
                judged.finished.push(finished);
            }
            (Next::Nowhere, None) => {
                let until = shared.with.clock.now().after(DETOUR_WAIT);
                judged.aside.push(Aside { held: finished.held, wait: Wait::Until(until) });
            }
            (Next::Channel(to, recipient), settlement) => {
                let reroute = Reroute { to, recipient, reason: reason.unwrap_or_default().to_owned() };
                let now = shared.with.clock.now();
                judged.settlements.push(rerouted(&finished.held.claim, settlement, reroute, now));
                judged.finished.push(finished);
            }
        }
    }
    judged
}

/// The next channel starts anew: with all of its retries, and the age of one that has just come.
fn rerouted(claim: &Claim, settlement: Option<Settlement>, reroute: Reroute, now: Timestamp) -> Settlement {
    let attempts = settlement.as_ref().map_or(claim.progress.attempts, |settlement| settlement.state.attempts());
    let state = DeliveryState::Waiting(Waiting { attempts, run_began: Some(now), ..Waiting::fresh(now) });
    let attempt = settlement.and_then(|settlement| settlement.attempt);
    Settlement {
        claim: claim.number,
        delivery: claim.delivery,
        attempt,
        state,
        reroute: Some(Box::new(reroute)),
        at: now,
    }
}

async fn next(shared: &Shared, mode: &mut watch::Receiver<Order>, chains: &Fallbacks, finished: &Finished) -> Next {
    let claim = &finished.held.claim;
    if !chains.concern(&claim.channel) {
        return Next::Nowhere;
    }
    let mut failures = 0;
    let way = loop {
        match shared.with.store.deliveries(claim.delivery.notification(), claim.delivery.index(), 1).await {
            Ok(records) => break records.into_iter().next().map(|record| record.reroutes).unwrap_or_default(),
            Err(StoreError::Closed) => return Next::Unsaid,
            Err(error) if error.is_transient() => {
                failures += 1;
                tracing::error!(error = %error, failures, "Could not read which way a delivery took; trying again.");
                if !wait_unless_ending(shared, mode, failures).await {
                    return Next::Unsaid;
                }
            }
            Err(error) => {
                tracing::error!(error = %error, delivery.id = %claim.delivery, "Could not read which way a delivery took.");
                return Next::Nowhere;
            }
        }
    };
    let reached = |is_stopped: bool| {
        let mut left =
            chains.left(&way, &claim.channel).filter(|name| shared.with.queue.is_stopped(name) == is_stopped);
        left.find_map(|name| Some((name.clone(), reached_through(shared, claim, name)?)))
    };
    // What only waits for a breaker waits as well where it is.
    let found = reached(false).or_else(|| (!finished.is_detour(&shared.with.policies)).then(|| reached(true))?);
    found.map_or(Next::Nowhere, |(name, recipient)| Next::Channel(name, recipient))
}

/// The recipient as this channel reaches them; none where it cannot be used now, or does not reach them.
fn reached_through(shared: &Shared, claim: &Claim, name: &ChannelName) -> Option<Recipient> {
    let facts = shared.with.channels.channel(name).ok()?;
    let before = shared.with.channels.channel(&claim.channel).ok();
    recipient_for(&claim.recipient, before.as_deref(), facts.address.as_ref())
}

/// The same person with an address that `need` takes. The address before is among the others then: the channel after this
/// one may need it, and what is found by it is forgotten by it.
fn recipient_for(
    recipient: &Recipient,
    before: Option<&ChannelFacts>,
    need: Option<&AddressNeed>,
) -> Option<Recipient> {
    let kind = before.and_then(|facts| facts.address.as_ref()).map_or("", |need| need.kind.as_str());
    let mut known = recipient.others.clone();
    if !recipient.address.is_empty() {
        known.insert(0, (kind.to_owned(), recipient.address.clone()));
    }
    let address = match need {
        None => String::new(),
        Some(need) => {
            let same = |(kind, address): &(String, String)| *kind == need.kind && need.takes(address);
            // Of another kind, or of none that is known, only a pattern can say.
            let fits = |(_, address): &(String, String)| need.pattern.is_some() && need.takes(address);
            let place = known.iter().position(same).or_else(|| known.iter().position(fits))?;
            known.remove(place).1
        }
    };
    Some(Recipient { address, others: known, ..recipient.clone() })
}

#[cfg(test)]
mod tests;
