use super::*;
use crate::clock::ManualClock;
use crate::domain::{ChannelName, Lane, NotificationId, Position, Priority, Verdict};

const START: Timestamp = Timestamp::from_millis(1_000_000);

fn queued(due: Timestamp, number: u8) -> Queued {
    let lane = Lane::shared(Priority::Normal, ChannelName::new("ops").expect("a valid name"));
    Queued { lane, position: Position { due, delivery: NotificationId::from_bytes([number; 16]).delivery(0) } }
}

fn take(queue: &QueueHandle) -> Vec<Taken> {
    let mut taken = Vec::new();
    queue.take(Slot::General, 10, &mut taken);
    taken
}

#[tokio::test]
async fn an_offer_wakes_whoever_found_nothing() {
    let queue = QueueHandle::new(WindowLimits::default(), Arc::new(ManualClock::at(START)));
    let work = queue.work();
    tokio::pin!(work);
    work.as_mut().enable();
    assert!(take(&queue).is_empty());
    queue.offer_all(&[queued(START, 1)]);
    work.await;
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test]
async fn a_channel_that_is_let_go_wakes_whoever_found_nothing() {
    let queue = QueueHandle::new(WindowLimits::default(), Arc::new(ManualClock::at(START)));
    let held = queued(START, 1);
    queue.hold_only(&BTreeSet::from([held.lane.channel.clone()]));
    queue.offer_all(&[held]);
    let work = queue.work();
    tokio::pin!(work);
    work.as_mut().enable();
    assert!(take(&queue).is_empty());
    queue.hold_only(&BTreeSet::new());
    work.await;
    assert_eq!(take(&queue).len(), 1);
}

#[tokio::test]
async fn a_breaker_that_closes_wakes_whoever_found_nothing() {
    let clock = ManualClock::at(START);
    let queue = QueueHandle::new(WindowLimits::default(), Arc::new(clock.clone()));
    let ops = queued(START, 1).lane.channel;
    queue.set_gates([(ops, GateSettings::default())]);
    queue.set_slots(SlotCounts { general: 64, reserved: 1 });
    let verdict = |verdict| Ended { called: true, verdict, ..Ended::WITHOUT_CALL };
    for number in 1..=5 {
        queue.offer_all(&[queued(START, number)]);
        let failed = take(&queue).remove(0);
        queue.release([(failed.hold, verdict(Verdict::Bad))]);
    }
    queue.offer_all(&(6..=40).map(|number| queued(START, number)).collect::<Vec<_>>());
    clock.advance(Duration::from_secs(10));
    // One probe, then three at once: the last of three that are good closes it.
    let first = take(&queue);
    assert_eq!(first.len(), 1);
    queue.release([(first[0].hold, verdict(Verdict::Good))]);
    let mut probes = take(&queue);
    assert_eq!(probes.len(), 3);
    queue.release([(probes.remove(0).hold, verdict(Verdict::Good))]);
    probes.extend(take(&queue));
    let work = queue.work();
    tokio::pin!(work);
    work.as_mut().enable();
    assert!(take(&queue).is_empty(), "no more than three at once");
    queue.release([(probes.remove(0).hold, verdict(Verdict::Good))]);
    work.await;
    assert_eq!(take(&queue).len(), 10);
}

#[tokio::test]
async fn depths_count_what_waits_and_how_long() {
    let clock = ManualClock::at(START);
    let queue = QueueHandle::new(WindowLimits::default(), Arc::new(clock.clone()));
    queue.offer_all(&[queued(START, 1), queued(START.after(Duration::from_secs(90)), 2)]);
    clock.advance(Duration::from_secs(40));
    let normal = queue.depths()[2];
    assert_eq!(normal, PriorityDepth { waiting: 2, oldest: Duration::from_secs(40) });
}
