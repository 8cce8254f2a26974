//! A program that follows the events of a server and writes each into a file, once: it may be stopped and started at any
//! time, and so may the server.
//!
//! ```console
//! $ cargo run -p track -- http://127.0.0.1:7433 events.log
//! ```
//!
//! A line is `ID TYPE`. The newest id in the file is where the next run goes on. The file is slower than the stream: its
//! callback stands behind a channel for 64 events, and while that is full nothing more is read from the server.

mod sse;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use campanile::events::{EventTracker, Recorded};

use sse::{Event, Parser};

/// Events that wait for the file.
const QUEUE: usize = 64;
/// How soon a server that is gone is asked again.
const AGAIN: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let (Some(url), Some(path)) = (args.next(), args.next()) else { anyhow::bail!("usage: track URL FILE") };
    let (url, path) = (url.into_string().ok().context("the URL is not UTF-8")?, PathBuf::from(path));

    let newest = newest_id(&path)?;
    let mut tracker = tracker(&path)?;
    if let Some(id) = &newest {
        tracker = tracker.resuming_after(id);
    }
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build()?;
    tokio::select! {
        failed = follow_forever(&client, &url, &mut tracker) => failed?,
        stopped = tokio::signal::ctrl_c() => stopped?,
    }
    // What was handed to the callback is written before this ends.
    tracker.close().await;
    println!("{:?}", tracker.counts());
    Ok(())
}

/// Writes each event with its id, behind what is there.
fn tracker(path: &Path) -> anyhow::Result<EventTracker<Event>> {
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let file = Arc::new(file.with_context(|| format!("`{}` cannot be written", path.display()))?);
    Ok(EventTracker::asynchronous(QUEUE, move |id, event: Event| {
        let file = Arc::clone(&file);
        async move {
            // A line is one write, so that a crash leaves it whole or away; the last one is looked at in the next run.
            let line = format!("{id} {}\n", event.kind);
            let written = tokio::task::spawn_blocking(move || (&*file).write_all(line.as_bytes())).await;
            // A program that cannot keep what it has seen must not go on: the next run would leave it out.
            if !matches!(written, Ok(Ok(()))) {
                eprintln!("error: {id} cannot be written: {written:?}");
                std::process::abort();
            }
        }
    }))
}

/// The id of the last whole line. A half line behind it, of a crash, is cut off: its event comes again.
fn newest_id(path: &Path) -> anyhow::Result<Option<String>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("`{}` cannot be read", path.display())),
    };
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        std::fs::OpenOptions::new().write(true).open(path)?.set_len(whole as u64)?;
    }
    Ok(text[..whole].lines().last().and_then(|line| line.split_once(' ')).map(|(id, _)| id.to_owned()))
}

/// Connects again and again, each time behind what was seen last.
async fn follow_forever(client: &reqwest::Client, url: &str, tracker: &mut EventTracker<Event>) -> anyhow::Result<()> {
    loop {
        if let Err(error) = follow(client, url, tracker).await {
            eprintln!("the stream has ended: {error:#}");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Follows the stream until it ends.
async fn follow(client: &reqwest::Client, url: &str, tracker: &mut EventTracker<Event>) -> anyhow::Result<()> {
    let mut request = client.get(format!("{}/v1/events", url.trim_end_matches('/')));
    // Unless it is said, a stream begins with what happens from now on.
    request = match tracker.last_id() {
        Some(id) => request.header("Last-Event-ID", id),
        None => request.query(&[("since", "oldest")]),
    };
    let mut response = request.send().await?.error_for_status()?;
    let mut parser = Parser::default();
    while let Some(bytes) = response.chunk().await? {
        for event in parser.feed(&bytes)? {
            record(tracker, event).await?;
        }
    }
    Ok(())
}

/// Waits for the file for as long as it takes: meanwhile nothing is read, and the server holds its stream back.
async fn record(tracker: &mut EventTracker<Event>, mut event: Event) -> anyhow::Result<()> {
    loop {
        let id = event.id.clone();
        match tracker.record(&id, event).await {
            Recorded::Delivered | Recorded::Duplicate => return Ok(()),
            Recorded::TimedOut(again) => event = again,
            Recorded::Closed(_) => anyhow::bail!("nobody writes events any more"),
        }
    }
}
