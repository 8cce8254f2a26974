//! What an embedder asks for when it registers a callback.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::closure::{Answer, Closure};
use super::receipt::{BatchProgress, DeliveryError, Receipt};
use super::settings::{CallbackSettingsError, OnFailure};
use crate::domain::{CallbackKind, CallbackName, Event, Notification, NotificationId, RetryPolicy};
use crate::store::StoreError;

/// Identifies a registered callback within its runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallbackId(pub(super) u64);

impl fmt::Display for CallbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether a callback is to be called for an event.
pub type Condition = Arc<dyn Fn(&Event) -> bool + Send + Sync>;

/// What can be said of each callback, and changed while it is registered.
#[derive(Clone, Default)]
pub struct CallbackOptions {
    /// How long one call may take. Default: as in [`CallbackSettings`](super::CallbackSettings).
    pub timeout: Option<Duration>,
    /// Of the callbacks of one event, those of a higher priority are called first; equal ones in the order in which they
    /// were registered. Default: 0.
    pub priority: i32,
    /// When a call that failed is made again. Default: as in [`CallbackSettings`](super::CallbackSettings).
    pub retry: Option<RetryPolicy>,
    /// The embedder's own words on it, listed with it. At most [`METADATA_MAX`](Self::METADATA_MAX).
    pub metadata: BTreeMap<String, String>,
    /// It is called only for events for which this is true; asked once for each event, before the first call. Must be
    /// quick. Default: for all.
    pub condition: Option<Condition>,
    /// What happens with the callbacks behind it, where it failed for good. Default: they are called.
    pub on_failure: OnFailure,
}

impl CallbackOptions {
    /// The most words on one callback.
    pub const METADATA_MAX: usize = 64;

    pub(super) fn check(&self) -> Result<(), CallbackError> {
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return Err(CallbackSettingsError::NoTime.into());
        }
        let count = self.metadata.len();
        if count > Self::METADATA_MAX { Err(CallbackError::TooMuchMetadata { count }) } else { Ok(()) }
    }
}

impl fmt::Debug for CallbackOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { timeout, priority, retry, metadata, condition, on_failure } = self;
        f.debug_struct("CallbackOptions")
            .field("timeout", timeout)
            .field("priority", priority)
            .field("retry", retry)
            .field("metadata", metadata)
            .field("condition", &condition.is_some())
            .field("on_failure", on_failure)
            .finish()
    }
}

/// A callback to be: a closure, what it is told, and its options.
///
/// ```
/// use std::time::Duration;
/// use campanile::callback::{OnFailure, Registration};
/// use campanile::domain::{CallbackName, EventBody};
///
/// let books = Registration::completion(|receipt| async move {
///     println!("{} was told through {}", receipt.recipient, receipt.channel);
///     Ok::<(), std::io::Error>(())
/// });
/// let books = books
///     .named(CallbackName::new("billing.sent")?)
///     .priority(10)
///     .timeout(Duration::from_secs(2))
///     .condition(|event| matches!(event.body, EventBody::DeliverySent { unconfirmed: false, .. }))
///     .on_failure(OnFailure::Stop)
///     .metadata("team", "billing");
/// # let _ = books;
/// # Ok::<(), campanile::domain::NameError>(())
/// ```
#[must_use = "nothing is called before it is registered"]
pub struct Registration {
    pub(super) closure: Closure,
    pub(super) name: Option<CallbackName>,
    pub(super) options: CallbackOptions,
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, options, closure: _ } = self;
        f.debug_struct("Registration").field("name", name).field("options", options).finish_non_exhaustive()
    }
}

impl Registration {
    fn new(closure: Closure) -> Self {
        Self { closure, name: None, options: CallbackOptions::default() }
    }

    /// Called once for each delivery that was sent.
    pub fn completion<K, A: Answer<K>>(closure: impl Fn(Receipt) -> A + Send + Sync + 'static) -> Self {
        Self::new(Closure::completion(closure))
    }

    /// Called once for each delivery that failed for good. One that is replayed and fails again is told again.
    pub fn error<K, A: Answer<K>>(
        closure: impl Fn(Arc<Notification>, DeliveryError) -> A + Send + Sync + 'static,
    ) -> Self {
        Self::new(Closure::error(closure))
    }

    /// Called as the deliveries of a notification with several of them become final: at the first one, then at most once
    /// a second, and at the last one.
    pub fn progress<K, A: Answer<K>>(closure: impl Fn(BatchProgress) -> A + Send + Sync + 'static) -> Self {
        Self::new(Closure::progress(closure))
    }

    /// Gives it a durable name: it is called from the first event on, also for those that happen while it is not
    /// registered. Registered again under the name it goes on where it was, at most a second of events is told twice. It
    /// is called apart from the chain of those without a name.
    pub fn named(mut self, name: CallbackName) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets all options in one.
    pub fn options(mut self, options: CallbackOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets how long one call may take.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets its place among the callbacks of one event: the highest is called first.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Sets when a call that failed is made again.
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.options.retry = Some(retry);
        self
    }

    /// Adds a word on it.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.metadata.insert(key.into(), value.into());
        self
    }

    /// Calls it only for events for which this is true.
    pub fn condition(mut self, condition: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.options.condition = Some(Arc::new(condition));
        self
    }

    /// Sets what happens with the callbacks behind it, where it failed for good.
    pub fn on_failure(mut self, on_failure: OnFailure) -> Self {
        self.options.on_failure = on_failure;
        self
    }
}

/// Why callbacks were not changed. Nothing changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallbackError {
    /// Each is kept in memory.
    #[error("{limit} callbacks are registered, the most there can be: remove some that are needed no longer")]
    TooMany {
        /// How many there can be.
        limit: usize,
    },
    /// Two would go on from one place.
    #[error("a callback `{name}` is registered already: remove it first, or take another name")]
    NameTaken {
        /// The name of both.
        name: CallbackName,
    },
    /// The configuration has a webhook of this name, and two would go on from one place.
    #[error(
        "`[[callbacks.webhook]]` has one with `name = \"{name}\"`: take another name for the callback, or for the webhook"
    )]
    NameOfWebhook {
        /// The name of both.
        name: CallbackName,
    },
    /// The name under which every `callback_url` is called.
    #[error("`{name}` is the name under which the `callback_url` of each notification is called: take another name")]
    NameReserved {
        /// The name.
        name: CallbackName,
    },
    /// What belongs to one notification ends with the process.
    #[error(
        "a callback of one notification cannot have the durable name `{name}`: register it for all, with a condition"
    )]
    NameOfOne {
        /// The name.
        name: CallbackName,
    },
    /// Never registered, removed, or its notification has completed.
    #[error("there is no callback {id}: it was removed, or its notification has completed")]
    Unknown {
        /// Which.
        id: CallbackId,
    },
    /// Too many words on one callback.
    #[error("a callback has {count} words of metadata, the limit is {}", CallbackOptions::METADATA_MAX)]
    TooMuchMetadata {
        /// How many.
        count: usize,
    },
    /// There is nothing to be told of it.
    #[error("notification {notification} is no longer kept")]
    Gone {
        /// Which.
        notification: NotificationId,
    },
    /// A value is out of range.
    #[error(transparent)]
    Settings(#[from] CallbackSettingsError),
    /// The runtime stops.
    #[error("callbacks are stopped: the runtime has shut down")]
    Stopped,
    /// What is remembered cannot be read or written.
    #[error("what is remembered of callbacks cannot be read or written")]
    Store(#[from] StoreError),
}

/// A registered callback, as it is listed.
#[derive(Clone, Debug)]
pub struct CallbackInfo {
    /// Which.
    pub id: CallbackId,
    /// Its name. One that was given none has one that no other callback has, in this process or a later one.
    pub name: CallbackName,
    /// Whether it goes on from its place after a restart, and how many events of the outbox it is behind.
    pub lag: Option<u64>,
    /// What it waits for.
    pub kind: CallbackKind,
    /// The one notification that it is about, if it is about one.
    pub notification: Option<NotificationId>,
    /// Its options.
    pub options: CallbackOptions,
}
