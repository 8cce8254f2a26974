//! The registry's books: which files there are, which of them serves what. Changed by one hand at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use sha2::{Digest as _, Sha256};

use super::ledger::{Held, Ledger};
use super::snapshot::Snapshot;
use super::status::{PluginSource, PluginState, PluginStatus};
use super::version::{Prepared, Version};
use crate::config::ChannelConfig;
use crate::domain::{BarKind, ChannelName, Permission, PluginChange, PluginName, Timestamp};
use crate::sandbox::folder::Fingerprint;
use crate::sandbox::inspect::{FileHash, PluginKind, name_of_file};

/// A file and what became of it.
#[derive(Clone, Debug)]
pub(super) struct FileRecord {
    pub(super) source: PluginSource,
    pub(super) fingerprint: Fingerprint,
    /// What is known of it, also when it is not used.
    pub(super) seen: Sight,
    pub(super) state: FileState,
    pub(super) since: Timestamp,
}

/// What a look at a file told.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    pub(super) name: Option<PluginName>,
    pub(super) version: Option<semver::Version>,
    pub(super) kind: Option<PluginKind>,
    pub(super) sha256: Option<FileHash>,
}

/// What became of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FileState {
    /// It comes with the program and nothing has used it.
    Available,
    /// A plugin on the shelf is made of it.
    Used,
    /// It is tried beside the version that serves.
    Trial,
    /// It asks for more than was approved.
    Held { reason: String, asked: Vec<Permission> },
    /// It failed too often.
    Barred(BarKind, String),
    /// It is not used.
    Refused(Refusal),
}

/// Why a file is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) reason: String,
    /// Another file provides this plugin. When that one goes, this one gets its turn.
    pub(super) behind: Option<PluginName>,
}

impl Refusal {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), behind: None }
    }
}

/// A plugin that serves, and the file it was made of.
#[derive(Debug)]
pub(super) struct Shelved {
    pub(super) version: Arc<Version>,
    pub(super) path: PathBuf,
    pub(super) source: PluginSource,
    pub(super) kind: PluginKind,
    pub(super) size: u64,
    pub(super) since: Timestamp,
}

/// A plugin that is tried beside one that serves.
#[derive(Debug)]
pub(super) struct OnTrial {
    pub(super) shelved: Shelved,
    pub(super) channels: BTreeMap<ChannelName, ChannelEntry>,
}

/// A channel of a plugin that serves.
#[derive(Debug)]
pub(super) struct ChannelEntry {
    pub(super) plugin: PluginName,
    pub(super) prepared: Prepared,
}

#[derive(Debug, Default)]
pub(super) struct Shelf {
    pub(super) files: BTreeMap<PathBuf, FileRecord>,
    pub(super) serving: BTreeMap<PluginName, Shelved>,
    pub(super) channels: BTreeMap<ChannelName, ChannelEntry>,
    pub(super) trials: BTreeMap<PluginName, OnTrial>,
    pub(super) ledger: Ledger,
    /// Channels that there were at any time, and those that something may wait for.
    pub(super) known: BTreeSet<ChannelName>,
    /// Files that went while something was moving, as they last were.
    pub(super) gone: BTreeMap<PathBuf, FileRecord>,
    draining: Vec<(PluginStatus, Weak<Version>)>,
}

impl Shelf {
    /// An empty one, with what was remembered.
    pub(super) fn with(ledger: Ledger) -> Self {
        Self { ledger, ..Self::default() }
    }

    /// Whether a plugin made of `path` may stand where `old` stands: the same file, a file that is gone, or the
    /// operator's own before one that came with the program.
    pub(super) fn may_replace(&self, old: &Shelved, path: &Path, source: PluginSource) -> bool {
        old.path == path
            || !self.files.contains_key(&old.path)
            || (old.source == PluginSource::Bundled && source == PluginSource::Own)
    }

    /// The bundled file of a plugin that nothing has used so far.
    pub(super) fn available(&self, name: &str) -> Option<PathBuf> {
        let is_it = |record: &FileRecord| {
            record.state == FileState::Available && record.seen.name.as_ref().is_some_and(|hint| hint.as_str() == name)
        };
        self.files.iter().find(|(_, record)| is_it(record)).map(|(path, _)| path.clone())
    }

    /// Puts a plugin on the shelf with its channels. What stood there drains.
    pub(super) fn put(&mut self, shelved: Shelved, channels: BTreeMap<ChannelName, ChannelEntry>) {
        let name = shelved.version.name().clone();
        let same_file: Vec<_> = self.serving.iter().filter(|(_, old)| old.path == shelved.path).collect();
        let renamed: Vec<_> = same_file.into_iter().map(|(old, _)| old.clone()).filter(|old| *old != name).collect();
        for old in renamed {
            self.remove(&old, shelved.since);
        }
        self.remove(&name, shelved.since);
        self.channels.extend(channels);
        self.serving.insert(name, shelved);
    }

    /// Takes a plugin off the shelf. Calls in flight hold it for as long as they take.
    pub(super) fn remove(&mut self, name: &PluginName, now: Timestamp) {
        self.end_trial(name, now);
        let Some(old) = self.serving.remove(name) else { return };
        self.channels.retain(|_, entry| entry.plugin != *name);
        // A bundled file that had to make room is there for the next time.
        if let Some(record) = self.files.get_mut(&old.path)
            && record.source == PluginSource::Bundled
        {
            record.state = FileState::Available;
        }
        self.drain(&old, now);
    }

    /// Takes a plugin off its trial.
    pub(super) fn end_trial(&mut self, name: &PluginName, now: Timestamp) -> Option<OnTrial> {
        let ended = self.trials.remove(name)?;
        self.drain(&ended.shelved, now);
        Some(ended)
    }

    fn drain(&mut self, old: &Shelved, now: Timestamp) {
        let status = PluginStatus { since: now, ..self.serving_status(old) };
        self.draining.push((status, Arc::downgrade(&old.version)));
    }

    /// Forgets the operator's files that are not there any more. Tells whether there were any.
    pub(super) fn forget_gone(&mut self, is_there: impl Fn(&Path) -> bool) -> bool {
        let gone = |path: &PathBuf, record: &FileRecord| record.source == PluginSource::Own && !is_there(path);
        let gone: Vec<_> = self.files.extract_if(.., |path, record| gone(path, record)).collect();
        for (_, record) in &gone {
            if let (FileState::Held { .. } | FileState::Refused(_), Some(name)) = (&record.state, &record.seen.name) {
                self.ledger.forget_told(name);
            }
        }
        let were_any = !gone.is_empty();
        self.gone.extend(gone);
        were_any
    }

    /// Plugins whose own file is gone.
    pub(super) fn orphans(&self) -> Vec<PluginName> {
        let gone = |shelved: &Shelved| shelved.source == PluginSource::Own && !self.files.contains_key(&shelved.path);
        self.serving.iter().filter(|(_, shelved)| gone(shelved)).map(|(name, _)| name.clone()).collect()
    }

    /// Lets a plugin whose file is gone go on as that of another: one that holds the same version, or a version of it
    /// that waits. Tells whether there is one.
    pub(super) fn adopt(&mut self, name: &PluginName) -> bool {
        let Some(old) = self.serving.get_mut(name) else { return false };
        let sha256 = old.version.sha256();
        let is_same = |record: &FileRecord| record.seen.sha256 == Some(sha256);
        let waits = |record: &FileRecord| {
            let waits = matches!(record.state, FileState::Held { .. } | FileState::Barred(..) | FileState::Trial);
            waits && record.seen.name.as_ref() == Some(name)
        };
        let mut own = self.files.iter_mut().filter(|(_, record)| record.source == PluginSource::Own);
        let Some((path, record)) = own.find(|(_, record)| is_same(record) || waits(record)) else { return false };
        old.path.clone_from(path);
        if is_same(record) {
            record.state = FileState::Used;
        }
        true
    }

    /// The operator's files that stand behind the one that a plugin is made of.
    pub(super) fn behind(&self, name: &PluginName) -> Vec<PathBuf> {
        let stands = |state: &FileState| match state {
            FileState::Refused(Refusal { behind, .. }) => behind.as_ref() == Some(name),
            FileState::Available
            | FileState::Used
            | FileState::Trial
            | FileState::Held { .. }
            | FileState::Barred(..) => false,
        };
        let own = self.files.iter().filter(|(_, record)| record.source == PluginSource::Own && stands(&record.state));
        own.map(|(path, _)| path.clone()).collect()
    }

    /// The sentence about a plugin whose file is gone.
    pub(super) fn why_removed(&self, name: &PluginName) -> String {
        let Some(old) = self.serving.get(name) else { return "its file is gone".to_owned() };
        let gone = format!("its file `{}` is gone", file_name(&old.path));
        let last = self.gone.get(&old.path);
        let waited = last.filter(|last| last.seen.sha256 != Some(old.version.sha256()));
        match waited.map(|last| (&last.seen.version, &last.state)) {
            Some((Some(version), FileState::Held { .. })) => format!("{gone}, in which version {version} was held"),
            Some((Some(version), FileState::Barred(kind, _))) => {
                format!("{gone}, in which version {version} was {}", kind.as_str())
            }
            Some(_) => format!("{gone}, in which something else stood that was not used"),
            None => gone,
        }
    }

    /// Files whose turn has come: what they stood behind is gone.
    pub(super) fn next_in_line(&self) -> Vec<PathBuf> {
        let turn = |state: &FileState| match state {
            FileState::Refused(Refusal { behind: Some(name), .. }) => !self.serving.contains_key(name),
            FileState::Refused(_)
            | FileState::Available
            | FileState::Used
            | FileState::Trial
            | FileState::Held { .. }
            | FileState::Barred(..) => false,
        };
        self.files.iter().filter(|(_, record)| turn(&record.state)).map(|(path, _)| path.clone()).collect()
    }

    /// Everything as it is now, for readers.
    pub(super) fn snapshot(&mut self, configured: &BTreeMap<ChannelName, ChannelConfig>) -> Snapshot {
        self.draining.retain(|(_, version)| version.strong_count() > 0);
        let mut snapshot = Snapshot {
            plugins: self.plugin_statuses(configured),
            draining: self.draining.clone(),
            refused: self.refusals(),
            available: self.unused(),
            ..Snapshot::default()
        };
        for (name, shelved) in &self.serving {
            if shelved.kind == PluginKind::TemplateEngine {
                snapshot.engines.insert(name.clone(), Arc::clone(&shelved.version));
            }
            for extension in shelved.version.extensions() {
                snapshot.extensions.entry(extension.clone()).or_insert_with(|| name.clone());
            }
            let lends = self.channels.keys().any(|channel| channel.as_str() == name.as_str());
            if let Some(section) = shelved.version.section().filter(|_| !lends) {
                snapshot.sections.insert(name.clone(), section);
            }
        }
        snapshot.channels = self.all_served(configured);
        snapshot.out_of_use = self.out_of_use(&snapshot.channels, configured);
        snapshot.channel_statuses = self.channel_statuses(&snapshot.channels, configured);
        snapshot
    }

    /// What deliveries have to wait for: channels and template engines whose plugin is not to be called.
    pub(super) fn held(&self) -> Held {
        let is_held =
            |entry: &ChannelEntry| entry.prepared.ready.as_ref().is_ok_and(|ready| ready.version.is_stopped());
        let is_engine = |shelved: &Shelved| shelved.kind == PluginKind::TemplateEngine && shelved.version.is_stopped();
        Held {
            channels: self.channels.iter().filter(|(_, entry)| is_held(entry)).map(|(name, _)| name.clone()).collect(),
            engines: self.serving.iter().filter(|(_, old)| is_engine(old)).map(|(name, _)| name.clone()).collect(),
        }
    }

    /// Why what the plugin in a file has to do waits; none where it is called.
    pub(super) fn why_waiting(&self, path: &Path) -> Option<String> {
        let mut stopped = self.serving.values().filter(|shelved| shelved.path == path && shelved.version.is_stopped());
        stopped.next().map(|shelved| with_remedy(&self.why_stopped(&shelved.version), Some(shelved.version.name())))
    }

    /// The sentence about a version that is not to be called.
    pub(super) fn why_stopped(&self, version: &Version) -> String {
        let bar = self.ledger.book(version.name()).and_then(|book| book.bar(&version.sha256().0));
        bar.map_or_else(|| "it failed too often".to_owned(), |bar| bar.reason.clone())
    }

    pub(super) fn unused(&self) -> BTreeSet<PluginName> {
        let unused = self.files.values().filter(|record| record.state == FileState::Available);
        unused.filter_map(|record| record.seen.name.clone()).filter(|name| !self.serving.contains_key(name)).collect()
    }

    /// Sentences by name, of plugins of which no version serves.
    pub(super) fn refusals(&self) -> BTreeMap<PluginName, String> {
        let refused = self.files.values().filter_map(|record| {
            let name = record.seen.name.clone()?;
            let why = match &record.state {
                FileState::Refused(refusal) => format!("plugin `{name}` was refused: {}", refusal.reason),
                FileState::Held { reason, .. } => format!("plugin `{name}` is held back: {reason}"),
                FileState::Barred(kind, reason) => {
                    format!("plugin `{name}` is {}: {}", kind.as_str(), with_remedy(reason, Some(&name)))
                }
                FileState::Available | FileState::Used | FileState::Trial => return None,
            };
            Some((name, why))
        });
        refused.filter(|(name, _)| !self.serving.contains_key(name)).collect()
    }

    fn plugin_statuses(&self, configured: &BTreeMap<ChannelName, ChannelConfig>) -> Vec<PluginStatus> {
        let files = self.files.iter().filter_map(|(path, record)| {
            let state = match &record.state {
                FileState::Used | FileState::Trial => return None,
                FileState::Available
                    if record.seen.name.as_ref().is_some_and(|name| self.serving.contains_key(name)) =>
                {
                    return None;
                }
                FileState::Available => PluginState::Available,
                FileState::Refused(refusal) => PluginState::Refused { reason: refusal.reason.clone() },
                FileState::Held { reason, .. } => PluginState::Held { reason: reason.clone() },
                FileState::Barred(kind, reason) => {
                    let reason = with_remedy(reason, record.seen.name.as_ref());
                    match kind {
                        BarKind::RolledBack => PluginState::RolledBack { reason },
                        BarKind::Quarantined => PluginState::Quarantined { reason },
                    }
                }
            };
            Some(PluginStatus {
                name: record.seen.name.clone(),
                version: record.seen.version.clone(),
                kind: record.seen.kind,
                source: record.source,
                file: file_name(path),
                sha256: record.seen.sha256,
                size: record.fingerprint.size,
                state,
                channels: Vec::new(),
                shares: BTreeMap::new(),
                since: record.since,
            })
        });
        let trials = self.trials.values().map(|trial| self.trial_status(trial, configured));
        self.serving.values().map(|shelved| self.serving_status(shelved)).chain(trials).chain(files).collect()
    }

    fn serving_status(&self, shelved: &Shelved) -> PluginStatus {
        let name = shelved.version.name();
        let channels = self.channels.iter().filter(|(_, entry)| entry.plugin == *name);
        PluginStatus {
            name: Some(name.clone()),
            version: Some(shelved.version.number().clone()),
            kind: Some(shelved.kind),
            source: shelved.source,
            file: file_name(&shelved.path),
            sha256: Some(shelved.version.sha256()),
            size: shelved.size,
            state: if shelved.version.is_stopped() {
                PluginState::Quarantined { reason: with_remedy(&self.why_stopped(&shelved.version), Some(name)) }
            } else {
                PluginState::Serving
            },
            channels: channels.map(|(name, _)| name.clone()).collect(),
            shares: BTreeMap::new(),
            since: shelved.since,
        }
    }

    /// Only of channels that give it a share: the others go on as they are.
    fn trial_status(&self, trial: &OnTrial, configured: &BTreeMap<ChannelName, ChannelConfig>) -> PluginStatus {
        let OnTrial { shelved, channels } = trial;
        let share = |name: &ChannelName| Some((name.clone(), configured.get(name)?.canary?));
        let ready = channels.iter().filter(|(_, entry)| entry.prepared.ready.is_ok());
        let shares: BTreeMap<_, _> = ready.filter_map(|(name, _)| share(name)).collect();
        let channels = shares.keys().cloned().collect();
        PluginStatus { state: PluginState::Canary, channels, shares, ..self.serving_status(shelved) }
    }
}

impl FileRecord {
    /// A file that was not looked into.
    pub(super) fn fresh(path: &Path, source: PluginSource, fingerprint: Fingerprint, since: Timestamp) -> Self {
        let seen = Sight { name: name_of_file(path), ..Sight::default() };
        Self { source, fingerprint, seen, state: FileState::Available, since }
    }
}

/// Why a version is not called any more, and what lets it be called again.
pub(super) fn with_remedy(reason: &str, plugin: Option<&PluginName>) -> String {
    let name = plugin.map_or("NAME", PluginName::as_str);
    format!(
        "{reason}; put another version there, or let this one be called again with `campanile plugins release {name}`"
    )
}

/// What tells one telling of a file that is not used from another: what became of it, what it holds, and why.
pub(super) fn telling(change: PluginChange, file: &str, record: &FileRecord, reason: &str) -> [u8; 32] {
    let content = record
        .seen
        .sha256
        .map_or_else(|| format!("{file} {}", record.fingerprint.written()), |sha256| sha256.to_string());
    Sha256::digest(format!("{}\n{content}\n{reason}", change.kind())).into()
}

pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
