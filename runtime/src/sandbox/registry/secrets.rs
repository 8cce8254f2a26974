//! Reads a channel's secrets and puts handles in their place.
//!
//! *Invariants:* no problem quotes a value of the config: it may be a secret that was written in the wrong place.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::problem::in_config;
use super::schema::{ConfigSchema, Objection};
use super::suggest::{plain, toml_key};
use crate::capability::secret::{ChannelSecrets, Secret, SecretError, SecretHosts, SecretText};
use crate::clock::Entropy;
use crate::config::{ChannelConfig, SecretGrant, SecretGrants, SecretRef, nearest};
use crate::domain::{ChannelName, PluginName};
use crate::sandbox::descriptor::SecretKey;

/// Where references to secrets stand in a channel.
const SECRETS: &str = "secrets";

/// Why a channel does not have its secrets, with the line that would mend it.
#[derive(Debug, thiserror::Error)]
pub(super) enum SecretProblem {
    /// An entry of `secrets` that the plugin knows nothing of.
    #[error("`secrets.{given}`: plugin `{plugin}` has no such secret; {}", there(.given, .known))]
    Unknown { given: String, plugin: PluginName, known: Vec<String> },
    #[error("`config.{}` is a secret, and stands in the configuration itself; {}", name_of(.pointer), refer(.pointer))]
    InConfig { pointer: String },
    #[error("the secret `{}` is set twice, in `config` and in `secrets`; {KEEP_ONE}", name_of(.pointer))]
    Twice { pointer: String },
    #[error("the secret `{name}` cannot be had: {reason}")]
    Unreadable { name: String, keys: Vec<String>, reason: SecretError },
    /// All that the plugin needs and nobody has written, since they go into one line.
    #[error("the {}; {}", are_missing(.missing), write_line(.channel, .line))]
    Missing { channel: ChannelName, missing: Vec<Missing>, line: toml::Value },
    /// It may go to none of the hosts that the channel reaches.
    #[error(
        "the secret `{given}` may go to {}, and its channel reaches no such host ({asked}); {}",
        only(.hosts), widen(.given)
    )]
    Nowhere { given: String, hosts: Vec<String>, asked: String },
}

const KEEP_ONE: &str = "keep one";

impl SecretProblem {
    /// The setting it is about, below `[channels.NAME]`.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Unknown { given, .. } => vec![SECRETS.to_owned(), given.clone()],
            Self::Nowhere { given, .. } => vec![SECRETS.to_owned(), given.clone(), "hosts".to_owned()],
            Self::InConfig { pointer } | Self::Twice { pointer } => in_config(pointer),
            Self::Unreadable { keys, .. } => keys.clone(),
            Self::Missing { .. } => vec![SECRETS.to_owned()],
        }
    }

    /// What to do about it, as it stands at the end of the sentence.
    pub(super) fn hint(&self) -> String {
        match self {
            Self::Unknown { given, known, .. } => there(given, known),
            Self::InConfig { pointer } => refer(pointer),
            Self::Twice { .. } => KEEP_ONE.to_owned(),
            Self::Unreadable { reason, .. } => reason.hint(),
            Self::Missing { channel, line, .. } => write_line(channel, line),
            Self::Nowhere { given, .. } => widen(given),
        }
    }
}

fn refer(pointer: &str) -> String {
    let key = toml_key(&name_of(pointer));
    format!("write `secrets = {{ {key} = \"env:NAME\" }}` or `\"file:/path\"`")
}

fn write_line(channel: &ChannelName, line: &toml::Value) -> String {
    format!("write `secrets = {line}` (or `\"file:/PATH\"`) under [channels.{channel}]")
}

fn only(hosts: &[String]) -> String {
    if hosts.is_empty() { "no host".to_owned() } else { format!("`{}` only", hosts.join("`, `")) }
}

fn widen(given: &str) -> String {
    format!("write a host that it reaches into `hosts` of `secrets.{given}`, or leave `hosts` out")
}

/// A secret that a plugin needs and nobody has written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Missing {
    name: String,
    /// What it is for, in the words of its plugin, if it says so.
    purpose: Option<String>,
}

fn there(given: &str, known: &[String]) -> String {
    match nearest(given, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "it has none: take the line out".to_owned(),
        None => format!("it has `{}`", known.join("`, `")),
    }
}

fn are_missing(missing: &[Missing]) -> String {
    let each = missing.iter().map(|Missing { name, purpose }| match purpose {
        Some(purpose) => format!("`{name}` ({purpose})"),
        None => format!("`{name}`"),
    });
    let each: Vec<_> = each.collect();
    match each.as_slice() {
        [one] => format!("secret {one} is missing"),
        _ => format!("secrets {} are missing", each.join(", ")),
    }
}

/// A channel's config with the secrets in it, and what will stand in their place.
pub(super) struct Placed {
    /// With the values: for the schema and the grants, for nobody else. Something stands in the place of a secret that
    /// is not there, so that it is told of once.
    pub(super) revealed: Map<String, Value>,
    /// What the plugin gets: pointer and handle.
    handles: Vec<(String, String)>,
    pub(super) secrets: ChannelSecrets,
    /// JSON Pointers into the config at which a problem was found already.
    troubled: BTreeSet<String>,
}

/// Stands for the values of a channel's secrets: another one says that they are others.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SecretsMark([u8; 32]);

impl std::fmt::Debug for SecretsMark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A short secret could be found by trying.
        f.debug_struct("SecretsMark").finish_non_exhaustive()
    }
}

impl Placed {
    pub(super) fn mark(&self) -> SecretsMark {
        let mut hash = Sha256::new();
        for (pointer, _) in &self.handles {
            let value = get(&self.revealed, pointer).and_then(Value::as_str).unwrap_or_default();
            for text in [pointer.as_str(), value] {
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text);
            }
        }
        SecretsMark(hash.finalize().into())
    }

    /// The config as the plugin gets it: handles in the place of secrets.
    pub(super) fn concealed(&self, mut complete: Map<String, Value>) -> Map<String, Value> {
        for (pointer, handle) in &self.handles {
            set(&mut complete, pointer, Value::String(handle.clone()));
        }
        complete
    }

    /// Whether a problem was found at this JSON Pointer already.
    pub(super) fn is_troubled(&self, pointer: &str) -> bool {
        self.troubled.contains(pointer)
    }

    fn trouble(&mut self, pointer: &str) {
        self.troubled.insert(pointer.to_owned());
        if get(&self.revealed, pointer).is_none() {
            set(&mut self.revealed, pointer, Value::String(String::new()));
        }
    }

    /// The config with defaults filled in, and what its schema has against it: secrets that are missing apart.
    pub(super) fn judge(
        &mut self,
        schema: &ConfigSchema,
        keys: &[SecretKey],
        name: &ChannelName,
        config: &ChannelConfig,
    ) -> (Map<String, Value>, Option<SecretProblem>, Vec<Objection>) {
        let is_absent = |revealed: &Map<String, Value>, key: &SecretKey| get(revealed, &key.pointer).is_none();
        let required =
            |key: &&SecretKey| is_absent(&self.revealed, key) && schema.requires(&key.pointer, &self.revealed);
        let mut missing: Vec<&SecretKey> = keys.iter().filter(required).collect();
        for key in &missing {
            self.trouble(&key.pointer);
        }
        let (complete, objections) = schema.judge(&self.revealed);
        let mut problems = Vec::new();
        for objection in
            objections.into_iter().filter(|objection| !self.troubled.contains(&objection.about)).collect::<Vec<_>>()
        {
            let about = objection.about.clone();
            match keys.iter().find(|key| key.pointer == about && is_absent(&self.revealed, key)) {
                // One that only some configs need.
                Some(key) => missing.push(key),
                None => problems.push(objection),
            }
            self.troubled.insert(about);
        }
        let missing = (!missing.is_empty()).then(|| all_missing(&missing, keys, schema, name, config));
        (complete, missing, problems)
    }
}

/// The line has all that goes into `secrets`, also what stands there already: a second one would be an error.
fn all_missing(
    missing: &[&SecretKey],
    keys: &[SecretKey],
    schema: &ConfigSchema,
    channel: &ChannelName,
    config: &ChannelConfig,
) -> SecretProblem {
    let known = known(keys, config);
    let mut line: toml::Table = known.into_iter().map(|(given, grant)| (given, grant.written())).collect();
    line.extend(missing.iter().map(|key| (name_of(&key.pointer), toml::Value::from("env:NAME"))));
    let missing = missing.iter().map(|key| Missing {
        name: name_of(&key.pointer),
        purpose: schema.description(&key.pointer).map(|words| plain(words).trim_end_matches('.').to_owned()),
    });
    SecretProblem::Missing { channel: channel.clone(), missing: missing.collect(), line: toml::Value::Table(line) }
}

/// What the operator wrote in `secrets`, without what the plugin knows nothing of.
pub(super) fn known(keys: &[SecretKey], config: &ChannelConfig) -> SecretGrants {
    let known = config.secrets.iter().filter(|(given, _)| keys.iter().any(|key| is_key(given, &key.pointer)));
    known.map(|(given, grant)| (given.clone(), grant.clone())).collect()
}

/// Reads the secrets that a plugin's descriptor names, and tells everything that is wrong with them. Blocks: they may
/// stand in files.
pub(super) fn place(keys: &[SecretKey], config: &ChannelConfig, entropy: &Entropy) -> (Placed, Vec<SecretProblem>) {
    let mut problems = unknown(keys, config);
    let mut placed = Placed {
        revealed: config.config.clone(),
        handles: Vec::new(),
        secrets: ChannelSecrets::none(),
        troubled: BTreeSet::new(),
    };
    for key in keys {
        let name = name_of(&key.pointer);
        let read = reference(key, config).and_then(|grant| {
            let Some(SecretGrant { from, hosts }) = grant else { return Ok(None) };
            let value = SecretText::read(&from);
            let value = value.map_err(|reason| {
                let given = config.secrets.keys().find(|given| is_key(given, &key.pointer));
                let keys =
                    given.map_or_else(|| in_config(&key.pointer), |given| vec![SECRETS.to_owned(), given.clone()]);
                SecretProblem::Unreadable { name: name.clone(), keys, reason }
            })?;
            Ok(Some((value, hosts)))
        });
        match read {
            Ok(None) => {}
            Ok(Some((value, hosts))) => {
                set(&mut placed.revealed, &key.pointer, Value::String(value.expose().to_owned()));
                let given = config.secrets.keys().find(|given| is_key(given, &key.pointer));
                let given = given.unwrap_or(&name).clone();
                let hosts = hosts.map(|patterns| Arc::new(SecretHosts { key: given, patterns }));
                let handle = placed.secrets.add(Secret { name, value, places: key.places, hosts }, entropy);
                placed.handles.push((key.pointer.clone(), handle));
            }
            Err(problem) => {
                placed.trouble(&key.pointer);
                problems.push(problem);
            }
        }
    }
    (placed, problems)
}

/// What the operator wrote for a secret, in `secrets` or, as a reference, in `config`.
fn reference(key: &SecretKey, config: &ChannelConfig) -> Result<Option<SecretGrant>, SecretProblem> {
    let pointer = || key.pointer.clone();
    let granted = config.secrets.iter().find(|(given, _)| is_key(given, &key.pointer)).map(|(_, grant)| grant.clone());
    let written = match get(&config.config, &key.pointer) {
        None => return Ok(granted),
        Some(Value::String(text)) => text.parse::<SecretRef>().ok(),
        Some(_) => None,
    };
    match (written, granted) {
        (None, _) => Err(SecretProblem::InConfig { pointer: pointer() }),
        (Some(_), Some(_)) => Err(SecretProblem::Twice { pointer: pointer() }),
        (Some(from), None) => Ok(Some(SecretGrant { from, hosts: None })),
    }
}

/// Secrets that are bound to hosts of which their channel reaches none. One to sign with is of use all the same.
pub(super) fn bound_to_nobody(
    keys: &[SecretKey],
    config: &ChannelConfig,
    reaches_any: impl Fn(&[String]) -> bool,
    asked: &str,
) -> Vec<SecretProblem> {
    let leaves = |given: &str| keys.iter().any(|key| is_key(given, &key.pointer) && !key.places.sign);
    let bound = config.secrets.iter().filter_map(|(given, grant)| Some((given, grant.hosts.as_ref()?)));
    let nowhere = bound.filter(|(given, hosts)| leaves(given) && !reaches_any(hosts));
    let problem = |(given, hosts): (&String, &Vec<String>)| SecretProblem::Nowhere {
        given: given.clone(),
        hosts: hosts.clone(),
        asked: asked.to_owned(),
    };
    nowhere.map(problem).collect()
}

fn unknown(keys: &[SecretKey], config: &ChannelConfig) -> Vec<SecretProblem> {
    let stray = config.secrets.keys().filter(|given| !keys.iter().any(|key| is_key(given, &key.pointer)));
    let known: Vec<_> = keys.iter().map(|key| name_of(&key.pointer)).collect();
    let problem = |given: &String| {
        let (given, plugin) = (given.clone(), config.plugin.clone());
        SecretProblem::Unknown { given, plugin, known: known.clone() }
    };
    stray.map(problem).collect()
}

/// `/auth/token` is `auth.token` for people.
pub(super) fn name_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn is_key(given: &str, pointer: &str) -> bool {
    given == pointer || given == name_of(pointer)
}

/// The keys on the way to a JSON Pointer.
pub(super) fn keys_of(pointer: &str) -> impl DoubleEndedIterator<Item = String> {
    pointer.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().into_iter()
}

fn get<'a>(config: &'a Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let mut keys = keys_of(pointer);
    let first = config.get(&keys.next()?)?;
    keys.try_fold(first, |value, key| value.get(key))
}

/// Sets the value at `pointer`, with the objects on the way to it.
fn set(config: &mut Map<String, Value>, pointer: &str, value: Value) {
    let mut keys = keys_of(pointer);
    let Some(last) = keys.next_back() else { return };
    let mut at = config;
    for key in keys {
        let inner = at.entry(key).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        at = inner;
    }
    at.insert(last, value);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::capability::secret::{HANDLE_PREFIX, Places};
    use crate::config::CallLimits;

    fn keys(pointers: &[&str]) -> Vec<SecretKey> {
        let places = Places { auth: true, ..Places::default() };
        pointers.iter().map(|pointer| SecretKey { pointer: (*pointer).to_owned(), places }).collect()
    }

    fn channel(config: Value, secrets: &[(&str, &str)]) -> ChannelConfig {
        let Value::Object(config) = config else { panic!("an object") };
        let mut channel = ChannelConfig::new("acme".parse().expect("a name"), CallLimits::default());
        channel.config = config;
        for (key, from) in secrets {
            let grant = SecretGrant { from: from.parse().expect("a reference"), hosts: None };
            channel.secrets.insert((*key).to_owned(), grant);
        }
        channel
    }

    fn file(content: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("secret");
        std::fs::write(&path, content).expect("writes");
        let reference = format!("file:{}", path.display());
        (dir, reference)
    }

    #[test]
    fn the_plugin_gets_handles_and_the_host_the_values() {
        let (_dir, reference) = file("t0ken\n");
        let config = channel(json!({"room": 7, "auth": {"kind": "x"}}), &[("auth.token", &reference)]);
        let placed = place(&keys(&["/auth/token"]), &config, &Entropy::fixed(3));
        let (placed, problems) = placed;
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(Value::Object(placed.revealed.clone()), json!({"room": 7, "auth": {"kind": "x", "token": "t0ken"}}));
        let concealed = Value::Object(placed.concealed(placed.revealed.clone()));
        let handle = concealed["auth"]["token"].as_str().expect("a handle");
        assert!(handle.starts_with(HANDLE_PREFIX) && !concealed.to_string().contains("t0ken"));
        assert_eq!(placed.secrets.get(handle).expect("it is there").name, "auth.token");
    }

    #[test]
    fn a_reference_may_stand_in_the_config_and_a_secret_may_not() {
        let (_dir, reference) = file("t0ken");
        let good = channel(json!({"token": reference}), &[]);
        assert!(place(&keys(&["/token"]), &good, &Entropy::fixed(3)).1.is_empty());
        let told = |config: &ChannelConfig| {
            let (_, problems) = place(&keys(&["/token", "/key"]), config, &Entropy::fixed(3));
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(told(&channel(json!({"token": "xoxb-canary"}), &[])), @r#"`config.token` is a secret, and stands in the configuration itself; write `secrets = { token = "env:NAME" }` or `"file:/path"`"#);
        insta::assert_snapshot!(told(&channel(json!({"token": reference}), &[("token", "env:A")])), @"the secret `token` is set twice, in `config` and in `secrets`; keep one");
        insta::assert_snapshot!(told(&channel(json!({}), &[("tokne", "env:A"), ("key", "env:CAMPANILE_TEST_NEVER_SET")])), @r"
        `secrets.tokne`: plugin `acme` has no such secret; did you mean `token`?
        the secret `key` cannot be had: the environment variable `CAMPANILE_TEST_NEVER_SET` is not set; set it, or write `file:/path` instead of `env:CAMPANILE_TEST_NEVER_SET`
        ");
    }

    /// What is told of a channel `belfry` with these secrets, judged by the schema.
    fn judged(schema: Value, pointers: &[&str], config: &ChannelConfig) -> String {
        let schema = ConfigSchema::new(schema).expect("a schema");
        let keys = keys(pointers);
        let (mut placed, problems) = place(&keys, config, &Entropy::fixed(3));
        let channel = ChannelName::new("belfry").expect("a name");
        let (_, missing, against) = placed.judge(&schema, &keys, &channel, config);
        let told = problems.iter().chain(&missing).map(ToString::to_string);
        let against = against.iter().map(|objection| format!("`{}`: {}", objection.problem.at, objection.told()));
        told.chain(against).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_missing_secret_is_told_with_the_whole_line_and_what_it_is_for() {
        let text = |description: &str| json!({"type": "string", "minLength": 3, "description": description});
        let schema = json!({
            "properties": {
                "token": text("Token of\nthe bot."), "key": {"type": "string"},
                "auth": {"properties": {"pin": text("")}, "required": ["pin", "user"]},
                "room": {"type": "integer"},
            },
            "required": ["token", "room"],
        });
        let of = |config: Value, secrets: &[(&str, &str)]| {
            judged(schema.clone(), &["/token", "/key", "/auth/pin"], &channel(config, secrets))
        };
        insta::assert_snapshot!(of(json!({"room": 1}), &[]), @r#"the secret `token` (Token of the bot) is missing; write `secrets = { token = "env:NAME" }` (or `"file:/PATH"`) under [channels.belfry]"#);
        let (_dir, reference) = file("t0ken");
        let more = of(json!({"auth": {}}), &[("key", &reference)]).replace(&reference, "file:/key");
        insta::assert_snapshot!(more, @r#"
        the secrets `token` (Token of the bot), `auth.pin` are missing; write `secrets = { "auth.pin" = "env:NAME", key = "file:/key", token = "env:NAME" }` (or `"file:/PATH"`) under [channels.belfry]
        `/room`: is missing; write `room = 0` there
        `/auth/user`: is missing; write `user = "…"` there
        "#);
        insta::assert_snapshot!(of(json!({"room": 1}), &[("token", "env:CAMPANILE_TEST_NEVER_SET")]), @"the secret `token` cannot be had: the environment variable `CAMPANILE_TEST_NEVER_SET` is not set; set it, or write `file:/path` instead of `env:CAMPANILE_TEST_NEVER_SET`");
    }

    #[test]
    fn a_secret_that_only_some_configs_need_is_missing_there() {
        let schema = json!({
            "properties": {"mode": {"type": "string"}, "token": {"type": "string"}},
            "if": {"properties": {"mode": {"const": "signed"}}, "required": ["mode"]}, "then": {"required": ["token"]},
        });
        assert_eq!(judged(schema.clone(), &["/token"], &channel(json!({"mode": "plain"}), &[])), "");
        insta::assert_snapshot!(judged(schema, &["/token"], &channel(json!({"mode": "signed"}), &[])), @r#"the secret `token` is missing; write `secrets = { token = "env:NAME" }` (or `"file:/PATH"`) under [channels.belfry]"#);
    }
}
