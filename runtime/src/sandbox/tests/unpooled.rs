//! A machine that cannot reserve the pool.

use std::sync::Arc;
use std::time::Duration;

use super::rig::{Lines, call, grants, guest};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, ChannelName, Fault};
use crate::sandbox::{PreparedChannel, Sandbox, SandboxSettings};
use crate::telemetry::Metrics;

#[tokio::test]
async fn where_no_pool_can_be_reserved_calls_run_under_the_same_limits() {
    // More address space than there is.
    let settings = SandboxSettings {
        in_flight: Sandbox::IN_FLIGHT_MAX,
        memory_max: 1 << 40,
        console: Arc::new(Lines::default()),
        metrics: Metrics::off(),
    };
    let sandbox = Sandbox::new(settings).expect("it starts without a pool");
    assert!(!sandbox.is_pooled());

    let plugin = sandbox.compile(guest("unruly"), [7; 32]).await.expect("the guest is a plugin");
    let channel = PreparedChannel {
        name: ChannelName::new("belfry").expect("it is a name"),
        config_json: "{}".to_owned(),
        grants: grants(&[]),
        limits: CallLimits {
            fuel: Some(50_000_000),
            memory: 16 << 20,
            timeout: Duration::from_secs(60),
            ..CallLimits::default()
        },
    };
    for (text, expected) in [("spin", Fault::OutOfFuel), ("hoard", Fault::Memory), ("divide", Fault::Trap)] {
        let report = plugin.send(&channel, &call(text, "")).await;
        let AttemptEnd::Fault { fault, .. } = report.end else { panic!("`{text}` is a fault, not {:?}", report.end) };
        assert_eq!(fault, expected);
    }
    // No call sees what another left behind.
    for text in ["mark", "hello"] {
        assert_eq!(plugin.send(&channel, &call(text, "")).await.end.as_str(), "sent", "{text}");
    }
    let AttemptEnd::Outcome(outcome) = plugin.send(&channel, &call("look", "")).await.end else { panic!("it answers") };
    assert!(format!("{outcome:?}").contains(r#"("marks", "0")"#), "{outcome:?}");
}
