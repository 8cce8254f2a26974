//! `[callbacks]`: an executor that can be, and policies that there are.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Findings, HOUR, MILLISECOND};
use crate::config::{CallbacksConfig, Config};

/// Each runs one callback at a time, and most of them wait for somebody else meanwhile.
const WORKERS: RangeInclusive<u32> = 1..=1_000;
/// What waits is held in memory, each with its event.
const QUEUE: RangeInclusive<u32> = 1..=100_000;
/// 0 refuses at once. Whoever waits for longer is stuck behind a callback that is.
const WAIT: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_mins(1);
/// One that takes longer has work of its own to do, and is to hand it over.
const TIMEOUT: RangeInclusive<Duration> = MILLISECOND..=HOUR;
/// 0 keeps none; each takes some 200 bytes of the database.
const DEAD_LETTERS: RangeInclusive<u64> = 0..=10_000_000;

impl Findings {
    pub(super) fn callbacks(&mut self, config: &Config) {
        let CallbacksConfig { workers, queue, when_full: _, wait, timeout, retry, retention, dead_letters_max } =
            &config.callbacks;
        self.within("callbacks.workers", *workers, &WORKERS, u32::clone);
        self.within("callbacks.queue", *queue, &QUEUE, u32::clone);
        self.durations("callbacks.wait", *wait, &WAIT);
        self.durations("callbacks.timeout", *timeout, &TIMEOUT);
        self.policy_of("callbacks.retry", retry, config);
        self.part("callbacks", *retention, None, None);
        self.within("callbacks.dead_letters_max", *dead_letters_max, &DEAD_LETTERS, u64::clone);
    }
}
