//! `callback_url`: who is called, and who is not.

use std::sync::Arc;
use std::time::Duration;

use super::super::{Prepared, UrlTeller, Webhooks, open_urls};
use super::queues::{ok, signature};
use super::rig::{Got, KEY, OTHER_KEY, Receiver, Reply, Rig, START, come, name, until};
use crate::clock::Clock as _;
use crate::config::CallbackUrlConfig;
use crate::domain::{
    Actor, CallbackUrl, ChannelName, Content, Notification, NotificationId, Priority, Recipient, RetryPolicy, Timestamp,
};
use crate::store::{Planned, PlannedDelivery};

const STOP: Duration = Duration::from_secs(10);
const NAME: &str = "callback-url";

impl Rig {
    /// Signed with one key, and of everything.
    fn urls(&self) -> CallbackUrlConfig {
        CallbackUrlConfig {
            secrets: vec![self.key("urls", KEY)],
            events: vec!["*".parse().expect("a pattern")],
            allow_networks: vec!["127.0.0.1/32".to_owned()],
        }
    }

    fn prepare_urls(&self, config: &CallbackUrlConfig) -> Prepared {
        let reach = open_urls(config, &self.way()).expect("good keys").expect("there is one");
        // Three attempts: at once, after 5 s and after 30 s more.
        let policy = |_: &str| {
            let named = RetryPolicy::named().into_iter().find(|(known, _)| *known == "webhook");
            named.map(|(_, policy)| policy).expect("a policy")
        };
        UrlTeller { reach, feeds: self.feeds(), store: Arc::clone(&self.store) }.prepare(config, policy)
    }

    async fn start_urls(&self, config: &CallbackUrlConfig) -> Webhooks {
        self.start_prepared(vec![self.prepare_urls(config)]).await
    }

    /// Accepts a notification, which is an event.
    async fn accept(&self, number: u8, url: Option<&str>) {
        let notification = Notification {
            id: NotificationId::from_bytes([number; 16]),
            kind: "info".to_owned(),
            priority: Priority::Normal,
            content: Arc::new(Content { text: "hi".to_owned(), ..Content::default() }),
            actions: Vec::new(),
            template: None,
            data: None,
            metadata: Vec::new(),
            correlation_id: None,
            group_key: None,
            created_at: self.clock.now(),
            scheduled_at: None,
            expires_at: None,
        };
        let channel = ChannelName::new("mail").expect("a name");
        let delivery = PlannedDelivery::new(channel, Recipient::default(), self.clock.now());
        let callback_url = url.map(|url| CallbackUrl::new(url).expect("a URL"));
        let planned = Planned { callback_url, ..Planned::new(Arc::new(notification), vec![delivery]) };
        self.store.accept(vec![planned]).await.expect("a store");
    }
}

/// The notifications of requests, by the number in their id.
fn notifications(all: &[Got]) -> Vec<String> {
    let of = |got: &Got| {
        let body: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
        body["data"]["notification_id"].as_str().expect("an id")[4..6].to_owned()
    };
    all.iter().map(of).collect()
}

#[tokio::test]
async fn each_notification_is_told_of_where_it_says_and_nobody_hears_of_the_others() {
    let (rig, one, other) = (Rig::new(), Receiver::start(ok).await, Receiver::start(ok).await);
    let config = CallbackUrlConfig { secrets: vec![rig.key("new", KEY), rig.key("old", OTHER_KEY)], ..rig.urls() };
    let webhooks = rig.start_urls(&config).await;
    rig.accept(1, Some(&one.url)).await;
    rig.accept(2, None).await;
    rig.accept(3, Some(&other.url)).await;
    rig.tell(&[1, 2, 0, 3]).await;
    let got = one.has(2).await;
    other.has(2).await;
    until(&webhooks, NAME, |standing| (standing.cursor, standing.in_flight) == (7, 0)).await;
    assert_eq!((one.numbers(), other.numbers()), (vec![1, 4], vec![3, 7]));
    assert_eq!(
        (notifications(&one.got()), notifications(&other.got())),
        (vec!["01".to_owned(); 2], vec!["03".into(); 2])
    );
    assert_eq!(got[0].headers["webhook-id"], "00c0ffee00c0ffee-1-callback-url");
    let signatures = format!("{} {}", signature(&got[0], KEY), signature(&got[0], OTHER_KEY));
    assert_eq!(got[0].headers["webhook-signature"], signatures);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn what_is_owed_outlives_a_restart_and_is_given_up_to_be_replayed() {
    let (rig, receiver) = (Rig::new(), Receiver::start(|_| Reply::Status(500)).await);
    let config = rig.urls();
    let webhooks = rig.start_urls(&config).await;
    rig.accept(1, Some(&receiver.url)).await;
    until(&webhooks, NAME, |standing| (standing.owed, standing.in_flight) == (1, 0)).await;
    webhooks.stop(STOP).await;
    let rig = rig.restart().await;
    let webhooks = rig.start_urls(&config).await;
    let mut at = START;
    for (attempt, wait) in [(2, 5), (3, 30)] {
        at = at.after(Duration::from_secs(wait));
        come(&rig.clock, at);
        receiver.has(attempt).await;
        until(&webhooks, NAME, |standing| standing.in_flight == 0).await;
    }
    until(&webhooks, NAME, |standing| standing.owed == 0).await;
    let dead = rig.dead().await;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((dead.callback.as_str(), dead.attempts, dead.reason.as_str()), (NAME, 3, "the receiver answered 500"));
    assert_eq!(dead.notification, Some(NotificationId::from_bytes([1; 16])));
    assert_eq!(webhooks.replay(&name(NAME), std::slice::from_ref(dead), Vec::new()).await.expect("it runs"), 1);
    receiver.has(4).await;
    assert_eq!(rig.dead().await, []);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_stretch_of_time_is_told_again_to_those_who_were_told() {
    let (rig, receiver) = (Rig::new(), Receiver::start(ok).await);
    let webhooks = rig.start_urls(&rig.urls()).await;
    rig.accept(1, Some(&receiver.url)).await;
    rig.tell(&[2, 0, 1]).await;
    receiver.has(2).await;
    until(&webhooks, NAME, |standing| (standing.cursor, standing.in_flight) == (4, 0)).await;
    let all = (Timestamp::default(), START.after(Duration::from_secs(1)));
    assert_eq!(webhooks.replay_range(&name(NAME), all, Actor::Cli).await.expect("it runs"), 2);
    receiver.has(4).await;
    assert_eq!(receiver.numbers(), [1, 4, 1, 4]);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_receiver_that_answers_410_hears_no_more_of_that_notification() {
    let gone = |got: &Got| Reply::Status(if notifications(std::slice::from_ref(got)) == ["01"] { 410 } else { 204 });
    let (rig, receiver) = (Rig::new(), Receiver::start(gone).await);
    let config = rig.urls();
    let webhooks = rig.start_urls(&config).await;
    rig.accept(1, Some(&receiver.url)).await;
    rig.accept(2, Some(&receiver.url)).await;
    receiver.has(2).await;
    until(&webhooks, NAME, |standing| (standing.cursor, standing.in_flight) == (2, 0)).await;
    rig.tell(&[1, 2, 1]).await;
    receiver.has(3).await;
    let standing = until(&webhooks, NAME, |standing| (standing.cursor, standing.in_flight) == (5, 0)).await;
    assert_eq!((standing.disabled, standing.owed), (None, 0));
    webhooks.stop(STOP).await;
    let rig = rig.restart().await;
    let webhooks = rig.start_urls(&config).await;
    rig.tell(&[1, 2]).await;
    // Another notification may name the same place again.
    rig.accept(3, Some(&receiver.url)).await;
    receiver.has(5).await;
    until(&webhooks, NAME, |standing| (standing.cursor, standing.in_flight) == (8, 0)).await;
    let mut told = notifications(&receiver.got());
    told.sort();
    assert_eq!(told, ["01", "02", "02", "02", "03"]);
    assert_eq!(rig.dead().await, []);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_host_that_hangs_holds_back_no_other() {
    let (rig, stuck, good) = (Rig::new(), Receiver::start(|_| Reply::Hangs).await, Receiver::start(ok).await);
    let webhooks = rig.start_urls(&rig.urls()).await;
    for number in 1..=30 {
        rig.accept(number, Some(&stuck.url)).await;
    }
    for number in 31..=50 {
        rig.accept(number, Some(&good.url)).await;
    }
    good.has(20).await;
    stuck.has(8).await;
    until(&webhooks, NAME, |standing| standing.in_flight == 8).await;
    assert_eq!(stuck.got().len(), 8, "a host has so many calls at once");
    // Nobody waits for the calls that hang.
    webhooks.stop(Duration::from_millis(1)).await;
}

#[tokio::test]
async fn a_host_that_asks_for_a_pause_is_not_called_and_others_are() {
    let busy = |_: &Got| Reply::With(429, "retry-after", "120".to_owned());
    let (rig, busy, good) = (Rig::new(), Receiver::start(busy).await, Receiver::start(ok).await);
    let webhooks = rig.start_urls(&rig.urls()).await;
    rig.accept(1, Some(&busy.url)).await;
    until(&webhooks, NAME, |standing| (standing.owed, standing.in_flight) == (1, 0)).await;
    rig.accept(2, Some(&busy.url)).await;
    rig.accept(3, Some(&good.url)).await;
    good.has(1).await;
    let standing = until(&webhooks, NAME, |standing| (standing.owed, standing.in_flight) == (2, 0)).await;
    assert_eq!((busy.got().len(), standing.held_until), (1, None));
    come(&rig.clock, START.after(Duration::from_secs(120)));
    busy.has(2).await;
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_reload_changes_keys_and_events() {
    let (rig, receiver) = (Rig::new(), Receiver::start(ok).await);
    let webhooks = rig.start_urls(&rig.urls()).await;
    rig.accept(1, Some(&receiver.url)).await;
    receiver.has(1).await;
    let secrets = vec![rig.key("other", OTHER_KEY)];
    let config = CallbackUrlConfig { secrets, events: vec!["config.*".parse().expect("a pattern")], ..rig.urls() };
    webhooks.replace(vec![rig.prepare_urls(&config)]).await.expect("the store can be read");
    rig.tell(&[1]).await;
    until(&webhooks, NAME, |standing| standing.cursor == 2).await;
    let config = CallbackUrlConfig { events: rig.urls().events, ..config };
    webhooks.replace(vec![rig.prepare_urls(&config)]).await.expect("the store can be read");
    rig.tell(&[1]).await;
    let got = receiver.has(2).await;
    assert_eq!(receiver.numbers(), [1, 3]);
    assert_eq!(got[1].headers["webhook-signature"], signature(&got[1], OTHER_KEY));
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn an_address_that_is_not_public_and_plain_http_take_a_line_that_permits_them() {
    let rig = Rig::new();
    let said = |url: &str, networks: &[&str]| {
        let allow_networks = networks.iter().map(ToString::to_string).collect();
        let config = CallbackUrlConfig { allow_networks, ..rig.urls() };
        let reach = open_urls(&config, &rig.way()).expect("good keys").expect("there is one");
        let permits = || match reach.permits(&CallbackUrl::new(url).expect("a URL")) {
            Ok(()) => "good".to_owned(),
            Err(problem) => format!("{}; {}", problem.message, problem.hint.unwrap_or_default()),
        };
        // What is said once is said again.
        let first = permits();
        assert_eq!(permits(), first);
        first
    };
    assert_eq!(said("https://hooks.example.com/in", &[]), "good");
    assert_eq!(
        said("https://10.1.2.3/in?token=canary", &[]),
        "leads to an address that is not public (private); write `allow_networks = [\"10.1.2.3/32\"]` under \
         `[callbacks]` to allow it"
    );
    for url in ["https://[::ffff:169.254.169.254]/", "http://localhost:1/", "http://127.0.0.1/", "https://0x7f.1/"] {
        assert!(said(url, &[]).starts_with("leads to an address that is not public"), "{url}: {}", said(url, &[]));
    }
    for url in ["http://hooks.example.com/in", "http://93.184.215.14/"] {
        assert!(said(url, &["127.0.0.1/32"]).starts_with("must begin with `https://`"), "{url}");
    }
    for url in ["http://127.0.0.1:8080/", "https://127.0.0.1/", "http://localhost/"] {
        assert_eq!(said(url, &["127.0.0.1/32"]), "good", "{url}");
    }
}

#[tokio::test]
async fn keys_that_cannot_be_used_are_told_and_no_key_is_no_calls() {
    let rig = Rig::new();
    let short = CallbackUrlConfig { secrets: vec![rig.key("short", "whsec_c2hvcnQ=")], ..rig.urls() };
    let problems = open_urls(&short, &rig.way()).expect_err("it is too short");
    let [problem] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(problem.key, "secret");
    assert!(problem.message.contains("is too short") && !problem.message.contains("c2hvcnQ"), "{problem:?}");
    let none = CallbackUrlConfig { secrets: Vec::new(), ..rig.urls() };
    assert!(open_urls(&none, &rig.way()).expect("nothing is wrong").is_none());
}
