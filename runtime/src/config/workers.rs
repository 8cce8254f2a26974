//! `[workers]`: how many deliveries run at once, and who has them.

use std::time::Duration;

/// Which worker has the next delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Balance {
    /// Whoever has a free slot takes what is next. The default.
    #[default]
    Pull,
    /// One after the other.
    RoundRobin,
    /// The one with the fewest in flight.
    LeastConnections,
    /// One after the other, the faster ones more often.
    WeightedRoundRobin,
    /// The same one for the same channel and kind of notification, unless it has too many.
    Affinity,
}

impl Balance {
    /// Every strategy there is.
    pub const ALL: [Self; 5] =
        [Self::Pull, Self::RoundRobin, Self::LeastConnections, Self::WeightedRoundRobin, Self::Affinity];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::RoundRobin => "round-robin",
            Self::LeastConnections => "least-connections",
            Self::WeightedRoundRobin => "weighted-round-robin",
            Self::Affinity => "affinity",
        }
    }
}

/// `[workers]`: how many deliveries run at once, and who has them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WorkersConfig {
    /// Workers that are always there. Default: 2, or `max` where that is less.
    pub min: u32,
    /// Workers at most. Default: 2 × CPUs.
    pub max: u32,
    /// Deliveries one worker has in flight. Default: 64.
    pub per_worker: u32,
    /// The share of slots in use above which there are too few workers. Default: 0.7.
    pub target_load: f64,
    /// How long the load has to be above `target_load` before workers are added. Default: 5 s.
    pub scale_up_after: Duration,
    /// The share of slots in use below which there are too many workers: at most half of `target_load`. Default: 0.35.
    pub scale_down_load: f64,
    /// How long the load has to be below `scale_down_load` before workers go. Default: 30 s.
    pub scale_down_after: Duration,
    /// A worker that has had nothing for so long goes. Default: 60 s.
    pub idle_after: Duration,
    /// How often workers are asked whether they are well; one that has not answered by the next time is replaced.
    /// Default: 10 s.
    pub health_check: Duration,
    /// Deliveries a worker takes at once. Default: 10.
    pub batch: u32,
    /// Which worker has the next delivery. Default: `pull`.
    pub strategy: Balance,
}

impl WorkersConfig {
    /// The load is measured over this long. Nothing that is decided by it can be faster.
    pub const SAMPLE: Duration = Duration::from_millis(250);

    /// A pool that keeps its size.
    #[must_use]
    pub fn fixed(workers: u32, per_worker: u32, batch: u32) -> Self {
        Self { min: workers, max: workers, per_worker, batch, ..Self::default() }
    }

    /// Slots of all workers that there can be.
    #[must_use]
    pub const fn slots_max(&self) -> u32 {
        self.max.saturating_mul(self.per_worker)
    }
}

impl Default for WorkersConfig {
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            min: 2,
            max: u32::try_from(2 * cpus).unwrap_or(u32::MAX),
            per_worker: 64,
            target_load: 0.7,
            scale_up_after: Duration::from_secs(5),
            scale_down_load: 0.35,
            scale_down_after: Duration::from_secs(30),
            idle_after: Duration::from_mins(1),
            health_check: Duration::from_secs(10),
            batch: 10,
            strategy: Balance::Pull,
        }
    }
}
