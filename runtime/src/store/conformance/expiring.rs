//! What may not be sent any more ends, whatever it waits for.

use super::expanding::large;
use super::*;

/// When every notification of these tests expires.
const END: Timestamp = Timestamp::from_millis(9_000);

const SLICE: usize = 1_000;

fn expired(attempts: u32) -> DeliveryState {
    DeliveryState::Failed { at: END, attempts, reason: FailReason::Expired }
}

async fn next(store: &dyn Store) -> Option<u64> {
    store.totals().next_expiry.map(Timestamp::as_millis)
}

pub(crate) async fn what_waits_for_too_long_ends_without_being_claimed(place: &dyn Place) {
    let ear = Arc::new(Ear::default());
    let store = place.open(Arc::clone(&ear) as _).await;
    assert_eq!(next(&*store).await, None);
    let mut forever = planned(3, &["mail"]);
    forever.notification = Arc::new(Notification { expires_at: None, ..(*forever.notification).clone() });
    store.accept(vec![planned(1, &["mail"]), planned_at(2, at(20_000), &["mail", "chat"]), forever]).await.unwrap();
    assert_eq!(next(&*store).await, Some(9_000));
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, waiting(at(30_000), 1)).await;

    assert_eq!(store.expire(at(8_999), SLICE).await.unwrap(), 0);
    assert_eq!(next(&*store).await, Some(9_000));
    assert_eq!(store.expire(END, SLICE).await.unwrap(), 3);
    assert_eq!(next(&*store).await, None);
    assert_eq!(state_of(&*store, id(1).delivery(0)).await, expired(1));
    assert_eq!(state_of(&*store, id(2).delivery(1)).await, expired(0));
    assert_eq!(store.count().await.unwrap().open, 1, "what does not expire waits");
    let stood = ear.withdrawn().iter().map(|queued| queued.position.delivery).collect::<Vec<_>>();
    assert_eq!(stood, [id(1).delivery(0), id(2).delivery(0), id(2).delivery(1)], "the queue is told");
    let dead = store.dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap();
    assert_eq!((dead.dead_letters.len(), store.totals().dead_letters), (3, 3));
    let told = kinds(&*store).await;
    let of_first = ["delivery.failed", "notification.expired", "notification.completed"];
    let of_second = ["delivery.failed", "delivery.failed", "notification.expired", "notification.completed"];
    assert_eq!(told[told.len() - 7..], [&of_first[..], &of_second[..]].concat());
    assert_eq!(store.claim(&[id(1).delivery(0)], at(u64::MAX)).await.unwrap().len(), 0);
}

pub(crate) async fn what_is_in_flight_or_taken_ends_by_its_own(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat", "mail"])]).await.unwrap();
    let in_flight = claim_one(&*store, id(1).delivery(0)).await;
    let taken = claim_one(&*store, id(1).delivery(1)).await;
    settle_one(&*store, &taken, accepted(at(20_000), 1)).await;

    assert_eq!(store.expire(END, SLICE).await.unwrap(), 1);
    assert_eq!(state_of(&*store, id(1).delivery(2)).await, expired(0));
    assert_eq!(state_of(&*store, id(1).delivery(1)).await, accepted(at(20_000), 1), "it was sent in time");
    assert_eq!(next(&*store).await, Some(19_000), "whether what is in flight waits again");
    store.release(&[in_flight.number]).await.unwrap();
    assert_eq!(store.expire(at(19_000), SLICE).await.unwrap(), 1);
    assert_eq!(next(&*store).await, None, "nobody looks at what its provider took");
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!((record.counts.failed, record.counts.open), (2, 1));
}

pub(crate) async fn a_large_notification_expires_in_slices_through_a_restart(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![large(1, 2 * DELIVERIES_SLICE + 500), planned(2, &["mail"])]).await.unwrap();
    while store.expand(id(1), NOW).await.unwrap() {}
    assert_eq!(store.expire(END, SLICE).await.unwrap(), SLICE as u32);
    assert_eq!(next(&*store).await, Some(9_000));
    store.close().await;

    let store = open(place).await;
    assert_eq!(next(&*store).await, Some(9_000));
    assert_eq!(store.expire(END, SLICE).await.unwrap(), SLICE as u32);
    assert_eq!(store.expire(END, SLICE).await.unwrap(), 501);
    assert_eq!((next(&*store).await, store.count().await.unwrap().open), (None, 0));
    let told = kinds(&*store).await;
    assert_eq!(told.iter().filter(|kind| **kind == "notification.completed").count(), 2);
}

pub(crate) async fn what_is_to_be_made_expires_once_it_is(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![large(1, DELIVERIES_SLICE + 1)]).await.unwrap();
    assert_eq!(store.expire(END, SLICE).await.unwrap(), 0);
    assert_eq!(next(&*store).await, Some(19_000));
    assert!(store.expand(id(1), NOW).await.unwrap());
    assert_eq!(store.expire(at(19_000), SLICE).await.unwrap(), SLICE as u32);
    assert!(!store.expand(id(1), NOW).await.unwrap());
    assert_eq!(store.expire(at(29_000), SLICE).await.unwrap(), 1);
    assert_eq!((next(&*store).await, store.count().await.unwrap().open), (None, 0));
}
