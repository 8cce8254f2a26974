//! Metrics of one channel or plugin, looked up once and then counted without a new label.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;

use crate::domain::{AttemptEnd, Fault, Interruption, Outcome};

/// Labels of a metric that is made once for each channel or plugin.
pub(super) type Labels = Vec<(&'static str, String)>;

/// A histogram for each set of labels, all with the same buckets.
pub(super) type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Handles by key. Past `limit` keys, the rest share one: a scrape stays bounded whatever an operator configures.
#[derive(Debug)]
pub(super) struct Handles<K, V> {
    made: RwLock<HashMap<K, Arc<V>>>,
    others: OnceLock<Arc<V>>,
    limit: usize,
}

impl<K: Clone + Eq + Hash, V> Handles<K, V> {
    pub(super) fn up_to(limit: usize) -> Self {
        Self { made: RwLock::default(), others: OnceLock::new(), limit }
    }

    /// The handle of `key`; `make` is given the key, or `None` for what all keys past the limit share.
    pub(super) fn of(&self, key: &K, make: impl Fn(Option<&K>) -> V) -> Arc<V> {
        if let Some(handle) = self.made.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            return Arc::clone(handle);
        }
        let mut made = self.made.write().unwrap_or_else(PoisonError::into_inner);
        if made.len() >= self.limit && !made.contains_key(key) {
            return Arc::clone(self.others.get_or_init(|| Arc::new(make(None))));
        }
        Arc::clone(made.entry(key.clone()).or_insert_with(|| Arc::new(make(Some(key)))))
    }
}

/// How many different ends an attempt can have.
pub(super) const ENDS: usize = 7 + Fault::ALL.len() + Interruption::ALL.len();

/// Counters that differ in one label with `N` possible words. Each is made when it is first needed, so that a scrape
/// lists what happened and not what might.
#[derive(Debug)]
pub(super) struct Words<const N: usize> {
    family: Family<Labels, Counter>,
    /// Before the label that differs.
    labels: Labels,
    label: &'static str,
    counters: [OnceLock<Counter>; N],
}

impl<const N: usize> Words<N> {
    pub(super) fn new(family: &Family<Labels, Counter>, labels: Labels, label: &'static str) -> Self {
        Self { family: family.clone(), labels, label, counters: std::array::from_fn(|_| OnceLock::new()) }
    }

    /// Counts `word`, which has this `place` below `N`.
    pub(super) fn count(&self, place: usize, word: &str) {
        let counter = self.counters[place].get_or_init(|| {
            let mut labels = self.labels.clone();
            labels.push((self.label, word.to_owned()));
            self.family.get_or_create_owned(&labels)
        });
        counter.inc();
    }
}

impl Words<ENDS> {
    pub(super) fn count_end(&self, end: &AttemptEnd) {
        self.count(place(end), end.as_str());
    }
}

/// Each end has a place below [`ENDS`].
const fn place(end: &AttemptEnd) -> usize {
    match end {
        AttemptEnd::Outcome(Outcome::Sent(_)) => 0,
        AttemptEnd::Outcome(Outcome::Accepted { .. }) => 1,
        AttemptEnd::Outcome(Outcome::Retry { .. }) => 2,
        AttemptEnd::Outcome(Outcome::RateLimited { .. }) => 3,
        AttemptEnd::Outcome(Outcome::Rejected { .. }) => 4,
        AttemptEnd::Outcome(Outcome::RecipientGone { .. }) => 5,
        AttemptEnd::HostDeadline { .. } => 6,
        AttemptEnd::Fault { fault, .. } => 7 + *fault as usize,
        AttemptEnd::Interrupted { interruption, .. } => 7 + Fault::ALL.len() + *interruption as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_past_the_limit_share_one_handle() {
        let handles = Handles::<u32, String>::up_to(2);
        let of = |key: u32| handles.of(&key, |key| format!("{key:?}"));
        assert_eq!([1, 2, 3, 4, 1].map(|key| of(key).to_string()), ["Some(1)", "Some(2)", "None", "None", "Some(1)"]);
        assert!(Arc::ptr_eq(&of(3), &of(4)));
    }

    #[test]
    fn the_last_end_has_the_last_place() {
        let last = Interruption::ALL[Interruption::ALL.len() - 1];
        let end = AttemptEnd::Interrupted { interruption: last, message: String::new() };
        assert_eq!(place(&end), ENDS - 1);
    }
}
