//! `[[callbacks.webhook]]`: processes that are told of events by signed requests.

use std::fmt;
use std::time::Duration;

use url::Url;

use super::SecretRef;
use crate::domain::{CallbackName, EventPattern};

/// What a webhook is told of that asks for nothing: how things ended.
const FINAL: [&str; 3] = ["delivery.sent", "delivery.failed", "notification.completed"];

/// `[[callbacks.webhook]]`: a process that is told of events by signed requests (Standard Webhooks).
#[derive(Clone, PartialEq)]
pub struct WebhookConfig {
    /// What is remembered of it, it finds again by this name.
    pub name: CallbackName,
    /// Where to. `http` or `https`. May hold a secret in path or query: never printed whole.
    pub url: String,
    /// `secret`: where its signing keys are. One, or two while keys are changed: a request has a signature of each.
    pub secrets: Vec<SecretRef>,
    /// Events it is told of. Default: `delivery.sent`, `delivery.failed`, `notification.completed`.
    pub events: Vec<EventPattern>,
    /// How long a call may take. Default: 15 s.
    pub timeout: Duration,
    /// The retry policy, by name. Its retries are what ends it; its `max_age` has no say, since what is replayed is old.
    /// Default: `standard-webhooks`.
    pub retry: String,
    /// Special and private address ranges it may stand in, such as `127.0.0.1/32`. Default: none.
    pub allow_networks: Vec<String>,
    /// Calls in flight at once. Default: 8.
    pub concurrency: u32,
}

/// How things ended.
pub(super) fn final_events() -> Vec<EventPattern> {
    FINAL.map(|kind| kind.parse().unwrap_or_else(|_| unreachable!("it is a type of event"))).to_vec()
}

impl WebhookConfig {
    /// Signing keys that one may have: the one in use, and the one before or after it.
    pub const SECRETS_MAX: usize = 2;
    /// The retry policy of one that names none.
    pub const RETRY: &str = "standard-webhooks";

    /// One with nothing else set. It takes a secret before it is good.
    #[must_use]
    pub fn new(name: CallbackName, url: impl Into<String>) -> Self {
        Self {
            name,
            url: url.into(),
            secrets: Vec::new(),
            events: final_events(),
            timeout: Duration::from_secs(15),
            retry: Self::RETRY.to_owned(),
            allow_networks: Vec::new(),
            concurrency: 8,
        }
    }

    /// Its URL without what may be a secret: `https://hooks.example.com/***`.
    #[must_use]
    pub fn masked_url(&self) -> String {
        let Ok(url) = Url::parse(&self.url) else { return "***".to_owned() };
        let bare = url.path() == "/" && url.query().is_none();
        format!("{}/{}", url.origin().ascii_serialization(), if bare { "" } else { "***" })
    }
}

impl fmt::Debug for WebhookConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, url: _, secrets, events, timeout, retry, allow_networks, concurrency } = self;
        f.debug_struct("WebhookConfig")
            .field("name", name)
            .field("url", &self.masked_url())
            .field("secrets", secrets)
            .field("events", events)
            .field("timeout", timeout)
            .field("retry", retry)
            .field("allow_networks", allow_networks)
            .field("concurrency", concurrency)
            .finish()
    }
}
