//! Limits of one destination: how often one address is called, how fast one host, and how much of that may be retries.
//!
//! They are known once a delivery is claimed, which costs no write; what has to wait gives its claim up again, is set
//! aside in the queue until its turn comes, and has used up no attempt. Its turn is reserved: whoever came first goes
//! first.
//!
//! *Invariants:* memory is bounded by [`KNOWN_MAX`]; beyond it somebody new is not held to a limit of their own.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ended::{throttled, verdict};
use crate::domain::{
    Admission, AttemptEnd, BreakerPolicy, BreakerState, ChannelName, CircuitBreaker, DeliveryId, Gcra, Pass, Rate,
    RateScope, RetryBudget, Timestamp, Verdict,
};
use crate::store::Claim;

/// Destinations of each kind that are remembered.
const KNOWN_MAX: usize = 1 << 20;

/// Below so many nobody is forgotten.
const KNOWN_LEAST: usize = 1 << 14;

/// What waits for a host's probes asks again after this.
const PROBE_WAIT: Duration = Duration::from_secs(1);

/// What waits for a host that has been out of order for days asks again after this.
const DISABLED_WAIT: Duration = Duration::from_mins(5);

/// What holds the deliveries of one channel back, each by its destination.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// How often one address may be called.
    pub per_recipient: Option<Rate>,
    /// How fast one host may be called, where addresses are URLs.
    pub per_host: Option<Rate>,
    /// When a host is left alone, where addresses are URLs.
    pub breaker: Option<BreakerPolicy>,
}

/// The same of every channel.
#[derive(Clone, Debug, Default)]
pub struct Paces {
    /// Of every channel that is not named below.
    pub default: Pace,
    /// Of channels with their own.
    pub by_channel: BTreeMap<ChannelName, Pace>,
}

impl Paces {
    fn of(&self, channel: &ChannelName) -> &Pace {
        self.by_channel.get(channel).unwrap_or(&self.default)
    }
}

/// A call that a host's breaker has let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HostPass {
    host: u64,
    pass: Pass,
}

/// What the end of a call says about its destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    /// Whom to leave alone, and until when.
    recipient: Option<(u64, Timestamp)>,
    /// How its host did.
    host: Option<(HostPass, Verdict, Duration)>,
}

impl Learned {
    /// Nobody was called.
    pub(super) const NOTHING: Self = Self { recipient: None, host: None };

    /// `end` is none where nobody was called after all.
    pub(super) fn of(
        claim: &Claim,
        pass: Option<HostPass>,
        end: Option<&AttemptEnd>,
        took: Duration,
        now: Timestamp,
    ) -> Self {
        let limited = end.and_then(|end| throttled(end, now)).filter(|(scope, _)| *scope == RateScope::Recipient);
        Self {
            recipient: limited.map(|(_, until)| (recipient_of(claim), until)),
            host: pass.map(|pass| (pass, end.map_or(Verdict::Neutral, verdict), took)),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Destinations {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    paces: Arc<Paces>,
    recipients: Known<Cell>,
    hosts: Known<Host>,
    budgets: Known<RetryBudget>,
    /// Turns that were given out, by when they come.
    reserved: HashMap<DeliveryId, Timestamp>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    rate: Gcra,
    /// The provider's word.
    not_before: Timestamp,
    /// Nothing is to be remembered of it from here on.
    idle_from: Timestamp,
}

#[derive(Debug, Default)]
struct Host {
    cell: Cell,
    breaker: Option<CircuitBreaker>,
}

/// What is remembered of destinations, by the hash of channel and destination.
#[derive(Debug)]
struct Known<T> {
    by_hash: HashMap<u64, T>,
    /// Those who are idle are forgotten when there are so many.
    forget_at: usize,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { by_hash: HashMap::new(), forget_at: KNOWN_LEAST }
    }
}

impl<T: Default> Known<T> {
    fn get(&mut self, hash: u64, is_idle: impl Fn(&T) -> bool) -> Option<&mut T> {
        if self.by_hash.len() >= self.forget_at && !self.by_hash.contains_key(&hash) {
            self.by_hash.retain(|_, known| !is_idle(known));
            self.forget_at = (2 * self.by_hash.len()).clamp(KNOWN_LEAST, KNOWN_MAX);
            if self.by_hash.len() >= KNOWN_MAX {
                return None;
            }
        }
        Some(self.by_hash.entry(hash).or_default())
    }
}

impl Cell {
    /// The instant of one more turn, which is taken.
    fn reserve(&mut self, rate: Option<Rate>, now: Timestamp) -> Timestamp {
        let from = now.max(self.not_before);
        let at = rate.map_or(from, |rate| self.rate.reserve(rate, from));
        self.idle_from = self.idle_from.max(rate.map_or(at, |rate| at.after(rate.per())));
        at
    }
}

impl Destinations {
    pub(super) fn new(paces: Paces) -> Self {
        let destinations = Self::default();
        destinations.set(paces);
        destinations
    }

    /// What holds from here on. What is known of destinations stays.
    pub(super) fn set(&self, paces: Paces) {
        self.lock().paces = Arc::new(paces);
    }

    /// Whether a call may be made for this claim now.
    ///
    /// # Errors
    ///
    /// When it is to be claimed again.
    pub(super) fn admit(&self, claim: &Claim, now: Timestamp) -> Result<Option<HostPass>, Timestamp> {
        self.lock().admit(claim, now)
    }

    /// What came of a call, or of a claim that came to nothing.
    pub(super) fn learn(&self, learned: &Learned, now: Timestamp) {
        let Learned { recipient, host } = *learned;
        if recipient.is_none() && host.is_none() {
            return;
        }
        let mut state = self.lock();
        if let Some((recipient, until)) = recipient
            && let Some(cell) = state.recipients.get(recipient, |cell| cell.idle_from <= now)
        {
            cell.not_before = cell.not_before.max(until);
            cell.idle_from = cell.idle_from.max(until);
        }
        if let Some((HostPass { host, pass }, verdict, took)) = host
            && let Some(breaker) = state.hosts.by_hash.get_mut(&host).and_then(|host| host.breaker.as_mut())
        {
            // Channels are told of and remembered; of hosts there are too many.
            let _ = breaker.end(pass, verdict, took, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each method leaves it whole, and none of them calls foreign code.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, claim: &Claim, now: Timestamp) -> Result<Option<HostPass>, Timestamp> {
        let paces = Arc::clone(&self.paces);
        let pace = paces.of(&claim.channel);
        let host = host_of(&claim.recipient.address);
        let destination = hash_of(&claim.channel, host.as_deref().unwrap_or_default());
        match self.reserved.remove(&claim.delivery) {
            Some(turn) if turn > now => {
                self.reserved.insert(claim.delivery, turn);
                return Err(turn);
            }
            Some(_) => {}
            None => {
                let afforded = self.afford(claim, destination, now);
                let turn = self.turn(claim, pace, host.is_some().then_some(destination), now).max(afforded);
                if turn > now {
                    self.reserve(claim.delivery, turn, now);
                    return Err(turn);
                }
            }
        }
        match (&pace.breaker, host) {
            (Some(policy), Some(_)) => self.enter(claim.delivery, destination, policy, now),
            (Some(_) | None, _) => Ok(None),
        }
    }

    /// Retries may be a part of what a destination gets, so that it is not kept down by them.
    fn afford(&mut self, claim: &Claim, destination: u64, now: Timestamp) -> Timestamp {
        // Whose budget is forgotten starts with a full one.
        let Some(budget) = self.budgets.get(destination, |_| true) else { return now };
        if claim.progress.retries_used == 0 {
            budget.first(now);
            return now;
        }
        budget.retry(now)
    }

    fn turn(&mut self, claim: &Claim, pace: &Pace, host: Option<u64>, now: Timestamp) -> Timestamp {
        let mut turn = now;
        if !claim.recipient.address.is_empty() {
            let recipient = recipient_of(claim);
            // Nothing is remembered of those whom no limit concerns.
            let is_known = pace.per_recipient.is_some() || self.recipients.by_hash.contains_key(&recipient);
            if is_known && let Some(cell) = self.recipients.get(recipient, |cell| cell.idle_from <= now) {
                turn = turn.max(cell.reserve(pace.per_recipient, now));
            }
        }
        if let (Some(rate), Some(host)) = (pace.per_host, host)
            && let Some(host) = self.hosts.get(host, |host| host.is_idle(now))
        {
            turn = turn.max(host.cell.reserve(Some(rate), now));
        }
        turn
    }

    fn enter(
        &mut self,
        delivery: DeliveryId,
        host: u64,
        policy: &BreakerPolicy,
        now: Timestamp,
    ) -> Result<Option<HostPass>, Timestamp> {
        let Some(known) = self.hosts.get(host, |host| host.is_idle(now)) else { return Ok(None) };
        let breaker = known.breaker.get_or_insert_with(|| CircuitBreaker::new(policy.clone()));
        let again = match breaker.admits(now) {
            Admission::Now => return Ok(Some(HostPass { host, pass: breaker.begin(now).0 })),
            Admission::At(at) => at,
            Admission::AfterProbe => now.after(PROBE_WAIT),
            Admission::Never => now.after(DISABLED_WAIT),
        };
        // Its turn has come; it only waits for the host.
        self.reserve(delivery, now, now);
        Err(again)
    }

    fn reserve(&mut self, delivery: DeliveryId, turn: Timestamp, now: Timestamp) {
        if self.reserved.len() >= KNOWN_MAX {
            // What was cancelled meanwhile never comes for its turn.
            self.reserved.retain(|_, turn| turn.after(DISABLED_WAIT) > now);
        }
        if self.reserved.len() < KNOWN_MAX {
            self.reserved.insert(delivery, turn);
        }
    }
}

impl Host {
    fn is_idle(&self, now: Timestamp) -> bool {
        let is_well =
            |breaker: &CircuitBreaker| breaker.state() == BreakerState::Closed && breaker.counts(now).calls == 0;
        self.cell.idle_from <= now && self.breaker.as_ref().is_none_or(is_well)
    }
}

fn recipient_of(claim: &Claim) -> u64 {
    hash_of(&claim.channel, &claim.recipient.address)
}

fn hash_of(channel: &ChannelName, destination: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (channel, destination).hash(&mut hasher);
    hasher.finish()
}

/// Host and port of an address that is a URL, in lower case.
fn host_of(address: &str) -> Option<String> {
    let rest = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://"))?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests;
