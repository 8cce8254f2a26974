//! How many calls at once the other side bears: additive increase, multiplicative decrease.

/// What an ended call says of the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdaptiveSignal {
    /// It went well.
    Good,
    /// The other side has too much to do: it was slow, or said so.
    Overload,
    /// The other side wants to be left alone for a while.
    Refused,
    /// It says nothing of the load.
    Neutral,
}

/// Which cut a call began after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AdaptiveMark(u32);

/// A limit on calls at once that finds its own height, between the two it is given.
///
/// It starts at the higher one. A sign of overload cuts it by a tenth; the calls that were under way at a cut do not
/// cut again, for they say nothing of the new height. As many good calls as it allows, each of them ended while it was
/// full, lift it by one.
///
/// Who wants to be left alone is tried with as few calls as may be. From there each good call lifts it by one, which
/// doubles it with every round, until it is a tenth below where it was.
///
/// ```
/// use campanile::domain::{AdaptiveLimit, AdaptiveSignal};
///
/// let mut limit = AdaptiveLimit::new(1, 20);
/// let (first, second) = (limit.began(), limit.began());
/// limit.ended(first, AdaptiveSignal::Overload, 2);
/// limit.ended(second, AdaptiveSignal::Overload, 1);
/// assert_eq!(limit.limit(), 18);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdaptiveLimit {
    min: u32,
    max: u32,
    limit: u32,
    /// Cuts so far; a call's mark is this number as it began.
    cuts: u32,
    /// Good ends while it was full, since the limit last moved.
    good: u32,
    /// What it is on its way back to, since it was refused.
    goal: u32,
}

impl AdaptiveLimit {
    /// A limit of `max` at first, that never falls below `min`. Neither is below one, nor `max` below `min`.
    #[must_use]
    pub fn new(min: u32, max: u32) -> Self {
        let max = max.max(1);
        Self { min: min.clamp(1, max), max, limit: max, cuts: 0, good: 0, goal: 0 }
    }

    /// Calls that may be under way at once, now.
    #[must_use]
    pub const fn limit(&self) -> u32 {
        self.limit
    }

    /// A call begins. Its mark is brought back when it ends.
    #[must_use]
    pub const fn began(&mut self) -> AdaptiveMark {
        AdaptiveMark(self.cuts)
    }

    /// A call ended, with `in_flight` calls under way until then, this one among them.
    pub fn ended(&mut self, mark: AdaptiveMark, signal: AdaptiveSignal, in_flight: u32) {
        if mark.0 != self.cuts {
            return;
        }
        match signal {
            AdaptiveSignal::Neutral => {}
            AdaptiveSignal::Overload => {
                let cut = (u64::from(self.limit) * 9 / 10) as u32;
                self.cut_to(cut);
                self.goal = self.goal.min(self.limit);
            }
            AdaptiveSignal::Refused => self.refuse(),
            AdaptiveSignal::Good if self.limit < self.goal => self.limit += 1,
            AdaptiveSignal::Good if in_flight < self.limit || self.limit == self.max => {}
            AdaptiveSignal::Good => {
                self.good += 1;
                if self.good >= self.limit {
                    self.limit += 1;
                    self.good = 0;
                }
            }
        }
    }

    /// The other side wants to be left alone, whoever was told so.
    pub fn refuse(&mut self) {
        if self.limit > self.min {
            // At the lowest it is only told once more what it knows.
            self.goal = (u64::from(self.limit) * 9 / 10) as u32;
        }
        self.cut_to(self.min);
    }

    fn cut_to(&mut self, limit: u32) {
        self.limit = limit.max(self.min);
        self.cuts = self.cuts.wrapping_add(1);
        self.good = 0;
    }

    /// Another highest limit, at least one. One that was never cut, or has recovered, moves along with it.
    pub fn set_max(&mut self, max: u32) {
        let max = max.max(1);
        self.limit = if self.limit == self.max { max } else { self.limit.min(max) };
        self.min = self.min.min(max);
        self.goal = self.goal.min(max);
        self.max = max;
        self.good = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::AdaptiveSignal::{Good, Neutral, Overload, Refused};
    use super::*;

    #[test]
    fn a_round_of_calls_cuts_once() {
        let mut limit = AdaptiveLimit::new(2, 100);
        let round: Vec<_> = (0..100).map(|_| limit.began()).collect();
        for (ended, mark) in round.into_iter().enumerate() {
            limit.ended(mark, Overload, 100 - ended as u32);
        }
        assert_eq!(limit.limit(), 90);
        let next = limit.began();
        limit.ended(next, Overload, 1);
        assert_eq!(limit.limit(), 81);
    }

    #[test]
    fn it_grows_by_one_for_each_full_round_and_only_while_it_is_used() {
        let mut limit = AdaptiveLimit::new(1, 10);
        let mark = limit.began();
        limit.ended(mark, Overload, 10);
        assert_eq!(limit.limit(), 9);
        for _ in 0..100 {
            let mark = limit.began();
            limit.ended(mark, Good, 8);
        }
        assert_eq!(limit.limit(), 9, "nobody needed more");
        for _ in 0..8 {
            let mark = limit.began();
            limit.ended(mark, Good, 9);
            let mark = limit.began();
            limit.ended(mark, Neutral, 9);
        }
        assert_eq!(limit.limit(), 9);
        let mark = limit.began();
        limit.ended(mark, Good, 9);
        assert_eq!(limit.limit(), 10);
    }

    #[test]
    fn a_limit_that_was_not_cut_moves_with_its_maximum() {
        let mut limit = AdaptiveLimit::new(4, 10);
        limit.set_max(20);
        assert_eq!(limit.limit(), 20);
        let mark = limit.began();
        limit.ended(mark, Overload, 1);
        limit.set_max(30);
        assert_eq!(limit.limit(), 18);
        limit.set_max(3);
        assert_eq!(limit.limit(), 3, "the minimum gives way to a maximum below it");
        limit.set_max(0);
        assert_eq!(limit.limit(), 1);
    }

    #[test]
    fn who_wants_to_be_left_alone_is_tried_with_one_call_and_then_with_twice_as_many_each_time() {
        let mut limit = AdaptiveLimit::new(1, 100);
        let round: Vec<_> = (0..100).map(|_| limit.began()).collect();
        for (ended, mark) in round.into_iter().enumerate() {
            limit.ended(mark, if ended % 2 == 0 { Refused } else { Good }, 100 - ended as u32);
        }
        assert_eq!(limit.limit(), 1, "what was under way says nothing of it");
        let probe = limit.began();
        limit.ended(probe, Refused, 1);
        assert_eq!(limit.limit(), 1);
        let mut rounds = Vec::new();
        for _ in 0..8 {
            let round: Vec<_> = (0..limit.limit()).map(|_| limit.began()).collect();
            let many = round.len() as u32;
            for (ended, mark) in round.into_iter().enumerate() {
                limit.ended(mark, Good, many - ended as u32);
            }
            rounds.push(limit.limit());
        }
        assert_eq!(rounds, [2, 4, 8, 16, 32, 64, 90, 90], "above what it bore it goes on by one for each full round");
    }

    proptest! {
        #[test]
        fn it_stays_between_its_bounds_and_never_jumps(
            min in 0_u32..50, max in 0_u32..50,
            ends in prop::collection::vec((0_usize..8, 0_u32..4, 0_u32..60), 0..400),
        ) {
            let mut limit = AdaptiveLimit::new(min, max);
            let mut marks: Vec<_> = (0..8).map(|_| limit.began()).collect();
            for (call, signal, in_flight) in ends {
                let before = limit.limit();
                let signal = [Good, Overload, Neutral, Refused][signal as usize];
                limit.ended(marks[call], signal, in_flight);
                let after = limit.limit();
                prop_assert!(after >= min.clamp(1, max.max(1)) && after <= max.max(1));
                match signal {
                    Good => prop_assert!(after == before || after == before + 1),
                    Overload => prop_assert!(after <= before && after >= before * 9 / 10),
                    Refused => prop_assert!(after == before || after == min.clamp(1, max.max(1))),
                    Neutral => prop_assert_eq!(after, before),
                }
                marks[call] = limit.began();
            }
        }
    }
}
