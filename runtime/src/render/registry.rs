//! The templates there are: read from a folder, checked by their engines, pinned at accept.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::de::IgnoredAny;
use tokio::sync::{Mutex, OnceCell};

use crate::call::{RenderCall, TemplateCaller, TemplateCheckError, TemplateVariable};
use crate::clock::Clock;
use crate::domain::{PluginName, TemplateName, TemplateUse, Timestamp};
use crate::store::{Store, TemplateSource};

use super::folder::{self, File};
use super::template::{self, PinError, Template, TemplateError};

/// A change of a file is seen by the first use of any template this long after the last look.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Parts and includes of one template, with the includes of all.
const PARTS_MAX: usize = 64;

/// All of them together, in bytes: the source goes into the store, and to the engine with each call.
const SOURCE_BYTES_MAX: u64 = 1 << 20;

/// What the registry is told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateOptions {
    /// The folder of template files.
    pub dir: PathBuf,
    /// An undefined variable is an error: data without a required one is refused at accept.
    pub strict: bool,
}

/// The templates there are right now.
pub struct TemplateRegistry {
    options: TemplateOptions,
    engines: Arc<dyn TemplateCaller>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entries: ArcSwap<BTreeMap<TemplateName, Entry>>,
    /// In milliseconds of the clock.
    next_look: AtomicU64,
    /// One look at a time.
    looking: Mutex<()>,
}

/// What is known of one template.
#[derive(Clone, Default)]
struct Entry {
    files: Vec<File>,
    /// The newest that passed its check.
    serving: Option<Arc<Template>>,
    /// What is wrong with the files as they are.
    error: Option<TemplateError>,
}

impl TemplateRegistry {
    /// Knows no template until the first [`look`](Self::look).
    #[must_use]
    pub fn new(
        options: TemplateOptions,
        engines: Arc<dyn TemplateCaller>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            options,
            engines,
            store,
            clock,
            entries: ArcSwap::default(),
            next_look: AtomicU64::new(0),
            looking: Mutex::new(()),
        }
    }

    /// The template of that name, as of the last look.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] where there is none, or none that ever worked since the start.
    pub fn get(&self, name: &TemplateName) -> Result<Arc<Template>, TemplateError> {
        let entries = self.entries.load();
        match entries.get(name) {
            Some(Entry { serving: Some(template), .. }) => Ok(Arc::clone(template)),
            Some(Entry { error: Some(error), .. }) => Err(error.clone()),
            Some(Entry { serving: None, error: None, .. }) | None => {
                let nearest = nearest(name.as_str(), entries.keys());
                Err(TemplateError::Unknown { name: name.clone(), nearest })
            }
        }
    }

    /// Every template whose files are not fine, with what is wrong. An older version of it may be serving.
    #[must_use]
    pub fn errors(&self) -> Vec<(TemplateName, TemplateError)> {
        let entries = self.entries.load();
        entries.iter().filter_map(|(name, entry)| Some((name.clone(), entry.error.clone()?))).collect()
    }

    /// Ties a notification to the current version: its source is in the store when this returns.
    ///
    /// # Errors
    ///
    /// [`PinError`] where there is no such template, `data` lacks what it cannot do without (no engine is asked for
    /// that), or the store does not take the source.
    pub async fn pin(&self, name: &TemplateName, data: Option<&str>) -> Result<TemplateUse, PinError> {
        self.look_if_due().await;
        let template = self.get(name)?;
        self.check_data(&template, data)?;
        template.kept.get_or_try_init(|| self.store.keep_template(template.source.clone())).await?;
        Ok(TemplateUse { name: name.clone(), version: template.source.version })
    }

    fn check_data(&self, template: &Template, data: Option<&str>) -> Result<(), PinError> {
        let name = || template.name.clone();
        let keys: BTreeMap<String, IgnoredAny> =
            serde_json::from_str(data.unwrap_or("{}")).map_err(|_| PinError::NotAnObject { name: name() })?;
        let missing = template.required().filter(|variable| !keys.contains_key(*variable)).map(str::to_owned);
        let variables: BTreeSet<String> = missing.collect();
        if self.options.strict && !variables.is_empty() {
            return Err(PinError::MissingData { name: name(), variables: variables.into_iter().collect() });
        }
        Ok(())
    }

    /// One caller a second takes a look; the others go on with what is known.
    async fn look_if_due(&self) {
        let now = self.clock.now();
        let due = self.next_look.load(Ordering::Relaxed);
        if Timestamp::from_millis(due) > now {
            return;
        }
        let next = now.after(LOOK_EVERY).as_millis();
        if self.next_look.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            self.look().await;
        }
    }

    /// Looks at the folder now, and has what changed checked. A template that fails goes on as it was before.
    pub async fn look(&self) {
        let _one_at_a_time = self.looking.lock().await;
        self.next_look.store(self.clock.now().after(LOOK_EVERY).as_millis(), Ordering::Relaxed);
        let dir = self.options.dir.clone();
        let listing = match tokio::task::spawn_blocking(move || folder::list(&dir)).await {
            Ok(Ok(listing)) => listing,
            Ok(Err(error)) => {
                tracing::warn!(%error, "The folder of templates cannot be read; they go on as they are.");
                return;
            }
            // Only where the runtime is shutting down.
            Err(_) => return,
        };
        let before = self.entries.load_full();
        let mut after = BTreeMap::new();
        for (name, files) in listing.templates {
            let known = before.get(&name).cloned().unwrap_or_default();
            let files: Vec<File> = files.into_iter().chain(listing.shared.iter().cloned()).collect();
            let entry = self.entry(&name, files, known).await;
            after.insert(name, entry);
        }
        self.entries.store(Arc::new(after));
    }

    async fn entry(&self, name: &TemplateName, files: Vec<File>, known: Entry) -> Entry {
        let changed = known.files != files;
        let again = known.error.as_ref().is_some_and(TemplateError::is_transient);
        if !changed && !again {
            return known;
        }
        match self.load(name, &files, known.serving.as_ref()).await {
            Ok(template) => {
                tracing::info!(template = %name, "Template is served.");
                Entry { files, serving: Some(template), error: None }
            }
            Err(error) => {
                if known.error.as_ref() != Some(&error) {
                    let older = known.serving.is_some();
                    tracing::warn!(template = %name, %error, older_serves = older, "Template was refused.");
                }
                Entry { files, serving: known.serving, error: Some(error) }
            }
        }
    }

    async fn load(
        &self,
        name: &TemplateName,
        files: &[File],
        serving: Option<&Arc<Template>>,
    ) -> Result<Arc<Template>, TemplateError> {
        let (engine, files) = self.of_one_engine(name, files).await?;
        let parts = tokio::task::spawn_blocking(move || read(&files)).await.unwrap_or_else(|stopped| {
            Err(TemplateError::Unreadable { file: "templates".to_owned(), reason: stopped.to_string() })
        })?;
        let bytes = parts.iter().map(|(name, text)| name.len() + text.len()).sum::<usize>() as u64;
        if bytes > SOURCE_BYTES_MAX {
            let what = name.to_string();
            return Err(TemplateError::TooLarge { what, found: bytes, limit: SOURCE_BYTES_MAX });
        }
        let source = template::source(engine.to_string(), parts);
        if let Some(serving) = serving.filter(|serving| serving.source.version == source.version) {
            return Ok(Arc::clone(serving));
        }
        let variables = self.check(name, engine, &source).await?;
        Ok(Arc::new(Template { name: name.clone(), source, variables, kept: OnceCell::new() }))
    }

    /// The engine of a template's files, and the files without the shared includes of other engines.
    async fn of_one_engine(
        &self,
        name: &TemplateName,
        files: &[File],
    ) -> Result<(PluginName, Vec<File>), TemplateError> {
        let mut chosen: Option<PluginName> = None;
        let mut taken: Vec<File> = Vec::new();
        for file in files {
            let engine = self.engines.engine_for(&file.extension).await;
            if file.is_shared() && (engine.is_none() || engine != chosen) {
                continue;
            }
            let shown = || file.shown.clone();
            let engine =
                engine.ok_or_else(|| TemplateError::NoEngine { file: shown(), extension: file.extension.clone() })?;
            if let Some(first) = chosen.as_ref().filter(|first| **first != engine) {
                let (first, second) = (first.to_string(), engine.to_string());
                return Err(TemplateError::TwoEngines { file: shown(), first, second });
            }
            if let Some(other) = taken.iter().find(|other| other.part == file.part) {
                // A template's own include goes before one that all share.
                if file.is_shared() && !other.is_shared() {
                    continue;
                }
                return Err(TemplateError::TwoFiles { file: shown(), part: file.part.clone() });
            }
            chosen = Some(engine);
            taken.push(file.clone());
        }
        if taken.len() > PARTS_MAX {
            return Err(TemplateError::TooManyParts { name: name.clone(), found: taken.len(), limit: PARTS_MAX });
        }
        match chosen {
            Some(engine) if taken.iter().any(|file| !template::is_include(&file.part)) => Ok((engine, taken)),
            Some(_) | None => Err(TemplateError::NoPart { name: name.clone() }),
        }
    }

    async fn check(
        &self,
        name: &TemplateName,
        engine: PluginName,
        source: &TemplateSource,
    ) -> Result<Vec<TemplateVariable>, TemplateError> {
        let (parts, includes) = template::split(source.parts.clone());
        let call = RenderCall {
            engine,
            template: name.to_string(),
            parts: Arc::new(parts),
            includes: Arc::new(includes),
            data: "{}".to_owned(),
            locale: None,
            time_zone: None,
            strict: self.options.strict,
            now: self.clock.now(),
        };
        self.engines.check(&call).await.map_err(|error| match error {
            TemplateCheckError::Problems(problems) => TemplateError::Problems(problems),
            TemplateCheckError::Engine { engine, reason } => TemplateError::Engine { engine, reason },
        })
    }
}

fn read(files: &[File]) -> Result<Vec<(String, String)>, TemplateError> {
    files.iter().map(|file| Ok((file.part.clone(), file.read()?))).collect()
}

/// A third of a name's letters may be wrong: more, and anything is near to everything.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a TemplateName>) -> Option<String> {
    let distance = |other: &TemplateName| strsim::damerau_levenshtein(name, other.as_str());
    let near = known.min_by_key(|other| distance(other))?;
    (distance(near) <= (near.as_str().len() / 3).max(1)).then(|| near.to_string())
}
