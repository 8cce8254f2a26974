//! One version of a plugin, and the channels made of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};
use tokio::task::JoinError;

use super::RegistrySettings;
use super::kept;
use super::problem::{ChannelProblem, Found, Unready};
use super::quarantine::Conduct;
use super::schema::{ConfigSchema, SchemaError};
use super::secrets::{self, Placed, SecretProblem, SecretsMark};
use super::status::{ChannelFinding, ProviderRate};
use super::suggest;
use crate::call::{AddressNeed, ChannelFacts};
use crate::capability::Section;
use crate::capability::http::{Allowed, Asked, Egress, GrantError, HttpGrant, asked_for};
use crate::capability::sign::{self, SignError, SignGrant, Written};
use crate::clock::{Clock, Entropy};
use crate::config::{CallLimits, ChannelConfig, ChannelGates};
use crate::domain::{ChannelName, PluginName, Timestamp, VersionMark};
use crate::sandbox::inspect::FileHash;
use crate::sandbox::{Descriptor, Grants, Need, Plugin, PreparedChannel, Role, SecretKey};

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

    /// What its provider allows; none where it does not say.
    pub(super) fn provider_rate(&self) -> Option<ProviderRate> {
        match &self.plugin.descriptor().role {
            Role::Channel(channel) => channel.rate.as_ref().and_then(ProviderRate::of),
            Role::TemplateEngine(_) => None,
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
    secrets: SecretsMark,
}

/// A channel, or why there is none; and what of it is of no use either way.
#[derive(Clone, Debug)]
pub(super) struct Prepared {
    pub(super) ready: Result<Arc<ReadyChannel>, Unready>,
    pub(super) warnings: Vec<ChannelFinding>,
}

impl Prepared {
    /// Makes a channel: its secrets, its config against the schema, what it may reach and keep, and the plugin's own
    /// judgement of a config that its schema takes. The error has everything that is wrong, each thing once.
    pub(super) async fn make(
        version: &Arc<Version>,
        name: &ChannelName,
        config: &ChannelConfig,
        settings: &RegistrySettings,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let mut warnings = Vec::new();
        let ready = prepare(version, name, config, (settings, clock), &mut warnings).await;
        Self { ready, warnings }
    }
}

impl ReadyChannel {
    /// Whether its secrets, read once more, are what they were.
    pub(super) async fn has_the_same_secrets(&self, config: &ChannelConfig, entropy: &Arc<Entropy>) -> bool {
        let keys = self.version.plugin.descriptor().secrets.clone();
        let read = read_secrets(keys, config.clone(), Arc::clone(entropy)).await;
        read.is_ok_and(|(placed, problems)| problems.is_empty() && placed.mark() == self.secrets)
    }
}

async fn prepare(
    version: &Arc<Version>,
    name: &ChannelName,
    config: &ChannelConfig,
    (settings, clock): (&RegistrySettings, &Arc<dyn Clock>),
    warnings: &mut Vec<ChannelFinding>,
) -> Result<Arc<ReadyChannel>, Unready> {
    let descriptor = version.plugin.descriptor();
    let Role::Channel(role) = &descriptor.role else {
        let (plugin, channel) = (version.name().clone(), name.clone());
        return Err(ChannelProblem::NotAChannel { plugin, channel }.into());
    };
    warnings.extend(rates_in_vain(role.address.as_ref(), &config.gates));
    let mut found = Found::default();
    let read = read_secrets(descriptor.secrets.clone(), config.clone(), Arc::clone(&settings.entropy));
    let (mut placed, problems) = read.await.map_err(|stopped| ChannelProblem::Unread { stopped })?;
    found.add(problems);
    let (complete, missing, problems) = placed.judge(&version.schema, &descriptor.secrets, name, config);
    found.add(missing);
    found.add(problems.into_iter().map(ChannelProblem::Schema));
    let is_config_good = found.is_none();

    let asked = asked(&descriptor.needs);
    let written = (&Section::of_channel(name), config);
    let http = found.good(grant(&asked, &complete, written, &placed, &settings.egress));
    if let Some(http) = &http {
        found.add(http.out_of_reach(&asked, &complete, &config.config));
        let reaches_any = |hosts: &[String]| http.reaches_any(hosts);
        found.add(secrets::bound_to_nobody(&descriptor.secrets, config, reaches_any, &asked_for(&asked)));
        warnings.extend(http.vain(&asked, &config.allow_hosts).into_iter().map(ChannelFinding::from));
    }
    let sign = found.good(sign_grant(descriptor, written, &placed, &settings.entropy));
    let cache = found.good(kept::cache(&descriptor.needs, name, config, clock).map_err(Some));
    let kv = found.good(kept::kv(&descriptor.needs, name, config, &settings.kv).map_err(Some));
    let config_json = Value::Object(placed.concealed(complete)).to_string();
    if is_config_good {
        let (plugin, inherited) = (&version.plugin, &settings.plugins.defaults);
        match plugin.configure_channel(name, &config_json, &config.limits, inherited).await {
            Ok(problems) => found.add(problems.into_iter().map(ChannelProblem::Config)),
            Err(end) => found.add([ChannelProblem::Unjudged { end }]),
        }
    }
    let (Some(http), Some(sign), Some(cache), Some(kv), true) = (http, sign, cache, kv, found.is_none()) else {
        return Err(found.into_unready());
    };
    let secrets = placed.mark();
    let grants = Grants { http: Arc::new(http), secrets: Arc::new(placed.secrets), sign, cache, kv };
    let facts = ChannelFacts {
        plugin: version.name().clone(),
        address: role.address.clone(),
        priority: config.priority,
        has_fallback: !config.gates.fallback.is_empty(),
    };
    let prepared = PreparedChannel { name: name.clone(), config_json, grants: Arc::new(grants), limits: config.limits };
    Ok(Arc::new(ReadyChannel { version: Arc::clone(version), prepared, facts: Arc::new(facts), secrets }))
}

/// Rates of recipients and their hosts, where there are none.
fn rates_in_vain(address: Option<&AddressNeed>, gates: &ChannelGates) -> Vec<ChannelFinding> {
    let ChannelGates { per_recipient_rate, per_host_rate, .. } = gates;
    let set = [("per_recipient_rate", per_recipient_rate), ("per_host_rate", per_host_rate)];
    let vain = set.into_iter().filter(|(_, rate)| rate.is_some() && address.is_none());
    vain.map(|(key, rate)| {
        let rate = rate.map(|rate| rate.to_string()).unwrap_or_default();
        let hint = format!("write `rate_limit = \"{rate}\"`, which holds for the channel");
        let message = format!(
            "`{key}` holds nothing back: its plugin takes no addresses, all it sends goes to one place; {hint}"
        );
        ChannelFinding::split(vec![key.to_owned()], &message, Some(hint))
    })
    .collect()
}

/// What a plugin asks of `http`.
fn asked(needs: &[Need]) -> Vec<Asked<'_>> {
    let needs = needs.iter().filter(|need| need.capability == HTTP);
    needs.map(|need| Asked { scope: &need.scope, required: need.required }).collect()
}

/// The config of a channel that nobody wrote down.
pub(super) fn unwritten(plugin: &PluginName, limits: CallLimits) -> ChannelConfig {
    ChannelConfig::new(plugin.clone(), limits)
}

async fn read_secrets(
    keys: Vec<SecretKey>,
    config: ChannelConfig,
    entropy: Arc<Entropy>,
) -> Result<(Placed, Vec<SecretProblem>), JoinError> {
    // A secret may stand in a file on a slow disk.
    tokio::task::spawn_blocking(move || secrets::place(&keys, &config, &entropy)).await
}

/// The errors are those that nobody has told of.
fn grant(
    asked: &[Asked<'_>],
    complete: &Map<String, Value>,
    (section, config): (&Section, &ChannelConfig),
    placed: &Placed,
    egress: &Egress,
) -> Result<HttpGrant, Vec<GrantError>> {
    let allowed = Allowed { section, hosts: &config.allow_hosts, networks: &config.allow_networks };
    let granted = HttpGrant::check(asked, complete, allowed, egress);
    let is_news = |error: &GrantError| !matches!(error, GrantError::NoUrl { pointer } if placed.is_troubled(pointer));
    granted.map_err(|errors| errors.0.into_iter().filter(is_news).collect())
}

/// None where the plugin does not ask to sign. The errors are those that nobody has told of.
fn sign_grant(
    descriptor: &Descriptor,
    (section, config): (&Section, &ChannelConfig),
    placed: &Placed,
    entropy: &Arc<Entropy>,
) -> Result<Option<Arc<SignGrant>>, Vec<SignError>> {
    let needs = descriptor.needs.iter();
    let asked: Vec<_> = needs
        .filter(|need| need.capability == SIGN)
        .map(|need| sign::Asked { scope: &need.scope, required: need.required })
        .collect();
    if asked.is_empty() {
        return Ok(None);
    }
    let signing = || descriptor.secrets.iter().filter(|key| key.places.sign);
    let may_sign: Vec<_> = signing().map(|key| secrets::name_of(&key.pointer)).collect();
    let written = Written { section, secrets: &secrets::known(&descriptor.secrets, config) };
    let grant = SignGrant::check(&asked, &may_sign, &placed.secrets, written, Arc::clone(entropy));
    // Where there are secrets to sign with, what is denied is a key.
    let is_told = signing().any(|key| placed.is_troubled(&key.pointer));
    let is_news = |error: &SignError| !(is_told && matches!(error, SignError::Denied(_)));
    grant.map(|grant| Some(Arc::new(grant))).map_err(|errors| errors.0.into_iter().filter(is_news).collect())
}
