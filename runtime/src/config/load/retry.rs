//! `[retry.<policy>]`: the strategy says which of the other keys there are.

use std::time::Duration;

use super::section::Section;
use super::value;
use crate::domain::{Backoff, RetryPolicy};

/// The words of `strategy`.
pub(super) const STRATEGIES: [&str; 5] = ["exponential", "linear", "fibonacci", "fixed", "schedule"];

/// What a section may say of how waits grow; a strategy takes what is its own.
#[derive(Default)]
struct Written {
    initial: Option<Duration>,
    factor: Option<f64>,
    max_interval: Option<Duration>,
    waits: Option<Vec<Duration>>,
}

/// Reads the section of the policy `name`, which starts from the one of that name that is always there, else from the
/// default.
pub(super) fn policy(section: &mut Section<'_>, name: &str) -> RetryPolicy {
    let named = RetryPolicy::named().into_iter().find(|(known, _)| *known == name);
    let RetryPolicy { backoff, mut max_retries, mut jitter, mut max_age } =
        named.map(|(_, policy)| policy).unwrap_or_default();

    let mut strategy = backoff.as_str();
    let mut written = Written::default();
    section.key("strategy", &mut strategy, value::strategy);
    section.key("initial", &mut written.initial, |scalar| value::duration(scalar).map(Some));
    section.key("factor", &mut written.factor, |scalar| value::number(scalar).map(Some));
    section.key("max_interval", &mut written.max_interval, |scalar| value::duration(scalar).map(Some));
    let mut waits = Vec::new();
    if section.entries("waits", &mut waits, value::wait) {
        written.waits = Some(waits);
    }
    refuse_strange(section, strategy, &written);
    let backoff = composed(strategy, written, &backoff);
    if let Backoff::Schedule { waits } = &backoff {
        // One retry for each wait, unless it is said otherwise.
        max_retries = u32::try_from(waits.len()).unwrap_or(u32::MAX);
    }
    section.key("max_retries", &mut max_retries, value::integer);
    section.key("jitter", &mut jitter, value::jitter);
    section.key("max_age", &mut max_age, value::duration);
    RetryPolicy { backoff, max_retries, jitter, max_age }
}

/// A key of another strategy would be without effect: whoever wrote it means something else.
fn refuse_strange(section: &mut Section<'_>, strategy: &str, written: &Written) {
    let Written { initial, factor, max_interval, waits } = written;
    let own: &[&str] = match strategy {
        "exponential" => &["initial", "factor", "max_interval"],
        "linear" | "fibonacci" => &["initial", "max_interval"],
        "fixed" => &["initial"],
        _ => &["waits"],
    };
    let there = [
        ("initial", initial.is_some()),
        ("factor", factor.is_some()),
        ("max_interval", max_interval.is_some()),
        ("waits", waits.is_some()),
    ];
    for (key, _) in there.into_iter().filter(|(key, there)| *there && !own.contains(key)) {
        let message = format!("has no meaning with `strategy = \"{strategy}\"`, which takes `{}`", own.join("`, `"));
        section.complain(key, message);
    }
}

/// What is written, over what the policy had before, over what the default has.
fn composed(strategy: &str, written: Written, before: &Backoff) -> Backoff {
    let (first, growth, cap) = shape(before);
    let initial = written.initial.unwrap_or(first);
    let max_interval = written.max_interval.unwrap_or(cap);
    match strategy {
        "linear" => Backoff::Linear { initial, max_interval },
        "fibonacci" => Backoff::Fibonacci { initial, max_interval },
        "fixed" => Backoff::Fixed { interval: initial },
        "schedule" => Backoff::Schedule {
            waits: written.waits.unwrap_or_else(|| match before {
                Backoff::Schedule { waits } => waits.clone(),
                // Nothing to go by: the check asks for `waits`.
                _ => Vec::new(),
            }),
        },
        _ => Backoff::Exponential { initial, factor: written.factor.unwrap_or(growth), max_interval },
    }
}

/// First wait, factor and cap of a strategy; the default's where it has none.
fn shape(backoff: &Backoff) -> (Duration, f64, Duration) {
    let (first, growth, cap) = (Duration::from_secs(1), 2.0, Duration::from_mins(5));
    match backoff {
        Backoff::Exponential { initial, factor, max_interval } => (*initial, *factor, *max_interval),
        Backoff::Linear { initial, max_interval } | Backoff::Fibonacci { initial, max_interval } => {
            (*initial, growth, *max_interval)
        }
        Backoff::Fixed { interval } => (*interval, growth, cap),
        Backoff::Schedule { .. } => (first, growth, cap),
    }
}
