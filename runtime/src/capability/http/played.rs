//! Providers that are played: for the tools of plugin authors.

use bytes::Bytes;

use super::{HttpError, HttpReply};

/// A request as it would have left the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlayedRequest {
    /// Such as `POST`.
    pub method: String,
    /// Absolute.
    pub url: String,
    /// Lower-case names; several of a name stay several.
    pub headers: Vec<(String, String)>,
    /// Empty: none.
    pub body: Bytes,
}

/// Answers in the place of the network. The whole egress policy stands before it: what reaches it was granted. Nothing
/// is resolved, connected or sent.
pub trait PlayedProvider: Send + Sync + 'static {
    /// The answer to one request.
    ///
    /// # Errors
    ///
    /// As a network would have them: [`HttpError::Unreachable`], [`HttpError::Interrupted`], [`HttpError::Timeout`].
    fn answer(&self, request: PlayedRequest) -> Result<HttpReply, HttpError>;
}

/// The answer as it is handed over: cut where it is longer than `response_max` bytes.
pub(super) fn play(
    provider: &dyn PlayedProvider,
    request: PlayedRequest,
    response_max: u64,
) -> Result<HttpReply, HttpError> {
    let mut reply = provider.answer(request)?;
    let limit = usize::try_from(response_max).unwrap_or(usize::MAX);
    if reply.body.len() > limit {
        reply.body.truncate(limit);
        reply.truncated = true;
    }
    Ok(reply)
}
