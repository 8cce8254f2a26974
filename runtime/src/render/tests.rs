//! The room with a real folder, a real store and the engine of the `minijinja` plugin.

mod engine;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tempfile::TempDir;

use crate::call::{ContentSource, RenderFailure};
use crate::clock::{Entropy, ManualClock};
use crate::domain::{
    AttemptEnd, Blame, Content, Fault, Interruption, Notification, Outcome, Priority, Recipient, TemplateName,
    TemplateUse, Timestamp,
};
use crate::store::sqlite::{SqliteOptions, SqliteStore};
use crate::store::{CommitListener, Committed, Durability, Store};

use super::{PinError, Renderer, TemplateError, TemplateOptions, TemplateRegistry};
use engine::{Mood, Native};

struct Rig {
    dir: TempDir,
    engine: Arc<Native>,
    clock: ManualClock,
    entropy: Entropy,
    registry: TemplateRegistry,
    renderer: Renderer,
    store: Arc<dyn Store>,
}

struct Nobody;

impl CommitListener for Nobody {
    fn committed(&self, _: Committed) {}
}

impl Rig {
    fn new(strict: bool) -> Self {
        let dir = TempDir::new().unwrap();
        let engine = Arc::new(Native::default());
        let clock = ManualClock::at(Timestamp::from_millis(1_000_000));
        let options =
            SqliteOptions { path: "memory".into(), durability: Durability::Memory, listener: Arc::new(Nobody) };
        let store: Arc<dyn Store> = SqliteStore::open(options).unwrap();
        let registry = TemplateRegistry::new(
            TemplateOptions { dir: dir.path().to_owned(), strict },
            engine.clone(),
            store.clone(),
            Arc::new(clock.clone()),
        );
        let renderer = Renderer::new(store.clone(), engine.clone(), Arc::new(clock.clone()), strict);
        Self { dir, engine, clock, entropy: Entropy::fixed(1), registry, renderer, store }
    }

    async fn with(files: &[(&str, &str)]) -> Self {
        let rig = Self::new(true);
        rig.write(files).await;
        rig
    }

    /// Writes the files and looks.
    async fn write(&self, files: &[(&str, &str)]) {
        for (name, text) in files {
            self.put(name, text.as_bytes());
        }
        self.registry.look().await;
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn mood(&self, mood: Mood) {
        *self.engine.mood.lock().unwrap() = mood;
    }

    fn renders(&self) -> usize {
        self.engine.renders.load(Ordering::Relaxed)
    }

    fn parts(&self, template: &str) -> Vec<String> {
        let template = self.registry.get(&name(template)).unwrap();
        template.source.parts.iter().map(|(name, _)| name.clone()).collect()
    }

    fn error(&self, template: &str) -> String {
        self.registry.get(&name(template)).unwrap_err().to_string()
    }

    fn notification(&self, content: Content, template: Option<TemplateUse>, data: &str) -> Arc<Notification> {
        let now = Timestamp::from_millis(1_000_000);
        Arc::new(Notification {
            id: self.entropy.notification_id(now),
            kind: "info".to_owned(),
            priority: Priority::Normal,
            content: Arc::new(content),
            actions: Vec::new(),
            template,
            data: Some(data.to_owned()),
            metadata: Vec::new(),
            correlation_id: None,
            group_key: None,
            created_at: now,
            scheduled_at: None,
            expires_at: None,
        })
    }

    async fn pinned(&self, template: &str, data: &str) -> Arc<Notification> {
        let pinned = self.registry.pin(&name(template), Some(data)).await.unwrap();
        self.notification(Content::default(), Some(pinned), data)
    }

    async fn content(&self, notification: &Arc<Notification>, locale: &str) -> Result<Arc<Content>, RenderFailure> {
        let recipient = Recipient { locale: Some(locale.to_owned()), ..Recipient::default() };
        self.renderer.content(notification, &Arc::new(recipient)).await
    }

    async fn text(&self, notification: &Arc<Notification>) -> String {
        self.content(notification, "en").await.unwrap().text.clone()
    }

    async fn end(&self, notification: &Arc<Notification>) -> AttemptEnd {
        self.content(notification, "en").await.unwrap_err().into_end().0
    }
}

fn name(name: &str) -> TemplateName {
    TemplateName::new(name).unwrap()
}

#[tokio::test]
async fn files_beside_each_other_or_in_a_folder_are_the_parts_of_a_template() {
    let rig = Rig::with(&[
        ("welcome.j2", "hi"),
        ("welcome.title.j2", "Hi"),
        ("welcome.html.jinja", "<p>hi"),
        ("bye.v2/text.j2", "{% include '_row' %}"),
        ("bye.v2/_row.j2", "bye"),
        ("_footer.html.j2", "<hr>"),
        (".hidden.j2", "{{"),
        ("welcome.title.j2~", "{{"),
        ("README", "not a template"),
    ])
    .await;
    assert_eq!(rig.parts("welcome"), ["_footer.html", "html", "text", "title"]);
    assert_eq!(rig.parts("bye.v2"), ["_footer.html", "_row", "text"]);
    assert_eq!(rig.registry.errors(), []);
}

#[tokio::test]
async fn a_broken_template_never_replaces_a_good_one() {
    let rig = Rig::with(&[("welcome.j2", "hello {{ name }}")]).await;
    let good = rig.registry.get(&name("welcome")).unwrap();

    rig.write(&[("welcome.j2", "hello\n{{ name | shout }}"), ("welcome.html.j2", "<p>{{")]).await;
    assert_eq!(rig.registry.get(&name("welcome")).unwrap().source.version, good.source.version);
    let [(broken, error)] = &rig.registry.errors()[..] else { panic!("one template is broken") };
    assert_eq!(broken.as_str(), "welcome");
    let places: Vec<_> = error.problems().iter().map(|problem| (&*problem.part, problem.line)).collect();
    assert_eq!(places, [("html", 1), ("text", 2)]);

    rig.write(&[("welcome.j2", "hello {{ name | upper }}"), ("welcome.html.j2", "<p>")]).await;
    assert_ne!(rig.registry.get(&name("welcome")).unwrap().source.version, good.source.version);
    assert_eq!(rig.registry.errors(), []);
}

#[tokio::test]
async fn a_template_that_never_worked_says_why() {
    let rig = Rig::with(&[("welcome.j2", "hello {{ name")]).await;
    assert!(rig.error("welcome").starts_with("part `text`, line 1, column 10: syntax error"));
}

#[tokio::test]
async fn a_change_is_seen_by_the_first_use_a_second_later_and_not_before() {
    let rig = Rig::with(&[("welcome.j2", "one")]).await;
    let first = rig.registry.pin(&name("welcome"), None).await.unwrap();
    rig.put("welcome.j2", b"second");
    rig.clock.advance(Duration::from_millis(999));
    assert_eq!(rig.registry.pin(&name("welcome"), None).await.unwrap(), first);
    rig.clock.advance(Duration::from_millis(1));
    assert_ne!(rig.registry.pin(&name("welcome"), None).await.unwrap(), first);
    assert_eq!(rig.engine.checks.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_template_without_an_engine_is_served_once_the_engine_comes() {
    let rig = Rig::new(true);
    rig.mood(Mood::Absent);
    rig.write(&[("welcome.j2", "hi"), ("other.hbs", "hi")]).await;
    assert_eq!(rig.error("welcome"), "no template engine renders `.j2`, the extension of `welcome.j2`");
    rig.mood(Mood::Serving);
    rig.registry.look().await;
    assert_eq!(rig.parts("welcome"), ["text"]);
    assert_eq!(rig.error("other"), "no template engine renders `.hbs`, the extension of `other.hbs`");
}

#[tokio::test]
async fn files_that_make_no_template_are_refused_with_the_reason() {
    let rig = Rig::new(true);
    rig.put("binary.j2", b"\xff\xfe");
    rig.put("large.j2", &vec![b' '; (256 << 10) + 1]);
    rig.put("twice.j2", b"hi");
    rig.put("twice/text.j2", b"hi");
    rig.put("includes/_row.j2", b"hi");
    for n in 0..65 {
        rig.put(&format!("many/p{n}.j2"), b"hi");
    }
    rig.registry.look().await;
    assert_eq!(rig.error("binary"), "`binary.j2` is not text in UTF-8");
    assert_eq!(rig.error("large"), "`large.j2` has 262145 bytes, the limit is 262144");
    assert_eq!(rig.error("twice"), "`twice.j2` writes part `text`, which another file writes too");
    assert_eq!(rig.error("includes"), "template `includes` has includes and no part");
    assert_eq!(rig.error("many"), "template `many` has 65 parts and includes, the limit is 64");
}

#[tokio::test]
async fn a_name_that_is_not_there_brings_up_one_that_is() {
    let rig = Rig::with(&[("welcome.j2", "hi")]).await;
    let error = rig.registry.pin(&name("welcmoe"), None).await.unwrap_err();
    let PinError::Template(TemplateError::Unknown { nearest, .. }) = error else { panic!("it is unknown: {error}") };
    assert_eq!(nearest.as_deref(), Some("welcome"));
    fs::remove_file(rig.dir.path().join("welcome.j2")).unwrap();
    rig.registry.look().await;
    assert_eq!(rig.error("welcome"), "there is no template `welcome`");
}

#[tokio::test]
async fn data_that_lacks_what_a_template_needs_is_refused_by_name() {
    let files = [("welcome.j2", "{{ name }} {{ host }} {% if url %}{{ url }}{% endif %} {{ team | default('us') }}")];
    let rig = Rig::with(&files).await;
    let pin = async |data| rig.registry.pin(&name("welcome"), data).await;
    assert_eq!(
        pin(None).await.unwrap_err().to_string(),
        "template `welcome` needs data that is not there: `host`, `name`"
    );
    assert!(
        matches!(pin(Some(r#"{"name": 1}"#)).await, Err(PinError::MissingData { variables, .. }) if variables == ["host"])
    );
    assert!(matches!(pin(Some("[1]")).await, Err(PinError::NotAnObject { .. })));
    assert!(pin(Some(r#"{"name": 1, "host": null}"#)).await.is_ok());

    let lenient = Rig::new(false);
    lenient.write(&files).await;
    assert!(lenient.registry.pin(&name("welcome"), None).await.is_ok());
}

#[tokio::test]
async fn a_pinned_version_is_kept_and_outlives_its_files() {
    let rig = Rig::with(&[("welcome.j2", "hello {{ name }}{% include '_end' %}"), ("_end.j2", "!")]).await;
    let notification = rig.pinned("welcome", r#"{"name": "Ada"}"#).await;
    let version = notification.template.as_ref().unwrap().version;
    assert_eq!(rig.store.template(version).await.unwrap().unwrap().engine, "minijinja");

    rig.write(&[("_end.j2", "??")]).await;
    let changed = rig.pinned("welcome", r#"{"name": "Ada"}"#).await;
    assert_eq!(rig.text(&notification).await, "hello Ada!");
    assert_eq!(rig.text(&changed).await, "hello Ada??");
}

#[tokio::test]
async fn content_without_a_template_is_shared_as_it_is() {
    let rig = Rig::new(true);
    let notification = rig.notification(Content { text: "hi".to_owned(), ..Content::default() }, None, "{}");
    assert!(Arc::ptr_eq(&rig.content(&notification, "en").await.unwrap(), &notification.content));

    let html = Content { html: Some("<p>a &amp; b</p>".to_owned()), ..Content::default() };
    let notification = rig.notification(html, None, "{}");
    assert_eq!(rig.text(&notification).await, "a & b");
}

#[tokio::test]
async fn deliveries_of_one_locale_share_one_rendering() {
    let rig = Rig::with(&[("welcome.j2", "hello {{ locale }}"), ("welcome.title.j2", "Hi")]).await;
    let notification = rig.pinned("welcome", "{}").await;
    let english = futures_util::future::join_all((0..100).map(|_| rig.content(&notification, "en"))).await;
    let first = english[0].as_ref().unwrap();
    assert_eq!((first.title.as_deref(), first.text.as_str()), (Some("Hi"), "hello en"));
    assert!(english.iter().all(|content| Arc::ptr_eq(content.as_ref().unwrap(), first)));
    assert_eq!(rig.renders(), 1);
    assert_eq!(rig.content(&notification, "de").await.unwrap().text, "hello de");
    assert_eq!(rig.renders(), 2);
}

#[tokio::test]
async fn a_problem_of_the_template_rejects_the_message_and_says_where() {
    let rig = Rig::with(&[("welcome.j2", "hello\n  {{ user.name }}")]).await;
    let notification = rig.pinned("welcome", r#"{"user": {}}"#).await;
    for _ in 0..2 {
        let AttemptEnd::Outcome(Outcome::Rejected { blame, code, reason }) = rig.end(&notification).await else {
            panic!("it is rejected")
        };
        assert_eq!((blame, code.as_deref()), (Blame::Message, Some("template")));
        assert_eq!(reason, "part `text`, line 2, column 6: undefined value: `user.name` is undefined");
    }
    assert_eq!(rig.renders(), 1);
}

#[tokio::test]
async fn a_fault_of_the_engine_is_not_remembered() {
    let rig = Rig::with(&[("welcome.j2", "hello")]).await;
    let notification = rig.pinned("welcome", "{}").await;
    rig.mood(Mood::Faulty);
    assert!(matches!(rig.end(&notification).await, AttemptEnd::Fault { fault: Fault::Trap, .. }));
    rig.mood(Mood::Absent);
    let end = rig.end(&notification).await;
    assert!(matches!(end, AttemptEnd::Interrupted { interruption: Interruption::NoPlugin, .. }));
    rig.mood(Mood::Serving);
    assert_eq!(rig.text(&notification).await, "hello");
}

#[tokio::test]
async fn a_source_that_the_store_lost_is_a_defect_of_ours() {
    let rig = Rig::new(true);
    let template = TemplateUse { name: name("welcome"), version: [7; 32] };
    let notification = rig.notification(Content::default(), Some(template), "{}");
    let end = rig.end(&notification).await;
    assert!(matches!(end, AttemptEnd::Interrupted { interruption: Interruption::HostBug, .. }));
}
