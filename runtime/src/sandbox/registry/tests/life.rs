//! What becomes of versions that fail, grow or are tried.

use std::fs;
use std::time::Duration;

use super::rig::{Rig, fickle, is_sent, send_number, table};
use super::*;
use crate::call::ChannelDirectory;
use crate::domain::{Actor, AttemptEnd, ChannelName, Fault, Interruption, Outcome, PluginName};
use crate::sandbox::registry::life::{ROLLBACK_WITHIN, TRIAL_MAX};
use crate::sandbox::registry::quarantine::PROOF;

fn name() -> PluginName {
    "fickle".parse().expect("a name")
}

/// Sends notifications of these numbers; answers their ends.
async fn send_all(registry: &Registry, numbers: impl IntoIterator<Item = u32>) -> Vec<AttemptEnd> {
    let mut ends = Vec::new();
    for number in numbers {
        ends.push(send_number(registry, "fickle", number).await.end);
    }
    ends
}

fn faults(ends: &[AttemptEnd]) -> usize {
    ends.iter().filter(|end| matches!(end, AttemptEnd::Fault { fault: Fault::Trap, .. })).count()
}

/// The version that sent a notification.
async fn sent_by(registry: &Registry, number: u32) -> String {
    let report = send_number(registry, "fickle", number).await;
    match report.end {
        AttemptEnd::Outcome(Outcome::Sent(receipt)) => receipt.provider_id.expect("it says which version it is"),
        end => panic!("{end:?}"),
    }
}

fn problem(registry: &Registry) -> Option<String> {
    registry
        .channels()
        .into_iter()
        .find(|channel| channel.name.as_str() == "fickle")
        .and_then(|channel| channel.problem)
}

#[tokio::test]
async fn a_version_that_fails_too_often_is_quarantined_and_its_deliveries_wait() {
    let rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "bad", ""));
    let registry = rig.open().await;
    assert_eq!(faults(&send_all(&registry, [1, 1, 1, 1, 2, 2]).await), 6, "two poisonous messages are no proof");
    assert_eq!(rig.waiting(), [""; 0]);
    assert_eq!(faults(&send_all(&registry, [3]).await), 1);
    assert_eq!(rig.waiting(), ["fickle"]);
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.0.0 own/fickle.wasm quarantined: 7 of 7 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    insta::assert_snapshot!(problem(&registry).expect("it says why"), @r"
    its deliveries wait: plugin `fickle` is quarantined: 7 of 7 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.loaded fickle@1.0.0
    plugin.quarantined fickle@1.0.0: 7 of 7 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls
    ");
    // What was taken before the hold took effect is not called, and may be sent later.
    let ends = send_all(&registry, [4]).await;
    assert!(matches!(&ends[0], AttemptEnd::Interrupted { interruption: Interruption::Quarantined, .. }), "{ends:?}");
    let channel: ChannelName = "fickle".parse().expect("a name");
    assert!(registry.channel(&channel).is_ok(), "new notifications are taken, and wait");
}

#[tokio::test]
async fn a_quarantine_outlives_the_process_and_ends_by_release_or_by_another_version() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "bad", ""));
    let registry = rig.open().await;
    send_all(&registry, 1..=5).await;
    let before = table(&registry);
    drop(registry);

    let registry = rig.open().await;
    assert_eq!((table(&registry), rig.waiting()), (before, vec!["fickle".to_owned()]));
    rig.told();
    registry.release(&name(), None, Actor::Cli).await.expect("it is quarantined");
    assert_eq!(table(&registry), "fickle@1.0.0 own/fickle.wasm serving [fickle]");
    assert_eq!(rig.waiting(), [""; 0]);
    assert_eq!(faults(&send_all(&registry, 1..=5).await), 5, "it begins anew");
    assert_eq!(rig.waiting(), ["fickle"]);
    insta::assert_snapshot!(rig.told(), @r"
    plugin.released fickle@1.0.0
    plugin.quarantined fickle@1.0.0: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls
    ");

    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.1", "good", ""));
    rig.look(&registry).await;
    assert_eq!((sent_by(&registry, 6).await.as_str(), rig.waiting().len()), ("1.0.1", 0));
    // The bad file once more: it is known.
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "bad", ""));
    rig.look(&registry).await;
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.0.1 own/fickle.wasm serving [fickle]
    fickle@1.0.0 own/fickle.wasm quarantined: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    assert_eq!(sent_by(&registry, 7).await, "1.0.1");
}

#[tokio::test]
async fn a_fresh_version_that_fails_gives_way_to_the_one_before_it() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "bad", ""));
    rig.look(&registry).await;
    assert_eq!(faults(&send_all(&registry, 1..=5).await), 5);
    assert_eq!(sent_by(&registry, 6).await, "1.0.0");
    assert_eq!(rig.waiting(), [""; 0], "nothing has to wait");
    let after = table(&registry);
    insta::assert_snapshot!(after, @r"
    fickle@1.0.0 own/fickle.wasm serving [fickle]
    fickle@1.1.0 own/fickle.wasm rolled-back: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.loaded fickle@1.0.0
    plugin.swapped fickle@1.1.0: in place of version 1.0.0
    plugin.rolled_back fickle@1.1.0: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; version 1.0.0 serves again
    ");
    drop(registry);

    let registry = rig.open().await;
    assert_eq!(table(&registry), after, "what served is found again, though its file was overwritten");
    assert_eq!((sent_by(&registry, 7).await.as_str(), rig.told().as_str()), ("1.0.0", ""));

    registry.release(&name(), None, Actor::Cli).await.expect("it was rolled back");
    assert_eq!(table(&registry), "fickle@1.1.0 own/fickle.wasm serving [fickle]");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.released fickle@1.1.0: it was rolled-back: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls
    plugin.swapped fickle@1.1.0: in place of version 1.0.0
    ");
}

#[tokio::test]
async fn a_version_that_has_served_for_long_is_not_rolled_back() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "bad", ""));
    rig.look(&registry).await;
    rig.clock.advance(ROLLBACK_WITHIN);
    send_all(&registry, 1..=5).await;
    assert_eq!(rig.waiting(), ["fickle"]);
    assert!(table(&registry).starts_with("fickle@1.1.0 own/fickle.wasm quarantined"), "{}", table(&registry));
}

#[tokio::test]
async fn an_own_version_that_fails_gives_way_to_the_bundled_one() {
    let mut rig = Rig::new();
    rig.put(&rig.bundled("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    registry.make_ready("fickle").await;
    rig.put(&rig.own("mine.wasm"), &fickle("1.1.0", "bad", ""));
    rig.look(&registry).await;
    send_all(&registry, 1..=5).await;
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.0.0 bundled/fickle.wasm serving [fickle]
    fickle@1.1.0 own/mine.wasm rolled-back: 5 of 5 calls within 60 s ended by its own fault; the limit is 5 on 3 notifications and 50 % of the calls; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    assert_eq!(sent_by(&registry, 6).await, "1.0.0");
}

#[tokio::test]
async fn a_version_that_asks_for_more_is_held_until_it_is_approved() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", "*.acme.example"));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", "api.acme.example,evil.example"));
    rig.look(&registry).await;
    let held = table(&registry);
    insta::assert_snapshot!(held, @r"
    fickle@1.0.0 own/fickle.wasm serving [fickle]
    fickle@1.1.0 own/fickle.wasm held: it asks for more than was approved: `http`: `evil.example`; allow it with `campanile plugins approve fickle --version 1.1.0`
    ");
    assert_eq!(sent_by(&registry, 1).await, "1.0.0");
    drop(registry);

    let registry = rig.open().await;
    assert_eq!(table(&registry), held);
    assert_eq!(sent_by(&registry, 2).await, "1.0.0", "the old one goes on over a restart");
    rig.told();
    let done = registry.approve(&name(), None, Actor::Cli).await.expect("it is held");
    assert_eq!(done.iter().map(|status| status.state.as_str()).collect::<Vec<_>>(), ["serving"]);
    assert_eq!(sent_by(&registry, 3).await, "1.1.0");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.approved fickle@1.1.0: it may ask for `http`: `evil.example`
    plugin.swapped fickle@1.1.0: in place of version 1.0.0
    ");
    // What was approved once needs no second word.
    rig.put(&rig.own("fickle.wasm"), &fickle("1.2.0", "good", "evil.example,eu.acme.example"));
    rig.look(&registry).await;
    assert_eq!(sent_by(&registry, 4).await, "1.2.0");
}

#[tokio::test]
async fn what_comes_with_the_program_is_not_held() {
    let rig = Rig::new();
    rig.put(&rig.bundled("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    registry.make_ready("fickle").await;
    drop(registry);
    rig.put(&rig.bundled("fickle.wasm"), &fickle("2.0.0", "good", "new.example"));
    let registry = rig.open().await;
    assert_eq!(sent_by(&registry, 1).await, "2.0.0");
}

/// Versions 1.0.0, serving, and 1.1.0 of this mood, on trial with half of the notifications.
async fn on_trial(mood: &str) -> (Rig, Arc<Registry>) {
    let mut rig = Rig::new().with_channel("fickle", "fickle", serde_json::json!({})).with_canary("fickle", 50);
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", mood, ""));
    rig.look(&registry).await;
    insta::allow_duplicates! {
        insta::assert_snapshot!(table(&registry), @r"
        fickle@1.0.0 own/fickle.wasm serving [fickle]
        fickle@1.1.0 own/fickle.wasm canary [fickle]
        ");
    }
    let shares = |status: PluginStatus| status.shares.into_iter().map(|(name, percent)| (name.to_string(), percent));
    let shares: Vec<_> = registry.plugins().into_iter().flat_map(shares).collect();
    assert_eq!(shares, [("fickle".to_owned(), 50)]);
    rig.told();
    (rig, registry)
}

#[tokio::test]
async fn a_version_that_proves_itself_on_its_share_takes_over() {
    let (rig, registry) = on_trial("good").await;
    let mut tried = 0;
    let mut by_old = 0;
    for number in 1..200 {
        let first = sent_by(&registry, number).await;
        if table(&registry) == "fickle@1.1.0 own/fickle.wasm serving [fickle]" {
            tried += 1;
            break;
        }
        tried += u32::from(first == "1.1.0");
        by_old += u32::from(first == "1.0.0");
    }
    assert_eq!(tried, PROOF);
    assert!(by_old > 5, "the others went the old way: {by_old}");
    insta::assert_snapshot!(rig.told(), @"plugin.swapped fickle@1.1.0: in place of version 1.0.0");
}

#[tokio::test]
async fn all_attempts_of_a_notification_go_one_way() {
    let (_rig, registry) = on_trial("good").await;
    let (mut old, mut new) = (0, 0);
    for number in 1..8 {
        let first = sent_by(&registry, number).await;
        assert_eq!(sent_by(&registry, number).await, first);
        old += u32::from(first == "1.0.0");
        new += u32::from(first == "1.1.0");
    }
    assert!(old > 0 && new > 0, "{old} {new}");
}

#[tokio::test]
async fn a_version_that_fails_on_its_share_is_given_up_at_once() {
    let (mut rig, registry) = on_trial("bad").await;
    let ends = send_all(&registry, 1..40).await;
    assert_eq!(faults(&ends), 3);
    assert_eq!(rig.waiting(), [""; 0]);
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.0.0 own/fickle.wasm serving [fickle]
    fickle@1.1.0 own/fickle.wasm rolled-back: 3 of 3 calls within 60 s ended by its own fault; the limit is 3 on 2 notifications; put another version there, or let this one be called again with `campanile plugins release fickle`
    ");
    insta::assert_snapshot!(rig.told(), @r"
    plugin.rolled_back fickle@1.1.0: 3 of 3 calls within 60 s ended by its own fault; the limit is 3 on 2 notifications; version 1.0.0 serves again
    ");
    rig.look(&registry).await;
    assert!(is_sent(&send_number(&registry, "fickle", 99).await));
}

#[tokio::test]
async fn a_trial_outlives_the_process_and_ends_when_its_time_is_up() {
    let (mut rig, registry) = on_trial("good").await;
    drop(registry);
    rig.clock.advance(TRIAL_MAX - Duration::from_secs(1));
    let registry = rig.open().await;
    insta::assert_snapshot!(table(&registry), @r"
    fickle@1.0.0 own/fickle.wasm serving [fickle]
    fickle@1.1.0 own/fickle.wasm canary [fickle]
    ");
    rig.look(&registry).await;
    assert_eq!(rig.told(), "", "it was told before");
    rig.clock.advance(Duration::from_secs(1));
    rig.look(&registry).await;
    assert_eq!(table(&registry), "fickle@1.1.0 own/fickle.wasm serving [fickle]");
}

#[tokio::test]
async fn the_old_content_put_back_ends_a_trial() {
    let (mut rig, registry) = on_trial("good").await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    rig.look(&registry).await;
    assert_eq!(table(&registry), "fickle@1.0.0 own/fickle.wasm serving [fickle]");
}

#[tokio::test]
async fn who_approves_a_version_that_is_refused_then_is_told_why() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", "api.acme.example"));
    rig.look(&registry).await;
    rig.put(&rig.own("fickle.wasm"), b"404 not found");
    let told = registry.approve(&name(), None, Actor::Cli).await.expect_err("it cannot be used").to_string();
    insta::assert_snapshot!(told, @"what was asked of plugin `fickle` is done, but `fickle.wasm` is refused: it is text, not WebAssembly: put the compiled component here");
    assert!(table(&registry).starts_with("fickle@1.0.0 own/fickle.wasm serving [fickle]"), "{}", table(&registry));
}

#[tokio::test]
async fn what_asks_for_a_host_that_is_none_is_refused_and_nobody_is_asked_to_approve_it() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", "https://api.acme.example/v1"));
    rig.look(&registry).await;
    let table = table(&registry);
    let reason = "refused: its descriptor has 1 problem(s): a host in its needs: `https://api.acme.example/v1` is not a \
                  host pattern: write `host`, `*.domain` or `host:port`, without scheme or path";
    assert!(table.contains(reason), "{table}");
    assert!(registry.approve(&name(), None, Actor::Cli).await.is_err(), "there is nothing to approve");
}

#[tokio::test]
async fn there_is_nothing_to_release_or_approve_of_a_plugin_that_serves() {
    let mut rig = Rig::new();
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    let told = |error: OperatorError| error.to_string();
    let unknown: PluginName = "fickel".parse().expect("a name");
    let text = [
        told(registry.release(&name(), None, Actor::Cli).await.expect_err("it serves")),
        told(registry.approve(&name(), None, Actor::Cli).await.expect_err("it serves")),
        told(registry.release(&unknown, None, Actor::Cli).await.expect_err("there is none")),
    ];
    insta::assert_snapshot!(text.join("\n"), @r"
    plugin `fickle` is serving: there is nothing to release; `campanile plugins list` shows each of its files
    plugin `fickle` is serving: there is nothing to approve; `campanile plugins list` shows each of its files
    there is no plugin `fickel`, there is `fickle`; `campanile plugins list` shows all
    ");
    fs::remove_file(rig.own("fickle.wasm")).expect("removed");
    rig.look(&registry).await;
    insta::assert_snapshot!(rig.told(), @r"
    plugin.loaded fickle@1.0.0
    plugin.removed fickle@1.0.0: its file `fickle.wasm` is gone
    ");
}
