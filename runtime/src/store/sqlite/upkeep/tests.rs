//! What an operator can do with the file, and what is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tempfile::TempDir;

use super::*;
use crate::domain::Act;
use crate::store::conformance::{Ear, NOW, id, planned};
use crate::store::sqlite::{Recounts, SqliteOptions, SqliteStore, examine};
use crate::store::{AuditFilter, CommitListener, Store};

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("campanile.db")
    }

    /// A store of that many notifications with two deliveries each, closed again.
    async fn with(count: u32) -> Self {
        let folder = Self::new();
        let store = open(&folder.database());
        fill(&store, 0..count).await;
        store.close().await;
        folder
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn sql(&self, statements: &str) {
        Connection::open(self.database()).unwrap().execute_batch(statements).unwrap();
    }
}

fn open(path: &Path) -> Arc<SqliteStore> {
    let listener: Arc<dyn CommitListener> = Arc::new(Ear::default());
    SqliteStore::open(SqliteOptions { path: path.to_owned(), durability: Durability::Full, listener }).unwrap()
}

async fn fill(store: &SqliteStore, numbers: std::ops::Range<u32>) {
    store.accept(numbers.map(|n| planned(n, &["mail", "chat"])).collect()).await.unwrap();
}

async fn has(path: &Path, number: u32) -> bool {
    let store = open(path);
    let found = store.notification(id(number)).await.unwrap().is_some();
    store.close().await;
    found
}

/// As the program before left it.
const VERSION_4: &str = "DROP TABLE dead_letters; DROP TABLE lookups; DROP TABLE targets; DROP TABLE in_flight;
     DROP TABLE marks; DROP TABLE cancelling_one; DROP TABLE audit; DROP TABLE totals; DROP INDEX idempotency_of;
     DROP TABLE channels; DROP TABLE reroutes; DROP TABLE callbacks; DROP TABLE owed_callbacks;
     DROP TABLE dead_callbacks; DROP TABLE expiries; DROP TABLE callback_urls;
     ALTER TABLE tallies DROP COLUMN never_made;
     ALTER TABLE idempotency DROP COLUMN skipped; PRAGMA user_version = 4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_while_a_writer_goes_on_is_whole_and_opens() {
    let folder = Folder::new();
    let store = open(&folder.database());
    fill(&store, 0..300).await;
    let enough = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (store, enough) = (Arc::clone(&store), Arc::clone(&enough));
        async move {
            let mut n = 1_000;
            while !enough.load(Ordering::Relaxed) {
                fill(&store, n..n + 10).await;
                n += 10;
            }
        }
    });
    let (database, to) = (folder.database(), folder.path("copy.db"));
    let copied =
        tokio::task::spawn_blocking(move || backup(&database, &to, false, NOW, Actor::Cli)).await.unwrap().unwrap();
    enough.store(true, Ordering::Relaxed);
    writer.await.unwrap();

    let copy = folder.path("copy.db");
    assert!(copied.notifications >= 300, "{copied:?}");
    assert_eq!((copied.deliveries.open, copied.version), (2 * copied.notifications, VERSION));
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.names().iter().filter(|name| name.contains("copy")).count(), 1, "{:?}", folder.names());
    let recounts = examine(&copy).unwrap().unwrap().recounts.unwrap();
    let sound = Recounts { notifications: copied.notifications, deliveries: copied.deliveries, ..Recounts::default() };
    assert_eq!(recounts, sound);
    let opened = open(&copy);
    for n in 0..300 {
        assert_eq!(opened.notification(id(n)).await.unwrap(), store.notification(id(n)).await.unwrap());
    }
}

#[tokio::test]
async fn a_file_that_is_there_is_replaced_only_where_that_is_asked_for() {
    let folder = Folder::with(3).await;
    let (database, to) = (folder.database(), folder.path("copy.db"));
    fs::write(&to, "theirs").unwrap();
    // The log of whatever was there: SQLite would play it into the new file.
    fs::write(folder.path("copy.db-wal"), "theirs").unwrap();
    let refused = backup(&database, &to, false, NOW, Actor::Cli).unwrap_err();
    assert!(matches!(&refused, UpkeepError::Exists(path) if *path == to), "{refused:?}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "theirs");
    assert_eq!(backup(&database, &to, true, NOW, Actor::Cli).unwrap().notifications, 3);
    assert!(!folder.path("copy.db-wal").exists());
}

#[tokio::test]
async fn a_backup_never_goes_where_the_store_has_its_own_files() {
    let folder = Folder::with(3).await;
    for own in ["campanile.db", "campanile.db-wal", "campanile.db-shm", "campanile.db.lock"] {
        let refused = backup(&folder.database(), &folder.path(own), true, NOW, Actor::Cli).unwrap_err();
        assert!(matches!(refused, UpkeepError::Own(_)), "{refused:?}");
    }
    assert!(has(&folder.database(), 2).await);
    let nothing = backup(&folder.path("other.db"), &folder.path("copy.db"), false, NOW, Actor::Cli).unwrap_err();
    assert!(matches!(nothing, UpkeepError::Missing(_)), "{nothing:?}");
}

#[tokio::test]
async fn what_is_restored_takes_the_place_of_what_is_there_which_is_kept() {
    let folder = Folder::with(1).await;
    let (database, copy) = (folder.database(), folder.path("copy.db"));
    backup(&database, &copy, false, NOW, Actor::Cli).unwrap();
    let store = open(&database);
    fill(&store, 1..3).await;
    store.close().await;

    let refused = restore(&copy, &database, false, NOW, Actor::Cli).unwrap_err();
    assert!(matches!(refused, UpkeepError::Exists(_)), "{refused:?}");
    assert!(has(&database, 2).await);

    let restored = restore(&copy, &database, true, NOW, Actor::Cli).unwrap();
    let kept = restored.kept.unwrap();
    assert_eq!(kept, folder.path("campanile.db.before-restore-19700101T000001.000Z"));
    assert_eq!(restored.copied.notifications, 1);
    assert_eq!(fs::metadata(&database).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!folder.path("campanile.db-wal").exists() && !folder.path("campanile.db-shm").exists());
    assert!(has(&database, 0).await && !has(&database, 2).await);
    assert!(has(&kept, 2).await);
}

#[tokio::test]
async fn what_was_only_in_the_log_of_a_crashed_server_is_kept_too() {
    let folder = Folder::with(1).await;
    backup(&folder.database(), &folder.path("copy.db"), false, NOW, Actor::Cli).unwrap();
    let store = open(&folder.database());
    fill(&store, 1..3).await;
    let crashed = Folder::new();
    for name in ["campanile.db", "campanile.db-wal"] {
        fs::copy(folder.path(name), crashed.path(name)).unwrap();
    }
    let restored = restore(&folder.path("copy.db"), &crashed.database(), true, NOW, Actor::Cli).unwrap();
    assert!(!has(&crashed.database(), 2).await);
    assert!(has(&restored.kept.unwrap(), 2).await);
}

#[tokio::test]
async fn nothing_is_restored_or_migrated_while_a_server_has_the_store() {
    let folder = Folder::with(1).await;
    let copy = folder.path("copy.db");
    backup(&folder.database(), &copy, false, NOW, Actor::Cli).unwrap();
    let store = open(&folder.database());
    let holder = format!("process {}", std::process::id());
    for refused in [
        restore(&copy, &folder.database(), true, NOW, Actor::Cli).unwrap_err(),
        migrate(&folder.database(), true, NOW, Actor::Cli).unwrap_err(),
    ] {
        match refused {
            UpkeepError::Store(StoreError::Locked { holder: named, .. }) => assert_eq!(named, holder),
            other => panic!("it is refused as locked, not {other:?}"),
        }
    }
    store.close().await;
    assert!(restore(&copy, &folder.database(), true, NOW, Actor::Cli).is_ok());
}

#[tokio::test]
async fn what_is_no_whole_backup_is_refused_with_the_reason_and_changes_nothing() {
    let folder = Folder::with(400).await;
    let target = Folder::with(1).await;
    let copy = folder.path("copy.db");
    backup(&folder.database(), &copy, false, NOW, Actor::Cli).unwrap();
    let whole = fs::read(&copy).unwrap();
    let refusal = |name: &str| {
        let refused = restore(&folder.path(name), &target.database(), true, NOW, Actor::Cli).unwrap_err();
        assert!(matches!(refused, UpkeepError::Unfit { .. }), "{refused:?}");
        refused.to_string().replace(&folder.path(name).display().to_string(), "FILE")
    };

    fs::write(folder.path("cut.db"), &whole[..whole.len() / 2]).unwrap();
    let cut = refusal("cut.db");
    assert!(cut.starts_with("`FILE` cannot be restored: "), "{cut}");
    fs::write(folder.path("text.db"), "hello ".repeat(1_000)).unwrap();
    assert_eq!(refusal("text.db"), "`FILE` cannot be restored: file is not a database");
    fs::write(folder.path("empty.db"), "").unwrap();
    assert_eq!(refusal("empty.db"), "`FILE` cannot be restored: there is nothing in it");
    Connection::open(folder.path("theirs.db")).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(refusal("theirs.db"), "`FILE` cannot be restored: it is a database of another program");
    fs::write(folder.path("newer.db"), &whole).unwrap();
    Connection::open(folder.path("newer.db")).unwrap().pragma_update(None, "user_version", 99).unwrap();
    assert_eq!(
        refusal("newer.db"),
        format!(
            "`FILE` cannot be restored: it has version 99, this program knows up to {VERSION}: use the newer program"
        )
    );
    assert!(has(&target.database(), 0).await);
    assert_eq!(target.names(), ["campanile.db", "campanile.db.lock"]);
}

#[tokio::test]
async fn an_older_backup_is_restored_and_migrated_by_the_next_start() {
    let folder = Folder::with(2).await;
    folder.sql(VERSION_4);
    let target = Folder::new();
    let restored = restore(&folder.database(), &target.path("new/campanile.db"), false, NOW, Actor::Cli).unwrap();
    assert_eq!((restored.copied.version, restored.kept), (4, None));
    assert!(has(&target.path("new/campanile.db"), 1).await);
    assert_eq!(version(&target.path("new/campanile.db")).unwrap(), Some(VERSION));
}

#[tokio::test]
async fn what_is_restored_has_another_epoch_and_the_original_keeps_its_own() {
    let folder = Folder::with(2).await;
    let range = async |path: &Path| {
        let store = open(path);
        let range = store.event_range().await.unwrap();
        store.close().await;
        range
    };
    let before = range(&folder.database()).await;
    backup(&folder.database(), &folder.path("copy.db"), false, NOW, Actor::Cli).unwrap();
    assert_eq!(range(&folder.database()).await, before, "a backup changes nothing");
    restore(&folder.path("copy.db"), &folder.database(), true, NOW, Actor::Cli).unwrap();
    let after = range(&folder.database()).await;
    assert_eq!((after.oldest, after.newest), (before.oldest, before.newest));
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(range(&folder.database()).await, after, "it stays from here on");
}

#[tokio::test]
async fn a_migration_keeps_what_was_there_unless_it_is_told_not_to() {
    let folder = Folder::with(2).await;
    let kept = folder.path("campanile.db.v4");
    folder.sql(VERSION_4);
    assert_eq!(version(&folder.database()).unwrap(), Some(4));
    let done = migrate(&folder.database(), true, NOW, Actor::Cli).unwrap();
    assert_eq!(done, Migrated { from: 4, to: VERSION, kept: Some(kept.clone()) });
    assert_eq!((version(&folder.database()).unwrap(), version(&kept).unwrap()), (Some(VERSION), Some(4)));
    assert!(has(&folder.database(), 1).await);

    fs::remove_file(&kept).unwrap();
    folder.sql(VERSION_4);
    assert_eq!(migrate(&folder.database(), false, NOW, Actor::Cli).unwrap().kept, None);
    assert!(!kept.exists());

    // A start does the same.
    folder.sql(VERSION_4);
    assert!(has(&folder.database(), 1).await);
    assert_eq!(version(&kept).unwrap(), Some(4));
    assert_eq!(
        migrate(&folder.database(), true, NOW, Actor::Cli).unwrap(),
        Migrated { from: VERSION, to: VERSION, kept: None }
    );
}

/// What was done to a database as a whole by its own audit log, the newest first.
async fn told(path: &Path) -> Vec<(Act, Actor, Timestamp)> {
    let store = open(path);
    let page = store.audit(AuditFilter::default(), None, 10).await.unwrap();
    store.close().await;
    let sizes = "SELECT (SELECT coalesce(sum(length(frame)), 0) FROM audit) = (SELECT audit_bytes FROM totals)";
    assert!(Connection::open(path).unwrap().query_row(sizes, [], |row| row.get::<_, bool>(0)).unwrap());
    page.entries.into_iter().map(|(_, entry)| (entry.act, entry.by, entry.at)).collect()
}

#[tokio::test]
async fn the_audit_log_of_what_was_made_says_by_whom_and_when() {
    let folder = Folder::with(1).await;
    let (database, copy, later) = (folder.database(), folder.path("copy.db"), NOW.after(Duration::from_hours(1)));
    let is_of_store = |(act, _, _): &(Act, Actor, Timestamp)| matches!(act, Act::Store { .. });
    let act = |deed, from| Act::Store { deed, from, to: VERSION };
    let made = backup(&database, &copy, false, NOW, Actor::Cli).unwrap();
    assert_eq!(made.bytes, fs::metadata(&copy).unwrap().len());
    assert!(!told(&database).await.iter().any(is_of_store), "a backup changes nothing");

    restore(&copy, &database, true, later, Actor::Embedder).unwrap();
    let of_both: Vec<_> = told(&database).await.into_iter().filter(is_of_store).collect();
    let expected = [
        (act(StoreDeed::Restore, VERSION), Actor::Embedder, later),
        (act(StoreDeed::Backup, VERSION), Actor::Cli, NOW),
    ];
    assert_eq!(of_both, expected);

    // A database of this version has no audit log.
    folder.sql(VERSION_4);
    let old = folder.path("old.db");
    backup(&database, &old, false, NOW, Actor::Cli).unwrap();
    assert_eq!(version(&old).unwrap(), Some(4));
    migrate(&database, true, later, Actor::Cli).unwrap();
    migrate(&database, true, later, Actor::Cli).unwrap();
    assert_eq!(told(&database).await, [(act(StoreDeed::Migrate, 4), Actor::Cli, later)], "once");
}

#[tokio::test]
async fn without_room_for_the_copy_nothing_is_migrated() {
    let folder = Folder::with(2).await;
    folder.sql(VERSION_4);
    // What cannot be replaced by a file.
    fs::create_dir(folder.path("campanile.db.v4")).unwrap();
    let refused = migrate(&folder.database(), true, NOW, Actor::Cli).unwrap_err().to_string();
    assert!(refused.contains("or go without one: `campanile migrate --no-backup`"), "{refused}");
    assert_eq!(version(&folder.database()).unwrap(), Some(4));
    assert!(folder.names().iter().all(|name| !name.starts_with('.')), "{:?}", folder.names());
}
