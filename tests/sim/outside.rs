//! The neighbours of the engine that are played: providers, channels, and whoever listens to commits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use campanile::call::{
    AddressNeed, Call, Caller, ChannelDirectory, ChannelFacts, ChannelUnavailable, Question, Report,
};
use campanile::domain::{
    AttemptEnd, Blame, ChannelName, DeliveryId, Fault, Interruption, Outcome, RateScope, Receipt, TemplateName,
    TemplateUse, Trouble,
};
use campanile::intake::{PinError, TemplatePins};
use campanile::queue::QueueHandle;
use campanile::store::{CommitListener, Committed};
use tokio::sync::oneshot;

use crate::chance::Chance;
use crate::ledger::Ledger;

/// The channels that there are.
pub(crate) const CHANNELS: [&str; 2] = ["mail", "chat"];

/// A ledger in the hands of everybody.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books(Arc<Mutex<Ledger>>);

impl Books {
    pub(crate) fn open(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Calls wait here until the simulation answers them.
#[derive(Debug)]
pub(crate) struct Provider {
    books: Books,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last: u64,
    calls: BTreeMap<u64, (DeliveryId, oneshot::Sender<AttemptEnd>)>,
}

impl Provider {
    pub(crate) fn new(books: Books) -> Self {
        Self { books, waiting: Mutex::default() }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().calls.len()
    }

    /// Answers one of the calls that wait, if there is one.
    pub(crate) fn answer(&self, chance: &mut Chance, end: AttemptEnd) {
        let mut waiting = self.lock();
        let numbers: Vec<u64> = waiting.calls.keys().copied().collect();
        let chosen = chance.pick(&numbers).and_then(|number| waiting.calls.remove(&number));
        drop(waiting);
        if let Some((delivery, reply)) = chosen {
            self.books.open().call_ends(delivery, &end);
            // Nobody listens to a call that was interrupted.
            let _ = reply.send(end);
        }
    }

    /// Waits for the simulation's answer.
    async fn answered(&self, delivery: DeliveryId) -> Report {
        let (reply, answer) = oneshot::channel();
        {
            let mut waiting = self.lock();
            waiting.last += 1;
            let number = waiting.last;
            waiting.calls.insert(number, (delivery, reply));
        }
        let end = match answer.await {
            Ok(end) => end,
            Err(_) => std::future::pending().await,
        };
        Report { end, duration: Duration::from_millis(7), plugin: None, fuel: 7, memory_bytes: 8 }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Caller for Provider {
    async fn call(&self, call: Call) -> Report {
        self.books.open().call_begins(&call);
        self.answered(call.delivery).await
    }

    async fn ask(&self, question: Question) -> Report {
        self.books.open().question_begins(&question);
        self.answered(question.delivery).await
    }
}

pub(crate) fn sent() -> AttemptEnd {
    AttemptEnd::Outcome(Outcome::Sent(Receipt { provider_id: Some("p".to_owned()), ..Receipt::default() }))
}

/// What a provider may say.
pub(crate) fn any_end(chance: &mut Chance) -> AttemptEnd {
    let after = chance.percent(40).then(|| Duration::from_millis(chance.between(1, 600_000)));
    let (code, reason) = (Some("503".to_owned()), "it says so".to_owned());
    match chance.below(100) {
        0..36 => sent(),
        36..50 => {
            let receipt = Receipt { provider_id: chance.percent(50).then(|| "q".to_owned()), ..Receipt::default() };
            AttemptEnd::Outcome(Outcome::Accepted { receipt, check_after: after, polled: chance.percent(80) })
        }
        50..68 => AttemptEnd::Outcome(Outcome::Retry { after, trouble: Trouble::Server, code, reason }),
        68..76 => AttemptEnd::Outcome(Outcome::RateLimited { after, scope: RateScope::Channel, code, reason }),
        76..82 => AttemptEnd::Outcome(Outcome::Rejected { blame: Blame::Message, code, reason }),
        82..86 => AttemptEnd::Outcome(Outcome::RecipientGone { new_address: None, code, reason }),
        86..93 => AttemptEnd::Fault { fault: chance.pick(&Fault::ALL).unwrap_or(Fault::Trap), message: reason },
        93..97 => AttemptEnd::HostDeadline { message: "it took too long".into() },
        _ => AttemptEnd::Interrupted { interruption: Interruption::HostBug, message: reason },
    }
}

/// Every channel needs an address of the one kind that there is.
#[derive(Debug)]
pub(crate) struct Directory(Arc<ChannelFacts>);

impl Directory {
    pub(crate) fn new() -> Self {
        let address = Some(AddressNeed { kind: "email".to_owned(), pattern: None });
        let plugin = "played".parse().expect("it is a name");
        Self(Arc::new(ChannelFacts { plugin, address, priority: None, has_fallback: false }))
    }
}

#[async_trait]
impl ChannelDirectory for Directory {
    fn channel(&self, _name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        Ok(Arc::clone(&self.0))
    }
}

/// There are no templates.
#[derive(Debug)]
pub(crate) struct NoTemplates;

#[async_trait]
impl TemplatePins for NoTemplates {
    async fn pin(&self, name: &TemplateName, _data: Option<&str>) -> Result<TemplateUse, PinError> {
        Err(PinError::Unknown { name: name.clone(), nearest: None })
    }
}

/// Writes down what is durable, then feeds the queue.
pub(crate) struct Listener {
    pub(crate) books: Books,
    pub(crate) queue: QueueHandle,
    /// While a store is opened its events are read from the outbox: some may have been written before it crashed.
    pub(crate) is_opening: Arc<Mutex<bool>>,
}

impl CommitListener for Listener {
    fn committed(&self, committed: Committed) {
        if !*self.is_opening.lock().unwrap_or_else(PoisonError::into_inner) {
            let mut books = self.books.open();
            committed.events.iter().for_each(|event| books.learn(event));
        }
        self.queue.offer_all(&committed.accepted);
    }
}
