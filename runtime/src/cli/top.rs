//! `campanile top`: how a running server stands, looked at again and again.
//!
//! *Flow:* [`look`] asks the server → [`frame`] makes lines of what was seen → [`screen`] draws them.

mod frame;
mod keys;
mod look;
mod screen;

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::MissedTickBehavior;

use super::client::Client;
use super::failure::Failure;
use super::terminal::{ColorWhen, Paint};
use super::{Answer, Globals};
use crate::config::{format_duration, parse_duration};
use frame::{Frame, Lost};
use keys::{Key, Keys};
use look::{Look, Rates};
use screen::{Screen, Scroll};

/// More often would measure the measuring.
const INTERVAL_MIN: Duration = Duration::from_millis(200);
/// What is older is no live view.
const INTERVAL_MAX: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Ctrl-C or q ends it. Where there is more than fits, the arrow keys, PageUp, PageDown, Home and End move the view;
with --once everything is printed. While the server does not answer, what was seen last stays, and it is asked again.
With --json each frame is one object on a line of its own.

Exit codes: 0 shown; 1 no server answers at the start.

Examples:
  campanile top
  campanile top --interval 200ms
  campanile top --once --json")]
pub(super) struct Args {
    /// Look this often, from 200ms to 1m
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = interval)]
    interval: Duration,
    /// Print one frame and end, as is done where standard output is no terminal
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).map_err(|error| error.to_string())?;
    if (INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Ok(interval);
    }
    let (min, max) = (format_duration(INTERVAL_MIN), format_duration(INTERVAL_MAX));
    Err(format!("{} is outside of the limits, {min} to {max}", format_duration(interval)))
}

pub(super) async fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let client = Client::new(globals)?;
    // A server that is not there at the start is a wrong URL sooner than one that restarts.
    let view = View::of(client.base().to_string(), look::take(&client).await?);
    if globals.json && args.once {
        return Ok(Answer::ok(format!("{:#}\n", view.frame().json())));
    }
    if globals.json {
        return watch(&client, args.interval, view, |frame| {
            let mut out = io::stdout().lock();
            writeln!(out, "{}", frame.json()).and_then(|()| out.flush())
        })
        .await;
    }
    if args.once || !io::stdout().is_terminal() {
        let paint = if globals.color == ColorWhen::Always { Paint::On } else { Paint::Off };
        return Ok(Answer::ok(view.frame().text(paint)));
    }
    let paint = globals.paint_stdout();
    // From here on whatever ends this command leaves the terminal as it was.
    let mut stop = Stop::listen()?;
    let mut screen = Screen::enter(io::stdout()).context("the terminal cannot be written")?;
    let watching = Watching { stop: &mut stop, keys: &mut Keys::listen(), interval: args.interval };
    watch_until(watching, &client, view, |frame, scroll| {
        let (columns, rows) = screen::size();
        screen.draw(&frame.text(paint), (columns, rows), scroll)
    })
    .await
}

/// What a view goes by.
struct Watching<'a> {
    stop: &'a mut Stop,
    keys: &'a mut Keys,
    interval: Duration,
}

async fn watch(
    client: &Client,
    interval: Duration,
    view: View,
    mut show: impl FnMut(&Frame<'_>) -> io::Result<()>,
) -> Result<Answer, Failure> {
    let watching = Watching { stop: &mut Stop::listen()?, keys: &mut Keys::none(), interval };
    watch_until(watching, client, view, |frame, _| show(frame)).await
}

/// Shows what is seen until somebody asks it to stop, or until nobody reads it any more.
async fn watch_until(
    Watching { stop, keys, interval }: Watching<'_>,
    client: &Client,
    mut view: View,
    mut show: impl FnMut(&Frame<'_>, &mut Scroll) -> io::Result<()>,
) -> Result<Answer, Failure> {
    let mut scroll = Scroll::default();
    let mut ticks = tokio::time::interval(interval);
    // A server that answers late is not asked faster for it.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one is at once, and the first look is taken.
    ticks.tick().await;
    loop {
        let next = async {
            ticks.tick().await;
            look::take(client).await
        };
        tokio::pin!(next);
        // Keys move what was seen; they ask nobody, and keep nobody from being asked.
        let looked = loop {
            match show(&view.frame(), &mut scroll) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Answer::ok("")),
                shown => shown.context("standard output cannot be written")?,
            }
            tokio::select! {
                () = stop.asked() => return Ok(Answer::ok("")),
                looked = &mut next => break looked,
                pressed = keys.pressed() => {
                    if pressed.contains(&Key::Quit) {
                        return Ok(Answer::ok(""));
                    }
                    pressed.into_iter().for_each(|key| scroll.go(key));
                }
            }
        };
        view.add(looked);
    }
}

/// What has been seen so far, as far as the next frame needs it.
struct View {
    server: String,
    now: Look,
    taken: Instant,
    /// None until there are two looks in a row.
    rates: Option<Rates>,
    lost: Option<Lost>,
}

impl View {
    fn of(server: String, now: Look) -> Self {
        Self { server, now, taken: Instant::now(), rates: None, lost: None }
    }

    fn add(&mut self, looked: Result<Look, Failure>) {
        match looked {
            Ok(look) => {
                let taken = Instant::now();
                // A server that was away may have begun to count anew.
                let in_a_row = self.lost.take().is_none();
                self.rates = in_a_row.then(|| Rates::between(&self.now, &look, taken - self.taken));
                (self.now, self.taken) = (look, taken);
            }
            Err(failure) => {
                let message = failure.message();
                let since = self.lost.take().map_or_else(jiff::Timestamp::now, |lost| lost.since);
                self.lost = Some(Lost { since, message });
                self.rates = None;
            }
        }
    }

    fn frame(&self) -> Frame<'_> {
        Frame { server: &self.server, look: &self.now, rates: self.rates.as_ref(), lost: self.lost.as_ref() }
    }
}

/// The signals that end a command. They are caught so that the terminal is left as it was.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    fn listen() -> Result<Self, Failure> {
        let of = |kind| signal(kind).context("cannot listen for signals");
        let (interrupt, terminate) = (of(SignalKind::interrupt())?, of(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, hangup: of(SignalKind::hangup())? })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests;
