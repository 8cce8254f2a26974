//! What is remembered of callbacks.

use super::*;
use crate::domain::{CallbackDisabled, CallbackKind};

pub(crate) fn callback(name: &str) -> CallbackName {
    CallbackName::new(name).unwrap()
}

/// A book; one with an odd cursor is of a receiver that wants to hear no more.
pub(crate) fn book(name: &str, cursor: EventNumber) -> CallbackBook {
    let disabled =
        (cursor % 2 == 1).then(|| CallbackDisabled { at: at(cursor), reason: "it answered 410 Gone".to_owned() });
    CallbackBook { name: callback(name), cursor, disabled }
}

/// One about a notification where the number is even.
pub(crate) fn owed(name: &str, event: EventNumber) -> OwedCallback {
    OwedCallback {
        callback: callback(name),
        event,
        notification: event.is_multiple_of(2).then(|| id(event as u32)),
        attempts: event as u32,
        due: at(event * 1_000),
        last_error: (event > 2).then(|| "it answered 503".to_owned()),
    }
}

/// One of the plugins, of a notification or of a delivery, by what the number leaves when it is divided by 3.
pub(crate) fn dead(name: &str, event: EventNumber) -> DeadCallback {
    DeadCallback {
        id: 0,
        callback: callback(name),
        kind: CallbackKind::ALL[event as usize % CallbackKind::ALL.len()],
        event,
        notification: (!event.is_multiple_of(3)).then(|| id(7)),
        delivery: (event % 3 == 2).then(|| id(7).delivery(event as u32)),
        attempts: 4,
        reason: "it answered 503".to_owned(),
        at: at(event * 1_000),
    }
}

async fn keep(store: &dyn Store, change: CallbackChange) {
    store.keep_callbacks(change).await.unwrap();
}

async fn all_dead(store: &dyn Store) -> Vec<DeadCallback> {
    store.dead_callbacks(&DeadCallbackFilter::default(), 0, 1_000).await.unwrap()
}

pub(crate) async fn a_callback_finds_its_book_and_what_it_owes_after_a_restart(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.callbacks().await.unwrap(), []);
    let books = vec![book("sent", 4), book("billing", 7)];
    let owes = vec![owed("sent", 3), owed("sent", 2), owed("billing", 3)];
    keep(&*store, CallbackChange { books, owed: owes, ..CallbackChange::default() }).await;
    let later = OwedCallback { attempts: 9, ..owed("sent", 3) };
    let change =
        CallbackChange { books: vec![book("sent", 8)], owed: vec![later.clone()], ..CallbackChange::default() };
    keep(&*store, change).await;
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.callbacks().await.unwrap(), [book("billing", 7), book("sent", 8)]);
    let sent = callback("sent");
    assert_eq!(store.owed_callbacks(&sent, 0, 10).await.unwrap(), [owed("sent", 2), later.clone()]);
    assert_eq!(store.owed_callbacks(&sent, 0, 1).await.unwrap(), [owed("sent", 2)]);
    assert_eq!(store.owed_callbacks(&sent, 2, 10).await.unwrap(), [later]);
    assert_eq!(store.owed_callbacks(&sent, u64::MAX, 10).await.unwrap(), []);
}

pub(crate) async fn what_is_settled_or_forgotten_is_owed_no_longer(place: &dyn Place) {
    let store = open(place).await;
    let owes = vec![owed("sent", 2), owed("sent", 3), owed("billing", 3)];
    let books = vec![book("sent", 4), book("billing", 4)];
    keep(&*store, CallbackChange { books, owed: owes, dead: vec![dead("billing", 1)], ..CallbackChange::default() })
        .await;
    let settled = vec![(callback("sent"), 2), (callback("sent"), 99)];
    keep(&*store, CallbackChange { settled, ..CallbackChange::default() }).await;
    assert_eq!(store.owed_callbacks(&callback("sent"), 0, 10).await.unwrap(), [owed("sent", 3)]);
    let forgotten = vec![callback("billing"), callback("unknown")];
    keep(&*store, CallbackChange { forgotten, ..CallbackChange::default() }).await;
    assert_eq!(store.callbacks().await.unwrap(), [book("sent", 4)]);
    assert_eq!(store.owed_callbacks(&callback("billing"), 0, 10).await.unwrap(), []);
    assert_eq!(all_dead(&*store).await.len(), 1, "what was given up stays until it goes by its own");
}

pub(crate) async fn what_was_given_up_is_found_in_pages_by_callback_and_notification(place: &dyn Place) {
    let store = open(place).await;
    let all = (1..=6).map(|event| dead(if event > 4 { "billing" } else { "sent" }, event)).collect();
    keep(&*store, CallbackChange { dead: all, ..CallbackChange::default() }).await;
    let found = all_dead(&*store).await;
    let given: Vec<_> = found.iter().map(|one| (one.id, one.event)).collect();
    assert_eq!(given, [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6)]);
    assert_eq!(found[1], DeadCallback { id: 2, ..dead("sent", 2) });
    assert_eq!(store.totals().dead_callbacks, 6);

    let of = |callback: Option<&str>, notification| DeadCallbackFilter {
        callback: callback.map(self::callback),
        notification,
        ..DeadCallbackFilter::default()
    };
    let ids = async |filter: DeadCallbackFilter, after, limit| -> Vec<u64> {
        store.dead_callbacks(&filter, after, limit).await.unwrap().iter().map(|one| one.id).collect()
    };
    assert_eq!(ids(of(None, None), 2, 3).await, [3, 4, 5]);
    assert_eq!(ids(of(Some("billing"), None), 0, 10).await, [5, 6]);
    assert_eq!(ids(of(Some("sent"), Some(id(7))), 1, 10).await, [2, 4]);
    assert_eq!(ids(of(None, Some(id(8))), 0, 10).await, [0; 0]);
    let between =
        DeadCallbackFilter { since: Some(at(2_000)), until: Some(at(5_000)), ..DeadCallbackFilter::default() };
    assert_eq!(ids(between.clone(), 0, 10).await, [2, 3, 4]);
    assert!(found.iter().all(|one| between.matches(one) == (2..=4).contains(&one.id)));

    keep(&*store, CallbackChange { revived: vec![6, 2, 99], ..CallbackChange::default() }).await;
    assert_eq!(ids(of(None, None), 0, 10).await, [1, 3, 4, 5]);
    keep(&*store, CallbackChange { dead: vec![dead("sent", 9)], ..CallbackChange::default() }).await;
    assert_eq!(ids(of(None, None), 5, 10).await, [7], "an id never comes back");
    assert_eq!(store.totals().dead_callbacks, 5);
    store.close().await;
    assert_eq!(open(place).await.totals().dead_callbacks, 5);
}

pub(crate) async fn a_change_tells_and_says_who_did_it_with_its_rows(place: &dyn Place) {
    let store = open(place).await;
    let told = channel_event("mail", ChannelChange::Opened);
    let act = Act::Channel { channel: channel("mail"), deed: ChannelDeed::Pause };
    let entry = AuditEntry { at: NOW, by: Actor::Cli, act, outcome: AuditOutcome::Done };
    let (events, audit) = (vec![told.clone()], vec![entry.clone()]);
    keep(&*store, CallbackChange { events, audit, ..CallbackChange::default() }).await;
    let events: Vec<_> = store.outbox(0, 10).await.unwrap().into_iter().map(|numbered| numbered.event).collect();
    assert_eq!(events, [told]);
    assert_eq!(store.totals().newest_event, 1);
    let log = store.audit(AuditFilter::default(), None, 10).await.unwrap().entries;
    assert_eq!(log.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), [entry]);
    keep(&*store, CallbackChange::default()).await;
    assert_eq!(store.outbox(0, 10).await.unwrap().len(), 1);
    store.close().await;
    assert_eq!(open(place).await.totals().newest_event, 1, "also after a restart");
}

pub(crate) async fn what_was_given_up_goes_by_age_and_by_number(place: &dyn Place) {
    let store = open(place).await;
    let all = (1..=10).map(|event| dead("sent", event)).collect();
    keep(&*store, CallbackChange { dead: all, ..CallbackChange::default() }).await;
    let sweep = Sweep {
        after: NotificationId::FIRST,
        notifications_before: at(0),
        keys_before: at(0),
        events_before: at(0),
        audit_before: at(0),
        dead_callbacks_before: at(4_000),
        limit: 2,
    };
    let gone = |count| Swept { dead_callbacks: count, ..Swept::default() };
    assert_eq!(store.sweep(sweep).await.unwrap(), gone(2), "a slice");
    assert_eq!(store.sweep(sweep).await.unwrap(), gone(1));
    assert_eq!(store.sweep(sweep).await.unwrap(), gone(0));
    let shrink = Shrink {
        after: NotificationId::FIRST,
        notifications_before: at(0),
        keys_before: at(0),
        event_bytes_max: None,
        audit_bytes_max: None,
        dead_callbacks_max: Some(3),
        limit: 100,
    };
    assert_eq!(store.shrink(shrink).await.unwrap(), gone(4));
    assert_eq!(store.shrink(shrink).await.unwrap(), gone(0));
    assert_eq!(all_dead(&*store).await.iter().map(|one| one.event).collect::<Vec<_>>(), [8, 9, 10], "the oldest go");
    assert_eq!(store.totals().dead_callbacks, 3);
}

pub(crate) async fn a_notification_is_told_of_where_it_says_until_its_receiver_wants_no_more(place: &dyn Place) {
    let url = |n: u32| CallbackUrl::new(&format!("https://example.com/done/{n}?token=canary")).unwrap();
    let with_url = |n: u32| Planned { callback_url: Some(url(n)), ..planned(n, &["mail"]) };
    let store = open(place).await;
    let ids = || vec![id(1), id(2), id(3), id(9)];
    assert_eq!(store.callback_urls(ids()).await.unwrap(), []);
    store.accept(vec![with_url(1), planned(2, &["mail"]), with_url(3)]).await.unwrap();
    assert_eq!(store.callback_urls(ids()).await.unwrap(), [(id(1), url(1)), (id(3), url(3))]);
    // What was given up long ago, or is not there, is ended for nothing.
    keep(&*store, CallbackChange { ended: vec![id(1), id(2), id(9)], ..CallbackChange::default() }).await;
    store.close().await;
    let store = open(place).await;
    assert_eq!(store.callback_urls(ids()).await.unwrap(), [(id(3), url(3))]);
    let kept = async |n| store.notification(id(n)).await.unwrap().unwrap().callback_url;
    assert_eq!((kept(1).await, kept(2).await), (Some(url(1)), None), "it is shown as it was accepted");
}
