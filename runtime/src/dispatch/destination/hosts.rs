//! Hosts whose breakers are not closed: who they are, what changed, and what the next process is to know of them.
//!
//! *Invariants:* a host that works has no more than its name here. Changes are kept until somebody asks, the newest
//! [`CHANGES_MAX`] of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Destinations, Guard, Place, State, place_of};
use crate::domain::{
    BreakerBook, BreakerChange, BreakerPolicy, BreakerReason, BreakerState, ChannelName, CircuitBreaker, HostBook,
    HostTag, Pass, Timestamp, Verdict,
};

/// Changes that wait for whoever hears of them. Where nobody does, the oldest are forgotten.
const CHANGES_MAX: usize = 4_096;

/// A channel, and a host as it stands in its addresses.
pub(super) type Named = (ChannelName, Arc<str>);

/// A host whose breaker is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostBreaker {
    /// Host and port as they stand in addresses, in lower case. A part of an address: for operators, and for no log.
    pub host: String,
    /// What it is called in events and logs.
    pub tag: HostTag,
    /// How its breaker stands.
    pub breaker: BreakerBook,
    /// Why it changed last.
    pub reason: BreakerReason,
}

/// Hosts of one channel whose breakers are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenHosts {
    /// The first of them, by name.
    pub hosts: Vec<HostBreaker>,
    /// How many there are.
    pub count: usize,
}

/// The breaker of a host changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostChanged {
    /// Whose deliveries go there.
    pub channel: ChannelName,
    /// Which host.
    pub host: HostTag,
    /// How.
    pub change: BreakerChange,
    /// When.
    pub at: Timestamp,
}

/// The hosts whose breakers are not closed.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    by_name: BTreeMap<Named, (Place, BreakerReason)>,
    changes: Vec<HostChanged>,
}

/// A change, with whose it is.
pub(super) type Noted = (Named, BreakerChange);

impl Guard {
    pub(super) fn new(policy: &BreakerPolicy, channel: &ChannelName, host: &str) -> Self {
        Self { breaker: CircuitBreaker::new(policy.clone()), named: (channel.clone(), host.into()) }
    }

    pub(super) fn begin(&mut self, now: Timestamp) -> (Pass, Option<Noted>) {
        let (pass, change) = self.breaker.begin(now);
        (pass, change.map(|change| (self.named.clone(), change)))
    }

    /// A host that was out of order for too long is disabled by the end of a call, as a channel is.
    pub(super) fn end(&mut self, pass: Pass, verdict: Verdict, took: Duration, now: Timestamp) -> Option<Noted> {
        let change = self.breaker.end(pass, verdict, took, now).or_else(|| self.breaker.check(now))?;
        Some((self.named.clone(), change))
    }
}

impl Hosts {
    pub(super) fn note(&mut self, place: Place, (named, change): Noted, now: Timestamp) {
        if self.changes.len() >= CHANGES_MAX {
            self.changes.remove(0);
        }
        let (channel, host) = (named.0.clone(), tag_of(place));
        self.changes.push(HostChanged { channel, host, change, at: now });
        match change.to {
            BreakerState::Closed => drop(self.by_name.remove(&named)),
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } | BreakerState::Disabled { .. } => {
                self.by_name.insert(named, (place, change.reason));
            }
        }
    }

    pub(super) fn keep_only(&mut self, is_kept: impl Fn(Place) -> bool) {
        self.by_name.retain(|_, (place, _)| is_kept(*place));
    }

    pub(super) const fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    fn of<'a>(&'a self, channel: &'a ChannelName) -> impl Iterator<Item = (&'a Named, Place, BreakerReason)> {
        let from = (channel.clone(), Arc::from(""));
        let all = self.by_name.range(from..).take_while(move |((of, _), _)| of == channel);
        all.map(|(named, (place, reason))| (named, *place, *reason))
    }
}

impl State {
    /// Closes the breakers of one host of a channel, or of all. Answers of how many.
    pub(super) fn close_hosts(&mut self, channel: &ChannelName, host: Option<&str>, now: Timestamp) -> usize {
        let of_channel = self.troubled.of(channel).filter(|((_, name), ..)| host.is_none_or(|host| **name == *host));
        let closing: Vec<_> = of_channel.map(|(named, place, _)| (named.clone(), place)).collect();
        for (named, place) in &closing {
            let guard = self.hosts.by_place.get_mut(place).and_then(|host| host.breaker.as_mut());
            if let Some(change) = guard.and_then(|guard| guard.breaker.reset(now)) {
                self.troubled.note(*place, (named.clone(), change), now);
            }
        }
        closing.len()
    }
}

impl Destinations {
    /// Goes on from what was remembered of hosts, where their channels still have breakers. To be done before anybody
    /// asks.
    pub(in crate::dispatch) fn restore(&self, channel: &ChannelName, books: &[HostBook], now: Timestamp) {
        let mut state = self.lock();
        let paces = Arc::clone(&state.paces);
        let Some(policy) = &paces.of(channel).breaker else { return };
        for HostBook { host, breaker, reason } in books {
            let place = place_of(channel, host);
            let Some(known) = state.hosts.get(place, |_| false) else { return };
            let mut guard = Guard::new(policy, channel, host);
            guard.breaker.restore(*breaker, now);
            let named = guard.named.clone();
            known.breaker = Some(guard);
            state.troubled.by_name.insert(named, (place, *reason));
        }
    }

    /// Closes the breaker of one host. Tells whether it was not.
    pub(in crate::dispatch) fn reset_host(&self, channel: &ChannelName, host: &str, now: Timestamp) -> bool {
        let mut state = self.lock();
        let is_closed_now = state.close_hosts(channel, Some(host), now) > 0;
        if is_closed_now {
            // Whoever was told to ask later asks again.
            state.epoch += 1;
        }
        self.tell(&state);
        is_closed_now
    }

    /// Hosts of a channel whose breakers are not closed, the first `most` with what is known of them.
    pub(in crate::dispatch) fn open_hosts(&self, channel: &ChannelName, most: usize) -> OpenHosts {
        let state = self.lock();
        let shown = state.troubled.of(channel).take(most).filter_map(|((_, host), place, reason)| {
            let guard = state.hosts.by_place.get(&place)?.breaker.as_ref()?;
            Some(HostBreaker { host: host.to_string(), tag: tag_of(place), breaker: guard.breaker.book(), reason })
        });
        let hosts: Vec<_> = shown.collect();
        let count = state.troubled.of(channel).count();
        OpenHosts { hosts, count }
    }

    /// What changed, once something has. For one listener.
    pub(in crate::dispatch) async fn host_changes(&self) -> Vec<HostChanged> {
        loop {
            let changes = std::mem::take(&mut self.lock().troubled.changes);
            if !changes.is_empty() {
                return changes;
            }
            self.changed.notified().await;
        }
    }
}

const fn tag_of(place: Place) -> HostTag {
    HostTag(place.destination)
}
