//! Cancelling before, during and after an attempt.

use super::*;

const LATER: Timestamp = Timestamp::from_millis(2_000);

pub(crate) async fn what_has_not_left_is_cancelled_at_once(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat", "mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(1)).await;
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.cancel(id(1), LATER).await.unwrap(), Cancelled::Cancelled { now: 2, in_flight: 0 });

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
        assert_eq!(store.cancel(id(n), LATER).await.unwrap(), Cancelled::Cancelled { now: 1, in_flight: 1 });
        assert_eq!(state_of(&*store, claim.delivery).await, DeliveryState::Waiting(claim.progress));

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
    assert_eq!(store.cancel(id(1), LATER).await.unwrap(), Cancelled::Cancelled { now: 0, in_flight: 1 });
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
    store.cancel(id(1), LATER).await.unwrap();
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
    store.cancel(id(1), LATER).await.unwrap();
    let before = kinds(&*store).await;
    assert_eq!(store.cancel(id(1), at(3_000)).await.unwrap(), Cancelled::Cancelled { now: 0, in_flight: 1 });
    assert_eq!(kinds(&*store).await, before);
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.cancel(id(1), at(3_000)).await.unwrap(), Cancelled::AlreadyFinal);
}

pub(crate) async fn what_is_final_or_unknown_is_not_cancelled(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.cancel(id(1), LATER).await.unwrap(), Cancelled::Unknown);
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    let before = kinds(&*store).await;
    assert_eq!(store.cancel(id(1), LATER).await.unwrap(), Cancelled::AlreadyFinal);
    assert_eq!(kinds(&*store).await, before);
}
