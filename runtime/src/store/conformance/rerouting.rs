//! Another channel stands in.

use super::*;

/// Through `to`, as the dispatcher asks for it.
fn rerouted(claim: &Claim, to: &str) -> Settlement {
    let attempts = claim.progress.attempts + 1;
    let before = claim.recipient.address.clone();
    let recipient =
        Recipient { address: format!("1@{to}"), others: vec![("email".to_owned(), before)], ..Recipient::default() };
    let reroute = Some(Box::new(Reroute { to: channel(to), recipient, reason: "exhausted".to_owned() }));
    let state = DeliveryState::Waiting(Waiting { attempts, run_began: Some(NOW), ..Waiting::fresh(NOW) });
    Settlement { reroute, ..settlement(claim, state) }
}

fn way(from: &str, to: &str) -> Rerouted {
    Rerouted { from: channel(from), to: channel(to), at: NOW, reason: "exhausted".to_owned() }
}

async fn waiting_in(store: &dyn Store, name: &str) -> Vec<DeliveryId> {
    let page = store.page(&lane(Priority::Normal, name), None, 10).await.unwrap();
    page.into_iter().map(|queued| queued.position.delivery).collect()
}

pub(crate) async fn a_delivery_goes_on_through_another_channel_and_a_restart(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "mail"])]).await.unwrap();
    let claim = claim_one(&*store, delivery).await;
    let settlement = rerouted(&claim, "chat");
    let state = settlement.state.clone();
    assert_eq!(store.settle(vec![settlement]).await.unwrap(), [Settled::Applied(state.clone())]);
    assert_eq!(kinds(&*store).await, ["notification.accepted", "delivery.attempted", "delivery.rerouted"]);
    assert_eq!(waiting_in(&*store, "mail").await, [id(1).delivery(1)], "its sibling stays where it was");
    assert_eq!(waiting_in(&*store, "chat").await, [delivery]);

    let claim = claim_one(&*store, delivery).await;
    assert_eq!((claim.lane(), &*claim.recipient.address), (lane(Priority::Normal, "chat"), "1@chat"));
    assert_eq!(claim.recipient.others, [("email".to_owned(), "1@mail".to_owned())]);
    assert_eq!(DeliveryState::Waiting(claim.progress.clone()), state);
    store.settle(vec![rerouted(&claim, "text")]).await.unwrap();
    store.close().await;

    let store = open(place).await;
    let record = store.notification(id(1)).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((record.channel, record.attempts.len()), (channel("text"), 2));
    assert_eq!(record.reroutes, [way("mail", "chat"), way("chat", "text")]);
    let filter = NotificationFilter { recipient: Some("1@text".to_owned()), ..NotificationFilter::default() };
    assert_eq!(store.query(filter, None, 10).await.unwrap().notifications.len(), 1);
    let claim = claim_one(&*store, delivery).await;
    settle_one(&*store, &claim, sent(3)).await;
    assert_eq!(state_of(&*store, delivery).await, sent(3));
    assert!(waiting_in(&*store, "text").await.is_empty());
}

pub(crate) async fn the_way_that_a_delivery_took_is_told_where_it_failed(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"]), planned(2, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.settle(vec![rerouted(&claim, "chat")]).await.unwrap();
    for n in [1, 2] {
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, failed(2)).await;
    }
    let dead = store.dead_letters(DeadLetterFilter::default(), None, 10).await.unwrap().dead_letters;
    let ways: Vec<_> = dead.into_iter().map(|dead| dead.delivery.reroutes).collect();
    assert_eq!(ways, [vec![way("mail", "chat")], vec![]]);
}

pub(crate) async fn what_was_cancelled_in_flight_goes_no_other_way(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.cancel(id(1), NOW, BY).await.unwrap();
    let cancelled = DeliveryState::Cancelled { at: NOW, attempts: 1 };
    assert_eq!(store.settle(vec![rerouted(&claim, "chat")]).await.unwrap(), [Settled::Applied(cancelled.clone())]);
    let record = store.notification(id(1)).await.unwrap().unwrap().deliveries.remove(0);
    assert_eq!((record.state, record.channel, record.reroutes), (cancelled, channel("mail"), vec![]));
    assert!(waiting_in(&*store, "chat").await.is_empty());
}

pub(crate) async fn the_way_goes_with_its_notification(place: &dyn Place) {
    let store = open(place).await;
    for _ in 0..2 {
        store.accept(vec![planned(1, &["mail"])]).await.unwrap();
        let claim = claim_one(&*store, id(1).delivery(0)).await;
        store.settle(vec![rerouted(&claim, "chat")]).await.unwrap();
        let record = store.notification(id(1)).await.unwrap().unwrap().deliveries.remove(0);
        assert_eq!(record.reroutes, [way("mail", "chat")], "nothing is left of one that went");
        let claim = claim_one(&*store, id(1).delivery(0)).await;
        settle_one(&*store, &claim, sent(2)).await;
        let sweep = Sweep {
            after: NotificationId::FIRST,
            notifications_before: at(1),
            keys_before: at(1),
            events_before: at(0),
            audit_before: at(0),
            dead_callbacks_before: at(0),
            limit: 10,
        };
        assert_eq!(store.sweep(sweep).await.unwrap().notifications, 1);
    }
}
