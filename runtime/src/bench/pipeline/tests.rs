use async_trait::async_trait;

use super::*;
use crate::call::{Call, OwnContent, Report};
use crate::domain::{AttemptEnd, Outcome, Receipt};

struct Immediate;

#[async_trait]
impl Caller for Immediate {
    async fn call(&self, _: Call) -> Report {
        let end = AttemptEnd::Outcome(Outcome::Sent(Receipt::default()));
        Report { end, duration: Duration::ZERO, plugin: None, fuel: 0, memory_bytes: 0 }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_notification_is_sent_and_the_keys_are_the_published_ones() {
    let folder = tempfile::tempdir().unwrap();
    let params = PipelineParams {
        notifications: 1_003,
        backlog: 1_500,
        durability: Durability::Os,
        folder: folder.path().to_owned(),
        batch: 50,
        open_max: 200,
        ..PipelineParams::through(ChannelName::new("null").unwrap())
    };
    let parts = PipelineParts { caller: Arc::new(Immediate), content: Arc::new(OwnContent), metrics: Metrics::off() };
    let bench = run(&params, parts).await.unwrap();
    assert_eq!(bench.sent, 1_003);
    assert!(bench.p50_ms <= bench.p99_ms);
    let json = serde_json::to_value(&bench).unwrap();
    let mut keys: Vec<_> = json.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    let published =
        ["accepted_per_second", "completed_per_second", "durability", "fsyncs", "p50_ms", "p99_ms", "rss_mb", "sent"];
    assert_eq!(keys, published);
    let webhook = serde_json::to_value(bench.against(1_000)).unwrap();
    assert!(webhook["baseline_requests_per_second"].is_u64() && webhook["ratio"].is_f64());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
}
