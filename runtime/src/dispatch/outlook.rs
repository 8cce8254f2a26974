//! What the rest of the house is told of the channels that dispatch calls: how their last calls ended, and which of their
//! hosts are left alone.
//!
//! *Not here:* the gates of channels (`queue`), and what is remembered of any of it (`runtime`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Shared;
use super::attempt::Finished;
use super::destination::{Destinations, HostChanged, OpenHosts, TurnOf};
use crate::domain::{AttemptEnd, ChannelName, DeliveryId, FailedCall, Outcome, Timestamp};

/// How the last calls of a channel ended, in this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChannelRecord {
    /// When the last one ended that its provider took.
    pub last_success: Option<Timestamp>,
    /// The last one that failed.
    pub last_error: Option<FailedCall>,
}

/// Of each channel that was called. Channels are configured, so there are few.
#[derive(Debug, Default)]
pub(super) struct Records(Mutex<HashMap<ChannelName, ChannelRecord>>);

impl Records {
    fn of(&self, channel: &ChannelName) -> ChannelRecord {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(channel).cloned().unwrap_or_default()
    }

    fn note(&self, channel: &ChannelName, change: impl FnOnce(&mut ChannelRecord)) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(record) = records.get_mut(channel) {
            return change(record);
        }
        change(records.entry(channel.clone()).or_default());
    }
}

impl Shared {
    /// How a call ended, for who asks about its channel.
    pub(super) fn remember(&self, finished: &Finished, now: Timestamp) {
        let Some(report) = &finished.report else { return };
        let claim = &finished.held.claim;
        match &report.end {
            AttemptEnd::Outcome(Outcome::Sent(_) | Outcome::Accepted { .. }) => {
                self.records.note(&claim.channel, |record| record.last_success = Some(now));
            }
            end => {
                if let Some(failed) = FailedCall::of(end, &claim.recipient.address, now) {
                    self.records.note(&claim.channel, |record| record.last_error = Some(failed));
                }
            }
        }
    }
}

/// A view of the channels that are called. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Outlook {
    pub(super) destinations: Arc<Destinations>,
    pub(super) records: Arc<Records>,
}

impl Outlook {
    /// How the last calls of this channel ended.
    #[must_use]
    pub fn record(&self, channel: &ChannelName) -> ChannelRecord {
        self.records.of(channel)
    }

    /// Hosts of this channel whose breakers are not closed, the first `most` of them by name.
    #[must_use]
    pub fn open_hosts(&self, channel: &ChannelName, most: usize) -> OpenHosts {
        self.destinations.open_hosts(channel, most)
    }

    /// What this delivery to `address` waits for that its channel would let go, and until when, as it looks by now.
    #[must_use]
    pub fn turn_of(
        &self,
        channel: &ChannelName,
        address: &str,
        delivery: DeliveryId,
        now: Timestamp,
    ) -> Option<(TurnOf, Timestamp)> {
        self.destinations.turn_of(channel, address, delivery, now)
    }

    /// The breakers of hosts that changed, once one has. For one listener.
    pub async fn host_changes(&self) -> Vec<HostChanged> {
        self.destinations.host_changes().await
    }
}
