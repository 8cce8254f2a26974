//! What the host keeps for one call: made with its store, gone with it.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use crate::call::PluginVersion;
use crate::capability::cache::OpenCache;
use crate::capability::http::{EgressLimits, HttpGrant, OpenHttp};
use crate::capability::kv::OpenKv;
use crate::capability::secret::CallSecrets;
use crate::capability::sign::{OpenSign, SignGrant};
use crate::config::{CallLimits, format_duration, format_size};
use crate::domain::{ChannelName, DeliveryId};
use crate::telemetry::Metrics;

use super::grants::Grants;
use super::limits::{self, Meter};
use super::output::{Captured, Output};
use super::slices::{Pause, Pulse};

/// The section of what a call may use where its channel says nothing.
const DEFAULTS: &str = "[plugins.defaults]";

/// Who is called, and for whom: the fields of everything that is told about the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub(super) plugin: Option<Arc<PluginVersion>>,
    pub(super) channel: Option<ChannelName>,
    pub(super) delivery: Option<DeliveryId>,
    /// While a channel is made: the limits that hold where it sets none of its own.
    pub(super) inherited: Option<Box<CallLimits>>,
}

/// A limit of a call that the operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    CpuTime,
    Memory,
    Timeout,
}

impl Setting {
    fn is_same(self, one: &CallLimits, other: &CallLimits) -> bool {
        match self {
            Self::CpuTime => (one.cpu_time, one.fuel) == (other.cpu_time, other.fuel),
            Self::Memory => one.memory == other.memory,
            Self::Timeout => one.timeout == other.timeout,
        }
    }
}

/// HTTP of one call: opened when the guest first asks.
pub(super) struct HttpState {
    pub(super) grant: Option<Arc<HttpGrant>>,
    pub(super) limits: EgressLimits,
    pub(super) deadline: Instant,
    pub(super) open: Option<OpenHttp>,
    /// What the guest's handles stand for.
    pub(super) secrets: CallSecrets,
    pub(super) sign: Option<OpenSign>,
    /// Set while the guest waits for a provider: whose fault a deadline is.
    pub(super) waiting: bool,
    /// Requests of `wasi:http` that are on their way: the guest may run on meanwhile.
    pub(super) on_their_way: Arc<AtomicU32>,
    /// Why the last request of `wasi:http` was refused or failed: its errors are words without room for a sentence.
    pub(super) told: Arc<Mutex<Option<String>>>,
    pub(super) pulse: Arc<Pulse>,
    /// Whose requests are counted, and where.
    pub(super) counted: Option<(Arc<PluginVersion>, Arc<Metrics>)>,
}

/// What one call keeps and finds kept: each opened when the guest first asks.
pub(super) struct KeepState {
    pub(super) grants: Option<Arc<Grants>>,
    pub(super) deadline: Instant,
    pub(super) pulse: Arc<Pulse>,
    /// Gives up what it claimed when it goes.
    pub(super) cache: Option<OpenCache>,
    pub(super) kv: Option<OpenKv>,
}

impl HttpState {
    /// Whether a call that is at `pause` waits for a provider.
    pub(super) fn waits(&self, pause: Pause) -> bool {
        self.waiting || pause == Pause::Waiting && self.on_their_way.load(Ordering::Relaxed) > 0
    }
}

/// The store's data.
pub(super) struct CallState {
    pub(super) subject: Subject,
    pub(super) meter: Meter,
    pub(super) http: HttpState,
    pub(super) keep: KeepState,
    /// What the call may use, memory as far as the pool has it.
    pub(super) limits: CallLimits,
    pub(super) pulse: Arc<Pulse>,
    output: Option<Output>,
    // Most calls never ask WASI for anything, and its context costs seven allocations and a seed.
    wasi: Option<Box<Wasi>>,
}

pub(super) struct Wasi {
    ctx: WasiCtx,
    pub(super) table: ResourceTable,
    pub(super) http: WasiHttpCtx,
}

impl CallState {
    /// Why the last request of a ready-made client was refused or failed.
    pub(super) fn refused(&self) -> Option<String> {
        self.http.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl CallState {
    pub(super) fn new(
        subject: Subject,
        limits: &CallLimits,
        memory_max: u64,
        grants: Option<Arc<Grants>>,
        metrics: &Arc<Metrics>,
        deadline: Instant,
    ) -> Self {
        let counted = subject.plugin.clone().map(|plugin| (plugin, Arc::clone(metrics)));
        let memory = limits.memory.min(memory_max);
        let pulse = Arc::<Pulse>::default();
        Self {
            limits: CallLimits { memory, ..*limits },
            pulse: Arc::clone(&pulse),
            subject,
            meter: Meter::new(memory),
            http: HttpState {
                grant: grants.as_ref().map(|grants| Arc::clone(&grants.http)),
                limits: EgressLimits {
                    calls: limits.egress_calls,
                    request_max: limits::HOSTCALL_BYTES_MAX as u64,
                    response_max: limits.response_max,
                    timeout: limits.timeout,
                },
                deadline,
                open: None,
                secrets: grants
                    .as_ref()
                    .map(|grants| CallSecrets::of_channel(Arc::clone(&grants.secrets)))
                    .unwrap_or_default(),
                sign: grants.as_ref().and_then(|grants| grants.sign.as_ref()).map(SignGrant::open),
                waiting: false,
                on_their_way: Arc::default(),
                told: Arc::default(),
                pulse: Arc::clone(&pulse),
                counted,
            },
            keep: KeepState { grants, deadline, pulse, cache: None, kv: None },
            output: None,
            wasi: None,
        }
    }

    /// The section that sets a limit of this call, or that can; none where no setting does.
    fn section(&self, setting: Setting) -> Option<String> {
        match &self.subject {
            Subject { channel: Some(_), inherited: Some(inherited), .. }
                if setting.is_same(&self.limits, inherited) =>
            {
                Some(DEFAULTS.to_owned())
            }
            Subject { channel: Some(channel), .. } => Some(format!("[channels.{channel}]")),
            Subject { plugin: Some(_), .. } => Some(DEFAULTS.to_owned()),
            // It was asked to describe itself.
            Subject { .. } => None,
        }
    }

    /// Who set the call's deadline, and the line that would have it later.
    pub(super) fn later(&self) -> String {
        let raised = self.raised(Setting::Timeout);
        let Some(section) = self.section(Setting::Timeout) else { return raised };
        // What a call gets is what its channel sets laid over the defaults: which of the two it was is not kept.
        let is_either = self.subject.channel.is_some() && self.subject.inherited.is_none();
        let or_else = if is_either { format!(", or else in {DEFAULTS},") } else { String::new() };
        format!("`timeout` in {section}{or_else} sets it: {raised}")
    }

    /// The line of configuration that would raise a limit: to twice what it is, or as far as it goes.
    pub(super) fn raised(&self, setting: Setting) -> String {
        let Some(section) = self.section(setting) else {
            return "the limit for every plugin that describes itself, which no setting changes".to_owned();
        };
        let limits = &self.limits;
        let line = match (setting, limits.fuel) {
            (Setting::CpuTime, Some(fuel)) => {
                above(fuel, fuel.saturating_mul(2), CallLimits::FUEL_MAX).map(|fuel| format!("fuel = {fuel}"))
            }
            (Setting::CpuTime, None) => above(limits.cpu_time, limits.cpu_time * 2, CallLimits::CPU_TIME_MAX)
                .map(|time| format!("cpu_time = \"{}\"", format_duration(time))),
            (Setting::Memory, _) => above(limits.memory, limits.memory.saturating_mul(2), CallLimits::MEMORY_MAX)
                .map(|size| format!("memory = \"{}\"", format_size(size))),
            (Setting::Timeout, _) => above(limits.timeout, limits.timeout * 2, CallLimits::TIMEOUT_MAX)
                .map(|time| format!("timeout = \"{}\"", format_duration(time))),
        };
        match line {
            Some(line) => format!("set `{line}` under {section} to allow more"),
            None => "no setting allows more".to_owned(),
        }
    }

    /// Where the guest's output is gathered.
    pub(super) fn output(&mut self) -> Output {
        let log_max = self.limits.log_max;
        self.output.get_or_insert_with(|| Arc::new(Mutex::new(Captured::new(log_max)))).clone()
    }

    /// The same, if the guest has printed anything.
    pub(super) fn printed(&self) -> Option<Output> {
        self.output.clone()
    }

    /// What was gathered, if anything.
    pub(super) fn captured(&self) -> Option<std::sync::MutexGuard<'_, Captured>> {
        self.output.as_ref().map(|output| output.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `twice` or `most`, whichever is less; none where `limit` is there already.
fn above<T: Ord + Copy>(limit: T, twice: T, most: T) -> Option<T> {
    let next = twice.min(most);
    (next > limit).then_some(next)
}

impl CallState {
    /// What the functions of WASI work on, made when the first is called; and HTTP.
    pub(super) fn wasi(&mut self) -> (&mut Wasi, &mut HttpState) {
        // Asked for by each function of WASI that a guest calls.
        self.pulse.host_call();
        if self.wasi.is_none() {
            let output = self.output();
            let (ctx, table) = (wasi_ctx(&output), ResourceTable::new());
            self.wasi = Some(Box::new(Wasi { ctx, table, http: WasiHttpCtx::new() }));
        }
        (self.wasi.as_mut().expect("it was made just above"), &mut self.http)
    }
}

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (wasi, _) = self.wasi();
        WasiCtxView { ctx: &mut wasi.ctx, table: &mut wasi.table }
    }
}

/// Clocks and random numbers are real; folders, sockets, arguments and environment are there and empty.
fn wasi_ctx(output: &Output) -> WasiCtx {
    WasiCtx::builder()
        .stdout(super::output::Stdio::out(output))
        .stderr(super::output::Stdio::err(output))
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .build()
}
