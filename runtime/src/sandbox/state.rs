//! What the host keeps for one call: made with its store, gone with it.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::call::PluginVersion;
use crate::capability::http::{EgressLimits, HttpGrant, OpenHttp};
use crate::config::CallLimits;
use crate::domain::{ChannelName, DeliveryId};
use crate::telemetry::Metrics;

use super::grants::Grants;
use super::limits::{self, Meter};
use super::output::{Captured, Output};

/// Who is called, and for whom: the fields of everything that is told about the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Subject {
    pub(super) plugin: Option<Arc<PluginVersion>>,
    pub(super) channel: Option<ChannelName>,
    pub(super) delivery: Option<DeliveryId>,
}

/// HTTP of one call: opened when the guest first asks.
pub(super) struct HttpState {
    pub(super) grant: Option<Arc<HttpGrant>>,
    pub(super) limits: EgressLimits,
    pub(super) deadline: Instant,
    pub(super) open: Option<OpenHttp>,
    /// Set while the guest waits for a provider: whose fault a deadline is.
    pub(super) waiting: bool,
    /// Whose requests are counted, and where.
    pub(super) counted: Option<(Arc<PluginVersion>, Arc<Metrics>)>,
}

/// The store's data.
pub(super) struct CallState {
    pub(super) subject: Subject,
    pub(super) meter: Meter,
    pub(super) http: HttpState,
    output: Option<Output>,
    log_max: u64,
    // Most calls never ask WASI for anything, and its context costs seven allocations and a seed.
    wasi: Option<Box<Wasi>>,
}

struct Wasi {
    ctx: WasiCtx,
    table: ResourceTable,
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
        Self {
            subject,
            meter: Meter::new(limits.memory.min(memory_max)),
            http: HttpState {
                grant: grants.as_ref().map(|grants| Arc::clone(&grants.http)),
                limits: EgressLimits {
                    calls: limits.egress_calls,
                    request_max: limits::HOSTCALL_BYTES_MAX as u64,
                    response_max: limits.response_max,
                },
                deadline,
                open: None,
                waiting: false,
                counted,
            },
            output: None,
            log_max: limits.log_max,
            wasi: None,
        }
    }

    /// Where the guest's output is gathered.
    pub(super) fn output(&mut self) -> Output {
        let log_max = self.log_max;
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

impl WasiView for CallState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            let output = self.output();
            self.wasi = Some(Box::new(Wasi { ctx: wasi_ctx(&output), table: ResourceTable::new() }));
        }
        let wasi = self.wasi.as_mut().expect("it was made just above");
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
