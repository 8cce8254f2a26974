//! What a scrape shows.

use super::*;
use crate::domain::{CallbackKind, FailReason, Fault, Outcome, Receipt, Timestamp, Waiting};

const NOW: Timestamp = Timestamp::from_millis(0);

fn ops() -> ChannelName {
    ChannelName::new("ops").expect("a name")
}

fn sent() -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Sent(Receipt::default()))
}

#[track_caller]
fn assert_has(metrics: &Metrics, line: &str) {
    let text = metrics.encode();
    assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
}

#[test]
fn every_priority_counts_under_its_own_name() {
    let metrics = Metrics::new();
    for (n, priority) in Priority::DESCENDING.into_iter().enumerate() {
        for _ in 0..=n {
            metrics.notification_accepted(priority);
        }
        metrics.queue_depth(priority, n as u64);
        metrics.queue_oldest(priority, Duration::from_millis(1_500 * n as u64));
    }
    assert_has(&metrics, r#"campanile_notifications_accepted_total{priority="critical"} 1"#);
    assert_has(&metrics, r#"campanile_notifications_accepted_total{priority="low"} 4"#);
    assert_has(&metrics, r#"campanile_queue_depth{priority="normal"} 2"#);
    assert_has(&metrics, r#"campanile_queue_oldest_seconds{priority="high"} 1.5"#);
}

#[test]
fn what_is_outstanding_is_shown_as_it_is_now() {
    let metrics = Metrics::new();
    metrics.outstanding(7, 1_000_000);
    metrics.outstanding(0, 3);
    assert_has(&metrics, "campanile_retries_scheduled 0");
    assert_has(&metrics, "campanile_dead_letters 3");
}

#[test]
fn calls_of_callbacks_are_counted_by_kind_and_result_and_timed() {
    let metrics = Metrics::new();
    let took = Some(Duration::from_millis(20));
    metrics.callback(CallbackKind::Webhook, CallbackResult::Succeeded, took);
    metrics.callback(CallbackKind::Webhook, CallbackResult::Failed, took);
    metrics.callback(CallbackKind::Error, CallbackResult::Skipped, None);
    metrics.dead_callbacks(3);
    assert_has(&metrics, r#"campanile_callbacks_total{kind="webhook",result="succeeded"} 1"#);
    assert_has(&metrics, r#"campanile_callbacks_total{kind="error",result="skipped"} 1"#);
    assert_has(&metrics, r#"campanile_callback_seconds_count{kind="webhook"} 2"#);
    assert_has(&metrics, "campanile_dead_callbacks 3");
    assert!(!metrics.encode().contains(r#"campanile_callback_seconds_count{kind="error"}"#), "nobody was called");
}

#[test]
fn what_the_disk_refused_is_counted_from_the_opening_of_the_store_on() {
    let metrics = Metrics::new();
    metrics.store_errors(2);
    metrics.store_errors(3);
    assert_has(&metrics, "campanile_store_errors_total 3");
}

#[test]
fn the_pool_is_shown_by_what_its_workers_do() {
    let metrics = Metrics::new();
    metrics.workers("processing", 3);
    metrics.workers("idle", 1);
    metrics.worker_load(0.25);
    assert_has(&metrics, r#"campanile_workers{state="processing"} 3"#);
    assert_has(&metrics, r#"campanile_workers{state="idle"} 1"#);
    assert_has(&metrics, "campanile_worker_load 0.25");
}

#[test]
fn attempts_and_calls_are_told_apart_by_how_they_ended() {
    let metrics = Metrics::new();
    let plugin = PluginName::new("slack").expect("a name");
    let fault = AttemptEnd::Fault { fault: Fault::OutOfFuel, message: String::new() };
    let used = PluginUse { duration: Duration::from_micros(20), fuel: 12_000, memory_bytes: 131_072 };
    for end in [&sent(), &fault] {
        metrics.attempt_ended(&ops(), end);
        metrics.plugin_called(&plugin, &semver::Version::new(1, 2, 3), end, used);
    }
    assert_has(&metrics, r#"campanile_attempts_total{channel="ops",outcome="sent"} 1"#);
    assert_has(&metrics, r#"campanile_attempts_total{channel="ops",outcome="out-of-fuel"} 1"#);
    assert_has(&metrics, r#"campanile_plugin_calls_total{plugin="slack",version="1.2.3",result="out-of-fuel"} 1"#);
    assert_has(&metrics, r#"campanile_plugin_fuel_count{plugin="slack"} 2"#);
}

#[test]
fn a_delivery_is_counted_once_it_is_final() {
    let metrics = Metrics::new();
    let retrying = Waiting { attempts: 1, retries_used: 1, ..Waiting::fresh(NOW) };
    metrics.delivery_settled(&ops(), &DeliveryState::Waiting(retrying), Duration::ZERO);
    assert!(!metrics.encode().contains(r#"outcome="failed"} 1"#));
    let dead = DeliveryState::Failed { at: NOW, attempts: 2, reason: FailReason::Expired };
    metrics.delivery_settled(&ops(), &dead, Duration::ZERO);
    assert_has(&metrics, r#"campanile_deliveries_total{channel="ops",outcome="failed"} 1"#);
}

#[test]
fn labels_are_what_the_catalogue_says() {
    let metrics = Metrics::new();
    metrics.egress(&PluginName::new("slack").expect("a name"), EgressResult::Denied);
    metrics.event("delivery.sent");
    metrics.http_request("/v1/notifications/{id}", 404);
    metrics.committed(64, Duration::from_millis(2));
    assert_has(&metrics, r#"campanile_egress_total{plugin="slack",result="denied"} 1"#);
    assert_has(&metrics, r#"campanile_events_total{type="delivery.sent"} 1"#);
    assert_has(&metrics, r#"campanile_http_requests_total{route="/v1/notifications/{id}",status="404"} 1"#);
    assert_has(&metrics, "campanile_store_batch_size_sum 64.0");
}

#[test]
fn breakers_are_told_by_channel_and_those_that_are_gone_are_not() {
    let (metrics, at) = (Metrics::new(), Timestamp::from_millis(1));
    let named = |name: &str| ChannelName::new(name).expect("a name");
    let states = [
        ("closed", BreakerState::Closed),
        ("half-open", BreakerState::HalfOpen { since: at }),
        ("open", BreakerState::Open { since: at, until: at }),
        ("disabled", BreakerState::Disabled { since: at }),
    ];
    metrics.breaker_states(states.map(|(name, state)| (named(name), state)));
    for (value, (name, _)) in states.iter().enumerate() {
        assert_has(&metrics, &format!(r#"campanile_breaker_state{{channel="{name}"}} {value}"#));
    }
    metrics.breaker_states([(named("disabled"), BreakerState::Closed)]);
    assert_has(&metrics, r#"campanile_breaker_state{channel="disabled"} 0"#);
    assert!(!metrics.encode().contains(r#"channel="open""#));
}

#[test]
fn a_catalogue_that_is_off_counts_nothing() {
    let metrics = Metrics::off();
    metrics.notification_accepted(Priority::Low);
    assert_has(&metrics, r#"campanile_notifications_accepted_total{priority="low"} 0"#);
}
