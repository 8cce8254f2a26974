//! Another channel stands in, as a delivery meets it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::rig::{Channels, Reply, Rig, START, Setup, retry, sent};
use crate::call::Call;
use crate::clock::{Clock, ManualClock};
use crate::dispatch::{Fallbacks, RetryPolicies};
use crate::domain::{
    AttemptEnd, Blame, BreakerPolicy, BreakerState, ChannelName, DeliveryId, DeliveryState, EventBody, FailReason,
    Fault, Outcome, Rerouted, RetryPolicy, Timestamp,
};
use crate::queue::GateSettings;

fn name(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

fn chain(names: &[&str]) -> Fallbacks {
    Fallbacks(BTreeMap::from([(name("ops"), names.iter().copied().map(name).collect())]))
}

/// `ops` with these behind it, and so many retries.
fn setup(names: &[&'static str], max_retries: u32) -> Setup {
    let default = Arc::new(RetryPolicy { max_retries, ..RetryPolicy::default() });
    let channels = ["ops"].iter().chain(names).map(|name| (*name, None)).collect();
    Setup {
        policies: RetryPolicies::new(default, BTreeMap::new()),
        channels: Channels(channels),
        fallbacks: chain(names),
        ..Setup::default()
    }
}

fn rejected(blame: Blame) -> Reply {
    Reply::Ends(AttemptEnd::Outcome(Outcome::Rejected { blame, code: None, reason: "no".to_owned() }))
}

/// Every one of these fails as `fails` says; any other channel sends.
fn failing(channels: &'static [&'static str], fails: fn() -> Reply) -> impl Fn(&Call) -> Reply + Send + Sync + 'static {
    move |call: &Call| if channels.contains(&call.channel.as_str()) { fails() } else { sent() }
}

fn called(rig: &Rig) -> Vec<(String, u32)> {
    rig.calls().into_iter().map(|call| (call.channel.to_string(), call.attempt)).collect()
}

/// From, to and why of each time that another channel stood in.
async fn way(rig: &Rig, delivery: DeliveryId) -> Vec<(String, String, String)> {
    let reroutes = rig.record(delivery).await.reroutes;
    let told = |Rerouted { from, to, reason, .. }| (from.to_string(), to.to_string(), reason);
    reroutes.into_iter().map(told).collect()
}

fn step(from: &str, to: &str, reason: &str) -> (String, String, String) {
    (from.to_owned(), to.to_owned(), reason.to_owned())
}

fn failed(event: &EventBody) -> Option<String> {
    match event {
        EventBody::DeliveryFailed { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

fn retrying(event: &EventBody) -> Option<Timestamp> {
    match event {
        EventBody::DeliveryRetrying { due, .. } => Some(*due),
        _ => None,
    }
}

#[tokio::test]
async fn what_one_channel_gives_up_the_next_one_sends_with_retries_of_its_own() {
    let script = |call: &Call| match (call.channel.as_str(), call.attempt) {
        ("ops", _) | ("chat", 3) => retry(),
        _ => sent(),
    };
    let mut rig = Rig::start_with(setup(&["chat"], 1), ManualClock::at(START), script).await;
    let delivery = rig.accept(|_| {}).await;
    // The first retry of the first channel, then that of the second.
    for wait_s in [1, 1] {
        let due = rig
            .event(|event| match event {
                EventBody::DeliveryRetrying { due, .. } => Some(*due),
                _ => None,
            })
            .await;
        assert_eq!(due, rig.clock.now().after(Duration::from_secs(wait_s)));
        rig.waits_for(due).await;
        rig.clock.advance(Duration::from_secs(wait_s));
    }
    rig.all_sent(&[delivery]).await;
    let calls = [("ops", 1), ("ops", 2), ("chat", 3), ("chat", 4)];
    assert_eq!(called(&rig), calls.map(|(channel, attempt)| (channel.to_owned(), attempt)));
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "exhausted")]);
    let record = rig.record(delivery).await;
    assert_eq!((record.channel, record.attempts.len()), (name("chat"), 4));
}

#[tokio::test]
async fn a_wrong_configuration_and_a_plugin_that_faults_are_the_channels_and_go_on() {
    let mut rig =
        Rig::start_with(setup(&["chat"], 0), ManualClock::at(START), failing(&["ops"], || rejected(Blame::Channel)))
            .await;
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "rejected")]);

    let faults = || Reply::Ends(AttemptEnd::Fault { fault: Fault::Trap, message: "unreachable".to_owned() });
    let mut rig = Rig::start_with(setup(&["chat"], 0), ManualClock::at(START), failing(&["ops"], faults)).await;
    let delivery = rig.accept(|_| {}).await;
    for wait in [Duration::from_secs(10), Duration::from_mins(1)] {
        let due = rig.event(retrying).await;
        assert_eq!(due.since(rig.clock.now()), wait);
        rig.waits_for(due).await;
        rig.clock.advance(wait);
    }
    rig.all_sent(&[delivery]).await;
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "fault")]);
}

#[tokio::test]
async fn what_a_recipients_provider_refuses_is_offered_to_nobody_else() {
    let gone = || {
        Reply::Ends(AttemptEnd::Outcome(Outcome::RecipientGone {
            new_address: None,
            code: None,
            reason: "left".to_owned(),
        }))
    };
    let refusals: [fn() -> Reply; 2] = [|| rejected(Blame::Message), gone];
    for refuses in refusals {
        let mut rig = Rig::start_with(setup(&["chat"], 0), ManualClock::at(START), failing(&["ops"], refuses)).await;
        let delivery = rig.accept(|_| {}).await;
        rig.event(failed).await;
        assert_eq!(called(&rig), [("ops".to_owned(), 1)]);
        assert_eq!(way(&rig, delivery).await, []);
        assert_eq!(rig.record(delivery).await.channel, name("ops"));
    }
}

#[tokio::test]
async fn a_delivery_whose_chain_is_used_up_is_a_dead_letter_of_the_last_channel() {
    let script = failing(&["ops", "chat", "text"], retry);
    let mut rig = Rig::start_with(setup(&["chat", "text"], 0), ManualClock::at(START), script).await;
    let delivery = rig.accept(|_| {}).await;
    assert_eq!(rig.event(failed).await, "exhausted");
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "exhausted"), step("chat", "text", "exhausted")]);
    let record = rig.record(delivery).await;
    assert_eq!(record.channel, name("text"));
    let DeliveryState::Failed { attempts: 3, reason: FailReason::Exhausted { last }, .. } = &record.state else {
        panic!("{:?}", record.state)
    };
    assert_eq!(last, "the provider is down");
}

#[tokio::test]
async fn a_channel_that_is_not_there_is_paused_or_has_no_address_is_passed_over() {
    let channels = Channels(vec![("ops", None), ("mail", Some("email")), ("pager", None), ("chat", None)]);
    let fallbacks = chain(&["gone", "mail", "pager", "chat"]);
    let setup = Setup { channels, fallbacks, ..setup(&[], 0) };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), failing(&["ops"], retry)).await;
    rig.queue.set_gates([(name("pager"), GateSettings::default())]);
    rig.queue.pause(&name("pager"));
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "exhausted")]);
}

/// An operator who pauses a channel wants its deliveries to wait, not to fail.
#[tokio::test]
async fn a_channel_that_is_paused_has_it_wait_where_nobody_else_is_left() {
    let mut rig = Rig::start_with(setup(&["chat"], 0), ManualClock::at(START), failing(&["ops"], retry)).await;
    rig.queue.set_gates([(name("chat"), GateSettings::default())]);
    rig.queue.pause(&name("chat"));
    let delivery = rig.accept(|_| {}).await;
    let rerouted = |event: &EventBody| matches!(event, EventBody::DeliveryRerouted { .. }).then_some(());
    rig.event(rerouted).await;
    assert_eq!(called(&rig), [("ops".to_owned(), 1)]);
    rig.queue.resume(&name("chat"));
    rig.all_sent(&[delivery]).await;
    assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "exhausted")]);
}

#[tokio::test]
async fn fallbacks_that_are_changed_hold_for_what_fails_from_then_on() {
    let mut rig = Rig::start_with(setup(&["chat"], 0), ManualClock::at(START), failing(&["ops"], retry)).await;
    rig.dispatcher.set_fallbacks(Fallbacks::default());
    let failing = rig.accept(|_| {}).await;
    assert_eq!(rig.event(failed).await, "exhausted");
    assert_eq!(way(&rig, failing).await, []);
    rig.dispatcher.set_fallbacks(chain(&["chat"]));
    let delivery = rig.accept(|_| {}).await;
    rig.all_sent(&[delivery]).await;
}

/// `ops` with a breaker that opens at once and a second channel behind it after a minute.
async fn with_an_open_breaker(channels: &[&'static str]) -> (Rig, DeliveryId) {
    let breaker = BreakerPolicy {
        consecutive: 1,
        open_for: Duration::from_mins(30),
        open_max: Duration::from_mins(30),
        ..BreakerPolicy::default()
    };
    let gate =
        GateSettings { breaker: Some(breaker), detour_after: Some(Duration::from_mins(1)), ..GateSettings::default() };
    let channels = Channels(channels.iter().map(|name| (*name, None)).collect());
    let setup = Setup { gate: Some(gate), channels, ..setup(&["chat"], 5) };
    let rig = Rig::start_with(setup, ManualClock::at(START), failing(&["ops"], retry)).await;
    let delivery = rig.accept(|_| {}).await;
    while rig.queue.gates()[0].breaker == BreakerState::Closed {
        tokio::task::yield_now().await;
    }
    // Its retry is due then, and waits for the breaker.
    rig.clock.advance(Duration::from_secs(1));
    (rig, delivery)
}

#[tokio::test]
async fn what_waits_for_a_breaker_that_is_open_for_too_long_goes_through_the_next_channel() {
    let (mut rig, first) = with_an_open_breaker(&["ops", "chat"]).await;
    let second = rig.accept(|_| {}).await;
    rig.waits_for(START.after(Duration::from_mins(1))).await;
    assert_eq!(called(&rig), [("ops".to_owned(), 1)]);
    rig.clock.advance(Duration::from_secs(59));
    rig.all_sent(&[first, second]).await;
    for (delivery, attempts) in [(first, 2), (second, 1)] {
        assert_eq!(way(&rig, delivery).await, [step("ops", "chat", "breaker-open")]);
        assert_eq!(rig.record(delivery).await.attempts.len(), attempts, "none is spent on the way");
    }
    assert_eq!(rig.calls().iter().filter(|call| call.channel.as_str() == "ops").count(), 1);
}

#[tokio::test]
async fn what_finds_no_other_way_waits_and_asks_again() {
    let (rig, delivery) = with_an_open_breaker(&["ops"]).await;
    rig.waits_for(START.after(Duration::from_mins(1))).await;
    rig.clock.advance(Duration::from_secs(59));
    rig.waits_for(START.after(Duration::from_secs(70))).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(called(&rig), [("ops".to_owned(), 1)]);
    assert_eq!(way(&rig, delivery).await, []);
    let DeliveryState::Waiting(waiting) = rig.state(delivery).await else { panic!("it waits") };
    assert_eq!(waiting.attempts, 1);
}
