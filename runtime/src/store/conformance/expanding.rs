//! Notifications with more deliveries than one transaction makes.

use super::*;

const MANY: usize = 2 * DELIVERIES_SLICE + 500;

/// Notification `n` with so many deliveries through `mail`.
pub(crate) fn large(n: u32, deliveries: usize) -> Planned {
    let mut planned = planned(n, &["mail"]);
    let to = |place: usize| Recipient { address: format!("{place}@mail"), ..Recipient::default() };
    planned.deliveries = (0..deliveries).map(|place| PlannedDelivery::new(channel("mail"), to(place), NOW)).collect();
    planned
}

async fn open_and_made(store: &dyn Store) -> (u32, u64) {
    let record = store.notification(id(1)).await.unwrap().unwrap();
    (record.counts.open, store.count().await.unwrap().open)
}

pub(crate) async fn a_large_notification_is_made_in_slices_through_a_restart(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.expanding(NotificationId::FIRST).await.unwrap(), None);
    store.accept(vec![large(1, MANY), planned(2, &["mail"])]).await.unwrap();
    assert_eq!(store.expanding(NotificationId::FIRST).await.unwrap(), Some(id(1)));
    assert_eq!(store.expanding(id(1)).await.unwrap(), None);
    assert_eq!(open_and_made(&*store).await, (MANY as u32, 1), "accepted whole, nothing of it made but the other");
    assert!(store.expand(id(1), NOW).await.unwrap());
    assert_eq!(open_and_made(&*store).await.1, 1 + DELIVERIES_SLICE as u64);
    let unmade = store.notification(id(1)).await.unwrap().unwrap().unmade;
    assert_eq!(unmade, (MANY - DELIVERIES_SLICE) as u32, "what is read now is not all there will be");
    store.close().await;

    let ear = Arc::new(Ear::default());
    let store = place.open(Arc::clone(&ear) as _).await;
    assert!(store.expand(id(1), NOW).await.unwrap());
    assert!(!store.expand(id(1), NOW).await.unwrap(), "that was the last slice");
    assert!(!store.expand(id(1), NOW).await.unwrap());
    assert_eq!(store.expanding(NotificationId::FIRST).await.unwrap(), None);
    assert_eq!(open_and_made(&*store).await, (MANY as u32, 1 + MANY as u64));
    assert_eq!(ear.accepted().len(), MANY - DELIVERIES_SLICE, "the queue is told of what was made");

    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!(record.deliveries.len(), DELIVERIES_SLICE, "the first ones");
    let rest = store.deliveries(id(1), DELIVERIES_SLICE as u32, MANY).await.unwrap();
    let addresses: Vec<_> = rest.iter().map(|delivery| delivery.recipient.address.clone()).collect();
    assert_eq!(addresses, (DELIVERIES_SLICE..MANY).map(|place| format!("{place}@mail")).collect::<Vec<_>>());
    assert_eq!(rest[7].id, id(1).delivery(DELIVERIES_SLICE as u32 + 7));
}

pub(crate) async fn a_large_notification_is_complete_when_all_of_it_is(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![large(1, DELIVERIES_SLICE + 1)]).await.unwrap();
    assert!(store.expand(id(1), NOW).await.unwrap());
    let first: Vec<_> = (0..DELIVERIES_SLICE as u32).map(|index| id(1).delivery(index)).collect();
    let claims = store.claim(&first, NOW).await.unwrap();
    store.settle(claims.iter().map(|claim| settlement(claim, sent(1))).collect()).await.unwrap();
    assert_eq!(open_and_made(&*store).await, (1, 0), "one is still to be made");
    assert!(!store.expand(id(1), NOW).await.unwrap());
    let claim = claim_one(&*store, id(1).delivery(DELIVERIES_SLICE as u32)).await;
    settle_one(&*store, &claim, failed(1)).await;
    assert_eq!(kinds(&*store).await.last(), Some(&"notification.completed"));
    let counts = store.notification(id(1)).await.unwrap().unwrap().counts;
    assert_eq!((counts.sent, counts.failed), (DELIVERIES_SLICE as u32, 1));
}

pub(crate) async fn what_is_cancelled_before_it_is_made_is_never_made(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![large(1, MANY)]).await.unwrap();
    assert!(store.expand(id(1), NOW).await.unwrap());
    assert!(store.expand(id(1), NOW).await.unwrap());
    let claim = claim_one(&*store, id(1).delivery(3)).await;
    let cancelled = store.cancel(id(1), NOW, BY).await.unwrap();
    assert_eq!(cancelled, Cancelled::Cancelled { now: MANY as u32 - 1, in_flight: 1 });
    assert_eq!(store.expanding(NotificationId::FIRST).await.unwrap(), None);
    assert!(!store.expand(id(1), NOW).await.unwrap());
    assert_eq!(open_and_made(&*store).await, (1, 1), "what was in flight");
    settle_one(&*store, &claim, sent(1)).await;
    let all = kinds(&*store).await;
    assert_eq!(all.iter().filter(|kind| **kind == "notification.cancelled").count(), 1, "it is announced once");
    assert_eq!(all.last(), Some(&"notification.completed"));
    store.close().await;
    let record = open(place).await.notification(id(1)).await.unwrap().unwrap();
    assert_eq!((record.counts.sent, record.counts.cancelled), (1, MANY as u32 - 1));
    let never_made = (MANY - 2 * DELIVERIES_SLICE) as u32;
    assert_eq!((record.unmade, record.never_made), (0, never_made), "it is known why they have no record");
}

pub(crate) async fn what_is_cancelled_before_any_of_it_is_made_is_complete(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![large(1, MANY)]).await.unwrap();
    assert_eq!(store.cancel(id(1), NOW, BY).await.unwrap(), Cancelled::Cancelled { now: MANY as u32, in_flight: 0 });
    assert_eq!(kinds(&*store).await[1..], ["notification.cancelled", "notification.completed"]);
    assert_eq!(store.cancel(id(1), NOW, BY).await.unwrap(), Cancelled::AlreadyFinal);
}

pub(crate) async fn a_large_notification_with_a_known_key_leaves_nothing_behind(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n| Planned { idempotency: Some(idempotency(1, 7)), ..large(n, MANY) };
    store.accept(vec![with_key(1)]).await.unwrap();
    let again = store.accept(vec![with_key(2)]).await.unwrap();
    assert!(matches!(&again[..], [Accepted::Known(first)] if first.notification == id(1)), "{again:?}");
    assert_eq!(store.expanding(id(1)).await.unwrap(), None);
    assert!(!store.expand(id(2), NOW).await.unwrap());
}

pub(crate) async fn a_dedupe_key_holds_for_each_delivery_of_a_large_notification(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n| {
        let mut planned = large(n, DELIVERIES_SLICE + 2);
        // One in the first slice, two in the second.
        for place in [7, DELIVERIES_SLICE, DELIVERIES_SLICE + 1] {
            planned.deliveries[place].dedupe = Some(once(9));
        }
        planned
    };
    store.accept(vec![with_key(1)]).await.unwrap();
    while store.expand(id(1), NOW).await.unwrap() {}
    let expected = DELIVERIES_SLICE as u32;
    assert_eq!(open_and_made(&*store).await, (expected, u64::from(expected)), "three were the same");
    let events = store.outbox(0, 10_000).await.unwrap().into_iter().map(|numbered| numbered.event.body);
    let first = EventBody::DeliveryDeduplicated { notification: id(1), first: id(1).delivery(7) };
    assert_eq!(events.filter(|body| *body == first).count(), 2);
}
