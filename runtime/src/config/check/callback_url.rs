//! `[callbacks] secret`, `events` and `allow_networks`: what can be judged without looking at a secret.

use super::{Findings, egress};
use crate::config::{CallbackUrlConfig, WebhookConfig};

impl Findings {
    pub(super) fn callback_urls(&mut self, config: &CallbackUrlConfig) {
        let CallbackUrlConfig { secrets, events, allow_networks } = config;
        let most = WebhookConfig::SECRETS_MAX;
        if secrets.len() > most {
            let message = format!("names {} signing keys, expected 1, or {most} while keys are changed", secrets.len());
            self.add("callbacks.secret", message)
                .hint("write `secret = \"env:NAME\"`, or `secret = [\"env:NEW\", \"env:OLD\"]`");
        }
        if events.is_empty() {
            self.add("callbacks.events", "is empty, so that no `callback_url` would ever be called")
                .hint("name types, such as `events = [\"notification.completed\"]`, or leave out `secret`");
        }
        for network in allow_networks {
            if let Err(why) = egress::network(network) {
                self.add("callbacks.allow_networks", format!("has `{network}`, {why}"));
            }
        }
    }
}
