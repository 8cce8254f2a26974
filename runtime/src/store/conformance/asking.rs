//! What a provider took without a final word.

use super::*;

const LATER: Timestamp = Timestamp::from_millis(2_000);

/// A store with one notification, the first of whose deliveries a provider took, to be asked for at `due`.
async fn taken(place: &dyn Place, channels: &[&str], due: Timestamp) -> (Arc<dyn Store>, DeliveryId) {
    let store = open(place).await;
    store.accept(vec![planned(1, channels)]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    let state = accepted(due, 1);
    assert_eq!(settle_one(&*store, &claim, state.clone()).await, Settled::Applied(state));
    (store, claim.delivery)
}

/// The answer to a question that says nothing new.
fn nothing_new(claim: &Claim, due: Timestamp) -> Settlement {
    Settlement { attempt: None, ..settlement(claim, accepted(due, claim.progress.attempts)) }
}

pub(crate) async fn what_a_provider_took_is_told_once_and_waits_for_its_next_question(place: &dyn Place) {
    let (store, delivery) = taken(place, &["mail"], NOW).await;
    let question = claim_one(&*store, delivery).await;
    assert_eq!(DeliveryState::Waiting(question.progress.clone()), accepted(NOW, 1));
    store.settle(vec![nothing_new(&question, LATER)]).await.unwrap();
    assert_eq!(store.claim(&[delivery], NOW).await.unwrap().len(), 0, "not before it is due again");
    assert_eq!(store.totals().retrying, 0, "nothing of it is tried again");

    let last = store.claim(&[delivery], LATER).await.unwrap().remove(0);
    settle_one(&*store, &last, sent(2)).await;
    let expected = [
        "notification.accepted",
        "delivery.attempted",
        "delivery.accepted",
        "delivery.attempted",
        "delivery.sent",
        "notification.completed",
    ];
    assert_eq!(kinds(&*store).await, expected, "a question that says nothing new is no event");
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!(record.deliveries[0].attempts, [attempt(1), attempt(2)]);
    assert_eq!((record.counts.sent, record.counts.open), (1, 0));
}

pub(crate) async fn what_a_provider_took_keeps_its_receipt_through_a_restart(place: &dyn Place) {
    let (store, delivery) = taken(place, &["mail", "chat"], LATER).await;
    store.close().await;
    let store = open(place).await;
    assert_eq!(state_of(&*store, delivery).await, accepted(LATER, 1));
    assert_eq!(store.claim(&[delivery], NOW).await.unwrap().len(), 0);
    let claim = store.claim(&[delivery], LATER).await.unwrap().remove(0);
    assert_eq!(DeliveryState::Waiting(claim.progress), accepted(LATER, 1));
}

pub(crate) async fn what_a_provider_took_is_not_cancelled(place: &dyn Place) {
    let (store, delivery) = taken(place, &["mail"], NOW).await;
    let before = kinds(&*store).await;
    for _ in ["at rest", "while it is asked for"] {
        assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Taken);
        assert_eq!(store.cancel_delivery(delivery, LATER, BY).await.unwrap(), Cancelled::Taken);
        assert_eq!((kinds(&*store).await, state_of(&*store, delivery).await), (before.clone(), accepted(NOW, 1)));
        store.claim(&[delivery], NOW).await.unwrap();
    }
    let audit = store.audit(AuditFilter::default(), None, 10).await.unwrap();
    let refused = audit.entries.iter().filter(|(_, entry)| entry.outcome == AuditOutcome::Refused).count();
    assert_eq!(refused, 4, "{audit:?}");
}

pub(crate) async fn what_a_provider_takes_while_it_is_cancelled_goes_on(place: &dyn Place) {
    for n in [1, 2] {
        let store = open(place).await;
        store.accept(vec![planned(n, &["mail", "chat"])]).await.unwrap();
        let delivery = id(n).delivery(0);
        let claim = claim_one(&*store, delivery).await;
        let cancelled = match n {
            1 => store.cancel(id(n), LATER, BY).await.unwrap(),
            _ => store.cancel_delivery(delivery, LATER, BY).await.unwrap(),
        };
        assert!(matches!(cancelled, Cancelled::Cancelled { in_flight: 1, .. }), "{cancelled:?}");
        let state = accepted(NOW, 1);
        assert_eq!(settle_one(&*store, &claim, state.clone()).await, Settled::Applied(state));

        let question = claim_one(&*store, delivery).await;
        assert_eq!(
            settle_one(&*store, &question, failed(2)).await,
            Settled::Applied(failed(2)),
            "its final word counts"
        );
        store.close().await;
    }
}

pub(crate) async fn a_cancel_leaves_what_a_provider_took_and_lets_it_go_on(place: &dyn Place) {
    let (store, delivery) = taken(place, &["mail", "chat", "mail"], NOW).await;
    let flying = claim_one(&*store, id(1).delivery(1)).await;
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Cancelled { now: 1, in_flight: 1 });
    // While the cancel waits for its sibling it is asked for all the same.
    let question = claim_one(&*store, delivery).await;
    store.settle(vec![nothing_new(&question, NOW)]).await.unwrap();
    settle_one(&*store, &flying, failed(1)).await;
    store.release(&[claim_one(&*store, delivery).await.number]).await.unwrap();
    assert_eq!(state_of(&*store, delivery).await, accepted(NOW, 1));
    assert_eq!(store.cancel(id(1), LATER, BY).await.unwrap(), Cancelled::Taken);
    store.close().await;

    let store = open(place).await;
    let question = claim_one(&*store, delivery).await;
    settle_one(&*store, &question, sent(2)).await;
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!((record.counts.sent, record.counts.cancelled, record.counts.open), (1, 2, 0));
    assert_eq!(kinds(&*store).await.last(), Some(&"notification.completed"));
}
