//! What goes wrong with a store.

/// Why durable state could not be read or changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk is full or does not answer; what was asked for did not happen and may be asked for again.
    #[error("the store cannot write: {reason}")]
    Unavailable {
        /// What the engine said.
        reason: String,
    },
    /// Another process owns the store.
    #[error("the store `{path}` is in use by {holder}")]
    Locked {
        /// The file.
        path: String,
        /// Who holds it, as far as known.
        holder: String,
    },
    /// The file is not one of ours, was damaged, or is of a newer version.
    #[error("the store `{path}` cannot be used: {reason}")]
    Unusable {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// A defect of ours: a row that cannot be read back, a statement that the engine refuses.
    #[error("the store failed: {reason}")]
    Internal {
        /// What the engine said.
        reason: String,
    },
}

impl StoreError {
    /// Whether asking again later may help.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
