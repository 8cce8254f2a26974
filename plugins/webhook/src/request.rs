//! Content → request. Pure.
//!
//! Standard Webhooks, "Webhook metadata" and "Payload structure":
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::collections::BTreeMap;

use campanile_plugin_sdk::{
    Call, ConfigProblem, Content, Notification, Recipient,
    http::{self, Error, Request},
    time,
};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::{Method, Webhook};

/// Headers that are the channel's own to set.
const RESERVED: [&str; 5] = ["webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length"];

/// The request for one attempt.
///
/// `webhook-id` is the delivery's id, the same over all attempts: receivers use it as idempotency key.
/// `webhook-timestamp` is that of the attempt, in whole seconds.
///
/// # Errors
///
/// The payload could not be written: it always can.
pub fn build(config: &Webhook, call: &Call) -> Result<Request, Error> {
    let method = match config.method {
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Patch => "PATCH",
    };
    let mut request = http::request(method, &config.url);
    let keys: Vec<_> = config.key.iter().chain(&config.previous_key).collect();
    request = if keys.is_empty() {
        let timestamp = (call.context.now_ms / 1000).to_string();
        request.header("webhook-id", &call.delivery_id).header("webhook-timestamp", timestamp)
    } else {
        request.standard_webhooks(&call.delivery_id, keys)
    };
    for (name, value) in &config.headers {
        request = request.header(name, value);
    }
    request.json(&payload(&call.notification, &call.recipient)).build()
}

/// What is wrong with a header of this name in the config; none: nothing.
pub fn header_problem(name: &str) -> Option<ConfigProblem> {
    let is_token = !name.is_empty() && name.bytes().all(is_token_byte);
    let problem = if !is_token {
        "is no name of a header (RFC 9110 §5.1)"
    } else if RESERVED.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
        "is set by the channel itself; remove it"
    } else {
        return None;
    };
    Some(ConfigProblem::at("", problem).under(name).under("headers"))
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[derive(Serialize)]
struct Payload<'a> {
    /// The notification's kind.
    r#type: &'a str,
    /// When it was accepted.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: &'a str,
    priority: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    markdown: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Action<'a>>,
    /// The caller's own JSON, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
    #[serde(skip_serializing_if = "To::is_nobody")]
    recipient: To<'a>,
}

#[derive(Serialize)]
struct Action<'a> {
    id: &'a str,
    label: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    style: &'static str,
}

#[derive(Serialize)]
struct To<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    address: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_zone: Option<&'a str>,
}

impl To<'_> {
    fn is_nobody(&self) -> bool {
        self.address.is_empty() && self.id.is_none() && self.name.is_none()
    }
}

fn payload<'a>(notification: &'a Notification, recipient: &'a Recipient) -> Payload<'a> {
    let Content { title, text, html, markdown, parts } = &notification.content;
    let action = |action: &'a campanile_plugin_sdk::Action| Action {
        id: &action.id,
        label: &action.label,
        url: action.url.as_deref(),
        style: action.style.name(),
    };
    Payload {
        r#type: &notification.kind,
        timestamp: time::rfc3339(notification.created_ms),
        data: Data {
            id: &notification.id,
            priority: notification.priority.name(),
            title: title.as_deref(),
            text,
            html: html.as_deref(),
            markdown: markdown.as_deref(),
            parts: parts.iter().map(|part| (part.name.as_str(), part.value.as_str())).collect(),
            actions: notification.actions.iter().map(action).collect(),
            // The host has read it as JSON before; were it none, the payload would still be whole.
            data: notification.data.as_deref().and_then(|data| serde_json::from_str(data).ok()),
            metadata: notification.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            correlation_id: notification.correlation_id.as_deref(),
            group_key: notification.group_key.as_deref(),
            expires_at: notification.expires_ms.map(time::rfc3339),
            recipient: To {
                address: &recipient.address,
                id: recipient.id.as_deref(),
                name: recipient.name.as_deref(),
                locale: recipient.locale.as_deref(),
                time_zone: recipient.time_zone.as_deref(),
            },
        },
    }
}
