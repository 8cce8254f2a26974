//! What became of a batch.

use serde::Serialize;

use super::{Accepted, ProblemDocument};

/// The answer to a batch: one result for each notification, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct BatchAnswer {
    /// One for each.
    pub(in crate::api) results: Vec<BatchItem>,
}

/// What became of one notification of a batch, and which one it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct BatchItem {
    /// Its place in the batch, from 0; empty lines do not count.
    pub(in crate::api) index: usize,
    /// What became of it.
    #[serde(flatten)]
    pub(in crate::api) result: BatchResult,
}

/// What became of one notification of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub(in crate::api) enum BatchResult {
    /// It was accepted.
    Accepted(Accepted),
    /// It was not.
    Refused {
        /// Why.
        problem: ProblemDocument,
    },
}
