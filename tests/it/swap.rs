//! Plugins that are replaced while deliveries go through them.

use std::process::Command;

use campanile_tests::{plugin, program};
use serde_json::Value;

/// The bench in small: nothing is lost, fails or comes twice, however the file is replaced.
#[test]
fn no_delivery_is_lost_or_fails_while_its_plugin_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(program())
        .args(["bench", "swap", "--json", "--swaps", "5", "--plugin"])
        .arg(plugin("webhook"))
        .arg("--dir")
        .arg(dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    for (key, expected) in [("swaps", 5), ("lost", 0), ("failed", 0), ("duplicated", 0)] {
        assert_eq!(figures[key], expected, "{key} of {figures}");
    }
    // Each swap waits until every caller has called the new file.
    assert!(figures["sent"].as_u64().unwrap() >= 5 * 32, "{figures}");
    assert!(figures["p99_swap_ms"].as_f64().unwrap() > 0.0, "{figures}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "it leaves nothing behind");
}
