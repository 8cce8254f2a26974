//! The limits of a call that no operator sets, each with its reason, and the meter that holds a guest to its memory.

use std::ops::Range;

use wasmtime::ResourceLimiter;

/// After this much fuel a guest lets other tasks of its thread run: 50–300 µs.
pub(super) const FUEL_SLICE: u64 = 100_000;

/// What a calibration may come out at. Beyond, the clock was wrong and not the machine that slow or fast.
pub(super) const FUEL_PER_MS: Range<u64> = 50_000..20_000_000;

/// Bytes that a guest may hand to the host in one call of a host function: a request body with room to spare.
pub(super) const HOSTCALL_BYTES_MAX: usize = 8 << 20;

/// Bytes of output that a guest may offer in all. What is past `log_max` is dropped, yet copying it costs time that
/// no fuel pays for.
pub(super) const OFFERED_BYTES_MAX: u64 = 16 << 20;

/// Lines of log that a guest may offer in all, for the same reason.
pub(super) const OFFERED_LINES_MAX: u32 = 20_000;

/// Calls of host functions in all, WASI's included. They cost the guest next to no fuel; a plugin makes some tens, and one
/// that logs all it may makes as many as [`OFFERED_LINES_MAX`].
pub(super) const HOST_CALLS_MAX: u32 = 25_000;

/// Bytes that a guest may hand to the host in all: as many as eight requests of full size. To copy them costs it no fuel.
pub(super) const HOST_BYTES_MAX: u64 = 64 << 20;

/// Random bytes in one answer: a key, a seed, not a stream.
pub(super) const RANDOM_BYTES_MAX: u64 = 4 << 10;

/// Handles (streams, pollables, …) that a guest may hold: a plugin needs about five.
pub(super) const HANDLES_MAX: usize = 1_000;

/// Elements of all tables together; C# components have 10,000.
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;

/// Core instances of one component. One from Rust or JavaScript has 3, one from Python 14, and one more for each native
/// module that it brings along.
pub(super) const CORE_INSTANCES_MAX: u32 = 32;

/// Linear memories of one component. The pool has one for each call: with more, a single plugin could empty it.
pub(super) const MEMORIES_MAX: u32 = 1;

/// Tables of one component. The pool has so many for each call.
pub(super) const TABLES_MAX: u32 = 8;

/// Frames looked at when a guest traps.
pub(super) const BACKTRACE_FRAMES_MAX: usize = 16;

/// Stack of a guest's calls, in bytes: wasmtime's own default. Ordinary code takes some KiB; what recurses without end is
/// ended by it.
pub(super) const STACK_BYTES_MAX: usize = 512 << 10;

/// Why the host refused a guest something, or ended its call. Raised as an error through the guest, found again by
/// its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it asked for {asked} bytes of memory, the limit is {limit}")]
    Memory { asked: u64, limit: u64 },
    #[error("it asked for {asked} table elements, the limit is {limit}; no setting changes that: it has to use fewer")]
    Table { asked: u64, limit: u64 },
    #[error(
        "it offered more than {limit} bytes of output, the limit of a call; no setting changes that: it has to print less"
    )]
    OutputBytes { limit: u64 },
    #[error(
        "it offered more than {limit} lines to the log, the limit of a call; no setting changes that: it has to log less"
    )]
    OutputLines { limit: u32 },
    #[error(
        "it called the host more than {limit} times, the limit of a call; no setting changes that: it has to ask less often"
    )]
    HostCalls { limit: u32 },
    #[error(
        "it handed more than {limit} bytes to the host, the limit of a call; no setting changes that: it has to send less"
    )]
    HostBytes { limit: u64 },
    #[error("the machine has no memory to give; lower `max` in [workers], or give it more")]
    MachineMemory,
    #[error("no answer from the provider before the call's deadline")]
    ProviderDeadline,
    #[error(
        "the plugin was quarantined while the call was running; a new version, or its release as `campanile plugins list` \
         names it, has it called again"
    )]
    Stopped,
}

/// Counts what a guest holds, over all its memories and tables.
#[derive(Debug)]
pub(super) struct Meter {
    memory: u64,
    memory_limit: u64,
    table_elements: u64,
}

impl Meter {
    pub(super) fn new(memory_limit: u64) -> Self {
        Self { memory: 0, memory_limit, table_elements: 0 }
    }

    /// Linear memory that the guest holds, in bytes.
    pub(super) fn memory(&self) -> u64 {
        self.memory
    }
}

// An error ends the call in a class of its own. `Ok(false)` would make the guest's allocator fail, and the abort that
// follows looks like any other trap.
impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let asked = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if asked > self.memory_limit {
            return Err(Refusal::Memory { asked, limit: self.memory_limit }.into());
        }
        self.memory = asked;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(Refusal::MachineMemory.into())
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.table_elements.saturating_add(desired.saturating_sub(current) as u64);
        // Before the maximum, which in the pool is this very limit: it would only say no, again and again.
        if asked > TABLE_ELEMENTS_MAX as u64 {
            return Err(Refusal::Table { asked, limit: TABLE_ELEMENTS_MAX as u64 }.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.table_elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX as usize
    }
}
