use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;

use super::*;
use crate::clock::{ManualClock, SystemClock};
use crate::domain::Timestamp;
use crate::sandbox::engine;
use crate::sandbox::inspect::FileHash;
use crate::sandbox::registry::tests::rig::{Rig, edition, guest, is_sent, send, table};

/// Waits for a change after which the plugins are as they should be. The limit is only for a test that fails.
async fn until(registry: &Registry, wanted: &str) {
    let mut changes = registry.changes();
    let seen = async {
        while table(registry) != wanted {
            changes.changed().await.expect("the registry is there");
        }
    };
    if tokio::time::timeout(Duration::from_secs(60), seen).await.is_err() {
        panic!("wanted `{wanted}`, there is `{}`", table(registry));
    }
}

/// A compiler that knows some files, says when it has begun with the first of them, and waits for a word to go on.
struct SlowCompiler {
    begun: pipe::Receiver,
    gate: pipe::Sender,
}

impl SlowCompiler {
    fn of(rig: &mut Rig, files: &[&[u8]]) -> Self {
        let (program, begun, gate) = (rig.bundled("compiler"), rig.bundled("begun"), rig.bundled("gate"));
        for file in files {
            let engine = engine::for_compiling().expect("the engine runs here");
            let code = engine.precompile_component(file).expect("it is a good one");
            fs::write(rig.bundled(&format!("{}.code", file.len())), code).expect("written");
        }
        let dir = rig.bundled("");
        let (dir, slow) = (dir.display(), files[0].len());
        assert!(files[1..].iter().all(|file| file.len() != slow), "files are known by their sizes");
        let script = format!(
            "#!/bin/sh\nsize=$(/usr/bin/wc -c)\nif [ $size = {slow} ]; then\necho > {dir}/begun\nread go < {dir}/gate\nfi\n\
             exec /bin/cat {dir}/$size.code\n"
        );
        fs::write(&program, script).expect("written");
        fs::set_permissions(&program, Permissions::from_mode(0o700)).expect("it can be run");
        let made = std::process::Command::new("mkfifo").args([&begun, &gate]).status().expect("it can be run");
        assert!(made.success(), "pipes");
        rig.compiler = Some(program);
        // Both ways, so that who waits at one is not told of an end.
        let both = || pipe::OpenOptions::new().read_write(true).clone();
        Self { begun: both().open_receiver(begun).expect("a pipe"), gate: both().open_sender(gate).expect("a pipe") }
    }

    async fn has_begun(&mut self) {
        let begun = tokio::time::timeout(Duration::from_secs(60), self.begun.read_u8()).await;
        begun.expect("it begins").expect("a byte");
    }

    async fn go_on(&mut self) {
        self.gate.write_all(b"go\n").await.expect("written");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_comes_while_another_is_compiled_does_not_wait_for_it() {
    let mut rig = Rig::new();
    let (slow, quick) = (guest("null"), guest("console"));
    let mut compiler = SlowCompiler::of(&mut rig, &[&slow, &quick]);
    let registry = rig.open().await;
    let watch = Watch::start(Arc::clone(&registry), Arc::new(SystemClock::default()));
    rig.put(&rig.own("null.wasm"), &slow);
    compiler.has_begun().await;
    rig.put(&rig.own("console.wasm"), &quick);
    until(&registry, "console@0.1.0 own/console.wasm serving [console]").await;
    assert!(is_sent(&send(&registry, "console").await), "it serves");
    fs::remove_file(rig.own("console.wasm")).expect("removed");
    compiler.go_on().await;
    until(&registry, "null@0.1.0 own/null.wasm serving [null]").await;
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_while_it_is_compiled_is_compiled_anew() {
    let mut rig = Rig::new();
    let (first, last) = (guest("null"), edition("null", 2));
    let mut compiler = SlowCompiler::of(&mut rig, &[&first, &last]);
    let registry = rig.open().await;
    let watch = Watch::start(Arc::clone(&registry), Arc::new(SystemClock::default()));
    rig.put(&rig.own("null.wasm"), &first);
    compiler.has_begun().await;
    // The first is never told to go on.
    rig.put(&rig.own("null.wasm"), &last);
    until(&registry, "null@0.1.0 own/null.wasm serving [null]").await;
    let serves = FileHash(crate::supply::Sha256::of(&last).0);
    assert_eq!(registry.plugins()[0].sha256, Some(serves));
    watch.stop().await;
    assert_eq!(Arc::strong_count(&registry), 1, "nothing is compiled any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_dropped_in_is_served_and_one_that_is_removed_is_not() {
    let rig = Rig::new();
    let registry = rig.open().await;
    let watch = Watch::start(Arc::clone(&registry), Arc::new(SystemClock::default()));
    fs::write(rig.own("console.wasm"), guest("console")).expect("written");
    until(&registry, "console@0.1.0 own/console.wasm serving [console]").await;
    assert!(is_sent(&send(&registry, "console").await));
    fs::remove_file(rig.own("console.wasm")).expect("removed");
    until(&registry, "").await;
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_not_there_is_made_and_one_made_anew_is_followed() {
    let rig = Rig::new();
    fs::remove_dir(rig.own("")).expect("removed");
    let registry = rig.open().await;
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let watch = Watch::start(Arc::clone(&registry), Arc::new(clock.clone()));
    let run = tokio::spawn(run_on(clock));
    while !rig.own("").is_dir() {
        tokio::task::yield_now().await;
    }
    fs::rename(rig.own(""), rig.bundled("away")).expect("moved away");
    // Whoever watches makes it too, if it looks first.
    fs::create_dir_all(rig.own("")).expect("made anew");
    rig.put(&rig.own("null.wasm"), &guest("null"));
    until(&registry, "null@0.1.0 own/null.wasm serving [null]").await;
    run.abort();
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_moved_away_is_not_made_in_its_way_back_and_is_followed_again() {
    let rig = Rig::new();
    rig.put(&rig.own("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let watch = Watch::start(Arc::clone(&registry), Arc::new(clock.clone()));
    let run = tokio::spawn(run_on(clock.clone()));
    looks(&clock).await;
    fs::rename(rig.own(""), rig.bundled("away")).expect("moved away");
    looks(&clock).await;
    assert!(!rig.own("").exists(), "the way back is free");
    assert!(is_sent(&send(&registry, "null").await), "what serves goes on serving");
    fs::rename(rig.bundled("away"), rig.own("")).expect("moved back");
    looks(&clock).await;
    assert_eq!(table(&registry), "null@0.1.0 own/null.wasm serving [null]");
    fs::rename(rig.own("null.wasm"), rig.bundled("away.wasm")).expect("moved away");
    until(&registry, "").await;
    fs::rename(rig.bundled("away.wasm"), rig.own("null.wasm")).expect("moved back");
    until(&registry, "null@0.1.0 own/null.wasm serving [null]").await;
    run.abort();
    watch.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gives_no_notice_is_found_by_the_next_rescan() {
    let rig = Rig::new();
    // A change behind a link happens in another folder.
    symlink(rig.bundled("elsewhere"), rig.own("null.wasm")).expect("a link");
    let registry = rig.open().await;
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let watch = Watch::start(Arc::clone(&registry), Arc::new(clock.clone()));
    rig.put(&rig.bundled("elsewhere"), &guest("null"));
    let run = tokio::spawn(run_on(clock));
    until(&registry, "null@0.1.0 own/null.wasm serving [null]").await;
    run.abort();
    watch.stop().await;
}

#[tokio::test]
async fn a_watch_stops_when_it_is_told() {
    let rig = Rig::new();
    let registry = rig.open().await;
    let watch = Watch::start(Arc::clone(&registry), Arc::new(rig.clock.clone()));
    watch.stop().await;
    assert_eq!(Arc::strong_count(&registry), 1, "its task is gone");
}

/// Lets time go on until the folder was looked at.
async fn looks(clock: &ManualClock) {
    let then = clock.now().after(RESCAN * 3);
    while clock.now() < then {
        tokio::task::yield_now().await;
    }
}

/// Time goes on as soon as everybody waits for it.
async fn run_on(clock: ManualClock) {
    loop {
        if let Some(at) = clock.next_wait() {
            clock.advance(at.since(clock.now()));
        }
        tokio::task::yield_now().await;
    }
}
