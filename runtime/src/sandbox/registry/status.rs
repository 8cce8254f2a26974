//! What there is, as plain data for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::call::ChannelUnavailable;
use crate::domain::{ChannelName, PluginName, Rate, RateScope, Timestamp};
use crate::sandbox::descriptor;
use crate::sandbox::inspect::{FileHash, PluginKind};

/// Where a plugin file comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginSource {
    /// The operator's folder.
    Own,
    /// The set that comes with the program.
    Bundled,
}

impl PluginSource {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Bundled => "bundled",
        }
    }
}

/// How a plugin file is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PluginState {
    /// It is what calls of its name reach.
    Serving,
    /// It comes with the program and nothing uses it so far.
    Available,
    /// It is tried on a share of the calls of channels that say so, beside the version that serves.
    Canary,
    /// It asks for more than was approved, and waits for `campanile plugins approve`.
    Held {
        /// What is new.
        reason: String,
    },
    /// It failed too often and is not called: its deliveries wait for another version, or for
    /// `campanile plugins release`.
    Quarantined {
        /// How often.
        reason: String,
    },
    /// It failed too often and the version before it serves again. It waits for `campanile plugins release`, or to be
    /// replaced.
    RolledBack {
        /// How often.
        reason: String,
    },
    /// It was looked at and is not used.
    Refused {
        /// Why.
        reason: String,
    },
    /// Another version has taken over, or its file is gone; calls that it had begun are still running.
    Draining,
}

impl PluginState {
    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Available => "available",
            Self::Canary => "canary",
            Self::Held { .. } => "held",
            Self::Quarantined { .. } => "quarantined",
            Self::RolledBack { .. } => "rolled-back",
            Self::Refused { .. } => "refused",
            Self::Draining => "draining",
        }
    }

    /// Why it is not used, where that is so.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Serving | Self::Available | Self::Canary | Self::Draining => None,
            Self::Held { reason }
            | Self::Quarantined { reason }
            | Self::RolledBack { reason }
            | Self::Refused { reason } => Some(reason),
        }
    }
}

/// A plugin file, or a version of it that is still running.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginStatus {
    /// As its descriptor has it; of a file that was never loaded, as its file name suggests.
    pub name: Option<PluginName>,
    /// Known once it has described itself.
    pub version: Option<semver::Version>,
    /// Known once it was inspected.
    pub kind: Option<PluginKind>,
    /// Where from.
    pub source: PluginSource,
    /// The file's name, without its folder.
    pub file: String,
    /// Known once it was inspected.
    pub sha256: Option<FileHash>,
    /// In bytes.
    pub size: u64,
    /// How it is doing.
    pub state: PluginState,
    /// Channels that use it, in order.
    pub channels: Vec<ChannelName>,
    /// While it is tried: how many in a hundred of each channel's notifications go to it.
    pub shares: BTreeMap<ChannelName, u8>,
    /// Since when its state is what it is.
    pub since: Timestamp,
}

/// What a provider allows, as its plugin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderRate {
    /// So much.
    pub rate: Rate,
    /// To whom.
    pub scope: RateScope,
}

impl ProviderRate {
    /// None of a rate that cannot be kept. A scope that nobody knows is taken for the channel, so that nothing is called
    /// faster than it may be.
    pub(super) fn of(said: &descriptor::Rate) -> Option<Self> {
        let descriptor::Rate { count, per_ms, scope } = said;
        let scope = match scope.as_str() {
            "recipient" => RateScope::Recipient,
            "account" => RateScope::Account,
            _ => RateScope::Channel,
        };
        let rate = Rate::new(*count, Duration::from_millis(u64::from(*per_ms))).ok()?;
        Some(Self { rate, scope })
    }
}

/// A channel and whether it can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelStatus {
    /// Its name.
    pub name: ChannelName,
    /// Its plugin.
    pub plugin: PluginName,
    /// The plugin's version; none where the channel cannot be used.
    pub version: Option<semver::Version>,
    /// Whether it is called; the configuration may say that it is not: then its plugin is not asked about it.
    pub enabled: bool,
    /// It stands in the configuration; otherwise its plugin needs none, and lends it its name.
    pub configured: bool,
    /// What its provider allows, as its plugin says; none where it says nothing, or the channel cannot be used.
    pub rate: Option<ProviderRate>,
    /// Why it cannot be used, or why its deliveries wait: all of it in one line.
    pub problem: Option<String>,
    /// Why it cannot be used, each reason by itself; empty where it can be.
    pub problems: Vec<ChannelFinding>,
    /// What of it cannot work as it is written, while the rest does.
    pub warnings: Vec<ChannelFinding>,
}

/// Why deliveries through a channel wait that nobody calls. Its `Display` is a sentence about the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutOfUse {
    /// The configuration switches it off.
    Disabled(ChannelName),
    /// It is not configured any more, and no plugin lends it.
    Gone(ChannelName),
}

impl fmt::Display for OutOfUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disabled(name) => write!(f, "channel `{name}` is disabled; {}", ChannelUnavailable::enabling(name)),
            Self::Gone(name) => {
                write!(f, "there is no channel `{name}` any more; ")?;
                write!(f, "write [channels.{name}] into the configuration again and run `campanile reload`")
            }
        }
    }
}

/// One thing about a channel that somebody should change. Holds no value of its `config`. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelFinding {
    /// The setting it is about, by the keys below `[channels.NAME]` that lead to it, such as `config` and `url`; empty
    /// where all of the section is meant.
    pub keys: Vec<String>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for ChannelFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_plugin_says_is_a_rate_with_a_scope() {
        let of = |count, per_ms, scope: &str| {
            let said = ProviderRate::of(&descriptor::Rate { count, per_ms, scope: scope.to_owned() });
            said.map(|said| (said.rate.to_string(), said.scope))
        };
        let told = |rate: &str, scope| Some((rate.to_owned(), scope));
        assert_eq!(of(1, 1_000, "channel"), told("1/s", RateScope::Channel));
        assert_eq!(of(30, 60_000, "account"), told("30/m", RateScope::Account));
        assert_eq!(of(5, 10_000, "recipient"), told("5/10s", RateScope::Recipient));
        assert_eq!(of(1, 1, "workspace"), told("1/ms", RateScope::Channel), "the narrowest reading");
        assert_eq!(of(0, 1_000, "channel"), None);
        assert_eq!(of(1, 0, "channel"), None);
    }
}
