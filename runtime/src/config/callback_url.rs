//! `[callbacks] secret`, `events` and `allow_networks`: how the `callback_url` of a notification is called.

use super::SecretRef;
use super::webhook::final_events;
use crate::domain::EventPattern;

/// How the `callback_url` of a notification is called, which a caller gives with it. All of it can change while the process
/// runs. Timeout, retries and signatures are those of a webhook that says nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallbackUrlConfig {
    /// `secret`: where the signing keys are. One, or two while keys are changed: a call has a signature of each. Without
    /// any, no notification with a `callback_url` is accepted. Default: none.
    pub secrets: Vec<SecretRef>,
    /// Events that are told, of each notification with a `callback_url` its own. Default: `delivery.sent`,
    /// `delivery.failed`, `notification.completed`, as a webhook has it: providers call back with the end of each message,
    /// and whoever wants the one end of all names `notification.completed` alone.
    pub events: Vec<EventPattern>,
    /// Special and private address ranges that may be called, such as `127.0.0.1/32`; by `http` too. Default: none.
    pub allow_networks: Vec<String>,
}

impl Default for CallbackUrlConfig {
    fn default() -> Self {
        Self { secrets: Vec::new(), events: final_events(), allow_networks: Vec::new() }
    }
}

impl CallbackUrlConfig {
    /// Whether any is called: whether there is a key to sign calls with.
    #[must_use]
    pub const fn is_on(&self) -> bool {
        !self.secrets.is_empty()
    }
}
