//! Over the embedded store, held in memory.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt as _;

use super::*;
use crate::runtime::KeptIn;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Durability};

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

fn store() -> Arc<dyn KvStore> {
    let (path, durability, listener) = (PathBuf::from("memory"), Durability::Memory, Arc::new(Deaf));
    Arc::new(KeptIn(SqliteStore::open(SqliteOptions { path, durability, listener }).unwrap()))
}

fn grant(store: &Arc<dyn KvStore>, channel: &str, bytes_max: u64) -> Arc<KvGrant> {
    Arc::new(KvGrant::new(Arc::clone(store), ChannelName::new(channel).unwrap(), bytes_max))
}

fn open(grant: &Arc<KvGrant>) -> OpenKv {
    grant.open(Instant::now() + Duration::from_secs(10))
}

fn limit<T: std::fmt::Debug>(answer: Result<T, KvError>) -> String {
    match answer {
        Err(KvError::Limit(reason)) => reason,
        other => panic!("it is over a limit, not {other:?}"),
    }
}

#[tokio::test]
async fn a_channel_keeps_its_own_values_and_sees_no_others() {
    let store = store();
    let (mail, chat) = (grant(&store, "mail", 1_000), grant(&store, "chat", 1_000));
    assert_eq!(open(&mail).set("cursor", b"12".to_vec(), None).await, Ok(1));
    let kept = KvEntry { value: b"12".to_vec(), version: 1 };
    assert_eq!(open(&mail).get("cursor").await, Ok(Some(kept)));
    assert_eq!(open(&chat).get("cursor").await, Ok(None));
    assert_eq!(open(&chat).keys("", None, 10).await, Ok(vec![]));
    assert_eq!(open(&mail).set("cursor", b"13".to_vec(), Some(0)).await, Err(KvError::Conflict(1)));
    assert_eq!(open(&mail).remove("cursor", Some(7)).await, Err(KvError::Conflict(1)));
    assert_eq!(open(&mail).remove("cursor", Some(1)).await, Ok(()));
    assert_eq!(open(&mail).get("cursor").await, Ok(None));
}

#[tokio::test]
async fn a_page_of_keys_is_cut_to_its_most_and_goes_on_behind_its_last() {
    let store = store();
    let grant = grant(&store, "mail", 1 << 20);
    for page in 0..20 {
        let mut call = open(&grant);
        for n in 0..60 {
            call.set(&format!("key-{:04}", page * 60 + n), Vec::new(), None).await.unwrap();
        }
    }
    let first = open(&grant).keys("key-", None, u32::MAX).await.unwrap();
    assert_eq!(first.len(), 1_000);
    let rest = open(&grant).keys("key-", first.last().map(String::as_str), u32::MAX).await.unwrap();
    assert_eq!((rest.len(), rest.last().map(String::as_str)), (200, Some("key-1199")));
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_the_limit_and_the_line_that_changes_it() {
    let store = store();
    let grant = grant(&store, "mail", 2 << 20);
    let value = || vec![0; VALUE_BYTES_MAX];
    for n in 0..30 {
        open(&grant).set(&format!("key-{n}"), value(), None).await.unwrap();
    }
    let reasons = [
        limit(open(&grant).get("").await),
        limit(open(&grant).get(&"k".repeat(KEY_BYTES_MAX + 1)).await),
        limit(open(&grant).keys(&"k".repeat(KEY_BYTES_MAX + 1), None, 1).await),
        limit(open(&grant).set("key", vec![0; VALUE_BYTES_MAX + 1], None).await),
        limit(fill(&mut open(&grant), "more").await),
        limit(fill(&mut open(&grant), "key").await),
        limit(ask_often(&mut open(&grant)).await),
    ];
    insta::assert_snapshot!(reasons.join("\n"), @r#"
    the key is empty, a key has 1 to 512 bytes; no setting changes that
    the key has 513 bytes, a key has 1 to 512; no setting changes that
    the key has 513 bytes, a key has 1 to 512; no setting changes that
    the value has 65537 bytes, a kept one may have 65536; no setting changes that
    channel `mail` would keep 2097334 bytes, its quota is 2097152; set `kv_max = "4MiB"` under [channels.mail]
    this would make 1048662 bytes through `kv` in one call, the limit is 1048576; no setting changes that
    a call may use `kv` 100 times; no setting changes that
    "#);
}

/// More bytes than a channel may keep, or under old keys than a call may carry.
async fn fill(call: &mut OpenKv, name: &str) -> Result<(), KvError> {
    for n in 0..20 {
        call.set(&format!("{name}-{n}"), vec![0; VALUE_BYTES_MAX], None).await?;
    }
    Ok(())
}

/// Once more than one call may ask.
async fn ask_often(call: &mut OpenKv) -> Result<(), KvError> {
    for _ in 0..=100 {
        call.get("none").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_has_a_most_of_keys_whatever_its_bytes() {
    let store = store();
    let mut grant = KvGrant::new(Arc::clone(&store), ChannelName::new("mail").unwrap(), 1 << 20);
    grant.quota.keys = 2;
    let mut call = open(&Arc::new(grant));
    call.set("a", vec![], None).await.unwrap();
    call.set("b", vec![], None).await.unwrap();
    insta::assert_snapshot!(limit(call.set("c", vec![], None).await), @"channel `mail` would keep 3 keys, the most are 2; no setting changes that");
}

/// A disk that hangs.
struct Hanging;

#[async_trait]
impl KvStore for Hanging {
    async fn get(&self, _: &ChannelName, _: &str) -> Result<Option<KvEntry>, KvUnavailable> {
        std::future::pending().await
    }

    async fn write(&self, _: KvWrite) -> Result<KvWritten, KvUnavailable> {
        Err(KvUnavailable { reason: "cannot write `/var/lib/secret-place`".to_owned() })
    }

    async fn keys(&self, _: &ChannelName, _: &str, _: Option<&str>, _: usize) -> Result<Vec<String>, KvUnavailable> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_or_fails_is_unavailable_within_the_calls_time() {
    let grant = grant(&(Arc::new(Hanging) as Arc<dyn KvStore>), "mail", 1_000);
    let started = Instant::now();
    let mut call = grant.open(started + Duration::from_secs(2));
    let answer = call.get("key").await;
    assert!(matches!(answer, Err(KvError::Unavailable(_))), "{answer:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    let refused = call.set("key", vec![], None).now_or_never().expect("it fails at once");
    let Err(KvError::Unavailable(reason)) = refused else { panic!("it is unavailable, not {refused:?}") };
    assert!(!reason.contains("secret-place"), "the store's own words are not for a guest: {reason}");
}
