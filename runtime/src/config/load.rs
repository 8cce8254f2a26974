//! From the tree to the sections: types here, ranges and relations in `check`.

mod callbacks;
mod gates;
mod retry;
mod section;
mod value;
mod webhook;

use std::path::PathBuf;

use super::tree::Table;
use super::{
    AuditConfig, CallLimits, ChannelConfig, Config, Durability, EventsConfig, Examined, PluginsConfig, Problem,
    ServerConfig, StoreConfig, TemplatesConfig, WorkersConfig, check,
};
use crate::domain::{ChannelName, PluginName};
use section::{Reader, Section};

/// Reads a configuration and checks it. `problems` are those found on the way to the tree.
pub(super) fn read(root: Table, problems: Vec<Problem>, file: Option<PathBuf>) -> Examined {
    let mut reader = Reader::new(problems);
    let mut config = Config::default();
    reader.root(root, |root| {
        root.section("server", |section| server(section, &mut config.server));
        root.section("store", |section| store(section, &mut config.store));
        root.section("plugins", |section| plugins(section, &mut config.plugins));
        root.section("events", |section| {
            let EventsConfig { retention, size_max } = &mut config.events;
            section.key("retention", retention, value::duration);
            section.key("size_max", size_max, |scalar| value::size(scalar).map(Some));
        });
        root.section("audit", |section| {
            let AuditConfig { retention, size_max } = &mut config.audit;
            section.key("retention", retention, value::duration);
            section.key("size_max", size_max, |scalar| value::size(scalar).map(Some));
        });
        root.section("templates", |section| templates(section, &mut config.templates));
        root.section("workers", |section| workers(section, &mut config.workers));
        root.section("breaker", |section| gates::breaker(section, &mut config.breaker));
        root.section("callbacks", |section| callbacks::callbacks(section, &mut config));
        root.section("retry", |policies| {
            policies.each(|name, section| {
                config.retry.insert(name.to_owned(), retry::policy(section, name));
            });
        });
        root.section("channels", |channels| {
            channels.each(|name, section| match ChannelName::new(name) {
                Ok(name) => {
                    config.channels.insert(name, channel(section, config.plugins.defaults));
                }
                Err(error) => section.refuse(&error.to_string()),
            });
        });
    });
    reader.add(check::check(&config));
    reader.warn(check::in_vain(&config));
    let Reader { mut problems, warnings, places } = reader;
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Examined { config, file, places, problems, warnings }
}

fn server(section: &mut Section<'_>, into: &mut ServerConfig) {
    let ServerConfig { listen, body_max, batch_body_max, shutdown_timeout } = into;
    section.key("listen", listen, value::address);
    section.key("body_max", body_max, value::size);
    section.key("batch_body_max", batch_body_max, value::size);
    section.key("shutdown_timeout", shutdown_timeout, value::duration);
}

fn store(section: &mut Section<'_>, into: &mut StoreConfig) {
    let StoreConfig { path, durability, dedupe_window, retention, size_max } = into;
    section.key("url", path, value::store_url);
    if section.key("durability", durability, value::durability) && *durability == Durability::Memory {
        let message = "is `memory`: what was accepted is lost when the process ends, however it ends";
        section.warn("durability", message, "set `durability = \"full\"` unless that is meant");
    }
    section.key("dedupe_window", dedupe_window, value::duration);
    section.key("retention", retention, value::duration);
    section.key("size_max", size_max, |scalar| value::size(scalar).map(Some));
}

fn plugins(section: &mut Section<'_>, into: &mut PluginsConfig) {
    let PluginsConfig { dir, bundled_dir, watch, cache_dir, trust, trusted_keys, defaults } = into;
    section.key("dir", dir, value::path);
    section.key("bundled_dir", bundled_dir, |scalar| value::path(scalar).map(Some));
    section.key("watch", watch, value::boolean);
    section.key("cache_dir", cache_dir, value::path);
    section.key("trust", trust, value::trust);
    section.entries("trusted_keys", trusted_keys, value::trusted_key);
    section.section("defaults", |section| limits(section, defaults));
}

fn limits(section: &mut Section<'_>, into: &mut CallLimits) {
    let CallLimits { cpu_time, fuel, memory, timeout, egress_calls, response_max, log_max } = into;
    let is_timed = section.key("cpu_time", cpu_time, value::duration);
    if is_timed {
        // Whoever sets a time here does not mean the fuel of the defaults.
        *fuel = None;
    }
    if section.key("fuel", fuel, |scalar| value::integer(scalar).map(Some)) && is_timed {
        let message = "is of no use: `fuel` is set as well, and counts in its place";
        section.warn("cpu_time", message, "keep one of the two lines");
    }
    section.key("memory", memory, value::size);
    section.key("timeout", timeout, value::duration);
    section.key("egress_calls", egress_calls, value::integer);
    section.key("response_max", response_max, value::size);
    section.key("log_max", log_max, value::size);
}

fn channel(section: &mut Section<'_>, defaults: CallLimits) -> ChannelConfig {
    let mut plugin = None;
    section.key("plugin", &mut plugin, |scalar| value::name(scalar, PluginName::new).map(Some));
    section.require("plugin", "name one: `plugin = \"webhook\"`");
    // A stand-in where none was named, so that the rest is checked too; with a problem found, nobody gets to see it.
    let plugin = plugin.unwrap_or_else(|| PluginName::new("none").expect("`none` is a name"));
    let mut channel = ChannelConfig::new(plugin, defaults);
    section.key("enabled", &mut channel.enabled, value::boolean);
    section.json("config", &mut channel.config);
    section.secrets("secrets", &mut channel.secrets);
    section.key("allow_hosts", &mut channel.allow_hosts, value::list);
    section.key("allow_networks", &mut channel.allow_networks, value::list);
    section.key("deny", &mut channel.deny, value::list);
    section.key("kv_max", &mut channel.kv_max, value::size);
    section.key("retry", &mut channel.retry, value::string);
    section.key("priority", &mut channel.priority, |scalar| value::priority(scalar).map(Some));
    section.key("canary", &mut channel.canary, |scalar| value::percent(scalar).map(Some));
    gates::channel(section, &mut channel.gates);
    limits(section, &mut channel.limits);
    channel
}

fn templates(section: &mut Section<'_>, into: &mut TemplatesConfig) {
    let TemplatesConfig { dir, strict } = into;
    section.key("dir", dir, value::path);
    section.key("strict", strict, value::boolean);
}

fn workers(section: &mut Section<'_>, into: &mut WorkersConfig) {
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
    } = into;
    let min_is_set = section.key("min", min, value::integer);
    section.key("max", max, value::integer);
    if !min_is_set {
        // Whoever sets a small `max` means just that.
        *min = (*min).min(*max);
    }
    section.key("per_worker", per_worker, value::integer);
    section.key("target_load", target_load, value::number);
    section.key("scale_up_after", scale_up_after, value::duration);
    section.key("scale_down_load", scale_down_load, value::number);
    section.key("scale_down_after", scale_down_after, value::duration);
    section.key("idle_after", idle_after, value::duration);
    section.key("health_check", health_check, value::duration);
    section.key("batch", batch, value::integer);
    section.key("strategy", strategy, value::balance);
}

#[cfg(test)]
mod tests;
