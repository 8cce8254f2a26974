//! What an operator says of a plugin: call it again, let it ask for more.

use std::path::PathBuf;
use std::sync::Arc;

use semver::Version;

use super::ledger::event_of;
use super::shelf::{self, FileState, Shelf};
use super::status::PluginStatus;
use super::version::Version as Loaded;
use super::{Registry, permission, suggest};
use crate::domain::{Actor, PluginChange, PluginEvent, PluginName};

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperatorError {
    /// There is no plugin of that name.
    #[error(
        "there is no plugin `{name}`{}; `campanile plugins list` shows all",
        .nearest.as_ref().map(|near| format!(", there is `{near}`")).unwrap_or_default()
    )]
    Unknown {
        /// The name asked for.
        name: PluginName,
        /// A known one like it.
        nearest: Option<String>,
    },
    /// Its state is another.
    #[error(
        "plugin `{name}` is {state}: there is nothing to {asked}; `campanile plugins list` shows each of its files"
    )]
    NothingToDo {
        /// Which.
        name: PluginName,
        /// What was asked for: `release` or `approve`.
        asked: &'static str,
        /// The words of its states, as in [`PluginState::as_str`](super::PluginState::as_str).
        state: String,
    },
    /// The version that was named does not wait; others do.
    #[error(
        "version {version} of plugin `{name}` does not wait to be {asked}d, {}: write {}",
        who_do(.waiting), lines(.name, .asked, .waiting)
    )]
    NotWaiting {
        /// Which.
        name: PluginName,
        /// What was asked for: `release` or `approve`.
        asked: &'static str,
        /// The version that was named.
        version: Version,
        /// The versions that wait for that word, in order; at least one.
        waiting: Vec<Version>,
    },
    /// More than one version waits, and none was named.
    #[error(
        "{} versions of plugin `{name}` wait to be {asked}d: say which, {}",
        .waiting.len(), lines(.name, .asked, .waiting)
    )]
    SeveralWait {
        /// Which.
        name: PluginName,
        /// What was asked for: `release` or `approve`.
        asked: &'static str,
        /// The versions that wait for that word, in order; at least two.
        waiting: Vec<Version>,
    },
    /// It was done, and the version it was done for is refused all the same.
    #[error("what was asked of plugin `{name}` is done, but `{file}` is refused: {reason}")]
    Refused {
        /// Which.
        name: PluginName,
        /// The file that holds the version.
        file: String,
        /// What speaks against it, and what to do.
        reason: String,
    },
}

fn who_do(waiting: &[Version]) -> String {
    let each: Vec<_> = waiting.iter().map(ToString::to_string).collect();
    format!("{} {}", each.join(" and "), if each.len() == 1 { "does" } else { "do" })
}

/// What to type for each version.
fn lines(name: &PluginName, asked: &str, waiting: &[Version]) -> String {
    let line = |version: &Version| format!("`campanile plugins {asked} {name} --version {version}`");
    waiting.iter().map(line).collect::<Vec<_>>().join(" or ")
}

impl Registry {
    /// Lets a version be called again that failed too often: the one that is named; else the one that its deliveries
    /// wait for, or else the one that was rolled back. Answers how the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, nothing is held against it or against the version that is named,
    /// several versions were rolled back and none is named, or the version is refused then.
    pub async fn release(
        &self,
        name: &PluginName,
        version: Option<&Version>,
        by: Actor,
    ) -> Result<Vec<PluginStatus>, OperatorError> {
        let mut shelf = self.shelf.lock().await;
        let now = self.clock.now();
        let barred = files_in(&shelf, name, |state| matches!(state, FileState::Barred(..)));
        let stopped = shelf.serving.get(name).filter(|shelved| shelved.version.is_stopped());
        let stopped = stopped.map(|shelved| Arc::clone(&shelved.version));
        let is_meant = |stopped: &Arc<Loaded>| version.is_none_or(|version| stopped.number() == version);
        if let Some(version) = stopped.clone().filter(is_meant) {
            let mark = version.mark(now);
            shelf.ledger.change(name).lift(&mark.sha256);
            shelf.ledger.tell_by(event_of(PluginChange::Released, name, &mark, None), now, by);
            version.resume();
        } else {
            let more = stopped.map(|stopped| stopped.number().clone());
            let path = self.one_of(&shelf, name, "release", version, (barred, more))?;
            let sha256 = shelf.files.get(&path).and_then(|record| record.seen.sha256);
            let bar = sha256.and_then(|sha256| shelf.ledger.book(name)?.bar(&sha256.0).cloned());
            if let Some(bar) = bar {
                shelf.ledger.change(name).lift(&bar.mark.sha256);
                let reason = format!("it was {}: {}", bar.kind.as_str(), bar.reason);
                shelf.ledger.tell_by(event_of(PluginChange::Released, name, &bar.mark, Some(reason)), now, by);
            }
            tracing::info!(plugin = %name, "A plugin is released by an operator.");
            return self.take_again(&mut shelf, name, &path).await;
        }
        tracing::info!(plugin = %name, "A plugin is released by an operator.");
        Ok(self.done(&mut shelf, name).await)
    }

    /// Lets a plugin ask for what a held version of it asks for, now and in later versions; the version takes its way
    /// from there. `version` names it, and need not where one alone is held. Answers how the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, none of its versions is held or not the one that is named,
    /// several are and none is named, or the held one is refused then.
    pub async fn approve(
        &self,
        name: &PluginName,
        version: Option<&Version>,
        by: Actor,
    ) -> Result<Vec<PluginStatus>, OperatorError> {
        let mut shelf = self.shelf.lock().await;
        let held = files_in(&shelf, name, |state| matches!(state, FileState::Held { .. }));
        let path = self.one_of(&shelf, name, "approve", version, (held, None))?;
        let record = shelf.files.get(&path).cloned();
        if let Some(record) = record
            && let FileState::Held { asked, .. } = &record.state
        {
            let book = shelf.ledger.change(name);
            let grown = permission::growth(&book.approved, asked);
            permission::approve(&mut book.approved, asked);
            let each: Vec<_> = grown.iter().map(ToString::to_string).collect();
            let event = PluginEvent {
                change: PluginChange::Approved,
                plugin: name.to_string(),
                version: record.seen.version.clone(),
                sha256: record.seen.sha256.map(|sha256| sha256.0),
                reason: Some(format!("it may ask for {}", each.join("; "))),
            };
            shelf.ledger.tell_by(event, self.clock.now(), by);
        }
        tracing::info!(plugin = %name, "A plugin's permissions are approved by an operator.");
        self.take_again(&mut shelf, name, &path).await
    }

    async fn take_again(
        &self,
        shelf: &mut Shelf,
        name: &PluginName,
        path: &PathBuf,
    ) -> Result<Vec<PluginStatus>, OperatorError> {
        if let Some((source, fingerprint)) = shelf.files.get(path).map(|record| (record.source, record.fingerprint)) {
            self.take(shelf, path, source, fingerprint).await;
        }
        let statuses = self.done(shelf, name).await;
        match shelf.files.get(path).map(|record| &record.state) {
            Some(FileState::Refused(refusal)) => Err(OperatorError::Refused {
                name: name.clone(),
                file: shelf::file_name(path),
                reason: refusal.reason.clone(),
            }),
            _ => Ok(statuses),
        }
    }

    async fn done(&self, shelf: &mut Shelf, name: &PluginName) -> Vec<PluginStatus> {
        self.publish(shelf);
        self.hand_over(shelf).await;
        self.plugins().into_iter().filter(|status| status.name.as_ref() == Some(name)).collect()
    }

    /// The file whose version is meant, of those that wait. `more` is a version that waits and may not be meant.
    fn one_of(
        &self,
        shelf: &Shelf,
        name: &PluginName,
        asked: &'static str,
        version: Option<&Version>,
        (files, more): (Vec<(Version, PathBuf)>, Option<Version>),
    ) -> Result<PathBuf, OperatorError> {
        let mut waiting: Vec<_> = files.iter().map(|(version, _)| version.clone()).chain(more).collect();
        waiting.sort();
        waiting.dedup();
        let name = name.clone();
        if waiting.is_empty() {
            return Err(self.nothing(shelf, &name, asked));
        }
        let Some(version) = version else {
            return match files.into_iter().next() {
                Some((_, path)) if waiting.len() == 1 => Ok(path),
                _ => Err(OperatorError::SeveralWait { name, asked, waiting }),
            };
        };
        let meant = files.into_iter().find(|(found, _)| found == version);
        let version = version.clone();
        meant.map(|(_, path)| path).ok_or(OperatorError::NotWaiting { name, asked, version, waiting })
    }

    fn nothing(&self, shelf: &Shelf, name: &PluginName, asked: &'static str) -> OperatorError {
        let statuses = self.plugins();
        let mut states: Vec<_> = statuses
            .iter()
            .filter(|status| status.name.as_ref() == Some(name))
            .map(|status| status.state.as_str())
            .collect();
        states.dedup();
        if states.is_empty() {
            let known = shelf.serving.keys().map(PluginName::as_str);
            let files = shelf.files.values().filter_map(|record| record.seen.name.as_ref()).map(PluginName::as_str);
            let nearest = suggest::nearest(name.as_str(), known.chain(files));
            return OperatorError::Unknown { name: name.clone(), nearest };
        }
        OperatorError::NothingToDo { name: name.clone(), asked, state: states.join(" and ") }
    }
}

/// The files of a plugin in such a state, each with its version: who is held or barred has described itself.
fn files_in(shelf: &Shelf, name: &PluginName, is_it: impl Fn(&FileState) -> bool) -> Vec<(Version, PathBuf)> {
    let files = shelf.files.iter();
    let found = files.filter(|(_, record)| record.seen.name.as_ref() == Some(name) && is_it(&record.state));
    found.filter_map(|(path, record)| Some((record.seen.version.clone()?, path.clone()))).collect()
}
