//! What keeps a channel from being used, found all at once.

use std::fmt;

use tokio::task::JoinError;

use super::kept::TakenAway;
use super::secrets::SecretProblem;
use crate::capability::http::GrantError;
use crate::capability::sign::SignError;
use crate::domain::{ChannelName, PluginName};
use crate::sandbox::{CallEnd, ConfigProblem};

/// One reason why a channel cannot be used, with what would mend it.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChannelProblem {
    #[error("plugin `{plugin}` is a template engine, not a channel; name another `plugin` in [channels.{channel}]")]
    NotAChannel { plugin: PluginName, channel: ChannelName },
    #[error(transparent)]
    Secret(#[from] SecretProblem),
    /// Its schema, or the plugin itself, says so.
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

/// Every reason why a channel cannot be used; never empty.
#[derive(Debug, thiserror::Error)]
pub(super) struct ChannelProblems(Vec<ChannelProblem>);

impl fmt::Display for ChannelProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, problem) in self.0.iter().enumerate() {
            let gap = if number == 0 { "" } else { "; " };
            write!(f, "{gap}{problem}")?;
        }
        Ok(())
    }
}

impl From<ChannelProblem> for ChannelProblems {
    fn from(problem: ChannelProblem) -> Self {
        Self(vec![problem])
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

    pub(super) fn into_problems(self) -> ChannelProblems {
        ChannelProblems(self.0)
    }
}
