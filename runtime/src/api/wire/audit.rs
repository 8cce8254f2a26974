//! What the audit log answers.

use serde::Serialize;

use crate::domain::{Act, AuditEntry, AuditId};

/// A page of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct AuditList {
    /// The newest first.
    pub(in crate::api) entries: Vec<AuditView>,
    /// To be given as `cursor` with the same filters; null where there is nothing more. A page may have fewer entries
    /// than asked for, and even none, where there is more.
    pub(in crate::api) next_cursor: Option<String>,
}

/// Somebody did something.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(in crate::api) struct AuditView {
    /// `aud_…`
    pub(in crate::api) id: String,
    /// RFC 3339.
    pub(in crate::api) at: String,
    /// `api`, `cli`, `embedder` or `host`.
    pub(in crate::api) actor: String,
    /// `submit`, `cancel`, `replay`, `purge`, `config`, `scale`, `backup`, `restore`, `migrate`, `plugin.…` as the event is
    /// called, or `channel.…`.
    pub(in crate::api) action: String,
    /// `ntf_…`, `dlv_…` or the name of a plugin or a channel; null where it is about the whole installation.
    pub(in crate::api) target: Option<String>,
    /// `done`, `in-flight` or `refused`.
    pub(in crate::api) outcome: String,
    /// What else is known.
    pub(in crate::api) details: AuditDetails,
}

/// What is known of an act, as far as it is of its kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(in crate::api) struct AuditDetails {
    /// Of a notification that was submitted or cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) deliveries: Option<u32>,
    /// Of those that are cancelled, how many an attempt under way may still send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) in_flight: Option<u32>,
    /// When a replay is due; RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) due: Option<String>,
    /// Of a plugin, or of the tables of the database.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) version: Option<String>,
    /// Calls of a callback that it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) calls: Option<u64>,
    /// Of a plugin's file, or of the configuration as `campanile config print` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) sha256: Option<String>,
    /// To how many workers the pool was set, or `auto`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) workers: Option<String>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::api) reason: Option<String>,
}

impl AuditView {
    /// An entry at its place.
    pub(in crate::api) fn of(id: AuditId, entry: &AuditEntry) -> Self {
        let AuditEntry { at, by, act, outcome } = entry;
        Self {
            id: id.to_string(),
            at: at.to_string(),
            actor: by.as_str().to_owned(),
            action: act.action().as_str().to_owned(),
            target: act.target().map(|target| target.to_string()),
            outcome: outcome.as_str().to_owned(),
            details: AuditDetails::of(act),
        }
    }
}

impl AuditDetails {
    fn of(act: &Act) -> Self {
        let none = Self::default();
        match act {
            Act::Submit { deliveries, .. } => Self { deliveries: Some(*deliveries), ..none },
            Act::Cancel { deliveries, in_flight, .. } => {
                Self { deliveries: Some(*deliveries), in_flight: Some(*in_flight), ..none }
            }
            Act::Replay { due, .. } => Self { due: Some(due.to_string()), ..none },
            Act::Config { sha256 } => Self { sha256: Some(hex(sha256)), ..none },
            Act::Scale { workers } => {
                Self { workers: Some(workers.map_or_else(|| "auto".to_owned(), |workers| workers.to_string())), ..none }
            }
            Act::Plugin(event) => Self {
                version: event.version.as_ref().map(ToString::to_string),
                sha256: event.sha256.as_ref().map(|sha256| hex(sha256)),
                reason: event.reason.clone(),
                ..none
            },
            Act::Callback { calls, .. } => Self { calls: (*calls > 0).then_some(*calls), ..none },
            Act::Store { from, to, .. } => Self {
                version: Some(to.to_string()),
                reason: (from != to).then(|| format!("from version {from}")),
                ..none
            },
            Act::CancelDelivery { .. } | Act::Purge { .. } | Act::Channel { .. } => none,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
