//! Closures as callbacks: those that return when they are done, and those that give a future.

use std::collections::VecDeque;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::receipt::{BatchProgress, DeliveryError, Receipt};
use super::target::{Execution, Failure, Occasion, Target};
use super::threads::Threads;
use crate::domain::{CallbackKind, DeliveryId, DeliveryState, Notification, NotificationId};
use crate::store::{DeliveryRecord, Store, StoreError};

/// What is kept of what a closure said, in characters.
const REASON_MAX: usize = 256;

/// Notifications that are kept at hand for those who are told of their errors.
const AT_HAND: usize = 64;

/// How a call ended: `()`, or a `Result` whose error says why it is to be made again.
///
/// Sealed: implemented for `()` and for `Result<(), E>` with any `E` that can be displayed. The text of an error is kept
/// and can be listed: it should hold no address and no secret.
pub trait Ending: Send + 'static + sealed::Ending {}

/// What a closure gives: an [`Ending`], or a future of one. `Kind` is found by the compiler.
///
/// Sealed. A closure that gives an ending is run on a thread for callbacks, so that it may block; one that gives a future
/// is run with the program's other tasks and should not.
pub trait Answer<Kind>: sealed::Answer<Kind> {}

/// Of closures that return when they are done.
#[derive(Debug)]
pub enum Blocking {}

/// Of closures that give a future.
#[derive(Debug)]
pub enum Asynchronous {}

mod sealed {
    use futures_util::future::BoxFuture;

    pub trait Ending {
        fn ended(self) -> Result<(), String>;
    }

    pub trait Answer<Kind>: Sized + 'static {
        fn of(call: Box<dyn FnOnce() -> Self + Send>) -> Call;
    }

    /// One call that is still to be made.
    #[expect(missing_debug_implementations, reason = "closures and futures say nothing of themselves")]
    pub enum Call {
        Blocking(Box<dyn FnOnce() -> Result<(), String> + Send>),
        Asynchronous(BoxFuture<'static, Result<(), String>>),
    }
}

use sealed::Call;

impl sealed::Ending for () {
    fn ended(self) -> Result<(), String> {
        Ok(())
    }
}
impl Ending for () {}

impl<E: Display + Send + 'static> sealed::Ending for Result<(), E> {
    fn ended(self) -> Result<(), String> {
        self.map_err(|error| error.to_string().chars().take(REASON_MAX).collect())
    }
}
impl<E: Display + Send + 'static> Ending for Result<(), E> {}

impl<E: Ending> sealed::Answer<Blocking> for E {
    fn of(call: Box<dyn FnOnce() -> Self + Send>) -> Call {
        Call::Blocking(Box::new(move || sealed::Ending::ended(call())))
    }
}
impl<E: Ending> Answer<Blocking> for E {}

impl<F> sealed::Answer<Asynchronous> for F
where
    F: Future + Send + 'static,
    F::Output: Ending,
{
    fn of(call: Box<dyn FnOnce() -> Self + Send>) -> Call {
        // Called inside, so that a panic before the first await is one of the future's too.
        Call::Asynchronous(Box::pin(async move { sealed::Ending::ended(call().await) }))
    }
}
impl<F> Answer<Asynchronous> for F
where
    F: Future + Send + 'static,
    F::Output: Ending,
{
}

/// A closure with what it wants to be told.
#[derive(Clone)]
pub(super) enum Closure {
    Completion(Arc<dyn Fn(Receipt) -> Call + Send + Sync>),
    Error(Arc<dyn Fn(Arc<Notification>, DeliveryError) -> Call + Send + Sync>),
    Progress(Arc<dyn Fn(BatchProgress) -> Call + Send + Sync>),
}

impl Closure {
    pub(super) fn completion<K, A: Answer<K>>(closure: impl Fn(Receipt) -> A + Send + Sync + 'static) -> Self {
        let closure = Arc::new(closure);
        Self::Completion(Arc::new(move |receipt| {
            let closure = Arc::clone(&closure);
            A::of(Box::new(move || closure(receipt)))
        }))
    }

    pub(super) fn error<K, A: Answer<K>>(
        closure: impl Fn(Arc<Notification>, DeliveryError) -> A + Send + Sync + 'static,
    ) -> Self {
        let closure = Arc::new(closure);
        Self::Error(Arc::new(move |notification, error| {
            let closure = Arc::clone(&closure);
            A::of(Box::new(move || closure(notification, error)))
        }))
    }

    pub(super) fn progress<K, A: Answer<K>>(closure: impl Fn(BatchProgress) -> A + Send + Sync + 'static) -> Self {
        let closure = Arc::new(closure);
        Self::Progress(Arc::new(move |progress| {
            let closure = Arc::clone(&closure);
            A::of(Box::new(move || closure(progress)))
        }))
    }

    pub(super) const fn kind(&self) -> CallbackKind {
        match self {
            Self::Completion(_) => CallbackKind::Completion,
            Self::Error(_) => CallbackKind::Error,
            Self::Progress(_) => CallbackKind::Progress,
        }
    }
}

/// What closures of one runtime share.
pub(super) struct Surroundings {
    store: Arc<dyn Store>,
    threads: Threads,
    /// The newest last.
    at_hand: Mutex<VecDeque<Arc<Notification>>>,
}

impl Surroundings {
    pub(super) fn new(store: Arc<dyn Store>, threads: Threads) -> Self {
        Self { store, threads, at_hand: Mutex::default() }
    }

    async fn delivery(&self, id: DeliveryId) -> Result<DeliveryRecord, Failure> {
        let found = self.store.deliveries(id.notification(), id.index(), 1).await.map_err(|error| unread(&error))?;
        found.into_iter().next().filter(|record| record.id == id).ok_or_else(gone)
    }

    async fn notification(&self, id: NotificationId) -> Result<Arc<Notification>, Failure> {
        let near = self.lock().iter().find(|notification| notification.id == id).cloned();
        if let Some(notification) = near {
            return Ok(notification);
        }
        let found = self.store.notification(id).await.map_err(|error| unread(&error))?.ok_or_else(gone)?;
        let mut at_hand = self.lock();
        if at_hand.len() == AT_HAND {
            at_hand.pop_front();
        }
        at_hand.push_back(Arc::clone(&found.notification));
        Ok(found.notification)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Notification>>> {
        self.at_hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unread(error: &StoreError) -> Failure {
    Failure::Retry { reason: format!("what happened could not be read: {error}"), after: None }
}

fn gone() -> Failure {
    Failure::GiveUp { reason: "its notification is no longer kept".to_owned() }
}

/// It was replayed since: what it says now is told by another event.
fn superseded() -> Failure {
    Failure::GiveUp { reason: "the delivery has another state by now".to_owned() }
}

/// A closure that can be called.
pub(super) struct ClosureTarget {
    pub(super) closure: Closure,
    pub(super) with: Arc<Surroundings>,
    /// Calls whose time was up and that have not returned. Below nothing for a moment where one returns just then.
    overdue: Arc<AtomicIsize>,
}

impl ClosureTarget {
    pub(super) fn new(closure: Closure, with: Arc<Surroundings>) -> Self {
        Self { closure, with, overdue: Arc::default() }
    }

    async fn prepared(&self, execution: &Execution) -> Result<Call, Failure> {
        let delivery = || execution.event.event.body.delivery().ok_or_else(gone);
        match &self.closure {
            Closure::Completion(closure) => Ok(closure(receipt_of(self.with.delivery(delivery()?).await?)?)),
            Closure::Error(closure) => {
                let error = error_of(self.with.delivery(delivery()?).await?)?;
                Ok(closure(self.with.notification(error.delivery.notification()).await?, error))
            }
            Closure::Progress(closure) => {
                let notification = execution.event.event.body.notification().ok_or_else(gone)?;
                let Occasion::Progress { completed, total } = execution.occasion else { return Err(gone()) };
                Ok(closure(BatchProgress { notification, completed, total }))
            }
        }
    }

    async fn blocking(&self, call: Box<dyn FnOnce() -> Result<(), String> + Send>) -> Result<(), Failure> {
        // One closure that is stuck must not take all threads: it gets no further one until it returns.
        if self.overdue.load(Ordering::Acquire) > 0 {
            return Err(retry("an earlier call has outlived its timeout and has not returned"));
        }
        let (told, ended) = oneshot::channel();
        let flight = Arc::new(Flight { is_over: AtomicBool::new(false), overdue: Arc::clone(&self.overdue) });
        let watched = Watched(Arc::clone(&flight));
        let work = move || {
            let result = catch_unwind(AssertUnwindSafe(call));
            flight.returned();
            // Nobody listens any more where its time was up.
            let _ = told.send(result);
        };
        if self.with.threads.run(Box::new(work)).is_err() {
            watched.0.is_over.store(true, Ordering::Release);
            return Err(retry("every thread for callbacks is held by calls that have not returned"));
        }
        match ended.await {
            Ok(Ok(result)) => result.map_err(|reason| Failure::Retry { reason, after: None }),
            // Goes on here, where it is caught with the panics of all targets.
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(retry("its thread ended without a word")),
        }
    }
}

fn retry(reason: &str) -> Failure {
    Failure::Retry { reason: reason.to_owned(), after: None }
}

#[async_trait]
impl Target for ClosureTarget {
    async fn call(&self, execution: &Execution) -> Result<(), Failure> {
        match self.prepared(execution).await? {
            Call::Blocking(call) => self.blocking(call).await,
            Call::Asynchronous(call) => call.await.map_err(|reason| Failure::Retry { reason, after: None }),
        }
    }
}

/// A call on a thread: who is first, the call that returns or the one that waits for it and gives up?
struct Flight {
    is_over: AtomicBool,
    overdue: Arc<AtomicIsize>,
}

impl Flight {
    fn returned(&self) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            self.overdue.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Who waits for the call.
struct Watched(Arc<Flight>);

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.0.is_over.swap(true, Ordering::AcqRel) {
            self.0.overdue.fetch_add(1, Ordering::AcqRel);
        }
    }
}

fn receipt_of(record: DeliveryRecord) -> Result<Receipt, Failure> {
    let DeliveryRecord { id, channel, recipient, state, .. } = record;
    let DeliveryState::Sent { attempts, receipt, unconfirmed, .. } = state else { return Err(superseded()) };
    Ok(Receipt {
        notification: id.notification(),
        delivery: id,
        channel,
        recipient: recipient.into(),
        attempts,
        provider_id: receipt.provider_id,
        unconfirmed,
    })
}

fn error_of(record: DeliveryRecord) -> Result<DeliveryError, Failure> {
    let DeliveryRecord { id, channel, recipient, state, .. } = record;
    let DeliveryState::Failed { attempts, reason, .. } = state else { return Err(superseded()) };
    Ok(DeliveryError { delivery: id, channel, recipient: recipient.into(), attempts, reason })
}
