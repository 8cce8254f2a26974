//! What a plugin is told: plain values, the same natively and in the sandbox.
//!
//! Instants are milliseconds from 1970-01-01T00:00Z; lists of pairs keep their order and may repeat a key.

/// Names and values in their order.
pub type Pairs = Vec<(String, String)>;

/// What every call of a channel is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The channel's configured name, such as `ops-slack`.
    pub channel: String,
    /// The channel's config as a JSON object: checked against the schema, defaults filled in.
    pub config: String,
    /// The wall clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Wall-clock time left for this call in milliseconds; never zero.
    pub timeout_ms: u32,
    /// Room for later versions: ignore what you do not know.
    pub extra: Pairs,
}

/// One attempt for one delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// What every call is told.
    pub context: Context,
    /// The same over all attempts: hand it on as the provider's idempotency key.
    pub delivery_id: String,
    /// From 1.
    pub attempt: u32,
    /// Whom to tell.
    pub recipient: Recipient,
    /// What to tell, and what surrounds it.
    pub notification: Notification,
}

impl Call {
    /// What to tell.
    pub fn content(&self) -> &Content {
        &self.notification.content
    }
}

/// Whom to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipient {
    /// Of the kind the descriptor asks for; empty where it asks for none.
    pub address: String,
    /// Set for a stored recipient.
    pub id: Option<String>,
    /// To greet by.
    pub name: Option<String>,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// Preferences and the like.
    pub attributes: Pairs,
}

/// What to tell, and what surrounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The same for all deliveries of the notification.
    pub id: String,
    /// `info`, `success`, `warning`, `error` or the caller's own word.
    pub kind: String,
    /// How urgent.
    pub priority: Priority,
    /// What to tell.
    pub content: Content,
    /// Buttons, where the provider has such.
    pub actions: Vec<Action>,
    /// The caller's `data` as JSON.
    pub data: Option<String>,
    /// The caller's notes.
    pub metadata: Pairs,
    /// The caller's id for the matter.
    pub correlation_id: Option<String>,
    /// Use as thread, collapse key or alias.
    pub group_key: Option<String>,
    /// When it was accepted, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it is of no use any more, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

/// What to tell. `text` is always there: the host derives it from `markdown` or `html` if nobody wrote one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Subject or headline.
    pub title: Option<String>,
    /// Plain text.
    pub text: String,
    /// For providers that show HTML.
    pub html: Option<String>,
    /// For providers that show a kind of Markdown.
    pub markdown: Option<String>,
    /// For one kind of channel each.
    pub parts: Vec<Part>,
}

impl Content {
    /// The value of the part of this name.
    ///
    /// ```
    /// # use campanile_plugin_sdk::{Content, Part};
    /// let part = Part { name: "preheader".into(), value: "Hello".into() };
    /// let content = Content { parts: vec![part], ..Content::default() };
    /// assert_eq!(content.part("preheader"), Some("Hello"));
    /// assert_eq!(content.part("slack-blocks"), None);
    /// ```
    pub fn part(&self, name: &str) -> Option<&str> {
        self.parts.iter().find(|part| part.name == name).map(|part| part.value.as_str())
    }
}

/// A part for one kind of channel, such as `slack-blocks` or `preheader`; or one part of a template.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub name: String,
    /// Its text.
    pub value: String,
}

/// How urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Can wait.
    Low,
    /// As usual.
    #[default]
    Normal,
    /// Soon.
    High,
    /// At once.
    Critical,
}

impl Priority {
    /// Its word in JSON and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A button.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Told back when it is used.
    pub id: String,
    /// What stands on it.
    pub label: String,
    /// Where it leads.
    pub url: Option<String>,
    /// How it looks.
    pub style: ActionStyle,
}

/// How a button looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionStyle {
    /// One of several.
    #[default]
    Plain,
    /// What most will want.
    Primary,
    /// Hard to undo.
    Danger,
}

impl ActionStyle {
    /// Its word in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Primary => "primary",
            Self::Danger => "danger",
        }
    }
}
