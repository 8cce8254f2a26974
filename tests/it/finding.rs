//! What was accepted is found again, cancelled, and tried again where it failed for good.

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;

/// A server whose channel `hook` posts to `receiver`.
async fn hook(receiver: &Receiver) -> Server {
    let config = format!(
        r#"
        [channels.hook]
        plugin = "webhook"
        config = {{ url = "{}/in" }}
        allow_networks = ["127.0.0.1/32"]
        "#,
        receiver.url()
    );
    Server::start(&config).await
}

/// Sends and waits until all is final; the record of it.
async fn settled(api: &Api, notification: &Value) -> Value {
    let accepted = api.post("/v1/notifications", notification).await;
    assert_eq!(accepted.status, 202, "{}", accepted.body);
    api.until_final(accepted.body["id"].as_str().expect("an id")).await
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The correlation ids of a page.
fn named(page: &Value) -> Vec<&str> {
    let list = page["notifications"].as_array().unwrap_or_else(|| panic!("no list: {page}"));
    list.iter().map(|one| text(&one["correlation_id"])).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notifications_are_listed_by_filter_and_page_by_page_also_after_a_restart() {
    let mut server = Server::start("").await;
    let api = Api::of(&server);
    for (id, kind) in [("a", "info"), ("b", "warning"), ("c", "warning"), ("d", "warning"), ("e", "info")] {
        settled(&api, &json!({ "channels": ["null"], "body": "x", "kind": kind, "correlation_id": id })).await;
    }
    let all = api.get("/v1/notifications").await;
    assert_eq!((all.status, &all.body["next_cursor"]), (200, &Value::Null));
    assert_eq!(named(&all.body), ["e", "d", "c", "b", "a"], "the newest first");
    let one = api.get("/v1/notifications?correlation_id=c&status=sent&channel=null").await;
    assert_eq!(named(&one.body), ["c"]);
    let delivery = &one.body["notifications"][0]["deliveries"][0];
    assert_eq!(delivery["attempts"][0]["outcome"], "sent", "attempts are inside");
    let alone = api.get(&format!("/v1/deliveries/{}", text(&delivery["id"]))).await;
    assert_eq!(alone.body["notification_id"], one.body["notifications"][0]["id"]);
    assert_eq!(alone.body["attempts"], delivery["attempts"]);
    assert_eq!(api.get("/v1/deliveries/dlv_0000000000007000800000000000000f_0").await.status, 404);

    let first = api.get("/v1/notifications?kind=warning&limit=2").await;
    assert_eq!(named(&first.body), ["d", "c"]);
    let cursor = text(&first.body["next_cursor"]).to_owned();
    server.crash_and_restart().await;
    let api = Api::of(&server);
    let second = api.get(&format!("/v1/notifications?limit=2&cursor={cursor}&kind=warning")).await;
    assert_eq!(named(&second.body), ["b"]);

    let other = api.get(&format!("/v1/notifications?kind=info&cursor={cursor}")).await;
    assert_eq!((other.status, &other.body["code"]), (400, &json!("invalid-query")));
    assert!(text(&other.body["problems"][0]["message"]).contains("other filters"), "{}", other.body);
    let foreign = api.get(&format!("/v1/dead-letters?cursor={cursor}")).await;
    assert!(text(&foreign.body["problems"][0]["message"]).contains("another list"), "{}", foreign.body);
    let wrong = api.get("/v1/notifications?stauts=failed&limit=0&priority=urgent").await;
    assert_eq!((wrong.status, wrong.body["problems"].as_array().map(Vec::len)), (400, Some(3)));
    assert_eq!(wrong.body["problems"][2]["hint"], "did you mean `status`?");

    let listed = server.cli(["list", "--kind", "warning", "--since", "1h", "--limit", "2"]).await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (0, 3), "{listed:?}");
    let next = listed.stderr.strip_prefix("there is more: campanile ").expect("the next command");
    let rest = server.cli(next.split_whitespace()).await;
    assert_eq!((rest.code, rest.stdout.lines().count(), &*rest.stderr), (0, 2, ""), "{rest:?}");
    let none = server.cli(["--json", "list", "--status", "failed"]).await;
    assert_eq!((none.code, &none.json()["notifications"]), (3, &json!([])), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_scheduled_is_cancelled_once_and_what_is_in_flight_is_told() {
    let receiver = Receiver::closed(Reply::new(200, "")).await;
    let server = hook(&receiver).await;
    let api = Api::of(&server);
    let tomorrow = server.cli(["--json", "send", "-c", "hook", "-b", "x", "--at", "24h"]).await.json();
    let id = text(&tomorrow["id"]);
    let cancel = format!("/v1/notifications/{id}/cancel");
    let done = api.post(&cancel, &json!({})).await;
    assert_eq!((done.status, &done.body), (200, &json!({ "cancelled": 1, "in_flight": 0 })));
    assert_eq!(api.until_final(id).await["status"], "cancelled");
    let again = api.post(&cancel, &json!({})).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("already-final")));
    assert_eq!(server.cli(["cancel", id]).await.code, 1);
    let unknown = "ntf_0000000000007000800000000000000f";
    assert_eq!(api.post(&format!("/v1/notifications/{unknown}/cancel"), &json!({})).await.status, 404);
    assert_eq!(server.cli(["cancel", unknown]).await.code, 3);

    let leaving = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": "x" })).await;
    receiver.has_received(1).await;
    let id = text(&leaving.body["id"]);
    let under_way = api.post(&format!("/v1/notifications/{id}/cancel"), &json!({})).await;
    assert_eq!((under_way.status, &under_way.body), (202, &json!({ "cancelled": 0, "in_flight": 1 })));
    let record = api.get(&format!("/v1/notifications/{id}")).await.body;
    assert_eq!(record["deliveries"][0]["in_flight"], true, "{record}");
    assert_eq!(record["deliveries"][0]["cancelling"], true, "{record}");
    let shown = server.cli(["status", id]).await;
    assert!(shown.stdout.contains("in flight, and cancelled unless this attempt sends it"), "{shown:?}");
    receiver.open();
    let record = api.until_final(id).await;
    assert_eq!(record["status"], "sent", "that attempt sent it");
    assert_eq!(record["deliveries"][0]["in_flight"], Value::Null, "{record}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_delivery_is_cancelled_while_its_sibling_goes_on() {
    let receiver = Receiver::closed(Reply::new(200, "")).await;
    let server = hook(&receiver).await;
    let api = Api::of(&server);
    let sent = server.cli(["--json", "send", "-c", "hook", "-c", "null", "-b", "x", "--at", "24h"]).await.json();
    let (id, first, second) =
        (text(&sent["id"]), text(&sent["deliveries"][0]["id"]), text(&sent["deliveries"][1]["id"]));
    let cancel = format!("/v1/deliveries/{first}/cancel");
    let done = api.post(&cancel, &json!({})).await;
    assert_eq!((done.status, &done.body), (200, &json!({ "cancelled": 1, "in_flight": 0 })));
    let record = api.get(&format!("/v1/notifications/{id}")).await.body;
    let states: Vec<_> = record["deliveries"].as_array().expect("a list").iter().map(|one| &one["status"]).collect();
    assert_eq!((states, &record["status"]), (vec![&json!("cancelled"), &json!("pending")], &json!("pending")));
    let again = api.post(&cancel, &json!({})).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("already-final")));
    assert!(text(&again.body["detail"]).starts_with("this delivery is final"), "{}", again.body);

    let by_hand = server.cli(["cancel", second]).await;
    assert_eq!((by_hand.code, &*by_hand.stdout), (0, "1 delivery cancelled\n"), "{by_hand:?}");
    assert_eq!(api.until_final(id).await["status"], "cancelled");
    assert_eq!(server.cli(["cancel", second]).await.code, 1);
    let unknown = format!("{id}_9").replacen("ntf", "dlv", 1);
    assert_eq!(api.post(&format!("/v1/deliveries/{unknown}/cancel"), &json!({})).await.status, 404);
    assert_eq!(server.cli(["cancel", &unknown]).await.code, 3);

    let leaving = api.post("/v1/notifications", &json!({ "channels": ["hook"], "body": "x" })).await;
    receiver.has_received(1).await;
    let delivery = text(&leaving.body["deliveries"][0]["id"]);
    let under_way = api.post(&format!("/v1/deliveries/{delivery}/cancel"), &json!({})).await;
    assert_eq!((under_way.status, &under_way.body), (202, &json!({ "cancelled": 0, "in_flight": 1 })));
    receiver.open();
    assert_eq!(api.until_final(text(&leaving.body["id"])).await["status"], "sent", "that attempt sent it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_for_good_is_replayed_once_its_receiver_is_mended() {
    let receiver = Receiver::start(vec![Reply::new(404, "no such hook")], Reply::new(200, "")).await;
    let server = hook(&receiver).await;
    let api = Api::of(&server);
    let failed = settled(&api, &json!({ "channels": ["hook"], "body": "paid" })).await;
    assert_eq!(failed["status"], "failed", "{failed}");
    let delivery = text(&failed["deliveries"][0]["id"]);
    let dead = api.get("/v1/dead-letters?channel=hook").await;
    assert_eq!(dead.body["dead_letters"][0]["id"], delivery, "{}", dead.body);
    assert_eq!(dead.body["dead_letters"][0]["notification_id"], failed["id"]);
    let shown = server.cli(["dead-letters", "show", delivery]).await;
    assert!(shown.code == 0 && shown.stdout.contains("404"), "{shown:?}");

    let replayed = server.cli(["replay", delivery]).await;
    assert_eq!((replayed.code, &*replayed.stdout), (0, "1 delivery replayed\n"), "{replayed:?}");
    let record = api.until_final(text(&failed["id"])).await;
    assert_eq!(record["status"], "sent", "{record}");
    assert_eq!(record["deliveries"][0]["attempts"].as_array().map(Vec::len), Some(2));
    let ids: Vec<String> = receiver.received().iter().map(|request| request.header("webhook-id").to_owned()).collect();
    assert_eq!(ids, [delivery, delivery], "a receiver can tell that it is the same");

    assert_eq!(api.get("/v1/dead-letters").await.body["dead_letters"], json!([]));
    let again = api.post(&format!("/v1/deliveries/{delivery}/replay"), &json!({})).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("not-failed")));
    let again = api.post(&format!("/v1/notifications/{}/replay", text(&failed["id"])), &json!({})).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("not-failed")));
    assert_eq!(server.cli(["dead-letters", "show", delivery]).await.code, 3);
    assert_eq!(server.cli(["dead-letters", "list"]).await.code, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_replayed_and_purged_by_filter_and_all_of_them_only_where_that_is_said() {
    let receiver = Receiver::start(vec![], Reply::new(404, "no such hook")).await;
    let server = hook(&receiver).await;
    let api = Api::of(&server);
    let mut ids = Vec::new();
    for priority in ["high", "low", "low"] {
        let failed = settled(&api, &json!({ "channels": ["hook"], "body": "x", "priority": priority })).await;
        ids.push(text(&failed["id"]).to_owned());
    }
    let unsaid = api.post("/v1/dead-letters/replay", &json!({ "rate": "50/s" })).await;
    assert_eq!((unsaid.status, &unsaid.body["problems"][0]["at"]), (400, &json!("/all")));
    assert!(text(&unsaid.body["problems"][0]["hint"]).contains("\"all\": true"), "{}", unsaid.body);
    let unsaid = api.delete("/v1/dead-letters").await;
    assert!(text(&unsaid.body["problems"][0]["hint"]).contains("?all=true"), "{}", unsaid.body);
    assert_eq!(server.cli(["replay"]).await.code, 2);
    assert_eq!(server.cli(["dead-letters", "purge"]).await.code, 2);

    for _ in 0..2 {
        receiver.answer_next(Reply::new(200, ""));
    }
    let replayed = api.post("/v1/dead-letters/replay", &json!({ "priority": "low", "rate": "100/s" })).await;
    assert_eq!((replayed.status, &replayed.body), (200, &json!({ "replayed": 2, "expired": 0, "takes_ms": 10 })));
    for id in &ids[1..] {
        assert_eq!(api.until_final(id).await["status"], "sent");
    }
    let none = server.cli(["replay", "--priority", "low"]).await;
    assert_eq!(none.code, 3, "{none:?}");
    let purged = server.cli(["--json", "dead-letters", "purge", "--all"]).await;
    assert_eq!((purged.code, purged.json()), (0, json!({ "purged": 1 })), "{purged:?}");
    assert_eq!(api.delete("/v1/dead-letters?priority=high").await.body, json!({ "purged": 0 }));
    assert_eq!(api.until_final(&ids[0]).await["status"], "failed", "its delivery stays failed");
}
