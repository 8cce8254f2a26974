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
        dead_callbacks_before: at(0),
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

pub(crate) async fn the_range_of_events_begins_behind_what_went(place: &dyn Place) {
    let store = open(place).await;
    for n in 1..=3 {
        store.accept(vec![planned(n, &["mail"])]).await.unwrap();
    }
    store.sweep(sweep(NOW.as_millis() + 1)).await.unwrap();
    let range = store.event_range().await.unwrap();
    assert_eq!((range.oldest, range.newest), (3, 3), "the newest frame stays");
}

fn shrink() -> Shrink {
    Shrink {
        after: NotificationId::FIRST,
        notifications_before: Timestamp::MAX,
        keys_before: at(0),
        event_bytes_max: None,
        audit_bytes_max: None,
        dead_callbacks_max: None,
        limit: 1_000,
    }
}

pub(crate) async fn what_is_too_much_goes_and_never_what_waits_failed_or_has_a_key_that_holds(place: &dyn Place) {
    let store = open(place).await;
    let with_key = Planned { idempotency: Some(idempotency(1, 7)), ..planned(4, &["mail"]) };
    let all = vec![planned(1, &["mail"]), planned(2, &["mail"]), planned(3, &["mail"]), with_key];
    store.accept(all).await.unwrap();
    for (n, end) in [(1, sent(1)), (2, failed(1)), (4, sent(1))] {
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, end).await;
    }
    let swept = store.shrink(shrink()).await.unwrap();
    let expected = Swept { notifications: 1, deliveries: 1, kept: 3, ..Swept::default() };
    assert_eq!(swept, expected);
    assert_eq!(store.notification(id(1)).await.unwrap(), None);
    let later = Shrink { keys_before: NOW.after(Duration::from_millis(1)), ..shrink() };
    assert_eq!(store.shrink(later).await.unwrap().notifications, 1, "its key holds no longer");
    assert_eq!(store.notification(id(4)).await.unwrap(), None);
    assert_eq!(store.totals().dead_letters, 1);
}

pub(crate) async fn the_oldest_events_and_entries_go_until_the_rest_is_small_enough(place: &dyn Place) {
    let store = open(place).await;
    for n in 1..=50 {
        store.accept(vec![planned(n, &["mail"])]).await.unwrap();
    }
    let before = store.totals();
    assert!(before.event_bytes > 0 && before.audit_bytes > 0);
    let (events, audit) = (before.event_bytes / 2, before.audit_bytes / 2);
    let half =
        Shrink { notifications_before: at(0), event_bytes_max: Some(events), audit_bytes_max: Some(audit), ..shrink() };
    let swept = store.shrink(half).await.unwrap();
    assert_eq!((swept.events, swept.audit, swept.notifications), (25, 25, 0));
    let after = store.totals();
    assert!(after.event_bytes <= events && after.audit_bytes <= audit, "{after:?}");
    assert_eq!(store.shrink(half).await.unwrap(), Swept::default(), "that is small enough");
    assert_eq!(store.outbox(0, 1).await.unwrap()[0].number, 26, "the oldest go first");
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.totals(), after, "also after a restart");
    let nothing = Shrink { event_bytes_max: Some(0), audit_bytes_max: Some(0), ..half };
    store.shrink(nothing).await.unwrap();
    assert_eq!(store.totals().audit_bytes, 0);
    assert_eq!(store.outbox(0, 10).await.unwrap().len(), 1, "the next one follows its number");
}

pub(crate) async fn what_goes_makes_room_for_what_comes(place: &dyn Place) {
    let store = open(place).await;
    let large = |n| {
        let mut one = planned(n, &["mail"]);
        let mut notification = Notification::clone(&one.notification);
        notification.data = Some("x".repeat(100_000));
        one.notification = Arc::new(notification);
        one
    };
    store.accept((1..=20).map(large).collect()).await.unwrap();
    for n in 1..=20 {
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, sent(1)).await;
    }
    let full = store.used_bytes().await.unwrap();
    assert!(full > 2_000_000, "{full}");
    assert_eq!(store.shrink(Shrink { limit: 10, ..shrink() }).await.unwrap().notifications, 10);
    let half = store.used_bytes().await.unwrap();
    assert!(half < full - 900_000, "{half} of {full}");
    assert!(store.notification(id(11)).await.unwrap().is_some() && store.notification(id(10)).await.unwrap().is_none());
}
