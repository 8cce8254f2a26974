//! What a guest prints and logs.

use super::rig::Rig;
use crate::domain::Fault;

#[tokio::test]
async fn standard_output_reaches_the_console_line_by_line() {
    let rig = Rig::unruly().await;
    assert_eq!(rig.send("print").await.end.as_str(), "sent");
    assert_eq!(rig.console.all(), ["belfry: one", "belfry: two", "belfry: thr ee"]);
}

#[tokio::test]
async fn a_guest_that_prints_too_much_is_cut_and_does_not_fail() {
    let rig = Rig::unruly().await;
    assert_eq!(rig.send("print-much").await.end.as_str(), "sent");
    let lines = rig.console.all();
    assert_eq!(lines.iter().map(String::len).sum::<usize>(), "belfry: ".len() + (16 << 10));
}

#[tokio::test]
async fn a_guest_that_logs_too_much_is_cut_and_does_not_fail() {
    let rig = Rig::unruly().await;
    assert_eq!(rig.send("log-much").await.end.as_str(), "sent");
}

#[tokio::test]
async fn a_guest_that_never_stops_printing_or_logging_is_at_fault() {
    let rig = Rig::unruly().await;
    assert_eq!(rig.fault("print-endlessly").await.0, Fault::Memory);
    assert_eq!(rig.fault("log-endlessly").await.0, Fault::Memory);
}
