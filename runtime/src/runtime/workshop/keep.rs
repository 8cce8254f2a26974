//! What a plugin on the workbench keeps: a cache and a store that live for one trial, by a server's rules and limits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::capability::cache::{CacheError, ChannelCache};
use crate::capability::kv::{KvError, KvGrant};
use crate::clock::ManualClock;
use crate::config::{CallLimits, ChannelConfig};
use crate::domain::{ChannelName, PluginName, Timestamp};
use crate::runtime::adapters::KeptIn;
use crate::sandbox::{Grants, Need};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Durability, StoreError};

/// How long a cached value of before has left. Longer than any trial, shorter than a day's token.
const CACHED_FOR: Duration = Duration::from_secs(3_600);

/// For one look at what is kept; it lies in memory.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// Keys that are looked at: more than a case names.
const KEYS_MAX: u32 = 1_000;

/// What a channel keeps from one call to the next, by key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Of `cache`.
    pub cache: BTreeMap<String, Vec<u8>>,
    /// Of `kv`.
    pub kv: BTreeMap<String, Vec<u8>>,
}

/// Why nothing can be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// There is no store to be had.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A cached value of before is over a limit.
    #[error("`cache`: {0}")]
    Cache(#[from] CacheError),
    /// A kept value of before is over a limit.
    #[error("`kv`: {0}")]
    Kv(#[from] KvError),
}

/// Nobody waits for what is kept here.
struct Nobody;

impl CommitListener for Nobody {
    fn committed(&self, _: Committed) {}
}

/// What one trial keeps. Gone with it.
pub(super) struct Keeping {
    /// None where the plugin does not ask for it.
    cache: Option<ChannelCache>,
    kv: Option<Arc<KvGrant>>,
}

impl Keeping {
    /// For what `needs` asks, with what was kept before. The cache's clock shows `now` and stands.
    pub(super) async fn new(
        needs: &[Need],
        channel: &ChannelName,
        plugin: &PluginName,
        before: &Kept,
        now: Timestamp,
    ) -> Result<Self, KeepError> {
        let asks = |ability| needs.iter().any(|need| need.capability == ability);
        let cache = asks("cache").then(|| ChannelCache::new(Arc::new(ManualClock::at(now))));
        if let Some(cache) = &cache {
            for (key, value) in &before.cache {
                cache.open(look()).put(key, value.clone().into(), CACHED_FOR)?;
            }
        }
        let kv = if asks("kv") { Some(Self::store(channel, plugin)?) } else { None };
        if let Some(kv) = &kv {
            for (key, value) in &before.kv {
                kv.open(look()).set(key, value.clone(), None).await?;
            }
        }
        Ok(Self { cache, kv })
    }

    /// The embedded engine in memory: no other would have its rules.
    fn store(channel: &ChannelName, plugin: &PluginName) -> Result<Arc<KvGrant>, StoreError> {
        let (path, durability, listener) = (PathBuf::from("memory"), Durability::Memory, Arc::new(Nobody));
        let store = SqliteStore::open(SqliteOptions { path, durability, listener })?;
        let quota = ChannelConfig::new(plugin.clone(), CallLimits::default()).kv_max;
        Ok(Arc::new(KvGrant::new(Arc::new(KeptIn(store)), channel.clone(), quota)))
    }

    pub(super) fn grant(&self, grants: &mut Grants) {
        if let Some(cache) = &self.cache {
            grants.cache = Ok(cache.clone());
        }
        if let Some(kv) = &self.kv {
            grants.kv = Ok(Arc::clone(kv));
        }
    }

    /// What is kept now.
    pub(super) async fn kept(&self) -> Result<Kept, KeepError> {
        let mut kept = Kept::default();
        if let Some(cache) = &self.cache {
            kept.cache = cache.values().into_iter().map(|(key, value)| (key, value.into())).collect();
        }
        if let Some(kv) = &self.kv {
            for key in kv.open(look()).keys("", None, KEYS_MAX).await? {
                let entry = kv.open(look()).get(&key).await?;
                kept.kv.extend(entry.map(|entry| (key, entry.value)));
            }
        }
        Ok(kept)
    }
}

fn look() -> Instant {
    Instant::now() + LOOK_MAX
}
