//! How a call ended, if not with an answer: every class told apart, each with a sentence that helps.

use std::time::Duration;

use wasmtime::{OutOfMemory, PoolConcurrencyLimitError, Trap, WasmBacktrace, WasmtimeBug};
use wasmtime_wasi::I32Exit;

use crate::config::{format_duration, format_size};
use crate::domain::{AttemptEnd, Fault, Interruption};

use super::convert::bounded;
use super::limits::{BACKTRACE_FRAMES_MAX, HANDLES_MAX, HOSTCALL_BYTES_MAX, Refusal, STACK_BYTES_MAX};
use super::slices::Pause;
use super::state::{CallState, Setting};

/// The longest sentence about an end, in bytes: it is stored with the attempt.
const MESSAGE_MAX: usize = 1 << 10;

/// Functions named in the message of a trap.
const NAMES_MAX: usize = 5;

/// Why a call gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallEnd {
    /// The deadline passed while the guest waited for a provider.
    #[error("{message}")]
    HostDeadline {
        /// A sentence for people, at most 1 KiB.
        message: String,
    },
    /// The plugin failed.
    #[error("{message}")]
    Fault {
        /// How.
        fault: Fault,
        /// A sentence for people, at most 1 KiB.
        message: String,
    },
    /// Nobody's judgement.
    #[error("{message}")]
    Interrupted {
        /// Why.
        interruption: Interruption,
        /// A sentence for people, at most 1 KiB.
        message: String,
    },
}

impl From<CallEnd> for AttemptEnd {
    fn from(end: CallEnd) -> Self {
        match end {
            CallEnd::HostDeadline { message } => Self::HostDeadline { message },
            CallEnd::Fault { fault, message } => Self::Fault { fault, message },
            CallEnd::Interrupted { interruption, message } => Self::Interrupted { interruption, message },
        }
    }
}

impl CallEnd {
    pub(super) fn fault(fault: Fault, message: &str) -> Self {
        Self::Fault { fault, message: bounded(message, MESSAGE_MAX) }
    }

    pub(super) fn interrupted(interruption: Interruption, message: &str) -> Self {
        Self::Interrupted { interruption, message: bounded(message, MESSAGE_MAX) }
    }

    /// The call's deadline passed: in guest code, or while the guest waited for a provider. `cpu_time` is what it had
    /// used.
    pub(super) fn of_deadline(pause: Pause, state: &CallState, cpu_time: Duration) -> Self {
        if state.http.waits(pause) {
            return Self::host_deadline(state);
        }
        let (timeout, used) = (format_duration(state.limits.timeout), rounded(cpu_time));
        let what = match pause {
            Pause::Running => {
                format!("the plugin was still running at the call's deadline of {timeout}, after {used} of CPU time")
            }
            Pause::InLine => format!(
                "the plugin was still running at the call's deadline of {timeout}, after {used} of CPU time and a wait \
                 for its turn behind other calls of its channel"
            ),
            Pause::Waiting => format!("the plugin was asleep at the call's deadline of {timeout}"),
        };
        Self::fault(Fault::Deadline, &format!("{what}; {}", state.later()))
    }

    fn host_deadline(state: &CallState) -> Self {
        let (what, timeout) = (Refusal::ProviderDeadline, format_duration(state.limits.timeout));
        Self::HostDeadline { message: bounded(&format!("{what} of {timeout}; {}", state.later()), MESSAGE_MAX) }
    }

    /// Our own code panicked underneath a guest.
    pub(super) fn of_panic() -> Self {
        // The panic hook has already told the operator where; the payload may hold content.
        Self::interrupted(
            Interruption::HostBug,
            "the host panicked during the call: this is a defect, please report it",
        )
    }

    /// An error came out of the guest.
    pub(super) fn of_error(error: &wasmtime::Error, state: &CallState) -> Self {
        if let Some(refusal) = error.downcast_ref::<Refusal>() {
            return Self::of_refusal(*refusal, state);
        }
        if let Some(I32Exit(status)) = error.downcast_ref() {
            return Self::fault(Fault::Exit, &format!("the plugin left through `exit` with status {status}"));
        }
        if let Some(trap) = error.downcast_ref::<Trap>() {
            return Self::of_trap(*trap, error, state);
        }
        if error.is::<PoolConcurrencyLimitError>() {
            return Self::interrupted(Interruption::PoolFull, &format!("the pool of sandboxes is full: {error}"));
        }
        if error.is::<OutOfMemory>() || error.is::<WasmtimeBug>() {
            return Self::interrupted(Interruption::HostBug, &format!("the engine failed: {}", error.root_cause()));
        }
        let cause = error.root_cause().to_string();
        // The two that wasmtime gives no public type to.
        if cause == HOSTCALL_BYTES {
            let what = "it handed more to the host, or answered more, than a single call of the contract may carry";
            let remedy = "no setting changes that: it has to send less at once";
            return Self::fault(Fault::Memory, &format!("{what}: the limit is {HOSTCALL_BYTES_MAX} bytes; {remedy}"));
        }
        if cause == HANDLES {
            let what = format!("it asked for more than {HANDLES_MAX} handles, the limit of a call");
            let remedy = "no setting changes that: it has to drop those that it no longer needs";
            return Self::fault(Fault::Memory, &format!("{what}; {remedy}"));
        }
        // What is left comes from values that do not keep to the contract's encoding.
        Self::fault(Fault::BadOutput, &format!("the plugin passed what the contract does not allow: {cause}"))
    }

    pub(super) fn of_refusal(refusal: Refusal, state: &CallState) -> Self {
        match refusal {
            Refusal::Memory { .. } => {
                Self::fault(Fault::Memory, &format!("{refusal}; {}", state.raised(Setting::Memory)))
            }
            Refusal::Table { .. }
            | Refusal::OutputBytes { .. }
            | Refusal::OutputLines { .. }
            | Refusal::HostBytes { .. } => Self::fault(Fault::Memory, &refusal.to_string()),
            // Its calls are what its budget of CPU time cannot see.
            Refusal::HostCalls { .. } => Self::fault(Fault::OutOfFuel, &refusal.to_string()),
            Refusal::MachineMemory => Self::interrupted(Interruption::HostBug, &refusal.to_string()),
            Refusal::ProviderDeadline => Self::host_deadline(state),
            Refusal::Stopped => Self::interrupted(Interruption::Quarantined, &refusal.to_string()),
        }
    }

    fn of_trap(trap: Trap, error: &wasmtime::Error, state: &CallState) -> Self {
        match trap {
            Trap::OutOfFuel => {
                let budget = match state.limits.fuel {
                    Some(fuel) => format!("{fuel} fuel"),
                    None => format_duration(state.limits.cpu_time),
                };
                let remedy = state.raised(Setting::CpuTime);
                Self::fault(Fault::OutOfFuel, &format!("the plugin used up its CPU budget of {budget}; {remedy}"))
            }
            Trap::StackOverflow => {
                let (limit, trail) = (format_size(STACK_BYTES_MAX as u64), trail(error));
                let what = format!("the plugin's calls went so deep that they used up its stack of {limit}{trail}");
                Self::fault(Fault::Trap, &format!("{what}; no setting changes that: it has to recurse less"))
            }
            // What of a stack lies in memory has ended, too, but there the trap says nothing of a stack.
            Trap::MemoryOutOfBounds if recurses(error) => {
                let what = format!("the plugin's calls went so deep that they left its memory{}", trail(error));
                let stack = "the stack that it was built with, which `campanile plugins inspect` shows, is used up";
                Self::fault(Fault::Trap, &format!("{what}: {stack}; no setting changes that: it has to recurse less"))
            }
            Trap::AllocationTooLarge => Self::fault(Fault::Memory, &trap.to_string()),
            _ => {
                let panic = state.captured().and_then(|captured| captured.panic_message());
                let what = panic.unwrap_or_else(|| trap.to_string());
                Self::fault(Fault::Trap, &format!("{what}{}", trail(error)))
            }
        }
    }
}

/// To the millisecond: what is below says nothing to an operator.
fn rounded(time: Duration) -> String {
    format_duration(Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

const HOSTCALL_BYTES: &str =
    "too much data is being copied between the host and the guest: fuel allocated for hostcalls has been exhausted";
const HANDLES: &str = "cannot allocate another handle: store handle limit exceeded";

/// The innermost functions of the plugin, without the machinery that panics bring along.
fn trail(error: &wasmtime::Error) -> String {
    let mut names = functions(error);
    names.truncate(NAMES_MAX);
    if names.is_empty() { String::new() } else { format!(", in `{}`", names.join("` called by `")) }
}

/// Whether one function is so often among the innermost that it must have called itself.
fn recurses(error: &wasmtime::Error) -> bool {
    let names = functions(error);
    names.iter().any(|name| names.iter().filter(|other| *other == name).count() >= BACKTRACE_FRAMES_MAX / 2)
}

/// As many of the innermost as are looked at.
fn functions(error: &wasmtime::Error) -> Vec<String> {
    let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    // Only its text has names as their author wrote them: `  0: 0x1234 - module!function`.
    let text = backtrace.to_string();
    let names = text.lines().filter_map(|line| line.split_once(" - "));
    let names = names.map(|(_, name)| name.split_once('!').map_or(name, |(_, function)| function));
    names.filter(|name| !is_panic_machinery(name)).map(str::to_owned).collect()
}

fn is_panic_machinery(name: &str) -> bool {
    const PREFIXES: [&str; 7] =
        ["std::panicking", "std::sys", "std::process", "core::panicking", "rust_panic", "__rust", "abort"];
    PREFIXES.iter().any(|prefix| name.trim_start_matches('<').starts_with(prefix))
}
