//! Whether a provider is worth a call: closed, open, half-open, as resilience4j names it; open longer each time, as
//! Envoy ejects hosts.

mod policy;

use std::ops::{AddAssign, SubAssign};
use std::time::Duration;

use super::Timestamp;
use super::window::Window;

pub use policy::{Admission, BreakerBook, BreakerChange, BreakerCounts, BreakerPolicy, BreakerReason, BreakerState};

/// Buckets of the window; the oldest leaves as a new one begins.
const BUCKETS: usize = 30;

/// A call that began: where in the breaker's life, and whether as a probe. Brought back when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass {
    epoch: u32,
    is_probe: bool,
}

/// What a call came to, as far as the provider's health goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The provider answered as it should. Whether in time is told apart.
    Good,
    /// The provider failed: no connection, no answer, an error of its own.
    Bad,
    /// It says nothing of the provider: rate-limited, a message it will not have, interrupted, no call made at all. A
    /// probe's place is given back.
    Neutral,
}

/// Keeps calls from a provider that fails, and lets a few through to see when it is back.
///
/// ```
/// use campanile::domain::{Admission, BreakerPolicy, CircuitBreaker, Timestamp, Verdict};
/// use std::time::Duration;
///
/// let mut breaker = CircuitBreaker::new(BreakerPolicy::default());
/// let now = Timestamp::from_millis(1_000);
/// for _ in 0..5 {
///     let (pass, _) = breaker.begin(now);
///     breaker.end(pass, Verdict::Bad, Duration::from_millis(20), now);
/// }
/// assert_eq!(breaker.admits(now), Admission::At(Timestamp::from_millis(11_000)));
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    policy: BreakerPolicy,
    state: BreakerState,
    /// Moves on with every change, so that calls begun before it count for nothing.
    epoch: u32,
    seen: Timestamp,
    window: Window<Tally, BUCKETS>,
    /// Bad ends since the last good one.
    consecutive: u32,
    /// How often the time it stays open has doubled.
    trips: u32,
    /// While closed, from when on whole windows without an opening take from `trips`.
    closed_at: Timestamp,
    first_opened: Option<Timestamp>,
    /// What its window held as it opened; empty while it is closed.
    opening: BreakerCounts,
    /// While half-open, probes under way, and good ones so far.
    probing: u32,
    proven: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    calls: u32,
    failures: u32,
    slow: u32,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failures = self.failures.saturating_sub(other.failures);
        self.slow = self.slow.saturating_sub(other.slow);
    }
}

impl CircuitBreaker {
    /// A closed one that has seen nothing yet.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        let window = Window::new(policy.window);
        Self {
            policy,
            state: BreakerState::Closed,
            epoch: 0,
            seen: Timestamp::default(),
            window,
            consecutive: 0,
            trips: 0,
            closed_at: Timestamp::default(),
            first_opened: None,
            opening: BreakerCounts::default(),
            probing: 0,
            proven: 0,
        }
    }

    /// Goes by another policy from here on. Its state stays, and so does a moment it is open until; what was counted
    /// stays unless the window has another length.
    pub fn set_policy(&mut self, policy: BreakerPolicy) {
        if policy.window != self.policy.window {
            self.window = Window::new(policy.window);
        }
        self.policy = policy;
    }

    /// The state it was left in. An open one whose time is up stays open until a call begins.
    #[must_use]
    pub const fn state(&self) -> BreakerState {
        self.state
    }

    /// Whether a call may begin at `now`, or when to ask again.
    #[must_use]
    pub fn admits(&self, now: Timestamp) -> Admission {
        match self.state {
            BreakerState::Closed => Admission::Now,
            BreakerState::Open { until, .. } if until <= self.seen.max(now) => Admission::Now,
            BreakerState::Open { until, .. } => Admission::At(until),
            BreakerState::HalfOpen { .. } if self.probing < self.probes_max() => Admission::Now,
            BreakerState::HalfOpen { .. } => Admission::AfterProbe,
            BreakerState::Disabled { .. } => Admission::Never,
        }
    }

    /// A call begins, where [`admits`](Self::admits) said [`Now`](Admission::Now). One that begins all the same counts
    /// for nothing.
    pub fn begin(&mut self, now: Timestamp) -> (Pass, Option<BreakerChange>) {
        if self.admits(now) != Admission::Now {
            return (Pass { epoch: self.epoch, is_probe: false }, None);
        }
        let now = self.see(now);
        let change = match self.state {
            BreakerState::Open { .. } => {
                Some(self.change_to(BreakerState::HalfOpen { since: now }, BreakerReason::TimeUp))
            }
            BreakerState::Closed | BreakerState::HalfOpen { .. } | BreakerState::Disabled { .. } => None,
        };
        let is_probe = self.state != BreakerState::Closed;
        self.probing += u32::from(is_probe);
        (Pass { epoch: self.epoch, is_probe }, change)
    }

    /// A call ended at `now`, having taken `took`.
    pub fn end(&mut self, pass: Pass, verdict: Verdict, took: Duration, now: Timestamp) -> Option<BreakerChange> {
        let now = self.see(now);
        if pass.epoch != self.epoch {
            return None;
        }
        let is_slow = took >= self.policy.slow_after;
        match self.state {
            BreakerState::Closed => self.end_closed(verdict, is_slow, now),
            BreakerState::HalfOpen { .. } if pass.is_probe => self.end_probe(verdict, is_slow, now),
            BreakerState::HalfOpen { .. } | BreakerState::Open { .. } | BreakerState::Disabled { .. } => None,
        }
    }

    /// Changes by time alone: one that has waited for a good probe for too long, and whose last probe failed, is
    /// disabled. Where a probe is due or under way, its end decides.
    pub fn check(&mut self, now: Timestamp) -> Option<BreakerChange> {
        let now = self.see(now);
        match self.state {
            BreakerState::Open { until, .. } if now < until && self.is_hopeless(now) => {
                Some(self.change_to(BreakerState::Disabled { since: now }, BreakerReason::TooLong))
            }
            BreakerState::Closed
            | BreakerState::Open { .. }
            | BreakerState::HalfOpen { .. }
            | BreakerState::Disabled { .. } => None,
        }
    }

    /// Closes it whatever it saw, and forgets what it saw.
    pub fn reset(&mut self, now: Timestamp) -> Option<BreakerChange> {
        let now = self.see(now);
        let was = self.state;
        let change = self.close(BreakerReason::Reset, now);
        self.trips = 0;
        (was != BreakerState::Closed).then_some(change)
    }

    /// What is worth remembering beyond this process.
    #[must_use]
    pub const fn book(&self) -> BreakerBook {
        BreakerBook { state: self.state, trips: self.trips, first_opened: self.first_opened, opening: self.opening }
    }

    /// Goes on from a remembered state. One that was half-open begins its probes again, and none stays open for longer
    /// than its policy allows, whatever clock it was opened by.
    pub fn restore(&mut self, book: BreakerBook, now: Timestamp) {
        let now = self.see(now);
        self.window.clear();
        self.consecutive = 0;
        (self.probing, self.proven) = (0, 0);
        self.epoch = self.epoch.wrapping_add(1);
        self.trips = book.trips;
        self.closed_at = now;
        let is_closed = book.state == BreakerState::Closed;
        self.first_opened = (!is_closed).then(|| book.first_opened.unwrap_or(now));
        self.opening = if is_closed { BreakerCounts::default() } else { book.opening };
        self.state = match book.state {
            BreakerState::Closed | BreakerState::Disabled { .. } => book.state,
            BreakerState::Open { since, until } => {
                BreakerState::Open { since, until: until.min(now.after(self.policy.open_for_at_most())) }
            }
            BreakerState::HalfOpen { since } => BreakerState::Open { since, until: now },
        };
    }

    /// What it has counted of the calls that ended in the window before `now`; while it is not closed, what it had counted
    /// when it opened.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> BreakerCounts {
        if self.state != BreakerState::Closed {
            return self.opening;
        }
        let Tally { calls, failures, slow } = self.window.clone().total(self.seen.max(now));
        BreakerCounts { calls, failures, slow, consecutive: self.consecutive }
    }

    fn see(&mut self, now: Timestamp) -> Timestamp {
        self.seen = self.seen.max(now);
        self.seen
    }

    /// One probe until there is a good one; then several.
    fn probes_max(&self) -> u32 {
        if self.proven == 0 { 1 } else { self.policy.half_open_calls.max(1) }
    }

    fn is_hopeless(&self, now: Timestamp) -> bool {
        self.first_opened.is_some_and(|first| now >= first.after(self.policy.disable_after))
    }

    fn end_closed(&mut self, verdict: Verdict, is_slow: bool, now: Timestamp) -> Option<BreakerChange> {
        let is_bad = match verdict {
            Verdict::Neutral => return None,
            Verdict::Good => false,
            Verdict::Bad => true,
        };
        self.consecutive = if is_bad { self.consecutive.saturating_add(1) } else { 0 };
        self.window.add(Tally { calls: 1, failures: u32::from(is_bad), slow: u32::from(is_slow) }, now);
        let seen = self.window.total(now);
        let counts = BreakerCounts {
            calls: seen.calls,
            failures: seen.failures,
            slow: seen.slow,
            consecutive: self.consecutive,
        };
        let reason = self.policy.breach(counts)?;
        self.opening = counts;
        let calm = now.since(self.closed_at).as_millis() / self.policy.window.as_millis().max(1);
        self.trips = self.trips.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX));
        Some(self.open(reason, now))
    }

    fn end_probe(&mut self, verdict: Verdict, is_slow: bool, now: Timestamp) -> Option<BreakerChange> {
        self.probing = self.probing.saturating_sub(1);
        match verdict {
            Verdict::Neutral => None,
            Verdict::Good if !is_slow => {
                self.proven += 1;
                self.first_opened = None;
                (self.proven >= self.policy.half_open_calls).then(|| self.close(BreakerReason::ProbesPassed, now))
            }
            Verdict::Good | Verdict::Bad if self.is_hopeless(now) => {
                Some(self.change_to(BreakerState::Disabled { since: now }, BreakerReason::TooLong))
            }
            Verdict::Good | Verdict::Bad => {
                // Beyond the longest time there is nothing to double, and nothing that would have to decay.
                if self.policy.open_for(self.trips) < self.policy.open_for_at_most() {
                    self.trips += 1;
                }
                Some(self.open(BreakerReason::ProbeFailed, now))
            }
        }
    }

    fn open(&mut self, reason: BreakerReason, now: Timestamp) -> BreakerChange {
        self.first_opened.get_or_insert(now);
        let until = now.after(self.policy.open_for(self.trips));
        self.change_to(BreakerState::Open { since: now, until }, reason)
    }

    fn close(&mut self, reason: BreakerReason, now: Timestamp) -> BreakerChange {
        self.first_opened = None;
        self.opening = BreakerCounts::default();
        self.closed_at = now;
        self.change_to(BreakerState::Closed, reason)
    }

    fn change_to(&mut self, to: BreakerState, reason: BreakerReason) -> BreakerChange {
        let from = std::mem::replace(&mut self.state, to);
        self.epoch = self.epoch.wrapping_add(1);
        self.window.clear();
        self.consecutive = 0;
        (self.probing, self.proven) = (0, 0);
        BreakerChange { from, to, reason }
    }
}

#[cfg(test)]
mod tests;
