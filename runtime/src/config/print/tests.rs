//! The defaults as everyone sees them, and the way there and back.

use std::path::PathBuf;
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::Secrets;
use crate::config::{CallLimits, ChannelConfig, Config, Source, WorkersConfig};
use crate::domain::{Backoff, ChannelName, Jitter, PluginName, Priority, RetryPolicy};

#[test]
fn the_defaults_are_these() {
    // All but the number of workers, which is twice that of the machine's cores.
    let workers = WorkersConfig { max: 4, ..WorkersConfig::default() };
    let printed = Config { workers, ..Config::default() }.to_toml(Secrets::Masked);
    let sections = printed.split("\n[retry.").next().expect("the first part");
    assert_snapshot!(sections, @r#"
    [server]
    listen = "127.0.0.1:7433"
    body_max = "4MiB"
    batch_body_max = "64MiB"
    shutdown_timeout = "30s"

    [store]
    url = "sqlite://data/campanile.db"
    durability = "full"
    dedupe_window = "5m"
    retention = "30d"

    [plugins]
    dir = "plugins-enabled"
    watch = true
    cache_dir = "data/plugin-cache"
    trust = "off"
    trusted_keys = []

    [plugins.defaults]
    cpu_time = "200ms"
    memory = "64MiB"
    timeout = "10s"
    egress_calls = 8
    response_max = "1MiB"
    log_max = "16KiB"

    [events]
    retention = "7d"

    [audit]
    retention = "90d"

    [templates]
    dir = "templates"
    strict = true

    [workers]
    min = 2
    max = 4
    per_worker = 64
    target_load = 0.7
    scale_up_after = "5s"
    scale_down_load = 0.35
    scale_down_after = "30s"
    idle_after = "1m"
    health_check = "10s"
    batch = 10
    strategy = "pull"

    [breaker]
    enabled = true
    failure_rate = 0.5
    slow_rate = 0.8
    minimum_calls = 10
    consecutive = 5
    window = "30s"
    open_for = "10s"
    open_max = "5m"
    half_open_calls = 3
    disable_after = "3d"
    fallback_after = "1m"

    [callbacks]
    workers = 10
    queue = 100
    when_full = "wait"
    wait = "100ms"
    timeout = "10s"
    retry = "callback"
    retention = "30d"
    dead_letters_max = 100000
    events = ["delivery.sent", "delivery.failed", "notification.completed"]
    allow_networks = []
    "#);
}

#[test]
fn the_policies_that_are_always_there_are_these() {
    let printed = Config::default().to_toml(Secrets::Shown);
    let policies = printed.find("[retry.").map(|start| &printed[start..]).expect("policies");
    assert_snapshot!(policies, @r#"
    [retry.aggressive]
    strategy = "exponential"
    initial = "200ms"
    factor = 2.0
    max_interval = "2s"
    max_retries = 4
    jitter = 0.1
    max_age = "3d"

    [retry.callback]
    strategy = "exponential"
    initial = "1s"
    factor = 2.0
    max_interval = "30s"
    max_retries = 3
    jitter = 0.1
    max_age = "3d"

    [retry.conservative]
    strategy = "linear"
    initial = "30s"
    max_interval = "5m"
    max_retries = 1
    jitter = 0.1
    max_age = "3d"

    [retry.default]
    strategy = "exponential"
    initial = "1s"
    factor = 2.0
    max_interval = "5m"
    max_retries = 5
    jitter = 0.1
    max_age = "3d"

    [retry.email]
    strategy = "schedule"
    waits = ["1m", "5m", "25m"]
    max_retries = 3
    jitter = 0.1
    max_age = "3d"

    [retry.standard]
    strategy = "exponential"
    initial = "1s"
    factor = 2.0
    max_interval = "5m"
    max_retries = 2
    jitter = "full"
    max_age = "3d"

    [retry.standard-webhooks]
    strategy = "schedule"
    waits = ["5s", "5m", "30m", "2h", "5h", "10h", "14h", "20h", "1d"]
    max_retries = 9
    jitter = 0.1
    max_age = "4d"

    [retry.webhook]
    strategy = "schedule"
    waits = ["5s", "30s"]
    max_retries = 2
    jitter = 0.1
    max_age = "3d"
    "#);
}

#[test]
fn every_text_of_a_channels_config_is_masked_however_deep() {
    let plugin = PluginName::new("webhook").expect("a name");
    let mut channel = ChannelConfig::new(plugin, CallLimits::default());
    let config = serde_json::json!({ "url": "canary", "list": ["canary", 1, null], "in": { "deep": "canary" } });
    channel.config = config.as_object().expect("an object").clone();
    let name = ChannelName::new("ops").expect("a name");
    let printed = Config { channels: [(name, channel)].into(), ..Config::default() }.to_toml(Secrets::Masked);
    assert!(!printed.contains("canary"));
    let line = printed.lines().find(|line| line.starts_with("config")).expect("a line");
    assert_snapshot!(line, @r#"config = { in = { deep = "***" }, list = ["***", 1], url = "***" }"#);
}

fn millis(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn limits() -> impl Strategy<Value = CallLimits> {
    let fuel = proptest::option::of(1..=i64::MAX as u64);
    let sizes = (1_u64 << 16..=1 << 32, 1_u64..=1 << 16, 0_u64..=1 << 20);
    (millis(1..=60_000), fuel, millis(1..=3_600_000), 0_u32..=1_000, sizes).prop_map(
        |(cpu_time, fuel, timeout, egress_calls, (memory, response_max, log_max))| CallLimits {
            cpu_time,
            fuel,
            memory,
            timeout,
            egress_calls,
            response_max,
            log_max,
        },
    )
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let max_interval = Duration::from_secs(1);
    prop_oneof![
        (millis(1..=1_000), 1.0..=100.0_f64).prop_map(move |(initial, factor)| Backoff::Exponential {
            initial,
            factor,
            max_interval
        }),
        millis(1..=1_000).prop_map(move |initial| Backoff::Linear { initial, max_interval }),
        millis(1..=1_000).prop_map(move |initial| Backoff::Fibonacci { initial, max_interval }),
        millis(1..=1_000).prop_map(|interval| Backoff::Fixed { interval }),
        proptest::collection::vec(millis(1..=1_000_000), 1..=100).prop_map(|waits| Backoff::Schedule { waits }),
    ]
}

fn jitter() -> impl Strategy<Value = Jitter> {
    prop_oneof![
        proptest::sample::select(vec![Jitter::None, Jitter::Full, Jitter::Equal]),
        (0.0..=1.0_f64).prop_map(Jitter::Plus),
        (0.0..=1.0_f64).prop_map(Jitter::PlusMinus),
    ]
}

fn policy() -> impl Strategy<Value = RetryPolicy> {
    (backoff(), 0_u32..=10_000, jitter(), millis(1..=1_000_000))
        .prop_map(|(backoff, max_retries, jitter, max_age)| RetryPolicy { backoff, max_retries, jitter, max_age })
}

/// Texts that TOML has to escape among them.
fn text() -> impl Strategy<Value = String> {
    any::<String>()
}

fn channel() -> impl Strategy<Value = ChannelConfig> {
    let config = proptest::collection::btree_map(text(), text(), 0..4);
    let priority = proptest::option::of(proptest::sample::select(Priority::DESCENDING.to_vec()));
    (config, priority, limits(), any::<i64>(), any::<bool>()).prop_map(|(config, priority, limits, number, flag)| {
        let plugin = PluginName::new("webhook").expect("a name");
        let mut channel = ChannelConfig { priority, enabled: flag, ..ChannelConfig::new(plugin, limits) };
        channel.config = config.into_iter().map(|(key, value)| (key, value.into())).collect();
        channel.config.insert("more".to_owned(), serde_json::json!({ "n": [number, 0.5], "flag": flag }));
        channel
    })
}

proptest! {
    #[test]
    fn any_configuration_that_is_good_survives_printing_and_loading(
        defaults in limits(), policy in policy(), channel in channel(), path in "[a-z \"'\\\\é]{1,20}",
    ) {
        let mut config = Config::default();
        // A stop waits for every call.
        config.server.shutdown_timeout = Duration::from_hours(1);
        config.plugins.defaults = defaults;
        config.store.path = PathBuf::from(path);
        config.retry.insert("default".to_owned(), policy);
        config.channels.insert(ChannelName::new("ops").expect("a name"), channel);
        prop_assert_eq!(config.check(), Ok(()));
        let printed = config.to_toml(Secrets::Shown);
        let loaded = Source::new().text("printed.toml", printed.clone()).load();
        prop_assert_eq!(loaded.map(|loaded| loaded.config), Ok(config), "{}", printed);
    }
}
