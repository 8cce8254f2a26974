//! Files that are compiled before the books are touched, some at once: none of them holds up the look at the others.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::{AbortHandle, Id, JoinError, JoinSet};

use crate::sandbox::folder::{Fingerprint, Seen};
use crate::sandbox::registry::Registry;

/// What is compiled ahead. Dropped, it gives up all of it.
#[derive(Debug, Default)]
pub(super) struct Compiling {
    tasks: JoinSet<()>,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug)]
struct File {
    /// Of the content that is compiled.
    fingerprint: Fingerprint,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Or waiting for its turn.
    UnderWay(AbortHandle),
    /// Well or not: whoever loads it is told.
    Done,
}

impl Compiling {
    /// Begins with each of the `fresh` files, in their order, that is not compiled already, and gives up what is of no
    /// use any more: a file that is gone, or that holds something else by now.
    pub(super) fn begin(&mut self, fresh: Vec<(PathBuf, Fingerprint)>, seen: &Seen, registry: &Arc<Registry>) {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.note(ended);
        }
        let gone: Vec<_> = self.files.keys().filter(|path| !seen.has(path)).cloned().collect();
        for path in gone {
            self.give_up(&path);
        }
        for (path, fingerprint) in fresh {
            if self.files.get(&path).is_some_and(|file| file.fingerprint.is_same_content(&fingerprint)) {
                continue;
            }
            self.give_up(&path);
            let (registry, file) = (Arc::clone(registry), path.clone());
            let task = self.tasks.spawn(async move { registry.compile_ahead(&file, fingerprint.size).await });
            self.files.insert(path, File { fingerprint, stage: Stage::UnderWay(task) });
        }
    }

    /// The files that are not done.
    pub(super) fn under_way(&self) -> BTreeSet<PathBuf> {
        let files = self.files.iter().filter(|(_, file)| matches!(file.stage, Stage::UnderWay(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Returns when another file is done.
    pub(super) async fn next(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => pending().await,
        }
    }

    /// Forgets the files that are done: they are in the books by now, or another look is taken at them.
    pub(super) fn forget_done(&mut self) {
        self.files.retain(|_, file| matches!(file.stage, Stage::UnderWay(_)));
    }

    /// Gives everything up, and returns when it has ended.
    pub(super) async fn stop(&mut self) {
        self.files.clear();
        self.tasks.shutdown().await;
    }

    /// One that was given up is not among the files any more, whatever it came to.
    fn note(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.map_or_else(|stopped| stopped.id(), |(id, ())| id);
        let is_it = |file: &&mut File| matches!(&file.stage, Stage::UnderWay(task) if task.id() == id);
        if let Some(file) = self.files.values_mut().find(is_it) {
            file.stage = Stage::Done;
        }
    }

    fn give_up(&mut self, path: &PathBuf) {
        if let Some(File { stage: Stage::UnderWay(task), .. }) = self.files.remove(path) {
            task.abort();
        }
    }
}
