//! What a look at a configuration shows, also where it is not good: for whoever tells everything at once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::{ChannelConfig, Config, Places, Problem, WorkersConfig};
use crate::domain::ChannelName;

/// Settings of a channel of which its plugin knows nothing: it is judged with their defaults where they are not good.
const UNSEEN: [&str; 12] = [
    "retry",
    "priority",
    "canary",
    "deny",
    "kv_max",
    "cpu_time",
    "fuel",
    "memory",
    "timeout",
    "egress_calls",
    "response_max",
    "log_max",
];

/// A configuration with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// Good where there are no problems; otherwise some of it is out of range, or a default in the place of what could
    /// not be read.
    pub config: Config,
    /// `None` where there was none.
    pub file: Option<PathBuf>,
    /// Where each setting came from.
    pub places: Places,
    /// What is wrong, by place.
    pub problems: Vec<Problem>,
    /// What is good and cannot be meant.
    pub warnings: Vec<Problem>,
}

/// What of a configuration plugins can be asked about, although the rest may have problems.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgeable {
    /// With the channels that can be judged.
    pub config: Config,
    /// Channels that nobody can judge before the problems are put right.
    pub left_out: Vec<ChannelName>,
}

impl Examined {
    /// What plugins can be asked about: every channel whose plugin would get what was written for it.
    #[must_use]
    pub fn judgeable(&self) -> Judgeable {
        let mut config = self.config.clone();
        let written = std::mem::take(&mut config.channels);
        // Which plugins there are, or what the text says at all, is not known for certain.
        let is_of_all =
            |problem: &Problem| matches!(sections(&problem.key).0, "" | "plugins") || problem.key == "channels";
        if self.problems.iter().any(is_of_all) {
            return Judgeable { config, left_out: written.into_keys().collect() };
        }
        let mut bad: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for problem in &self.problems {
            match sections(&problem.key) {
                ("workers", _) => config.workers = WorkersConfig::default(),
                ("channels", rest) => {
                    let (channel, key) = sections(rest);
                    bad.entry(channel).or_default().insert(key);
                }
                _ => {}
            }
        }
        let mut left_out = Vec::new();
        for (name, channel) in written {
            match bad.get(name.as_str()) {
                None => drop(config.channels.insert(name, channel)),
                Some(keys) if keys.iter().all(|key| UNSEEN.contains(key)) => {
                    let defaults = ChannelConfig::new(channel.plugin.clone(), config.plugins.defaults);
                    let ChannelConfig { kv_max, retry, priority, canary, limits, .. } = defaults;
                    let channel = ChannelConfig { kv_max, retry, priority, canary, limits, ..channel };
                    config.channels.insert(name, channel);
                }
                Some(_) => left_out.push(name),
            }
        }
        Judgeable { config, left_out }
    }
}

/// The first section of a key, and the rest.
fn sections(key: &str) -> (&str, &str) {
    key.split_once('.').unwrap_or((key, ""))
}

#[cfg(test)]
mod tests {
    use crate::config::{CallLimits, Source};

    /// The channels that can be judged, and those that cannot.
    fn of(text: &str) -> (String, String) {
        let judgeable = Source::new().text("campanile.toml", text).examine().judgeable();
        let names = |names: Vec<String>| names.join(" ");
        (
            names(judgeable.config.channels.keys().map(ToString::to_string).collect()),
            names(judgeable.left_out.iter().map(ToString::to_string).collect()),
        )
    }

    fn told(judged: &str, left_out: &str) -> (String, String) {
        (judged.to_owned(), left_out.to_owned())
    }

    const CHANNELS: &str = "[channels.a]\nplugin = 'null'\n[channels.b]\nplugin = 'null'\n";

    #[test]
    fn problems_elsewhere_keep_no_plugin_from_being_asked() {
        assert_eq!(of(CHANNELS), told("a b", ""));
        for elsewhere in ["[workers]\nbatch = 0\n", "[server]\nbody_max = 1\n", "[retry.x]\nfactor = 0\n", "[wokers]\n"]
        {
            assert_eq!(of(&format!("{elsewhere}{CHANNELS}")), told("a b", ""), "{elsewhere}");
        }
    }

    #[test]
    fn a_channel_is_left_out_where_its_plugin_would_not_get_what_was_written() {
        for line in ["confg = {}", "config = 1", "allow_hosts = ['a/b']", "secrets = { a = 'b' }", "plugin = 1"] {
            let good = if line.starts_with("plugin") { "" } else { "plugin = 'null'\n" };
            let text = CHANNELS.replacen("plugin = 'null'", &format!("{good}{line}"), 1);
            assert_eq!(of(&text), told("b", "a"), "{line}");
        }
        let text = format!("{CHANNELS}memory = '1B'\ntimeout = 4\nretry = 'x'\nkv_max = '2GiB'\ncanary = '99%'\n");
        assert_eq!(of(&text), told("a b", ""));
        let judgeable = Source::new().text("campanile.toml", text).examine().judgeable();
        assert_eq!(judgeable.config.check(), Ok(()), "what is judged is good");
        assert!(judgeable.config.channels.values().all(|channel| channel.limits == CallLimits::default()));
    }

    #[test]
    fn nobody_is_asked_where_plugins_or_text_are_in_doubt() {
        for doubt in
            ["[plugins]\ntrusted_keys = ['x']\n", "[plugins.defaults]\nmemory = '1B'\n", "[server]\nlisten = x\n"]
        {
            assert_eq!(of(&format!("{doubt}{CHANNELS}")), told("", "a b"), "{doubt}");
        }
    }
}
