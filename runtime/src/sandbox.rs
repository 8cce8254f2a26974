//! Calls of WebAssembly plugins: a fresh instance for each, under limits, and every way it can end told apart.
//!
//! *Flow:* a component is linked and asked to describe itself once ([`Plugin`]); then, per call: permit → store →
//! limits and fuel → instantiate and call under one deadline → classify the end → drop the store → give the permit
//! back.
//!
//! *Invariants:* an instance serves one call and never another; a permit is held until its store is dropped, so the
//! pool is never asked for more than it has; what is not granted answers `denied` and never fails to link; a plugin
//! can block no thread, outlive no deadline and use no more memory, handles or output than its limits say; no type of
//! wasmtime and no generated type leaves this room.
//!
//! *Not here:* what an end means for a delivery (`domain::settle`), the abilities behind the host interfaces
//! (`capability`), which plugins there are ([`Registry`]).

mod apart;
mod bindings;
mod bounds;
mod cache;
mod channel;
mod contract;
mod convert;
mod descriptor;
mod ends;
mod engine;
mod folder;
mod grants;
mod host;
mod inspect;
mod invoke;
mod limits;
mod loader;
mod output;
mod plugin;
mod registry;
mod slices;
mod state;
mod template;
mod turns;
mod watch;

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::Linker;

pub use apart::{CompileApartError, compile_for_parent};
pub use bounds::Excess;
pub use channel::{ConfigProblem, Health, PreparedChannel};
pub use contract::{CONTRACT_VERSION, ContractLine, Offered};
pub use descriptor::{
    ChannelDescriptor, Descriptor, EngineDescriptor, Length, LengthUnit, Need, Rate, Role, SecretKey,
};
pub use ends::CallEnd;
pub use folder::plugin_files;
pub use grants::{Granted, Grants, NotGranted};
pub use inspect::{
    FILE_BYTES_MAX, FileHash, InspectError, Inspected, PluginKind, inspect, inspect_file, name_of_file, stack_bytes,
};
pub use loader::LoadError;
pub use output::{ConsoleSink, Stdout};
pub use plugin::{Mismatch, Plugin, PrepareError};
pub use registry::{
    ChannelChanges, ChannelFinding, ChannelStatus, ConfigSchema, DeliveryHolds, Held, Nobody, NotKept, OperatorError,
    OutOfUse, PlannedReload, PluginMemory, PluginSource, PluginState, PluginStatus, ProviderRate, Registry,
    RegistrySettings, SchemaError, Told, Unusable, find_bundled,
};
pub use watch::{RESCAN, Watch};

use crate::telemetry::Metrics;
use state::CallState;
use turns::Turnstile;

/// What a sandbox is made with.
#[derive(Clone)]
pub struct SandboxSettings {
    /// Calls at once, and so the size of the pool: at least 1, at most 16,384.
    pub in_flight: u32,
    /// The most linear memory that any call may be allowed, in bytes: at most 4 GiB.
    pub memory_max: u64,
    /// Where guests' standard output goes.
    pub console: Arc<dyn ConsoleSink>,
    /// Counts what plugins ask of the network.
    pub metrics: Arc<Metrics>,
}

impl std::fmt::Debug for SandboxSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SandboxSettings")
            .field("in_flight", &self.in_flight)
            .field("memory_max", &self.memory_max)
            .finish_non_exhaustive()
    }
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The engine does not run on this machine.
    #[error(
        "the WebAssembly engine does not start: {reason}; no setting changes that: it takes a 64-bit processor that it \
         compiles for, such as x86-64 or arm64, and address space (`ulimit -v unlimited`)"
    )]
    Engine {
        /// What the engine says.
        reason: String,
    },
}

impl SandboxError {
    // Not `From`: wasmtime's error is no part of this room's interface.
    fn of_engine(error: &wasmtime::Error) -> Self {
        Self::Engine { reason: format!("{error:#}") }
    }
}

/// Makes calls of plugins. One per runtime.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<CallState>,
    permits: Semaphore,
    turnstile: Arc<Turnstile>,
    compiler: OnceLock<PathBuf>,
    in_flight: u32,
    pooled: bool,
    memory_max: u64,
    fuel_per_ms: u64,
    console: Arc<dyn ConsoleSink>,
    metrics: Arc<Metrics>,
}

impl Sandbox {
    /// The largest pool: each slot reserves address space, and 47 bits hold no more.
    pub const IN_FLIGHT_MAX: u32 = 16_384;

    /// Builds the engine, reserves the pool and measures how much fuel a millisecond is worth: 5–20 ms in all.
    ///
    /// # Errors
    ///
    /// [`SandboxError::Engine`] where the engine does not run on this machine.
    pub fn new(settings: SandboxSettings) -> Result<Arc<Self>, SandboxError> {
        let in_flight = settings.in_flight.clamp(1, Self::IN_FLIGHT_MAX);
        let built = engine::build(in_flight, settings.memory_max).map_err(|error| SandboxError::of_engine(&error))?;
        let fuel_per_ms = engine::fuel_per_ms(&built.engine).map_err(|error| SandboxError::of_engine(&error))?;
        let linker = host::linker(&built.engine).map_err(|error| SandboxError::of_engine(&error))?;
        Ok(Arc::new(Self {
            engine: built.engine,
            linker,
            permits: Semaphore::new(in_flight as usize),
            turnstile: Turnstile::new(std::thread::available_parallelism().map_or(1, NonZero::get)),
            compiler: OnceLock::new(),
            in_flight,
            pooled: built.pooled,
            memory_max: settings.memory_max,
            fuel_per_ms,
            console: settings.console,
            metrics: settings.metrics,
        }))
    }

    /// Calls that can run at once.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether instances come from a pool reserved at start, instead of from the operating system one by one.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.pooled
    }

    /// Fuel that one millisecond of CPU time is worth on this machine.
    #[must_use]
    pub fn fuel_per_ms(&self) -> u64 {
        self.fuel_per_ms
    }

    /// Has plugins compiled by this program, a `campanile` of this very version, in a process of its own. Without one
    /// they are compiled in a thread, which can neither be stopped nor bounded in memory. The first word stands.
    pub fn compile_with(&self, program: PathBuf) {
        let _ = self.compiler.set(program);
    }

    fn compiler(&self) -> Option<&Path> {
        self.compiler.get().map(PathBuf::as_path)
    }

    /// The engine that components are compiled for.
    fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox")
            .field("in_flight", &self.in_flight)
            .field("pooled", &self.pooled)
            .field("fuel_per_ms", &self.fuel_per_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
