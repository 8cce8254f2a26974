//! What the queue of an endpoint works with, and what it is asked and says.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tokio::sync::oneshot;

use super::WebhookError;
use super::hosts::Host;
use crate::callback::Target;
use crate::callback::latency::RecentLatencies;
use crate::clock::{Clock, Entropy};
use crate::domain::{AuditEntry, CallbackDisabled, EventPattern, NotificationId, OwedCallback, RetryPolicy, Timestamp};
use crate::store::{EventNumber, NumberedEvent, Store, StoreError};
use crate::telemetry::Metrics;

/// The stream of events, as one reader has it.
#[async_trait]
pub(crate) trait Feed: Send + 'static {
    /// Waits for what is next, in order, and picks what is `wanted`. `None`: there will be no more. Dropping the future
    /// loses nothing.
    async fn next(&mut self, wanted: &[EventPattern]) -> Option<Fed>;
}

/// What a reader of the stream gets.
#[derive(Debug)]
pub(crate) enum Fed {
    /// All that are wanted, up to an event.
    Events { wanted: Vec<Arc<NumberedEvent>>, last: EventNumber },
    /// What it was to have next is not kept any more. It goes on with what is.
    Gap,
}

/// Where each notification has what happens to it told, where that is not one place for all.
#[async_trait]
pub(crate) trait Receivers: Send + Sync + 'static {
    /// The host of each of them that is to be told of.
    async fn hosts(&self, of: Vec<NotificationId>) -> Result<HashMap<NotificationId, Host>, StoreError>;
}

/// What an endpoint is called by. Another configuration has others.
pub(crate) struct Means {
    pub(crate) target: Arc<dyn Target>,
    /// Where to, by notification; none: it is one place for all.
    pub(crate) receivers: Option<Arc<dyn Receivers>>,
    /// What it wants to hear of.
    pub(crate) wanted: Vec<EventPattern>,
    pub(crate) policy: Arc<RetryPolicy>,
    /// Calls in flight at once.
    pub(crate) concurrency: usize,
}

/// What a queue works with.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<Entropy>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tally: Arc<Tally>,
}

/// What came of the calls of all webhooks, since the start.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) succeeded: AtomicU64,
    /// Those that were made again among them.
    pub(crate) failed: AtomicU64,
    pub(crate) retried: AtomicU64,
    /// Events that were given up.
    pub(crate) dead: AtomicU64,
    /// How long calls took.
    pub(crate) latencies: Mutex<RecentLatencies>,
}

/// How a webhook stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    /// Every event up to this number is done with: told, owed, or given up.
    pub(crate) cursor: EventNumber,
    /// Events that it is still to hear of, behind the cursor.
    pub(crate) owed: usize,
    /// Calls under way.
    pub(crate) in_flight: usize,
    /// Why it is called no longer.
    pub(crate) disabled: Option<CallbackDisabled>,
    /// It asked not to be called before.
    pub(crate) held_until: Option<Timestamp>,
    /// When the next call is to be made, if nothing else happens.
    pub(crate) next_call: Option<Timestamp>,
    /// Calls fail; none where the last one was heard.
    pub(crate) trouble: Option<Trouble>,
}

/// Since when calls fail, and why the last one did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) since: Timestamp,
    pub(crate) reason: String,
}

/// What a queue is asked to do.
pub(crate) enum Order {
    /// Goes on with other means; what is in flight ends by those it began with.
    Use(Box<Means>),
    /// Calls again, from the cursor on, after its receiver wanted to hear no more; and calls now with what was to wait.
    Enable(Vec<AuditEntry>, oneshot::Sender<Result<bool, StoreError>>),
    /// Puts events in once more.
    Owe(Again, oneshot::Sender<Result<u64, WebhookError>>),
}

/// Events that are to be told again.
pub(crate) struct Again {
    /// Which.
    pub(crate) rows: Vec<OwedCallback>,
    /// Calls that were given up and are not any more, by id.
    pub(crate) revived: Vec<u64>,
    pub(crate) audit: Vec<AuditEntry>,
}
