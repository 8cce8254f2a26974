//! The ids that were seen last.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// A bounded window of ids: the oldest one makes room.
#[derive(Debug)]
pub(super) struct Seen {
    limit: usize,
    known: HashSet<Arc<str>>,
    /// The same, the oldest first.
    order: VecDeque<Arc<str>>,
}

impl Seen {
    pub(super) fn of(limit: usize) -> Self {
        Self { limit: limit.max(1), known: HashSet::new(), order: VecDeque::new() }
    }

    pub(super) fn resize(&mut self, limit: usize) {
        self.limit = limit.max(1);
        self.shrink();
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        self.known.contains(id)
    }

    pub(super) fn insert(&mut self, id: Arc<str>) {
        if self.known.insert(Arc::clone(&id)) {
            self.order.push_back(id);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        while self.order.len() > self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
