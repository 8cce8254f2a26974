//! Backups, restores and the doctor, through the program.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use campanile_tests::{Server, program};
use serde_json::{Value, json};

use crate::api::Api;

/// Accepts a batch and returns its ids.
async fn accept(api: &Api, batch: usize) -> Vec<String> {
    let items: Vec<Value> = (0..50).map(|n| json!({ "channels": ["null"], "body": format!("{batch}-{n}") })).collect();
    let answer = api.post("/v1/notifications/batch", &Value::Array(items)).await;
    let results = answer.body["results"].as_array().unwrap_or_else(|| panic!("{answer:?}")).clone();
    results.iter().map(|result| result["id"].as_str().expect("every item is accepted").to_owned()).collect()
}

fn status_of<'a>(report: &'a Value, name: &str) -> &'a str {
    let checks = report["checks"].as_array().expect("a list of checks");
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("`{name}` in {report:#}"));
    check["status"].as_str().expect("a word")
}

/// A backup beside a server under load holds everything that was accepted before it began, in another folder too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_before_a_backup_is_there_after_its_restore_elsewhere() {
    let server = Server::start("").await;
    let api = Arc::new(Api::of(&server));
    let mut before = BTreeSet::new();
    for batch in 0..10 {
        before.extend(accept(&api, batch).await);
    }
    let enough = Arc::new(AtomicBool::new(false));
    let load = tokio::spawn({
        let (api, enough) = (Arc::clone(&api), Arc::clone(&enough));
        async move {
            let mut accepted = 0;
            while !enough.load(Ordering::Relaxed) {
                accepted += accept(&api, 100).await.len();
            }
            accepted
        }
    });
    let made = server.cli(["--json", "backup", "copy.db"]).await;
    enough.store(true, Ordering::Relaxed);
    assert!(load.await.expect("the load goes on") > 0);
    assert_eq!(made.code, 0, "{made:?}");
    assert!(made.json()["notifications"].as_u64() >= Some(500), "{made:?}");
    assert_eq!(made.json()["check"], "integrity_check");
    let again = server.cli(["backup", "copy.db"]).await;
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.stderr.contains("hint: name another file, or replace it with `--force`"), "{again:?}");

    let refused = server.cli(["restore", "copy.db", "--yes"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("is in use by process "), "{refused:?}");
    assert!(refused.stderr.contains("hint: stop the server first"), "{refused:?}");
    let doctor = server.cli(["--json", "doctor"]).await.json();
    for sound in ["database", "integrity", "notifications", "queue", "dead letters", "kv", "server", "clock"] {
        assert_eq!(status_of(&doctor, sound), "ok", "{doctor:#}");
    }

    let elsewhere = tempfile::tempdir().expect("a folder");
    let restored = tokio::process::Command::new(program())
        .args(["restore".as_ref(), server.dir().join("copy.db").as_os_str()])
        .current_dir(elsewhere.path())
        .output()
        .await
        .expect("the program can be run");
    assert!(restored.status.success(), "{restored:?}");
    let database = elsewhere.path().join("data/campanile.db").display().to_string();
    // Dropped, it is killed.
    drop(server);
    let second = Server::start(&format!("[store]\nurl = \"sqlite://{database}\"\n")).await;
    let api = Api::of(&second);
    for id in &before {
        assert_eq!(api.until_final(id).await["status"], "sent", "{id}");
    }
    for action in ["backup", "restore"] {
        let told = api.get(&format!("/v1/audit?action={action}")).await.body["entries"].clone();
        let who: Vec<_> = told.as_array().into_iter().flatten().map(|entry| &entry["actor"]).collect();
        assert_eq!(who, ["cli"], "{action}: {told}");
        assert!(told[0]["details"]["version"].is_string(), "{told}");
    }
    assert_eq!(second.terminate().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_installation_is_restored_only_with_a_word_and_says_whether_it_is_up_to_date() {
    let server = Server::start("").await;
    assert_eq!(server.cli(["backup", "copy.db"]).await.code, 0);
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::copy(server.dir().join("copy.db"), dir.path().join("copy.db")).expect("it can be copied");
    assert_eq!(server.terminate().await, 0);
    let run = async |args: &[&str]| {
        let output = tokio::process::Command::new(program()).args(args).current_dir(dir.path()).output().await;
        let output = output.expect("the program can be run");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, said, _) = run(&["migrate", "--check"]).await;
    assert_eq!(code, Some(0));
    assert!(said.starts_with("data/campanile.db: there is none yet, `campanile serve` makes it at version "), "{said}");
    assert_eq!(run(&["restore", "copy.db"]).await.0, Some(0));
    let (code, _, said) = run(&["restore", "copy.db"]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("hint: say `--yes` to replace it: it is kept beside the new one"), "{said}");
    let (code, said, _) = run(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(code, Some(0));
    assert!(said.contains("the database before is kept as data/campanile.db.before-restore-"), "{said}");
    let (code, said, _) = run(&["migrate", "--check"]).await;
    assert!(code == Some(0) && said.ends_with(", up to date\n"), "{said}");

    let (_, said, _) = run(&["doctor"]).await;
    assert!(said.contains("warn  server: none runs → start it: `campanile serve`\n"), "{said}");
    std::fs::write(dir.path().join("campanile.toml"), "[stor]\n").expect("a file can be written");
    let (code, said, _) = run(&["doctor"]).await;
    assert_eq!(code, Some(1));
    assert!(said.starts_with("fail  configuration: ") && said.contains("did you mean `store`"), "{said}");
}
