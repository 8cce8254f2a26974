//! `[breaker]`, and what holds a channel back.

use super::section::Section;
use super::value;
use crate::config::{BreakerConfig, ChannelGates};
use crate::domain::{BreakerPolicy, ChannelName};

pub(super) fn breaker(section: &mut Section<'_>, into: &mut BreakerConfig) {
    let BreakerConfig { enabled, policy, slow_after, fallback_after } = into;
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
    section.key("enabled", enabled, value::boolean);
    section.key("failure_rate", failure_rate, value::number);
    section.key("slow_rate", slow_rate, value::number);
    section.key("slow_after", slow_after, |scalar| value::duration(scalar).map(Some));
    section.key("minimum_calls", minimum_calls, value::integer);
    section.key("consecutive", consecutive, value::integer);
    section.key("window", window, value::duration);
    section.key("open_for", open_for, value::duration);
    section.key("open_max", open_max, value::duration);
    section.key("half_open_calls", half_open_calls, value::integer);
    section.key("disable_after", disable_after, value::duration);
    section.key("fallback_after", fallback_after, value::duration);
}

pub(super) fn channel(section: &mut Section<'_>, into: &mut ChannelGates) {
    let ChannelGates { rate_limit, per_recipient_rate, per_host_rate, concurrency, fallback } = into;
    section.key("rate_limit", rate_limit, |scalar| value::rate(scalar).map(Some));
    section.key("per_recipient_rate", per_recipient_rate, |scalar| value::rate(scalar).map(Some));
    section.key("per_host_rate", per_host_rate, |scalar| value::rate(scalar).map(Some));
    section.key("concurrency", concurrency, |scalar| value::integer(scalar).map(Some));
    section.entries("fallback", fallback, |name| {
        ChannelName::new(name).map_err(|error| format!("has `{name}`, which is no name of a channel: {error}"))
    });
}
