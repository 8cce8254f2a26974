//! Reads a channel's secrets and puts handles in their place.
//!
//! *Invariants:* no problem quotes a value of the config: it may be a secret that was written in the wrong place.

use serde_json::{Map, Value};

use crate::capability::secret::{ChannelSecrets, Secret, SecretText};
use crate::clock::Entropy;
use crate::config::{ChannelConfig, SecretGrant, SecretRef};
use crate::sandbox::descriptor::SecretKey;

/// A channel's config with the secrets in it, and what will stand in their place.
pub(super) struct Placed {
    /// With the values: for the schema and the grants, for nobody else.
    pub(super) revealed: Map<String, Value>,
    /// What the plugin gets: pointer and handle.
    handles: Vec<(String, String)>,
    pub(super) secrets: ChannelSecrets,
}

impl Placed {
    /// The config as the plugin gets it: handles in the place of secrets.
    pub(super) fn concealed(&self, mut complete: Map<String, Value>) -> Map<String, Value> {
        for (pointer, handle) in &self.handles {
            set(&mut complete, pointer, Value::String(handle.clone()));
        }
        complete
    }
}

/// Reads the secrets that a plugin's descriptor names. Blocks: they may stand in files.
///
/// # Errors
///
/// Everything that is wrong, each with the line that would mend it.
pub(super) fn place(keys: &[SecretKey], config: &ChannelConfig, entropy: &Entropy) -> Result<Placed, Vec<String>> {
    let mut problems = unknown(keys, config);
    let mut placed = Placed { revealed: config.config.clone(), handles: Vec::new(), secrets: ChannelSecrets::none() };
    for key in keys {
        let name = name_of(&key.pointer);
        let Some(grant) = reference(key, config).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        }) else {
            continue;
        };
        match SecretText::read(&grant.from) {
            Ok(value) => {
                set(&mut placed.revealed, &key.pointer, Value::String(value.expose().to_owned()));
                let hosts = grant.hosts.map(Into::into);
                let handle = placed.secrets.add(Secret { name, value, places: key.places, hosts }, entropy);
                placed.handles.push((key.pointer.clone(), handle));
            }
            Err(error) => problems.push(format!("the secret `{name}` cannot be had: {error}")),
        }
    }
    if problems.is_empty() { Ok(placed) } else { Err(problems) }
}

/// What the operator wrote for a secret, in `secrets` or, as a reference, in `config`.
fn reference(key: &SecretKey, config: &ChannelConfig) -> Result<Option<SecretGrant>, String> {
    let name = name_of(&key.pointer);
    let granted = config.secrets.iter().find(|(given, _)| is_key(given, &key.pointer)).map(|(_, grant)| grant.clone());
    let written = match get(&config.config, &key.pointer) {
        None => return Ok(granted),
        Some(Value::String(text)) => text.parse::<SecretRef>().ok(),
        Some(_) => None,
    };
    let instead = format!("`secrets = {{ {name} = \"env:NAME\" }}` or `\"file:/path\"`");
    match (written, granted) {
        (None, _) => {
            Err(format!("`config.{name}` is a secret, and stands in the configuration itself; write {instead}"))
        }
        (Some(_), Some(_)) => Err(format!("the secret `{name}` is set twice, in `config` and in `secrets`; keep one")),
        (Some(from), None) => Ok(Some(SecretGrant { from, hosts: None })),
    }
}

/// Entries of `secrets` that the plugin knows nothing of.
fn unknown(keys: &[SecretKey], config: &ChannelConfig) -> Vec<String> {
    let stray = config.secrets.keys().filter(|given| !keys.iter().any(|key| is_key(given, &key.pointer)));
    let known: Vec<_> = keys.iter().map(|key| format!("`{}`", name_of(&key.pointer))).collect();
    let there = if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) };
    stray.map(|given| format!("`secrets.{given}`: plugin `{}` has no such secret; {there}", config.plugin)).collect()
}

/// `/auth/token` is `auth.token` for people.
pub(super) fn name_of(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn is_key(given: &str, pointer: &str) -> bool {
    given == pointer || given == name_of(pointer)
}

fn keys_of(pointer: &str) -> impl DoubleEndedIterator<Item = String> {
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
        let placed = place(&keys(&["/auth/token"]), &config, &Entropy::fixed(3)).expect("good");
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
        assert!(place(&keys(&["/token"]), &good, &Entropy::fixed(3)).is_ok());
        let told = |config: &ChannelConfig| {
            place(&keys(&["/token", "/key"]), config, &Entropy::fixed(3)).err().expect("a problem").join("\n")
        };
        insta::assert_snapshot!(told(&channel(json!({"token": "xoxb-canary"}), &[])), @r#"`config.token` is a secret, and stands in the configuration itself; write `secrets = { token = "env:NAME" }` or `"file:/path"`"#);
        insta::assert_snapshot!(told(&channel(json!({"token": reference}), &[("token", "env:A")])), @"the secret `token` is set twice, in `config` and in `secrets`; keep one");
        insta::assert_snapshot!(told(&channel(json!({}), &[("tokne", "env:A"), ("key", "env:CAMPANILE_TEST_NEVER_SET")])), @r"
        `secrets.tokne`: plugin `acme` has no such secret; it has `token`, `key`
        the secret `key` cannot be had: the environment variable `CAMPANILE_TEST_NEVER_SET` is not set; set it, or write `file:/path` instead of `env:CAMPANILE_TEST_NEVER_SET`
        ");
    }
}
