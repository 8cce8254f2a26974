//! Who waits for a turn at a destination, the most urgent first.
//!
//! Each has an instant at which to ask again. Nothing is reserved by it: who is in front takes the turn, and whoever is
//! pushed back by one more urgent asks once more, behind the others. So a turn that nobody takes is the next one's, and
//! of many who wait only a few ask at each turn.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{CALLED_MAX, KNOWN_MAX, Place};
use crate::domain::{DeliveryId, Position, Priority, Rate, Timestamp};
use crate::queue::Called;
use crate::store::Claim;

/// Who was to ask and has not for so long stands in nobody's way any more: it was cancelled, or is kept back itself.
const ABSENT_AFTER: Duration = Duration::from_secs(5);

/// The shortest time after which one asks again.
const STEP_LEAST: Duration = Duration::from_millis(1);

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Line {
    Recipient(Place),
    Host(Place),
}

impl Line {
    const fn channel(self) -> u64 {
        match self {
            Self::Recipient(place) | Self::Host(place) => place.channel,
        }
    }
}

/// A place in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    priority: Reverse<Priority>,
    position: Position,
}

impl Rank {
    pub(super) fn of(claim: &Claim) -> Self {
        let position = Position { due: claim.progress.due, delivery: claim.delivery };
        Self { priority: Reverse(claim.notification.priority), position }
    }
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    by_line: HashMap<Line, Waiters>,
    of: HashMap<DeliveryId, (Line, Rank)>,
    /// What never came back is looked for at this instant again.
    swept: Timestamp,
}

#[derive(Debug)]
struct Waiters {
    rate: Option<Rate>,
    /// With the instant at which each asks again.
    by_rank: BTreeMap<Rank, Timestamp>,
}

impl Lines {
    /// It waits here no longer, or asks now. Answers where it was, and how often one may go there.
    pub(super) fn leave(&mut self, delivery: DeliveryId) -> Option<(Line, Option<Rate>)> {
        let (line, rank) = self.of.remove(&delivery)?;
        let waiters = self.by_line.get_mut(&line)?;
        let rate = waiters.rate;
        waiters.by_rank.remove(&rank);
        if waiters.by_rank.is_empty() {
            self.by_line.remove(&line);
            return None;
        }
        Some((line, rate))
    }

    /// How many are in front of it, up to `most`.
    pub(super) fn ahead(&self, line: Line, rank: Rank, most: usize) -> usize {
        self.by_line.get(&line).map_or(0, |waiters| waiters.by_rank.range(..rank).take(most).count())
    }

    /// When to ask again where the next turn comes at `free`.
    pub(super) fn instant(
        &self,
        line: Line,
        rank: Rank,
        rate: Option<Rate>,
        free: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let step = rate.map_or(STEP_LEAST, |rate| rate.interval().max(STEP_LEAST));
        let Some(waiters) = self.by_line.get(&line) else { return free.max(now.after(STEP_LEAST)) };
        match waiters.by_rank.range(..rank).next_back() {
            None => free.max(now.after(STEP_LEAST)),
            // Those behind are pushed back when they ask.
            Some((_, before)) => free.max(now).max(*before).after(step),
        }
    }

    /// It waits here, and asks again at `until`.
    pub(super) fn join(&mut self, line: Line, rank: Rank, rate: Option<Rate>, until: Timestamp, now: Timestamp) {
        if self.of.len() >= KNOWN_MAX {
            self.sweep(now);
        }
        if self.of.len() < KNOWN_MAX {
            let waiters = self.by_line.entry(line).or_insert_with(|| Waiters { rate, by_rank: BTreeMap::new() });
            waiters.rate = rate;
            waiters.by_rank.insert(rank, until);
            self.of.insert(rank.position.delivery, (line, rank));
        }
    }

    /// The line it waits in.
    pub(super) fn of(&self, delivery: DeliveryId) -> Option<Line> {
        self.of.get(&delivery).map(|(line, _)| *line)
    }

    /// When it asks again, where it waits in a line.
    pub(super) fn until(&self, delivery: DeliveryId) -> Option<Timestamp> {
        let (line, rank) = self.of.get(&delivery)?;
        self.by_line.get(line)?.by_rank.get(rank).copied()
    }

    /// Those in front who were called and did not come are in front no longer.
    pub(super) fn forget_absent(&mut self, line: Line, now: Timestamp) {
        let Some(waiters) = self.by_line.get_mut(&line) else { return };
        while let Some(first) = waiters.by_rank.first_entry()
            && first.get().after(ABSENT_AFTER) <= now
        {
            self.of.remove(&first.key().position.delivery);
            first.remove();
        }
        if waiters.by_rank.is_empty() {
            self.by_line.remove(&line);
        }
    }

    /// The first `many` ask at `at`, where they would ask later.
    pub(super) fn call_up(&mut self, line: Line, many: usize, at: Timestamp, called: &mut Vec<Called>) {
        let Some(waiters) = self.by_line.get_mut(&line) else { return };
        for (rank, until) in waiters.by_rank.iter_mut().take(many.min(CALLED_MAX)) {
            if *until > at {
                called.push(Called { delivery: rank.position.delivery, from: *until, to: at });
                *until = at;
            }
        }
    }

    /// Nobody waits at the destinations of these channels any more.
    pub(super) fn let_go(&mut self, is_of: impl Fn(u64) -> bool) {
        self.by_line.retain(|line, _| !is_of(line.channel()));
        self.of.retain(|_, (line, _)| !is_of(line.channel()));
    }

    /// Forgets who never came back, now and then.
    fn sweep(&mut self, now: Timestamp) {
        if self.swept.after(ABSENT_AFTER) > now {
            return;
        }
        self.swept = now;
        let of = &mut self.of;
        self.by_line.retain(|_, waiters| {
            waiters.by_rank.retain(|rank, until| {
                let is_there = until.after(ABSENT_AFTER) > now;
                if !is_there {
                    of.remove(&rank.position.delivery);
                }
                is_there
            });
            !waiters.by_rank.is_empty()
        });
    }
}
