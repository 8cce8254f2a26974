//! Parts of a call by themselves, for the bench `sandbox` alone.

use std::num::NonZeroU32;

use wasmtime::Store;
use wasmtime::component::Instance;

use crate::call::{Call, Report};
use crate::domain::AttemptEnd;

use super::super::bindings::exports::campanile::plugin::channel::GuestIndices;
use super::super::channel::{self, PreparedChannel};
use super::super::convert::Letter;
use super::super::invoke::{Allowance, Export, Invoked};
use super::super::state::{CallState, Subject};
use super::{Exports, Plugin};

/// Makes an instance and asks nothing of it.
struct Nothing;

impl Export for Nothing {
    type Answer = ();

    async fn call(self, _: &mut Store<CallState>, _: &Instance) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// `send`, again and again in one instance. Never done for a delivery: it is the floor that fresh instances are
/// compared with.
struct Again<'a> {
    indices: &'a GuestIndices,
    channel: &'a PreparedChannel,
    call: &'a Call,
    times: NonZeroU32,
}

impl Export for Again<'_> {
    type Answer = AttemptEnd;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<AttemptEnd> {
        let Self { indices, channel, call, times } = self;
        let send = || channel::Send { channel, indices, supports: None, polled: false, letter: Letter::new(call) };
        for _ in 1..times.get() {
            send().call(store, instance).await?;
        }
        send().call(store, instance).await.map(AttemptEnd::Outcome)
    }
}

/// `send` between two pauses, so that as many instances are alive as there are tasks.
struct Among<'a>(channel::Send<'a>);

impl Export for Among<'_> {
    type Answer = AttemptEnd;

    async fn call(self, store: &mut Store<CallState>, instance: &Instance) -> wasmtime::Result<AttemptEnd> {
        tokio::task::yield_now().await;
        let outcome = self.0.call(store, instance).await?;
        tokio::task::yield_now().await;
        Ok(AttemptEnd::Outcome(outcome))
    }
}

impl Plugin {
    /// From store made to store dropped with nothing asked of the instance between.
    pub(crate) async fn instantiate_only(&self, channel: &PreparedChannel) -> std::time::Duration {
        let allowance = Allowance { grants: Some(&channel.grants), ..Allowance::ungranted(&channel.limits) };
        self.sandbox.invoke(&self.pre, Subject::default(), allowance, Nothing).await.duration
    }

    /// So many attempts in one instance. Its limits must be enough for all of them.
    pub(crate) async fn send_again(&self, channel: &PreparedChannel, call: &Call, times: NonZeroU32) -> Report {
        match &self.exports {
            Exports::Channel(exports) => {
                self.measure(channel, Again { indices: &exports.channel, channel, call, times }).await
            }
            Exports::TemplateEngine(_) => self.report(Invoked::never(self.not_a("channel"))),
        }
    }

    /// One attempt that lets other tasks run while its instance is alive.
    pub(crate) async fn send_among(&self, channel: &PreparedChannel, call: &Call) -> Report {
        match &self.exports {
            Exports::Channel(exports) => {
                let indices = &exports.channel;
                let send = channel::Send { channel, indices, supports: None, polled: false, letter: Letter::new(call) };
                self.measure(channel, Among(send)).await
            }
            Exports::TemplateEngine(_) => self.report(Invoked::never(self.not_a("channel"))),
        }
    }

    async fn measure(&self, channel: &PreparedChannel, export: impl Export<Answer = AttemptEnd>) -> Report {
        let allowance = Allowance { grants: Some(&channel.grants), ..Allowance::ungranted(&channel.limits) };
        self.report(self.sandbox.invoke(&self.pre, Subject::default(), allowance, export).await)
    }
}
