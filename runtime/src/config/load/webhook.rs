//! `[[callbacks.webhook]]`.

use super::section::Section;
use super::value;
use crate::config::tree::Scalar;
use crate::config::{ParseSecretRefError, SecretRef, WebhookConfig};
use crate::domain::{CallbackName, EventPattern};

/// Reads every webhook of the section `[callbacks]`.
pub(super) fn webhooks(section: &mut Section<'_>, into: &mut Vec<WebhookConfig>) {
    into.clear();
    section.tables("webhook", |section| into.push(webhook(section)));
}

fn webhook(section: &mut Section<'_>) -> WebhookConfig {
    let (mut name, mut url) = (None, String::new());
    section.key("name", &mut name, |scalar| value::name(scalar, CallbackName::new).map(Some));
    section.require("name", "name it: `name = \"crm\"`");
    section.key("url", &mut url, value::string);
    section.require("url", "say where to: `url = \"https://HOST/PATH\"`");
    // A stand-in where none was written, so that the rest is checked too; with a problem found, nobody gets to see it.
    let name = name.unwrap_or_else(|| CallbackName::new("none").expect("`none` is a name"));
    let mut webhook = WebhookConfig::new(name, url);
    section.key("secret", &mut webhook.secrets, secrets);
    section.require("secret", "say where its signing key is: `secret = \"env:NAME\"`");
    section.entries("events", &mut webhook.events, event);
    section.key("timeout", &mut webhook.timeout, value::duration);
    section.key("retry", &mut webhook.retry, value::string);
    section.key("allow_networks", &mut webhook.allow_networks, value::list);
    section.key("concurrency", &mut webhook.concurrency, value::integer);
    webhook
}

/// A type of event, or a group of them.
pub(super) fn event(text: &str) -> Result<EventPattern, String> {
    text.parse().map_err(|error| format!("has a bad value: {error}"))
}

/// One reference to a secret, or several. A complaint quotes nothing: somebody may have written the secret itself.
pub(super) fn secrets(scalar: &Scalar) -> Result<Vec<SecretRef>, String> {
    match scalar {
        Scalar::Array(_) => value::list(scalar)
            .map_err(|_| ParseSecretRefError.to_string())?
            .iter()
            .map(|text| value::secret(&Scalar::String(text.clone())))
            .collect(),
        scalar => value::secret(scalar).map(|one| vec![one]),
    }
}

#[cfg(test)]
mod tests;
