//! Reply → outcome. Pure.

use campanile_plugin_sdk::{Failure, Outcome, http::Reply};

/// What the receiver's answer means: its status, and nothing else of it.
///
/// Standard Webhooks, "Delivery": 2xx is success; 410 asks to disable the endpoint; 429, 502 and 504 ask to slow down,
/// and `Retry-After` is honoured; a redirect is not followed, and is a failure.
///
/// # Errors
///
/// Everything but a 2xx.
pub fn judge(reply: &Reply) -> Outcome {
    match reply.status() {
        410 => Err(Failure::channel("gone", "receiver answered 410: it wants no more; disable this channel")),
        _ => reply.judge(),
    }
}
