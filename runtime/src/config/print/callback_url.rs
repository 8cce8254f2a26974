//! `[callbacks] secret`, `events` and `allow_networks`.

use super::Page;
use crate::config::CallbackUrlConfig;

impl Page {
    /// Follows the other keys of `[callbacks]`.
    pub(super) fn callback_urls(&mut self, config: &CallbackUrlConfig) {
        let CallbackUrlConfig { secrets, events, allow_networks } = config;
        let list = |items: Vec<String>| toml::Value::Array(items.into_iter().map(toml::Value::String).collect());
        if config.is_on() {
            self.raw("secret", list(secrets.iter().map(ToString::to_string).collect()));
        }
        self.raw("events", list(events.iter().map(ToString::to_string).collect()));
        self.raw("allow_networks", list(allow_networks.clone()));
    }
}
