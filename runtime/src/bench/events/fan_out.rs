//! One stream of events, read by many over connections at once.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::{EventsBenchError, EventsParams};
use crate::config::Config;
use crate::runtime::Runtime;

/// Notifications of a batch that is submitted.
const BATCH: u32 = 1_000;

/// What comes before the data of each event, and nowhere else: data is one line.
const DATA: &[u8] = b"\ndata:";

/// Events that reached all subscribers together, in a second.
pub(super) async fn measure(params: &EventsParams, folder: &Path) -> Result<u64, EventsBenchError> {
    let mut config = Config::default();
    config.store.path = folder.join("fan-out.db");
    config.plugins.dir = folder.join("plugins-enabled");
    config.plugins.cache_dir = folder.join("plugin-cache");
    config.plugins.bundled_dir = Some(params.plugins.clone());
    config.plugins.watch = false;
    let server = config.server.clone();
    let runtime = Runtime::builder().config(config).build().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v1", listener.local_addr()?);
    let (stop, stopped) = oneshot::channel::<()>();
    let router = crate::api::router(runtime.clone(), &server);
    let serving = tokio::spawn(crate::api::serve(listener, router, async move {
        // Dropping the sender stops it as well.
        let _ = stopped.await;
    }));
    let measured = read_by_all(params, &runtime, &url).await;
    // In this order: the server lets go of the runtime.
    runtime.release_waiters();
    let _ = stop.send(());
    let _ = serving.await;
    let _ = runtime.shutdown(Duration::ZERO).await;
    measured
}

async fn read_by_all(params: &EventsParams, runtime: &Runtime, url: &str) -> Result<u64, EventsBenchError> {
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let before = runtime.event_log().newest().number;
    let (announce, events) = watch::channel(None);
    let mut subscribers = JoinSet::new();
    for _ in 0..params.subscribers {
        // Everybody is there before anything happens.
        let stream = client.get(format!("{url}/events?since=newest")).send().await?.error_for_status()?;
        subscribers.spawn(read(stream, events.clone()));
    }
    let started = Instant::now();
    let one = json!({ "channels": ["null"], "body": "db-3 is at 91 %" });
    let batch = Bytes::from(serde_json::Value::Array(vec![one; BATCH as usize]).to_string());
    for _ in 0..params.notifications.div_ceil(BATCH) {
        let request = client.post(format!("{url}/notifications/batch")).header("content-type", "application/json");
        request.body(batch.clone()).send().await?.error_for_status()?.bytes().await?;
    }
    while runtime.open_deliveries().await? > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let happened = runtime.event_log().newest().number - before;
    // The subscribers have the other end.
    let _ = announce.send(Some(happened));
    let mut ended = started;
    while let Some(read) = subscribers.join_next().await {
        match read {
            Ok(at) => ended = ended.max(at?),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    let seconds = ended.saturating_duration_since(started).as_secs_f64();
    Ok((happened as f64 * f64::from(params.subscribers) / seconds) as u64)
}

/// Reads until it has as many events as it is told there are. Answers when the last one came.
async fn read(
    mut stream: reqwest::Response,
    mut events: watch::Receiver<Option<u64>>,
) -> Result<Instant, EventsBenchError> {
    let (mut count, mut matched, mut last) = (0_u64, 0_usize, Instant::now());
    loop {
        if events.borrow_and_update().is_some_and(|events| count >= events) {
            return Ok(last);
        }
        let chunk = tokio::select! {
            chunk = stream.chunk() => chunk?.ok_or(EventsBenchError::CutOff { events: count })?,
            _ = events.changed() => continue,
        };
        let found = count_data(&chunk, &mut matched);
        if found > 0 {
            (count, last) = (count + found, Instant::now());
        }
    }
}

/// How often [`DATA`] is in what came, `matched` bytes of it before this.
fn count_data(chunk: &[u8], matched: &mut usize) -> u64 {
    let mut count = 0;
    for &byte in chunk {
        *matched = match DATA[*matched] == byte {
            true => *matched + 1,
            // No proper part of it begins like it but its first byte.
            false => usize::from(byte == DATA[0]),
        };
        if *matched == DATA.len() {
            (count, *matched) = (count + 1, 0);
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_counted_in_whatever_pieces_it_comes() {
        let text = b"\ndata: {}\n\nid: 7\n\nid: 8\nevent: x\ndata: {\"data:\": 1}\n\n\n\ndata:";
        for size in 1..text.len() {
            let mut matched = 0;
            let count: u64 = text.chunks(size).map(|chunk| count_data(chunk, &mut matched)).sum();
            assert_eq!(count, 3, "in pieces of {size}");
        }
    }
}
