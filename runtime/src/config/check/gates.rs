//! Limits of `[breaker]`, and of what holds a channel back.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DAY, Findings, HOUR, MILLISECOND};
use crate::config::nearest::nearest;
use crate::config::{BreakerConfig, ChannelConfig, ChannelGates, format_duration};
use crate::domain::{BreakerPolicy, ChannelName};

/// At 0 a breaker would open for nothing; above 1 never.
const SHARE: RangeInclusive<f64> = 0.01..=1.0;
const CALLS: RangeInclusive<u32> = 1..=1_000_000;
/// 0 would hold it for ever: `enabled = false` says that. Above, there are no slots.
const CONCURRENCY: RangeInclusive<u32> = 1..=100_000;
/// Shorter than a second is noise; over an hour is news of the past.
const WINDOW: RangeInclusive<Duration> = Duration::from_secs(1)..=HOUR;
const OPEN: RangeInclusive<Duration> = Duration::from_millis(100)..=HOUR;
const SLOW: RangeInclusive<Duration> = MILLISECOND..=HOUR;
/// Probes that may be under way at once: more is no probe.
const PROBES: RangeInclusive<u32> = 1..=100;
/// From what an operator would notice to what nobody waits for.
const DISABLE: RangeInclusive<Duration> = HOUR..=Duration::from_hours(365 * 24);
const FALLBACK: RangeInclusive<Duration> = Duration::ZERO..=DAY;

impl Findings {
    pub(super) fn breaker(&mut self, breaker: &BreakerConfig, longest_call: Duration) {
        let BreakerConfig { enabled: _, policy, slow_after, fallback_after } = breaker;
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
        self.within("breaker.failure_rate", *failure_rate, &SHARE, f64::clone);
        self.within("breaker.slow_rate", *slow_rate, &SHARE, f64::clone);
        if let Some(slow_after) = slow_after {
            self.durations("breaker.slow_after", *slow_after, &SLOW);
            if *slow_after > longest_call {
                let (slow, longest) = (format_duration(*slow_after), format_duration(longest_call));
                let message =
                    format!("is `{slow}`, and no call takes that long: by their `timeout` they end within `{longest}`");
                self.add("breaker.slow_after", message).hint("set it below the `timeout` of the channels");
            }
        }
        self.within("breaker.minimum_calls", *minimum_calls, &CALLS, u32::clone);
        self.within("breaker.consecutive", *consecutive, &CALLS, u32::clone);
        self.durations("breaker.window", *window, &WINDOW);
        self.durations("breaker.open_for", *open_for, &OPEN);
        self.durations("breaker.open_max", *open_max, &OPEN);
        self.within("breaker.half_open_calls", *half_open_calls, &PROBES, u32::clone);
        self.durations("breaker.disable_after", *disable_after, &DISABLE);
        self.durations("breaker.fallback_after", *fallback_after, &FALLBACK);
        if open_max < open_for {
            let (most, first) = (format_duration(*open_max), format_duration(*open_for));
            self.add("breaker.open_max", format!("is `{most}`, less than `open_for`, which is `{first}`"));
        }
    }

    /// What one channel says of itself.
    pub(super) fn gates(
        &mut self,
        section: &str,
        gates: &ChannelGates,
        channels: &BTreeMap<ChannelName, ChannelConfig>,
    ) {
        // A rate says of itself whether it is one.
        let ChannelGates { rate_limit: _, per_recipient_rate: _, per_host_rate: _, concurrency, fallback } = gates;
        if let Some(concurrency) = concurrency {
            self.within(format!("{section}.concurrency"), *concurrency, &CONCURRENCY, u32::clone);
        }
        let key = format!("{section}.fallback");
        if fallback.len() > ChannelGates::FALLBACK_MAX {
            let message = format!("has {} channels, the limit is {}", fallback.len(), ChannelGates::FALLBACK_MAX);
            self.add(key.clone(), message).hint("keep those that are likely to work when the others do not");
        }
        for (place, name) in fallback.iter().enumerate() {
            if fallback[..place].contains(name) {
                self.add(key.clone(), format!("names `{name}` twice")).hint("once is enough: each is tried once");
            } else if !channels.contains_key(name) {
                let finding = self.add(key.clone(), format!("names the channel `{name}`, which is not configured"));
                finding.hint(match nearest(name.as_str(), channels.keys().map(ChannelName::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("write it as `[channels.{name}]`"),
                });
            }
        }
    }

    /// Channels that stand in for each other in a circle would hand a message round.
    pub(super) fn fallback_cycles(&mut self, channels: &BTreeMap<ChannelName, ChannelConfig>) {
        for start in channels.keys() {
            if let Some(way) = way_back(start, channels)
                // Each circle is told once, at the first of its channels.
                && way.iter().all(|name| start <= name)
            {
                let way: Vec<String> = way.iter().map(|name| format!("`{name}`")).collect();
                let message = format!("leads back to itself: `{start}` → {}", way.join(" → "));
                self.add(format!("channels.{start}.fallback"), message)
                    .hint("take one of them out of the other's `fallback`: a message is never handed round");
            }
        }
    }
}

/// The way from one channel over what stands in for it back to itself, the shortest there is.
fn way_back(start: &ChannelName, channels: &BTreeMap<ChannelName, ChannelConfig>) -> Option<Vec<ChannelName>> {
    let mut came_from: BTreeMap<&ChannelName, &ChannelName> = BTreeMap::new();
    let mut next = vec![start];
    while !next.is_empty() {
        let mut found = Vec::new();
        for at in next {
            for to in channels.get(at).map(|channel| &channel.gates.fallback).into_iter().flatten() {
                if to == start {
                    let mut way = vec![start.clone()];
                    let mut step = Some(at);
                    while let Some(name) = step.filter(|name| *name != start) {
                        way.push(name.clone());
                        step = came_from.get(name).copied();
                    }
                    way.reverse();
                    return Some(way);
                }
                if !came_from.contains_key(to) {
                    came_from.insert(to, at);
                    found.push(to);
                }
            }
        }
        next = found;
    }
    None
}
