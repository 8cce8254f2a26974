//! When the progress of a notification was told last, and of whom it is to be told again.
//!
//! Memory of the writer alone: after a restart, progress may be told a little sooner than it would have been, and what was
//! still to be told is told with the next delivery that ends.

use std::collections::{BTreeSet, HashMap};

use crate::domain::{NotificationId, PROGRESS_EVERY, StatusCounts, Timestamp};

/// From this many on, those of which progress may be told again are forgotten. An entry takes some 40 bytes.
const LOOK_AT: usize = 1_024;

/// How many are told with one commit because time has passed.
const SLICE: usize = 256;

/// What was told in commits before, and what is still to be told.
#[derive(Debug)]
pub(super) struct Told {
    last: HashMap<NotificationId, Timestamp>,
    /// How many there may be before they are looked through.
    look_at: usize,
    /// Who has come further since, by when that may be told.
    owed: BTreeSet<(Timestamp, NotificationId)>,
    owed_from: HashMap<NotificationId, Timestamp>,
}

/// What a commit made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Telling {
    /// It was told then.
    Told(Timestamp),
    /// It was told just now, and may be told again from then on.
    Owed(Timestamp),
    /// All of it is final: that is told in another way.
    Over,
}

impl Default for Told {
    fn default() -> Self {
        let (last, owed_from) = (HashMap::new(), HashMap::new());
        Self { last, look_at: LOOK_AT, owed: BTreeSet::new(), owed_from }
    }
}

impl Told {
    /// What is to be done of somebody who came further at `at`, of whom `counts` is known. Settlements carry the time at
    /// which their call ended, so one may be a little older than the one before it; a clock that was set back by more
    /// silences nobody.
    pub(super) fn telling(&self, id: NotificationId, at: Timestamp, counts: StatusCounts) -> Telling {
        if counts.open == 0 {
            return Telling::Over;
        }
        match self.last.get(&id) {
            Some(last) if !is_due(*last, at) => Telling::Owed(at.min(*last).after(PROGRESS_EVERY)),
            Some(_) | None => Telling::Told(at),
        }
    }

    /// Whose progress is to be told at `now`: the first ones.
    pub(super) fn owed(&self, now: Timestamp) -> Vec<NotificationId> {
        self.owed.iter().take_while(|(due, _)| *due <= now).take(SLICE).map(|(_, id)| *id).collect()
    }

    /// When there is something to tell, if nothing else happens.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.owed.first().map(|(due, _)| *due)
    }

    /// What a commit told.
    pub(super) fn committed(&mut self, tellings: impl IntoIterator<Item = (NotificationId, Telling)>) {
        let mut newest = None;
        for (id, telling) in tellings {
            if let Some(due) = self.owed_from.remove(&id) {
                self.owed.remove(&(due, id));
            }
            match telling {
                Telling::Told(at) => {
                    self.last.insert(id, at);
                    newest = newest.max(Some(at));
                }
                Telling::Owed(due) => {
                    self.owed.insert((due, id));
                    self.owed_from.insert(id, due);
                }
                Telling::Over => {}
            }
        }
        let Some(newest) = newest.filter(|_| self.last.len() >= self.look_at) else { return };
        self.last.retain(|id, last| !is_due(*last, newest) || self.owed_from.contains_key(id));
        // However many are told within a second, each is looked at once or twice.
        self.look_at = LOOK_AT.max(2 * self.last.len());
    }
}

/// Whether progress that was told at `last` may be told again at `at`.
fn is_due(last: Timestamp, at: Timestamp) -> bool {
    at.since(last).max(last.since(at)) >= PROGRESS_EVERY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn id(n: u64) -> NotificationId {
        NotificationId::from_bytes(u128::from(n).to_be_bytes())
    }

    const OPEN: StatusCounts = StatusCounts { open: 2, sent: 1, failed: 0, cancelled: 0 };

    #[test]
    fn progress_is_told_once_a_second_whatever_the_clock_does_and_what_was_held_back_behind_it() {
        let mut told = Told::default();
        assert_eq!(told.telling(id(1), at(10_000), OPEN), Telling::Told(at(10_000)));
        told.committed([(id(1), Telling::Told(at(10_000)))]);
        assert_eq!(told.telling(id(1), at(11_000), OPEN), Telling::Told(at(11_000)));
        assert_eq!(told.telling(id(1), at(5_000), OPEN), Telling::Told(at(5_000)), "the clock was set back");
        let done = StatusCounts { open: 0, ..OPEN };
        assert_eq!(told.telling(id(1), at(12_000), done), Telling::Over);
        let overtaken = Telling::Owed(at(10_001));
        assert_eq!(told.telling(id(1), at(9_001), OPEN), overtaken, "a settlement that was overtaken");
        let soon = told.telling(id(1), at(10_999), OPEN);
        assert_eq!(soon, Telling::Owed(at(11_000)));

        told.committed([(id(1), overtaken)]);
        told.committed([(id(1), soon), (id(2), Telling::Owed(at(11_500)))]);
        assert_eq!((told.next(), told.owed(at(10_999))), (Some(at(11_000)), vec![]));
        assert_eq!(told.owed(at(11_500)), [id(1), id(2)]);
        told.committed([(id(1), Telling::Told(at(11_500))), (id(2), Telling::Over)]);
        assert_eq!((told.next(), told.owed(at(99_000))), (None, vec![]));
    }

    #[test]
    fn what_may_be_told_again_is_forgotten_before_it_is_much() {
        let mut told = Told::default();
        for n in 0..100_000 {
            told.committed([(id(n), Telling::Told(at(n)))]);
            assert_eq!(told.last.get(&id(n)), Some(&at(n)));
            assert!(told.last.len() <= 2_048, "{} after {n}", told.last.len());
        }
    }
}
