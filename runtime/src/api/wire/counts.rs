//! How many deliveries stand where.

use serde::Serialize;

use crate::domain::StatusCounts;

/// Deliveries of one notification per status, made or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(in crate::api) struct CountsView {
    /// `pending` and `retrying`.
    pub(in crate::api) open: u32,
    /// `sent`.
    pub(in crate::api) sent: u32,
    /// `failed`.
    pub(in crate::api) failed: u32,
    /// `cancelled`.
    pub(in crate::api) cancelled: u32,
}

impl From<StatusCounts> for CountsView {
    fn from(counts: StatusCounts) -> Self {
        let StatusCounts { open, sent, failed, cancelled } = counts;
        Self { open, sent, failed, cancelled }
    }
}
