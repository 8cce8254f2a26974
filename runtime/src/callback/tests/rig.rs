//! Callbacks on the real store, with deliveries that end when the test says so and a clock that is moved by hand.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::webhook::TakenNames;
use super::super::{CallbackSettings, Callbacks, Joints, WhenFull};
use crate::clock::{Clock, Entropy, ManualClock};
use crate::domain::{
    ChannelName, Content, DeadCallback, DeliveryId, DeliveryState, EventBody, FailReason, Notification, NotificationId,
    Priority, Receipt, Recipient, Timestamp,
};
use crate::events::{EventLog, Inlet};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{DeadCallbackFilter, Durability, Planned, PlannedDelivery, Settlement, Store};
use crate::telemetry::Metrics;

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(super) const SECOND: Duration = Duration::from_secs(1);

pub(super) struct Rig {
    pub(super) clock: ManualClock,
    pub(super) store: Arc<SqliteStore>,
    pub(super) callbacks: Callbacks,
    entropy: Arc<Entropy>,
    tell: mpsc::Sender<String>,
    told: mpsc::Receiver<String>,
}

/// One worker, and one place in the queue.
pub(super) fn narrow(when_full: WhenFull) -> CallbackSettings {
    CallbackSettings { workers: 1, queue: 1, when_full, ..CallbackSettings::default() }
}

impl Rig {
    pub(super) async fn start(settings: CallbackSettings) -> Self {
        Self::start_in(None, ManualClock::at(START), settings).await
    }

    /// With a file, for what is to be found again.
    pub(super) async fn start_in(path: Option<PathBuf>, clock: ManualClock, settings: CallbackSettings) -> Self {
        let (inlet, outlet) = Inlet::new();
        let store = SqliteStore::open(SqliteOptions {
            durability: if path.is_some() { Durability::Os } else { Durability::Memory },
            path: path.unwrap_or_else(|| PathBuf::from("memory")),
            listener: Arc::new(inlet),
        })
        .unwrap();
        let entropy = Arc::new(Entropy::fixed(clock.now().as_millis()));
        let (their_store, their_clock) = (Arc::clone(&store) as Arc<dyn Store>, Arc::new(clock.clone()));
        let log = EventLog::start(outlet, Arc::clone(&their_store)).await.unwrap();
        let joints = Joints {
            store: their_store,
            clock: their_clock,
            entropy: Arc::clone(&entropy),
            log,
            metrics: Metrics::off(),
            taken: TakenNames::default(),
        };
        let callbacks = Callbacks::start(joints, settings).unwrap();
        let (tell, told) = mpsc::channel(10_000);
        Self { clock, store, callbacks, entropy, tell, told }
    }

    /// Says something to the test; for closures.
    pub(super) fn teller(&self) -> impl Fn(String) + Clone + Send + Sync + 'static {
        let tell = self.tell.clone();
        move |text| tell.try_send(text).expect("a test hears few words")
    }

    /// The next that a closure says.
    pub(super) async fn heard(&mut self) -> String {
        let heard = tokio::time::timeout(Duration::from_secs(20), self.told.recv()).await;
        heard.expect("a closure says something").expect("the rig holds the other end")
    }

    /// Whether no closure has said anything that was not heard.
    pub(super) fn is_silent(&mut self) -> bool {
        self.told.is_empty()
    }

    /// A notification with so many deliveries.
    pub(super) async fn accept(&self, deliveries: u32) -> NotificationId {
        let now = self.clock.now();
        let id = self.entropy.notification_id(now);
        let notification = Notification {
            id,
            kind: "info".to_owned(),
            priority: Priority::Normal,
            content: Arc::new(Content { text: "hi".to_owned(), ..Content::default() }),
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
        let delivery = |number: u32| {
            let (address, name) = (format!("{number}@example.com"), Some(format!("Ada {number}")));
            let recipient = Recipient { address, name, ..Recipient::default() };
            PlannedDelivery::new(ChannelName::new("ops").unwrap(), recipient, now)
        };
        let planned = Planned::new(Arc::new(notification), (0..deliveries).map(delivery).collect());
        self.store.accept(vec![planned]).await.unwrap();
        id
    }

    async fn settle(&self, delivery: DeliveryId, state: DeliveryState) {
        let claim = self.store.claim(&[delivery], self.clock.now()).await.unwrap().remove(0);
        let at = self.clock.now();
        let settlement = Settlement { claim: claim.number, delivery, attempt: None, state, reroute: None, at };
        self.store.settle(vec![settlement]).await.unwrap();
    }

    pub(super) async fn send(&self, delivery: DeliveryId) {
        let receipt = Receipt { provider_id: Some("p-1".to_owned()), ..Receipt::default() };
        let at = self.clock.now();
        self.settle(delivery, DeliveryState::Sent { at, attempts: 1, receipt, unconfirmed: false }).await;
    }

    pub(super) async fn fail(&self, delivery: DeliveryId) {
        let reason = FailReason::Exhausted { last: "the provider is down".to_owned() };
        self.settle(delivery, DeliveryState::Failed { at: self.clock.now(), attempts: 1, reason }).await;
    }

    /// A notification whose only delivery is sent.
    pub(super) async fn sent(&self) -> DeliveryId {
        let delivery = self.accept(1).await.delivery(0);
        self.send(delivery).await;
        delivery
    }

    /// Returns once something holds. Everything it can depend on goes on by itself meanwhile.
    pub(super) async fn until(&self, mut holds: impl FnMut() -> bool) {
        while !holds() {
            tokio::task::yield_now().await;
        }
    }

    /// Moves the clock to this instant, once somebody waits for it.
    pub(super) async fn pass(&self, at: Timestamp) {
        self.until(|| self.clock.is_awaited(at)).await;
        self.clock.advance(at.since(self.clock.now()));
    }

    /// The callbacks that were given up, once there are so many.
    pub(super) async fn dead(&self, count: usize) -> Vec<DeadCallback> {
        loop {
            let dead = self.callbacks.dead_letters(&DeadCallbackFilter::default(), 0, 1_000).await.unwrap();
            if dead.len() == count {
                return dead;
            }
            tokio::task::yield_now().await;
        }
    }

    /// The types of events about callbacks, in order.
    pub(super) async fn events_of_callbacks(&self) -> Vec<&'static str> {
        let events = self.store.outbox(0, 10_000).await.unwrap();
        let of_callbacks = events.iter().filter(|event| matches!(event.event.body, EventBody::Callback(_)));
        of_callbacks.map(|event| event.event.body.kind()).collect()
    }

    pub(super) async fn stop(self) {
        self.callbacks.stop(Duration::from_secs(20)).await;
        self.store.close().await;
    }
}
