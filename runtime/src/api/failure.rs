//! Everything but success, as `application/problem+json` (RFC 9457) with a stable code.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};

use super::body::Limit;
use super::wire::{ProblemDocument, ProblemItem};
use crate::events::{EventIdError, TooManySubscribers};
use crate::intake::{Problems, SubmitError};
use crate::runtime::{ConfigFinding, OperatorError, ReloadError, StoreError};

/// When to ask again where the store does not answer, or there is no place for one more.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Failure {
    #[error("the body is not JSON: {message}")]
    Malformed { message: String },
    #[error("the notification has {}, and nothing of it is kept", .0.counted())]
    Invalid(Problems),
    #[error("the query has {}", .0.counted())]
    Query(Problems),
    #[error("the body has {}", .0.counted())]
    Body(Problems),
    #[error("the configuration has {}, and nothing of it takes effect", counted(.0.len()))]
    Configuration(Vec<ConfigFinding>),
    #[error("{0}")]
    NoSource(String),
    #[error("{0}")]
    Header(&'static str),
    #[error("the header `Last-Event-ID`: {0}")]
    LastEventId(EventIdError),
    #[error(transparent)]
    TooManySubscribers(#[from] TooManySubscribers),
    #[error("{0}")]
    TooLarge(Limit),
    #[error("the body must be {expected}")]
    MediaType { expected: &'static str },
    #[error("the body did not arrive within {} s", .0.as_secs())]
    TooSlow(Duration),
    #[error("the body did not arrive whole")]
    Broken,
    #[error(
        "requests are taken for a loopback address or `localhost` only, since no API key is configured: this one is \
         for another host"
    )]
    WrongHost,
    #[error("no API key is configured, and this comes from a web page of another origin, which anybody may have made")]
    WrongOrigin,
    #[error("{0}")]
    NoPlugin(String),
    #[error("{0}")]
    NoChannel(String),
    #[error("{0}")]
    NoCallback(String),
    #[error("{0}")]
    CallbackInUse(String),
    #[error("{0}")]
    ChannelUnusable(String),
    #[error("the test has {}, and nobody was called", .0.counted())]
    Untestable(Problems),
    #[error("{0}")]
    NothingToDo(String),
    #[error("{0}")]
    PluginRefused(String),
    #[error("{0}: there is nothing left to cancel")]
    AlreadyFinal(&'static str),
    #[error("{0}: it cannot be withdrawn, and goes on to the provider's final word")]
    Taken(&'static str),
    #[error("{0}: there is nothing to replay")]
    NotFailed(&'static str),
    #[error("the notification's `expires_at` has passed: it is sent to nobody any more")]
    Expired,
    #[error("there is nothing here: {0}")]
    NotFound(&'static str),
    #[error("this path does not take that method")]
    Method,
    #[error("the server is starting: it compiles plugins that it has not seen before; ask again in a moment")]
    Starting,
    #[error("not now, {reason}; ask again later")]
    Unavailable { retry_after: Duration, reason: String },
    #[error("the request met a defect of this program, which is in its log")]
    Internal,
}

impl Failure {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Malformed { .. }
            | Self::Query(_)
            | Self::Body(_)
            | Self::Header(_)
            | Self::LastEventId(_)
            | Self::Broken => StatusCode::BAD_REQUEST,
            Self::Invalid(_) | Self::Configuration(_) | Self::Untestable(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::MediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooSlow(_) => StatusCode::REQUEST_TIMEOUT,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::WrongOrigin => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::NoPlugin(_) | Self::NoChannel(_) | Self::NoCallback(_) => StatusCode::NOT_FOUND,
            Self::NothingToDo(_)
            | Self::NoSource(_)
            | Self::ChannelUnusable(_)
            | Self::CallbackInUse(_)
            | Self::PluginRefused(_)
            | Self::AlreadyFinal(_)
            | Self::Taken(_)
            | Self::NotFailed(_)
            | Self::Expired => StatusCode::CONFLICT,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Starting | Self::Unavailable { .. } | Self::TooManySubscribers(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    const fn code(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed-json",
            Self::Invalid(_) => "invalid-notification",
            Self::Query(_) => "invalid-query",
            Self::Body(_) => "invalid-body",
            Self::Configuration(_) => "invalid-configuration",
            Self::NoSource(_) => "no-configuration-source",
            Self::Header(_) | Self::LastEventId(_) => "invalid-header",
            Self::TooManySubscribers(_) => "too-many-subscribers",
            Self::TooLarge(_) => "body-too-large",
            Self::MediaType { .. } => "unsupported-media-type",
            Self::TooSlow(_) => "body-too-slow",
            Self::Broken => "body-incomplete",
            Self::WrongHost => "wrong-host",
            Self::WrongOrigin => "wrong-origin",
            Self::NotFound(_) => "not-found",
            Self::NoPlugin(_) => "unknown-plugin",
            Self::NoChannel(_) => "unknown-channel",
            Self::NoCallback(_) => "unknown-callback",
            Self::CallbackInUse(_) => "callback-in-use",
            Self::ChannelUnusable(_) => "channel-unusable",
            Self::Untestable(_) => "invalid-test",
            Self::NothingToDo(_) => "nothing-to-do",
            Self::PluginRefused(_) => "plugin-refused",
            Self::AlreadyFinal(_) => "already-final",
            Self::Taken(_) => "already-accepted",
            Self::NotFailed(_) => "not-failed",
            Self::Expired => "expired",
            Self::Method => "method-not-allowed",
            Self::Starting => "starting",
            Self::Unavailable { .. } => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What the caller is told.
    pub(super) fn document(&self) -> ProblemDocument {
        let problems = match self {
            Self::Invalid(problems) | Self::Query(problems) | Self::Body(problems) | Self::Untestable(problems) => {
                problems.as_slice().iter().map(ProblemItem::from).collect()
            }
            Self::Configuration(problems) => problems.iter().map(ProblemItem::from).collect(),
            _ => Vec::new(),
        };
        ProblemDocument {
            kind: "about:blank".to_owned(),
            title: self.status().canonical_reason().unwrap_or_default().to_owned(),
            status: self.status().as_u16(),
            code: self.code().to_owned(),
            detail: self.to_string(),
            problems,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = json(self.status(), "application/problem+json", &self.document());
        let retry_after = match self {
            Self::Starting => Some(Duration::from_secs(1)),
            Self::Unavailable { retry_after, .. } => Some(retry_after),
            Self::TooManySubscribers(_) => Some(ASK_AGAIN),
            _ => None,
        };
        if let Some(retry_after) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
        }
        response
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid(problems) => Self::Invalid(problems),
            SubmitError::Unavailable { retry_after, source } => {
                tracing::warn!(error = %source, "The store does not take notifications.");
                Self::Unavailable { retry_after, reason: source.to_string() }
            }
            SubmitError::Internal(source) => {
                tracing::error!(error = %source, "A notification could not be stored.");
                Self::Internal
            }
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %error, "The store could not be read or changed.");
        if !error.is_transient() {
            return Self::Internal;
        }
        Self::Unavailable { retry_after: ASK_AGAIN, reason: error.to_string() }
    }
}

impl From<ReloadError> for Failure {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Config { problems, .. } => Self::Configuration(problems),
            ReloadError::NoSource => Self::NoSource(error.to_string()),
            ReloadError::Store(source) => Self::from(source),
            ReloadError::Internal { .. } => Self::Internal,
        }
    }
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::NothingToDo { .. }
            | OperatorError::NotWaiting { .. }
            | OperatorError::SeveralWait { .. } => Self::NothingToDo(error.to_string()),
            OperatorError::Refused { .. } => Self::PluginRefused(error.to_string()),
            _ => Self::NoPlugin(error.to_string()),
        }
    }
}

/// A body of this type, never cached: what it says may be old a moment later.
pub(super) fn json<T: serde::Serialize>(status: StatusCode, media_type: &'static str, body: &T) -> Response {
    const NO_STORE: (HeaderName, HeaderValue) = (http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    match serde_json::to_vec(body) {
        Ok(body) => {
            let media_type = (CONTENT_TYPE, HeaderValue::from_static(media_type));
            (status, [media_type, NO_STORE], body).into_response()
        }
        // Our own shapes have string keys and finite numbers: they do serialise.
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn counted(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}
