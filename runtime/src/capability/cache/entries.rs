//! What a channel's cache holds, within its limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::{BYTES_MAX, KEYS_MAX};
use crate::domain::Timestamp;

/// Values with their ends of life, and who is fetching what.
#[derive(Debug, Default)]
pub(super) struct Entries {
    kept: HashMap<Arc<str>, Entry>,
    /// The same keys in the order in which they go.
    by_expiry: BTreeSet<(Timestamp, Arc<str>)>,
    bytes: usize,
    claims: HashMap<Arc<str>, Claim>,
    last_call: u64,
}

#[derive(Debug)]
struct Entry {
    value: Bytes,
    expires_at: Timestamp,
}

#[derive(Debug)]
struct Claim {
    call: u64,
    /// Goes with the claim: that is what those who wait notice.
    over: watch::Sender<()>,
}

/// What somebody finds who would fetch the value if it is not there.
#[derive(Debug)]
pub(super) enum Found {
    Value(Bytes),
    /// It is theirs to fetch.
    Claimed,
    /// Another call fetches it. Look again when the sender of this has gone.
    Busy(watch::Receiver<()>),
}

impl Entries {
    /// A number for a call.
    pub(super) fn next_call(&mut self) -> u64 {
        self.last_call += 1;
        self.last_call
    }

    pub(super) fn values(&self) -> Vec<(String, Bytes)> {
        self.kept.iter().map(|(key, entry)| (key.to_string(), entry.value.clone())).collect()
    }

    pub(super) fn get(&mut self, key: &str, now: Timestamp) -> Option<Bytes> {
        let entry = self.kept.get(key)?;
        if entry.expires_at > now {
            return Some(entry.value.clone());
        }
        self.forget(key);
        None
    }

    pub(super) fn get_or_claim(&mut self, key: &str, call: u64, now: Timestamp) -> Found {
        if let Some(value) = self.get(key, now) {
            return Found::Value(value);
        }
        match self.claims.get(key) {
            Some(claim) if claim.call != call => Found::Busy(claim.over.subscribe()),
            Some(_) => Found::Claimed,
            None => {
                self.claims.insert(key.into(), Claim { call, over: watch::Sender::new(()) });
                Found::Claimed
            }
        }
    }

    /// Keeps a value, and drops what would go soonest where there is no room. Whoever waits for the key looks again.
    pub(super) fn put(&mut self, key: &str, value: Bytes, expires_at: Timestamp) {
        self.forget(key);
        let key: Arc<str> = key.into();
        self.bytes += key.len() + value.len();
        self.by_expiry.insert((expires_at, Arc::clone(&key)));
        self.kept.insert(Arc::clone(&key), Entry { value, expires_at });
        while self.bytes > BYTES_MAX || self.kept.len() > KEYS_MAX {
            let Some((_, soonest)) = self.by_expiry.first().cloned() else { break };
            self.forget(&soonest);
        }
        self.claims.remove(&key);
    }

    pub(super) fn remove(&mut self, key: &str, call: u64) {
        self.forget(key);
        if self.claims.get(key).is_some_and(|claim| claim.call == call) {
            self.claims.remove(key);
        }
    }

    /// Ends every claim of a call: the next that waits may fetch.
    pub(super) fn end(&mut self, call: u64) {
        self.claims.retain(|_, claim| claim.call != call);
    }

    fn forget(&mut self, key: &str) {
        let Some((key, entry)) = self.kept.remove_entry(key) else { return };
        self.bytes -= key.len() + entry.value.len();
        self.by_expiry.remove(&(entry.expires_at, key));
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let counted: usize = self.kept.iter().map(|(key, entry)| key.len() + entry.value.len()).sum();
        assert_eq!((counted, self.kept.len()), (self.bytes, self.by_expiry.len()), "the books are in order");
        (self.kept.len(), self.bytes)
    }

    #[cfg(test)]
    pub(super) fn holds(&self, key: &str) -> bool {
        self.kept.contains_key(key)
    }

    #[cfg(test)]
    pub(super) fn claims(&self) -> usize {
        self.claims.len()
    }
}
