//! A stop keeps its word to everybody.

use campanile_tests::{Receiver, Reply, Server};
use serde_json::json;

use crate::api::Api;

/// Who waits for an outcome when the server stops is told what was accepted, and how far it has come.
#[tokio::test]
async fn those_who_wait_are_answered_when_the_server_stops() {
    let receiver = Receiver::closed(Reply::new(200, "")).await;
    let server = Server::start(&format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}/in\" }}\n\
         allow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    ))
    .await;
    let api = Api::of(&server);
    let body = json!({ "channels": ["hook"], "body": "hello" });
    // What it waits for is under way for 30 s at most; a second signal ends the stop.
    let (answered, told) = tokio::sync::oneshot::channel();
    let waiting = async {
        let answer = api.post("/v1/notifications?wait=60s", &body).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        assert!(answer.body["id"].is_string(), "{}", answer.body);
        assert_eq!(answer.body["status"], "pending", "{}", answer.body);
        answered.send(()).expect("somebody waits");
    };
    let stopping = async {
        receiver.has_received(1).await;
        server.signal("TERM").await;
        told.await.expect("an answer");
        assert_eq!(server.terminate().await, 1, "one delivery was cut short, and the exit code says so");
    };
    tokio::join!(waiting, stopping);
}

/// Whoever cannot wait for a stop and asks for it again harms no delivery: it is no crash.
#[tokio::test]
async fn a_stop_that_is_cut_short_is_no_crash() {
    let receiver = Receiver::closed(Reply::new(200, "")).await;
    let mut server = Server::start(&format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}/in\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    ))
    .await;
    let answer = Api::of(&server).post("/v1/notifications", &json!({ "channels": ["hook"], "body": "hello" })).await;
    let id = answer.body["id"].as_str().expect("it is accepted").to_owned();
    // Three crashes would make it a suspect for good; before the first, a claim is written only where it lives for long.
    for stops in 1..=4 {
        receiver.has_received(stops).await;
        // Two of a kind could become one on their way.
        server.signal("TERM").await;
        server.signal("INT").await;
        assert_eq!(server.ended().await, 1, "the exit code says that something was cut short");
        server.restart().await;
    }
    receiver.open();
    let record = Api::of(&server).until_final(&id).await;
    assert_eq!(record["status"], "sent", "{record}");
    let ends: Vec<_> = record["deliveries"][0]["attempts"].as_array().into_iter().flatten().collect();
    assert_eq!(ends.len(), 5, "each call that was cut short is an attempt: {record}");
}

/// A configuration is checked against what the plugins of this machine say they take.
#[tokio::test]
async fn a_check_of_the_configuration_asks_the_plugins() {
    let server = Server::start(
        "[channels.ops]\nplugin = \"slack\"\nconfig = { urll = \"x\" }\n[channels.pager]\nplugin = \"slak\"\n\
         [channels.fax]\nplugin = \"fax\"\n",
    )
    .await;
    let checked = server.cli(["config", "check"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    for word in [
        ".toml:3: channel `ops`: `config.urll`: is not a known key; did you mean `url`?\n",
        "channel `ops`: the secret `url` (URL of the incoming webhook) is missing; write `secrets = { url = \"env:NAME\" }` \
         (or `\"file:/PATH\"`) under [channels.ops]\n",
        "channel `pager`: there is no plugin `slak`, there is `slack`",
        "channel `fax`: there is no plugin `fax`; put its file `fax.wasm` into the folder",
    ] {
        assert!(checked.stdout.contains(word), "`{word}` is missing: {checked:?}");
    }
    assert_eq!(checked.stderr, "", "what is printed is not logged as well");
    let ready = Api::of(&server).get("/readyz").await;
    assert_eq!((ready.status, &ready.body["status"]), (200, &json!("degraded")), "the other channels go on");
    let log = std::fs::read_to_string(server.dir().join("server.log")).expect("the server's log");
    let warned = |channel: &str, what_to_do: &str| {
        let name = format!("channel={channel} ");
        let lines: Vec<_> =
            log.lines().filter(|line| line.contains("A channel cannot be used.") && line.contains(&name)).collect();
        assert!(matches!(*lines, [line] if line.contains(" WARN ") && line.contains(what_to_do)), "{channel}: {log}");
    };
    warned("ops", "the secret `url` (URL of the incoming webhook) is missing; write `secrets = { url = ");
    warned("pager", "there is no plugin `slak`, there is `slack`");
    warned("fax", "put its file `fax.wasm` into the folder");
}
