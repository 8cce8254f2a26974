//! Ranges and relations, on the values: what a configuration made in code has to pass as much as one from a file.

mod callback_url;
mod callbacks;
mod egress;
mod gates;
mod retry;
mod vain;
mod webhook;
mod workers;

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

pub(super) use vain::in_vain;

use super::nearest::nearest;
use super::{
    CallLimits, ChannelConfig, Config, DENIABLE, Place, PluginsConfig, Problem, ServerConfig, StoreConfig,
    TemplatesConfig, Trust, format_duration, format_size,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

/// Room for one small notification, and what a process can hold of many requests at once.
const BODY: RangeInclusive<u64> = 1 << 10..=1 << 30;
/// Longer than any process manager waits before it kills.
const SHUTDOWN_TIMEOUT: RangeInclusive<Duration> = Duration::ZERO..=HOUR;
/// Below a second nothing is the same news; a key is kept as long as an idempotency key at most.
const DEDUPE_WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=DAY;
/// From what a reader that was away for a while needs to what no law asks for longer.
const RETENTION: RangeInclusive<Duration> = HOUR..=Duration::from_hours(10 * 365 * 24);
/// The same, and a notification is there for as long as its idempotency key holds: its first answer is made of it.
const KEPT: RangeInclusive<Duration> = DAY..=Duration::from_hours(10 * 365 * 24);
/// Below it a few large notifications are too much; SQLite's own limit is far above what is written here.
const STORE_SIZE: RangeInclusive<u64> = 16 << 20..=64 << 40;
/// Some ten thousand events or entries, up to all that the database may take.
const PART_SIZE: RangeInclusive<u64> = 1 << 20..=64 << 40;
/// A call is a request or two: one that takes longer should answer `accepted`.
const CALL_TIMEOUT: RangeInclusive<Duration> = MILLISECOND..=CallLimits::TIMEOUT_MAX;
/// A minute of CPU for one message is a defect.
const CPU_TIME: RangeInclusive<Duration> = MILLISECOND..=CallLimits::CPU_TIME_MAX;
/// Fuel is written in TOML, whose integers end here.
const FUEL: RangeInclusive<u64> = 1..=CallLimits::FUEL_MAX;
/// From one page to all that a 32-bit guest can address.
const MEMORY: RangeInclusive<u64> = 64 << 10..=CallLimits::MEMORY_MAX;
/// Each is tried on no file but the ones that name it; people whose word counts are few.
const TRUSTED_KEYS_MAX: usize = 32;
/// 0 for a plugin that is to reach nothing.
const EGRESS_CALLS: RangeInclusive<u32> = 0..=CallLimits::EGRESS_CALLS_MAX;
/// A reply is held by host and guest at once.
const RESPONSE: RangeInclusive<u64> = 1..=256 << 20;
/// 0 drops all output; a log is no store.
const LOG: RangeInclusive<u64> = 0..=1 << 20;
/// 0 keeps nothing; what is over a gigabyte belongs into a database of its own.
const KV: RangeInclusive<u64> = 0..=ChannelConfig::KV_MAX;
/// Below 1 % a version would never prove itself; above half it is no trial.
const CANARY: RangeInclusive<u8> = 1..=50;
/// A problem that does not know its place yet.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) key: String,
    message: String,
    hint: Option<String>,
}

impl Finding {
    fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }

    pub(super) fn at(self, place: Place) -> Problem {
        let problem = Problem::new(place, self.key, self.message);
        match self.hint {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }
}

/// Everything that is out of range or at odds.
pub(super) fn check(config: &Config) -> Vec<Finding> {
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
        callbacks: _,
        callback_urls,
        webhooks: _,
    } = config;
    let mut findings = Findings::default();
    findings.server(server);
    findings.drain(config);
    findings.store(store);
    findings.plugins(plugins);
    findings.part("events", events.retention, events.size_max, store.size_max);
    findings.part("audit", audit.retention, audit.size_max, store.size_max);
    findings.templates(templates);
    findings.workers(*workers);
    findings.breaker(breaker, longest_timeout(config));
    for (name, policy) in retry {
        findings.policy(name, policy);
    }
    for (name, channel) in channels {
        findings.channel(&format!("channels.{name}"), channel, config);
    }
    findings.fallback_cycles(channels);
    findings.callbacks(config);
    findings.callback_urls(callback_urls);
    findings.webhooks(config);
    findings.0
}

/// What a call of any channel may take at most.
fn longest_timeout(config: &Config) -> Duration {
    let own = config.channels.values().map(|channel| channel.limits.timeout);
    own.fold(config.plugins.defaults.timeout, Duration::max)
}

#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, key: impl Into<String>, message: impl Into<String>) -> &mut Finding {
        self.0.push(Finding { key: key.into(), message: message.into(), hint: None });
        // Just pushed.
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn within<T: PartialOrd + Copy, S: Display>(
        &mut self,
        key: impl Into<String>,
        value: T,
        range: &RangeInclusive<T>,
        show: impl Fn(&T) -> S,
    ) {
        if !range.contains(&value) {
            let (value, least, most) = (show(&value), show(range.start()), show(range.end()));
            self.add(key, format!("is `{value}`, the limits are `{least}` to `{most}`"));
        }
    }

    fn durations(&mut self, key: impl Into<String>, value: Duration, range: &RangeInclusive<Duration>) {
        self.within(key, value, range, |duration| format_duration(*duration));
    }

    fn sizes(&mut self, key: impl Into<String>, value: u64, range: &RangeInclusive<u64>) {
        self.within(key, value, range, |size| format_size(*size));
    }

    fn server(&mut self, server: &ServerConfig) {
        let ServerConfig { listen, body_max, batch_body_max, shutdown_timeout } = server;
        if !listen.ip().to_canonical().is_loopback() {
            let message =
                format!("is `{listen}`, open to other machines, and without API keys anybody there could send");
            self.add("server.listen", message).hint("listen on `127.0.0.1` or `[::1]`");
        }
        self.sizes("server.body_max", *body_max, &BODY);
        self.sizes("server.batch_body_max", *batch_body_max, &BODY);
        if batch_body_max < body_max {
            let (batch, single) = (format_size(*batch_body_max), format_size(*body_max));
            self.add("server.batch_body_max", format!("is `{batch}`, less than `body_max`, which is `{single}`"));
        }
        self.durations("server.shutdown_timeout", *shutdown_timeout, &SHUTDOWN_TIMEOUT);
    }

    /// A call that a stop cuts short is made again after the next start, though its provider may have done as asked.
    fn drain(&mut self, config: &Config) {
        const AGAIN: &str = "a stop would cut such a call short, and the next start would make it again";
        let (stop, default) = (config.server.shutdown_timeout, config.plugins.defaults.timeout);
        let (is, calls) = (format_duration(stop), format_duration(default));
        if stop < default && CALL_TIMEOUT.contains(&default) {
            let message = format!("is `{is}`, less than `timeout` in [plugins.defaults], which is `{calls}`: {AGAIN}");
            let hint = format!("set `shutdown_timeout = \"{calls}\"`, or `timeout = \"{is}\"` in [plugins.defaults]");
            self.add("server.shutdown_timeout", message).hint(hint);
        }
        for (name, channel) in &config.channels {
            let timeout = channel.limits.timeout;
            if stop < timeout && timeout != default && CALL_TIMEOUT.contains(&timeout) {
                let calls = format_duration(timeout);
                let message =
                    format!("is `{calls}`, more than `shutdown_timeout` in [server], which is `{is}`: {AGAIN}");
                let hint = format!("set `shutdown_timeout = \"{calls}\"` in [server], or `timeout = \"{is}\"`");
                self.add(format!("channels.{name}.timeout"), message).hint(hint);
            }
        }
    }

    fn store(&mut self, store: &StoreConfig) {
        if store.path.as_os_str().is_empty() {
            self.add("store.url", "names no file");
        }
        self.durations("store.dedupe_window", store.dedupe_window, &DEDUPE_WINDOW);
        self.durations("store.retention", store.retention, &KEPT);
        if let Some(bytes) = store.size_max {
            self.sizes("store.size_max", bytes, &STORE_SIZE);
        }
    }

    /// What is kept in the database beside the notifications.
    fn part(&mut self, section: &str, retention: Duration, size_max: Option<u64>, store_max: Option<u64>) {
        self.durations(format!("{section}.retention"), retention, &RETENTION);
        let Some(bytes) = size_max else { return };
        self.sizes(format!("{section}.size_max"), bytes, &PART_SIZE);
        if let Some(all) = store_max.filter(|all| *all < bytes) {
            let (part, all) = (format_size(bytes), format_size(all));
            let message = format!("is `{part}`, more than `store.size_max`, which is `{all}` for all there is");
            self.add(format!("{section}.size_max"), message);
        }
    }

    fn plugins(&mut self, plugins: &PluginsConfig) {
        let PluginsConfig { dir, bundled_dir, watch: _, cache_dir, trust, trusted_keys, defaults } = plugins;
        if dir.as_os_str().is_empty() {
            self.add("plugins.dir", "is an empty path");
        }
        if cache_dir == dir || bundled_dir.as_ref() == Some(cache_dir) {
            let message = "is a folder that plugins are loaded from, and what is compiled is never loaded from there";
            self.add("plugins.cache_dir", message).hint("name a folder of its own");
        }
        if *trust != Trust::Off && trusted_keys.is_empty() {
            let message =
                format!("is `{}`, and `trusted_keys` names nobody whose signature would count", trust.as_str());
            self.add("plugins.trust", message).hint(
                "make a key with `campanile plugins keygen FILE` and add the line it prints, or set `trust = \"off\"`",
            );
        }
        if trusted_keys.len() > TRUSTED_KEYS_MAX {
            let message = format!("has {} keys, the limit is {TRUSTED_KEYS_MAX}", trusted_keys.len());
            self.add("plugins.trusted_keys", message)
                .hint("no setting changes that; keep the keys of those who still sign");
        }
        self.limits("plugins.defaults", *defaults, None);
    }

    /// `inherited` where the section is a channel's: what it merely inherits is reported once, where it was set.
    fn limits(&mut self, section: &str, limits: CallLimits, inherited: Option<CallLimits>) {
        let CallLimits { cpu_time, fuel, memory, timeout, egress_calls, response_max, log_max } = limits;
        let key = |key: &str| format!("{section}.{key}");
        let own =
            |is_same: fn(&CallLimits, &CallLimits) -> bool| inherited.is_none_or(|other| !is_same(&limits, &other));
        if own(|one, other| one.cpu_time == other.cpu_time) {
            self.durations(key("cpu_time"), cpu_time, &CPU_TIME);
        }
        if let Some(fuel) = fuel.filter(|_| own(|one, other| one.fuel == other.fuel)) {
            self.within(key("fuel"), fuel, &FUEL, u64::clone);
        }
        if own(|one, other| one.memory == other.memory) {
            self.sizes(key("memory"), memory, &MEMORY);
        }
        if own(|one, other| one.timeout == other.timeout) {
            self.durations(key("timeout"), timeout, &CALL_TIMEOUT);
        }
        if own(|one, other| one.egress_calls == other.egress_calls) {
            self.within(key("egress_calls"), egress_calls, &EGRESS_CALLS, u32::clone);
        }
        if own(|one, other| one.response_max == other.response_max) {
            self.sizes(key("response_max"), response_max, &RESPONSE);
        }
        if own(|one, other| one.log_max == other.log_max) {
            self.sizes(key("log_max"), log_max, &LOG);
        }
        if response_max > memory
            && own(|one, other| (one.response_max, one.memory) == (other.response_max, other.memory))
        {
            let (reply, memory) = (format_size(response_max), format_size(memory));
            self.add(key("response_max"), format!("is `{reply}`, more than `memory`, which is `{memory}`"));
        }
    }

    fn channel(&mut self, section: &str, channel: &ChannelConfig, config: &Config) {
        let ChannelConfig {
            plugin: _,
            enabled: _,
            config: _,
            secrets,
            allow_hosts,
            allow_networks,
            deny,
            kv_max,
            retry,
            priority: _,
            canary,
            gates,
            limits,
        } = channel;
        self.gates(section, gates, &config.channels);
        for (name, grant) in secrets {
            for host in grant.hosts.iter().flatten() {
                if let Err(why) = egress::host_pattern(host) {
                    self.add(format!("{section}.secrets.{name}.hosts"), format!("holds `{host}`, {why}"));
                }
            }
        }
        self.policy_of(format!("{section}.retry"), retry, config);
        if let Some(percent) = canary {
            self.within(format!("{section}.canary"), *percent, &CANARY, |percent| format!("{percent}%"));
        }
        for host in allow_hosts {
            if let Err(why) = egress::host_pattern(host) {
                self.add(format!("{section}.allow_hosts"), format!("has `{host}`, {why}"));
            }
        }
        for network in allow_networks {
            if let Err(why) = egress::network(network) {
                self.add(format!("{section}.allow_networks"), format!("has `{network}`, {why}"));
            }
        }
        for ability in deny.iter().filter(|ability| !DENIABLE.contains(&ability.as_str())) {
            self.add(format!("{section}.deny"), format!("has `{ability}`, expected `{}`", DENIABLE.join("`, `")));
        }
        self.sizes(format!("{section}.kv_max"), *kv_max, &KV);
        self.limits(section, *limits, Some(config.plugins.defaults));
    }

    /// A policy by its name.
    fn policy_of(&mut self, key: impl Into<String>, name: &str, config: &Config) {
        if config.retry.contains_key(name) {
            return;
        }
        let finding = self.add(key, format!("names the policy `{name}`, which does not exist"));
        finding.hint(match nearest(name, config.retry.keys().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("write it as `[retry.{name}]`"),
        });
    }

    fn templates(&mut self, templates: &TemplatesConfig) {
        if templates.dir.as_os_str().is_empty() {
            self.add("templates.dir", "is an empty path");
        }
    }
}
