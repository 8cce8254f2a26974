//! What no honest compiler makes: guests that go for the host itself.

use std::time::{Duration, Instant};

use wasm_encoder::{Function, HeapType};

use super::crafted;
use super::rig::{self, Rig};
use crate::domain::Fault;
use crate::sandbox::{CallEnd, InspectError, PrepareError, inspect};

/// How a crafted channel ends when it is asked to describe itself.
async fn end_of(component: Vec<u8>) -> (Fault, String) {
    inspect(component.clone()).expect("it looks like a channel");
    let (sandbox, _) = rig::sandbox(2);
    match sandbox.compile(component, [0; 32]).await {
        Err(PrepareError::Describe(CallEnd::Fault { fault, message })) => (fault, message),
        other => panic!("it is at fault, not {other:?}"),
    }
}

fn refused(component: Vec<u8>) -> String {
    let started = Instant::now();
    let error = inspect(component).expect_err("the compiler is not given this");
    assert!(matches!(error, InspectError::TooMuch(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10), "{error}: {:?}", started.elapsed());
    error.to_string()
}

#[tokio::test]
async fn every_storm_of_host_calls_ends_by_a_limit() {
    let rig = Rig::unruly().await;
    let mut ends = String::new();
    for storm in ["storm-denied", "storm-bodies", "storm-clock", "storm-kept", "log-endlessly", "print-endlessly"] {
        let (fault, message) = rig.fault(storm).await;
        ends.push_str(&format!("{storm}: {}: {message}\n", fault.as_str()));
    }
    insta::assert_snapshot!(ends, @r"
    storm-denied: out-of-fuel: it called the host more than 25000 times, the limit of a call; no setting changes that: it has to ask less often
    storm-bodies: memory: it handed more than 67108864 bytes to the host, the limit of a call; no setting changes that: it has to send less
    storm-clock: out-of-fuel: it called the host more than 25000 times, the limit of a call; no setting changes that: it has to ask less often
    storm-kept: out-of-fuel: it called the host more than 25000 times, the limit of a call; no setting changes that: it has to ask less often
    log-endlessly: memory: it offered more than 20000 lines to the log, the limit of a call; no setting changes that: it has to log less
    print-endlessly: memory: it offered more than 16777216 bytes of output, the limit of a call; no setting changes that: it has to print less
    ");
}

#[tokio::test]
async fn a_reply_without_end_is_a_fault_of_memory() {
    let mut rig = Rig::unruly().await;
    rig.channel.limits.memory = 64 << 20;
    let mut ends = String::new();
    for reply in ["reply-list", "reply-text", "log-hugely"] {
        let (fault, message) = rig.fault(reply).await;
        ends.push_str(&format!("{reply}: {}: {message}\n", fault.as_str()));
    }
    insta::assert_snapshot!(ends, @r"
    reply-list: memory: it handed more to the host, or answered more, than a single call of the contract may carry: the limit is 8388608 bytes; no setting changes that: it has to send less at once
    reply-text: memory: it handed more to the host, or answered more, than a single call of the contract may carry: the limit is 8388608 bytes; no setting changes that: it has to send less at once
    log-hugely: memory: it handed more to the host, or answered more, than a single call of the contract may carry: the limit is 8388608 bytes; no setting changes that: it has to send less at once
    ");
}

#[tokio::test]
async fn every_limit_of_a_call_names_the_line_that_would_change_it() {
    let mut rig = Rig::unruly().await;
    let mut ends = vec![rig.fault("spin").await.1, rig.fault("hoard").await.1];
    rig.channel.limits.fuel = None;
    ends.push(rig.fault("spin").await.1);
    insta::assert_snapshot!(ends.join("\n"), @r#"
    the plugin used up its CPU budget of 200000000 fuel; set `fuel = 400000000` under [channels.belfry] to allow more
    it asked for 16908288 bytes of memory, the limit is 16777216; set `memory = "32MiB"` under [channels.belfry] to allow more
    the plugin used up its CPU budget of 200ms; set `cpu_time = "400ms"` under [channels.belfry] to allow more
    "#);
}

#[tokio::test]
async fn a_table_that_grows_without_end_is_a_fault_of_memory() {
    let grow = crafted::endless(|code| {
        code.ref_null(HeapType::FUNC).i32_const(1_000).table_grow(0).drop();
    });
    let (fault, message) = end_of(crafted::channel(&[(&crafted::module(&grow, 1, 0), 1)])).await;
    assert_eq!(fault, Fault::Memory);
    insta::assert_snapshot!(message, @r"
    it asked for 21000 table elements, the limit is 20000; no setting changes that: it has to use fewer
    ");
}

#[tokio::test]
async fn more_instances_memories_or_tables_than_the_pool_has_are_refused() {
    let (sandbox, _) = rig::sandbox(2);
    let mut ends = Vec::new();
    for (instances, tables, memories) in [(40, 0, 0), (5, 0, 1), (9, 1, 0)] {
        let mut quiet = Function::new([]);
        quiet.instructions().end();
        let component = crafted::channel(&[(&crafted::module(&quiet, tables, memories), instances)]);
        let error = sandbox.compile(component, [0; 32]).await.expect_err("the pool has no place for it");
        ends.push(error.to_string());
    }
    insta::assert_snapshot!(ends.join("\n"), @r"
    it cannot be compiled: The component transitively contains 40 core module instances, which exceeds the configured maximum of 32 in the pooling allocator; no setting changes that: build it otherwise
    it cannot be compiled: The component transitively contains 5 Wasm linear memories, which exceeds the configured maximum of 1 in the pooling allocator; no setting changes that: build it otherwise
    it cannot be compiled: The component transitively contains 9 tables, which exceeds the configured maximum of 8 in the pooling allocator; no setting changes that: build it otherwise
    ");
}

#[tokio::test]
async fn a_start_function_that_never_ends_runs_out_of_fuel() {
    let spin = crafted::endless(|_| {});
    assert_eq!(end_of(crafted::channel(&[(&crafted::module(&spin, 0, 0), 1)])).await.0, Fault::OutOfFuel);
}

#[tokio::test]
async fn calls_that_go_deeper_than_the_stack_are_told_its_size() {
    let mut itself = Function::new([]);
    itself.instructions().call(0).end();
    let (fault, message) = end_of(crafted::channel(&[(&crafted::module(&itself, 0, 0), 1)])).await;
    assert_eq!(fault, Fault::Trap);
    let stack = "the plugin's calls went so deep that they used up its stack of 512KiB";
    assert!(
        message.contains(stack) && message.ends_with("; no setting changes that: it has to recurse less"),
        "{message}"
    );
}

#[test]
fn what_would_keep_the_compiler_busy_is_refused_before_it_starts() {
    let mut giant = Function::new([]);
    let mut code = giant.instructions();
    for _ in 0..400_000 {
        code.i32_const(1_000_000).drop();
    }
    code.end();
    let mut crowded = Function::new([(50_000, wasm_encoder::ValType::I64)]);
    crowded.instructions().end();
    let crowded = crafted::module(&crowded, 0, 0);
    let mut quiet = Function::new([]);
    quiet.instructions().end();
    let quiet = crafted::module(&quiet, 0, 0);
    let refusals = [
        refused(crafted::channel(&[(&crafted::module(&giant, 0, 0), 1)])),
        refused(crafted::channel(&vec![(&crowded, 1); 90])),
        refused(crafted::channel(&vec![(&quiet, 1); 101])),
        refused(crafted::channel(&[(&quiet, 1), (&crafted::empty_of(60_000, 0, 0), 0)])),
        refused(crafted::channel(&[(&quiet, 1), (&crafted::empty_of(0, 0, 30_000), 0)])),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r"
    it has 2000002 bytes in one function, the limit is 1048576; no setting changes that: build it smaller
    it has 4050000 local variables, the limit is 4000000; no setting changes that: build it smaller
    it has 101 modules, the limit is 100; no setting changes that: build it smaller
    it has 60001 types, the limit is 50000; no setting changes that: build it smaller
    it has 30000 global variables, the limit is 20000; no setting changes that: build it smaller
    ");
}
