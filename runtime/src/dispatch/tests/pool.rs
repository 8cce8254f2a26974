//! How many workers there are, and who says so.

use super::*;
use crate::dispatch::{ScaleError, WorkerState};
use crate::domain::{PoolScaled, ScaleReason, WorkerChange};

pub(super) const SAMPLE: Duration = WorkersConfig::SAMPLE;

pub(super) fn follows_load() -> Setup {
    // Only the load of all is what decides here, not what one of them has had.
    let idle_after = Duration::from_hours(1);
    let workers = WorkersConfig { min: 1, max: 4, idle_after, ..WorkersConfig::fixed(4, 8, 8) };
    Setup { workers, ..Setup::default() }
}

pub(super) fn scaled(event: &EventBody) -> Option<PoolScaled> {
    match event {
        EventBody::PoolScaled(scaled) => Some(*scaled),
        _ => None,
    }
}

pub(super) fn worker(change: WorkerChange) -> impl Fn(&EventBody) -> Option<u32> {
    move |event| match event {
        EventBody::Worker(event) if event.change == change => Some(event.worker.0),
        _ => None,
    }
}

/// The pool has had nothing for half a minute, and has the least size.
pub(super) async fn shrunk(rig: &mut Rig) {
    all_up(rig, 4).await;
    let due = rig.clock.now().after(30 * SECOND);
    rig.waits_for(due).await;
    rig.clock.advance(30 * SECOND - MILLISECOND);
    tokio::task::yield_now().await;
    assert_eq!(rig.dispatcher.pool().size, 4, "it starts with all there can be");
    rig.clock.advance(MILLISECOND);
    let down = PoolScaled { from: 4, to: 1, reason: ScaleReason::LowLoad, load_percent: 0 };
    assert_eq!(rig.event(scaled).await, down);
    for _ in 0..3 {
        rig.event(worker(WorkerChange::Stopped)).await;
    }
    assert_eq!(rig.clock.next_wait(), None, "an idle pool of the least size sleeps");
}

/// Everybody who is wanted has come up.
pub(super) async fn all_up(rig: &mut Rig, count: u32) {
    for number in 1..=count {
        assert_eq!(rig.event(worker(WorkerChange::Started)).await, number, "one after the other");
    }
}

#[tokio::test]
async fn a_full_pool_grows_after_five_seconds_and_a_quiet_one_shrinks_after_thirty() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let mut rig =
        Rig::start_with(follows_load(), ManualClock::at(START), move |_| Reply::After(Arc::clone(&gate))).await;
    shrunk(&mut rig).await;
    let began = rig.clock.now();
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(rig.accept(|_| {}).await);
    }
    // Seven of eight slots: the last one is for critical and high.
    for _ in 0..7 {
        rig.begun().await;
    }
    for sample in 1..=20 {
        assert_eq!(rig.dispatcher.pool().size, 1);
        rig.waits_for(began.after(SAMPLE * sample)).await;
        rig.clock.advance(SAMPLE);
    }
    let up = PoolScaled { from: 1, to: 2, reason: ScaleReason::HighLoad, load_percent: 88 };
    assert_eq!(rig.event(scaled).await, up);
    assert_eq!(rig.clock.now(), began.after(5 * SECOND));

    release.send_replace(true);
    rig.all_sent(&all).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    rig.waits_for(began.after(5 * SECOND + SAMPLE)).await;
    rig.clock.advance(SAMPLE);
    rig.waits_for(began.after(35 * SECOND)).await;
    rig.clock.advance(30 * SECOND - SAMPLE - MILLISECOND);
    tokio::task::yield_now().await;
    assert_eq!(rig.dispatcher.pool().size, 2);
    rig.clock.advance(MILLISECOND);
    let down = PoolScaled { from: 2, to: 1, reason: ScaleReason::LowLoad, load_percent: 0 };
    assert_eq!(rig.event(scaled).await, down);
    assert_eq!(rig.event(worker(WorkerChange::Stopped)).await, 5);
    let pool = rig.dispatcher.pool();
    let mut states: Vec<_> = pool.workers.iter().map(|worker| (worker.number.0, worker.state)).collect();
    states.sort_by_key(|(number, _)| *number);
    let stopped = |number| (number, WorkerState::Stopped);
    assert_eq!(states, [(1, WorkerState::Idle), stopped(2), stopped(3), stopped(4), stopped(5)]);
    assert_eq!(pool.workers.iter().map(|worker| worker.processed).sum::<u64>(), 20);
}

#[tokio::test]
async fn a_hundred_workers_come_up_one_after_the_other_and_deliver() {
    let setup = Setup { workers: WorkersConfig::fixed(100, 2, 2), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    all_up(&mut rig, 100).await;
    let mut all = Vec::new();
    for _ in 0..500 {
        all.push(rig.accept(|_| {}).await);
    }
    rig.all_sent(&all).await;
    assert_eq!(rig.calls().len(), 500);
    let pool = rig.dispatcher.pool();
    assert_eq!((pool.size, pool.slots, pool.workers.len()), (100, 200, 100));
    assert_eq!(rig.dispatcher.shutdown(SECOND).await, 0);
    assert_eq!(rig.event(worker(WorkerChange::Stopped)).await, 1);
}

#[tokio::test]
async fn a_size_set_by_hand_stays_until_it_may_follow_the_load_again() {
    let mut rig = Rig::start_with(follows_load(), ManualClock::at(START), |_| sent()).await;
    shrunk(&mut rig).await;
    rig.dispatcher.scale(Some(3)).unwrap();
    let by_hand = PoolScaled { from: 1, to: 3, reason: ScaleReason::ByHand, load_percent: 0 };
    assert_eq!(rig.event(scaled).await, by_hand);
    assert_eq!(rig.event(worker(WorkerChange::Started)).await, 5);
    assert_eq!(rig.event(worker(WorkerChange::Started)).await, 6);
    for asked in [0, 5] {
        assert_eq!(rig.dispatcher.scale(Some(asked)), Err(ScaleError { asked, max: 4 }));
    }
    let message = ScaleError { asked: 5, max: 4 }.to_string();
    assert_eq!(message, "5 workers cannot be: the limits are 1 to 4, and `max` in [workers] sets the upper one");

    for _ in 0..10 {
        let delivery = rig.accept(|_| {}).await;
        rig.all_sent(&[delivery]).await;
        rig.clock.advance(10 * SECOND);
    }
    let pool = rig.dispatcher.pool();
    assert_eq!((pool.size, pool.pinned), (3, Some(3)), "an idle pool that is pinned keeps its size");

    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    rig.dispatcher.scale(None).unwrap();
    let due = rig.clock.now().after(30 * SECOND);
    rig.waits_for(due).await;
    rig.clock.advance(30 * SECOND);
    assert_eq!(rig.event(scaled).await.reason, ScaleReason::LowLoad);
    assert_eq!(rig.dispatcher.pool().pinned, None);
}

#[tokio::test]
async fn who_is_too_many_ends_with_what_it_has_and_nothing_is_interrupted() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let mut rig =
        Rig::start_with(follows_load(), ManualClock::at(START), move |_| Reply::After(Arc::clone(&gate))).await;
    all_up(&mut rig, 4).await;
    rig.dispatcher.scale(Some(2)).unwrap();
    for _ in 0..2 {
        rig.event(worker(WorkerChange::Stopped)).await;
    }
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(rig.accept(|_| {}).await);
    }
    for _ in 0..13 {
        rig.begun().await;
    }
    rig.dispatcher.scale(Some(1)).unwrap();
    let states = |rig: &Rig| {
        let all = rig.dispatcher.pool().workers.into_iter().map(|worker| worker.state);
        all.filter(|state| *state != WorkerState::Stopped).collect::<Vec<_>>()
    };
    assert_eq!(states(&rig), [WorkerState::Processing, WorkerState::Draining]);
    // Who was about to go is the first to stay.
    rig.dispatcher.scale(Some(2)).unwrap();
    assert_eq!(states(&rig), [WorkerState::Processing, WorkerState::Processing]);
    rig.dispatcher.scale(Some(1)).unwrap();
    release.send_replace(true);
    rig.all_sent(&all).await;
    while states(&rig).contains(&WorkerState::Draining) {
        tokio::task::yield_now().await;
    }
    for delivery in all {
        assert_eq!(rig.record(delivery).await.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_worker_tells_what_it_did_and_what_it_is_at() {
    let script = |call: &crate::call::Call| match call.notification.kind.as_str() {
        "hangs" => Reply::Hangs,
        "fails" => retry(),
        _ => sent(),
    };
    let setup = Setup { workers: WorkersConfig::fixed(1, 8, 8), ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), script).await;
    rig.clock.advance(SECOND);
    let sent = rig.accept(|_| {}).await;
    rig.all_sent(&[sent]).await;
    rig.accept(|notification| notification.kind = "fails".to_owned()).await;
    rig.event(retrying_at).await;
    rig.accept(|notification| notification.kind = "hangs".to_owned()).await;
    for _ in 0..3 {
        rig.begun().await;
    }
    while rig.dispatcher.in_flight() > 1 {
        tokio::task::yield_now().await;
    }
    let pool = rig.dispatcher.pool();
    let [worker] = pool.workers.as_slice() else { panic!("one worker, not {}", pool.workers.len()) };
    assert_eq!((worker.state, worker.in_flight, worker.slots), (WorkerState::Processing, 1, 8));
    assert_eq!((worker.processed, worker.errors, worker.fuel), (2, 1, 14));
    assert_eq!((worker.memory_bytes, worker.memory_peak_bytes), (8, 8));
    let at = worker.current.as_ref().expect("it has a call");
    assert_eq!((at.channel.as_str(), at.since), ("ops", START.after(SECOND)));
    assert_eq!((worker.started_at, worker.last_activity), (START, Some(START.after(SECOND))));
    assert_eq!(worker.latency.map(|latency| latency.mean), Some(SECOND), "what the caller said");
    assert!((pool.load - 0.125).abs() < 1e-9 && pool.in_flight == 1);
}
