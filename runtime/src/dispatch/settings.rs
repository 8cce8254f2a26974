//! `[workers]` as it is in force, for all who work by it.
//!
//! *Invariants:* slots are never more than others made room for at the start: the sandbox has reserved so many.

use arc_swap::ArcSwap;

use crate::config::{Balance, WorkersConfig};

#[derive(Debug)]
pub(super) struct Settings {
    current: ArcSwap<WorkersConfig>,
    slots_max: u32,
}

impl Settings {
    pub(super) fn new(config: WorkersConfig) -> Self {
        let config = possible(config);
        Self { slots_max: config.slots_max(), current: ArcSwap::from_pointee(config) }
    }

    pub(super) fn get(&self) -> WorkersConfig {
        **self.current.load()
    }

    pub(super) fn set(&self, config: WorkersConfig) {
        self.current.store(possible(config).into());
    }

    /// Deliveries that one worker takes at once.
    pub(super) fn batch(&self) -> usize {
        self.current.load().batch as usize
    }

    /// Whether workers take from the queue themselves.
    pub(super) fn pulls(&self) -> bool {
        self.current.load().strategy == Balance::Pull
    }

    /// Slots that there may be, whatever is set later.
    pub(super) const fn slots_max(&self) -> usize {
        self.slots_max as usize
    }

    /// `wanted` without what takes a restart: of `max` and `per_worker`, those that would make more slots than there is
    /// room for stay as they are.
    pub(super) fn as_far_as_can_be(&self, wanted: WorkersConfig) -> WorkersConfig {
        let WorkersConfig { max, per_worker, .. } = self.get();
        let of_slots = [(wanted.max, wanted.per_worker), (wanted.max, per_worker), (max, wanted.per_worker)];
        let fits = |(max, per_worker): &(u32, u32)| u64::from(*max) * u64::from(*per_worker) <= self.slots_max.into();
        let (max, per_worker) = of_slots.into_iter().find(fits).unwrap_or((max, per_worker));
        WorkersConfig { min: wanted.min.min(max), max, per_worker, ..wanted }
    }
}

/// What a program made in code and nobody has checked is brought within what a pool can be.
fn possible(config: WorkersConfig) -> WorkersConfig {
    let max = config.max.max(1);
    WorkersConfig {
        max,
        min: config.min.clamp(1, max),
        per_worker: config.per_worker.max(1),
        batch: config.batch.max(1),
        ..config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_slots_than_at_the_start_take_a_restart_and_nothing_else_does() {
        let settings = Settings::new(WorkersConfig::fixed(4, 64, 10));
        let of = |max, per_worker| {
            let wanted =
                WorkersConfig { min: max, max, per_worker, batch: 7, strategy: Balance::Affinity, ..settings.get() };
            let made = settings.as_far_as_can_be(wanted);
            assert_eq!((made.batch, made.strategy), (7, Balance::Affinity));
            (made.min, made.max, made.per_worker)
        };
        assert_eq!(of(4, 64), (4, 4, 64));
        assert_eq!(of(16, 16), (16, 16, 16), "as many slots as before, among more workers");
        assert_eq!(of(1, 256), (1, 1, 256));
        assert_eq!(of(2, 200), (2, 2, 64), "fewer workers, and no larger ones");
        assert_eq!(of(5, 10), (5, 5, 10));
        assert_eq!(of(5, 64), (4, 4, 64));
        assert_eq!(of(5, 65), (4, 4, 64));
        assert_eq!(of(u32::MAX, u32::MAX), (4, 4, 64));
        // Room that was once reserved stays, however small the pool became.
        settings.set(WorkersConfig::fixed(1, 1, 1));
        assert_eq!(of(4, 64), (4, 4, 64));
        assert_eq!(of(257, 1), (1, 1, 1));
    }

    #[test]
    fn what_nobody_has_checked_is_a_pool_all_the_same() {
        let none = WorkersConfig { min: 9, ..WorkersConfig::fixed(0, 0, 0) };
        let WorkersConfig { min, max, per_worker, batch, .. } = Settings::new(none).get();
        assert_eq!((min, max, per_worker, batch), (1, 1, 1, 1));
    }
}
