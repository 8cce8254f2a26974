//! Each strategy over a real dispatcher: who has what in the end.

use super::*;
use crate::config::Balance;
use crate::domain::WorkerChange;

const WORKERS: u32 = 3;

async fn balanced(strategy: Balance, script: impl Fn(&crate::call::Call) -> Reply + Send + Sync + 'static) -> Rig {
    let workers = WorkersConfig { strategy, ..WorkersConfig::fixed(WORKERS, 8, 4) };
    let mut rig = Rig::start_with(Setup { workers, ..Setup::default() }, ManualClock::at(START), script).await;
    for _ in 0..WORKERS {
        rig.event(|event| match event {
            EventBody::Worker(event) if event.change == WorkerChange::Started => Some(()),
            _ => None,
        })
        .await;
    }
    rig
}

async fn send(rig: &mut Rig, count: usize) {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(rig.accept(|_| {}).await);
    }
    rig.all_sent(&all).await;
    while rig.dispatcher.in_flight() > 0 {
        tokio::task::yield_now().await;
    }
}

fn processed(rig: &Rig) -> Vec<u64> {
    rig.dispatcher.pool().workers.iter().map(|worker| worker.processed).collect()
}

#[tokio::test]
async fn round_robin_gives_everybody_the_same() {
    let mut rig = balanced(Balance::RoundRobin, |_| sent()).await;
    send(&mut rig, 60).await;
    assert_eq!(processed(&rig), [20, 20, 20]);
    assert_eq!(rig.dispatcher.shutdown(SECOND).await, 0);
}

#[tokio::test]
async fn least_connections_passes_over_whoever_has_calls_that_do_not_end() {
    let hangs = |call: &crate::call::Call| if call.notification.kind == "hangs" { Reply::Hangs } else { sent() };
    let mut rig = balanced(Balance::LeastConnections, hangs).await;
    for _ in 0..2 {
        rig.accept(|notification| notification.kind = "hangs".to_owned()).await;
        rig.begun().await;
    }
    let mut all = Vec::new();
    for _ in 0..12 {
        let delivery = rig.accept(|_| {}).await;
        rig.all_sent(&[delivery]).await;
        while rig.dispatcher.in_flight() > 2 {
            tokio::task::yield_now().await;
        }
        all.push(delivery);
    }
    let pool = rig.dispatcher.pool();
    let seen: Vec<_> = pool.workers.iter().map(|worker| (worker.in_flight, worker.processed)).collect();
    assert_eq!(seen, [(1, 0), (1, 0), (0, 12)]);
}

#[tokio::test]
async fn weighted_round_robin_tries_everybody_and_delivers_everything() {
    let mut rig = balanced(Balance::WeightedRoundRobin, |_| sent()).await;
    send(&mut rig, 60).await;
    let processed = processed(&rig);
    assert_eq!(processed.iter().sum::<u64>(), 60);
    assert!(processed.iter().all(|count| *count > 0), "{processed:?}");
}

#[tokio::test]
async fn affinity_keeps_what_is_of_a_kind_on_one_worker() {
    let mut rig = balanced(Balance::Affinity, |_| sent()).await;
    for _ in 0..10 {
        send(&mut rig, 1).await;
    }
    let pool = rig.dispatcher.pool();
    let has_some: Vec<_> = pool.workers.iter().filter(|worker| worker.processed > 0).collect();
    let [one] = has_some.as_slice() else { panic!("one worker has them all, not {}", has_some.len()) };
    assert_eq!(one.processed, 10);
    let last = one.affinity.as_ref().expect("it was chosen by what it had before");
    assert_eq!((last.channel.as_str(), last.kind.as_str()), ("ops", "info"));
}

/// Whoever chooses keeps to what holds for all workers: one slot in eight is for critical and high, a refused claim is made
/// again, and what is in flight is let end.
#[tokio::test]
async fn a_strategy_leaves_a_slot_for_high_and_drains_in_order() {
    let (release, gate) = tokio::sync::watch::channel(false);
    let gate = Arc::new(gate);
    let script = move |call: &crate::call::Call| match call.notification.priority {
        Priority::Normal => Reply::After(Arc::clone(&gate)),
        _ => sent(),
    };
    let mut rig = balanced(Balance::RoundRobin, script).await;
    let mut all = Vec::new();
    for _ in 0..40 {
        all.push(rig.accept(|_| {}).await);
    }
    for _ in 0..19 {
        rig.begun().await;
    }
    let high = rig.accept(|notification| notification.priority = Priority::High).await;
    rig.all_sent(&[high]).await;
    let (interrupted, ()) = tokio::join!(rig.dispatcher.shutdown(30 * SECOND), async {
        rig.waits_for(rig.clock.now().after(30 * SECOND)).await;
        release.send_replace(true);
    });
    assert_eq!(interrupted, 0);
    let mut sent = 0;
    for delivery in all {
        sent += usize::from(rig.state(delivery).await.status() == DeliveryStatus::Sent);
    }
    assert_eq!(sent, rig.calls().len() - 1);
}
