//! `campanile serve`: runs the daemon.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::failure::{Exit, Failure};
use super::{Answer, Globals, plugins};
use crate::config::{Config, Loaded, Source};
use crate::domain::Actor;
use crate::runtime::{BuildError, Runtime, StoreError, room_hint};

/// Connections that do not end by themselves are cut off after this long.
const CONNECTIONS_LIMIT: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Address to listen on, instead of `server.listen`
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
}

pub(super) fn run(globals: &Globals, args: &Args) -> Result<Answer, Failure> {
    let source = match &args.listen {
        Some(listen) => globals.source().flag("--listen", "server.listen", listen.as_str()),
        None => globals.source(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("the asynchronous runtime does not start")?;
    // First of all: one that comes while the configuration is read, or the runtime starts, is kept until it is heeded.
    let signals = {
        let _entered = runtime.enter();
        Signals::listen()?
    };
    // The same again at each reload: what was found now is what is read then.
    let Loaded { config, warnings, .. } = source.clone().load()?;
    for warning in &warnings {
        tracing::warn!(%warning, "The configuration has a setting that deserves a look.");
    }
    runtime.block_on(serve(config, source, signals))
}

async fn serve(config: Config, source: Source, mut signals: Signals) -> Result<Answer, Failure> {
    let server = config.server.clone();
    // Before anything is started: an address in use is the most common reason not to start.
    let listener = TcpListener::bind(server.listen).await.map_err(|error| {
        let error = anyhow::Error::new(error).context(format!("cannot listen on `{}`", server.listen));
        Failure::new(Exit::Usage, error).hint("set `listen` in `[server]`, or `--listen`, to a free address")
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    let (listener, meanwhile) = twice(listener)?;
    let (ready, starting) = oneshot::channel::<()>();
    let meanwhile = tokio::spawn(crate::api::serve(meanwhile, crate::api::starting(), async move {
        let _ = starting.await;
    }));
    let runtime = tokio::select! {
        runtime = start(config, source) => runtime?,
        // Nothing was accepted, and nothing begun.
        () = signals.stop() => return Ok(Answer::ok("")),
    };
    let _ = ready.send(());
    // Whoever is being answered is answered; nobody keeps a connection to what answers no more.
    let _ = tokio::time::timeout(CONNECTIONS_LIMIT, meanwhile).await;
    announce(address)?;

    let (stop, stopped) = oneshot::channel::<()>();
    let router = crate::api::router(runtime.clone(), &server);
    let api = tokio::spawn(crate::api::serve(listener, router, async move {
        // Dropping the sender stops it as well.
        let _ = stopped.await;
    }));
    while signals.next().await == Asked::Reload {
        // A signal comes from somebody at this machine. What becomes of it is in the log; a stop does not wait for it.
        let runtime = runtime.acting_for(Actor::Cli);
        tokio::spawn(async move { runtime.reload_from_source().await });
    }
    let timeout = runtime.config().server.shutdown_timeout;
    tracing::info!(in_time_s = timeout.as_secs(), "Stopping.");
    let _ = stop.send(());
    tokio::select! {
        result = finish(api, &runtime, timeout) => result,
        () = signals.stop() => {
            runtime.shutdown_now().await;
            Err(Failure::new(Exit::No, anyhow::anyhow!("a second signal cut the stop short"))
                .hint("nothing is lost: the next start delivers what was in flight"))
        }
    }
}

/// Two handles of one socket: for what answers while the server starts, and for the server.
fn twice(listener: TcpListener) -> Result<(TcpListener, TcpListener), Failure> {
    let cloned = listener.into_std().and_then(|first| Ok((first.try_clone()?, first)));
    let (first, second) = cloned.context("the listener cannot be shared")?;
    let back = |listener| TcpListener::from_std(listener).context("the listener cannot be shared");
    Ok((back(first)?, back(second)?))
}

async fn start(config: Config, source: Source) -> Result<Runtime, Failure> {
    let database = config.store.path.clone();
    let mut builder = Runtime::builder().config(config).source(source);
    if let Some(program) = plugins::program() {
        builder = builder.compiler(program);
    }
    builder.build().await.map_err(|error| match error {
        BuildError::Config(error) => error.into(),
        error @ BuildError::Store(StoreError::Unavailable { .. }) => {
            Failure::new(Exit::Usage, error).hint(room_hint(&database))
        }
        error => Failure::new(Exit::Usage, error),
    })
}

/// Scripts wait for this line.
fn announce(address: SocketAddr) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "listening on http://{address}").and_then(|()| out.flush()).context("cannot say where it listens")?;
    Ok(())
}

async fn finish(
    api: tokio::task::JoinHandle<std::io::Result<()>>,
    runtime: &Runtime,
    timeout: Duration,
) -> Result<Answer, Failure> {
    // Requests under way get their answers first, those that wait for an outcome the present state: they need the store.
    runtime.release_waiters();
    if let Ok(ended) = tokio::time::timeout(CONNECTIONS_LIMIT, api).await {
        ended.context("the HTTP server ended by a defect")?.context("the HTTP server failed")?;
    }
    match runtime.shutdown(timeout).await {
        Ok(()) => Ok(Answer::ok("")),
        Err(left) => Err(Failure::new(Exit::No, left)),
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Stop,
    Reload,
}

/// SIGTERM and SIGINT, which stop, and SIGHUP, which reloads.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let of = |kind| signal(kind).context("cannot listen for signals");
        let (terminate, interrupt) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, hangup: of(SignalKind::hangup())? })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Reload,
        }
    }

    /// A reload that is asked for before is kept until it can be heeded.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
