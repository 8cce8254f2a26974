//! Channels that are added, changed, switched off and taken away while calls go through them.

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use tokio::sync::{Notify, mpsc};

use super::rig::{fact, fickle, say};
use super::*;

/// Puts the rig's channels, as they are now, in force. Answers what that does, a list on each line.
async fn reload(rig: &Rig, registry: &Registry) -> String {
    let planned = registry.plan_reload(rig.channels.clone(), CallLimits::default()).await;
    let planned = planned.unwrap_or_else(|unusable| panic!("every channel can be used: {unusable:?}"));
    let ChannelChanges { added, changed, removed, disabled, enabled } = planned.changes().clone();
    planned.apply().await;
    let lists = [("+", added), ("~", changed), ("-", removed), ("off", disabled), ("on", enabled)];
    let line = |(what, names): (&str, Vec<ChannelName>)| {
        let names: Vec<_> = names.iter().map(ChannelName::as_str).collect();
        format!("{what} {}", names.join(" "))
    };
    lists.into_iter().filter(|(_, names)| !names.is_empty()).map(line).collect::<Vec<_>>().join(", ")
}

/// What speaks against the rig's channels as they are now, a line each.
async fn refused(rig: &Rig, registry: &Registry) -> String {
    let unusable = registry.plan_reload(rig.channels.clone(), CallLimits::default()).await.err();
    let unusable = unusable.expect("something speaks against it");
    let lines = unusable.iter().flat_map(|(name, found)| found.iter().map(move |finding| format!("{name}: {finding}")));
    lines.collect::<Vec<_>>().join("\n")
}

fn channel<'a>(rig: &'a mut Rig, name: &str) -> &'a mut ChannelConfig {
    rig.channels.get_mut(name).expect("it is there")
}

/// Hands out numbered tokens, and answers nobody at `/slow` before it is let go.
async fn provider() -> (String, mpsc::Receiver<String>, Arc<Notify>) {
    type Shared = (mpsc::Sender<String>, Arc<Notify>);
    async fn answer(State((asked, go)): State<Shared>, uri: Uri) -> String {
        let _ = asked.send(uri.path().to_owned()).await;
        if uri.path() == "/slow" {
            go.notified().await;
        }
        format!("token of {}", uri.path())
    }
    let (asked, seen) = mpsc::channel(64);
    let go = Arc::new(Notify::new());
    let router = Router::new().fallback(answer).with_state((asked, Arc::clone(&go)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, seen, go)
}

#[tokio::test]
async fn channels_come_go_and_are_switched_off_and_on() {
    let mut rig = Rig::new().with_channel("desk", "console", json!({})).with_channel("other", "console", json!({}));
    rig.put(&rig.own("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    assert_eq!(reload(&rig, &registry).await, "", "nothing is other");
    assert_eq!(rig.waiting(), [""; 0]);

    let other = rig.channels.remove("other").expect("it is there");
    channel(&mut rig, "desk").enabled = false;
    rig = rig.with_channel("third", "console", json!({}));
    assert_eq!(reload(&rig, &registry).await, "+ third, - other, off desk");
    assert!(is_sent(&send(&registry, "third").await));
    assert_eq!(rig.waiting(), ["desk", "other"], "what waits for them waits on");
    insta::assert_snapshot!(why(&registry, "desk"), @"channel `desk` is disabled; write `enabled = true` under [channels.desk] and run `campanile reload`");
    assert_eq!(why(&registry, "other"), "there is no channel `other`");
    let waits: Vec<_> = registry.out_of_use().values().map(ToString::to_string).collect();
    insta::assert_snapshot!(waits.join("\n"), @r"
    channel `desk` is disabled; write `enabled = true` under [channels.desk] and run `campanile reload`
    there is no channel `other` any more; write [channels.other] into the configuration again and run `campanile reload`
    ");
    assert_eq!(table(&registry), "console@0.1.0 own/console.wasm serving [console third]");

    rig.channels.insert("other".parse().expect("a name"), other);
    channel(&mut rig, "desk").enabled = true;
    channel(&mut rig, "third").priority = None;
    assert_eq!(reload(&rig, &registry).await, "+ other, ~ third, on desk");
    assert_eq!(rig.waiting(), [""; 0]);
    for name in ["desk", "other", "third"] {
        assert!(is_sent(&send(&registry, name).await), "{name}");
    }
    let facts = registry.channel(&"third".parse().expect("a name")).expect("it is there");
    assert_eq!(facts.priority, None);
}

#[tokio::test]
async fn a_channel_that_its_plugin_lends_is_there_before_and_after_it_is_configured() {
    let mut rig = Rig::new();
    rig.put(&rig.own("console.wasm"), &guest("console"));
    let registry = rig.open().await;
    rig = rig.with_channel("console", "console", json!({}));
    assert_eq!(reload(&rig, &registry).await, "~ console");
    channel(&mut rig, "console").enabled = false;
    assert_eq!(reload(&rig, &registry).await, "off console");
    assert_eq!(rig.waiting(), ["console"], "its plugin does not lend it then");
    rig.channels.clear();
    assert_eq!(reload(&rig, &registry).await, "on console", "nothing says that it is off any more");
    assert_eq!(rig.waiting(), [""; 0]);
    assert!(is_sent(&send(&registry, "console").await));
}

#[tokio::test]
async fn what_an_earlier_process_left_to_a_channel_that_is_gone_waits_without_a_call() {
    let rig = Rig::new().with_channel("desk", "console", json!({}));
    rig.put(&rig.own("console.wasm"), &guest("console"));
    rig.put(&rig.bundled("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    // One that comes with the program is there for whoever asks first.
    let left = ["desk", "null", "console", "long-gone"].map(|name| name.parse().expect("a name"));
    registry.expect(left).await;
    assert_eq!(rig.waiting(), ["long-gone"]);
}

#[tokio::test]
async fn a_call_in_flight_ends_on_the_settings_it_began_with() {
    let (url, mut seen, go) = provider().await;
    let mut rig = Rig::new().with_channel("hook", "webhook", json!({ "url": format!("{url}/slow") }));
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let early = tokio::spawn({
        let registry = Arc::clone(&registry);
        async move { send(&registry, "hook").await }
    });
    assert_eq!(seen.recv().await.as_deref(), Some("/slow"));

    channel(&mut rig, "hook").config.insert("url".to_owned(), format!("{url}/fast").into());
    assert_eq!(reload(&rig, &registry).await, "~ hook");
    assert!(is_sent(&send(&registry, "hook").await));
    assert_eq!(seen.recv().await.as_deref(), Some("/fast"));
    rig.channels.clear();
    assert_eq!(reload(&rig, &registry).await, "- hook");
    go.notify_one();
    assert!(is_sent(&early.await.expect("it ends")), "although its channel is gone by now");
    let late = send(&registry, "hook").await;
    assert!(matches!(late.end, AttemptEnd::Interrupted { interruption: Interruption::NoPlugin, .. }), "{late:?}");
}

#[tokio::test]
async fn a_token_of_a_changed_channel_is_fetched_anew_and_that_of_another_is_kept() {
    let (url, mut seen, _) = provider().await;
    let config = |path: &str| json!({ "url": format!("{url}/{path}") });
    let mut rig = Rig::new().with_channel("one", "keeper", config("one")).with_channel("two", "keeper", config("two"));
    rig.put(&rig.own("keeper.wasm"), &guest("keeper"));
    let registry = rig.open().await;
    for name in ["one", "two"] {
        assert_eq!(fact(&say(&registry, name, "token").await, "token"), format!("token of /{name}"));
        assert_eq!(seen.recv().await, Some(format!("/{name}")));
    }
    channel(&mut rig, "one").config = config("other").as_object().expect("an object").clone();
    assert_eq!(reload(&rig, &registry).await, "~ one");
    assert_eq!(fact(&say(&registry, "one", "token").await, "token"), "token of /other");
    assert_eq!(seen.recv().await.as_deref(), Some("/other"));
    assert_eq!(fact(&say(&registry, "two", "token").await, "token"), "token of /two");
    assert!(seen.try_recv().is_err(), "what did not change keeps what it had");
}

#[tokio::test]
async fn a_secret_that_is_another_now_changes_its_channel() {
    let place = tempfile::tempdir().expect("a folder");
    let key = |letter: &str| fs::write(place.path().join("key"), format!("whsec_{}", letter.repeat(32)));
    key("A").expect("it is written");
    let mut rig = Rig::new().with_channel("hook", "webhook", json!({ "url": "http://127.0.0.1:1/" }));
    let from = format!("file:{}", place.path().join("key").display()).parse().expect("a reference");
    channel(&mut rig, "hook").secrets.insert("key".to_owned(), SecretGrant { from, hosts: None });
    rig.put(&rig.own("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    assert_eq!(reload(&rig, &registry).await, "");
    key("B").expect("it is written");
    assert_eq!(reload(&rig, &registry).await, "~ hook");
    assert_eq!(reload(&rig, &registry).await, "");
    fs::remove_file(place.path().join("key")).expect("it is there");
    let told = refused(&rig, &registry).await.replace(&place.path().display().to_string(), "/place");
    insta::assert_snapshot!(told, @"hook: the secret `key` cannot be had: the file `/place/key` cannot be read: entity not found; put the secret there and let this program read it");
}

#[tokio::test]
async fn a_channel_that_could_not_be_used_changes_nothing_of_the_others() {
    let mut rig = Rig::new().with_channel("desk", "console", json!({})).with_channel("broken", "fax", json!({}));
    rig.put(&rig.own("console.wasm"), &guest("console"));
    rig.put(&rig.bundled("webhook.wasm"), &guest("webhook"));
    let registry = rig.open().await;
    let before = table(&registry);
    assert_eq!(reload(&rig, &registry).await, "", "what was broken before, and is the same, is in nobody's way");

    rig.channels.remove("desk");
    rig = rig.with_channel("hook", "webhook", json!({ "ur": "x" })).with_channel("paper", "printer", json!({}));
    insta::assert_snapshot!(refused(&rig, &registry).await, @r#"
    hook: `config.ur`: is not a known key; did you mean `url`?
    hook: `config.url`: is missing (Where to post); write `url = "…"` there
    paper: there is no plugin `printer`; put its file `printer.wasm` into the folder that `dir` in [plugins] names, or name another plugin under [channels.paper]; `campanile plugins list` shows all
    "#);
    assert_eq!(table(&registry), before, "not even a plugin is loaded");
    assert!(is_sent(&send(&registry, "desk").await));
    assert_eq!(rig.waiting(), [""; 0]);
    assert_eq!(rig.told(), "plugin.loaded console@0.1.0");

    // Whoever switches it off need not mend it.
    channel(&mut rig, "paper").enabled = false;
    channel(&mut rig, "hook").config = json!({ "url": "http://127.0.0.1:1/" }).as_object().expect("one").clone();
    assert_eq!(reload(&rig, &registry).await, "+ hook paper, - desk, off paper");
    insta::assert_snapshot!(table(&registry), @r"
    console@0.1.0 own/console.wasm serving [console]
    webhook@0.1.0 bundled/webhook.wasm serving [hook]
    ");
}

#[tokio::test]
async fn a_version_on_trial_follows_its_channels() {
    let mut rig = Rig::new().with_channel("bell", "fickle", json!({})).with_canary("bell", 50);
    rig.put(&rig.own("fickle.wasm"), &fickle("1.0.0", "good", ""));
    let registry = rig.open().await;
    rig.put(&rig.own("fickle.wasm"), &fickle("1.1.0", "good", ""));
    rig.look(&registry).await;
    let states = |registry: &Registry| {
        let line = |status: PluginStatus| {
            let shares: Vec<_> = status.shares.values().map(|percent| format!(" {percent} %")).collect();
            format!("{} {}{}", status.version.expect("a version"), status.state.as_str(), shares.join(""))
        };
        registry.plugins().into_iter().map(line).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(states(&registry), "1.0.0 serving, 1.1.0 canary 50 %");
    rig = rig.with_canary("bell", 10).with_channel("gong", "fickle", json!({}));
    assert_eq!(reload(&rig, &registry).await, "+ gong, ~ bell");
    assert_eq!(states(&registry), "1.0.0 serving, 1.1.0 canary 10 %");
    channel(&mut rig, "bell").canary = None;
    assert_eq!(reload(&rig, &registry).await, "~ bell");
    assert_eq!(states(&registry), "1.1.0 serving", "nobody asks for a trial any more");
    for name in ["bell", "gong"] {
        assert_eq!(version(&registry, name).await.number().to_string(), "1.1.0");
    }
}
