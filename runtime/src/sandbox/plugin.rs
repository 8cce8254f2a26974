//! A plugin ready to be called: linked once, described once.

mod measure;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, InstancePre};

use crate::call::{
    Call, PluginVersion, Question, RenderCall, RenderFailure, Report, TemplateCheckError, TemplateProblem,
    TemplateVariable,
};
use crate::config::CallLimits;
use crate::domain::{AttemptEnd, ChannelName, DeliveryId, Interruption, Outcome, Timestamp};

use super::Sandbox;
use super::channel::{self, ChannelExports, ConfigProblem, Health, PreparedChannel};
use super::contract::CONTRACT_VERSION;
use super::convert::{Letter, REASON_MAX, bounded};
use super::descriptor::{self, ChannelDescriptor, Descriptor, Role};
use super::ends::CallEnd;
use super::engine::refused_by_compiler;
use super::invoke::{Allowance, Export, Invoked};
use super::state::{CallState, Subject};
use super::template::{self, EngineExports};

/// The interface that makes a component a channel, and the one that makes it a template engine.
pub(super) const CHANNEL: &str = "campanile:plugin/channel@0.1.1";
pub(super) const TEMPLATE_ENGINE: &str = "campanile:plugin/template-engine@0.1.1";

/// Exports named when a component has neither.
const FOUND_MAX: usize = 8;

/// What `describe` may use: it only puts constants together.
fn describe_limits() -> CallLimits {
    CallLimits {
        cpu_time: Duration::from_millis(50),
        timeout: Duration::from_secs(2),
        egress_calls: 0,
        log_max: 4 << 10,
        ..CallLimits::default()
    }
}

/// Why a component is no plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrepareError {
    /// It is no component that can be compiled.
    #[error("it cannot be compiled: {reason}")]
    Compile {
        /// What the compiler says.
        reason: String,
    },
    /// The compiler takes too long. In a process of its own it has been stopped; in a thread it goes on, and is waited
    /// for before the next file of a folder is compiled.
    #[error("compiling it takes longer than {} s, the limit; no setting changes that: build it smaller", .limit.as_secs())]
    TooSlow {
        /// What it may take.
        limit: Duration,
    },
    /// It implements another world.
    #[error(
        "it exports neither `{CHANNEL}` nor `{TEMPLATE_ENGINE}`, {}; build it against a world of `campanile:plugin`",
        listed(.found)
    )]
    WrongWorld {
        /// What it exports, at most eight of them.
        found: Vec<String>,
    },
    /// It implements both worlds.
    #[error("it exports both `{CHANNEL}` and `{TEMPLATE_ENGINE}`: make two plugins of it")]
    BothWorlds,
    /// It imports what no host interface of this version is.
    #[error("it imports what this version does not have: {reason}; build it against contract {CONTRACT_VERSION}")]
    Import {
        /// What.
        reason: String,
    },
    /// It exports what the contract names, with other functions or types.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// It was called to describe itself, and gave no answer.
    #[error("it does not describe itself: {0}")]
    Describe(CallEnd),
    /// Asked twice, it said two things.
    #[error("it describes itself differently each time: `describe` has to answer with constants")]
    Fickle,
    /// What it says of itself is not usable.
    #[error(
        "its descriptor has {} problem(s): {}; no setting changes that: its author mends what `describe` answers",
        .problems.len(),
        .problems.join("; ")
    )]
    Descriptor {
        /// All of them; never empty.
        problems: Vec<String>,
    },
}

impl PrepareError {
    /// Those of its problems that are about what it asks for.
    pub fn problems_of_needs(&self) -> impl Iterator<Item = &str> {
        let problems = match self {
            Self::Descriptor { problems } => problems.as_slice(),
            _ => &[],
        };
        problems.iter().map(String::as_str).filter(|problem| problem.starts_with(descriptor::NEEDED_HOST))
    }
}

/// An export that has the name of one of the contract's, and is not it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its `{interface}` is not that of contract {CONTRACT_VERSION}: {reason}; build it against the files of that contract"
)]
pub struct Mismatch {
    /// The interface.
    pub interface: &'static str,
    /// Where they differ.
    pub reason: String,
}

impl Mismatch {
    pub(super) fn new(interface: &'static str, error: &wasmtime::Error) -> Self {
        Self { interface, reason: bounded(&format!("{error:#}"), REASON_MAX) }
    }
}

fn listed(found: &[String]) -> String {
    if found.is_empty() { "it exports nothing".to_owned() } else { format!("it exports `{}`", found.join("`, `")) }
}

enum Exports {
    Channel(ChannelExports),
    TemplateEngine(EngineExports),
}

/// A plugin ready to be called. Dropping the last one gives its code back, after the calls that still run.
pub struct Plugin {
    sandbox: Arc<Sandbox>,
    pre: InstancePre<CallState>,
    exports: Exports,
    descriptor: Arc<Descriptor>,
    sha256: [u8; 32],
    /// Nobody is to call it: set by whoever judges it.
    stopped: AtomicBool,
}

impl Sandbox {
    /// Compiles a component and prepares it, without a cache. Where the sandbox knows of a compiler, that is a process of
    /// its own with limits. Otherwise it is a blocking thread without any: for benches, tests and files that are trusted.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] says why it is no plugin.
    pub async fn compile(self: &Arc<Self>, wasm: Vec<u8>, sha256: [u8; 32]) -> Result<Plugin, PrepareError> {
        let component = match self.compiler() {
            Some(program) => self.compile_apart(program, &wasm).await?.0,
            None => self.compile_here(wasm).await?,
        };
        self.prepare(&component, sha256).await
    }

    async fn compile_here(&self, wasm: Vec<u8>) -> Result<Component, PrepareError> {
        let engine = self.engine().clone();
        let compiled = tokio::task::spawn_blocking(move || Component::new(&engine, wasm)).await;
        let reason = match compiled {
            Ok(Ok(component)) => return Ok(component),
            Ok(Err(error)) => refused_by_compiler(&error),
            Err(stopped) => stopped.to_string(),
        };
        Err(PrepareError::Compile { reason })
    }

    /// Links a component, finds out which world it implements, and asks it to describe itself, with nothing granted
    /// and a small budget. `sha256` is that of its file.
    ///
    /// # Errors
    ///
    /// [`PrepareError`] says why it is no plugin.
    pub(super) async fn prepare(
        self: &Arc<Self>,
        component: &Component,
        sha256: [u8; 32],
    ) -> Result<Plugin, PrepareError> {
        let is_channel = component.get_export_index(None, CHANNEL).is_some();
        let is_engine = component.get_export_index(None, TEMPLATE_ENGINE).is_some();
        if is_channel && is_engine {
            return Err(PrepareError::BothWorlds);
        }
        if !is_channel && !is_engine {
            let exports = component.component_type();
            let found = exports.exports(&self.engine).map(|(name, _)| bounded(name, 128)).take(FOUND_MAX).collect();
            return Err(PrepareError::WrongWorld { found });
        }
        let pre = self
            .linker
            .instantiate_pre(component)
            .map_err(|error| PrepareError::Import { reason: bounded(&format!("{error:#}"), REASON_MAX) })?;
        let (exports, descriptor) = if is_channel {
            let exports = ChannelExports::find(&pre)?;
            let given = self.describe(&pre, || channel::Describe(&exports)).await??;
            let supports = exports.supports.is_some();
            let descriptor = tokio::task::spawn_blocking(move || descriptor::of_channel(given, supports));
            (Exports::Channel(exports), descriptor)
        } else {
            let exports = EngineExports::find(&pre)?;
            let given = self.describe(&pre, || template::Describe(&exports)).await??;
            let descriptor = tokio::task::spawn_blocking(move || descriptor::of_engine(given));
            (Exports::TemplateEngine(exports), descriptor)
        };
        // On another thread: a schema full of patterns takes as long as its limits let it.
        let descriptor = descriptor.await.map_err(|_| PrepareError::Describe(CallEnd::of_panic()))?;
        let descriptor = descriptor.map_err(|problems| PrepareError::Descriptor { problems })?;
        Ok(Plugin {
            sandbox: Arc::clone(self),
            pre,
            exports,
            descriptor: Arc::new(descriptor),
            sha256,
            stopped: AtomicBool::new(false),
        })
    }

    /// Asks twice, in two instances: what is agreed on has to be what the plugin says every time.
    async fn describe<E: Export>(
        &self,
        pre: &InstancePre<CallState>,
        export: impl Fn() -> E,
    ) -> Result<E::Answer, PrepareError>
    where
        E::Answer: std::fmt::Debug,
    {
        let limits = describe_limits();
        let ask = || self.invoke(pre, Subject::default(), Allowance::ungranted(&limits), export());
        let first = ask().await.answer.map_err(PrepareError::Describe)?;
        let second = ask().await.answer.map_err(PrepareError::Describe)?;
        if format!("{first:?}") == format!("{second:?}") { Ok(first) } else { Err(PrepareError::Fickle) }
    }
}

impl Plugin {
    /// What it says of itself.
    #[must_use]
    pub fn descriptor(&self) -> &Arc<Descriptor> {
        &self.descriptor
    }

    /// Its name and version.
    #[must_use]
    pub fn version(&self) -> &Arc<PluginVersion> {
        &self.descriptor.version
    }

    /// SHA-256 of its file.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Whether nobody is to call it.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// From here on its calls end at their next slice of CPU time, as [`Interruption::Quarantined`]; those that wait
    /// for a provider end as they would. Tells whether it was going until now.
    pub fn stop(&self) -> bool {
        !self.stopped.swap(true, Ordering::AcqRel)
    }

    /// Ends a [`stop`](Self::stop).
    pub fn resume(&self) {
        self.stopped.store(false, Ordering::Release);
    }

    /// Asks it once more to describe itself.
    ///
    /// # Errors
    ///
    /// [`PrepareError::Describe`] or [`PrepareError::Descriptor`].
    pub async fn describe_again(&self) -> Result<Descriptor, PrepareError> {
        let descriptor = match &self.exports {
            Exports::Channel(exports) => {
                let given = self.sandbox.describe(&self.pre, || channel::Describe(exports)).await??;
                descriptor::of_channel(given, exports.supports.is_some())
            }
            Exports::TemplateEngine(exports) => {
                descriptor::of_engine(self.sandbox.describe(&self.pre, || template::Describe(exports)).await??)
            }
        };
        descriptor.map_err(|problems| PrepareError::Descriptor { problems })
    }

    /// The names of the optional exports it has.
    #[must_use]
    pub fn optional_exports(&self) -> Vec<&'static str> {
        let Exports::Channel(exports) = &self.exports else { return Vec::new() };
        [
            ("configure", exports.configure.is_some()),
            ("supports", exports.supports.is_some()),
            ("health", exports.health.is_some()),
            ("poll", exports.poll.is_some()),
        ]
        .into_iter()
        .filter_map(|(name, is_there)| is_there.then_some(name))
        .collect()
    }

    /// Asks the plugin what is wrong with a configuration that holds to its schema. Nothing is granted. A plugin
    /// without `configure` has nothing to say.
    ///
    /// # Errors
    ///
    /// [`CallEnd`] where it gave no answer.
    pub async fn configure(&self, config_json: &str, limits: &CallLimits) -> Result<Vec<ConfigProblem>, CallEnd> {
        self.configure_as(self.subject(), config_json, limits).await
    }

    /// The same for a channel that is made: where a limit ends the call, the error names the section that sets it.
    /// `inherited` are the limits of a channel that sets none.
    pub(super) async fn configure_channel(
        &self,
        channel: &ChannelName,
        config_json: &str,
        limits: &CallLimits,
        inherited: &CallLimits,
    ) -> Result<Vec<ConfigProblem>, CallEnd> {
        let (channel, inherited) = (Some(channel.clone()), Some(Box::new(*inherited)));
        self.configure_as(Subject { channel, inherited, ..self.subject() }, config_json, limits).await
    }

    async fn configure_as(
        &self,
        subject: Subject,
        config_json: &str,
        limits: &CallLimits,
    ) -> Result<Vec<ConfigProblem>, CallEnd> {
        let Exports::Channel(ChannelExports { configure: Some(indices), .. }) = &self.exports else {
            return Ok(Vec::new());
        };
        let export = channel::Configure { indices, config_json };
        let allowance = Allowance::ungranted(limits);
        self.sandbox.invoke(&self.pre, subject, allowance, export).await.answer
    }

    /// Makes one attempt. `supports` is asked first, in the same instance, where the descriptor says so.
    pub async fn send(&self, channel: &PreparedChannel, call: &Call) -> Report {
        let (Exports::Channel(exports), Role::Channel(role)) = (&self.exports, &self.descriptor.role) else {
            return self.report(Invoked::never(self.not_a("channel")));
        };
        let checks = role.has_feature(ChannelDescriptor::CHECKS_RECIPIENT);
        let export = channel::Send {
            channel,
            indices: &exports.channel,
            supports: exports.supports.as_ref().filter(|_| checks),
            polled: exports.poll.is_some(),
            letter: Letter::new(call),
        };
        self.judge(channel, call.delivery, export).await
    }

    /// Asks for the final word on what the provider took, with what a `send` has to work with. A plugin without `poll`
    /// has no word but the one that it gave.
    pub async fn ask(&self, channel: &PreparedChannel, question: &Question) -> Report {
        let Exports::Channel(ChannelExports { poll: Some(indices), .. }) = &self.exports else {
            return Report::of_no_poll(question, Some(Arc::clone(self.version())));
        };
        let export = channel::Ask { indices, channel, receipt: &question.awaited.receipt, now: question.now };
        self.judge(channel, question.delivery, export).await
    }

    /// One call in which the plugin judges what became of a delivery.
    async fn judge(
        &self,
        channel: &PreparedChannel,
        delivery: DeliveryId,
        export: impl Export<Answer = Outcome>,
    ) -> Report {
        let subject = Subject { channel: Some(channel.name.clone()), delivery: Some(delivery), ..self.subject() };
        let allowance =
            Allowance { limits: &channel.limits, grants: Some(&channel.grants), stopped: Some(&self.stopped) };
        let Invoked { answer, duration, fuel, memory_bytes, refused } =
            self.sandbox.invoke(&self.pre, subject, allowance, export).await;
        let judged = |outcome: Outcome| {
            AttemptEnd::Outcome(match &refused {
                Some(why) => outcome.with_word_of_host(why),
                None => outcome,
            })
        };
        self.report(Invoked { answer: answer.map(judged), duration, fuel, memory_bytes, refused: None })
    }

    /// Asks the plugin how its provider is; none where it has no `health`.
    ///
    /// # Errors
    ///
    /// [`CallEnd`] where it gave no answer.
    pub async fn health(&self, channel: &PreparedChannel, now: Timestamp) -> Result<Option<Health>, CallEnd> {
        let Exports::Channel(ChannelExports { health: Some(indices), .. }) = &self.exports else {
            return Ok(None);
        };
        let export = channel::Probe { indices, channel, now };
        let subject = Subject { channel: Some(channel.name.clone()), ..self.subject() };
        let allowance = Allowance { grants: Some(&channel.grants), ..Allowance::ungranted(&channel.limits) };
        self.sandbox.invoke(&self.pre, subject, allowance, export).await.answer.map(Some)
    }

    /// The variables of a template, or everything that can be seen to be wrong with it without data.
    ///
    /// # Errors
    ///
    /// [`TemplateCheckError`] with all problems, or with the reason why there was no answer.
    pub async fn check(
        &self,
        call: &RenderCall,
        limits: &CallLimits,
    ) -> Result<Vec<TemplateVariable>, TemplateCheckError> {
        self.try_check(call, limits)
            .await
            .map_err(|end| TemplateCheckError::Engine { engine: call.engine.to_string(), reason: end.to_string() })?
            .map_err(TemplateCheckError::Problems)
    }

    /// The same, with how the call ended where there was no answer.
    pub(crate) async fn try_check(
        &self,
        call: &RenderCall,
        limits: &CallLimits,
    ) -> Result<Result<Vec<TemplateVariable>, Vec<TemplateProblem>>, CallEnd> {
        match &self.exports {
            Exports::TemplateEngine(exports) => {
                let export = template::Check { exports, call };
                let allowance = Allowance::ungranted(limits);
                self.sandbox.invoke(&self.pre, self.subject(), allowance, export).await.answer
            }
            Exports::Channel(_) => Err(self.not_a("template engine")),
        }
    }

    /// The rendered parts.
    ///
    /// # Errors
    ///
    /// [`RenderFailure`] tells a template's problem from an engine's failure.
    pub async fn render(&self, call: &RenderCall, limits: &CallLimits) -> Result<Vec<(String, String)>, RenderFailure> {
        let answer = match &self.exports {
            Exports::TemplateEngine(exports) => {
                let export = template::Render { exports, call };
                let allowance = Allowance { stopped: Some(&self.stopped), ..Allowance::ungranted(limits) };
                self.sandbox.invoke(&self.pre, self.subject(), allowance, export).await.answer
            }
            Exports::Channel(_) => Err(self.not_a("template engine")),
        };
        answer
            .map_err(|end| RenderFailure::End(end.into(), Some(Arc::clone(self.version()))))?
            .map_err(RenderFailure::Problem)
    }

    fn subject(&self) -> Subject {
        Subject { plugin: Some(Arc::clone(self.version())), ..Subject::default() }
    }

    fn not_a(&self, role: &str) -> CallEnd {
        CallEnd::interrupted(Interruption::NoPlugin, &format!("plugin `{}` is not a {role}", self.version()))
    }

    fn report(&self, invoked: Invoked<AttemptEnd>) -> Report {
        let Invoked { answer, duration, fuel, memory_bytes, refused: _ } = invoked;
        let end = answer.unwrap_or_else(AttemptEnd::from);
        Report { end, duration, plugin: Some(Arc::clone(self.version())), fuel, memory_bytes }
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("version", self.version()).finish_non_exhaustive()
    }
}
