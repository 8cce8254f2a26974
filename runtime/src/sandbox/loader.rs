//! From a file to a plugin that can be called.
//!
//! *Flow:* inspect → hash → compiled code from the cache, or compile and keep → link and describe.
//!
//! *Invariants:* nothing here runs on an executor thread but the last step, which is a call like any other; few files are
//! compiled at a time, however many are waiting ([`Slots`]); where the sandbox knows of a compiler, that is a process of
//! its own.

mod slots;

use std::collections::{BTreeMap, HashMap};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use self::slots::{Slot, Slots};
use super::apart::{self, ApartError};
use super::cache::{Cache, of_child};
use super::engine::refused_by_compiler;
use super::folder::FILES_MAX;
use super::inspect::{FileHash, InspectError, Inspected, inspect_file};
use super::{Plugin, PrepareError, Sandbox};
use crate::config::PluginsConfig;
use crate::supply::{self, Sha256, TrustError};

/// Wall clock for compiling one file. The largest known plugins (Python's, 35 MiB) take about 20 s on two cores.
const COMPILE_TIME_MAX: Duration = Duration::from_secs(120);

/// Why a file did not become a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not a plugin for this program.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// Nobody trusted answers for it.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It does not compile or link, or does not describe itself.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Our own code panicked.
    #[error("the host failed while it looked at the file: this is a defect, please report it")]
    Host,
}

/// An error with all that caused it, as one sentence.
pub(super) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// Loads plugin files. One per registry.
#[derive(Debug)]
pub(super) struct Loader {
    sandbox: Arc<Sandbox>,
    cache: Option<Arc<Kept>>,
    slots: Slots,
    plugins: Arc<PluginsConfig>,
    /// By file, with the hash it had: what speaks against it though it is loaded.
    warnings: Mutex<BTreeMap<PathBuf, (FileHash, Vec<String>)>>,
    /// Compiled ahead of being asked for, with what came of it: whoever asks takes it.
    ahead: Mutex<HashMap<FileHash, Result<Component, NotCompiled>>>,
}

/// Why a component was not compiled ahead.
#[derive(Clone, Debug)]
enum NotCompiled {
    Refused(String),
    TooSlow(Duration),
}

/// A cache that complains once.
#[derive(Debug)]
struct Kept {
    cache: Cache,
    complained: AtomicBool,
}

impl Loader {
    /// A loader with its cache where `plugins` has it; without one, said once, where that cannot be had.
    pub(super) async fn open(sandbox: Arc<Sandbox>, plugins: PluginsConfig) -> Self {
        let cache_dir = plugins.cache_dir.clone();
        let engine = sandbox.engine().clone();
        let opened =
            tokio::task::spawn_blocking(move || Cache::open(&cache_dir, &engine).map_err(|error| sentence(&error)));
        let cache = match opened.await.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(cache) => Some(Arc::new(Kept { cache, complained: AtomicBool::new(false) })),
            Err(error) => {
                tracing::warn!(error, "There is no cache of compiled plugins; every start compiles them.");
                None
            }
        };
        Self {
            sandbox,
            cache,
            slots: Slots::new(),
            plugins: Arc::new(plugins),
            warnings: Mutex::default(),
            ahead: Mutex::default(),
        }
    }

    /// Compiles a file of so many bytes that is about to be loaded, so that loading it takes no time: for who must not be
    /// held up then. Whatever is wrong with the file is told when it is loaded.
    pub(super) async fn compile_ahead(&self, path: &Path, bytes: u64) {
        // Before it is read: files that wait take no memory.
        let Some(slot) = self.slots.take(bytes).await else { return };
        let (path, plugins) = (path.to_owned(), Arc::clone(&self.plugins));
        let look = move || {
            let inspected = inspect_file(&path).ok()?;
            supply::vet(&plugins, &path, Sha256(inspected.sha256.0)).ok()?;
            Some(inspected)
        };
        let Ok(Some(inspected)) = tokio::task::spawn_blocking(look).await else { return };
        let sha256 = inspected.sha256;
        if self.ahead().contains_key(&sha256) {
            return;
        }
        let compiled = match self.compile_in(slot, inspected).await {
            Ok(component) => Ok(component),
            Err(LoadError::Prepare(PrepareError::Compile { reason })) => Err(NotCompiled::Refused(reason)),
            Err(LoadError::Prepare(PrepareError::TooSlow { limit })) => Err(NotCompiled::TooSlow(limit)),
            // Tried again when it is loaded.
            Err(_) => return,
        };
        let mut ahead = self.ahead();
        // More than a folder has files were never asked for.
        if ahead.len() >= FILES_MAX {
            ahead.clear();
        }
        ahead.insert(sha256, compiled);
    }

    /// Lets go of what was compiled ahead and nobody has asked for: its file was replaced meanwhile.
    pub(super) fn forget_ahead(&self) {
        self.ahead().clear();
    }

    fn ahead(&self) -> std::sync::MutexGuard<'_, HashMap<FileHash, Result<Component, NotCompiled>>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads, validates and hashes a file, and asks who answers for it.
    pub(super) async fn inspect(&self, path: &Path) -> Result<Inspected, LoadError> {
        let file = path.to_owned();
        let path = path.to_owned();
        let plugins = Arc::clone(&self.plugins);
        let inspected = tokio::task::spawn_blocking(move || {
            let mut inspected = inspect_file(&path)?;
            inspected.warnings = supply::vet(&plugins, &path, Sha256(inspected.sha256.0))?.warnings;
            Ok(inspected)
        });
        let inspected: Result<Inspected, LoadError> = inspected.await.map_err(|_| LoadError::Host)?;
        let inspected = inspected?;
        self.note(file, &inspected);
        Ok(inspected)
    }

    fn note(&self, file: PathBuf, inspected: &Inspected) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if inspected.warnings.is_empty() {
            warnings.remove(&file);
            return;
        }
        for warning in &inspected.warnings {
            tracing::warn!(file = %file.display(), warning, "A plugin file is loaded that is not trusted.");
        }
        // Files that are gone are forgotten when there are too many.
        if warnings.len() >= FILES_MAX {
            warnings.clear();
        }
        warnings.insert(file, (inspected.sha256, inspected.warnings.clone()));
    }

    /// What speaks against files of this hash.
    pub(super) fn warnings(&self, sha256: FileHash) -> Vec<String> {
        let warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        warnings.values().filter(|(hash, _)| *hash == sha256).flat_map(|(_, warnings)| warnings.clone()).collect()
    }

    /// Makes a plugin of an inspected file.
    pub(super) async fn prepare(&self, inspected: Inspected) -> Result<Plugin, LoadError> {
        let sha256 = inspected.sha256;
        let component = self.component(inspected).await?;
        Ok(self.sandbox.prepare(&component, sha256.0).await?)
    }

    async fn component(&self, inspected: Inspected) -> Result<Component, LoadError> {
        let ahead = self.ahead().remove(&inspected.sha256);
        match ahead {
            Some(Ok(component)) => Ok(component),
            Some(Err(NotCompiled::Refused(reason))) => Err(PrepareError::Compile { reason }.into()),
            Some(Err(NotCompiled::TooSlow(limit))) => Err(PrepareError::TooSlow { limit }.into()),
            None => self.compile(inspected).await,
        }
    }

    async fn compile(&self, inspected: Inspected) -> Result<Component, LoadError> {
        let slot = self.slots.take(inspected.bytes.len() as u64).await.ok_or(LoadError::Host)?;
        self.compile_in(slot, inspected).await
    }

    async fn compile_in(&self, slot: Slot, inspected: Inspected) -> Result<Component, LoadError> {
        match self.sandbox.compiler() {
            Some(program) => {
                let compiled = self.compile_apart(program, inspected).await;
                drop(slot);
                compiled
            }
            None => self.compile_here(inspected, slot).await,
        }
    }

    async fn compile_apart(&self, program: &Path, inspected: Inspected) -> Result<Component, LoadError> {
        let (engine, cache, sha256) = (self.sandbox.engine().clone(), self.cache.clone(), inspected.sha256);
        let look = move || cache.and_then(|kept| kept.cache.load(&engine, sha256));
        let found = tokio::task::spawn_blocking(look).await.map_err(|_| LoadError::Host)?;
        if let Some(component) = found {
            return Ok(component);
        }
        tracing::info!(bytes = inspected.bytes.len(), "Compiling a plugin, which is done once for each file.");
        let (component, compiled) = self.sandbox.compile_apart(program, &inspected.bytes).await?;
        if let Some(kept) = self.cache.clone() {
            let keep = move || kept.keep(sha256, &compiled);
            tokio::task::spawn_blocking(keep).await.map_err(|_| LoadError::Host)?;
        }
        Ok(component)
    }

    async fn compile_here(&self, inspected: Inspected, slot: Slot) -> Result<Component, LoadError> {
        let engine = self.sandbox.engine().clone();
        let cache = self.cache.clone();
        let work = tokio::task::spawn_blocking(move || {
            let component = load_or_compile(&engine, cache.as_deref(), inspected.sha256, &inspected.bytes);
            // Given back by the thread itself: a compiler that is too slow cannot be stopped, only waited for.
            drop(slot);
            component
        });
        match tokio::time::timeout(COMPILE_TIME_MAX, work).await {
            Ok(Ok(Ok(component))) => Ok(component),
            Ok(Ok(Err(error))) => Err(PrepareError::Compile { reason: refused_by_compiler(&error) }.into()),
            Ok(Err(_panic)) => Err(LoadError::Host),
            Err(_elapsed) => Err(PrepareError::TooSlow { limit: COMPILE_TIME_MAX }.into()),
        }
    }
}

impl Sandbox {
    /// Has `program` compile a component, in a process of its own and in [`COMPILE_TIME_MAX`] at most. Answers the code
    /// beside it, for whoever keeps it.
    pub(super) async fn compile_apart(
        &self,
        program: &Path,
        wasm: &[u8],
    ) -> Result<(Component, Vec<u8>), PrepareError> {
        let compiled = match apart::compile(program, wasm, COMPILE_TIME_MAX).await {
            Ok(compiled) => compiled,
            Err(ApartError::TooSlow(limit)) => return Err(PrepareError::TooSlow { limit }),
            Err(error) => return Err(PrepareError::Compile { reason: sentence(&error) }),
        };
        let engine = self.engine().clone();
        let take = move || of_child(&engine, &compiled).map(|component| (component, compiled));
        let reason = match tokio::task::spawn_blocking(take).await {
            Ok(Ok(taken)) => return Ok(taken),
            // The child has no pool, so what the pool has no place for is found out here.
            Ok(Err(error)) => format!(
                "{}; restart this program if `{}` is of another version by now",
                refused_by_compiler(&error),
                program.display()
            ),
            Err(stopped) => stopped.to_string(),
        };
        Err(PrepareError::Compile { reason })
    }
}

impl Kept {
    fn keep(&self, sha256: FileHash, compiled: &[u8]) {
        self.complain(self.cache.keep(sha256, compiled).map_err(|error| sentence(&error)));
    }

    fn complain(&self, done: Result<(), String>) {
        if let Err(error) = done
            && !self.complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(error, "A compiled plugin cannot be kept; the next start compiles it again.");
        }
    }
}

fn load_or_compile(
    engine: &Engine,
    kept: Option<&Kept>,
    sha256: FileHash,
    bytes: &[u8],
) -> wasmtime::Result<Component> {
    if let Some(component) = kept.and_then(|kept| kept.cache.load(engine, sha256)) {
        return Ok(component);
    }
    tracing::info!(bytes = bytes.len(), "Compiling a plugin, which is done once for each file.");
    let component = Component::from_binary(engine, bytes)?;
    if let Some(kept) = kept {
        match component.serialize() {
            Ok(compiled) => kept.keep(sha256, &compiled),
            Err(error) => kept.complain(Err(error.to_string())),
        }
    }
    Ok(component)
}
