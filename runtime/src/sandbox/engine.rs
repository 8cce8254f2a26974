//! The one constructor of the engine: server, command line, cache and tests get the same.
//!
//! Every line that differs from wasmtime's defaults says why; figures are of the bench `sandbox`.

use std::num::NonZero;
use std::time::{Duration, Instant};

use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, Module, OptLevel, PoolingAllocationConfig, Store, Trap,
    WasmBacktraceDetails,
};

use super::convert::bounded;
use super::limits;
use crate::config::format_size;

/// The longest sentence of the compiler's that is handed on, in bytes.
const COMPLAINT_BYTES_MAX: usize = 500;

/// An engine and how it gets its instances.
pub(super) struct Built {
    pub(super) engine: Engine,
    pub(super) pooled: bool,
}

/// Builds the engine with a pool of `in_flight` slots, or without a pool where the machine cannot reserve one.
pub(super) fn build(in_flight: u32, memory_max: u64) -> wasmtime::Result<Built> {
    let pool = pool(in_flight, usize::try_from(memory_max).unwrap_or(usize::MAX));
    // The constructor reserves all the address space of the pool, so it is its own probe.
    match Engine::new(&config(InstanceAllocationStrategy::Pooling(pool))) {
        Ok(engine) => Ok(Built { engine, pooled: true }),
        Err(error) => {
            tracing::warn!(
                in_flight,
                reason = format!("{error:#}"),
                "no pool of sandboxes can be reserved, calls will be about five times slower; \
                 raise the limit on virtual memory (`ulimit -v`) or lower `workers.max`"
            );
            let engine = Engine::new(&config(InstanceAllocationStrategy::OnDemand))?;
            Ok(Built { engine, pooled: false })
        }
    }
}

/// An engine that compiles for the others and runs nothing: it reserves no pool. Its code fits theirs, for where
/// instances come from is no part of it.
pub(super) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config(InstanceAllocationStrategy::OnDemand))
}

/// Why the compiler, or the pool that its code is for, does not take a component. But for the memory that a plugin
/// starts with, their limits are constants of ours, also where wasmtime calls them configured.
pub(super) fn refused_by_compiler(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    if let Some((asked, limit)) = memory_refused(&text) {
        let (asked, limit) = (format_size(asked), format_size(limit));
        return format!(
            "its memory starts with {asked}, and the largest `memory` of [plugins.defaults] and the channels is {limit}; \
             write `memory = \"{asked}\"`, or more, in [plugins.defaults]"
        );
    }
    format!("{}; no setting changes that: build it otherwise", bounded(&text, COMPLAINT_BYTES_MAX))
}

/// What a memory starts with and what the pool has for one, out of wasmtime's sentence. Where a later version says it
/// otherwise, that sentence is told as it is; a test with a real component would see it.
fn memory_refused(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.split_once("minimum byte size of ")?;
    let (asked, rest) = rest.split_once(" which exceeds")?;
    let (_, limit) = rest.split_once("limit of 0x")?;
    let digits = limit.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(limit.len());
    Some((asked.trim().parse().ok()?, u64::from_str_radix(&limit[..digits], 16).ok()?))
}

fn config(allocation: InstanceAllocationStrategy) -> Config {
    let mut config = Config::new();
    config
        .allocation_strategy(allocation)
        // The CPU budget. Epochs would cost as much and are one clock for all stores: no kill switch for one call.
        .consume_fuel(true)
        .epoch_interruption(false)
        // As it is by itself; written down, since the message about it names it.
        .max_wasm_stack(limits::STACK_BYTES_MAX)
        // Most recent advisories were found in these, and no guest of ours needs one.
        .concurrency_support(false)
        .wasm_memory64(false)
        .shared_memory(false)
        // The same input gives the same result on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Registering it costs more with each module loaded; plugins are loaded and unloaded for as long as we run.
        .native_unwind_info(false)
        // Names of functions are enough for a message; lines would need DWARF to be read at each trap.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZero::new(limits::BACKTRACE_FRAMES_MAX));
    config
}

fn pool(in_flight: u32, memory_max: usize) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // A guest is one component instance of one memory and two tables, whatever it was written in.
    pool.total_component_instances(in_flight)
        // A counter that reserves nothing. A guest from Python has 14: with fewer for each slot, some calls that got a
        // permit would find the pool empty.
        .total_core_instances(in_flight.saturating_mul(limits::CORE_INSTANCES_MAX))
        .total_memories(in_flight)
        .total_tables(in_flight.saturating_mul(limits::TABLES_MAX))
        .total_stacks(in_flight)
        .max_core_instances_per_component(limits::CORE_INSTANCES_MAX)
        .max_memories_per_component(limits::MEMORIES_MAX)
        .max_tables_per_component(limits::TABLES_MAX)
        .table_elements(limits::TABLE_ELEMENTS_MAX)
        .max_memory_size(memory_max)
        // Reset by copying, which covers what a guest with a small stack touches; beyond, every call would pay page
        // faults, `madvise` and a flush of the other core's address cache: 17,000 calls/s instead of 66,000.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(64 << 10)
        .max_unused_warm_slots(in_flight)
        // In wasmtime 48.0.8 a dirty page that was swapped out would be neither reset nor given back: one recipient's
        // bytes could reach the next.
        .pagemap_scan(Enabled::No);
    pool
}

/// `(memory 1) (func (export "spin") (local i64) (loop …))`: thirteen operations, among them a multiplication and a
/// store to a place that depends on it, again and again until the fuel is gone.
const SPIN: &[u8] = &[
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, // magic, version
    0x01, 0x04, 0x01, 0x60, 0x00, 0x00, // type 0: no parameter, no result
    0x03, 0x02, 0x01, 0x00, // function 0 is of type 0
    0x05, 0x03, 0x01, 0x00, 0x01, // one page of memory
    0x07, 0x08, 0x01, 0x04, b's', b'p', b'i', b'n', 0x00, 0x00, // function 0 is `spin`
    0x0a, 0x1f, 0x01, 0x1d, 0x01, 0x01, 0x7e, // one body, one local i64
    0x03, 0x40, // loop
    0x20, 0x00, 0x42, 0x19, 0x7e, 0x42, 0x0d, 0x7c, 0x22, 0x00, // local 0 := local 0 × 25 + 13, kept
    0x42, 0x30, 0x88, 0xa7, // its upper 16 bits are the address
    0x20, 0x00, 0xa7, 0x3a, 0x00, 0x00, // store a byte there
    0x0c, 0x00, 0x0b, 0x0b, // again
];

/// Enough to dwarf the cost of a call, small enough to take about a millisecond.
const CALIBRATION_FUEL: u64 = 1_000_000;

/// The fastest counts: whatever else runs on the machine can only slow a run down.
const CALIBRATION_RUNS: u32 = 5;

/// Fuel that one millisecond of CPU time is worth on this machine.
///
/// Fuel counts operations, so a guest that waits for memory gets more CPU time for the same fuel; the wall-clock
/// deadline bounds that.
pub(super) fn fuel_per_ms(engine: &Engine) -> wasmtime::Result<u64> {
    let module = Module::new(engine, SPIN)?;
    let mut fastest = Duration::MAX;
    for _ in 0..CALIBRATION_RUNS {
        let mut store = Store::new(engine, ());
        store.set_fuel(CALIBRATION_FUEL)?;
        let instance = wasmtime::Instance::new(&mut store, &module, &[])?;
        let spin = instance.get_typed_func::<(), ()>(&mut store, "spin")?;
        let started = Instant::now();
        match spin.call(&mut store, ()) {
            Err(error) if error.downcast_ref() == Some(&Trap::OutOfFuel) => fastest = fastest.min(started.elapsed()),
            Err(error) => return Err(error),
            Ok(()) => wasmtime::bail!("an endless loop came to an end"),
        }
    }
    let per_ms = u128::from(CALIBRATION_FUEL) * 1_000_000 / fastest.as_nanos().max(1);
    Ok(u64::try_from(per_ms).unwrap_or(u64::MAX).clamp(limits::FUEL_PER_MS.start, limits::FUEL_PER_MS.end))
}
