//! What goes by size, and what never does.

use super::*;
use crate::clock::{Entropy, ManualClock};
use crate::config::Durability;
use crate::domain::{
    Attempt, CallbackKind, CallbackName, ChannelName, Content, DeadCallback, DeliveryState, FailReason, Notification,
    Priority, Receipt, Recipient,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{
    CallbackChange, CommitListener, Committed, DeadCallbackFilter, Planned, PlannedDelivery, Settlement,
};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

fn opened() -> Arc<SqliteStore> {
    let options = SqliteOptions { path: "memory".into(), durability: Durability::Memory, listener: Arc::new(Deaf) };
    SqliteStore::open(options).expect("a store in memory opens")
}

/// Accepts a notification of 64 KiB at `now` and settles it as `end`.
async fn ended(store: &dyn Store, entropy: &Entropy, now: Timestamp, end: &DeliveryState) -> NotificationId {
    let id = entropy.notification_id(now);
    let notification = Notification {
        id,
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(Content { text: "x".repeat(64 << 10), ..Content::default() }),
        actions: Vec::new(),
        template: None,
        data: None,
        metadata: Vec::new(),
        correlation_id: None,
        group_key: None,
        created_at: now,
        scheduled_at: None,
        expires_at: None,
    };
    let delivery = PlannedDelivery::new(ChannelName::new("ops").expect("a name"), Recipient::default(), now);
    store.accept(vec![Planned::new(Arc::new(notification), vec![delivery])]).await.expect("it is kept");
    let claim = store.claim(&[id.delivery(0)], now).await.expect("it waits").remove(0);
    let attempt: Option<Attempt> = None;
    let settlement = Settlement {
        claim: claim.number,
        delivery: id.delivery(0),
        attempt,
        state: end.clone(),
        reroute: None,
        at: now,
    };
    store.settle(vec![settlement]).await.expect("it ends");
    id
}

#[tokio::test]
async fn over_its_size_the_oldest_that_is_final_goes_and_a_dead_letter_stays() {
    const SECONDS: u64 = 600;
    let (store, entropy) = (opened(), Entropy::fixed(1));
    let clock = Arc::new(ManualClock::at(START.after(Duration::from_secs(SECONDS))));
    let sent = DeliveryState::Sent { at: START, attempts: 0, receipt: Receipt::default(), unconfirmed: false };
    let failed = DeliveryState::Failed { at: START, attempts: 0, reason: FailReason::Expired };
    let dead = ended(&*store, &entropy, START, &failed).await;
    let mut all = Vec::new();
    for second in 0..SECONDS {
        all.push(ended(&*store, &entropy, START.after(Duration::from_secs(second)), &sent).await);
    }
    let full = store.used_bytes().await.expect("it can be read");
    assert!(full > 36 << 20, "{full}");

    let mut config = Config::default();
    config.store.size_max = Some(16 << 20);
    let (metrics, as_store) = (Metrics::new(), Arc::clone(&store) as Arc<dyn Store>);
    let sweeper = Retention::of(&config).start(as_store, Arc::clone(&clock) as _, Arc::clone(&metrics));
    // Until it waits for its next look, with the last of what may go gone.
    while clock.next_wait() != Some(clock.now().after(BETWEEN_LOOKS)) {
        if clock.next_wait().is_some_and(|at| at <= clock.now().after(BETWEEN)) {
            clock.advance(BETWEEN_PRESSED);
        }
        tokio::task::yield_now().await;
    }
    assert!(store.used_bytes().await.expect("it can be read") <= 16 << 20);
    assert!(store.notification(dead).await.expect("it can be read").is_some(), "nobody put it away");
    let mut there = Vec::new();
    for id in &all {
        there.push(store.notification(*id).await.expect("it can be read").is_some());
    }
    let gone = there.iter().filter(|there| !**there).count();
    assert!(there.is_sorted(), "the oldest go first: {there:?}");
    assert_eq!(gone, 2 * SLICE - 1, "no more than it takes: two slices, in the first of which the dead letter stays");
    let line = format!("campanile_cleared_total{{kind=\"notification\",cause=\"size\"}} {gone}");
    assert!(metrics.encode().lines().any(|found| found == line), "no line `{line}` in\n{}", metrics.encode());
    drop(sweeper);
}

#[tokio::test]
async fn of_calls_that_were_given_up_the_oldest_go_above_their_number_and_age() {
    let (store, clock) = (opened(), Arc::new(ManualClock::at(START)));
    let dead = |event| DeadCallback {
        id: 0,
        callback: CallbackName::new("crm").expect("a name"),
        kind: CallbackKind::Webhook,
        event,
        notification: None,
        delivery: None,
        attempts: 1,
        reason: "it answered 404".to_owned(),
        at: if event == 5 { START } else { START.before(Duration::from_hours(1)) },
    };
    let change = CallbackChange { dead: (1..=5).map(dead).collect(), ..CallbackChange::default() };
    store.keep_callbacks(change).await.expect("it is kept");
    let mut config = Config::default();
    (config.callbacks.dead_letters_max, config.callbacks.retention) = (3, Duration::from_mins(90));
    let (metrics, as_store) = (Metrics::new(), Arc::clone(&store) as Arc<dyn Store>);
    let sweeper = Retention::of(&config).start(as_store, Arc::clone(&clock) as _, Arc::clone(&metrics));
    for (left, forward) in [(3, Duration::ZERO), (1, Duration::from_mins(31))] {
        clock.advance(forward);
        while store.totals().dead_callbacks != left {
            // It goes on at once where it has more to do, and looks again later.
            if clock.next_wait().is_some_and(|at| at <= clock.now().after(BETWEEN)) {
                clock.advance(BETWEEN);
            }
            tokio::task::yield_now().await;
        }
    }
    let rest = store.dead_callbacks(&DeadCallbackFilter::default(), 0, 10).await.expect("it can be read");
    assert_eq!(rest.iter().map(|dead| dead.event).collect::<Vec<_>>(), [5]);
    let text = metrics.encode();
    for cause in ["size", "age"] {
        let line = format!("campanile_cleared_total{{kind=\"callback\",cause=\"{cause}\"}} 2");
        assert!(text.lines().any(|found| found == line), "no line `{line}` in\n{text}");
    }
    drop(sweeper);
}

#[tokio::test]
async fn what_is_too_young_to_go_is_looked_at_again_once_it_is_not() {
    let (store, entropy) = (opened(), Entropy::fixed(1));
    let clock = Arc::new(ManualClock::at(START));
    let sent = DeliveryState::Sent { at: START, attempts: 0, receipt: Receipt::default(), unconfirmed: false };
    for _ in 0..400 {
        ended(&*store, &entropy, START, &sent).await;
    }
    let mut config = Config::default();
    config.store.size_max = Some(16 << 20);
    let as_store = Arc::clone(&store) as Arc<dyn Store>;
    let sweeper = Retention::of(&config).start(as_store, Arc::clone(&clock) as _, Metrics::new());
    while clock.next_wait() != Some(START.after(YOUNG)) {
        if clock.next_wait().is_some_and(|at| at <= START.after(BETWEEN)) {
            clock.advance(BETWEEN_PRESSED);
        }
        tokio::task::yield_now().await;
    }
    assert!(store.used_bytes().await.expect("it can be read") > 16 << 20, "somebody may be waiting to hear of them");
    clock.advance(YOUNG + BETWEEN);
    while store.used_bytes().await.expect("it can be read") > 16 << 20 {
        clock.advance(BETWEEN_PRESSED);
        tokio::task::yield_now().await;
    }
    assert!(clock.now() < START.after(BETWEEN_ROUNDS), "it did not wait for the next round");
    drop(sweeper);
}
