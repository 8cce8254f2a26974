//! Single hosts that a channel calls, as an operator sees them, and what a delivery waits for beside its channel.

use std::sync::Arc;

use super::{ChannelError, OpenHosts, Runtime, StoreError};
use crate::dispatch::TurnOf;
use crate::domain::{AuditOutcome, ChannelDeed, ChannelName, Timestamp};
use crate::store::DeliveryRecord;

/// Hosts that are named of one channel; the others are counted.
const HOSTS_SHOWN_MAX: usize = 100;

impl Runtime {
    /// Hosts that a channel calls and whose breakers are not closed: the first 100 by name, and how many there are.
    #[must_use]
    pub fn open_hosts(&self, name: &ChannelName) -> OpenHosts {
        self.parts.dispatcher.outlook().open_hosts(name, HOSTS_SHOWN_MAX)
    }

    /// Closes the breaker of one host that a channel calls, named as it stands in addresses, with its port if it has one.
    /// Tells whether it was not closed.
    ///
    /// # Errors
    ///
    /// [`ChannelError::Unknown`] where there is no such channel; [`ChannelError::Store`], and nothing has changed then.
    pub async fn reset_host(&self, name: &ChannelName, host: &str) -> Result<bool, ChannelError> {
        self.known(name)?;
        let (parts, by) = (Arc::clone(&self.parts), self.by);
        let (channel, host) = (name.clone(), host.to_ascii_lowercase());
        super::channels::to_the_end(async move {
            // Not by whom it concerns: the host is a part of somebody's address.
            parts.desk.keeper.record(&channel, ChannelDeed::Reset, by, AuditOutcome::Done).await?;
            Ok::<_, StoreError>(parts.dispatcher.reset_host(&channel, &host))
        })
        .await
    }

    /// What a delivery waits for that its channel would let go, and what ends it.
    pub(super) fn turn_awaited(&self, delivery: &DeliveryRecord) -> Option<String> {
        let outlook = self.parts.dispatcher.outlook();
        let (channel, address) = (&delivery.channel, &delivery.recipient.address);
        let (what, until) = outlook.turn_of(channel, address, delivery.id, self.now())?;
        Some(in_words(channel, what, until))
    }
}

fn in_words(channel: &ChannelName, what: TurnOf, until: Timestamp) -> String {
    match what {
        TurnOf::Recipient => {
            format!("its recipient's turn comes at about {until}: by `per_recipient_rate`, or by the provider's word")
        }
        TurnOf::Host => format!("the turn of its host comes at about {until}: by `per_host_rate`"),
        TurnOf::HostBreaker if until == Timestamp::MAX => format!(
            "its host failed for too long; `campanile channels show {channel}` names it, and \
             `campanile channels reset {channel} --host HOST` lets it be called again"
        ),
        TurnOf::HostBreaker => format!("the breaker of its host is open until {until}"),
        TurnOf::Retries => format!("its destination has had its share of retries; its turn comes at about {until}"),
    }
}
