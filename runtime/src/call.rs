//! The seam between deciding and doing: what a call of a plugin is, without WebAssembly.
//!
//! *Not here:* judgement (`domain::settle`), sandboxes (`sandbox`).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::domain::{
    AttemptEnd, Awaited, Blame, ChannelName, Content, DeliveryId, Interruption, Notification, NotificationId, Outcome,
    PluginName, Priority, Recipient, Timestamp,
};

/// One attempt to be made.
#[derive(Clone, Debug)]
pub struct Call {
    /// Through which channel.
    pub channel: ChannelName,
    /// For which delivery: the same over all attempts.
    pub delivery: DeliveryId,
    /// From 1.
    pub attempt: u32,
    /// To whom.
    pub recipient: Arc<Recipient>,
    /// What was asked for.
    pub notification: Arc<Notification>,
    /// What to tell: the notification's own content, or what its template made of it.
    pub content: Arc<Content>,
    /// What the clock shows.
    pub now: Timestamp,
}

/// A question for the final word on what a provider took.
#[derive(Clone, Debug)]
pub struct Question {
    /// Through which channel it was sent.
    pub channel: ChannelName,
    /// Which delivery it is about.
    pub delivery: DeliveryId,
    /// What the provider gave when it took it, and when that was.
    pub awaited: Arc<Awaited>,
    /// What the clock shows.
    pub now: Timestamp,
}

/// Which plugin, at which version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PluginVersion {
    /// Its name.
    pub name: PluginName,
    /// Its version.
    pub version: semver::Version,
}

impl std::fmt::Display for PluginVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.name, self.version)
    }
}

/// What a call cost and how it ended.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it ended.
    pub end: AttemptEnd,
    /// From store made to store dropped.
    pub duration: Duration,
    /// Who was called; none where no plugin was reached.
    pub plugin: Option<Arc<PluginVersion>>,
    /// Units of the engine; not comparable across engine versions.
    pub fuel: u64,
    /// The guest's linear memory at the end, in bytes.
    pub memory_bytes: u64,
}

impl Report {
    /// The answer to a question where nobody can be asked.
    #[must_use]
    pub fn of_no_poll(question: &Question, plugin: Option<Arc<PluginVersion>>) -> Self {
        let receipt = question.awaited.receipt.clone();
        let end = AttemptEnd::Outcome(Outcome::Accepted { receipt, check_after: None, polled: false });
        Self { end, duration: Duration::ZERO, plugin, fuel: 0, memory_bytes: 0 }
    }
}

/// Makes calls. Dispatch knows this and no sandbox.
#[async_trait]
pub trait Caller: Send + Sync + 'static {
    /// Makes one attempt. Never fails: whatever goes wrong is in the report.
    async fn call(&self, call: Call) -> Report;

    /// Asks for a final word, and sends nothing. Never fails: whatever goes wrong is in the report. Where the plugin
    /// cannot be asked (any more) the answer is the word that there is: accepted, by one that is not polled. That is what
    /// a caller without questions says of every delivery.
    async fn ask(&self, question: Question) -> Report {
        Report::of_no_poll(&question, None)
    }
}

/// Gives a delivery what it tells.
#[async_trait]
pub trait ContentSource: Send + Sync + 'static {
    /// The notification's own content, or what its template makes of it for this recipient.
    ///
    /// # Errors
    ///
    /// [`RenderFailure`] where there is no content: the attempt ends by [`RenderFailure::into_end`], without a call of
    /// the channel.
    async fn content(
        &self,
        notification: &Arc<Notification>,
        recipient: &Arc<Recipient>,
    ) -> Result<Arc<Content>, RenderFailure>;
}

/// The kind of address a channel needs.
#[derive(Clone, Debug)]
pub struct AddressNeed {
    /// `email`, `phone`, ….
    pub kind: String,
    /// The whole address must match.
    pub pattern: Option<regex::Regex>,
}

impl AddressNeed {
    /// Whether an address of this kind will do. An empty one is none.
    #[must_use]
    pub fn takes(&self, address: &str) -> bool {
        !address.is_empty()
            && self
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.find(address).is_some_and(|found| found.range() == (0..address.len())))
    }
}

/// What routing must know of a channel.
#[derive(Clone, Debug)]
pub struct ChannelFacts {
    /// Its plugin.
    pub plugin: PluginName,
    /// The kind of address it needs; none where its configuration says where to.
    pub address: Option<AddressNeed>,
    /// The operator's priority for notifications that name none.
    pub priority: Option<Priority>,
    /// Other channels stand in for it: what else is known of a recipient's addresses is kept for them.
    pub has_fallback: bool,
}

/// Why a channel cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelUnavailable {
    /// Nothing of that name is configured, and no plugin of that name works without configuration.
    #[error("there is no channel `{name}`")]
    Unknown {
        /// The name asked for.
        name: String,
        /// A known channel with a similar name.
        nearest: Option<String>,
        /// A section to paste, where a plugin of that name exists.
        section: Option<String>,
        /// Some of the channels that there are, in order: at most [`KNOWN_MAX`](Self::KNOWN_MAX).
        known: Vec<String>,
    },
    /// It is configured, and switched off there.
    #[error("channel `{name}` is disabled; {}", Self::enabling(.name))]
    Disabled {
        /// The channel.
        name: ChannelName,
    },
    /// It is configured, but its plugin was refused, or its configuration is not one.
    #[error("channel `{name}` cannot be used: {reason}")]
    NotReady {
        /// The channel.
        name: ChannelName,
        /// What is wrong.
        reason: String,
    },
}

impl ChannelUnavailable {
    /// Channels that are named to somebody who asked for one that is not there: more would help nobody.
    pub const KNOWN_MAX: usize = 12;

    /// What lets a disabled channel be called again.
    #[must_use]
    pub fn enabling(channel: &ChannelName) -> String {
        format!("write `enabled = true` under [channels.{channel}] and run `campanile reload`")
    }
}

/// The channels there are right now.
#[async_trait]
pub trait ChannelDirectory: Send + Sync + 'static {
    /// Gives a plugin that comes with the program the time to be compiled for its first channel. To be awaited before
    /// [`channel`](Self::channel) is asked about a name from outside; at once where there is nothing to do.
    async fn make_ready(&self, _name: &str) {}

    /// What routing must know of a channel.
    ///
    /// # Errors
    ///
    /// [`ChannelUnavailable`] where there is no such channel or it cannot be used.
    fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable>;
}

/// No channel at all: where none is looked up.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoChannels;

impl ChannelDirectory for NoChannels {
    fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelFacts>, ChannelUnavailable> {
        let name = name.to_string();
        Err(ChannelUnavailable::Unknown { name, nearest: None, section: None, known: Vec::new() })
    }
}

/// The content that a notification came with: all there is where nothing is rendered.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnContent;

#[async_trait]
impl ContentSource for OwnContent {
    async fn content(
        &self,
        notification: &Arc<Notification>,
        _recipient: &Arc<Recipient>,
    ) -> Result<Arc<Content>, RenderFailure> {
        Ok(Arc::clone(&notification.content))
    }
}

/// A template's parts to be rendered by an engine.
#[derive(Clone, Debug)]
pub struct RenderCall {
    /// The engine: a template plugin's name.
    pub engine: PluginName,
    /// The template's name, for messages.
    pub template: String,
    /// Parts with their source: what is rendered.
    pub parts: Arc<Vec<(String, String)>>,
    /// What parts may include, with their source. Not rendered by itself.
    pub includes: Arc<Vec<(String, String)>>,
    /// A JSON object.
    pub data: String,
    /// BCP 47.
    pub locale: Option<String>,
    /// IANA name.
    pub time_zone: Option<String>,
    /// An undefined variable is a problem instead of nothing.
    pub strict: bool,
    /// What the clock shows.
    pub now: Timestamp,
}

/// A problem in a template. Lines and columns count from 1; 0 is unknown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("part `{part}`, line {line}, column {column}: {message}")]
pub struct TemplateProblem {
    /// Which part.
    pub part: String,
    /// Which line.
    pub line: u32,
    /// Which column.
    pub column: u32,
    /// What is wrong.
    pub message: String,
}

/// Why there is no rendered content.
#[derive(Clone, Debug)]
pub enum RenderFailure {
    /// The template or its data is to blame.
    Problem(TemplateProblem),
    /// The engine failed, or none serves: how the attempt ends, with the engine's version where one was reached.
    End(AttemptEnd, Option<Arc<PluginVersion>>),
    /// The engine is quarantined and was not asked: the delivery waits for it, and no attempt was made.
    Held {
        /// Which engine.
        engine: PluginName,
    },
}

impl RenderFailure {
    /// How the attempt ends that wanted this content, with the engine's version where one was reached. A template's
    /// problem is the message's: it is rejected, and counts against neither the channel nor the engine.
    #[must_use]
    pub fn into_end(self) -> (AttemptEnd, Option<Arc<PluginVersion>>) {
        match self {
            Self::Problem(problem) => {
                let reason = problem.to_string();
                let code = Some("template".to_owned());
                (AttemptEnd::Outcome(Outcome::Rejected { blame: Blame::Message, code, reason }), None)
            }
            Self::End(end, plugin) => (end, plugin),
            Self::Held { engine } => {
                let message = format!("template engine `{engine}` is quarantined");
                (AttemptEnd::Interrupted { interruption: Interruption::Quarantined, message }, None)
            }
        }
    }
}

/// A variable that a template reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateVariable {
    /// Its name.
    pub name: String,
    /// The template fails without it.
    pub required: bool,
}

/// Why a template was not taken.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateCheckError {
    /// What is wrong in the source.
    #[error("the template has {} problem(s), the first: {}", .0.len(), .0[0])]
    Problems(Vec<TemplateProblem>),
    /// The engine did not answer.
    #[error("template engine `{engine}` did not answer: {reason}")]
    Engine {
        /// Which engine.
        engine: String,
        /// Why.
        reason: String,
    },
}

/// Makes calls of template engines.
#[async_trait]
pub trait TemplateCaller: Send + Sync + 'static {
    /// The variables of a template, or everything that can be seen to be wrong with it without data.
    async fn check(&self, call: &RenderCall) -> Result<Vec<TemplateVariable>, TemplateCheckError>;

    /// The rendered parts, for a delivery of this notification.
    async fn render(
        &self,
        notification: NotificationId,
        call: &RenderCall,
    ) -> Result<Vec<(String, String)>, RenderFailure>;

    /// The engine that renders files with this extension, if there is one. Compiles those that come with the program on
    /// the first use.
    async fn engine_for(&self, extension: &str) -> Option<PluginName>;
}
