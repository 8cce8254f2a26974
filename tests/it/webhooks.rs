//! Signed webhooks, judged by a package that was written by others: `standardwebhooks` for Python.

use std::collections::BTreeSet;
use std::process::Stdio;

use campanile_tests::{Received, Receiver, Reply, Server, python};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::api::Api;

pub(crate) const NEW_KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";

/// Reads requests and says of each what it holds, or why it is not genuine.
const VERIFIER: &str = r#"
import json, sys
from standardwebhooks import Webhook, WebhookVerificationError
for line in sys.stdin:
    request = json.loads(line)
    try:
        verified = Webhook(request["key"]).verify(request["body"], request["headers"])
        print(json.dumps({"verified": verified}))
    except WebhookVerificationError as error:
        print(json.dumps({"refused": str(error)}))
"#;

/// What the verifier says of each request, with this key and perhaps another body.
pub(crate) async fn verdicts(requests: &[Received], key: &str, body: Option<&str>) -> Vec<Value> {
    let mut child = Command::new(python())
        .args(["-c", VERIFIER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("Python can be run");
    let mut lines = String::new();
    for request in requests {
        let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
        let headers: serde_json::Map<_, _> =
            names.into_iter().map(|name| (name.to_owned(), request.header(name).into())).collect();
        let own = String::from_utf8_lossy(&request.body);
        lines.push_str(&json!({ "key": key, "headers": headers, "body": body.unwrap_or(&own) }).to_string());
        lines.push('\n');
    }
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(lines.as_bytes()).await.expect("it reads");
    drop(input);
    let output = child.wait_with_output().await.expect("it ends");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said: Vec<_> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(said.len(), requests.len(), "{text}");
    said
}

fn config(receiver: &Receiver) -> String {
    format!(
        r#"
        [retry.quick]
        initial = "10ms"

        [[callbacks.webhook]]
        name = "crm"
        url = "{}/hooks?tenant=7"
        secret = ["file:new-key", "file:old-key"]
        retry = "quick"
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    )
}

async fn send(server: &Server) -> String {
    let sent = server.cli(["--json", "send", "-c", "console", "-b", "hi", "--wait"]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    sent.json()["id"].as_str().expect("an id").to_owned()
}

fn ids(requests: &[Received]) -> BTreeSet<String> {
    requests.iter().map(|request| request.header("webhook-id").to_owned()).collect()
}

/// Every request is genuine by either key; nothing else is.
#[tokio::test]
async fn an_independent_verifier_accepts_what_is_sent_and_nothing_else() {
    let receiver = Receiver::start(vec![Reply::new(503, "busy")], Reply::new(204, "")).await;
    let files = [("new-key", NEW_KEY), ("old-key", OLD_KEY)];
    let mut server = Server::start_with(&config(&receiver), &files, &[]).await;
    let first = send(&server).await;
    // The sending failed once, and is told again under its id; the end of the notification waits behind it.
    let requests = receiver.has_received(3).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    assert_eq!(ids(&requests).len(), 2);
    for key in [NEW_KEY, OLD_KEY] {
        let verified = verdicts(&requests, key, None).await;
        let types: Vec<_> = verified.iter().map(|said| said["verified"]["type"].as_str()).collect();
        assert_eq!(types, [Some("delivery.sent"), Some("delivery.sent"), Some("notification.completed")]);
        assert!(
            verified.iter().all(|said| said["verified"]["data"]["notification_id"] == first.as_str()),
            "{verified:?}"
        );
    }
    for said in verdicts(&requests, OTHER_KEY, None).await {
        assert_eq!(said["refused"], "No matching signature found");
    }
    for said in verdicts(&requests, NEW_KEY, Some(r#"{"type":"delivery.failed"}"#)).await {
        assert_eq!(said["refused"], "No matching signature found");
    }
    assert_eq!(requests[0].uri, "/hooks?tenant=7");

    // Killed and started again, it goes on: what comes twice has the id that it had.
    server.crash_and_restart().await;
    let second = send(&server).await;
    let told = |requests: &[Received]| {
        requests.iter().any(|request| {
            let body = request.json();
            body["type"] == "notification.completed" && body["data"]["notification_id"] == second.as_str()
        })
    };
    let mut count = requests.len() + 1;
    while !told(&receiver.has_received(count).await) {
        count += 1;
    }
    assert_eq!(ids(&receiver.received()).len(), 4);

    // A stretch of time can be told again; of this one nothing is kept.
    let api = Api::of(&server);
    let replay = async |name: &str, since: &str, until: &str| {
        api.post(&format!("/v1/callbacks/{name}/replay"), &json!({ "since": since, "until": until })).await
    };
    let (early, late) = ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z");
    let replayed = replay("crm", early, late).await;
    assert_eq!((replayed.status, &replayed.body["replayed"]), (200, &json!(0)), "{}", replayed.body);
    assert_eq!(replay("crm", late, early).await.status, 409);
    assert_eq!(replay("crn", early, late).await.status, 404);
    assert_eq!(replay("crm", "yesterday", late).await.status, 400);
    assert_eq!(server.terminate().await, 0);
}

/// What happened is told again when an operator says so, how long calls took is shown, and what nobody calls any more can
/// be forgotten.
#[tokio::test]
async fn an_operator_has_a_stretch_of_time_told_again_and_forgets_what_is_not_called() {
    let receiver = Receiver::start(vec![], Reply::new(204, "")).await;
    let files = [("new-key", NEW_KEY), ("old-key", OLD_KEY)];
    let server = Server::start_with(&config(&receiver), &files, &[]).await;
    send(&server).await;
    let first = ids(&receiver.has_received(2).await);
    let again = server.cli(["callbacks", "replay", "crm", "--since", "1h"]).await;
    assert_eq!((again.code, &*again.stdout), (0, "2 events are told to `crm` again\n"), "{again:?}");
    assert_eq!(ids(&receiver.has_received(4).await), first, "each with its id");
    let none = server.cli(["--json", "callbacks", "replay", "crm", "--since", "2d", "--until", "1d"]).await;
    assert_eq!((none.code, &none.json()["replayed"]), (3, &json!(0)), "{none:?}");
    let backwards = server.cli(["callbacks", "replay", "crm", "--since", "1d", "--until", "2d"]).await;
    assert_eq!(backwards.code, 1, "{backwards:?}");
    assert!(backwards.stderr.contains("`since` is "), "{backwards:?}");

    let api = Api::of(&server);
    let shown = api.get("/v1/callbacks").await.body;
    let latency = &shown["kinds"][0]["latency"];
    assert!(latency["count"].as_u64() >= Some(3) && latency["p99_ms"].as_f64() > Some(0.0), "{shown}");
    let stats = api.get("/v1/stats").await.body;
    assert_eq!(stats["callbacks"]["latency"][0]["kind"], "webhook", "{stats}");
    let stats = server.cli(["stats"]).await;
    assert!(stats.stdout.contains("\ncall times 95 and 99 of 100 within: webhook "), "{stats:?}");

    let used = api.delete("/v1/callbacks/crm").await;
    assert_eq!((used.status, used.body["code"].as_str()), (409, Some("callback-in-use")), "{}", used.body);
    let used = server.cli(["callbacks", "forget", "crm"]).await;
    assert_eq!(used.code, 1, "{used:?}");
    assert!(used.stderr.contains("`crm` is still called: take its `[[callbacks.webhook]]` out"), "{used:?}");
    server.put("campanile.toml", "");
    assert_eq!(server.cli(["reload"]).await.code, 0);
    let forgotten = server.cli(["callbacks", "forget", "crm"]).await;
    assert_eq!((forgotten.code, &*forgotten.stdout), (0, "crm is forgotten\n"), "{forgotten:?}");
    assert!(server.cli(["callbacks", "list"]).await.stdout.starts_with("no callback with a name\n"));
    let log = server.cli(["--json", "audit", "--target", "crm"]).await.json();
    assert_eq!(log["entries"][0]["action"], "callback.forgotten", "{log}");
    assert_eq!(server.terminate().await, 0);
}

/// What is wrong with a webhook is told before anything is sent, with the line to write and no secret.
#[tokio::test]
async fn a_key_that_is_too_short_and_a_private_address_are_refused() {
    let receiver = Receiver::start(vec![], Reply::new(204, "")).await;
    let good = config(&receiver);
    let server = Server::start_with(&good, &[("new-key", NEW_KEY), ("old-key", OLD_KEY)], &[]).await;
    server.put("old-key", "whsec_c2hvcnQ=");
    server.put("campanile.toml", &good.replace(r#"allow_networks = ["127.0.0.1/32"]"#, ""));
    let checked = server.cli(["config", "check"]).await;
    assert_eq!(checked.code, 2, "{checked:?}");
    let said = format!("{}{}", checked.stdout, checked.stderr);
    assert!(said.contains("is too short: 5 bytes, the least is 24"), "{said}");
    assert!(said.contains(r#"write `allow_networks = ["127.0.0.1/32"]`"#), "{said}");
    assert!(!said.contains("c2hvcnQ") && !said.contains("tenant"), "{said}");
    assert_eq!(server.terminate().await, 0);
}
