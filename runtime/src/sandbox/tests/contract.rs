//! What may change in the contract without a plugin being built anew. `wit/README.md` tells it to authors; here it holds.
//!
//! A plugin is made from an edited text of the contract: all its functions are there, and none does anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, iter};

use wit_component::{ComponentEncoder, StringEncoding};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use super::rig::{self, Rig, call};
use crate::call::{Call, Question};
use crate::domain::{AttemptEnd, Awaited, Content, Outcome, Receipt, Timestamp};
use crate::sandbox::inspect::tests as inspected;
use crate::sandbox::{Health, PrepareError, Role, inspect};

/// What the plugin of these tests is: every import of the contract, every export of a channel.
const WORLD: &str = "
world everything {
  include plugin-imports;
  export channel;
  export configure;
  export supports;
  export health;
  export poll;
}
";

/// The contract as one text. The file that names the package comes first.
fn contract() -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../wit"));
    let entries = fs::read_dir(folder).expect("the folder of the contract");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wit"));
    files.sort_by_key(|path| (!path.ends_with("worlds.wit"), path.clone()));
    let read = |path| fs::read_to_string(path).expect("a file of the contract");
    files.into_iter().map(read).chain(iter::once(WORLD.to_owned())).collect()
}

/// A plugin of the contract after these replacements, each of which has to hit exactly once.
fn plugin(edits: &[(&str, &str)]) -> Vec<u8> {
    let mut text = contract();
    for (from, to) in edits {
        assert_eq!(text.matches(from).count(), 1, "`{from}` stands once in the contract");
        text = text.replace(from, to);
    }
    component(&text, "everything")
}

fn component(text: &str, world: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("contract.wit", text).expect("it is WIT");
    let world = resolve.select_world(&[package], Some(world)).expect("it has this world");
    let mut module = wit_component::dummy_module(&resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync));
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it fits");
    let mut encoder = ComponentEncoder::default();
    encoder.validate(true).module(&module).expect("it is a module of this world");
    encoder.encode().expect("it is a component")
}

/// `loads`, or why not. What loads is a plugin whose functions do nothing, so `describe` ends in a trap.
async fn verdict(wasm: Vec<u8>) -> String {
    if let Err(error) = inspect(wasm.clone()) {
        return format!("before it is compiled: {error}");
    }
    match rig::sandbox(1).0.compile(wasm, [0; 32]).await {
        Err(PrepareError::Describe(end)) => {
            assert!(end.to_string().contains("unreachable"), "it was called: {end}");
            "loads".to_owned()
        }
        Err(error) => error.to_string(),
        Ok(_) => panic!("it cannot describe itself"),
    }
}

/// One line for each change, in words and as the edit that makes the plugin's side of it.
async fn verdicts(changes: &[(&str, &[(&str, &str)])]) -> String {
    let mut lines = Vec::new();
    for (change, edits) in changes {
        lines.push(format!("{change}: {}", verdict(plugin(edits)).await));
    }
    lines.join("\n")
}

#[tokio::test]
async fn what_only_adds_leaves_older_plugins_loading() {
    let told = verdicts(&[
        ("nothing", &[]),
        ("a host interface", &[("  import kv;\n", "")]),
        ("an optional export", &[("  export poll;\n}\n", "}\n")]),
        ("a function of a host interface", &[("  remove: func(key: string) -> result<_, error>;\n", "")]),
        (
            "the name of a parameter of a host's function",
            &[("func(level: level, message", "func(severity: level, message")],
        ),
        ("the name of a parameter of an export", &[("health: func(context: context)", "health: func(ctx: context)")]),
        ("another name for a type", &[("type secret = string;", "type handle = string; type secret = handle;")]),
        ("a type nobody uses", &[("type secret = string;", "type secret = string; record spare { spare: u8 }")]),
        ("the number of a patch", &[("package campanile:plugin@0.1.1;", "package campanile:plugin@0.1.7;")]),
    ])
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn what_changes_a_type_breaks_older_plugins_and_is_told() {
    let told = verdicts(&[
        ("a field of a record that plugins read", &[("    expires-ms: option<u64>,\n", "")]),
        (
            "a field of a record that plugins write",
            &[("record receipt { provider-id: option<string>, facts: pairs }", "record receipt { facts: pairs }")],
        ),
        ("a field of a record that the host reads", &[("    timeout-ms: option<u32>,\n", "")]),
        ("the name of a field", &[("    created-ms: u64,\n", "    made-ms: u64,\n")]),
        (
            "the order of fields",
            &[("record part { name: string, value: string }", "record part { value: string, name: string }")],
        ),
        ("a case of a variant that plugins answer", &[("    recipient-gone(gone),\n", "")]),
        ("a case of a variant that the host answers", &[("    exhausted(string),\n", "")]),
        ("a case of an enum", &[("enum level { trace, debug,", "enum level { debug,")]),
        ("a flag", &[("flags places { url, headers, body, auth, sign }", "flags places { url, headers, body, auth }")]),
        ("a function of an export", &[("  send: func(context: context, delivery: delivery) -> outcome;\n", "")]),
        (
            "an argument of a host's function",
            &[("remove: func(key: string, expected: option<u64>)", "remove: func(key: string)")],
        ),
    ])
    .await;
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_plugin_of_a_later_contract_is_refused_for_what_is_missing_here_and_for_nothing_else() {
    let fax = ("  import log;\n}", "  import log;\n  import fax;\n}\ninterface fax { ring: func(); }");
    let batch = ("  export poll;\n}\n", "  export poll;\n  export batch;\n}\ninterface batch { ring: func(); }");
    let told = verdicts(&[
        ("an optional export", &[batch]),
        ("a function of an export", &[("interface channel {\n", "interface channel {\n  ring: func();\n")]),
        ("a function of a host interface", &[("interface log {\n", "interface log {\n  flush: func();\n")]),
        ("a host interface", &[fax]),
        ("the contract itself", &[("package campanile:plugin@0.1.1;", "package campanile:plugin@0.2.0;")]),
    ])
    .await;
    insta::assert_snapshot!(told);
}

/// The plugins of frozen contracts, as they were built then.
pub(in super::super) fn frozen() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/contract"));
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("there are frozen contracts")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    files.sort();
    let read = |path: &PathBuf| {
        let version = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        (version, fs::read(path).expect("a frozen plugin"))
    };
    files.iter().map(read).collect()
}

/// One plugin for each contract that was ever frozen: it loads, each of its exports answers, and each host function
/// that it calls does, by refusing what nobody granted.
#[tokio::test]
async fn the_plugin_of_every_frozen_contract_loads_and_answers() {
    let rig = Rig::unruly().await;
    let frozen = frozen();
    assert!(!frozen.is_empty(), "there are frozen contracts");
    for (version, wasm) in frozen {
        let inspected = inspect(wasm.clone()).expect("it is served");
        assert_eq!(inspected.contract.to_string(), version);
        let plugin = rig.sandbox.compile(wasm, [0; 32]).await.expect("it loads");
        assert_eq!(plugin.version().to_string(), "sample@0.1.0");
        let polls = version != "0.1.0";
        let abilities = ["configure", "supports", "health", "poll"];
        assert_eq!(plugin.optional_exports(), abilities[..3 + usize::from(polls)]);
        let descriptor = plugin.descriptor();
        let needs: Vec<&str> = descriptor.needs.iter().map(|need| need.capability.as_str()).collect();
        assert_eq!(needs, ["http", "sign", "cache", "kv"]);
        assert_eq!(descriptor.secrets.iter().map(|secret| secret.pointer.as_str()).collect::<Vec<_>>(), ["/key"]);
        let Role::Channel(role) = &descriptor.role else { panic!("it is a channel") };
        assert_eq!(role.features, ["markdown", "checks-recipient"]);
        assert_eq!(role.address.as_ref().map(|address| address.kind.as_str()), Some("bell"));

        let problems = plugin.configure(r#"{"url":"https://example.com/#a"}"#, &rig.channel.limits).await;
        assert_eq!(problems.expect("it answers").len(), 1);
        let health = plugin.health(&rig.channel, Timestamp::from_millis(1)).await;
        assert_eq!(health, Ok(Some(Health::Degraded("belfry".to_owned()))));
        let ends = ["accepted", "retry", "rate-limited", "rejected", "recipient-gone", "sent"];
        for end in ends {
            let report = plugin.send(&rig.channel, &titled(end)).await;
            assert_eq!(report.end.as_str(), end, "{:?}", report.end);
            if let AttemptEnd::Outcome(Outcome::Accepted { receipt, polled, .. }) = &report.end {
                assert_eq!(*polled, polls, "{version}");
                let answer = plugin.ask(&rig.channel, &question(receipt)).await.end;
                assert_eq!(answer.as_str(), if polls { "retry" } else { "accepted" }, "{version}: {answer:?}");
            }
            if let AttemptEnd::Outcome(Outcome::Sent(receipt)) = report.end {
                let refused = |(_, came): &(String, String)| came == "denied" || came == "invalid";
                // It tells 18; the host keeps 16 facts of a receipt.
                assert_eq!(receipt.facts.len(), 16, "{:?}", receipt.facts);
                assert!(receipt.facts.iter().all(refused), "{:?}", receipt.facts);
            }
        }
    }
}

/// A call whose title tells the plugin what to answer.
fn titled(title: &str) -> Call {
    let mut call = call("hello", "ding");
    let content = Content { title: Some(title.to_owned()), ..(*call.content).clone() };
    call.content = Arc::new(content);
    call
}

/// A question that brings this receipt along.
fn question(receipt: &Receipt) -> Question {
    let Call { channel, delivery, now, .. } = call("hello", "ding");
    let awaited = Arc::new(Awaited { receipt: receipt.clone(), since: now, polls: 0 });
    Question { channel, delivery, awaited, now }
}

/// What a plugin may import, as `inspect` judges it, is what the contract says that there is.
#[test]
fn every_host_interface_of_the_contract_is_offered() {
    let mut resolve = Resolve::default();
    let package = resolve.push_source("contract.wit", &contract()).expect("it is WIT");
    let host = resolve.select_world(&[package], Some("host")).expect("it has this world");
    let imports: Vec<String> = resolve.worlds[host].imports.keys().map(|key| resolve.name_world_key(key)).collect();
    assert!(imports.len() > 3, "{imports:?}");
    let names: Vec<&str> = imports.iter().map(String::as_str).collect();
    inspect(inspected::component(&names, &["campanile:plugin/channel@0.1.0"])).expect("all of them are offered");
}
