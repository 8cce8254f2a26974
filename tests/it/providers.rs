//! Four providers, three of them in trouble: what the healthy one is owed arrives, and in the end everything does.

use std::collections::HashMap;
use std::time::Duration;

use campanile_tests::{Receiver, Reply, Server};
use serde_json::json;

use crate::api::Api;
use crate::outstanding::until_scraped;

/// Notifications for each channel.
const EACH: usize = 150;

/// How long something may take to be seen.
const LIMIT: Duration = Duration::from_secs(60);

/// Trouble before a breaker opens, and probes that fail after it.
const FAILURES: usize = 5 + 2;

fn config(providers: [(&str, &Receiver, &str); 4]) -> String {
    let breaker = "[breaker]\nopen_for = \"100ms\"\nopen_max = \"200ms\"\n";
    let retry = "[retry.soon]\nstrategy = \"fixed\"\ninitial = \"100ms\"\nmax_retries = 1000\n";
    let channel = |(name, receiver, more): (&str, &Receiver, &str)| {
        format!(
            "[channels.{name}]\nplugin = \"webhook\"\nconfig = {{ url = \"{}\" }}\nretry = \"soon\"\n\
             allow_networks = [\"127.0.0.1/32\"]\n{more}\n",
            receiver.url()
        )
    };
    format!("{breaker}{retry}{}", providers.map(channel).concat())
}

async fn send(api: &Api, channel: &str) {
    let items: Vec<_> = (0..EACH).map(|number| json!({ "channels": [channel], "body": format!("{number}") })).collect();
    let accepted = api.post("/v1/notifications/batch", &json!(items)).await;
    assert!((200..300).contains(&accepted.status), "{}", accepted.body);
}

/// How often each delivery came.
async fn arrivals(receiver: &Receiver, requests: usize) -> HashMap<String, usize> {
    let received = tokio::time::timeout(LIMIT, receiver.has_received(requests)).await.expect("all of them come");
    let mut arrivals = HashMap::new();
    for request in received {
        *arrivals.entry(request.header("webhook-id").to_owned()).or_default() += 1;
    }
    arrivals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trouble_of_three_providers_is_not_that_of_the_fourth() {
    let healthy = Receiver::start(vec![], Reply::new(204, "")).await;
    let hangs = Receiver::closed(Reply::new(204, "")).await;
    let fails = Receiver::start(vec![Reply::new(500, "down"); FAILURES], Reply::new(204, "")).await;
    let patient = Reply::new(429, "slow down").header("retry-after", "1");
    let limits = Receiver::start(vec![patient], Reply::new(204, "")).await;
    let server = Server::start(&config([
        ("hangs", &hangs, "timeout = \"1s\""),
        ("fails", &fails, ""),
        ("limits", &limits, ""),
        ("healthy", &healthy, ""),
    ]))
    .await;
    let api = Api::of(&server);
    for channel in ["hangs", "fails", "limits", "healthy"] {
        send(&api, channel).await;
    }

    let came = arrivals(&healthy, EACH).await;
    assert_eq!((came.len(), healthy.count()), (EACH, EACH), "each of them once, while another provider answers nobody");

    let came = arrivals(&fails, EACH + FAILURES).await;
    assert_eq!(came.len(), EACH);
    assert_eq!(fails.count(), EACH + FAILURES, "what failed, and then each of them once");

    let came = arrivals(&limits, EACH + 1).await;
    assert_eq!((came.len(), limits.count()), (EACH, EACH + 1), "one is told to wait, and none of the others has to be");

    hangs.open();
    let sent = format!("campanile_deliveries_total{{channel=\"hangs\",outcome=\"sent\"}} {EACH}");
    until_scraped(&api, &sent).await;
    until_scraped(&api, "campanile_dead_letters 0").await;
}
