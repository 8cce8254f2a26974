//! What receivers get, and when: signatures, order, retries, restarts, and receivers that want no more.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::rig::{Got, KEY, OTHER_KEY, Receiver, Reply, Rig, START, come, name, until};
use crate::capability::sign::{Key, standard_webhooks};
use crate::domain::{Actor, Timestamp};

const STOP: Duration = Duration::from_secs(10);

/// The signature of a request by a key, as its receiver would make it.
pub(super) fn signature(got: &Got, key: &str) -> String {
    let bytes = STANDARD.decode(key.trim_start_matches("whsec_")).expect("base64");
    let signed =
        [got.headers["webhook-id"].as_bytes(), b".", got.headers["webhook-timestamp"].as_bytes(), b".", &got.body]
            .concat();
    format!("v1,{}", STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), &signed)))
}

pub(super) fn ok(_: &Got) -> Reply {
    Reply::Status(204)
}

/// A busy receiver answers so many times with 500, then 204.
fn failing(times: usize) -> impl Fn(&Got) -> Reply + Send + Sync {
    let left = AtomicUsize::new(times);
    move |_| match left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)) {
        Ok(_) => Reply::Status(500),
        Err(_) => Reply::Status(204),
    }
}

#[tokio::test]
async fn a_receiver_gets_the_event_signed_with_every_key_that_is_live() {
    let (rig, receiver) = (Rig::new(), Receiver::start(ok).await);
    let mut webhook = rig.webhook("crm", &receiver);
    webhook.secrets = vec![rig.key("new", KEY), rig.key("old", OTHER_KEY)];
    let webhooks = rig.start(&[webhook]).await;
    rig.tell(&[1]).await;
    let got = receiver.has(1).await.remove(0);
    let body: serde_json::Value = serde_json::from_slice(&got.body).expect("JSON");
    assert_eq!(body["type"], "notification.accepted");
    assert_eq!(body["timestamp"], START.to_string());
    assert_eq!(body["data"]["notification_id"], "ntf_01010101010101010101010101010101");
    assert_eq!(got.headers["webhook-id"], "00c0ffee00c0ffee-1-crm");
    assert_eq!(got.headers["webhook-timestamp"], "1700000000");
    assert_eq!(got.headers["content-type"], "application/json");
    assert_eq!(got.headers["webhook-signature"], format!("{} {}", signature(&got, KEY), signature(&got, OTHER_KEY)));
    until(&webhooks, "crm", |standing| standing.cursor == 1 && standing.in_flight == 0).await;
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn the_published_example_has_the_signature_that_its_libraries_give_it() {
    let key = Key { name: "secret", text: KEY };
    let at = Timestamp::from_millis(1_614_265_330_000);
    let headers =
        standard_webhooks("msg_p5jXN8AQM9LWM0D4loKWxJek", at, br#"{"test": 2432232314}"#, &[key]).expect("signs");
    assert_eq!(headers[2].1, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_failure_is_tried_again_by_the_schedule_under_the_same_id_and_then_given_up() {
    let (rig, receiver) = (Rig::new(), Receiver::start(failing(3)).await);
    let webhooks = rig.start(&[rig.webhook("crm", &receiver)]).await;
    rig.tell(&[1, 1]).await;
    receiver.has(1).await;
    until(&webhooks, "crm", |standing| standing.owed == 2 && standing.in_flight == 0).await;
    // Attempts after 5 s and 30 s; the second event waits behind the first all the time.
    come(&rig.clock, START.after(Duration::from_secs(5)));
    receiver.has(2).await;
    until(&webhooks, "crm", |standing| standing.in_flight == 0).await;
    come(&rig.clock, START.after(Duration::from_secs(35)));
    let got = receiver.has(4).await;
    assert_eq!(receiver.numbers(), [1, 1, 1, 2]);
    let header = |name: &str| got[..3].iter().map(|got| got.headers[name].clone()).collect::<Vec<_>>();
    let ids = header("webhook-id");
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    assert_eq!(header("webhook-timestamp"), ["1700000000", "1700000005", "1700000035"]);
    assert!(got.iter().all(|got| got.headers["webhook-signature"] == signature(got, KEY)));
    until(&webhooks, "crm", |standing| standing.owed == 0 && standing.in_flight == 0).await;
    let dead = rig.dead().await;
    let [dead] = dead.as_slice() else { panic!("{dead:?}") };
    assert_eq!((dead.callback.as_str(), dead.event, dead.attempts), ("crm", 1, 3));
    assert_eq!(dead.reason, "the receiver answered 500");
    let latency =
        webhooks.tally().latencies.lock().expect("nobody panicked").statistics(crate::clock::Clock::now(&rig.clock));
    assert_eq!(latency.map(|latency| latency.count), Some(4), "of every call that was made");

    // Told again by hand, it is not dead any more.
    assert_eq!(webhooks.replay(&name("crm"), std::slice::from_ref(dead), Vec::new()).await.expect("it is there"), 1);
    receiver.has(5).await;
    assert_eq!(receiver.numbers(), [1, 1, 1, 2, 1]);
    assert_eq!(rig.dead().await, []);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn what_is_owed_outlives_a_restart_and_only_that_is_told_again() {
    let (rig, receiver) =
        (Rig::new(), Receiver::start(|got| Reply::Status(if got.number() == 2 { 500 } else { 204 })).await);
    let webhook = rig.webhook("crm", &receiver);
    let webhooks = rig.start(std::slice::from_ref(&webhook)).await;
    rig.tell(&[1, 2, 3]).await;
    // That 2 was not heard of is the fourth event.
    until(&webhooks, "crm", |standing| (standing.cursor, standing.owed, standing.in_flight) == (4, 1, 0)).await;
    webhooks.stop(STOP).await;
    let rig = rig.restart().await;
    rig.tell(&[2, 4]).await;
    let webhooks = rig.start(&[webhook]).await;
    // 5 is of the same notification as 2, which is owed.
    until(&webhooks, "crm", |standing| (standing.cursor, standing.owed, standing.in_flight) == (6, 2, 0)).await;
    let mut numbers = receiver.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 6]);
    come(&rig.clock, START.after(Duration::from_secs(5)));
    receiver.has(5).await;
    assert_eq!(receiver.numbers()[4], 2);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_crash_repeats_what_was_called_since_the_cursor_was_written() {
    let (rig, receiver) = (Rig::new(), Receiver::start(ok).await);
    let webhook = rig.webhook("crm", &receiver);
    let webhooks = rig.start(std::slice::from_ref(&webhook)).await;
    rig.tell(&[1, 2]).await;
    until(&webhooks, "crm", |standing| standing.cursor == 2 && standing.in_flight == 0).await;
    // A store that is closed under it writes nothing more: as good as a crash.
    let rig = rig.restart().await;
    let webhooks = rig.start(&[webhook]).await;
    let got = receiver.has(4).await;
    let mut ids: Vec<_> = got.iter().map(|got| got.headers["webhook-id"].clone()).collect();
    ids.sort();
    assert_eq!(
        ids,
        ["00c0ffee00c0ffee-1-crm", "00c0ffee00c0ffee-1-crm", "00c0ffee00c0ffee-2-crm", "00c0ffee00c0ffee-2-crm"]
    );
    // The cursor follows a second later.
    until(&webhooks, "crm", |standing| standing.cursor == 2 && standing.in_flight == 0).await;
    come(&rig.clock, START.after(Duration::from_secs(1)));
    let saved = async {
        while rig.store.callbacks().await.expect("a store")[0].cursor != 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), saved).await.expect("it is written");
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_disabled_until_it_is_enabled() {
    let is_gone = Arc::new(AtomicBool::new(true));
    let gone = Arc::clone(&is_gone);
    let receiver = Receiver::start(move |_| Reply::Status(if gone.load(Ordering::SeqCst) { 410 } else { 204 })).await;
    let rig = Rig::new();
    let mut webhook = rig.webhook("crm", &receiver);
    webhook.concurrency = 1;
    let webhooks = rig.start(std::slice::from_ref(&webhook)).await;
    rig.tell(&[1, 2]).await;
    let standing = until(&webhooks, "crm", |standing| standing.disabled.is_some() && standing.in_flight == 0).await;
    assert_eq!(standing.disabled.expect("just seen").reason, "the receiver answered 410: it wants to hear no more");
    rig.tell(&[3]).await;
    webhooks.stop(STOP).await;
    // That outlives a restart.
    let rig = rig.restart().await;
    let webhooks = rig.start(&[webhook]).await;
    assert!(until(&webhooks, "crm", |_| true).await.disabled.is_some());
    is_gone.store(false, Ordering::SeqCst);
    assert!(webhooks.enable(&name("crm"), Vec::new()).await.expect("it is there"));
    receiver.has(4).await;
    assert_eq!(receiver.numbers(), [1, 1, 2, 3], "what happened meanwhile is told then");
    assert!(!webhooks.enable(&name("crm"), Vec::new()).await.expect("it is there"), "it was not disabled");
    assert_eq!(rig.store.callbacks().await.expect("a store")[0].disabled, None);
    let unknown = webhooks.enable(&name("crn"), Vec::new()).await.expect_err("not there");
    assert_eq!(unknown.to_string(), "there is no webhook `crn`; there are `crm`");
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_busy_receiver_is_left_alone_for_as_long_as_it_asks() {
    let replies = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| match replies.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::With(429, "retry-after", "60".to_owned()),
        _ => Reply::Status(204),
    })
    .await;
    let rig = Rig::new();
    let mut webhook = rig.webhook("crm", &receiver);
    webhook.concurrency = 1;
    let webhooks = rig.start(&[webhook]).await;
    rig.tell(&[1, 2]).await;
    let held = until(&webhooks, "crm", |standing| standing.owed == 1 && standing.in_flight == 0).await;
    assert_eq!(held.held_until, Some(START.after(Duration::from_secs(60))));
    // Neither the event that failed nor the other one is told before.
    rig.clock.advance(Duration::from_secs(30));
    assert_eq!(receiver.numbers().len(), 1);
    come(&rig.clock, START.after(Duration::from_secs(60)));
    receiver.has(3).await;
    let mut numbers = receiver.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 2]);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn who_enables_a_webhook_that_waits_has_it_called_at_once() {
    let replies = AtomicUsize::new(0);
    let receiver = Receiver::start(move |_| match replies.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::With(503, "retry-after", "86400".to_owned()),
        _ => Reply::Status(204),
    })
    .await;
    let rig = Rig::new();
    let webhooks = rig.start(&[rig.webhook("crm", &receiver)]).await;
    rig.tell(&[1]).await;
    let held = until(&webhooks, "crm", |standing| standing.owed == 1 && standing.in_flight == 0).await;
    assert_eq!(held.held_until, Some(START.after(Duration::from_hours(1))), "for an hour at most, whatever it asks");
    let trouble = held.trouble.expect("its last call failed");
    assert_eq!((trouble.since, trouble.reason.as_str()), (START, "the receiver answered 503"));
    assert!(webhooks.enable(&name("crm"), Vec::new()).await.expect("it is there"), "it waited");
    receiver.has(2).await;
    let heard = until(&webhooks, "crm", |standing| standing.owed == 0 && standing.in_flight == 0).await;
    assert_eq!((heard.held_until, heard.trouble), (None, None));
    assert!(!webhooks.enable(&name("crm"), Vec::new()).await.expect("it is there"), "nothing waits");
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn what_was_heard_before_a_stop_is_not_told_again_although_a_call_before_it_hangs() {
    let hangs = Arc::new(AtomicBool::new(true));
    let is_stuck = Arc::clone(&hangs);
    let script = move |got: &Got| match got.number() {
        1 if is_stuck.load(Ordering::SeqCst) => Reply::Hangs,
        _ => Reply::Status(204),
    };
    let (rig, receiver) = (Rig::new(), Receiver::start(script).await);
    let webhook = rig.webhook("crm", &receiver);
    let webhooks = rig.start(std::slice::from_ref(&webhook)).await;
    rig.tell(&[1, 2, 3]).await;
    receiver.has(3).await;
    until(&webhooks, "crm", |standing| standing.in_flight == 1).await;
    let stopping = tokio::spawn(async move { webhooks.stop(STOP).await });
    // What hangs is waited for, and not for ever.
    let limit = START.after(Duration::from_secs(3));
    let over = async {
        while !rig.clock.is_awaited(limit) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), over).await.expect("it stops");
    come(&rig.clock, limit);
    stopping.await.expect("it stops in order");
    hangs.store(false, Ordering::SeqCst);

    let rig = rig.restart().await;
    let webhooks = rig.start(&[webhook]).await;
    receiver.has(4).await;
    until(&webhooks, "crm", |standing| (standing.cursor, standing.owed, standing.in_flight) == (3, 0, 0)).await;
    let mut numbers = receiver.numbers();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 1, 2, 3], "only what was not heard");
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let elsewhere = Receiver::start(ok).await;
    let to = elsewhere.url.clone();
    let receiver = Receiver::start(move |_| Reply::With(307, "location", to.clone())).await;
    let rig = Rig::new();
    let webhooks = rig.start(&[rig.webhook("crm", &receiver)]).await;
    rig.tell(&[1]).await;
    until(&webhooks, "crm", |standing| standing.owed == 1 && standing.in_flight == 0).await;
    let owed = rig.store.owed_callbacks(&name("crm"), 0, 10).await.expect("a store");
    assert_eq!(owed[0].last_error.as_deref(), Some("the receiver answered 307, and redirects are not followed"));
    assert_eq!(elsewhere.numbers().len(), 0);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn a_receiver_that_never_answers_delays_no_other() {
    let (stuck, quick) = (Receiver::start(|_| Reply::Hangs).await, Receiver::start(ok).await);
    let rig = Rig::new();
    let webhooks = rig.start(&[rig.webhook("stuck", &stuck), rig.webhook("quick", &quick)]).await;
    for _ in 0..10 {
        rig.tell(&[0; 10]).await;
    }
    quick.has(100).await;
    stuck.has(8).await;
    let standing = until(&webhooks, "stuck", |standing| standing.in_flight == 8).await;
    assert_eq!((standing.cursor, stuck.got().len()), (0, 8), "no more calls at once than it may have");
    webhooks.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_stretch_of_time_is_told_again_as_far_as_it_is_wanted() {
    let (rig, receiver) = (Rig::new(), Receiver::start(ok).await);
    let mut webhook = rig.webhook("crm", &receiver);
    webhook.events = vec!["notification.*".parse().expect("a pattern")];
    let webhooks = rig.start(&[webhook]).await;
    for _ in 0..10 {
        rig.tell(&[1, 0, 2]).await;
        rig.clock.advance(Duration::from_secs(60));
    }
    receiver.has(20).await;
    until(&webhooks, "crm", |standing| standing.cursor == 30 && standing.in_flight == 0).await;
    let minute = |n: u64| START.after(Duration::from_secs(60 * n));
    let replay = async |since, until| webhooks.replay_range(&name("crm"), (since, until), Actor::Embedder).await;
    assert_eq!(replay(minute(3), minute(4)).await.expect("kept"), 4);
    receiver.has(24).await;
    let mut again = receiver.numbers().split_off(20);
    again.sort_unstable();
    assert_eq!(again, [10, 12, 13, 15]);
    until(&webhooks, "crm", |standing| standing.owed == 0).await;
    assert_eq!(replay(START.before(Duration::from_secs(60)), minute(0)).await.expect("kept"), 2);
    assert_eq!(replay(minute(20), minute(30)).await.expect("kept"), 0);
    let backwards = replay(minute(2), minute(1)).await.expect_err("backwards").to_string();
    assert_eq!(backwards, "`since` is 2023-11-14T22:15:20.000Z, later than `until`, which is 2023-11-14T22:14:20.000Z");
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn other_means_are_used_from_the_next_call_on_and_one_that_is_new_hears_what_is_new() {
    let (one, other, late) = (Receiver::start(ok).await, Receiver::start(ok).await, Receiver::start(ok).await);
    let rig = Rig::new();
    let webhooks = rig.start(&[rig.webhook("crm", &one)]).await;
    rig.tell(&[1]).await;
    until(&webhooks, "crm", |standing| standing.cursor == 1 && standing.in_flight == 0).await;
    let second = [rig.webhook("crm", &other), rig.webhook("late", &late)];
    rig.replace(&webhooks, &second).await;
    rig.tell(&[1]).await;
    late.has(1).await;
    other.has(1).await;
    assert_eq!((one.numbers(), other.numbers(), late.numbers()), (vec![1], vec![2], vec![2]));
    rig.replace(&webhooks, &second[1..]).await;
    assert_eq!(webhooks.standings().await.len(), 1);
    webhooks.stop(STOP).await;
}

#[tokio::test]
async fn who_asks_for_it_hears_of_failed_calls_and_not_of_its_own_for_ever() {
    let (bad, watcher) = (Receiver::start(|_| Reply::Status(500)).await, Receiver::start(ok).await);
    let rig = Rig::new();
    let mut own = rig.webhook("bad", &bad);
    own.events.push("callback.*".parse().expect("a pattern"));
    let mut other = rig.webhook("watcher", &watcher);
    other.events = vec!["callback.failed".parse().expect("a pattern")];
    let webhooks = rig.start(&[own, other]).await;
    rig.tell(&[0]).await;
    let got = watcher.has(1).await.remove(0);
    assert_eq!(got.number(), 2, "it follows the event that was not heard of");
    // The failure to tell of a failure is told to nobody.
    until(&webhooks, "bad", |standing| standing.owed == 2 && standing.in_flight == 0).await;
    until(&webhooks, "watcher", |standing| standing.cursor == 2 && standing.in_flight == 0).await;
    assert_eq!(watcher.got().len(), 1);
    assert_eq!(rig.store.outbox(0, 10).await.expect("a store").len(), 2);
    webhooks.stop(STOP).await;
}
