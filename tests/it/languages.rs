//! Plugins written in JavaScript and Python, as their toolchains make them today, under the default limits.

use std::fs;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server, example};
use serde_json::{Value, json};

use crate::api::Api;
use crate::plugins::until_listed_within;

/// Compiling both takes a busy machine about a minute the first time; what was compiled is kept for the next run.
const COMPILED_LIMIT: Duration = Duration::from_secs(240);

/// Calls at once.
const IN_FLIGHT: usize = 16;

fn config(discord: &Receiver, ntfy: &Receiver, slow: &Receiver) -> String {
    let cache = example("ntfy").with_file_name("plugin-cache");
    format!(
        r#"
        [plugins]
        cache_dir = "{}"

        [workers]
        max = 1
        per_worker = {IN_FLIGHT}

        [retry.quick]
        initial = "10ms"

        [channels.chat]
        plugin = "discord"
        retry = "quick"
        config = {{ url = "{}/api/webhooks/7/token" }}
        allow_networks = ["127.0.0.1/32"]

        [channels.push]
        plugin = "ntfy"
        retry = "quick"
        config = {{ server = "{}", topic = "ops", tags = ["db"] }}
        allow_networks = ["127.0.0.1/32"]

        [channels.slow]
        plugin = "ntfy"
        config = {{ server = "{}", topic = "ops" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        cache.display(),
        discord.url(),
        ntfy.url(),
        slow.url()
    )
}

fn outcomes(record: &Value) -> Vec<&str> {
    let attempts = record["deliveries"][0]["attempts"].as_array().expect("a record has attempts");
    attempts.iter().filter_map(|attempt| attempt["outcome"].as_str()).collect()
}

/// One test for all of it: each server would wait for two large components.
#[tokio::test]
async fn channels_in_javascript_and_python_deliver() {
    let busy = || vec![Reply::new(503, "busy")];
    let discord = Receiver::start(busy(), Reply::new(200, r#"{"id":"1234"}"#)).await;
    let ntfy = Receiver::start(busy(), Reply::new(200, r#"{"id":"abcd"}"#)).await;
    let slow = Receiver::closed(Reply::new(200, "{}")).await;
    let server = Server::start(&config(&discord, &ntfy, &slow)).await;
    let api = Api::of(&server);
    for name in ["discord", "ntfy"] {
        let dropped = server.dir().join("plugins-enabled").join(name).with_extension("wasm");
        fs::copy(example(name), dropped).expect("the folder is there");
        let serves = |listed: &Value| {
            assert_ne!(listed["state"], "refused", "{listed:#}");
            listed["state"] == "serving"
        };
        until_listed_within(COMPILED_LIMIT, &api, name, serves).await;
    }
    a_refusal_for_now_is_tried_again_and_the_provider_gets_what_was_written(&api, &discord, &ntfy).await;
    as_many_calls_as_there_are_slots_wait_for_their_provider_at_once(&api, &slow).await;
}

async fn a_refusal_for_now_is_tried_again_and_the_provider_gets_what_was_written(
    api: &Api,
    discord: &Receiver,
    ntfy: &Receiver,
) {
    let mut records = Vec::new();
    for channel in ["chat", "push"] {
        let notification = json!({
            "channels": [channel], "title": "Disk", "body": "at *91 %* @everyone", "kind": "warning", "priority": "high"
        });
        let accepted = api.post("/v1/notifications", &notification).await;
        assert_eq!(accepted.status, 202, "{}", accepted.body);
        records.push(api.until_final(accepted.body["id"].as_str().expect("an id")).await);
    }
    for (record, id) in records.iter().zip(["1234", "abcd"]) {
        assert_eq!(record["status"], "sent", "{record:#}");
        assert_eq!(outcomes(record), ["retry", "sent"], "{record:#}");
        assert_eq!(record["deliveries"][0]["attempts"][1]["provider_id"], id, "{record:#}");
    }

    let posted = &discord.received()[1];
    assert_eq!(posted.uri, "/api/webhooks/7/token?wait=true");
    let embed = &posted.json()["embeds"][0];
    assert_eq!((&embed["title"], &embed["description"]), (&json!("Disk"), &json!("at \\*91 %\\* @everyone")));
    let mut published = ntfy.received()[1].json();
    let sequence = published["sequence_id"].take();
    assert_eq!(sequence, records[1]["deliveries"][0]["id"], "the delivery's id, the same over all attempts");
    let expected = json!({
        "topic": "ops", "title": "Disk", "message": "at *91 %* @everyone", "priority": 4, "tags": ["warning", "db"],
        "sequence_id": null
    });
    assert_eq!(published, expected);
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
