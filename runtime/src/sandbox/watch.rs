//! Follows the folder of the operator's own plugins.
//!
//! *Flow:* something happens in the folder, or 30 s pass → look → what has come to rest is compiled, some files at once →
//! look → what is compiled goes to the registry.
//!
//! *Invariants:* a notice of the operating system only wakes: what is done follows from what lies in the folder, so a
//! notice that is lost, doubled or late costs time and nothing else. At most one notice waits. A file that changes while
//! it is compiled is compiled anew. Only this task brings files into the books, one after the other.

mod compiling;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;

use self::compiling::Compiling;
use super::folder::{self, Settling};
use super::registry::Registry;
use crate::clock::Clock;

/// Looks come this often even if nobody says that something happened: notices are lost on network file systems.
pub const RESCAN: Duration = Duration::from_secs(30);

/// Between two looks at a file that is being written. Twice this, and compiling, is what a new file waits.
const SETTLE: Duration = Duration::from_millis(100);

/// Between a notice and the look that it asks for: a copy is many notices.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A task that keeps a registry in step with its folder. Stops when it is dropped; [`Watch::stop`] also waits.
#[derive(Debug)]
pub struct Watch {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Starts to follow the registry's own folder. A folder that is not there is made; where that fails it is waited
    /// for, and so is one that goes later.
    #[must_use]
    pub fn start(registry: Arc<Registry>, clock: Arc<dyn Clock>) -> Self {
        // At once, so that it is there when the runtime is up: people drop files into it. What fails here is tried again.
        let _ = std::fs::create_dir_all(registry.own_dir());
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut follower = Follower {
                registry,
                clock,
                bell: Bell::default(),
                settling: Settling::default(),
                compiling: Compiling::default(),
            };
            tokio::select! {
                // Dropped or told: both mean stop.
                _ = stopped => {}
                () = follower.run() => {}
            }
            follower.compiling.stop().await;
        });
        Self { stop, task }
    }

    /// Stops, and returns when a load that was under way has been given up.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        // A panic in the task was reported when it happened.
        let _ = self.task.await;
    }
}

struct Follower {
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    bell: Bell,
    settling: Settling,
    compiling: Compiling,
}

impl Follower {
    async fn run(&mut self) {
        let dir = self.registry.own_dir().to_owned();
        let mut blind = false;
        let mut was_there = false;
        loop {
            // Only the first time: in the way of one that was moved away and comes back, a new one would swallow it.
            if !was_there {
                // A folder that cannot be made is one that cannot be listed.
                let _ = tokio::fs::create_dir_all(&dir).await;
            }
            // After the folder is there, before the look: nothing happens in between unseen.
            self.bell.hang(&dir);
            let looked = {
                let dir = dir.clone();
                tokio::task::spawn_blocking(move || folder::list(&dir)).await
            };
            let moving = match looked.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
                Ok(listing) => {
                    (blind, was_there) = (false, true);
                    let seen = self.settling.look(listing);
                    let fresh = self.registry.fresh(&seen).await;
                    self.compiling.begin(fresh, &seen, &self.registry);
                    self.registry.follow(&seen, &self.compiling.under_way()).await;
                    self.compiling.forget_done();
                    !seen.moving.is_empty()
                }
                Err(error) => {
                    // What serves goes on serving: a folder that is not mounted right now is no order to remove.
                    if !blind {
                        tracing::warn!(%error, "The plugin folder cannot be read; what serves goes on serving.");
                    }
                    blind = true;
                    false
                }
            };
            self.pause(moving).await;
        }
    }

    async fn pause(&mut self, moving: bool) {
        let Self { clock, bell, compiling, .. } = self;
        let wait = |time| clock.wait_until(clock.now().after(time));
        if moving {
            // Whatever is compiled meanwhile: a look that comes early would take a copy that pauses for a whole file.
            return wait(SETTLE).await;
        }
        tokio::select! {
            () = bell.rings.notified() => wait(DEBOUNCE).await,
            () = compiling.next() => {}
            () = wait(RESCAN) => {}
        }
    }
}

/// The operating system's notices, if it gives any.
#[derive(Default)]
struct Bell {
    rings: Arc<Notify>,
    watcher: Option<RecommendedWatcher>,
    /// Device and inode of the folder it hangs at: one made anew under the same name is another.
    at: Option<(u64, u64)>,
    silent: bool,
}

impl Bell {
    fn hang(&mut self, dir: &Path) {
        let at = std::fs::metadata(dir).ok().map(|found| (found.dev(), found.ino()));
        if at.is_none() {
            // What comes next may get the same inode and be another; until then the old notices tell that this one is back.
            self.at = None;
        }
        if at == self.at {
            return;
        }
        match watcher(dir, &self.rings) {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.at = at;
            }
            Err(error) => {
                if !self.silent {
                    tracing::warn!(%error, "The plugin folder gives no notices; it is looked at every 30 s.");
                }
                self.silent = true;
            }
        }
    }
}

fn watcher(dir: &Path, rings: &Arc<Notify>) -> notify::Result<RecommendedWatcher> {
    let rings = Arc::clone(rings);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // To read a plugin is an event, too, and must not lead to another look. An error may have cost events.
        let reads = |kind| matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write));
        if !event.is_ok_and(|event| reads(event.kind)) {
            rings.notify_one();
        }
    })?;
    let dir: PathBuf = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    watcher.watch(&dir, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}

#[cfg(test)]
mod tests;
