//! What is old enough goes.

use super::*;
use crate::store::{Sweep, Swept};

/// Clears up whatever was accepted, used and told before `before`.
fn sweep(before: u64) -> Sweep {
    let before = at(before);
    Sweep {
        after: NotificationId::FIRST,
        notifications_before: before,
        keys_before: before,
        events_before: before,
        audit_before: at(0),
        limit: 1_000,
    }
}

pub(crate) async fn what_is_final_and_old_goes_and_nothing_else(place: &dyn Place) {
    let store = open(place).await;
    let mut all: Vec<_> = (1..=4).map(|n| planned(n, &["mail"])).collect();
    Arc::make_mut(&mut all[0].notification).correlation_id = Some("order-7".to_owned());
    store.accept(all).await.unwrap();
    for (n, state) in [(1, sent(1)), (2, failed(1)), (3, waiting(at(9_000), 1))] {
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, state).await;
    }
    // Ids of these tests are those of 1970.
    let swept = store.sweep(sweep(1)).await.unwrap();
    let expected = Swept { notifications: 1, deliveries: 1, kept: 3, ..Swept::default() };
    assert_eq!(swept, expected, "what waits and what is a dead letter stays");
    assert_eq!(store.notification(id(1)).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap(), StatusCounts64 { open: 2, failed: 1, ..StatusCounts64::default() });
    let filters = [
        NotificationFilter { recipient: Some("1@mail".to_owned()), ..NotificationFilter::default() },
        NotificationFilter { correlation_id: Some("order-7".to_owned()), ..NotificationFilter::default() },
    ];
    for filter in filters {
        assert_eq!(store.query(filter, None, 10).await.unwrap().notifications, []);
    }
    store.purge(vec![id(2).delivery(0)], NOW, BY).await.unwrap();
    assert_eq!(store.sweep(sweep(1)).await.unwrap().notifications, 1, "a dead letter that was put away goes, too");
    assert_eq!(store.sweep(sweep(0)).await.unwrap(), Swept::default(), "nothing is older than that");
}

pub(crate) async fn a_sweep_goes_on_where_it_stopped(place: &dyn Place) {
    let store = open(place).await;
    store.accept((1..=5).map(|n| planned(n, &["mail"])).collect()).await.unwrap();
    for n in 2..=5 {
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, sent(1)).await;
    }
    let (mut after, mut all) = (NotificationId::FIRST, Vec::new());
    loop {
        let swept = store.sweep(Sweep { after, limit: 2, ..sweep(1) }).await.unwrap();
        all.push((swept.notifications, swept.kept));
        match swept.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(all, [(1, 1), (2, 0), (1, 0)]);
}

pub(crate) async fn old_keys_and_events_go_and_numbers_go_on(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n| Planned { idempotency: Some(idempotency(1, 7)), ..planned(n, &["mail"]) };
    store.accept(vec![with_key(1)]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    let later = NOW.as_millis() + 1;
    let swept = store.sweep(sweep(later)).await.unwrap();
    assert_eq!((swept.keys, swept.events), (1, 1), "the frame of the first commit");
    assert_eq!(store.outbox(0, 10).await.unwrap().first().map(|event| event.number), Some(2));
    store.close().await;

    let store = open(place).await;
    let accepted = store.accept(vec![with_key(2)]).await.unwrap();
    assert_eq!(accepted, [Accepted::New { deduplicated: Vec::new() }], "the key is free");
    let numbers: Vec<_> = store.outbox(0, 10).await.unwrap().iter().map(|event| event.number).collect();
    assert_eq!(numbers, [2, 3, 4, 5]);
}
