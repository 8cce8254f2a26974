//! The effective configuration as TOML, every key with its value.

mod callback_url;
mod webhook;

use std::fmt::{Display, Write as _};
use std::path::Path;
use std::time::Duration;

use serde_json::Value as Json;

use super::{
    BreakerConfig, CallLimits, CallbacksConfig, ChannelConfig, ChannelGates, Config, PluginsConfig, ServerConfig,
    StoreConfig, TemplatesConfig, WorkersConfig, format_duration, format_size,
};
use crate::domain::{Backoff, BreakerPolicy, Jitter, RetryPolicy};

/// Whether what may be a secret is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// Every text of a channel's `config` is `***`.
    Masked,
    /// As they are: for code that reads the result back.
    Shown,
}

const MASK: &str = "***";

/// Every section, in the order of the struct.
pub(super) fn print(config: &Config, secrets: Secrets) -> String {
    let Config {
        server,
        store,
        plugins,
        channels,
        events,
        audit,
        templates,
        workers,
        breaker,
        retry,
        callbacks,
        callback_urls,
        webhooks,
    } = config;
    let mut page = Page::default();
    page.server(server);
    page.store(store);
    page.plugins(plugins);
    page.section("events");
    page.kept(events.retention, events.size_max);
    page.section("audit");
    page.kept(audit.retention, audit.size_max);
    page.templates(templates);
    page.workers(*workers);
    page.breaker(breaker);
    page.callbacks(callbacks);
    page.callback_urls(callback_urls);
    for (name, policy) in retry {
        page.policy(name, policy);
    }
    for (name, channel) in channels {
        page.section(&format!("channels.{name}"));
        page.channel(channel, secrets);
    }
    for webhook in webhooks {
        page.webhook(webhook, secrets);
    }
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn section(&mut self, name: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.0, "{gap}[{name}]");
    }

    /// `value` as it stands in TOML.
    fn raw(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn text(&mut self, key: &str, value: impl Into<String>) {
        self.raw(key, toml::Value::String(value.into()));
    }

    fn path(&mut self, key: &str, value: &Path) {
        self.text(key, value.to_string_lossy());
    }

    fn server(&mut self, server: &ServerConfig) {
        let ServerConfig { listen, body_max, batch_body_max, shutdown_timeout } = server;
        self.section("server");
        self.text("listen", listen.to_string());
        self.text("body_max", format_size(*body_max));
        self.text("batch_body_max", format_size(*batch_body_max));
        self.text("shutdown_timeout", format_duration(*shutdown_timeout));
    }

    fn store(&mut self, store: &StoreConfig) {
        let StoreConfig { path, durability, dedupe_window, retention, size_max } = store;
        self.section("store");
        self.text("url", format!("sqlite://{}", path.to_string_lossy()));
        self.text("durability", durability.as_str());
        self.text("dedupe_window", format_duration(*dedupe_window));
        self.kept(*retention, *size_max);
    }

    /// For how long, and how much of it.
    fn kept(&mut self, retention: Duration, size_max: Option<u64>) {
        self.text("retention", format_duration(retention));
        if let Some(bytes) = size_max {
            self.text("size_max", format_size(bytes));
        }
    }

    fn plugins(&mut self, plugins: &PluginsConfig) {
        let PluginsConfig { dir, bundled_dir, watch, cache_dir, trust, trusted_keys, defaults } = plugins;
        self.section("plugins");
        self.path("dir", dir);
        if let Some(dir) = bundled_dir {
            self.path("bundled_dir", dir);
        }
        self.raw("watch", watch);
        self.path("cache_dir", cache_dir);
        self.text("trust", trust.as_str());
        let keys = trusted_keys.iter().map(|key| toml::Value::String(key.to_string()));
        self.raw("trusted_keys", toml::Value::Array(keys.collect()));
        self.section("plugins.defaults");
        self.limits(*defaults);
    }

    fn limits(&mut self, limits: CallLimits) {
        let CallLimits { cpu_time, fuel, memory, timeout, egress_calls, response_max, log_max } = limits;
        self.text("cpu_time", format_duration(cpu_time));
        if let Some(fuel) = fuel {
            self.raw("fuel", fuel);
        }
        self.text("memory", format_size(memory));
        self.text("timeout", format_duration(timeout));
        self.raw("egress_calls", egress_calls);
        self.text("response_max", format_size(response_max));
        self.text("log_max", format_size(log_max));
    }

    fn templates(&mut self, templates: &TemplatesConfig) {
        let TemplatesConfig { dir, strict } = templates;
        self.section("templates");
        self.path("dir", dir);
        self.raw("strict", strict);
    }

    fn workers(&mut self, workers: WorkersConfig) {
        let WorkersConfig {
            min,
            max,
            per_worker,
            target_load,
            scale_up_after,
            scale_down_load,
            scale_down_after,
            idle_after,
            health_check,
            batch,
            strategy,
        } = workers;
        self.section("workers");
        self.raw("min", min);
        self.raw("max", max);
        self.raw("per_worker", per_worker);
        self.raw("target_load", toml::Value::Float(target_load));
        self.text("scale_up_after", format_duration(scale_up_after));
        self.raw("scale_down_load", toml::Value::Float(scale_down_load));
        self.text("scale_down_after", format_duration(scale_down_after));
        self.text("idle_after", format_duration(idle_after));
        self.text("health_check", format_duration(health_check));
        self.raw("batch", batch);
        self.text("strategy", strategy.as_str());
    }

    fn breaker(&mut self, breaker: &BreakerConfig) {
        let BreakerConfig { enabled, policy, slow_after, fallback_after } = breaker;
        let BreakerPolicy {
            failure_rate,
            slow_rate,
            slow_after: _,
            minimum_calls,
            consecutive,
            window,
            open_for,
            open_max,
            half_open_calls,
            disable_after,
        } = policy;
        self.section("breaker");
        self.raw("enabled", enabled);
        self.raw("failure_rate", toml::Value::Float(*failure_rate));
        self.raw("slow_rate", toml::Value::Float(*slow_rate));
        if let Some(slow_after) = slow_after {
            self.text("slow_after", format_duration(*slow_after));
        }
        self.raw("minimum_calls", minimum_calls);
        self.raw("consecutive", consecutive);
        self.text("window", format_duration(*window));
        self.text("open_for", format_duration(*open_for));
        self.text("open_max", format_duration(*open_max));
        self.raw("half_open_calls", half_open_calls);
        self.text("disable_after", format_duration(*disable_after));
        self.text("fallback_after", format_duration(*fallback_after));
    }

    fn callbacks(&mut self, callbacks: &CallbacksConfig) {
        let CallbacksConfig { workers, queue, when_full, wait, timeout, retry, retention, dead_letters_max } =
            callbacks;
        self.section("callbacks");
        self.raw("workers", workers);
        self.raw("queue", queue);
        self.text("when_full", when_full.as_str());
        self.text("wait", format_duration(*wait));
        self.text("timeout", format_duration(*timeout));
        self.text("retry", retry.clone());
        self.text("retention", format_duration(*retention));
        self.raw("dead_letters_max", dead_letters_max);
    }

    fn gates(&mut self, gates: &ChannelGates) {
        let ChannelGates { rate_limit, per_recipient_rate, per_host_rate, concurrency, fallback } = gates;
        let rates =
            [("rate_limit", rate_limit), ("per_recipient_rate", per_recipient_rate), ("per_host_rate", per_host_rate)];
        if rate_limit.is_none() {
            let _ =
                writeln!(self.0, "# no `rate_limit`: as fast as its plugin says that its provider allows, if it does");
        }
        for (key, rate) in rates {
            if let Some(rate) = rate {
                self.text(key, rate.to_string());
            }
        }
        if let Some(concurrency) = concurrency {
            self.raw("concurrency", concurrency);
        }
        let names = fallback.iter().map(|name| toml::Value::String(name.to_string()));
        self.raw("fallback", toml::Value::Array(names.collect()));
    }

    fn policy(&mut self, name: &str, policy: &RetryPolicy) {
        let RetryPolicy { backoff, max_retries, jitter, max_age } = policy;
        self.section(&format!("retry.{name}"));
        self.text("strategy", backoff.as_str());
        match backoff {
            Backoff::Exponential { initial, factor, max_interval } => {
                self.text("initial", format_duration(*initial));
                self.raw("factor", toml::Value::Float(*factor));
                self.text("max_interval", format_duration(*max_interval));
            }
            Backoff::Linear { initial, max_interval } | Backoff::Fibonacci { initial, max_interval } => {
                self.text("initial", format_duration(*initial));
                self.text("max_interval", format_duration(*max_interval));
            }
            Backoff::Fixed { interval } => self.text("initial", format_duration(*interval)),
            Backoff::Schedule { waits } => {
                let waits = waits.iter().map(|wait| toml::Value::String(format_duration(*wait))).collect();
                self.raw("waits", toml::Value::Array(waits));
            }
        }
        self.raw("max_retries", max_retries);
        match jitter {
            Jitter::None => self.text("jitter", "none"),
            Jitter::Full => self.text("jitter", "full"),
            Jitter::Equal => self.text("jitter", "equal"),
            Jitter::Plus(share) => self.raw("jitter", toml::Value::Float(*share)),
            Jitter::PlusMinus(share) => self.text("jitter", format!("±{share}")),
        }
        self.text("max_age", format_duration(*max_age));
    }

    fn channel(&mut self, channel: &ChannelConfig, secrets: Secrets) {
        let ChannelConfig {
            plugin,
            enabled,
            config,
            secrets: references,
            allow_hosts,
            allow_networks,
            deny,
            kv_max,
            retry,
            priority,
            canary,
            gates,
            limits,
        } = channel;
        let list = |items: &[String]| toml::Value::Array(items.iter().cloned().map(toml::Value::String).collect());
        self.text("plugin", plugin.as_str());
        self.raw("enabled", enabled);
        self.raw("config", toml::Value::Table(table(config, secrets)));
        if !references.is_empty() {
            let written = references.iter().map(|(key, grant)| (key.clone(), grant.written())).collect();
            self.raw("secrets", toml::Value::Table(written));
        }
        self.raw("allow_hosts", list(allow_hosts));
        self.raw("allow_networks", list(allow_networks));
        self.raw("deny", list(deny));
        self.text("kv_max", format_size(*kv_max));
        self.text("retry", retry.clone());
        if let Some(priority) = priority {
            self.text("priority", priority.as_str());
        }
        if let Some(percent) = canary {
            self.text("canary", format!("{percent}%"));
        }
        self.gates(gates);
        self.limits(*limits);
    }
}

fn table(map: &serde_json::Map<String, Json>, secrets: Secrets) -> toml::Table {
    map.iter().filter_map(|(key, value)| Some((key.clone(), value_of(value, secrets)?))).collect()
}

/// `None` for null, which TOML does not have: a key that is not there says the same to a plugin.
fn value_of(value: &Json, secrets: Secrets) -> Option<toml::Value> {
    Some(match value {
        Json::Null => return None,
        Json::Bool(value) => toml::Value::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(integer) => toml::Value::Integer(integer),
            None => toml::Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => toml::Value::String(match secrets {
            Secrets::Masked => MASK.to_owned(),
            Secrets::Shown => text.clone(),
        }),
        Json::Array(items) => toml::Value::Array(items.iter().filter_map(|item| value_of(item, secrets)).collect()),
        Json::Object(map) => toml::Value::Table(table(map, secrets)),
    })
}

#[cfg(test)]
mod tests;
