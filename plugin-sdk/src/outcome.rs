//! What an attempt means: the plugin judges the provider's answer, the host decides what happens, and when.

use std::{fmt, time::Duration};

use crate::{Pairs, http::Reply};

/// What [`Channel::send`](crate::Channel::send) answers.
pub type Outcome = Result<Sent, Failure>;

/// The longest stretch of a provider's answer that [`from_status`] quotes, in characters: enough for a sentence, too
/// little to copy a page of HTML into the store.
const QUOTE_CHARS_MAX: usize = 300;

/// The provider has it.
///
/// ```
/// # use campanile_plugin_sdk::Sent;
/// let sent = Sent::now().provider_id("1725.42").fact("region", "eu");
/// assert_eq!(sent.provider_id.as_deref(), Some("1725.42"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The provider's id for the message.
    pub provider_id: Option<String>,
    /// What else is worth keeping.
    pub facts: Pairs,
    /// Whether this is the final word.
    pub finality: Finality,
}

/// What [`Sent`] said when the provider accepted a message: what [`Channel::poll`](crate::Channel::poll) asks with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's id for the message.
    pub provider_id: Option<String>,
    /// What else was kept.
    pub facts: Pairs,
}

impl Receipt {
    /// The fact of this name.
    #[must_use]
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Whether the provider's word is final.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Finality {
    /// Delivered as far as the provider can tell.
    #[default]
    Sent,
    /// Taken; the final word comes later, to a plugin that exports `poll`. Of another, this is the last word.
    Accepted {
        /// When it is worth asking for it.
        check_after: Option<Duration>,
    },
}

impl Sent {
    /// Delivered as far as the provider can tell.
    #[must_use]
    pub fn now() -> Self {
        Self::default()
    }

    /// Taken; the final word comes later, and is worth asking for after `check_after`.
    #[must_use]
    pub fn accepted(check_after: Option<Duration>) -> Self {
        Self { finality: Finality::Accepted { check_after }, ..Self::default() }
    }

    /// With the provider's id for the message.
    #[must_use]
    pub fn provider_id(mut self, id: impl Into<String>) -> Self {
        self.provider_id = Some(id.into());
        self
    }

    /// With something else that is worth keeping.
    #[must_use]
    pub fn fact(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.facts.push((name.into(), value.into()));
        self
    }
}

/// The provider has it not, or nobody knows.
///
/// ```
/// # use std::time::Duration;
/// # use campanile_plugin_sdk::{Failure, FailureKind, Trouble};
/// let failure = Failure::retry(Trouble::Server, "provider is down for maintenance").after(Duration::from_secs(60));
/// assert!(matches!(failure.kind, FailureKind::Retry { after: Some(_), .. }));
///
/// let failure = Failure::channel("invalid_token", "token was revoked");
/// assert_eq!(failure.code.as_deref(), Some("invalid_token"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What it means.
    pub kind: FailureKind,
    /// The provider's own code, or a short one such as `http-404`.
    pub code: Option<String>,
    /// A sentence for the operator: never an address, content or a URL.
    pub reason: String,
}

/// What a failed attempt means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// May work later; costs an attempt.
    Retry {
        /// Not before this has passed.
        after: Option<Duration>,
        /// Of what kind: only some kinds count against the health of the provider.
        trouble: Trouble,
    },
    /// Too fast; holds back the scope, costs no attempt.
    RateLimited {
        /// Not before this has passed.
        after: Option<Duration>,
        /// What to hold back.
        scope: Scope,
    },
    /// Never works as it is; only this message is to blame.
    Message,
    /// Never works as it is; all would fail the same way (credentials, settings).
    Channel,
    /// The address is dead, invalid or opted out.
    Gone {
        /// Where the recipient has moved to.
        new_address: Option<String>,
    },
}

/// Of what kind the trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No or half an answer.
    Unreachable,
    /// The provider says that it is in trouble (5xx).
    Server,
    /// No answer in time.
    Timeout,
    /// A reply that asks to come back (a lock, a conflict, a queue).
    Other,
}

/// What a rate limit holds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// This recipient alone.
    Recipient,
    /// This channel.
    Channel,
    /// All channels of the same account with the provider.
    Account,
}

impl Failure {
    fn new(kind: FailureKind, code: Option<String>, reason: impl Into<String>) -> Self {
        Self { kind, code, reason: reason.into() }
    }

    /// May work later; costs an attempt.
    #[must_use]
    pub fn retry(trouble: Trouble, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Retry { after: None, trouble }, None, reason)
    }

    /// Too fast: holds back the channel (see [`scope`](Self::scope)), costs no attempt.
    #[must_use]
    pub fn rate_limited(after: Option<Duration>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::RateLimited { after, scope: Scope::Channel }, None, reason)
    }

    /// Never works as it is, and only this message is to blame.
    #[must_use]
    pub fn message(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Message, Some(code.into()), reason)
    }

    /// Never works as it is, and all messages would fail the same way (credentials, settings).
    #[must_use]
    pub fn channel(code: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Channel, Some(code.into()), reason)
    }

    /// The address is dead, invalid or opted out.
    #[must_use]
    pub fn gone(reason: impl Into<String>) -> Self {
        Self::new(FailureKind::Gone { new_address: None }, None, reason)
    }

    /// With the provider's own code.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Not before this has passed. Means something for a retry and a rate limit only.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        match &mut self.kind {
            FailureKind::Retry { after, .. } | FailureKind::RateLimited { after, .. } => *after = Some(delay),
            FailureKind::Message | FailureKind::Channel | FailureKind::Gone { .. } => {}
        }
        self
    }

    /// What to hold back. Means something for a rate limit only.
    #[must_use]
    pub fn scope(mut self, what: Scope) -> Self {
        if let FailureKind::RateLimited { scope, .. } = &mut self.kind {
            *scope = what;
        }
        self
    }

    /// Where the recipient has moved to. Means something for a gone recipient only.
    #[must_use]
    pub fn new_address(mut self, address: impl Into<String>) -> Self {
        if let FailureKind::Gone { new_address } = &mut self.kind {
            *new_address = Some(address.into());
        }
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.code {
            Some(code) => write!(formatter, "{} ({code})", self.reason),
            None => formatter.write_str(&self.reason),
        }
    }
}

impl std::error::Error for Failure {}

/// What a status code means where the provider says nothing better. [`Reply::judge`] is the same.
///
/// | status | meaning | source |
/// |---|---|---|
/// | 2xx | sent | RFC 9110 §15.3 |
/// | 408, 425 | retry: timeout, other | RFC 9110 §15.5.9, RFC 8470 §5.2 |
/// | 409, 423 | retry, other: a conflict or a lock passes | RFC 9110 §15.5.10, RFC 4918 §11.3 |
/// | 410 | channel: the endpoint was taken away for good | RFC 9110 §15.5.11 |
/// | 413, 414, 422, 431 | message: too large or not understood, others may pass | RFC 9110 §15.5.14, §15.5.15, §15.5.21; RFC 6585 §5 |
/// | 400 | message: as it is, this request is wrong | RFC 9110 §15.5.1 |
/// | 429 | rate limited, for `Retry-After` | RFC 6585 §4 |
/// | 501, 505 | channel: never works with this server | RFC 9110 §15.6.2, §15.6.6 |
/// | 504 | retry, timeout | RFC 9110 §15.6.5 |
/// | other 5xx | retry, server; after `Retry-After` | RFC 9110 §15.6 |
/// | 1xx, 3xx | channel: not the endpoint itself | RFC 9110 §15.4 |
/// | other 4xx (401, 403, 404, 405, 415 …) | channel: credentials, address or way of asking are wrong for all | RFC 9110 §15.5 |
///
/// The code is `http-<status>`, the reason quotes the first line of a short textual answer.
///
/// # Errors
///
/// Everything but a 2xx, as the table says.
pub fn from_status(reply: &Reply) -> Outcome {
    let status = reply.status();
    let reason = || reason(reply);
    let retry = |trouble| {
        let failure = Failure::retry(trouble, reason());
        match reply.retry_after() {
            Some(delay) => failure.after(delay),
            None => failure,
        }
    };
    let failure = match status {
        200..=299 => return Ok(Sent::now()),
        408 | 504 => retry(Trouble::Timeout),
        409 | 423 | 425 => retry(Trouble::Other),
        429 => Failure::rate_limited(reply.retry_after(), reason()),
        400 | 413 | 414 | 422 | 431 => Failure::message("", reason()),
        501 | 505 => Failure::channel("", reason()),
        500..=599 => retry(Trouble::Server),
        _ => Failure::channel("", reason()),
    };
    Err(failure.code(format!("http-{status}")))
}

/// The first line of the answer if it is short text; else the status alone.
fn reason(reply: &Reply) -> String {
    let status = reply.status();
    let is_markup = reply.header("content-type").is_some_and(|kind| kind.contains("html") || kind.contains("xml"));
    let text = reply.text();
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if is_markup || line.is_empty() {
        return format!("provider answered {status}");
    }
    let quote: String = line.chars().filter(|c| !c.is_control()).take(QUOTE_CHARS_MAX).collect();
    format!("provider answered {status}: {quote}")
}

#[cfg(test)]
mod tests;
