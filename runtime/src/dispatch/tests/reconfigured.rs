//! Other settings for the workers while they work.

use super::pool::{SAMPLE, all_up, follows_load, scaled, shrunk, worker};
use super::*;
use crate::config::Balance;
use crate::domain::{DeliveryId, PoolScaled, ScaleReason, WorkerChange};

/// A rig whose calls end once this is true.
async fn waiting(workers: WorkersConfig) -> (tokio::sync::watch::Sender<bool>, Rig) {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let setup = Setup { workers, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), move |_| Reply::After(Arc::clone(&gate))).await;
    all_up(&mut rig, workers.max).await;
    (release, rig)
}

async fn begin(rig: &mut Rig, count: usize) -> Vec<DeliveryId> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(rig.accept(|_| {}).await);
    }
    for _ in 0..count {
        rig.begun().await;
    }
    all
}

async fn each_was_called_once(rig: &Rig, all: &[DeliveryId]) {
    for delivery in all {
        assert_eq!(rig.record(*delivery).await.attempts.len(), 1);
    }
}

#[tokio::test]
async fn a_pool_that_is_to_be_smaller_lets_its_calls_end_and_one_that_is_to_be_larger_grows() {
    let large = WorkersConfig::fixed(4, 8, 8);
    let (release, mut rig) = waiting(large).await;
    let all = begin(&mut rig, 20).await;
    rig.dispatcher.reconfigure(WorkersConfig { min: 1, max: 2, per_worker: 4, ..large });
    let from_settings = |from, to| PoolScaled { from, to, reason: ScaleReason::Configuration, load_percent: 0 };
    assert_eq!(rig.event(scaled).await, from_settings(4, 2));
    let pool = rig.dispatcher.pool();
    assert_eq!((pool.size, pool.min, pool.max, pool.slots, pool.in_flight), (2, 1, 2, 8, 20));

    release.send_replace(true);
    rig.all_sent(&all).await;
    for _ in 0..2 {
        rig.event(worker(WorkerChange::Stopped)).await;
    }
    each_was_called_once(&rig, &all).await;

    rig.dispatcher.reconfigure(WorkersConfig { min: 3, ..large });
    assert_eq!(rig.event(scaled).await, from_settings(2, 3));
    assert_eq!(rig.event(worker(WorkerChange::Started)).await, 5);
    let more = begin(&mut rig, 20).await;
    rig.all_sent(&more).await;
    assert_eq!(rig.dispatcher.pool().slots, 24);
    assert_eq!(rig.dispatcher.shutdown(SECOND).await, 0);
}

#[tokio::test]
async fn a_size_that_was_set_by_hand_stays_as_far_as_the_settings_allow() {
    let large = WorkersConfig { min: 1, ..WorkersConfig::fixed(4, 8, 8) };
    let (_release, rig) = waiting(large).await;
    rig.dispatcher.scale(Some(3)).unwrap();
    rig.dispatcher.reconfigure(WorkersConfig { max: 2, ..large });
    let pool = rig.dispatcher.pool();
    assert_eq!((pool.size, pool.max, pool.pinned), (2, 2, Some(3)));
    rig.dispatcher.reconfigure(large);
    let pool = rig.dispatcher.pool();
    assert_eq!((pool.size, pool.max, pool.pinned), (3, 4, Some(3)));
    rig.dispatcher.scale(None).unwrap();
    rig.dispatcher.reconfigure(WorkersConfig { min: 4, ..large });
    assert_eq!((rig.dispatcher.pool().size, rig.dispatcher.pool().pinned), (4, None));
}

/// While two workers still have what they took for their eight slots each, fourteen more have a slot each. All of them
/// together do not take more than there was room for at the start.
#[tokio::test]
async fn slots_that_are_shared_out_anew_are_not_used_twice() {
    let few = WorkersConfig::fixed(2, 8, 8);
    let (release, mut rig) = waiting(few).await;
    // The share of a single channel.
    let mut all = begin(&mut rig, 13).await;
    rig.dispatcher.reconfigure(WorkersConfig { min: 16, max: 16, per_worker: 1, ..few });
    for number in 3..=16 {
        assert_eq!(rig.event(worker(WorkerChange::Started)).await, number);
    }
    for number in 0..8 {
        all.push(rig.accept_through(&format!("other-{number}"), "", |_| {}).await);
    }
    for _ in 0..3 {
        rig.begun().await;
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!((rig.dispatcher.in_flight(), rig.calls().len()), (16, 16));
    release.send_replace(true);
    rig.all_sent(&all).await;
    each_was_called_once(&rig, &all).await;
}

#[tokio::test]
async fn who_has_the_next_delivery_is_another_matter_from_one_moment_to_the_next() {
    let pull = WorkersConfig::fixed(3, 8, 4);
    let setup = Setup { workers: pull, ..Setup::default() };
    let mut rig = Rig::start_with(setup, ManualClock::at(START), |_| sent()).await;
    all_up(&mut rig, 3).await;
    let processed = |rig: &Rig| rig.dispatcher.pool().workers.iter().map(|worker| worker.processed).collect::<Vec<_>>();
    rig.dispatcher.reconfigure(WorkersConfig { strategy: Balance::RoundRobin, ..pull });
    let even = begin(&mut rig, 30).await;
    rig.all_sent(&even).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(processed(&rig), [10, 10, 10]);

    // What is handed over, claimed or taken when the strategy changes is delivered all the same, and once.
    let mut all = Vec::new();
    for turn in 0..60 {
        let strategy = Balance::ALL[turn % Balance::ALL.len()];
        for _ in 0..5 {
            all.push(rig.accept(|_| {}).await);
        }
        rig.dispatcher.reconfigure(WorkersConfig { strategy, batch: 1 + turn as u32 % 7, ..pull });
        tokio::task::yield_now().await;
    }
    rig.dispatcher.reconfigure(pull);
    rig.all_sent(&all).await;
    each_was_called_once(&rig, &all).await;
    assert_eq!(rig.dispatcher.pool().strategy, Balance::Pull);
    assert_eq!(rig.dispatcher.shutdown(SECOND).await, 0);
}

#[tokio::test]
async fn the_pool_follows_the_load_by_the_figures_that_are_in_force() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let setup = follows_load();
    let workers = setup.workers;
    let mut rig = Rig::start_with(setup, ManualClock::at(START), move |_| Reply::After(Arc::clone(&gate))).await;
    shrunk(&mut rig).await;
    rig.dispatcher.reconfigure(WorkersConfig { scale_up_after: SECOND, scale_down_after: 2 * SECOND, ..workers });
    let began = rig.clock.now();
    let mut all = Vec::new();
    for _ in 0..20 {
        all.push(rig.accept(|_| {}).await);
    }
    for _ in 0..7 {
        rig.begun().await;
    }
    for sample in 1..=4 {
        assert_eq!(rig.dispatcher.pool().size, 1);
        rig.waits_for(began.after(SAMPLE * sample)).await;
        rig.clock.advance(SAMPLE);
    }
    let up = PoolScaled { from: 1, to: 2, reason: ScaleReason::HighLoad, load_percent: 88 };
    assert_eq!(rig.event(scaled).await, up);
    assert_eq!(rig.clock.now(), began.after(SECOND), "and not after five");
    release.send_replace(true);
    rig.all_sent(&all).await;
}
