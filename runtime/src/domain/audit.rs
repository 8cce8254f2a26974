//! Who did what: what an operator looks up afterwards. Each entry is written in the transaction of its cause.

use std::fmt;
use std::str::FromStr;

use super::{
    CallbackDeed, CallbackName, ChannelDeed, ChannelName, DeliveryId, NotificationId, PluginChange, PluginEvent,
    Timestamp,
};

/// Who did something, as far as it can be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A program over HTTP. While there are no API keys it is one on this machine.
    Api,
    /// A person at the command line: the same over HTTP, by what the client says of itself.
    Cli,
    /// The program that this runtime is embedded in.
    #[default]
    Embedder,
    /// Campanile itself, by what it found or what is configured.
    Host,
}

impl Actor {
    /// Every actor there is.
    pub const ALL: [Self; 4] = [Self::Api, Self::Cli, Self::Embedder, Self::Host];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Cli => "cli",
            Self::Embedder => "embedder",
            Self::Host => "host",
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It is done once the attempts under way end, as far as they do not send.
    InFlight,
    /// There was nothing to be done: nothing changed.
    Refused,
}

impl AuditOutcome {
    /// Every outcome there is.
    pub const ALL: [Self; 3] = [Self::Done, Self::InFlight, Self::Refused];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::InFlight => "in-flight",
            Self::Refused => "refused",
        }
    }
}

/// What was done, to what. No address, no content, no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Act {
    /// A notification was accepted.
    Submit {
        /// Which.
        notification: NotificationId,
        /// How many deliveries it has.
        deliveries: u32,
    },
    /// A notification was withdrawn.
    Cancel {
        /// Which.
        notification: NotificationId,
        /// Deliveries that were withdrawn.
        deliveries: u32,
        /// Deliveries that may still be sent by the attempt under way.
        in_flight: u32,
    },
    /// One delivery was withdrawn.
    CancelDelivery {
        /// Which.
        delivery: DeliveryId,
    },
    /// A new run of a delivery that failed was started.
    Replay {
        /// Which.
        delivery: DeliveryId,
        /// When it is tried.
        due: Timestamp,
    },
    /// A dead letter was put away.
    Purge {
        /// Which.
        delivery: DeliveryId,
    },
    /// A configuration took effect, or was refused.
    Config {
        /// SHA-256 of it, as far as it could be read, as `campanile config print` shows it: another one says that something was changed.
        sha256: [u8; 32],
    },
    /// The pool of workers was sized.
    Scale {
        /// To how many; none where it follows the load again.
        workers: Option<u32>,
    },
    /// Something was done to a plugin.
    Plugin(PluginEvent),
    /// Something was done to a channel.
    Channel {
        /// Which.
        channel: ChannelName,
        /// What.
        deed: ChannelDeed,
    },
    /// Something was done to a callback.
    Callback {
        /// Which.
        callback: CallbackName,
        /// What.
        deed: CallbackDeed,
        /// How many of its calls it was done to; 0 where it was done to none.
        calls: u64,
    },
    /// Something was done to the database as a whole.
    Store {
        /// What.
        deed: StoreDeed,
        /// The version of its tables before.
        from: u32,
        /// The version of its tables since.
        to: u32,
    },
}

/// What is done to a database as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreDeed {
    /// It is a copy of another one, which was not changed: the copy knows of it, and what is restored from it.
    Backup,
    /// It was put in the place of another one.
    Restore,
    /// It was brought up to date.
    Migrate,
}

impl StoreDeed {
    /// Every deed there is.
    pub const ALL: [Self; 3] = [Self::Backup, Self::Restore, Self::Migrate];

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Migrate => "migrate",
        }
    }
}

impl Act {
    /// Its kind.
    #[must_use]
    pub const fn action(&self) -> AuditAction {
        match self {
            Self::Submit { .. } => AuditAction::Submit,
            Self::Cancel { .. } | Self::CancelDelivery { .. } => AuditAction::Cancel,
            Self::Replay { .. } => AuditAction::Replay,
            Self::Purge { .. } => AuditAction::Purge,
            Self::Config { .. } => AuditAction::Config,
            Self::Scale { .. } => AuditAction::Scale,
            Self::Plugin(event) => AuditAction::Plugin(event.change),
            Self::Channel { deed, .. } => AuditAction::Channel(*deed),
            Self::Callback { deed, .. } => AuditAction::Callback(*deed),
            Self::Store { deed, .. } => AuditAction::Store(*deed),
        }
    }

    /// What it was done to; none where that is the whole installation.
    #[must_use]
    pub fn target(&self) -> Option<AuditTarget> {
        match self {
            Self::Submit { notification, .. } | Self::Cancel { notification, .. } => {
                Some(AuditTarget::Notification(*notification))
            }
            Self::CancelDelivery { delivery } | Self::Replay { delivery, .. } | Self::Purge { delivery } => {
                Some(AuditTarget::Delivery(*delivery))
            }
            Self::Config { .. } | Self::Scale { .. } | Self::Store { .. } => None,
            Self::Plugin(event) => Some(AuditTarget::Plugin(event.plugin.clone())),
            Self::Channel { channel, .. } => Some(AuditTarget::Channel(channel.clone())),
            Self::Callback { callback, .. } => Some(AuditTarget::Callback(callback.clone())),
        }
    }
}

/// A kind of act, as entries are filtered by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AuditAction {
    /// A notification was accepted.
    Submit,
    /// A notification, or one delivery, was withdrawn.
    Cancel,
    /// A new run of a delivery that failed.
    Replay,
    /// A dead letter was put away.
    Purge,
    /// A configuration took effect.
    Config,
    /// The pool of workers was sized.
    Scale,
    /// Something was done to a plugin.
    Plugin(PluginChange),
    /// Something was done to a channel.
    Channel(ChannelDeed),
    /// Something was done to a callback.
    Callback(CallbackDeed),
    /// Something was done to the database as a whole.
    Store(StoreDeed),
}

impl AuditAction {
    /// Those that are not about plugins, channels, callbacks or the database; the others are the words of
    /// [`PluginChange::ALL`], [`ChannelDeed::ALL`], [`CallbackDeed::ALL`] and [`StoreDeed::ALL`].
    const PLAIN: [Self; 6] = [Self::Submit, Self::Cancel, Self::Replay, Self::Purge, Self::Config, Self::Scale];

    /// Every action there is.
    pub fn all() -> impl Iterator<Item = Self> {
        let of_plugins = PluginChange::ALL.map(Self::Plugin);
        let of_callbacks = CallbackDeed::ALL.map(Self::Callback);
        let of_channels = ChannelDeed::ALL.map(Self::Channel);
        let of_the_store = StoreDeed::ALL.map(Self::Store);
        Self::PLAIN.into_iter().chain(of_plugins).chain(of_channels).chain(of_callbacks).chain(of_the_store)
    }

    /// Its word in every interface.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Cancel => "cancel",
            Self::Replay => "replay",
            Self::Purge => "purge",
            Self::Config => "config",
            Self::Scale => "scale",
            Self::Plugin(change) => change.kind(),
            Self::Channel(deed) => deed.as_str(),
            Self::Callback(deed) => deed.as_str(),
            Self::Store(deed) => deed.as_str(),
        }
    }
}

/// A text is no action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseActionError;

impl fmt::Display for ParseActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = AuditAction::all().map(AuditAction::as_str).collect();
        write!(f, "must be one of `{}`", words.join("`, `"))
    }
}

impl std::error::Error for ParseActionError {}

impl FromStr for AuditAction {
    type Err = ParseActionError;

    fn from_str(text: &str) -> Result<Self, ParseActionError> {
        Self::all().find(|action| action.as_str() == text).ok_or(ParseActionError)
    }
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTarget {
    /// A notification; as a filter, its deliveries too.
    Notification(NotificationId),
    /// One delivery.
    Delivery(DeliveryId),
    /// A plugin by name; of a file that could not be asked, the file's. As a filter, a channel or callback of that name
    /// too.
    Plugin(String),
    /// A channel.
    Channel(ChannelName),
    /// A callback.
    Callback(CallbackName),
}

impl AuditTarget {
    /// Whether who asks for this is shown what was done to `other`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Notification(id), Self::Delivery(delivery)) => delivery.notification() == *id,
            (Self::Plugin(name), Self::Channel(channel)) => name == channel.as_str(),
            (Self::Plugin(name), Self::Callback(callback)) => name == callback.as_str(),
            _ => self == other,
        }
    }
}

impl fmt::Display for AuditTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Notification(id) => id.fmt(f),
            Self::Delivery(id) => id.fmt(f),
            Self::Plugin(name) => f.write_str(name),
            Self::Channel(name) => name.fmt(f),
            Self::Callback(name) => name.fmt(f),
        }
    }
}

impl From<&str> for AuditTarget {
    /// What is no id is the name of a plugin, a channel or a callback: see [`AuditTarget::covers`].
    fn from(text: &str) -> Self {
        let plugin = || Self::Plugin(text.to_owned());
        let delivery = || text.parse().map(Self::Delivery);
        text.parse().map(Self::Notification).or_else(|_| delivery()).unwrap_or_else(|_| plugin())
    }
}

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
    /// What.
    pub act: Act,
    /// And what came of it.
    pub outcome: AuditOutcome,
}

/// An entry's place in the log: by time, and by the order of commits where the time is the same.
///
/// Text: `aud_` and three numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuditId {
    /// When the first entry of its frame was.
    pub at: Timestamp,
    /// Of the frames of that moment.
    pub frame: u32,
    /// In its frame.
    pub index: u32,
}

impl fmt::Display for AuditId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "aud_{:012x}_{}_{}", self.at.as_millis(), self.frame, self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_is_known_by_its_word_and_no_other_word_is_one() {
        let mut words: Vec<_> = AuditAction::all().map(AuditAction::as_str).collect();
        for action in AuditAction::all() {
            assert_eq!(action.as_str().parse(), Ok(action));
        }
        let all = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), all, "no two are the same");
        assert_eq!("Submit".parse::<AuditAction>(), Err(ParseActionError));
        assert!(ParseActionError.to_string().starts_with("must be one of `submit`, `cancel`"), "{ParseActionError}");
    }

    #[test]
    fn a_notification_stands_for_its_deliveries_and_not_the_other_way() {
        let id = NotificationId::from_bytes([7; 16]);
        let (all, one) = (AuditTarget::Notification(id), AuditTarget::Delivery(id.delivery(3)));
        assert!(all.covers(&one) && all.covers(&all) && !one.covers(&all));
        assert!(!one.covers(&AuditTarget::Delivery(id.delivery(4))));
        for target in [all, one, AuditTarget::Plugin("slack".to_owned())] {
            assert_eq!(AuditTarget::from(&*target.to_string()), target);
        }
        let channel = AuditTarget::Channel(ChannelName::new("ops").expect("a name"));
        assert!(AuditTarget::from("ops").covers(&channel) && !AuditTarget::from("mail").covers(&channel));
        let callback = AuditTarget::Callback(CallbackName::new("billing.sent").expect("a name"));
        assert!(AuditTarget::from("billing.sent").covers(&callback) && !AuditTarget::from("billing").covers(&callback));
    }
}
