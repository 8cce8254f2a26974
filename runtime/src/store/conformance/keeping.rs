//! What is written is found again.

use std::collections::BTreeMap;

use super::expanding::large;
use super::*;
use crate::domain::Flow;

pub(crate) async fn an_accepted_notification_is_found_again_after_a_restart(place: &dyn Place) {
    let asked = planned(1, &["mail", "chat"]);
    let store = open(place).await;
    store.accept(vec![asked.clone()]).await.unwrap();
    store.close().await;

    let record = open(place).await.notification(id(1)).await.unwrap().expect("it was accepted");
    assert_eq!(record.notification, asked.notification);
    assert_eq!(record.counts, StatusCounts { open: 2, ..StatusCounts::default() });
    for (index, delivery) in record.deliveries.iter().enumerate() {
        assert_eq!(delivery.id, id(1).delivery(index as u32));
        assert_eq!(delivery.channel, asked.deliveries[index].channel);
        assert_eq!(delivery.recipient, asked.deliveries[index].recipient);
        assert_eq!(delivery.state, DeliveryState::Waiting(Waiting::fresh(NOW)));
        assert_eq!(delivery.attempts, []);
    }
}

pub(crate) async fn an_accept_that_fails_keeps_nothing_and_spoils_nothing_beside_it(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    let again = store.accept(vec![planned(2, &["mail"]), planned(1, &["new"])]);
    let beside = store.accept(vec![planned(3, &["new"])]);
    let (again, beside) = tokio::join!(again, beside);

    assert!(matches!(again, Err(StoreError::Internal { .. })), "{again:?}");
    beside.unwrap();
    assert_eq!(store.notification(id(2)).await.unwrap(), None);
    assert_eq!(store.count().await.unwrap().open, 2);
    assert_eq!(store.claim(&[id(2).delivery(0)], NOW).await.unwrap().len(), 0);
    assert_eq!(store.claim(&[id(3).delivery(0)], NOW).await.unwrap().len(), 1);
    assert_eq!(kinds(&*store).await, ["notification.accepted"; 2]);
}

pub(crate) async fn a_notification_has_at_least_one_delivery_and_a_thousand_at_once(place: &dyn Place) {
    let store = open(place).await;
    assert!(store.accept(vec![planned(1, &[])]).await.is_err());
    store.accept(vec![planned(3, &["mail"; 1_000])]).await.unwrap();
    assert_eq!(store.notification(id(3)).await.unwrap().unwrap().deliveries.len(), 1_000);
    assert_eq!(store.count().await.unwrap().open, 1_000);
}

pub(crate) async fn an_attempt_is_kept_as_it_was_with_the_state_that_follows(place: &dyn Place) {
    let delivery = id(1).delivery(0);
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"])]).await.unwrap();
    for state in [waiting(NOW, 1), failed(2)] {
        let claim = claim_one(&*store, delivery).await;
        assert_eq!(settle_one(&*store, &claim, state.clone()).await, Settled::Applied(state.clone()));
        assert_eq!(state_of(&*store, delivery).await, state);
    }
    store.close().await;

    let record = open(place).await.notification(id(1)).await.unwrap().unwrap();
    assert_eq!(record.counts, StatusCounts { failed: 1, ..StatusCounts::default() });
    assert_eq!(record.deliveries[0].state, failed(2));
    assert_eq!(record.deliveries[0].attempts, [attempt(1), attempt(2)]);
}

pub(crate) async fn a_page_follows_due_times_and_ids_and_goes_on_behind_its_cursor(place: &dyn Place) {
    let store = open(place).await;
    let (late, soon) = (at(5_000), at(2_000));
    store
        .accept(vec![
            planned_at(1, late, &["mail", "mail"]),
            planned_at(2, soon, &["mail", "chat"]),
            planned_at(3, soon, &["mail"]),
        ])
        .await
        .unwrap();
    let lane = lane(Priority::Normal, "mail");
    let order =
        [(soon, id(2).delivery(0)), (soon, id(3).delivery(0)), (late, id(1).delivery(0)), (late, id(1).delivery(1))];
    let expected: Vec<Queued> = order
        .iter()
        .map(|(due, delivery)| Queued { lane: lane.clone(), position: Position { due: *due, delivery: *delivery } })
        .collect();

    assert_eq!(store.page(&lane, None, 10).await.unwrap(), expected);
    for (index, queued) in expected.iter().enumerate() {
        let rest = store.page(&lane, Some(queued.position), 2).await.unwrap();
        assert_eq!(rest, expected[index + 1..].iter().take(2).cloned().collect::<Vec<_>>());
    }
    assert_eq!(store.page(&super::lane(Priority::High, "mail"), None, 10).await.unwrap(), []);
}

pub(crate) async fn a_delivery_that_waits_again_moves_in_its_lane(place: &dyn Place) {
    let store = open(place).await;
    store.accept(vec![planned(1, &["mail"]), planned(2, &["mail"]), planned(3, &["mail"])]).await.unwrap();
    let first = claim_one(&*store, id(1).delivery(0)).await;
    let second = claim_one(&*store, id(2).delivery(0)).await;
    let settlements = vec![settlement(&first, waiting(at(4_000), 1)), settlement(&second, sent(1))];
    store.settle(settlements).await.unwrap();

    let page = store.page(&lane(Priority::Normal, "mail"), None, 10).await.unwrap();
    let order: Vec<_> = page.iter().map(|queued| queued.position).collect();
    let position = |due, n| Position { due, delivery: id(n).delivery(0) };
    assert_eq!(order, [position(NOW, 3), position(at(4_000), 1)]);
}

pub(crate) async fn lanes_are_those_in_which_something_waits(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.lanes().await.unwrap(), []);
    store.accept(vec![planned(1, &["mail", "mail", "chat"])]).await.unwrap();
    let claim = claim_one(&*store, id(1).delivery(2)).await;
    let depth = |name, waiting| LaneDepth { lane: lane(Priority::Normal, name), waiting };

    let mut lanes = store.lanes().await.unwrap();
    lanes.sort_by(|one, other| one.lane.cmp(&other.lane));
    assert_eq!(lanes, [depth("chat", 1), depth("mail", 2)], "what is in flight is not final");
    settle_one(&*store, &claim, sent(1)).await;
    assert_eq!(store.lanes().await.unwrap(), [depth("mail", 2)]);
}

pub(crate) async fn a_delivery_keeps_its_flow_through_retries_a_replay_and_a_restart(place: &dyn Place) {
    let ear = Arc::new(Ear::default());
    let store = place.open(Arc::clone(&ear) as _).await;
    let flow = Flow::of_address("ada@example.com");
    let mut one = planned(1, &["mail", "mail"]);
    one.deliveries[0].flow = flow;
    store.accept(vec![one, large(2, DELIVERIES_SLICE + 1)]).await.unwrap();
    store.expand(id(2), NOW).await.unwrap();
    let own = Lane { flow, ..lane(Priority::Normal, "mail") };
    let crowd = Lane { flow: Flow::of_notification(id(2)), ..lane(Priority::Normal, "mail") };
    let depth = |lane: &Lane, waiting| LaneDepth { lane: lane.clone(), waiting };
    let shared = lane(Priority::Normal, "mail");
    let expected = [depth(&shared, 1), depth(&own, 1), depth(&crowd, DELIVERIES_SLICE as u64)];
    assert_eq!(by_lane(&*store).await, BTreeMap::from(expected.map(|depth| (depth.lane, depth.waiting))));
    assert_eq!(ear.accepted()[0].lane, own);

    let claim = claim_one(&*store, id(1).delivery(0)).await;
    assert_eq!(claim.lane(), own, "as the cache has it");
    settle_one(&*store, &claim, waiting(at(4_000), 1)).await;
    store.close().await;
    let store = open(place).await;
    let page = store.page(&own, None, 10).await.unwrap();
    assert_eq!(page.iter().map(|queued| queued.position.due).collect::<Vec<_>>(), [at(4_000)]);
    let claim = store.claim(&[id(1).delivery(0)], at(4_000)).await.unwrap().remove(0);
    assert_eq!(claim.lane(), own, "as the rows have it");
    settle_one(&*store, &claim, failed(2)).await;
    let again = Replay { delivery: id(1).delivery(0), due: at(9_000) };
    assert_eq!(store.replay(vec![again], at(8_000), Actor::Host).await.unwrap(), [Replayed::Waits]);
    assert_eq!(by_lane(&*store).await.get(&own), Some(&1));
}

async fn by_lane(store: &dyn Store) -> BTreeMap<Lane, u64> {
    store.lanes().await.unwrap().into_iter().map(|depth| (depth.lane, depth.waiting)).collect()
}

pub(crate) async fn deliveries_are_counted_by_status(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.count().await.unwrap(), StatusCounts64::default());
    store.accept(vec![planned(1, &["a", "b", "c", "d", "e"]), planned(2, &["a"])]).await.unwrap();
    for (index, state) in [sent(1), sent(1), failed(1), waiting(at(7_000), 1)].into_iter().enumerate() {
        let claim = claim_one(&*store, id(1).delivery(index as u32)).await;
        settle_one(&*store, &claim, state).await;
    }
    store.cancel(id(2), NOW, BY).await.unwrap();
    let counts = StatusCounts64 { open: 2, sent: 2, failed: 1, cancelled: 1 };
    assert_eq!(store.count().await.unwrap(), counts);
    let record = store.notification(id(1)).await.unwrap().unwrap();
    assert_eq!(record.counts, StatusCounts { open: 2, sent: 2, failed: 1, cancelled: 0 });
}

pub(crate) async fn a_template_is_kept_once_under_its_version(place: &dyn Place) {
    let source = |text: &str| TemplateSource {
        version: [9; 32],
        engine: "minijinja".to_owned(),
        parts: vec![("title".to_owned(), text.to_owned()), ("html".to_owned(), String::new())],
    };
    let store = open(place).await;
    assert_eq!(store.template([9; 32]).await.unwrap(), None);
    store.keep_template(source("first")).await.unwrap();
    store.keep_template(source("second")).await.unwrap();
    store.close().await;
    assert_eq!(open(place).await.template([9; 32]).await.unwrap(), Some(source("first")));
}

pub(crate) async fn a_plugin_is_remembered_by_its_newest_book(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.plugins().await.unwrap(), []);
    let loaded = plugin_event("slack", PluginChange::Loaded);
    store.keep_plugins(vec![book("slack", 1), book("acme", 1)], vec![loaded.clone()], Vec::new()).await.unwrap();
    let refused = plugin_event("odd.wasm", PluginChange::Refused);
    store.keep_plugins(vec![book("slack", 2)], vec![refused.clone()], Vec::new()).await.unwrap();
    store.keep_plugins(Vec::new(), Vec::new(), Vec::new()).await.unwrap();
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.plugins().await.unwrap(), [book("acme", 1), book("slack", 2)]);
    let events = store.outbox(0, 10).await.unwrap().into_iter().map(|numbered| numbered.event);
    assert_eq!(events.collect::<Vec<_>>(), [loaded, refused]);
}

pub(crate) async fn a_channel_is_remembered_by_its_newest_book(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.channels().await.unwrap(), []);
    let opened = channel_event("mail", ChannelChange::Opened);
    let books = vec![channel_book("mail", 1), channel_book("chat", 7)];
    store.keep_channels(books, vec![opened.clone()], Vec::new()).await.unwrap();
    let paused = channel_event("mail", ChannelChange::Paused);
    let act = Act::Channel { channel: channel("mail"), deed: ChannelDeed::Pause };
    let entry = AuditEntry { at: NOW, by: Actor::Cli, act, outcome: AuditOutcome::Done };
    store.keep_channels(vec![channel_book("mail", 6)], vec![paused.clone()], vec![entry.clone()]).await.unwrap();
    store.keep_channels(Vec::new(), Vec::new(), Vec::new()).await.unwrap();
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.channels().await.unwrap(), [channel_book("chat", 7), channel_book("mail", 6)]);
    let events = store.outbox(0, 10).await.unwrap().into_iter().map(|numbered| numbered.event);
    assert_eq!(events.collect::<Vec<_>>(), [opened, paused]);
    let target = Some(AuditTarget::Channel(channel("mail")));
    let found = store.audit(AuditFilter { target, ..AuditFilter::default() }, None, 10).await.unwrap();
    assert_eq!(found.entries.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), [entry]);
}

pub(crate) async fn a_size_of_the_pool_is_kept_until_it_is_let_go(place: &dyn Place) {
    let store = open(place).await;
    assert_eq!(store.pin().await.unwrap(), None);
    let entry =
        |workers| AuditEntry { at: NOW, by: Actor::Cli, act: Act::Scale { workers }, outcome: AuditOutcome::Done };
    for workers in [Some(3), Some(4_096)] {
        store.keep_pin(workers, entry(workers)).await.unwrap();
    }
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.pin().await.unwrap(), Some(4_096));
    store.keep_pin(None, entry(None)).await.unwrap();
    store.close().await;

    let store = open(place).await;
    assert_eq!(store.pin().await.unwrap(), None);
    let filter = AuditFilter { action: Some(AuditAction::Scale), ..AuditFilter::default() };
    let found = store.audit(filter, None, 10).await.unwrap().entries.into_iter().map(|(_, entry)| entry);
    assert_eq!(found.collect::<Vec<_>>(), [None, Some(4_096), Some(3)].map(entry));
}

pub(crate) async fn a_closed_store_has_committed_what_it_took_and_refuses_the_rest(place: &dyn Place) {
    let store = open(place).await;
    let (accepted, ()) = tokio::join!(store.accept(vec![planned(1, &["mail"])]), store.close());
    accepted.unwrap();
    assert!(matches!(store.accept(vec![planned(2, &["mail"])]).await, Err(StoreError::Closed)));
    assert!(matches!(store.count().await, Err(StoreError::Closed)));
    store.close().await;
    assert_eq!(open(place).await.count().await.unwrap().open, 1);
}
