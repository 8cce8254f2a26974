//! `campanile events`: what happened, and what happens.
//!
//! *Invariants:* what was printed is not printed again, and nothing is left out without a line that says `gap`, however
//! often the connection breaks and the server starts anew.

use std::io::{self, Write};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Map, Value};

use super::client::Client;
use super::client::stream::Streaming;
use super::failure::{Exit, Failure};
use super::terminal::{Color, Paint, escaped};
use super::{Answer, Globals};
use crate::events::EventTracker;
use crate::events::sse::Block;

/// The first wait before connecting again, until the server says how long.
const RETRY: Duration = Duration::from_secs(1);

/// The longest, to which it doubles while nobody answers.
const RETRY_MAX: Duration = Duration::from_secs(15);

/// How often a listing that broke off tries to go on: about half a minute. Whoever follows tries for ever.
const TRIES_OF_A_LISTING: u32 = 5;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --follow: all that is kept up to the newest. With it: what happens from
now on, through restarts of the server, until it is interrupted. A line with the
type `gap` says that events in between are kept no more.

Exit codes: 0 found; 1 no server answers; 2 refused; 3 nothing matched.

Examples:
  campanile events --follow --type 'delivery.*'
  campanile events --notification ntf_01890a5d0b0170008000000000000001
  campanile --json events --follow --since 00c0ffee00c0ffee-42")]
pub(super) struct Args {
    /// Go on with what happens from here on
    #[arg(long)]
    follow: bool,
    /// Behind the event with this id; `oldest` or `newest`
    #[arg(long, value_name = "ID")]
    since: Option<String>,
    /// Of this type, or of a group such as `delivery.*`; may be repeated
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// About this notification and its deliveries
    #[arg(long, value_name = "ID")]
    notification: Option<String>,
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let client = Client::new(globals)?;
    let paint = if globals.json { None } else { Some(globals.paint_stdout()) };
    let mut listener = Listener::new(query(args), paint);
    // A server that is not there at the start is a wrong URL sooner than one that restarts.
    let mut connected = client.events(&listener.query, None).await.map(Some)?;
    let mut unanswered = 0;
    let mut out = io::BufWriter::new(io::stdout());
    loop {
        let broken = match connected.take() {
            Some(mut stream) => listener.listen(&client, &mut stream, &mut out).await,
            None => Ok(Ended::Broken("no server answers".to_owned())),
        };
        match broken {
            Ok(Ended::Complete) => break,
            Ok(Ended::Broken(why)) => listener.say_lost(&why),
            // `campanile events | head` has all that it wanted.
            Err(Unheard::Closed) => return Ok(Answer::ok("")),
            Err(Unheard::Failed(failure)) => return Err(failure),
        }
        tokio::time::sleep(listener.next_wait()).await;
        connected = match client.events(&listener.query, listener.tracker.last_id()).await {
            Ok(stream) => {
                unanswered = 0;
                Some(stream)
            }
            // It starts, or is gone; anything else is no matter of time.
            Err(failure) if matches!(failure.exit, Exit::No | Exit::TimedOut) => {
                unanswered += 1;
                if !args.follow && unanswered >= TRIES_OF_A_LISTING {
                    return Err(failure);
                }
                None
            }
            Err(failure) => return Err(failure),
        };
    }
    match listener.printed {
        0 => Ok(Answer { text: String::new(), talk: "no event matches\n".to_owned(), exit: Exit::Nothing }),
        _ => Ok(Answer::ok("")),
    }
}

fn query(args: &Args) -> Vec<(&'static str, String)> {
    let mut query = vec![("follow", args.follow.to_string())];
    query.extend(args.since.clone().map(|since| ("since", since)));
    query.extend(args.types.iter().map(|kind| ("type", kind.clone())));
    query.extend(args.notification.clone().map(|id| ("notification", id)));
    query
}

/// How a connection ended.
enum Ended {
    /// All that was asked for was told.
    Complete,
    /// There is more, on another connection.
    Broken(String),
}

/// Why nobody listens any more.
enum Unheard {
    /// Nobody reads what is printed.
    Closed,
    Failed(Failure),
}

impl From<io::Error> for Unheard {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(anyhow::Error::new(error).context("standard output cannot be written").into()),
        }
    }
}

/// What a stream says with an id: a line that is to be printed, or nothing but how far it has come.
type Heard = Option<String>;

/// What is kept from one connection to the next.
struct Listener {
    query: Vec<(&'static str, String)>,
    /// None prints JSON.
    paint: Option<Paint>,
    /// Knows what was heard before, and where to go on. What is new it hands to `lines`.
    tracker: EventTracker<Heard>,
    lines: mpsc::Receiver<String>,
    fresh: mpsc::SyncSender<String>,
    printed: u64,
    retry: Duration,
    wait: Duration,
    is_lost: bool,
}

impl Listener {
    fn new(query: Vec<(&'static str, String)>, paint: Option<Paint>) -> Self {
        let (fresh, lines) = mpsc::sync_channel(1);
        let tracker = tracker(&fresh);
        Self { query, paint, tracker, lines, fresh, printed: 0, retry: RETRY, wait: RETRY, is_lost: false }
    }

    async fn listen(
        &mut self,
        client: &Client,
        stream: &mut Streaming,
        out: &mut impl Write,
    ) -> Result<Ended, Unheard> {
        loop {
            if stream.is_drained() {
                out.flush()?;
            }
            let block = match client.next_block(stream).await {
                Ok(Some(block)) => block,
                Ok(None) => return Ok(Ended::Broken("the stream ended".to_owned())),
                Err(failure) if failure.exit == Exit::Internal => return Err(Unheard::Failed(failure)),
                Err(failure) => return Ok(Ended::Broken(failure.message())),
            };
            if let Some(ended) = self.hear(block, out)? {
                out.flush()?;
                return Ok(ended);
            }
        }
    }

    /// Prints what is new.
    fn hear(&mut self, block: Block, out: &mut impl Write) -> Result<Option<Ended>, Unheard> {
        let Block { id, event, data, retry_ms } = block;
        self.retry = retry_ms.map_or(self.retry, Duration::from_millis).min(RETRY_MAX);
        (self.wait, self.is_lost) = (self.retry, false);
        let is_gap = event.as_deref() == Some("gap");
        let line = match data {
            None => None,
            Some(data) => {
                let event = event.unwrap_or_default();
                let parsed: Value = serde_json::from_str(&data)
                    .with_context(|| {
                        format!("the event `{event}` is not JSON: are this program and the server of one version?")
                    })
                    .map_err(|error| Unheard::Failed(error.into()))?;
                if event == "end" {
                    let text = |name: &str| parsed["data"][name].as_str().unwrap_or_default();
                    return Ok(Some(match text("reason") {
                        "newest" => Ended::Complete,
                        _ => Ended::Broken(text("detail").to_owned()),
                    }));
                }
                Some(self.paint.map_or(data, |paint| line(&parsed, paint)))
            }
        };
        // What has no id cannot be told apart, and says nothing that a stream of ours does.
        if let Some(id) = id {
            if is_gap {
                // What comes behind it may begin anew.
                self.tracker = tracker(&self.fresh);
            }
            // A callback that is called at once takes all that is new.
            let _ = self.tracker.try_record(&id, line);
        }
        for line in self.lines.try_iter() {
            writeln!(out, "{line}")?;
            self.printed += 1;
        }
        Ok(None)
    }

    /// Once for each time that the server is away.
    fn say_lost(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_lost, true) {
            tracing::warn!(why, "The stream of events broke; it goes on once the server answers.");
        }
    }

    /// How long to wait now; the next time twice as long, until something is heard.
    fn next_wait(&mut self) -> Duration {
        let wait = self.wait;
        self.wait = (wait * 2).min(RETRY_MAX);
        wait
    }
}

/// Hands on what was not heard before.
fn tracker(fresh: &mpsc::SyncSender<String>) -> EventTracker<Heard> {
    let fresh = fresh.clone();
    EventTracker::new(move |_: &str, heard: &Heard| {
        // The other end is in the same hands, and takes each before the next is heard.
        let _ = heard.clone().map(|line| fresh.try_send(line));
    })
}

/// An event for people.
fn line(event: &Value, paint: Paint) -> String {
    let text = |name: &str| event[name].as_str().map(escaped);
    let kind = text("type").unwrap_or_default();
    let subject = text("delivery_id").or_else(|| text("notification_id")).unwrap_or_else(|| "-".to_owned());
    let details = event["data"].as_object().map(details).unwrap_or_default();
    let color = match kind.rsplit('.').next().unwrap_or_default() {
        "gap" => Some(Color::Red),
        word => Color::of_status(word),
    };
    let (id, at) = (text("id").unwrap_or_default(), text("at").unwrap_or_default());
    let kind = paint.color(color, &format!("{kind:<22}"));
    format!("{at}  {kind}  {subject}  {details}  {}", paint.dim(&id))
}

fn details(data: &Map<String, Value>) -> String {
    let said = data.iter().filter(|(_, value)| !value.is_null());
    let words = said.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={}", escaped(text)),
        other => format!("{name}={other}"),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
