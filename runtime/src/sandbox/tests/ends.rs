//! Every class of end is told apart.

use std::time::Duration;

use tokio::net::TcpListener;

use super::rig::{Rig, call, grants};
use crate::domain::{AttemptEnd, Blame, Fault, Interruption, Outcome, RateScope, Trouble};

#[tokio::test]
async fn a_panic_is_a_trap_that_tells_its_message_and_where_it_was() {
    let rig = Rig::unruly().await;
    let (fault, message) = rig.fault("panic").await;
    assert_eq!(fault, Fault::Trap);
    assert!(message.contains("the ink is frozen"), "{message}");
    assert!(message.contains("tests/guests/unruly/src/lib.rs"), "{message}");
    assert!(message.contains("unruly"), "{message}");
    assert!(message.len() <= 1 << 10);
}

#[tokio::test]
async fn a_plain_trap_and_a_stack_without_end_are_traps() {
    let rig = Rig::unruly().await;
    assert_eq!(rig.fault("divide").await.0, Fault::Trap);
    let (fault, message) = rig.fault("recurse").await;
    assert_eq!(fault, Fault::Trap);
    let left = "the plugin's calls went so deep that they left its memory, in `unruly::recurse";
    let stack = ": the stack that it was built with, which `campanile plugins inspect` shows, is used up";
    assert!(message.starts_with(left) && message.contains(stack), "{message}");
    assert!(message.ends_with("; no setting changes that: it has to recurse less"), "{message}");
}

#[tokio::test]
async fn a_guest_that_spins_runs_out_of_fuel_and_uses_all_of_it() {
    let rig = Rig::unruly().await;
    let report = rig.send("spin").await;
    assert!(matches!(report.end, AttemptEnd::Fault { fault: Fault::OutOfFuel, .. }), "{:?}", report.end);
    assert_eq!(report.fuel, 200_000_000);
}

#[tokio::test]
async fn a_guest_that_spins_past_the_deadline_is_at_fault() {
    let mut rig = Rig::unruly().await;
    rig.channel.limits.fuel = Some(u64::MAX);
    rig.channel.limits.timeout = Duration::from_millis(50);
    let (fault, message) = rig.fault("spin").await;
    assert_eq!(fault, Fault::Deadline);
    assert!(message.starts_with("the plugin was still running at the call's deadline of 50ms, after "), "{message}");
    let line = "sets it: set `timeout = \"100ms\"` under [channels.belfry] to allow more";
    assert!(message.ends_with(line), "{message}");
}

#[tokio::test]
async fn a_guest_that_sleeps_past_the_deadline_is_at_fault() {
    let mut rig = Rig::unruly().await;
    rig.channel.limits.timeout = Duration::from_millis(50);
    let (fault, message) = rig.fault("sleep").await;
    assert_eq!(fault, Fault::Deadline);
    insta::assert_snapshot!(message, @r#"
    the plugin was asleep at the call's deadline of 50ms; `timeout` in [channels.belfry], or else in [plugins.defaults], sets it: set `timeout = "100ms"` under [channels.belfry] to allow more
    "#);
}

#[tokio::test]
async fn a_deadline_while_a_provider_is_silent_is_no_fault_of_the_plugin() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback is there");
    let address = listener.local_addr().expect("it is bound");
    // The backlog takes the connection; nobody ever answers on it.
    let mut rig = Rig::unruly().await;
    rig.channel.limits.timeout = Duration::from_millis(200);
    rig.channel.grants = grants(&[address.to_string()]);
    let report = rig.plugin.send(&rig.channel, &call("ask", &format!("http://{address}/"))).await;
    let AttemptEnd::HostDeadline { message } = report.end else { panic!("{:?}", report.end) };
    insta::assert_snapshot!(message, @r#"
    no answer from the provider before the call's deadline of 200ms; `timeout` in [channels.belfry], or else in [plugins.defaults], sets it: set `timeout = "400ms"` under [channels.belfry] to allow more
    "#);
}

#[tokio::test]
async fn more_memory_than_allowed_is_a_fault_of_its_own() {
    let rig = Rig::unruly().await;
    let report = rig.send("hoard").await;
    let AttemptEnd::Fault { fault, message } = report.end else { panic!("{:?}", report.end) };
    assert_eq!(fault, Fault::Memory);
    assert!(message.contains("the limit is 16777216; set `memory = \"32MiB\"` under [channels.belfry]"), "{message}");
    assert!(report.memory_bytes <= 16 << 20);
}

#[tokio::test]
async fn leaving_through_exit_is_a_fault_of_its_own() {
    let (fault, message) = Rig::unruly().await.fault("exit").await;
    assert_eq!(fault, Fault::Exit);
    assert!(message.contains("status 3") || message.contains("status 1"), "{message}");
}

#[tokio::test]
async fn an_answer_that_is_no_text_is_bad_output() {
    let (fault, message) = Rig::unruly().await.fault("not-text").await;
    assert_eq!(fault, Fault::BadOutput, "{message}");
}

#[tokio::test]
async fn too_much_in_one_host_call_is_a_fault_of_memory() {
    assert_eq!(Rig::unruly().await.fault("log-hugely").await.0, Fault::Memory);
}

#[tokio::test]
async fn a_call_that_finds_no_free_sandbox_is_nobodys_fault() {
    let mut rig = Rig::with_in_flight(1).await;
    rig.channel.limits.timeout = Duration::from_millis(300);
    let mut hurried = rig.channel.clone();
    hurried.limits.timeout = Duration::from_millis(10);
    let (long, short) = (call("sleep", ""), call("hello", ""));
    // In this order: the first takes the only permit before the second asks for one.
    let (held, turned_away) = tokio::join!(rig.plugin.send(&rig.channel, &long), rig.plugin.send(&hurried, &short));
    assert!(matches!(held.end, AttemptEnd::Fault { fault: Fault::Deadline, .. }), "{:?}", held.end);
    let AttemptEnd::Interrupted { interruption, .. } = turned_away.end else { panic!("{:?}", turned_away.end) };
    assert_eq!(interruption, Interruption::PoolFull);
    // The permit came back.
    assert_eq!(rig.send("hello").await.end.as_str(), "sent");
}

#[tokio::test]
async fn what_a_plugin_says_comes_through_in_bounds() {
    let rig = Rig::unruly().await;
    let AttemptEnd::Outcome(Outcome::Rejected { blame, code, reason }) = rig.send("long-winded").await.end else {
        panic!("it is rejected")
    };
    assert_eq!(blame, Blame::Message);
    assert!(reason.len() <= 1 << 10 && reason.ends_with('…') && !reason.contains('\u{1b}'), "{reason}");
    assert!(code.is_some_and(|code| code.len() <= 128));

    let retry = Outcome::Retry {
        after: Some(Duration::from_millis(1_500)),
        trouble: Trouble::Server,
        code: Some("503".to_owned()),
        reason: "busy".to_owned(),
    };
    assert_eq!(rig.send("retry").await.end, AttemptEnd::Outcome(retry));
    let limited =
        Outcome::RateLimited { after: None, scope: RateScope::Account, code: None, reason: "too fast".to_owned() };
    assert_eq!(rig.send("rate-limited").await.end, AttemptEnd::Outcome(limited));
    let gone =
        Outcome::RecipientGone { new_address: Some("next door".to_owned()), code: None, reason: "moved".to_owned() };
    assert_eq!(rig.send("gone").await.end, AttemptEnd::Outcome(gone));
}
