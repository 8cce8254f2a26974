//! Which version an operator's word is about.

use semver::Version;
use serde_json::json;

use super::rig::{Rig, fickle, send_number, table};
use crate::domain::{Actor, PluginName};

fn name() -> PluginName {
    "fickle".parse().expect("a name")
}

fn version(text: &str) -> Version {
    text.parse().expect("a version")
}

#[tokio::test]
async fn of_two_versions_that_are_held_the_one_that_is_named_is_approved() {
    let mut rig = Rig::new().with_channel("desk", "fickle", json!({}));
    rig.put(&rig.bundled("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("a.wasm"), &fickle("1.1.0", "good", "api.acme.example"));
    rig.put(&rig.own("b.wasm"), &fickle("1.2.0", "good", "evil.example"));
    rig.look(&registry).await;
    let mut told = Vec::new();
    for asked in [None, Some(version("1.3.0"))] {
        let refused = registry.approve(&name(), asked.as_ref(), Actor::Cli).await;
        told.push(refused.expect_err("it is not clear which is meant").to_string());
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    2 versions of plugin `fickle` wait to be approved: say which, `campanile plugins approve fickle --version 1.1.0` or `campanile plugins approve fickle --version 1.2.0`
    version 1.3.0 of plugin `fickle` does not wait to be approved, 1.1.0 and 1.2.0 do: write `campanile plugins approve fickle --version 1.1.0` or `campanile plugins approve fickle --version 1.2.0`
    ");
    rig.told();
    registry.approve(&name(), Some(&version("1.2.0")), Actor::Cli).await.expect("it is held");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.approved fickle@1.2.0: it may ask for `http`: `evil.example`
    plugin.swapped fickle@1.2.0: in place of version 1.0.0
    ");
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.1.0 own/a.wasm held: it asks for more than was approved: `http`: `api.acme.example`; allow it with `campanile plugins approve fickle --version 1.1.0`
    fickle@1.2.0 own/b.wasm serving [desk fickle]
    ");
}

#[tokio::test]
async fn a_version_is_released_by_its_number_and_not_by_another() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "bad", ""));
    rig.look(&registry).await;
    for number in 1..=5 {
        send_number(&registry, "fickle", number).await;
    }
    let refused = registry.release(&name(), Some(&version("1.0.0")), Actor::Cli).await.expect_err("that one serves");
    insta::assert_snapshot!(refused, @"version 1.0.0 of plugin `fickle` does not wait to be released, 1.1.0 does: write `campanile plugins release fickle --version 1.1.0`");
    registry.release(&name(), Some(&version("1.1.0")), Actor::Cli).await.expect("it was rolled back");
    assert_eq!(table(&registry), "fickle@1.1.0 own/fickle.wasm serving [fickle]");
}
