//! What delivery does beside a callback that never returns.

use std::path::Path;

use super::{EventsBenchError, EventsParams, StuckCallback};
use crate::bench::pipeline::{Beside, PipelineParams};
use crate::bench::through::{self, Through};
use crate::telemetry::Metrics;

/// Runs without and with it in turn, so that what the machine does besides meets both.
pub(super) async fn measure(params: &EventsParams, folder: &Path) -> Result<StuckCallback, EventsBenchError> {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..params.stuck_pairs {
        without.push(completed(params, folder, Beside::NoCallback).await?);
        with.push(completed(params, folder, Beside::StuckCallback).await?);
    }
    let (without, with) = (middle(without), middle(with));
    Ok(StuckCallback {
        stuck_callback_ratio: (with as f64 / without.max(1) as f64 * 1_000.0).round() / 1_000.0,
        stuck_callback_completed_per_second: with,
        no_callback_completed_per_second: without,
    })
}

/// Deliveries in a second.
async fn completed(params: &EventsParams, folder: &Path, callbacks: Beside) -> Result<u64, EventsBenchError> {
    let of_channel = |channel| PipelineParams {
        notifications: params.stuck_notifications,
        folder: folder.to_owned(),
        callbacks,
        ..PipelineParams::through(channel)
    };
    let figures = through::run(Through::Null, of_channel, params.plugins.clone(), Metrics::new()).await?;
    Ok(figures.completed_per_second)
}

/// Of an even number, the mean of the two in the middle.
fn middle(mut figures: Vec<u64>) -> u64 {
    figures.sort_unstable();
    let half = figures.len() / 2;
    match figures.len() {
        0 => 0,
        even if even % 2 == 0 => u64::midpoint(figures[half - 1], figures[half]),
        _ => figures[half],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_that_is_off_changes_nothing() {
        assert_eq!(middle(vec![30, 1, 31]), 30);
        assert_eq!(middle(vec![9_000, 30, 31, 1]), 30);
        assert_eq!(middle(Vec::new()), 0);
    }
}
