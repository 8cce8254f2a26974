//! What goes by size, and what never does.

use super::*;
use crate::clock::{Entropy, ManualClock};
use crate::config::Durability;
use crate::domain::{
    Attempt, ChannelName, Content, DeliveryState, FailReason, Notification, Priority, Receipt, Recipient,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Planned, PlannedDelivery, Settlement};

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
