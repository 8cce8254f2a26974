//! What a gate keeps back: its lanes are parked until the gate is to be asked again.

use std::collections::BTreeSet;

use super::{ChannelName, LaneNumber, LaneState, PRIORITIES, ReadyQueue};
use crate::domain::{BreakerBook, Timestamp};
use crate::queue::channels::ChannelNumber;
use crate::queue::gates::{Answer, GateChange, GateSettings, GateStatus};
use crate::queue::{Slot, gates};

/// What becomes of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It is taken.
    Taken,
    /// Its channel holds its share of the slots: it comes again.
    Later,
    /// Its gate is closed: the lane is parked.
    Parked,
}

impl ReadyQueue {
    /// What holds this channel back from here on. What is known of its provider stays.
    pub fn set_gate(&mut self, channel: &ChannelName, settings: GateSettings, now: Timestamp) {
        self.advance(now);
        let number = self.channels.get(channel).unwrap_or_else(|| self.add_channel(channel));
        self.gates.set(number, settings, self.now);
        self.ask_again(number);
    }

    /// Takes nothing of this channel until it is no longer paused. Tells whether there may be something to take.
    pub fn pause(&mut self, channel: &ChannelName, paused: bool, now: Timestamp) -> bool {
        self.change_gate(channel, now, |gates, number, _| gates.pause(number, paused))
    }

    /// Forgets what went wrong with this channel, what its provider asked for and how much of its rate is used up. Tells
    /// whether there may be something to take.
    pub fn reset_gate(&mut self, channel: &ChannelName, now: Timestamp) -> bool {
        self.change_gate(channel, now, gates::Gates::reset)
    }

    /// What was known of this channel before this queue was made.
    pub fn restore_gate(&mut self, channel: &ChannelName, paused: bool, book: BreakerBook, now: Timestamp) -> bool {
        self.change_gate(channel, now, |gates, number, now| gates.restore(number, paused, book, now))
    }

    fn change_gate(
        &mut self,
        channel: &ChannelName,
        now: Timestamp,
        change: impl FnOnce(&mut gates::Gates, ChannelNumber, Timestamp),
    ) -> bool {
        self.advance(now);
        let Some(number) = self.channels.get(channel) else { return false };
        change(&mut self.gates, number, self.now);
        let let_go = self.refresh_held();
        self.ask_again(number);
        let_go || self.gates.admits(number, self.now) == Answer::Open
    }

    /// Whether nothing of this channel goes until an operator says so.
    #[must_use]
    pub fn is_stopped(&self, channel: &ChannelName) -> bool {
        self.channels.get(channel).is_some_and(|number| self.gates.is_stopped(number))
    }

    /// How each channel's gate stands, in the order in which they came to be known.
    #[must_use]
    pub fn gates(&self) -> Vec<GateStatus> {
        let mut waiting = vec![0; self.first_lanes.len()];
        for lane in &self.lanes {
            waiting[lane.channel as usize] += lane.window.len() as u64 + lane.window.beyond();
        }
        let first = self.first_deferred();
        let status = |(number, waiting): (usize, u64)| {
            let number = number as ChannelNumber;
            let aside = self.aside.of(number);
            let status = self.gates.status(number, self.channels.name(number), waiting + aside.all, self.now)?;
            Some(GateStatus { deferred: aside.deferred, deferred_until: first.get(&number).copied(), ..status })
        };
        waiting.into_iter().enumerate().filter_map(status).collect()
    }

    /// What has changed since this was asked the last time, the first change first.
    pub fn take_gate_changes(&mut self) -> Vec<GateChange> {
        let changes = self.gates.take_changes();
        let named = |(number, changed)| GateChange { channel: self.channels.name(number).clone(), changed };
        changes.into_iter().map(named).collect()
    }

    /// Changes of breakers so far, whether or not somebody [took](Self::take_gate_changes) them.
    #[must_use]
    pub const fn gate_changes(&self) -> u64 {
        self.gates.changed()
    }

    /// What becomes of the turn of a channel that has something due.
    pub(super) fn turn_of(&mut self, channel: ChannelNumber, slot: Slot) -> Turn {
        match self.gates.admits(channel, self.now) {
            Answer::Open if self.shares.may_take(slot, channel) => Turn::Taken,
            Answer::Open => Turn::Later,
            Answer::At(at) => self.parked(channel, Some(at)),
            Answer::AfterEnd | Answer::Stopped => self.parked(channel, None),
        }
    }

    fn parked(&mut self, channel: ChannelNumber, until: Option<Timestamp>) -> Turn {
        self.gates.park(channel, until);
        Turn::Parked
    }

    /// What is to be looked at again because the gate's instant has come.
    pub(super) fn pass_gate_timers(&mut self) -> bool {
        let mut woken = false;
        while let Some(channel) = self.gates.pop_timer(self.now) {
            self.unpark(channel);
            woken = true;
        }
        if woken && self.gates.has_changes() {
            self.refresh_held();
        }
        woken
    }

    /// Something about this channel's gate is different: what is parked there has its turn again, or a later one.
    pub(super) fn ask_again(&mut self, channel: ChannelNumber) {
        if !self.gates.is_parked(channel) {
            return;
        }
        match self.gates.admits(channel, self.now) {
            Answer::Open => self.unpark(channel),
            Answer::At(at) => self.gates.wake_at(channel, Some(at)),
            Answer::AfterEnd | Answer::Stopped => {}
        }
    }

    fn unpark(&mut self, channel: ChannelNumber) {
        if !self.gates.unpark(channel) {
            return;
        }
        for lane in self.shared_lanes(channel) {
            if std::mem::take(&mut self.lanes[lane as usize].parked) {
                let is_due = self.is_due(lane);
                self.line_up(lane, is_due);
            }
        }
    }

    fn shared_lanes(&self, channel: ChannelNumber) -> impl Iterator<Item = LaneNumber> + use<> {
        let first = self.first_lanes[channel as usize];
        first..first + PRIORITIES as LaneNumber
    }

    /// Holds the lanes of these channels and of no others: nothing of theirs is taken, and what waits there waits as it
    /// is. A held lane costs nothing, however much is in it. Tells whether a lane was let go.
    pub fn hold_only(&mut self, channels: &BTreeSet<ChannelName>, now: Timestamp) -> bool {
        self.advance(now);
        for name in channels {
            if self.channels.get(name).is_none() {
                self.add_channel(name);
            }
        }
        self.held.clone_from(channels);
        self.refresh_held()
    }

    /// Whatever holds a channel, its lanes know of it.
    pub(super) fn refresh_held(&mut self) -> bool {
        let mut let_go = false;
        for number in 0..self.lanes.len() {
            let LaneState { channel, .. } = self.lanes[number];
            let held = self.gates.is_stopped(channel) || self.held.contains(self.channels.name(channel));
            let lane = &mut self.lanes[number];
            if lane.held != held {
                lane.held = held;
                let_go |= !held;
                self.place(number as LaneNumber);
            }
        }
        let_go
    }
}

#[cfg(test)]
mod tests;
