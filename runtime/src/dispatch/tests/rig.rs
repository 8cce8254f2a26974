//! A dispatcher on the real store, with a caller that follows a script and a clock that is moved by hand.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::{mpsc, watch};

use super::super::{Dispatcher, Fallbacks, Neighbours, Paces, RetryPolicies, TimeLimits};
use crate::call::{
    AddressNeed, Call, Caller, ChannelDirectory, ChannelFacts, ChannelUnavailable, ContentSource, NoChannels, Question,
    RenderFailure, Report,
};
use crate::clock::{Clock, Entropy, ManualClock};
use crate::config::WorkersConfig;
use crate::domain::{
    AttemptEnd, ChannelName, Content, DeliveryId, DeliveryState, EventBody, HostBook, Notification, Outcome, Priority,
    Receipt, Recipient, Timestamp, Trouble,
};
use crate::queue::{GateSettings, QueueHandle, WindowLimits};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, DeliveryRecord, Durability, Planned, PlannedDelivery, Store};
use crate::telemetry::Metrics;

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

/// How a scripted call goes.
pub(super) enum Reply {
    Ends(AttemptEnd),
    Panics,
    Hangs,
    /// Holds its thread until something comes, then is sent.
    Blocks(Arc<Mutex<std::sync::mpsc::Receiver<()>>>),
    /// Is sent once this is true.
    After(Arc<watch::Receiver<bool>>),
}

fn sent_end() -> AttemptEnd {
    let receipt = Receipt { provider_id: Some("p-1".to_owned()), ..Receipt::default() };
    AttemptEnd::Outcome(Outcome::Sent(receipt))
}

pub(super) fn sent() -> Reply {
    Reply::Ends(sent_end())
}

pub(super) fn retry() -> Reply {
    Reply::Ends(AttemptEnd::Outcome(Outcome::Retry {
        after: None,
        trouble: Trouble::Server,
        code: Some("503".to_owned()),
        reason: "the provider is down".to_owned(),
    }))
}

type Script = dyn Fn(&Call) -> Reply + Send + Sync;

struct ScriptedCaller {
    script: Box<Script>,
    calls: Mutex<Vec<Call>>,
    /// To questions, in order.
    answers: Mutex<VecDeque<AttemptEnd>>,
    questions: Mutex<Vec<Question>>,
    begun: mpsc::Sender<DeliveryId>,
}

#[async_trait]
impl Caller for ScriptedCaller {
    async fn call(&self, call: Call) -> Report {
        self.calls.lock().unwrap().push(call.clone());
        self.begun.try_send(call.delivery).expect("a test makes few calls");
        let end = match (self.script)(&call) {
            Reply::Ends(end) => end,
            Reply::Panics => panic!("the script says so"),
            Reply::Hangs => std::future::pending().await,
            Reply::Blocks(until) => {
                until.lock().unwrap().recv().expect("the test lives");
                sent_end()
            }
            Reply::After(gate) => {
                let mut gate = gate.as_ref().clone();
                gate.wait_for(|open| *open).await.expect("the test lives");
                sent_end()
            }
        };
        Report { end, duration: call.now.since(START), plugin: None, fuel: 7, memory_bytes: 8 }
    }

    async fn ask(&self, question: Question) -> Report {
        let duration = question.now.since(question.awaited.since);
        self.questions.lock().unwrap().push(question);
        let answer = self.answers.lock().unwrap().pop_front();
        let end = match answer {
            Some(end) => end,
            None => std::future::pending().await,
        };
        Report { end, duration, plugin: None, fuel: 7, memory_bytes: 8 }
    }
}

/// The notification's own content, but what names a template waits while its engine is held.
#[derive(Default)]
pub(super) struct HeldContent {
    pub(super) is_held: AtomicBool,
    pub(super) asked: AtomicUsize,
}

#[async_trait]
impl ContentSource for HeldContent {
    async fn content(
        &self,
        notification: &Arc<Notification>,
        _recipient: &Arc<Recipient>,
    ) -> Result<Arc<Content>, RenderFailure> {
        if notification.template.is_some() {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if self.is_held.load(Ordering::Relaxed) {
                return Err(RenderFailure::Held { engine: "mini".parse().unwrap() });
            }
        }
        Ok(Arc::clone(&notification.content))
    }
}

/// Feeds the queue and lets the test see every event.
struct Tee {
    queue: QueueHandle,
    events: mpsc::Sender<EventBody>,
}

impl CommitListener for Tee {
    fn committed(&self, committed: Committed) {
        for numbered in &committed.events {
            self.events.try_send(numbered.event.body.clone()).expect("a test makes few events");
        }
        self.queue.committed(committed);
    }
}

/// Channels with the kind of address that each needs.
pub(super) struct Channels(pub(super) Vec<(&'static str, Option<&'static str>)>);

impl ChannelDirectory for Channels {
    fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        let Some((_, kind)) = self.0.iter().find(|(known, _)| *known == name.as_str()) else {
            return NoChannels.channel(name);
        };
        let address = kind.map(|kind| AddressNeed { kind: kind.to_owned(), pattern: None });
        let plugin = "played".parse().unwrap();
        Ok(Arc::new(ChannelFacts { plugin, address, priority: None, has_fallback: true }))
    }
}

pub(super) struct Setup {
    pub(super) workers: WorkersConfig,
    pub(super) paused: bool,
    /// What holds the channel `ops` back.
    pub(super) gate: Option<GateSettings>,
    /// The same of its destinations.
    pub(super) paces: Paces,
    /// What is remembered of their hosts.
    pub(super) hosts: BTreeMap<ChannelName, Vec<HostBook>>,
    pub(super) policies: RetryPolicies,
    /// The channels there are, where one may stand in for another.
    pub(super) channels: Channels,
    pub(super) fallbacks: Fallbacks,
    /// A file, for what is to be found again.
    pub(super) path: Option<PathBuf>,
    /// Puts something between the dispatcher and the store.
    pub(super) between: fn(Arc<dyn Store>) -> Arc<dyn Store>,
    pub(super) time_limits: TimeLimits,
}

impl Default for Setup {
    fn default() -> Self {
        let workers = WorkersConfig::fixed(2, 8, 4);
        Self {
            workers,
            paused: false,
            gate: None,
            paces: Paces::default(),
            hosts: BTreeMap::new(),
            policies: RetryPolicies::default(),
            channels: Channels(Vec::new()),
            fallbacks: Fallbacks::default(),
            path: None,
            between: |store| store,
            time_limits: TimeLimits::default(),
        }
    }
}

pub(super) struct Rig {
    pub(super) clock: ManualClock,
    pub(super) store: Arc<SqliteStore>,
    pub(super) dispatcher: Dispatcher,
    pub(super) queue: QueueHandle,
    pub(super) content: Arc<HeldContent>,
    caller: Arc<ScriptedCaller>,
    begun: mpsc::Receiver<DeliveryId>,
    events: mpsc::Receiver<EventBody>,
    entropy: Arc<Entropy>,
}

impl Rig {
    pub(super) async fn start(script: impl Fn(&Call) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(Setup::default(), ManualClock::at(START), script).await
    }

    pub(super) async fn start_with(
        setup: Setup,
        clock: ManualClock,
        script: impl Fn(&Call) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let queue = QueueHandle::new(WindowLimits::default(), Arc::new(clock.clone()));
        queue.set_gates(setup.gate.map(|gate| (ChannelName::new("ops").unwrap(), gate)));
        let (tell, events) = mpsc::channel(10_000);
        let (begin, begun) = mpsc::channel(10_000);
        let store = SqliteStore::open(SqliteOptions {
            durability: if setup.path.is_some() { Durability::Os } else { Durability::Memory },
            path: setup.path.unwrap_or_else(|| PathBuf::from("memory")),
            listener: Arc::new(Tee { queue: queue.clone(), events: tell }),
        })
        .unwrap();
        let caller = Arc::new(ScriptedCaller {
            script: Box::new(script),
            calls: Mutex::default(),
            answers: Mutex::default(),
            questions: Mutex::default(),
            begun: begin,
        });
        let (entropy, content) = (Arc::new(Entropy::fixed(clock.now().as_millis())), Arc::new(HeldContent::default()));
        let with = Neighbours {
            store: (setup.between)(Arc::clone(&store) as Arc<dyn Store>),
            queue: queue.clone(),
            caller: Arc::clone(&caller) as Arc<dyn Caller>,
            content: Arc::clone(&content) as _,
            clock: Arc::new(clock.clone()),
            entropy: Arc::clone(&entropy),
            policies: setup.policies,
            paces: setup.paces,
            hosts: setup.hosts,
            time_limits: setup.time_limits,
            channels: Arc::new(setup.channels),
            fallbacks: setup.fallbacks,
            metrics: Metrics::new(),
        };
        let dispatcher = if setup.paused {
            Dispatcher::start_paused(&setup.workers, with).await.unwrap()
        } else {
            Dispatcher::start(&setup.workers, with).await.unwrap()
        };
        Self { clock, store, dispatcher, queue, content, caller, begun, events, entropy }
    }

    /// A notification to one recipient through the channel `ops`, as `change` makes it.
    pub(super) async fn accept(&self, change: impl FnOnce(&mut Notification)) -> DeliveryId {
        self.accept_for("", change).await
    }

    /// The same to an address.
    pub(super) async fn accept_for(&self, address: &str, change: impl FnOnce(&mut Notification)) -> DeliveryId {
        self.accept_through("ops", address, change).await
    }

    /// The same through another channel.
    pub(super) async fn accept_through(
        &self,
        channel: &str,
        address: &str,
        change: impl FnOnce(&mut Notification),
    ) -> DeliveryId {
        let now = self.clock.now();
        let id = self.entropy.notification_id(now);
        let mut notification = Notification {
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
        change(&mut notification);
        let due = notification.scheduled_at.unwrap_or(now);
        let channel = ChannelName::new(channel).unwrap();
        let recipient = Recipient { address: address.to_owned(), ..Recipient::default() };
        let delivery = PlannedDelivery::new(channel, recipient, due);
        let planned = Planned::new(Arc::new(notification), vec![delivery]);
        self.store.accept(vec![planned]).await.unwrap();
        id.delivery(0)
    }

    /// The next call that begins.
    pub(super) async fn begun(&mut self) -> DeliveryId {
        self.begun.recv().await.expect("the caller lives")
    }

    /// The next event that `pick` wants.
    pub(super) async fn event<T>(&mut self, pick: impl Fn(&EventBody) -> Option<T>) -> T {
        loop {
            let event = self.events.recv().await.expect("the store lives");
            if let Some(wanted) = pick(&event) {
                return wanted;
            }
        }
    }

    /// Waits until every one of `deliveries` is sent.
    pub(super) async fn all_sent(&mut self, deliveries: &[DeliveryId]) {
        let mut open: HashSet<DeliveryId> = deliveries.iter().copied().collect();
        while !open.is_empty() {
            let sent = self
                .event(|event| match event {
                    EventBody::DeliverySent { delivery, .. } => Some(*delivery),
                    _ => None,
                })
                .await;
            open.remove(&sent);
        }
    }

    /// Answers the next questions in this order. Those beyond hang.
    pub(super) fn answer_questions(&self, answers: impl IntoIterator<Item = AttemptEnd>) {
        self.caller.answers.lock().unwrap().extend(answers);
    }

    /// The questions asked so far.
    pub(super) fn questions(&self) -> Vec<Question> {
        self.caller.questions.lock().unwrap().clone()
    }

    /// The calls made so far, questions aside.
    pub(super) fn calls(&self) -> Vec<Call> {
        self.caller.calls.lock().unwrap().clone()
    }

    pub(super) async fn record(&self, delivery: DeliveryId) -> DeliveryRecord {
        let record = self.store.notification(delivery.notification()).await.unwrap().expect("it was accepted");
        record.deliveries[delivery.index() as usize].clone()
    }

    pub(super) async fn state(&self, delivery: DeliveryId) -> DeliveryState {
        self.record(delivery).await.state
    }

    /// Waits until somebody waits for `at`.
    pub(super) async fn waits_for(&self, at: Timestamp) {
        while !self.clock.is_awaited(at) {
            tokio::task::yield_now().await;
        }
    }
}
