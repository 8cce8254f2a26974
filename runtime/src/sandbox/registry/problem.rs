//! What keeps a channel from being used, found all at once.

use std::fmt::{self, Display};
use std::sync::Arc;

use tokio::task::JoinError;

use super::kept::TakenAway;
use super::schema::Objection;
use super::secrets::{SecretProblem, keys_of};
use super::status::ChannelFinding;
use crate::capability::http::{GrantError, VainGrant};
use crate::capability::sign::SignError;
use crate::domain::{ChannelName, PluginName};
use crate::sandbox::{CallEnd, ConfigProblem};

/// One reason why a channel cannot be used, with what would mend it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelProblem {
    #[error("plugin `{plugin}` is a template engine, not a channel; {}", name_another(.channel))]
    NotAChannel { plugin: PluginName, channel: ChannelName },
    #[error(transparent)]
    Secret(#[from] SecretProblem),
    /// Its schema says so.
    #[error("`config{}`: {}", .0.problem.at.replace('/', "."), .0.told())]
    Schema(Objection),
    /// The plugin itself says so.
    #[error("`config{}`: {}", .0.at.replace('/', "."), .0.message)]
    Config(ConfigProblem),
    #[error(transparent)]
    Http(#[from] GrantError),
    #[error(transparent)]
    Sign(#[from] SignError),
    #[error(transparent)]
    Kept(#[from] TakenAway),
    #[error("its plugin did not judge its config: {end}")]
    Unjudged { end: CallEnd },
    #[error("its secrets could not be read: {stopped}")]
    Unread { stopped: JoinError },
}

fn name_another(channel: &ChannelName) -> String {
    format!("name another `plugin` in [channels.{channel}]")
}

impl ChannelProblem {
    /// For whoever shows each by itself.
    fn finding(&self) -> ChannelFinding {
        let own = |key: &str| vec![key.to_owned()];
        let (keys, hint) = match self {
            Self::NotAChannel { channel, .. } => (own("plugin"), Some(name_another(channel))),
            Self::Secret(problem) => (problem.keys(), Some(problem.hint())),
            Self::Schema(objection) => (in_config(&objection.about), objection.hint.clone()),
            Self::Config(problem) => (in_config(&problem.at), None),
            Self::Http(error) => (keys_of_grant(error), error.hint()),
            Self::Sign(_) => (own("secrets"), None),
            Self::Kept(taken) => (own("deny"), Some(taken.hint())),
            Self::Unjudged { .. } | Self::Unread { .. } => (Vec::new(), None),
        };
        ChannelFinding::split(keys, self, hint)
    }
}

fn keys_of_grant(error: &GrantError) -> Vec<String> {
    match error {
        GrantError::NoUrl { pointer } | GrantError::NotPublic { pointer, .. } => in_config(pointer),
        GrantError::NotANetwork(_) => vec!["allow_networks".to_owned()],
        GrantError::NotGranted { .. } | GrantError::NotAPattern { .. } | GrantError::TooMany { .. } => {
            vec!["allow_hosts".to_owned()]
        }
    }
}

/// The keys of a place in a channel's config.
pub(super) fn in_config(pointer: &str) -> Vec<String> {
    std::iter::once("config".to_owned()).chain(keys_of(pointer)).collect()
}

impl From<VainGrant> for ChannelFinding {
    fn from(vain: VainGrant) -> Self {
        Self::split(vec!["allow_hosts".to_owned()], &vain, Some(vain.hint()))
    }
}

impl ChannelFinding {
    /// Its plugin is refused.
    pub(super) fn of_plugin(plugin: &PluginName, reason: &str) -> Self {
        let message = format!("plugin `{plugin}` was refused: {reason}");
        Self { keys: vec!["plugin".to_owned()], message, hint: None }
    }

    /// Of a sentence that ends in `hint`, after a semicolon.
    pub(super) fn split(keys: Vec<String>, sentence: &impl Display, hint: Option<String>) -> Self {
        let sentence = sentence.to_string();
        let message = hint.as_ref().and_then(|hint| sentence.strip_suffix(hint.as_str())?.strip_suffix("; "));
        match message.map(str::to_owned) {
            Some(message) => Self { keys, message, hint },
            None => Self { keys, message: sentence, hint: None },
        }
    }
}

/// Every reason why a channel cannot be used; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unready(pub(super) Arc<[ChannelFinding]>);

impl Display for Unready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, finding) in self.0.iter().enumerate() {
            let gap = if number == 0 { "" } else { "; " };
            write!(f, "{gap}{finding}")?;
        }
        Ok(())
    }
}

impl From<ChannelProblem> for Unready {
    fn from(problem: ChannelProblem) -> Self {
        Self::from(problem.finding())
    }
}

impl From<ChannelFinding> for Unready {
    fn from(finding: ChannelFinding) -> Self {
        Self(Arc::from([finding]))
    }
}

/// Gathers the problems of a channel from all who judge it.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<ChannelProblem>);

impl Found {
    pub(super) fn add(&mut self, problems: impl IntoIterator<Item = impl Into<ChannelProblem>>) {
        self.0.extend(problems.into_iter().map(Into::into));
    }

    /// The good part of a judgement, the bad one being kept here.
    pub(super) fn good<T, P: Into<ChannelProblem>>(
        &mut self,
        judged: Result<T, impl IntoIterator<Item = P>>,
    ) -> Option<T> {
        judged.map_err(|problems| self.add(problems)).ok()
    }

    pub(super) const fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_unready(self) -> Unready {
        Unready(self.0.iter().map(ChannelProblem::finding).collect())
    }
}
