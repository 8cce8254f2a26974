//! `[[callbacks.webhook]]`: what can be judged without looking at a secret or an address.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use url::Url;

use super::{Findings, egress};
use crate::config::nearest::nearest;
use crate::config::{Config, WebhookConfig};

/// Each has connections, a place in the store and calls of its own.
const WEBHOOKS_MAX: usize = 64;
/// A receiver that takes longer should answer first and work later.
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);
/// Calls in flight to one process.
const CONCURRENCY: RangeInclusive<u32> = 1..=256;

impl Findings {
    pub(super) fn webhooks(&mut self, config: &Config) {
        let webhooks = &config.webhooks;
        if webhooks.len() > WEBHOOKS_MAX {
            let message = format!("has {} entries, the limit is {WEBHOOKS_MAX}", webhooks.len());
            self.add("callbacks.webhook", message)
                .hint("no setting changes that; have one receiver pass on what others want to hear");
        }
        let mut named = BTreeMap::new();
        for (number, webhook) in webhooks.iter().enumerate() {
            let section = format!("callbacks.webhook.{number}");
            if webhook.name.is_reserved() {
                let message = format!("is `{}`, the name under which each `callback_url` is called", webhook.name);
                self.add(format!("{section}.name"), message).hint("take another name");
            }
            if let Some(first) = named.insert(&webhook.name, number) {
                let message =
                    format!("is `{}`, which is the name of `callbacks.webhook.{first}` already", webhook.name);
                self.add(format!("{section}.name"), message)
                    .hint("give each its own: what is remembered of one, it finds again by its name");
            }
            self.webhook(&section, webhook, config);
        }
    }

    fn webhook(&mut self, section: &str, webhook: &WebhookConfig, config: &Config) {
        let WebhookConfig { name: _, url, secrets, events, timeout, retry, allow_networks, concurrency } = webhook;
        if let Err(why) = usable(url) {
            self.add(format!("{section}.url"), why).hint("write `url = \"https://HOST/PATH\"`");
        }
        let most = WebhookConfig::SECRETS_MAX;
        if secrets.is_empty() || secrets.len() > most {
            let message = format!("names {} signing keys, expected 1, or {most} while keys are changed", secrets.len());
            self.add(format!("{section}.secret"), message)
                .hint("write `secret = \"env:NAME\"`, or `secret = [\"env:NEW\", \"env:OLD\"]`");
        }
        if events.is_empty() {
            self.add(format!("{section}.events"), "is empty, so that it would never be called")
                .hint("name types, such as `events = [\"delivery.*\"]`, or leave the webhook out");
        }
        self.durations(format!("{section}.timeout"), *timeout, &TIMEOUT);
        if !config.retry.contains_key(retry) {
            let message = format!("names the policy `{retry}`, which does not exist");
            self.add(format!("{section}.retry"), message).hint(
                match nearest(retry, config.retry.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write it as `[retry.{retry}]`"),
                },
            );
        }
        for network in allow_networks {
            if let Err(why) = egress::network(network) {
                self.add(format!("{section}.allow_networks"), format!("has `{network}`, {why}"));
            }
        }
        self.within(format!("{section}.concurrency"), *concurrency, &CONCURRENCY, u32::clone);
    }
}

/// What is wrong with a URL. Never quotes it: it may hold a secret.
fn usable(text: &str) -> Result<(), &'static str> {
    let url = Url::parse(text).map_err(|_| "is no URL")?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err("is no http or https URL with a host");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("carries credentials, which are not sent: requests are signed");
    }
    if url.fragment().is_some() {
        return Err("has a fragment, which is never sent");
    }
    Ok(())
}
