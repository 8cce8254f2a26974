//! What channels keep, from the guest through the contract to memory and store.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use futures_util::future::join_all;
use serde_json::json;

use super::rig::{Rig, fact, guest, is_sent, say};
use super::*;
use crate::capability::kv::KvStore;
use crate::domain::{AttemptEnd, Outcome};
use crate::runtime::KeptIn;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Durability, Store};

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

pub(super) fn store(path: PathBuf, durability: Durability) -> Arc<SqliteStore> {
    SqliteStore::open(SqliteOptions { path, durability, listener: Arc::new(Deaf) }).unwrap()
}

pub(super) fn kept_in(store: &Arc<SqliteStore>) -> Arc<dyn KvStore> {
    Arc::new(KeptIn(Arc::clone(store) as Arc<dyn Store>))
}

/// Hands out tokens, and counts them.
async fn tokens() -> (String, Arc<AtomicU32>) {
    async fn next(State(given): State<Arc<AtomicU32>>) -> String {
        format!("token-{}", given.fetch_add(1, Ordering::Relaxed) + 1)
    }
    let given = Arc::new(AtomicU32::new(0));
    let router = Router::new().route("/", get(next)).with_state(Arc::clone(&given));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, given)
}

fn rig(url: Option<&str>) -> Rig {
    let config = url.map_or_else(|| json!({}), |url| json!({ "url": url }));
    let mut rig = Rig::new().with_channel("one", "keeper", config.clone()).with_channel("two", "keeper", config);
    for channel in rig.channels.values_mut() {
        channel.allow_networks = vec!["127.0.0.1/32".to_owned()];
    }
    rig.kv = kept_in(&store(PathBuf::from("memory"), Durability::Memory));
    rig.put(&rig.own("keeper.wasm"), &guest("keeper"));
    rig
}

#[tokio::test]
async fn fifty_deliveries_at_once_fetch_one_token_between_them() {
    let (url, given) = tokens().await;
    let rig = rig(Some(&url));
    let registry = rig.open_with(50).await;
    let reports = join_all((0..50).map(|_| say(&registry, "one", "token"))).await;
    let told: Vec<_> = reports.iter().map(|report| fact(report, "token")).collect();
    assert_eq!(told, vec!["token-1"; 50]);
    assert_eq!(given.load(Ordering::Relaxed), 1);
    // Each channel has a cache of its own, and a token its time.
    assert_eq!(fact(&say(&registry, "two", "token").await, "token"), "token-2");
    rig.clock.advance(Duration::from_secs(3_240));
    assert_eq!(fact(&say(&registry, "one", "token").await, "token"), "token-3");
}

#[tokio::test]
async fn a_call_that_traps_with_a_token_to_fetch_leaves_it_to_the_next() {
    let (url, given) = tokens().await;
    let rig = rig(Some(&url));
    let registry = rig.open_with(50).await;
    let (faults, tokens) = tokio::join!(
        join_all((0..5).map(|_| say(&registry, "one", "drop"))),
        join_all((0..20).map(|_| say(&registry, "one", "token"))),
    );
    assert!(faults.iter().any(|report| matches!(report.end, AttemptEnd::Fault { .. })));
    assert!(tokens.iter().all(|report| fact(report, "token") == "token-1"));
    assert_eq!(given.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn what_a_channel_counts_survives_a_restart_and_is_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut rig = rig(None);
    for (round, expected) in [(1, "2"), (2, "4")] {
        let store = store(folder.path().join("campanile.db"), Durability::Full);
        rig.kv = kept_in(&store);
        let registry = rig.open().await;
        assert!(is_sent(&say(&registry, "one", "count").await));
        assert_eq!(fact(&say(&registry, "one", "count").await, "count"), expected);
        assert_eq!(fact(&say(&registry, "two", "count").await, "count"), round.to_string());
        drop(registry);
        store.close().await;
    }
}

#[tokio::test]
async fn deliveries_that_count_at_the_same_time_lose_none() {
    let rig = rig(None);
    let registry = rig.open_with(12).await;
    let reports = join_all((0..12).map(|_| say(&registry, "one", "count"))).await;
    assert!(reports.iter().all(is_sent), "{reports:?}");
    assert_eq!(fact(&say(&registry, "one", "count").await, "count"), "13");
}

#[tokio::test]
async fn a_channel_over_its_quota_is_told_the_line_that_raises_it() {
    let mut rig = rig(None);
    rig.channels.get_mut("one").unwrap().kv_max = 256 << 10;
    let registry = rig.open().await;
    let report = say(&registry, "one", "hoard").await;
    let AttemptEnd::Outcome(Outcome::Rejected { code, reason, .. }) = report.end else {
        panic!("it is over its quota: {report:?}");
    };
    assert_eq!(code.as_deref(), Some("limit"));
    insta::assert_snapshot!(reason, @"channel `one` would keep 262172 bytes, its quota is 262144; set `kv_max = \"1MiB\"` under [channels.one]");
    assert!(is_sent(&say(&registry, "two", "hoard").await), "the other channel has room");
    assert_eq!(fact(&say(&registry, "one", "keys").await, "keys"), "hoard-0 hoard-1 hoard-2");
}

#[tokio::test]
async fn what_the_operator_takes_away_is_denied_or_keeps_the_channel_from_loading() {
    let (url, given) = tokens().await;
    let mut rig = rig(Some(&url));
    rig.channels.get_mut("one").unwrap().deny = vec!["cache".to_owned()];
    rig.channels.get_mut("two").unwrap().deny = vec!["kv".to_owned()];
    let registry = rig.open().await;
    // Without a cache a token is fetched each time.
    assert_eq!(fact(&say(&registry, "one", "token").await, "token"), "token-1");
    assert_eq!(fact(&say(&registry, "one", "token").await, "token"), "token-2");
    assert_eq!(given.load(Ordering::Relaxed), 2);
    insta::assert_snapshot!(why(&registry, "two"), @"channel `two` cannot be used: its plugin needs `kv` (counts what it sent), which is taken away; take `kv` out of `deny` in [channels.two]");
}
