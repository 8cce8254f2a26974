//! The words of the house as pure values.
//!
//! *Invariants:* nothing here does I/O, waits, reads a clock or rolls dice: whoever calls brings the moment and the
//! jitter along. Every status is an enum with its data.
//!
//! *Not here:* serde, SQL, WebAssembly. The shapes that are published (HTTP, rows, events, WIT) are each written down
//! in the room that publishes them.

mod audit;
mod callback;
mod callback_url;
mod channel;
mod delivery;
mod event;
mod event_pattern;
mod gate;
mod held;
mod host;
mod id;
mod kv;
mod lane;
mod name;
pub(crate) mod nearest;
mod notification;
mod outcome;
mod plugin;
mod retry;
mod settle;
mod timestamp;
mod worker;

pub use audit::{Act, Actor, AuditAction, AuditEntry, AuditId, AuditOutcome, AuditTarget, ParseActionError, StoreDeed};
pub use callback::{
    CallbackBook, CallbackDeed, CallbackDisabled, CallbackEvent, CallbackFate, CallbackKind, DeadCallback, OwedCallback,
};
pub use callback_url::{CallbackUrl, CallbackUrlError};
pub use channel::{BreakerNote, ChannelBook, ChannelChange, ChannelDeed, ChannelEvent, FailedCall, Paused};
pub use delivery::{
    Attempt, AttemptEnd, Awaited, DeliveryState, DeliveryStatus, FailReason, POISON_CRASHES, ParseDeliveryStatusError,
    Rerouted, Waiting,
};
pub use event::{Event, EventBody, EventKind, PROGRESS_EVERY};
pub use event_pattern::{EVENT_TYPES, EventPattern, ParseEventPatternError};
pub use gate::{
    AdaptiveLimit, AdaptiveMark, AdaptiveSignal, Admission, BreakerBook, BreakerChange, BreakerCounts, BreakerPolicy,
    BreakerReason, BreakerState, CircuitBreaker, Gcra, Pass, Rate, RateError, RetryBudget, Verdict,
};
pub use held::HeldBy;
pub use host::{HostBook, HostChange, HostEvent, HostTag};
pub use id::{DeliveryId, NotificationId, ParseIdError};
pub use kv::{KvChange, KvEntry, KvQuota, KvUsage, KvWrite, KvWritten};
pub use lane::{Flow, Lane, Position, Queued};
pub use name::{CallbackName, ChannelName, NameError, PluginName, TemplateName};
pub(crate) use nearest::nearest;
pub use notification::{
    Action, ActionStyle, Content, Notification, NotificationStatus, ParsePriorityError, ParseStatusError, Part,
    Priority, Recipient, StatusCounts, TemplateUse,
};
pub use outcome::{Blame, Fault, Interruption, Outcome, RateScope, Receipt, Trouble};
pub use plugin::{Bar, BarKind, Permission, PluginBook, PluginChange, PluginEvent, VersionMark};
pub use retry::{Backoff, Jitter, RetryPolicy};
pub use settle::{Lifetime, Moment, settle, settle_cancelled, settle_over};
pub use timestamp::Timestamp;
pub use worker::{PoolScaled, ScaleReason, WorkerChange, WorkerEvent, WorkerNumber};
