//! What is counted of callbacks, whoever calls them.

use crate::callback::{ExecutorStatistics, KindStatistics};

/// How the callbacks of one caller are doing.
#[derive(Clone, Debug, PartialEq)]
pub struct CallerStatistics {
    /// Those who call; none where each callback has a queue of its own.
    pub executor: Option<ExecutorStatistics>,
    /// Every kind that was called or was to be.
    pub kinds: Vec<KindStatistics>,
}
