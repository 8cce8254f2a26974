//! How soon a server is there.

use std::fs;
use std::process::Command;

use campanile_tests::{Server, plugin, program};
use serde_json::{Value, json};

fn bench(arguments: &[&str]) -> Value {
    let dir = tempfile::tempdir().expect("a folder");
    let bundled = dir.path().join("plugins");
    fs::create_dir(&bundled).expect("the folder can be written");
    fs::copy(plugin("webhook"), bundled.join("webhook.wasm")).expect("it was built");
    let output = Command::new(program())
        .args(["bench", "start", "--json", "--plugins"])
        .arg(&bundled)
        .arg("--dir")
        .arg(dir.path())
        .args(arguments)
        .output()
        .expect("the program runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(dir.path()).expect("it is a folder").count(), 1, "it leaves nothing behind");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The bench in small: an empty store, and one in which something waits.
#[test]
fn the_bench_of_a_start_calls_whatever_waits() {
    let idle = bench(&[]);
    for key in ["ready_ms", "first_accept_ms", "first_dispatch_ms", "first_call_p50_ms", "first_call_p99_ms"] {
        assert!(idle[key].as_f64().is_some_and(|figure| figure > 0.0), "{key} of {idle}");
    }
    let busy = bench(&["--waiting", "2000"]);
    assert_eq!((&busy["waiting"], &busy["first_call_p50_ms"]), (&json!(2_000), &Value::Null));
    assert!(busy["first_dispatch_ms"].as_f64().is_some_and(|figure| figure > 0.0), "{busy}");
}

/// A database whose content is gone opens as a new one, and somebody is told.
#[tokio::test]
async fn a_database_that_is_there_and_empty_is_warned_of() {
    let warned = async |files: &[(&str, &str)]| {
        let server = Server::start_with("[store]\nurl = \"sqlite://kept.db\"\n", files, &[]).await;
        let log = fs::read_to_string(server.dir().join("server.log")).expect("the server's log");
        let warns = |line: &str| line.contains(" WARN ") && line.contains("The database was there and empty");
        log.lines().filter(|line| warns(line) && line.contains("kept.db")).count()
    };
    assert_eq!(warned(&[("kept.db", "")]).await, 1);
    assert_eq!(warned(&[]).await, 0);
}
