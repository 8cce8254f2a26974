use std::fs;
use std::sync::Arc;

use serde_json::json;

use self::rig::{Rig, edition, guest, is_sent, patched, send, table, version};
use super::*;
use crate::call::{ChannelDirectory, ChannelUnavailable, TemplateCaller};
use crate::config::{CallLimits, SecretGrant};
use crate::domain::{AttemptEnd, Interruption};
use crate::sandbox::inspect::tests::component;

mod engines;
mod files;
mod frozen;
mod keeping;
mod life;
mod operator;
mod probes;
mod reload;
pub(crate) mod rig;

fn why(registry: &Registry, channel: &str) -> String {
    let name = channel.parse().expect("a name");
    registry.channel(&name).expect_err("it cannot be used").to_string()
}

#[tokio::test]
async fn a_plugin_that_needs_nothing_is_a_channel_of_its_own_name() {
    let rig = Rig::new();
    rig.put(&rig.own("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    let report = send(&registry, "console").await;
    assert!(is_sent(&report), "{report:?}");
    assert_eq!(report.plugin.map(|plugin| plugin.name.to_string()).as_deref(), Some("console"));
    let facts = registry.channel(&"console".parse().expect("a name")).expect("a channel");
    assert_eq!(facts.plugin.as_str(), "console");
    assert_eq!(table(&registry), "console@0.1.0 own/console.wasm serving [console]");
}

#[tokio::test]
async fn a_bundled_plugin_is_loaded_when_somebody_first_asks_for_it() {
    let rig = Rig::new();
    rig.put(&rig.bundled("console.wasm"), &guest("console"));
    rig.put(&rig.bundled("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    insta::assert_snapshot!(table(&registry), @r"
    console bundled/console.wasm available []
    null bundled/null.wasm available []
    ");
    registry.make_ready("null").await;
    registry.make_ready("nobody").await;
    assert!(registry.channel(&"null".parse().expect("a name")).is_ok());
    insta::assert_snapshot!(table(&registry), @r"
    console bundled/console.wasm available []
    null@0.1.0 bundled/null.wasm serving [null]
    ");
    assert!(is_sent(&send(&registry, "console").await), "a delivery that waited may be the first to ask");
}

#[tokio::test]
async fn a_bundled_plugin_that_a_configured_channel_uses_is_loaded_at_start() {
    let rig = Rig::new().with_channel("hook", "webhook", json!({"url": "http://127.0.0.1:1/"}));
    rig.put(&rig.bundled("webhook.wasm"), &guest("webhook"));
    rig.put(&rig.bundled("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    insta::assert_snapshot!(table(&registry), @r"
    null bundled/null.wasm available []
    webhook@0.1.0 bundled/webhook.wasm serving [hook]
    ");
    let facts = registry.channel(&"hook".parse().expect("a name")).expect("a channel");
    assert_eq!(facts.priority, Some(crate::domain::Priority::Low));
}

#[tokio::test]
async fn an_own_file_goes_before_a_bundled_one_and_gives_way_to_it_again() {
    let mut rig = Rig::new();
    rig.put(&rig.bundled("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    registry.make_ready("console").await;
    rig.put(&rig.own("mine.wasm"), &edition("console", 1));
    rig.look(&registry).await;
    assert_eq!(table(&registry), "console@0.1.0 own/mine.wasm serving [console]");
    fs::remove_file(rig.own("mine.wasm")).expect("removed");
    rig.look(&registry).await;
    assert_eq!(table(&registry), "console@0.1.0 bundled/console.wasm available []");
    assert!(is_sent(&send(&registry, "console").await));
}

#[tokio::test]
async fn every_bad_file_is_refused_with_its_reason_and_the_rest_serve() {
    let rig = Rig::new();
    let console = guest("console");
    rig.put(&rig.own("good.wasm"), &console);
    let whole = component(&[], &["campanile:plugin/channel@0.1.0"]);
    rig.put(&rig.own("truncated.wasm"), &whole[..whole.len() - 10]);
    rig.put(&rig.own("text.wasm"), b"not a plugin\n");
    rig.put(&rig.own("core-module.wasm"), b"\0asm\x01\0\0\0");
    rig.put(&rig.own("world.wasm"), &component(&[], &["acme:notify/send@1.0.0"]));
    let engine = wasmtime::Engine::default();
    rig.put(&rig.own("precompiled.wasm"), &engine.precompile_component(&component(&[], &[])).expect("compiles"));
    fs::File::create(rig.own("sparse.wasm")).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    rig.put(&rig.own("twice.wasm"), &console);
    let registry = rig.open().await;
    insta::assert_snapshot!(table(&registry), @r"
    console@0.1.0 own/good.wasm serving [console]
    console@0.1.0 own/twice.wasm refused: file `good.wasm` provides plugin `console` already; remove one of the two files
    core-module own/core-module.wasm refused: it is a core module, not a component: build it for target `wasm32-wasip2`
    precompiled own/precompiled.wasm refused: it is precompiled (native code in ELF), which is never loaded: put the .wasm that it was made from here
    sparse own/sparse.wasm refused: the file has 1073741824 bytes, the limit is 67108864 bytes (64MiB); no setting changes that: build it smaller, for instance without debug information
    text own/text.wasm refused: it is text, not WebAssembly: put the compiled component here
    truncated own/truncated.wasm refused: the file is cut off: what starts at byte 18 needs 36 bytes, 26 are there; copy it once more
    world own/world.wasm refused: it is a component of another world: it exports `acme:notify/send@1.0.0`; a plugin exports `campanile:plugin/channel@0.1.1` or `campanile:plugin/template-engine@0.1.1`: build it against a world of `campanile:plugin`
    ");
    assert!(is_sent(&send(&registry, "console").await));
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_version_it_began_with() {
    let mut rig = Rig::new();
    rig.put(&rig.own("console.wasm"), &edition("console", 1));
    let registry = rig.open().await;
    let in_flight = version(&registry, "console").await;
    rig.put(&rig.own("console.wasm"), &edition("console", 2));
    rig.look(&registry).await;
    let next = version(&registry, "console").await;
    assert_ne!(in_flight.sha256(), next.sha256());
    insta::assert_snapshot!(table(&registry), @r"
    console@0.1.0 own/console.wasm serving [console]
    console@0.1.0 own/console.wasm draining []
    ");
    let gone = Arc::downgrade(&in_flight);
    drop(in_flight);
    assert!(gone.upgrade().is_none(), "the last call lets it go");
    assert_eq!(table(&registry), "console@0.1.0 own/console.wasm serving [console]");
    assert!(is_sent(&send(&registry, "console").await));
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_old_version_serving() {
    let mut rig = Rig::new();
    rig.put(&rig.own("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    let before = version(&registry, "console").await;
    rig.put(&rig.own("console.wasm"), &guest("console")[..5_000]);
    rig.look(&registry).await;
    assert!(Arc::ptr_eq(&before, &version(&registry, "console").await));
    let refused = registry.plugins().into_iter().filter(|status| matches!(status.state, PluginState::Refused { .. }));
    assert_eq!(refused.count(), 1);
    rig.put(&rig.own("console.wasm"), &guest("console"));
    rig.look(&registry).await;
    assert_eq!(table(&registry), "console@0.1.0 own/console.wasm serving [console]");
    assert!(Arc::ptr_eq(&before, &version(&registry, "console").await), "the same content is not loaded again");
}

#[tokio::test]
async fn a_version_that_would_break_a_channel_is_refused() {
    let mut rig = Rig::new().with_channel("hook", "webhook", json!({"url": "http://127.0.0.1:1/"}));
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let before = version(&registry, "hook").await;
    rig.put(&rig.own("webhook.wasm"), &patched("webhook", "^https?://", "^ftpss?://"));
    rig.look(&registry).await;
    assert!(Arc::ptr_eq(&before, &version(&registry, "hook").await));
    insta::assert_snapshot!(table(&registry), @r"
    webhook@0.1.0 own/webhook.wasm serving [hook]
    webhook@0.1.0 own/webhook.wasm refused: channel `hook` would stop working: `config.url`: value does not match `^ftpss?://`
    ");
}

#[tokio::test]
async fn of_two_files_with_one_plugin_the_second_waits_for_its_turn() {
    let mut rig = Rig::new();
    rig.put(&rig.own("a.wasm"), &edition("console", 1));
    rig.put(&rig.own("b.wasm"), &edition("console", 2));
    let registry = rig.open().await;
    insta::assert_snapshot!(table(&registry), @r"
    console@0.1.0 own/a.wasm serving [console]
    console@0.1.0 own/b.wasm refused: file `a.wasm` provides plugin `console` already; remove one of the two files
    ");
    fs::remove_file(rig.own("a.wasm")).expect("removed");
    rig.look(&registry).await;
    assert_eq!(table(&registry), "console@0.1.0 own/b.wasm serving [console]");
}

#[tokio::test]
async fn a_renamed_file_goes_on_serving() {
    let mut rig = Rig::new();
    rig.put(&rig.own("a.wasm"), &guest("console"));
    let registry = rig.open().await;
    rig.look(&registry).await;
    let before = version(&registry, "console").await;
    fs::rename(rig.own("a.wasm"), rig.own("b.wasm")).expect("renamed");
    rig.look(&registry).await;
    assert!(Arc::ptr_eq(&before, &version(&registry, "console").await));
    assert_eq!(table(&registry), "console@0.1.0 own/b.wasm serving [console]");
}

#[tokio::test]
async fn without_its_file_a_plugin_is_gone_and_its_deliveries_wait() {
    let mut rig = Rig::new().with_channel("hook", "webhook", json!({"url": "http://127.0.0.1:1/"}));
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let mut changes = registry.changes();
    changes.mark_unchanged();
    fs::remove_file(rig.own("webhook.wasm")).expect("removed");
    rig.look(&registry).await;
    assert!(changes.has_changed().expect("the registry is there"));
    assert_eq!(
        why(&registry, "hook"),
        "channel `hook` cannot be used: there is no plugin `webhook`; put its file `webhook.wasm` into the folder that \
         `dir` in [plugins] names, or name another plugin under [channels.hook]; `campanile plugins list` shows all"
    );
    let report = send(&registry, "hook").await;
    let AttemptEnd::Interrupted { interruption, message } = report.end else { panic!("{report:?}") };
    assert_eq!(interruption, Interruption::NoPlugin);
    assert!(message.contains("there is no plugin `webhook`"), "{message}");
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    rig.look(&registry).await;
    assert!(registry.channel(&"hook".parse().expect("a name")).is_ok());
}

#[tokio::test]
async fn a_channel_with_a_bad_config_says_all_that_is_wrong_with_it() {
    let rig = Rig::new()
        .with_channel("hook", "webhook", json!({"method": "GET", "token": "hunter2"}))
        .with_channel("private", "webhook", json!({"url": "ftp://127.0.0.1/hunter2"}))
        .with_channel("typo", "webhok", json!({}));
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let text = ["hook", "private", "typo"].map(|channel| why(&registry, channel)).join("\n");
    insta::assert_snapshot!(text, @r#"
    channel `hook` cannot be used: `config.method`: value is not one of `POST`, `PUT` or `PATCH`; `config.token`: is not a known key; known here: `headers`, `key`, `method`, `previous_key`, `url`; `config.url`: is missing (Where to post); write `url = "…"` there
    channel `private` cannot be used: `config.url`: value does not match `^https?://`
    channel `typo` cannot be used: there is no plugin `webhok`, there is `webhook`; write `plugin = "webhook"` under [channels.typo]; `campanile plugins list` shows all
    "#);
    assert!(!text.contains("hunter2"));
    let problems = registry.channels().into_iter().filter(|channel| channel.problem.is_some()).count();
    assert_eq!(problems, 3);
}

#[tokio::test]
async fn everything_that_is_wrong_with_a_channel_is_told_at_once_and_nothing_twice() {
    let mut rig = Rig::new()
        .with_channel("hook", "webhook", json!({"method": "GET", "key": "hunter2"}))
        .with_channel("belfry", "slack", json!({"username": ""}))
        .with_channel("far", "slack", json!({}))
        .with_channel("judged", "webhook", json!({"url": "https://example.com/", "headers": {"a b": "c"}}));
    let mut set = |channel: &str, secret: Option<&str>, networks: &[&str]| {
        let config = rig.channels.get_mut(channel).expect("it is there");
        let from = "env:CAMPANILE_TEST_NEVER_SET".parse().expect("a reference");
        config.secrets.extend(secret.map(|key| (key.to_owned(), SecretGrant { from, hosts: None })));
        config.allow_networks = networks.iter().map(ToString::to_string).collect();
    };
    set("hook", Some("previous_key"), &["10.0.0.0/64"]);
    set("belfry", Some("ulr"), &[]);
    set("far", Some("url"), &["here", "there"]);
    set("judged", None, &["here"]);
    for plugin in ["webhook", "slack"] {
        rig.put(&rig.own(&format!("{plugin}.wasm")), &guest(plugin));
    }
    let registry = rig.open().await;
    let text = ["hook", "belfry", "far", "judged"].map(|channel| why(&registry, channel)).join("\n");
    insta::assert_snapshot!(text, @r#"
    channel `hook` cannot be used: `config.key` is a secret, and stands in the configuration itself; write `secrets = { key = "env:NAME" }` or `"file:/path"`; the secret `previous_key` cannot be had: the environment variable `CAMPANILE_TEST_NEVER_SET` is not set; set it, or write `file:/path` instead of `env:CAMPANILE_TEST_NEVER_SET`; `config.method`: value is not one of `POST`, `PUT` or `PATCH`; `config.url`: is missing (Where to post); write `url = "…"` there; `10.0.0.0/64` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`
    channel `belfry` cannot be used: `secrets.ulr`: plugin `slack` has no such secret; did you mean `url`?; the secret `url` (URL of the incoming webhook) is missing; write `secrets = { url = "env:NAME" }` (or `"file:/PATH"`) under [channels.belfry]; `config.username`: value is shorter than 1 character
    channel `far` cannot be used: the secret `url` cannot be had: the environment variable `CAMPANILE_TEST_NEVER_SET` is not set; set it, or write `file:/path` instead of `env:CAMPANILE_TEST_NEVER_SET`; `here` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`; `there` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`
    channel `judged` cannot be used: `here` is not an address range: write an address, or an address, `/` and a prefix length, as in `127.0.0.1/32`; `config.headers.a b`: is no name of a header (RFC 9110 §5.1)
    "#);
    assert!(!text.contains("hunter2"));
}

#[tokio::test]
async fn a_config_that_takes_too_much_to_judge_is_told_with_the_section_that_limits_it() {
    let told = async |own: Option<u64>, of_all: Option<u64>| {
        let mut rig = Rig::new().with_channel("tight", "unruly", json!({}));
        rig.plugins.defaults.fuel = of_all;
        let limits = CallLimits { fuel: own.or(of_all), ..rig.plugins.defaults };
        rig.channels.get_mut("tight").expect("it is there").limits = limits;
        rig.put(&rig.own("unruly.wasm"), &guest("unruly"));
        why(&*rig.open().await, "tight")
    };
    insta::assert_snapshot!([told(Some(1_000), None).await, told(None, Some(2_000)).await].join("\n"), @r"
    channel `tight` cannot be used: its plugin did not judge its config: the plugin used up its CPU budget of 1000 fuel; set `fuel = 2000` under [channels.tight] to allow more
    channel `tight` cannot be used: its plugin did not judge its config: the plugin used up its CPU budget of 2000 fuel; set `fuel = 4000` under [plugins.defaults] to allow more
    ");
}

#[tokio::test]
async fn an_unknown_channel_gets_the_nearest_name_or_a_section_to_paste() {
    let rig = Rig::new();
    rig.put(&rig.bundled("slack.wasm"), &guest("slack"));
    rig.put(&rig.bundled("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    registry.make_ready("consoel").await;
    let unknown = registry.channel(&"consoel".parse().expect("a name"));
    let Err(ChannelUnavailable::Unknown { nearest, section: None, .. }) = unknown else { panic!("{unknown:?}") };
    assert_eq!(nearest.as_deref(), Some("console"));
    registry.make_ready("slack").await;
    let unknown = registry.channel(&"slack".parse().expect("a name"));
    let Err(ChannelUnavailable::Unknown { nearest: None, section, .. }) = unknown else { panic!("{unknown:?}") };
    insta::assert_snapshot!(section.expect("a section"), @r#"
    [channels.slack]
    plugin = "slack"
    secrets = { url = "env:SLACK_URL" }
    "#);
}

#[tokio::test]
async fn whoever_asks_for_a_channel_that_nothing_is_like_is_told_the_first_of_those_there_are() {
    let mut rig = Rig::new();
    for number in (0..ChannelUnavailable::KNOWN_MAX + 2).rev() {
        let url = json!({"url": "http://127.0.0.1:1/"});
        rig = rig.with_channel(&format!("hook-{number:02}"), "webhook", url);
    }
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let unknown = registry.channel(&"pager".parse().expect("a name"));
    let Err(ChannelUnavailable::Unknown { nearest: None, section: None, known, .. }) = unknown else {
        panic!("{unknown:?}")
    };
    let first: Vec<_> = (0..ChannelUnavailable::KNOWN_MAX).map(|number| format!("hook-{number:02}")).collect();
    assert_eq!(known, first);
}

#[tokio::test]
async fn a_template_engine_is_found_by_extension_and_channels_stay_where_they_are() {
    let rig = Rig::new();
    rig.put(&rig.bundled("minijinja.wasm"), &guest("minijinja"));
    rig.put(&rig.bundled("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    let engine = registry.engine_for("j2").await.expect("an engine");
    assert_eq!(engine.as_str(), "minijinja");
    assert_eq!(registry.engine_for("tex").await, None);
    insta::assert_snapshot!(table(&registry), @r"
    minijinja@0.1.0 bundled/minijinja.wasm serving []
    null bundled/null.wasm available []
    ");
    assert!(matches!(why(&registry, "minijinja"), text if text.starts_with("there is no channel `minijinja`")));
}

#[tokio::test]
async fn a_second_start_compiles_nothing() {
    let rig = Rig::new();
    rig.put(&rig.own("console.wasm"), &guest("console"));
    assert!(is_sent(&send(&*rig.open().await, "console").await));
    let compiled = || {
        let files = fs::read_dir(rig.cache()).expect("a cache").map(|entry| entry.expect("an entry"));
        files
            .filter(|file| file.path().extension().is_some())
            .map(|file| file.metadata().expect("there").len())
            .sum::<u64>()
    };
    let before = compiled();
    assert!(before > 0);
    assert!(is_sent(&send(&*rig.open().await, "console").await));
    assert_eq!(compiled(), before);
}
