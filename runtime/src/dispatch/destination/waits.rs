//! What of its destination a delivery waits for, as far as somebody wants to know.

use std::sync::Arc;

use super::lines::Line;
use super::{Admission, Destinations, host_of, place_of};
use crate::domain::{ChannelName, DeliveryId, Timestamp};

/// What holds a delivery back that its channel would let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TurnOf {
    /// Its recipient gets so many in a while, or is left alone because the provider asked for it.
    Recipient,
    /// Its host gets so many in a while.
    Host,
    /// The breaker of its host is open.
    HostBreaker,
    /// Its destination gets only so many retries.
    Retries,
}

impl Destinations {
    /// What this delivery waits for, and until when, as it looks by now; none where nothing of its destination holds it
    /// back, or nothing is known of it yet.
    pub(in crate::dispatch) fn turn_of(
        &self,
        channel: &ChannelName,
        address: &str,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Option<(TurnOf, Timestamp)> {
        let state = self.lock();
        if let Some((at, _)) = state.afforded.get(&delivery).filter(|(at, _)| *at > now) {
            return Some((TurnOf::Retries, *at));
        }
        if let Some(line) = state.lines.of(delivery) {
            let what = match line {
                Line::Recipient(_) => TurnOf::Recipient,
                Line::Host(_) => TurnOf::Host,
            };
            let until = state.lines.until(delivery).filter(|until| *until > now)?;
            return Some((what, until));
        }
        let paces = Arc::clone(&state.paces);
        paces.of(channel).breaker.as_ref()?;
        let host = state.hosts.by_place.get(&place_of(channel, &host_of(address)?))?;
        match host.breaker.as_ref()?.breaker.admits(now) {
            Admission::At(until) => Some((TurnOf::HostBreaker, until)),
            Admission::Never => Some((TurnOf::HostBreaker, Timestamp::MAX)),
            Admission::Now | Admission::AfterProbe => None,
        }
    }
}
