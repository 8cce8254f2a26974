//! A plugin on the workbench: called in the real sandbox, behind the real policies, with a provider that is played.
//!
//! *Invariants:* nothing leaves the machine; every trial is a call like a server's, with a fresh instance.

mod keep;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use keep::Keeping;
pub use keep::{KeepError, Kept};

use super::inspection::{Inspection, InspectionError, inspect_in, sandbox_with};
use crate::call::{Call, RenderCall, RenderFailure, TemplateCheckError, TemplateVariable};
use crate::capability::Section;
use crate::capability::http::{
    Allowed, Asked, Egress, GrantErrors, HttpError, HttpGrant, HttpReply, PlayedProvider, PlayedRequest,
};
use crate::capability::secret::{ChannelSecrets, Secret, SecretText};
use crate::capability::sign::{self, SignErrors, SignGrant, Written};
use crate::clock::Entropy;
use crate::config::{CallLimits, SecretGrants};
use crate::domain::{AttemptEnd, ChannelName, Timestamp};
use crate::sandbox::{
    CallEnd, ConfigProblem, ConfigSchema, ConsoleSink, Grants, Plugin, PreparedChannel, SandboxSettings, SchemaError,
};
use crate::telemetry::Metrics;

/// The most memory that a trial can be allowed, in bytes: Python's toolchain needs the most of all, some 100 MiB.
pub const TRIAL_MEMORY_MAX: u64 = 512 << 20;

/// What a trial's channel is called, and so what the plugin is told.
const CHANNEL: &str = "test";

/// A plugin that can be tried out.
pub struct Workpiece {
    inspection: Inspection,
    plugin: Plugin,
    schema: Result<ConfigSchema, SchemaError>,
    printed: Arc<Printed>,
    fuel_per_ms: u64,
    entropy: Arc<Entropy>,
    egress: Egress,
}

/// One attempt to be tried.
pub struct Trial<'a> {
    /// As an operator would write it, but with the values of secrets in place.
    pub config: &'a Map<String, Value>,
    /// For whom and what.
    pub call: &'a Call,
    /// Answers the plugin's requests.
    pub provider: Arc<dyn PlayedProvider>,
    /// What earlier calls of the channel left in `cache` and `kv`. Does not count where the plugin asks for neither.
    pub kept: &'a Kept,
    /// What the call may use.
    pub limits: CallLimits,
}

/// What came of a trial.
#[derive(Clone, Debug)]
pub struct Tried {
    /// How it ended.
    pub end: AttemptEnd,
    /// The requests in their order, as they would have left the machine.
    pub requests: Vec<PlayedRequest>,
    /// What was written to standard output.
    pub stdout: String,
    /// What the channel keeps now, for the next trial.
    pub kept: Kept,
    /// Units of the engine; [`Workpiece::fuel_per_ms`] makes a time of it.
    pub fuel: u64,
    /// The guest's linear memory at the end, in bytes.
    pub memory_bytes: u64,
    /// From store made to store dropped.
    pub duration: Duration,
}

/// Why there was nothing to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrialError {
    /// Its schema cannot judge a config.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The config does not hold to the schema.
    #[error("the config is not one: {}", listed(.0))]
    Config(Vec<ConfigProblem>),
    /// It asks for what cannot be granted with this config.
    #[error(transparent)]
    Grant(#[from] GrantErrors),
    /// It asks to sign with what the config has not.
    #[error(transparent)]
    Sign(#[from] SignErrors),
    /// Nothing can be kept.
    #[error(transparent)]
    Keep(#[from] KeepError),
    /// The plugin gave no answer.
    #[error(transparent)]
    End(#[from] CallEnd),
}

fn listed(problems: &[ConfigProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Keeps what the plugin prints.
#[derive(Default)]
struct Printed(Mutex<String>);

impl ConsoleSink for Printed {
    fn line(&self, _: Option<&ChannelName>, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }
}

impl Printed {
    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes down what is asked before it is answered.
struct Recorder {
    provider: Arc<dyn PlayedProvider>,
    requests: Mutex<Vec<PlayedRequest>>,
}

impl PlayedProvider for Recorder {
    fn answer(&self, request: PlayedRequest) -> Result<HttpReply, HttpError> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
        self.provider.answer(request)
    }
}

impl Workpiece {
    /// Looks at a plugin file, compiles it and asks it to describe itself. `compiler` is as in
    /// [`RuntimeBuilder::compiler`](super::RuntimeBuilder::compiler): without one, the file is compiled in a thread, which
    /// nothing bounds.
    ///
    /// # Errors
    ///
    /// [`InspectionError`] says why it is no plugin for this program.
    pub async fn open(path: &Path, compiler: Option<&Path>) -> Result<Self, InspectionError> {
        let printed = Arc::new(Printed::default());
        let settings = SandboxSettings {
            in_flight: 1,
            memory_max: TRIAL_MEMORY_MAX,
            console: Arc::clone(&printed) as _,
            metrics: Metrics::off(),
        };
        let sandbox = sandbox_with(settings, compiler)?;
        let fuel_per_ms = sandbox.fuel_per_ms();
        let (inspection, plugin) = inspect_in(&sandbox, path).await?;
        let schema = ConfigSchema::new(inspection.descriptor.config_schema.clone());
        Ok(Self {
            inspection,
            plugin,
            schema,
            printed,
            fuel_per_ms,
            entropy: Arc::new(Entropy::from_system()),
            egress: Egress::system(),
        })
    }

    /// What can be seen of it, and what it says of itself.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Fuel that one millisecond of CPU time is worth on this machine.
    #[must_use]
    pub fn fuel_per_ms(&self) -> u64 {
        self.fuel_per_ms
    }

    /// Whether it says the same of itself when it is asked again.
    ///
    /// # Errors
    ///
    /// [`InspectionError`] where it says nothing the second time.
    pub async fn describes_the_same(&self) -> Result<bool, InspectionError> {
        let again = self.plugin.describe_again().await?;
        // Through their text: a compiled pattern knows no equality.
        Ok(format!("{again:?}") == format!("{:?}", self.inspection.descriptor.as_ref()))
    }

    /// A config with its defaults filled in.
    ///
    /// # Errors
    ///
    /// [`TrialError::Schema`] or [`TrialError::Config`], with everything that is wrong.
    pub fn complete(&self, config: &Map<String, Value>) -> Result<Map<String, Value>, TrialError> {
        let schema = self.schema.as_ref().map_err(|error| TrialError::Schema(error.clone()))?;
        schema.complete(config).map_err(TrialError::Config)
    }

    /// What the plugin itself says is wrong with a config that holds to its schema.
    ///
    /// # Errors
    ///
    /// [`TrialError`] where the config does not hold to the schema, or the plugin did not answer.
    pub async fn configure(
        &self,
        config: &Map<String, Value>,
        limits: &CallLimits,
    ) -> Result<Vec<ConfigProblem>, TrialError> {
        let (config, _) = self.conceal(self.complete(config)?);
        Ok(self.plugin.configure(&config.to_string(), limits).await?)
    }

    /// Makes one attempt.
    ///
    /// # Errors
    ///
    /// [`TrialError`] where it does not come to a call.
    pub async fn send(&self, trial: Trial<'_>) -> Result<Tried, TrialError> {
        let complete = self.complete(trial.config)?;
        let recorder = Arc::new(Recorder { provider: trial.provider, requests: Mutex::default() });
        let http = self.grant(&complete, Arc::clone(&recorder) as _)?;
        let (config, secrets) = self.conceal(complete);
        let mut grants = Grants::of_http(Arc::new(http), Arc::new(secrets));
        grants.sign = self.signing(&grants.secrets)?;
        let descriptor = &self.inspection.descriptor;
        let (name, plugin) = (ChannelName::new(CHANNEL).expect("it is a name"), &descriptor.version.name);
        let keeping = Keeping::new(&descriptor.needs, &name, plugin, trial.kept, trial.call.now).await?;
        keeping.grant(&mut grants);
        let channel =
            PreparedChannel { name, config_json: config.to_string(), grants: Arc::new(grants), limits: trial.limits };
        let report = self.plugin.send(&channel, trial.call).await;
        let requests = std::mem::take(&mut *recorder.requests.lock().unwrap_or_else(PoisonError::into_inner));
        let stdout = self.printed.take();
        let end = of_an_operator(report.end);
        let (fuel, memory_bytes, duration) = (report.fuel, report.memory_bytes, report.duration);
        Ok(Tried { end, requests, stdout, kept: keeping.kept().await?, fuel, memory_bytes, duration })
    }

    /// Has a template engine check a template.
    ///
    /// # Errors
    ///
    /// What is wrong with the template, or why there is no answer.
    pub async fn check_template(
        &self,
        call: &RenderCall,
        limits: &CallLimits,
    ) -> Result<Vec<TemplateVariable>, TemplateCheckError> {
        self.plugin.check(call, limits).await
    }

    /// Has a template engine render a template: its parts by name.
    ///
    /// # Errors
    ///
    /// What is wrong with the template or its data, or why there is no answer.
    pub async fn render_template(
        &self,
        call: &RenderCall,
        limits: &CallLimits,
    ) -> Result<Vec<(String, String)>, RenderFailure> {
        self.plugin.render(call, limits).await
    }

    /// Has a template engine check and render a template of one part.
    ///
    /// # Errors
    ///
    /// How it ended, where the engine failed. A problem of the template is none.
    pub async fn render(&self, source: &str, data: &str, limits: &CallLimits) -> Result<(), AttemptEnd> {
        let call = RenderCall {
            engine: self.plugin.version().name.clone(),
            template: CHANNEL.to_owned(),
            parts: Arc::new(vec![("text".to_owned(), source.to_owned())]),
            includes: Arc::default(),
            data: data.to_owned(),
            locale: None,
            time_zone: None,
            strict: true,
            now: Timestamp::from_millis(0),
        };
        // A source with problems is answered, too.
        let _ = self.plugin.try_check(&call, limits).await?;
        match self.plugin.render(&call, limits).await {
            Ok(_) | Err(RenderFailure::Problem(_)) => Ok(()),
            Err(failure) => Err(failure.into_end().0),
        }
    }

    /// Everything that the plugin asks for, and any address: where it leads, nobody goes.
    fn grant(&self, config: &Map<String, Value>, provider: Arc<dyn PlayedProvider>) -> Result<HttpGrant, GrantErrors> {
        let needs = self.inspection.descriptor.needs.iter().filter(|need| need.capability == "http");
        let asked: Vec<_> = needs.map(|need| Asked { scope: &need.scope, required: need.required }).collect();
        let named = asked.iter().flat_map(|asked| asked.scope).filter(|scope| !scope.starts_with("config:"));
        let hosts: Vec<String> = named.cloned().collect();
        let networks = ["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        let section = Section::of_any_channel();
        let allowed = Allowed { section: &section, hosts: &hosts, networks: &networks };
        HttpGrant::played(&asked, config, allowed, (&self.egress, provider))
    }

    /// None where the plugin does not ask to sign.
    fn signing(&self, secrets: &ChannelSecrets) -> Result<Option<Arc<SignGrant>>, SignErrors> {
        let descriptor = &self.inspection.descriptor;
        let needs = descriptor.needs.iter().filter(|need| need.capability == "sign");
        let asked: Vec<_> = needs.map(|need| sign::Asked { scope: &need.scope, required: need.required }).collect();
        if asked.is_empty() {
            return Ok(None);
        }
        let may_sign: Vec<_> =
            descriptor.secrets.iter().filter(|key| key.places.sign).map(|key| name_of(&key.pointer)).collect();
        let (section, none) = (Section::of_any_channel(), SecretGrants::new());
        let written = Written { section: &section, secrets: &none };
        Ok(Some(Arc::new(SignGrant::check(&asked, &may_sign, secrets, written, Arc::clone(&self.entropy))?)))
    }

    /// Handles in the place of secrets, as a server does.
    fn conceal(&self, config: Map<String, Value>) -> (Value, ChannelSecrets) {
        let mut config = Value::Object(config);
        let mut secrets = ChannelSecrets::none();
        for key in &self.inspection.descriptor.secrets {
            let Some(place) = config.pointer_mut(&key.pointer) else { continue };
            let Some(text) = place.as_str() else { continue };
            let secret =
                Secret { name: name_of(&key.pointer), value: SecretText::new(text), places: key.places, hosts: None };
            *place = Value::String(secrets.add(secret, &self.entropy));
        }
        (config, secrets)
    }
}

/// A remedy names the channel that was called. That one is the workbench's own; an operator's has another name.
fn of_an_operator(end: AttemptEnd) -> AttemptEnd {
    let said = |message: String| message.replace(&format!("[channels.{CHANNEL}]"), "[channels.NAME]");
    match end {
        AttemptEnd::Fault { fault, message } => AttemptEnd::Fault { fault, message: said(message) },
        AttemptEnd::Interrupted { interruption, message } => {
            AttemptEnd::Interrupted { interruption, message: said(message) }
        }
        AttemptEnd::HostDeadline { message } => AttemptEnd::HostDeadline { message: said(message) },
        AttemptEnd::Outcome(_) => end,
    }
}

/// `/auth/token` is `auth.token` for people.
fn name_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

impl std::fmt::Debug for Workpiece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workpiece").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}
