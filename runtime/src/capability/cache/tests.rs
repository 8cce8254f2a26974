//! On a clock that stands still, and on tokio's paused time where somebody waits.

use futures_util::future::join_all;
use futures_util::{FutureExt as _, poll};
use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::domain::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);

fn cache() -> (ChannelCache, ManualClock) {
    let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
    (ChannelCache::new(Arc::new(clock.clone())), clock)
}

fn open(cache: &ChannelCache) -> OpenCache {
    cache.open(Instant::now() + Duration::from_secs(10))
}

fn limit<T: std::fmt::Debug>(answer: Result<T, CacheError>) -> String {
    match answer {
        Err(CacheError::Limit(reason)) => reason,
        other => panic!("it is over a limit, not {other:?}"),
    }
}

#[tokio::test]
async fn a_value_is_there_for_later_calls_until_it_expires() {
    let (cache, clock) = cache();
    open(&cache).put("token", "abc".into(), MINUTE).unwrap();
    assert_eq!(open(&cache).get("token").unwrap(), Some("abc".into()));
    clock.advance(MINUTE - Duration::from_millis(1));
    assert_eq!(open(&cache).get_or_claim("token").await.unwrap(), Some("abc".into()));
    clock.advance(Duration::from_millis(1));
    assert_eq!(open(&cache).get("token").unwrap(), None);
    assert_eq!(cache.shared.entries().size(), (0, 0));
}

#[tokio::test]
async fn a_removed_value_is_gone() {
    let (cache, _) = cache();
    open(&cache).put("token", "abc".into(), MINUTE).unwrap();
    open(&cache).remove("token").unwrap();
    assert_eq!(open(&cache).get("token").unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn of_those_who_miss_together_one_fetches_and_the_others_get_its_value() {
    let (cache, _) = cache();
    let fetched = Mutex::new(0);
    let calls = (0..50).map(|_| async {
        let mut call = open(&cache);
        if let Some(value) = call.get_or_claim("token").await.unwrap() {
            return value;
        }
        *fetched.lock().unwrap() += 1;
        tokio::task::yield_now().await;
        call.put("token", "fresh".into(), MINUTE).unwrap();
        "fresh".into()
    });
    let values: Vec<Bytes> = join_all(calls).await;
    assert!(values.iter().all(|value| value == "fresh"));
    assert_eq!(*fetched.lock().unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_the_fetching_call_ends_without_a_value_the_next_one_fetches() {
    let (cache, _) = cache();
    let mut first = open(&cache);
    assert_eq!(first.get_or_claim("token").await.unwrap(), None);
    let (mut second, mut third) = (open(&cache), open(&cache));
    {
        let mut one = Box::pin(second.get_or_claim("token"));
        let mut other = Box::pin(third.get_or_claim("token"));
        assert!(poll!(&mut one).is_pending());
        assert!(poll!(&mut other).is_pending());
        // A trap, a timeout or a panic: the call's handle goes with it.
        drop(first);
        assert_eq!(one.await.unwrap(), None);
        assert!(other.now_or_never().is_none(), "only one of them fetches");
    }
    second.put("token", "fresh".into(), MINUTE).unwrap();
    assert_eq!(third.get_or_claim("token").await.unwrap(), Some("fresh".into()));
    assert_eq!(cache.shared.entries().claims(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gives_up_waiting_takes_nothing_with_it() {
    let (cache, _) = cache();
    let mut first = open(&cache);
    first.get_or_claim("token").await.unwrap();
    let mut gone = open(&cache);
    assert!(gone.get_or_claim("token").now_or_never().is_none());
    drop(gone);
    drop(first);
    assert_eq!(open(&cache).get_or_claim("token").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_his_own_call_lives_and_is_left_time_to_answer() {
    let (cache, _) = cache();
    let mut slow = open(&cache);
    slow.get_or_claim("token").await.unwrap();
    let started = Instant::now();
    let mut short = cache.open(started + Duration::from_secs(2));
    let answer = short.get_or_claim("token").await;
    assert!(matches!(answer, Err(CacheError::Timeout(_))), "{answer:?}");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(1_900) && waited < Duration::from_secs(2), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_again_for_what_it_fetches_does_not_wait_for_itself() {
    let (cache, _) = cache();
    let mut call = open(&cache);
    assert_eq!(call.get_or_claim("token").await.unwrap(), None);
    assert_eq!(call.get_or_claim("token").await.unwrap(), None);
    // Given up by its own word.
    call.remove("token").unwrap();
    assert_eq!(open(&cache).get_or_claim("token").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit() {
    let (cache, _) = cache();
    let reasons = [
        limit(open(&cache).get("")),
        limit(open(&cache).get(&"k".repeat(KEY_BYTES_MAX + 1))),
        limit(open(&cache).put("key", vec![0; VALUE_BYTES_MAX + 1].into(), MINUTE)),
        limit(fill(&mut open(&cache))),
        limit(ask_often(&mut open(&cache))),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    the key has 0 bytes, a cache's key has 1 to 256; no setting changes that
    the key has 257 bytes, a cache's key has 1 to 256; no setting changes that
    the value has 65537 bytes, a cached one may have 65536; no setting changes that
    this would make 1048662 bytes through `cache` in one call, the limit is 1048576; no setting changes that
    a call may use `cache` 100 times; no setting changes that
    "#);
}

/// More bytes than one call may carry.
fn fill(call: &mut OpenCache) -> Result<(), CacheError> {
    (0..20).try_for_each(|n| call.put(&format!("key-{n}"), vec![0; VALUE_BYTES_MAX].into(), MINUTE))
}

/// Once more than one call may ask.
fn ask_often(call: &mut OpenCache) -> Result<(), CacheError> {
    (0..=100).try_for_each(|_| call.get("key").map(|_| ()))
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: u16, bytes: usize, ttl_s: u64 },
    Remove(u16),
    Get(u16),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0_u16..1_500;
    let step = prop_oneof![
        8 => (key.clone(), prop_oneof![0_usize..200, 0..=VALUE_BYTES_MAX], 0_u64..100)
            .prop_map(|(key, bytes, ttl_s)| Step::Put { key, bytes, ttl_s }),
        1 => key.clone().prop_map(Step::Remove),
        2 => key.prop_map(Step::Get),
        1 => (0_u64..30).prop_map(Step::Advance),
    ];
    proptest::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    /// The limits hold after every step, a value found is the newest put and not too old, and what goes for want of
    /// room is what would expire soonest.
    #[test]
    fn a_cache_stays_within_its_limits_and_drops_what_expires_soonest(steps in steps()) {
        let mut entries = Entries::default();
        let mut model = std::collections::HashMap::<u16, (usize, Timestamp)>::new();
        let mut now = Timestamp::from_millis(0);
        for step in steps {
            match step {
                Step::Put { key, bytes, ttl_s } => {
                    let expires_at = now.after(Duration::from_secs(ttl_s));
                    let before: Vec<_> = model.iter().filter(|(known, _)| **known != key).map(|(k, v)| (*k, *v)).collect();
                    entries.put(&key.to_string(), vec![7; bytes].into(), expires_at);
                    model.insert(key, (bytes, expires_at));
                    let is_kept = |key: u16| entries.holds(&key.to_string());
                    let kept = before.iter().filter(|(key, _)| is_kept(*key)).map(|(_, (_, at))| *at).min();
                    let dropped = before.iter().filter(|(key, _)| !is_kept(*key)).map(|(_, (_, at))| *at).max();
                    if let (Some(kept), Some(dropped)) = (kept, dropped) {
                        prop_assert!(dropped <= kept);
                    }
                    model.retain(|key, _| is_kept(*key));
                }
                Step::Remove(key) => {
                    entries.remove(&key.to_string(), 1);
                    model.remove(&key);
                }
                Step::Get(key) => {
                    let found = entries.get(&key.to_string(), now).map(|value| value.len());
                    let expected = model.get(&key).filter(|(_, at)| *at > now).map(|(bytes, _)| *bytes);
                    prop_assert_eq!(found, expected);
                    if expected.is_none() {
                        model.remove(&key);
                    }
                }
                Step::Advance(seconds) => now = now.after(Duration::from_secs(seconds)),
            }
            let (keys, bytes) = entries.size();
            prop_assert!(keys <= KEYS_MAX && bytes <= BYTES_MAX, "{} keys, {} bytes", keys, bytes);
            prop_assert_eq!(keys, model.len());
        }
    }
}
