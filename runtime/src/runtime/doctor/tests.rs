//! What is found in an installation that was broken on purpose.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::config::Config;
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Store};

/// 2026-06-01T00:00Z.
const NOW: Timestamp = Timestamp::from_millis(1_780_272_000_000);

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

struct Installation {
    dir: TempDir,
    config: Config,
}

impl Installation {
    /// With a database of one notification, which failed and has two deliveries.
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let mut config = Config::default();
        config.store.path = dir.path().join("data/campanile.db");
        config.plugins.dir = dir.path().join("plugins-enabled");
        config.plugins.bundled_dir = Some(dir.path().join("bundled"));
        config.plugins.cache_dir = dir.path().join("data/plugin-cache");
        fs::create_dir(dir.path().join("bundled")).unwrap();
        let (path, durability) = (config.store.path.clone(), config.store.durability);
        let store = SqliteStore::open(SqliteOptions { path, durability, listener: Arc::new(Deaf) }).unwrap();
        store.close().await;
        let installation = Self { dir, config };
        installation.sql(
            "INSERT INTO lanes VALUES (1, 1, 'mail', 0);
             INSERT INTO notifications VALUES (zeroblob(16), 2, x'01');
             INSERT INTO tallies VALUES (zeroblob(16), 0, 0, 2, 0, 0);
             INSERT INTO deliveries VALUES (zeroblob(16), 0, 1, 2, x'01', x'01'), (zeroblob(16), 1, 1, 2, x'01', x'01');
             INSERT INTO dead_letters VALUES (zeroblob(16), 0), (zeroblob(16), 1);
             UPDATE totals SET dead_letters = 2;",
        );
        installation
    }

    fn sql(&self, statements: &str) {
        Connection::open(&self.config.store.path).unwrap().execute_batch(statements).unwrap();
    }

    async fn check(&self, name: &str) -> Check {
        let checks = examine(&self.config, None, NOW).await.checks;
        checks.iter().find(|check| check.name == name).unwrap_or_else(|| panic!("`{name}` in {checks:#?}")).clone()
    }

    async fn worst(&self) -> CheckStatus {
        let checks = examine(&self.config, None, NOW).await.checks;
        checks.iter().map(|check| check.status).max().unwrap()
    }
}

#[tokio::test]
async fn a_sound_installation_has_nothing_that_fails() {
    let sound = Installation::new().await;
    assert!(sound.worst().await < CheckStatus::Fail);
    assert_eq!(sound.check("notifications").await.detail, "1 with 2 deliveries, and their tallies agree");
    assert_eq!(sound.check("dead letters").await.status, CheckStatus::Ok);
    assert_eq!(sound.check("totals").await.status, CheckStatus::Ok);
    assert_eq!(sound.check("clock").await, Check::ok("clock", "2026-06-01T00:00:00.000Z"));
}

#[tokio::test]
async fn a_tally_that_is_wrong_and_a_dead_letter_that_is_missing_are_found() {
    let broken = Installation::new().await;
    broken.sql("UPDATE tallies SET failed = 1; DELETE FROM dead_letters WHERE idx = 1");
    let tallies = broken.check("notifications").await;
    let detail = "1 of 1 have a tally that is not what their deliveries come to";
    assert_eq!(
        tallies,
        Check::fail("notifications", detail, "stop the server and put a backup back: `campanile restore FILE --yes`")
    );
    let letters = broken.check("dead letters").await;
    assert_eq!(letters.status, CheckStatus::Warn, "a purge does the same");
    assert_eq!(letters.detail, "1 of 2 failed deliveries have no dead letter");
    let totals = broken.check("totals").await;
    assert!(totals.status == CheckStatus::Warn && totals.detail.starts_with("1 of 4"), "{totals:?}");

    broken.sql("PRAGMA user_version = 99");
    let newer = broken.check("database").await;
    assert_eq!(newer.status, CheckStatus::Fail);
    assert!(newer.detail.contains("it has version 99, this program knows up to"), "{newer:?}");
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_found_and_left_as_it_is() {
    let mut closed = Installation::new().await;
    let data = closed.dir.path().join("data");
    fs::set_permissions(&data, fs::Permissions::from_mode(0o500)).unwrap();
    let found = closed.check("data folder").await;
    // Root may write everywhere.
    let expected = if rustix::process::geteuid().is_root() { CheckStatus::Ok } else { CheckStatus::Fail };
    assert_eq!(found.status, expected, "{found:?}");
    assert_eq!(fs::metadata(&data).unwrap().permissions().mode() & 0o777, 0o500);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).unwrap();

    let file = closed.dir.path().join("file");
    fs::write(&file, "").unwrap();
    closed.config.store.path = file.join("campanile.db");
    let found = closed.check("data folder").await;
    assert_eq!((found.status, found.detail), (CheckStatus::Fail, format!("`{}` is not a folder", file.display())));

    closed.config.store.path = closed.dir.path().join("not/yet/campanile.db");
    assert_eq!(closed.check("data folder").await.status, CheckStatus::Ok);
    assert!(!closed.dir.path().join("not").exists());
}

#[tokio::test]
async fn a_file_that_is_no_plugin_and_a_cache_that_others_can_read_are_found() {
    let broken = Installation::new().await;
    fs::create_dir(&broken.config.plugins.dir).unwrap();
    fs::write(broken.config.plugins.dir.join("acme.wasm"), "hello").unwrap();
    let plugin = broken.check("plugin acme.wasm").await;
    assert_eq!(plugin.status, CheckStatus::Fail);
    assert!(plugin.hint.unwrap().starts_with("put another version there, or remove it: `rm "));

    fs::create_dir(&broken.config.plugins.cache_dir).unwrap();
    fs::set_permissions(&broken.config.plugins.cache_dir, fs::Permissions::from_mode(0o755)).unwrap();
    let cache = broken.check("plugin cache").await;
    assert_eq!(cache.status, CheckStatus::Fail);
    assert!(cache.detail.ends_with("has mode 0755, not 0700"), "{cache:?}");
    fs::set_permissions(&broken.config.plugins.cache_dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(broken.check("plugin cache").await.status, CheckStatus::Ok);
}

#[test]
fn little_room_is_a_warning_and_less_a_failure() {
    let at = |bytes| folders::of_free(bytes, Path::new("/data"));
    assert_eq!(at(1 << 30), Check::ok("free space", "1.0 GiB at `/data`"));
    assert_eq!(at((1 << 30) - 1).status, CheckStatus::Warn);
    assert_eq!(at(64 << 20).status, CheckStatus::Warn);
    let full = at((64 << 20) - 1);
    assert_eq!(
        (full.status, full.hint.as_deref()),
        (CheckStatus::Fail, Some("make room on that disk: 64.0 MiB at least"))
    );
}

#[test]
fn a_clock_that_cannot_be_right_is_found() {
    assert_eq!(of_clock(Timestamp::from_millis(1_767_225_599_999), None).status, CheckStatus::Fail);
    let newest = Some(NotificationId::first_at(NOW));
    let before = |seconds: u64| Timestamp::from_millis(NOW.as_millis() - seconds * 1_000);
    assert_eq!(of_clock(before(60), newest).status, CheckStatus::Ok);
    let ahead = of_clock(before(61), newest);
    assert_eq!(ahead.status, CheckStatus::Fail);
    assert!(ahead.detail.contains("the newest notification was accepted at 2026-06-01T00:00:00.000Z"), "{ahead:?}");
}
