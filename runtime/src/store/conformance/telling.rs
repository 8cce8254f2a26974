//! Events and commits: everything is told once, in order, after it is durable.

use futures_util::FutureExt as _;

use super::*;
use crate::domain::{HeldBy, PoolScaled, ScaleReason, WorkerChange, WorkerEvent, WorkerNumber};
use crate::store::model::Model;

pub(crate) async fn events_are_numbered_from_one_without_gaps_through_restarts(place: &dyn Place) {
    for round in 0..3 {
        let store = open(place).await;
        let accepts = (0..40).map(|n| {
            // A few of them fail and must not use up numbers.
            let n = if n % 10 == 9 { round * 100 } else { round * 100 + n };
            store.accept(vec![planned(n, &["mail"])])
        });
        futures_util::future::join_all(accepts).await;
        store.close().await;
    }
    let events = open(place).await.outbox(0, 10_000).await.unwrap();
    let numbers: Vec<_> = events.iter().map(|event| event.number).collect();
    assert_eq!(numbers, (1..=3 * 36).collect::<Vec<_>>());
}

pub(crate) async fn each_transition_writes_its_events_in_order(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, delivery).await;
    settle_one(&*store, &claim, waiting(NOW, 1)).await;
    let claim = claim_one(&*store, delivery).await;
    settle_one(&*store, &claim, failed(2)).await;
    store.cancel(id(1), at(2_000), BY).await.unwrap();

    let attempted =
        |attempt| EventBody::DeliveryAttempted { delivery, attempt, end: "sent".into(), duration_us: 1_234 };
    let other = id(1).delivery(1);
    let expected = [
        (NOW, EventBody::NotificationAccepted { notification: id(1), priority: Priority::Normal, deliveries: 2 }),
        (NOW, attempted(1)),
        (NOW, EventBody::DeliveryRetrying { delivery, attempts: 1, due: NOW }),
        (NOW, attempted(2)),
        (NOW, EventBody::DeliveryFailed { delivery, attempts: 2, reason: "expired".into() }),
        (NOW, EventBody::NotificationProgress { notification: id(1), completed: 1, total: 2 }),
        (at(2_000), EventBody::NotificationCancelled { notification: id(1), deliveries: 1 }),
        (at(2_000), EventBody::DeliveryCancelled { delivery: other, attempts: 0 }),
        (at(2_000), EventBody::NotificationCompleted { notification: id(1), status: NotificationStatus::Failed }),
    ];
    let events = store.outbox(0, 100).await.unwrap();
    let told: Vec<_> = events.into_iter().map(|numbered| (numbered.event.at, numbered.event.body)).collect();
    assert_eq!(told, expected);
}

/// Those that are made with the accept, once each: not one that stands for another, and none of a large notification.
pub(crate) async fn what_is_accepted_for_a_held_channel_is_told_with_its_accept(place: &dyn Place) {
    let store = open(place).await;
    let held = |planned: Planned| Planned { held: vec![(channel("mail"), HeldBy::Breaker)], ..planned };
    let mut first = held(planned(1, &["chat", "mail", "mail"]));
    first.deliveries[2].dedupe = Some(once(1));
    let mut second = held(planned(2, &["mail", "mail"]));
    second.deliveries[0].dedupe = Some(once(1));
    let large = held(expanding::large(3, DELIVERIES_SLICE + 1));
    store.accept(vec![first.clone(), second.clone(), large.clone()]).await.unwrap();
    let mut model = Model::default();
    [&first, &second, &large].into_iter().for_each(|planned| drop(model.accept(planned)));
    let told: Vec<_> = store.outbox(0, 100).await.unwrap().into_iter().map(|numbered| numbered.event).collect();
    assert_eq!(told, model.events);
    let of_held = told.iter().filter_map(|event| match event.body {
        EventBody::DeliveryHeld { delivery, .. } => Some(delivery),
        _ => None,
    });
    assert_eq!(of_held.collect::<Vec<_>>(), [id(1).delivery(1), id(1).delivery(2), id(2).delivery(1)]);
}

pub(crate) async fn a_notification_is_completed_once_when_its_last_delivery_is_final(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"; 5]), planned(2, &["mail"])]).await.unwrap();
    let ids: Vec<_> = (0..5).map(|index| id(1).delivery(index)).chain([id(2).delivery(0)]).collect();
    let claims = store.claim(&ids, NOW).await.unwrap();
    let completed = async || {
        let events = store.outbox(0, 1_000).await.unwrap().into_iter();
        let bodies = events.filter_map(|numbered| match numbered.event.body {
            EventBody::NotificationCompleted { notification, status } => Some((notification, status)),
            _ => None,
        });
        bodies.collect::<Vec<_>>()
    };
    let settlements = |range: std::ops::Range<usize>| claims[range].iter().map(|c| settlement(c, sent(1))).collect();

    store.settle(settlements(0..2)).await.unwrap();
    store.settle(settlements(2..4)).await.unwrap();
    assert_eq!(completed().await, []);
    // The last one and that of another notification, at the same time.
    let last = store.settle(vec![settlement(&claims[4], failed(1))]);
    let other = store.settle(settlements(5..6));
    let (last, other) = tokio::join!(last, other);
    last.unwrap();
    other.unwrap();
    let expected = [(id(1), NotificationStatus::Partial), (id(2), NotificationStatus::Sent)];
    assert_eq!(completed().await, expected);
}

pub(crate) async fn progress_is_told_once_a_second_and_not_of_the_last(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"; 6]), planned(2, &["mail"])]).await.unwrap();
    let ids: Vec<_> = (0..6).map(|index| id(1).delivery(index)).chain([id(2).delivery(0)]).collect();
    let mut claims = store.claim(&ids, NOW).await.unwrap();
    let alone = claims.pop().expect("seven were claimed");
    let settle = async |range: std::ops::Range<usize>, millis| {
        let moved = |claim| Settlement { at: NOW.after(Duration::from_millis(millis)), ..settlement(claim, sent(1)) };
        store.settle(claims[range].iter().map(moved).collect()).await.unwrap();
    };
    settle_one(&*store, &alone, sent(1)).await;
    settle(0..2, 0).await;
    settle(2..3, 999).await;
    settle(3..4, 1_000).await;
    // One that was overtaken, and is told later; then the last.
    settle(4..5, 900).await;
    assert_eq!(store.totals().next_progress, Some(NOW.after(Duration::from_millis(1_900))));
    store.tell_progress(NOW.after(Duration::from_millis(1_899))).await.unwrap();
    store.tell_progress(NOW.after(Duration::from_millis(2_500))).await.unwrap();
    assert_eq!(store.totals().next_progress, None);
    settle(5..6, 2_600).await;
    store.tell_progress(NOW.after(Duration::from_secs(60))).await.unwrap();
    let progress = store.outbox(0, 100).await.unwrap().into_iter().filter_map(|told| match told.event.body {
        EventBody::NotificationProgress { notification, completed, total } => {
            Some((notification, told.event.at.since(NOW).as_millis(), completed, total))
        }
        _ => None,
    });
    assert_eq!(progress.collect::<Vec<_>>(), [(id(1), 0, 2, 6), (id(1), 1_000, 4, 6), (id(1), 2_500, 5, 6)]);
    assert_eq!(kinds(&*store).await.last(), Some(&"notification.completed"));
}

pub(crate) async fn a_notification_whose_last_delivery_expires_is_told_to_have_expired(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"; 2]), planned(2, &["mail"; 2])]).await.unwrap();
    let end = async |n, index, state| {
        let claim = claim_one(&*store, id(n).delivery(index)).await;
        store.settle(vec![Settlement { attempt: None, ..settlement(&claim, state) }]).await.unwrap();
    };
    end(1, 0, sent(0)).await;
    end(1, 1, failed(0)).await;
    end(2, 0, failed(0)).await;
    end(2, 1, sent(0)).await;
    let ends = |n| store.outbox(0, 100).map(move |events| kinds_of(events.unwrap(), id(n)));
    let (first, second) = (ends(1).await, ends(2).await);
    assert_eq!(
        first[2..],
        ["notification.progress", "delivery.failed", "notification.expired", "notification.completed"]
    );
    assert_eq!(second[2..], ["notification.progress", "delivery.sent", "notification.completed"], "the rest was sent");
}

fn kinds_of(events: Vec<NumberedEvent>, id: NotificationId) -> Vec<&'static str> {
    let of_it = events.into_iter().filter(|told| told.event.body.notification() == Some(id));
    of_it.map(|told| told.event.body.kind()).collect()
}

pub(crate) async fn what_is_refused_late_or_given_up_makes_no_event(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.release(&[claim.number]).await.unwrap();
    settle_one(&*store, &claim, sent(1)).await;
    assert!(store.accept(vec![planned(1, &["mail"])]).await.is_err());
    assert_eq!(store.cancel(id(7), NOW, BY).await.unwrap(), Cancelled::Unknown);
    assert_eq!(kinds(&*store).await, ["notification.accepted"]);
}

pub(crate) async fn an_outbox_is_read_in_any_portions(place: &dyn Place) {
    let store = open(place).await;
    // More in one commit than anybody reads at once, then commits of one event each.
    store.accept((0..700).map(|n| planned(n, &["mail"])).collect()).await.unwrap();
    for n in 700..720 {
        store.accept(vec![planned(n, &["mail"])]).await.unwrap();
    }
    let all = store.outbox(0, 10_000).await.unwrap();
    assert_eq!(all.len(), 720);
    for portion in [1, 7, 256, 257, 1_000] {
        let mut read: Vec<NumberedEvent> = Vec::new();
        loop {
            let after = read.last().map_or(0, |event| event.number);
            let more = store.outbox(after, portion).await.unwrap();
            assert!(more.len() <= portion);
            if more.is_empty() {
                break;
            }
            read.extend(more);
        }
        assert_eq!(read, all, "in portions of {portion}");
    }
    assert_eq!(store.outbox(0, 0).await.unwrap(), []);
    assert_eq!(store.outbox(u64::MAX, 10).await.unwrap(), []);
}

pub(crate) async fn the_range_of_events_grows_in_an_epoch_that_stays(place: &dyn Place) {
    let store = open(place).await;
    let empty = store.event_range().await.unwrap();
    assert_eq!((empty.oldest, empty.newest), (1, 0), "no event is kept");
    store.accept((0..3).map(|n| planned(n, &["mail"])).collect()).await.unwrap();
    let expected = EventRange { newest: 3, ..empty };
    assert_eq!(store.event_range().await.unwrap(), expected);
    store.close().await;
    let again = open(place).await;
    assert_eq!(again.event_range().await.unwrap(), expected);
    again.accept(vec![planned(3, &["mail"])]).await.unwrap();
    assert_eq!(again.event_range().await.unwrap(), EventRange { newest: 4, ..expected });
}

pub(crate) async fn the_listener_is_told_each_commit_in_order_and_before_its_callers(place: &dyn Place) {
    let ear = Arc::new(Ear::default());
    let store = place.open(Arc::clone(&ear) as Arc<dyn CommitListener>).await;
    for n in 0..50 {
        store.accept(vec![planned(n, &["mail"])]).await.unwrap();
        assert_eq!(ear.accepted().last().map(|queued| queued.position.delivery), Some(id(n).delivery(0)));
        let claim = claim_one(&*store, id(n).delivery(0)).await;
        settle_one(&*store, &claim, sent(1)).await;
        assert_eq!(ear.events().last().map(|told| told.event.body.kind()), Some("notification.completed"));
    }
    assert_eq!(ear.events(), store.outbox(0, 10_000).await.unwrap());
    let position = Position { due: NOW, delivery: id(0).delivery(0) };
    assert_eq!(ear.accepted()[0], Queued { lane: lane(Priority::Normal, "mail"), position });
}

pub(crate) async fn totals_count_commits_and_commands(place: &dyn Place) {
    let store = open(place).await;
    let before = store.stats();
    futures_util::future::join_all((0..100).map(|n| store.accept(vec![planned(n, &["mail"])]))).await;
    let stats = store.stats();
    assert_eq!(stats.commands - before.commands, 100);
    assert!(stats.commits > before.commits && stats.commits - before.commits <= 100);
    assert_eq!(stats.late_settlements, 0);
}

pub(crate) async fn what_happened_to_workers_is_told_in_order_and_kept(place: &dyn Place) {
    let store = open(place).await;
    let body = |change| EventBody::Worker(WorkerEvent { change, worker: WorkerNumber(7), reason: None });
    let scaled = PoolScaled { from: 2, to: 3, reason: ScaleReason::HighLoad, load_percent: 80 };
    let event = |seconds: u64, body| Event { at: NOW.after(Duration::from_secs(seconds)), body };
    let first = vec![event(1, EventBody::PoolScaled(scaled)), event(1, body(WorkerChange::Started))];
    let second = vec![event(2, body(WorkerChange::Stopped))];
    store.tell(first.clone()).await.unwrap();
    store.tell(second.clone()).await.unwrap();
    store.close().await;
    let told = open(place).await.outbox(0, 10).await.unwrap().into_iter().map(|numbered| numbered.event);
    assert_eq!(told.collect::<Vec<_>>(), [first, second].concat());
}
