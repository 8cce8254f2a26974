//! What an operator does about callbacks, on a real store and with somebody who calls.

use std::sync::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::config::Durability;
use crate::domain::{AuditTarget, CallbackKind, NotificationId, OwedCallback};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{AuditFilter, CommitListener, Committed};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

fn opened() -> Arc<dyn Store> {
    let options = SqliteOptions { path: "memory".into(), durability: Durability::Memory, listener: Arc::new(Deaf) };
    SqliteStore::open(options).expect("a store in memory opens")
}

fn callback(name: &str) -> CallbackName {
    CallbackName::new(name).expect("a name")
}

/// Calls `crm`, and owes it what is replayed.
struct Crm {
    store: Arc<dyn Store>,
    enabled: Mutex<u32>,
}

#[async_trait]
impl Caller for Crm {
    fn knows(&self, name: &CallbackName) -> bool {
        *name == callback("crm")
    }

    async fn replay(&self, dead: Vec<DeadCallback>, entry: AuditEntry) -> Result<(), StoreError> {
        let owed = |dead: &DeadCallback| OwedCallback {
            callback: dead.callback.clone(),
            event: dead.event,
            notification: dead.notification,
            attempts: 0,
            due: entry.at,
            last_error: None,
        };
        let (owed, revived) = (dead.iter().map(owed).collect(), dead.iter().map(|dead| dead.id).collect());
        let audit = vec![entry];
        self.store.keep_callbacks(CallbackChange { owed, revived, audit, ..CallbackChange::default() }).await
    }

    async fn enable(&self, book: CallbackBook, entry: AuditEntry) -> Result<bool, StoreError> {
        *self.enabled.lock().expect("nobody panicked") += 1;
        let change = CallbackChange { books: vec![book], audit: vec![entry], ..CallbackChange::default() };
        self.store.keep_callbacks(change).await.map(|()| true)
    }

    fn statistics(&self, _: Timestamp) -> CallerStatistics {
        CallerStatistics { executor: None, kinds: Vec::new() }
    }
}

struct Rig {
    desk: CallbackDesk,
    store: Arc<dyn Store>,
    crm: Arc<Crm>,
    clock: Arc<ManualClock>,
}

fn rig() -> Rig {
    let (store, clock) = (opened(), Arc::new(ManualClock::at(START)));
    let crm = Arc::new(Crm { store: Arc::clone(&store), enabled: Mutex::default() });
    let as_clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let desk = CallbackDesk::new(&store, &as_clock, vec![Arc::clone(&crm) as _]);
    Rig { desk, store, crm, clock }
}

fn dead(name: &str, event: u64) -> DeadCallback {
    DeadCallback {
        id: 0,
        callback: callback(name),
        kind: CallbackKind::Webhook,
        event,
        notification: Some(NotificationId::from_bytes([event as u8; 16])),
        delivery: None,
        attempts: 4,
        reason: "it answered 503".to_owned(),
        at: START,
    }
}

impl Rig {
    async fn bury(&self, dead: Vec<DeadCallback>) {
        self.store.keep_callbacks(CallbackChange { dead, ..CallbackChange::default() }).await.expect("it is kept");
    }

    async fn ids(&self) -> Vec<u64> {
        let page = self.desk.page(&DeadCallbackFilter::default(), 0, 1_000).await.expect("it can be read");
        page.dead.iter().map(|dead| dead.id).collect()
    }

    /// Each entry as `action target outcome calls`, the oldest first.
    async fn audit(&self) -> Vec<String> {
        let page = self.store.audit(AuditFilter::default(), None, 100).await.expect("it can be read");
        let line = |entry: &AuditEntry| {
            let target = entry.act.target().as_ref().map(AuditTarget::to_string).unwrap_or_default();
            let Act::Callback { calls, .. } = &entry.act else { panic!("{entry:?} is of something else") };
            format!("{} {target} {} {calls}", entry.act.action().as_str(), entry.outcome.as_str())
        };
        page.entries.iter().rev().map(|(_, entry)| line(entry)).collect()
    }
}

#[tokio::test]
async fn what_was_given_up_is_replayed_by_who_calls_it_and_stays_dead_where_nobody_does() {
    let rig = rig();
    rig.bury(vec![dead("crm", 1), dead("billing.sent", 2), dead("crm", 3)]).await;
    let all = DeadCallbackChoice::Matching(DeadCallbackFilter::default());
    let report = rig.desk.replay(all, Actor::Cli).await.expect("it is done");
    assert_eq!(report, CallbackReplay { replayed: 2, unknown: 1, ..CallbackReplay::default() });
    assert_eq!(rig.ids().await, [2]);
    let owed = rig.store.owed_callbacks(&callback("crm"), 0, 10).await.expect("it can be read");
    assert_eq!(owed.iter().map(|owed| owed.event).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(
        rig.audit().await,
        ["callback.replayed billing.sent refused 1", "callback.replayed crm done 2"],
        "one entry for each callback"
    );
}

#[tokio::test]
async fn ids_that_are_not_there_are_passed_over_and_each_counts_once() {
    let rig = rig();
    rig.bury((1..=5).map(|event| dead("crm", event)).collect()).await;
    let some = DeadCallbackChoice::Ids(vec![4, 2, 4, 0, 99]);
    let report = rig.desk.replay(some.clone(), Actor::Api).await.expect("it is done");
    assert_eq!(report, CallbackReplay { replayed: 2, ..CallbackReplay::default() });
    assert_eq!(rig.desk.replay(some, Actor::Api).await.expect("it is done"), CallbackReplay::default());
    assert_eq!(rig.desk.purge(DeadCallbackChoice::Ids(vec![1, 7]), Actor::Api).await.expect("it is done"), 1);
    assert_eq!(rig.ids().await, [3, 5]);
}

#[tokio::test]
async fn what_is_put_away_is_what_matches_and_is_told_by_callback() {
    let rig = rig();
    rig.bury((1..=2_500).map(|event| dead(if event % 5 == 0 { "other" } else { "crm" }, event)).collect()).await;
    let of_crm = DeadCallbackFilter { callback: Some(callback("crm")), ..DeadCallbackFilter::default() };
    assert_eq!(rig.desk.purge(DeadCallbackChoice::Matching(of_crm), Actor::Cli).await.expect("it is done"), 2_000);
    assert_eq!(rig.store.totals().dead_callbacks, 500);
    assert_eq!(rig.audit().await, ["callback.purged crm done 1000"; 2], "a slice at a time");
    let now = DeadCallbackFilter { since: Some(START.after(std::time::Duration::from_secs(1))), ..Default::default() };
    assert_eq!(rig.desk.purge(DeadCallbackChoice::Matching(now), Actor::Cli).await.expect("it is done"), 0);
}

#[tokio::test]
async fn one_that_is_disabled_is_shown_and_called_again_when_somebody_says_so() {
    let rig = rig();
    let disabled = Some(CallbackDisabled { at: START, reason: "it answered 410 Gone".to_owned() });
    let book = |name: &str, cursor, disabled| CallbackBook { name: callback(name), cursor, disabled };
    let books = vec![book("crm", 7, disabled.clone()), book("left", 7, disabled), book("well", 0, None)];
    rig.store.keep_callbacks(CallbackChange { books, ..CallbackChange::default() }).await.expect("it is kept");
    let status = rig.desk.status().await.expect("it can be read");
    let told: Vec<_> =
        status.components.iter().map(|part| (part.name.as_str(), part.is_ready(), part.essential)).collect();
    assert_eq!(told, [("callback:crm", false, false), ("callback:left", false, false), ("callback:well", true, false)]);
    let detail = status.components[0].detail.as_deref().unwrap_or_default();
    assert!(detail.ends_with("it answered 410 Gone; `campanile callbacks enable crm` has it called again"), "{detail}");
    assert_eq!(status.callbacks.iter().map(|one| one.known).collect::<Vec<_>>(), [true, false, false]);

    rig.clock.advance(std::time::Duration::from_secs(1));
    for name in ["crm", "left"] {
        assert!(rig.desk.enable(&callback(name), Actor::Cli).await.expect("it is there"));
        assert!(!rig.desk.enable(&callback(name), Actor::Cli).await.expect("it is there"), "it was so before");
    }
    assert_eq!(*rig.crm.enabled.lock().expect("nobody panicked"), 1, "who calls it is told");
    let books = rig.store.callbacks().await.expect("it can be read");
    assert!(books.iter().all(|book| book.disabled.is_none()), "{books:?}");
    let error = rig.desk.enable(&callback("crn"), Actor::Cli).await.expect_err("it is not there");
    assert!(error.to_string().starts_with("there is no callback `crn`"), "{error}");
    let of = |name| ["done", "refused"].map(|outcome| format!("callback.enabled {name} {outcome} 0"));
    assert_eq!(rig.audit().await, [of("crm"), of("left")].concat());
}

#[tokio::test]
async fn how_far_a_callback_is_behind_and_what_it_owes_is_shown() {
    let rig = rig();
    let body = crate::domain::EventBody::ConfigReloaded { sha256: [1; 32] };
    let events = (0..10).map(|_| crate::domain::Event { at: START, body: body.clone() }).collect();
    let books = vec![CallbackBook { name: callback("crm"), cursor: 4, disabled: None }];
    rig.store.keep_callbacks(CallbackChange { events, books, ..CallbackChange::default() }).await.expect("it is kept");
    let standing = rig.desk.standings().await.expect("it can be read").remove(0);
    assert_eq!((standing.cursor, standing.lag, standing.owed, standing.known), (4, 6, 0, true));
    rig.bury(vec![dead("crm", 3)]).await;
    rig.desk.replay(DeadCallbackChoice::Ids(vec![1]), Actor::Cli).await.expect("it is done");
    let status = rig.desk.status().await.expect("it can be read");
    assert_eq!((status.callbacks[0].owed, status.dead_letters), (1, 0));
    assert_eq!(status.components[0].detail.as_deref(), Some("waits to call again for 1 event"));
}

#[tokio::test]
async fn what_nobody_calls_any_more_is_forgotten_with_all_that_it_owed_and_what_is_called_is_not() {
    let rig = rig();
    let book = |name: &str| CallbackBook { name: callback(name), cursor: 7, disabled: None };
    let owed = |name: &str| OwedCallback {
        callback: callback(name),
        event: 5,
        notification: None,
        attempts: 2,
        due: START,
        last_error: None,
    };
    let (books, owes) = (vec![book("crm"), book("left")], vec![owed("crm"), owed("left")]);
    rig.store.keep_callbacks(CallbackChange { books, owed: owes, ..CallbackChange::default() }).await.expect("kept");
    rig.bury(vec![dead("crm", 1), dead("left", 2), dead("left", 3), dead("unnamed", 4)]).await;
    let forget =
        async |name: &str| rig.desk.forget(&callback(name), Actor::Cli).await.map_err(|error| error.to_string());
    let error = forget("crm").await.expect_err("it is called");
    assert!(error.starts_with("`crm` is still called: take its `[[callbacks.webhook]]` out"), "{error}");
    assert_eq!(forget("left").await, Ok(2));
    assert_eq!(forget("unnamed").await, Ok(1), "it had no book, and calls of it were kept");
    let error = forget("left").await.expect_err("it is forgotten");
    assert!(error.starts_with("there is no callback `left`"), "{error}");
    let status = rig.desk.status().await.expect("it can be read");
    let left: Vec<_> = status.callbacks.iter().map(|one| (one.name.as_str(), one.owed)).collect();
    assert_eq!((left, status.dead_letters, rig.ids().await), (vec![("crm", 1)], 1, vec![1]));
    assert_eq!(rig.store.owed_callbacks(&callback("left"), 0, 10).await.expect("it can be read"), []);
    let told = ["callback.forgotten crm refused 0", "callback.purged left done 2", "callback.forgotten left done 2"];
    let of_unnamed = ["callback.purged unnamed done 1", "callback.forgotten unnamed done 1"];
    assert_eq!(rig.audit().await, [&told[..], &of_unnamed[..]].concat());
}
