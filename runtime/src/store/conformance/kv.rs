//! What channels keep is found again, within its quota, by whom it belongs to.

use super::*;
use crate::domain::{KvChange, KvEntry, KvQuota, KvUsage, KvWrite, KvWritten};

/// Room for 100 bytes in 4 keys.
pub(crate) const QUOTA: KvQuota = KvQuota { bytes: 100, keys: 4 };

fn write(name: &str, key: &str, change: KvChange, expected: Option<u64>) -> KvWrite {
    KvWrite { channel: channel(name), key: key.to_owned(), change, expected, quota: QUOTA }
}

fn set(name: &str, key: &str, value: &str, expected: Option<u64>) -> KvWrite {
    write(name, key, KvChange::Set(value.into()), expected)
}

fn remove(name: &str, key: &str, expected: Option<u64>) -> KvWrite {
    write(name, key, KvChange::Remove, expected)
}

async fn value(store: &dyn Store, name: &str, key: &str) -> Option<String> {
    let entry = store.kv_get(&channel(name), key).await.unwrap();
    entry.map(|entry| String::from_utf8(entry.value).unwrap())
}

pub(crate) async fn a_kept_value_is_found_again_after_a_restart(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.kv_get(&channel("mail"), "cursor").await.unwrap(), None);
    assert_eq!(store.kv_write(set("mail", "cursor", "12", None)).await.unwrap(), KvWritten::Set(1));
    assert_eq!(store.kv_write(set("mail", "cursor", "13", None)).await.unwrap(), KvWritten::Set(2));
    store.close().await;

    let store = open(place).await;
    let expected = KvEntry { value: b"13".to_vec(), version: 2 };
    assert_eq!(store.kv_get(&channel("mail"), "cursor").await.unwrap(), Some(expected));
    assert_eq!(store.kv_write(remove("mail", "cursor", None)).await.unwrap(), KvWritten::Removed);
    assert_eq!(store.kv_write(remove("mail", "cursor", None)).await.unwrap(), KvWritten::Removed);
    store.close().await;
    assert_eq!(value(&*open(place).await, "mail", "cursor").await, None);
}

pub(crate) async fn a_change_is_made_only_on_the_version_it_expects(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.kv_write(set("mail", "a", "new", Some(7))).await.unwrap(), KvWritten::Conflict(0));
    assert_eq!(store.kv_write(set("mail", "a", "one", Some(0))).await.unwrap(), KvWritten::Set(1));
    assert_eq!(store.kv_write(set("mail", "a", "two", Some(0))).await.unwrap(), KvWritten::Conflict(1));
    assert_eq!(store.kv_write(remove("mail", "a", Some(2))).await.unwrap(), KvWritten::Conflict(1));
    assert_eq!(value(&*store, "mail", "a").await.as_deref(), Some("one"), "a conflict changes nothing");
    assert_eq!(store.kv_write(remove("mail", "a", Some(1))).await.unwrap(), KvWritten::Removed);
    assert_eq!(store.kv_write(remove("mail", "a", Some(1))).await.unwrap(), KvWritten::Conflict(0));
}

pub(crate) async fn a_version_never_comes_back_even_where_a_key_was_removed(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.kv_write(set("mail", "a", "one", None)).await.unwrap(), KvWritten::Set(1));
    store.kv_write(remove("mail", "a", None)).await.unwrap();
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.kv_write(set("mail", "a", "other", None)).await.unwrap(), KvWritten::Set(2));
    assert_eq!(store.kv_write(set("mail", "a", "late", Some(1))).await.unwrap(), KvWritten::Conflict(2));
}

pub(crate) async fn of_changes_on_the_same_version_one_is_made(place: &dyn Place) {
    let store = open(place).await;
    let mut made = 0;
    for _ in 0..20 {
        let before = store.kv_get(&channel("mail"), "count").await.unwrap();
        let (count, version) = match &before {
            Some(entry) => (String::from_utf8(entry.value.clone()).unwrap().parse::<u32>().unwrap(), entry.version),
            None => (0, 0),
        };
        let next = (count + 1).to_string();
        let tries = (0..8).map(|_| store.kv_write(set("mail", "count", &next, Some(version))));
        let answers = futures_util::future::try_join_all(tries).await.unwrap();
        made += answers.iter().filter(|answer| matches!(answer, KvWritten::Set(_))).count();
    }
    assert_eq!(made, 20);
    assert_eq!(value(&*store, "mail", "count").await.as_deref(), Some("20"));
}

pub(crate) async fn a_quota_holds_whoever_writes_at_the_same_time(place: &dyn Place) {
    let store = open(place).await;
    // 30 bytes each: three fit into a hundred.
    let keys: Vec<_> = (0..10).map(|n| format!("k{n}")).collect();
    let value = "v".repeat(28);
    let answers = futures_util::future::join_all(keys.iter().map(|key| store.kv_write(set("mail", key, &value, None))));
    let answers: Vec<_> = answers.await.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers.iter().filter(|answer| matches!(answer, KvWritten::Set(_))).count(), 3);
    assert_eq!(answers.last(), Some(&KvWritten::OverQuota(KvUsage { bytes: 120, keys: 4 })));
    // Keys are counted too.
    assert_eq!(store.kv_write(set("mail", "x", "", None)).await.unwrap(), KvWritten::Set(1));
    let fifth = store.kv_write(set("mail", "y", "", None)).await.unwrap();
    assert_eq!(fifth, KvWritten::OverQuota(KvUsage { bytes: 92, keys: 5 }));
    // Room is made by removing, and by smaller values; and another channel has its own.
    assert_eq!(store.kv_write(set("chat", "y", "", None)).await.unwrap(), KvWritten::Set(1));
    store.kv_write(remove("mail", "x", None)).await.unwrap();
    assert_eq!(store.kv_write(set("mail", "y", "1234567", None)).await.unwrap(), KvWritten::Set(2));
    store.close().await;
    let store = open(place).await;
    let over = store.kv_write(set("mail", "y", "1234567890", None)).await.unwrap();
    assert_eq!(over, KvWritten::OverQuota(KvUsage { bytes: 101, keys: 4 }));
}

pub(crate) async fn a_lowered_quota_lets_a_channel_keep_what_it_has_and_add_nothing(place: &dyn Place) {
    let store = open(place).await;
    store.kv_write(set("mail", "a", "12345", None)).await.unwrap();
    let lowered = |write: KvWrite| KvWrite { quota: KvQuota { bytes: 3, keys: 0 }, ..write };
    let grow = store.kv_write(lowered(set("mail", "a", "123456", None))).await.unwrap();
    assert_eq!(grow, KvWritten::OverQuota(KvUsage { bytes: 7, keys: 1 }));
    assert_eq!(store.kv_write(lowered(set("mail", "a", "54321", None))).await.unwrap(), KvWritten::Set(2));
    assert_eq!(store.kv_write(lowered(remove("mail", "a", None))).await.unwrap(), KvWritten::Removed);
}

pub(crate) async fn keys_come_in_the_order_of_their_bytes_by_prefix_and_page(place: &dyn Place) {
    let store = open(place).await;
    let keys = ["user/é", "user/a", "user/B", "user/\u{0}", "users", "zebra", "User/a", "user"];
    let all = KvQuota { bytes: 1_000, keys: 1_000 };
    for key in keys {
        store.kv_write(KvWrite { quota: all, ..set("mail", key, "x", None) }).await.unwrap();
        store.kv_write(KvWrite { quota: all, ..set("chat", "user/other", "x", None) }).await.unwrap();
    }
    let page = async |prefix: &str, after: Option<&str>, limit| {
        store.kv_keys(&channel("mail"), prefix, after, limit).await.unwrap()
    };
    let under = ["user/\u{0}", "user/B", "user/a", "user/é"];
    assert_eq!(page("user/", None, 10).await, under);
    assert_eq!(page("user/", Some("a"), 10).await, under, "behind a key before the prefix");
    assert_eq!(page("user/", Some("user/B"), 1).await, ["user/a"]);
    assert_eq!(page("user/", Some("user/é"), 10).await, [""; 0]);
    assert_eq!(page("user/", Some("zebra"), 10).await, [""; 0]);
    let mut sorted = keys;
    sorted.sort_unstable();
    let mut paged: Vec<String> = Vec::new();
    loop {
        let next = page("", paged.last().map(String::as_str), 3).await;
        if next.is_empty() {
            break;
        }
        paged.extend(next);
    }
    assert_eq!(paged, sorted);
}

pub(crate) async fn channels_do_not_see_each_others_keys(place: &dyn Place) {
    let store = open(place).await;
    store.kv_write(set("mail", "token", "mine", None)).await.unwrap();
    assert_eq!(value(&*store, "chat", "token").await, None);
    assert_eq!(store.kv_write(set("chat", "token", "other", Some(0))).await.unwrap(), KvWritten::Set(1));
    store.kv_write(remove("chat", "token", None)).await.unwrap();
    assert_eq!(value(&*store, "mail", "token").await.as_deref(), Some("mine"));
}

pub(crate) async fn keeping_makes_no_event(place: &dyn Place) {
    let store = open(place).await;
    store.kv_write(set("mail", "a", "1", None)).await.unwrap();
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    store.kv_write(remove("mail", "a", None)).await.unwrap();
    assert_eq!(kinds(&*store).await, ["notification.accepted"]);
}
