//! Nothing of one call reaches another.

use super::rig::Rig;
use crate::domain::AttemptEnd;

#[tokio::test]
async fn what_a_call_leaves_in_memory_is_never_seen_by_the_next() {
    // One slot, so that the next call gets the very memory that was marked.
    let rig = Rig::with_in_flight(1).await;
    assert!(rig.sandbox.is_pooled(), "this test is about the pool");
    for _ in 0..8 {
        assert_eq!(rig.send("mark").await.end.as_str(), "sent");
        assert_eq!(rig.fact("look", "marks").await, "0");
    }
}

#[tokio::test]
async fn a_call_after_every_kind_of_fault_works() {
    let rig = Rig::with_in_flight(1).await;
    for unruly in ["panic", "hoard", "recurse", "exit", "not-text", "divide", "log-hugely", "spin"] {
        let end = rig.send(unruly).await.end;
        assert!(matches!(end, AttemptEnd::Fault { .. }), "`{unruly}`: {end:?}");
        assert_eq!(rig.send("hello").await.end.as_str(), "sent", "after `{unruly}`");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_spins_lets_others_run() {
    let rig = Rig::unruly().await;
    // One thread: without yielding, the second would have to wait for the first.
    let first = async {
        rig.send("spin").await;
        "spin"
    };
    let second = async {
        rig.send("hello").await;
        "hello"
    };
    tokio::pin!(first, second);
    let winner = tokio::select! {
        biased;
        name = &mut first => name,
        name = &mut second => name,
    };
    assert_eq!(winner, "hello");
}
