//! `[workers]`: a pool that can be, and does not flap.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{Findings, HOUR};
use crate::config::{WorkersConfig, format_duration};

/// Workers are permits: far more than any machine's cores can serve.
const WORKERS: RangeInclusive<u32> = 1..=4_096;
/// Deliveries of one worker in flight, and taken at once: as many as one transaction settles.
const PER_WORKER: RangeInclusive<u32> = 1..=10_000;
/// All workers together. Each takes a guest's memory and a connection.
const IN_FLIGHT_MAX: u64 = 100_000;
/// Below a tenth a pool would always grow; above this one that is full is no more than busy.
const TARGET_LOAD: RangeInclusive<f64> = 0.1..=0.95;
/// From one sample of the load to what an operator would rather do by hand.
const AFTER: RangeInclusive<Duration> = WorkersConfig::SAMPLE..=HOUR;

impl Findings {
    pub(super) fn workers(&mut self, workers: WorkersConfig) {
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
            strategy: _,
        } = workers;
        self.within("workers.min", min, &WORKERS, u32::clone);
        self.within("workers.max", max, &WORKERS, u32::clone);
        if min > max {
            let finding = self.add("workers.min", format!("is `{min}`, more than `max`, which is `{max}`"));
            finding.hint(format!("set `min = {max}`, or `max = {min}`"));
        }
        self.within("workers.per_worker", per_worker, &PER_WORKER, u32::clone);
        self.within("workers.batch", batch, &PER_WORKER, u32::clone);
        let in_flight = u64::from(max) * u64::from(per_worker);
        if in_flight > IN_FLIGHT_MAX {
            let message = format!(
                "is `{per_worker}`, with `max` at `{max}` that is {in_flight} in flight, the limit is {IN_FLIGHT_MAX}"
            );
            self.add("workers.per_worker", message);
        }
        self.within("workers.target_load", target_load, &TARGET_LOAD, f64::clone);
        // What is left after a pool was halved, or doubled, must not call for the opposite.
        if !(0.0..=target_load / 2.0).contains(&scale_down_load) {
            let message = format!(
                "is `{scale_down_load}`, and the pool would go up and down with `target_load` at `{target_load}`: the \
                 limits are `0` to half of it"
            );
            let half = (target_load * 500.0).floor() / 1_000.0;
            self.add("workers.scale_down_load", message).hint(format!("set `scale_down_load = {half}`"));
        }
        for (key, value) in [
            ("workers.scale_up_after", scale_up_after),
            ("workers.scale_down_after", scale_down_after),
            ("workers.idle_after", idle_after),
            ("workers.health_check", health_check),
        ] {
            if !AFTER.contains(&value) {
                let (value, least, most) =
                    (format_duration(value), format_duration(*AFTER.start()), format_duration(*AFTER.end()));
                let message = format!(
                    "is `{value}`, the limits are `{least}` to `{most}`: the load is measured over `{least}` at a time"
                );
                self.add(key, message);
            }
        }
    }
}
