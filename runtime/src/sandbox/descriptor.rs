//! What a plugin says of itself, checked before anything relies on it.

mod schema;

use std::sync::Arc;

use regex::RegexBuilder;
use serde_json::Value;

use crate::call::{AddressNeed, PluginVersion};
use crate::capability::http::check_scope;
use crate::capability::secret::Places;
use crate::domain::PluginName;

use super::bindings::campanile::plugin::types as wit;
use super::bindings::exports::campanile::plugin::{channel, template_engine};
use super::convert::bounded;

/// The longest summary, link, licence, reason, in bytes.
const TEXT_MAX: usize = 512;

/// The longest name of a feature, kind, scope or capability, in bytes.
const WORD_MAX: usize = 128;

/// The most features, needs, extensions or hosts of a need.
const LIST_MAX: usize = 32;

/// The largest configuration schema, in bytes.
const SCHEMA_MAX: usize = 256 << 10;

/// The largest compiled address pattern, in bytes: it runs on every submit.
const PATTERN_MAX: usize = 256 << 10;

/// How a problem with what it asks for begins.
pub(super) const NEEDED_HOST: &str = "a host in its needs";

/// What a plugin says of itself.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// Its name and version.
    pub version: Arc<PluginVersion>,
    /// One line.
    pub summary: String,
    /// Where to read more.
    pub homepage: Option<String>,
    /// SPDX expression.
    pub license: Option<String>,
    /// JSON Schema 2020-12 of a channel's `config`: a valid one.
    pub config_schema: Value,
    /// The parts of the configuration that are secrets.
    pub secrets: Vec<SecretKey>,
    /// Host abilities it asks for.
    pub needs: Vec<Need>,
    /// What it does.
    pub role: Role,
}

/// What a plugin does.
#[derive(Clone, Debug)]
pub enum Role {
    /// It delivers.
    Channel(ChannelDescriptor),
    /// It renders.
    TemplateEngine(EngineDescriptor),
}

impl Role {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Channel(_) => "channel",
            Self::TemplateEngine(_) => "template-engine",
        }
    }
}

/// A host ability that a plugin asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// A host interface, such as `http`. May be one that this version does not have, if it is not required.
    pub capability: String,
    /// Of `http`: host patterns, and `config:/pointer` for the host that stands in the configuration there.
    pub scope: Vec<String>,
    /// Without it no channel of this plugin is loaded.
    pub required: bool,
    /// A sentence for the operator.
    pub reason: String,
}

/// A part of a channel's configuration that is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretKey {
    /// A JSON Pointer into the configuration.
    pub pointer: String,
    /// Where the plugin may have it put.
    pub places: Places,
}

/// What a channel needs and can do.
#[derive(Clone, Debug)]
pub struct ChannelDescriptor {
    /// The kind of address it needs; none where its configuration says where to.
    pub address: Option<AddressNeed>,
    /// What it uses: `html`, `markdown`, `actions`, …
    pub features: Vec<String>,
    /// The longest title.
    pub title: Option<Length>,
    /// The longest body.
    pub body: Option<Length>,
    /// What its provider allows.
    pub rate: Option<Rate>,
}

impl ChannelDescriptor {
    /// The feature of a channel whose `supports` is to be asked before `send`.
    pub const CHECKS_RECIPIENT: &str = "checks-recipient";

    /// Whether it names a feature.
    #[must_use]
    pub fn has_feature(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }
}

/// A length with its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// At most so many; never 0.
    pub max: u32,
    /// Of these.
    pub unit: LengthUnit,
}

/// What lengths are counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LengthUnit {
    /// Bytes of UTF-8.
    Bytes,
    /// Unicode scalar values.
    Chars,
    /// Code units of UTF-16.
    Utf16,
    /// Parts of a text message.
    Segments,
}

/// How many calls a provider allows per time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many calls; never 0.
    pub count: u32,
    /// In so many milliseconds; never 0.
    pub per_ms: u32,
    /// `channel`, `account`, `recipient`.
    pub scope: String,
}

/// What a template engine can do.
#[derive(Clone, Debug)]
pub struct EngineDescriptor {
    /// Of template files, without the dot; at least one.
    pub extensions: Vec<String>,
    /// What it uses.
    pub features: Vec<String>,
}

/// Gathers every problem there is, so that an author sees all of them at once.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn add(&mut self, problem: impl Into<String>) {
        self.0.push(bounded(&problem.into(), TEXT_MAX));
    }

    fn word(&mut self, what: &str, word: &str) {
        if word.is_empty() || word.len() > WORD_MAX {
            self.add(format!("{what} has {} bytes, the limits are 1 to {WORD_MAX}", word.len()));
        }
    }

    fn list<T>(&mut self, what: &str, list: &[T]) {
        if list.len() > LIST_MAX {
            self.add(format!("there are {} {what}, the limit is {LIST_MAX}", list.len()));
        }
    }
}

/// The descriptor of a channel, or everything that is wrong with it.
pub(super) fn of_channel(given: channel::Descriptor, exports_supports: bool) -> Result<Descriptor, Vec<String>> {
    let mut problems = Problems::default();
    check_features(&given.features, &mut problems);
    let role = ChannelDescriptor {
        address: given.address.and_then(|address| to_address(address, &mut problems)),
        features: given.features,
        title: to_length("title", given.limits.title, &mut problems),
        body: to_length("body", given.limits.body, &mut problems),
        rate: to_rate(given.rate, &mut problems),
    };
    if role.has_feature(ChannelDescriptor::CHECKS_RECIPIENT) && !exports_supports {
        problems.add("its features name `checks-recipient`, but it does not export `supports`");
    }
    finish(given.about, Role::Channel(role), problems)
}

/// The descriptor of a template engine, or everything that is wrong with it.
pub(super) fn of_engine(given: template_engine::Descriptor) -> Result<Descriptor, Vec<String>> {
    let mut problems = Problems::default();
    check_features(&given.features, &mut problems);
    problems.list("extensions", &given.extensions);
    if given.extensions.is_empty() {
        problems.add("it names 0 extensions of template files, at least 1 is needed");
    }
    for extension in &given.extensions {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if extension.is_empty() || extension.len() > WORD_MAX || !extension.chars().all(plain) {
            problems
                .add(format!("extension `{}` is not one or more of `a-z`, `0-9`, `-`, `_`", bounded(extension, 32)));
        }
    }
    let role = EngineDescriptor { extensions: given.extensions, features: given.features };
    finish(given.about, Role::TemplateEngine(role), problems)
}

fn finish(about: wit::About, role: Role, mut problems: Problems) -> Result<Descriptor, Vec<String>> {
    let name = PluginName::new(&about.name).map_err(|error| problems.add(error.to_string()));
    let version = semver::Version::parse(&about.version)
        .map_err(|error| problems.add(format!("version `{}` is not semantic: {error}", bounded(&about.version, 64))));
    if about.summary.trim().is_empty() || about.summary.len() > TEXT_MAX {
        let found = if about.summary.trim().is_empty() { 0 } else { about.summary.len() };
        problems.add(format!("its summary has {found} bytes, the limits are 1 to {TEXT_MAX}"));
    }
    let config_schema = to_schema(&about.config_schema, &mut problems);
    let secrets = to_secrets(about.secrets, &mut problems);
    let needs = to_needs(about.needs, &mut problems);
    let (Ok(name), Ok(version), Some(config_schema), []) = (name, version, config_schema, &*problems.0) else {
        return Err(problems.0);
    };
    Ok(Descriptor {
        version: Arc::new(PluginVersion { name, version }),
        summary: bounded(&about.summary, TEXT_MAX),
        homepage: about.homepage.map(|text| bounded(&text, TEXT_MAX)),
        license: about.license.map(|text| bounded(&text, WORD_MAX)),
        config_schema,
        secrets,
        needs,
        role,
    })
}

fn check_features(features: &[String], problems: &mut Problems) {
    problems.list("features", features);
    for feature in features {
        problems.word("a feature", feature);
    }
}

fn to_address(address: channel::Address, problems: &mut Problems) -> Option<AddressNeed> {
    problems.word("the kind of its address", &address.kind);
    let Some(pattern) = address.pattern else {
        return Some(AddressNeed { kind: address.kind, pattern: None });
    };
    // The whole address must match, whatever anchors its author wrote.
    match RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_MAX).build() {
        Ok(pattern) => Some(AddressNeed { kind: address.kind, pattern: Some(pattern) }),
        Err(error) => {
            problems.add(format!("the pattern of its address is no regular expression: {error}"));
            None
        }
    }
}

fn to_length(what: &str, length: Option<channel::Length>, problems: &mut Problems) -> Option<Length> {
    let length = length?;
    if length.max == 0 {
        problems.add(format!("its limit of the {what} is 0: it starts at 1, or is left out"));
    }
    let unit = match length.unit {
        channel::LengthUnit::Bytes => LengthUnit::Bytes,
        channel::LengthUnit::Chars => LengthUnit::Chars,
        channel::LengthUnit::Utf16 => LengthUnit::Utf16,
        channel::LengthUnit::Segments => LengthUnit::Segments,
    };
    Some(Length { max: length.max, unit })
}

fn to_rate(rate: Option<channel::Rate>, problems: &mut Problems) -> Option<Rate> {
    let rate = rate?;
    if rate.count == 0 || rate.per_ms == 0 {
        problems.add("its rate allows nothing: `count` and `per-ms` start at 1");
    }
    problems.word("the scope of its rate", &rate.scope);
    Some(Rate { count: rate.count, per_ms: rate.per_ms, scope: rate.scope })
}

fn to_schema(text: &str, problems: &mut Problems) -> Option<Value> {
    if text.len() > SCHEMA_MAX {
        problems.add(format!("its configuration schema has {} bytes, the limit is {SCHEMA_MAX}", text.len()));
        return None;
    }
    let schema: Value = serde_json::from_str(text)
        .map_err(|error| problems.add(format!("its configuration schema is no JSON: {error}")))
        .ok()?;
    if !schema.is_object() {
        problems.add("its configuration schema is no JSON object");
        return None;
    }
    match schema::check(&schema) {
        Ok(()) => Some(schema),
        Err(problem) => {
            problems.add(format!("its configuration schema {problem}"));
            None
        }
    }
}

fn to_secrets(secrets: Vec<wit::SecretKey>, problems: &mut Problems) -> Vec<SecretKey> {
    problems.list("secrets", &secrets);
    for secret in &secrets {
        problems.word("the key of a secret", &secret.key);
        if !secret.key.starts_with('/') {
            let key = bounded(&secret.key, WORD_MAX);
            problems.add(format!("the key of a secret, `{key}`, is no JSON Pointer: it begins with `/`"));
        }
        if secret.places == wit::Places::empty() {
            problems.add(format!(
                "the secret `{}` may be put nowhere: name one of its places",
                bounded(&secret.key, WORD_MAX)
            ));
        }
    }
    secrets.into_iter().map(|secret| SecretKey { places: to_places(secret.places), pointer: secret.key }).collect()
}

fn to_places(places: wit::Places) -> Places {
    Places {
        url: places.contains(wit::Places::URL),
        headers: places.contains(wit::Places::HEADERS),
        body: places.contains(wit::Places::BODY),
        auth: places.contains(wit::Places::AUTH),
        sign: places.contains(wit::Places::SIGN),
    }
}

fn to_needs(needs: Vec<wit::Need>, problems: &mut Problems) -> Vec<Need> {
    const KNOWN: [&str; 4] = ["http", "sign", "cache", "kv"];
    problems.list("needs", &needs);
    for need in &needs {
        problems.word("a capability", &need.capability);
        problems.list("hosts in one need", &need.scope);
        for scope in &need.scope {
            problems.word("a host in a need", scope);
            if need.capability == "http"
                && !scope.is_empty()
                && let Err(error) = check_scope(scope)
            {
                problems.add(format!("{NEEDED_HOST}: {error}"));
            }
        }
        if need.required && !KNOWN.contains(&need.capability.as_str()) {
            let capability = bounded(&need.capability, WORD_MAX);
            problems.add(format!(
                "it requires `{capability}`, which this version does not have; it has `{}`",
                KNOWN.join("`, `")
            ));
        }
    }
    let keep = |need: wit::Need| Need {
        capability: need.capability,
        scope: need.scope,
        required: need.required,
        reason: bounded(&need.reason, TEXT_MAX),
    };
    needs.into_iter().map(keep).collect()
}

#[cfg(test)]
mod tests;
