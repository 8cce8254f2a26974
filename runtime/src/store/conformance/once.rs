//! What is accepted once.

use super::*;

pub(crate) async fn a_key_is_used_once_and_its_second_use_is_told_the_first(place: &dyn Place) {
    let store = open(place).await;
    let skipped = vec![0, 1, 700, 65_536];
    let first = Planned { idempotency: Some(idempotency(1, 7)), skipped: skipped.clone(), ..planned(1, &["mail"]) };
    let second = Planned { idempotency: Some(idempotency(1, 8)), ..planned(2, &["mail"]) };
    let key = idempotency(1, 7).key;
    assert_eq!(store.first_use(key).await.unwrap(), None);
    assert_eq!(store.accept(vec![first]).await.unwrap(), [Accepted::New { deduplicated: Vec::new() }]);
    let known = FirstUse { digest: [7; 32], notification: id(1), deduplicated: Vec::new(), skipped };
    assert_eq!(store.accept(vec![second]).await.unwrap(), [Accepted::Known(known.clone())]);
    assert_eq!(store.first_use(key).await.unwrap(), Some(known));
    assert_eq!(store.notification(id(2)).await.unwrap(), None);
    assert_eq!(kinds(&*store).await, ["notification.accepted"]);
}

pub(crate) async fn a_key_holds_through_a_restart_and_no_longer_than_it_says(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n, since| {
        let mut key = idempotency(1, 7);
        key.key.since = since;
        Planned { idempotency: Some(key), ..planned(n, &["mail"]) }
    };
    store.accept(vec![with_key(1, NOW)]).await.unwrap();
    store.close().await;
    let store = open(place).await;
    let again = store.accept(vec![with_key(2, NOW)]).await.unwrap();
    assert!(matches!(&again[..], [Accepted::Known(first)] if first.notification == id(1)), "{again:?}");
    let later = at(NOW.as_millis() + 1);
    let free = store.accept(vec![with_key(3, later)]).await.unwrap();
    assert_eq!(free, [Accepted::New { deduplicated: Vec::new() }]);
    assert_eq!(store.first_use(with_key(4, NOW).idempotency.unwrap().key).await.unwrap().unwrap().notification, id(3));
}

pub(crate) async fn a_key_used_twice_in_one_call_is_used_once(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n| Planned { idempotency: Some(idempotency(1, 7)), ..planned(n, &["mail"]) };
    let answers = store.accept(vec![with_key(1), with_key(2)]).await.unwrap();
    assert!(
        matches!(&answers[..], [Accepted::New { .. }, Accepted::Known(first)] if first.notification == id(1)),
        "{answers:?}"
    );
}

pub(crate) async fn a_key_of_what_could_not_be_kept_is_free(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let with_key = |n| Planned { idempotency: Some(idempotency(1, 7)), ..planned(n, &["mail"]) };
    // The id is taken.
    assert!(store.accept(vec![with_key(1)]).await.is_err());
    let free = store.accept(vec![with_key(2)]).await.unwrap();
    assert_eq!(free, [Accepted::New { deduplicated: Vec::new() }]);
}

/// `n` with a delivery through each channel, each with a key of its channel.
fn deduped(n: u32, channels: &[&str]) -> Planned {
    let mut planned = planned(n, channels);
    for delivery in &mut planned.deliveries {
        delivery.dedupe = Some(once(delivery.channel.as_str().len() as u8));
    }
    planned
}

pub(crate) async fn a_delivery_with_a_key_that_was_used_is_not_made_and_told(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![deduped(1, &["mail"])]).await.unwrap();
    store.close().await;
    let store = open(place).await;
    let with_key = Planned { idempotency: Some(idempotency(1, 7)), ..deduped(2, &["mail", "pager"]) };
    let deduplicated = vec![Deduplicated { index: 0, first: id(1).delivery(0) }];
    let answers = store.accept(vec![with_key.clone()]).await.unwrap();
    assert_eq!(answers, [Accepted::New { deduplicated: deduplicated.clone() }]);
    let record = store.notification(id(2)).await.unwrap().unwrap();
    let made: Vec<_> = record.deliveries.iter().map(|delivery| delivery.id).collect();
    assert_eq!(made, [id(2).delivery(1)], "the others keep their places");
    let expected = ["notification.accepted", "notification.accepted", "delivery.deduplicated"];
    assert_eq!(kinds(&*store).await, expected);
    // Whoever asks again with the same idempotency key is told of it again.
    let first = store.first_use(with_key.idempotency.unwrap().key).await.unwrap().unwrap();
    assert_eq!(first.deduplicated, deduplicated);

    let claim = claim_one(&*store, id(2).delivery(1)).await;
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(kinds(&*store).await.last(), Some(&"notification.completed"), "one delivery was all it had");
}

pub(crate) async fn a_notification_of_which_nothing_is_made_is_complete_at_once(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![deduped(1, &["mail"])]).await.unwrap();
    store.accept(vec![deduped(2, &["mail"])]).await.unwrap();
    let record = store.notification(id(2)).await.unwrap().unwrap();
    assert_eq!((record.deliveries.len(), record.counts.open), (0, 0));
    let all = kinds(&*store).await;
    assert_eq!(all[1..], ["notification.accepted", "delivery.deduplicated", "notification.completed"]);
    assert_eq!(store.cancel(id(2), NOW, BY).await.unwrap(), Cancelled::AlreadyFinal);
}
