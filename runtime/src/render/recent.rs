//! A bounded memory of what was used lately.

use std::collections::HashMap;
use std::hash::Hash;

/// Keeps what was used among the last entries: between one and two times its limits, with no work but a lookup. What is
/// used moves to the young half; when that is full, the old half is forgotten and the young one becomes it.
pub(super) struct Recent<K, V> {
    young: HashMap<K, Entry<V>>,
    old: HashMap<K, Entry<V>>,
    young_bytes: usize,
    limits: Limits,
}

/// Of one half.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) entries: usize,
    pub(super) bytes: usize,
}

struct Entry<V> {
    value: V,
    bytes: usize,
}

impl<K: Eq + Hash + Clone, V: Clone> Recent<K, V> {
    pub(super) fn new(limits: Limits) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), young_bytes: 0, limits }
    }

    /// What is kept under `key`, or what `make` makes, which counts no bytes until it is [weighed](Self::weigh).
    pub(super) fn get_or_insert_with(&mut self, key: &K, make: impl FnOnce() -> V) -> V {
        if let Some(entry) = self.young.get(key) {
            return entry.value.clone();
        }
        let entry = self.old.remove(key).unwrap_or_else(|| Entry { value: make(), bytes: 0 });
        let value = entry.value.clone();
        self.young_bytes = self.young_bytes.saturating_add(entry.bytes);
        self.young.insert(key.clone(), entry);
        self.turn_if_full();
        value
    }

    /// What is kept under `key`, without counting that as a use.
    pub(super) fn peek(&self, key: &K) -> Option<V> {
        self.young.get(key).or_else(|| self.old.get(key)).map(|entry| entry.value.clone())
    }

    /// Says how many bytes the value under `key` takes.
    pub(super) fn weigh(&mut self, key: &K, bytes: usize) {
        if let Some(entry) = self.young.get_mut(key) {
            self.young_bytes = self.young_bytes.saturating_sub(entry.bytes).saturating_add(bytes);
            entry.bytes = bytes;
            self.turn_if_full();
        } else if let Some(entry) = self.old.get_mut(key) {
            entry.bytes = bytes;
        }
    }

    fn turn_if_full(&mut self) {
        if self.young.len() >= self.limits.entries || self.young_bytes >= self.limits.bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(recent: &Recent<u32, u32>, key: u32) -> bool {
        recent.young.contains_key(&key) || recent.old.contains_key(&key)
    }

    #[test]
    fn what_is_used_stays_and_the_rest_goes() {
        let mut recent = Recent::new(Limits { entries: 10, bytes: 1000 });
        for n in 0..1000 {
            assert_eq!(recent.get_or_insert_with(&n, || n), n);
            assert_eq!(recent.get_or_insert_with(&0, || panic!("it was used just now")), 0);
            assert!(recent.young.len() + recent.old.len() <= 20);
        }
        assert!(kept(&recent, 999) && !kept(&recent, 500));
    }

    #[test]
    fn large_values_push_out_others_early() {
        let mut recent = Recent::new(Limits { entries: 1000, bytes: 100 });
        for n in 0..10 {
            recent.get_or_insert_with(&n, || n);
            recent.weigh(&n, 60);
        }
        assert_eq!((0..10).filter(|n| kept(&recent, *n)).count(), 2);
    }
}
