//! What of two configurations is not the same, by key.
//!
//! *Invariants:* keys only: a value of a channel's `config` may be a secret.

use std::collections::{BTreeMap, BTreeSet};

use super::{Config, Secrets};

/// The keys of all that is in one of them and not in the other, or is otherwise there.
pub(super) fn keys(one: &Config, other: &Config) -> Vec<String> {
    let (one, other) = (settings(one), settings(other));
    let all: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    all.into_iter().filter(|key| one.get(*key) != other.get(*key)).cloned().collect()
}

fn settings(config: &Config) -> BTreeMap<String, toml::Value> {
    let mut all = BTreeMap::new();
    // What is printed does load: a test holds that for any configuration.
    let printed: toml::Table = config.to_toml(Secrets::Shown).parse().unwrap_or_default();
    for (key, value) in printed {
        put(&mut all, key, value);
    }
    all
}

fn put(all: &mut BTreeMap<String, toml::Value>, key: String, value: toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (inner, value) in table {
                put(all, format!("{key}.{inner}"), value);
            }
        }
        value => drop(all.insert(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Source};

    #[test]
    fn what_is_set_otherwise_is_named_by_its_whole_key() {
        let of = |text: &str| Source::new().text("campanile.toml", text).load().expect("good").config;
        let one = of("[workers]\nbatch = 1\n[channels.a]\nplugin = 'null'\nconfig = { url = 'x' }\n");
        let other = of("[server]\nlisten = '127.0.0.1:1'\n[channels.a]\nplugin = 'null'\nconfig = { url = 'y' }\n\
                        [channels.b]\nplugin = 'null'\n[retry.default]\nmax_retries = 1\n");
        let keys = one.differing_keys(&other);
        let shown: Vec<_> = keys.iter().filter(|key| !key.starts_with("channels.b.")).map(String::as_str).collect();
        assert_eq!(shown, ["channels.a.config.url", "retry.default.max_retries", "server.listen", "workers.batch"]);
        assert!(keys.len() > shown.len(), "a channel that is new differs in all it has");
        assert_eq!(one.differing_keys(&one), Vec::<String>::new());
        assert_eq!(Config::default().differing_keys(&Config::default()), Vec::<String>::new());
    }
}
