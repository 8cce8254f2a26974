//! What readers ask of the audit log, and the pages they get.

use crate::domain::{AuditAction, AuditEntry, AuditId, AuditTarget, Timestamp};

/// Which entries are asked for: those that fulfil every condition that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// What was done.
    pub action: Option<AuditAction>,
    /// To what; see [`AuditTarget::covers`].
    pub target: Option<AuditTarget>,
    /// At or after this.
    pub since: Option<Timestamp>,
    /// Before this.
    pub until: Option<Timestamp>,
}

impl AuditFilter {
    /// Whether `entry` fulfils every condition.
    #[must_use]
    pub fn matches(&self, entry: &AuditEntry) -> bool {
        let Self { action, target, since, until } = self;
        action.is_none_or(|action| action == entry.act.action())
            && since.is_none_or(|since| entry.at >= since)
            && until.is_none_or(|until| entry.at < until)
            && target.as_ref().is_none_or(|wanted| entry.act.target().is_some_and(|target| wanted.covers(&target)))
    }
}

/// Some entries, the newest first. Those of different commits within a second may stand in the order of the commits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// They match.
    pub entries: Vec<(AuditId, AuditEntry)>,
    /// There may be more, before this. None where there is nothing more.
    pub next: Option<AuditId>,
}
