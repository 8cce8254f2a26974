use super::*;
use crate::clock::ManualClock;
use crate::domain::{ChannelName, Lane, NotificationId, Position, Priority};

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
async fn depths_count_what_waits_and_how_long() {
    let clock = ManualClock::at(START);
    let queue = QueueHandle::new(WindowLimits::default(), Arc::new(clock.clone()));
    queue.offer_all(&[queued(START, 1), queued(START.after(Duration::from_secs(90)), 2)]);
    clock.advance(Duration::from_secs(40));
    let normal = queue.depths()[2];
    assert_eq!(normal, PriorityDepth { waiting: 2, oldest: Duration::from_secs(40) });
}
