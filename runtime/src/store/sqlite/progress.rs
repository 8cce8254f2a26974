//! When the progress of a notification was told last.
//!
//! Memory of the writer alone: after a restart, progress may be told a little sooner than it would have been.

use std::collections::HashMap;

use crate::domain::{NotificationId, PROGRESS_EVERY, Timestamp};

/// From this many on, those of which progress may be told again are forgotten. An entry takes some 40 bytes.
const LOOK_AT: usize = 1_024;

/// What was told in commits before.
#[derive(Debug)]
pub(super) struct Told {
    last: HashMap<NotificationId, Timestamp>,
    /// How many there may be before they are looked through.
    look_at: usize,
}

impl Default for Told {
    fn default() -> Self {
        Self { last: HashMap::new(), look_at: LOOK_AT }
    }
}

/// Whether progress that was told at `last` may be told again at `at`. Settlements carry the time at which their call ended,
/// so one may be a little older than the one before it; a clock that was set back by more silences nobody.
pub(super) fn is_due(last: Option<Timestamp>, at: Timestamp) -> bool {
    last.is_none_or(|last| at.since(last).max(last.since(at)) >= PROGRESS_EVERY)
}

impl Told {
    pub(super) fn last(&self, id: NotificationId) -> Option<Timestamp> {
        self.last.get(&id).copied()
    }

    /// What a commit told.
    pub(super) fn committed(&mut self, told: HashMap<NotificationId, Timestamp>) {
        let Some(newest) = told.values().max().copied() else { return };
        self.last.extend(told);
        if self.last.len() >= self.look_at {
            self.last.retain(|_, last| !is_due(Some(*last), newest));
            // However many are told within a second, each is looked at once or twice.
            self.look_at = LOOK_AT.max(2 * self.last.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn progress_is_due_once_a_second_whatever_the_clock_does() {
        assert!(is_due(None, at(0)));
        let last = Some(at(10_000));
        assert!(!is_due(last, at(10_999)));
        assert!(is_due(last, at(11_000)));
        assert!(!is_due(last, at(9_001)), "a settlement that was overtaken");
        assert!(is_due(last, at(5_000)), "the clock was set back");
    }

    #[test]
    fn what_may_be_told_again_is_forgotten_before_it_is_much() {
        let mut told = Told::default();
        for n in 0..100_000_u64 {
            let id = NotificationId::from_bytes(u128::from(n).to_be_bytes());
            told.committed(HashMap::from([(id, at(n))]));
            assert_eq!(told.last(id), Some(at(n)));
            assert!(told.last.len() <= 2_048, "{} after {n}", told.last.len());
        }
    }
}
