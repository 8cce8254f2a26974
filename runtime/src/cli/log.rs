//! The log on standard error.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets, filter_fn};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use super::Globals;
use super::terminal::Paint;

/// Where lines that a plugin logs come from.
const OF_PLUGINS: &str = "campanile::sandbox::host::log";

/// Whether what plugins log is shown. A plugin that is tried with everything says the same a hundred times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PluginLines {
    Shown,
    Counted,
}

/// How many lines of plugins were not shown.
#[derive(Clone, Debug, Default)]
pub(super) struct Unshown(Arc<AtomicU64>);

impl Unshown {
    /// What is said of them, if there were any.
    pub(super) fn note(&self) -> Option<String> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            1 => Some("note: the plugin logged one line, which `-v` shows\n".to_owned()),
            count => Some(format!("note: the plugin logged {count} lines, which `-v` shows\n")),
        }
    }
}

impl<S: Subscriber> Layer<S> for Unshown {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == OF_PLUGINS {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Globals {
    /// Starts it. Of the libraries below only what went wrong: at finer levels they may name addresses.
    pub(super) fn log(&self, usual: LevelFilter, plugins: PluginLines) -> Unshown {
        const LEVELS: [LevelFilter; 5] =
            [LevelFilter::ERROR, LevelFilter::WARN, LevelFilter::INFO, LevelFilter::DEBUG, LevelFilter::TRACE];
        let usual = LEVELS.iter().position(|level| *level == usual).unwrap_or_default();
        let level = (usual + usize::from(self.verbose)).saturating_sub(usize::from(self.quiet)).min(LEVELS.len() - 1);
        let level = LEVELS[level];
        let targets = Targets::new().with_default(level.min(LevelFilter::WARN)).with_target("campanile", level);
        let counted = plugins == PluginLines::Counted && self.verbose == 0;
        let lines = tracing_subscriber::fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(self.color.for_stderr() == Paint::On)
            .with_target(false)
            .with_filter(filter_fn(move |metadata| !counted || metadata.target() != OF_PLUGINS));
        let unshown = Unshown::default();
        let counter = counted.then(|| unshown.clone());
        // Someone who calls `main` from a program of their own may have a subscriber already: then that one counts.
        let _ = tracing_subscriber::registry().with(lines).with(counter).with(targets).try_init();
        unshown
    }
}
