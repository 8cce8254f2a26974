//! One version of a plugin, and the channels made of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::RegistrySettings;
use super::kept;
use super::quarantine::Conduct;
use super::schema::{ConfigSchema, SchemaError};
use super::secrets::{self, Placed};
use super::suggest;
use crate::call::ChannelFacts;
use crate::capability::http::{Asked, Egress, HttpGrant};
use crate::capability::sign::{self, SignGrant};
use crate::clock::{Clock, Entropy};
use crate::config::{CallLimits, ChannelConfig};
use crate::domain::{ChannelName, PluginName, Timestamp, VersionMark};
use crate::sandbox::inspect::FileHash;
use crate::sandbox::{ConfigProblem, Grants, Need, Plugin, PreparedChannel, Role, SecretKey};

/// The host interface that a channel is granted hosts for.
const HTTP: &str = "http";

/// The host interface that a channel is granted keys for.
const SIGN: &str = "sign";

/// A plugin that can serve. Lives as long as a channel or a call in flight holds it.
#[derive(Debug)]
pub(super) struct Version {
    pub(super) plugin: Plugin,
    schema: ConfigSchema,
    conduct: Mutex<Conduct>,
}

impl Version {
    pub(super) fn new(plugin: Plugin) -> Result<Self, SchemaError> {
        let schema = ConfigSchema::new(plugin.descriptor().config_schema.clone())?;
        Ok(Self { plugin, schema, conduct: Mutex::new(Conduct::new()) })
    }

    /// How its calls went.
    pub(super) fn conduct(&self) -> MutexGuard<'_, Conduct> {
        // Whole between any two of its methods.
        self.conduct.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it failed too often: nobody calls it.
    pub(super) fn is_stopped(&self) -> bool {
        self.plugin.is_stopped()
    }

    /// From here on nobody calls it, and what burns CPU ends. Tells whether it was called until now.
    pub(super) fn stop(&self) -> bool {
        self.plugin.stop()
    }

    /// It is called again, and begins anew.
    pub(super) fn resume(&self) {
        *self.conduct() = Conduct::new();
        self.plugin.resume();
    }

    pub(super) fn mark(&self, since: Timestamp) -> VersionMark {
        VersionMark { sha256: self.sha256().0, version: self.number().clone(), since }
    }

    pub(super) fn name(&self) -> &PluginName {
        &self.plugin.version().name
    }

    pub(super) fn number(&self) -> &semver::Version {
        &self.plugin.version().version
    }

    pub(super) fn sha256(&self) -> FileHash {
        FileHash(*self.plugin.sha256())
    }

    /// Extensions of the template files that it renders; none where it is a channel.
    pub(super) fn extensions(&self) -> &[String] {
        match &self.plugin.descriptor().role {
            Role::TemplateEngine(engine) => &engine.extensions,
            Role::Channel(_) => &[],
        }
    }

    /// Whether it needs no config and no grant that somebody has to give, and so is a channel without anybody writing one down.
    pub(super) fn stands_alone(&self) -> bool {
        let descriptor = self.plugin.descriptor();
        matches!(descriptor.role, Role::Channel(_))
            && !descriptor
                .needs
                .iter()
                .any(|need| need.required && ![kept::CACHE, kept::KV].contains(&&*need.capability))
            && self.schema.complete(&Map::new()).is_ok()
    }

    /// The section that makes a channel of it; none where it is no channel.
    pub(super) fn section(&self) -> Option<String> {
        let descriptor = self.plugin.descriptor();
        let scopes = descriptor.needs.iter().filter(|need| need.required && need.capability == HTTP);
        // A host that stands in the config is granted by standing there.
        let hosts: Vec<_> = scopes
            .flat_map(|need| &need.scope)
            .map(String::as_str)
            .filter(|host| !host.starts_with("config:"))
            .collect();
        match descriptor.role {
            Role::Channel(_) => Some(suggest::section(self.name(), &self.schema, &descriptor.secrets, &hosts)),
            Role::TemplateEngine(_) => None,
        }
    }
}

impl Drop for Version {
    fn drop(&mut self) {
        tracing::debug!(plugin = %self.plugin.version(), sha256 = %self.sha256(), "A plugin version has drained.");
    }
}

/// A channel whose plugin serves and has agreed to its config.
#[derive(Debug)]
pub(super) struct ReadyChannel {
    pub(super) version: Arc<Version>,
    pub(super) prepared: PreparedChannel,
    pub(super) facts: Arc<ChannelFacts>,
}

impl ReadyChannel {
    /// Makes a channel: its config against the schema, what it may reach, then the plugin's own judgement. The error is
    /// a sentence with everything that is wrong at the first of these that fails.
    pub(super) async fn prepare(
        version: &Arc<Version>,
        name: &ChannelName,
        config: &ChannelConfig,
        settings: &RegistrySettings,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<Self>, String> {
        let descriptor = version.plugin.descriptor();
        let Role::Channel(role) = &descriptor.role else {
            return Err(format!(
                "plugin `{}` is a template engine, not a channel; name another `plugin` in [channels.{name}]",
                version.name()
            ));
        };
        let placed = read_secrets(descriptor.secrets.clone(), config.clone(), Arc::clone(&settings.entropy)).await?;
        let complete = version.schema.complete(&placed.revealed).map_err(|problems| listed(&problems))?;
        let http = grant(&descriptor.needs, &complete, config, &settings.egress)?;
        let config_json = Value::Object(placed.concealed(complete)).to_string();
        let sign = sign_grant(&descriptor.needs, &descriptor.secrets, &placed, &settings.entropy)?;
        let grants = Grants {
            http: Arc::new(http),
            secrets: Arc::new(placed.secrets),
            sign,
            cache: kept::cache(&descriptor.needs, name, config, clock)?,
            kv: kept::kv(&descriptor.needs, name, config, &settings.kv)?,
        };
        match version.plugin.configure(&config_json, &config.limits).await {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => return Err(listed(&problems)),
            Err(end) => return Err(format!("its plugin did not judge its config: {end}")),
        }
        let facts =
            ChannelFacts { plugin: version.name().clone(), address: role.address.clone(), priority: config.priority };
        let prepared =
            PreparedChannel { name: name.clone(), config_json, grants: Arc::new(grants), limits: config.limits };
        Ok(Arc::new(Self { version: Arc::clone(version), prepared, facts: Arc::new(facts) }))
    }
}

/// The config of a channel that nobody wrote down.
pub(super) fn unwritten(plugin: &PluginName, limits: CallLimits) -> ChannelConfig {
    ChannelConfig::new(plugin.clone(), limits)
}

async fn read_secrets(keys: Vec<SecretKey>, config: ChannelConfig, entropy: Arc<Entropy>) -> Result<Placed, String> {
    // A secret may stand in a file on a slow disk.
    let read = tokio::task::spawn_blocking(move || secrets::place(&keys, &config, &entropy)).await;
    read.map_err(|error| format!("its secrets could not be read: {error}"))?.map_err(|problems| problems.join("; "))
}

fn grant(
    needs: &[Need],
    complete: &Map<String, Value>,
    config: &ChannelConfig,
    egress: &Egress,
) -> Result<HttpGrant, String> {
    let asked: Vec<_> = needs
        .iter()
        .filter(|need| need.capability == HTTP)
        .map(|need| Asked { scope: &need.scope, required: need.required })
        .collect();
    HttpGrant::check(&asked, complete, &config.allow_hosts, &config.allow_networks, egress)
        .map_err(|error| error.to_string())
}

/// None where the plugin does not ask to sign.
fn sign_grant(
    needs: &[Need],
    keys: &[SecretKey],
    placed: &Placed,
    entropy: &Arc<Entropy>,
) -> Result<Option<Arc<SignGrant>>, String> {
    let asked: Vec<_> = needs
        .iter()
        .filter(|need| need.capability == SIGN)
        .map(|need| sign::Asked { scope: &need.scope, required: need.required })
        .collect();
    if asked.is_empty() {
        return Ok(None);
    }
    let may_sign: Vec<_> =
        keys.iter().filter(|key| key.places.sign).map(|key| secrets::name_of(&key.pointer)).collect();
    let grant = SignGrant::check(&asked, &may_sign, &placed.secrets, Arc::clone(entropy));
    grant.map(|grant| Some(Arc::new(grant))).map_err(|error| error.to_string())
}

fn listed(problems: &[ConfigProblem]) -> String {
    let each: Vec<_> = problems
        .iter()
        .map(|problem| match problem.at.as_str() {
            "" => format!("`config`: {}", problem.message),
            at => format!("`config{}`: {}", at.replace('/', "."), problem.message),
        })
        .collect();
    each.join("; ")
}
