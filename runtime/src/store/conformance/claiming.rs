//! Claims: one at a time, numbered, and compared when they settle.

use super::*;

pub(crate) async fn a_delivery_has_one_claim_at_a_time(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "mail"])]).await.unwrap();
    let both = [id(1).delivery(0), id(1).delivery(1)];
    let claim = claim_one(&*store, both[0]).await;
    let rest = store.claim(&both, NOW).await.unwrap();
    assert_eq!(rest.iter().map(|claim| claim.delivery).collect::<Vec<_>>(), [both[1]]);
    assert_eq!(store.claim(&both, NOW).await.unwrap().len(), 0);

    settle_one(&*store, &claim, waiting(NOW, 1)).await;
    assert_eq!(claim_one(&*store, both[0]).await.progress.attempts, 1);
}

pub(crate) async fn claims_are_numbered_upwards(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"; 50])]).await.unwrap();
    let ids: Vec<_> = (0..50).map(|index| id(1).delivery(index)).collect();
    let mut last = 0;
    for _ in 0..3 {
        let claims = store.claim(&ids, NOW).await.unwrap();
        let numbers: Vec<_> = claims.iter().map(|claim| claim.number).collect();
        assert_eq!(numbers.len(), 50);
        assert!(numbers.iter().all(|number| *number > last));
        last = *numbers.iter().max().unwrap();
        store.release(&numbers).await.unwrap();
    }
}

pub(crate) async fn what_is_not_due_final_or_unknown_is_left_out(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"]), planned_at(2, at(1_001), &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    let ids = [id(1).delivery(0), id(1).delivery(1), id(2).delivery(0), id(3).delivery(0)];

    assert_eq!(store.claim(&ids, NOW).await.unwrap().len(), 0);
    let due: Vec<_> = store.claim(&ids, at(1_001)).await.unwrap().iter().map(|claim| claim.delivery).collect();
    assert_eq!(due, [id(2).delivery(0)], "being asked too early does not hold it back later");
}

pub(crate) async fn a_claim_brings_all_that_a_call_needs(place: &dyn Place) {
    let asked = planned(1, &["mail", "chat"]);
    let mut store = open(place).await;
    store.accept(vec![asked.clone()]).await.unwrap();
    for _ in 0..2 {
        let claim = claim_one(&*store, id(1).delivery(1)).await;
        assert_eq!(claim.delivery, id(1).delivery(1));
        assert_eq!(claim.progress, Waiting::fresh(NOW));
        assert_eq!(claim.channel, asked.deliveries[1].channel);
        assert_eq!(*claim.recipient, asked.deliveries[1].recipient);
        assert_eq!(claim.notification, asked.notification);
        // The second time it comes from the disk.
        store.close().await;
        store = open(place).await;
    }
}

pub(crate) async fn a_claim_given_up_leaves_no_trace(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, delivery).await;
    store.release(&[claim.number]).await.unwrap();
    store.release(&[claim.number, 4_711]).await.unwrap();

    let next = claim_one(&*store, delivery).await;
    assert_eq!(next.progress, claim.progress);
    assert_eq!(settle_one(&*store, &claim, sent(1)).await, Settled::Late);
    assert_eq!(settle_one(&*store, &next, sent(1)).await, Settled::Applied(sent(1)));
    assert_eq!(store.notification(id(1)).await.unwrap().unwrap().deliveries[0].attempts.len(), 1);
}

pub(crate) async fn a_settlement_without_the_newest_claim_is_counted_and_not_applied(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let first = claim_one(&*store, delivery).await;
    settle_one(&*store, &first, waiting(NOW, 1)).await;
    let second = claim_one(&*store, delivery).await;

    assert_eq!(settle_one(&*store, &first, failed(1)).await, Settled::Late);
    let never = Claim { number: second.number + 1, ..second.clone() };
    assert_eq!(settle_one(&*store, &never, failed(2)).await, Settled::Late);
    let elsewhere = Claim { delivery: id(1).delivery(5), ..second.clone() };
    assert_eq!(settle_one(&*store, &elsewhere, failed(2)).await, Settled::Late);
    assert_eq!(state_of(&*store, delivery).await, waiting(NOW, 1));

    assert_eq!(settle_one(&*store, &second, sent(2)).await, Settled::Applied(sent(2)));
    assert_eq!(settle_one(&*store, &second, failed(3)).await, Settled::Late);
    assert_eq!(state_of(&*store, delivery).await, sent(2));
    assert_eq!(store.stats().late_settlements, 4);
    assert_eq!(store.notification(id(1)).await.unwrap().unwrap().deliveries[0].attempts.len(), 2);
}

pub(crate) async fn a_settlement_settles_once_even_within_one_call(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "mail"])]).await.unwrap();
    let one = claim_one(&*store, id(1).delivery(0)).await;
    let other = claim_one(&*store, id(1).delivery(1)).await;
    let settlements =
        vec![settlement(&one, waiting(at(2_000), 1)), settlement(&one, failed(1)), settlement(&other, sent(1))];
    let settled = store.settle(settlements).await.unwrap();
    assert_eq!(settled, [Settled::Applied(waiting(at(2_000), 1)), Settled::Late, Settled::Applied(sent(1))]);
}

pub(crate) async fn a_settlement_without_an_attempt_ends_the_delivery_and_keeps_none(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let mut store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, delivery).await;
    let expired = Settlement { attempt: None, ..settlement(&claim, failed(0)) };
    assert_eq!(store.settle(vec![expired.clone()]).await.unwrap(), [Settled::Applied(failed(0))]);
    assert_eq!(store.settle(vec![expired]).await.unwrap(), [Settled::Late]);
    for _ in 0..2 {
        let record = store.notification(id(1)).await.unwrap().unwrap();
        assert_eq!(record.deliveries[0].state, failed(0));
        assert_eq!(record.deliveries[0].attempts, []);
        let expected = ["notification.accepted", "delivery.failed", "notification.expired", "notification.completed"];
        assert_eq!(kinds(&*store).await, expected);
        // The second time it comes from the disk.
        store.close().await;
        store = open(place).await;
    }
}

pub(crate) async fn whoever_claims_at_the_same_time_shares_the_deliveries_without_overlap(place: &dyn Place) {
    let store = open(place).await;
    store.accept((0..100).map(|n| planned(n, &["mail"])).collect()).await.unwrap();
    store.close().await;
    // Opened again, so that every claim has to read.
    let store = open(place).await;
    let ids: Arc<Vec<_>> = Arc::new((0..100).map(|n| id(n).delivery(0)).collect());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
        tasks.spawn(async move { store.claim(&ids, NOW).await.unwrap() });
    }
    let mut claimed: Vec<_> = tasks.join_all().await.into_iter().flatten().map(|claim| claim.delivery).collect();
    claimed.sort();
    assert_eq!(claimed, *ids);
}

pub(crate) async fn a_restart_forgets_claims_and_nothing_else(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "mail", "mail"])]).await.unwrap();
    claim_one(&*store, id(1).delivery(0)).await;
    let retried = claim_one(&*store, id(1).delivery(1)).await;
    settle_one(&*store, &retried, waiting(NOW, 1)).await;
    let done = claim_one(&*store, id(1).delivery(2)).await;
    settle_one(&*store, &done, sent(1)).await;
    store.close().await;

    let store = open(place).await;
    let ids = [id(1).delivery(0), id(1).delivery(1), id(1).delivery(2)];
    let progress: Vec<_> =
        store.claim(&ids, NOW).await.unwrap().into_iter().map(|claim| (claim.delivery, claim.progress)).collect();
    let DeliveryState::Waiting(after_retry) = waiting(NOW, 1) else { unreachable!() };
    assert_eq!(progress, [(ids[0], Waiting::fresh(NOW)), (ids[1], after_retry)]);
}
