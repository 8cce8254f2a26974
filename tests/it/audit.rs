//! Who did what, as an operator looks it up.

use campanile_tests::{Receiver, Reply, Server};
use serde_json::{Value, json};

use crate::api::Api;

/// Each entry as `actor action target outcome`.
fn told(page: &Value) -> Vec<String> {
    let entries = page["entries"].as_array().unwrap_or_else(|| panic!("no list: {page}"));
    let words = ["actor", "action", "target", "outcome"];
    let line = |entry: &Value| words.map(|word| entry[word].as_str().unwrap_or("-").to_owned()).join(" ");
    entries.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_submitted_cancelled_replayed_and_purged_is_looked_up_after_a_crash_too() {
    let receiver = Receiver::start(vec![], Reply::new(404, "no such hook")).await;
    let config = format!(
        "[channels.hook]\nplugin = \"webhook\"\nconfig = {{ url = \"{}/in\" }}\nallow_networks = [\"127.0.0.1/32\"]\n",
        receiver.url()
    );
    let mut server = Server::start(&config).await;
    let api = Api::of(&server);
    let secret = json!({ "channels": ["hook"], "title": "hush", "body": "the code is 4711" });
    let failed = api.post("/v1/notifications", &secret).await;
    let failed = failed.body["id"].as_str().expect("an id").to_owned();
    assert_eq!(api.until_final(&failed).await["status"], "failed");
    let delivery = format!("{failed}_0").replacen("ntf", "dlv", 1);
    assert_eq!(server.cli(["replay", &delivery]).await.code, 0);
    assert_eq!(api.until_final(&failed).await["status"], "failed");
    let purged = api.delete("/v1/dead-letters?channel=hook").await;
    assert_eq!(purged.body, json!({ "purged": 1 }));
    let later = server.cli(["--json", "send", "-c", "hook", "-b", "x", "--at", "24h"]).await.json();
    let later = later["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.cli(["cancel", &later]).await.code, 0);
    assert_eq!(api.post(&format!("/v1/notifications/{later}/cancel"), &json!({})).await.status, 409);

    server.crash_and_restart().await;
    let api = Api::of(&server);
    let of_first = api.get(&format!("/v1/audit?target={failed}")).await;
    let expected = [
        format!("api purge {delivery} done"),
        format!("cli replay {delivery} done"),
        format!("api submit {failed} done"),
    ];
    assert_eq!((of_first.status, told(&of_first.body)), (200, expected.to_vec()), "{}", of_first.body);
    let text = of_first.body.to_string();
    assert!(!text.contains("4711") && !text.contains("hush"), "no content: {text}");
    let of_second = api.get(&format!("/v1/audit?target={later}")).await;
    let expected =
        [format!("api cancel {later} refused"), format!("cli cancel {later} done"), format!("cli submit {later} done")];
    assert_eq!(told(&of_second.body), expected);
    assert_eq!(of_second.body["entries"][1]["details"], json!({ "deliveries": 1, "in_flight": 0 }));
    let starts = api.get("/v1/audit?action=config").await;
    assert_eq!(told(&starts.body), ["host config - done"; 2], "one for each start");
    let entries = &starts.body["entries"];
    assert_eq!(entries[0]["details"], entries[1]["details"], "nothing was changed between them");

    let listed = server.cli(["audit", "--action", "submit", "--limit", "1"]).await;
    assert_eq!((listed.code, listed.stdout.lines().count()), (0, 2), "{listed:?}");
    let next = listed.stderr.strip_prefix("there is more: campanile ").expect("the next command");
    let rest = server.cli(next.split_whitespace()).await;
    assert!(rest.code == 0 && rest.stdout.contains(&failed), "{rest:?}");
    let none = server.cli(["--json", "audit", "--action", "submit", "--until", "1h"]).await;
    assert_eq!((none.code, &none.json()["entries"]), (3, &json!([])), "{none:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_the_log_go_on_and_a_question_that_is_wrong_says_why() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let batch: Vec<Value> = (0..10).map(|n| json!({ "channels": ["null"], "body": n.to_string() })).collect();
    let accepted = api.post("/v1/notifications/batch", &Value::Array(batch)).await;
    let mut ids: Vec<_> =
        accepted.body["results"].as_array().expect("a list").iter().map(|one| one["id"].clone()).collect();
    ids.reverse();
    let (mut cursor, mut found) = (String::new(), Vec::new());
    loop {
        let page = api.get(&format!("/v1/audit?action=submit&limit=4{cursor}")).await.body;
        found.extend(page["entries"].as_array().expect("a list").iter().map(|entry| entry["target"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(found, ids, "the newest first");
    let other = api.get(&format!("/v1/audit?action=cancel{cursor}")).await;
    assert!(
        other.body["problems"][0]["message"].as_str().is_some_and(|text| text.contains("other filters")),
        "{other:?}"
    );
    let wrong = api.get("/v1/audit?action=remove&actor=api").await;
    assert_eq!((wrong.status, wrong.body["problems"].as_array().map(Vec::len)), (400, Some(2)), "{}", wrong.body);
    assert_eq!(server.cli(["audit", "--action", "remove"]).await.code, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_to_plugins_is_in_the_log() {
    let server = Server::start("").await;
    let api = Api::of(&server);
    let sent = api.post("/v1/notifications", &json!({ "channels": ["null"], "body": "x" })).await;
    api.until_final(sent.body["id"].as_str().expect("an id")).await;
    let loaded = api.get("/v1/audit?action=plugin.loaded&target=null").await;
    assert_eq!(told(&loaded.body), ["host plugin.loaded null done"], "{}", loaded.body);
    assert!(loaded.body["entries"][0]["details"]["sha256"].is_string(), "{}", loaded.body);
    assert_eq!(server.cli(["plugins", "release", "null"]).await.code, 1, "it serves");
    let refused = api.get("/v1/audit?target=null").await;
    assert_eq!(told(&refused.body)[0], "cli plugin.released null refused", "{}", refused.body);
}
