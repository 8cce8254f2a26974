//! What the commands for the store's file have in common: how a copy is described, and how a refusal ends.

use std::path::Path;

use serde_json::{Value, json};

use super::failure::{Exit, Failure};
use super::terminal::escaped;
use crate::runtime::{Copied, StatusCounts64, StoreError, UpkeepError};

/// What to do where a file is in the way, or is not there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hints {
    pub(super) exists: &'static str,
    pub(super) missing: &'static str,
}

pub(super) fn refused(error: UpkeepError, hints: Hints) -> Failure {
    let (exit, hint) = match &error {
        UpkeepError::Store(StoreError::Locked { .. }) => (Exit::No, Some("stop the server first")),
        UpkeepError::Exists(_) => (Exit::No, Some(hints.exists)),
        UpkeepError::Missing(_) => (Exit::Usage, Some(hints.missing)),
        UpkeepError::Own(_) => (Exit::Usage, Some("name another file")),
        UpkeepError::InMemory => {
            (Exit::Usage, Some("`durability` in `[store]` says so; at `full` and `os` there is a file"))
        }
        UpkeepError::Unfit { .. } => (Exit::No, Some("take another backup: nothing was changed")),
        _ => (Exit::No, None),
    };
    let failure = Failure::new(exit, error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// What a copy holds, in lines.
pub(super) fn text_of(file: &Path, copied: &Copied) -> String {
    let StatusCounts64 { open, sent, failed, cancelled } = copied.deliveries;
    format!(
        "{}: {} bytes, version {}, whole by {}\nnotifications: {}\ndeliveries: {open} open, {sent} sent, {failed} failed, \
         {cancelled} cancelled\n",
        escaped(&file.display().to_string()),
        copied.bytes,
        copied.version,
        check_of(copied),
        copied.notifications,
    )
}

pub(super) fn json_of(file: &Path, copied: &Copied) -> Value {
    let StatusCounts64 { open, sent, failed, cancelled } = copied.deliveries;
    json!({
        "file": file.display().to_string(),
        "bytes": copied.bytes,
        "version": copied.version,
        "check": check_of(copied),
        "notifications": copied.notifications,
        "deliveries": { "open": open, "sent": sent, "failed": failed, "cancelled": cancelled },
    })
}

const fn check_of(copied: &Copied) -> &'static str {
    if copied.thorough { "integrity_check" } else { "quick_check" }
}
