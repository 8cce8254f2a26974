//! What a channel keeps for good: keys with values and versions, within a quota of the operator's.
//!
//! *Flow:* [`KvGrant::new`] when a channel is prepared → [`KvGrant::open`] per call → [`OpenKv`].
//!
//! *Invariants:* a channel sees its own keys and no others; its quota is checked where the change is made, so that it
//! holds whoever writes at the same time; what was answered is durable.
//!
//! *Not here:* where it is kept ([`KvStore`] is given); values that may vanish (`cache`).

use std::sync::Arc;

use async_trait::async_trait;
use tokio::time::{Instant, timeout_at};

use super::allowance::Allowance;
use crate::config::ChannelConfig;
use crate::domain::{ChannelName, KvChange, KvEntry, KvQuota, KvUsage, KvWrite, KvWritten};

/// The longest key, in bytes: a recipient's address with a prefix.
pub const KEY_BYTES_MAX: usize = 512;
/// The largest value, in bytes: it stands in one row and is written in one piece.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Keys of one page. A longer page is cut to it.
pub const PAGE_KEYS_MAX: u32 = 1_000;
/// Keys of a channel, whatever its quota in bytes: as many empty values would be as many rows.
pub const KEYS_MAX: u64 = 10_000;

/// Where values are kept.
#[async_trait]
pub trait KvStore: Send + Sync + 'static {
    /// The value under a key.
    async fn get(&self, channel: &ChannelName, key: &str) -> Result<Option<KvEntry>, KvUnavailable>;

    /// Changes a key unless its condition does not hold or the quota forbids it. Durable when it answers.
    async fn write(&self, write: KvWrite) -> Result<KvWritten, KvUnavailable>;

    /// Up to `limit` keys that begin with `prefix`, behind `after`, in the order of their bytes.
    async fn keys(
        &self,
        channel: &ChannelName,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<String>, KvUnavailable>;
}

/// The store does not answer. The reason is for the operator's log: it may name files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("what channels keep cannot be read or written: {reason}")]
pub struct KvUnavailable {
    /// What the store said.
    pub reason: String,
}

/// No store: for those who look at a plugin and do not run it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nowhere;

impl Nowhere {
    fn unavailable<T>() -> Result<T, KvUnavailable> {
        Err(KvUnavailable { reason: "there is no store here".to_owned() })
    }
}

#[async_trait]
impl KvStore for Nowhere {
    async fn get(&self, _: &ChannelName, _: &str) -> Result<Option<KvEntry>, KvUnavailable> {
        Self::unavailable()
    }

    async fn write(&self, _: KvWrite) -> Result<KvWritten, KvUnavailable> {
        Self::unavailable()
    }

    async fn keys(&self, _: &ChannelName, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, KvUnavailable> {
        Self::unavailable()
    }
}

/// Why a question is not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// A key, a value, the call or the channel's quota is over a limit. Nothing happened.
    #[error("limit: {0}")]
    Limit(String),
    /// The key has another version, 0 for "not there". Nothing happened.
    #[error("the key has version {0}")]
    Conflict(u64),
    /// The store does not answer, or not in time: a change may have been made.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// What one channel may keep, and where.
#[derive(Clone)]
pub struct KvGrant {
    store: Arc<dyn KvStore>,
    channel: ChannelName,
    quota: KvQuota,
}

impl std::fmt::Debug for KvGrant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KvGrant").field("channel", &self.channel).field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl KvGrant {
    /// Lets `channel` keep up to `bytes_max` bytes of keys and values.
    #[must_use]
    pub fn new(store: Arc<dyn KvStore>, channel: ChannelName, bytes_max: u64) -> Self {
        Self { store, channel, quota: KvQuota { bytes: bytes_max, keys: KEYS_MAX } }
    }

    /// Opens it for one call that ends at `deadline`.
    #[must_use]
    pub fn open(self: &Arc<Self>, deadline: Instant) -> OpenKv {
        OpenKv { grant: Arc::clone(self), allowance: Allowance::new("kv", deadline) }
    }
}

/// What a channel keeps, for one call of its plugin.
#[derive(Debug)]
pub struct OpenKv {
    grant: Arc<KvGrant>,
    allowance: Allowance,
}

impl OpenKv {
    /// The value under a key.
    ///
    /// # Errors
    ///
    /// [`KvError::Limit`], [`KvError::Unavailable`].
    pub async fn get(&mut self, key: &str) -> Result<Option<KvEntry>, KvError> {
        self.ask(key)?;
        let grant = Arc::clone(&self.grant);
        let entry = self.in_time(grant.store.get(&grant.channel, key)).await?;
        self.allowance.carry(entry.as_ref().map_or(0, |entry| entry.value.len())).map_err(KvError::Limit)?;
        Ok(entry)
    }

    /// Keeps a value, where the key has the version `expected`: 0 for "not there yet", none for "whatever". Answers the
    /// new version.
    ///
    /// # Errors
    ///
    /// All of [`KvError`].
    pub async fn set(&mut self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, KvError> {
        self.ask(key)?;
        let length = value.len();
        if length > VALUE_BYTES_MAX {
            return Err(KvError::Limit(format!(
                "the value has {length} bytes, a kept one may have {VALUE_BYTES_MAX}; no setting changes that"
            )));
        }
        self.allowance.carry(length).map_err(KvError::Limit)?;
        match self.write(key, KvChange::Set(value), expected).await? {
            KvWritten::Set(version) => Ok(version),
            KvWritten::Conflict(version) => Err(KvError::Conflict(version)),
            KvWritten::OverQuota(usage) => Err(KvError::Limit(self.over_quota(usage))),
            KvWritten::Removed => Err(KvError::Unavailable("the store removed what was to be kept".to_owned())),
        }
    }

    /// Forgets a key, where it has the version `expected`; none for "whatever". It may be gone already.
    ///
    /// # Errors
    ///
    /// All of [`KvError`].
    pub async fn remove(&mut self, key: &str, expected: Option<u64>) -> Result<(), KvError> {
        self.ask(key)?;
        match self.write(key, KvChange::Remove, expected).await? {
            KvWritten::Conflict(version) => Err(KvError::Conflict(version)),
            // No quota forbids removing.
            KvWritten::Removed | KvWritten::Set(_) | KvWritten::OverQuota(_) => Ok(()),
        }
    }

    /// Up to `limit` keys that begin with `prefix`, behind `after`, in the order of their bytes. Fewer than asked for,
    /// where they are more than [`PAGE_KEYS_MAX`], is not the end: an empty page is.
    ///
    /// # Errors
    ///
    /// [`KvError::Limit`], [`KvError::Unavailable`].
    pub async fn keys(&mut self, prefix: &str, after: Option<&str>, limit: u32) -> Result<Vec<String>, KvError> {
        self.allowance.ask().map_err(KvError::Limit)?;
        for text in [Some(prefix), after].into_iter().flatten() {
            check_length(text)?;
        }
        let grant = Arc::clone(&self.grant);
        let limit = limit.min(PAGE_KEYS_MAX) as usize;
        let keys = self.in_time(grant.store.keys(&grant.channel, prefix, after, limit)).await?;
        self.allowance.carry(keys.iter().map(String::len).sum()).map_err(KvError::Limit)?;
        Ok(keys)
    }

    async fn write(&mut self, key: &str, change: KvChange, expected: Option<u64>) -> Result<KvWritten, KvError> {
        let grant = Arc::clone(&self.grant);
        let (channel, quota) = (grant.channel.clone(), grant.quota);
        let write = KvWrite { channel, key: key.to_owned(), change, expected, quota };
        self.in_time(grant.store.write(write)).await
    }

    fn ask(&mut self, key: &str) -> Result<(), KvError> {
        self.allowance.ask().map_err(KvError::Limit)?;
        if key.is_empty() {
            return Err(KvError::Limit(format!(
                "the key is empty, a key has 1 to {KEY_BYTES_MAX} bytes; no setting changes that"
            )));
        }
        check_length(key)?;
        self.allowance.carry(key.len()).map_err(KvError::Limit)
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, KvUnavailable>>) -> Result<T, KvError> {
        match timeout_at(self.allowance.wait_end(), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(KvUnavailable { reason })) => {
                tracing::warn!(channel = %self.grant.channel, reason, "What a channel keeps cannot be read or written.");
                Err(KvError::Unavailable("the store does not answer; try again later".to_owned()))
            }
            Err(_) => Err(KvError::Unavailable("the store did not answer in the time that the call has".to_owned())),
        }
    }

    fn over_quota(&self, usage: KvUsage) -> String {
        let KvGrant { channel, quota, .. } = &*self.grant;
        if usage.bytes > quota.bytes {
            let (used, limit) = (usage.bytes, quota.bytes);
            let next = used.next_power_of_two().clamp(1 << 20, ChannelConfig::KV_MAX) >> 20;
            let remedy = if used > ChannelConfig::KV_MAX {
                "no setting allows more".to_owned()
            } else {
                format!("set `kv_max = \"{next}MiB\"` under [channels.{channel}]")
            };
            return format!("channel `{channel}` would keep {used} bytes, its quota is {limit}; {remedy}");
        }
        let (used, limit) = (usage.keys, quota.keys);
        format!("channel `{channel}` would keep {used} keys, the most are {limit}; no setting changes that")
    }
}

fn check_length(key: &str) -> Result<(), KvError> {
    let length = key.len();
    if length > KEY_BYTES_MAX {
        return Err(KvError::Limit(format!(
            "the key has {length} bytes, a key has 1 to {KEY_BYTES_MAX}; no setting changes that"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
