//! The content of a notification, just before a channel is called with it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::call::{ContentSource, RenderCall, RenderFailure, TemplateCaller, TemplateProblem};
use crate::clock::Clock;
use crate::domain::{
    AttemptEnd, Content, Interruption, Notification, NotificationId, PluginName, Recipient, TemplateUse,
};
use crate::store::{Store, StoreError};

use super::content;
use super::recent::{Limits, Recent};
use super::template;

/// Sources in memory: a store holds as many versions as are waited for, few of them are in use at a time.
const SOURCES: Limits = Limits { entries: 256, bytes: 8 << 20 };

/// Rendered contents in memory: what has deliveries or retries under way.
const RENDERED: Limits = Limits { entries: 4096, bytes: 16 << 20 };

/// All rendered parts together, in bytes, whatever the engine allows.
const RENDERED_BYTES_MAX: usize = 1 << 20;

/// Gives each delivery its content. One per process.
pub struct Renderer {
    store: Arc<dyn Store>,
    engines: Arc<dyn TemplateCaller>,
    clock: Arc<dyn Clock>,
    strict: AtomicBool,
    sources: Mutex<Recent<[u8; 32], Arc<OnceCell<Source>>>>,
    rendered: Mutex<Recent<Key, Arc<Slot>>>,
}

/// What one rendering depends on. The version and the data are the notification's own and never change.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    notification: NotificationId,
    locale: Option<String>,
    time_zone: Option<String>,
}

impl Key {
    fn of(notification: &Notification, recipient: &Recipient) -> Self {
        Self { notification: notification.id, locale: recipient.locale.clone(), time_zone: recipient.time_zone.clone() }
    }
}

/// Filled by the first delivery that comes, while the others wait. A problem of the template stays one; a failure of the
/// engine does not fill it.
type Slot = OnceCell<Result<Arc<Content>, TemplateProblem>>;

/// A pinned source, as calls need it.
#[derive(Clone)]
struct Source {
    engine: PluginName,
    parts: Arc<Vec<(String, String)>>,
    includes: Arc<Vec<(String, String)>>,
}

impl Renderer {
    /// Renders with `engines` what `store` keeps. `strict`: an undefined variable is a problem instead of nothing.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, engines: Arc<dyn TemplateCaller>, clock: Arc<dyn Clock>, strict: bool) -> Self {
        Self {
            store,
            engines,
            clock,
            strict: AtomicBool::new(strict),
            sources: Mutex::new(Recent::new(SOURCES)),
            rendered: Mutex::new(Recent::new(RENDERED)),
        }
    }

    /// Has what is rendered from here on be strict, or not.
    pub fn set_strict(&self, strict: bool) {
        self.strict.store(strict, Ordering::Relaxed);
    }

    /// The template engine that has to be called before this recipient can be told. None where nothing is left to
    /// render, and where the source of the template cannot be read.
    pub async fn engine_needed(&self, notification: &Notification, recipient: &Recipient) -> Option<PluginName> {
        let template = notification.template.as_ref()?;
        let slot = lock(&self.rendered).peek(&Key::of(notification, recipient));
        if slot.is_some_and(|slot| slot.initialized()) {
            return None;
        }
        self.source(template).await.ok().map(|source| source.engine)
    }

    async fn of_template(
        &self,
        notification: &Notification,
        template: &TemplateUse,
        recipient: &Recipient,
    ) -> Result<Arc<Content>, RenderFailure> {
        let key = Key::of(notification, recipient);
        let slot = lock(&self.rendered).get_or_insert_with(&key, Arc::default);
        let mut fresh = None;
        let result = slot
            .get_or_try_init(|| async {
                let result = self.render(notification, template, recipient).await;
                let kept = match result {
                    Ok(content) => Ok(Arc::new(content)),
                    Err(RenderFailure::Problem(problem)) => Err(problem),
                    Err(end @ (RenderFailure::End(..) | RenderFailure::Held { .. })) => return Err(end),
                };
                fresh = Some(kept.as_ref().map_or(0, |content| bytes_of(content)));
                Ok(kept)
            })
            .await?;
        let result = result.clone().map_err(RenderFailure::Problem);
        if let Some(bytes) = fresh {
            lock(&self.rendered).weigh(&key, bytes);
        }
        result
    }

    async fn render(
        &self,
        notification: &Notification,
        template: &TemplateUse,
        recipient: &Recipient,
    ) -> Result<Content, RenderFailure> {
        let source = self.source(template).await?;
        let call = RenderCall {
            engine: source.engine,
            template: template.name.to_string(),
            parts: source.parts,
            includes: source.includes,
            data: notification.data.clone().unwrap_or_else(|| "{}".to_owned()),
            locale: recipient.locale.clone(),
            time_zone: recipient.time_zone.clone(),
            strict: self.strict.load(Ordering::Relaxed),
            now: self.clock.now(),
        };
        let rendered = self.engines.render(notification.id, &call).await?;
        let bytes = rendered.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
        if bytes > RENDERED_BYTES_MAX {
            let message = format!("the rendered parts have {bytes} bytes together, the limit is {RENDERED_BYTES_MAX}");
            return Err(RenderFailure::Problem(TemplateProblem { part: String::new(), line: 0, column: 0, message }));
        }
        content::merge(&notification.content, rendered).map_err(RenderFailure::Problem)
    }

    /// The source of the pinned version, read from the store once.
    async fn source(&self, template: &TemplateUse) -> Result<Source, RenderFailure> {
        let version = template.version;
        let slot = lock(&self.sources).get_or_insert_with(&version, Arc::default);
        let mut fresh = None;
        let source = slot
            .get_or_try_init(|| async {
                let kept = self.store.template(version).await.map_err(|error| unreadable(&error))?;
                let kept =
                    kept.ok_or_else(|| defect(format!("the store has no source of template `{}`", template.name)))?;
                let engine = PluginName::new(&kept.engine).map_err(|error| defect(error.to_string()))?;
                fresh = Some(kept.parts.iter().map(|(name, text)| name.len() + text.len()).sum());
                let (parts, includes) = template::split(kept.parts);
                Ok::<_, RenderFailure>(Source { engine, parts: Arc::new(parts), includes: Arc::new(includes) })
            })
            .await?
            .clone();
        if let Some(bytes) = fresh {
            lock(&self.sources).weigh(&version, bytes);
        }
        Ok(source)
    }
}

/// `text` is always written, if need be from markdown or HTML. Rendering happens once for each locale and time zone of a
/// notification, and what came of it is shared.
#[async_trait]
impl ContentSource for Renderer {
    async fn content(
        &self,
        notification: &Arc<Notification>,
        recipient: &Arc<Recipient>,
    ) -> Result<Arc<Content>, RenderFailure> {
        let own = &notification.content;
        match &notification.template {
            None if own.text.is_empty() && (own.markdown.is_some() || own.html.is_some()) => {
                let text = content::derive_text(own);
                Ok(Arc::new(Content { text, ..Content::clone(own) }))
            }
            None => Ok(Arc::clone(own)),
            Some(template) => self.of_template(notification, template, recipient).await,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn bytes_of(content: &Content) -> usize {
    let Content { title, text, html, markdown, parts } = content;
    let forms = [title, html, markdown].into_iter().flatten().map(String::len).sum::<usize>();
    text.len() + forms + parts.iter().map(|part| part.name.len() + part.value.len()).sum::<usize>()
}

fn unreadable(error: &StoreError) -> RenderFailure {
    let interruption = if matches!(error, StoreError::Closed) { Interruption::Shutdown } else { Interruption::HostBug };
    RenderFailure::End(AttemptEnd::Interrupted { interruption, message: error.to_string() }, None)
}

fn defect(message: String) -> RenderFailure {
    RenderFailure::End(AttemptEnd::Interrupted { interruption: Interruption::HostBug, message }, None)
}
