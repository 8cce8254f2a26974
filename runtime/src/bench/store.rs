//! How fast the embedded store is: accepts, completions (claim and settle), and both together.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::clock::{Clock, Entropy, SystemClock};
use crate::domain::{
    Attempt, ChannelName, Content, DeliveryState, Notification, Priority, Receipt, Recipient, Timestamp,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{
    Claim, CommitListener, Committed, Durability, Planned, PlannedDelivery, Settlement, Store, StoreError,
};

/// What is measured.
#[derive(Clone, Debug)]
pub struct StoreParams {
    /// A folder on the disk to be measured; a new folder is made in it, and removed at the end.
    pub folder: PathBuf,
    /// Notifications per command. Default: 100 and 1,000.
    pub batches: Vec<NonZeroUsize>,
    /// How long each row is measured, accepts and completions together. Default: 4 s.
    pub time_per_row: Duration,
}

impl Default for StoreParams {
    fn default() -> Self {
        let batch = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            folder: std::env::temp_dir(),
            batches: vec![batch(100), batch(1_000)],
            time_per_row: Duration::from_secs(4),
        }
    }
}

/// The answer of `campanile bench store`.
#[derive(Clone, Debug, Serialize)]
pub struct StoreBench {
    /// One for each durability and batch.
    pub rows: Vec<StoreRow>,
}

/// One durability and one batch.
#[derive(Clone, Debug, Serialize)]
pub struct StoreRow {
    /// `full`, `os` or `memory`.
    pub durability: &'static str,
    /// Notifications per command.
    pub batch: usize,
    /// Notifications of about 300 bytes, with one delivery each.
    pub accepts_per_second: u64,
    /// Deliveries claimed and settled as sent.
    pub completions_per_second: u64,
    /// Notifications accepted, claimed and settled: the whole way.
    pub cycles_per_second: u64,
}

/// Notifications accepted before they are completed: about what a busy queue holds.
const ROUND: usize = 20_000;

/// Commands under way at once: while one commit is synced, the next gathers.
const CALLERS: usize = 4;

struct Nobody;

impl CommitListener for Nobody {
    fn committed(&self, _: Committed) {}
}

/// Measures every durability at every batch.
///
/// # Errors
///
/// [`StoreError`] where the folder cannot hold a store.
pub async fn run(params: &StoreParams) -> Result<StoreBench, StoreError> {
    let entropy = Entropy::from_system();
    let mut rows = Vec::new();
    for durability in [Durability::Full, Durability::Os, Durability::Memory] {
        for batch in &params.batches {
            let folder = params.folder.join(format!("campanile-bench-{:016x}", unique(&entropy)));
            let options = SqliteOptions { path: folder.join("bench.db"), durability, listener: Arc::new(Nobody) };
            let row = measure(options, batch.get(), params.time_per_row, &entropy).await;
            if durability != Durability::Memory {
                // What is left behind is a nuisance, not a wrong figure.
                let _ = std::fs::remove_dir_all(&folder);
            }
            rows.push(row?);
        }
    }
    Ok(StoreBench { rows })
}

fn unique(entropy: &Entropy) -> u128 {
    u128::from_be_bytes(*entropy.notification_id(SystemClock::default().now()).as_bytes())
}

async fn measure(
    options: SqliteOptions,
    batch: usize,
    time: Duration,
    entropy: &Entropy,
) -> Result<StoreRow, StoreError> {
    let durability = options.durability.as_str();
    let store = SqliteStore::open(options)?;
    let (mut accepting, mut completing) = (Duration::ZERO, Duration::ZERO);
    let mut cycles = 0;
    while accepting + completing < time {
        let plans: Vec<Vec<Planned>> =
            (0..ROUND.div_ceil(batch)).map(|_| (0..batch).map(|_| plan(entropy)).collect()).collect();
        let ids: Vec<Vec<_>> =
            plans.iter().map(|plans| plans.iter().map(|plan| plan.notification.id.delivery(0)).collect()).collect();

        let started = Instant::now();
        in_parallel(plans, async |plans| store.accept(plans).await.map(|_| ())).await?;
        accepting += started.elapsed();

        let started = Instant::now();
        let complete = async |ids: Vec<_>| {
            let claims = store.claim(&ids, SystemClock::default().now()).await?;
            store.settle(claims.iter().map(sent).collect()).await.map(|_| ())
        };
        in_parallel(ids, complete).await?;
        completing += started.elapsed();
        cycles += ROUND.div_ceil(batch) * batch;
    }
    store.close().await;
    let per_second = |time: Duration| (cycles as f64 / time.as_secs_f64()) as u64;
    Ok(StoreRow {
        durability,
        batch,
        accepts_per_second: per_second(accepting),
        completions_per_second: per_second(completing),
        cycles_per_second: per_second(accepting + completing),
    })
}

/// Runs `act` on every item, a few at a time.
async fn in_parallel<T>(items: Vec<T>, act: impl AsyncFn(T) -> Result<(), StoreError>) -> Result<(), StoreError> {
    use futures_util::stream::{self, StreamExt, TryStreamExt};
    let act = &act;
    stream::iter(items.into_iter().map(|item| act(item))).buffer_unordered(CALLERS).try_collect().await
}

fn plan(entropy: &Entropy) -> Planned {
    let now = SystemClock::default().now();
    let notification = Notification {
        id: entropy.notification_id(now),
        kind: "info".to_owned(),
        priority: Priority::Normal,
        content: Arc::new(Content {
            title: Some("Disk almost full".to_owned()),
            text: "db-3 is at 91 % and fills by 2 % an hour. ".repeat(5),
            ..Content::default()
        }),
        actions: Vec::new(),
        template: None,
        data: Some(r#"{"host":"db-3","used":91}"#.to_owned()),
        metadata: vec![("team".to_owned(), "infra".to_owned())],
        correlation_id: None,
        group_key: None,
        created_at: now,
        scheduled_at: None,
        expires_at: None,
    };
    let recipient = Recipient { address: "someone@example.com".to_owned(), ..Recipient::default() };
    let delivery = PlannedDelivery::new(channel(), recipient, now);
    Planned::new(Arc::new(notification), vec![delivery])
}

fn channel() -> ChannelName {
    ChannelName::new("bench").expect("a lower-case word is a name")
}

fn sent(claim: &Claim) -> Settlement {
    let at: Timestamp = SystemClock::default().now();
    let attempt = Attempt {
        number: claim.progress.attempts + 1,
        started_at: at,
        duration: Duration::from_micros(16),
        end: "sent".to_owned(),
        code: None,
        reason: None,
        provider_id: None,
        plugin: "null@0.1.0".to_owned(),
        fuel: 11_911,
        memory_bytes: 1 << 20,
    };
    let state = DeliveryState::Sent { at, attempts: attempt.number, receipt: Receipt::default(), unconfirmed: false };
    Settlement { claim: claim.number, delivery: claim.delivery, attempt: Some(attempt), state, reroute: None, at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_durability_and_batch_has_a_row_with_the_published_keys() {
        let folder = tempfile::TempDir::new().unwrap();
        let params = StoreParams {
            folder: folder.path().to_owned(),
            batches: vec![NonZeroUsize::new(1_000).unwrap()],
            time_per_row: Duration::from_millis(1),
        };
        let bench = run(&params).await.unwrap();
        let json = serde_json::to_value(&bench).unwrap();
        let rows = json["rows"].as_array().unwrap();
        let durabilities: Vec<_> = rows.iter().map(|row| row["durability"].as_str().unwrap()).collect();
        assert_eq!(durabilities, ["full", "os", "memory"]);
        for row in rows {
            let mut keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
            keys.sort_unstable();
            let published =
                ["accepts_per_second", "batch", "completions_per_second", "cycles_per_second", "durability"];
            assert_eq!(keys, published);
            assert!(row["cycles_per_second"].as_u64().unwrap() > 0);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }
}
