//! Who did what: kept with what it changed, and found again.

use super::*;

/// Everything in the log that matches, the newest first.
async fn log(store: &dyn Store, filter: AuditFilter) -> Vec<AuditEntry> {
    let page = store.audit(filter, None, 1_000).await.unwrap();
    assert_eq!(page.next, None);
    page.entries.into_iter().map(|(_, entry)| entry).collect()
}

fn entry(at: Timestamp, by: Actor, act: Act, outcome: AuditOutcome) -> AuditEntry {
    AuditEntry { at, by, act, outcome }
}

fn config(at: Timestamp) -> AuditEntry {
    entry(at, Actor::Host, Act::Config { sha256: [7; 32] }, AuditOutcome::Done)
}

pub(crate) async fn who_did_what_is_kept_with_what_it_changed(place: &dyn Place) {
    use AuditOutcome::{Done, InFlight, Refused};
    let store = open(place).await;
    let by_hand = Planned { by: Actor::Cli, ..planned(1, &["mail", "chat"]) };
    store.accept(vec![by_hand, planned(2, &["mail"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(0)).await;
    store.cancel(id(1), at(2_000), Actor::Api).await.unwrap();
    settle_one(&*store, &claim, sent(1)).await;
    store.cancel(id(1), at(2_001), Actor::Api).await.unwrap();
    let claim = claim_one(&*store, id(2).delivery(0)).await;
    settle_one(&*store, &claim, failed(1)).await;
    let replay = Replay { delivery: claim.delivery, due: at(3_500) };
    store.replay(vec![replay, replay], at(3_000), Actor::Cli).await.unwrap();
    store.cancel_delivery(claim.delivery, at(4_000), Actor::Embedder).await.unwrap();
    store.purge(vec![claim.delivery], at(5_000), BY).await.unwrap();
    store.close().await;

    let submit = |n, by, deliveries| entry(NOW, by, Act::Submit { notification: id(n), deliveries }, Done);
    let cancel = |deliveries, in_flight| Act::Cancel { notification: id(1), deliveries, in_flight };
    let replay = Act::Replay { delivery: claim.delivery, due: at(3_500) };
    let mut expected = vec![
        submit(1, Actor::Cli, 2),
        submit(2, Actor::Embedder, 1),
        entry(at(2_000), Actor::Api, cancel(1, 1), InFlight),
        entry(at(2_001), Actor::Api, cancel(0, 0), Refused),
        entry(at(3_000), Actor::Cli, replay.clone(), Done),
        entry(at(3_000), Actor::Cli, replay, Refused),
        entry(at(4_000), Actor::Embedder, Act::CancelDelivery { delivery: claim.delivery }, Done),
    ];
    expected.reverse();
    let store = open(place).await;
    assert_eq!(log(&*store, AuditFilter::default()).await, expected, "nothing was there to be purged");
}

pub(crate) async fn what_did_not_happen_is_not_in_the_log(place: &dyn Place) {
    let store = open(place).await;
    let with_key = |n| Planned { idempotency: Some(idempotency(1, 7)), ..planned(n, &["mail"]) };
    store.accept(vec![with_key(1)]).await.unwrap();
    store.accept(vec![with_key(2)]).await.unwrap();
    assert!(store.accept(vec![planned(1, &["mail"])]).await.is_err());
    store.cancel(id(9), NOW, BY).await.unwrap();
    store.cancel_delivery(id(1).delivery(9), NOW, BY).await.unwrap();
    store.replay(vec![Replay { delivery: id(9).delivery(0), due: NOW }], NOW, BY).await.unwrap();
    assert_eq!(log(&*store, AuditFilter::default()).await.len(), 1);
}

pub(crate) async fn the_log_is_found_by_action_target_and_time(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail", "chat"]), planned(2, &["mail"])]).await.unwrap();
    store.cancel_delivery(id(1).delivery(1), at(1_400), BY).await.unwrap();
    let EventBody::Plugin(event) = plugin_event("slack", PluginChange::Approved).body else { panic!("it is one") };
    let approved = entry(at(1_500), Actor::Cli, Act::Plugin(event), AuditOutcome::Done);
    store.keep_plugins(Vec::new(), Vec::new(), vec![approved]).await.unwrap();
    // Later, by a clock that was set back, and far ahead.
    store.record(vec![config(at(9_000)), config(at(900)), config(at(500_000))]).await.unwrap();

    let found = async |filter| -> Vec<(&'static str, u64)> {
        let told = |entry: &AuditEntry| (entry.act.action().as_str(), entry.at.as_millis());
        log(&*store, filter).await.iter().map(told).collect()
    };
    let of = |target| AuditFilter { target: Some(target), ..AuditFilter::default() };
    assert_eq!(found(of(AuditTarget::Notification(id(1)))).await, [("cancel", 1_400), ("submit", 1_000)]);
    assert_eq!(found(of(AuditTarget::Delivery(id(1).delivery(1)))).await, [("cancel", 1_400)]);
    assert_eq!(found(of(AuditTarget::Plugin("slack".to_owned()))).await, [("plugin.approved", 1_500)]);
    let action = Some(AuditAction::Config);
    let all = found(AuditFilter { action, ..AuditFilter::default() }).await;
    assert_eq!(all, [("config", 500_000), ("config", 9_000), ("config", 900)]);
    let (since, until) = (Some(at(1_400)), Some(at(9_000)));
    let between = found(AuditFilter { since, until, ..AuditFilter::default() }).await;
    assert_eq!(between, [("plugin.approved", 1_500), ("cancel", 1_400)]);
}

pub(crate) async fn pages_of_the_log_join_without_gap_or_repeat(place: &dyn Place) {
    let store = open(place).await;
    // Several frames of one moment, a full one, and some that follow closely.
    store.record(vec![config(at(5_000)); 300]).await.unwrap();
    store.record((0..40).map(|n| config(at(5_000 + n * 100))).collect()).await.unwrap();
    store.record(vec![config(at(5_000))]).await.unwrap();
    let (mut before, mut ids) = (None, Vec::new());
    loop {
        let page = store.audit(AuditFilter::default(), before, 7).await.unwrap();
        ids.extend(page.entries.iter().map(|(id, _)| *id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(ids.len(), 341);
    assert!(ids.is_sorted_by(|newer, older| newer > older), "each once, the newest first");
}

pub(crate) async fn what_is_old_in_the_log_goes_and_nothing_else(place: &dyn Place) {
    let store = open(place).await;
    store.record(vec![config(at(10_000)), config(at(20_000)), config(at(99_000))]).await.unwrap();
    let nothing = Sweep {
        after: NotificationId::FIRST,
        notifications_before: at(0),
        keys_before: at(0),
        events_before: at(0),
        audit_before: at(0),
        dead_callbacks_before: at(0),
        limit: 10,
    };
    assert_eq!(store.sweep(nothing).await.unwrap(), Swept::default());
    let swept = store.sweep(Sweep { audit_before: at(30_000), ..nothing }).await.unwrap();
    assert_eq!(swept, Swept { audit: 2, ..Swept::default() });
    assert_eq!(log(&*store, AuditFilter::default()).await, [config(at(99_000))]);
}
