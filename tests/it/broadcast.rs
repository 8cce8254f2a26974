//! One call, many recipients.

use std::collections::BTreeSet;
use std::future::{Future as _, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use campanile::clock::{Clock as _, ManualClock};
use campanile::config::Source;
use campanile::domain::Timestamp;
use campanile::{Notification, Runtime};
use campanile_tests::{Receiver, Reply, Server, plugin};
use serde_json::{Value, json};

use crate::api::Api;

const MANY: usize = 10_000;

fn config(receiver: &Receiver) -> String {
    let networks = "allow_networks = [\"127.0.0.1/32\"]";
    let url = receiver.url();
    format!(
        "[channels.bell]\nplugin = \"sample\"\nconfig = {{ url = \"{url}/bell\" }}\n\
         secrets = {{ key = \"file:key\" }}\nrate_limit = \"10000/s\"\n{networks}\n\
         [channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{url}/in\" }}\n{networks}\n"
    )
}

/// An address that is letters alone.
fn reader(n: usize) -> String {
    n.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
}

/// Ten thousand recipients are accepted in one call, made in slices through a crash, and each is told once; who is
/// sent something meanwhile does not wait for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_recipients_are_told_once_through_a_crash_and_hold_nobody_up() {
    let receiver = Receiver::start(vec![], Reply::new(200, "")).await;
    let mut server = Server::start_with(&config(&receiver), &[("key", "0123456789abcdef0123456789abcdef")], &[]).await;
    let to: Vec<Value> = (0..MANY).map(|n| json!(reader(n))).collect();
    let body =
        json!({ "channels": ["bell"], "to": to, "title": "sent", "body": "news", "idempotency_key": "issue-12" });
    let accepted = Api::of(&server).post("/v1/notifications", &body).await;
    assert_eq!((accepted.status, &accepted.body["delivery_count"]), (202, &json!(MANY)), "{}", accepted.body);
    assert_eq!(accepted.body["deliveries"], json!([]));
    let id = accepted.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(accepted.body["deliveries_url"], json!(format!("/v1/notifications/{id}/deliveries")));

    let beside =
        Api::of(&server).post("/v1/notifications?wait=60s", &json!({ "channels": ["hook"], "body": "now" })).await;
    assert_eq!(beside.body["status"], "sent", "{}", beside.body);
    server.crash_and_restart().await;

    let api = Api::of(&server);
    let again = api.post("/v1/notifications", &body).await;
    assert_eq!((&again.body["id"], &again.body["delivery_count"]), (&json!(id), &json!(MANY)));
    let record = api.get(&format!("/v1/notifications/{id}?wait=60s")).await;
    assert_eq!(record.body["status"], "sent", "{}", record.body["status"]);
    let mut told = BTreeSet::new();
    let mut from = 0;
    loop {
        let page = api.get(&format!("/v1/notifications/{id}/deliveries?from={from}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let deliveries = page.body["deliveries"].as_array().expect("deliveries");
        told.extend(deliveries.iter().map(|one| one["recipient"].as_str().expect("an address").to_owned()));
        assert_eq!(page.body["complete"], true, "there is nothing to be made any more");
        match page.body["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(told.len(), MANY);
    assert_eq!(record.body["counts"], json!({ "open": 0, "sent": MANY, "failed": 0, "cancelled": 0 }));
    let listed = server.cli(["list", "--status", "sent", "--limit", "2"]).await;
    assert!(listed.stdout.lines().any(|line| line.contains(&format!(" {MANY} "))), "{listed:?}");
    let shown = server.cli(["status", &id]).await;
    let more = format!("{MANY}: {MANY} sent; the first 1000 are shown, more: campanile status {id} --from 1000");
    assert!(shown.stdout.contains(&more), "{}", &shown.stdout[..400]);
    let rest = server.cli(["status", &id, "--from", "9000"]).await;
    assert_eq!((rest.code, rest.stdout.contains(&id.replace("ntf", "dlv"))), (0, true), "{}", rest.stderr);
    assert_eq!(rest.stdout.lines().filter(|line| line.starts_with("dlv_")).count(), 1_000);
    assert_eq!(server.terminate().await, 0);
}

/// A cancel that was begun is carried through, slice after slice, also where whoever asked for it does not wait.
#[tokio::test]
async fn a_cancel_of_thousands_outlives_whoever_asked_for_it() {
    const SLICES: u32 = 3;
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(dir.path().join("bundled")).expect("a folder");
    std::fs::copy(plugin("sample"), dir.path().join("bundled/sample.wasm")).expect("it was built");
    std::fs::write(dir.path().join("key"), "0123456789abcdef0123456789abcdef").expect("a file");
    let at = |name: &str| dir.path().join(name).display().to_string();
    let text = format!(
        "[store]\nurl = \"sqlite://{}\"\n[plugins]\ndir = \"{}\"\nbundled_dir = \"{}\"\ncache_dir = \"{}\"\n\
         [channels.bell]\nplugin = \"sample\"\nconfig = {{ url = \"http://127.0.0.1:9/bell\" }}\n\
         secrets = {{ key = \"file:{}\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        at("campanile.db"),
        at("enabled"),
        at("bundled"),
        at("cache"),
        at("key")
    );
    let config = Source::new().text("campanile.toml", text).load().expect("it is good").config;
    let clock = ManualClock::at(Timestamp::from_millis(1_800_000_000_000));
    let runtime = Runtime::builder().config(config).clock(Arc::new(clock.clone())).build().await.expect("it starts");

    let count = SLICES * 1_000;
    let first =
        Notification::new().channel("bell").body("news").scheduled_at(clock.now().after(Duration::from_secs(3_600)));
    let to_all = (0..count as usize).fold(first, |notification, n| notification.and_to(reader(n)));
    let id = runtime.notify(to_all).await.expect("it is taken").id();
    while runtime.deliveries(id, count - 1, 1).await.expect("it is read").is_empty() {
        tokio::task::yield_now().await;
    }
    let mut asked = Box::pin(runtime.cancel(id));
    let is_under_way = poll_fn(|context| Poll::Ready(asked.as_mut().poll(context).is_pending())).await;
    assert!(is_under_way);
    drop(asked);

    let record = runtime.wait(id, Duration::from_secs(60)).await.expect("it is read").expect("it was accepted");
    assert_eq!((record.counts.cancelled, record.counts.open), (count, 0));
    let depth = "campanile_queue_depth{priority=\"normal\"} 0";
    assert!(runtime.metrics_text().contains(depth), "nothing waits for the hour that they were due at");
    runtime.shutdown(Duration::ZERO).await.expect("nothing is in flight");
}

/// Of what is cancelled before it is made no record is kept, and how many there were is told; each of the others has one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_cancel_keeps_of_a_large_notification_is_told() {
    let receiver = Receiver::closed(Reply::new(200, "")).await;
    let server = Server::start_with(&config(&receiver), &[("key", "0123456789abcdef0123456789abcdef")], &[]).await;
    let api = Api::of(&server);
    let to: Vec<Value> = (0..MANY).map(|n| json!(reader(n))).collect();
    let body = json!({ "channels": ["bell"], "to": to, "title": "wrong", "body": "news" });
    let accepted = api.post("/v1/notifications", &body).await;
    let id = accepted.body["id"].as_str().expect("an id").to_owned();
    let cancelled = api.post(&format!("/v1/notifications/{id}/cancel"), &json!({})).await;
    assert!(matches!(cancelled.status, 200 | 202), "{}", cancelled.body);
    receiver.open();
    let record = api.until_final(&id).await;
    assert_eq!(record["delivery_count"], MANY);
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let never_made = number(&record["never_made"]);
    assert!(never_made <= number(&record["counts"]["cancelled"]), "{}", record["counts"]);
    let (mut kept, mut from) = (0, 0);
    loop {
        let page = api.get(&format!("/v1/notifications/{id}/deliveries?from={from}&limit=1000")).await.body;
        assert_eq!(page["complete"], true, "there is nothing to be made any more");
        kept += page["deliveries"].as_array().map_or(0, Vec::len) as u64;
        match page["next"].as_u64() {
            Some(next) => from = next,
            None => break,
        }
    }
    assert_eq!(kept + never_made, MANY as u64);
    if never_made > 0 {
        let shown = server.cli(["status", &id]).await;
        assert!(shown.stdout.contains(&format!("{never_made} were cancelled before they were made")), "{shown:?}");
    }
}
