//! Whether a channel may be called right now: its breaker, its rate, how many calls it has under way, a provider that
//! asked for patience, an operator who paused it.
//!
//! *Invariants:* asking changes nothing. What a gate keeps back stays in its lane, uses up no attempt and keeps its
//! order; it is looked at again when the gate's own instant comes or a call of the channel ends, and not before.
//!
//! *Not here:* limits of one recipient or one host: they are known once a delivery is claimed (`dispatch`).

mod status;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::channels::ChannelNumber;
use crate::domain::{
    AdaptiveLimit, AdaptiveMark, AdaptiveSignal, Admission, BreakerBook, BreakerChange, BreakerPolicy, BreakerState,
    ChannelName, CircuitBreaker, Gcra, Pass, Rate, RateScope, Timestamp, Verdict,
};

pub use status::{BreakerChanged, GateChange, GateStatus};

/// Changes that are kept until somebody [asks](super::QueueHandle::gate_changes). A channel changes a few times a minute
/// at most; where nobody asks, the oldest are forgotten.
const CHANGES_MAX: usize = 4_096;

/// What holds a channel back.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSettings {
    /// When it is left alone; `None`: never.
    pub breaker: Option<BreakerPolicy>,
    /// How fast it may be called.
    pub rate: Option<Rate>,
    /// How many calls it may have under way; `None`: as many as there are slots.
    pub concurrency: Option<u32>,
    /// Channels with the same account wait together where the provider asks it of the whole account.
    pub account: Option<Arc<str>>,
    /// Where another channel stands in for it: how long its breaker may be open before what waits goes there.
    pub detour_after: Option<Duration>,
}

impl Default for GateSettings {
    fn default() -> Self {
        Self {
            breaker: Some(BreakerPolicy::default()),
            rate: None,
            concurrency: None,
            account: None,
            detour_after: None,
        }
    }
}

/// What the end of a call says about its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Whether a call was made at all. If not, it counts for no limit.
    pub called: bool,
    /// How it speaks for the health of the provider.
    pub verdict: Verdict,
    /// How it speaks for its load.
    pub load: AdaptiveSignal,
    /// How long it took.
    pub took: Duration,
    /// Until when the provider wants to be left alone, and how much of it: a channel or an account.
    pub throttled: Option<(RateScope, Timestamp)>,
}

impl Ended {
    /// Nobody was called.
    pub const WITHOUT_CALL: Self = Self {
        called: false,
        verdict: Verdict::Neutral,
        load: AdaptiveSignal::Neutral,
        took: Duration::ZERO,
        throttled: None,
    };
}

/// What a call takes along from the gate to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GatePass {
    breaker: Option<Pass>,
    mark: AdaptiveMark,
}

/// How what was taken is to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// The channel has no gate.
    Ungated,
    /// It is to be called.
    Call(GatePass),
    /// Its breaker has been open for too long: another channel stands in.
    Detour,
}

/// What a gate says to one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Open,
    /// Not before this.
    At(Timestamp),
    /// Once a call under way has ended.
    AfterEnd,
    /// Not until an operator says so.
    Stopped,
}

#[derive(Debug)]
struct Gate {
    settings: GateSettings,
    breaker: Option<CircuitBreaker>,
    cell: Gcra,
    adaptive: AdaptiveLimit,
    in_flight: u32,
    paused: bool,
    /// The provider's word.
    not_before: Timestamp,
    /// Lanes of it are parked.
    parked: bool,
    /// Its place among the timers.
    timer: Option<Timestamp>,
    /// Since when the breaker has not been closed.
    troubled_since: Option<Timestamp>,
}

impl Gate {
    fn new(settings: GateSettings, slots: u32) -> Self {
        let most = settings.concurrency.unwrap_or(slots).min(slots).max(1);
        Self {
            breaker: settings.breaker.clone().map(CircuitBreaker::new),
            cell: Gcra::default(),
            adaptive: AdaptiveLimit::new(1, most),
            in_flight: 0,
            paused: false,
            not_before: Timestamp::default(),
            parked: false,
            timer: None,
            troubled_since: None,
            settings,
        }
    }

    /// Keeps what it knows of the provider.
    fn set(&mut self, settings: GateSettings, slots: u32, now: Timestamp) {
        match (&mut self.breaker, &settings.breaker) {
            (Some(breaker), Some(policy)) => breaker.set_policy(policy.clone()),
            (breaker, policy) => *breaker = policy.clone().map(CircuitBreaker::new),
        }
        if self.breaker.is_none() {
            self.troubled_since = None;
        }
        self.adaptive.set_max(settings.concurrency.unwrap_or(slots).min(slots).max(1));
        match settings.rate {
            Some(rate) if self.settings.rate != Some(rate) => self.cell.change_to(rate, now),
            Some(_) => {}
            None => self.cell = Gcra::default(),
        }
        self.settings = settings;
    }

    fn admits(&self, now: Timestamp) -> Answer {
        let breaker = self.breaker.as_ref().map_or(Admission::Now, |breaker| breaker.admits(now));
        if self.is_stopped() {
            return Answer::Stopped;
        }
        let detour = self.detour_at().filter(|_| breaker != Admission::Now);
        if detour.is_some_and(|at| at <= now) {
            return Answer::Open;
        }
        let mut at = now.max(self.not_before);
        match breaker {
            Admission::At(open) => at = at.max(open),
            Admission::AfterProbe => return Answer::AfterEnd,
            Admission::Now | Admission::Never => {}
        }
        if let Some(rate) = self.settings.rate {
            at = at.max(self.cell.next(rate, now));
        }
        if at > now {
            return Answer::At(detour.map_or(at, |detour| at.min(detour)));
        }
        if self.in_flight >= self.adaptive.limit() { Answer::AfterEnd } else { Answer::Open }
    }

    /// What has been out of order for days is left to an operator, unless another channel stands in for it.
    fn is_stopped(&self) -> bool {
        let is_disabled = matches!(self.state(), BreakerState::Disabled { .. });
        self.paused || (is_disabled && self.settings.detour_after.is_none())
    }

    fn detour_at(&self) -> Option<Timestamp> {
        Some(self.troubled_since?.after(self.settings.detour_after?))
    }

    fn begin(&mut self, now: Timestamp) -> (Entry, Option<BreakerChange>) {
        let admission = self.breaker.as_ref().map_or(Admission::Now, |breaker| breaker.admits(now));
        if admission != Admission::Now {
            return (Entry::Detour, None);
        }
        let (pass, change) = match &mut self.breaker {
            Some(breaker) => {
                let (pass, change) = breaker.begin(now);
                (Some(pass), change)
            }
            None => (None, None),
        };
        if let Some(rate) = self.settings.rate {
            self.cell.take(rate, now);
        }
        self.in_flight += 1;
        (Entry::Call(GatePass { breaker: pass, mark: self.adaptive.began() }), change)
    }

    fn end(&mut self, pass: GatePass, ended: &Ended, now: Timestamp) -> Option<BreakerChange> {
        let in_flight = self.in_flight;
        self.in_flight = in_flight.saturating_sub(1);
        self.adaptive.ended(pass.mark, ended.load, in_flight);
        if !ended.called
            && let Some(rate) = self.settings.rate
        {
            self.cell.give_back(rate);
        }
        let (breaker, pass) = (self.breaker.as_mut()?, pass.breaker?);
        breaker.end(pass, ended.verdict, ended.took, now).or_else(|| breaker.check(now))
    }

    fn state(&self) -> BreakerState {
        self.breaker.as_ref().map_or(BreakerState::Closed, CircuitBreaker::state)
    }

    fn note(&mut self, change: BreakerChange, now: Timestamp) -> BreakerChanged {
        match change.to {
            BreakerState::Closed => self.troubled_since = None,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } | BreakerState::Disabled { .. } => {
                self.troubled_since.get_or_insert(now);
            }
        }
        let book = self.breaker.as_ref().map_or_else(BreakerBook::default, CircuitBreaker::book);
        BreakerChanged { change, at: now, book }
    }
}

/// The gates of all channels.
#[derive(Debug, Default)]
pub(super) struct Gates {
    by_channel: Vec<Option<Box<Gate>>>,
    /// Slots of all workers.
    slots: u32,
    /// When a gate is to be asked again.
    timers: BTreeSet<(Timestamp, ChannelNumber)>,
    changes: Vec<(ChannelNumber, BreakerChanged)>,
    /// Changes so far, those that were taken or forgotten among them.
    changed: u64,
}

impl Gates {
    fn get(&self, channel: ChannelNumber) -> Option<&Gate> {
        self.by_channel.get(channel as usize)?.as_deref()
    }

    fn get_mut(&mut self, channel: ChannelNumber) -> Option<&mut Gate> {
        self.by_channel.get_mut(channel as usize)?.as_deref_mut()
    }

    pub(super) fn set_slots(&mut self, slots: u32) {
        self.slots = slots;
        for gate in self.by_channel.iter_mut().flatten() {
            gate.adaptive.set_max(gate.settings.concurrency.unwrap_or(slots).min(slots).max(1));
        }
    }

    pub(super) fn set(&mut self, channel: ChannelNumber, settings: GateSettings, now: Timestamp) {
        let place = channel as usize;
        if self.by_channel.len() <= place {
            self.by_channel.resize_with(place + 1, || None);
        }
        let slots = if self.slots == 0 { u32::MAX } else { self.slots };
        match &mut self.by_channel[place] {
            Some(gate) => gate.set(settings, slots, now),
            none => *none = Some(Box::new(Gate::new(settings, slots))),
        }
    }

    pub(super) fn admits(&self, channel: ChannelNumber, now: Timestamp) -> Answer {
        self.get(channel).map_or(Answer::Open, |gate| gate.admits(now))
    }

    /// One goes; to be asked only after [`Answer::Open`].
    pub(super) fn begin(&mut self, channel: ChannelNumber, now: Timestamp) -> Entry {
        let Some(gate) = self.get_mut(channel) else { return Entry::Ungated };
        let (entry, change) = gate.begin(now);
        if let Some(change) = change {
            self.note(channel, change, now);
        }
        entry
    }

    /// One that was begun has ended. What the provider asks of an account holds for all who share it.
    pub(super) fn end(&mut self, channel: ChannelNumber, pass: GatePass, ended: &Ended, now: Timestamp) {
        let Some(gate) = self.get_mut(channel) else { return };
        let change = gate.end(pass, ended, now);
        match ended.throttled {
            Some((RateScope::Channel, until)) => gate.not_before = gate.not_before.max(until),
            Some((RateScope::Account, until)) => {
                gate.not_before = gate.not_before.max(until);
                if let Some(account) = gate.settings.account.clone() {
                    let shares = |gate: &&mut Box<Gate>| gate.settings.account.as_ref() == Some(&account);
                    for gate in self.by_channel.iter_mut().flatten().filter(shares) {
                        if gate.not_before < until {
                            gate.not_before = until;
                            gate.adaptive.refuse();
                        }
                    }
                }
            }
            Some((RateScope::Recipient, _)) | None => {}
        }
        if let Some(change) = change {
            self.note(channel, change, now);
        }
    }

    fn note(&mut self, channel: ChannelNumber, change: BreakerChange, now: Timestamp) {
        let Some(gate) = self.get_mut(channel) else { return };
        let changed = gate.note(change, now);
        if self.changes.len() >= CHANGES_MAX {
            self.changes.remove(0);
        }
        self.changes.push((channel, changed));
        self.changed += 1;
    }

    pub(super) const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    pub(super) const fn changed(&self) -> u64 {
        self.changed
    }

    pub(super) fn take_changes(&mut self) -> Vec<(ChannelNumber, BreakerChanged)> {
        std::mem::take(&mut self.changes)
    }

    /// Whether nothing of this channel goes until an operator says so.
    pub(super) fn is_stopped(&self, channel: ChannelNumber) -> bool {
        self.get(channel).is_some_and(Gate::is_stopped)
    }

    pub(super) fn pause(&mut self, channel: ChannelNumber, paused: bool) {
        if let Some(gate) = self.get_mut(channel) {
            gate.paused = paused;
        }
    }

    /// Forgets what went wrong, what the provider asked for, and how much of its rate is used up.
    pub(super) fn reset(&mut self, channel: ChannelNumber, now: Timestamp) {
        let Some(gate) = self.get_mut(channel) else { return };
        gate.not_before = Timestamp::default();
        gate.cell = Gcra::default();
        if let Some(change) = gate.breaker.as_mut().and_then(|breaker| breaker.reset(now)) {
            self.note(channel, change, now);
        }
    }

    pub(super) fn restore(&mut self, channel: ChannelNumber, paused: bool, book: BreakerBook, now: Timestamp) {
        let Some(gate) = self.get_mut(channel) else { return };
        gate.paused = paused;
        if let Some(breaker) = &mut gate.breaker {
            breaker.restore(book, now);
            gate.troubled_since = match breaker.state() {
                BreakerState::Closed => None,
                BreakerState::Open { .. } | BreakerState::HalfOpen { .. } | BreakerState::Disabled { .. } => {
                    Some(book.first_opened.unwrap_or(now))
                }
            };
        }
    }

    /// Lanes of this channel are parked until its gate is asked again, at this instant if one is known.
    pub(super) fn park(&mut self, channel: ChannelNumber, until: Option<Timestamp>) {
        if let Some(gate) = self.get_mut(channel) {
            gate.parked = true;
        }
        if until.is_some() {
            self.wake_at(channel, until);
        }
    }

    /// Tells whether lanes of it were.
    pub(super) fn unpark(&mut self, channel: ChannelNumber) -> bool {
        self.wake_at(channel, None);
        self.get_mut(channel).is_some_and(|gate| std::mem::take(&mut gate.parked))
    }

    pub(super) fn is_parked(&self, channel: ChannelNumber) -> bool {
        self.get(channel).is_some_and(|gate| gate.parked)
    }

    /// The gate is to be asked again at this instant.
    pub(super) fn wake_at(&mut self, channel: ChannelNumber, at: Option<Timestamp>) {
        let Some(gate) = self.get_mut(channel) else { return };
        if gate.timer == at {
            return;
        }
        let before = std::mem::replace(&mut gate.timer, at);
        if let Some(before) = before {
            self.timers.remove(&(before, channel));
        }
        if let Some(at) = at {
            self.timers.insert((at, channel));
        }
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// A channel whose gate is to be asked again by now.
    pub(super) fn pop_timer(&mut self, now: Timestamp) -> Option<ChannelNumber> {
        let (at, channel) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(gate) = self.get_mut(channel) {
            gate.timer = None;
            let change = gate.breaker.as_mut().and_then(|breaker| breaker.check(now));
            if let Some(change) = change {
                self.note(channel, change, now);
            }
        }
        Some(channel)
    }

    pub(super) fn status(
        &self,
        number: ChannelNumber,
        channel: &ChannelName,
        waiting: u64,
        now: Timestamp,
    ) -> Option<GateStatus> {
        let gate = self.get(number)?;
        let mut not_before = gate.not_before;
        if let Some(rate) = gate.settings.rate {
            not_before = not_before.max(gate.cell.next(rate, now));
        }
        Some(GateStatus {
            channel: channel.clone(),
            breaker: gate.state(),
            counts: gate.breaker.as_ref().map(|breaker| breaker.counts(now)).unwrap_or_default(),
            paused: gate.paused,
            not_before: Some(not_before).filter(|at| *at > now),
            in_flight: gate.in_flight,
            limit: gate.adaptive.limit(),
            waiting,
            deferred: 0,
            deferred_until: None,
        })
    }
}
