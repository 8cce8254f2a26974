//! An event as a Standard Webhook has it: `{type, timestamp, data}`, under an id that every attempt has: pure.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::domain::CallbackName;

/// What is sent of an event, and under which id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// Of the event and the webhook: two webhooks may lead to one receiver. Has no full stop, which divides what is
    /// signed.
    pub(super) id: String,
    pub(super) body: Bytes,
}

/// Turns an event as it is published, `{id, type, at, notification_id?, delivery_id?, data}`, into what `webhook` is sent.
/// What it is about stands in `data`, beside the event's own fields.
pub(super) fn message(webhook: &CallbackName, published: Value) -> Message {
    let Value::Object(mut published) = published else { return Message { id: String::new(), body: Bytes::new() } };
    let mut take = |key: &str| published.remove(key);
    let (id, kind, at) = (take("id"), take("type"), take("at"));
    let event = id.as_ref().and_then(Value::as_str).unwrap_or_default();
    // A name may have full stops and no `~`, so two names stay two.
    let message_id = format!("{event}-{}", webhook.as_str().replace('.', "~"));
    let mut data = Map::new();
    data.extend(id.map(|id| ("id".to_owned(), id)));
    for key in ["notification_id", "delivery_id"] {
        data.extend(take(key).map(|value| (key.to_owned(), value)));
    }
    if let Some(Value::Object(own)) = take("data") {
        data.extend(own);
    }
    let body = json!({ "type": kind, "timestamp": at, "data": data });
    Message { id: message_id, body: body.to_string().into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_becomes_type_timestamp_and_data_under_an_id_of_event_and_webhook() {
        let published = json!({
            "id": "00c0ffee00c0ffee-42", "type": "delivery.sent", "at": "2026-01-01T00:00:00.000Z",
            "notification_id": "ntf_1", "delivery_id": "dlv_1_0", "data": { "attempts": 1, "provider_id": null }
        });
        let of = |name: &str| message(&name.parse().expect("a name"), published.clone());
        let one = of("crm.sent");
        assert_eq!(one.id, "00c0ffee00c0ffee-42-crm~sent");
        assert_ne!(one.id, of("crm-sent").id);
        let body: Value = serde_json::from_slice(&one.body).expect("JSON");
        assert_eq!(
            body,
            json!({
                "type": "delivery.sent",
                "timestamp": "2026-01-01T00:00:00.000Z",
                "data": {
                    "id": "00c0ffee00c0ffee-42",
                    "notification_id": "ntf_1",
                    "delivery_id": "dlv_1_0",
                    "attempts": 1,
                    "provider_id": null
                }
            })
        );
    }
}
