//! On whose behalf a request is done.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::HeaderMap;
use http::header::USER_AGENT;
use http::request::Parts;

use super::Api;
use crate::domain::Actor;
use crate::runtime::Runtime;

/// What our own command line says of itself.
const CLI: &str = "campanile/";

/// The runtime, on behalf of whoever asks. While there are no API keys that is what the client says of itself: it tells
/// people from programs, and proves nothing.
pub(super) struct Asked(pub(super) Runtime);

impl FromRequestParts<Arc<Api>> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Infallible> {
        Ok(Self(api.runtime.acting_for(actor(&parts.headers))))
    }
}

fn actor(headers: &HeaderMap) -> Actor {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    if agent.is_some_and(|agent| agent.starts_with(CLI)) { Actor::Cli } else { Actor::Api }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_command_line_is_told_from_other_programs() {
        let of = |agent: Option<&'static str>| {
            let agent = agent.map(|agent| (USER_AGENT, http::HeaderValue::from_static(agent)));
            actor(&agent.into_iter().collect())
        };
        assert_eq!(of(Some(concat!("campanile/", env!("CARGO_PKG_VERSION")))), Actor::Cli);
        assert_eq!([of(None), of(Some("curl/8.5.0")), of(Some("my-campanile/1"))], [Actor::Api; 3]);
    }
}
