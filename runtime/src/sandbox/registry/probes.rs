//! How the providers of channels do, as their plugins say.

use super::Registry;
use crate::domain::ChannelName;
use crate::sandbox::{CallEnd, Health};

/// The export that answers.
const HEALTH: &str = "health";

impl Registry {
    /// Configured channels whose plugins can be asked how their providers do, by name.
    #[must_use]
    pub fn with_health(&self) -> Vec<ChannelName> {
        let current = self.current.load();
        let configured = current.channel_statuses.iter().filter(|status| status.configured);
        let served = configured.filter_map(|status| Some((&status.name, current.served(&status.name)?)));
        let asked = served.filter(|(_, served)| served.ready.version.plugin.optional_exports().contains(&HEALTH));
        asked.map(|(name, _)| name.clone()).collect()
    }

    /// Asks a channel's plugin how its provider does. None where it cannot be asked: there is no such channel, its plugin
    /// has no answer, or is quarantined.
    pub async fn health(&self, channel: &ChannelName) -> Option<Result<Health, CallEnd>> {
        let served = self.current.load().served(channel).cloned()?;
        let version = &served.ready.version;
        if version.is_stopped() {
            return None;
        }
        version.plugin.health(&served.ready.prepared, self.clock.now()).await.transpose()
    }
}
