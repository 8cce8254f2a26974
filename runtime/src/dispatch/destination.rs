//! Limits of one destination: how often one address is called, how fast one host, and how much of that may be retries.
//!
//! They are known once a delivery is claimed, which costs no write; what has to wait gives its claim up again, is set
//! aside in the queue until its turn comes, and has used up no attempt. Of those who wait the most urgent goes first,
//! then the oldest; a turn is nobody's until it is taken.
//!
//! *Invariants:* memory is bounded by [`KNOWN_MAX`]; beyond it somebody new is not held to a limit of their own. The
//! first in each line asks at its next turn.

mod hosts;
mod known;
mod lines;
mod place;
mod waits;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::hosts::{Hosts, Named};
use self::known::Known;
use self::lines::{Line, Lines, Rank};
use self::place::{Place, hash_of, host_of, place_of, recipient_of};
use super::ended::{throttled, verdict};
use crate::domain::{
    Admission, AttemptEnd, BreakerPolicy, BreakerState, ChannelName, CircuitBreaker, DeliveryId, Gcra, Pass, Rate,
    RateScope, RetryBudget, Timestamp, Verdict,
};
use crate::queue::Called;
use crate::store::Claim;

pub use hosts::{HostBreaker, HostChanged, OpenHosts};
pub use waits::TurnOf;

/// Destinations of each kind that are remembered.
const KNOWN_MAX: usize = 1 << 20;

/// How many of a line may ask at once. Where more may go, each that goes has the next one ask.
const CALLED_MAX: usize = 64;

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
#[derive(Clone, Debug, Default, PartialEq)]
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
    host: Place,
    pass: Pass,
}

/// When one who may not be called yet is to be claimed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Later {
    /// As it looks by now.
    pub(super) until: Timestamp,
    /// Which limits held.
    epoch: u64,
}

/// What the end of a call says about its destination.
#[derive(Clone, Copy, Debug)]
pub(super) struct Learned {
    /// Whom to leave alone, and until when.
    recipient: Option<(Place, Timestamp)>,
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
    /// The breaker of a host has changed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    paces: Arc<Paces>,
    recipients: Known<Cell>,
    hosts: Known<Host>,
    /// Those whose breakers are not closed.
    troubled: Hosts,
    budgets: Known<RetryBudget>,
    /// Retries that their budget has paid for and that were not made yet, by when they may be.
    afforded: HashMap<DeliveryId, (Timestamp, u64)>,
    lines: Lines,
    /// Who is to ask earlier than they were told.
    called: Vec<Called>,
    /// How often somebody was told to ask anew.
    epoch: u64,
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
    breaker: Option<Guard>,
}

/// The breaker of a host, with what it is called by.
#[derive(Debug)]
struct Guard {
    breaker: CircuitBreaker,
    named: Named,
}

impl Cell {
    /// How many may go now.
    fn room(&self, rate: Option<Rate>, now: Timestamp) -> usize {
        if self.not_before > now {
            return 0;
        }
        rate.map_or(CALLED_MAX, |rate| (self.rate.room(rate, now) as usize).min(CALLED_MAX))
    }

    /// When one more may go.
    fn free_at(&self, rate: Option<Rate>, now: Timestamp) -> Timestamp {
        let from = now.max(self.not_before);
        rate.map_or(from, |rate| self.rate.next(rate, from))
    }

    fn take(&mut self, rate: Option<Rate>, now: Timestamp) {
        if let Some(rate) = rate {
            self.rate.take(rate, now);
            self.idle_from = self.idle_from.max(now.after(rate.per()));
        }
    }

    fn change_to(&mut self, rate: Option<Rate>, now: Timestamp) {
        match rate {
            Some(rate) => self.rate.change_to(rate, now),
            None => self.rate = Gcra::default(),
        }
        self.idle_from = self.not_before.max(rate.map_or(now, |rate| now.after(rate.per())));
    }
}

impl Destinations {
    pub(super) fn new(paces: Paces) -> Self {
        let state = State { paces: Arc::new(paces), ..State::default() };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// What holds from here on. What is known of destinations stays, as far as it holds nobody back for longer than the
    /// new pace would. Answers whose deliveries are to ask anew.
    pub(super) fn set(&self, paces: Paces, now: Timestamp) -> impl Fn(&ChannelName) -> bool + use<> {
        let new = Arc::new(paces);
        let old = self.lock().set(&new, now);
        move |channel| old.of(channel) != new.of(channel)
    }

    /// Forgets what is known of the destinations of a channel. Its deliveries are to ask anew.
    pub(super) fn reset(&self, channel: &ChannelName, now: Timestamp) {
        let mut state = self.lock();
        state.close_hosts(channel, None, now);
        state.reset(hash_of(&channel));
        self.tell(&state);
    }

    /// Whether a call may be made for this claim now.
    ///
    /// # Errors
    ///
    /// When it is to be claimed again.
    pub(super) fn admit(&self, claim: &Claim, now: Timestamp) -> Result<Option<HostPass>, Later> {
        let mut state = self.lock();
        let admitted = state.admit(claim, now).map_err(|until| Later { until, epoch: state.epoch });
        self.tell(&state);
        admitted
    }

    /// These do not wait for their destination any more, whatever became of them: their turns are those of others.
    pub(super) fn forget(&self, deliveries: impl IntoIterator<Item = DeliveryId>, now: Timestamp) {
        let mut state = self.lock();
        for delivery in deliveries {
            state.afforded.remove(&delivery);
            if let Some((line, rate)) = state.lines.leave(delivery) {
                state.call_up(line, rate, now);
            }
        }
    }

    /// Who is to ask earlier than they were told.
    pub(super) fn take_called(&self) -> Vec<Called> {
        std::mem::take(&mut self.lock().called)
    }

    /// When one is to be claimed again that was told so, as it looks by now.
    pub(super) fn again(&self, delivery: DeliveryId, later: Later, now: Timestamp) -> Timestamp {
        let state = self.lock();
        if state.epoch != later.epoch { now } else { state.lines.until(delivery).unwrap_or(later.until) }
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
            && let Some(guard) = state.hosts.by_place.get_mut(&host).and_then(|host| host.breaker.as_mut())
            && let Some(change) = guard.end(pass, verdict, took, now)
        {
            state.troubled.note(host, change, now);
        }
        self.tell(&state);
    }

    /// Wakes whoever hears of hosts, where there is something to hear.
    fn tell(&self, state: &State) {
        if state.troubled.has_changes() {
            self.changed.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each method leaves it whole, and none of them calls foreign code.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Answers what held before.
    fn set(&mut self, new: &Arc<Paces>, now: Timestamp) -> Arc<Paces> {
        let old = std::mem::replace(&mut self.paces, Arc::clone(new));
        if old == *new {
            return old;
        }
        let names = old.by_channel.keys().chain(new.by_channel.keys());
        let named: HashMap<u64, [&Pace; 2]> =
            names.map(|name| (hash_of(&name), [old.of(name), new.of(name)])).collect();
        let of = |channel: u64| named.get(&channel).copied().unwrap_or([&old.default, &new.default]);
        for (place, cell) in &mut self.recipients.by_place {
            let [was, is] = of(place.channel);
            if was.per_recipient != is.per_recipient {
                cell.change_to(is.per_recipient, now);
            }
        }
        for (place, host) in &mut self.hosts.by_place {
            let [was, is] = of(place.channel);
            if was.per_host != is.per_host {
                host.cell.change_to(is.per_host, now);
            }
            match (&mut host.breaker, &is.breaker) {
                (Some(guard), Some(policy)) if was.breaker != is.breaker => guard.breaker.set_policy(policy.clone()),
                (Some(_), Some(_)) => {}
                (breaker, _) => *breaker = None,
            }
        }
        self.troubled.keep_only(|place| self.hosts.by_place.get(&place).is_some_and(|host| host.breaker.is_some()));
        self.lines.let_go(|channel| of(channel)[0] != of(channel)[1]);
        self.epoch += 1;
        old
    }

    fn reset(&mut self, channel: u64) {
        self.recipients.by_place.retain(|place, _| place.channel != channel);
        self.hosts.by_place.retain(|place, _| place.channel != channel);
        self.budgets.by_place.retain(|place, _| place.channel != channel);
        self.afforded.retain(|_, (_, of)| *of != channel);
        self.lines.let_go(|of| of == channel);
        self.epoch += 1;
    }

    /// Asks everything before it takes anything: who has to wait for one limit uses up no turn of another.
    fn admit(&mut self, claim: &Claim, now: Timestamp) -> Result<Option<HostPass>, Timestamp> {
        let paces = Arc::clone(&self.paces);
        let pace = paces.of(&claim.channel);
        let host_name = host_of(&claim.recipient.address);
        let destination = place_of(&claim.channel, host_name.as_deref().unwrap_or_default());
        let host = host_name.as_ref().map(|_| destination);
        let guarded = pace.breaker.as_ref().zip(host);

        let left = self.lines.leave(claim.delivery);
        self.afford(claim, destination, now)?;
        if let Some((policy, host)) = guarded {
            // Nobody is called in its place: they would all be told the same.
            self.ask_breaker((host, &claim.channel, host_name.as_deref().unwrap_or_default()), policy, now)?;
        }
        let limits = [self.recipient_line(claim, pace, now), self.host_line(pace, host, now)];
        let answer = self.take_turn(claim, limits, now);
        if let Some((line, rate)) = left {
            self.call_up(line, rate, now);
        }
        answer?;
        self.goes(claim, destination, now);
        let Some((_, host)) = guarded else { return Ok(None) };
        let guard = self.hosts.by_place.get_mut(&host).and_then(|host| host.breaker.as_mut());
        let Some((pass, change)) = guard.map(|guard| guard.begin(now)) else { return Ok(None) };
        if let Some(change) = change {
            self.troubled.note(host, change, now);
        }
        Ok(Some(HostPass { host, pass }))
    }

    /// Takes a turn of each limit, or joins the line of the one whose turn comes last.
    fn take_turn(
        &mut self,
        claim: &Claim,
        limits: [Option<(Line, Option<Rate>)>; 2],
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let rank = Rank::of(claim);
        let waits = limits.iter().flatten().filter_map(|&(line, rate)| {
            let until = self.turn(line, rate, rank, now)?;
            Some((until, line, rate))
        });
        if let Some((until, line, rate)) = waits.max_by_key(|(until, ..)| *until) {
            // What expires meanwhile is to be ended then.
            let until = claim.notification.expires_at.map_or(until, |expires_at| until.min(expires_at));
            self.lines.join(line, rank, rate, until, now);
            return Err(until);
        }
        for (line, rate) in limits.into_iter().flatten() {
            if let Some(cell) = self.cell(line) {
                cell.take(rate, now);
            }
        }
        Ok(())
    }

    /// Retries may be a part of what a destination gets, so that it is not kept down by them.
    fn afford(&mut self, claim: &Claim, destination: Place, now: Timestamp) -> Result<(), Timestamp> {
        if claim.progress.retries_used == 0 {
            return Ok(());
        }
        let paid = self.afforded.get(&claim.delivery).map(|(at, _)| *at);
        // Whose budget is forgotten starts with a full one.
        let budget = || self.budgets.get(destination, |_| true).map_or(now, |budget| budget.retry(now));
        let at = paid.unwrap_or_else(budget);
        if paid.is_none() {
            self.keep_afforded(claim.delivery, at, destination.channel, now);
        }
        if at > now { Err(at) } else { Ok(()) }
    }

    fn keep_afforded(&mut self, delivery: DeliveryId, at: Timestamp, channel: u64, now: Timestamp) {
        if self.afforded.len() >= KNOWN_MAX {
            // What was cancelled meanwhile is never made.
            self.afforded.retain(|_, (at, _)| at.after(DISABLED_WAIT) > now);
        }
        if self.afforded.len() < KNOWN_MAX {
            self.afforded.insert(delivery, (at, channel));
        }
    }

    /// It is called now.
    fn goes(&mut self, claim: &Claim, destination: Place, now: Timestamp) {
        if claim.progress.retries_used > 0 {
            self.afforded.remove(&claim.delivery);
        } else if let Some(budget) = self.budgets.get(destination, |_| true) {
            budget.first(now);
        }
    }

    fn ask_breaker(
        &mut self,
        (host, channel, name): (Place, &ChannelName, &str),
        policy: &BreakerPolicy,
        now: Timestamp,
    ) -> Result<(), Timestamp> {
        let Some(known) = self.hosts.get(host, |host| host.is_idle(now)) else { return Ok(()) };
        let guard = known.breaker.get_or_insert_with(|| Guard::new(policy, channel, name));
        match guard.breaker.admits(now) {
            Admission::Now => Ok(()),
            Admission::At(at) => Err(at),
            Admission::AfterProbe => Err(now.after(PROBE_WAIT)),
            Admission::Never => Err(now.after(DISABLED_WAIT)),
        }
    }

    fn recipient_line(&mut self, claim: &Claim, pace: &Pace, now: Timestamp) -> Option<(Line, Option<Rate>)> {
        if claim.recipient.address.is_empty() {
            return None;
        }
        let recipient = recipient_of(claim);
        // Nothing is remembered of those whom no limit concerns.
        let is_known = pace.per_recipient.is_some() || self.recipients.by_place.contains_key(&recipient);
        (is_known && self.recipients.get(recipient, |cell| cell.idle_from <= now).is_some())
            .then_some((Line::Recipient(recipient), pace.per_recipient))
    }

    fn host_line(&mut self, pace: &Pace, host: Option<Place>, now: Timestamp) -> Option<(Line, Option<Rate>)> {
        let (rate, host) = pace.per_host.zip(host)?;
        self.hosts.get(host, |host| host.is_idle(now)).map(|_| (Line::Host(host), Some(rate)))
    }

    fn cell(&mut self, line: Line) -> Option<&mut Cell> {
        match line {
            Line::Recipient(recipient) => self.recipients.by_place.get_mut(&recipient),
            Line::Host(host) => self.hosts.by_place.get_mut(&host).map(|host| &mut host.cell),
        }
    }

    /// When it may ask again; none where it is its turn.
    fn turn(&mut self, line: Line, rate: Option<Rate>, rank: Rank, now: Timestamp) -> Option<Timestamp> {
        self.lines.forget_absent(line, now);
        let cell = self.cell(line).copied().unwrap_or_default();
        let room = cell.room(rate, now);
        if self.lines.ahead(line, rank, room) < room {
            return None;
        }
        Some(self.lines.instant(line, rank, rate, cell.free_at(rate, now), now))
    }

    /// Somebody has left this line: who is in front of it now asks at the next turn.
    fn call_up(&mut self, line: Line, rate: Option<Rate>, now: Timestamp) {
        let cell = self.cell(line).copied().unwrap_or_default();
        let many = cell.room(rate, now).max(1);
        let Self { lines, called, .. } = self;
        lines.call_up(line, many, cell.free_at(rate, now), called);
    }
}

impl Host {
    fn is_idle(&self, now: Timestamp) -> bool {
        let is_well =
            |guard: &Guard| guard.breaker.state() == BreakerState::Closed && guard.breaker.counts(now).calls == 0;
        self.cell.idle_from <= now && self.breaker.as_ref().is_none_or(is_well)
    }
}

#[cfg(test)]
mod tests;
