//! Figures against computed values.

use super::*;

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn queued(tracker: &Tracker, at: Timestamp) -> u64 {
    let name = CallbackName::new("books").unwrap();
    tracker.queued(CallbackId(1), &name, CallbackKind::Completion, 7, at)
}

fn close(told: Duration, computed: Duration) -> bool {
    told.abs_diff(computed) <= computed / 100
}

/// Of 1 ms, 2 ms … 1000 ms, a tenth of them failed: the figures are what arithmetic says, to 1 %.
#[test]
fn figures_are_what_arithmetic_says() {
    let tracker = Tracker::new(Metrics::off());
    for ms in 1..=1_000 {
        let (id, took) = (queued(&tracker, START), Duration::from_millis(ms));
        tracker.running(id, 1, START);
        match ms % 10 {
            0 => {
                tracker.failed(CallbackKind::Completion, Mishap::TimedOut, took, START);
                tracker.dead(id, CallbackKind::Completion, 1, "it did not end", START);
            }
            _ => tracker.succeeded(id, CallbackKind::Completion, 1, took, START),
        }
    }
    let kinds = tracker.kinds(START);
    let [completion] = kinds.as_slice() else { panic!("{kinds:?}") };
    assert_eq!((completion.succeeded, completion.failed, completion.timed_out, completion.dead), (900, 100, 100, 100));
    assert_eq!(completion.success_rate, Some(0.9));
    let latency = completion.latency.unwrap();
    assert_eq!(latency.count, 1_000);
    let told = [latency.min, latency.avg, latency.max, latency.p95, latency.p99];
    let computed = [1_000, 500_500, 1_000_000, 950_000, 990_000].map(Duration::from_micros);
    assert!(told.iter().zip(computed).all(|(told, computed)| close(*told, computed)), "{told:?}");
}

/// Latencies are those of the last five minutes; totals are those of all time.
#[test]
fn latencies_are_of_recent_calls_and_totals_of_all() {
    let tracker = Tracker::new(Metrics::off());
    let succeed = |took: u64, at: Timestamp| {
        let id = queued(&tracker, at);
        tracker.succeeded(id, CallbackKind::Completion, 1, Duration::from_secs(took), at);
    };
    succeed(9, START);
    let later = START.after(Duration::from_mins(4));
    succeed(1, later);
    let of = |at| tracker.kinds(at)[0].clone();
    assert_eq!(of(later).latency.unwrap().count, 2);
    let latest = START.after(Duration::from_mins(5));
    let kind = of(latest);
    assert!(close(kind.latency.unwrap().max, Duration::from_secs(1)), "{kind:?}");
    assert_eq!((kind.latency.unwrap().count, kind.succeeded), (1, 2));
    assert_eq!(of(later.after(Duration::from_mins(5))).latency, None);
}

/// The newest thousand are remembered for a day; those under way before those that have ended.
#[test]
fn old_executions_are_forgotten() {
    let tracker = Tracker::new(Metrics::off());
    let under_way = queued(&tracker, START);
    for _ in 0..RECENT_MAX + 10 {
        let id = queued(&tracker, START);
        tracker.succeeded(id, CallbackKind::Completion, 1, Duration::from_millis(1), START);
    }
    let recent = tracker.recent(START, usize::MAX);
    assert_eq!(recent.len(), RECENT_MAX);
    assert_eq!(
        recent.last().map(|record| (record.id, record.status.clone())),
        Some((under_way, ExecutionStatus::Queued))
    );
    tracker.succeeded(under_way, CallbackKind::Completion, 1, Duration::from_millis(1), START);
    let (almost, day) = (RECENT_FOR - Duration::from_millis(1), RECENT_FOR);
    assert_eq!(tracker.recent(START.after(almost), usize::MAX).len(), RECENT_MAX);
    assert_eq!(tracker.recent(START.after(day), usize::MAX).len(), 0);
}
