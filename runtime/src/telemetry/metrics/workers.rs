//! What is told of the pool of workers.

use super::Metrics;

impl Metrics {
    /// So many workers are in this state: `idle`, `processing`, `draining`.
    pub fn workers(&self, state: &'static str, count: usize) {
        if self.enabled {
            self.workers.get_or_create(&[("state", state)]).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Deliveries in flight ÷ slots.
    pub fn worker_load(&self, load: f64) {
        if self.enabled {
            self.worker_load.set(load);
        }
    }
}
