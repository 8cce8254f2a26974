//! Another configuration, while everything goes on.
//!
//! *Flow:* read and checked in full → judged by the plugins of its channels → made durable as a fact → in force for the
//! next call, the next submission and the next attempt that ends.
//!
//! *Invariants:* one with a problem changes nothing. What cannot change while the process runs stays as it is, is told,
//! and is what [`Runtime::config`] shows.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use super::auditing::digest_of;
use super::builder::{policies, templates, time_limits};
use super::calling::callback_settings;
use super::findings::ConfigFinding;
use super::retention::Retention;
use super::webhooks::{Opened, named_as_closures};
use super::{ChannelChanges, Parts, Runtime, gates, rates};
use crate::call::TemplateCaller;
use crate::config::{Config, Examined, Places, PluginsConfig, Problem, ServerConfig, StoreConfig};
use crate::domain::{
    Act, AuditEntry, AuditOutcome, ChannelChange, ChannelEvent, ChannelName, Event, EventBody, Timestamp,
};
use crate::intake::Intake;
use crate::sandbox::{ChannelFinding, Unusable};
use crate::store::StoreError;

/// What took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reloaded {
    /// The file it was read from, if there was one.
    pub file: Option<PathBuf>,
    /// What became of channels.
    pub channels: ChannelChanges,
    /// Keys of other settings that are others now, such as `retry.default.max_retries`, in order.
    pub settings: Vec<String>,
    /// Keys of settings that are others only after a restart, in order.
    pub restart_needed: Vec<String>,
    /// What is good and cannot be meant.
    pub warnings: Vec<ConfigFinding>,
}

/// Why a configuration did not take effect. Nothing changed then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// It has problems.
    #[error("the configuration has {}, and nothing of it takes effect", counted(.problems.len()))]
    Config {
        /// The file it was read from, if there was one.
        file: Option<PathBuf>,
        /// All of them, by place; at least one.
        problems: Vec<ConfigFinding>,
    },
    /// It was made in code, and not loaded.
    #[error("there is no configuration to be read again: this one was made by the program that Campanile is part of")]
    NoSource,
    /// That it takes effect cannot be written down.
    #[error("the store does not take the reload; nothing of it takes effect")]
    Store(#[from] StoreError),
    /// A defect of ours.
    #[error("the reload was cut off: {reason}")]
    Internal {
        /// What is known of it.
        reason: String,
    },
}

fn counted(problems: usize) -> String {
    if problems == 1 { "a problem".to_owned() } else { format!("{problems} problems") }
}

impl ReloadError {
    fn cut_off(error: &tokio::task::JoinError) -> Self {
        Self::Internal { reason: error.to_string() }
    }
}

impl Runtime {
    /// Puts another configuration in force: all of it that can change while everything runs, or nothing. Channels that
    /// are new or others are used from the next call on, what is in flight ends on the settings it began with, and
    /// secrets are read again. Deliveries of channels that are disabled or not there any more wait. What takes a restart
    /// is told, and stays as it is.
    ///
    /// # Errors
    ///
    /// [`ReloadError`]; nothing changed then. A channel that is new or different, and could not be used, is a problem.
    pub async fn reload(&self, config: Config) -> Result<Reloaded, ReloadError> {
        let problems = config.check().err().map(|error| error.problems).unwrap_or_default();
        let (places, warnings) = (Places::default(), config.warnings());
        self.reload_what(move || Examined { config, file: None, places, problems, warnings }).await
    }

    /// The same with what the configuration came from, read again: its file, the environment as it was at the start,
    /// files that are named there, and flags.
    ///
    /// # Errors
    ///
    /// As [`reload`](Self::reload), and [`ReloadError::NoSource`] where
    /// [`RuntimeBuilder::source`](super::RuntimeBuilder::source) named none.
    pub async fn reload_from_source(&self) -> Result<Reloaded, ReloadError> {
        let source = self.parts.source.clone().ok_or(ReloadError::NoSource)?;
        self.reload_what(move || source.examine()).await
    }

    async fn reload_what(&self, look: impl FnOnce() -> Examined + Send + 'static) -> Result<Reloaded, ReloadError> {
        let runtime = self.clone();
        // In a task of its own: whoever asked may go away meanwhile, and half a reload is none.
        let done = tokio::spawn(async move { runtime.put_in_force(look).await }).await;
        let done = done.unwrap_or_else(|error| Err(ReloadError::cut_off(&error)));
        tell(&done);
        done
    }

    async fn put_in_force(&self, look: impl FnOnce() -> Examined + Send + 'static) -> Result<Reloaded, ReloadError> {
        let parts = &self.parts;
        let _alone = parts.reloading.lock().await;
        let examined = tokio::task::spawn_blocking(look).await.map_err(|error| ReloadError::cut_off(&error))?;
        // Plugins are asked also where something else is wrong: whoever mends it wants to know all.
        let judged = examined.judgeable().config;
        let planned = parts.registry.plan_reload(judged.channels, judged.plugins.defaults).await;
        let Examined { config, file, places, mut problems, warnings } = examined;
        problems.extend(named_as_closures(&config, &parts.callbacks, &places));
        let opened = match problems.iter().any(|problem| problem.key.starts_with("callbacks")) {
            true => Opened::default(),
            false => parts.webhooks.open(&config, &places).await.unwrap_or_else(|found| {
                problems.extend(found);
                Opened::default()
            }),
        };
        let planned = match planned {
            Ok(planned) if problems.is_empty() => planned,
            planned => {
                let problems = together(&problems, &planned.err().unwrap_or_default(), &places);
                self.note(Act::Config { sha256: digest_of(&config) }, AuditOutcome::Refused).await;
                return Err(ReloadError::Config { file, problems });
            }
        };
        let (old, new) = (parts.config.load_full(), parts.as_far_as_can_be(config.clone()));
        let channels = planned.changes().clone();
        let (at, sha256) = (parts.clock.now(), digest_of(&new));
        let entry = AuditEntry { at, by: self.by, act: Act::Config { sha256 }, outcome: AuditOutcome::Done };
        parts.store.keep_plugins(Vec::new(), events(&channels, sha256, at), vec![entry]).await?;
        planned.apply().await;
        parts.follow(&old, &new);
        parts.webhooks.replace(&new, opened).await;
        let warnings = together(&warnings, &self.grants_in_vain(), &places);
        let reloaded = Reloaded {
            file,
            channels,
            settings: old.differing_keys(&new).into_iter().filter(|key| !key.starts_with("channels.")).collect(),
            restart_needed: parts.takes_a_restart(&new, &config),
            warnings,
        };
        parts.config.store(Arc::new(new));
        Ok(reloaded)
    }

    /// What of configured channels is of no use.
    fn grants_in_vain(&self) -> Unusable {
        let channels = self.channels().into_iter().filter(|channel| !channel.warnings.is_empty());
        channels.map(|channel| (channel.name, channel.warnings)).collect()
    }
}

impl Parts {
    /// The configuration without what takes a restart: that stays as it is.
    fn as_far_as_can_be(&self, new: Config) -> Config {
        let old = self.config.load();
        let server = ServerConfig { shutdown_timeout: new.server.shutdown_timeout, ..old.server.clone() };
        let store = StoreConfig { path: old.store.path.clone(), durability: old.store.durability, ..new.store };
        let plugins = PluginsConfig { defaults: new.plugins.defaults, ..old.plugins.clone() };
        let workers = self.dispatcher.as_far_as_can_be(new.workers);
        Config { server, store, plugins, workers, ..new }
    }

    /// The keys of what is wanted and not in force.
    fn takes_a_restart(&self, in_force: &Config, wanted: &Config) -> Vec<String> {
        let mut keys = in_force.differing_keys(wanted);
        // The sandbox has reserved its memory.
        let defaults = wanted.plugins.defaults;
        let is_too_much = |memory: u64| memory > self.memory_max;
        keys.extend(is_too_much(defaults.memory).then(|| "plugins.defaults.memory".to_owned()));
        let own = wanted.channels.iter().filter(|(_, channel)| channel.limits.memory != defaults.memory);
        let large = own.filter(|(_, channel)| is_too_much(channel.limits.memory));
        keys.extend(large.map(|(name, _)| format!("channels.{name}.memory")));
        keys.sort();
        keys
    }

    /// Everything but the channels.
    fn follow(&self, old: &Config, new: &Config) {
        let (default, by_channel) = policies(new);
        self.policies.replace(default, by_channel);
        self.set_gates(new, &rates::said(&self.registry));
        self.dispatcher.reconfigure(new.workers);
        self.dispatcher.set_time_limits(time_limits(new));
        self.dispatcher.set_fallbacks(gates::fallbacks(new));
        self.renderer.set_strict(new.templates.strict);
        if old.callbacks != new.callbacks || old.retry != new.retry {
            // `check` has seen them: they are within their range.
            if let Err(error) = self.callbacks.configure(callback_settings(new)) {
                tracing::error!(error = %error, "Callbacks go on with their old settings.");
            }
        }
        let intake = self.intake.load_full();
        let pins = match old.templates == new.templates {
            true => Arc::clone(&intake.templates),
            false => {
                let engines: Arc<dyn TemplateCaller> = Arc::clone(&self.registry) as _;
                templates(&new.templates, &engines, &self.store, &self.clock)
            }
        };
        let dedupe_window = new.store.dedupe_window;
        self.intake.store(Arc::new(Intake { templates: pins, dedupe_window, ..intake.as_ref().clone() }));
        let (store, clock, metrics) = (Arc::clone(&self.store), Arc::clone(&self.clock), Arc::clone(&self.metrics));
        // The one before ends with this; what it was about to clear up is found again.
        *self.sweeper.lock().unwrap_or_else(PoisonError::into_inner) = Retention::of(new).start(store, clock, metrics);
    }
}

/// What the host and the plugins found, by place.
fn together(own: &[Problem], of_channels: &Unusable, places: &Places) -> Vec<ConfigFinding> {
    let told = |(name, found): (&ChannelName, &Vec<ChannelFinding>)| -> Vec<_> {
        found.iter().map(|finding| ConfigFinding::of_channel(name, finding, places)).collect()
    };
    let own = own.iter().map(ConfigFinding::of_setting);
    let mut all: Vec<_> = own.chain(of_channels.iter().flat_map(told)).collect();
    all.sort_by(|a, b| a.place.cmp(&b.place));
    all
}

/// The facts of a reload, in the order in which a reader understands them.
fn events(changes: &ChannelChanges, sha256: [u8; 32], at: Timestamp) -> Vec<Event> {
    let ChannelChanges { added, changed, removed, disabled, enabled } = changes;
    let of = |change: ChannelChange, names: &[ChannelName]| -> Vec<_> {
        let reason = (change == ChannelChange::Disabled).then(|| "the configuration says `enabled = false`".to_owned());
        let event = |channel: &ChannelName| ChannelEvent { channel: channel.clone(), change, reason: reason.clone() };
        names.iter().map(|name| EventBody::Channel(event(name))).collect()
    };
    let lists = [
        of(ChannelChange::Added, added),
        of(ChannelChange::Changed, changed),
        of(ChannelChange::Removed, removed),
        of(ChannelChange::Disabled, disabled),
        of(ChannelChange::Enabled, enabled),
        vec![EventBody::ConfigReloaded { sha256 }],
    ];
    lists.into_iter().flatten().map(|body| Event { at, body }).collect()
}

/// For the operator, whoever asked for it.
fn tell(done: &Result<Reloaded, ReloadError>) {
    let names = |names: &[ChannelName]| names.iter().map(ChannelName::as_str).collect::<Vec<_>>().join(" ");
    match done {
        Ok(Reloaded { channels, settings, restart_needed, warnings, .. }) => {
            for warning in warnings {
                tracing::warn!(%warning, "The configuration has a setting that deserves a look.");
            }
            tracing::info!(
                added = names(&channels.added),
                changed = names(&channels.changed),
                removed = names(&channels.removed),
                disabled = names(&channels.disabled),
                enabled = names(&channels.enabled),
                settings = settings.join(" "),
                restart_needed = restart_needed.join(" "),
                "The configuration is reloaded."
            );
        }
        Err(error) => {
            if let ReloadError::Config { problems, .. } = error {
                for problem in problems {
                    tracing::error!(%problem, "The configuration has a problem.");
                }
            }
            let error: &dyn std::error::Error = error;
            tracing::error!(error, "The configuration is not reloaded; everything goes on as it was.");
        }
    }
}
