//! Which file a plugin stands and falls with, and what is told of files that are not used.

use std::fs;

use super::rig::{Rig, fickle, is_sent, send_number, table};
use crate::config::Trust;
use crate::supply::{KeyPair, LOCK_FILE, Sha256, sign_file};

const HELD: &str = "plugin.held fickle@1.1.0: it asks for more than was approved: `http`: `evil.example`; allow it with \
                    `campanile plugins approve fickle --version 1.1.0`";

fn remove(rig: &Rig, file: &str) {
    fs::remove_file(rig.own(file)).expect("removed");
}

#[tokio::test]
async fn what_is_held_or_refused_is_told_once_and_not_at_each_start() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", "evil.example"));
    rig.put(&rig.own("page.wasm"), b"404 not found");
    rig.look(&registry).await;
    let told = rig.told();
    assert!(told.contains(HELD) && told.contains("plugin.refused page: "), "{told}");
    for _ in 0..2 {
        let registry = rig.open().await;
        assert_eq!(rig.told(), "", "it was told before");
        assert_eq!(registry.plugins().len(), 3, "and is still listed");
    }
    let registry = rig.open().await;
    rig.put(&rig.own("page.wasm"), b"500 out of order");
    rig.look(&registry).await;
    assert!(rig.told().contains("plugin.refused page: "), "another content is news");
    remove(&rig, "page.wasm");
    rig.look(&registry).await;
    rig.put(&rig.own("page.wasm"), b"500 out of order");
    rig.look(&registry).await;
    assert!(rig.told().contains("plugin.refused page: "), "a file that comes back is news");
}

#[tokio::test]
async fn what_the_lock_or_its_signature_speaks_against_is_looked_at_again_when_that_changes() {
    let mut rig = Rig::new();
    let key = KeyPair::generate(&rig.bundled("key.pem")).expect("a key");
    (rig.plugins.trust, rig.plugins.trusted_keys) = (Trust::Require, vec![key.public()]);
    let bytes = fickle("1.0.0", "good", "");
    fs::write(rig.own(LOCK_FILE), "garbage [").expect("written");
    rig.put(&rig.own("fickle.wasm"), &bytes);
    let registry = rig.open().await;
    rig.look(&registry).await;
    assert!(table(&registry).contains("refused: `plugins.lock` cannot be understood"), "{}", table(&registry));
    fs::remove_file(rig.own(LOCK_FILE)).expect("removed");
    rig.look(&registry).await;
    assert!(table(&registry).contains("refused: it is not signed"), "{}", table(&registry));
    sign_file(&rig.own("fickle.wasm"), Sha256::of(&bytes), &key).expect("signed");
    rig.look(&registry).await;
    assert_eq!(table(&registry), "fickle@1.0.0 own/fickle.wasm serving [fickle]");
}

#[tokio::test]
async fn a_plugin_of_which_only_a_refused_file_was_seen_is_approved_by_being_put_there() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), b"404 not found");
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", "api.acme.example"));
    rig.look(&registry).await;
    assert_eq!(table(&registry), "fickle@1.0.0 own/fickle.wasm serving [fickle]");
}

#[tokio::test]
async fn a_plugin_whose_file_holds_a_version_that_waits_goes_with_that_file() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", "evil.example"));
    rig.look(&registry).await;
    rig.told();
    remove(&rig, "fickle.wasm");
    rig.look(&registry).await;
    assert_eq!(table(&registry), "");
    let removed = "plugin.removed fickle@1.0.0: its file `fickle.wasm` is gone, in which version 1.1.0 was held";
    assert_eq!(rig.told(), removed);
    drop(registry);
    let registry = rig.open().await;
    assert_eq!(table(&registry), "", "nothing comes back from a copy");
}

#[tokio::test]
async fn a_second_file_is_a_candidate_and_takes_nothing_with_it_when_it_goes() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    // Of the two names this one comes first.
    rig.put(&rig.own("fickle-2.wasm"), &fickle("1.1.0", "good", "evil.example"));
    rig.look(&registry).await;
    let both = table(&registry);
    insta::assert_snapshot!(both, @r"
    fickle@1.1.0 own/fickle-2.wasm refused: file `fickle.wasm` provides plugin `fickle` already; remove one of the two files
    fickle@1.0.0 own/fickle.wasm serving [fickle]
    ");
    drop(registry);
    let registry = rig.open().await;
    assert_eq!(table(&registry), both, "a restart changes nothing");
    rig.told();
    remove(&rig, "fickle-2.wasm");
    rig.look(&registry).await;
    assert_eq!((table(&registry).as_str(), rig.told().as_str()), ("fickle@1.0.0 own/fickle.wasm serving [fickle]", ""));
    assert!(is_sent(&send_number(&registry, "fickle", 1).await));
}

#[tokio::test]
async fn what_serves_goes_on_while_another_file_holds_it_or_a_version_that_waits() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    rig.put(&rig.own("same.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.told();
    remove(&rig, "fickle.wasm");
    rig.look(&registry).await;
    assert_eq!((table(&registry).as_str(), rig.told().as_str()), ("fickle@1.0.0 own/same.wasm serving [fickle]", ""));
    // Under a name of its own, and the old file goes with the same look.
    rig.put(&rig.own("fickle-2.wasm"), &fickle("1.1.0", "good", "evil.example"));
    remove(&rig, "same.wasm");
    rig.look(&registry).await;
    assert_eq!(rig.told(), HELD);
    assert!(table(&registry).starts_with("fickle@1.0.0 own/fickle-2.wasm serving [fickle]"), "{}", table(&registry));
    remove(&rig, "fickle-2.wasm");
    rig.look(&registry).await;
    assert!(rig.told().contains("in which version 1.1.0 was held") && table(&registry).is_empty());
}
