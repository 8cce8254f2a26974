//! Short-lived values that later calls of the same channel find, such as access tokens. They may vanish at any time.
//!
//! ```
//! use std::time::Duration;
//! use campanile_plugin_sdk::{Failure, cache, http, testing::{Expect, MockHost}};
//!
//! fn token() -> Result<String, Failure> {
//!     cache::token("token", || {
//!         let reply = http::post("https://login.example.com/token").send()?;
//!         let body: campanile_plugin_sdk::Value = reply.json()?;
//!         let seconds = body["expires_in"].as_u64().unwrap_or(300);
//!         let token = body["access_token"].as_str().unwrap_or_default().to_owned();
//!         Ok(cache::Token { token, expires_in: Duration::from_secs(seconds) })
//!     })
//! }
//!
//! // One request, however often the token is asked for.
//! let answer = r#"{"access_token":"abc","expires_in":3600}"#;
//! let host = MockHost::new().expect(Expect::post("https://login.example.com/token").reply(200, answer));
//! let (tokens, _) = host.run(|| (token(), token()));
//! assert_eq!(tokens, (Ok("abc".to_owned()), Ok("abc".to_owned())));
//! ```
//!
//! *Needs* [`Need::cache`](crate::Need::cache).

use std::{fmt, time::Duration};

use crate::{Failure, Trouble, host};

/// The value, if it is there and not too old.
///
/// # Errors
///
/// [`Error`]; not one that a missing value would be.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::cache_get(key)
}

/// The value; or none, and then it is for this call to fetch it and [`put`] it. While it does, other calls that ask the
/// same way wait; if it ends without, the next of them is asked.
///
/// # Errors
///
/// [`Error::Timeout`] where another call fetches it for longer than this one lives.
pub fn get_or_claim(key: &str) -> Result<Option<Vec<u8>>, Error> {
    host::cache_get_or_claim(key)
}

/// Keeps a value for so long, at most.
///
/// # Errors
///
/// [`Error::Limit`] for a key over 256 bytes and a value over 64 KiB.
pub fn put(key: &str, value: impl AsRef<[u8]>, ttl: Duration) -> Result<(), Error> {
    host::cache_put(key, value.as_ref(), ttl)
}

/// Forgets a value: of a token, when the provider refuses it before its time.
///
/// # Errors
///
/// [`Error`].
pub fn remove(key: &str) -> Result<(), Error> {
    host::cache_remove(key)
}

/// What a provider gave to prove who we are.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// As it is sent.
    pub token: String,
    /// From now.
    pub expires_in: Duration,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Token").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// The token kept under `key`, or a fresh one: of all calls that need it together one fetches it. It is kept for nine
/// tenths of its time, so that none is used in its last moment. Where no cache is granted it is fetched each time.
///
/// # Errors
///
/// Those of `fetch`, and [`Error::Timeout`] as in [`get_or_claim`].
pub fn token<E: From<Error>>(key: &str, fetch: impl FnOnce() -> Result<Token, E>) -> Result<String, E> {
    match get_or_claim(key) {
        Ok(Some(kept)) => {
            if let Ok(token) = String::from_utf8(kept) {
                return Ok(token);
            }
        }
        Ok(None) | Err(Error::Denied(_) | Error::Limit(_)) => {}
        Err(error @ Error::Timeout(_)) => return Err(error.into()),
    }
    let Token { token, expires_in } = fetch()?;
    // Whether it can be kept or not, it is good for this call.
    let _ = put(key, token.as_str(), expires_in * 9 / 10);
    Ok(token)
}

/// Why the cache does not answer. The sentence is the host's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// Not granted; says which line would grant it.
    Denied(String),
    /// A key, a value, or what one call may ask for.
    Limit(String),
    /// Another call fetches the value and was not done in time.
    Timeout(String),
}

impl Error {
    /// Its word: `denied`, `limit`, `timeout`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Limit(_) => "limit",
            Self::Timeout(_) => "timeout",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Denied(why) | Self::Limit(why) | Self::Timeout(why)) = self;
        formatter.write_str(why)
    }
}

impl std::error::Error for Error {}

/// A missing grant or a limit is the channel's fault; who only waited tries again.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let code = error.name();
        match error {
            Error::Denied(why) | Error::Limit(why) => Self::channel(code, why),
            Error::Timeout(why) => Self::retry(Trouble::Timeout, why).code(code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MockHost;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn fetching(token: &str) -> impl FnOnce() -> Result<Token, Failure> {
        || Ok(Token { token: token.to_owned(), expires_in: HOUR })
    }

    #[test]
    fn a_token_is_fetched_once_and_again_after_it_was_refused() {
        let (tokens, _) = MockHost::new().run(|| {
            let first = token("token", fetching("one"));
            let second = token("token", fetching("two"));
            remove("token").unwrap();
            [first, second, token("token", fetching("three"))].map(Result::unwrap)
        });
        assert_eq!(tokens, ["one", "one", "three"]);
    }

    #[test]
    fn a_failed_fetch_keeps_nothing() {
        let (kept, _) = MockHost::new().run(|| {
            let failed = token("token", || Err(Failure::channel("login", "wrong password")));
            assert_eq!(failed.unwrap_err().code.as_deref(), Some("login"));
            get("token").unwrap()
        });
        assert_eq!(kept, None);
    }

    #[test]
    fn where_no_cache_is_granted_a_token_is_fetched_each_time() {
        let (tokens, _) = MockHost::new().deny("cache").run(|| {
            assert_eq!(get("token").unwrap_err().name(), "denied");
            [token("token", fetching("one")), token("token", fetching("two"))].map(Result::unwrap)
        });
        assert_eq!(tokens, ["one", "two"]);
    }

    #[test]
    fn a_token_is_not_used_in_the_last_tenth_of_its_time() {
        let store = MockHost::new().run(|| token("token", fetching("old")).unwrap()).1.kept;
        let later = |seconds: u64| {
            let host = MockHost::new().keeping(store.clone()).at(crate::testing::NOW_MS + seconds * 1_000);
            host.run(|| token("token", fetching("new")).unwrap()).0
        };
        assert_eq!((later(3_239), later(3_240)), ("old".to_owned(), "new".to_owned()));
    }
}
