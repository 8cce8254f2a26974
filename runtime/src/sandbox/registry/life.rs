//! What the calls of a version decide: that it is tried no longer, that it is not called any more, that the one before
//! it takes over again.
//!
//! *Flow:* every end of a call is counted → one fault too many stops the version and holds what needs it at once → then,
//! under the registry's lock, the version before it is loaded and swapped in, or the version is quarantined.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::quarantine::{Rule, TooMany, Verdict};
use super::shelf::{FileState, OnTrial, Shelf, Shelved};
use super::version::Version;
use super::{Registry, permission};
use crate::config::ChannelConfig;
use crate::domain::{Bar, BarKind, NotificationId, PluginChange, PluginName, VersionMark};

/// A version that fails this soon after it took over is to blame itself, and the one before it takes over again. Later
/// something else has changed, which the version before may know even less about.
pub(super) const ROLLBACK_WITHIN: Duration = Duration::from_hours(24);

/// A trial ends after this at the latest: on a channel with few calls it would never prove itself.
pub(super) const TRIAL_MAX: Duration = Duration::from_mins(30);

impl Registry {
    /// Counts the end of a call, and draws the consequences before anybody hears of it.
    pub(super) async fn ended(
        &self,
        version: &Arc<Version>,
        rule: Rule,
        notification: NotificationId,
        verdict: Verdict,
    ) {
        let now = self.clock.now();
        let (counted, is_proven) = {
            let mut conduct = version.conduct();
            (conduct.count(verdict, notification, now, rule), conduct.is_proven())
        };
        match counted {
            // Of many calls that end at once, one.
            Err(too_many) if version.stop() => self.condemn(version, too_many).await,
            // Where something else is under way, the next good end tries again.
            Ok(()) if rule == Rule::TRIAL && is_proven => {
                if let Ok(mut shelf) = self.shelf.try_lock() {
                    self.prove(&mut shelf, version).await;
                }
            }
            Ok(()) | Err(_) => {}
        }
    }

    async fn condemn(&self, version: &Arc<Version>, too_many: TooMany) {
        // At once: a plugin that is being compiled may hold the lock for many seconds.
        let current = self.current.load_full();
        let uses_it = current.channels.iter().filter_map(|(name, served)| {
            let served = served.as_ref().ok()?;
            Arc::ptr_eq(&served.ready.version, version).then(|| name.clone())
        });
        let renders = current.engines.iter().find(|(_, engine)| Arc::ptr_eq(engine, version));
        self.change_holds(|held| {
            held.channels.extend(uses_it);
            held.engines.extend(renders.map(|(name, _)| name.clone()));
        });
        drop(current);
        let mut shelf = self.shelf.lock().await;
        let name = version.name();
        let reason = too_many.to_string();
        if shelf.trials.get(name).is_some_and(|trial| Arc::ptr_eq(&trial.shelved.version, version)) {
            self.abandon_trial(&mut shelf, name, &reason);
        } else if shelf.serving.get(name).is_some_and(|shelved| Arc::ptr_eq(&shelved.version, version)) {
            if let Some(trial) = shelf.end_trial(name, self.clock.now()) {
                self.quarantine(&mut shelf, version, &reason);
                self.take_whole(&mut shelf, trial);
            } else if !self.roll_back(&mut shelf, version, &reason).await {
                self.quarantine(&mut shelf, version, &reason);
            }
        }
        // Whoever else was to blame, those who hold say it right from here on.
        self.publish(&mut shelf);
        self.hand_over(&mut shelf).await;
    }

    /// Keeps in the book, and tells, that nobody calls this version any more.
    fn quarantine(&self, shelf: &mut Shelf, version: &Version, reason: &str) {
        let (now, name) = (self.clock.now(), version.name());
        tracing::error!(plugin = %name, version = %version.number(), reason, "A plugin is quarantined; its deliveries wait.");
        let mark = version.mark(now);
        let bar = Bar { mark: mark.clone(), kind: BarKind::Quarantined, reason: reason.to_owned() };
        shelf.ledger.change(name).put_bar(bar);
        shelf.ledger.tell_of(PluginChange::Quarantined, name, &mark, Some(reason.to_owned()), now);
    }

    /// Lets the version before a fresh one serve again. Tells whether there was one that can.
    async fn roll_back(&self, shelf: &mut Shelf, version: &Version, reason: &str) -> bool {
        let (now, name) = (self.clock.now(), version.name());
        let Some(bad) = shelf.serving.get(name).map(|bad| (bad.since, bad.path.clone())) else { return false };
        let (since, path) = bad;
        let book = shelf.ledger.book(name);
        let previous = book.and_then(|book| book.previous.clone().filter(|good| book.bar(&good.sha256).is_none()));
        let Some(good) = previous.filter(|_| now.since(since) < ROLLBACK_WITHIN) else { return false };
        let Some((shelved, channels)) = self.revive(shelf, name, &good, &path).await else { return false };
        let serves = |channel| channels.get(channel).is_some_and(|entry| entry.prepared.ready.is_ok());
        if !shelf
            .channels
            .iter()
            .filter(|(_, entry)| entry.plugin == *name && entry.prepared.ready.is_ok())
            .all(|(channel, _)| serves(channel))
        {
            return false;
        }
        shelf.put(shelved, channels);
        self.bar_as_rolled_back(shelf, version, &path, reason, &good);
        let book = shelf.ledger.change(name);
        (book.serving, book.previous) = (Some(VersionMark { since: now, ..good }), None);
        true
    }

    fn abandon_trial(&self, shelf: &mut Shelf, name: &PluginName, reason: &str) {
        let Some(OnTrial { shelved, .. }) = shelf.end_trial(name, self.clock.now()) else { return };
        let serving = shelf.serving.get(name).map(|good| good.version.mark(good.since));
        let Some(good) = serving else { return };
        self.bar_as_rolled_back(shelf, &shelved.version, &shelved.path, reason, &good);
        shelf.ledger.change(name).canary = None;
    }

    fn bar_as_rolled_back(&self, shelf: &mut Shelf, version: &Version, path: &Path, reason: &str, good: &VersionMark) {
        let (now, name) = (self.clock.now(), version.name());
        tracing::warn!(
            plugin = %name, version = %version.number(), good = %good.version, reason,
            "A plugin version failed too often; the one before it serves."
        );
        let mark = version.mark(now);
        let bar = Bar { mark: mark.clone(), kind: BarKind::RolledBack, reason: reason.to_owned() };
        shelf.ledger.change(name).put_bar(bar);
        if let Some(record) = shelf.files.get_mut(path).filter(|record| record.seen.sha256 == Some(version.sha256())) {
            (record.state, record.since) = (FileState::Barred(BarKind::RolledBack, reason.to_owned()), now);
        }
        let told = format!("{reason}; version {} serves again", good.version);
        shelf.ledger.tell_of(PluginChange::RolledBack, name, &mark, Some(told), now);
    }

    /// Whether a new version of this plugin is first tried: a channel says so, and something good serves meanwhile.
    pub(super) fn is_to_be_tried(&self, shelf: &Shelf, name: &PluginName) -> bool {
        let serves = shelf.serving.get(name).is_some_and(|old| !old.version.is_stopped());
        let settings = self.settings();
        let asks = |channel: &ChannelConfig| channel.enabled && channel.plugin == *name && channel.canary.is_some();
        serves && settings.channels.values().any(asks)
    }

    /// Puts a version beside the one that serves.
    pub(super) fn try_out(&self, shelf: &mut Shelf, mut trial: OnTrial) {
        let (now, name) = (self.clock.now(), trial.shelved.version.name().clone());
        shelf.end_trial(&name, now);
        let mark = trial.shelved.version.mark(now);
        let known = shelf.ledger.book(&name).and_then(|book| book.canary.clone());
        match known.filter(|known| known.sha256 == mark.sha256) {
            // It was on trial before this process.
            Some(known) => trial.shelved.since = known.since,
            None => {
                shelf.ledger.change(&name).canary = Some(mark.clone());
                shelf.ledger.tell_of(PluginChange::Tried, &name, &mark, None, now);
            }
        }
        shelf.trials.insert(name, trial);
    }

    async fn prove(&self, shelf: &mut Shelf, version: &Arc<Version>) {
        let name = version.name();
        let is_tried = |trial: &OnTrial| Arc::ptr_eq(&trial.shelved.version, version);
        if !shelf.trials.get(name).is_some_and(is_tried) {
            return;
        }
        if let Some(trial) = shelf.trials.remove(name) {
            self.take_whole(shelf, trial);
            self.publish(shelf);
            self.hand_over(shelf).await;
        }
    }

    /// What was on trial serves.
    fn take_whole(&self, shelf: &mut Shelf, trial: OnTrial) {
        let OnTrial { shelved, channels } = trial;
        let version = &shelved.version;
        // Faults of its trial are not held against it twice.
        version.resume();
        tracing::info!(plugin = %version.name(), version = %version.number(), "A plugin version has ended its trial and serves.");
        if let Some(record) = shelf.files.get_mut(&shelved.path) {
            record.state = FileState::Used;
        }
        let asked = permission::asked(version.plugin.descriptor());
        let since = self.clock.now();
        self.serve(shelf, Shelved { since, ..shelved }, channels, &asked);
    }

    /// Ends trials whose time is up: a version without a fault serves, another does not. Tells whether there were any.
    pub(super) fn tend_trials(&self, shelf: &mut Shelf) -> bool {
        let now = self.clock.now();
        let gone = |trial: &OnTrial| !shelf.files.contains_key(&trial.shelved.path);
        let removed: Vec<_> =
            shelf.trials.iter().filter(|(_, trial)| gone(trial)).map(|(name, _)| name.clone()).collect();
        for name in &removed {
            shelf.end_trial(name, now);
            shelf.ledger.change(name).canary = None;
        }
        let is_over = |trial: &OnTrial| now.since(trial.shelved.since) >= TRIAL_MAX;
        let over: Vec<_> =
            shelf.trials.iter().filter(|(_, trial)| is_over(trial)).map(|(name, _)| name.clone()).collect();
        for name in &over {
            let faults = shelf.trials.get(name).map_or(0, |trial| trial.shelved.version.conduct().faults());
            if faults > 0 {
                let minutes = TRIAL_MAX.as_secs() / 60;
                self.abandon_trial(shelf, name, &format!("{faults} of its calls faulted in a trial of {minutes} min"));
            } else if let Some(trial) = shelf.trials.remove(name) {
                self.take_whole(shelf, trial);
            }
        }
        !removed.is_empty() || !over.is_empty()
    }
}
