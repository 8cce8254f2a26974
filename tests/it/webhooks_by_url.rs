//! `callback_url`: a notification is told of where its caller says.

use campanile::callback::{CallbackError, Registration};
use campanile::config::{Config, Durability, SecretRef, WebhookConfig};
use campanile::runtime::ReloadError;
use campanile::{Notification, Runtime};
use campanile_tests::{Received, Receiver, Reply, Server, plugin};
use serde_json::{Value, json};

use crate::api::Api;
use crate::webhooks::{NEW_KEY, verdicts};

const CONFIG: &str = r#"
    [channels.console]
    plugin = "console"

    [callbacks]
    secret = "file:key"
    allow_networks = ["127.0.0.1/32"]
"#;

async fn start() -> (Receiver, Server, Api) {
    let receiver = Receiver::start(vec![], Reply::new(204, "")).await;
    let server = Server::start_with(CONFIG, &[("key", NEW_KEY)], &[]).await;
    let api = Api::of(&server);
    (receiver, server, api)
}

async fn send(server: &Server, receiver: &Receiver) -> String {
    let url = format!("{}/done?token=canary", receiver.url());
    let sent = server.cli(["--json", "send", "-c", "console", "-b", "hi", "--callback-url", &url]).await;
    assert_eq!(sent.code, 0, "{sent:?}");
    sent.json()["id"].as_str().expect("an id").to_owned()
}

/// What a request says happened, and to which notification.
fn said(request: &Received) -> (String, String) {
    let body = request.json();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (text(&body["type"]), text(&body["data"]["notification_id"]))
}

fn ends_of(id: &str) -> Vec<(String, String)> {
    ["delivery.sent", "notification.completed"].map(|kind| (kind.to_owned(), id.to_owned())).to_vec()
}

/// Who gave a URL is told of the end, by genuine requests; nobody is told of other notifications.
#[tokio::test]
async fn a_notification_is_told_of_where_it_says_by_genuine_requests() {
    let (receiver, server, api) = start().await;
    let other = server.cli(["send", "-c", "console", "-b", "nobody is told", "--wait"]).await;
    assert_eq!(other.code, 0, "{other:?}");
    let id = send(&server, &receiver).await;
    let requests = receiver.has_received(2).await;
    assert_eq!(requests.iter().map(said).collect::<Vec<_>>(), ends_of(&id));
    assert!(requests.iter().all(|request| request.uri == "/done?token=canary"));
    for verdict in verdicts(&requests, NEW_KEY, None).await {
        assert_eq!(verdict["verified"]["data"]["notification_id"], id.as_str(), "{verdict}");
    }

    // It is shown without what is in its query, and everything that is called so is one callback.
    let masked = format!("{}/done?***", receiver.url());
    let shown = api.get(&format!("/v1/notifications/{id}")).await.body;
    assert_eq!(shown["callback_url"], masked.as_str(), "{shown}");
    let status = server.cli(["status", &id]).await;
    assert!(status.stdout.contains(&masked) && !status.stdout.contains("canary"), "{status:?}");
    let listed = api.get("/v1/callbacks").await.body;
    let callbacks = listed["callbacks"].as_array().expect("a list");
    assert_eq!(callbacks.len(), 1, "{listed}");
    assert_eq!((&callbacks[0]["name"], &callbacks[0]["state"]), (&json!("callback-url"), &json!("ready")), "{listed}");

    // Of a batch, each has its own.
    let url = format!("{}/batch", receiver.url());
    let one = |url: Option<&str>| json!({ "channels": ["console"], "body": "hi", "callback_url": url });
    let batch = api.post("/v1/notifications/batch", &json!([one(None), one(Some(&url)), one(Some("nowhere"))])).await;
    let results = &batch.body["results"];
    let refused = &results[2]["problem"]["problems"][0];
    assert_eq!(refused["at"], "/callback_url", "{}", batch.body);
    let requests = receiver.has_received(4).await;
    let told: Vec<_> = requests[2..].iter().map(said).collect();
    assert_eq!(told, ends_of(results[1]["id"].as_str().unwrap_or_default()), "{}", batch.body);
    assert_eq!(requests[2].uri, "/batch");
    assert_eq!(server.terminate().await, 0);
}

/// What was accepted before a crash is told after it; who answers 410 hears no more of that notification.
#[tokio::test]
async fn a_call_is_made_after_a_crash_and_none_after_410() {
    let (receiver, mut server, _) = start().await;
    assert_eq!(server.cli(["channels", "pause", "console"]).await.code, 0);
    let first = send(&server, &receiver).await;
    server.crash_and_restart().await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(server.cli(["channels", "resume", "console"]).await.code, 0);
    let requests = receiver.has_received(2).await;
    assert_eq!(requests.iter().map(said).collect::<Vec<_>>(), ends_of(&first));

    receiver.answer_next(Reply::new(410, ""));
    let second = send(&server, &receiver).await;
    Api::of(&server).until_final(&second).await;
    receiver.has_received(3).await;
    let third = send(&server, &receiver).await;
    let requests = receiver.has_received(5).await;
    let told: Vec<_> = requests[2..].iter().map(said).collect();
    assert_eq!(told, [vec![("delivery.sent".to_owned(), second)], ends_of(&third)].concat());
    assert_eq!(server.terminate().await, 0);
}

/// Everything that cannot be called is refused before anything is accepted, at its place and with what to do.
#[tokio::test]
async fn what_cannot_be_called_is_refused_with_the_line_to_write() {
    let server = Server::start("").await;
    let refusal = async |server: &Server, url: &str| {
        let body = json!({ "channels": ["console"], "body": "hi", "callback_url": url });
        let answer = Api::of(server).post("/v1/notifications", &body).await;
        assert_eq!(
            (answer.status, &answer.body["problems"][0]["at"]),
            (422, &json!("/callback_url")),
            "{}",
            answer.body
        );
        assert!(!answer.body.to_string().contains("canary"), "{}", answer.body);
        answer.body["problems"][0].clone()
    };
    let off = refusal(&server, "https://hooks.example.com/?canary").await;
    assert_eq!(off["code"], "callbacks-off");
    assert!(
        off["hint"].as_str().is_some_and(|hint| hint.contains("`secret = \"env:NAME\"` under `[callbacks]`")),
        "{off}"
    );

    // A reload is enough to have them called.
    server.put("key", NEW_KEY);
    server.put("campanile.toml", "[callbacks]\nsecret = \"file:key\"\n");
    let reloaded = server.cli(["reload"]).await;
    assert_eq!(reloaded.code, 0, "{reloaded:?}");
    let private = refusal(&server, "https://10.1.2.3/?canary").await;
    assert_eq!(
        (&private["code"], &private["hint"]),
        (&json!("bad-value"), &json!("write `allow_networks = [\"10.1.2.3/32\"]` under `[callbacks]` to allow it")),
        "{private}"
    );
    for (url, code) in [
        ("http://hooks.example.com/canary", "bad-value"),
        ("gopher://canary", "bad-value"),
        ("https://canary@hooks.example.com", "bad-value"),
        ("https://hooks.example.com:0/canary", "bad-value"),
        (&format!("https://hooks.example.com/canary/{}", "a".repeat(2_048)), "too-long"),
    ] {
        assert_eq!(refusal(&server, url).await["code"], code, "{url}");
    }
    assert_eq!(server.terminate().await, 0);
}

/// A closure with the name of a webhook would go on from its place, so neither takes the name of the other.
#[tokio::test]
async fn a_closure_and_a_webhook_do_not_share_a_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let key = dir.path().join("key");
    std::fs::write(&key, NEW_KEY).expect("a file");
    let webhook = |name: &str| WebhookConfig {
        secrets: vec![SecretRef::File(key.clone())],
        ..WebhookConfig::new(name.parse().expect("a name"), "https://hooks.example.com/in")
    };
    let mut config = Config::default();
    config.store.durability = Durability::Memory;
    config.plugins.dir = dir.path().join("plugins-enabled");
    config.plugins.bundled_dir = plugin("null").parent().map(std::path::Path::to_owned);
    config.plugins.cache_dir = dir.path().join("cache");
    config.plugins.watch = false;
    config.templates.dir = dir.path().join("templates");
    config.webhooks = vec![webhook("crm")];
    let runtime = Runtime::builder().config(config.clone()).build().await.expect("it starts");
    let named = |name: &str| Registration::completion(|_| {}).named(name.parse().expect("a name"));
    let error = runtime.callbacks().register(named("crm")).await.expect_err("the webhook has it");
    assert!(matches!(error, CallbackError::NameOfWebhook { .. }), "{error}");
    assert!(error.to_string().contains("`name = \"crm\"`"), "{error}");
    let error = runtime.callbacks().register(named("callback-url")).await.expect_err("nobody may have it");
    assert!(matches!(error, CallbackError::NameReserved { .. }), "{error}");
    runtime.callbacks().register(named("billing")).await.expect("nobody has it");

    let mut other = config.clone();
    other.webhooks.push(webhook("billing"));
    let Err(ReloadError::Config { problems, .. }) = runtime.reload(other).await else { panic!("it is taken") };
    let said = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(said.contains("is `billing`, the name of a callback that the program has registered"), "{said}");

    // The same program has its own calls made, by its builder.
    let url = "https://hooks.example.com/done";
    let asked = Notification::new().channel("null").body("ding").callback_url(url);
    let refused = runtime.notify(asked).await.expect_err("there is no key");
    assert!(refused.to_string().contains("callback_url"), "{refused}");
    runtime.shutdown(std::time::Duration::from_secs(10)).await.expect("nothing is in flight");
}
