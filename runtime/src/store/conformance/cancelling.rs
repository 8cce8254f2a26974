//! Cancelling before, during and after an attempt.

use super::*;

const LATER: Timestamp = Timestamp::from_millis(2_000);

async fn flights(store: &dyn Store, n: u32) -> Vec<Flight> {
    store.deliveries(id(n), 0, 10).await.unwrap().iter().map(|delivery| delivery.flight).collect()
}

pub(crate) async fn what_has_not_left_is_cancelled_at_once(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat", "mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(1)).await;
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 2, in_flight: 0 });

    assert_eq!(state_of(&*store, id(1).delivery(0)).await, DeliveryState::Cancelled { at: LATER, attempts: 0 });
    assert_eq!(state_of(&*store, id(1).delivery(1)).await, sent(1));
    let ids = [id(1).delivery(0), id(1).delivery(1), id(1).delivery(2)];
    assert_eq!(store.claim(&ids, at(u64::MAX)).await.unwrap().len(), 0);
    assert_eq!(store.lanes().await.unwrap(), []);
}

pub(crate) async fn a_cancel_in_flight_holds_unless_the_attempt_sent_it(place: &dyn Place) {
    for (n, end) in [sent(1), failed(1), waiting(at(5_000), 1)].into_iter().enumerate() {
        let n = n as u32 + 1;
        let store = open(place).await;
        store.accept(vec![planned(n, &["mail", "chat"])]).await.unwrap();
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        assert_eq!(store.cancel(id(n), LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 1, in_flight: 1 });
        assert_eq!(state_of(&*store, claim.delivery).await, DeliveryState::Waiting(claim.progress.clone()));
        let record = store.notification(id(n)).await.unwrap().unwrap();
        assert_eq!(record.deliveries[0].flight, Flight::Withdrawn);

        let expected = settle_cancelled(end.clone(), NOW);
        assert_eq!(settle_one(&*store, &claim, end).await, Settled::Applied(expected.clone()));
        assert_eq!(state_of(&*store, claim.delivery).await, expected);
        assert!(expected.status().is_final());
        let record = store.notification(id(n)).await.unwrap().unwrap();
        assert_eq!(record.deliveries[0].attempts, [attempt(1)]);
        assert_eq!(store.claim(&[claim.delivery], at(u64::MAX)).await.unwrap().len(), 0);
        store.close().await;
    }
}

pub(crate) async fn a_cancel_in_flight_holds_when_the_claim_is_given_up(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 0, in_flight: 1 });
    store.release(&[claim.number]).await.unwrap();

    assert_eq!(state_of(&*store, claim.delivery).await, DeliveryState::Cancelled { at: LATER, attempts: 0 });
    assert_eq!(store.claim(&[claim.delivery], NOW).await.unwrap().len(), 0);
    let expected = ["notification.accepted", "notification.cancelled", "delivery.cancelled", "notification.completed"];
    assert_eq!(kinds(&*store).await, expected);
}

pub(crate) async fn a_cancel_in_flight_holds_through_a_restart(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.cancel(id(1), LATER, BY).await.unwrap();
    store.close().await;

    let store = open(place).await;
    assert_eq!(state_of(&*store, claim.delivery).await, DeliveryState::Cancelled { at: LATER, attempts: 0 });
    assert_eq!(store.claim(&[claim.delivery], NOW).await.unwrap().len(), 0);
    assert_eq!(kinds(&*store).await.last(), Some(&"notification.completed"));
    store.close().await;
    assert_eq!(kinds(&*open(place).await).await.len(), 5, "it is finished once");
}

pub(crate) async fn a_second_cancel_changes_nothing(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.cancel(id(1), LATER, BY).await.unwrap();
    let before = kinds(&*store).await;
    assert_eq!(store.cancel(id(1), at(3_000), BY).await.unwrap(), Cancelled::Cancelled { now: 0, in_flight: 1 });
    assert_eq!(kinds(&*store).await, before);
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.cancel(id(1), at(3_000), BY).await.unwrap(), Cancelled::AlreadyFinal);
}

pub(crate) async fn what_is_final_or_unknown_is_not_cancelled(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Unknown);
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    let before = kinds(&*store).await;
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::AlreadyFinal);
    assert_eq!(kinds(&*store).await, before);
}

pub(crate) async fn one_delivery_is_cancelled_and_its_siblings_go_on(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let (first, second) = (id(1).delivery(0), id(1).delivery(1));
    assert_eq!(store.cancel_delivery(first, LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 1, in_flight: 0 });
    assert_eq!(state_of(&*store, first).await, DeliveryState::Cancelled { at: LATER, attempts: 0 });
    assert_eq!(store.claim(&[first], at(u64::MAX)).await.unwrap().len(), 0);

    let claim = claim_one(&*store, second).await;
    settle_one(&*store, &claim, sent(1)).await;
    let counts = store.notification(id(1)).await.unwrap().unwrap().counts;
    assert_eq!((counts.sent, counts.cancelled, counts.open), (1, 1, 0));
    assert_eq!(store.cancel_delivery(first, LATER, BY).await.unwrap(), Cancelled::AlreadyFinal);
    assert_eq!(store.cancel_delivery(second, LATER, BY).await.unwrap(), Cancelled::AlreadyFinal);
    assert_eq!(store.cancel_delivery(id(1).delivery(2), LATER, BY).await.unwrap(), Cancelled::Unknown);
    let expected = [
        "notification.accepted",
        "delivery.cancelled",
        "delivery.attempted",
        "delivery.sent",
        "notification.completed",
    ];
    assert_eq!(kinds(&*store).await, expected);
}

pub(crate) async fn a_cancel_of_one_in_flight_holds_unless_the_attempt_sent_it(place: &dyn Place) {
    for (n, end) in [sent(1), failed(1), waiting(at(5_000), 1)].into_iter().enumerate() {
        let n = n as u32 + 1;
        let store = open(place).await;
        store.accept(vec![planned(n, &["mail", "chat"])]).await.unwrap();
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        let in_flight = Cancelled::Cancelled { now: 0, in_flight: 1 };
        assert_eq!(flights(&*store, n).await, [Flight::UnderWay, Flight::Idle]);
        assert_eq!(store.cancel_delivery(claim.delivery, LATER, BY).await.unwrap(), in_flight);
        assert_eq!(store.cancel_delivery(claim.delivery, LATER, BY).await.unwrap(), in_flight, "said twice");
        assert_eq!(flights(&*store, n).await, [Flight::Withdrawn, Flight::Idle]);
        assert_eq!(state_of(&*store, claim.delivery).await, DeliveryState::Waiting(claim.progress.clone()));

        let expected = settle_cancelled(end.clone(), NOW);
        assert_eq!(settle_one(&*store, &claim, end).await, Settled::Applied(expected.clone()));
        assert_eq!(state_of(&*store, claim.delivery).await, expected);
        let sibling = claim_one(&*store, id(n).delivery(1)).await;
        assert_eq!(settle_one(&*store, &sibling, failed(1)).await, Settled::Applied(failed(1)), "it is not cancelled");
        store.close().await;
    }
}

pub(crate) async fn a_cancel_of_one_in_flight_holds_when_it_is_given_up_or_forgotten(place: &dyn Place) {
    let cancelled = DeliveryState::Cancelled { at: LATER, attempts: 0 };
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let (first, second) = (id(1).delivery(0), id(1).delivery(1));
    let claim = claim_one(&*store, first).await;
    store.cancel_delivery(first, LATER, BY).await.unwrap();
    store.release(&[claim.number]).await.unwrap();
    assert_eq!(state_of(&*store, first).await, cancelled);

    claim_one(&*store, second).await;
    store.cancel_delivery(second, LATER, BY).await.unwrap();
    store.close().await;
    let store = open(place).await;
    assert_eq!(state_of(&*store, second).await, cancelled);
    let told = kinds(&*store).await;
    assert_eq!(told.last(), Some(&"notification.completed"));
    store.close().await;
    assert_eq!(kinds(&*open(place).await).await, told, "it is finished once");
}

pub(crate) async fn a_delivery_and_its_notification_are_cancelled_once(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.cancel_delivery(claim.delivery, LATER, BY).await.unwrap();
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 1, in_flight: 1 });
    assert_eq!(
        store.cancel_delivery(claim.delivery, LATER, BY).await.unwrap(),
        Cancelled::Cancelled { now: 0, in_flight: 1 }
    );
    settle_one(&*store, &claim, failed(1)).await;
    assert!(matches!(state_of(&*store, claim.delivery).await, DeliveryState::Cancelled { .. }));
    store.close().await;
    let store = open(place).await;
    let told = kinds(&*store).await;
    assert_eq!(told.iter().filter(|kind| **kind == "delivery.cancelled").count(), 2, "{told:?}");
    assert_eq!(told.last(), Some(&"notification.completed"));
}

pub(crate) async fn the_queue_is_told_where_those_stood_that_are_cancelled_while_they_wait(place: &dyn Place) {
    let ear = Arc::new(Ear::default());
    let store = place.open(Arc::clone(&ear) as _).await;
    store.accept(vec![planned(1, &["mail", "chat", "mail"]), planned(2, &["mail"])]).await.unwrap();
    let accepted = ear.accepted();
    claim_one(&*store, id(1).delivery(0)).await;
    store.cancel(id(1), LATER, BY).await.unwrap();
    assert_eq!(ear.withdrawn(), accepted[1..3], "whoever has a claim of the first knows how it ends");
    store.cancel_delivery(id(2).delivery(0), LATER, BY).await.unwrap();
    assert_eq!(ear.withdrawn(), accepted[1..]);
}
