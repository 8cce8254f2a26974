//! One call of one export, from permit to dropped store. Every call of every plugin goes through here.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::{Instant, timeout, timeout_at};
use wasmtime::Store;
use wasmtime::component::{Instance, InstancePre};

use crate::capability::log::clean;
use crate::config::{CallLimits, format_duration};
use crate::domain::Interruption;

use super::Sandbox;
use super::convert::bounded;
use super::ends::CallEnd;
use super::grants::Grants;
use super::limits::{FUEL_SLICE, HANDLES_MAX, HOSTCALL_BYTES_MAX};
use super::slices::Sliced;
use super::state::{CallState, Subject};
use super::turns::Lane;

/// An export with its arguments.
pub(super) trait Export: Send {
    /// What it answers.
    type Answer: Send;

    /// Calls it. An error is how the call ended.
    fn call(
        self,
        store: &mut Store<CallState>,
        instance: &Instance,
    ) -> impl Future<Output = wasmtime::Result<Self::Answer>> + Send;
}

/// What a call is given to work with.
pub(super) struct Allowance<'a> {
    pub(super) limits: &'a CallLimits,
    /// None: everything is denied.
    pub(super) grants: Option<&'a Arc<Grants>>,
    /// Set when the plugin is not to be called any more: a call that is burning CPU ends then.
    pub(super) stopped: Option<&'a AtomicBool>,
}

impl<'a> Allowance<'a> {
    /// So much, and nothing that has to be granted.
    pub(super) const fn ungranted(limits: &'a CallLimits) -> Self {
        Self { limits, grants: None, stopped: None }
    }
}

/// How a call ended and what it cost.
pub(super) struct Invoked<A> {
    pub(super) answer: Result<A, CallEnd>,
    pub(super) duration: Duration,
    pub(super) fuel: u64,
    pub(super) memory_bytes: u64,
    /// What the host refused a ready-made client that could not hand the reason on.
    pub(super) refused: Option<String>,
}

impl<A> Invoked<A> {
    pub(super) fn never(end: CallEnd) -> Self {
        Self { answer: Err(end), duration: Duration::ZERO, fuel: 0, memory_bytes: 0, refused: None }
    }
}

impl Sandbox {
    /// Calls `export` in a fresh instance of `plugin`.
    pub(super) async fn invoke<E: Export>(
        &self,
        plugin: &InstancePre<CallState>,
        subject: Subject,
        allowance: Allowance<'_>,
        export: E,
    ) -> Invoked<E::Answer> {
        let limits = allowance.limits;
        let Ok(Ok(permit)) = timeout(limits.timeout, self.permits.acquire()).await else {
            let (timeout, busy) = (format_duration(limits.timeout), self.in_flight);
            let message =
                format!("no sandbox was free within {timeout}, all {busy} are busy; `[workers] max` sets how many");
            return Invoked::never(CallEnd::interrupted(Interruption::PoolFull, &message));
        };
        let started = Instant::now();
        let deadline = started + limits.timeout;
        let lane = lane_of(&subject);
        let state =
            CallState::new(subject, limits, self.memory_max, allowance.grants.cloned(), &self.metrics, deadline);
        let fuel = self.fuel(limits);
        let mut store = match self.store(state, fuel) {
            Ok(store) => store,
            Err(error) => return Invoked::never(CallEnd::interrupted(Interruption::HostBug, &format!("{error:#}"))),
        };

        let pulse = Arc::clone(&store.data().pulse);
        let (ended, pause) = {
            let run = pin!(async {
                let instance = plugin.instantiate_async(&mut store).await?;
                export.call(&mut store, &instance).await
            });
            let mut sliced = Sliced::new(run, pulse, &self.turnstile, lane).until(allowance.stopped);
            let ended = AssertUnwindSafe(timeout_at(deadline, &mut sliced)).catch_unwind().await;
            (ended, sliced.pause())
        };
        let left = store.get_fuel().unwrap_or_default();
        let answer = match ended {
            Ok(Ok(Ok(Ok(answer)))) => Ok(answer),
            Ok(Ok(Ok(Err(error)))) => Err(CallEnd::of_error(&error, store.data())),
            Ok(Ok(Err(refusal))) => Err(CallEnd::of_refusal(refusal, store.data())),
            Ok(Err(_elapsed)) => {
                let cpu_time =
                    Duration::from_micros(fuel.saturating_sub(left).saturating_mul(1_000) / self.fuel_per_ms);
                Err(CallEnd::of_deadline(pause, store.data(), cpu_time))
            }
            Err(_panic) => Err(CallEnd::of_panic()),
        };

        let fuel = fuel.saturating_sub(left);
        let memory_bytes = store.data().meter.memory();
        self.publish_output(store.data_mut());
        let refused = store.data().refused();
        drop(store);
        drop(permit);
        Invoked { answer, duration: started.elapsed(), fuel, memory_bytes, refused }
    }

    fn fuel(&self, limits: &CallLimits) -> u64 {
        let of_time = || {
            let micros = u64::try_from(limits.cpu_time.as_micros()).unwrap_or(u64::MAX);
            micros.saturating_mul(self.fuel_per_ms) / 1_000
        };
        limits.fuel.unwrap_or_else(of_time)
    }

    fn store(&self, state: CallState, fuel: u64) -> wasmtime::Result<Store<CallState>> {
        let mut store = Store::try_new(&self.engine, state)?;
        store.limiter(|state| &mut state.meter);
        // Before instantiation: a start function burns fuel too.
        store.set_fuel(fuel)?;
        store.fuel_async_yield_interval(Some(FUEL_SLICE))?;
        store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
        store.set_max_component_handles(HANDLES_MAX);
        Ok(store)
    }

    fn publish_output(&self, state: &mut CallState) {
        let Some(output) = state.printed() else { return };
        let mut captured = output.lock().unwrap_or_else(PoisonError::into_inner);
        let stdout = captured.take_stdout();
        let (dropped, stderr) = (captured.dropped(), captured.stderr());
        drop(captured);
        let channel = state.subject.channel.as_ref();
        for line in String::from_utf8_lossy(&stdout).lines() {
            // Without control characters: it may end up on an operator's terminal. Its length is bounded already.
            self.console.line(channel, &bounded(line, usize::MAX));
        }
        if !stderr.is_empty() || dropped > 0 {
            tracing::debug!(
                plugin = state.subject.plugin.as_deref().map(tracing::field::display),
                channel = channel.map(tracing::field::display),
                delivery = state.subject.delivery.as_ref().map(tracing::field::display),
                stderr = &*clean(&stderr),
                dropped_bytes = dropped,
                "a plugin printed"
            );
        }
    }
}

/// Whom a call shares the CPU with.
fn lane_of(subject: &Subject) -> Lane {
    match subject {
        Subject { channel: Some(channel), .. } => Lane::Channel(channel.clone()),
        Subject { plugin: Some(plugin), .. } => Lane::Plugin(plugin.name.clone()),
        Subject { .. } => Lane::Newcomer,
    }
}
