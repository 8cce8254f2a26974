//! What is found in a database that was broken on purpose.

use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::domain::{KvChange, KvWrite};
use crate::store::conformance::expanding::large;
use crate::store::conformance::kv::QUOTA;
use crate::store::conformance::{BY, Ear, NOW, channel, claim_one, failed, id, once, planned, sent, settle_one};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{Durability, Store};

fn open(path: &Path) -> Arc<SqliteStore> {
    let options =
        SqliteOptions { path: path.to_owned(), durability: Durability::Full, listener: Arc::new(Ear::default()) };
    SqliteStore::open(options).unwrap()
}

/// Three notifications: one sent in part, one failed, one open; and a value of a channel.
async fn filled(path: &Path) -> Arc<SqliteStore> {
    let store = open(path);
    store
        .accept(vec![planned(1, &["mail", "chat"]), planned(2, &["mail"]), planned(3, &["mail", "chat"])])
        .await
        .unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    let claim = claim_one(&*store, id(2).delivery(0)).await;
    settle_one(&*store, &claim, failed(1)).await;
    for (key, change) in
        [("a", KvChange::Set(b"12".to_vec())), ("é", KvChange::Set(Vec::new())), ("a", KvChange::Remove)]
    {
        let write = KvWrite { channel: channel("mail"), key: key.to_owned(), change, expected: None, quota: QUOTA };
        store.kv_write(write).await.unwrap();
    }
    store
}

fn recounts(path: &Path) -> Recounts {
    examine(path).unwrap().unwrap().recounts.unwrap()
}

const SOUND: Recounts = Recounts {
    notifications: 3,
    deliveries: StatusCounts64 { open: 3, sent: 1, failed: 1, cancelled: 0 },
    wrong_tallies: 0,
    missing_live: 0,
    stray_live: 0,
    dead_letters: 1,
    missing_dead_letters: 0,
    stray_dead_letters: 0,
    wrong_kv_usage: 0,
    wrong_totals: 0,
};

#[tokio::test]
async fn a_sound_database_is_found_sound_with_a_server_or_without_and_looks_as_before() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("campanile 100%?.db");
    assert_eq!(examine(&path).unwrap(), None);
    let store = filled(&path).await;
    assert_eq!(recounts(&path), SOUND, "beside a server");
    store.close().await;

    let contents = || {
        let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut contents: Vec<_> = files.map(|file| (fs::read(&file).unwrap(), file)).collect();
        contents.sort();
        contents
    };
    let before = contents();
    let found = examine(&path).unwrap().unwrap();
    assert_eq!((found.version, found.newest, found.recounts), (VERSION, Some(id(3)), Some(SOUND)));
    assert_eq!(found.damage, Vec::<String>::new());
    assert_eq!(contents(), before, "nothing was written, and nothing made");
}

#[tokio::test]
async fn each_count_that_is_not_so_is_found() {
    for (break_it, expected) in [
        (
            "UPDATE tallies SET open = 9 WHERE notification = (SELECT min(notification) FROM tallies)",
            Recounts { wrong_tallies: 1, ..SOUND },
        ),
        ("DELETE FROM tallies", Recounts { wrong_tallies: 2, ..SOUND }),
        (
            "DELETE FROM live WHERE notification = (SELECT max(notification) FROM live) AND idx = 1",
            Recounts { missing_live: 1, ..SOUND },
        ),
        // Its place is not where its delivery says: it would come too late.
        (
            "UPDATE live SET due = due + 5 WHERE notification = (SELECT max(notification) FROM live)",
            Recounts { missing_live: 2, stray_live: 2, ..SOUND },
        ),
        ("DELETE FROM dead_letters", Recounts { dead_letters: 0, missing_dead_letters: 1, wrong_totals: 1, ..SOUND }),
        (
            "INSERT INTO dead_letters SELECT notification, idx FROM deliveries WHERE status = 1",
            Recounts { dead_letters: 2, stray_dead_letters: 1, wrong_totals: 1, ..SOUND },
        ),
        ("UPDATE kv_usage SET bytes = bytes + 1", Recounts { wrong_kv_usage: 1, ..SOUND }),
        ("DELETE FROM kv_usage", Recounts { wrong_kv_usage: 1, ..SOUND }),
        ("UPDATE totals SET retrying = 7, audit_bytes = 0", Recounts { wrong_totals: 2, ..SOUND }),
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("campanile.db");
        filled(&path).await.close().await;
        Connection::open(&path).unwrap().execute_batch(break_it).unwrap();
        assert_eq!(recounts(&path), expected, "{break_it}");
    }
}

#[tokio::test]
async fn damage_is_told_and_an_older_version_is_not_counted() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("campanile.db");
    filled(&path).await.close().await;
    let older = folder.path().join("older.db");
    fs::copy(&path, &older).unwrap();
    Connection::open(&older).unwrap().pragma_update(None, "user_version", 4).unwrap();
    let found = examine(&older).unwrap().unwrap();
    assert_eq!((found.version, found.recounts), (4, None));

    // A page that is in the file and in no tree.
    let db = Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'templates'; PRAGMA writable_schema = OFF",
    )
    .unwrap();
    drop(db);
    let found = examine(&path).unwrap().unwrap();
    assert!(found.damage[0].contains("never used"), "{:?}", found.damage);
    assert_eq!(found.recounts, None);
}

#[tokio::test]
async fn a_large_notification_that_is_half_made_cancelled_or_deduplicated_is_sound() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("campanile.db");
    let store = open(&path);
    let mut doubled = large(3, 1_500);
    for delivery in &mut doubled.deliveries[1_200..1_202] {
        delivery.dedupe = Some(once(9));
    }
    store.accept(vec![large(1, 2_500), large(2, 2_500), doubled]).await.unwrap();
    for (n, slices) in [(1, 1), (2, 1), (3, 2)] {
        for _ in 0..slices {
            store.expand(id(n), NOW).await.unwrap();
        }
    }
    store.cancel(id(2), NOW, BY).await.unwrap();
    let found = recounts(&path);
    assert_eq!((found.wrong_tallies, found.missing_live, found.stray_live), (0, 0, 0), "{found:?}");
    // The third has 1,499 deliveries, and the first has 1,000 of its own.
    assert_eq!(found.deliveries.open, 1_000 + 1_499);
    store.close().await;
    let break_it = "UPDATE tallies SET open = open + 1 WHERE notification = (SELECT min(notification) FROM tallies)";
    Connection::open(&path).unwrap().execute(break_it, []).unwrap();
    assert_eq!(recounts(&path).wrong_tallies, 1, "what is wrong with a large one is found all the same");
}
