//! What is remembered of channels, in a real store.

use super::*;
use crate::clock::ManualClock;
use crate::config::Durability;
use crate::domain::{AuditTarget, BreakerBook, BreakerCounts, FailedCall};
use crate::queue::{GateSettings, GateStatus, WindowLimits};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{AuditFilter, CommitListener, Committed};

const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

struct Deaf;

impl CommitListener for Deaf {
    fn committed(&self, _: Committed) {}
}

fn ops() -> ChannelName {
    ChannelName::new("ops").expect("a name")
}

/// One process after the other, over one store.
struct Rig {
    store: Arc<dyn Store>,
    clock: Arc<ManualClock>,
}

struct Process {
    queue: QueueHandle,
    keeper: Arc<Gatekeeper>,
}

impl Rig {
    fn new() -> Self {
        let options = SqliteOptions { path: "memory".into(), durability: Durability::Memory, listener: Arc::new(Deaf) };
        let store = SqliteStore::open(options).expect("a store in memory opens");
        Self { store, clock: Arc::new(ManualClock::at(START)) }
    }

    async fn process(&self) -> Process {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let queue = QueueHandle::new(WindowLimits::default(), Arc::clone(&clock));
        let keeper = Gatekeeper::open(Arc::clone(&self.store), queue.clone(), clock).await.expect("it can be read");
        queue.set_gates([(ops(), GateSettings::default())]);
        keeper.restore();
        Process { queue, keeper }
    }

    async fn events(&self) -> Vec<String> {
        let events = self.store.outbox(0, 100).await.expect("they can be read").into_iter();
        let told = events.map(|numbered| match numbered.event.body {
            EventBody::Channel(event) => {
                format!("{}: {}", event.change.kind(), event.reason.unwrap_or_default())
            }
            other => panic!("nobody told {other:?}"),
        });
        told.collect()
    }

    async fn audit(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let target = Some(AuditTarget::Channel(ops()));
        let page = self.store.audit(AuditFilter { target, ..AuditFilter::default() }, None, 100).await;
        let entries = page.expect("it can be read").entries.into_iter().rev();
        entries.map(|(_, one)| (one.act.action().as_str(), one.by.as_str(), one.outcome.as_str())).collect()
    }
}

impl Process {
    fn gate(&self) -> GateStatus {
        self.queue.gate(&ops()).expect("it has a gate")
    }

    /// Has its breaker as it would be after failures.
    fn open_breaker(&self, until: Timestamp) {
        let state = BreakerState::Open { since: START, until };
        self.queue.restore_gate(
            &ops(),
            false,
            BreakerBook { state, trips: 2, first_opened: Some(START), ..BreakerBook::default() },
        );
    }
}

#[tokio::test]
async fn a_pause_takes_effect_once_it_is_durable_and_holds_through_a_restart() {
    let rig = Rig::new();
    let first = rig.process().await;
    assert!(first.keeper.pause(&ops(), true, Actor::Cli).await.expect("it is written"));
    assert!(first.gate().paused);
    assert!(!first.keeper.pause(&ops(), true, Actor::Api).await.expect("it is written"), "it is paused");

    let second = rig.process().await;
    assert!(second.gate().paused);
    assert_eq!(second.keeper.paused(&ops()), Some(Paused { at: START, by: Actor::Cli }));
    assert_eq!(second.keeper.held(), [ops()]);
    assert!(second.keeper.pause(&ops(), false, Actor::Api).await.expect("it is written"));
    assert!(!second.gate().paused);
    assert!(!rig.process().await.gate().paused);

    assert_eq!(rig.events().await, ["channel.paused: by `cli`", "channel.resumed: by `api`"]);
    let expected =
        [("channel.paused", "cli", "done"), ("channel.paused", "api", "refused"), ("channel.resumed", "api", "done")];
    assert_eq!(rig.audit().await, expected);
}

#[tokio::test]
async fn a_pause_that_cannot_be_written_does_not_take_effect() {
    let rig = Rig::new();
    let process = rig.process().await;
    rig.store.close().await;
    assert!(process.keeper.pause(&ops(), true, Actor::Cli).await.is_err());
    assert!(!process.gate().paused && process.keeper.paused(&ops()).is_none());
}

#[tokio::test]
async fn what_a_breaker_came_to_is_written_and_the_next_process_goes_on_from_there() {
    let rig = Rig::new();
    let first = rig.process().await;
    let following = first.keeper.start(Outlook::default());
    first.open_breaker(START.after(Duration::from_secs(40)));
    assert!(first.keeper.reset(&ops(), Actor::Embedder).await.expect("it is written"));
    assert_eq!(first.gate().breaker, BreakerState::Closed);
    assert!(!first.keeper.reset(&ops(), Actor::Embedder).await.expect("it is written"), "there is nothing to forget");
    following.stop().await;
    let closed = BreakerNote { at: START, reason: BreakerReason::Reset, error: None };
    assert_eq!(first.keeper.note(&ops()), Some(closed.clone()));
    assert_eq!(rig.events().await, ["channel.closed: an operator reset it"]);
    assert_eq!(rig.audit().await, [("channel.reset", "embedder", "done"), ("channel.reset", "embedder", "done")]);
    assert_eq!(
        rig.store.channels().await.expect("it can be read"),
        [ChannelBook { note: Some(closed), ..ChannelBook::new(ops()) }]
    );
    assert_eq!(rig.process().await.keeper.held(), []);
}

#[tokio::test]
async fn a_disabled_channel_stays_so_through_a_restart_and_keeps_its_pause() {
    let rig = Rig::new();
    let first = rig.process().await;
    let following = first.keeper.start(Outlook::default());
    first.keeper.pause(&ops(), true, Actor::Cli).await.expect("it is written");
    let failed = BreakerState::Open { since: START, until: START.after(Duration::from_mins(5)) };
    let first_opened = Some(START.before(Duration::from_hours(80)));
    let book = BreakerBook { state: failed, trips: 5, first_opened, ..BreakerBook::default() };
    let disabled = BreakerBook { state: BreakerState::Disabled { since: START }, ..book };
    let change = BreakerChange { from: failed, to: disabled.state, reason: BreakerReason::TooLong };
    let changed = crate::queue::BreakerChanged { change, at: START, book: disabled };
    let changed = Changed { gates: vec![GateChange { channel: ops(), changed }], hosts: Vec::new() };
    first.keeper.keep(&changed, &Outlook::default()).await.expect("it is written");
    following.stop().await;

    let second = rig.process().await;
    assert_eq!(second.gate().breaker, BreakerState::Disabled { since: START });
    assert!(second.gate().paused, "a change of the breaker leaves the pause");
    let told = rig.events().await;
    assert_eq!(
        told[1],
        "channel.disabled: no call was good for too long; `campanile channels reset ops` lets it be called again"
    );
}

#[tokio::test]
async fn why_a_breaker_is_open_and_by_which_calls_is_known_to_the_next_process() {
    let rig = Rig::new();
    let first = rig.process().await;
    let following = first.keeper.start(Outlook::default());
    let error = FailedCall { at: START, outcome: "timeout".to_owned(), code: None, reason: "no answer".to_owned() };
    let book = ChannelBook {
        note: Some(BreakerNote { at: START, reason: BreakerReason::Consecutive, error: Some(error.clone()) }),
        ..ChannelBook::new(ops())
    };
    rig.store.keep_channels(vec![book], Vec::new(), Vec::new()).await.expect("it is written");
    following.stop().await;

    let second = rig.process().await;
    let following = second.keeper.start(Outlook::default());
    let opening = BreakerCounts { calls: 9, failures: 6, slow: 1, consecutive: 5 };
    let until = START.after(Duration::from_secs(40));
    let state = BreakerState::Open { since: START, until };
    second.queue.restore_gate(&ops(), false, BreakerBook { state, trips: 0, first_opened: Some(START), opening });
    let from = BreakerState::HalfOpen { since: START };
    let change = BreakerChange { from, to: state, reason: BreakerReason::ProbeFailed };
    second.keeper.note_change(&ops(), START, change, &Outlook::default());
    let book = BreakerBook { state, trips: 0, first_opened: Some(START), opening };
    let changed = crate::queue::BreakerChanged { change, at: START, book };
    let changed = Changed { gates: vec![GateChange { channel: ops(), changed }], hosts: Vec::new() };
    second.keeper.keep(&changed, &Outlook::default()).await.expect("it is written");
    following.stop().await;

    let third = rig.process().await;
    let note = third.keeper.note(&ops()).expect("it is remembered");
    assert_eq!((note.reason, note.error), (BreakerReason::ProbeFailed, Some(error)), "nothing failed since");
    assert_eq!(third.gate().counts, opening);
}

#[tokio::test]
async fn what_changes_of_a_host_is_told_by_its_tag() {
    let rig = Rig::new();
    let process = rig.process().await;
    let (open, half) = (BreakerState::Open { since: START, until: START }, BreakerState::HalfOpen { since: START });
    let host = |from, to, reason| HostChanged {
        channel: ops(),
        host: HostTag(0xab),
        change: BreakerChange { from, to, reason },
        at: START,
    };
    let hosts = vec![
        host(BreakerState::Closed, open, BreakerReason::Consecutive),
        host(open, half, BreakerReason::TimeUp),
        host(half, BreakerState::Closed, BreakerReason::ProbesPassed),
    ];
    let changed = Changed { gates: Vec::new(), hosts };
    process.keeper.keep(&changed, &Outlook::default()).await.expect("it is written");
    let told = rig.store.outbox(0, 100).await.expect("they can be read").into_iter();
    let told: Vec<_> = told
        .map(|numbered| match numbered.event.body {
            EventBody::Host(event) => format!("{} {} {}", event.change.kind(), event.channel, event.host),
            other => panic!("nobody told {other:?}"),
        })
        .collect();
    let of_host = |kind: &str| format!("{kind} ops 00000000000000ab");
    assert_eq!(told, ["breaker.opened", "breaker.half_open", "breaker.closed"].map(of_host));
}
