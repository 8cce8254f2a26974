//! What holds a channel back at this moment, for those who are told when they ask for a delivery.

use super::ReadyQueue;
use crate::domain::{BreakerState, ChannelName, HeldBy, Timestamp};
use crate::queue::gates::Answer;

impl ReadyQueue {
    /// Why nothing of this channel is taken at `now`, other than that its rate or its calls at once are used up, or that
    /// its provider asked for patience: that passes by itself, as a rule within seconds.
    #[must_use]
    pub fn held_by(&self, channel: &ChannelName, now: Timestamp) -> Option<HeldBy> {
        if self.held.contains(channel) {
            return Some(HeldBy::Plugin);
        }
        let number = self.channels.get(channel)?;
        // Where another channel stands in by now, what comes goes there at once.
        if self.gates.admits(number, now) == Answer::Open {
            return None;
        }
        let gate = self.gates.status(number, channel, 0, now)?;
        match gate.breaker {
            _ if gate.paused => Some(HeldBy::Pause),
            BreakerState::Closed => None,
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => Some(HeldBy::Breaker),
            BreakerState::Disabled { .. } => Some(HeldBy::Disabled),
        }
    }
}
