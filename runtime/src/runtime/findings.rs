//! One thing that is wrong with a configuration, whoever found it: the host by looking at it, or a plugin.

use std::fmt;

use crate::config::{Place, Places, Problem};
use crate::domain::ChannelName;
use crate::sandbox::ChannelFinding;

/// One thing to change in a configuration. Holds no value of a channel's `config`. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFinding {
    /// Where the setting came from.
    pub place: Place,
    /// Its whole key, such as `workers.batch`; empty where a whole file or variable is meant.
    pub key: String,
    /// The name of the channel it is about, as written.
    pub channel: Option<String>,
    /// What stands before the message for people.
    about: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl ConfigFinding {
    /// Found by looking at the configuration.
    #[must_use]
    pub fn of_setting(problem: &Problem) -> Self {
        let Problem { place, key, message, hint, .. } = problem;
        let channel = key.strip_prefix("channels.").and_then(|rest| rest.split('.').next());
        Self {
            place: place.clone(),
            key: key.clone(),
            channel: channel.map(str::to_owned),
            about: if key.is_empty() { String::new() } else { format!("`{key}` ") },
            message: message.clone(),
            hint: hint.clone(),
        }
    }

    /// Found by asking the plugin of a channel.
    #[must_use]
    pub fn of_channel(channel: &ChannelName, finding: &ChannelFinding, places: &Places) -> Self {
        let ChannelFinding { keys, message, hint } = finding;
        let key = ["channels", channel.as_str()].into_iter().chain(keys.iter().map(String::as_str));
        let key = key.collect::<Vec<_>>().join(".");
        Self {
            place: places.of(&key),
            key,
            channel: Some(channel.to_string()),
            about: format!("channel `{channel}`: "),
            message: message.clone(),
            hint: hint.clone(),
        }
    }

    /// What is wrong and with what, as people read it after the place.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}{}", self.about, self.message)
    }

    /// The line in its file, from 1, where it came from one.
    #[must_use]
    pub const fn line(&self) -> Option<usize> {
        match &self.place {
            Place::File { line, .. } if *line > 0 => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for ConfigFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}{}", self.place, self.about, self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}
