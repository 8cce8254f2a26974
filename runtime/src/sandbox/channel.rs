//! Calls of a channel plugin's exports.

use std::sync::Arc;

use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::config::CallLimits;
use crate::domain::{Blame, ChannelName, Outcome, Receipt, Timestamp};

use super::bindings::exports::campanile::plugin::{channel, configure, health, poll, supports};
use super::convert::{self, Letter};
use super::grants::Grants;
use super::invoke::Export;
use super::plugin::{CHANNEL, Mismatch};
use super::state::CallState;

/// A configured instance of a channel plugin, ready to be called.
#[derive(Clone, Debug)]
pub struct PreparedChannel {
    /// Its configured name.
    pub name: ChannelName,
    /// A JSON object that holds to the plugin's schema, defaults filled in. May hold secrets.
    pub config_json: String,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What one call may use.
    pub limits: CallLimits,
}

/// A problem in a channel's configuration that its schema cannot express.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{at}`: {message}")]
pub struct ConfigProblem {
    /// A JSON Pointer into the configuration.
    pub at: String,
    /// What is wrong.
    pub message: String,
}

/// What a plugin says of its provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Ok(String),
    /// It works badly.
    Degraded(String),
    /// It does not work.
    Down(String),
}

/// Where a channel's exports are. Found by name when the plugin is prepared.
pub(super) struct ChannelExports {
    pub(super) channel: channel::GuestIndices,
    pub(super) configure: Option<configure::GuestIndices>,
    pub(super) supports: Option<supports::GuestIndices>,
    pub(super) health: Option<health::GuestIndices>,
    pub(super) poll: Option<poll::GuestIndices>,
}

// Of whatever patch: the engine finds `0.1.0` where `0.1.1` is asked for, and the other way round.
const CONFIGURE: &str = "campanile:plugin/configure@0.1.1";
const SUPPORTS: &str = "campanile:plugin/supports@0.1.1";
const HEALTH: &str = "campanile:plugin/health@0.1.1";
const POLL: &str = "campanile:plugin/poll@0.1.1";

impl ChannelExports {
    pub(super) fn find(pre: &InstancePre<CallState>) -> Result<Self, Mismatch> {
        Ok(Self {
            channel: channel::GuestIndices::new(pre).map_err(|error| Mismatch::new(CHANNEL, &error))?,
            configure: optional(pre, CONFIGURE, configure::GuestIndices::new)?,
            supports: optional(pre, SUPPORTS, supports::GuestIndices::new)?,
            health: optional(pre, HEALTH, health::GuestIndices::new)?,
            poll: optional(pre, POLL, poll::GuestIndices::new)?,
        })
    }
}

/// An export that need not be there. If it is, it has to be the contract's.
fn optional<T>(
    pre: &InstancePre<CallState>,
    interface: &'static str,
    find: impl FnOnce(&InstancePre<CallState>) -> wasmtime::Result<T>,
) -> Result<Option<T>, Mismatch> {
    if pre.component().get_export_index(None, interface).is_none() {
        return Ok(None);
    }
    find(pre).map(Some).map_err(|error| Mismatch::new(interface, &error))
}

/// `describe`, after a look at the types of all exports.
pub(super) struct Describe<'a>(pub(super) &'a ChannelExports);

impl Export for Describe<'_> {
    type Answer = Result<channel::Descriptor, Mismatch>;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        match self.check(store, instance) {
            Ok(channel) => channel.call_describe(store).await.map(Ok),
            Err(mismatch) => Ok(Err(mismatch)),
        }
    }
}

impl Describe<'_> {
    fn check(&self, store: &mut Store<CallState>, instance: &Instance) -> Result<channel::Guest, Mismatch> {
        let exports = self.0;
        if let Some(configure) = &exports.configure {
            configure.load(&mut *store, instance).map_err(|error| Mismatch::new(CONFIGURE, &error))?;
        }
        if let Some(supports) = &exports.supports {
            supports.load(&mut *store, instance).map_err(|error| Mismatch::new(SUPPORTS, &error))?;
        }
        if let Some(health) = &exports.health {
            health.load(&mut *store, instance).map_err(|error| Mismatch::new(HEALTH, &error))?;
        }
        if let Some(poll) = &exports.poll {
            poll.load(&mut *store, instance).map_err(|error| Mismatch::new(POLL, &error))?;
        }
        exports.channel.load(store, instance).map_err(|error| Mismatch::new(CHANNEL, &error))
    }
}

/// `configure`.
pub(super) struct Configure<'a> {
    pub(super) indices: &'a configure::GuestIndices,
    pub(super) config_json: &'a str,
}

impl Export for Configure<'_> {
    type Answer = Vec<ConfigProblem>;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let problems = self.indices.load(&mut *store, instance)?.call_configure(store, self.config_json).await?;
        Ok(problems.iter().map(convert::config_problem).collect())
    }
}

/// `health`.
pub(super) struct Probe<'a> {
    pub(super) indices: &'a health::GuestIndices,
    pub(super) channel: &'a PreparedChannel,
    pub(super) now: Timestamp,
}

impl Export for Probe<'_> {
    type Answer = Health;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let left = time_left(store);
        let context = convert::context(self.channel, self.now, left);
        let state = self.indices.load(&mut *store, instance)?.call_health(store, context).await?;
        Ok(convert::health(state))
    }
}

/// `supports`, where it is to be asked, then `send` in the same instance.
pub(super) struct Send<'a> {
    pub(super) channel: &'a PreparedChannel,
    pub(super) indices: &'a channel::GuestIndices,
    /// Set where the descriptor says `checks-recipient`.
    pub(super) supports: Option<&'a supports::GuestIndices>,
    /// Whether what it says was accepted can be asked about.
    pub(super) polled: bool,
    pub(super) letter: Letter<'a>,
}

impl Export for Send<'_> {
    type Answer = Outcome;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let now = self.letter.now();
        if let Some(supports) = self.supports {
            let context = convert::context(self.channel, now, time_left(store));
            let guest = supports.load(&mut *store, instance)?;
            if let Err(reason) = guest.call_supports(&mut *store, context, self.letter.recipient()).await? {
                return Ok(Outcome::Rejected {
                    blame: Blame::Message,
                    code: Some("unsupported-recipient".to_owned()),
                    reason: convert::bounded(&reason, convert::REASON_MAX),
                });
            }
        }
        let context = convert::context(self.channel, now, time_left(store));
        let guest = self.indices.load(&mut *store, instance)?;
        let outcome = guest.call_send(store, context, self.letter.delivery()).await?;
        Ok(convert::outcome(outcome, self.polled))
    }
}

/// `poll`.
pub(super) struct Ask<'a> {
    pub(super) indices: &'a poll::GuestIndices,
    pub(super) channel: &'a PreparedChannel,
    pub(super) receipt: &'a Receipt,
    pub(super) now: Timestamp,
}

impl Export for Ask<'_> {
    type Answer = Outcome;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<Self::Answer> {
        let context = convert::context(self.channel, self.now, time_left(store));
        let facts = convert::pairs(&self.receipt.facts);
        let receipt = convert::receipt_of(self.receipt, &facts);
        let outcome = self.indices.load(&mut *store, instance)?.call_poll(store, context, receipt).await?;
        Ok(convert::outcome(outcome, true))
    }
}

/// Milliseconds left for the call, never zero.
fn time_left(store: &Store<CallState>) -> u32 {
    let left = store.data().http.deadline.saturating_duration_since(Instant::now());
    u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1)
}
