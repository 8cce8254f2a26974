//! What an operator says of a plugin: call it again, let it ask for more.

use std::path::PathBuf;
use std::sync::Arc;

use super::ledger::event_of;
use super::shelf::{self, FileState, Shelf};
use super::status::PluginStatus;
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

impl Registry {
    /// Lets a version be called again that failed too often: the one that its deliveries wait for, or else the one that
    /// was rolled back. Answers how the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, nothing is held against it, or the version is refused then.
    pub async fn release(&self, name: &PluginName, by: Actor) -> Result<Vec<PluginStatus>, OperatorError> {
        let mut shelf = self.shelf.lock().await;
        let now = self.clock.now();
        let stopped = shelf.serving.get(name).filter(|shelved| shelved.version.is_stopped());
        if let Some(version) = stopped.map(|shelved| Arc::clone(&shelved.version)) {
            let mark = version.mark(now);
            shelf.ledger.change(name).lift(&mark.sha256);
            shelf.ledger.tell_by(event_of(PluginChange::Released, name, &mark, None), now, by);
            version.resume();
        } else {
            let is_barred = |state: &FileState| matches!(state, FileState::Barred(..));
            let Some(path) = file_in(&shelf, name, is_barred) else {
                return Err(self.nothing(&shelf, name, "release"));
            };
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
    /// from there. Answers how the plugin's files are doing then.
    ///
    /// # Errors
    ///
    /// [`OperatorError`] where there is no such plugin, none of its versions is held, or the held one is refused then.
    pub async fn approve(&self, name: &PluginName, by: Actor) -> Result<Vec<PluginStatus>, OperatorError> {
        let mut shelf = self.shelf.lock().await;
        let is_held = |state: &FileState| matches!(state, FileState::Held { .. });
        let Some(path) = file_in(&shelf, name, is_held) else {
            return Err(self.nothing(&shelf, name, "approve"));
        };
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

fn file_in(shelf: &Shelf, name: &PluginName, is_it: impl Fn(&FileState) -> bool) -> Option<PathBuf> {
    let files = shelf.files.iter();
    let mut found = files.filter(|(_, record)| record.seen.name.as_ref() == Some(name) && is_it(&record.state));
    found.next().map(|(path, _)| path.clone())
}
