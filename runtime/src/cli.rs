//! The command line: what people and scripts type.
//!
//! *Flow:* arguments → one command → an [`Answer`] on standard output, or a [`Failure`] on standard error; both carry
//! the exit code.
//!
//! *Invariants:* data goes to standard output, talk to standard error. With `--json` a command that has ended prints one
//! object on standard output, also where it failed: `{"error": {"message", "causes", "hint", "exit"}}`. Text that came from elsewhere is printed with its
//! control characters escaped. `events` prints an object on each line, since it may not end. A command is in `--help` only if it works.
//!
//! *Not here:* what the server does. `send`, `status`, `list`, `cancel`, `replay`, `dead-letters`, `audit`, `events`, `channels`,
//! `reload`, `top`, `workers`, and `list`, `release` and `approve` of `plugins` are clients of one over HTTP; `backup` reads
//! the database beside one.

mod audit;
mod backup;
mod bench;
mod callbacks;
mod cancel;
mod channels;
mod client;
mod completions;
mod config;
mod dead_letters;
mod demo;
mod doctor;
mod events;
mod failure;
mod list;
mod log;
mod migrate;
mod paging;
mod plugins;
mod progress;
mod reload;
mod replay;
mod restore;
mod send;
mod serve;
mod stats;
mod status;
mod table;
mod target;
mod terminal;
mod top;
mod upkeep;
mod when;
mod workers;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{ArgAction, Parser, Subcommand};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{ConfigError, Loaded, Source};
use failure::{Exit, Failure};
use log::PluginLines;
use terminal::{ColorWhen, Paint};

/// A notification runtime: durable queue, delivery at least once, channels as sandboxed plugins.
#[derive(Debug, Parser)]
#[command(name = "campanile", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Configuration file [default: the first that exists of ./campanile.toml,
    /// $XDG_CONFIG_HOME/campanile/config.toml, /etc/campanile/config.toml]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Server to talk to [default: where the configuration listens]
    #[arg(long, global = true, value_name = "URL", env = "CAMPANILE_URL", hide_env_values = true)]
    url: Option<String>,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    /// Log more to standard error; may be repeated
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    verbose: u8,
    /// Log less; may be repeated
    #[arg(short, long, global = true, action = ArgAction::Count)]
    quiet: u8,
    /// Colors in the output
    #[arg(long, global = true, value_enum, default_value_t, value_name = "WHEN")]
    color: ColorWhen,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Args),
    /// Show the whole story on this machine, on loopback and in a folder of its own
    Demo(demo::Args),
    /// Send a notification
    Send(Box<send::Args>),
    /// Show a notification: deliveries and attempts
    Status(status::Args),
    /// List notifications, the newest first
    List(list::Args),
    /// Cancel what has not left of a notification, or one delivery
    Cancel(cancel::Args),
    /// Try again what failed for good
    Replay(replay::Args),
    /// Look at what failed for good
    #[command(subcommand, arg_required_else_help = true)]
    DeadLetters(dead_letters::Command),
    /// Show who did what, the newest first
    Audit(audit::Args),
    /// Show what happened, or follow what happens
    Events(events::Args),
    /// Look at channels, pause them, try them out
    #[command(subcommand, arg_required_else_help = true)]
    Channels(channels::Command),
    /// Look at callbacks, and at their calls that were given up
    #[command(subcommand, arg_required_else_help = true)]
    Callbacks(callbacks::Command),
    /// Look at plugins
    #[command(subcommand, arg_required_else_help = true)]
    Plugins(plugins::Command),
    /// Show the pool of workers, or set its size
    Workers(workers::Args),
    /// Show totals: deliveries, queue, workers, callbacks, events, database
    Stats(stats::Args),
    /// Watch lanes, channels, workers and plugins of a running server
    Top(top::Args),
    /// Look at the configuration
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::Command),
    /// Have a running server read its configuration again
    Reload(reload::Args),
    /// Copy the database into a file, also while a server runs
    Backup(backup::Args),
    /// Put a backup in the place of the database
    Restore(restore::Args),
    /// Bring the database up to the version of this program
    Migrate(migrate::Args),
    /// Explain what is wrong with this installation
    Doctor(doctor::Args),
    /// Measure this machine
    #[command(subcommand, arg_required_else_help = true)]
    Bench(bench::Command),
    /// Print completions for a shell
    Completions(completions::Args),
}

/// What a command has to say, and how it ended.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    /// For standard output, with the newline at its end.
    text: String,
    /// For standard error: what to do next, with the newline at its end.
    talk: String,
    exit: Exit,
}

impl Answer {
    fn ok(text: impl Into<String>) -> Self {
        Self::ended(text, Exit::Ok)
    }

    fn ended(text: impl Into<String>, exit: Exit) -> Self {
        Self { text: text.into(), talk: String::new(), exit }
    }
}

impl Globals {
    fn source(&self) -> Source {
        Source::of_process(self.config.clone())
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        self.source().load()
    }

    fn paint_stdout(&self) -> Paint {
        self.color.for_stdout()
    }
}

/// Runs the program on these arguments, the first of which is its name.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error, &arguments),
    };
    let (paint, json) = (cli.globals.color.for_stderr(), cli.globals.json);
    // A server has an operator, who wants to know what took effect; a client says what went wrong.
    let unshown = match &cli.command {
        Command::Serve(_) => cli.globals.log(LevelFilter::INFO, PluginLines::Shown),
        // It tells its story itself, the broken file and the failing delivery included.
        Command::Demo(_) => cli.globals.log(LevelFilter::ERROR, PluginLines::Shown),
        Command::Plugins(command) if command.tries() => cli.globals.log(LevelFilter::WARN, PluginLines::Counted),
        _ => cli.globals.log(LevelFilter::WARN, PluginLines::Shown),
    };
    let ended = run(cli);
    if let Some(note) = unshown.note() {
        let _ = io::stderr().write_all(note.as_bytes());
    }
    let printed = ended.and_then(|answer| {
        let exit = print(&answer)?;
        let _ = io::stderr().write_all(answer.talk.as_bytes());
        Ok(exit)
    });
    match printed {
        Ok(exit) => exit.into(),
        Err(failure) => tell(&failure, paint, json),
    }
}

/// A closed pipe changes nothing of how it ended.
fn tell(failure: &Failure, paint: Paint, json: bool) -> ExitCode {
    let _ = if json {
        io::stdout().write_all(failure.json().as_bytes())
    } else {
        io::stderr().write_all(failure.render(paint).as_bytes())
    };
    failure.exit.into()
}

/// What was typed is no command line. Help and version are errors to clap, and no errors to us.
fn unparsed(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    // What follows `--` is no option.
    let json = arguments.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    if json && error.use_stderr() && error.kind() != ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return tell(&Failure::of_usage(error), Paint::Off, json);
    }
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

fn run(cli: Cli) -> Result<Answer, Failure> {
    let Cli { globals, command } = cli;
    match command {
        Command::Serve(args) => serve::run(&globals, &args),
        Command::Demo(args) => demo::run(&args),
        Command::Send(args) => block_on(send::run(&globals, *args)),
        Command::Status(args) => block_on(status::run(&globals, &args)),
        Command::List(args) => block_on(list::run(&globals, &args)),
        Command::Cancel(args) => block_on(cancel::run(&globals, &args)),
        Command::Replay(args) => block_on(replay::run(&globals, &args)),
        Command::DeadLetters(command) => block_on(dead_letters::run(&globals, &command)),
        Command::Audit(args) => block_on(audit::run(&globals, &args)),
        Command::Events(args) => block_on(events::run(&globals, &args)),
        Command::Channels(command) => block_on(channels::run(&globals, &command)),
        Command::Callbacks(command) => block_on(callbacks::run(&globals, &command)),
        Command::Plugins(command) => block_on(plugins::run(&globals, command)),
        Command::Workers(args) => block_on(workers::run(&globals, &args)),
        Command::Stats(_) => block_on(stats::run(&globals)),
        Command::Top(args) => block_on(top::run(&globals, &args)),
        Command::Config(command) => config::run(&globals, &command),
        Command::Reload(args) => block_on(reload::run(&globals, &args)),
        Command::Backup(args) => backup::run(&globals, &args),
        Command::Restore(args) => restore::run(&globals, &args),
        Command::Migrate(args) => migrate::run(&globals, &args),
        Command::Doctor(_) => block_on(doctor::run(&globals)),
        Command::Bench(command) => bench::run(&globals, command),
        Command::Completions(args) => Ok(completions::run(&args)),
    }
}

/// Runs what waits for one server: a single thread is enough.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime does not start")?
        .block_on(command)
}

fn print(answer: &Answer) -> Result<Exit, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(answer.text.as_bytes()).and_then(|()| out.flush()) {
        // `campanile … | head` has all that it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(answer.exit),
        result => Ok(result.context("standard output cannot be written").map(|()| answer.exit)?),
    }
}

#[cfg(test)]
mod tests;
