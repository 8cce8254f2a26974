//! What a mock host keeps for `cache` and `kv`, by the real host's rules and limits.

use std::{collections::BTreeMap, time::Duration};

use crate::{cache, kv};

/// The host's limits. Its own tests hold them; here they stand so that a plugin's tests meet them too.
const CACHE_KEY_BYTES_MAX: usize = 256;
const KV_KEY_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 64 << 10;
const QUOTA_BYTES: usize = 1 << 20;
const PAGE_KEYS_MAX: usize = 1_000;

/// What a channel keeps between calls: hand it from one test's call to the next with
/// [`MockHost::keeping`](super::MockHost::keeping).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// With the time of their end, in milliseconds since 1970.
    cached: BTreeMap<String, (Vec<u8>, u64)>,
    durable: BTreeMap<String, kv::Entry>,
    /// The highest version among the keys that were removed.
    removed: u64,
}

fn check(key: &str, key_max: usize, value: usize) -> Result<(), String> {
    if key.is_empty() || key.len() > key_max {
        return Err(format!("the key has {} bytes, it has 1 to {key_max}", key.len()));
    }
    if value > VALUE_BYTES_MAX {
        return Err(format!("the value has {value} bytes, it may have {VALUE_BYTES_MAX}"));
    }
    Ok(())
}

impl Kept {
    /// Also what the claiming call is answered: a test has one call at a time, so nobody waits.
    pub(super) fn cached(&self, key: &str, now_ms: u64) -> Result<Option<Vec<u8>>, cache::Error> {
        check(key, CACHE_KEY_BYTES_MAX, 0).map_err(cache::Error::Limit)?;
        Ok(self.cached.get(key).filter(|(_, end)| *end > now_ms).map(|(value, _)| value.clone()))
    }

    pub(super) fn put(&mut self, key: &str, value: Vec<u8>, ttl: Duration, now_ms: u64) -> Result<(), cache::Error> {
        check(key, CACHE_KEY_BYTES_MAX, value.len()).map_err(cache::Error::Limit)?;
        let end = now_ms.saturating_add(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
        self.cached.insert(key.to_owned(), (value, end));
        Ok(())
    }

    pub(super) fn uncache(&mut self, key: &str) -> Result<(), cache::Error> {
        check(key, CACHE_KEY_BYTES_MAX, 0).map_err(cache::Error::Limit)?;
        self.cached.remove(key);
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<kv::Entry>, kv::Error> {
        check(key, KV_KEY_BYTES_MAX, 0).map_err(kv::Error::Limit)?;
        Ok(self.durable.get(key).cloned())
    }

    pub(super) fn set(&mut self, key: &str, value: Vec<u8>, expected: Option<u64>) -> Result<u64, kv::Error> {
        check(key, KV_KEY_BYTES_MAX, value.len()).map_err(kv::Error::Limit)?;
        self.expect(key, expected)?;
        let others = self.durable.iter().filter(|(known, _)| *known != key);
        let used = others.map(|(key, entry)| key.len() + entry.value.len()).sum::<usize>() + key.len() + value.len();
        if used > QUOTA_BYTES {
            return Err(kv::Error::Limit(format!("the channel would keep {used} bytes, its quota is {QUOTA_BYTES}")));
        }
        let version = self.durable.get(key).map_or(self.removed, |entry| entry.version) + 1;
        self.durable.insert(key.to_owned(), kv::Entry { value, version });
        Ok(version)
    }

    pub(super) fn remove(&mut self, key: &str, expected: Option<u64>) -> Result<(), kv::Error> {
        check(key, KV_KEY_BYTES_MAX, 0).map_err(kv::Error::Limit)?;
        self.expect(key, expected)?;
        if let Some(entry) = self.durable.remove(key) {
            self.removed = self.removed.max(entry.version);
        }
        Ok(())
    }

    /// What is cached, whatever the time.
    pub(super) fn cached_value(&self, key: &str) -> Option<&[u8]> {
        self.cached.get(key).map(|(value, _)| value.as_slice())
    }

    pub(super) fn value(&self, key: &str) -> Option<&[u8]> {
        self.durable.get(key).map(|entry| entry.value.as_slice())
    }

    pub(super) fn keys(&self, prefix: &str, after: Option<&str>, limit: u32) -> Vec<String> {
        let behind = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        self.durable.keys().filter(behind).take((limit as usize).min(PAGE_KEYS_MAX)).cloned().collect()
    }

    fn expect(&self, key: &str, expected: Option<u64>) -> Result<(), kv::Error> {
        let version = self.durable.get(key).map_or(0, |entry| entry.version);
        match expected {
            Some(expected) if expected != version => Err(kv::Error::Conflict(version)),
            _ => Ok(()),
        }
    }
}
