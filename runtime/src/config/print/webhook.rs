//! `[[callbacks.webhook]]`.

use std::fmt::Write as _;

use super::{Page, Secrets};
use crate::config::{WebhookConfig, format_duration};

impl Page {
    pub(super) fn webhook(&mut self, webhook: &WebhookConfig, secrets: Secrets) {
        let WebhookConfig { name, url, secrets: keys, events, timeout, retry, allow_networks, concurrency } = webhook;
        let list = |items: Vec<String>| toml::Value::Array(items.into_iter().map(toml::Value::String).collect());
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "\n[[callbacks.webhook]]");
        self.text("name", name.as_str());
        self.text(
            "url",
            match secrets {
                Secrets::Masked => webhook.masked_url(),
                Secrets::Shown => url.clone(),
            },
        );
        self.raw("secret", list(keys.iter().map(ToString::to_string).collect()));
        self.raw("events", list(events.iter().map(ToString::to_string).collect()));
        self.text("timeout", format_duration(*timeout));
        self.text("retry", retry.clone());
        self.raw("allow_networks", list(allow_networks.clone()));
        self.raw("concurrency", concurrency);
    }
}
