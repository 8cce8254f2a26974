//! What is found by filter, and what is done with what failed.

use super::*;

/// The `n`-th notification of hour `hour`, one delivery through each channel.
fn planned_in(hour: u64, n: u8, channels: &[&str]) -> Planned {
    let mut planned = planned(u32::from(n), channels);
    let mut bytes = *NotificationId::first_at(at(hour * 3_600_000)).as_bytes();
    bytes[15] = n;
    let notification = Arc::make_mut(&mut planned.notification);
    notification.id = NotificationId::from_bytes(bytes);
    planned
}

fn changed(mut planned: Planned, change: impl FnOnce(&mut Notification)) -> Planned {
    change(Arc::make_mut(&mut planned.notification));
    planned
}

async fn found(store: &dyn Store, filter: NotificationFilter) -> Vec<u8> {
    let page = store.query(filter, None, 1_000).await.unwrap();
    assert_eq!(page.next, None);
    page.notifications.iter().map(|record| record.notification.id.as_bytes()[15]).collect()
}

fn all() -> NotificationFilter {
    NotificationFilter::default()
}

pub(crate) async fn notifications_are_found_by_what_they_are(place: &dyn Place) {
    let store = open(place).await;
    let first = changed(planned_in(1, 1, &["mail"]), |one| one.correlation_id = Some("order-7".into()));
    let second = changed(planned_in(1, 2, &["mail", "chat"]), |one| one.kind = "warning".into());
    let third = changed(planned_in(9, 3, &["chat"]), |one| one.priority = Priority::High);
    store.accept(vec![first, second, third]).await.unwrap();
    store.close().await;
    let store = &*open(place).await;

    assert_eq!(found(store, all()).await, [3, 2, 1], "the newest first");
    let of_order = NotificationFilter { correlation_id: Some("order-7".into()), ..all() };
    assert_eq!(found(store, of_order.clone()).await, [1]);
    assert_eq!(found(store, NotificationFilter { kind: Some("warning".into()), ..of_order }).await, [0_u8; 0]);
    assert_eq!(found(store, NotificationFilter { kind: Some("warning".into()), ..all() }).await, [2]);
    assert_eq!(found(store, NotificationFilter { priority: Some(Priority::High), ..all() }).await, [3]);
    assert_eq!(found(store, NotificationFilter { channel: Some(channel("chat")), ..all() }).await, [3, 2]);
    assert_eq!(found(store, NotificationFilter { recipient: Some("2@chat".into()), ..all() }).await, [2]);
    let elsewhere = NotificationFilter { recipient: Some("2@chat".into()), channel: Some(channel("mail")), ..all() };
    assert_eq!(found(store, elsewhere).await, [0_u8; 0], "one delivery has to be all of it");
    let hour = |hour: u64| Some(at(hour * 3_600_000));
    assert_eq!(found(store, NotificationFilter { since: hour(2), ..all() }).await, [3]);
    assert_eq!(found(store, NotificationFilter { until: hour(2), ..all() }).await, [2, 1]);
    assert_eq!(found(store, NotificationFilter { since: hour(2), until: hour(9), ..all() }).await, [0_u8; 0]);
    let team = |name: &str| NotificationFilter { metadata: Some(("team".into(), name.into())), ..all() };
    assert_eq!(found(store, team("infra")).await, [3, 2, 1]);
    assert_eq!(found(store, team("shop")).await, [0_u8; 0]);
    let both = NotificationFilter { correlation_id: Some("order-7".into()), ..team("infra") };
    assert_eq!(found(store, both).await, [1]);
    let late = NotificationFilter { recipient: Some("1@mail".into()), since: hour(2), ..all() };
    assert_eq!(found(store, late).await, [0_u8; 0]);
}

pub(crate) async fn notifications_are_found_by_how_they_stand(place: &dyn Place) {
    let store = open(place).await;
    let planned = vec![planned_in(1, 1, &["mail", "chat"]), planned_in(1, 2, &["mail"]), planned_in(1, 3, &["mail"])];
    let ids: Vec<_> = planned.iter().map(|one| one.notification.id).collect();
    store.accept(planned).await.unwrap();
    for (delivery, state) in [
        (ids[0].delivery(0), sent(1)),
        (ids[0].delivery(1), failed(1)),
        (ids[1].delivery(0), failed(1)),
        (ids[2].delivery(0), waiting(at(7_000), 1)),
    ] {
        let claim = claim_one(&*store, delivery).await;
        settle_one(&*store, &claim, state).await;
    }
    let with = |status| NotificationFilter { status: Some(status), ..all() };
    assert_eq!(found(&*store, with(NotificationStatus::Partial)).await, [1]);
    assert_eq!(found(&*store, with(NotificationStatus::Failed)).await, [2]);
    assert_eq!(found(&*store, with(NotificationStatus::Pending)).await, [3]);
    let delivery = |status| NotificationFilter { delivery_status: Some(status), ..all() };
    assert_eq!(found(&*store, delivery(DeliveryStatus::Retrying)).await, [3]);
    assert_eq!(found(&*store, delivery(DeliveryStatus::Failed)).await, [2, 1], "also one of several");
    let elsewhere = NotificationFilter { channel: Some(channel("mail")), ..delivery(DeliveryStatus::Failed) };
    assert_eq!(found(&*store, elsewhere).await, [2], "one delivery has to be all of it");
    assert_eq!(found(&*store, delivery(DeliveryStatus::Pending)).await, [0_u8; 0]);
    let due = |since, until| NotificationFilter { due_since: Some(at(since)), due_until: Some(at(until)), ..all() };
    assert_eq!(found(&*store, due(7_000, 7_001)).await, [3]);
    let waits = |names: &[&str]| NotificationFilter {
        waits_for: Some(names.iter().map(|name| channel(name)).collect()),
        ..all()
    };
    assert_eq!(found(&*store, waits(&["mail", "push"])).await, [3], "what was sent or has failed waits for nothing");
    assert_eq!(found(&*store, waits(&["chat"])).await, [0_u8; 0]);
    assert_eq!(found(&*store, waits(&[])).await, [0_u8; 0]);
    assert_eq!(found(&*store, due(0, 7_000)).await, [0_u8; 0]);
}

pub(crate) async fn pages_of_notifications_join_without_gap_or_repeat(place: &dyn Place) {
    let store = open(place).await;
    let all_of_them = (1..=9).map(|n| planned_in(u64::from(n) / 3, n, &["mail"])).collect();
    store.accept(all_of_them).await.unwrap();
    for filter in [all(), NotificationFilter { channel: Some(channel("mail")), ..all() }] {
        let (mut before, mut told) = (None, Vec::new());
        loop {
            let page = store.query(filter.clone(), before, 2).await.unwrap();
            assert!(page.notifications.len() <= 2);
            told.extend(page.notifications.iter().map(|record| record.notification.id.as_bytes()[15]));
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(told, [9, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}

async fn fail(store: &dyn Store, delivery: DeliveryId) {
    let claim = claim_one(store, delivery).await;
    settle_one(store, &claim, failed(1)).await;
}

async fn dead(store: &dyn Store, filter: DeadLetterFilter) -> Vec<DeliveryId> {
    let page = store.dead_letters(filter, None, 1_000).await.unwrap();
    assert_eq!(page.next, None);
    page.dead_letters.iter().map(|dead| dead.delivery.id).collect()
}

pub(crate) async fn what_failed_is_a_dead_letter_with_all_that_is_known_of_it(place: &dyn Place) {
    let store = open(place).await;
    let second = changed(planned(2, &["mail"]), |one| {
        (one.kind, one.correlation_id) = ("warning".into(), Some("order-7".into()));
    });
    store.accept(vec![planned(1, &["mail", "chat"]), second]).await.unwrap();
    for delivery in [id(1).delivery(1), id(2).delivery(0)] {
        fail(&*store, delivery).await;
    }
    store.close().await;
    let store = &*open(place).await;
    let any = DeadLetterFilter::default();
    assert_eq!(dead(store, any.clone()).await, [id(1).delivery(1), id(2).delivery(0)], "the oldest first");
    let page = store.dead_letters(any.clone(), None, 1).await.unwrap();
    let letter = &page.dead_letters[0];
    assert_eq!((&letter.delivery.state, letter.delivery.attempts.len()), (&failed(1), 1));
    assert_eq!((letter.priority, letter.created_at, letter.expires_at), (Priority::Normal, NOW, Some(at(9_000))));
    let rest = store.dead_letters(any.clone(), page.next, 1_000).await.unwrap();
    assert_eq!(rest.dead_letters[0].delivery.id, id(2).delivery(0));

    let chat = DeadLetterFilter { channel: Some(channel("chat")), ..any.clone() };
    assert_eq!(dead(store, chat).await, [id(1).delivery(1)]);
    let expired = DeadLetterFilter { reason: Some("expired".into()), ..any.clone() };
    assert_eq!(dead(store, expired).await.len(), 2);
    let rejected = DeadLetterFilter { reason: Some("rejected".into()), ..any.clone() };
    assert_eq!(dead(store, rejected).await.len(), 0);
    let warning = DeadLetterFilter { kind: Some("warning".into()), ..any.clone() };
    assert_eq!(dead(store, warning.clone()).await, [id(2).delivery(0)]);
    let of_order = DeadLetterFilter { correlation_id: Some("order-7".into()), ..warning };
    assert_eq!(dead(store, of_order.clone()).await, [id(2).delivery(0)]);
    assert_eq!(dead(store, DeadLetterFilter { kind: Some("info".into()), ..of_order }).await, []);
    let to = DeadLetterFilter { recipient: Some("2@mail".into()), ..any };
    assert_eq!(dead(store, to).await, [id(2).delivery(0)]);
}

pub(crate) async fn a_replay_starts_a_new_run_and_keeps_the_attempts(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let delivery = id(1).delivery(0);
    fail(&*store, delivery).await;
    fail(&*store, id(1).delivery(1)).await;
    let due = at(3_000);
    let replayed = store.replay(vec![Replay { delivery, due }], NOW, BY).await.unwrap();
    assert_eq!(replayed, [Replayed::Waits]);
    let waits = Waiting { attempts: 1, run_began: Some(due), ..Waiting::fresh(due) };
    assert_eq!(state_of(&*store, delivery).await, DeliveryState::Waiting(waits.clone()));
    assert_eq!(dead(&*store, DeadLetterFilter::default()).await, [id(1).delivery(1)]);
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!((record.counts.open, record.counts.failed), (1, 1));
    assert_eq!(kinds(&*store).await.last(), Some(&"delivery.retrying"));
    assert_eq!(store.claim(&[delivery], NOW).await.unwrap().len(), 0, "it is not due");
    store.close().await;

    let store = open(place).await;
    let claim = store.claim(&[delivery], due).await.unwrap().remove(0);
    assert_eq!(claim.progress, waits);
    settle_one(&*store, &claim, sent(2)).await;
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!(record.deliveries[0].attempts.len(), 2);
    assert_eq!(record.counts.status(), NotificationStatus::Partial);
    let completed = kinds(&*store).await.into_iter().filter(|kind| *kind == "notification.completed").count();
    assert_eq!(completed, 2, "each run completes it");
}

pub(crate) async fn what_has_not_failed_is_not_replayed(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat", "pager"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    settle_one(&*store, &claim, sent(1)).await;
    fail(&*store, id(1).delivery(1)).await;
    let before = kinds(&*store).await;
    let replay = |delivery| Replay { delivery, due: NOW };
    let all = vec![replay(id(1).delivery(0)), replay(id(1).delivery(2)), replay(id(2).delivery(0))];
    let expected = [Replayed::NotFailed, Replayed::NotFailed, Replayed::Unknown];
    assert_eq!(store.replay(all, NOW, BY).await.unwrap(), expected);
    assert_eq!(kinds(&*store).await, before);
    // One that is in flight keeps the cancel waiting; what failed beside it must not come back meanwhile.
    let _claim = claim_one(&*store, id(1).delivery(2)).await;
    store.cancel(id(1), NOW, BY).await.unwrap();
    assert_eq!(store.replay(vec![replay(id(1).delivery(1))], NOW, BY).await.unwrap(), [Replayed::NotFailed]);
}

pub(crate) async fn what_is_purged_is_no_dead_letter_and_stays_failed(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let delivery = id(1).delivery(0);
    fail(&*store, delivery).await;
    assert_eq!(store.purge(vec![delivery, id(2).delivery(0)], NOW, BY).await.unwrap(), 1);
    assert_eq!(store.purge(vec![delivery], NOW, BY).await.unwrap(), 0);
    assert_eq!(dead(&*store, DeadLetterFilter::default()).await, []);
    assert_eq!(state_of(&*store, delivery).await, failed(1));
    assert_eq!(store.replay(vec![Replay { delivery, due: NOW }], NOW, BY).await.unwrap(), [Replayed::Waits]);
}
