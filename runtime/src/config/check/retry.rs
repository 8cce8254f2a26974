//! Limits of `[retry.<policy>]`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{DAY, Findings, MILLISECOND};
use crate::config::format_duration;
use crate::domain::{Backoff, Jitter, RetryPolicy};

/// With waits of five minutes, retries for a month.
const RETRIES: RangeInclusive<u32> = 0..=10_000;
const INITIAL: RangeInclusive<Duration> = MILLISECOND..=DAY;
/// Below 1 the waits would shrink.
const FACTOR: RangeInclusive<f64> = 1.0..=100.0;
const JITTER: RangeInclusive<f64> = 0.0..=1.0;
const MAX_INTERVAL: RangeInclusive<Duration> = MILLISECOND..=Duration::from_hours(7 * 24);
const MAX_AGE: RangeInclusive<Duration> = MILLISECOND..=Duration::from_hours(365 * 24);
/// A schedule that is longer follows a rule, and a strategy says that better.
const WAITS: RangeInclusive<usize> = 1..=100;

impl Findings {
    pub(super) fn policy(&mut self, name: &str, policy: &RetryPolicy) {
        let RetryPolicy { backoff, max_retries, jitter, max_age } = policy;
        let key = |key: &str| format!("retry.{name}.{key}");
        let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
        if name.is_empty() || name.len() > 64 || !name.chars().all(word) {
            self.add(format!("retry.{name}"), "has a bad name, expected 1 to 64 of `a-z`, `0-9`, `-`, `_`");
        }
        self.backoff(name, backoff);
        self.within(key("max_retries"), *max_retries, &RETRIES, u32::clone);
        match jitter {
            Jitter::None | Jitter::Full | Jitter::Equal => {}
            Jitter::Plus(share) | Jitter::PlusMinus(share) => {
                self.within(key("jitter"), *share, &JITTER, f64::clone);
            }
        }
        self.durations(key("max_age"), *max_age, &MAX_AGE);
    }

    fn backoff(&mut self, name: &str, backoff: &Backoff) {
        let key = |key: &str| format!("retry.{name}.{key}");
        match backoff {
            Backoff::Exponential { initial, factor, max_interval } => {
                self.within(key("factor"), *factor, &FACTOR, f64::clone);
                self.growing(name, *initial, *max_interval);
            }
            Backoff::Linear { initial, max_interval } | Backoff::Fibonacci { initial, max_interval } => {
                self.growing(name, *initial, *max_interval);
            }
            Backoff::Fixed { interval } => self.durations(key("initial"), *interval, &MAX_INTERVAL),
            Backoff::Schedule { waits } => {
                if waits.is_empty() {
                    self.add(key("waits"), "is missing").hint("write them: `waits = [\"5s\", \"5m\", \"30m\"]`");
                } else {
                    self.within(key("waits"), waits.len(), &WAITS, |many| format!("{many} waits"));
                }
                for wait in waits.iter().filter(|wait| !MAX_INTERVAL.contains(wait)) {
                    self.durations(key("waits"), *wait, &MAX_INTERVAL);
                }
            }
        }
    }

    fn growing(&mut self, name: &str, initial: Duration, max_interval: Duration) {
        let key = |key: &str| format!("retry.{name}.{key}");
        self.durations(key("initial"), initial, &INITIAL);
        self.durations(key("max_interval"), max_interval, &MAX_INTERVAL);
        if max_interval < initial {
            let (max, initial) = (format_duration(max_interval), format_duration(initial));
            self.add(key("max_interval"), format!("is `{max}`, less than `initial`, which is `{initial}`"));
        }
    }
}
