//! Short-lived values of one channel in memory, such as access tokens, and one fetcher for each.
//!
//! *Flow:* [`ChannelCache::new`] when a channel is prepared → [`ChannelCache::open`] per call → [`OpenCache`].
//!
//! *Invariants:* what a channel keeps is bounded in keys and bytes, and goes when the channel is configured anew. Of all
//! calls that miss a key together one is told to fetch it; when that call ends without `put`, however it ends, the next
//! one is. Nobody waits longer than his own call lives.
//!
//! *Not here:* anything that has to last (`kv`).

mod entries;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use self::entries::{Entries, Found};
use super::allowance::Allowance;
use crate::clock::Clock;

/// The longest key, in bytes: a token's key names an account and a scope.
pub const KEY_BYTES_MAX: usize = 256;
/// The largest value, in bytes: eight times the largest token that a header takes.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Keys and values of a channel together, in bytes. A thousand channels that fill theirs take 1 GiB.
pub const BYTES_MAX: usize = 1 << 20;
/// Keys of a channel. Beyond it what would expire soonest goes first.
pub const KEYS_MAX: usize = 1_000;

/// Why the cache does not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// A key, a value or the call is over a limit.
    #[error("limit: {0}")]
    Limit(String),
    /// Another call fetches the value and was not done in time.
    #[error("timed out: {0}")]
    Timeout(String),
}

/// The cache of one channel. Clones share it.
#[derive(Clone)]
pub struct ChannelCache {
    shared: Arc<Shared>,
}

struct Shared {
    entries: Mutex<Entries>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ChannelCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its values are credentials.
        f.debug_struct("ChannelCache").finish_non_exhaustive()
    }
}

impl Shared {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChannelCache {
    /// An empty one. `clock` says when a value is too old.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { shared: Arc::new(Shared { entries: Mutex::default(), clock }) }
    }

    /// Opens it for one call that ends at `deadline`.
    #[must_use]
    pub fn open(&self, deadline: Instant) -> OpenCache {
        let call = self.shared.entries().next_call();
        let allowance = Allowance::new("cache", deadline);
        OpenCache { shared: Arc::clone(&self.shared), call, has_claimed: false, allowance }
    }

    /// Everything it holds: for the tools of plugin authors.
    #[must_use]
    pub fn values(&self) -> Vec<(String, Bytes)> {
        self.shared.entries().values()
    }
}

/// The cache for one call of a plugin. What the call has claimed is given up when this is dropped.
pub struct OpenCache {
    shared: Arc<Shared>,
    call: u64,
    has_claimed: bool,
    allowance: Allowance,
}

impl std::fmt::Debug for OpenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenCache").field("call", &self.call).finish_non_exhaustive()
    }
}

impl OpenCache {
    /// The value, if it is there and not too old.
    ///
    /// # Errors
    ///
    /// [`CacheError::Limit`].
    pub fn get(&mut self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.ask(key)?;
        let value = self.shared.entries().get(key, self.shared.clock.now());
        self.hand_over(value)
    }

    /// The value; or none, and then it is for this call to fetch it and [`put`](Self::put) it. Waits while another call
    /// does so.
    ///
    /// # Errors
    ///
    /// [`CacheError::Limit`], or [`CacheError::Timeout`] where the other call takes longer than this one lives.
    pub async fn get_or_claim(&mut self, key: &str) -> Result<Option<Bytes>, CacheError> {
        self.ask(key)?;
        let end = self.allowance.wait_end();
        loop {
            let now = self.shared.clock.now();
            let found = self.shared.entries().get_or_claim(key, self.call, now);
            let mut over = match found {
                Found::Value(value) => return self.hand_over(Some(value)),
                Found::Claimed => {
                    self.has_claimed = true;
                    return Ok(None);
                }
                Found::Busy(over) => over,
            };
            // Nothing is ever sent: it changes by ending.
            if timeout_at(end, over.changed()).await.is_err() {
                let reason = "another call fetches this value and was not done in the time that this one has";
                return Err(CacheError::Timeout(reason.to_owned()));
            }
        }
    }

    /// Keeps a value for `ttl`, or for less where there is no room. Whoever waits for it gets it.
    ///
    /// # Errors
    ///
    /// [`CacheError::Limit`].
    pub fn put(&mut self, key: &str, value: Bytes, ttl: Duration) -> Result<(), CacheError> {
        self.ask(key)?;
        let length = value.len();
        if length > VALUE_BYTES_MAX {
            return Err(CacheError::Limit(format!(
                "the value has {length} bytes, a cached one may have {VALUE_BYTES_MAX}; no setting changes that"
            )));
        }
        self.allowance.carry(length).map_err(CacheError::Limit)?;
        let expires_at = self.shared.clock.now().after(ttl);
        self.shared.entries().put(key, value, expires_at);
        Ok(())
    }

    /// Forgets a value, as when a provider refuses a token before its time. A claim of this call on it is given up.
    ///
    /// # Errors
    ///
    /// [`CacheError::Limit`].
    pub fn remove(&mut self, key: &str) -> Result<(), CacheError> {
        self.ask(key)?;
        self.shared.entries().remove(key, self.call);
        Ok(())
    }

    fn ask(&mut self, key: &str) -> Result<(), CacheError> {
        self.allowance.ask().map_err(CacheError::Limit)?;
        let length = key.len();
        if length == 0 || length > KEY_BYTES_MAX {
            return Err(CacheError::Limit(format!(
                "the key has {length} bytes, a cache's key has 1 to {KEY_BYTES_MAX}; no setting changes that"
            )));
        }
        self.allowance.carry(length).map_err(CacheError::Limit)
    }

    fn hand_over(&mut self, value: Option<Bytes>) -> Result<Option<Bytes>, CacheError> {
        self.allowance.carry(value.as_ref().map_or(0, Bytes::len)).map_err(CacheError::Limit)?;
        Ok(value)
    }
}

impl Drop for OpenCache {
    fn drop(&mut self) {
        if self.has_claimed {
            self.shared.entries().end(self.call);
        }
    }
}

#[cfg(test)]
mod tests;
