//! What SQLite's errors mean to a caller of the store.

use std::path::Path;

use rusqlite::ErrorCode;

use super::wire::Damaged;
use crate::store::StoreError;

/// An error that can be told to every caller of a batch.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The disk: the whole batch did not happen.
    Disk(String),
    /// A row, or the whole file.
    Damaged(String),
    /// A command that cannot be, or a defect of ours.
    Internal(String),
}

impl Failure {
    /// Whether it may be the fault of one command, so that the others deserve another try.
    pub(super) const fn is_of_one_command(&self) -> bool {
        match self {
            Self::Disk(_) => false,
            Self::Damaged(_) | Self::Internal(_) => true,
        }
    }

    /// What the engine said.
    pub(super) fn reason(self) -> String {
        match self {
            Self::Disk(reason) | Self::Damaged(reason) | Self::Internal(reason) => reason,
        }
    }

    pub(super) fn at(self, path: &Path) -> StoreError {
        match self {
            Self::Disk(reason) => StoreError::Unavailable { reason },
            Self::Damaged(reason) => StoreError::Unusable {
                path: path.display().to_string(),
                reason: format!("{reason}; restore a backup, or move the file away to start empty"),
            },
            Self::Internal(reason) => StoreError::Internal { reason },
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        // SQLite's messages name tables and columns, never values: none of a user's content gets out here.
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(reason),
            Some(
                ErrorCode::DiskFull
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::ReadOnly
                | ErrorCode::PermissionDenied
                | ErrorCode::OutOfMemory
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked,
            ) => Self::Disk(reason),
            // The rest of a foreign list: whatever else SQLite may say is a statement or a value of ours.
            _ => Self::Internal(reason),
        }
    }
}

impl From<Damaged> for Failure {
    fn from(damaged: Damaged) -> Self {
        Self::Damaged(damaged.to_string())
    }
}
