//! What this engine promises besides the conformance suite: about its file.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::Connection;
use tempfile::TempDir;

use super::writer::read_job;
use super::*;
use crate::domain::{KvChange, KvEntry, KvWrite};
use crate::store::conformance::kv::QUOTA;
use crate::store::conformance::{
    Ear, NOW, Place, at, channel, claim_one, conformance, id, open, planned, sent, settle_one, waiting,
};

struct Folder {
    dir: TempDir,
    durability: Durability,
}

impl Folder {
    fn new(durability: Durability) -> Self {
        Self { dir: TempDir::new().unwrap(), durability }
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("data/campanile.db")
    }

    fn try_open(&self) -> Result<Arc<SqliteStore>, StoreError> {
        let listener = Arc::new(Ear::default());
        SqliteStore::open(SqliteOptions { path: self.file(), durability: self.durability, listener })
    }
}

#[async_trait]
impl Place for Folder {
    async fn open(&self, listener: Arc<dyn CommitListener>) -> Arc<dyn Store> {
        let (path, durability) = (self.file(), self.durability);
        SqliteStore::open(SqliteOptions { path, durability, listener }).unwrap()
    }
}

mod full {
    use super::*;
    conformance!(Folder::new(Durability::Full));
}

mod os {
    use super::*;
    conformance!(Folder::new(Durability::Os));
}

fn sql(folder: &Folder, statements: &str) {
    std::fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
    Connection::open(folder.file()).unwrap().execute_batch(statements).unwrap();
}

fn refusal(folder: &Folder) -> String {
    match folder.try_open() {
        Err(error @ StoreError::Unusable { .. }) => error.to_string(),
        other => panic!("it is refused as unusable, not {other:?}"),
    }
}

#[tokio::test]
async fn a_store_in_memory_serves_and_leaves_no_file() {
    let folder = Folder::new(Durability::Memory);
    let store = open(&folder).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.count().await.unwrap().sent, 1);
    assert_eq!(store.outbox(0, 10).await.unwrap().len(), 4);
    store.close().await;
    assert!(matches!(store.count().await, Err(StoreError::Closed)));
    assert_eq!(std::fs::read_dir(folder.dir.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_caller_was_told_is_on_the_disk_before_anything_is_closed() {
    let folder = Folder::new(Durability::Full);
    let store = open(&folder).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;

    let write = KvWrite {
        channel: channel("mail"),
        key: "cursor".to_owned(),
        change: KvChange::Set(b"12".to_vec()),
        expected: None,
        quota: QUOTA,
    };
    store.kv_write(write).await.unwrap();

    // The files as a crash at this moment would leave them.
    let crashed = Folder::new(Durability::Full);
    std::fs::create_dir_all(crashed.file().parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        let of = |folder: &Folder| format!("{}{suffix}", folder.file().display());
        std::fs::copy(of(&folder), of(&crashed)).unwrap();
    }
    let after = open(&crashed).await;
    assert_eq!(after.notification(id(1)).await.unwrap(), store.notification(id(1)).await.unwrap());
    assert_eq!(after.outbox(0, 100).await.unwrap(), store.outbox(0, 100).await.unwrap());
    claim_one(&*after, id(1).delivery(1)).await;
    let kept = after.kv_get(&channel("mail"), "cursor").await.unwrap();
    assert_eq!(kept, Some(KvEntry { value: b"12".to_vec(), version: 1 }));
}

#[cfg(unix)]
#[tokio::test]
async fn its_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new(Durability::Full);
    let store = folder.try_open().unwrap();
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    for entry in std::fs::read_dir(folder.file().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} has mode {mode:o}", entry.file_name());
    }
}

#[tokio::test]
async fn a_second_owner_is_refused_and_told_who_the_first_is() {
    let folder = Folder::new(Durability::Full);
    let first = folder.try_open().unwrap();
    match folder.try_open() {
        Err(StoreError::Locked { holder, .. }) => assert_eq!(holder, format!("process {}", std::process::id())),
        other => panic!("it is refused as locked, not {other:?}"),
    }
    first.close().await;
    folder.try_open().unwrap().close().await;
}

#[tokio::test]
async fn a_file_of_a_newer_version_is_left_alone() {
    let folder = Folder::new(Durability::Full);
    folder.try_open().unwrap().close().await;
    sql(&folder, "PRAGMA user_version = 99");
    assert!(refusal(&folder).contains("it has version 99"));
}

#[tokio::test]
async fn a_file_of_an_older_version_is_brought_up_to_date_with_what_it_holds() {
    let folder = Folder::new(Durability::Full);
    let store = open(&folder).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    store.close().await;
    // As the program before left it.
    let later = [
        "kv",
        "kv_usage",
        "idempotency",
        "dedupe",
        "dead_letters",
        "lookups",
        "targets",
        "in_flight",
        "marks",
        "cancelling_one",
        "audit",
        "totals",
        "channels",
        "reroutes",
        "callbacks",
        "owed_callbacks",
        "dead_callbacks",
        "expiries",
        "callback_urls",
    ];
    let drops: String = later.iter().map(|table| format!("DROP TABLE {table}; ")).collect();
    sql(&folder, &format!("{drops} ALTER TABLE tallies DROP COLUMN never_made; PRAGMA user_version = 2"));

    let store = open(&folder).await;
    assert_eq!(store.count().await.unwrap().open, 1);
    assert_eq!(store.kv_get(&channel("mail"), "cursor").await.unwrap(), None);
    let to = NotificationFilter { recipient: Some("1@mail".to_owned()), ..NotificationFilter::default() };
    let found = store.query(to, None, 10).await.unwrap().notifications;
    assert_eq!(found.len(), 1, "what was there before is in the index, too");
    assert_eq!(store.totals().next_expiry, Some(at(9_000)), "and expires");
    assert_eq!(store.expire(at(9_000), 10).await.unwrap(), 1);
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let folder = Folder::new(Durability::Full);
    sql(&folder, "CREATE TABLE theirs (x)");
    assert!(refusal(&folder).contains("another program"));
}

#[tokio::test]
async fn a_file_that_is_no_database_is_left_alone() {
    let folder = Folder::new(Durability::Full);
    std::fs::create_dir_all(folder.file().parent().unwrap()).unwrap();
    std::fs::write(folder.file(), "hello ".repeat(1_000)).unwrap();
    assert!(refusal(&folder).contains("restore a backup"));
    assert_eq!(std::fs::read_to_string(folder.file()).unwrap(), "hello ".repeat(1_000));
}

#[tokio::test]
async fn a_damaged_row_is_said_and_does_not_stop_the_rest() {
    let folder = Folder::new(Durability::Full);
    let store = open(&folder).await;
    store.accept(vec![planned(1, &["mail"]), planned(2, &["mail"])]).await.unwrap();
    store.close().await;
    sql(&folder, "UPDATE notifications SET payload = x'01ffff' WHERE id = (SELECT min(id) FROM notifications)");

    let store = open(&folder).await;
    let damaged = store.notification(id(1)).await;
    assert!(matches!(damaged, Err(StoreError::Unusable { .. })), "{damaged:?}");
    assert!(store.claim(&[id(1).delivery(0)], NOW).await.is_err());
    claim_one(&*store, id(2).delivery(0)).await;
}

/// Lets the file have so many pages and no more: what a full disk is to SQLite.
async fn limit_pages(store: &SqliteStore, pages: u32) {
    let (job, answer) =
        read_job(move |db| Ok(db.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?));
    store.commands.send(Command::Read(job)).await.unwrap();
    answer.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_full_disk_is_told_to_everybody_and_later_commands_work_again() {
    let folder = Folder::new(Durability::Full);
    let store = folder.try_open().unwrap();
    store.accept(vec![planned(0, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(0).delivery(0)).await;
    // 1 is below what it has: from here no page can be added.
    limit_pages(&store, 1).await;
    let big = |n| store.accept((n..n + 100).map(|n| planned(n, &["mail"; 10])).collect());
    let (one, other) = tokio::join!(big(1_000), big(2_000));
    for refused in [one, other] {
        let error = refused.unwrap_err();
        assert!(error.is_transient(), "{error}");
    }
    assert_eq!(store.count().await.unwrap().open, 1);
    assert_eq!(store.claim(&[id(1_000).delivery(0)], NOW).await.unwrap().len(), 0);

    limit_pages(&store, 1 << 30).await;
    big(1_000).await.unwrap();
    settle_one(&*store, &claim, sent(1)).await;
    let numbers: Vec<_> = store.outbox(0, 1_000).await.unwrap().iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=104).collect::<Vec<_>>());
}

/// As on a disk that has no room for it.
#[cfg(unix)]
#[tokio::test]
async fn without_the_file_of_the_logs_index_the_store_is_there_for_this_process_alone() {
    let folder = Folder::new(Durability::Full);
    let store = folder.try_open().unwrap();
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    store.close().await;
    let index = folder.file().with_extension("db-shm");
    assert!(!index.exists());
    // It leads nowhere, and SQLite follows none.
    std::os::unix::fs::symlink("nowhere", &index).unwrap();
    let store = folder.try_open().unwrap();
    store.accept(vec![planned(2, &["mail"])]).await.unwrap();
    for n in [1, 2] {
        assert!(store.notification(id(n)).await.unwrap().is_some(), "readers see what was written");
    }
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, waiting(NOW, 1)).await;
    store.close().await;
    std::fs::remove_file(&index).unwrap();
    let store = folder.try_open().unwrap();
    assert!(store.notification(id(2)).await.unwrap().is_some());
}

/// Lets go of a store as a crash does: what is in flight stays so.
async fn crash(store: Arc<SqliteStore>) {
    let mut ended = store.ended.clone();
    drop(store);
    while ended.changed().await.is_ok() {}
}

#[tokio::test]
async fn what_is_in_flight_at_crashes_is_counted_until_an_attempt_of_it_ends() {
    let folder = Folder::new(Durability::Full);
    let store = folder.try_open().unwrap();
    let (poison, other) = (id(1).delivery(0), id(2).delivery(0));
    store.accept(vec![planned(1, &["mail"]), planned(2, &["mail"])]).await.unwrap();
    // The first process dies before a claim has lived for long: nobody can know.
    assert_eq!(claim_one(&*store, poison).await.crashes, 0);
    crash(store).await;
    for crashes in 0..3 {
        let store = folder.try_open().unwrap();
        assert_eq!(claim_one(&*store, poison).await.crashes, crashes, "after a crash claims are written at once");
        crash(store).await;
    }
    let store = folder.try_open().unwrap();
    let shown = store.notification(id(1)).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((shown.crashes, shown.attempts.len()), (3, 0), "what was cut off is no attempt");
    let (claim, beside) = (claim_one(&*store, poison).await, claim_one(&*store, other).await);
    assert_eq!((claim.crashes, beside.crashes), (3, 0));
    store.release(&[beside.number]).await.unwrap();
    settle_one(&*store, &claim, waiting(NOW, 1)).await;
    assert_eq!(claim_one(&*store, poison).await.crashes, 0, "an attempt ended, and the process lives");
    assert_eq!(store.notification(id(1)).await.unwrap().unwrap().deliveries[0].crashes, 0);
    store.close().await;

    let store = folder.try_open().unwrap();
    assert_eq!(claim_one(&*store, poison).await.crashes, 0, "a stop is no crash");
    assert_eq!(claim_one(&*store, other).await.crashes, 0, "it was given up");
}
