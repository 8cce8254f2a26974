//! Plugins written in JavaScript and Python, as their toolchains make them today, under the default limits.

use std::fs;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server, example};
use serde_json::{Value, json};

use crate::api::Api;
use crate::plugins::until_listed_within;

/// Compiling both takes a busy machine about a minute the first time; what was compiled is kept for the next run.
const COMPILED_LIMIT: Duration = Duration::from_secs(240);

/// Calls at once, of all channels.
const SLOTS: usize = 16;

/// Of them, those that one channel may hold: the last is left to others.
const IN_FLIGHT: usize = SLOTS - 1;

/// Written into files that the configuration refers to. They stand nowhere else.
const DISCORD_TOKEN: &str = "dsc-Q7xT3mZk9w_canary";
const NTFY_TOKEN: &str = "tk_h4rV2bLp8s_canary";

fn config(discord: &Receiver, fetched: &Receiver, ntfy: &Receiver, slow: &Receiver) -> String {
    let cache = example("ntfy").with_file_name("plugin-cache");
    format!(
        r#"
        [plugins]
        cache_dir = "{}"

        [workers]
        max = 1
        per_worker = {SLOTS}

        [retry.quick]
        initial = "10ms"

        [channels.chat]
        plugin = "discord"
        retry = "quick"
        config = {{ server = "{}", webhook = "7" }}
        secrets = {{ token = "file:discord-token" }}
        allow_networks = ["127.0.0.1/32"]

        [channels.fetch]
        plugin = "discord-fetch"
        retry = "quick"
        config = {{ server = "{}", webhook = "7" }}
        secrets = {{ token = "file:discord-token" }}
        allow_networks = ["127.0.0.1/32"]

        [channels.push]
        plugin = "ntfy"
        retry = "quick"
        config = {{ server = "{}", topic = "ops", tags = ["db"] }}
        secrets = {{ token = "file:ntfy-token" }}
        allow_networks = ["127.0.0.1/32"]

        [channels.slow]
        plugin = "ntfy"
        config = {{ server = "{}", topic = "ops" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        cache.display(),
        discord.url(),
        fetched.url(),
        ntfy.url(),
        slow.url()
    )
}

fn outcomes(record: &Value) -> Vec<&str> {
    let attempts = record["deliveries"][0]["attempts"].as_array().expect("a record has attempts");
    attempts.iter().filter_map(|attempt| attempt["outcome"].as_str()).collect()
}

/// One test for all of it: each server would wait for three large components.
#[tokio::test]
async fn channels_in_javascript_and_python_deliver() {
    let busy = || vec![Reply::new(503, "busy")];
    let discord = Receiver::start(busy(), Reply::new(200, r#"{"id":"1234"}"#)).await;
    let fetched = Receiver::start(busy(), Reply::new(200, r#"{"id":"5678"}"#)).await;
    let ntfy = Receiver::start(busy(), Reply::new(200, r#"{"id":"abcd"}"#)).await;
    let slow = Receiver::closed(Reply::new(200, "{}")).await;
    let files = [("discord-token", DISCORD_TOKEN), ("ntfy-token", NTFY_TOKEN)];
    let server = Server::start_with(&config(&discord, &fetched, &ntfy, &slow), &files, &[]).await;
    let api = Api::of(&server);
    for name in ["discord", "discord-fetch", "ntfy"] {
        let (whole, file) = (server.dir().join(name), format!("{name}.wasm"));
        // At once: a copy of this size can be looked at while it is half there.
        fs::copy(example(name), &whole).expect("the folder is there");
        fs::rename(whole, server.dir().join("plugins-enabled").join(file)).expect("the folder is there");
        let serves = |listed: &Value| {
            assert_ne!(listed["state"], "refused", "{listed:#}");
            listed["state"] == "serving"
        };
        until_listed_within(COMPILED_LIMIT, &api, name, serves).await;
    }
    a_refusal_for_now_is_tried_again_and_the_provider_gets_what_was_written(&api, &discord, &fetched, &ntfy).await;
    what_a_provider_repeats_of_a_secret_the_plugin_never_sees(&api, &discord, &fetched, &ntfy).await;
    as_many_calls_as_there_are_slots_wait_for_their_provider_at_once(&api, &slow).await;
}

/// Sends through `channel` and answers the record, once it is final.
async fn sent(api: &Api, channel: &str) -> Value {
    let notification = json!({
        "channels": [channel], "title": "Disk", "body": "at *91 %* @everyone", "kind": "warning", "priority": "high"
    });
    let accepted = api.post("/v1/notifications", &notification).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    api.until_final(accepted.body["id"].as_str().expect("an id")).await
}

async fn a_refusal_for_now_is_tried_again_and_the_provider_gets_what_was_written(
    api: &Api,
    discord: &Receiver,
    fetched: &Receiver,
    ntfy: &Receiver,
) {
    let mut records = Vec::new();
    for (channel, id) in [("chat", "1234"), ("fetch", "5678"), ("push", "abcd")] {
        let record = sent(api, channel).await;
        assert_eq!(record["status"], "sent", "{record:#}");
        assert_eq!(outcomes(&record), ["retry", "sent"], "{record:#}");
        assert_eq!(record["deliveries"][0]["attempts"][1]["provider_id"], id, "{record:#}");
        records.push(record);
    }

    for receiver in [discord, fetched] {
        let posted = &receiver.received()[1];
        // The value stands where the plugin, which has a handle of it and no more, wrote the handle.
        assert_eq!(posted.uri, format!("/api/webhooks/7/{DISCORD_TOKEN}?wait=true"));
        assert_eq!(posted.header("content-type"), "application/json");
        let embed = &posted.json()["embeds"][0];
        assert_eq!((&embed["title"], &embed["description"]), (&json!("Disk"), &json!("at \\*91 %\\* @everyone")));
    }
    let published = &ntfy.received()[1];
    assert_eq!(published.header("authorization"), format!("Bearer {NTFY_TOKEN}"));
    let mut published = published.json();
    let sequence = published["sequence_id"].take();
    assert_eq!(sequence, records[2]["deliveries"][0]["id"], "the delivery's id, the same over all attempts");
    let expected = json!({
        "topic": "ops", "title": "Disk", "message": "at *91 %* @everyone", "priority": 4, "tags": ["warning", "db"],
        "sequence_id": null
    });
    assert_eq!(published, expected);
}

/// Each plugin tells the reason that its provider gave. What it tells is what it saw.
async fn what_a_provider_repeats_of_a_secret_the_plugin_never_sees(
    api: &Api,
    discord: &Receiver,
    fetched: &Receiver,
    ntfy: &Receiver,
) {
    let told = |key: &str, token: &str| Reply::new(400, &json!({ key: format!("not with {token}") }).to_string());
    discord.answer_next(told("message", DISCORD_TOKEN));
    fetched.answer_next(told("message", DISCORD_TOKEN));
    ntfy.answer_next(told("error", NTFY_TOKEN));
    for channel in ["chat", "fetch", "push"] {
        let record = sent(api, channel).await;
        let reason = &record["deliveries"][0]["attempts"][0]["reason"];
        assert!(reason.as_str().is_some_and(|reason| reason.contains("not with ***")), "{channel}: {record:#}");
    }
}

/// A component from Python is many instances in one: a pool too small for them would hold calls back.
async fn as_many_calls_as_there_are_slots_wait_for_their_provider_at_once(api: &Api, slow: &Receiver) {
    let mut ids = Vec::new();
    for _ in 0..IN_FLIGHT {
        // High: one slot in eight takes nothing below.
        let hello = json!({ "channels": ["slow"], "body": "hello", "priority": "high" });
        let accepted = api.post("/v1/notifications", &hello).await;
        ids.push(accepted.body["id"].as_str().expect("an id").to_owned());
    }
    slow.has_received(IN_FLIGHT).await;
    slow.open();
    for id in ids {
        let record = api.until_final(&id).await;
        assert_eq!(outcomes(&record), ["sent"], "{record:#}");
    }
}
