//! A real store, a clock that is moved, and receivers on loopback that write down what they get.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::super::{Fed, Feed, Feeds, Prepared, Standing, Surroundings, Way, Webhooks, open, prepare};
use crate::capability::http::Egress;
use crate::clock::{Clock, Entropy, ManualClock};
use crate::config::{SecretRef, WebhookConfig};
use crate::domain::{
    CallbackName, DeadCallback, Event, EventBody, EventPattern, NotificationId, RetryPolicy, Timestamp,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{
    CommitListener, Committed, DeadCallbackFilter, Durability, EventNumber, NumberedEvent, Store, StoreError,
};
use crate::telemetry::Metrics;

pub(super) const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
pub(super) const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
pub(super) const OTHER_KEY: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// A machine that is busy with other tests still answers in this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says how far the outbox goes.
struct Announcer(watch::Sender<EventNumber>);

impl CommitListener for Announcer {
    fn committed(&self, committed: Committed) {
        if let Some(last) = committed.events.last() {
            self.0.send_replace(last.number);
        }
    }
}

/// The stream, straight from the outbox.
struct Outbox {
    store: Arc<dyn Store>,
    newest: watch::Receiver<EventNumber>,
}

struct Reader {
    store: Arc<dyn Store>,
    newest: watch::Receiver<EventNumber>,
    after: EventNumber,
}

#[async_trait]
impl Feed for Reader {
    async fn next(&mut self, wanted: &[EventPattern]) -> Option<Fed> {
        loop {
            let page = self.store.outbox(self.after, 100).await.ok()?;
            if let Some(last) = page.last().map(|event| event.number) {
                self.after = last;
                let is_wanted =
                    |event: &NumberedEvent| wanted.iter().any(|pattern| pattern.matches(event.event.body.kind()));
                return Some(Fed::Events { wanted: page.into_iter().filter(is_wanted).map(Arc::new).collect(), last });
            }
            let after = self.after;
            self.newest.wait_for(|newest| *newest > after).await.ok()?;
        }
    }
}

#[async_trait]
impl Feeds for Outbox {
    async fn newest(&self) -> Result<EventNumber, StoreError> {
        Ok(*self.newest.borrow())
    }

    fn behind(&self, after: EventNumber) -> Box<dyn Feed> {
        Box::new(Reader { store: Arc::clone(&self.store), newest: self.newest.clone(), after })
    }

    fn published(&self, event: &NumberedEvent) -> Value {
        json!({
            "id": format!("00c0ffee00c0ffee-{}", event.number),
            "type": event.event.body.kind(),
            "at": event.event.at.to_string(),
            "notification_id": event.event.body.notification().map(|id| id.to_string()),
            "data": {},
        })
    }
}

/// What a receiver got.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Got {
    /// The number of the event.
    pub(super) fn number(&self) -> EventNumber {
        let id = self.headers["webhook-id"].clone();
        id.split('-').nth(1).and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("{id}"))
    }
}

/// How a receiver answers.
#[derive(Clone, Debug)]
pub(super) enum Reply {
    Status(u16),
    /// With this header.
    With(u16, &'static str, String),
    /// Never.
    Hangs,
}

type Script = dyn Fn(&Got) -> Reply + Send + Sync;

/// A process on loopback.
pub(super) struct Receiver {
    pub(super) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    count: watch::Receiver<usize>,
}

impl Receiver {
    pub(super) async fn start(script: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Self {
        let (counted, count) = watch::channel(0);
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let (script, taken): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&got));
        let answer = move |headers: HeaderMap, body: Bytes| {
            let text = |value: &HeaderValue| value.to_str().expect("ASCII").to_owned();
            let headers = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            let got = Got { headers, body: body.to_vec() };
            let reply = script(&got);
            let mut all = taken.lock().expect("no test panics here");
            all.push(got);
            counted.send_replace(all.len());
            drop(all);
            async move {
                let status = |code| StatusCode::from_u16(code).expect("a status");
                match reply {
                    Reply::Status(code) => (status(code), HeaderMap::new()),
                    Reply::With(code, name, value) => (
                        status(code),
                        HeaderMap::from_iter([(name.parse().expect("a name"), value.parse().expect("a value"))]),
                    ),
                    Reply::Hangs => std::future::pending().await,
                }
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/in?token=canary", listener.local_addr().expect("bound"));
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { url, got, count }
    }

    /// All of them, once there are so many.
    pub(super) async fn has(&self, count: usize) -> Vec<Got> {
        let mut counted = self.count.clone();
        let enough = counted.wait_for(|counted| *counted >= count);
        match tokio::time::timeout(PATIENCE, enough).await {
            Ok(there) => drop(there.expect("the receiver lives")),
            Err(_) => panic!("{} of {count} requests", self.count.borrow().clone()),
        }
        self.got()
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().expect("no test panics here").clone()
    }

    pub(super) fn numbers(&self) -> Vec<EventNumber> {
        self.got().iter().map(Got::number).collect()
    }
}

/// A place with a store and a clock, in which webhooks are started and stopped.
pub(super) struct Rig {
    dir: tempfile::TempDir,
    pub(super) clock: ManualClock,
    pub(super) store: Arc<dyn Store>,
    newest: watch::Receiver<EventNumber>,
}

fn open_store(dir: &Path) -> (Arc<dyn Store>, watch::Receiver<EventNumber>) {
    let (announcer, newest) = watch::channel(0);
    let listener = Arc::new(Announcer(announcer));
    let options = SqliteOptions { path: dir.join("store.db"), durability: Durability::Os, listener };
    (SqliteStore::open(options).expect("a store"), newest)
}

impl Rig {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let (store, newest) = open_store(dir.path());
        Self { dir, clock: ManualClock::at(START), store, newest }
    }

    /// Writes a key into a file and says where.
    pub(super) fn key(&self, name: &str, text: &str) -> SecretRef {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("a file");
        SecretRef::File(path)
    }

    /// A webhook to a receiver, that may be reached.
    pub(super) fn webhook(&self, name: &str, receiver: &Receiver) -> WebhookConfig {
        let mut webhook = WebhookConfig::new(name.parse().expect("a name"), receiver.url.clone());
        webhook.secrets = vec![self.key(name, KEY)];
        webhook.events = vec!["*".parse().expect("a pattern")];
        webhook.allow_networks = vec!["127.0.0.1/32".to_owned()];
        webhook.retry = "webhook".to_owned();
        webhook
    }

    pub(super) fn way(&self) -> Way {
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        Way { egress: Egress::system(), entropy: Arc::new(Entropy::fixed(1)), clock }
    }

    pub(super) fn feeds(&self) -> Arc<dyn Feeds> {
        Arc::new(Outbox { store: Arc::clone(&self.store), newest: self.newest.clone() })
    }

    fn prepare(&self, webhooks: &[WebhookConfig]) -> Vec<Prepared> {
        let endpoints = open(webhooks, &self.way()).expect("good");
        let policy = |name: &str| {
            let named = RetryPolicy::named().into_iter().find(|(known, _)| *known == name);
            named.map(|(_, policy)| policy).expect("a policy")
        };
        prepare(webhooks, endpoints, &self.feeds(), policy)
    }

    pub(super) async fn start(&self, webhooks: &[WebhookConfig]) -> Webhooks {
        self.start_prepared(self.prepare(webhooks)).await
    }

    pub(super) async fn start_prepared(&self, prepared: Vec<Prepared>) -> Webhooks {
        let Way { clock, entropy, .. } = self.way();
        let with = Surroundings {
            store: Arc::clone(&self.store),
            clock,
            entropy,
            metrics: Metrics::off(),
            tally: Arc::default(),
        };
        Webhooks::start(prepared, self.feeds(), with).await.expect("the store can be read")
    }

    pub(super) async fn replace(&self, running: &Webhooks, webhooks: &[WebhookConfig]) {
        running.replace(self.prepare(webhooks)).await.expect("the store can be read");
    }

    /// One event for each notification that is named, in one commit; 0 is an event of none.
    pub(super) async fn tell(&self, about: &[u8]) {
        let event = |one: &u8| Event { at: self.clock.now(), body: body(*one) };
        self.store.tell(about.iter().map(event).collect()).await.expect("a store");
    }

    pub(super) async fn dead(&self) -> Vec<DeadCallback> {
        self.store.dead_callbacks(&DeadCallbackFilter::default(), 0, 100).await.expect("a store")
    }

    /// The same place after the process died, or was stopped. Who still holds the store writes nothing more.
    pub(super) async fn restart(self) -> Self {
        let Self { dir, clock, store, newest } = self;
        store.close().await;
        drop((store, newest));
        let (store, newest) = open_store(dir.path());
        Self { dir, clock, store, newest }
    }
}

fn body(notification: u8) -> EventBody {
    match notification {
        0 => EventBody::ConfigReloaded { sha256: [0; 32] },
        one => EventBody::NotificationAccepted {
            notification: NotificationId::from_bytes([one; 16]),
            priority: crate::domain::Priority::Normal,
            deliveries: 1,
        },
    }
}

pub(super) fn name(text: &str) -> CallbackName {
    text.parse().expect("a name")
}

/// Waits until a webhook stands as it should.
pub(super) async fn until(webhooks: &Webhooks, of: &str, stands: impl Fn(&Standing) -> bool) -> Standing {
    let mut seen = webhooks.watch(&name(of)).await.expect("it is there");
    let found = tokio::time::timeout(PATIENCE, seen.wait_for(|standing| stands(standing))).await;
    match found {
        Ok(standing) => standing.expect("it runs").clone(),
        Err(_) => panic!("{:?}", webhooks.standings().await),
    }
}

/// Lets an instant come. Whoever waits for it, or is about to, goes on.
pub(super) fn come(clock: &ManualClock, at: Timestamp) {
    clock.advance(at.since(clock.now()));
}
