//! What is remembered of plugins, and what is told of them: on its way to whoever keeps it.
//!
//! *Invariants:* what changed together is handed over together. What could not be kept is handed over again with the
//! next change, or at the next look at the folder; until then it holds in this process.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use crate::domain::{
    Actor, Bar, ChannelName, PluginBook, PluginChange, PluginEvent, PluginName, Timestamp, VersionMark,
};

/// Events that wait for a keeper that does not take them. More say nothing new: the books say how it ended.
const EVENTS_MAX: usize = 1_000;

/// Why something was not kept.
#[derive(Debug, thiserror::Error)]
#[error("what is remembered of plugins could not be kept: {reason}")]
pub struct NotKept {
    /// What the keeper said.
    pub reason: String,
}

/// Keeps what is remembered of plugins beyond this process.
#[async_trait]
pub trait PluginMemory: Send + Sync + 'static {
    /// Keeps books, each in place of the one before it, and tells the events: all or nothing.
    ///
    /// # Errors
    ///
    /// [`NotKept`]; it is asked again later.
    async fn keep(&self, books: Vec<PluginBook>, told: Vec<Told>) -> Result<(), NotKept>;
}

/// What happened to a plugin, and by whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// When.
    pub at: Timestamp,
    /// Who: the host, unless somebody asked for it.
    pub by: Actor,
    /// What.
    pub event: PluginEvent,
}

/// What deliveries have to wait for, because its plugin is not to be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Of these channels, everything.
    pub channels: BTreeSet<ChannelName>,
    /// What has to be rendered by these template engines.
    pub engines: BTreeSet<PluginName>,
}

/// Is told which deliveries have to wait, in place of those it was told before. Called with locks held: it must be
/// quick and must not call back.
pub trait DeliveryHolds: Send + Sync + 'static {
    /// These and no others.
    fn hold_only(&self, held: &Held);
}

/// Nobody keeps and nobody waits: for a look at an installation, and for measurements.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

#[async_trait]
impl PluginMemory for Nobody {
    async fn keep(&self, _: Vec<PluginBook>, _: Vec<Told>) -> Result<(), NotKept> {
        Ok(())
    }
}

impl DeliveryHolds for Nobody {
    fn hold_only(&self, _: &Held) {}
}

/// The books as they are now, and what of them nobody else knows yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    books: BTreeMap<PluginName, PluginBook>,
    changed: BTreeSet<PluginName>,
    told: Vec<Told>,
}

impl Ledger {
    pub(super) fn of(remembered: Vec<PluginBook>) -> Self {
        let books = remembered.into_iter().map(|book| (book.plugin.clone(), book)).collect();
        Self { books, ..Self::default() }
    }

    pub(super) fn book(&self, plugin: &PluginName) -> Option<&PluginBook> {
        self.books.get(plugin)
    }

    /// A book to be changed; a new one where there is none.
    pub(super) fn change(&mut self, plugin: &PluginName) -> &mut PluginBook {
        self.changed.insert(plugin.clone());
        self.books.entry(plugin.clone()).or_insert_with(|| PluginBook::new(plugin.clone()))
    }

    /// Remembers that something was told of a file. Tells whether it is news.
    pub(super) fn is_news(&mut self, plugin: &PluginName, told: [u8; 32]) -> bool {
        let known = self.books.get(plugin).is_some_and(|book| book.told.contains(&told));
        !known && self.change(plugin).put_told(told)
    }

    /// A file is gone: were it to come back, that would be news.
    pub(super) fn forget_told(&mut self, plugin: &PluginName) {
        if self.books.get(plugin).is_some_and(|book| !book.told.is_empty()) {
            self.change(plugin).told.clear();
        }
    }

    /// What is held against a file, and whose version it is.
    pub(super) fn bar(&self, sha256: &[u8; 32]) -> Option<(&PluginName, &Bar)> {
        self.books.iter().find_map(|(plugin, book)| Some((plugin, book.bar(sha256)?)))
    }

    /// Files that serve, or served last.
    pub(super) fn served(&self) -> BTreeSet<[u8; 32]> {
        self.books.values().filter_map(|book| Some(book.serving.as_ref()?.sha256)).collect()
    }

    /// Files that a plugin may have to go back to.
    pub(super) fn wanted(&self) -> BTreeSet<[u8; 32]> {
        let marks = self.books.values().flat_map(|book| [&book.serving, &book.previous, &book.canary]);
        marks.flatten().map(|mark| mark.sha256).collect()
    }

    pub(super) fn tell(&mut self, event: PluginEvent, at: Timestamp) {
        self.tell_by(event, at, Actor::Host);
    }

    /// Tells what somebody asked for.
    pub(super) fn tell_by(&mut self, event: PluginEvent, at: Timestamp, by: Actor) {
        if self.told.len() < EVENTS_MAX {
            self.told.push(Told { at, by, event });
        }
    }

    /// Tells what happened to a version.
    pub(super) fn tell_of(
        &mut self,
        change: PluginChange,
        plugin: &PluginName,
        mark: &VersionMark,
        reason: Option<String>,
        at: Timestamp,
    ) {
        self.tell(event_of(change, plugin, mark, reason), at);
    }

    /// Hands over what nobody else knows yet. Tells whether there was anything.
    pub(super) async fn hand_over(&mut self, memory: &dyn PluginMemory) -> bool {
        if self.changed.is_empty() && self.told.is_empty() {
            return false;
        }
        let books = self.changed.iter().filter_map(|plugin| self.books.get(plugin)).cloned().collect();
        match memory.keep(books, self.told.clone()).await {
            Ok(()) => {
                self.changed.clear();
                self.told.clear();
            }
            Err(error) => {
                tracing::error!(%error, "What happened to plugins is not kept so far; trying again.");
            }
        }
        true
    }
}

/// What happened to a version.
pub(super) fn event_of(
    change: PluginChange,
    plugin: &PluginName,
    mark: &VersionMark,
    reason: Option<String>,
) -> PluginEvent {
    let (version, sha256) = (Some(mark.version.clone()), Some(mark.sha256));
    PluginEvent { change, plugin: plugin.to_string(), version, sha256, reason }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Refuses as often as it is told to.
    #[derive(Default)]
    struct Keeper {
        refusals: Mutex<u32>,
        kept: Mutex<Vec<(Vec<PluginBook>, Vec<Told>)>>,
    }

    #[async_trait]
    impl PluginMemory for Keeper {
        async fn keep(&self, books: Vec<PluginBook>, told: Vec<Told>) -> Result<(), NotKept> {
            let mut refusals = self.refusals.lock().expect("a lock");
            if *refusals > 0 {
                *refusals -= 1;
                return Err(NotKept { reason: "the disk is full".to_owned() });
            }
            self.kept.lock().expect("a lock").push((books, told));
            Ok(())
        }
    }

    #[tokio::test]
    async fn what_is_refused_is_handed_over_again_with_what_came_since() {
        let keeper = Keeper { refusals: Mutex::new(1), ..Keeper::default() };
        let mut ledger = Ledger::default();
        let (name, now) = (PluginName::new("acme").expect("a name"), Timestamp::from_millis(5));
        let event =
            |change| PluginEvent { change, plugin: "acme".to_owned(), version: None, sha256: None, reason: None };
        ledger.change(&name);
        ledger.tell(event(PluginChange::Loaded), now);
        assert!(ledger.hand_over(&keeper).await);
        ledger.tell_by(event(PluginChange::Released), now, Actor::Cli);
        assert!(ledger.hand_over(&keeper).await);
        assert!(!ledger.hand_over(&keeper).await, "nothing is handed over twice");
        let kept = keeper.kept.lock().expect("a lock");
        let [(books, told)] = kept.as_slice() else { panic!("{kept:?}") };
        assert_eq!(books.len(), 1);
        assert_eq!(told.iter().map(|told| told.by).collect::<Vec<_>>(), [Actor::Host, Actor::Cli]);
    }
}
